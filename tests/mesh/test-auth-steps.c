/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Callers that prove who they are by steps, over every transport and in both directions; and peers
 * that break the rules of the steps.
 */
#include "config.h"

#include "auth-scene.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-totp.h"
#include "fake-client.h"
#include "mesh-fixture.h"
#include "moves-scene.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static void
on_attributes (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyPrincipal *caller = commy_invocation_get_caller (invocation);
  const char *const *attributes = commy_principal_get_attributes (caller);
  g_autofree char *all = g_strjoinv (" ", (char **) attributes);

  commy_invocation_return_value (invocation, g_variant_new ("(s)", all));
}

static void
add_methods (CommyService *service)
{
  moves_service_extend (service);
  commy_service_handle (service, "Attributes", on_attributes, NULL, NULL);
}

/* --- that it works --- */

static void
test_every_transport (MeshFixture *fixture, gconstpointer data)
{
  static const char *const transports[] = { "shm", "unix", "tls" };
  ServiceChild *child;
  CommyApiKey key;

  mesh_fixture_make_credentials (fixture);
  auth_make_key (fixture, "build", &key);
  child = service_child_start (fixture, SERVER ("require=token\n"), 0);
  for (gsize i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autofree char *settings = auth_settings_of (fixture, &key, transports[i]);

      auth_check_answer (fixture, settings, "Who", "token:build");
    }
  service_child_free (child);
}

static void
test_all_of_a_chain (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  g_autofree char *attributes = NULL;
  g_autofree char *settings = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  attributes = g_strdup_printf ("token:build token-id=%s scope=deploy scope=read", key.id);
  settings = auth_settings_of (fixture, &key, "unix");
  child = service_child_start (fixture, SERVER ("require=peercred;token\n"), 0);
  auth_check_answer (fixture, settings, "Who", own);
  auth_check_answer (fixture, settings, "Attributes", attributes);
  service_child_free (child);
}

/* Who has a proof of the first kind needs no other. */
static void
test_one_of_a_chain (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  ServiceChild *child = service_child_start (fixture, SERVER ("any=mtls;peercred;token\n"), 0);

  auth_check_answer (fixture, "[selection]\npreference=pin\ntransports=unix\n", "Who", own);
  auth_check_answer (fixture, "[selection]\npreference=pin\ntransports=unix\n", "Attributes", "");
  service_child_free (child);
}

/* Where nothing else is set nobody is asked, though both sides could. */
static void
test_not_asked (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  ServiceChild *child = service_child_start (fixture, "auth=peercred;mtls;token\n", 0);

  auth_check_answer (fixture, "auth=peercred;mtls;token\n", "Who", own);
  service_child_free (child);
}

#define EXPECTS \
  "[auth-chain e]\nrequire=peercred;token\n[service " TEST_SERVICE "]\nexpect-chain=e\n"

static void
test_both_directions (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = NULL;
  g_autofree char *strict = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  settings = auth_settings_of (fixture, &key, "unix");
  strict = g_strconcat (settings, EXPECTS, NULL);
  child = service_child_start (fixture, SERVER ("require=token\n"), 0);
  auth_check_answer (fixture, strict, "Who", "token:build");
  service_child_free (child);
  /* One that asks nothing of its callers proves itself all the same. */
  child = service_child_start (fixture, "auth=peercred;mtls;token\n", 0);
  auth_check_answer (fixture, strict, "Attributes", "");
  service_child_free (child);
  child = service_child_start (fixture, NULL, 0);
  auth_check_refused (fixture, strict, "takes part in none of the steps");
  service_child_free (child);
}

/* Somebody who took the service's place, and does not know the caller's key. */
static void
test_impostor (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = NULL;
  g_autofree char *strict = NULL;
  g_autofree char *file = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  settings = auth_settings_of (fixture, &key, "unix");
  strict = g_strconcat (settings, EXPECTS, NULL);
  file = g_build_filename (fixture->dir, "state", "test", COMMY_API_KEYS_FILE, NULL);
  g_assert_cmpint (g_unlink (file), ==, 0);
  child = service_child_start (fixture, "auth=peercred;mtls;token\n", 0);
  auth_check_refused (fixture, strict, "who this is was not proved");
  service_child_free (child);
}

/* --- who is turned away --- */

static void
test_no_credential (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, SERVER ("require=token\n"), 0);

  auth_check_refused (fixture, NULL, "[auth-chain c] requires token");
  auth_check_refused (fixture, "auth=peercred;mtls;token\n", "no credential is named");
  service_child_free (child);
}

static void
test_wrong_key (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  key.secret[7] ^= 1;
  settings = auth_settings_of (fixture, &key, "unix");
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, SERVER ("require=token\n"), 0);
  auth_check_refused (fixture, settings, "the log of the side that refuses tells why");
  mesh_fixture_await_log (fixture, "its proof is wrong");
  service_child_free (child);
}

static void
test_revoked (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *dir = auth_register_dir (fixture);
  g_autofree char *settings = NULL;
  g_autoptr (CommyApiKeyRegister) reg = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  settings = auth_settings_of (fixture, &key, "unix");
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, SERVER ("require=token\n"), 0);
  auth_check_answer (fixture, settings, "Who", "token:build");
  reg = commy_api_key_register_open (dir, NULL);
  g_assert_true (commy_api_key_register_revoke (reg, key.id, NULL));
  g_assert_true (commy_api_key_register_save (reg, NULL));
  auth_check_refused (fixture, settings, "the log of the side that refuses tells why");
  mesh_fixture_await_log (fixture, "it is revoked");
  service_child_free (child);
}

/* A connection that is open ends with its token, too. */
static void
test_revoked_while_open (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", NULL);
  g_autofree char *settings = NULL;
  g_autofree char *told = NULL;
  g_autoptr (CommyApiKeyRegister) reg = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  settings = auth_settings_of (fixture, &key, "unix");
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture,
                               SERVER ("require=token\n") "[security]\nproof-check=100ms\n", 0);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  answer = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  reg = commy_api_key_register_open (dir, &error);
  g_assert_true (commy_api_key_register_revoke (reg, key.id, NULL));
  g_assert_true (commy_api_key_register_save (reg, &error));
  g_clear_pointer (&reg, commy_api_key_register_free);
  told = g_strdup_printf ("over unix: token %s: it is revoked", key.id);
  mesh_fixture_await_log (fixture, told);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* A token behind a certificate is not what the peer is called by, and can be denied all the same:
 * what is open ends, and nothing new begins. */
static void
test_denied_behind (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  ServiceChild *child;
  CommyApiKey key;

  mesh_fixture_make_credentials (fixture);
  auth_make_key (fixture, "build", &key);
  settings = auth_settings_of (fixture, &key, "tls");
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, SERVER ("require=mtls;token\n") ALLOW ("spiffe"), 0);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  answer = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (commy_mesh_deny (mesh, "token:build", "leaked", 0, &error));
  mesh_fixture_await_log (fixture, "over tls: token:build is denied: leaked");
  auth_check_refused (fixture, settings, "token:build is denied: leaked");
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* Who guesses waits, twice as long each time; who proves otherwise who it is does not wait for it.
 */
static void
test_guesses (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *wrong_settings = NULL;
  g_autofree char *settings = NULL;
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  CommyApiKey key, wrong;
  gboolean is_busy = FALSE;

  mesh_fixture_make_credentials (fixture);
  auth_make_key (fixture, "build", &key);
  wrong = key;
  wrong.secret[0] ^= 1;
  wrong_settings = auth_settings_of (fixture, &wrong, "unix");
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, SERVER ("require=token\n"), 0);
  mesh = mesh_fixture_join (fixture, wrong_settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  while (!is_busy)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (commy_client_call_sync (client, "Who", NULL, NULL, NULL, &error));
      is_busy = strstr (error->message, "the next one may come in") != NULL;
      if (!is_busy)
        g_assert_nonnull (strstr (error->message, "was not proved"));
    }
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  settings = auth_settings_of (fixture, &key, "tls");
  auth_check_answer (fixture, settings, "Who", "token:build");
  service_child_free (child);
}

/* A path that takes a flow over is proved like its first one. */
static void
test_moves (MeshFixture *fixture, gconstpointer data)
{
  static const int paths[] = { MOVES_UNIX, MOVES_TLS, MOVES_SHM };
  g_autofree char *credential = g_build_filename (fixture->dir, "credential", NULL);
  g_autofree char *keyfile = NULL;
  g_autofree char *text = NULL;
  g_autofree char *unused = NULL;
  g_autoptr (GVariant) who = NULL;
  const char *name;
  MovesScene *scene;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  unused = auth_settings_of (fixture, &key, "shm"); /* writes the credential */
  text = g_strdup_printf ("[mesh]\nauth=peercred;mtls;token\n[auth-chain c]\nrequire=token\n"
                          "[service " TEST_SERVICE "]\nauth-chain=c\n" ALLOW (
                              "token") "[plugin auth/token]\nparam.credential=%s\n",
                          credential);
  keyfile = mesh_fixture_use_keyfile (fixture, "chain.conf", text);
  scene = moves_scene_new (fixture, NULL, 1);
  moves_scene_call (scene);
  moves_scene_attach (scene);
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      moves_scene_move (scene, paths[i]);
      while (!moves_scene_settled (scene))
        moves_scene_call (scene);
      g_assert_cmpint (moves_path_of (scene->path), ==, paths[i]);
    }
  g_assert_cmpuint (scene->elsewhere, ==, 0);
  who = commy_client_call_sync (scene->client, "Who", NULL, NULL, NULL, NULL);
  g_variant_get_child (who, 0, "&s", &name);
  g_assert_cmpstr (name, ==, "token:build");
  moves_scene_free (scene);
}

/* --- of one peer --- */

#define SAME(PROVIDERS)                                                                          \
  "auth=peercred;mtls;token;totp\n[auth-chain c]\nrequire=" PROVIDERS "\nsame-principal=true\n"  \
  "[service " TEST_SERVICE "]\nauth-chain=c\n[policy all]\nprincipals=*\nservices=" TEST_SERVICE \
  "\nverbs=call\neffect=allow\n"

/* A second token counts only if it was made for who the first proof names. */
static void
test_token_of_one_peer (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  g_autofree char *dir = auth_register_dir (fixture);
  const char *const principals[] = { NULL, "unix:uid=4711", own };
  static const char *const words[] = { "is not bound to unix:uid=", "it counts only as", NULL };

  for (gsize i = 0; i < G_N_ELEMENTS (principals); i++)
    {
      g_autofree char *settings = NULL;
      ServiceChild *child;
      CommyApiKey key;

      auth_make_key (fixture, "build", &key);
      if (principals[i] != NULL)
        {
          g_autoptr (CommyApiKeyRegister) reg = commy_api_key_register_open (dir, NULL);

          g_assert_true (commy_api_key_register_bind (reg, key.id, principals[i], NULL));
          g_assert_true (commy_api_key_register_save (reg, NULL));
        }
      settings = auth_settings_of (fixture, &key, "unix");
      mesh_fixture_capture_log (fixture);
      child = service_child_start (fixture, SAME ("peercred;token"), 0);
      if (words[i] == NULL)
        auth_check_answer (fixture, settings, "Who", own);
      else
        {
          auth_check_refused (fixture, settings, "the log of the side that refuses tells why");
          mesh_fixture_await_log (fixture, words[i]);
        }
      service_child_free (child);
    }
}

static void
test_second_factor (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  g_autofree char *id = NULL;
  g_autofree char *other_id = NULL;
  g_autofree char *settings = auth_enrol (fixture, own, "unix", &id);
  g_autofree char *attributes = g_strdup_printf ("totp:%s for=%s", id, own);
  g_autofree char *others = NULL;
  ServiceChild *child = service_child_start (fixture, SAME ("peercred;totp"), 0);

  auth_check_answer (fixture, settings, "Who", own);
  auth_check_answer (fixture, settings, "Attributes", attributes);
  auth_check_refused (fixture, NULL, "[auth-chain c] requires totp");
  mesh_fixture_capture_log (fixture);
  service_child_free (child);
  /* The secret of somebody else. */
  others = auth_enrol (fixture, "unix:uid=4711", "unix", &other_id);
  child = service_child_start (fixture, SAME ("peercred;totp"), 0);
  auth_check_refused (fixture, others, "the log of the side that refuses tells why");
  mesh_fixture_await_log (fixture, "its proof is wrong");
  service_child_free (child);
}

static void
test_certificate_and_code (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *name = NULL;
  g_autofree char *id = NULL;
  g_autofree char *settings = NULL;
  g_autofree char *attributes = NULL;
  g_autoptr (GError) error = NULL;
  ServiceChild *child;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  name = auth_ask (fixture, "[selection]\npreference=pin\ntransports=tls\n", "Who", &error);
  g_assert_no_error (error);
  g_assert_true (g_str_has_prefix (name, "spiffe://"));
  service_child_free (child);
  settings = auth_enrol (fixture, name, "tls", &id);
  attributes = g_strdup_printf ("totp:%s for=%s", id, name);
  child = service_child_start (fixture, SAME ("mtls;totp"), 0);
  auth_check_answer (fixture, settings, "Who", name);
  auth_check_answer (fixture, settings, "Attributes", attributes);
  service_child_free (child);
}

/* A code that somebody typed is used up by the first connection; the others need none. */
static void
test_session (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  g_autofree char *id = NULL;
  g_autofree char *settings = auth_enrol (fixture, own, "unix", &id);
  CommyMesh *mesh;
  CommyClient *client;
  const char *attributes;
  ServiceChild *child;

  auth_type_code (fixture);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) value = NULL;
      g_autoptr (GError) error = NULL;

      child = service_child_start (
          fixture, SAME ("peercred;totp") "[plugin auth/totp]\nparam.session-life=1h\n", 0);
      if (i == 0)
        {
          mesh = mesh_fixture_join (fixture, settings);
          client = commy_client_new (mesh, TEST_SERVICE);
        }
      value = commy_client_call_sync (client, "Attributes", NULL, NULL, NULL, &error);
      g_assert_no_error (error);
      g_variant_get_child (value, 0, "&s", &attributes);
      g_assert_cmpint (strstr (attributes, "session=") != NULL, ==, i > 0);
      service_child_free (child); /* the next one is another process */
    }
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
}

/* Behind one that goes by steps, too. */
static void
test_second_factor_of_a_token (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *id = NULL;
  g_autofree char *second = auth_enrol (fixture, "token:build", "unix", &id);
  g_autofree char *first = NULL;
  g_autofree char *settings = NULL;
  g_autoptr (GString) both = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  first = auth_settings_of (fixture, &key, "unix");
  both = g_string_new (strstr (second, "[plugin auth/totp]"));
  g_string_truncate (both, (gsize) (strstr (both->str, "[selection]") - both->str));
  settings = g_strconcat (first, both->str, NULL);
  child = service_child_start (fixture, SAME ("token;totp"), 0);
  /* The caller's list of providers is that of its first setting. */
  g_string_assign (both, settings);
  g_string_replace (both, "auth=peercred;mtls;token", "auth=peercred;mtls;token;totp", 1);
  auth_check_answer (fixture, both->str, "Who", "token:build");
  service_child_free (child);
}

/* --- providers of every kind --- */

static void
check_chatty (MeshFixture *fixture, const char *caller, const char *service, const char *words)
{
  g_autofree char *mine = auth_chatty_settings (fixture, caller, "");
  g_autofree char *theirs
      = auth_chatty_settings (fixture, service,
                              "[auth-chain c]\nrequire=chatty\n[service " TEST_SERVICE "]\n"
                              "auth-chain=c\n" ALLOW ("chatty"));
  ServiceChild *child;

  g_free (fixture->log);
  fixture->log = NULL;
  mesh_fixture_capture_log (fixture);
  g_unlink (fixture->log);
  child = service_child_start (fixture, theirs, 0);
  if (words == NULL)
    auth_check_answer (fixture, mine, "Who", "chatty:peer");
  else
    {
      auth_check_refused (fixture, mine, "");
      mesh_fixture_await_log (fixture, words);
    }
  service_child_free (child);
}

static void
test_later (MeshFixture *fixture, gconstpointer data)
{
  check_chatty (fixture, "later", "later", NULL);
}

static void
test_endless (MeshFixture *fixture, gconstpointer data)
{
  check_chatty (fixture, "talks", "talks", "more than there is to say");
  check_chatty (fixture, "later", "talks", "nothing more to say");
  check_chatty (fixture, "later", "large", "too many bytes");
  check_chatty (fixture, "later", "nameless", "is no name");
}

static void
test_thinks_forever (MeshFixture *fixture, gconstpointer data)
{
  check_chatty (fixture, "later", "silent", "was not finished within 1000 ms");
}

/* What is no fault of the caller's is not counted as one: its next attempt may come at once. */
static void
test_unable (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *mine = auth_chatty_settings (fixture, "later", "");
  g_autofree char *theirs
      = auth_chatty_settings (fixture, "unable",
                              "[auth-chain c]\nrequire=chatty\n[service " TEST_SERVICE "]\n"
                              "auth-chain=c\n" ALLOW ("chatty"));
  ServiceChild *child;

  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, theirs, 0);
  for (guint i = 0; i < 3; i++)
    auth_check_refused (fixture, mine, "was not proved");
  mesh_fixture_await_log (fixture, "chatty cannot judge the peer");
  mesh_fixture_await_log (fixture, "the disk is full");
  service_child_free (child);
}

/* --- peers that break the rules --- */

static char *
find_door (MeshFixture *fixture, const char *prefix)
{
  g_autofree char *run = g_build_filename (fixture->dir, "run", "test", NULL);
  g_autoptr (GDir) dir = g_dir_open (run, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, prefix) && g_str_has_suffix (name, ".sock"))
      return g_build_filename (run, name, NULL);
  g_assert_not_reached ();
}

/* Connects, and says hello as one who takes part in tokens' steps. */
static FakeClient *
knock (MeshFixture *fixture, const ServiceChild *child)
{
  static char *const auth[] = { (char *) "token", NULL };
  CommyHello hello
      = { .service = (char *) TEST_SERVICE, .instance = child->instance, .auth = (char **) auth };
  g_autofree char *door = find_door (fixture, "shm-");
  FakeClient *fake = fake_client_new ("shm", NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *plan = NULL;
  CommyFrame frame;

  fake_client_connect (fake, door, &error);
  g_assert_no_error (error);
  fake_client_greet (fake, &hello);
  g_assert_true (fake_client_receive (fake, &frame, &plan));
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_AUTH);
  g_assert_cmpuint (frame.stream, ==, 0);
  g_assert_cmpstr (plan, ==, "token");
  return fake;
}

static void
test_broken_rules (MeshFixture *fixture, gconstpointer data)
{
  static const struct
  {
    CommyFrameSpec spec;
    gsize size;
    int code;
    const char *words;
  } cases[] = {
    { { .type = COMMY_FRAME_AUTH, .stream = 2 }, 46, 401, "was not proved" },
    { { .type = COMMY_FRAME_AUTH, .stream = 0 }, 5, 401, "was not proved" },
    { { .type = COMMY_FRAME_AUTH, .stream = 1, .method = 2 }, 46, 401, "was not proved" },
    { { .type = COMMY_FRAME_AUTH, .stream = 1 }, 0, 401, "was not proved" },
    { { .type = COMMY_FRAME_AUTH, .stream = 1 }, 46, 401, "was not proved" },
    { { .type = COMMY_FRAME_AUTH, .stream = 1 }, COMMY_AUTH_STEP_MAX, 401, "was not proved" },
    { { .type = COMMY_FRAME_AUTH, .stream = 1 }, COMMY_AUTH_STEP_MAX + 1, 401, "was not proved" },
    { { .type = COMMY_FRAME_AUTH, .stream = 1 }, 20000, 501, "" },
    { { .type = COMMY_FRAME_HELLO }, 46, 501, "before the end of set-up" },
    { { .type = COMMY_FRAME_CALL, .stream = 1 }, 8, 501, "before the end of set-up" },
    { { .type = COMMY_FRAME_ACK }, 0, 501, "before the end of set-up" },
  };
  g_autofree guint8 *noise = g_malloc0 (20000);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      /* Each to a node of its own: failures are counted. */
      ServiceChild *child = service_child_start (fixture, SERVER ("require=token\n"), 0);
      FakeClient *fake = knock (fixture, child);

      g_test_message ("case %u", (guint) i);
      fake_client_send_frame (fake, &cases[i].spec, noise, cases[i].size);
      fake_client_expect_close (fake, (guint32) cases[i].code, cases[i].words);
      fake_client_free (fake);
      service_child_free (child);
    }
}

/* A path that ends in the middle costs nobody anything. */
static void
test_hang_up (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = NULL;
  ServiceChild *child;
  CommyApiKey key;

  auth_make_key (fixture, "build", &key);
  settings = auth_settings_of (fixture, &key, "shm");
  child = service_child_start (fixture, SERVER ("require=token\n"), 0);
  for (int i = 0; i < 5; i++)
    fake_client_free (knock (fixture, child));
  auth_check_answer (fixture, settings, "Who", "token:build");
  service_child_free (child);
}

/* Before the HELLO, and by who did not say that it takes part. */
static void
test_out_of_turn (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (fixture, SERVER ("require=token\n"), 0);
  CommyHello hello = { .service = (char *) TEST_SERVICE, .instance = child->instance };
  CommyFrameSpec spec = { .type = COMMY_FRAME_AUTH, .stream = 1 };
  g_autofree char *door = find_door (fixture, "shm-");
  g_autoptr (GError) error = NULL;
  FakeClient *fake = fake_client_new ("shm", NULL);

  g_assert_true (fake_client_connect (fake, door, &error));
  fake_client_send_frame (fake, &spec, "T1", 2);
  fake_client_expect_close (fake, 501, "auth before the end of set-up");
  fake_client_free (fake);
  fake = fake_client_new ("shm", NULL);
  g_assert_true (fake_client_connect (fake, door, &error));
  fake_client_greet (fake, &hello);
  fake_client_expect_close (fake, 401, "requires token");
  fake_client_free (fake);
  service_child_free (child);
}

/* The time for a set-up is for the steps, too. */
static void
test_silence (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (
      fixture, SERVER ("require=token\n") "[limits]\nhandshake-timeout=300ms\n", 0);
  FakeClient *fake = knock (fixture, child);

  fake_client_expect_close (fake, 503, "was not finished");
  fake_client_free (fake);
  service_child_free (child);
}

static void
test_unknown_id (MeshFixture *fixture, gconstpointer data)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_AUTH, .stream = 1 };
  ServiceChild *child;
  FakeClient *fake;
  CommyApiKey key;
  char first[47] = "T1";
  char proof[34] = "T3";

  auth_make_key (fixture, "build", &key);
  for (int known = 0; known < 2; known++)
    {
      g_autofree char *challenge = NULL;
      CommyFrame frame;

      child = service_child_start (fixture, SERVER ("require=token\n"), 0);
      fake = knock (fixture, child);
      memcpy (first + 2, known ? key.id : "0123456789ab", 12);
      fake_client_send_frame (fake, &spec, first, 46);
      g_assert_true (fake_client_receive (fake, &frame, &challenge));
      g_assert_cmpint (frame.type, ==, COMMY_FRAME_AUTH);
      g_assert_cmpuint (frame.payload_size, ==, 50);
      fake_client_send_frame (fake, &spec, proof, sizeof proof);
      fake_client_expect_close (fake, 401, "who this is was not proved");
      fake_client_free (fake);
      service_child_free (child);
    }
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, add_methods, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC)                                                               \
  g_test_add ("/mesh/auth-steps/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("a-token-names-the-caller-over-every-transport", test_every_transport);
  ADD ("all-that-a-chain-requires-is-proved", test_all_of_a_chain);
  ADD ("one-of-any-is-enough", test_one_of_a_chain);
  ADD ("nobody-is-asked-without-a-need", test_not_asked);
  ADD ("an-instance-proves-itself-to-its-caller", test_both_directions);
  ADD ("an-impostor-does-not-know-the-token", test_impostor);
  ADD ("a-flow-moves-to-paths-that-are-proved-too", test_moves);
  ADD ("without-a-credential-the-way-out-is-told", test_no_credential);
  ADD ("a-wrong-token-is-refused-in-general-terms", test_wrong_key);
  /* attack: a token that was revoked; defence: the file counts as it is at each connection; test:
   * /mesh/auth-steps/a-revoked-token-is-refused-at-once */
  ADD ("a-revoked-token-is-refused-at-once", test_revoked);
  ADD ("a-revoked-token-ends-what-is-open", test_revoked_while_open);
  ADD ("a-token-behind-a-certificate-can-be-denied", test_denied_behind);
  /* attack: guess tokens in a loop; defence: a wait that doubles, counted for who guesses; test:
   * /mesh/auth-steps/who-guesses-waits-and-nobody-else */
  ADD ("who-guesses-waits-and-nobody-else", test_guesses);
  ADD ("a-second-token-is-of-the-same-peer", test_token_of_one_peer);
  ADD ("a-second-factor-is-of-the-same-peer", test_second_factor);
  ADD ("a-certificate-and-a-one-time-code", test_certificate_and_code);
  ADD ("a-session-instead-of-a-code", test_session);
  ADD ("a-token-and-a-one-time-code", test_second_factor_of_a_token);
  ADD ("a-provider-may-answer-later", test_later);
  ADD ("a-provider-without-an-end-is-ended", test_endless);
  ADD ("a-provider-that-does-not-answer-costs-a-time", test_thinks_forever);
  ADD ("what-cannot-be-judged-is-nobody-s-failure", test_unable);
  ADD ("steps-that-break-the-rules-end-the-set-up", test_broken_rules);
  ADD ("a-path-may-end-in-the-steps", test_hang_up);
  ADD ("steps-out-of-turn-are-no-steps", test_out_of_turn);
  /* attack: stop in the middle of a proof; defence: the time of a set-up; test:
   * /mesh/auth-steps/silence-in-the-steps-ends-with-the-set-up */
  ADD ("silence-in-the-steps-ends-with-the-set-up", test_silence);
  /* attack: find out which tokens there are; defence: an unknown one is asked like any; test:
   * /mesh/auth-steps/which-tokens-there-are-is-not-told */
  ADD ("which-tokens-there-are-is-not-told", test_unknown_id);
#undef ADD
  return g_test_run ();
}
