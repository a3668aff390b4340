/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "totp-scene.h"

#include <glib/gstdio.h>

void
scene_enrol (Scene *scene, const char *principal, const CommyTotpKey *key, GPtrArray **out_codes)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (scene->state, NULL, &error);

  g_assert_no_error (error);
  commy_totp_register_add (reg, principal, key, 1, out_codes, &error);
  g_assert_no_error (error);
  commy_totp_register_save (reg, &error);
  g_assert_no_error (error);
}

void
scene_write_credential (Scene *scene, const char *text)
{
  g_assert_true (g_file_set_contents (scene->credential, text, -1, NULL));
  g_assert_cmpint (g_chmod (scene->credential, 0600), ==, 0);
}

void
scene_set_up (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("auth", "totp", &error);

  g_assert_no_error (error);
  scene->host = commy_test_host_new (NULL, descriptor);
  scene->ops = descriptor->ops;
  scene->state = g_build_filename (commy_test_host_get_dir (scene->host), "state", NULL);
  scene->credential = g_build_filename (commy_test_host_get_dir (scene->host), "mine", NULL);
  g_assert_true (commy_totp_key_new (COMMY_TOTP_SHA1, 6, &scene->key, NULL));
  scene->uri = commy_totp_key_to_uri (&scene->key, "commy", ANN);
  scene_enrol (scene, ANN, &scene->key, &scene->codes);
  scene_write_credential (scene, scene->uri);
  commy_test_host_set_param (scene->host, "credential", scene->credential);
  commy_test_host_set_param (scene->host, "show-to", "nobody:* " SERVICE);
  scene->instance = commy_test_host_start (scene->host, &error);
  g_assert_no_error (error);
}

void
scene_tear_down (Scene *scene, gconstpointer data)
{
  commy_test_host_free (scene->host);
  g_free (scene->state);
  g_free (scene->credential);
  g_free (scene->uri);
  g_ptr_array_unref (scene->codes);
}

char *
scene_dup_path (Scene *scene)
{
  return g_build_filename (scene->state, COMMY_TOTP_FILE, NULL);
}
