/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "auth-scene.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-totp.h"

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

/* --- one-time codes --- */

char *
auth_enrol (MeshFixture *fixture, const char *principal, const char *transport, char **out_id)
{
  g_autofree char *dir = auth_register_dir (fixture);
  g_autofree char *path = g_build_filename (fixture->dir, "totp-credential", NULL);
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (dir, NULL, NULL);
  g_autoptr (GPtrArray) codes = NULL;
  g_autoptr (GError) error = NULL;
  const CommyTotpEntry *entry;
  CommyTotpKey key;
  char *uri;

  g_assert_true (commy_totp_key_new (COMMY_TOTP_SHA1, 6, &key, NULL));
  entry = commy_totp_register_add (reg, principal, &key, 1, &codes, &error);
  g_assert_no_error (error);
  *out_id = g_strdup (entry->id);
  g_assert_true (commy_totp_register_save (reg, NULL));
  uri = commy_totp_key_to_uri (&key, "commy", principal);
  g_assert_true (g_file_set_contents (path, uri, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  commy_credential_free (uri);
  return g_strdup_printf ("auth=peercred;mtls;totp\n[plugin auth/totp]\nparam.credential=%s\n"
                          "param.show-to=unix:*\n[selection]\npreference=pin\ntransports=%s\n",
                          path, transport);
}

void
auth_type_code (MeshFixture *fixture)
{
  g_autofree char *path = g_build_filename (fixture->dir, "totp-credential", NULL);
  g_autofree char *uri = NULL;
  char code[COMMY_TOTP_DIGITS_MAX + 1];
  CommyTotpKey key;

  g_assert_true (g_file_get_contents (path, &uri, NULL, NULL));
  g_assert_true (commy_totp_key_parse_uri (uri, &key, NULL));
  commy_totp_code (&key, commy_totp_step (g_get_real_time () / G_USEC_PER_SEC), code);
  g_assert_true (g_file_set_contents (path, code, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
}

/* --- a provider of every kind --- */

/* A folder with the one fixture, which the mesh finds first. */
static char *
plugin_folder (MeshFixture *fixture)
{
  static const char name[] = "libcommy-auth-chatty.so";
  g_autofree char *folder = g_build_filename (fixture->dir, "plugins", NULL);
  g_autofree char *source
      = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "tests/fixtures/plugins/.libs", name, NULL);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = NULL;
  gsize size;

  g_mkdir (folder, 0700);
  g_assert_true (g_file_get_contents (source, &text, &size, NULL));
  g_assert_true (g_file_set_contents (path, text, (gssize) size, NULL));
  return g_steal_pointer (&folder);
}

char *
auth_chatty_settings (MeshFixture *fixture, const char *how, const char *more)
{
  g_autofree char *folder = plugin_folder (fixture);

  return g_strdup_printf ("auth=peercred;chatty\n[plugins]\npath=%s\n[plugin auth/chatty]\n"
                          "param.how=%s\n[limits]\nhandshake-timeout=1s\n%s",
                          folder, how, more);
}
