/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs on the store "commyd" that do not know of it: the daemon is killed while they call
 * each other, comes back, and users of one host meet who have nothing else in common.
 */
#include "config.h"

#include "users-scene.h"

#include "../fixtures/test-child.h"
#include "mesh/commy-mesh-private.h"
#include "stores/common/commy-store-door.h"
#include "tests/mesh/mesh-scene.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HAVE_GNUTLS
#include "auth/common/commy-pki.h"
#endif

#define N_CALLS 2000
#define CALLER_OPTION "--caller"

static gint32
ask_pid (CommyClient *client, GError **error)
{
  g_autoptr (GVariant) answer = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, error);
  gint32 pid = 0;

  if (answer != NULL)
    g_variant_get (answer, "(i)", &pid);
  return pid;
}

static void
assert_pid (CommyClient *client, gint32 pid)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (ask_pid (client, &error), ==, pid);
  g_assert_no_error (error);
}

static void
leave (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;

  commy_mesh_leave_sync (mesh, NULL, &error);
  g_assert_no_error (error);
}

/* --- an alert --- */

static void
on_alert (
    CommyMesh *mesh, const char *name, gboolean firing, GVariant *details, gboolean *is_firing)
{
  g_assert_cmpstr (name, ==, "away");
  *is_firing = firing;
}

static gboolean
on_tick (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

/* That the store is away is told once, and that it is back. */
static void
test_alert_of_store (HostFixture *fixture, gconstpointer unused)
{
  g_autofree char *store = host_dup_settings (fixture);
  g_autofree char *text
      = g_strconcat (store, "[alert away]\nwhen=store-away\nfor=0\ncool-down=0\n", NULL);
  g_autoptr (CommyMesh) mesh = NULL;
  gboolean is_firing = FALSE;
  guint tick = g_timeout_add (20, on_tick, NULL);

  test_daemon_start (fixture->daemon);
  mesh = mesh_fixture_join (&fixture->mesh, text);
  g_signal_connect (mesh, "alert", G_CALLBACK (on_alert), &is_firing);
  test_daemon_kill (fixture->daemon);
  while (!is_firing)
    g_main_context_iteration (NULL, TRUE);
  test_daemon_start (fixture->daemon);
  while (is_firing)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (tick);
  leave (mesh);
}

/* Calls go on while the daemon is killed and away; who comes when it is back finds everybody. */
static void
test_killed_under_load (HostFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = host_dup_settings (fixture);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyMesh) late = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyClient) newcomer = NULL;
  ServiceChild *child;
  gint32 found = 0;

  test_daemon_start (fixture->daemon);
  child = service_child_start (&fixture->mesh, text, 1);
  mesh = mesh_fixture_join (&fixture->mesh, text);
  client = commy_client_new (mesh, TEST_SERVICE);
  for (int i = 0; i < N_CALLS; i++)
    {
      if (i == N_CALLS / 5)
        test_daemon_kill (fixture->daemon);
      if (i == 3 * N_CALLS / 5)
        test_daemon_stop (fixture->daemon); /* and another version of it is started */
      if (i == 2 * N_CALLS / 5 || i == 4 * N_CALLS / 5)
        test_daemon_start (fixture->daemon);
      assert_pid (client, child->pid);
    }
  late = mesh_fixture_join (&fixture->mesh, text);
  newcomer = commy_client_new (late, TEST_SERVICE);
  while (found == 0) /* each attempt is an answer of the daemon */
    {
      g_autoptr (GError) error = NULL;

      found = ask_pid (newcomer, &error);
      if (found == 0)
        g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE);
    }
  g_assert_cmpint (found, ==, child->pid);
  leave (late);
  leave (mesh);
  service_child_free (child);
}

/* Without a daemon nobody joins, and is told what to do. */
static void
test_nobody_there (HostFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = host_dup_settings (fixture);
  g_autofree char *impatient = g_strconcat (text, "param.timeout=100ms\n", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (&fixture->mesh, impatient, &error);

  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_STORE);
  g_assert_nonnull (strstr (error->message, "systemctl start commyd.socket"));
}

/* --- a watch that falls behind --- */

#define LARGE (1u << 20)
#define ENOUGH 12u /* of these are more than the daemon keeps for who does not read */

typedef struct
{
  GMutex lock;
  GCond changed;
  gboolean is_held, may_go;
} Hold;

/* On the mesh thread, which reads nothing meanwhile. */
static void
hold_thread (gpointer data)
{
  Hold *hold = data;

  g_mutex_lock (&hold->lock);
  hold->is_held = TRUE;
  g_cond_broadcast (&hold->changed);
  while (!hold->may_go)
    g_cond_wait (&hold->changed, &hold->lock);
  g_mutex_unlock (&hold->lock);
}

static guint64
count_cut (TestDaemon *daemon)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) report = NULL;
  guint64 cut = 0;
  int fd = store_door_connect (daemon->socket, &error);

  g_assert_no_error (error);
  report = store_door_ask (fd, "test", 60 * G_USEC_PER_SEC, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_lookup (report, "cut", "t", &cut));
  return cut;
}

static void
on_ended (CommyStoreWatch *watch, const GError *error, gpointer data)
{
  g_assert_nonnull (strstr (error->message, "too slow"));
  *(gboolean *) data = TRUE;
}

/* The mesh reads nothing until release(). */
static void
hold_mesh (CommyMesh *mesh, Hold *hold)
{
  commy_mesh_invoke (mesh, hold_thread, hold);
  g_mutex_lock (&hold->lock);
  while (!hold->is_held)
    g_cond_wait (&hold->changed, &hold->lock);
  g_mutex_unlock (&hold->lock);
}

static void
release (Hold *hold)
{
  g_mutex_lock (&hold->lock);
  hold->may_go = TRUE;
  g_cond_broadcast (&hold->changed);
  g_mutex_unlock (&hold->lock);
}

static void
on_changed (CommyStoreWatch *watch, GVariant *entries, gint64 revision, gpointer data)
{
  (*(guint *) data)++;
}

static void
put (CommyMesh *mesh, gsize size)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (size), size);
  g_autoptr (GError) error = NULL;

  commy_mesh_store_put_sync (mesh, "app/key", value, COMMY_STORE_ANY_REVISION,
                             COMMY_STORE_WRITE_DEFAULT, NULL, &error);
  g_assert_no_error (error);
}

static CommyStoreWatch *
watch_new (CommyMesh *mesh, guint *n_heard)
{
  g_autoptr (GError) error = NULL;
  CommyStoreWatch *watch = commy_store_watch_new (mesh, "app/", -1, &error);

  g_assert_no_error (error);
  g_signal_connect (watch, "changed", G_CALLBACK (on_changed), n_heard);
  put (mesh, 1);
  while (*n_heard == 0) /* from now on the daemon knows of it */
    g_main_context_iteration (NULL, TRUE);
  return watch;
}

/* One after the other: what is written faster may be told together, and only the last of it. */
static void
put_large (CommyMesh *mesh)
{
  guint n_heard = 0;
  g_autoptr (CommyStoreWatch) watch = watch_new (mesh, &n_heard);

  for (guint i = 0; i < ENOUGH; i++)
    {
      guint before = n_heard;

      put (mesh, LARGE);
      while (n_heard == before)
        g_main_context_iteration (NULL, TRUE);
    }
}

/* More changes than are kept for a program that does not read: its watches end and say so, the
 * mesh's own is begun anew, and in the end it knows who is there. */
static void
test_falls_behind (HostFixture *fixture, gconstpointer unused)
{
  g_autofree char *base = host_dup_settings (fixture);
  g_autofree char *text = g_strconcat (base, "[calibration]\nmode=off\n", NULL);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyMesh) writer = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyStoreWatch) watch = NULL;
  ServiceChild *first, *second;
  guint n_heard = 0;
  Hold hold = { .is_held = FALSE };
  gboolean is_over = FALSE;

  test_daemon_write_keyfile (fixture->daemon, "[daemon]\nwaiting=32MiB\n");
  test_daemon_start (fixture->daemon);
  first = service_child_start (&fixture->mesh, text, 1);
  mesh = mesh_fixture_join (&fixture->mesh, text);
  writer = mesh_fixture_join (&fixture->mesh, text);
  client = commy_client_new (mesh, TEST_SERVICE);
  assert_pid (client, first->pid);
  watch = watch_new (mesh, &n_heard);
  g_signal_connect (watch, "ended", G_CALLBACK (on_ended), &is_over);
  hold_mesh (mesh, &hold);
  put_large (writer);
  second = service_child_start (&fixture->mesh, text, 1);
  g_assert_cmpuint (count_cut (fixture->daemon), >=, 2); /* the program's watch, and the mesh's */
  release (&hold);
  while (!is_over || ask_pid (client, NULL) != second->pid)
    g_main_context_iteration (NULL, FALSE);
  leave (writer);
  leave (mesh);
  service_child_free (second);
  service_child_free (first);
}

/* --- who is denied cannot be read --- */

/* More bytes below denied/ than the daemon gives out at once. */
static void
fill_denials (CommyMesh *mesh)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (LARGE), LARGE);

  for (guint i = 0; i < 33; i++)
    {
      g_autofree char *key = g_strdup_printf ("denied/token:%u", i);
      g_autoptr (GError) error = NULL;

      commy_mesh_store_put_sync (mesh, key, value, COMMY_STORE_ANY_REVISION,
                                 COMMY_STORE_WRITE_RESERVED, NULL, &error);
      g_assert_no_error (error);
    }
}

static void
test_denials_unread (HostFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = host_dup_settings (fixture);
  g_autofree char *lenient = g_strconcat (text, "[security]\ndeny-list=if-there\n", NULL);
  g_autoptr (CommyMesh) writer = NULL;
  g_autoptr (CommyMesh) strict = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  /* It warns of what cannot be read, which is what this is about. */
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);

  test_daemon_write_keyfile (fixture->daemon, "[daemon]\nwaiting=32MiB\n");
  test_daemon_start (fixture->daemon);
  writer = mesh_fixture_join (&fixture->mesh, text);
  fill_denials (writer);
  strict = mesh_fixture_new (&fixture->mesh, text, &error);
  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (strict, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_STORE);
  g_assert_nonnull (strstr (error->message, "who is denied cannot be read"));
  g_assert_nonnull (strstr (error->message, "deny-list=if-there"));
  mesh = mesh_fixture_join (&fixture->mesh, lenient);
  leave (mesh);
  leave (writer);
  g_log_set_always_fatal (fatal);
}

/* --- two users --- */

#ifdef HAVE_GNUTLS

/* The exit status of who called: 0, or the number of the error less 300. */
static int
call_as_b (HostFixture *fixture, const char *home, const char *policy)
{
  g_autofree char *text = host_dup_keyfile (fixture, home, policy);

  return host_wait_for (host_start_as (USER_B, home, CALLER_OPTION, text, -1));
}

#define BELIEVE_A                                                                            \
  "[policy believe]\nprincipals=spiffe://*/user/a\nservices=" TEST_SERVICE "\nverbs=offer\n" \
  "effect=allow\n"
#define LET_B_CALL                                                                      \
  "[policy let]\nprincipals=spiffe://*/user/b\nservices=" TEST_SERVICE "\nverbs=call\n" \
  "effect=allow\n"

static void
meet (HostFixture *fixture, CommyPkiAuthority *authority)
{
  g_autofree char *home_a = host_make_home (fixture, authority, "a", USER_A);
  g_autofree char *home_b = host_make_home (fixture, authority, "b", USER_B);
  g_autofree char *text = host_dup_keyfile (fixture, home_a, LET_B_CALL);
  char id[32];
  int pair[2];
  int refused;
  pid_t service;
  ssize_t n;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  service = host_start_as (USER_A, home_a, "--service-child", text, pair[1]);
  close (pair[1]);
  n = read (pair[0], id, sizeof id);
  if (n != (ssize_t) sizeof id)
    {
      g_assert_cmpint (host_wait_for (service), ==, 77);
      g_test_skip ("the build tree is not open to other users");
      close (pair[0]);
      return;
    }
  g_assert_cmpint (call_as_b (fixture, home_b, BELIEVE_A), ==, 0);
  refused = call_as_b (fixture, home_b, ""); /* found, but not believed */
  g_assert_cmpint (refused, !=, 0);
  g_assert_cmpint (refused, !=, COMMY_ERROR_NO_SERVICE - 300);
  close (pair[0]);
  g_assert_cmpint (host_wait_for (service), ==, 0);
}

#endif

static void
test_two_users (HostFixture *fixture, gconstpointer unused)
{
#ifdef HAVE_GNUTLS
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can act as another user");
      return;
    }
  authority = commy_pki_authority_new ("test", g_get_real_time () / G_USEC_PER_SEC, &error);
  g_assert_no_error (error);
  host_open_to_all (fixture->daemon);
  meet (fixture, authority);
#else
  g_test_skip ("this build has no GnuTLS");
#endif
}

/* What user B runs. */
static int
caller_main (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("test", text, &error);
  g_autoptr (CommyClient) client = NULL;
  gint32 pid;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    {
      g_printerr ("caller: %s\n", error->message);
      return 200;
    }
  client = commy_client_new (mesh, TEST_SERVICE);
  pid = ask_pid (client, &error);
  if (pid == 0)
    g_printerr ("caller: %s\n", error->message);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return pid != 0 ? 0 : error->code - 300;
}

static void
on_explained (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

/* What the node of @mesh itself answers. (nullable) */
static GVariant *
explain_there (CommyMesh *mesh, const char *service, GError **error)
{
  static const char *const none[] = { NULL };
  g_autoptr (CommyClient) node = mesh_node_client_new (mesh);
  g_autoptr (GAsyncResult) result = NULL;

  commy_client_call (node, "Explain", g_variant_new ("(st^as)", service, (guint64) 64, none), NULL,
                     NULL, on_explained, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return commy_client_call_finish (node, result, error);
}

/* A node that is asked about a name it has not heard of yet asks the store, and does not wait for
 * it on the thread that would take the answer and that keeps its lease alive. */
static void
test_explains_strange_names (HostFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = host_dup_settings (fixture);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GVariant) known = NULL;
  g_autoptr (GError) nobody = NULL, error = NULL;
  ServiceChild *child;

  test_daemon_start (fixture->daemon);
  child = service_child_start (&fixture->mesh, text, 1);
  mesh = mesh_fixture_join (&fixture->mesh, text);
  g_assert_null (explain_there (mesh, "org.example.Nobody", &nobody));
  g_assert_nonnull (nobody);
  g_assert_nonnull (strstr (nobody->message, "CMY0301: nobody offers org.example.Nobody"));
  known = explain_there (mesh, TEST_SERVICE, &error);
  g_assert_no_error (error);
  leave (mesh);
  service_child_free (child);
}

/* Waits until the mesh knows that its store is away; what it says of it then. (transfer full) */
static char *
await_away (CommyClient *client)
{
  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyDecision) decision = commy_client_explain (client, 64, NULL, NULL, &error);
      g_autofree char *text = NULL;

      g_assert_no_error (error);
      text = commy_decision_to_string (decision);
      if (strstr (text, "the store is away") != NULL)
        return g_steal_pointer (&text);
      g_usleep (1000);
    }
}

/* Calls go on without a store; what is told says how old that is which they go by. */
static void
test_says_how_old (HostFixture *fixture, gconstpointer unused)
{
  g_autofree char *text = host_dup_settings (fixture);
  g_autofree char *notes = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GError) there = NULL, away = NULL;
  ServiceChild *child, *other;
  /* Whatever else is read of the store is missed, too. */
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);

  test_daemon_start (fixture->daemon);
  child = service_child_start (&fixture->mesh, text, 1);
  mesh = mesh_fixture_join (&fixture->mesh, text);
  client = commy_client_new (mesh, TEST_SERVICE);
  assert_pid (client, child->pid);
  service_child_kill (child);
  while (ask_pid (client, &there) != 0) /* what had been sent before it died */
    ;
  g_assert_null (strstr (there->message, "away"));
  other = service_child_start (&fixture->mesh, text, 1);
  while (ask_pid (client, NULL) != other->pid)
    ;
  test_daemon_kill (fixture->daemon);
  notes = await_away (client);
  g_assert_nonnull (strstr (notes, "the store is away; the last it said is "));
  g_assert_nonnull (strstr (notes, " old"));
  assert_pid (client, other->pid);
  service_child_kill (other);
  do /* one may have been sent while it died */
    {
      g_clear_error (&away);
      g_assert_cmpint (ask_pid (client, &away), ==, 0);
    }
  while (g_error_matches (away, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN));
  g_test_message ("%s", away->message);
  g_assert_nonnull (strstr (away->message, "(the store is away; the last it said is "));
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
  service_child_free (other);
  g_log_set_always_fatal (fatal);
}

#define ADD(path, test)                                                           \
  g_test_add ("/daemon/mesh/" path, HostFixture, NULL, host_fixture_set_up, test, \
              host_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status = 0;

  if (service_child_main (argc, argv, &status))
    return status;
  if (argc > 2 && strcmp (argv[1], CALLER_OPTION) == 0)
    return caller_main (argv[2]);
  g_test_init (&argc, &argv, NULL);
  ADD ("calls-go-on-while-the-daemon-is-killed", test_killed_under_load);
  ADD ("an-alert-tells-that-the-store-is-away", test_alert_of_store);
  ADD ("without-a-daemon-joining-says-how-to-start-it", test_nobody_there);
  ADD ("a-watch-that-fell-behind-knows-everything-again", test_falls_behind);
  /* attack: have the deny list not be read; defence: nobody joins without it, unless told to; test:
   * /daemon/mesh/nobody-joins-who-cannot-read-who-is-denied */
  ADD ("nobody-joins-who-cannot-read-who-is-denied", test_denials_unread);
  ADD ("two-users-meet-and-call", test_two_users);
  ADD ("decisions-and-errors-say-how-old-what-they-go-by-is", test_says_how_old);
  ADD ("a-node-explains-a-name-it-has-not-heard-of", test_explains_strange_names);
  return g_test_run ();
}
