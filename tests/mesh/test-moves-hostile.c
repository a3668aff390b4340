/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers that want to go on with a flow that is not theirs, or not where it stands. The flow's
 * owner notices nothing, or its flow ends; nothing else does.
 */
#include "config.h"

#include "fake-scene.h"

#include <commy/commy-audit.h>

#ifdef HAVE_GNUTLS
#include "auth/common/commy-pki.h"
#endif

#include <string.h>

#define STORM 60u
#define EVERYBODY                                                \
  "[limits]\nhandshake-timeout=60s\nresume-within=60s\n[policy " \
  "all]\nprincipals=*\nservices=*\neffect=allow\n"

typedef struct
{
  ServiceChild *child;
  CommyMesh *mesh;
  char *credentials;
  FakeClient *owner; /* of the flow */
  CommyFlowName flow;
} Scene;

static FakeClient *
connect_fake (Scene *scene, const char *transport, const char *credentials)
{
  FakeClient *fake = fake_client_new (transport, credentials);
  g_autofree char *address = fake_scene_find_address (scene->mesh, transport);
  g_autoptr (GError) error = NULL;

  fake_client_connect (fake, address, &error);
  g_assert_no_error (error);
  return fake;
}

/* The WELCOME that comes next. */
static CommyHello
welcome (FakeClient *fake)
{
  g_autoptr (GBytes) payload = NULL;
  g_autoptr (GError) error = NULL;
  CommyHello hello = { 0 };
  CommyFrame frame;

  g_assert_true (fake_client_receive_bytes (fake, &frame, &payload));
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_WELCOME);
  commy_hello_read (g_bytes_get_data (payload, NULL), g_bytes_get_size (payload), &hello, &error);
  g_assert_no_error (error);
  return hello;
}

static Scene *
scene_new (MeshFixture *fixture)
{
  Scene *scene = g_new0 (Scene, 1);
  CommyHello hello = { .service = (char *) TEST_SERVICE, .features = COMMY_FEATURE_MOVES };
  CommyHello answer;

  mesh_fixture_make_credentials (fixture);
  scene->credentials = g_build_filename (fixture->dir, "state", "test", "pki", NULL);
  scene->child = service_child_start (fixture, EVERYBODY, 0);
  scene->mesh = mesh_fixture_join (fixture, NULL);
  scene->owner = connect_fake (scene, "unix", scene->credentials);
  hello.instance = scene->child->instance;
  fake_client_greet (scene->owner, &hello);
  answer = welcome (scene->owner);
  g_assert_true (answer.features & COMMY_FEATURE_MOVES);
  scene->flow = answer.flow;
  g_assert_cmpuint (scene->flow.id, !=, 0);
  commy_hello_clear (&answer);
  return scene;
}

static void
scene_free (Scene *scene)
{
  fake_client_free (scene->owner);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_object_unref (scene->mesh);
  service_child_free (scene->child);
  g_free (scene->credentials);
  g_free (scene);
}

static void
ask_to_resume (FakeClient *fake, Scene *scene, const CommyFlowName *flow, guint32 number)
{
  CommyHello hello = { .service = (char *) TEST_SERVICE,
                       .instance = scene->child->instance,
                       .has_resume = TRUE,
                       .resume = *flow,
                       .resume_number = number };

  fake_client_greet (fake, &hello);
}

/* Goes on with the flow on a new path, having received @received. */
static FakeClient *
resume (Scene *scene, guint32 number, guint32 received)
{
  FakeClient *fake = connect_fake (scene, "unix", scene->credentials);
  CommyFrameSpec ack = { .type = COMMY_FRAME_ACK, .ack = received };
  CommyHello answer;

  ask_to_resume (fake, scene, &scene->flow, number);
  answer = welcome (fake);
  g_assert_true (answer.has_resume);
  g_assert_cmpuint (answer.resume_number, ==, number);
  commy_hello_clear (&answer);
  fake_client_send_frame (fake, &ack, NULL, 0);
  return fake;
}

static void
check_alive (FakeClient *fake)
{
  CommyFrameSpec ping = { .type = COMMY_FRAME_PING, .stream = 77 };
  g_autofree char *text = NULL;
  CommyFrame frame;

  fake_client_send_frame (fake, &ping, NULL, 0);
  g_assert_true (fake_client_receive (fake, &frame, &text));
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_PONG);
  g_assert_cmpuint (frame.stream, ==, 77);
}

/* A call whose answer is @answer. */
static void
call_pid (FakeClient *fake, guint32 sequence, guint32 ack, CommyFrame *answer)
{
  CommyFrameSpec method = {
    .type = COMMY_FRAME_METHOD, .flags = COMMY_FRAME_FLAG_ORDERED, .method = 1, .sequence = sequence
  };
  CommyFrameSpec call = { .type = COMMY_FRAME_CALL,
                          .flags = COMMY_FRAME_FLAG_ORDERED,
                          .serializer = fake_client_wire_of (fake, "gvariant"),
                          .stream = 5,
                          .method = 1,
                          .sequence = sequence + 1,
                          .ack = ack,
                          .signature = "()",
                          .signature_size = 2 };
  g_autofree char *text = NULL;

  fake_client_send_frame (fake, &method, "Pid", 3);
  fake_client_send_frame (fake, &call, "", 1);
  g_assert_true (fake_client_receive (fake, answer, &text));
  g_assert_cmpint (answer->type, ==, COMMY_FRAME_REPLY);
}

/* --- whose flow it is --- */

static void
expect_stranger (Scene *scene, const CommyFlowName *flow)
{
  FakeClient *fake = connect_fake (scene, "unix", scene->credentials);

  ask_to_resume (fake, scene, flow, 1);
  fake_client_expect_close (fake, COMMY_ERROR_REFUSED, "there is no such flow");
  fake_client_free (fake);
  check_alive (scene->owner);
}

static void
test_wrong_names (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  CommyFlowName flow;

  for (guint i = 0; i < sizeof flow.secret; i += sizeof flow.secret - 1)
    {
      flow = scene->flow;
      flow.secret[i] ^= 1;
      expect_stranger (scene, &flow);
    }
  flow = scene->flow;
  flow.id ^= 2;
  expect_stranger (scene, &flow);
  flow.id = 0;
  expect_stranger (scene, &flow);
  scene_free (scene);
}

/* Right secret, but not the node that the flow was set up with. */
static void
test_other_node (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  FakeClient *fake = connect_fake (scene, "unix", scene->credentials);
  CommyHello hello = { .service = (char *) TEST_SERVICE,
                       .instance = scene->child->instance,
                       .node = (char *) "ffffffffffffffffffffffffffffffff",
                       .has_resume = TRUE,
                       .resume = scene->flow,
                       .resume_number = 1 };

  fake_client_greet (fake, &hello);
  fake_client_expect_close (fake, COMMY_ERROR_REFUSED, "there is no such flow");
  fake_client_free (fake);
  check_alive (scene->owner);
  scene_free (scene);
}

#ifdef HAVE_GNUTLS
/* Right secret and node, and a certificate of the same authority for another user. */
static void
test_other_principal (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  g_autofree char *dir = g_build_filename (fixture->dir, "mallory", NULL);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (scene->credentials, &error);
  g_autoptr (CommyPkiPair) pair = NULL;
  FakeClient *fake;

  g_assert_no_error (error);
  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  pair = commy_pki_issue (authority, "testhost", "mallory", now - 60, now + 86400, &error);
  g_assert_no_error (error);
  commy_pki_pair_save (pair, authority, dir, &error);
  g_assert_no_error (error);
  fake = connect_fake (scene, "tls", dir);
  ask_to_resume (fake, scene, &scene->flow, 1);
  fake_client_expect_close (fake, COMMY_ERROR_REFUSED, "another peer than the flow's");
  fake_client_free (fake);
  check_alive (scene->owner);
  scene_free (scene);
}
#endif

/* --- what it may do there --- */

#ifdef HAVE_GNUTLS
#define NODE "org.commy.Node1"
#define RULES                                                                     \
  "[audit]\nenabled=true\n[policy all]\nprincipals=*\nservices=*\neffect=allow\n" \
  "[policy hands-off]\nverbs=control\noperations=*\neffect=deny\nprincipals="

static char *
dup_node (Scene *scene)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (scene->mesh, NODE, NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (all, i);
      const char *node = "", *id = "";

      g_assert_true (g_variant_lookup (record, "node", "&s", &node));
      g_assert_true (g_variant_lookup (record, "instance", "&s", &id));
      if (strcmp (node, commy_mesh_get_node_id (scene->mesh)) != 0)
        return g_strdup (id);
    }
  g_assert_not_reached ();
}

typedef struct
{
  CommyFlowName name;
  guint32 moves, sent, received;
} Flow;

/* A path to the node that serves; on it goes on what was begun, if @flow is something. */
static FakeClient *
connect_to_node (Scene *scene, const char *transport, Flow *flow)
{
  FakeClient *fake = connect_fake (scene, transport, scene->credentials);
  CommyFrameSpec ack = { .type = COMMY_FRAME_ACK, .ack = flow->received };
  g_autofree char *instance = dup_node (scene);
  CommyHello hello
      = { .service = (char *) NODE, .instance = instance, .features = COMMY_FEATURE_MOVES };
  CommyHello answer;

  if (flow->name.id != 0)
    {
      hello.has_resume = TRUE;
      hello.resume = flow->name;
      hello.resume_number = ++flow->moves;
    }
  fake_client_greet (fake, &hello);
  answer = welcome (fake);
  if (flow->name.id == 0)
    flow->name = answer.flow;
  else
    fake_client_send_frame (fake, &ack, NULL, 0);
  commy_hello_clear (&answer);
  return fake;
}

/* 0, or why the policy is not read again. */
static guint32
ask_for_reload (FakeClient *fake, Flow *flow)
{
  CommyFrameSpec method = { .type = COMMY_FRAME_METHOD,
                            .flags = COMMY_FRAME_FLAG_ORDERED,
                            .method = 1,
                            .sequence = flow->sent + 1 };
  CommyFrameSpec call = { .type = COMMY_FRAME_CALL,
                          .flags = COMMY_FRAME_FLAG_ORDERED,
                          .serializer = fake_client_wire_of (fake, "gvariant"),
                          .stream = 5 + flow->sent,
                          .method = 1,
                          .sequence = flow->sent + (flow->sent == 0 ? 2 : 1),
                          .ack = flow->received,
                          .signature = "()",
                          .signature_size = 2 };
  g_autofree char *text = NULL;
  CommyFrame answer;

  if (flow->sent == 0)
    fake_client_send_frame (fake, &method, "ReloadPolicy", strlen ("ReloadPolicy"));
  flow->sent = call.sequence;
  fake_client_send_frame (fake, &call, "", 1);
  g_assert_true (fake_client_receive (fake, &answer, &text));
  flow->received = answer.sequence;
  if (answer.type == COMMY_FRAME_REPLY)
    return 0;
  g_assert_cmpint (answer.type, ==, COMMY_FRAME_ERROR);
  return answer.method;
}

static gboolean
find_control (GVariant *record, gpointer data)
{
  const char *type = "", *outcome = "", *principal = "", *transport = "", *peer = "";

  g_variant_lookup (record, "type", "&s", &type);
  g_variant_lookup (record, "outcome", "&s", &outcome);
  g_variant_lookup (record, "principal", "&s", &principal);
  g_variant_lookup (record, "transport", "&s", &transport);
  g_variant_lookup (record, "peer", "&s", &peer);
  if (strcmp (type, "control") == 0)
    g_string_append_printf (data, "%s %s %.4s %.4s;", outcome, transport, principal, peer);
  return TRUE;
}

/* @data: whose control is denied. The flow begins on a Unix socket, goes to TLS and comes back. */
static void
test_control (MeshFixture *fixture, gconstpointer data)
{
  gboolean by_certificate = strcmp (data, "spiffe://*") == 0;
  g_autofree char *rules = g_strconcat (RULES, data, "\n", NULL);
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "policy.conf", rules);
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", "audit", NULL);
  g_autoptr (GString) seen = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  Scene *scene = scene_new (fixture);
  Flow flow = { 0 };
  FakeClient *fake[3];

  g_assert_nonnull (file);
  fake[0] = connect_to_node (scene, "unix", &flow);
  g_assert_cmpuint (ask_for_reload (fake[0], &flow), ==, by_certificate ? 0 : COMMY_ERROR_DENIED);
  fake_client_hang_up (fake[0]);
  fake[1] = connect_to_node (scene, "tls", &flow);
  g_assert_cmpuint (ask_for_reload (fake[1], &flow), ==, COMMY_ERROR_DENIED);
  fake_client_hang_up (fake[1]);
  fake[2] = connect_to_node (scene, "unix", &flow);
  g_assert_cmpuint (ask_for_reload (fake[2], &flow), ==, by_certificate ? 0 : COMMY_ERROR_DENIED);
  for (guint i = 0; i < G_N_ELEMENTS (fake); i++)
    fake_client_free (fake[i]);
  scene_free (scene);
  g_assert_true (commy_audit_read (dir, find_control, seen, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (seen->str, ==,
                   by_certificate ? "allowed unix unix ;denied tls spif unix;allowed unix unix ;"
                                  : "denied unix unix ;denied tls spif unix;denied unix unix ;");
}
#endif

/* --- where it stands --- */

static void
test_goes_on (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  g_autofree char *text = NULL;
  CommyFrame first, again;
  FakeClient *fake;

  call_pid (scene->owner, 1, 0, &first);
  fake_client_hang_up (scene->owner);
  /* The answer "did not arrive": it comes once more, and then the flow goes on. */
  fake = resume (scene, 1, first.sequence - 1);
  g_assert_true (fake_client_receive (fake, &again, &text));
  g_assert_cmpint (again.type, ==, COMMY_FRAME_REPLY);
  g_assert_cmpuint (again.stream, ==, first.stream);
  g_assert_cmpuint (again.sequence, ==, first.sequence);
  check_alive (fake);
  fake_client_free (fake);
  scene_free (scene);
}

static void
test_number_again (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  FakeClient *right = resume (scene, 3, 0);

  check_alive (right);
  for (guint32 number = 2; number <= 3; number++)
    {
      FakeClient *fake = connect_fake (scene, "unix", scene->credentials);

      ask_to_resume (fake, scene, &scene->flow, number);
      fake_client_expect_close (fake, COMMY_ERROR_REFUSED, "the flow has moved on since");
      fake_client_free (fake);
      check_alive (right);
    }
  fake_client_free (right);
  scene_free (scene);
}

static void
test_from_the_future (MeshFixture *fixture, gconstpointer data)
{
  static const guint32 sequences[] = { 2, 1000, G_MAXINT32 };

  for (guint i = 0; i < G_N_ELEMENTS (sequences); i++)
    {
      FakeClient *fake;
      CommyFrame answer;
      Scene *scene;

      if (i > 0)
        {
          mesh_fixture_tear_down (fixture, NULL);
          memset (fixture, 0, sizeof *fixture);
          mesh_fixture_set_up (fixture, NULL);
        }
      scene = scene_new (fixture);
      call_pid (scene->owner, 1, 0, &answer);
      g_assert_cmpuint (answer.sequence, ==, 1);
      fake = resume (scene, 1, sequences[i]);
      fake_client_expect_close (fake, COMMY_ERROR_PROTOCOL, "the flow cannot go on");
      fake_client_free (fake);
      scene_free (scene);
    }
}

/* What was acknowledged is gone, and nobody gets it a second time. */
static void
test_takes_back (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  CommyFrameSpec ack = { .type = COMMY_FRAME_ACK, .ack = 1 };
  CommyFrame answer;
  FakeClient *fake;

  call_pid (scene->owner, 1, 0, &answer);
  fake_client_send_frame (scene->owner, &ack, NULL, 0);
  check_alive (scene->owner);
  fake = resume (scene, 1, 0);
  fake_client_expect_close (fake, COMMY_ERROR_PROTOCOL, "the flow cannot go on");
  fake_client_free (fake);
  scene_free (scene);
}

static void
test_no_ack (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  FakeClient *fake = connect_fake (scene, "unix", scene->credentials);
  CommyFrameSpec ping = { .type = COMMY_FRAME_PING, .stream = 1 };
  CommyHello answer;
  FakeClient *right;

  ask_to_resume (fake, scene, &scene->flow, 1);
  answer = welcome (fake);
  commy_hello_clear (&answer);
  fake_client_send_frame (fake, &ping, NULL, 0);
  fake_client_expect_close (fake, COMMY_ERROR_PROTOCOL, "before the end of set-up");
  fake_client_free (fake);
  right = resume (scene, 2, 0);
  check_alive (right);
  fake_client_free (right);
  scene_free (scene);
}

/* Many that begin and do not end, some of them all at once: the flow survives them. */
static void
test_storm (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture);
  FakeClient *open[8] = { NULL };
  CommyFrame answer;
  FakeClient *right;

  call_pid (scene->owner, 1, 0, &answer);
  for (guint32 i = 1; i <= STORM; i++)
    {
      FakeClient **at = &open[i % G_N_ELEMENTS (open)];

      g_clear_pointer (at, fake_client_free);
      *at = connect_fake (scene, "unix", scene->credentials);
      ask_to_resume (*at, scene, &scene->flow, i);
      if (i % 3 == 0)
        {
          CommyHello hello = welcome (*at);

          commy_hello_clear (&hello);
        }
    }
  right = resume (scene, STORM + 1, answer.sequence);
  check_alive (right);
  fake_client_free (right);
  for (guint i = 0; i < G_N_ELEMENTS (open); i++)
    g_clear_pointer (&open[i], fake_client_free);
  scene_free (scene);
}

#define CASE(NAME, FUNC)                                                                 \
  g_test_add ("/mesh/moves-hostile/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  CASE ("a-wrong-name-or-secret-finds-no-flow", test_wrong_names);
  CASE ("another-node-finds-no-flow", test_other_node);
#ifdef HAVE_GNUTLS
  CASE ("another-principal-does-not-get-the-flow", test_other_principal);
#endif
#ifdef HAVE_GNUTLS
  /* attack: move a flow to a path on which one's name may do less; defence: the names of the set-up
   * and of the path are both asked */
  g_test_add ("/mesh/moves-hostile/control-is-denied-by-the-name-on-the-path", MeshFixture,
              "spiffe://*", mesh_fixture_set_up, test_control, mesh_fixture_tear_down);
  g_test_add ("/mesh/moves-hostile/control-is-denied-by-the-name-of-the-set-up", MeshFixture,
              "unix:*", mesh_fixture_set_up, test_control, mesh_fixture_tear_down);
#endif
  CASE ("what-did-not-arrive-comes-again", test_goes_on);
  CASE ("a-move-is-not-made-twice", test_number_again);
  CASE ("a-sequence-from-the-future-ends-the-flow", test_from_the_future);
  CASE ("what-was-acknowledged-is-not-sent-again", test_takes_back);
  CASE ("only-an-acknowledgement-ends-the-set-up", test_no_ack);
  CASE ("a-storm-of-moves-does-no-harm", test_storm);
  return g_test_run ();
}
