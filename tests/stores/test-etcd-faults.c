/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes wrong with a cluster of three while it is used: its leader is killed, members are
 * stopped, a majority is gone, history is compacted. And what has users and TLS: who is refused.
 */
#include "config.h"

#include "etcd-cluster.h"
#include "tests/conformance/commy-store-conformance.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

static EtcdCluster *cluster; /* of three */
static EtcdCluster *secure;  /* of one, with users */

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *found = commy_test_load ("store", "etcd", &error);

  g_assert_no_error (error);
  return found;
}

typedef struct
{
  CommyStoreUnderTest store;
} Fixture;

static void
use_mesh (CommyTestHost *host)
{
  g_autofree char *mesh
      = g_compute_checksum_for_string (G_CHECKSUM_SHA1, commy_test_host_get_dir (host), -1);

  commy_test_host_set_info (host, COMMY_HOST_MESH, mesh);
}

static void
fixture_set_up (Fixture *fixture, gconstpointer unused)
{
  CommyTestHost *host = commy_test_host_new (NULL, descriptor ());

  fixture->store = (CommyStoreUnderTest){ host, descriptor ()->ops, NULL };
  use_mesh (host);
  commy_test_host_set_param (host, "endpoints", etcd_cluster_get_endpoints (cluster));
  commy_test_host_set_param (host, "attempt", "700ms");
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

typedef struct
{
  guint n_entries;
  GError *error;
} Seen;

static void
on_event (gpointer user_data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  Seen *seen = user_data;

  seen->n_entries += (guint) n_entries;
  if (error != NULL)
    seen->error = g_error_copy (error);
}

/* A put that may have failed in the middle is put again: it says so itself. */
static void
put_until_it_is_there (Fixture *fixture, const char *value)
{
  g_autoptr (GBytes) bytes = g_bytes_new (value, strlen (value));
  CommyStoreOp op = { COMMY_STORE_PUT, "k", bytes, 0 };
  gboolean is_there = FALSE;

  while (!is_there)
    {
      g_auto (CommyStoreAnswer) answer = { 0 };

      commy_store_txn (&fixture->store, NULL, 0, &op, 1, &answer);
      is_there = answer.error == NULL;
      if (!is_there)
        {
          g_assert_error (answer.error, COMMY_TEST_ERROR, 601);
          g_test_message ("%s", answer.error->message);
        }
    }
}

static void
wait_for_all (void)
{
  for (guint i = 0; i < 3; i++)
    etcd_cluster_wait (cluster, i);
}

static void
compact (gint64 revision)
{
  g_autofree char *body = g_strdup_printf ("{\"revision\":\"%" G_GINT64_FORMAT "\"}", revision);
  g_autofree char *answer = etcd_cluster_post (cluster, 0, "/v3/kv/compaction", body);

  g_assert_null (strstr (answer, "\"error\""));
}

/* One that is behind hears it; one that is not goes on. */
static void
test_compaction (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  Seen behind = { 0 };
  Seen current = { 0 };
  gint64 first;
  gint64 last;

  start (fixture);
  first = commy_store_put (&fixture->store, "k", "1", 0);
  commy_store_put (&fixture->store, "k", "2", 0);
  last = commy_store_put (&fixture->store, "k", "3", 0);
  compact (last);
  ops->watch (fixture->store.instance, "", last, on_event, &current);
  ops->watch (fixture->store.instance, "", first, on_event, &behind);
  commy_test_run_until (NULL, behind.error != NULL);
  g_assert_error (behind.error, COMMY_TEST_ERROR, 601);
  g_assert_nonnull (strstr (behind.error->message, "read the range again"));
  g_assert_nonnull (strstr (behind.error->message, "compacted"));
  commy_store_put (&fixture->store, "k", "4", 0);
  commy_test_run_until (NULL, current.n_entries == 1);
  g_assert_no_error (current.error);
  g_clear_error (&behind.error);
}

static void
test_restart (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = descriptor ()->ops;
  Seen seen = { 0 };
  gint64 before;

  start (fixture);
  before = commy_store_put (&fixture->store, "k", "1", 0);
  ops->watch (fixture->store.instance, "", before, on_event, &seen);
  commy_store_put (&fixture->store, "k", "2", 0);
  commy_test_run_until (NULL, seen.n_entries == 1);
  for (guint i = 0; i < 3; i++)
    etcd_cluster_kill (cluster, i);
  for (guint i = 0; i < 3; i++)
    etcd_cluster_start (cluster, i);
  for (guint i = 0; i < 3; i++)
    etcd_cluster_wait (cluster, i);
  g_assert_cmpuint (commy_store_count (&fixture->store, "k"), ==, 1);
  put_until_it_is_there (fixture, "3");
  commy_test_run_until (NULL, seen.n_entries == 2);
  g_assert_no_error (seen.error);
}

static void
test_leader_killed (Fixture *fixture, gconstpointer unused)
{
  guint leader = etcd_cluster_find_leader (cluster);
  Seen seen = { 0 };

  start (fixture);
  fixture->store.ops->watch (fixture->store.instance, "",
                             commy_store_put (&fixture->store, "k", "0", 0), on_event, &seen);
  etcd_cluster_kill (cluster, leader);
  put_until_it_is_there (fixture, "1");
  commy_test_run_until (NULL, seen.n_entries > 0);
  g_assert_no_error (seen.error);
  etcd_cluster_start (cluster, leader);
  wait_for_all ();
}

/* Whichever member is asked: two of three stop, one after the other, and go on. */
static void
test_members_stopped (Fixture *fixture, gconstpointer unused)
{
  Seen seen = { 0 };

  start (fixture);
  fixture->store.ops->watch (fixture->store.instance, "",
                             commy_store_put (&fixture->store, "k", "0", 0), on_event, &seen);
  for (guint i = 0; i < 3; i++)
    {
      guint before = seen.n_entries;

      etcd_cluster_signal (cluster, i, SIGSTOP);
      put_until_it_is_there (fixture, "1");
      commy_test_run_until (NULL, seen.n_entries > before);
      etcd_cluster_signal (cluster, i, SIGCONT);
    }
  g_assert_no_error (seen.error);
}

/* The one that is left must not answer: neither writes nor reads, and watches say so. */
static void
test_majority_gone (Fixture *fixture, gconstpointer unused)
{
  Seen seen = { 0 };
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_test_host_set_param (fixture->store.host, "timeout", "600ms");
  commy_test_host_set_param (fixture->store.host, "attempt", "200ms");
  commy_test_host_set_param (fixture->store.host, "probe", "200ms");
  start (fixture);
  put_until_it_is_there (fixture, "0");
  fixture->store.ops->watch (fixture->store.instance, "", 0, on_event, &seen);
  commy_test_run_until (NULL, seen.n_entries > 0);
  etcd_cluster_kill (cluster, 0);
  etcd_cluster_kill (cluster, 1);
  commy_store_range (&fixture->store, "", &answer);
  g_assert_error (answer.error, COMMY_TEST_ERROR, 601);
  commy_test_run_until (NULL, seen.error != NULL);
  g_assert_error (seen.error, COMMY_TEST_ERROR, 601);
  g_clear_error (&seen.error);
  etcd_cluster_start (cluster, 0);
  etcd_cluster_start (cluster, 1);
  wait_for_all ();
  put_until_it_is_there (fixture, "1");
  g_assert_cmpuint (commy_store_count (&fixture->store, ""), ==, 1);
}

/* --- users and TLS --- */

static void
set_file (CommyTestHost *host, const char *name, const char *file)
{
  g_autofree char *path = g_build_filename (etcd_cluster_get_dir (secure), file, NULL);

  commy_test_host_set_param (host, name, path);
}

static void
use_secure (CommyTestHost *host)
{
  commy_test_host_set_param (host, "endpoints", etcd_cluster_get_endpoints (secure));
  commy_test_host_set_param (host, "timeout", "10s");
  set_file (host, "ca", "ca.pem");
  set_file (host, "certificate", "client.pem");
  commy_test_host_set_param (host, "user", ETCD_USER);
  set_file (host, "password-file", "password");
}

static void
assert_refused (Fixture *fixture, int code, const char *words)
{
  g_auto (CommyStoreAnswer) answer = { 0 };

  start (fixture);
  commy_store_range (&fixture->store, "", &answer);
  g_assert_error (answer.error, COMMY_TEST_ERROR, code);
  g_test_message ("%s", answer.error->message);
  g_assert_nonnull (strstr (answer.error->message, words));
}

static void
test_unknown_authority (Fixture *fixture, gconstpointer unused)
{
  use_secure (fixture->store.host);
  set_file (fixture->store.host, "ca", "other.pem");
  assert_refused (fixture, 601, "ertificate");
}

static void
test_no_user (Fixture *fixture, gconstpointer unused)
{
  use_secure (fixture->store.host);
  commy_test_host_set_param (fixture->store.host, "user", "");
  assert_refused (fixture, 402, "user");
}

static void
test_wrong_password (Fixture *fixture, gconstpointer unused)
{
  use_secure (fixture->store.host);
  set_file (fixture->store.host, "password-file", "ca.pem");
  assert_refused (fixture, 402, "password-file");
}

/* What others can read is no secret. */
static void
test_open_password (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *path = g_build_filename (etcd_cluster_get_dir (secure), "open", NULL);

  g_assert_true (g_file_set_contents (path, ETCD_PASSWORD, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0644), ==, 0);
  use_secure (fixture->store.host);
  set_file (fixture->store.host, "password-file", "open");
  assert_refused (fixture, 103, "only its owner");
}

static void
test_other_prefix (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = fixture->store.ops;
  Seen seen = { 0 };

  use_secure (fixture->store.host);
  commy_test_host_set_param (fixture->store.host, "prefix", "others/");
  assert_refused (fixture, 402, "ermission");
  ops->watch (fixture->store.instance, "", 0, on_event, &seen);
  commy_test_run_until (NULL, seen.error != NULL);
  g_assert_error (seen.error, COMMY_TEST_ERROR, 402);
  g_clear_error (&seen.error);
}

#define ADD(path, test) \
  g_test_add ("/store/etcd/" path, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  if (!etcd_is_there ())
    {
      g_print ("1..0 # SKIP etcd is not installed\n");
      return 0;
    }
  cluster = etcd_cluster_new (3, FALSE);
  secure = etcd_cluster_new (1, TRUE);
  ADD ("faults/the-leader-is-killed", test_leader_killed);
  ADD ("faults/members-are-stopped", test_members_stopped);
  ADD ("faults/a-majority-is-gone", test_majority_gone);
  ADD ("faults/compaction-is-said-to-who-is-behind", test_compaction);
  ADD ("faults/the-server-starts-anew", test_restart);
  ADD ("secure/unknown-authority-is-refused", test_unknown_authority);
  ADD ("secure/etcd-wants-a-user", test_no_user);
  ADD ("secure/wrong-password-is-refused", test_wrong_password);
  ADD ("secure/password-that-others-can-read", test_open_password);
  ADD ("secure/keys-of-others-are-not-ours", test_other_prefix);
  status = g_test_run ();
  etcd_cluster_free (cluster);
  etcd_cluster_free (secure);
  return status;
}
