/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One policy on every path: the same table of cases over each transport, between real nodes, and
 * then what became of each, what the caller was told, and what the audit trails of both sides say.
 * All of it has to be the same, once the names are taken out that paths give to the same user.
 */
#include "config.h"

#include "mesh-fixture.h"
#ifdef HAVE_GNUTLS
#include "auth-scene.h"
#endif
#include "stream-handlers.h"
#include "stream-scene.h"
#include "topic-puppet.h"
#include "trail-tally.h"

#include "mesh/commy-service-private.h"

#include <string.h>
#include <unistd.h>

#define NODE "org.commy.Node1"
#define FORBIDDEN "org.example.Forbidden"
#define NOBODY "org.example.Nobody"

typedef enum
{
  BY_CALL,
  BY_SEND,
  BY_STREAM,
  BY_CONTROL,
  BY_SUBSCRIPTION,
} How;

typedef struct
{
  const char *name;
  How how;
  const char *service;
  const char *method; /* or topic */
  int code;           /* 0: allowed */
} Case;

static const Case cases[] = {
  { "named by a rule", BY_CALL, TEST_SERVICE, "Pid", 0 },
  { "a denial that is over, of others, or observed", BY_CALL, TEST_SERVICE, "Who", 0 },
  { "a role by inheritance", BY_CALL, TEST_SERVICE, "Counted", 0 },
  { "a role of others", BY_CALL, TEST_SERVICE, "Inside", COMMY_ERROR_DENIED },
  { "above the floor", BY_CALL, TEST_SERVICE, "Unread", 0 },
  { "allowed from elsewhere", BY_CALL, TEST_SERVICE, "Release", COMMY_ERROR_DENIED },
  { "no rule but the last", BY_CALL, TEST_SERVICE, "Go", COMMY_ERROR_DENIED },
  { "a later rule wins", BY_CALL, TEST_SERVICE, "Slow", COMMY_ERROR_DENIED },
  { "an unknown method that is allowed", BY_CALL, TEST_SERVICE, "Nothing", COMMY_ERROR_NO_METHOD },
  { "an unknown method that is denied", BY_CALL, TEST_SERVICE, "Nowhere", COMMY_ERROR_DENIED },
  { "an error of the service's own", BY_CALL, TEST_SERVICE, "Fail", COMMY_ERROR_REMOTE },
  { "a stream", BY_STREAM, TEST_SERVICE, "Three", 0 },
  { "a denied stream", BY_STREAM, TEST_SERVICE, "Relay", COMMY_ERROR_DENIED },
  { "without an answer", BY_SEND, TEST_SERVICE, "Count", 0 },
  { "denied without an answer", BY_SEND, TEST_SERVICE, "Gate", 0 },
  { "within the rate", BY_CALL, TEST_SERVICE, "Add", 0 },
  { "beyond the rate", BY_CALL, TEST_SERVICE, "Add", COMMY_ERROR_LIMITED },
#ifdef HAVE_GNUTLS
  { "what its token is good for", BY_CALL, TEST_SERVICE, "Scoped", COMMY_ERROR_NO_METHOD },
  { "what another is good for", BY_CALL, TEST_SERVICE, "Unscoped", COMMY_ERROR_DENIED },
  { "denied for what its token says", BY_CALL, TEST_SERVICE, "Shut", COMMY_ERROR_DENIED },
#endif
  { "an operation", BY_CONTROL, NODE, "Cordon", COMMY_ERROR_DENIED },
  { "an operation that no rule denies", BY_CONTROL, NODE, "ReloadPolicy", 0 },
  { "a topic", BY_SUBSCRIPTION, NULL, "secret.a", COMMY_ERROR_DENIED },
  { "a topic of somebody who may not", BY_SUBSCRIPTION, NULL, "news", COMMY_ERROR_NOT_OFFERED },
  { "a service of somebody who may not", BY_CALL, FORBIDDEN, "Pid", COMMY_ERROR_NOT_OFFERED },
  { "a service of nobody", BY_CALL, NOBODY, "Pid", COMMY_ERROR_NO_SERVICE },
};

/* The same user under each name that a path gives him. */
static const char policy[] = "[audit]\n"
                             "enabled=true\n"
                             "calls=all\n"
                             "[method org.example.Test.Add]\n"
                             "rate-limit=0.0001\n"
                             "rate-burst=1\n"
                             "[role me]\n"
                             "members=unix:uid=%u;spiffe://*/user/tester\n"
                             "inherits=base\n"
                             "[role base]\n"
                             "members=unix:uid=4242\n"
                             "[role others]\n"
                             "members=unix:uid=4242;spiffe://*/user/nobody\n"
                             "[policy none]\n"
                             "principals=*\n"
                             "services=org.example.Test\n"
                             "effect=deny\n"
                             "[policy named]\n"
                             "principals=unix:uid=%u;spiffe://*/user/tester\n"
                             "services=org.example.Test\n"
                             "methods=Pid;Who;Slow;Nothing;Fail;Three;Count\n"
                             "effect=allow\n"
                             "[policy inherited]\n"
                             "roles=base\n"
                             "methods=Counted\n"
                             "effect=allow\n"
                             "[policy others]\n"
                             "roles=others\n"
                             "methods=Inside\n"
                             "effect=allow\n"
                             "[policy not-me]\n"
                             "roles=others\n"
                             "methods=Who\n"
                             "effect=deny\n"
                             "[policy past]\n"
                             "roles=me\n"
                             "methods=Who\n"
                             "until=2001-01-01\n"
                             "effect=deny\n"
                             "[policy trial]\n"
                             "roles=me\n"
                             "methods=Who\n"
                             "mode=observe\n"
                             "effect=deny\n"
                             "[policy later]\n"
                             "roles=me\n"
                             "methods=Slow\n"
                             "effect=deny\n"
                             "[policy floor]\n"
                             "roles=me\n"
                             "methods=Unread;Add\n"
                             "min-security=kernel\n"
                             "effect=allow\n"
                             "[policy elsewhere]\n"
                             "roles=me\n"
                             "methods=Release\n"
                             "min-security=kernel\n"
                             "from=192.0.2.0/24\n"
                             "effect=allow\n"
                             "[policy scoped]\n"
                             "roles=me\n"
                             "methods=Scoped;Shut\n"
                             "attributes=scope=deploy;token:b*\n"
                             "effect=allow\n"
                             "[policy unscoped]\n"
                             "roles=me\n"
                             "methods=Unscoped\n"
                             "attributes=scope=admin\n"
                             "effect=allow\n"
                             "[policy shut]\n"
                             "roles=me\n"
                             "methods=Shut\n"
                             "attributes=scope=read\n"
                             "effect=deny\n"
                             "[policy hands-off]\n"
                             "principals=*\n"
                             "verbs=control\n"
                             "operations=cordon;drain\n"
                             "effect=deny\n"
                             "[policy no-secrets]\n"
                             "principals=*\n"
                             "topics=secret.*\n"
                             "verbs=subscribe;\n"
                             "effect=deny\n"
                             "[policy no-news]\n"
                             "principals=*\n"
                             "topics=news\n"
                             "verbs=publish;\n"
                             "effect=deny\n"
                             "[policy no-offer]\n"
                             "principals=*\n"
                             "services=org.example.Forbidden\n"
                             "verbs=offer\n"
                             "effect=deny\n";

/* --- what is offered beside the scene's service --- */

static void
offer_more (CommyMesh *mesh, GObject *owner)
{
  CommyService *forbidden = commy_service_new (mesh, FORBIDDEN, NULL);
  g_autoptr (GError) error = NULL;

  commy_service_set_workers (forbidden, 1);
  commy_service_start_sync (forbidden, NULL, &error);
  g_assert_no_error (error);
  g_object_set_data_full (owner, "forbidden", forbidden, g_object_unref);
  g_object_set_data_full (owner, "secret", publisher_new (mesh, "secret.a", 0), g_object_unref);
  g_object_set_data_full (owner, "news", publisher_new (mesh, "news", 0), g_object_unref);
}

static void
extend (CommyService *service)
{
  stream_handlers_add (service);
  offer_more (service->mesh, G_OBJECT (service));
}

/* --- a case --- */

/* The one node that is not this one, or this one where there is no other. */
static void
choose_server (Scene *scene, CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (scene->mesh, NODE, NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (all, i);
      const char *node = "", *id = "";

      g_variant_lookup (instance, "node", "&s", &node);
      g_variant_lookup (instance, "instance", "&s", &id);
      if ((strcmp (node, commy_mesh_get_node_id (scene->mesh)) != 0) == (scene->child != NULL))
        commy_client_set_instance (client, id);
    }
}

static void
try_stream (CommyClient *client, const char *method, GError **error)
{
  g_autoptr (CommyStream) stream
      = commy_client_open_stream_sync (client, method, NULL, NULL, NULL, error);
  g_autoptr (GVariant) first = NULL;

  if (stream != NULL)
    first = commy_stream_read_sync (stream, NULL, error);
}

static void
try_call (CommyClient *client, const Case *one, GError **error)
{
  GVariant *arguments = NULL;
  g_autoptr (GVariant) answer = NULL;

  if (strcmp (one->method, "Add") == 0)
    arguments = g_variant_new ("(ii)", 1, 2);
  else if (strcmp (one->method, "Cordon") == 0)
    arguments = g_variant_new ("(b)", TRUE);
  answer = commy_client_call_sync (client, one->method, arguments, NULL, NULL, error);
}

static int
subscribe (Scene *scene, const char *topic)
{
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 0);
  Listener *listener = listener_new (scene->mesh, topic, options);
  int code;

  while (listener->removed == 0)
    g_main_context_iteration (NULL, TRUE);
  code = listener->code;
  listener_free (listener);
  return code;
}

/* What the caller learned: a code, and the words. */
static void
try_case (Scene *scene, const Case *one, GString *out)
{
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GError) error = NULL;
  int code = 0;

  if (one->how == BY_SUBSCRIPTION)
    code = subscribe (scene, one->method);
  else
    client = strcmp (one->service, TEST_SERVICE) == 0
                 ? g_object_ref (scene->client)
                 : commy_client_new (scene->mesh, one->service);
  if (one->how == BY_CONTROL)
    choose_server (scene, client);
  if (one->how == BY_SEND)
    commy_client_send (client, one->method, NULL, NULL, &error);
  else if (one->how == BY_STREAM)
    try_stream (client, one->method, &error);
  else if (client != NULL)
    try_call (client, one, &error);
  if (error != NULL)
    code = error->code;
  g_string_append_printf (out, "%s: %d %s\n", one->name, code, error != NULL ? error->message : "");
  if (code != one->code)
    g_error ("%s: %d and not %d: %s", one->name, code, one->code,
             error != NULL ? error->message : "");
}

/* --- all of them, over one transport --- */

/* (transfer full): callers of the test service show a token besides, with scopes. */
static char *
dup_token_settings (MeshFixture *fixture, const char *transport)
{
#ifdef HAVE_GNUTLS
  g_autofree char *settings = NULL;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  settings = auth_settings_of (fixture, &key, transport);
  commy_api_key_clear (&key);
  return g_strconcat ("[mesh]\n", settings,
                      "[auth-chain both]\nany=peercred;mtls\nrequire=token\n"
                      "[service " TEST_SERVICE "]\nauth-chain=both\n",
                      NULL);
#else
  return g_strdup ("");
#endif
}

/* The names of the user and of the folder, which differ and mean the same. */
static char *
dup_comparable (MeshFixture *fixture, const char *transport, const GString *text)
{
  g_autofree char *uid = g_strdup_printf ("unix:uid=%u\\b", (guint) geteuid ());
  g_autofree char *over = g_strdup_printf ("\\bover %s\\b", transport);
  g_autofree char *folder = g_regex_escape_string (fixture->dir, -1);
  const TrailWords words[] = { { uid, "ME" },
                               { "spiffe://[^ /]*/host/[^ /]*/user/tester\\b", "ME" },
                               { over, "over IT" },
                               { folder, "DIR" } };

  return trail_dup_replaced (text->str, words, G_N_ELEMENTS (words));
}

/* (transfer full) */
static char *
run (const char *transport)
{
  MeshFixture fixture = { 0 };
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *rules = g_strdup_printf (policy, (guint) geteuid (), (guint) geteuid ());
  g_autofree char *token = NULL;
  g_autofree char *all = NULL;
  g_autofree char *path = NULL;
  g_autofree char *trail = NULL;
  char *comparable;
  Scene *scene;

  mesh_fixture_set_up (&fixture, NULL);
  token = dup_token_settings (&fixture, transport);
  all = g_strconcat (rules, token, NULL);
  path = mesh_fixture_use_keyfile (&fixture, "policy.conf", all);
  scene = scene_new (&fixture, transport, 0, NULL);
  if (scene->service != NULL)
    offer_more (scene->mesh, G_OBJECT (scene->service));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    try_case (scene, &cases[i], out);
  if (scene->service != NULL)
    g_object_run_dispose (G_OBJECT (scene->service));
  scene_free (scene);
  trail = g_build_filename (fixture.dir, "state", "test", "audit", NULL);
  trail_tally_append (trail, out);
  comparable = dup_comparable (&fixture, transport, out);
  mesh_fixture_tear_down (&fixture, NULL);
  return comparable;
}

static void
test_paths (void)
{
  static const char *const transports[] = {
    "inproc",
    "shm",
    "unix",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  g_autofree char *first = run (transports[0]);

  g_assert_nonnull (strstr (first, "rule=none"));
  g_assert_nonnull (strstr (first, "ME may not call " TEST_SERVICE ".Go (DIR/policy.conf:"));
  g_test_message ("%s", first);
  for (guint i = 1; i < G_N_ELEMENTS (transports); i++)
    {
      g_autofree char *other = run (transports[i]);
      g_auto (GStrv) ours = g_strsplit (first, "\n", -1);
      g_auto (GStrv) theirs = g_strsplit (other, "\n", -1);

      for (guint k = 0; ours[k] != NULL && theirs[k] != NULL; k++)
        if (strcmp (ours[k], theirs[k]) != 0)
          g_error ("over %s: \"%s\", over %s: \"%s\"", transports[0], ours[k], transports[i],
                   theirs[k]);
      g_assert_cmpstr (first, ==, other);
    }
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  /* attack: take another path, where less is asked; defence: one policy and one trail for all of
   * them */
  g_test_add_func ("/conformance/policy/every-path-decides-and-records-alike", test_paths);
  return g_test_run ();
}
