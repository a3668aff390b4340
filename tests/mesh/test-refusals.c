/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is turned away, and that both sides hear why: other users, other meshes, certificates
 * that do not count, calls and offers that policy denies.
 */
#include "config.h"

#include "../fixtures/test-child.h"
#include "fake-client.h"
#include "mesh-fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HAVE_GNUTLS
#include "auth/common/commy-pki.h"
#endif

#define ONLY(T) "[selection]\npreference=pin\ntransports=" T "\n"
#define STRANGER 54321 /* a user that nobody is */

/* --- another user on this host --- */

/* The one door below the runtime directory. */
static char *
find_door (MeshFixture *fixture)
{
  g_autofree char *run = g_build_filename (fixture->dir, "run", "test", NULL);
  g_autoptr (GDir) dir = g_dir_open (run, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, "shm-") && g_str_has_suffix (name, ".sock"))
      return g_build_filename (run, name, NULL);
  g_assert_not_reached ();
}

/* What the file system would refuse by itself is granted, so that the node has to. */
static void
open_to_all (MeshFixture *fixture, const char *door)
{
  g_autofree char *run = g_build_filename (fixture->dir, "run", NULL);
  g_autofree char *mesh = g_build_filename (run, "test", NULL);

  g_assert_cmpint (g_chmod (fixture->dir, 0711), ==, 0);
  g_assert_cmpint (g_chmod (run, 0711), ==, 0);
  g_assert_cmpint (g_chmod (mesh, 0711), ==, 0);
  g_assert_cmpint (g_chmod (door, 0666), ==, 0);
}

/* The stranger's part, in a child: exit status 0 for a welcome, 1 for being refused. */
static int
knock_as_stranger (FakeClient *fake, const char *door, char *instance)
{
  CommyHello hello = { .service = (char *) TEST_SERVICE, .instance = instance };
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  CommyFrame frame;

  if (setresgid (STRANGER, STRANGER, STRANGER) < 0 || setresuid (STRANGER, STRANGER, STRANGER) < 0
      || !fake_client_connect (fake, door, &error))
    return 10;
  fake_client_greet (fake, &hello);
  if (!fake_client_receive (fake, &frame, &text))
    return 11;
  if (frame.type == COMMY_FRAME_WELCOME)
    return 0;
  if (frame.type != COMMY_FRAME_CLOSE || frame.method != COMMY_ERROR_REFUSED)
    return 12;
  return strstr (text, "unix:uid=54321 may not call " TEST_SERVICE) != NULL ? 1 : 13;
}

static int
send_stranger (MeshFixture *fixture, const char *settings)
{
  g_autofree char *door = NULL;
  ServiceChild *child;
  FakeClient *fake;
  int status = -1;
  GPid pid;

  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, settings, 0);
  door = find_door (fixture);
  open_to_all (fixture, door);
  fake = fake_client_new ("shm", NULL);
  pid = fork ();
  if (pid == 0)
    {
      alarm (20);
      test_child_exit (knock_as_stranger (fake, door, child->instance));
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  fake_client_free (fake);
  service_child_free (child);
  return WEXITSTATUS (status);
}

static gboolean
can_be_another (void)
{
  if (geteuid () == 0)
    return TRUE;
  g_test_skip ("only root can act as another user");
  return FALSE;
}

static void
test_other_user (MeshFixture *fixture, gconstpointer data)
{
  if (!can_be_another ())
    return;
  g_assert_cmpint (send_stranger (fixture, NULL), ==, 1);
  mesh_fixture_await_log (fixture, "refused a peer on shm: CMY0401: unix:uid=54321 may not call");
}

static void
test_other_user_allowed (MeshFixture *fixture, gconstpointer data)
{
  if (!can_be_another ())
    return;
  g_assert_cmpint (send_stranger (fixture, "[policy guests]\nprincipals=unix:uid=54321\n"
                                           "services=" TEST_SERVICE "\neffect=allow\n"),
                   ==, 0);
}

static void
test_other_mesh (MeshFixture *fixture, gconstpointer data)
{
  CommyHello hello = { .mesh = (char *) "other", .service = (char *) TEST_SERVICE };
  ServiceChild *child;
  g_autofree char *door = NULL;
  g_autoptr (GError) error = NULL;
  FakeClient *fake;

  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, NULL, 0);
  door = find_door (fixture);
  fake = fake_client_new ("shm", NULL);
  fake_client_connect (fake, door, &error);
  g_assert_no_error (error);
  hello.instance = child->instance;
  fake_client_greet (fake, &hello);
  fake_client_expect_close (fake, COMMY_ERROR_REFUSED, "the peer is of mesh \"other\"");
  mesh_fixture_await_log (fixture, "refused a peer on shm: CMY0401: the peer is of mesh \"other\"");
  fake_client_free (fake);
  service_child_free (child);
}

/* --- certificates --- */

#ifdef HAVE_GNUTLS

typedef struct
{
  const char *user;
  gint64 from_s, until_s; /* from now */
  gboolean other_authority;
  gboolean none;
  const char *here;  /* what the client is told */
  const char *there; /* what the server logs; NULL: it never hears of it */
} Paper;

static void
issue (CommyPkiAuthority *authority, const Paper *paper, const char *dir)
{
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiPair) pair = commy_pki_issue (
      authority, "testhost", paper->user, now + paper->from_s, now + paper->until_s, &error);

  g_assert_no_error (error);
  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  commy_pki_pair_save (pair, authority, dir, &error);
  g_assert_no_error (error);
}

static char *
make_papers (MeshFixture *fixture, const Paper *paper)
{
  g_autofree char *home = g_build_filename (fixture->dir, "state", "test", "pki", NULL);
  char *dir = g_build_filename (fixture->dir, "papers", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = NULL;

  mesh_fixture_make_credentials (fixture);
  authority = paper->other_authority
                  ? commy_pki_authority_new ("test", g_get_real_time () / G_USEC_PER_SEC, &error)
                  : commy_pki_authority_load (home, &error);
  g_assert_no_error (error);
  if (!paper->none)
    issue (authority, paper, dir);
  else
    g_assert_cmpint (g_mkdir (dir, 0700), ==, 0);
  return dir;
}

static void
test_papers (MeshFixture *fixture, gconstpointer data)
{
  const Paper *paper = data;
  g_autofree char *dir = make_papers (fixture, paper);
  g_autofree char *file = mesh_fixture_use_keyfile (
      fixture, "client.conf", "[policy offers]\nprincipals=*\nverbs=offer\neffect=allow\n");
  g_autofree char *settings
      = g_strdup_printf ("credentials-dir=%s\n" ONLY ("tls"), dir); /* still in [mesh] */
  ServiceChild *child;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL); /* it warns of the expired */
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, NULL, 0);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_null (value);
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, paper->here));
  if (paper->there != NULL)
    mesh_fixture_await_log (fixture, paper->there);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static const Paper other_authority = { .user = "tester",
                                       .from_s = -60,
                                       .until_s = 3600,
                                       .other_authority = TRUE,
                                       .here = "authority",
                                       .there = "refused a peer on tls" };
static const Paper expired = { .user = "tester",
                               .from_s = -7200,
                               .until_s = -3600,
                               .here = "expired",
                               .there = "refused a peer on tls" };
static const Paper stranger = { .user = "stranger",
                                .from_s = -60,
                                .until_s = 3600,
                                .here = "/user/stranger may not call " TEST_SERVICE,
                                .there = "/user/stranger may not call " TEST_SERVICE };
static const Paper none
    = { .none = TRUE, .here = "no certificate; run commy pki init or commy join", .there = NULL };

#endif

/* --- policy --- */

#define DENY_PID                                                                             \
  "[policy no-pid]\nprincipals=*\nservices=" TEST_SERVICE "\nmethods=Pid;Lie\neffect=deny\n" \
  "[service " TEST_SERVICE "]\nworkers=1\n"

static void
check_policy (CommyClient *client, const char *place)
{
  static const char *const denied[] = { "Pid", "Lie" };
  g_autoptr (GVariant) sum = NULL;
  g_autoptr (GError) fine = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (denied); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (commy_client_call_sync (client, denied[i], NULL, NULL, NULL, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DENIED);
      g_assert_nonnull (strstr (error->message, place));
      g_assert_nonnull (strstr (error->message, denied[i]));
    }
  sum = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &fine);
  g_assert_no_error (fine);
}

/* The same answer on every path. */
static void
test_policy (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "policy.conf", DENY_PID);
  g_autofree char *place = g_strdup_printf ("(%s:", file);
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  gboolean inside = strcmp (transport, "inproc") == 0;
  ServiceChild *child = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyService) service = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  if (!inside)
    child = service_child_start (fixture, NULL, 0);
  mesh = mesh_fixture_join (fixture, settings);
  if (inside)
    {
      service = test_service_new (mesh, 1);
      commy_service_start_sync (service, NULL, &error);
      g_assert_no_error (error);
    }
  client = commy_client_new (mesh, TEST_SERVICE);
  check_policy (client, place);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  if (child != NULL)
    service_child_free (child);
}

static void
test_offer (MeshFixture *fixture, gconstpointer transport)
{
  g_autofree char *settings = g_strdup_printf (ONLY ("%s"), (const char *) transport);
  g_autofree char *file = NULL;
  g_autofree char *place = NULL;
  ServiceChild *child;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, NULL, 0);
  file = mesh_fixture_use_keyfile (fixture, "client.conf",
                                   "[policy offers]\nprincipals=*\nservices=org.example.*\n"
                                   "verbs=offer\neffect=deny\n");
  place = g_strdup_printf ("(%s:", file);
  mesh = mesh_fixture_join (fixture, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_null (value);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_OFFERED);
  g_assert_nonnull (strstr (error->message, "may not offer " TEST_SERVICE));
  g_assert_nonnull (strstr (error->message, place));
  mesh_fixture_await_log (fixture, "may not offer " TEST_SERVICE);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* --- records that share an id --- */

#define LEDGER "org.example.Ledger"

/* Writes the record of @child, with @from replaced by @to, under its id as one of @service. */
static void
write_record_as (CommyMesh *mesh,
                 const ServiceChild *child,
                 const char *service,
                 const char *from,
                 const char *to)
{
  g_autofree char *key = g_strdup_printf ("services/" TEST_SERVICE "/%s", child->instance);
  g_autofree char *taken = g_strdup_printf ("services/%s/%s", service, child->instance);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) entry = commy_mesh_store_get_sync (mesh, key, NULL, &error);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GString) text = NULL;
  g_autoptr (GBytes) bytes = NULL;

  g_assert_no_error (error);
  value = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
  g_assert_nonnull (value);
  text = g_string_new_len (g_variant_get_data (value), (gssize) g_variant_get_size (value));
  if (from != NULL)
    g_assert_cmpuint (g_string_replace (text, from, to, 0), >, 0);
  bytes = g_bytes_new (text->str, text->len);
  commy_mesh_store_put_sync (mesh, taken, bytes, COMMY_STORE_ANY_REVISION,
                             COMMY_STORE_WRITE_RESERVED, NULL, &error);
  g_assert_no_error (error);
}

/* Whether a call by @client is answered; else @error. */
static gboolean
is_answered (CommyClient *client, GError **error)
{
  g_autoptr (GVariant) value = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, error);

  return value != NULL;
}

/* Who may offer one thing has a record of another with the same id: the connection that was made
 * for the first one is no way to the second. */
static void
test_shared_id (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL, ledger = NULL; /* at once: they share their worker */
  g_autoptr (GError) error = NULL;
  ServiceChild *child = service_child_start (fixture, NULL, 0);

  file = mesh_fixture_use_keyfile (fixture, "client.conf",
                                   "[policy offers]\nprincipals=*\nservices=" LEDGER "\n"
                                   "verbs=offer\neffect=deny\n");
  mesh = mesh_fixture_join (fixture, ONLY ("shm"));
  write_record_as (mesh, child, LEDGER, NULL, NULL);
  client = commy_client_new (mesh, TEST_SERVICE);
  is_answered (client, &error);
  g_assert_no_error (error);
  ledger = commy_client_new (mesh, LEDGER);
  g_assert_false (is_answered (ledger, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_OFFERED);
  g_assert_nonnull (strstr (error->message, "may not offer " LEDGER));
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* A record of something else takes the id of an honest one, and leads nowhere. */
static void
test_taken_id (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL, ledger = NULL; /* at once: they share their worker */
  g_autoptr (GError) away = NULL, error = NULL;
  ServiceChild *child = service_child_start (fixture, NULL, 0);

  mesh = mesh_fixture_join (fixture, ONLY ("shm"));
  write_record_as (mesh, child, LEDGER, ".sock", ".gone");
  ledger = commy_client_new (mesh, LEDGER);
  g_assert_false (is_answered (ledger, &away));
  client = commy_client_new (mesh, TEST_SERVICE);
  is_answered (client, &error);
  g_assert_no_error (error);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

#define USELESS 40u /* more than a subset */

/* Records of instances that nobody here can reach, which say that they are of this very process. */
static void
write_useless_records (CommyMesh *mesh)
{
  g_autoptr (GString) endpoints = g_string_new (NULL);

  for (guint i = 0; i < 32; i++)
    g_string_append_printf (endpoints, "%s('pigeon-%u', 'loft')", i > 0 ? ", " : "", i);
  for (guint i = 0; i < USELESS; i++)
    {
      g_autofree char *key = g_strdup_printf ("services/" TEST_SERVICE "/%032u", i);
      g_autofree char *text = g_strdup_printf (
          "{'node': <'%s'>, 'host': <'h'>, 'host-id': <''>, 'interface': <''>, 'pid': <1>, "
          "'serializers': <['native', 'msgpack', 'json', 'cbor']>, 'endpoints': <[%s]>, "
          "'withheld': <@a(ss) []>}",
          commy_mesh_get_node_id (mesh), endpoints->str);
      g_autoptr (GBytes) bytes = g_bytes_new (text, strlen (text));
      g_autoptr (GError) error = NULL;

      commy_mesh_store_put_sync (mesh, key, bytes, COMMY_STORE_ANY_REVISION,
                                 COMMY_STORE_WRITE_RESERVED, NULL, &error);
      g_assert_no_error (error);
    }
}

/* They keep nobody out, and are no nearer than they can prove. */
static void
test_useless_records (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *text = NULL;
  g_autofree char *id = NULL;
  g_autoptr (GError) error = NULL;
  ServiceChild *child = service_child_start (fixture, NULL, 0);

  mesh = mesh_fixture_join (fixture, NULL);
  write_useless_records (mesh);
  client = commy_client_new (mesh, TEST_SERVICE);
  is_answered (client, &error);
  g_assert_no_error (error);
  decision = commy_client_explain (client, 64, NULL, NULL, &error);
  g_assert_no_error (error);
  text = commy_decision_to_string (decision);
  id = g_strndup (child->instance, 8);
  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, id));
  g_assert_nonnull (strstr (text, "pigeon-0")); /* there is room */
  g_assert_null (strstr (text, "levels:"));
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

static void
add (const char *name, gconstpointer data, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/refusals/%s", name);

  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  /* attack: a peer of another user on the local socket; defence: the kernel says who it is, and no
   * rule allows it; test: /mesh/refusals/another-user */
  add ("another-user", NULL, test_other_user);
  add ("another-user-whom-policy-allows", NULL, test_other_user_allowed);
  add ("another-mesh", NULL, test_other_mesh);
  add ("same-policy-answers/inproc", "inproc", test_policy);
  add ("same-policy-answers/shm", "shm", test_policy);
  add ("offer-not-allowed/shm", "shm", test_offer);
  /* attack: have calls of a service that one may not offer go over the connection of one that one
   * may, by a record with the same id; defence: a connection belongs to a service and an id; test:
   * /mesh/refusals/a-shared-id-is-no-way-round-the-offer */
  add ("a-shared-id-is-no-way-round-the-offer", NULL, test_shared_id);
  /* attack: fill the choice of instances of a service with records that lead nowhere and claim to
   * be the nearest; defence: who can be reached comes first, and only this process is this process;
   * test: /mesh/refusals/useless-records-keep-nobody-out */
  add ("useless-records-keep-nobody-out", NULL, test_useless_records);
  add ("an-id-that-another-record-takes-is-no-harm", NULL, test_taken_id);
#ifdef HAVE_GNUTLS
  add ("same-policy-answers/tls", "tls", test_policy);
  /* attack: offer a service that one may not offer; defence: the caller refuses it; test:
   * /mesh/refusals/offer-not-allowed/tls */
  add ("offer-not-allowed/tls", "tls", test_offer);
  add ("certificate/another-authority", &other_authority, test_papers);
  add ("certificate/expired", &expired, test_papers);
  add ("certificate/none", &none, test_papers);
  /* attack: a good certificate of a user whom no rule knows; defence: refused at the door; test:
   * /mesh/refusals/certificate/of-a-stranger */
  add ("certificate/of-a-stranger", &stranger, test_papers);
#endif
  return g_test_run ();
}
