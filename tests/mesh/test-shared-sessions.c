/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session that one instance of a service gave is honoured by another one, over the store that
 * they share: one in a process of its own, one in this. The code that it stands for was used up.
 */
#include "config.h"

#include "auth-scene.h"

#include "auth/common/commy-session-record.h"

#include <commy/commy-mesh-store.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define OTHER "org.example.Other"
#define OFFERS                                                                            \
  "auth=peercred;mtls;totp\n[auth-chain c]\nrequire=peercred;totp\nsame-principal=true\n" \
  "[service " TEST_SERVICE "]\nauth-chain=c\n[service " OTHER "]\nauth-chain=c\n"         \
  "[policy all]\nprincipals=*\nservices=" TEST_SERVICE ";" OTHER                          \
  "\nverbs=call;offer\neffect=allow\n[security]\nproof-check=100ms\n[plugin auth/totp]\n" \
  "param.session-life=1h\nparam.session-key=%s\n"
#define PATIENCE_US (20 * G_USEC_PER_SEC)

typedef struct
{
  MeshFixture *fixture;
  ServiceChild *child; /* offers TEST_SERVICE */
  CommyMesh *mesh;     /* offers OTHER */
  CommyService *service;
  CommyMesh *caller;
} Scene;

static void
on_attributes (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyPrincipal *caller = commy_invocation_get_caller (invocation);
  g_autofree char *all = g_strjoinv (" ", (char **) commy_principal_get_attributes (caller));

  commy_invocation_return_value (invocation, g_variant_new ("(s)", all));
}

static void
add_methods (CommyService *service)
{
  commy_service_handle (service, "Attributes", on_attributes, NULL, NULL);
}

/* Settings of instances that share the key of that name. */
static char *
dup_offers (MeshFixture *fixture, const char *name)
{
  g_autofree char *path = g_build_filename (fixture->dir, name, NULL);
  g_autofree char *key = g_strdup_printf ("%s 0123456789abcdef0123456789abcdef", name);

  g_assert_true (g_file_set_contents (path, key, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  return g_strdup_printf (OFFERS, path);
}

static void
scene_init (Scene *self, MeshFixture *fixture, const char *key_of_other)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  g_autofree char *id = NULL;
  g_autofree char *calling = auth_enrol (fixture, own, "unix", &id);
  g_autofree char *offers = dup_offers (fixture, "session-key");
  g_autofree char *of_other = dup_offers (fixture, key_of_other);
  g_autoptr (GError) error = NULL;

  *self = (Scene){ .fixture = fixture };
  auth_type_code (fixture);
  mesh_fixture_capture_log (fixture);
  self->child = service_child_start (fixture, offers, 1);
  self->mesh = mesh_fixture_join (fixture, of_other);
  self->service = commy_service_new (self->mesh, OTHER, NULL);
  add_methods (self->service);
  commy_service_set_workers (self->service, 1);
  commy_service_start_sync (self->service, NULL, &error);
  g_assert_no_error (error);
  self->caller = mesh_fixture_join (fixture, calling);
}

static void
scene_clear (Scene *self)
{
  commy_mesh_leave_sync (self->caller, NULL, NULL);
  g_clear_object (&self->caller);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->service);
  g_clear_object (&self->mesh);
  if (self->child != NULL)
    service_child_free (self->child);
}

/* What it is known by there; NULL with @error. */
static char *
ask (CommyClient *client, GError **error)
{
  g_autoptr (GVariant) value
      = commy_client_call_sync (client, "Attributes", NULL, NULL, NULL, error);
  char *text = NULL;

  if (value != NULL)
    g_variant_get_child (value, 0, "s", &text);
  return text;
}

static void
check_known (CommyClient *client, gboolean by_session)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = ask (client, &error);

  g_assert_no_error (error);
  if ((strstr (text, "session=") != NULL) != by_session)
    g_error ("known by \"%s\"", text);
}

/* Asks until it is not let in any more, because it has a used code only. */
static void
await_refused (CommyClient *client)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *text = ask (client, &error);

      if (text == NULL && strstr (error->message, "who this is was not proved") != NULL)
        return;
      if (g_get_monotonic_time () > until)
        g_error ("it did not happen; last: %s", text != NULL ? text : error->message);
      g_main_context_iteration (NULL, FALSE);
    }
}

/* (transfer full): the key of the only session in the store. */
static char *
dup_session_key (Scene *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) found
      = commy_mesh_store_list_sync (self->mesh, COMMY_SESSIONS_PREFIX, NULL, &error);
  g_autoptr (GVariant) entries = NULL;
  g_autoptr (GVariant) entry = NULL;
  char *key = NULL;

  g_assert_no_error (error);
  entries = g_variant_get_child_value (found, 1);
  g_assert_cmpuint (g_variant_n_children (entries), ==, 1);
  entry = g_variant_get_child_value (entries, 0);
  g_assert_true (g_variant_lookup (entry, "key", "^ay", &key));
  return key;
}

/* --- tests --- */

static void
test_honoured (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file
      = g_build_filename (fixture->dir, "state", "test", COMMY_SESSIONS_FILE, NULL);
  Scene scene;

  scene_init (&scene, fixture, "session-key");
  {
    g_autoptr (CommyClient) first = commy_client_new (scene.caller, TEST_SERVICE);
    g_autoptr (CommyClient) second = commy_client_new (scene.caller, OTHER);

    check_known (first, FALSE);
    check_known (second, TRUE);
  }
  /* Also when the one that gave it is gone. */
  service_child_free (g_steal_pointer (&scene.child));
  {
    g_autoptr (CommyClient) third = commy_client_new (scene.caller, OTHER);

    check_known (third, TRUE);
  }
  g_assert_false (g_file_test (file, G_FILE_TEST_EXISTS));
  scene_clear (&scene);
}

static void
test_another_key (MeshFixture *fixture, gconstpointer data)
{
  Scene scene;

  scene_init (&scene, fixture, "another-key");
  {
    g_autoptr (CommyClient) first = commy_client_new (scene.caller, TEST_SERVICE);
    g_autoptr (CommyClient) second = commy_client_new (scene.caller, OTHER);

    check_known (first, FALSE);
    await_refused (second);
  }
  scene_clear (&scene);
}

static void
test_revoked (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *key = NULL;
  Scene scene;

  scene_init (&scene, fixture, "session-key");
  {
    g_autoptr (CommyClient) first = commy_client_new (scene.caller, TEST_SERVICE);
    g_autoptr (CommyClient) second = commy_client_new (scene.caller, OTHER);

    check_known (first, FALSE);
    check_known (second, TRUE);
    key = dup_session_key (&scene);
    g_assert_cmpint (commy_mesh_store_delete_sync (scene.mesh, key, COMMY_STORE_ANY_REVISION,
                                                   COMMY_STORE_WRITE_RESERVED, NULL, &error),
                     >, 0);
    g_assert_no_error (error);
    mesh_fixture_await_log (fixture, "was revoked");
    await_refused (first);
    await_refused (second);
  }
  scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, add_methods, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC)                                                                    \
  g_test_add ("/mesh/shared-sessions/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("honoured-by-another-instance", test_honoured);
  ADD ("not-without-the-key", test_another_key);
  ADD ("revoked-at-all-and-closed", test_revoked);
#undef ADD
  return g_test_run ();
}
