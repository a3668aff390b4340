/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sent = delivered + dropped (reason), from two books. The reader writes each message that it gets
 * into a file that outlives it; the writer's account says at the end of the channel how many it
 * sent, how many of them are certainly lost, and of how many nobody can say. What the reader has is
 * between the two, and neither is computed from the other.
 */
#include "config.h"

#include "mesh-fixture.h"

#include "mesh/commy-mesh-private.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define BOOK "COMMY_TEST_ACCOUNT_BOOK"
#define MESSAGES 600u
#define DIES_AT 7u
#define TEXT_SIZE                                                                \
  200u /* more than a ring of calls has room for: calls wait, others are refused \
        */

/* What the reader writes, and when it dies. */
typedef struct
{
  guint32 noted;
  guint32 dies_at; /* 0: it does not */
  guint32 dies_before_noting;
} Book;

typedef enum
{
  AFTER_NOTING,
  BEFORE_NOTING,
  AT_ITS_LEISURE, /* the writer closes, and the reader reads on */
} Fate;

typedef struct
{
  const char *transport;
  gboolean calls; /* else one-way messages */
  Fate fate;
} Case;

/* --- the reader --- */

static void
on_note (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Book *book = data;
  gboolean dies = book->dies_at != 0 && book->noted + 1 == book->dies_at;

  if (dies && book->dies_before_noting)
    raise (SIGKILL);
  __atomic_add_fetch (&book->noted, 1, __ATOMIC_SEQ_CST);
  if (dies)
    raise (SIGKILL);
  commy_invocation_return_value (invocation, NULL);
}

static void
extend (CommyService *service)
{
  commy_service_handle (service, "Note", on_note, test_book_open (g_getenv (BOOK), sizeof (Book)),
                        NULL);
}

/* --- the writer --- */

typedef struct
{
  Book *book;
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  CommyChannel *channel;
  guint accepted, answered;
} Account;

static void
find_channel (gpointer channel, gpointer data)
{
  Account *self = data;

  if (!commy_channel_is_accepting (channel)
      && strcmp (commy_channel_get_service (channel), TEST_SERVICE) == 0)
    self->channel = commy_channel_ref (channel);
}

static void
find_own_channel (Account *self)
{
  g_autoptr (GPtrArray) workers = commy_mesh_dup_workers (self->mesh);

  for (guint i = 0; i < workers->len; i++)
    {
      CommyWorker *worker = ((CommyMeshWorker *) workers->pdata[i])->worker;

      if (!commy_worker_is_home (worker))
        continue;
      commy_worker_enter (worker);
      commy_worker_foreach_channel (worker, find_channel, self);
      commy_worker_exit (worker);
    }
  g_assert_nonnull (self->channel);
}

/* Connected, with one call behind it. */
static void
begin (Account *self, MeshFixture *fixture, const Case *test)
{
  g_autofree char *settings = g_strdup_printf (
      "[limits]\nresume-within=50ms\n[selection]\npreference=pin\ntransports=%s\n",
      test->transport);
  g_autofree char *path = g_build_filename (fixture->dir, "book", NULL);
  g_autoptr (GVariant) sum = NULL;
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  g_setenv (BOOK, path, TRUE);
  self->book = (Book *) (gpointer) test_book_open (path, sizeof (Book));
  self->child = service_child_start (fixture, settings, 1);
  self->mesh = mesh_fixture_join (fixture, settings);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
  sum = commy_client_call_sync (self->client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL,
                                &error);
  g_assert_no_error (error);
  find_own_channel (self);
}

static void
end (Account *self, gboolean is_dead)
{
  if (is_dead)
    service_child_kill (self->child);
  commy_channel_unref (self->channel);
  g_object_unref (self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
  service_child_free (self->child);
  munmap (self->book, sizeof *self->book);
}

static void
stop_reading (Account *self)
{
  int status;

  kill (self->child->pid, SIGSTOP);
  g_assert_cmpint (waitpid (self->child->pid, &status, WUNTRACED), ==, self->child->pid);
  g_assert_true (WIFSTOPPED (status));
}

static void
on_answered (GObject *client, GAsyncResult *result, gpointer data)
{
  Account *self = data;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (client), result, NULL);

  self->answered++;
}

static void
send_all (Account *self, gboolean calls)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autofree char *text = g_strnfill (TEXT_SIZE, 'x');

  commy_call_options_set_timeout (options, 120 * G_USEC_PER_SEC);
  for (guint i = 0; i < MESSAGES; i++)
    {
      GVariant *parameters = g_variant_new ("(s)", text);

      if (calls)
        commy_client_call (self->client, "Note", parameters, options, NULL, on_answered, self);
      else if (!commy_client_send (self->client, "Note", parameters, options, NULL))
        break;
      self->accepted++;
    }
  g_assert_cmpuint (self->accepted, >, 2 * DIES_AT);
}

static guint64
count (const Account *self, CommyCount what)
{
  return commy_counters_get (commy_channel_get_counters (self->channel), what);
}

static guint64
count_drops (CommyMesh *mesh, const char *wanted)
{
  g_autoptr (GVariant) list = commy_mesh_list_drops (mesh);
  GVariantIter iter;
  const char *reason;
  guint64 n, total = 0;

  g_variant_iter_init (&iter, list);
  while (g_variant_iter_loop (&iter, "(&st&s)", &reason, &n, NULL))
    if (wanted == NULL || strcmp (reason, wanted) == 0)
      total += n;
  return total;
}

static void
await_end (Account *self, gboolean calls)
{
  while (commy_channel_is_open (self->channel) || (calls && self->answered < self->accepted))
    g_main_context_iteration (NULL, TRUE);
}

static void
close_now (Account *self)
{
  CommyWorker *worker = commy_channel_get_worker (self->channel);

  commy_worker_enter (worker);
  commy_channel_close (self->channel, NULL);
  commy_worker_exit (worker);
}

/* The reader that lives takes everything that had left; what did not is certainly lost. */
static void
await_reader (Account *self, guint64 most)
{
  while (1 + __atomic_load_n (&self->book->noted, __ATOMIC_SEQ_CST) < most)
    g_thread_yield ();
}

/* --- the two books --- */

static void
compare (Account *self, const Case *test)
{
  const gboolean in_ring = strcmp (test->transport, "shm") == 0;
  guint64 sent = count (self, COMMY_COUNT_SENT);
  guint64 lost = count (self, COMMY_COUNT_LOST);
  guint64 unknown = count (self, COMMY_COUNT_UNKNOWN);
  guint64 had = 1 + __atomic_load_n (&self->book->noted, __ATOMIC_SEQ_CST);

  g_test_message ("%" G_GUINT64_FORMAT " sent = %" G_GUINT64_FORMAT
                  " certainly lost + %" G_GUINT64_FORMAT
                  " unknown + the rest; the reader had %" G_GUINT64_FORMAT,
                  sent, lost, unknown, had);
  g_assert_cmpuint (sent, ==, 1 + self->accepted);
  g_assert_cmpuint (had + lost, <=, sent);
  g_assert_cmpuint (had + lost + unknown, >=, sent);
  /* Whatever the channel says, the mesh's ledger says, and nothing else. */
  g_assert_cmpuint (count_drops (self->mesh, NULL), ==, lost + unknown);
  g_assert_cmpuint (count_drops (self->mesh, "unknown"), ==, unknown);
  if (test->fate == AT_ITS_LEISURE)
    {
      g_assert_cmpuint (count_drops (self->mesh, "closed"), ==, lost);
      if (in_ring)
        g_assert_cmpuint (had + lost, ==, sent);
      return;
    }
  g_assert_cmpuint (had, ==, test->fate == AFTER_NOTING ? 1 + DIES_AT : DIES_AT);
  g_assert_cmpuint (count_drops (self->mesh, "peer-gone") + count_drops (self->mesh, "closed"), ==,
                    lost);
  if (!in_ring)
    return;
  /* The one that was in the reader's hands, and no other. */
  g_assert_cmpuint (count_drops (self->mesh, "closed"), ==, 0);
  g_assert_cmpuint (unknown, ==, 1);
  g_assert_cmpuint (sent - lost - unknown, ==, DIES_AT);
}

static void
run (MeshFixture *fixture, gconstpointer data)
{
  const Case *test = data;
  Account self = { 0 };

  begin (&self, fixture, test);
  stop_reading (&self);
  if (test->fate != AT_ITS_LEISURE)
    self.book->dies_at = DIES_AT;
  self.book->dies_before_noting = test->fate == BEFORE_NOTING;
  send_all (&self, test->calls);
  if (test->fate == AT_ITS_LEISURE)
    close_now (&self);
  kill (self.child->pid, SIGCONT);
  await_end (&self, test->calls && test->fate != AT_ITS_LEISURE);
  if (test->fate == AT_ITS_LEISURE && strcmp (test->transport, "shm") == 0)
    await_reader (&self, count (&self, COMMY_COUNT_SENT) - count (&self, COMMY_COUNT_LOST));
  compare (&self, test);
  end (&self, test->fate != AT_ITS_LEISURE);
}

/* --- within one process --- */

/* A reader that stands until it may go on. */
typedef struct
{
  GMutex lock;
  GCond changed;
  gboolean is_there, may_go_on;
  guint noted;
} Gate;

static void
on_gated_note (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Gate *gate = data;

  g_mutex_lock (&gate->lock);
  gate->is_there = TRUE;
  g_cond_broadcast (&gate->changed);
  while (!gate->may_go_on)
    g_cond_wait (&gate->changed, &gate->lock);
  gate->noted++;
  g_cond_broadcast (&gate->changed);
  g_mutex_unlock (&gate->lock);
  commy_invocation_return_value (invocation, NULL);
}

static void
await_reader_at (Gate *gate)
{
  g_mutex_lock (&gate->lock);
  while (!gate->is_there)
    g_cond_wait (&gate->changed, &gate->lock);
  g_mutex_unlock (&gate->lock);
}

static void
let_it_read (Gate *gate, guint64 most)
{
  g_mutex_lock (&gate->lock);
  gate->may_go_on = TRUE;
  g_cond_broadcast (&gate->changed);
  while (1 + gate->noted < most)
    g_cond_wait (&gate->changed, &gate->lock);
  g_mutex_unlock (&gate->lock);
}

/* The reader has the call of the beginning, and a message in its hands, when the writer closes. */
static void
check_within (Account *self, Gate *gate)
{
  guint64 sent = count (self, COMMY_COUNT_SENT);
  guint64 lost = count (self, COMMY_COUNT_LOST);
  guint64 unknown = count (self, COMMY_COUNT_UNKNOWN);

  g_test_message ("%" G_GUINT64_FORMAT " sent = %" G_GUINT64_FORMAT
                  " certainly lost + %" G_GUINT64_FORMAT " unknown + 2 that were taken",
                  sent, lost, unknown);
  g_assert_cmpuint (sent, ==, 1 + self->accepted);
  g_assert_cmpuint (2 + lost + unknown, ==, sent);
  g_assert_cmpuint (count_drops (self->mesh, "closed"), ==, lost);
  g_assert_cmpuint (count_drops (self->mesh, "unknown"), ==, unknown);
  let_it_read (gate, sent - lost);
}

static void
test_within (MeshFixture *fixture, gconstpointer data)
{
  Account self = { 0 };
  Gate gate = { .noted = 0 };
  CommyService *service;
  g_autoptr (GVariant) sum = NULL;
  g_autoptr (GError) error = NULL;

  g_mutex_init (&gate.lock);
  g_cond_init (&gate.changed);
  self.mesh = mesh_fixture_join (fixture, "[selection]\npreference=pin\ntransports=inproc\n");
  service = test_service_new (self.mesh, 1);
  commy_service_handle (service, "Note", on_gated_note, &gate, NULL);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  self.client = commy_client_new (self.mesh, TEST_SERVICE);
  sum = commy_client_call_sync (self.client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL,
                                &error);
  g_assert_no_error (error);
  find_own_channel (&self);
  send_all (&self, FALSE);
  await_reader_at (&gate);
  close_now (&self);
  check_within (&self, &gate);
  commy_channel_unref (self.channel);
  g_object_unref (self.client);
  commy_mesh_leave_sync (self.mesh, NULL, NULL);
  g_object_run_dispose (G_OBJECT (service)); /* its handler's data is ours */
  g_object_unref (service);
  g_object_unref (self.mesh);
  g_cond_clear (&gate.changed);
  g_mutex_clear (&gate.lock);
}

static void
add (const Case *test)
{
  static const char *const fates[] = { "dies-after-noting", "dies-before-noting", "reads-on" };
  g_autofree char *path = g_strdup_printf ("/crash/account/%s/%s/%s", test->transport,
                                           test->calls ? "calls" : "one-way", fates[test->fate]);

  g_test_add (path, MeshFixture, test, mesh_fixture_set_up, run, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const Case cases[] = {
    { "shm", FALSE, AFTER_NOTING },   { "shm", FALSE, BEFORE_NOTING },
    { "shm", FALSE, AT_ITS_LEISURE }, { "shm", TRUE, AFTER_NOTING },
    { "shm", TRUE, BEFORE_NOTING },   { "shm", TRUE, AT_ITS_LEISURE },
    { "unix", FALSE, AFTER_NOTING },  { "unix", FALSE, AT_ITS_LEISURE },
    { "unix", TRUE, BEFORE_NOTING },
#ifdef HAVE_GNUTLS
    { "tls", FALSE, AFTER_NOTING },   { "tls", TRUE, BEFORE_NOTING },
#endif
  };
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    add (&cases[i]);
  g_test_add ("/crash/account/inproc/one-way/reads-on", MeshFixture, NULL, mesh_fixture_set_up,
              test_within, mesh_fixture_tear_down);
  return g_test_run ();
}
