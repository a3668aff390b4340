/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Denying for programs: writing and reading the records that commy-proof-keeper.c follows.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "mesh/commy-mesh-private.h"
#include "security/commy-deny-list.h"
#include "security/commy-lock-out.h"

#include <commy/commy-mesh-store.h>
#include <string.h>

G_STATIC_ASSERT (COMMY_DENIED_MAX == COMMY_DENY_LIST_MAX);

static char *
dup_key (const char *subject, GError **error)
{
  return commy_denial_check_subject (subject, error)
             ? g_strconcat (COMMY_DENIED_PREFIX, subject, NULL)
             : NULL;
}

gboolean
commy_mesh_deny (
    CommyMesh *self, const char *subject, const char *reason, gint64 until_s, GError **error)
{
  g_autofree char *key = NULL;
  g_autoptr (GBytes) value = NULL;
  g_autoptr (CommyDenial) back = NULL;
  CommyDenial denial = { 0 };
  char *text;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  g_return_val_if_fail (subject != NULL && reason != NULL, FALSE);
  if (commy_lock_out_is_subject (subject))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "what begins with %s instances write, of those who fail to prove who they "
                       "are; deny the principal, which is the rest of it",
                       COMMY_LOCK_OUT);
      return FALSE;
    }
  key = dup_key (subject, error);
  if (key == NULL)
    return FALSE;
  denial = (CommyDenial){ .reason = (char *) reason,
                          .since_s = commy_env_wall_us (self->env) / G_USEC_PER_SEC,
                          .until_s = until_s };
  text = commy_denial_write (&denial);
  value = g_bytes_new_take (text, strlen (text));
  /* What others could not read is not written. */
  back = commy_denial_read (key, text, strlen (text), NULL);
  if (strcmp (back->reason, reason) != 0)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "a reason is one line of at most %u bytes, and the time is not before 1970",
                       COMMY_DENIAL_REASON_MAX);
      return FALSE;
    }
  return commy_mesh_store_put_sync (self, key, value, COMMY_STORE_ANY_REVISION,
                                    COMMY_STORE_WRITE_RESERVED, NULL, error)
         > 0;
}

gboolean
commy_mesh_allow (CommyMesh *self, const char *subject, GError **error)
{
  g_autofree char *key = NULL;
  g_autoptr (GVariant) there = NULL;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  g_return_val_if_fail (subject != NULL, FALSE);
  key = dup_key (subject, error);
  there = key != NULL ? commy_mesh_store_get_sync (self, key, NULL, error) : NULL;
  return there != NULL
         && commy_mesh_store_delete_sync (self, key, COMMY_STORE_ANY_REVISION,
                                          COMMY_STORE_WRITE_RESERVED, NULL, error)
                > 0;
}

/* Floating; NULL: the key names nobody. */
static GVariant *
describe (GVariant *entry)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
  g_autoptr (CommyDenial) denial = NULL;
  const char *key = NULL;
  gsize size = 0;
  const char *text = value != NULL ? g_variant_get_fixed_array (value, &size, 1) : NULL;
  GVariantBuilder record;

  if (!g_variant_lookup (entry, "key", "^&ay", &key))
    return NULL;
  denial = commy_denial_read (key, text, size, NULL);
  if (denial == NULL)
    return NULL;
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "subject", g_variant_new_string (denial->subject));
  g_variant_builder_add (&record, "{sv}", "reason", g_variant_new_string (denial->reason));
  g_variant_builder_add (&record, "{sv}", "since", g_variant_new_int64 (denial->since_s));
  g_variant_builder_add (&record, "{sv}", "until", g_variant_new_int64 (denial->until_s));
  return g_variant_builder_end (&record);
}

GVariant *
commy_mesh_list_denied (CommyMesh *self, GError **error)
{
  g_autoptr (GVariant) all = NULL;
  g_autoptr (GVariant) entries = NULL;
  GVariantBuilder list;
  GVariantIter iter;
  GVariant *entry;

  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  all = commy_mesh_store_list_sync (self, COMMY_DENIED_PREFIX, NULL, error);
  if (all == NULL)
    return NULL;
  entries = g_variant_get_child_value (all, 1);
  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_iter_init (&iter, entries);
  while ((entry = g_variant_iter_next_value (&iter)) != NULL)
    {
      GVariant *record = describe (entry);

      if (record != NULL)
        g_variant_builder_add_value (&list, record);
      g_variant_unref (entry);
    }
  return g_variant_ref_sink (g_variant_builder_end (&list));
}
