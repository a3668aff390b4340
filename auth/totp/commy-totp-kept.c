/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header. When there is no room the session that ends first goes.
 */
#include "config.h"

#include "auth/totp/commy-totp-kept.h"

#include <string.h>

#define HOST_PART "/host/"

struct _TotpKept
{
  GHashTable *grants; /* service -> CommySessionGrant */
};

static void
grant_free (gpointer data)
{
  commy_session_grant_clear (data);
  g_free (data);
}

TotpKept *
totp_kept_new (void)
{
  TotpKept *self = g_new0 (TotpKept, 1);

  self->grants = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, grant_free);
  return self;
}

void
totp_kept_free (TotpKept *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->grants);
  g_free (self);
}

static void
make_room (TotpKept *self)
{
  const char *first = NULL;
  gint64 first_s = G_MAXINT64;
  GHashTableIter iter;
  gpointer key, value;

  if (g_hash_table_size (self->grants) < TOTP_KEPT_MAX)
    return;
  g_hash_table_iter_init (&iter, self->grants);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      const CommySessionGrant *grant = value;

      if (first == NULL || grant->ends_s < first_s)
        {
          first = key;
          first_s = grant->ends_s;
        }
    }
  g_hash_table_remove (self->grants, first);
}

void
totp_kept_add (TotpKept *self, const char *service, CommySessionGrant *grant)
{
  CommySessionGrant *copy = g_memdup2 (grant, sizeof *grant);

  if (!g_hash_table_contains (self->grants, service))
    make_room (self);
  g_hash_table_replace (self->grants, g_strdup (service), copy);
  commy_session_grant_clear (grant);
}

const CommySessionGrant *
totp_kept_find (TotpKept *self, const char *service, gint64 now_s)
{
  const CommySessionGrant *grant = g_hash_table_lookup (self->grants, service);

  if (grant == NULL || now_s < grant->ends_s)
    return grant;
  totp_kept_remove (self, service);
  return NULL;
}

/* spiffe://DOMAIN/host/HOST/user/USER: whether all but HOST is the same. */
static gboolean
is_kin (const char *one, const char *other)
{
  const char *a = strstr (one, HOST_PART);
  const char *b = strstr (other, HOST_PART);

  if (!g_str_has_prefix (one, "spiffe://") || a == NULL || b == NULL || a - one != b - other
      || strncmp (one, other, (gsize) (a - one)) != 0)
    return FALSE;
  a = strchr (a + strlen (HOST_PART), '/');
  b = strchr (b + strlen (HOST_PART), '/');
  return a != NULL && b != NULL && strcmp (a, b) == 0;
}

const CommySessionGrant *
totp_kept_find_kin (TotpKept *self, const char *service, gint64 now_s)
{
  const CommySessionGrant *found = NULL;
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->grants);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      const CommySessionGrant *grant = value;

      if (now_s < grant->ends_s && is_kin (key, service)
          && (found == NULL || grant->ends_s > found->ends_s))
        found = grant;
    }
  return found;
}

void
totp_kept_remove (TotpKept *self, const char *service)
{
  g_hash_table_remove (self->grants, service);
}

guint
totp_kept_get_n (TotpKept *self)
{
  return g_hash_table_size (self->grants);
}

/* --- as it is sent --- */

void
totp_grant_write (const CommySessionGrant *grant, guint8 out[TOTP_GRANT_SIZE])
{
  const guint64 ends = GUINT64_TO_LE ((guint64) grant->ends_s);

  memcpy (out, grant->key.id, COMMY_API_KEY_ID_SIZE);
  out += COMMY_API_KEY_ID_SIZE;
  memcpy (out, grant->key.secret, COMMY_API_KEY_SECRET_SIZE);
  out += COMMY_API_KEY_SECRET_SIZE;
  memcpy (out, grant->pepper, COMMY_API_KEY_PEPPER_SIZE);
  memcpy (out + COMMY_API_KEY_PEPPER_SIZE, &ends, sizeof ends);
}

gboolean
totp_grant_read (const guint8 bytes[TOTP_GRANT_SIZE], CommySessionGrant *out_grant)
{
  guint64 ends;

  memset (out_grant, 0, sizeof *out_grant);
  memcpy (out_grant->key.id, bytes, COMMY_API_KEY_ID_SIZE);
  bytes += COMMY_API_KEY_ID_SIZE;
  memcpy (out_grant->key.secret, bytes, COMMY_API_KEY_SECRET_SIZE);
  bytes += COMMY_API_KEY_SECRET_SIZE;
  memcpy (out_grant->pepper, bytes, COMMY_API_KEY_PEPPER_SIZE);
  memcpy (&ends, bytes + COMMY_API_KEY_PEPPER_SIZE, sizeof ends);
  out_grant->ends_s = (gint64) GUINT64_FROM_LE (ends);
  return commy_api_key_is_id (out_grant->key.id);
}
