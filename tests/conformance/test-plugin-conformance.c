/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every plugin must do, over all plugins of this build; and the suites of auth providers and
 * balancers, which are short. With arguments: the files that they name instead.
 */
#include "config.h"

#include "commy-auth-conformance.h"
#include "commy-balancer-conformance.h"
#include "commy-plugin-conformance.h"
#include "commy-policy-conformance.h"

#include <string.h>

/* What starts with credentials only is started by its own tests. */
static gboolean
needs_credentials (const CommyPluginDescriptor *descriptor)
{
  const char *id = descriptor->note->id;

  return strcmp (id, "tls") == 0 || strcmp (id, "mtls") == 0;
}

static void
add (const char *path)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("plugin", path, &error);

  g_assert_no_error (error);
  if (needs_credentials (descriptor))
    return;
  commy_plugin_conformance_add (descriptor, NULL);
  if (descriptor->note->kind == COMMY_PLUGIN_AUTH)
    commy_auth_conformance_add (descriptor, NULL);
  if (descriptor->note->kind == COMMY_PLUGIN_BALANCER)
    commy_balancer_conformance_add (descriptor, NULL);
  if (descriptor->note->kind == COMMY_PLUGIN_POLICY)
    commy_policy_conformance_add (descriptor, NULL);
}

static void
add_folder (const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, "libcommy-") && g_str_has_suffix (name, ".so"))
      g_ptr_array_add (names, g_build_filename (folder, name, NULL));
  g_assert_cmpuint (names->len, >, 0);
  for (guint i = 0; i < names->len; i++)
    add (g_ptr_array_index (names, i));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (int i = 1; i < argc; i++)
    add (argv[i]);
  if (argc < 2)
    {
      g_autofree char *folder
          = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "modules", ".libs", NULL);

      add_folder (folder);
    }
  return g_test_run ();
}
