/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header. There are never more callers in the table than places.
 */
#include "config.h"

#include "auth/common/commy-shares.h"

struct _CommyShares
{
  guint max;
  guint max_each;
  guint n;
  GHashTable *taken; /* who -> how many, none of them 0 */
};

CommyShares *
commy_shares_new (guint max, guint max_each)
{
  CommyShares *self = g_new0 (CommyShares, 1);

  self->max = max;
  self->max_each = max_each;
  self->taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
commy_shares_free (CommyShares *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->taken);
  g_free (self);
}

static guint
get_taken (const CommyShares *self, const char *who)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (self->taken, who));
}

gboolean
commy_shares_take (CommyShares *self, const char *who)
{
  guint n = get_taken (self, who);

  if (self->n >= self->max || n >= self->max_each)
    return FALSE;
  self->n++;
  g_hash_table_replace (self->taken, g_strdup (who), GUINT_TO_POINTER (n + 1));
  return TRUE;
}

void
commy_shares_give (CommyShares *self, const char *who)
{
  guint n = get_taken (self, who);

  g_return_if_fail (n > 0);
  self->n--;
  if (n > 1)
    g_hash_table_replace (self->taken, g_strdup (who), GUINT_TO_POINTER (n - 1));
  else
    g_hash_table_remove (self->taken, who);
}

guint
commy_shares_get_n (const CommyShares *self)
{
  return self->n;
}
