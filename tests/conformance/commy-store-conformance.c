/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite of stores: see the header.
 */
#include "config.h"

#include "commy-store-conformance.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_OPTION "--commy-store-child"
#define N_WRITERS 4
#define N_INCREMENTS 50
#define N_WATCHERS 200
/* Where nothing but time tells that an owner is dead, its keys are waited for this long. */
#define HOLD_TTL_NS G_GINT64_CONSTANT (1000000000)

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  CommyStoreConformanceSetup setup;
  void (*test) (CommyStoreUnderTest *store);
} Case;

/* --- operations that wait --- */

static void
entry_clear (gpointer data)
{
  CommyStoreEntry *entry = data;

  g_free ((char *) entry->key);
  g_bytes_unref (entry->value);
}

static GArray *
copy_entries (const CommyStoreEntry *entries, gsize n_entries)
{
  GArray *copies = g_array_new (FALSE, FALSE, sizeof (CommyStoreEntry));

  g_array_set_clear_func (copies, entry_clear);
  for (gsize i = 0; i < n_entries; i++)
    {
      CommyStoreEntry copy = entries[i];

      copy.key = g_strdup (entries[i].key);
      copy.value = entries[i].value != NULL ? g_bytes_ref (entries[i].value) : NULL;
      g_array_append_val (copies, copy);
    }
  return copies;
}

void
commy_store_answer_clear (CommyStoreAnswer *answer)
{
  g_clear_pointer (&answer->entries, g_array_unref);
  g_clear_error (&answer->error);
}

static void
on_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  CommyStoreAnswer *answer = user_data;

  g_assert_false (answer->done);
  g_assert_true ((result == NULL) != (error == NULL));
  answer->done = TRUE;
  if (error != NULL)
    {
      g_assert_true (error->domain == COMMY_TEST_ERROR);
      answer->error = g_error_copy (error);
      return;
    }
  g_assert_cmpuint (result->struct_size, >=, sizeof (CommyStoreResult));
  answer->succeeded = result->succeeded;
  answer->revision = result->revision;
  answer->lease = result->lease;
  answer->entries = copy_entries (result->entries, result->n_entries);
}

void
commy_store_range (CommyStoreUnderTest *store, const char *prefix, CommyStoreAnswer *out)
{
  store->ops->range (store->instance, prefix, on_done, out);
  commy_test_run_until (NULL, out->done);
}

void
commy_store_txn (CommyStoreUnderTest *store,
                 const CommyStoreCompare *compares,
                 gsize n_compares,
                 const CommyStoreOp *ops,
                 gsize n_ops,
                 CommyStoreAnswer *out)
{
  store->ops->txn (store->instance, compares, n_compares, ops, n_ops, on_done, out);
  commy_test_run_until (NULL, out->done);
}

gint64
commy_store_put (CommyStoreUnderTest *store, const char *key, const char *value, gint64 lease)
{
  g_autoptr (GBytes) bytes = g_bytes_new (value, strlen (value));
  CommyStoreOp op = { COMMY_STORE_PUT, key, bytes, lease };
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_store_txn (store, NULL, 0, &op, 1, &answer);
  g_assert_no_error (answer.error);
  g_assert_true (answer.succeeded);
  return answer.revision;
}

static gint64
grant_for (CommyStoreUnderTest *store, gint64 ttl_ns)
{
  g_auto (CommyStoreAnswer) answer = { 0 };

  store->ops->grant (store->instance, ttl_ns, on_done, &answer);
  commy_test_run_until (NULL, answer.done);
  g_assert_no_error (answer.error);
  g_assert_cmpint (answer.lease, !=, 0);
  return answer.lease;
}

gint64
commy_store_grant (CommyStoreUnderTest *store)
{
  return grant_for (store, G_GINT64_CONSTANT (10000000000));
}

guint
commy_store_count (CommyStoreUnderTest *store, const char *prefix)
{
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_store_range (store, prefix, &answer);
  g_assert_no_error (answer.error);
  return answer.entries->len;
}

static void
delete_op (CommyStoreUnderTest *store, CommyStoreOpKind kind, const char *key)
{
  CommyStoreOp op = { kind, key, NULL, 0 };
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_store_txn (store, NULL, 0, &op, 1, &answer);
  g_assert_no_error (answer.error);
  g_assert_true (answer.succeeded);
}

static const CommyStoreEntry *
entry_at (const CommyStoreAnswer *answer, guint i)
{
  g_assert_cmpuint (i, <, answer->entries->len);
  return &g_array_index (answer->entries, CommyStoreEntry, i);
}

static void
assert_value (const CommyStoreEntry *entry, const char *text)
{
  gsize size;
  const char *data = g_bytes_get_data (entry->value, &size);

  g_assert_cmpmem (data, size, text, strlen (text));
}

/* --- other processes --- */

typedef struct
{
  GPid pid;
  int in;
  int out;
} Child;

static const char *
place_of (CommyStoreUnderTest *store)
{
  CommyHost *host = commy_test_host_get (store->host);

  return host->info (host, COMMY_HOST_STATE_DIR);
}

static Child
child_start (CommyStoreUnderTest *store, const char *role)
{
  const char *argv[] = { NULL, CHILD_OPTION, role, place_of (store), NULL };
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  /* What a killed child leaves lies in our own folder. */
  g_auto (GStrv) environment
      = g_environ_setenv (g_get_environ (), "TMPDIR", commy_test_host_get_dir (store->host), TRUE);
  g_autoptr (GError) error = NULL;
  Child child = { 0 };

  argv[0] = self;
  g_spawn_async_with_pipes (NULL, (char **) argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                            NULL, &child.pid, &child.in, &child.out, NULL, &error);
  g_assert_no_error (error);
  return child;
}

/* Waits for a child's line, which is a number. */
static gint64
child_read (Child *child)
{
  char line[32] = "";

  for (gsize i = 0; i < sizeof line - 1; i++)
    {
      g_assert_cmpint (read (child->out, &line[i], 1), ==, 1);
      if (line[i] == '\n')
        return g_ascii_strtoll (line, NULL, 10);
    }
  g_assert_not_reached ();
}

static int
child_wait (Child *child)
{
  int status = -1;

  while (waitpid (child->pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  return status;
}

static void
child_kill (Child *child)
{
  kill (child->pid, SIGKILL);
  child_wait (child);
}

static void
child_close (Child *child)
{
  close (child->in);
  close (child->out);
}

static gboolean
on_told (int fd, GIOCondition condition, gpointer user_data)
{
  gboolean *is_told = user_data;
  char byte;

  *is_told = read (fd, &byte, 1) <= 0;
  return G_SOURCE_CONTINUE;
}

/* The store's leases are kept alive from the main context. */
static void
run_until_told (void)
{
  gboolean is_told = FALSE;
  guint source = g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP, on_told, &is_told);

  commy_test_run_until (NULL, is_told);
  g_source_remove (source);
}

static void
wait_for_the_end (void)
{
  char byte;

  while (read (STDIN_FILENO, &byte, 1) > 0)
    continue;
}

/* Takes a lease with one key under it, then waits; perhaps with a forked child that waits too. */
static void
role_hold (CommyStoreUnderTest *store, gboolean with_fork)
{
  gint64 lease = grant_for (store, HOLD_TTL_NS);

  commy_store_put (store, "held/key", "value", lease);
  if (with_fork && fork () == 0)
    {
      wait_for_the_end ();
      _exit (0);
    }
  g_print ("%" G_GINT64_FORMAT "\n", lease);
  run_until_told ();
}

static void
increment (CommyStoreUnderTest *store, const char *key)
{
  gboolean done = FALSE;

  while (!done)
    {
      g_auto (CommyStoreAnswer) before = { 0 };
      g_auto (CommyStoreAnswer) after = { 0 };
      g_autofree char *text = NULL;
      g_autoptr (GBytes) bytes = NULL;
      CommyStoreCompare compare = { key, 0 };
      CommyStoreOp op = { COMMY_STORE_PUT, key, NULL, 0 };
      gint64 number = 0;

      commy_store_range (store, key, &before);
      g_assert_no_error (before.error);
      if (before.entries->len > 0)
        {
          const CommyStoreEntry *entry = entry_at (&before, 0);
          g_autofree char *old
              = g_strndup (g_bytes_get_data (entry->value, NULL), g_bytes_get_size (entry->value));

          number = g_ascii_strtoll (old, NULL, 10);
          compare.mod_revision = entry->mod_revision;
        }
      text = g_strdup_printf ("%" G_GINT64_FORMAT, number + 1);
      bytes = g_bytes_new (text, strlen (text));
      op.value = bytes;
      commy_store_txn (store, &compare, 1, &op, 1, &after);
      g_assert_no_error (after.error);
      done = after.succeeded;
    }
}

gboolean
commy_store_conformance_child (const CommyPluginDescriptor *descriptor,
                               CommyStoreConformanceSetup setup,
                               int argc,
                               char **argv,
                               int *out_status)
{
  g_autoptr (CommyTestHost) host = NULL;
  g_autoptr (GError) error = NULL;
  CommyStoreUnderTest store = { 0 };
  guint32 seed = (guint32) getpid ();

  if (argc != 4 || strcmp (argv[1], CHILD_OPTION) != 0)
    return FALSE;
  host = commy_test_host_new (NULL, descriptor);
  commy_test_host_set_seed (host, seed);
  if (setup != NULL)
    setup (host, argv[3]);
  else
    commy_test_host_set_info (host, COMMY_HOST_STATE_DIR, argv[3]);
  store = (CommyStoreUnderTest){ host, descriptor->ops, commy_test_host_start (host, &error) };
  g_assert_no_error (error);
  if (g_str_has_prefix (argv[2], "hold"))
    role_hold (&store, strcmp (argv[2], "hold-fork") == 0);
  else if (strcmp (argv[2], "put") == 0)
    commy_store_put (&store, "from/child", "value", 0);
  else
    for (int i = 0; i < N_INCREMENTS; i++)
      increment (&store, "counter");
  *out_status = 0;
  return TRUE;
}

/* --- watches that keep what they were told --- */

typedef struct
{
  CommyStoreUnderTest *store;
  guint id;
  guint calls;
  GArray *entries;
  gint64 revision;
  GError *error;
  gboolean end_inside;
} Watcher;

static void
on_event (gpointer user_data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  Watcher *watcher = user_data;

  g_assert_cmpuint (watcher->id, !=, 0); /* never from inside `watch` */
  g_assert_null (watcher->error);
  watcher->calls++;
  if (error != NULL)
    watcher->error = g_error_copy (error);
  else
    g_assert_cmpint (revision, >=, watcher->revision);
  watcher->revision = revision;
  for (gsize i = 0; i < n_entries; i++)
    {
      g_autoptr (GArray) copy = copy_entries (&entries[i], 1);
      CommyStoreEntry entry = g_array_index (copy, CommyStoreEntry, 0);

      if (watcher->entries->len > 0)
        g_assert_cmpint (
            entry.mod_revision, >=,
            g_array_index (watcher->entries, CommyStoreEntry, watcher->entries->len - 1)
                .mod_revision);
      g_array_append_val (watcher->entries, entry);
      g_array_set_clear_func (copy, NULL);
    }
  if (watcher->end_inside)
    watcher->store->ops->unwatch (watcher->store->instance, watcher->id);
}

static void
watcher_start (Watcher *watcher, CommyStoreUnderTest *store, const char *prefix, gint64 from)
{
  *watcher = (Watcher){ .store = store, .entries = copy_entries (NULL, 0) };
  watcher->id = store->ops->watch (store->instance, prefix, from, on_event, watcher);
}

static void
watcher_stop (Watcher *watcher)
{
  if (watcher->error == NULL)
    watcher->store->ops->unwatch (watcher->store->instance, watcher->id);
  g_array_unref (watcher->entries);
  g_clear_error (&watcher->error);
}

static const CommyStoreEntry *
watcher_at (Watcher *watcher, guint i)
{
  commy_test_run_until (NULL, watcher->entries->len > i);
  return &g_array_index (watcher->entries, CommyStoreEntry, i);
}

/* --- the cases --- */

static void
test_revisions (CommyStoreUnderTest *store)
{
  gint64 first = commy_store_put (store, "a/1", "one", 0);
  gint64 second = commy_store_put (store, "a/2", "two", 0);
  gint64 third = commy_store_put (store, "a/1", "uno", 0);
  g_auto (CommyStoreAnswer) answer = { 0 };

  g_assert_cmpint (first, >, 0);
  g_assert_cmpint (second, >, first);
  g_assert_cmpint (third, >, second);
  commy_store_range (store, "a/", &answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.entries->len, ==, 2);
  g_assert_cmpint (answer.revision, ==, third);
  g_assert_cmpstr (entry_at (&answer, 0)->key, ==, "a/1");
  assert_value (entry_at (&answer, 0), "uno");
  g_assert_cmpint (entry_at (&answer, 0)->create_revision, ==, first);
  g_assert_cmpint (entry_at (&answer, 0)->mod_revision, ==, third);
  g_assert_cmpstr (entry_at (&answer, 1)->key, ==, "a/2");
  g_assert_cmpint (entry_at (&answer, 1)->mod_revision, ==, second);
}

static void
test_key_made_anew (CommyStoreUnderTest *store)
{
  gint64 first = commy_store_put (store, "k", "1", 0);
  gint64 again;
  g_auto (CommyStoreAnswer) answer = { 0 };

  delete_op (store, COMMY_STORE_DELETE, "k");
  g_assert_cmpuint (commy_store_count (store, "k"), ==, 0);
  again = commy_store_put (store, "k", "2", 0);
  g_assert_cmpint (again, >, first + 1);
  commy_store_range (store, "k", &answer);
  g_assert_cmpint (entry_at (&answer, 0)->create_revision, ==, again);
}

static void
test_compare_and_set (CommyStoreUnderTest *store)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("new", 3);
  CommyStoreOp op = { COMMY_STORE_PUT, "k", value, 0 };
  gint64 revision = commy_store_put (store, "k", "old", 0);
  CommyStoreCompare absent = { "k", 0 };
  CommyStoreCompare present[] = { { "k", revision }, { "other", 0 } };
  g_auto (CommyStoreAnswer) refused = { 0 };
  g_auto (CommyStoreAnswer) unchanged = { 0 };
  g_auto (CommyStoreAnswer) taken = { 0 };
  g_auto (CommyStoreAnswer) late = { 0 };

  commy_store_txn (store, &absent, 1, &op, 1, &refused);
  g_assert_no_error (refused.error);
  g_assert_false (refused.succeeded);
  g_assert_cmpint (refused.revision, ==, revision);
  commy_store_range (store, "k", &unchanged);
  assert_value (entry_at (&unchanged, 0), "old");
  commy_store_txn (store, present, 2, &op, 1, &taken);
  g_assert_true (taken.succeeded);
  g_assert_cmpint (taken.revision, >, revision);
  commy_store_txn (store, present, 2, &op, 1, &late);
  g_assert_false (late.succeeded);
}

static void
test_atomic (CommyStoreUnderTest *store)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  CommyStoreOp ops[] = {
    { COMMY_STORE_PUT, "m/1", value, 0 },
    { COMMY_STORE_PUT, "m/2", value, 0 },
    { COMMY_STORE_DELETE_PREFIX, "old/", NULL, 0 },
  };
  CommyStoreOp bad[] = {
    { COMMY_STORE_DELETE_PREFIX, "m/", NULL, 0 },
    { COMMY_STORE_PUT, "x", value, 12345 }, /* no such lease */
  };
  g_auto (CommyStoreAnswer) good = { 0 };
  g_auto (CommyStoreAnswer) failed = { 0 };
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_store_put (store, "old/1", "v", 0);
  commy_store_put (store, "old/2", "v", 0);
  commy_store_txn (store, NULL, 0, ops, G_N_ELEMENTS (ops), &good);
  g_assert_no_error (good.error);
  commy_store_txn (store, NULL, 0, bad, G_N_ELEMENTS (bad), &failed);
  g_assert_nonnull (failed.error);
  commy_store_range (store, "", &answer);
  g_assert_cmpuint (answer.entries->len, ==, 2);
  g_assert_cmpint (entry_at (&answer, 0)->mod_revision, ==, good.revision);
  g_assert_cmpint (entry_at (&answer, 1)->mod_revision, ==, good.revision);
  g_assert_cmpint (answer.revision, ==, good.revision);
}

static void
test_keys_of_every_byte (CommyStoreUnderTest *store)
{
  char last[] = "\xff\xff";

  for (int byte = 1; byte < 256; byte++)
    {
      char key[] = { (char) byte, 'k', 0 };

      commy_store_put (store, key, "v", 0);
    }
  g_assert_cmpuint (commy_store_count (store, ""), ==, 255);
  for (int byte = 1; byte < 256; byte++)
    {
      char prefix[] = { (char) byte, 0 };

      g_assert_cmpuint (commy_store_count (store, prefix), ==, 1);
    }
  commy_store_put (store, last, "v", 0);
  commy_store_put (store, "\xff\xff\xff", "v", 0);
  g_assert_cmpuint (commy_store_count (store, last), ==, 2);
  delete_op (store, COMMY_STORE_DELETE, last);
  g_assert_cmpuint (commy_store_count (store, last), ==, 1);
  delete_op (store, COMMY_STORE_DELETE_PREFIX, "\xff");
  g_assert_cmpuint (commy_store_count (store, ""), ==, 254);
}

static void
test_key_length (CommyStoreUnderTest *store)
{
  g_autofree char *longest = g_strnfill (1024, 'k');
  g_autofree char *longer = g_strnfill (1025, 'k');
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  const char *const refused[] = { longer, "" };

  commy_store_put (store, longest, "v", 0);
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      CommyStoreOp op = { COMMY_STORE_PUT, refused[i], value, 0 };
      g_auto (CommyStoreAnswer) answer = { 0 };

      commy_store_txn (store, NULL, 0, &op, 1, &answer);
      g_assert_error (answer.error, COMMY_TEST_ERROR, 2);
    }
  g_assert_cmpuint (commy_store_count (store, ""), ==, 1);
}

static void
test_values (CommyStoreUnderTest *store)
{
  static const gsize sizes[] = { 0, 1, 4096, 1024 * 1024 };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      guint8 *data = g_malloc0 (sizes[i] + 1);
      g_autoptr (GBytes) value = NULL;
      CommyStoreOp op = { COMMY_STORE_PUT, "value", NULL, 0 };
      g_auto (CommyStoreAnswer) put = { 0 };
      g_auto (CommyStoreAnswer) got = { 0 };

      for (gsize j = 0; j < sizes[i]; j++)
        data[j] = (guint8) (j * 31 + i);
      value = g_bytes_new_take (data, sizes[i]);
      op.value = value;
      commy_store_txn (store, NULL, 0, &op, 1, &put);
      g_assert_no_error (put.error);
      commy_store_range (store, "value", &got);
      g_assert_true (g_bytes_equal (entry_at (&got, 0)->value, value));
    }
}

static void
test_watch_catches_up (CommyStoreUnderTest *store)
{
  gint64 first = commy_store_put (store, "w/1", "a", 0);
  Watcher watcher;

  commy_store_put (store, "w/2", "b", 0);
  commy_store_put (store, "elsewhere", "c", 0);
  delete_op (store, COMMY_STORE_DELETE, "w/1");
  watcher_start (&watcher, store, "w/", first);
  g_assert_cmpstr (watcher_at (&watcher, 0)->key, ==, "w/2");
  g_assert_cmpstr (watcher_at (&watcher, 1)->key, ==, "w/1");
  g_assert_null (watcher_at (&watcher, 1)->value);
  commy_store_put (store, "w/3", "d", 0);
  g_assert_cmpstr (watcher_at (&watcher, 2)->key, ==, "w/3");
  assert_value (watcher_at (&watcher, 2), "d");
  g_assert_cmpuint (watcher.entries->len, ==, 3);
  watcher_stop (&watcher);
}

static void
test_watch_prefix_delete (CommyStoreUnderTest *store)
{
  Watcher watcher;
  gint64 revision;

  commy_store_put (store, "p/1", "a", 0);
  revision = commy_store_put (store, "p/2", "b", 0);
  watcher_start (&watcher, store, "p/", revision);
  delete_op (store, COMMY_STORE_DELETE_PREFIX, "p/");
  g_assert_null (watcher_at (&watcher, 0)->value);
  g_assert_null (watcher_at (&watcher, 1)->value);
  g_assert_cmpint (watcher_at (&watcher, 0)->mod_revision, ==,
                   watcher_at (&watcher, 1)->mod_revision);
  watcher_stop (&watcher);
}

static void
test_unwatch_inside (CommyStoreUnderTest *store)
{
  Watcher ended;
  Watcher other;

  watcher_start (&ended, store, "", 0);
  watcher_start (&other, store, "", 0);
  ended.end_inside = TRUE;
  commy_store_put (store, "k", "1", 0);
  watcher_at (&ended, 0);
  watcher_at (&other, 0);
  commy_store_put (store, "k", "2", 0);
  watcher_at (&other, 1);
  g_assert_cmpuint (ended.calls, ==, 1);
  watcher_stop (&ended);
  watcher_stop (&other);
}

static void
test_watch_of_the_future (CommyStoreUnderTest *store)
{
  Watcher watcher;

  watcher_start (&watcher, store, "", commy_store_put (store, "k", "v", 0) + 1000);
  commy_test_run_until (NULL, watcher.error != NULL);
  g_assert_true (watcher.error->domain == COMMY_TEST_ERROR);
  watcher_stop (&watcher);
}

static void
test_many_watchers (CommyStoreUnderTest *store)
{
  g_autofree Watcher *watchers = g_new0 (Watcher, N_WATCHERS);

  for (guint i = 0; i < N_WATCHERS; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("many/%03u", i);

      watcher_start (&watchers[i], store, prefix, 0);
    }
  for (guint i = 0; i < N_WATCHERS; i++)
    {
      g_autofree char *key = g_strdup_printf ("many/%03u/key", i);

      commy_store_put (store, key, "v", 0);
    }
  for (guint i = 0; i < N_WATCHERS; i++)
    {
      g_autofree char *key = g_strdup_printf ("many/%03u/key", i);

      g_assert_cmpstr (watcher_at (&watchers[i], 0)->key, ==, key);
      g_assert_cmpuint (watchers[i].entries->len, ==, 1);
    }
  for (guint i = 0; i < N_WATCHERS; i++)
    watcher_stop (&watchers[i]);
}

static void
test_watch_sees_other_process (CommyStoreUnderTest *store)
{
  Watcher watcher;
  Child child;

  watcher_start (&watcher, store, "from/", 0);
  child = child_start (store, "put");
  g_assert_cmpstr (watcher_at (&watcher, 0)->key, ==, "from/child");
  g_assert_cmpint (child_wait (&child), ==, 0);
  child_close (&child);
  watcher_stop (&watcher);
}

static void
test_revoke (CommyStoreUnderTest *store)
{
  gint64 lease = commy_store_grant (store);
  g_auto (CommyStoreAnswer) answer = { 0 };
  g_auto (CommyStoreAnswer) again = { 0 };
  Watcher watcher;
  gint64 revision;

  commy_store_put (store, "l/kept", "v", 0);
  revision = commy_store_put (store, "l/leased", "v", lease);
  watcher_start (&watcher, store, "l/", revision);
  store->ops->revoke (store->instance, lease, on_done, &answer);
  commy_test_run_until (NULL, answer.done);
  g_assert_no_error (answer.error);
  g_assert_cmpstr (watcher_at (&watcher, 0)->key, ==, "l/leased");
  g_assert_null (watcher_at (&watcher, 0)->value);
  g_assert_cmpuint (commy_store_count (store, "l/"), ==, 1);
  store->ops->revoke (store->instance, lease, on_done, &again);
  commy_test_run_until (NULL, again.done);
  g_assert_error (again.error, COMMY_TEST_ERROR, 601);
  watcher_stop (&watcher);
}

/* A put without the lease takes the key out of it. */
static void
test_key_leaves_lease (CommyStoreUnderTest *store)
{
  gint64 lease = commy_store_grant (store);
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_store_put (store, "k", "leased", lease);
  commy_store_put (store, "k", "own", 0);
  store->ops->revoke (store->instance, lease, on_done, &answer);
  commy_test_run_until (NULL, answer.done);
  g_assert_cmpuint (commy_store_count (store, "k"), ==, 1);
}

/* The slot is optional; the core has a function of its own in its place. */
static void
suspect (CommyStoreUnderTest *store, gint64 lease)
{
  if (store->ops->suspect != NULL)
    store->ops->suspect (store->instance, lease);
}

/* While the owner lives nothing may take its keys, whoever suspects it. */
static void
test_owner_killed (CommyStoreUnderTest *store, const char *role)
{
  Child child = child_start (store, role);
  gint64 lease = child_read (&child);
  Watcher watcher;

  suspect (store, lease);
  g_assert_cmpuint (commy_store_count (store, "held/"), ==, 1);
  watcher_start (&watcher, store, "held/", 0);
  watcher_at (&watcher, 0);
  child_kill (&child);
  suspect (store, lease);
  g_assert_null (watcher_at (&watcher, 1)->value);
  g_assert_cmpuint (commy_store_count (store, "held/"), ==, 0);
  watcher_stop (&watcher);
  child_close (&child);
}

static void
test_owner_killed_suspect (CommyStoreUnderTest *store)
{
  test_owner_killed (store, "hold");
}

static void
test_owner_killed_child_lives (CommyStoreUnderTest *store)
{
  test_owner_killed (store, "hold-fork");
}

static void
test_owner_exits (CommyStoreUnderTest *store)
{
  Child child = child_start (store, "hold");
  Watcher watcher;

  child_read (&child);
  watcher_start (&watcher, store, "held/", 0);
  watcher_at (&watcher, 0);
  close (child.in);
  child.in = -1;
  g_assert_cmpint (child_wait (&child), ==, 0);
  g_assert_null (watcher_at (&watcher, 1)->value);
  watcher_stop (&watcher);
  close (child.out);
}

static void
test_concurrent_writers (CommyStoreUnderTest *store)
{
  Child children[N_WRITERS];
  g_auto (CommyStoreAnswer) answer = { 0 };
  g_autofree char *expected = g_strdup_printf ("%d", N_WRITERS * N_INCREMENTS);

  for (int i = 0; i < N_WRITERS; i++)
    children[i] = child_start (store, "count");
  for (int i = 0; i < N_WRITERS; i++)
    {
      g_assert_cmpint (child_wait (&children[i]), ==, 0);
      child_close (&children[i]);
    }
  commy_store_range (store, "counter", &answer);
  assert_value (entry_at (&answer, 0), expected);
}

static void
test_restart_keeps_data (CommyStoreUnderTest *store)
{
  gint64 revision = commy_store_put (store, "kept", "value", 0);
  g_auto (CommyStoreAnswer) answer = { 0 };
  g_autoptr (GError) error = NULL;

  commy_store_put (store, "leased", "value", commy_store_grant (store));
  commy_test_host_stop (store->host);
  g_assert_cmpuint (commy_test_host_count_sources (store->host), ==, 0);
  store->instance = commy_test_host_start (store->host, &error);
  g_assert_no_error (error);
  commy_store_range (store, "", &answer);
  g_assert_cmpuint (answer.entries->len, ==, 1);
  g_assert_cmpstr (entry_at (&answer, 0)->key, ==, "kept");
  g_assert_cmpint (entry_at (&answer, 0)->mod_revision, ==, revision);
  g_assert_cmpint (answer.revision, >, revision);
}

static void
run_case (gconstpointer data)
{
  const Case *test = data;
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, test->descriptor);
  g_autofree char *place = g_build_filename (commy_test_host_get_dir (host), "state", NULL);
  g_autoptr (GError) error = NULL;
  CommyStoreUnderTest store = { host, test->descriptor->ops, NULL };

  if (test->setup != NULL)
    test->setup (host, place);
  store.instance = commy_test_host_start (host, &error);
  g_assert_no_error (error);
  test->test (&store);
  commy_test_host_stop (host);
  g_assert_cmpuint (commy_test_host_count_sources (host), ==, 0);
}

void
commy_store_conformance_add (const CommyPluginDescriptor *descriptor,
                             CommyStoreConformanceSetup setup)
{
  static const struct
  {
    const char *name;
    void (*test) (CommyStoreUnderTest *store);
  } cases[] = {
    { "revisions/grow-with-every-change", test_revisions },
    { "revisions/a-deleted-key-is-made-anew", test_key_made_anew },
    { "txn/conditions-decide", test_compare_and_set },
    { "txn/all-or-nothing-at-one-revision", test_atomic },
    { "keys/every-byte-but-nul", test_keys_of_every_byte },
    { "keys/length-has-a-limit", test_key_length },
    { "values/from-nothing-to-1-mib", test_values },
    { "watch/catches-up-from-a-revision", test_watch_catches_up },
    { "watch/prefix-delete-tells-every-key", test_watch_prefix_delete },
    { "watch/may-end-inside-its-callback", test_unwatch_inside },
    { "watch/revision-of-the-future-is-an-error", test_watch_of_the_future },
    { "watch/many-watchers-each-their-own", test_many_watchers },
    { "watch/sees-another-process", test_watch_sees_other_process },
    { "lease/revoke-removes-its-keys", test_revoke },
    { "lease/a-put-without-lease-leaves-it", test_key_leaves_lease },
    { "lease/killed-owner-loses-keys-on-suspect", test_owner_killed_suspect },
    { "lease/forked-child-does-not-keep-it", test_owner_killed_child_lives },
    { "lease/exit-of-the-owner-ends-it", test_owner_exits },
    { "processes/no-update-is-lost", test_concurrent_writers },
    { "restart/keeps-data-and-ends-leases", test_restart_keeps_data },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Case *test = g_new0 (Case, 1);
      g_autofree char *path = g_strdup_printf ("/store/%s/%s", descriptor->note->id, cases[i].name);

      *test = (Case){ descriptor, setup, cases[i].test };
      g_test_add_data_func_full (path, test, run_case, g_free);
    }
}
