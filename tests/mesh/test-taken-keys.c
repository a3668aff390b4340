/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records that somebody else takes from a real store: of an instance, of another one of the same
 * program, of its node. Each is there again, under the lease that it was under, and the others
 * stayed.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "mesh/commy-mesh-private.h"

#ifdef HAVE_ETCD_TESTS
#include "tests/stores/etcd-cluster.h"
#endif

#include <string.h>

/* What one mesh knows of the store's keys. */
typedef struct
{
  GMutex lock;
  GCond answered;
  CommyMesh *mesh;
  gboolean is_done;
  const char *key;    /* to take away */
  GHashTable *leases; /* key to gint64 */
  GHashTable *puts;   /* key to gint64: the revision of its last put */
} Look;

static void
look_init (Look *self, CommyMesh *mesh)
{
  memset (self, 0, sizeof *self);
  self->mesh = mesh;
  self->leases = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->puts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

static void
look_clear (Look *self)
{
  g_hash_table_unref (self->leases);
  g_hash_table_unref (self->puts);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->answered);
}

static void
look_end (Look *self)
{
  g_mutex_lock (&self->lock);
  self->is_done = TRUE;
  g_cond_signal (&self->answered);
  g_mutex_unlock (&self->lock);
}

static void
run (Look *self, CommyWorkFunc func)
{
  self->is_done = FALSE;
  commy_mesh_post (self->mesh, func, self);
  g_mutex_lock (&self->lock);
  while (!self->is_done)
    g_cond_wait (&self->answered, &self->lock);
  g_mutex_unlock (&self->lock);
}

static void
on_range (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Look *self = data;

  g_assert_no_error (error);
  for (gsize i = 0; i < result->n_entries; i++)
    {
      const CommyStoreEntry *entry = &result->entries[i];

      g_hash_table_replace (self->leases, g_strdup (entry->key),
                            g_memdup2 (&entry->lease, sizeof entry->lease));
      g_hash_table_replace (self->puts, g_strdup (entry->key),
                            g_memdup2 (&entry->mod_revision, sizeof entry->mod_revision));
    }
  look_end (self);
}

static void
read_all (gpointer data)
{
  Look *self = data;

  g_hash_table_remove_all (self->leases);
  g_hash_table_remove_all (self->puts);
  self->mesh->store->ops.store.range (self->mesh->store->instance, "", on_range, self);
}

static void
on_taken (gpointer data, const CommyStoreResult *result, const GError *error)
{
  g_assert_no_error (error);
  look_end (data);
}

static void
take (gpointer data)
{
  Look *self = data;
  const CommyStoreOp op = { .kind = COMMY_STORE_DELETE, .key = self->key };

  self->mesh->store->ops.store.txn (self->mesh->store->instance, NULL, 0, &op, 1, on_taken, self);
}

static gint64
number (GHashTable *table, const char *key)
{
  const gint64 *found = g_hash_table_lookup (table, key);

  return found != NULL ? *found : 0;
}

static void
assert_same (Look *before, Look *after, const char *taken)
{
  GHashTableIter iter;
  gpointer key;

  g_assert_cmpuint (g_hash_table_size (after->puts), ==, g_hash_table_size (before->puts));
  g_hash_table_iter_init (&iter, before->puts);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      g_assert_cmpint (number (after->leases, key), ==, number (before->leases, key));
      if (strcmp (key, taken) == 0)
        g_assert_cmpint (number (after->puts, key), >, number (before->puts, key));
      else
        g_assert_cmpint (number (after->puts, key), ==, number (before->puts, key));
    }
}

/* Each look is an answer of the store. */
static void
take_and_await (CommyMesh *mesh, const char *key)
{
  Look before, after;

  look_init (&before, mesh);
  look_init (&after, mesh);
  run (&before, read_all);
  before.key = key;
  run (&before, take);
  while (number (after.puts, key) == 0)
    run (&after, read_all);
  assert_same (&before, &after, key);
  look_clear (&before);
  look_clear (&after);
}

static void
take_each (MeshFixture *fixture, const char *store)
{
  g_autofree char *text = g_strdup_printf ("node-refresh=0\n%s", store);
  ServiceChild *child = service_child_start (fixture, text, 1);
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, text);
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = NULL;
  GHashTableIter iter;
  gpointer key;
  Look all;

  look_init (&all, mesh);
  run (&all, read_all);
  g_assert_cmpuint (g_hash_table_size (all.puts), >=, 5); /* two nodes, three instances */
  g_hash_table_iter_init (&iter, all.puts);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (number (all.leases, key) != 0)
      take_and_await (mesh, key);
  answer = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  look_clear (&all);
  commy_mesh_leave_sync (mesh, NULL, &error);
  g_assert_no_error (error);
  service_child_free (child);
}

static void
test_sqlite (MeshFixture *fixture, gconstpointer unused)
{
  take_each (fixture, "");
}

#ifdef HAVE_ETCD_TESTS
static void
test_etcd (MeshFixture *fixture, gconstpointer unused)
{
  g_autoptr (EtcdCluster) cluster = NULL;
  g_autofree char *store = NULL;

  if (!etcd_is_there ())
    {
      g_test_skip ("etcd-server is not installed");
      return;
    }
  cluster = etcd_cluster_new (1, FALSE);
  store = g_strdup_printf ("store=etcd\n[plugin store/etcd]\nparam.endpoints=%s\n",
                           etcd_cluster_get_endpoints (cluster));
  take_each (fixture, store);
}
#endif

#define ADD(path, test)                                                               \
  g_test_add ("/mesh/taken-keys/" path, MeshFixture, NULL, mesh_fixture_set_up, test, \
              mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  /* attack: take another program's records from the store, one by one; defence: each is watched,
   * and put anew; test: /mesh/taken-keys/sqlite */
  ADD ("sqlite", test_sqlite);
#ifdef HAVE_ETCD_TESTS
  ADD ("etcd", test_etcd);
#endif
  return g_test_run ();
}
