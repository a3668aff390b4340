/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that write one store are killed at any point of a transaction: a book in shared memory
 * says what each had begun and what was acknowledged to it, and a judge, a process that is not
 * killed, compares the store with it after every kill. Nothing acknowledged is lost, nothing is
 * there in part, revisions only grow, and what a dead owner leased goes.
 */
#include "config.h"

#include "../conformance/commy-store-conformance.h"
#include "../fixtures/test-child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WRITERS 4u
#define SOON_US 400
/* Of the first start, which makes hundreds of system calls, every so many. */
#define OPENING_STEP 13u

/* What a writer did; it writes, others read. */
typedef struct
{
  guint64 begun, acked; /* atomic: numbers of transactions */
  gint64 acked_revision;
} Page;

typedef struct
{
  char *dir;
  Page *book;
  const CommyPluginDescriptor *descriptor;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;

  fixture->dir = g_dir_make_tmp ("commy-kills-XXXXXX", &error);
  g_assert_no_error (error);
  fixture->book = mmap (NULL, N_WRITERS * sizeof (Page), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (fixture->book != MAP_FAILED);
  fixture->descriptor = commy_test_load ("store", "sqlite", &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer unused)
{
  munmap (fixture->book, N_WRITERS * sizeof (Page));
  commy_test_remove_tree (fixture->dir);
  g_free (fixture->dir);
}

/* In a child that never opened it before: SQLite's state does not survive a fork. */
static void
open_store (Fixture *fixture, guint32 seed, CommyStoreUnderTest *out)
{
  g_autofree char *state = g_build_filename (fixture->dir, "state", NULL);
  g_autoptr (GError) error = NULL;

  out->host = commy_test_host_new (NULL, fixture->descriptor);
  out->ops = fixture->descriptor->ops;
  commy_test_host_set_info (out->host, COMMY_HOST_STATE_DIR, state);
  commy_test_host_set_seed (out->host, seed);
  out->instance = commy_test_host_start (out->host, &error);
  g_assert_no_error (error);
}

/* --- writers --- */

/* One transaction over four keys: two that always agree, one that comes and goes, and one that is
 * leased. */
static void
write_once (CommyStoreUnderTest *store, guint writer, guint64 number, gint64 lease, Page *page)
{
  g_autofree char *a = g_strdup_printf ("w/%u/a", writer);
  g_autofree char *b = g_strdup_printf ("w/%u/b", writer);
  g_autofree char *t = g_strdup_printf ("w/%u/t", writer);
  g_autofree char *l = g_strdup_printf ("l/%u", writer);
  char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, number);
  g_autoptr (GBytes) value = g_bytes_new_take (text, strlen (text));
  const CommyStoreOp ops[]
      = { { COMMY_STORE_PUT, a, value, 0 },
          { number % 5 == 0 ? COMMY_STORE_DELETE : COMMY_STORE_PUT, t, value, 0 },
          { COMMY_STORE_PUT, l, value, lease },
          { COMMY_STORE_PUT, b, value, 0 } };
  g_auto (CommyStoreAnswer) answer = { 0 };

  __atomic_store_n (&page->begun, number, __ATOMIC_RELEASE);
  commy_store_txn (store, NULL, 0, ops, G_N_ELEMENTS (ops), &answer);
  g_assert_no_error (answer.error);
  g_assert_true (answer.succeeded);
  page->acked_revision = answer.revision;
  __atomic_store_n (&page->acked, number, __ATOMIC_RELEASE);
}

static G_NORETURN void
write_for_ever (Fixture *fixture, guint writer, guint32 seed)
{
  Page *page = &fixture->book[writer];
  CommyStoreUnderTest store = { 0 };
  guint64 number = page->begun;
  gint64 lease;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  open_store (fixture, seed, &store);
  lease = commy_store_grant (&store);
  for (;;)
    write_once (&store, writer, ++number, lease, page);
}

static GPid
start_writer (Fixture *fixture, guint writer, guint32 seed)
{
  GPid pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    write_for_ever (fixture, writer, seed);
  return pid;
}

static void
await_death (GPid pid)
{
  int status;

  while (waitpid (pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
}

/* --- the judge --- */

typedef struct
{
  Fixture *fixture;
  CommyStoreUnderTest store;
  GHashTable *mirror; /* what its watch told: key -> number, as text */
  gint64 revision;    /* of the last look */
  gint64 longest_us;  /* until a dead owner's key was gone */
} Judge;

static void
on_event (gpointer data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  Judge *self = data;

  g_assert_no_error (error);
  for (gsize i = 0; i < n_entries; i++)
    if (entries[i].value == NULL)
      g_hash_table_remove (self->mirror, entries[i].key);
    else
      g_hash_table_replace (self->mirror, g_strdup (entries[i].key),
                            g_strndup (g_bytes_get_data (entries[i].value, NULL),
                                       g_bytes_get_size (entries[i].value)));
}

static const CommyStoreEntry *
find (const CommyStoreAnswer *answer, guint writer, const char *last)
{
  g_autofree char *key = g_strdup_printf ("w/%u/%s", writer, last);

  for (guint i = 0; i < answer->entries->len; i++)
    {
      const CommyStoreEntry *entry = &g_array_index (answer->entries, CommyStoreEntry, i);

      if (strcmp (entry->key, key) == 0)
        return entry;
    }
  return NULL;
}

static guint64
number_of (const CommyStoreEntry *entry)
{
  g_autofree char *text
      = g_strndup (g_bytes_get_data (entry->value, NULL), g_bytes_get_size (entry->value));

  return g_ascii_strtoull (text, NULL, 10);
}

/* The book is read before the store and after it: what it says of both holds. */
static void
judge_writer (Judge *self, guint writer, const CommyStoreAnswer *answer, const Page *before)
{
  const Page *page = &self->fixture->book[writer];
  const CommyStoreEntry *a = find (answer, writer, "a"), *b = find (answer, writer, "b");
  const CommyStoreEntry *t = find (answer, writer, "t");
  guint64 number;

  g_assert_true ((a == NULL) == (b == NULL));
  g_assert_true (a != NULL || before->acked == 0);
  if (a == NULL)
    return;
  number = number_of (a);
  g_assert_cmpuint (number, ==, number_of (b));
  g_assert_cmpint (a->mod_revision, ==, b->mod_revision);
  g_assert_cmpint (a->mod_revision, <=, answer->revision);
  g_assert_cmpuint (number, >=, before->acked);
  g_assert_cmpuint (number, <=, __atomic_load_n (&page->begun, __ATOMIC_ACQUIRE));
  if (number == before->acked && before->acked_revision != 0)
    g_assert_cmpint (a->mod_revision, ==, before->acked_revision);
  g_assert_true ((t == NULL) == (number % 5 == 0));
  if (t != NULL)
    g_assert_cmpuint (number, ==, number_of (t));
}

static void
judge_all (Judge *self)
{
  Page before[N_WRITERS];
  g_auto (CommyStoreAnswer) answer = { 0 };

  for (guint i = 0; i < N_WRITERS; i++)
    {
      /* The revision may be the next one's already: then it is not compared. */
      before[i].acked = __atomic_load_n (&self->fixture->book[i].acked, __ATOMIC_ACQUIRE);
      before[i].acked_revision = self->fixture->book[i].acked_revision;
      if (__atomic_load_n (&self->fixture->book[i].begun, __ATOMIC_ACQUIRE) != before[i].acked)
        before[i].acked_revision = 0;
    }
  commy_store_range (&self->store, "w/", &answer);
  g_assert_no_error (answer.error);
  g_assert_cmpint (answer.revision, >=, self->revision);
  self->revision = answer.revision;
  for (guint i = 0; i < N_WRITERS; i++)
    judge_writer (self, i, &answer, &before[i]);
}

/* What the watch told of each writer is whole as well. */
static void
judge_mirror (Judge *self)
{
  for (guint i = 0; i < N_WRITERS; i++)
    {
      g_autofree char *a = g_strdup_printf ("w/%u/a", i);
      g_autofree char *b = g_strdup_printf ("w/%u/b", i);

      g_assert_cmpstr (g_hash_table_lookup (self->mirror, a), ==,
                       g_hash_table_lookup (self->mirror, b));
    }
}

/* No clock is asked whether that was soon enough: the harness has a limit. */
static void
await_end_of_lease (Judge *self, guint writer)
{
  g_autofree char *key = g_strdup_printf ("l/%u", writer);
  gint64 begun_us = g_get_monotonic_time ();

  while (commy_store_count (&self->store, key) > 0)
    g_main_context_iteration (NULL, TRUE);
  self->longest_us = MAX (self->longest_us, g_get_monotonic_time () - begun_us);
}

/* Reads whom to judge, a byte each, and answers with a byte; 'e': the end. */
static G_NORETURN void
judge_for_ever (Fixture *fixture, int in, int out)
{
  Judge self = { .fixture = fixture };
  guint8 writer;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  self.mirror = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  open_store (fixture, 4711, &self.store);
  self.store.ops->watch (self.store.instance, "w/", 0, on_event, &self);
  g_assert_cmpint (write (out, "k", 1), ==, 1);
  while (read (in, &writer, 1) == 1 && writer != 'e')
    {
      judge_all (&self);
      if (writer < N_WRITERS)
        await_end_of_lease (&self, writer);
      judge_mirror (&self);
      g_assert_cmpint (write (out, "k", 1), ==, 1);
    }
  g_assert_cmpint (write (out, &self.longest_us, sizeof self.longest_us), ==,
                   sizeof self.longest_us);
  commy_test_host_free (self.store.host);
  test_child_exit (0);
}

typedef struct
{
  GPid pid;
  int in, out;
} Court;

static void
court_ask (Court *self, guint8 writer)
{
  char byte = 0;

  if (writer != 0xff)
    g_assert_cmpint (write (self->in, &writer, 1), ==, 1);
  g_assert_cmpint (read (self->out, &byte, 1), ==, 1);
}

static void
court_open (Court *self, Fixture *fixture)
{
  int to[2], from[2];

  g_assert_cmpint (pipe (to), ==, 0);
  g_assert_cmpint (pipe (from), ==, 0);
  self->pid = fork ();
  g_assert_cmpint (self->pid, >=, 0);
  if (self->pid == 0)
    {
      close (to[1]);
      close (from[0]);
      judge_for_ever (fixture, to[0], from[1]);
    }
  close (to[0]);
  close (from[1]);
  self->in = to[1];
  self->out = from[0];
  court_ask (self, 0xff); /* it has opened */
}

static gint64
court_close (Court *self)
{
  gint64 longest_us = 0;
  int status;

  g_assert_cmpint (write (self->in, "e", 1), ==, 1);
  g_assert_cmpint (read (self->out, &longest_us, sizeof longest_us), ==, sizeof longest_us);
  g_assert_cmpint (waitpid (self->pid, &status, 0), ==, self->pid);
  g_assert_cmpint (status, ==, 0);
  close (self->in);
  close (self->out);
  return longest_us;
}

static void
check_integrity (Fixture *fixture)
{
  g_autofree char *path = g_build_filename (fixture->dir, "state", "store-1.db", NULL);
  sqlite3 *sql = NULL;
  sqlite3_stmt *statement = NULL;

  g_assert_cmpint (sqlite3_open (path, &sql), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_prepare_v2 (sql, "PRAGMA integrity_check", -1, &statement, NULL), ==,
                   SQLITE_OK);
  g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
  g_assert_cmpstr ((const char *) sqlite3_column_text (statement, 0), ==, "ok");
  sqlite3_finalize (statement);
  g_assert_cmpint (sqlite3_close (sql), ==, SQLITE_OK);
}

/* --- at random --- */

static guint
get_kills (void)
{
  const char *text = g_getenv ("COMMY_TEST_KILLS");

  return text != NULL ? (guint) atoi (text) : 300;
}

/* Somewhere within one of its next transactions. */
static void
let_it_work (const Page *page)
{
  guint64 enough = __atomic_load_n (&page->acked, __ATOMIC_ACQUIRE) + 1
                   + (guint64) g_test_rand_int_range (0, 6);

  while (__atomic_load_n (&page->acked, __ATOMIC_ACQUIRE) < enough)
    sched_yield ();
  g_usleep ((gulong) g_test_rand_int_range (0, SOON_US));
}

static void
test_at_random (Fixture *fixture, gconstpointer unused)
{
  GPid writers[N_WRITERS];
  guint64 acked = 0;
  gint64 longest_us;
  Court court;

  court_open (&court, fixture);
  for (guint i = 0; i < N_WRITERS; i++)
    writers[i] = start_writer (fixture, i, i + 1);
  for (guint kill_number = 0; kill_number < get_kills (); kill_number++)
    {
      guint i = (guint) g_test_rand_int_range (0, N_WRITERS);

      let_it_work (&fixture->book[i]);
      kill (writers[i], SIGKILL);
      await_death (writers[i]);
      court_ask (&court, (guint8) i);
      writers[i] = start_writer (fixture, i, N_WRITERS + 1 + kill_number);
    }
  for (guint i = 0; i < N_WRITERS; i++)
    {
      kill (writers[i], SIGKILL);
      await_death (writers[i]);
    }
  for (guint8 i = 0; i < N_WRITERS; i++)
    {
      court_ask (&court, i);
      acked += fixture->book[i].acked;
    }
  longest_us = court_close (&court);
  check_integrity (fixture);
  g_test_message ("%u kills of %u writers: %" G_GUINT64_FORMAT " acknowledged transactions, all "
                  "there; a dead owner's lease was gone after %.1f ms at most",
                  get_kills () + N_WRITERS, N_WRITERS, acked, (double) longest_us / 1000);
}

/* --- at every system call --- */

/* Runs a stopped child to its @nth stop at a system call, and kills it there. FALSE: it came to its
 * end before. */
static gboolean
kill_at (GPid pid, guint nth)
{
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSTOPPED (status));
  for (guint i = 0; i < nth; i++)
    {
      g_assert_cmpint (ptrace (PTRACE_SYSCALL, pid, NULL, NULL), ==, 0);
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      if (!WIFSTOPPED (status))
        {
          g_assert_cmpint (status, ==, 0);
          return FALSE;
        }
    }
  kill (pid, SIGKILL);
  await_death (pid);
  return TRUE;
}

/* Whether this process may look at a child of its own so closely. */
static gboolean
can_trace (void)
{
  int status;
  GPid pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    _exit (ptrace (PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return status == 0;
}

static void
wait_to_be_traced (void)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  g_assert_cmpint (ptrace (PTRACE_TRACEME, 0, NULL, NULL), ==, 0);
  raise (SIGSTOP);
}

static GPid
start_traced_writer (Fixture *fixture, guint32 seed)
{
  Page *page = &fixture->book[0];
  CommyStoreUnderTest store = { 0 };
  GPid pid = fork ();
  gint64 lease;

  g_assert_cmpint (pid, >=, 0);
  if (pid > 0)
    return pid;
  open_store (fixture, seed, &store);
  lease = commy_store_grant (&store);
  write_once (&store, 0, page->begun + 1, lease, page);
  wait_to_be_traced ();
  write_once (&store, 0, page->begun + 1, lease, page);
  _exit (0);
}

static void
test_every_system_call (Fixture *fixture, gconstpointer unused)
{
  gboolean more = TRUE;
  guint nth = 0;
  Court court;

  if (!can_trace ())
    {
      g_test_skip ("no process may be traced here");
      return;
    }
  court_open (&court, fixture);
  for (; more; nth++)
    {
      more = kill_at (start_traced_writer (fixture, nth + 1), nth);
      court_ask (&court, 0);
    }
  g_test_message ("a transaction was cut off at each of %u points", nth - 1);
  g_assert_cmpuint (nth, >, 8);
  court_close (&court);
  check_integrity (fixture);
}

/* --- at the first start --- */

static GPid
start_traced_opening (Fixture *fixture, guint32 seed)
{
  CommyStoreUnderTest store = { 0 };
  GPid pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid > 0)
    return pid;
  wait_to_be_traced ();
  open_store (fixture, seed, &store);
  commy_store_put (&store, "k", "v", commy_store_grant (&store));
  _exit (0);
}

/* Whoever comes next finds a store that is whole, and in it nothing of who died. */
static void
test_first_start (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *state = g_build_filename (fixture->dir, "state", NULL);
  gboolean more = TRUE;
  guint nth = 0;

  if (!can_trace ())
    {
      g_test_skip ("no process may be traced here");
      return;
    }
  while (more)
    {
      int status;
      GPid pid;

      more = kill_at (start_traced_opening (fixture, 1), nth);
      pid = fork ();
      g_assert_cmpint (pid, >=, 0);
      if (pid == 0)
        {
          CommyStoreUnderTest store = { 0 };

          open_store (fixture, 2, &store);
          commy_test_run_until (NULL, commy_store_count (&store, "") == 0);
          commy_store_put (&store, "k", "v", commy_store_grant (&store));
          _exit (0);
        }
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      g_assert_cmpint (status, ==, 0);
      check_integrity (fixture);
      commy_test_remove_tree (state);
      nth += OPENING_STEP;
    }
  g_test_message ("a first start was cut off at each %uth of %u points", OPENING_STEP, nth);
}

#define ADD(path, test) \
  g_test_add ("/store/sqlite/kills/" path, Fixture, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_autofree char *tmp = NULL;
  int status;

  /* What those who are killed leave behind lies in a folder of ours. */
  tmp = g_strdup_printf ("%s/commy-kills-of-%d",
                         g_getenv ("TMPDIR") != NULL ? g_getenv ("TMPDIR") : "/tmp",
                         (int) getpid ());
  g_assert_cmpint (g_mkdir_with_parents (tmp, 0700), ==, 0);
  g_setenv ("TMPDIR", tmp, TRUE);
  g_test_init (&argc, &argv, NULL);
  ADD ("at-random", test_at_random);
  ADD ("at-every-system-call", test_every_system_call);
  ADD ("at-the-first-start", test_first_start);
  status = g_test_run ();
  commy_test_remove_tree (tmp);
  return status;
}
