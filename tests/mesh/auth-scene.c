/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "auth-scene.h"

#include "auth/common/commy-credential.h"

#include <glib/gstdio.h>
#include <string.h>

/* --- keys --- */

char *
auth_register_dir (MeshFixture *fixture)
{
  return g_build_filename (fixture->dir, "state", "test", NULL);
}

void
auth_make_key (MeshFixture *fixture, const char *name, CommyApiKey *out_key)
{
  static const char *const scopes[] = { "deploy", "read", NULL };
  g_autofree char *dir = auth_register_dir (fixture);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyApiKeyRegister) reg = commy_api_key_register_open (dir, &error);

  g_assert_no_error (error);
  commy_api_key_new (out_key, &error);
  g_assert_no_error (error);
  commy_api_key_register_add (reg, out_key, name, scopes, 1, 0, &error);
  g_assert_no_error (error);
  commy_api_key_register_save (reg, &error);
  g_assert_no_error (error);
}

char *
auth_settings_of (MeshFixture *fixture, const CommyApiKey *key, const char *transport)
{
  g_autofree char *path = g_build_filename (fixture->dir, "credential", NULL);
  char *text = commy_api_key_to_text (key);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  commy_credential_free (text);
  return g_strdup_printf ("auth=peercred;mtls;token\n[plugin auth/token]\nparam.credential=%s\n"
                          "[selection]\npreference=pin\ntransports=%s\n",
                          path, transport);
}

/* --- calls --- */

char *
auth_ask_of (MeshFixture *fixture,
             const char *settings,
             const char *service,
             const char *method,
             GError **error)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, settings);
  CommyClient *client = commy_client_new (mesh, service);
  g_autoptr (GVariant) value = commy_client_call_sync (client, method, NULL, NULL, NULL, error);
  char *text = NULL;

  if (value != NULL)
    g_variant_get_child (value, 0, "s", &text);
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  return text;
}

char *
auth_ask (MeshFixture *fixture, const char *settings, const char *method, GError **error)
{
  return auth_ask_of (fixture, settings, TEST_SERVICE, method, error);
}

void
auth_check_answer (MeshFixture *fixture,
                   const char *settings,
                   const char *method,
                   const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = auth_ask (fixture, settings, method, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (text, ==, expected);
}

void
auth_check_refused (MeshFixture *fixture, const char *settings, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = auth_ask (fixture, settings, "Who", &error);

  if (text != NULL)
    g_error ("let in as %s", text);
  g_test_message ("%s", error->message);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}
