/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store for applications: keys and values with any byte, revisions that are expected, keys that
 * are the mesh's own, watches, and their ends.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>

static const char odd_key[] = "app/\xff\x01 key\n";

static GBytes *
bytes_of (const char *text)
{
  return g_bytes_new (text, strlen (text));
}

static gint64
put_at (CommyMesh *mesh, const char *key, const char *text, gint64 expected)
{
  g_autoptr (GBytes) value = bytes_of (text);
  g_autoptr (GError) error = NULL;
  gint64 revision = commy_mesh_store_put_sync (mesh, key, value, expected,
                                               COMMY_STORE_WRITE_DEFAULT, NULL, &error);

  g_assert_no_error (error);
  return revision;
}

static gint64
put (CommyMesh *mesh, const char *key, const char *text)
{
  gint64 revision = put_at (mesh, key, text, COMMY_STORE_ANY_REVISION);

  g_assert_cmpint (revision, >, 0);
  return revision;
}

static GVariant *
get (CommyMesh *mesh, const char *key)
{
  g_autoptr (GError) error = NULL;
  GVariant *entry = commy_mesh_store_get_sync (mesh, key, NULL, &error);

  g_assert_no_error (error);
  return entry;
}

static void
assert_entry (GVariant *entry, const char *key, const char *text)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
  const char *found;

  g_assert_true (g_variant_lookup (entry, "key", "^&ay", &found));
  g_assert_cmpstr (found, ==, key);
  g_assert_cmpmem (g_variant_get_data (value), g_variant_get_size (value), text, strlen (text));
}

static gint64
get_int (GVariant *entry, const char *key)
{
  gint64 number;

  g_assert_true (g_variant_lookup (entry, key, "x", &number));
  return number;
}

static void
await (const gboolean *done)
{
  while (!*done)
    g_main_context_iteration (NULL, TRUE);
}

/* --- keys --- */

static void
test_round_trip (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GVariant) nothing = get (mesh, odd_key);
  gint64 first = put (mesh, odd_key, "\x01\xfe");
  gint64 second = put (mesh, odd_key, "");
  g_autoptr (GVariant) entry = get (mesh, odd_key);

  g_assert_null (nothing);
  g_assert_cmpint (second, >, first);
  assert_entry (entry, odd_key, "");
  g_assert_cmpint (get_int (entry, "created"), ==, first);
  g_assert_cmpint (get_int (entry, "revision"), ==, second);
  g_assert_cmpint (get_int (entry, "lease"), ==, 0);
}

/* What merely begins with it is another key. */
static void
test_exact_key (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GVariant) nothing = NULL;
  g_autoptr (GVariant) entry = NULL;

  put (mesh, "app/one-more", "longer");
  nothing = get (mesh, "app/one");
  g_assert_null (nothing);
  put (mesh, "app/one", "it");
  entry = get (mesh, "app/one");
  assert_entry (entry, "app/one", "it");
}

static void
test_expected_revision (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GVariant) entry = NULL;
  g_autoptr (GVariant) nothing = NULL;
  g_autoptr (GError) error = NULL;
  gint64 first = put_at (mesh, "app/key", "1", 0);
  gint64 second;

  g_assert_cmpint (first, >, 0);
  g_assert_cmpint (put_at (mesh, "app/key", "2", 0), ==, 0);
  g_assert_cmpint (put_at (mesh, "app/key", "2", first + 7), ==, 0);
  second = put_at (mesh, "app/key", "2", first);
  g_assert_cmpint (second, >, first);
  entry = get (mesh, "app/key");
  assert_entry (entry, "app/key", "2");
  g_assert_cmpint (commy_mesh_store_delete_sync (mesh, "app/key", first, COMMY_STORE_WRITE_DEFAULT,
                                                 NULL, &error),
                   ==, 0);
  g_assert_cmpint (commy_mesh_store_delete_sync (mesh, "app/key", second, COMMY_STORE_WRITE_DEFAULT,
                                                 NULL, &error),
                   >, second);
  g_assert_no_error (error);
  nothing = get (mesh, "app/key");
  g_assert_null (nothing);
}

static void
test_prefix (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = NULL;
  g_autoptr (GVariant) entries = NULL;
  g_autoptr (GVariant) first = NULL;
  gint64 last, revision;

  put (mesh, "app/b", "2");
  put (mesh, "app/a", "1");
  last = put (mesh, "other", "3");
  list = commy_mesh_store_list_sync (mesh, "app/", NULL, &error);
  g_assert_no_error (error);
  g_variant_get (list, "(x@aa{sv})", &revision, &entries);
  g_assert_cmpint (revision, >=, last);
  g_assert_cmpuint (g_variant_n_children (entries), ==, 2);
  first = g_variant_get_child_value (entries, 0);
  assert_entry (first, "app/a", "1");
}

/* --- what is refused --- */

static void
assert_refused (CommyMesh *mesh, const char *key, gint64 expected, const char *words)
{
  g_autoptr (GBytes) value = bytes_of ("x");
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (commy_mesh_store_put_sync (mesh, key, value, expected, COMMY_STORE_WRITE_DEFAULT,
                                              NULL, &error),
                   ==, -1);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_bounds (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autofree char *longest = g_strnfill (COMMY_STORE_KEY_MAX, 'k');
  g_autofree char *longer = g_strnfill (COMMY_STORE_KEY_MAX + 1, 'k');
  g_autofree char *huge = g_malloc0 (17 << 20);
  g_autoptr (GBytes) value = g_bytes_new_take (g_steal_pointer (&huge), 17 << 20);
  g_autoptr (GVariant) entry = NULL;
  g_autoptr (GError) error = NULL;

  assert_refused (mesh, "", COMMY_STORE_ANY_REVISION, "at least one");
  assert_refused (mesh, longer, COMMY_STORE_ANY_REVISION, "1024");
  assert_refused (mesh, "app/a", -2, "-2 is no revision");
  put (mesh, longest, "fits");
  entry = get (mesh, longest);
  assert_entry (entry, longest, "fits");
  g_assert_cmpint (commy_mesh_store_put_sync (mesh, "app/big", value, COMMY_STORE_ANY_REVISION,
                                              COMMY_STORE_WRITE_DEFAULT, NULL, &error),
                   ==, -1);
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "16777216"));
}

static void
test_reserved (MeshFixture *fixture, gconstpointer data)
{
  static const char *const keys[] = { "services/org.example.A/x", "nodes/x", "hosts/x" };
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GBytes) value = bytes_of ("x");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    assert_refused (mesh, keys[i], COMMY_STORE_ANY_REVISION, "--force");
  put (mesh, "services", "not below it");
  g_assert_cmpint (
      commy_mesh_store_put_sync (mesh, keys[2], value, 0, COMMY_STORE_WRITE_RESERVED, NULL, &error),
      >, 0);
  g_assert_no_error (error);
}

static void
test_not_joined (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) watching = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);

  g_assert_no_error (error);
  g_assert_null (commy_mesh_store_get_sync (mesh, "app/a", NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
  g_assert_null (commy_store_watch_new (mesh, "app/", -1, &watching));
  g_assert_error (watching, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
}

static void
test_status (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh
      = mesh_fixture_join (fixture, "[plugin store/sqlite]\nparam.history=77\n");
  gint64 revision = put (mesh, "app/a", "1");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) status = commy_mesh_store_status_sync (mesh, NULL, &error);
  g_autoptr (GVariant) settings = NULL;
  const char *plugin, *history;
  gboolean reachable;

  g_assert_no_error (error);
  g_assert_true (g_variant_lookup (status, "plugin", "&s", &plugin));
  g_assert_cmpstr (plugin, ==, "sqlite");
  g_assert_true (g_variant_lookup (status, "reachable", "b", &reachable) && reachable);
  g_assert_cmpint (get_int (status, "revision"), >=, revision);
  settings = g_variant_lookup_value (status, "settings", G_VARIANT_TYPE ("a{ss}"));
  g_assert_true (g_variant_lookup (settings, "history", "&s", &history));
  g_assert_cmpstr (history, ==, "77");
}

/* --- without waiting --- */

typedef struct
{
  CommyMesh *mesh;
  GThread *thread;
  gint64 revision;
  GVariant *entry;
  GError *error;
  gboolean done;
} Async;

static void
on_got (GObject *source, GAsyncResult *result, gpointer data)
{
  Async *async = data;

  g_assert_true (async->thread == g_thread_self ());
  async->entry = commy_mesh_store_get_finish (COMMY_MESH (source), result, &async->error);
  async->done = TRUE;
}

static void
on_put (GObject *source, GAsyncResult *result, gpointer data)
{
  Async *async = data;

  async->revision = commy_mesh_store_put_finish (COMMY_MESH (source), result, &async->error);
  async->done = TRUE;
}

static void
test_async (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GBytes) value = bytes_of ("later");
  Async async = { .mesh = mesh, .thread = g_thread_self () };

  commy_mesh_store_put (mesh, "app/a", value, 0, COMMY_STORE_WRITE_DEFAULT, cancellable, on_put,
                        &async);
  await (&async.done);
  g_assert_no_error (async.error);
  g_assert_cmpint (async.revision, >, 0);
  async.done = FALSE;
  commy_mesh_store_get (mesh, "app/a", cancellable, on_got, &async);
  await (&async.done);
  assert_entry (async.entry, "app/a", "later");
  g_clear_pointer (&async.entry, g_variant_unref);
  async.done = FALSE;
  commy_mesh_store_put (mesh, "nodes/a", value, 0, COMMY_STORE_WRITE_DEFAULT, NULL, on_put, &async);
  await (&async.done);
  g_assert_error (async.error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_assert_cmpint (async.revision, ==, -1);
  g_clear_error (&async.error);
  g_cancellable_cancel (cancellable);
  async.done = FALSE;
  commy_mesh_store_get (mesh, "app/a", cancellable, on_got, &async);
  await (&async.done);
  g_assert_error (async.error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  g_clear_error (&async.error);
}

/* Each ends exactly once, whoever was first. */
static void
test_cancelled_meanwhile (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);

  put (mesh, "app/a", "1");
  for (guint i = 0; i < 50; i++)
    {
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      Async async = { .mesh = mesh, .thread = g_thread_self () };

      commy_mesh_store_get (mesh, "app/a", cancellable, on_got, &async);
      g_cancellable_cancel (cancellable);
      await (&async.done);
      if (async.error != NULL)
        g_assert_error (async.error, COMMY_ERROR, COMMY_ERROR_CANCELLED);
      else
        g_clear_pointer (&async.entry, g_variant_unref);
      g_clear_error (&async.error);
    }
  /* What was still under way has ended then. */
  commy_mesh_leave_sync (mesh, NULL, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* --- watches --- */

typedef struct
{
  GPtrArray *entries; /* GVariant a{sv} */
  gint64 revision;
  GError *error;
  guint wanted;
  gboolean done;
} Seen;

static void
on_changed (CommyStoreWatch *watch, GVariant *entries, gint64 revision, gpointer data)
{
  Seen *seen = data;
  gsize n = g_variant_n_children (entries);

  g_assert_cmpint (revision, >=, seen->revision);
  seen->revision = revision;
  for (gsize i = 0; i < n; i++)
    g_ptr_array_add (seen->entries, g_variant_get_child_value (entries, i));
  seen->done = seen->entries->len >= seen->wanted;
}

static void
on_ended (CommyStoreWatch *watch, const GError *error, gpointer data)
{
  Seen *seen = data;

  g_assert_null (seen->error);
  seen->error = g_error_copy (error);
  seen->done = TRUE;
}

static void
seen_clear (Seen *seen)
{
  g_clear_pointer (&seen->entries, g_ptr_array_unref);
  g_clear_error (&seen->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Seen, seen_clear)

static CommyStoreWatch *
watch_new (CommyMesh *mesh, const char *prefix, gint64 from, Seen *seen)
{
  g_autoptr (GError) error = NULL;
  CommyStoreWatch *watch = commy_store_watch_new (mesh, prefix, from, &error);

  g_assert_no_error (error);
  seen->entries = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_signal_connect (watch, "changed", G_CALLBACK (on_changed), seen);
  g_signal_connect (watch, "ended", G_CALLBACK (on_ended), seen);
  return watch;
}

static void
test_watch_from (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) other = mesh_fixture_join (fixture, NULL);
  gint64 first = put (mesh, "app/a", "1");
  g_auto (Seen) seen = { .wanted = 2 };
  g_autoptr (CommyStoreWatch) watch = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  put (mesh, odd_key, "2");
  watch = watch_new (mesh, "app/", first, &seen);
  put (other, "elsewhere", "not watched");
  put (other, "app/c", "3");
  await (&seen.done);
  assert_entry (seen.entries->pdata[0], odd_key, "2");
  assert_entry (seen.entries->pdata[1], "app/c", "3");
  seen.done = FALSE;
  seen.wanted = 3;
  commy_mesh_store_delete_sync (other, "app/a", COMMY_STORE_ANY_REVISION, COMMY_STORE_WRITE_DEFAULT,
                                NULL, &error);
  await (&seen.done);
  value = g_variant_lookup_value (seen.entries->pdata[2], "value", NULL);
  g_assert_null (value);
  g_assert_no_error (seen.error);
}

static void
test_watch_from_now (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_auto (Seen) seen = { .wanted = 1 };
  g_autoptr (CommyStoreWatch) watch = NULL;

  put (mesh, "app/a", "before");
  watch = watch_new (mesh, "app/", -1, &seen);
  /* Asked in order: the watch knows its revision before this is written. */
  put (mesh, "app/a", "after");
  await (&seen.done);
  g_assert_cmpuint (seen.entries->len, ==, 1);
  assert_entry (seen.entries->pdata[0], "app/a", "after");
}

static void
test_watch_stopped (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_auto (Seen) stopped = { .wanted = 1 };
  g_auto (Seen) seen = { .wanted = 1 };
  g_autoptr (CommyStoreWatch) watch = watch_new (mesh, "app/", -1, &stopped);
  g_autoptr (CommyStoreWatch) other = watch_new (mesh, "app/", -1, &seen);

  put (mesh, "app/a", "1");
  commy_store_watch_stop (watch);
  commy_store_watch_stop (watch);
  await (&seen.done);
  put (mesh, "app/a", "2");
  g_assert_cmpuint (stopped.entries->len, ==, 0);
}

/* Compacted history is no reason to be silent. */
static void
test_watch_too_old (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh
      = mesh_fixture_join (fixture, "[plugin store/sqlite]\nparam.history=1\n");
  g_auto (Seen) seen = { .wanted = G_MAXUINT };
  g_autoptr (CommyStoreWatch) watch = NULL;
  g_autoptr (GError) error = NULL;
  gint64 first = put (mesh, "app/a", "1");

  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *key = g_strdup_printf ("app/gone-%u", i);

      put (mesh, key, "1");
      commy_mesh_store_delete_sync (mesh, key, COMMY_STORE_ANY_REVISION, COMMY_STORE_WRITE_DEFAULT,
                                    NULL, &error);
      g_assert_no_error (error);
    }
  watch = watch_new (mesh, "app/", first, &seen);
  await (&seen.done);
  g_assert_error (seen.error, COMMY_ERROR, COMMY_ERROR_STORE);
}

static void
test_watch_of_mesh_that_is_left (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_auto (Seen) seen = { .wanted = 1 };
  g_autoptr (CommyStoreWatch) watch = watch_new (mesh, "app/", -1, &seen);
  g_autoptr (CommyStoreWatch) again = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (Seen) later = { .wanted = 1 };

  put (mesh, "app/a", "1");
  await (&seen.done);
  seen.done = FALSE;
  seen.wanted = G_MAXUINT;
  commy_mesh_leave_sync (mesh, NULL, &error);
  await (&seen.done);
  g_assert_error (seen.error, COMMY_ERROR, COMMY_ERROR_LEAVING);
  g_assert_null (commy_mesh_store_get_sync (mesh, "app/a", NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
  g_clear_error (&error);
  commy_mesh_join_sync (mesh, NULL, &error);
  g_assert_no_error (error);
  again = watch_new (mesh, "app/", -1, &later);
  put (mesh, "app/a", "2");
  await (&later.done);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define CASE(PATH, FUNC)                                                           \
  g_test_add ("/store-access/" PATH, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  CASE ("keys/any-bytes-come-back-with-their-revisions", test_round_trip);
  CASE ("keys/a-longer-one-is-another", test_exact_key);
  CASE ("keys/a-write-happens-at-the-expected-revision-only", test_expected_revision);
  CASE ("keys/a-prefix-is-read-in-order", test_prefix);
  CASE ("refused/bounds-are-named", test_bounds);
  CASE ("refused/the-mesh-s-own-keys-unless-forced", test_reserved);
  CASE ("refused/before-joining", test_not_joined);
  CASE ("status/says-who-and-where", test_status);
  CASE ("async/answers-come-in-the-caller-s-context", test_async);
  CASE ("async/cancelled-meanwhile-ends-once", test_cancelled_meanwhile);
  CASE ("watch/goes-on-from-a-revision", test_watch_from);
  CASE ("watch/from-now-on", test_watch_from_now);
  CASE ("watch/stopped-is-silent", test_watch_stopped);
  CASE ("watch/what-is-no-longer-known-ends-it", test_watch_too_old);
  CASE ("watch/leaving-ends-it-and-joining-begins-anew", test_watch_of_mesh_that_is_left);
  return g_test_run ();
}
