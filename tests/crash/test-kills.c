/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Full nodes are killed, and nothing is lost. A node that lives on (node 0) and two that do not
 * call each other and stream to each other; the two are killed at moments that chance picks: while
 * they start, join, register and connect, with calls and streams under way, and the second while
 * it recovers from the first one's death. After each round the survivor has the descriptors, maps
 * and shared memory that it had before, the store lists nobody else, and every message has had the
 * end that its sender was told. In the end the survivor's account agrees with the victims' book,
 * which lies where it outlives them. COMMY_KILLS says how many die, COMMY_KILLS_FILE adds them up.
 */
#include "config.h"

#include "kill-node.h"
#include "mesh-fixture.h"
#include "run-ledger.h"

#include "mesh/commy-mesh-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a plain run of the tests. */
#ifdef __SANITIZE_ADDRESS__
#define KILLS 200
#else
#define KILLS 1000
#endif
#define WARM_UP 4
#define START_US 60000 /* about what a node needs to its first answer */
#define WORK_US 3000
#define RECOVERY_US 1000
#define PATIENCE_US (20 * G_USEC_PER_SEC)
/* What a victim's node had taken, and nobody in it had looked at: what waits in a stream's pipe. */
#define UNREAD 4

/* One round, as chance wants it. */
typedef struct
{
  gboolean while_starting; /* else once all were answered */
  guint first;             /* who dies first: 1 or 2 */
  guint delay_us;
  guint gap_us; /* until the second dies */
} Round;

typedef struct
{
  KillLedger *ledger;
  const char *settings;
  int command_fd; /* to the process that forks the victims */
  int report_fd;
  KillNode node;
  guint fds, maps, memfds, files;
} Loop;

/* --- victims, and who forks them: a process without threads --- */

static void
be_victim (KillLedger *ledger, guint number, const char *settings)
{
  KillNode node;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (kill_node_start (&node, ledger, number, settings))
    for (;;)
      {
        kill_node_work (&node);
        g_main_context_iteration (NULL, FALSE);
      }
  syscall (SYS_exit_group, 1);
}

static gboolean
all_work (const KillLedger *ledger)
{
  for (guint i = 0; i < KILL_NODES; i++)
    if (__atomic_load_n (&ledger->answered[i], __ATOMIC_SEQ_CST) == 0)
      return FALSE;
  return TRUE;
}

static void
await_work (KillLedger *ledger)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  while (!all_work (ledger) && ledger->fault[0] == '\0')
    {
      if (g_get_monotonic_time () > until)
        kill_ledger_fail (ledger, "the nodes get no answers: %u, %u, %u", ledger->answered[0],
                          ledger->answered[1], ledger->answered[2]);
      g_usleep (200);
    }
}

static void
kill_both (KillLedger *ledger, const Round *round, const pid_t *pids)
{
  guint second = KILL_VICTIMS + 1 - round->first;

  if (!round->while_starting)
    await_work (ledger);
  g_usleep (round->delay_us);
  kill (pids[round->first], SIGKILL);
  g_usleep (round->gap_us);
  kill (pids[second], SIGKILL);
  for (guint i = 1; i < KILL_NODES; i++)
    {
      int status;

      while (waitpid (pids[i], &status, 0) < 0)
        g_assert (errno == EINTR);
      if (!WIFSIGNALED (status) || WTERMSIG (status) != SIGKILL)
        kill_ledger_fail (ledger, "victim %u ended by itself: %d", i, status);
    }
}

static void
be_forker (KillLedger *ledger, const char *settings, int command_fd, int report_fd)
{
  Round round;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  while (read (command_fd, &round, sizeof round) == sizeof round)
    {
      pid_t pids[KILL_NODES] = { 0 };

      for (guint i = 1; i < KILL_NODES; i++)
        {
          pids[i] = fork ();
          if (pids[i] == 0)
            be_victim (ledger, i, settings);
        }
      kill_both (ledger, &round, pids);
      if (write (report_fd, "d", 1) != 1)
        break;
    }
  syscall (SYS_exit_group, 0);
}

static pid_t
fork_forker (Loop *self)
{
  int commands[2], reports[2];
  pid_t pid;

  g_assert_cmpint (pipe (commands), ==, 0);
  g_assert_cmpint (pipe (reports), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      close (commands[1]);
      close (reports[0]);
      be_forker (self->ledger, self->settings, commands[0], reports[1]);
    }
  close (commands[0]);
  close (reports[1]);
  self->command_fd = commands[1];
  self->report_fd = reports[0];
  return pid;
}

/* --- what the survivor has --- */

static guint
count_lines_with (const char *path, const char *words)
{
  g_autofree char *text = NULL;
  guint n = 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  for (const char *at = text; (at = strstr (at, words)) != NULL; at++)
    n++;
  return n;
}

static guint
count_files_in (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
look (Loop *self)
{
  self->fds = count_fds ();
  self->maps = count_lines_with ("/proc/self/maps", "\n");
  self->memfds = count_lines_with ("/proc/self/maps", "memfd:");
  self->files = count_files_in (commy_mesh_get_runtime_dir (self->node.mesh));
}

/* Whether all that belonged to the dead is gone, but for their doors: whoever comes next takes
 * those away. */
static gboolean
is_clean (Loop *self, const Loop *before)
{
  look (self);
  return self->fds <= before->fds && self->memfds <= before->memfds
         && self->files <= before->files * KILL_NODES
         && kill_node_count_instances (&self->node) == 1;
}

static void
await_clean (Loop *self, const Loop *before)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  while (!is_clean (self, before) && self->ledger->fault[0] == '\0')
    {
      g_main_context_iteration (NULL, FALSE);
      if (g_get_monotonic_time () > until)
        kill_ledger_fail (self->ledger,
                          "left: descriptors %u of %u, shared maps %u of %u, files %u of %u, "
                          "instances %u",
                          self->fds, before->fds, self->memfds, before->memfds, self->files,
                          before->files, kill_node_count_instances (&self->node));
      g_usleep (500);
    }
}

/* --- the loop --- */

static Round
random_round (void)
{
  Round round = { .while_starting = g_test_rand_int_range (0, 3) == 0,
                  .first = (guint) g_test_rand_int_range (1, KILL_NODES) };

  round.delay_us = (guint) g_test_rand_int_range (0, round.while_starting ? START_US : WORK_US);
  round.gap_us = (guint) g_test_rand_int_range (0, RECOVERY_US);
  return round;
}

static gboolean
is_over (Loop *self)
{
  fd_set set;
  struct timeval now = { 0 };
  char byte;

  FD_ZERO (&set);
  FD_SET (self->report_fd, &set);
  return select (self->report_fd + 1, &set, NULL, NULL, &now) == 1
         && read (self->report_fd, &byte, 1) == 1;
}

static void
run_round (Loop *self, gboolean warming_up, KillSum *sum)
{
  Round round = random_round ();

  if (warming_up)
    round.while_starting = FALSE;
  kill_ledger_clear (self->ledger);
  g_assert_cmpint (write (self->command_fd, &round, sizeof round), ==, sizeof round);
  while (!is_over (self))
    if (!kill_node_work (&self->node))
      {
        g_main_context_iteration (NULL, FALSE);
        g_usleep (500);
      }
  kill_ledger_check (self->ledger, sum);
  if (self->ledger->fault[0] != '\0')
    g_test_message ("%s, victim %u first after %u us, the other %u us later",
                    round.while_starting ? "starting" : "working", round.first, round.delay_us,
                    round.gap_us);
}

static guint
kills_wanted (void)
{
  const char *text = g_getenv ("COMMY_KILLS");

  return text != NULL ? (guint) g_ascii_strtoull (text, NULL, 10) : KILLS;
}

static void
add_up (guint kills)
{
  const char *path = g_getenv ("COMMY_KILLS_FILE");
  g_autofree char *text = NULL;
  g_autofree char *sum = NULL;
  guint64 before;

  if (path == NULL)
    return;
  before = g_file_get_contents (path, &text, NULL, NULL) ? g_ascii_strtoull (text, NULL, 10) : 0;
  sum = g_strdup_printf ("%" G_GUINT64_FORMAT "\n", before + kills);
  g_assert_true (g_file_set_contents (path, sum, -1, NULL));
}

/* One more that comes, and leaves in order: nothing of all the dead is left. */
static void
check_folders (Loop *self, guint own_files)
{
  g_autofree char *leases
      = g_build_filename (commy_mesh_get_state_dir (self->node.mesh), "leases", NULL);
  KillNode last;

  if (kill_node_start (&last, self->ledger, 1, self->settings))
    kill_node_stop (&last);
  look (self);
  if (self->files != own_files || count_files_in (leases) != 1)
    kill_ledger_fail (self->ledger, "files: %u of %u in the runtime folder, %u leases", self->files,
                      own_files, count_files_in (leases));
}

/* sent = delivered + dropped (reason), of all that the survivor sent over channels that ended. Its
 * side is counted by its channels, the other by who got it; neither knows of the other. */
static void
check_account (Loop *self, guint kills)
{
  const CommyLedger *account = &self->node.mesh->ledger;
  guint64 sent = __atomic_load_n (&account->sent, __ATOMIC_SEQ_CST);
  guint64 lost = __atomic_load_n (&account->lost, __ATOMIC_SEQ_CST);
  guint64 unknown = __atomic_load_n (&account->unknown, __ATOMIC_SEQ_CST);
  guint64 had = __atomic_load_n (&self->ledger->had, __ATOMIC_SEQ_CST);

  g_test_message ("the survivor sent %" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT
                  " certainly lost, of %" G_GUINT64_FORMAT
                  " nobody knows; the victims had %" G_GUINT64_FORMAT,
                  sent, lost, unknown, had);
  if (had + lost > sent || had + lost + unknown + (guint64) kills * UNREAD < sent)
    kill_ledger_fail (self->ledger,
                      "%" G_GUINT64_FORMAT " sent, %" G_GUINT64_FORMAT " lost, %" G_GUINT64_FORMAT
                      " unknown, and the victims had %" G_GUINT64_FORMAT,
                      sent, lost, unknown, had);
}

/* What is lost without a word would be what the account does not explain. */
static void
record (const KillSum *sum, guint kills)
{
  const RunLedgerRow row = { .kills = kills, .messages = sum->sent };
  g_autofree char *command = g_strdup_printf ("make check-kills KILLS=%u", kills);

  run_ledger_add ("kills", &row, command);
}

static void
run_loop (Loop *self)
{
  guint wanted = kills_wanted ();
  Loop before;
  KillSum sum = { 0 };
  guint kills = 0;
  guint own_files;

  look (self);
  before = *self;
  own_files = self->files;
  for (guint round = 0; kills < wanted && self->ledger->fault[0] == '\0'; round++)
    {
      run_round (self, round < WARM_UP, &sum);
      kills += KILL_VICTIMS;
      /* What is made once and kept is there after the first few. */
      if (round < WARM_UP)
        before.fds = before.memfds = G_MAXUINT;
      await_clean (self, &before);
      if (round < WARM_UP)
        before = *self;
      before.files = own_files;
      if (self->ledger->fault[0] == '\0' && kills % 100 == 0)
        add_up (100);
    }
  g_test_message ("%u killed; %" G_GUINT64_FORMAT " sent = %" G_GUINT64_FORMAT
                  " answered + %" G_GUINT64_FORMAT " outcome unknown + %" G_GUINT64_FORMAT
                  " not sent + %" G_GUINT64_FORMAT
                  " that died with their sender (%u of these were handled after the audit)",
                  kills, sum.sent, sum.outcomes[KILL_DELIVERED], sum.outcomes[KILL_UNKNOWN],
                  sum.outcomes[KILL_NOT_SENT], sum.outcomes[KILL_UNDER_WAY], self->ledger->late);
  check_account (self, kills);
  g_test_message ("descriptors %u then %u, maps %u then %u", before.fds, self->fds, before.maps,
                  self->maps);
  check_folders (self, own_files);
  if (self->ledger->fault[0] == '\0')
    record (&sum, kills);
}

static void
test_kills (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = g_strdup_printf (
      "[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n[log]\nlevel=error\n"
      /* Whom nobody was connected to is found dead when the store is read again. */
      "[plugin store/sqlite]\nparam.reread=100ms\n",
      fixture->dir, fixture->dir);
  Loop self = { .ledger = kill_ledger_new (), .settings = settings };
  pid_t forker = fork_forker (&self);

  if (kill_node_start (&self.node, self.ledger, KILL_PARENT, settings))
    run_loop (&self);
  close (self.command_fd);
  close (self.report_fd);
  waitpid (forker, NULL, 0);
  kill_node_stop (&self.node);
  g_assert_cmpstr (self.ledger->fault, ==, "");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/crash/kills/nothing-is-lost-and-nothing-stays", MeshFixture, NULL,
              mesh_fixture_set_up, test_kills, mesh_fixture_tear_down);
  return g_test_run ();
}
