/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who looks for a whole host, over a store that does not take what it found: leases that failed are
 * given back, and one that is as good as another is kept.
 */
#include "config.h"

#include "mesh-fixture.h"

#include "base/commy-error-private.h"
#include "mesh/commy-mesh-private.h"

#include <string.h>

#define ENOUGH 4u /* writes that fail */

/* The store of the mesh, but for what the test changes. The mesh has a thread of its own. */
typedef struct
{
  CommyStoreOps real;
  GHashTable *leases;        /* gint64, that were granted and not given back */
  gint code;                 /* atomic: of the error of a write; 0: it is taken */
  guint n_failed, n_written; /* atomic */
  guint n_granted;
  guint most; /* leases at a time */
} Wrapped;

/* lint: allow-static operations of a store have no place for another pointer */
static Wrapped wrapped;

typedef struct
{
  CommyStoreDoneFunc done;
  gpointer data;
} Granted;

static void
on_granted (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  g_autofree Granted *granted = user_data;

  g_assert_no_error (error);
  wrapped.n_granted++;
  g_hash_table_add (wrapped.leases, g_memdup2 (&result->lease, sizeof result->lease));
  wrapped.most = MAX (wrapped.most, g_hash_table_size (wrapped.leases));
  granted->done (granted->data, result, error);
}

static void
take (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  Granted *granted = g_new (Granted, 1);

  *granted = (Granted){ done, user_data };
  wrapped.real.grant (instance, ttl_ns, on_granted, granted);
}

static void
give_back (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  g_hash_table_remove (wrapped.leases, &lease);
  wrapped.real.revoke (instance, lease, done, user_data);
}

static void
change (gpointer instance,
        const CommyStoreCompare *compares,
        gsize n_compares,
        const CommyStoreOp *ops,
        gsize n_ops,
        CommyStoreDoneFunc done,
        gpointer user_data)
{
  const gboolean is_record = n_ops == 1 && strstr (ops[0].key, "/checks/") != NULL;
  const gint code = __atomic_load_n (&wrapped.code, __ATOMIC_RELAXED);
  g_autoptr (GError) error = NULL;

  if (!is_record || code == 0)
    {
      __atomic_add_fetch (&wrapped.n_written, is_record, __ATOMIC_RELAXED);
      wrapped.real.txn (instance, compares, n_compares, ops, n_ops, done, user_data);
      return;
    }
  commy_set_error (&error, code, "not now");
  done (user_data, NULL, error);
  __atomic_add_fetch (&wrapped.n_failed, 1, __ATOMIC_RELAXED);
}

static void
wrap (gpointer store)
{
  CommyStoreOps *ops = store;

  ops->grant = take;
  ops->revoke = give_back;
  ops->txn = change;
}

static CommyMesh *
join (MeshFixture *fixture)
{
  CommyMesh *mesh = mesh_fixture_join (
      fixture, "look-for-host=true\n"
               "[service org.example.One]\nhealth-check=call\nhealth-target=Look\n"
               "health-interval=100ms\n"
               "[service org.example.Two]\nhealth-check=call\nhealth-target=Look\n"
               "health-interval=100ms\n");

  wrapped
      = (Wrapped){ .real = mesh->store->ops.store,
                   .leases = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL) };
  commy_mesh_invoke (mesh, wrap, &mesh->store->ops.store);
  return mesh;
}

static void
leave (CommyMesh *mesh)
{
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  g_hash_table_unref (wrapped.leases);
}

static void
await_more (const guint *counter, guint n)
{
  n += __atomic_load_n (counter, __ATOMIC_RELAXED);
  while (__atomic_load_n (counter, __ATOMIC_RELAXED) < n)
    g_usleep (500);
}

static void
fail_for_a_while (gint code)
{
  await_more (&wrapped.n_written, 2);
  __atomic_store_n (&wrapped.code, code, __ATOMIC_RELAXED);
  await_more (&wrapped.n_failed, ENOUGH);
  __atomic_store_n (&wrapped.code, 0, __ATOMIC_RELAXED);
  await_more (&wrapped.n_written, 4);
}

/* One lease at a time, however many writes of however many records fail. */
static void
test_fails (MeshFixture *fixture, gconstpointer unused)
{
  CommyMesh *mesh = join (fixture);

  fail_for_a_while (COMMY_ERROR_STORE);
  leave (mesh);
  g_assert_cmpuint (wrapped.n_granted, >, 1);
  g_assert_cmpuint (wrapped.most, ==, 1);
}

/* Another lease would change nothing; and it is tried again. */
static void
test_denied (MeshFixture *fixture, gconstpointer unused)
{
  CommyMesh *mesh = join (fixture);

  fail_for_a_while (COMMY_ERROR_DENIED);
  leave (mesh);
  g_assert_cmpuint (wrapped.n_granted, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC)                                                              \
  g_test_add ("/mesh/host-look/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("a-write-that-fails-gives-its-lease-back", test_fails);
  ADD ("a-write-that-is-denied-keeps-it", test_denied);
  return g_test_run ();
}
