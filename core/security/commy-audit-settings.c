/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The group [audit], and hashes of settings.
 */
#include "config.h"

#include "security/commy-audit-settings.h"

#include "base/commy-error-private.h"

#include <string.h>

#define RETRY_US G_USEC_PER_SEC

static CommyAuditCalls
read_calls (CommyConfig *config)
{
  const char *word = commy_config_get (config, "audit", "calls");

  if (g_strcmp0 (word, "all") == 0)
    return COMMY_AUDIT_CALLS_ALL;
  return g_strcmp0 (word, "none") == 0 ? COMMY_AUDIT_CALLS_NONE : COMMY_AUDIT_CALLS_DENIED;
}

/* The file that is written has its place in the whole, and so should one that can be read. */
static gboolean
check_sizes (CommyConfig *config, const CommyAuditChainSetup *chain, GError **error)
{
  if (chain->max_total_size == 0 || chain->max_total_size / 2 >= chain->max_file_size)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "max-total-size of [audit] (%s) has to be twice max-file-size at least (%s)",
                   commy_config_get_origin (config, "audit", "max-total-size"),
                   commy_config_get_origin (config, "audit", "max-file-size"));
  return FALSE;
}

gboolean
commy_audit_settings_read (CommyConfig *config, CommyAuditLogSetup *setup, GError **error)
{
  const char *failure = commy_config_get (config, "audit", "on-failure");

  setup->chain.max_file_size = commy_config_get_size (config, "audit", "max-file-size");
  setup->chain.max_total_size = commy_config_get_size (config, "audit", "max-total-size");
  setup->chain.retention_us = commy_config_get_duration (config, "audit", "retention") / 1000;
  setup->calls = read_calls (config);
  setup->refuses = g_strcmp0 (failure, "refuse") == 0;
  setup->strangers_per_second
      = (guint) commy_config_get_int (config, "audit", "strangers-per-second");
  setup->denied_per_second = (guint) commy_config_get_int (config, "audit", "denied-per-second");
  setup->queue_size = COMMY_AUDIT_QUEUE_SIZE;
  setup->retry_us = RETRY_US;
  return check_sizes (config, &setup->chain, error);
}

char *
commy_audit_settings_dup (CommyConfig *config)
{
  g_autoptr (GVariant) list = g_variant_ref_sink (commy_config_list (config));
  g_autofree char *text = g_variant_print (list, FALSE);
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);

  return g_strdup_printf ("sha256:%s", hash);
}

static char *
hash_policy (CommyConfig *config)
{
  static const char *const parts[] = { "policy ", "role ", "network-group ", "security" };
  g_autoptr (GVariant) list = g_variant_ref_sink (commy_config_list (config));
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  const char *group, *key, *value;
  GVariantIter iter;

  g_variant_iter_init (&iter, list);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, &key, &value, NULL))
    for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
      if (g_str_has_prefix (group, parts[i]))
        {
          const char *const words[] = { group, key, value };

          for (guint j = 0; j < G_N_ELEMENTS (words); j++)
            g_checksum_update (sum, (const guchar *) words[j], (gssize) strlen (words[j]) + 1);
        }
  return g_strdup (g_checksum_get_string (sum));
}

char *
commy_audit_settings_dup_policy (CommyConfig *config)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "policy ");
  g_autofree char *hash = hash_policy (config);
  GString *rules = g_string_new (NULL);

  /* The names are cut where there are many. */
  g_string_append_printf (rules, "sha256:%s, rules", hash);
  for (guint i = 0; i < groups->len; i++)
    g_string_append_printf (rules, " %s", (const char *) groups->pdata[i] + strlen ("policy "));
  return g_string_free (rules, FALSE);
}
