/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wall clock is stepped while the store "sqlite" is used: this program is the wall clock of
 * all libraries in it, and of the processes that it forks. Leases do not live on it.
 */
#include "config.h"

#include "../conformance/commy-store-conformance.h"
#include "../fixtures/test-child.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define YEAR_S (365 * 86400)
#define LIBRARIES_SEE __attribute__ ((visibility ("default")))

/* lint: allow-static the wall clock is one of the process; in memory that children share */
static gint64 *offset_s;
/* lint: allow-static likewise */
static guint32 *n_asked;

LIBRARIES_SEE int
clock_gettime (clockid_t which, struct timespec *out)
{
  int result = (int) syscall (SYS_clock_gettime, which, out);

  if (result == 0 && which == CLOCK_REALTIME && offset_s != NULL)
    {
      out->tv_sec += *offset_s;
      __atomic_add_fetch (n_asked, 1, __ATOMIC_RELAXED);
    }
  return result;
}

LIBRARIES_SEE int
gettimeofday (struct timeval *restrict out, void *restrict zone)
{
  struct timespec now;
  int result = clock_gettime (CLOCK_REALTIME, &now);

  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return result;
}

LIBRARIES_SEE time_t
time (time_t *out)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  if (out != NULL)
    *out = now.tv_sec;
  return now.tv_sec;
}

/* --- the scene --- */

typedef struct
{
  CommyTestHost *host;
  CommyStoreUnderTest store;
  guint n_events;
  GPid owner; /* of a lease with the key "held" */
  int told;   /* by it, when it holds */
} Fixture;

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *loaded = commy_test_load ("store", "sqlite", &error);

  g_assert_no_error (error);
  return loaded;
}

static void
start (CommyStoreUnderTest *store, CommyTestHost *host)
{
  g_autoptr (GError) error = NULL;

  *store = (CommyStoreUnderTest){ host, descriptor ()->ops, NULL };
  store->instance = commy_test_host_start (host, &error);
  g_assert_no_error (error);
}

static G_NORETURN void
hold (const char *state, int out)
{
  CommyTestHost *host = commy_test_host_new (NULL, descriptor ());
  CommyStoreUnderTest store;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  commy_test_host_set_info (host, COMMY_HOST_STATE_DIR, state);
  commy_test_host_set_seed (host, 2);
  start (&store, host);
  commy_store_put (&store, "held", "v", commy_store_grant (&store));
  g_assert_cmpint (write (out, "k", 1), ==, 1);
  for (;;)
    g_main_context_iteration (NULL, TRUE);
}

static void
on_event (gpointer data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  g_assert_no_error (error);
  ((Fixture *) data)->n_events += (guint) n_entries;
}

static void
set_up (Fixture *fixture, gconstpointer unused)
{
  int pair[2];
  char byte;
  g_autofree char *state = NULL;

  *offset_s = 0;
  fixture->host = commy_test_host_new (NULL, descriptor ());
  state = g_build_filename (commy_test_host_get_dir (fixture->host), "state", NULL);
  g_assert_cmpint (pipe (pair), ==, 0);
  fixture->owner = fork ();
  g_assert_cmpint (fixture->owner, >=, 0);
  if (fixture->owner == 0)
    hold (state, pair[1]);
  close (pair[1]);
  fixture->told = pair[0];
  g_assert_cmpint (read (fixture->told, &byte, 1), ==, 1);
  commy_test_host_use_virtual_clock (fixture->host);
  start (&fixture->store, fixture->host);
  fixture->store.ops->watch (fixture->store.instance, "", 0, on_event, fixture);
  commy_test_host_advance (fixture->host, 0);
  g_assert_cmpuint (fixture->n_events, ==, 1);
}

static void
kill_owner (Fixture *fixture)
{
  kill (fixture->owner, SIGKILL);
  g_assert_cmpint (waitpid (fixture->owner, NULL, 0), ==, fixture->owner);
  fixture->owner = 0;
}

static void
tear_down (Fixture *fixture, gconstpointer unused)
{
  if (fixture->owner != 0)
    kill_owner (fixture);
  close (fixture->told);
  commy_test_host_free (fixture->host);
}

/* Its owner lives: whatever the clock says, and however often it is looked at, the lease stays. */
static void
test_steps (Fixture *fixture, gconstpointer unused)
{
  static const gint64 steps[] = { 3600, -3600, YEAR_S, -YEAR_S, 1, -1 };
  guint32 asked = *n_asked;

  g_get_real_time ();
  g_assert_cmpuint (*n_asked, >, asked); /* this program is the clock */
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      guint before = fixture->n_events;

      *offset_s += steps[i];
      commy_test_host_advance (fixture->host, 100 * SECOND_NS);
      g_assert_cmpuint (commy_store_count (&fixture->store, "held"), ==, 1);
      commy_store_put (&fixture->store, "k", "v", commy_store_grant (&fixture->store));
      commy_test_host_advance (fixture->host, SECOND_NS);
      g_assert_cmpuint (fixture->n_events, ==, before + 1);
    }
}

/* And a dead owner's ends whatever the clock says; without the store's own clock moving at all. */
static void
test_death (Fixture *fixture, gconstpointer unused)
{
  gint64 begun_us;

  *offset_s = -YEAR_S;
  kill_owner (fixture);
  begun_us = g_get_monotonic_time ();
  commy_test_run_until (NULL, commy_store_count (&fixture->store, "held") == 0);
  g_test_message ("gone %.1f ms after its owner, and after 0 s of the store's clock",
                  (double) (g_get_monotonic_time () - begun_us) / 1000);
}

int
main (int argc, char **argv)
{
  void *shared = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  g_assert_true (shared != MAP_FAILED);
  n_asked = (guint32 *) shared + 16;
  offset_s = shared;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, TEST) \
  g_test_add ("/store/sqlite/clock/" NAME, Fixture, NULL, set_up, TEST, tear_down)
  ADD ("leases-do-not-live-on-it", test_steps);
  ADD ("dead-owners-lease-ends-all-the-same", test_death);
  return g_test_run ();
}
