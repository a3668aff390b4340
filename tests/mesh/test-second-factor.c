/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection that was let in with a one-time secret, and what becomes of it when the secret is
 * taken back.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-totp.h"
#include "mesh-fixture.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define SERVER                                                                              \
  "auth=peercred;totp\n[auth-chain c]\nrequire=peercred;totp\nsame-principal=true\n"        \
  "[service " TEST_SERVICE "]\nauth-chain=c\n[security]\nproof-check=100ms\n[policy all]\n" \
  "principals=*\nservices=" TEST_SERVICE "\nverbs=call\neffect=allow\n"

typedef struct
{
  char *dir; /* of the file of secrets */
  char *id;
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
} Scene;

/* (transfer full): settings of a caller who has the secret that is enrolled for it. */
static char *
enrol (MeshFixture *fixture, Scene *scene)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  g_autofree char *path = g_build_filename (fixture->dir, "totp-credential", NULL);
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (scene->dir, NULL, NULL);
  g_autoptr (GPtrArray) codes = NULL;
  g_autoptr (GError) error = NULL;
  const CommyTotpEntry *entry;
  CommyTotpKey key;
  char *uri;

  g_assert_true (commy_totp_key_new (COMMY_TOTP_SHA1, 6, &key, NULL));
  entry = commy_totp_register_add (reg, own, &key, 1, &codes, &error);
  g_assert_no_error (error);
  scene->id = g_strdup (entry->id);
  g_assert_true (commy_totp_register_save (reg, NULL));
  uri = commy_totp_key_to_uri (&key, "commy", own);
  g_assert_true (g_file_set_contents (path, uri, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  commy_credential_free (uri);
  return g_strdup_printf ("auth=peercred;totp\n[plugin auth/totp]\nparam.credential=%s\n"
                          "[selection]\npreference=pin\ntransports=unix\n",
                          path);
}

static void
scene_init (Scene *scene, MeshFixture *fixture)
{
  g_autofree char *settings = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  scene->dir = g_build_filename (fixture->dir, "state", "test", NULL);
  settings = enrol (fixture, scene);
  mesh_fixture_capture_log (fixture);
  scene->child = service_child_start (fixture, SERVER, 0);
  scene->mesh = mesh_fixture_join (fixture, settings);
  scene->client = commy_client_new (scene->mesh, TEST_SERVICE);
  answer = commy_client_call_sync (scene->client, "Pid", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
scene_clear (Scene *scene)
{
  g_clear_object (&scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_clear_object (&scene->mesh);
  service_child_free (scene->child);
  g_free (scene->dir);
  g_free (scene->id);
}

static void
test_revoked (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyTotpRegister) reg = NULL;
  g_autofree char *told = NULL;
  Scene scene;

  scene_init (&scene, fixture);
  reg = commy_totp_register_open (scene.dir, NULL, NULL);
  g_assert_true (commy_totp_register_revoke (reg, scene.id, NULL));
  g_assert_true (commy_totp_register_save (reg, NULL));
  g_clear_pointer (&reg, commy_totp_register_free);
  told = g_strdup_printf ("over unix: one-time code %s: it is revoked", scene.id);
  mesh_fixture_await_log (fixture, told);
  scene_clear (&scene);
}

/* By a record in the store, as it reaches all hosts. */
static void
test_denied (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *subject = NULL;
  g_autofree char *told = NULL;
  g_autoptr (GError) error = NULL;
  Scene scene;

  scene_init (&scene, fixture);
  subject = g_strconcat ("totp-id:", scene.id, NULL);
  g_assert_true (commy_mesh_deny (scene.mesh, subject, "lost phone", 0, &error));
  g_assert_no_error (error);
  told = g_strdup_printf ("over unix: %s is denied: lost phone", subject);
  mesh_fixture_await_log (fixture, told);
  scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC)                                                                  \
  g_test_add ("/mesh/second-factor/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("revoked-ends-what-rests-on-it", test_revoked);
  ADD ("denied-ends-what-rests-on-it", test_denied);
#undef ADD
  return g_test_run ();
}
