/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a keyfile: loading either gives a snapshot whose values can all be read, or an
 * error that names the place.
 */
#include "config.h"

#include "config/commy-config.h"
#include "security/commy-policy.h"

#include <commy/commy-error.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
read_all (CommyConfig *config)
{
  g_autoptr (GVariant) list = g_variant_ref_sink (commy_config_list (config));
  GVariantIter iter;
  const char *group, *key, *value, *origin;

  g_variant_iter_init (&iter, list);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, &key, &value, &origin))
    {
      g_auto (GStrv) items = commy_config_get_list (config, group, key);

      g_assert_cmpstr (commy_config_get (config, group, key), ==, value);
      g_assert_cmpstr (commy_config_get_origin (config, group, key), ==, origin);
      g_assert_nonnull (items);
      commy_config_get_double (config, group, key);
      commy_config_get_size (config, group, key);
    }
}

static void
compile (CommyConfig *config)
{
  static const char *const own[] = { "unix:uid=0", NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPolicy) policy = commy_policy_compile (config, own, &error);

  g_assert_true ((policy != NULL) == (error == NULL));
  if (policy != NULL)
    commy_policy_decide (policy, COMMY_VERB_CALL, "unix:uid=0", "org.example.A", "Get");
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config
      = commy_config_load_text ((const char *) data, size, "fuzz", &error);

  if (config == NULL)
    {
      g_assert_nonnull (error);
      g_assert_true (error->domain == COMMY_ERROR);
      g_assert_nonnull (strstr (error->message, "fuzz"));
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      return 0;
    }
  g_assert_no_error (error);
  read_all (config);
  compile (config);
  return 0;
}
