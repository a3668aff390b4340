/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who guesses at one instance has to wait at the others, over the store that they share: one in a
 * process of its own, one in this.
 */
#include "config.h"

#include "auth-scene.h"
#include "fake-scene.h"

#include <commy/commy-mesh-store.h>
#include <string.h>
#include <unistd.h>

#define OTHER "org.example.Other"
#define OFFERS                                                                            \
  SERVER ("require=peercred;token\n")                                                     \
  "[service " OTHER "]\nauth-chain=c\n[policy all]\nprincipals=*\nservices=" TEST_SERVICE \
  ";" OTHER "\nverbs=call;offer\neffect=allow\n[security]\n"
#define LONG "lock-out=10min\nlock-out-longest=10min\n"
#define AT_ANOTHER "failed at another instance"
#define PATIENCE_US (20 * G_USEC_PER_SEC)

typedef struct
{
  MeshFixture *fixture;
  ServiceChild *child; /* offers TEST_SERVICE */
  CommyMesh *mesh;     /* offers OTHER */
  CommyService *service;
  CommyApiKey key;
} Scene;

static void
on_who (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyPrincipal *caller = commy_invocation_get_caller (invocation);

  commy_invocation_return_value (invocation,
                                 g_variant_new ("(s)", commy_principal_get_name (caller)));
}

static void
offer_other (Scene *self, const char *settings)
{
  g_autofree char *all = g_strconcat (OFFERS, settings, NULL);
  g_autoptr (GError) error = NULL;

  self->mesh = mesh_fixture_join (self->fixture, all);
  self->service = commy_service_new (self->mesh, OTHER, NULL);
  commy_service_handle (self->service, "Who", on_who, NULL, NULL);
  commy_service_set_workers (self->service, 1);
  commy_service_start_sync (self->service, NULL, &error);
  g_assert_no_error (error);
}

static void
withdraw_other (Scene *self)
{
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->service);
  g_clear_object (&self->mesh);
}

static void
scene_init (Scene *self, MeshFixture *fixture)
{
  *self = (Scene){ .fixture = fixture };
  auth_make_key (fixture, "build", &self->key);
  mesh_fixture_capture_log (fixture);
  self->child = service_child_start (fixture, OFFERS LONG, 1);
}

static void
scene_clear (Scene *self)
{
  if (self->mesh != NULL)
    withdraw_other (self);
  service_child_free (self->child);
}

/* Asks @service by the good token. NULL: let in; or why not. */
static char *
try_well (Scene *self, const char *service)
{
  g_autofree char *settings = auth_settings_of (self->fixture, &self->key, "unix");
  g_autoptr (GError) error = NULL;
  g_autofree char *text = auth_ask_of (self->fixture, settings, service, "Who", &error);

  return text != NULL ? NULL : g_strdup (error->message);
}

static void
check_let_in (Scene *self, const char *service)
{
  g_autofree char *why = try_well (self, service);

  if (why != NULL)
    g_error ("not let in: %s", why);
}

static void
check_waits (Scene *self, const char *service, const char *words)
{
  g_autofree char *why = try_well (self, service);

  if (why == NULL || strstr (why, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", why != NULL ? why : "let in", words);
}

/* Tries until it is as it should be; @words NULL: let in. */
static void
await (Scene *self, const char *service, const char *words)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autofree char *why = try_well (self, service);

      if (words == NULL ? why == NULL : (why != NULL && strstr (why, words) != NULL))
        return;
      if (g_get_monotonic_time () > until)
        g_error ("it did not happen; last: %s", why != NULL ? why : "let in");
    }
}

/* One wrong guess at the child, as the user that this test is. */
static void
guess (Scene *self)
{
  CommyApiKey wrong = self->key;
  g_autofree char *settings = NULL;

  wrong.secret[0] ^= 1;
  settings = auth_settings_of (self->fixture, &wrong, "unix");
  auth_check_refused (self->fixture, settings, "the log of the side that refuses tells why");
}

/* (transfer full): the one record in the store, once it is there. */
static char *
await_record (Scene *self)
{
  CommyMesh *mesh = mesh_fixture_join (self->fixture, NULL);
  gint64 until = g_get_monotonic_time () + PATIENCE_US;
  char *subject = NULL;

  while (subject == NULL)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) list = commy_mesh_list_denied (mesh, &error);
      g_autoptr (GVariant) record = NULL;

      g_assert_no_error (error);
      g_assert_cmpint (g_get_monotonic_time (), <, until);
      if (g_variant_n_children (list) == 0)
        continue;
      g_assert_cmpuint (g_variant_n_children (list), ==, 1);
      record = g_variant_get_child_value (list, 0);
      g_assert_true (g_variant_lookup (record, "subject", "s", &subject));
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  return subject;
}

/* --- tests --- */

static void
test_honoured (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *source = g_strdup_printf ("/unix:uid=%u", (guint) geteuid ());
  g_autofree char *subject = NULL;
  g_autoptr (GError) error = NULL;
  Scene scene;

  scene_init (&scene, fixture);
  offer_other (&scene, LONG);
  check_let_in (&scene, OTHER);
  guess (&scene);
  /* The token is good: that it is of no use says that nobody looks at it. */
  await (&scene, OTHER, AT_ANOTHER);
  check_waits (&scene, TEST_SERVICE, "the next one may come in");
  /* One that comes later knows it, too. */
  withdraw_other (&scene);
  offer_other (&scene, LONG);
  check_waits (&scene, OTHER, AT_ANOTHER);
  subject = await_record (&scene);
  g_assert_true (g_str_has_suffix (subject, source));
  /* It is lifted at all of them. */
  g_assert_false (commy_mesh_deny (scene.mesh, subject, "", 0, NULL));
  g_assert_true (commy_mesh_allow (scene.mesh, subject, &error));
  g_assert_no_error (error);
  await (&scene, OTHER, NULL);
  await (&scene, TEST_SERVICE, NULL);
  scene_clear (&scene);
}

/* What is open was proved, and goes on. */
static void
test_open (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  Scene scene;

  scene_init (&scene, fixture);
  offer_other (&scene, LONG);
  settings = auth_settings_of (fixture, &scene.key, "unix");
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, OTHER);
  answer = commy_client_call_sync (client, "Who", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_clear_pointer (&answer, g_variant_unref);
  guess (&scene);
  await (&scene, OTHER, AT_ANOTHER);
  answer = commy_client_call_sync (client, "Who", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  scene_clear (&scene);
}

static void
test_not_believed (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *subject = NULL;
  Scene scene;

  scene_init (&scene, fixture);
  guess (&scene);
  subject = await_record (&scene);
  offer_other (&scene, LONG "lock-out-shared=false\n");
  check_let_in (&scene, OTHER);
  check_waits (&scene, TEST_SERVICE, "the next one may come in");
  scene_clear (&scene);
}

/* With the instance goes what it told: nothing of it stays in the store. */
static void
test_gone (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *subject = NULL;
  g_autoptr (GVariant) list = NULL;
  g_autoptr (GError) error = NULL;
  Scene scene;

  scene_init (&scene, fixture);
  guess (&scene);
  subject = await_record (&scene);
  service_child_free (g_steal_pointer (&scene.child));
  offer_other (&scene, LONG);
  list = commy_mesh_list_denied (scene.mesh, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (list), ==, 0);
  check_let_in (&scene, OTHER);
  withdraw_other (&scene);
}

/* A record that anybody might have written who may write there. */
static void
put (CommyMesh *mesh, const char *key, const char *text)
{
  g_autoptr (GBytes) value = g_bytes_new (text, strlen (text));
  g_autoptr (GError) error = NULL;

  commy_mesh_store_put_sync (mesh, key, value, COMMY_STORE_ANY_REVISION, COMMY_STORE_WRITE_RESERVED,
                             NULL, &error);
  g_assert_no_error (error);
}

static void
test_spoilt (MeshFixture *fixture, gconstpointer data)
{
  static const char *const spoilt[]
      = { "",
          "denied",
          "{'reason': <'x'>}",
          "{'reason': <'x'>, 'until': <int64 0>}",
          "{'reason': <'x'>, 'until': <int64 99999999999>}",
          "{'reason': <'x'>, 'until': <int64 1>, 'failures': <uint32 9>, 'by': <'n'>}",
          "{'reason': <'x'>, 'until': <int64 -1>, 'failures': <uint32 9>, 'by': <'n'>}" };
  g_autofree char *key = NULL;
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  Scene scene;

  scene_init (&scene, fixture);
  guess (&scene);
  {
    g_autofree char *subject = await_record (&scene);

    key = g_strconcat ("denied/", subject, NULL);
  }
  service_child_free (g_steal_pointer (&scene.child));
  for (gsize i = 0; i < G_N_ELEMENTS (spoilt); i++)
    {
      put (mesh, key, spoilt[i]);
      offer_other (&scene, LONG);
      check_let_in (&scene, OTHER);
      withdraw_other (&scene);
    }
  /* No longer than an instance would have anybody wait. */
  put (mesh, key,
       "{'reason': <'x'>, 'until': <int64 99999999999>, 'failures': <uint32 9>, 'by': <'n'>}");
  offer_other (&scene, "lock-out=100ms\nlock-out-longest=100ms\n");
  await (&scene, OTHER, NULL);
  withdraw_other (&scene);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
}

/* --- steps that prove nothing --- */

/* Takes part in the steps of chatty, which nobody needs, with one @word. Whether that is welcome.
 */
static gboolean
take_part (FakeScene *scene, const char *word)
{
  static char *const chatty[] = { (char *) "chatty", NULL };
  CommyHello hello = { .service = (char *) TEST_SERVICE,
                       .instance = scene->child->instance,
                       .auth = (char **) chatty,
                       .auth_wants = (char **) chatty };
  const CommyFrameSpec last = { .type = COMMY_FRAME_AUTH, .stream = 1, .method = 1 };
  FakeClient *fake = fake_scene_connect (scene, "unix");
  CommyFrame frame;
  guint n = 0;

  fake_client_greet (fake, &hello);
  for (;;)
    {
      g_autofree char *text = NULL;

      g_assert_true (fake_client_receive (fake, &frame, &text));
      if (frame.type != COMMY_FRAME_AUTH)
        break;
      if (n++ == 0)
        {
          g_assert_cmpstr (text, ==, "chatty");
          fake_client_send_frame (fake, &last, word, 1);
        }
    }
  fake_client_free (fake);
  g_assert_true (frame.type == COMMY_FRAME_WELCOME || frame.type == COMMY_FRAME_CLOSE);
  return frame.type == COMMY_FRAME_WELCOME;
}

static char *
dup_reason (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = commy_mesh_list_denied (mesh, &error);
  g_autoptr (GVariant) record = NULL;
  char *reason = NULL;

  g_assert_no_error (error);
  if (g_variant_n_children (list) == 0)
    return NULL;
  record = g_variant_get_child_value (list, 0);
  g_assert_true (g_variant_lookup (record, "reason", "s", &reason));
  return reason;
}

/* Between two guesses somebody lets himself be asked, and says nothing: he has failed twice. */
static void
test_nothing_proved (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings
      = auth_chatty_settings (fixture, "later", "[security]\nlock-out-longest=10min\n");
  FakeScene *scene = fake_scene_new (fixture, "unix", settings, 0, fake_scene_check_add);
  gint64 until = g_get_monotonic_time () + PATIENCE_US;
  g_autofree char *reason = NULL;

  g_assert_false (take_part (scene, "g"));
  while (!take_part (scene, "s"))
    g_assert_cmpint (g_get_monotonic_time (), <, until);
  g_assert_false (take_part (scene, "g"));
  while (reason == NULL || strstr (reason, "2 in a row") == NULL)
    {
      if (g_get_monotonic_time () > until)
        g_error ("it is not the second failure: %s", reason != NULL ? reason : "none is told");
      g_free (reason);
      reason = dup_reason (scene->mesh);
    }
  fake_scene_free (scene);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC)                                                              \
  g_test_add ("/mesh/lock-outs/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  /* attack: guess at one instance after the other; defence: who has to wait at one waits at all;
   * test: /mesh/lock-outs/honoured-at-another-instance-and-lifted */
  ADD ("honoured-at-another-instance-and-lifted", test_honoured);
  ADD ("what-is-open-goes-on", test_open);
  ADD ("not-where-they-are-not-shared", test_not_believed);
  ADD ("gone-with-the-instance", test_gone);
  ADD ("a-spoilt-record-locks-nobody-out-for-good", test_spoilt);
  /* attack: take part in a provider's steps between two guesses at it, and prove nothing; defence:
   * only a proof forgives; test: /mesh/lock-outs/who-proves-nothing-has-nothing-forgiven */
  ADD ("who-proves-nothing-has-nothing-forgiven", test_nothing_proved);
#undef ADD
  return g_test_run ();
}
