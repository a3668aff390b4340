/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit trail of real meshes: the same event is the same record over every path, seals are
 * judged from files alone, and what cannot be recorded is refused where the keyfile says so.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "mesh-scene.h"
#include "mesh/commy-mesh-private.h"
#include "mesh/commy-node-keeper.h"

#include "mesh/commy-client-private.h"
#include "mesh/commy-peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef HAVE_GNUTLS
#include "auth/common/commy-pki-seal.h"
#endif

#define ONLY(T) "[selection]\npreference=pin\ntransports=" T "\n"
#define AUDIT "[audit]\nenabled=true\n"
#define DENY_ADD \
  "[policy no-add]\nprincipals=*\nservices=" TEST_SERVICE "\nmethods=Add\neffect=deny\n"
#define DENY_PID                                                                         \
  "[policy no-pid]\nprincipals=*\nservices=" TEST_SERVICE "\nmethods=Pid\neffect=deny\n" \
  "[service " TEST_SERVICE "]\nworkers=1\n"

static char *
dup_dir (MeshFixture *fixture)
{
  return g_build_filename (fixture->dir, "state", "test", "audit", NULL);
}

static const char *
get (GVariant *record, const char *key)
{
  const char *text = "";

  g_variant_lookup (record, key, "&s", &text);
  return text;
}

/* What is to be equal of a call over any path. */
static char *
dup_essence (GVariant *record)
{
  guint64 count = 0;

  g_variant_lookup (record, "count", "t", &count);
  return g_strdup_printf ("%s %s %s.%s %s %s %s %s x%" G_GUINT64_FORMAT, get (record, "type"),
                          get (record, "outcome"), get (record, "service"), get (record, "method"),
                          get (record, "rule"), get (record, "origin"), get (record, "reason"),
                          get (record, "details"), count);
}

typedef struct
{
  GHashTable *calls; /* transport -> essence */
  GHashTable *kinds; /* "type outcome" */
} Seen;

static gboolean
look (GVariant *record, gpointer data)
{
  Seen *seen = data;

  /* Which policy it was, not only what its rules are called. */
  if (strcmp (get (record, "type"), "policy") == 0)
    g_assert_true (g_str_has_prefix (get (record, "details"), "sha256:"));
  g_hash_table_add (seen->kinds,
                    g_strdup_printf ("%s %s", get (record, "type"), get (record, "outcome")));
  if (strcmp (get (record, "type"), "call") == 0
      && strcmp (get (record, "service"), TEST_SERVICE) == 0)
    {
      g_assert_cmpstr (get (record, "principal"), !=, "");
      g_assert_false (g_hash_table_contains (seen->calls, get (record, "transport")));
      g_hash_table_insert (seen->calls, g_strdup (get (record, "transport")), dup_essence (record));
    }
  return TRUE;
}

static void
call_denied (MeshFixture *fixture, const char *transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), transport);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, settings);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DENIED);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
assert_whole (MeshFixture *fixture)
{
  g_autofree char *dir = dup_dir (fixture);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) report = NULL;
  guint64 faults = 1, names = 0;
#ifdef HAVE_GNUTLS
  g_autofree char *pki = g_build_filename (fixture->dir, "state", "test", "pki", NULL);
  g_autoptr (CommyPkiSealJudge) judge = commy_pki_seal_judge_new (pki, &error);
  CommyAuditTools tools = { sizeof tools, commy_pki_seal_hash, commy_pki_seal_check, judge };
  g_autofree char *text = NULL;

  g_assert_no_error (error);
  report = commy_audit_verify (dir, &tools, NULL, &error);
  text = g_variant_print (report, FALSE);
  g_test_message ("%s", text);
  g_assert_null (strstr (text, "'seals': <uint64 0>"));
#else
  report = commy_audit_verify (dir, NULL, NULL, &error);
#endif
  g_assert_no_error (error);
  g_assert_true (g_variant_lookup (report, "fault_count", "t", &faults));
  g_assert_cmpuint (faults, ==, 0);
  g_assert_true (g_variant_lookup (report, "names", "t", &names));
  g_assert_cmpuint (names, >, 0);
}

static void
test_same_record (MeshFixture *fixture, gconstpointer data)
{
  static const char *const transports[] = {
    "shm",
    "unix",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  static const char *const kinds[]
      = { "node joined",   "node left",     "config loaded", "policy loaded",
          "plugin loaded", "peer accepted", "call denied",   "trail closed" };
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "audit.conf", DENY_PID AUDIT);
  g_autofree char *dir = dup_dir (fixture);
  g_autofree char *wanted
      = g_strdup_printf ("call denied " TEST_SERVICE ".Pid no-pid %s:5   x1", file);
  Seen seen = { g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free),
                g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL) };
  ServiceChild *child;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    call_denied (fixture, transports[i]);
  service_child_free (child);
  assert_whole (fixture);
  g_assert_true (commy_audit_read (dir, look, &seen, NULL));
  g_assert_cmpuint (g_hash_table_size (seen.calls), ==, G_N_ELEMENTS (transports));
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    g_assert_cmpstr (g_hash_table_lookup (seen.calls, transports[i]), ==, wanted);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (!g_hash_table_contains (seen.kinds, kinds[i]))
      g_error ("no record of \"%s\"", kinds[i]);
  g_hash_table_unref (seen.calls);
  g_hash_table_unref (seen.kinds);
}

/* Nothing is left where nobody asked for it. */
static void
test_off (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autofree char *dir = dup_dir (fixture);
  g_autofree char *told = commy_mesh_dup_audit_directory (mesh);

  g_assert_cmpstr (dir, ==, told);
  g_assert_false (g_file_test (dir, G_FILE_TEST_EXISTS));
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_no_join (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (
      fixture, "audit.conf", AUDIT "directory=/proc/nothing\non-failure=refuse\n");
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);

  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_AUDIT);
  g_assert_nonnull (strstr (error->message, file));
}

static void
test_join_anyway (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file
      = mesh_fixture_use_keyfile (fixture, "audit.conf", AUDIT "directory=/proc/nothing\n");
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);

  g_assert_nonnull (file);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
set_file_limit (rlim_t bytes)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  limit.rlim_cur = MIN (bytes, limit.rlim_max);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
}

static int
call (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) sum
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  return sum != NULL ? 0 : error->code;
}

/* Calls that are recorded are refused while they cannot be, and go on when they can. */
static void
test_refused (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (
      fixture, "audit.conf",
      AUDIT "calls=all\non-failure=refuse\n[limits]\ncall-timeout=60s\n"
            "[service " TEST_SERVICE "]\nbreaker=false\nejection=false\n");
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, ONLY ("inproc"));
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  int code;

  g_assert_nonnull (file);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (call (client), ==, 0);
  set_file_limit (1);
  while ((code = call (client)) == 0)
    ;
  set_file_limit (RLIM_INFINITY);
  g_assert_cmpint (code, ==, COMMY_ERROR_AUDIT);
  while ((code = call (client)) == COMMY_ERROR_AUDIT)
    ;
  g_assert_cmpint (code, ==, 0);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* Settings by which the folder could not hold two files. */
static void
test_sizes (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (
      fixture, "audit.conf", AUDIT "max-file-size=1MiB\nmax-total-size=1MiB\n");
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);

  g_assert_nonnull (file);
  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
  g_assert_nonnull (strstr (error->message, "max-total-size"));
}

#ifdef HAVE_GNUTLS
#define STRANGERS 200

static int
connect_from (const char *address, guint host)
{
  struct sockaddr_in from = { .sin_family = AF_INET };
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  from.sin_addr.s_addr = htonl (INADDR_LOOPBACK + host);
  to.sin_port = htons ((guint16) atoi (strrchr (address, ':') + 1));
  g_assert_cmpint (bind (fd, (struct sockaddr *) &from, sizeof from), ==, 0);
  g_assert_cmpint (connect (fd, (struct sockaddr *) &to, sizeof to), ==, 0);
  return fd;
}

static void
await_end (int fd)
{
  char rest[256];

  while (recv (fd, rest, sizeof rest, 0) > 0)
    ;
  close (fd);
}

/* One from 127.0.0.@host who does not speak TLS, until he is told so. */
static void
knock (const char *address, guint host)
{
  int fd = connect_from (address, host);

  g_assert_cmpint (send (fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), ==, 18);
  await_end (fd);
}

static const char *
address_of (CommyClient *client)
{
  for (guint i = 0; i < COMMY_FLAVOUR_LAST; i++)
    if (client->routes[i].home.path != NULL)
      return client->routes[i].home.path->address;
  g_assert_not_reached ();
}

typedef struct
{
  guint records;
  guint64 strangers;
  guint64 withheld;
} Strangers;

static gboolean
count_strangers (GVariant *record, gpointer data)
{
  Strangers *seen = data;
  guint64 count = 1;

  if (strcmp (get (record, "type"), "peer") != 0
      || strcmp (get (record, "outcome"), "refused") != 0)
    return TRUE;
  g_variant_lookup (record, "count", "t", &count);
  seen->records++;
  seen->strangers += count;
  seen->withheld += strcmp (get (record, "details"), COMMY_AUDIT_WITHHELD) == 0 ? count : 0;
  return TRUE;
}

/* Each of another address: a minute's worth of them has records, the others are counted. */
static void
test_strangers (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "audit.conf", AUDIT);
  g_autofree char *dir = dup_dir (fixture);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  Strangers seen = { 0 };
  ServiceChild *child;

  g_assert_nonnull (file);
  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  mesh = mesh_fixture_join (fixture, ONLY ("tls"));
  client = commy_client_new (mesh, TEST_SERVICE);
  g_assert_cmpint (call (client), ==, 0);
  for (guint i = 1; i <= STRANGERS; i++)
    knock (address_of (client), i);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
  assert_whole (fixture);
  g_assert_true (commy_audit_read (dir, count_strangers, &seen, NULL));
  g_assert_cmpuint (seen.strangers, ==, STRANGERS);
  g_assert_cmpuint (seen.withheld, >, 0);
  g_assert_cmpuint (seen.records, <, STRANGERS);
}

static gboolean
is_turned_away (GVariant *record, gpointer data)
{
  if (strcmp (get (record, "outcome"), "refused") == 0
      && strcmp (get (record, "reason"), "CMY0308") == 0
      && strstr (get (record, "peer"), "limit \"handshakes\"") != NULL)
    *(gboolean *) data = TRUE;
  return TRUE;
}

/* More than the core lets begin at a time, of whom the oldest goes. */
static void
test_turned_away (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file
      = mesh_fixture_use_keyfile (fixture, "audit.conf", AUDIT "[limits]\nhandshakes=16\n");
  g_autofree char *dir = dup_dir (fixture);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  gboolean is_recorded = FALSE;
  ServiceChild *child;
  int fds[17];

  g_assert_nonnull (file);
  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  mesh = mesh_fixture_join (fixture, ONLY ("tls"));
  client = commy_client_new (mesh, TEST_SERVICE);
  g_assert_cmpint (call (client), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = connect_from (address_of (client), i + 1);
  await_end (fds[0]);
  for (guint i = 1; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
  g_assert_true (commy_audit_read (dir, is_turned_away, &is_recorded, NULL));
  g_assert_true (is_recorded);
}
#endif

#define REFUSE                                                                  \
  AUDIT "on-failure=refuse\n[limits]\ncall-timeout=60s\n[service " TEST_SERVICE \
        "]\nbreaker=false\nejection=false\n"

/* 0, or why the node was not cordoned. */
static int
cordon (CommyClient *node)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (node, "Cordon", g_variant_new ("(b)", TRUE), NULL, NULL, &error);

  return answer != NULL ? 0 : error->code;
}

static const char *
get_state (CommyMesh *mesh)
{
  return commy_node_state_to_string (commy_node_keeper_get_state (mesh->keeper));
}

/* The disk takes nothing, and that was noticed. */
static void
fill_disk (CommyMesh *mesh)
{
  set_file_limit (1);
  commy_mesh_audit (mesh, "node", "joined", NULL, "something to write");
  g_assert_false (commy_audit_log_sync (mesh->shared.audit));
}

static void
empty_disk (CommyMesh *mesh)
{
  set_file_limit (RLIM_INFINITY);
  while (!commy_audit_log_sync (mesh->shared.audit))
    ;
}

static void
test_no_control (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "audit.conf", REFUSE);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyClient) node = mesh_node_client_new (mesh);
  g_autofree char *before = g_strdup (get_state (mesh));
  g_autofree char *dir = dup_dir (fixture);
  Seen seen = { g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free),
                g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL) };

  g_assert_nonnull (file);
  g_variant_unref (mesh_ask_client (node, "Flows", NULL)); /* it is connected */
  fill_disk (mesh);
  g_assert_cmpint (cordon (node), ==, COMMY_ERROR_AUDIT);
  g_assert_cmpstr (get_state (mesh), ==, before);
  empty_disk (mesh);
  /* That it was tried is recorded, and not that it happened. */
  g_assert_true (commy_audit_read (dir, look, &seen, NULL));
  g_assert_true (g_hash_table_contains (seen.kinds, "control refused"));
  g_assert_false (g_hash_table_contains (seen.kinds, "control allowed"));
  g_assert_cmpint (cordon (node), ==, 0);
  g_assert_cmpstr (get_state (mesh), !=, before);
  g_hash_table_unref (seen.calls);
  g_hash_table_unref (seen.kinds);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_no_policy (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "audit.conf", REFUSE);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, ONLY ("inproc"));
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (call (client), ==, 0);
  g_file_set_contents (file, REFUSE DENY_ADD, -1, &error);
  g_assert_no_error (error);
  fill_disk (mesh);
  g_assert_false (commy_mesh_reload_policy (mesh, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_AUDIT);
  g_clear_error (&error);
  g_assert_cmpint (call (client), ==, 0); /* the old one is in force */
  empty_disk (mesh);
  g_assert_true (commy_mesh_reload_policy (mesh, &error));
  g_assert_no_error (error);
  g_assert_cmpint (call (client), ==, COMMY_ERROR_DENIED);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_no_peer (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "audit.conf", REFUSE);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) other
      = mesh_fixture_join (fixture, ONLY ("unix") "[audit]\nenabled=false\n");
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = commy_client_new (other, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  int code;

  g_assert_nonnull (file);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  fill_disk (mesh);
  g_assert_cmpint (call (client), ==, COMMY_ERROR_AUDIT);
  empty_disk (mesh);
  while ((code = call (client)) == COMMY_ERROR_NO_ROUTE)
    ; /* it is left alone for a moment */
  g_assert_cmpint (code, ==, 0);
  commy_mesh_leave_sync (other, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
add (const char *name, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/audit/%s", name);

  g_test_add (path, MeshFixture, NULL, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); /* it warns of full disks */
  signal (SIGXFSZ, SIG_IGN);
  add ("same-record-over-every-path", test_same_record);
  add ("off-unless-asked-for", test_off);
  add ("no-trail-no-join", test_no_join);
  add ("no-trail-and-on", test_join_anyway);
  add ("refused-while-the-disk-is-full", test_refused);
  add ("sizes-that-do-not-fit", test_sizes);
#ifdef HAVE_GNUTLS
  add ("strangers-have-a-budget", test_strangers);
  add ("who-is-turned-away-is-recorded", test_turned_away);
#endif
  /* attack: fill the disk, so that nobody reads later what was done; defence: with
   * on-failure=refuse it is not done; test: /mesh/audit/no-trail-no-control */
  add ("no-trail-no-control", test_no_control);
  add ("no-trail-no-other-policy", test_no_policy);
  add ("no-trail-no-peer", test_no_peer);
  return g_test_run ();
}
