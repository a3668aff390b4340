/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The suite of a plugin by its kind: see the header.
 */
#include "config.h"

#include "commy-conformance.h"

#include "commy-auth-conformance.h"
#include "commy-balancer-conformance.h"
#include "commy-plugin-conformance.h"
#include "commy-policy-conformance.h"
#include "commy-serializer-conformance.h"
#include "commy-store-conformance.h"
#include "commy-transport-conformance.h"

#include <string.h>

#define PLUGIN_VARIABLE "COMMY_CONFORMANCE_PLUGIN"

static void
copy_credential (const char *folder, CommyTestHost *host, const char *name)
{
  CommyHost *plain = commy_test_host_get (host);
  g_autofree char *from = g_build_filename (folder, name, NULL);
  g_autofree char *to
      = g_build_filename (plain->info (plain, COMMY_HOST_CREDENTIALS_DIR), name, NULL);
  g_autofree char *bytes = NULL;
  g_autoptr (GError) error = NULL;
  gsize size;

  g_file_get_contents (from, &bytes, &size, &error);
  g_assert_no_error (error);
  g_file_set_contents_full (to, bytes, (gssize) size, G_FILE_SET_CONTENTS_NONE, 0600, &error);
  g_assert_no_error (error);
}

void
commy_conformance_prepare (const CommyConformanceOptions *options, CommyTestHost *host)
{
  static const char *const files[] = { "ca.pem", "cert.pem", "key.pem" };

  for (gsize i = 0; options->params != NULL && options->params[i] != NULL; i++)
    {
      g_auto (GStrv) parts = g_strsplit (options->params[i], "=", 2);

      g_assert_nonnull (parts[0]);
      commy_test_host_set_param (host, parts[0], parts[1] != NULL ? parts[1] : "");
    }
  for (gsize i = 0; options->credentials != NULL && i < G_N_ELEMENTS (files); i++)
    copy_credential (options->credentials, host, files[i]);
}

static void
add_transport (const CommyPluginDescriptor *descriptor, const CommyConformanceOptions *options)
{
  gboolean is_hook = (descriptor->note->flags & COMMY_PLUGIN_FLAG_HOOK) != 0;
  const CommyTransportSubject subject = { .id = is_hook ? options->wrapped : options->path,
                                          .hook = is_hook ? options->path : NULL,
                                          .options = options };

  if (subject.id != NULL)
    commy_transport_conformance_add (&subject);
}

void
commy_conformance_add (const CommyPluginDescriptor *descriptor,
                       const CommyConformanceOptions *options)
{
  commy_plugin_conformance_add (descriptor, options);
  switch ((CommyPluginKind) descriptor->note->kind)
    {
    case COMMY_PLUGIN_TRANSPORT:
      add_transport (descriptor, options);
      break;
    case COMMY_PLUGIN_SERIALIZER:
      commy_serializer_conformance_add (descriptor);
      break;
    case COMMY_PLUGIN_AUTH:
      commy_auth_conformance_add (descriptor, options);
      break;
    case COMMY_PLUGIN_BALANCER:
      commy_balancer_conformance_add (descriptor, options);
      break;
    case COMMY_PLUGIN_STORE:
      g_setenv (PLUGIN_VARIABLE, options->path, TRUE);
      commy_store_conformance_add (descriptor, NULL);
      break;
    case COMMY_PLUGIN_POLICY:
      commy_policy_conformance_add (descriptor, options);
      break;
    default:
      g_error ("no suite for plugins of kind %u", descriptor->note->kind);
    }
}

gboolean
commy_conformance_child (int argc, char **argv, int *out_status)
{
  const char *path = g_getenv (PLUGIN_VARIABLE);
  const CommyPluginDescriptor *descriptor
      = path != NULL ? commy_test_load ("store", path, NULL) : NULL;

  return descriptor != NULL && descriptor->note->kind == COMMY_PLUGIN_STORE
         && commy_store_conformance_child (descriptor, NULL, argc, argv, out_status);
}
