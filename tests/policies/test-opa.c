/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A policy engine that is asked over HTTP: what is asked and what counts as an answer, over every
 * transport; calls that wait for it; what becomes of them when it lies, is silent or changes its
 * mind; and the real one, where it is installed.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "opa-puppet.h"
#include "policies/opa/commy-opa-codec.h"
#include "stream-handlers.h"
#include "stream-scene.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>

#define NODE "org.commy.Node1"
#define YES "{\"result\":true}"
#define NO "{\"result\":{\"allow\":false,\"reason\":\"not on Sundays\"}}"
#define ASK(METHODS)                                                          \
  "[policy asked]\nprincipals=*\nservices=" TEST_SERVICE "\nmethods=" METHODS \
  "\neffect=allow\nask=engine\n"

/* --- words --- */

static void
test_answers (void)
{
  static const struct
  {
    const char *text;
    CommyPolicyAnswer answer;
    const char *reason;
  } cases[] = {
    { YES, COMMY_POLICY_ALLOWED, NULL },
    { "{\"result\":false}", COMMY_POLICY_DENIED, NULL },
    { "{\"decision_id\":\"7\",\"result\":{\"allow\":true,\"reason\":\"r\",\"more\":[1]}}",
      COMMY_POLICY_ALLOWED, "r" },
    { NO, COMMY_POLICY_DENIED, "not on Sundays" },
    { "{}", COMMY_POLICY_DENIED, "nothing is defined at that path" },
    { "{\"result\":{}}", COMMY_POLICY_DENIED, "its result says nothing of allow" },
    { "{\"result\":{\"allow\":\"true\"}}", COMMY_POLICY_UNABLE, "neither true nor false" },
    { "{\"result\":1}", COMMY_POLICY_UNABLE, "neither true nor false" },
    { "{\"result\":\"true\"}", COMMY_POLICY_UNABLE, "neither true nor false" },
    { "{\"result\":null}", COMMY_POLICY_UNABLE, "neither true nor false" },
    { "{\"result\":[true]}", COMMY_POLICY_UNABLE, "neither true nor false" },
    { "{\"result\":false,\"result\":true}", COMMY_POLICY_UNABLE, "no JSON object" },
    { "{\"result\":true}x", COMMY_POLICY_UNABLE, "no JSON object" },
    { "true", COMMY_POLICY_UNABLE, "no JSON object" },
    { "", COMMY_POLICY_UNABLE, "no JSON object" },
    { "{\"a\":[[[[[[[[[[[]]]]]]]]]]],\"result\":true}", COMMY_POLICY_UNABLE, "no JSON object" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *reason = NULL;

      g_test_message ("%s", cases[i].text);
      g_assert_cmpint (opa_read (cases[i].text, strlen (cases[i].text), &reason), ==,
                       cases[i].answer);
      if (cases[i].reason == NULL)
        g_assert_null (reason);
      else
        g_assert_nonnull (strstr (reason, cases[i].reason));
    }
}

static void
test_question (void)
{
  const CommyPolicyQuery query = { .struct_size = sizeof query,
                                   .principal = "a\"\\\n\x7f\xc3\xa4",
                                   .verb = "call",
                                   .service = "s",
                                   .method = "m",
                                   .where = "network",
                                   .address = "10.1.2.3",
                                   .security = COMMY_SECURITY_MUTUAL };
  g_autofree char *text = opa_write (&query);

  g_assert_cmpstr (text, ==,
                   "{\"input\":{\"principal\":\"a\\\"\\\\\\u000a\x7f\xc3\xa4\",\"own\":false,"
                   "\"verb\":\"call\",\"service\":\"s\",\"method\":\"m\",\"where\":\"network\","
                   "\"address\":\"10.1.2.3\",\"security\":\"mutual\",\"confidential\":true}}");
  g_assert_null (opa_path_why_not ("commy/allow"));
  g_assert_nonnull (opa_path_why_not (""));
  g_assert_nonnull (opa_path_why_not ("/commy"));
  g_assert_nonnull (opa_path_why_not ("a//b"));
  g_assert_nonnull (opa_path_why_not ("a/../b"));
  g_assert_nonnull (opa_path_why_not ("a?b"));
}

/* --- the scene --- */

typedef struct
{
  OpaPuppet *opa;
  char *keyfile; /* path */
  Scene *scene;
} Stage;

static char *
write_keyfile (OpaPuppet *opa, const char *rules, const char *security)
{
  return g_strdup_printf ("[security]\npolicy-engine=opa\n%s[plugin policy/opa]\nparam.url=%s\n"
                          "param.insecure-loopback=true\n%s",
                          security, opa_puppet_get_url (opa), rules);
}

static void
stage_init (Stage *self,
            MeshFixture *fixture,
            const char *transport,
            const char *rules,
            const char *security)
{
  g_autofree char *text = NULL;

  self->opa = opa_puppet_new ();
  opa_puppet_answer (self->opa, NULL, YES, 1);
  text = write_keyfile (self->opa, rules, security);
  self->keyfile = mesh_fixture_use_keyfile (fixture, "policy.conf", text);
  self->scene = scene_new (fixture, transport, 1, NULL);
}

static void
stage_clear (Stage *self)
{
  opa_puppet_hold (self->opa, FALSE);
  scene_free (self->scene);
  opa_puppet_free (self->opa);
  g_free (self->keyfile);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Stage, stage_clear)

static CommyClient *
node_client_new (Stage *self)
{
  CommyMesh *mesh = self->scene->mesh;
  CommyClient *client = commy_client_new (mesh, NODE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, NODE, NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (all, i);
      const char *node = "", *id = "";

      g_variant_lookup (instance, "node", "&s", &node);
      g_variant_lookup (instance, "instance", "&s", &id);
      if ((strcmp (node, commy_mesh_get_node_id (mesh)) != 0) == (self->scene->child != NULL))
        commy_client_set_instance (client, id);
    }
  return client;
}

/* The node that serves reads its keyfiles again, and forgets what the engine said. */
static gboolean
reload (Stage *self, GError **error)
{
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) answer = NULL;

  if (self->scene->child == NULL)
    return commy_mesh_reload_policy (self->scene->mesh, error);
  client = node_client_new (self);
  answer = commy_client_call_sync (client, "ReloadPolicy", NULL, NULL, NULL, error);
  return answer != NULL;
}

static void
reload_well (Stage *self)
{
  g_autoptr (GError) error = NULL;

  reload (self, &error);
  g_assert_no_error (error);
}

/* NULL: it may. (transfer full) */
static char *
denial_of (Stage *self, const char *method)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_client_call_sync (self->scene->client, method, NULL, NULL, NULL, &error);

  if (value != NULL)
    return NULL;
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DENIED);
  return g_strdup (error->message);
}

static void
expect_denial (Stage *self, const char *method, const char *words)
{
  g_autofree char *denial = denial_of (self, method);

  g_assert_nonnull (denial);
  g_test_message ("%s", denial);
  g_assert_nonnull (strstr (denial, words));
}

static void
expect_allowed (Stage *self, const char *method)
{
  g_autofree char *denial = denial_of (self, method);

  g_assert_cmpstr (denial, ==, NULL);
}

/* --- decisions --- */

static void
test_decides (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  g_autofree char *question = NULL;
  guint asked;

  stage_init (&stage, fixture, transport, ASK ("Pid;Who"), "policy-engine-cache=1h\n");
  g_assert_cmpuint (opa_puppet_get_asked (stage.opa), ==, 0);
  expect_allowed (&stage, "Pid");
  expect_allowed (&stage, "Pid");
  g_assert_cmpuint (opa_puppet_get_asked (stage.opa), ==, 1);
  question = opa_puppet_dup_question (stage.opa);
  g_test_message ("%s", question);
  g_assert_true (
      g_str_has_prefix (question, "POST /v1/data/commy/allow {\"input\":{\"principal\""));
  g_assert_nonnull (strstr (question, "\"own\":true"));
  g_assert_nonnull (strstr (question, "\"verb\":\"call\",\"service\":\"" TEST_SERVICE
                                      "\",\"method\":\"Pid\",\"where\":"));
  if (strcmp (transport, "tls") == 0)
    g_assert_nonnull (strstr (question, "\"where\":\"network\",\"address\":\"127.0.0.1\","
                                        "\"security\":\"mutual\",\"confidential\":true"));
  else
    g_assert_nonnull (strstr (question, "\"where\":\"local\",\"security\""));
  /* Each method is a question of its own; what no rule asks about is none. */
  opa_puppet_answer (stage.opa, NULL, NO, 1);
  expect_denial (&stage, "Who", "(engine opa: not on Sundays)");
  expect_denial (&stage, "Who", "(engine opa: not on Sundays)");
  expect_allowed (&stage, "Counted");
  asked = opa_puppet_get_asked (stage.opa);
  g_assert_cmpuint (asked, ==, 2);
  /* What was said counts until it is forgotten. */
  expect_allowed (&stage, "Pid");
  reload_well (&stage);
  expect_denial (&stage, "Pid", "not on Sundays");
  g_assert_cmpuint (opa_puppet_get_asked (stage.opa), ==, 3);
}

/* What the table denies is denied without a question; what is on trial is asked, and let pass. */
static void
test_narrows (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  stage_init (&stage, fixture, transport,
              ASK ("*") "[policy last]\nprincipals=*\nmethods=Who\neffect=deny\n", "");
  expect_denial (&stage, "Who", "policy.conf:");
  g_assert_cmpuint (opa_puppet_get_asked (stage.opa), ==, 0);
  expect_allowed (&stage, "Pid");
  text = write_keyfile (stage.opa, ASK ("*"), "policy-mode=observe\n");
  g_assert_true (g_file_set_contents (stage.keyfile, text, -1, NULL));
  opa_puppet_answer (stage.opa, NULL, NO, 1);
  reload_well (&stage);
  expect_allowed (&stage, "Pid");
  g_assert_cmpuint (opa_puppet_get_asked (stage.opa), ==, 2);
  g_assert_true (g_file_set_contents (stage.keyfile, "[commy]\n", -1, NULL));
  g_assert_false (reload (&stage, &error));
  g_assert_nonnull (strstr (error->message, "policy-engine= is another one than runs (opa)"));
  expect_allowed (&stage, "Pid");
}

/* --- no decision --- */

#define HEAD(STATUS, REST) "HTTP/1.1 " STATUS "\r\nConnection: close\r\n" REST "\r\n"

static void
test_nonsense (MeshFixture *fixture, gconstpointer transport)
{
  static const struct
  {
    const char *head, *body;
    guint repeat;
    const char *words;
  } cases[] = {
    { HEAD ("500 Oh", ""), YES, 1, "status 500" },
    { HEAD ("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n"), YES, 1, "status 401" },
    { HEAD ("302 Found", "Location: /v1/data/yes\r\n"), YES, 1, "status 302" },
    { HEAD ("200 OK", "Content-Encoding: gzip\r\n"), YES "x", 1, "no JSON object" },
    { NULL, "true or false", 1, "no JSON object" },
    { NULL, "{\"result\":1}", 1, "neither true nor false" },
    { NULL, YES "                                                                ", 1024,
      "more than 16384 bytes" },
    { NULL, NULL, 0, "gives no decision" },
    { "HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n", YES, 1, "gives no decision" },
    { "nonsense\r\n\r\n", NULL, 1, "gives no decision" },
  };
  g_auto (Stage) stage = { NULL };

  stage_init (&stage, fixture, transport, ASK ("Pid"), "policy-engine-timeout=500ms\n");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      opa_puppet_answer (stage.opa, cases[i].head, cases[i].body, cases[i].repeat);
      reload_well (&stage);
      expect_denial (&stage, "Pid", cases[i].words);
      expect_denial (&stage, "Pid", "engine opa gives no decision");
    }
  g_assert_cmpuint (opa_puppet_get_asked (stage.opa), >=, G_N_ELEMENTS (cases));
  opa_puppet_answer (stage.opa, NULL, YES, 1);
  reload_well (&stage);
  expect_allowed (&stage, "Pid");
}

static void
test_silent (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };

  stage_init (&stage, fixture, transport, ASK ("Pid"), "policy-engine-timeout=100ms\n");
  opa_puppet_hold (stage.opa, TRUE);
  expect_denial (&stage, "Pid", "engine opa gives no decision: no answer in 0.1 s");
  opa_puppet_hold (stage.opa, FALSE);
  reload_well (&stage);
  expect_allowed (&stage, "Pid");
}

/* --- waiting --- */

typedef struct
{
  char order[8];
  guint n;
} Order;

typedef struct
{
  Order *order;
  char name;
  gboolean denied;
} Waiting;

static void
on_called (GObject *client, GAsyncResult *result, gpointer data)
{
  Waiting *waiting = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (client), result, &error);

  waiting->denied = g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED);
  if (!waiting->denied)
    g_assert_no_error (error);
  waiting->order->order[waiting->order->n++] = waiting->name;
}

/* A call that waits keeps those behind it in their order, and nobody else waiting. */
static void
wait_and_see (MeshFixture *fixture, const char *transport, const char *body, gboolean denied)
{
  g_auto (Stage) stage = { NULL };
  g_autoptr (CommyClient) node = NULL;
  Order order = { { 0 }, 0 };
  Waiting waiting[] = { { &order, 'a', FALSE }, { &order, 'b', FALSE }, { &order, 'c', FALSE } };
  static const char *const methods[] = { "Who", "Pid", "Counted" };

  stage_init (&stage, fixture, transport, ASK ("Pid"), "policy-engine-timeout=60s\n");
  opa_puppet_answer (stage.opa, NULL, body, 1);
  opa_puppet_hold (stage.opa, TRUE);
  for (guint i = 0; i < 3; i++)
    commy_client_call (stage.scene->client, methods[i], NULL, NULL, NULL, on_called, &waiting[i]);
  while (order.n < 1 || opa_puppet_get_asked (stage.opa) < 1)
    g_main_context_iteration (NULL, order.n < 1);
  /* The mesh thread and other channels go on: the node reads its policy again, and asks again. */
  node = node_client_new (&stage);
  for (guint i = 0; i < 3; i++)
    reload_well (&stage);
  opa_puppet_await (stage.opa, 2);
  g_assert_cmpstr (order.order, ==, "a");
  opa_puppet_hold (stage.opa, FALSE);
  while (order.n < 3)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (order.order, ==, "abc");
  g_assert_cmpint (waiting[1].denied, ==, denied);
  g_assert_false (waiting[2].denied);
}

static void
test_waits (MeshFixture *fixture, gconstpointer transport)
{
  wait_and_see (fixture, transport, YES, FALSE);
}

static void
test_waits_in_vain (MeshFixture *fixture, gconstpointer transport)
{
  wait_and_see (fixture, transport, NO, TRUE);
}

/* Its messages come while nobody knows whether it may be; then it goes on, or has never been. */
static void
test_stream_waits (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  CommyStream *stream;
  g_autoptr (GVariant) got = NULL;
  g_autoptr (GError) error = NULL;

  stage_init (&stage, fixture, transport, ASK ("Relay"), "policy-engine-timeout=60s\n");
  opa_puppet_hold (stage.opa, TRUE);
  stream = open_stream (stage.scene, "Relay", NULL);
  write_int (stream, 7);
  opa_puppet_await (stage.opa, 1);
  opa_puppet_hold (stage.opa, FALSE);
  got = commy_stream_read_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (got);
  close_write (stream);
  expect_end (stream);
  g_object_unref (stream);
  opa_puppet_answer (stage.opa, NULL, NO, 1);
  reload_well (&stage);
  stream = open_stream (stage.scene, "Relay", NULL);
  write_int (stream, 7);
  expect_error (stream, COMMY_ERROR_DENIED, "not on Sundays");
  g_object_unref (stream);
}

/* Its time is over, and the engine has changed its mind. */
static void
test_stream_ends (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  CommyStream *stream;

  stage_init (&stage, fixture, transport, ASK ("Relay"), "policy-engine-cache=1s\n");
  stream = open_stream (stage.scene, "Relay", NULL);
  write_int (stream, 7);
  g_variant_unref (commy_stream_read_sync (stream, NULL, NULL));
  opa_puppet_answer (stage.opa, NULL, NO, 1);
  expect_error (stream, COMMY_ERROR_DENIED, "not on Sundays");
  g_object_unref (stream);
}

static void
expect_echo (CommyStream *stream)
{
  g_autoptr (GVariant) got = NULL;
  g_autoptr (GError) error = NULL;

  write_int (stream, 7);
  got = commy_stream_read_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int32 (got), ==, 7);
}

/* One principal has more of them than may be asked about at a time. */
static void
test_streams_stay (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  g_autoptr (GPtrArray) streams = g_ptr_array_new_with_free_func (g_object_unref);

  stage_init (&stage, fixture, transport, ASK ("Relay*"),
              "policy-engine-cache=1h\npolicy-engine-timeout=60s\n");
  for (guint i = 0; i < STREAM_HANDLERS_RELAYS; i++)
    {
      g_autofree char *method = g_strdup_printf ("Relay%u", i);

      g_ptr_array_add (streams, open_stream (stage.scene, method, NULL));
      expect_echo (streams->pdata[i]);
    }
  for (guint again = 1; again < 3; again++)
    {
      reload_well (&stage);
      opa_puppet_await (stage.opa, STREAM_HANDLERS_RELAYS * (again + 1));
      for (guint i = 0; i < streams->len; i++)
        expect_echo (streams->pdata[i]);
    }
  for (guint i = 0; i < streams->len; i++)
    {
      close_write (streams->pdata[i]);
      expect_end (streams->pdata[i]);
    }
}

/* What the keyfiles alone deny waits for no engine. */
static void
test_stream_denied (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  g_autofree char *text = NULL;
  CommyStream *stream;

  stage_init (&stage, fixture, transport, ASK ("Relay"), "policy-engine-timeout=60s\n");
  stream = open_stream (stage.scene, "Relay", NULL);
  expect_echo (stream);
  opa_puppet_hold (stage.opa, TRUE);
  reload_well (&stage);
  opa_puppet_await (stage.opa, 2);
  text = write_keyfile (stage.opa, "[policy last]\nprincipals=*\nmethods=Relay\neffect=deny\n",
                        "policy-engine-timeout=60s\n");
  g_assert_true (g_file_set_contents (stage.keyfile, text, -1, NULL));
  reload_well (&stage);
  expect_error (stream, COMMY_ERROR_DENIED, "policy.conf:");
  g_object_unref (stream);
}

/* What waits behind a call that is asked about has what is permitted when it runs. */
static void
test_behind_denied (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  g_autofree char *text = NULL;
  Order order = { { 0 }, 0 };
  Waiting waiting[] = { { &order, 'a', FALSE }, { &order, 'b', FALSE } };

  stage_init (&stage, fixture, transport, ASK ("Pid"), "policy-engine-timeout=60s\n");
  opa_puppet_hold (stage.opa, TRUE);
  commy_client_call (stage.scene->client, "Pid", NULL, NULL, NULL, on_called, &waiting[0]);
  commy_client_call (stage.scene->client, "Counted", NULL, NULL, NULL, on_called, &waiting[1]);
  while (opa_puppet_get_asked (stage.opa) < 1)
    g_main_context_iteration (NULL, FALSE);
  text = write_keyfile (stage.opa,
                        ASK ("Pid") "[policy last]\nprincipals=*\nmethods=Counted\neffect=deny\n",
                        "policy-engine-timeout=60s\n");
  g_assert_true (g_file_set_contents (stage.keyfile, text, -1, NULL));
  reload_well (&stage);
  opa_puppet_hold (stage.opa, FALSE);
  while (order.n < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (order.order, ==, "ab");
  g_assert_false (waiting[0].denied);
  g_assert_true (waiting[1].denied);
}

/* Names that the caller makes up are no questions. */
static void
test_no_method (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };

  stage_init (&stage, fixture, transport, ASK ("*"), "");
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *method = g_strdup_printf ("MadeUp%u", i);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value
          = commy_client_call_sync (stage.scene->client, method, NULL, NULL, NULL, &error);

      g_assert_null (value);
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_METHOD);
    }
  g_assert_cmpuint (opa_puppet_get_asked (stage.opa), ==, 0);
  expect_allowed (&stage, "Pid");
}

static void
on_given_up (GObject *client, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (client), result, &error);

  g_assert_null (value);
  g_assert_nonnull (error);
  *(gboolean *) data = TRUE;
}

/* Who calls all the time is asked about again, and notices. */
static void
test_calls_end (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  char *denial = NULL;

  stage_init (&stage, fixture, transport, ASK ("Pid"), "policy-engine-cache=1s\n");
  expect_allowed (&stage, "Pid");
  opa_puppet_answer (stage.opa, NULL, NO, 1);
  while (denial == NULL)
    denial = denial_of (&stage, "Pid");
  g_assert_nonnull (strstr (denial, "not on Sundays"));
  g_free (denial);
  opa_puppet_answer (stage.opa, NULL, YES, 1);
  while ((denial = denial_of (&stage, "Pid")) != NULL)
    g_free (denial);
}

/* Who leaves while calls wait for the engine waits for nothing. */
static void
test_leaves (MeshFixture *fixture, gconstpointer transport)
{
  g_auto (Stage) stage = { NULL };
  gboolean is_over = FALSE;

  stage_init (&stage, fixture, transport, ASK ("Pid"), "policy-engine-timeout=60s\n");
  opa_puppet_hold (stage.opa, TRUE);
  commy_client_call (stage.scene->client, "Pid", NULL, NULL, NULL, on_given_up, &is_over);
  while (opa_puppet_get_asked (stage.opa) < 1)
    g_main_context_iteration (NULL, FALSE);
  g_assert_false (is_over);
  commy_mesh_leave_sync (stage.scene->mesh, NULL, NULL);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
}

/* --- for people --- */

static void
expect_text (GVariant *record, const char *key, const char *words)
{
  const char *text = NULL;

  g_assert_true (g_variant_lookup (record, key, "&s", &text));
  g_assert_nonnull (strstr (text, words));
}

static GVariant *
explain (CommyMesh *mesh, const char *circumstances)
{
  g_autoptr (GError) error = NULL;
  GVariant *given = circumstances != NULL ? g_variant_new_parsed (circumstances) : NULL;
  GVariant *record
      = commy_mesh_explain_policy (mesh, "unix:uid=77", "call", TEST_SERVICE "/Pid", given, &error);

  g_assert_no_error (error);
  return record;
}

static gboolean
is_allowed (GVariant *record)
{
  gboolean allowed = FALSE;

  g_assert_true (g_variant_lookup (record, "allowed", "b", &allowed));
  return allowed;
}

/* What of a call it would have been told. */
static void
expect_untold (GVariant *record, const char *expected)
{
  g_autofree const char **names = NULL;
  g_autofree char *all = NULL;

  g_variant_lookup (record, "not_told", "^a&s", &names);
  all = names != NULL ? g_strjoinv (" ", (char **) names) : g_strdup ("");
  g_assert_cmpstr (all, ==, expected);
}

static void
check_explained (OpaPuppet *opa, CommyMesh *mesh)
{
  g_autoptr (GVariant) yes = NULL;
  g_autoptr (GVariant) alone = NULL;
  g_autoptr (GVariant) no = NULL;
  g_autoptr (GVariant) why_not = NULL;
  g_autoptr (GVariant) rules = NULL;
  g_autoptr (GVariant) first = NULL;
  g_autoptr (GVariant) missing = NULL;
  g_autoptr (GVariant) one = NULL;
  guint asked;

  opa_puppet_answer (opa, NULL, YES, 1);
  yes = explain (mesh, NULL);
  g_assert_true (is_allowed (yes));
  expect_text (yes, "asks", "opa");
  expect_text (yes, "engine", "allows");
  expect_untold (yes, "from security");
  asked = opa_puppet_get_asked (opa);
  alone = explain (mesh, "{'engine': <false>}");
  g_assert_true (is_allowed (alone));
  g_assert_false (g_variant_lookup (alone, "engine", "s", NULL));
  g_assert_cmpuint (opa_puppet_get_asked (opa), ==, asked);
  opa_puppet_answer (opa, NULL, NO, 1);
  no = explain (mesh, "{'from': <'10.1.2.3'>}");
  g_assert_false (is_allowed (no));
  expect_text (no, "engine", "engine opa: not on Sundays");
  expect_untold (no, "");
  why_not = explain (mesh, "{'from': <'10.1.2.3'>, 'why-not': <true>}");
  rules = g_variant_lookup_value (why_not, "why_not", G_VARIANT_TYPE ("aa{sv}"));
  first = g_variant_get_child_value (rules, 0);
  missing = g_variant_lookup_value (first, "missing", G_VARIANT_TYPE ("aa{sv}"));
  one = g_variant_get_child_value (missing, 0);
  expect_text (one, "condition", "ask=engine");
  expect_text (one, "is", "engine opa: not on Sundays");
}

static void
test_explained (MeshFixture *fixture, gconstpointer unused)
{
  OpaPuppet *opa = opa_puppet_new ();
  g_autofree char *text = write_keyfile (opa, ASK ("Pid"), "");
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "policy.conf", text);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) only = mesh_fixture_new (fixture, NULL, &error);
  g_autoptr (CommyMesh) joined = mesh_fixture_join (fixture, NULL);

  g_assert_no_error (error);
  check_explained (opa, only);
  check_explained (opa, joined);
  commy_mesh_leave_sync (joined, NULL, NULL);
  opa_puppet_free (opa);
}

/* --- settings --- */

static void
expect_no_mesh (MeshFixture *fixture, const char *settings, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, settings, &error);

  if (mesh != NULL)
    g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_settings (MeshFixture *fixture, gconstpointer unused)
{
#define OPA "[security]\npolicy-engine=opa\n[plugin policy/opa]\n"
  expect_no_mesh (fixture, ASK ("Pid"), "write policy-engine=ID into [security]");
  expect_no_mesh (fixture, OPA "[policy x]\nprincipals=*\neffect=deny\nask=engine\n",
                  "asks an engine, and denies");
  expect_no_mesh (fixture,
                  OPA "[policy x]\nprincipals=*\neffect=allow\nverbs=call;offer\nask=engine\n",
                  "more than call and subscribe");
  expect_no_mesh (fixture, "[security]\npolicy-engine=none-such\n",
                  "no usable plugin policy/none-such, which \"policy-engine\" of [security] names");
  expect_no_mesh (fixture, OPA "param.url=http://opa.example.org:8181\n", "it is not https");
  expect_no_mesh (fixture, OPA "param.url=http://127.0.0.1:8181\n", "it is not https");
  expect_no_mesh (fixture, OPA "param.url=https://a:b@opa.example.org\n", "it has a user");
  expect_no_mesh (fixture, OPA "param.path=a/../b\n", "other characters");
  expect_no_mesh (fixture, OPA "param.socket=opa.sock\n", "absolute paths");
  expect_no_mesh (fixture, OPA "param.url=https://a.example\nparam.socket=/run/opa.sock\n",
                  "two ways to the same");
}

/* Without an address there is no decision, and no call. */
static void
test_nowhere (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *path = mesh_fixture_use_keyfile (fixture, "policy.conf",
                                                    "[security]\npolicy-engine=opa\n" ASK ("Pid"));
  Stage stage = { .scene = scene_new (fixture, transport, 1, NULL) };

  expect_denial (&stage, "Pid", "param.url of [plugin policy/opa] is empty");
  scene_free (stage.scene);
}

/* --- the real one --- */

static char *
find_opa (void)
{
  const char *set = g_getenv ("COMMY_OPA");

  return set != NULL && *set != '\0' ? g_strdup (set) : g_find_program_in_path ("opa");
}

/* Until somebody listens there. */
static void
await_socket (const char *path)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GSocketConnection) connection = NULL;

  while (connection == NULL)
    connection = g_socket_client_connect (client, G_SOCKET_CONNECTABLE (address), NULL, NULL);
}

/* It says in its log when it is about to listen. */
static GSubprocess *
start_opa (const char *program, const char *socket, const char *rules)
{
  g_autofree char *address = g_strconcat ("unix://", socket, NULL);
  g_autoptr (GError) error = NULL;
  GSubprocess *opa = g_subprocess_new (G_SUBPROCESS_FLAGS_STDERR_PIPE, &error, program, "run",
                                       "--server", "--disable-telemetry", "--log-level", "debug",
                                       "--addr", address, rules, NULL);
  g_autoptr (GDataInputStream) log = NULL;

  g_assert_no_error (error);
  log = g_data_input_stream_new (g_subprocess_get_stderr_pipe (opa));
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (log), FALSE);
  for (;;)
    {
      g_autofree char *line = g_data_input_stream_read_line (log, NULL, NULL, &error);

      g_assert_no_error (error);
      g_assert_nonnull (line);
      g_test_message ("opa: %s", line);
      if (strstr (line, "Server initialized") != NULL)
        break;
    }
  await_socket (socket);
  return opa;
}

static void
test_real (MeshFixture *fixture, gconstpointer transport)
{
  static const char rego[]
      = "package commy\n"
        "import rego.v1\n"
        "allow := {\"allow\": true} if { input.method == \"Pid\"; input.confidential }\n"
        "allow := {\"allow\": false, \"reason\": \"no such luck\"} if input.method == \"Who\"\n";
  g_autofree char *program = find_opa ();
  g_autofree char *rules = g_build_filename (fixture->dir, "commy.rego", NULL);
  g_autofree char *socket = g_build_filename (fixture->dir, "opa", NULL);
  g_autofree char *text = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GSubprocess) opa = NULL;
  Stage stage = { NULL };

  if (program == NULL)
    {
      g_test_skip ("opa is not installed: put it into PATH, or name it in COMMY_OPA");
      return;
    }
  g_assert_true (g_file_set_contents (rules, rego, -1, NULL));
  opa = start_opa (program, socket, rules);
  text = g_strdup_printf (
      "[security]\npolicy-engine=opa\n[plugin policy/opa]\nparam.socket=%s\n" ASK (
          "Pid;Who;Counted"),
      socket);
  path = mesh_fixture_use_keyfile (fixture, "policy.conf", text);
  stage.scene = scene_new (fixture, transport, 1, NULL);
  expect_allowed (&stage, "Pid");
  expect_denial (&stage, "Who", "(engine opa: no such luck)");
  expect_denial (&stage, "Counted", "nothing is defined at that path");
  g_subprocess_force_exit (opa);
  g_subprocess_wait (opa, NULL, NULL);
  expect_allowed (&stage, "Pid");
  reload_well (&stage);
  expect_denial (&stage, "Pid", "engine opa gives no decision");
  scene_free (stage.scene);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = transport != NULL
                              ? g_strdup_printf ("/policies/opa/%s/%s", transport, name)
                              : g_strdup_printf ("/policies/opa/%s", name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = { "inproc", "shm", "unix", "tls" };
  int status;

  if (service_child_main_with (argc, argv, stream_handlers_add, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policies/opa/answers", test_answers);
  g_test_add_func ("/policies/opa/question", test_question);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      add ("decides", transports[i], test_decides);
      add ("calls-wait-in-order", transports[i], test_waits);
    }
  add ("only-narrows", "shm", test_narrows);
  /* attack: whoever answers for the policy engine answers nonsense, or nothing; defence: without a
   * decision there is no permission; test: /policies/opa/unix/nonsense-is-no-permission */
  add ("nonsense-is-no-permission", "unix", test_nonsense);
  add ("silence-is-no-permission", "shm", test_silent);
  add ("calls-wait-in-vain", "shm", test_waits_in_vain);
  add ("streams-wait", "shm", test_stream_waits);
  add ("streams-end-when-it-changes-its-mind", "unix", test_stream_ends);
  add ("calls-notice-when-it-changes-its-mind", "shm", test_calls_end);
  add ("streams-stay-however-many", "shm", test_streams_stay);
  add ("streams-do-not-wait-to-be-denied", "unix", test_stream_denied);
  add ("calls-behind-are-denied-by-then", "shm", test_behind_denied);
  /* attack: a caller makes up names of methods to keep the policy engine busy; defence: it is asked
   * about methods that there are; test: /policies/opa/shm/made-up-methods-are-no-questions */
  add ("made-up-methods-are-no-questions", "shm", test_no_method);
  add ("leaving-does-not-wait", "inproc", test_leaves);
  add ("explained", NULL, test_explained);
  add ("settings", NULL, test_settings);
  add ("asked-nowhere", "inproc", test_nowhere);
  add ("the-real-one", "unix", test_real);
  return g_test_run ();
}
