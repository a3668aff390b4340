/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "etcd" over a real etcd-server: the suite of stores, and what only this store has:
 * pages, compaction, restarts, leases that end while their owner lives.
 */
#include "config.h"

#include "etcd-cluster.h"
#include "tests/conformance/commy-store-conformance.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENDPOINTS "COMMY_TEST_ETCD_ENDPOINTS"

static EtcdCluster *cluster; /* one for all cases; each has a mesh of its own */

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *found = commy_test_load ("store", "etcd", &error);

  g_assert_no_error (error);
  return found;
}

static void
use_mesh (CommyTestHost *host, const char *place)
{
  g_autofree char *mesh = g_compute_checksum_for_string (G_CHECKSUM_SHA1, place, -1);

  commy_test_host_set_info (host, COMMY_HOST_MESH, mesh);
  commy_test_host_set_info (host, COMMY_HOST_STATE_DIR, place);
}

/* Children of a case find the cluster in their environment. */
static void
use_cluster (CommyTestHost *host, const char *place)
{
  use_mesh (host, place);
  commy_test_host_set_param (host, "endpoints", g_getenv (ENDPOINTS));
}

/* --- what only this store has --- */

typedef struct
{
  CommyStoreUnderTest store;
} Fixture;

static void
fixture_set_up (Fixture *fixture, gconstpointer endpoints)
{
  CommyTestHost *host = commy_test_host_new (NULL, descriptor ());

  fixture->store = (CommyStoreUnderTest){ host, descriptor ()->ops, NULL };
  use_mesh (host, commy_test_host_get_dir (host));
  commy_test_host_set_param (host, "endpoints", etcd_cluster_get_endpoints (cluster));
}

static void
start (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  fixture->store.instance = commy_test_host_start (fixture->store.host, &error);
  g_assert_no_error (error);
}

static void
fixture_tear_down (Fixture *fixture, gconstpointer unused)
{
  commy_test_host_stop (fixture->store.host);
  g_assert_cmpuint (commy_test_host_count_sources (fixture->store.host), ==, 0);
  commy_test_host_free (fixture->store.host);
}

static void
test_pages (Fixture *fixture, gconstpointer unused)
{
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_test_host_set_param (fixture->store.host, "page", "7");
  start (fixture);
  for (int i = 0; i < 50; i++)
    {
      g_autofree char *key = g_strdup_printf ("page/%03d", i);

      commy_store_put (&fixture->store, key, key, 0);
    }
  commy_store_range (&fixture->store, "page/", &answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.entries->len, ==, 50);
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *key = g_strdup_printf ("page/%03u", i);

      g_assert_cmpstr (g_array_index (answer.entries, CommyStoreEntry, i).key, ==, key);
    }
}

/* A page of them is more than max-answer: fewer are read at once. */
static void
test_pages_shrink (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *text = g_strnfill (20000, 'v');

  commy_test_host_set_param (fixture->store.host, "max-answer", "64 KiB");
  start (fixture);
  for (int i = 0; i < 12; i++)
    {
      g_autofree char *key = g_strdup_printf ("large/%d", i);

      commy_store_put (&fixture->store, key, text, 0);
    }
  g_assert_cmpuint (commy_store_count (&fixture->store, "large/"), ==, 12);
}

static void
test_value_limit (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (2049), 2049);
  CommyStoreOp op = { COMMY_STORE_PUT, "k", value, 0 };
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_test_host_set_param (fixture->store.host, "max-value", "2 KiB");
  start (fixture);
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &answer);
  g_assert_error (answer.error, COMMY_TEST_ERROR, 309);
}

typedef struct
{
  GString *order;
  char name;
  gboolean *is_last;
} Turn;

static void
on_turn (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Turn *turn = user_data;

  g_string_append_c (turn->order, error == NULL ? turn->name : g_ascii_toupper (turn->name));
  if (turn->is_last != NULL)
    *turn->is_last = TRUE;
}

/* A refusal that needs no question waits its turn too. */
static void
test_order (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  g_autoptr (GString) order = g_string_new (NULL);
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  CommyStoreOp good = { COMMY_STORE_PUT, "k", value, 0 };
  CommyStoreOp bad = { COMMY_STORE_PUT, "", value, 0 };
  gboolean is_last = FALSE;
  Turn turns[] = {
    { order, 'a', NULL }, { order, 'b', NULL }, { order, 'c', NULL }, { order, 'd', &is_last }
  };
  gpointer instance;

  start (fixture);
  instance = fixture->store.instance;
  ops->txn (instance, NULL, 0, &good, 1, on_turn, &turns[0]);
  ops->txn (instance, NULL, 0, &bad, 1, on_turn, &turns[1]);
  ops->range (instance, "", on_turn, &turns[2]);
  ops->grant (instance, G_GINT64_CONSTANT (1000000000), on_turn, &turns[3]);
  commy_test_run_until (NULL, is_last);
  g_assert_cmpstr (order->str, ==, "aBcd");
}

/* Somebody else ended it; so does time when the owner was stopped for too long. */
static void
test_lost_lease (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  CommyStoreOp op = { COMMY_STORE_PUT, "k", value, 0 };
  g_auto (CommyStoreAnswer) answer = { 0 };
  g_autofree char *body = NULL;
  g_autofree char *said = NULL;

  commy_test_host_set_param (fixture->store.host, "lease-ttl", "1s");
  start (fixture);
  op.lease = commy_store_grant (&fixture->store);
  body = g_strdup_printf ("{\"ID\":\"%" G_GINT64_FORMAT "\"}", op.lease);
  said = etcd_cluster_post (cluster, 0, "/v3/lease/revoke", body);
  g_assert_null (strstr (said, "\"error\""));
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &answer);
  g_assert_error (answer.error, COMMY_TEST_ERROR, 601);
  g_assert_nonnull (strstr (answer.error->message, "lease"));
}

/* However busy this machine is. */
static void
start_patiently (Fixture *fixture)
{
  commy_test_host_set_param (fixture->store.host, "attempt", "60s");
  commy_test_host_set_param (fixture->store.host, "timeout", "120s");
  start (fixture);
}

#define OPS 128u

/* As many as etcd takes: its answer says something of each. */
static void
test_many_ops (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  g_auto (CommyStoreAnswer) answer = { 0 };
  CommyStoreOp ops[OPS];

  start_patiently (fixture);
  for (guint i = 0; i < OPS; i++)
    ops[i] = (CommyStoreOp){ COMMY_STORE_PUT, g_strdup_printf ("many/%u", i), value, 0 };
  commy_store_txn (&fixture->store, NULL, 0, ops, OPS, &answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (commy_store_count (&fixture->store, "many/"), ==, OPS);
  for (guint i = 0; i < OPS; i++)
    g_free ((char *) ops[i].key);
}

/* --- transactions that go together --- */

typedef struct
{
  guint *n_left;
  gint64 revision; /* 0: it failed */
} Put;

static void
on_put (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Put *put = user_data;

  if (error != NULL)
    g_test_message ("%s", error->message);
  put->revision = error == NULL ? result->revision : 0;
  --*put->n_left;
}

static void
begin_put (Fixture *fixture, const char *key, GBytes *value, gint64 lease, Put *put)
{
  const CommyStoreOp op = { COMMY_STORE_PUT, key, value, lease };

  ++*put->n_left;
  fixture->store.ops->txn (fixture->store.instance, NULL, 0, &op, 1, on_put, put);
}

#define PUTS 301

/* The first goes at once; what waited for it is three transactions of at most 128 operations. */
static void
test_together (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  g_autofree Put *puts = g_new0 (Put, PUTS);
  guint n_left = 0, n_revisions = 0;

  start_patiently (fixture);
  for (guint i = 0; i < PUTS; i++)
    {
      g_autofree char *key = g_strdup_printf ("together/%u", i);

      puts[i].n_left = &n_left;
      begin_put (fixture, key, value, 0, &puts[i]);
    }
  commy_test_run_until (NULL, n_left == 0);
  for (guint i = 0; i < PUTS; i++)
    {
      g_assert_cmpint (puts[i].revision, >, 0);
      n_revisions += i == 0 || puts[i].revision != puts[i - 1].revision;
    }
  g_assert_cmpuint (n_revisions, ==, 4);
  g_assert_cmpuint (commy_store_count (&fixture->store, "together/"), ==, PUTS);
}

/* Of one key each is a revision of its own, and the last one stays. */
static void
test_one_key (Fixture *fixture, gconstpointer unused)
{
  static const char *const texts[] = { "0", "1", "2", "3", "4", "5" };
  Put puts[G_N_ELEMENTS (texts)];
  g_auto (CommyStoreAnswer) answer = { 0 };
  guint n_left = 0;

  start_patiently (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GBytes) value = g_bytes_new_static (texts[i], 1);

      puts[i] = (Put){ &n_left, 0 };
      begin_put (fixture, "k", value, 0, &puts[i]);
    }
  commy_test_run_until (NULL, n_left == 0);
  for (guint i = 1; i < G_N_ELEMENTS (texts); i++)
    g_assert_cmpint (puts[i].revision, >, puts[i - 1].revision);
  commy_store_range (&fixture->store, "k", &answer);
  g_assert_cmpuint (answer.entries->len, ==, 1);
  g_assert_cmpmem (
      g_bytes_get_data (g_array_index (answer.entries, CommyStoreEntry, 0).value, NULL), 1, "5", 1);
}

#define LOST 3u

/* What etcd will not have of one does not harm those that went with it. */
static void
test_refused_together (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  Put puts[8];
  guint n_left = 0;

  start_patiently (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (puts); i++)
    {
      g_autofree char *key = g_strdup_printf ("lease/%u", i);

      puts[i] = (Put){ &n_left, 0 };
      begin_put (fixture, key, value, i == LOST ? 12345 : 0, &puts[i]);
    }
  commy_test_run_until (NULL, n_left == 0);
  for (guint i = 0; i < G_N_ELEMENTS (puts); i++)
    g_assert_cmpint (puts[i].revision > 0, ==, i != LOST);
  g_assert_cmpuint (commy_store_count (&fixture->store, "lease/"), ==, G_N_ELEMENTS (puts) - 1);
}

/* Together they would be more than etcd reads of one request. */
static void
test_large_together (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (700000), 700000);
  Put puts[5];
  guint n_left = 0;

  start_patiently (fixture);
  for (guint i = 0; i < G_N_ELEMENTS (puts); i++)
    {
      g_autofree char *key = g_strdup_printf ("large/%u", i);

      puts[i] = (Put){ &n_left, 0 };
      begin_put (fixture, key, value, 0, &puts[i]);
    }
  commy_test_run_until (NULL, n_left == 0);
  for (guint i = 0; i < G_N_ELEMENTS (puts); i++)
    g_assert_cmpint (puts[i].revision, >, i > 0 ? puts[i - 1].revision : 0);
}

static void
test_endpoints (Fixture *fixture, gconstpointer unused)
{
  static const char *const bad[] = { "",
                                     ";",
                                     "127.0.0.1:2379",
                                     "ftp://host",
                                     "http://",
                                     "https://a/b",
                                     "https://user:word@host",
                                     "https://host?x",
                                     "https://ho st" };
  CommyTestHost *host = fixture->store.host;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      commy_test_host_set_param (host, "endpoints", bad[i]);
      g_assert_null (commy_test_host_start (host, &error));
      g_assert_error (error, COMMY_TEST_ERROR, 103);
    }
}

static void
test_password_in_the_clear (Fixture *fixture, gconstpointer unused)
{
  CommyTestHost *host = fixture->store.host;
  g_autoptr (GError) error = NULL;

  commy_test_host_set_param (host, "endpoints", "http://etcd.example.org:2379");
  commy_test_host_set_param (host, "user", "somebody");
  g_assert_null (commy_test_host_start (host, &error));
  g_assert_error (error, COMMY_TEST_ERROR, 103);
  g_assert_nonnull (strstr (error->message, "https://"));
}

static void
on_code (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  *(int *) user_data = error != NULL ? error->code : 0;
}

static void
test_forked_child_is_refused (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  int status = -1;
  pid_t pid;

  start (fixture);
  commy_store_put (&fixture->store, "k", "v", commy_store_grant (&fixture->store));
  pid = fork ();
  if (pid == 0)
    {
      int code = 0;

      ops->range (fixture->store.instance, "", on_code, &code);
      descriptor ()->fini (fixture->store.instance);
      _exit (code == 702 ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (commy_store_count (&fixture->store, "k"), ==, 1);
}

#define ADD(path, test) \
  g_test_add ("/store/etcd/" path, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int
main (int argc, char **argv)
{
  int status = 0;

  if (commy_store_conformance_child (descriptor (), use_cluster, argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  if (!etcd_is_there ())
    {
      g_print ("1..0 # SKIP etcd is not installed\n");
      return 0;
    }
  cluster = etcd_cluster_new (1, FALSE);
  g_setenv (ENDPOINTS, etcd_cluster_get_endpoints (cluster), TRUE);
  commy_store_conformance_add (descriptor (), use_cluster);
  ADD ("range/pages-are-one-revision", test_pages);
  ADD ("range/pages-of-large-values-are-smaller", test_pages_shrink);
  ADD ("limits/value", test_value_limit);
  ADD ("limits/operations-of-a-transaction", test_many_ops);
  ADD ("order/answers-come-in-order-of-asking", test_order);
  ADD ("lease/put-under-a-lost-one-is-refused", test_lost_lease);
  ADD ("together/what-waits-is-few-transactions", test_together);
  ADD ("together/of-one-key-each-is-its-own", test_one_key);
  ADD ("together/a-refusal-is-of-one", test_refused_together);
  ADD ("together/not-beyond-the-size-of-a-request", test_large_together);
  ADD ("settings/endpoints-are-checked", test_endpoints);
  ADD ("settings/no-password-in-the-clear", test_password_in_the_clear);
  ADD ("process/forked-child-is-refused", test_forked_child_is_refused);
  status = g_test_run ();
  etcd_cluster_free (cluster);
  return status;
}
