/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tracer. It is the survivor, too: at its turns the victim stands still. It sits in the
 * middle of the socket between the two, so that it knows what was sent and not yet read.
 */
#include "config.h"

#include "crash-tracer.h"

#include "crash-survivor.h"

#include "plugins/shm/commy-packet.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURN SIGUSR1
#define PATIENCE_S 60
#define REFUSED 77
#define VDSO_BYTES (16u << 10)

typedef struct
{
  CrashWorld world;
  CrashSide survivor;
  CrashLedger survivor_ledger;
  CrashLedger *ledgers; /* two: the victim's, and that of the survivor's copy */
  const CrashPlan *plan;
  CrashReport *report;
  uint32_t position; /* in the script */
  int victim_fd;     /* our end of the victim's socket */
  int survivor_fd;   /* the far end of the survivor's */
} Tracer;

/* --- the victim --- */

static void
leave (int code)
{
  /* As `_exit`, which sanitizers make more of. */
  syscall (SYS_exit_group, code);
}

static void
be_victim (const CrashPlan *plan, CrashLedger *ledger, int socket_fd)
{
  CrashSide *self = calloc (1, sizeof *self);

  crash_side_init (self, ledger, socket_fd, (int) getppid ());
  if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) < 0)
    leave (REFUSED);
  raise (SIGSTOP);
  for (uint32_t i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].who == CRASH_VICTIM)
      crash_side_run (self, &plan->steps[i]);
    else if (i == 0 || plan->steps[i - 1].who == CRASH_VICTIM)
      raise (TURN);
  leave (0);
}

static void
start_victim (Tracer *self)
{
  int pair[2];
  int pid;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    abort ();
  pid = fork ();
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      close (pair[0]);
      be_victim (self->plan, &self->ledgers[0], pair[1]);
    }
  close (pair[1]);
  self->victim_fd = pair[0];
  self->world.victim_pid = pid;
}

/* --- the socket between them --- */

/* What the victim sent since the last look. */
static void
collect_packets (Tracer *self)
{
  CrashWorld *world = &self->world;

  while (world->n_packets < CRASH_PACKETS)
    {
      CrashPacket *packet = &world->packets[world->n_packets];

      packet->fd = -1;
      if (shm_packet_receive (self->victim_fd, packet->bytes, sizeof packet->bytes, &packet->size,
                              &packet->fd)
          != SHM_PACKET_OK)
        return;
      world->n_packets++;
    }
}

static void
pass_on (int from, int to)
{
  CrashPacket packet = { .fd = -1 };

  while (shm_packet_receive (from, packet.bytes, sizeof packet.bytes, &packet.size, &packet.fd)
         == SHM_PACKET_OK)
    {
      shm_packet_send (to, packet.bytes, packet.size, packet.fd);
      if (packet.fd >= 0)
        close (packet.fd);
      packet.fd = -1;
    }
}

static void
deliver_packets (Tracer *self)
{
  CrashWorld *world = &self->world;

  for (uint32_t i = 0; i < world->n_packets; i++)
    {
      shm_packet_send (self->survivor_fd, world->packets[i].bytes, world->packets[i].size,
                       world->packets[i].fd);
      if (world->packets[i].fd >= 0)
        close (world->packets[i].fd);
    }
  world->n_packets = 0;
}

/* What the survivor did not read in its turn is ours again. */
static void
take_packets_back (Tracer *self)
{
  CrashWorld *world = &self->world;

  while (self->survivor.is_open && world->n_packets < CRASH_PACKETS)
    {
      CrashPacket *packet = &world->packets[world->n_packets];

      packet->fd = -1;
      if (shm_packet_receive (self->survivor.link.socket_fd, packet->bytes, sizeof packet->bytes,
                              &packet->size, &packet->fd)
          != SHM_PACKET_OK)
        return;
      world->n_packets++;
    }
}

/* The survivor's steps up to the victim's next. */
static void
take_turn (Tracer *self)
{
  const CrashPlan *plan = self->plan;

  collect_packets (self);
  deliver_packets (self);
  while (self->position < plan->n_steps && plan->steps[self->position].who == CRASH_VICTIM)
    self->position++;
  for (; self->position < plan->n_steps && plan->steps[self->position].who == CRASH_SURVIVOR;
       self->position++)
    crash_side_run (&self->survivor, &plan->steps[self->position]);
  take_packets_back (self);
  pass_on (self->survivor_fd, self->victim_fd);
  crash_survivor_share (&self->survivor);
}

/* --- boundaries --- */

/* The last thing that is wrong stands in the copy's ledger, which is shared. */
static void
check_copy (Tracer *self)
{
  unsigned how = (unsigned) (self->report->checked % 4);
  int status = 0;
  int pid = fork ();

  if (pid == 0)
    {
      alarm (PATIENCE_S);
      memcpy (&self->ledgers[1], &self->survivor_ledger, sizeof self->survivor_ledger);
      self->survivor.ledger = &self->ledgers[1];
      leave (crash_survivor_check (&self->world, how) ? 0 : 1);
    }
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  self->report->checked++;
  if (status == 0)
    return;
  snprintf (self->report->fault, sizeof self->report->fault,
            "boundary %llu, step %u, death told %s, found in %s: status %d, %s",
            (unsigned long long) self->report->boundaries, self->position,
            (how & CRASH_PIDFD) != 0 ? "by the pidfd" : "by the socket",
            (how & CRASH_BY_PARK) != 0 ? "wait" : "arm", status, self->ledgers[1].fault);
}

static void
note_fault (Tracer *self, const char *who, const CrashLedger *ledger)
{
  if (ledger->fault[0] != '\0' && self->report->fault[0] == '\0')
    snprintf (self->report->fault, sizeof self->report->fault, "%s: %s", who, ledger->fault);
}

/* The kernel's own page reads the clock again and again until no tick comes in between, which at
 * the pace of a check after each instruction never happens. It touches nothing of ours. */
static bool
reads_the_clock (const Tracer *self)
{
#ifdef __x86_64__
  uint64_t base = getauxval (AT_SYSINFO_EHDR);
  uint64_t at = (uint64_t) ptrace (PTRACE_PEEKUSER, self->world.victim_pid,
                                   (void *) offsetof (struct user_regs_struct, rip), NULL);

  return base != 0 && at - base < VDSO_BYTES;
#else
  return false;
#endif
}

static void
on_boundary (Tracer *self)
{
  uint64_t boundary;

  collect_packets (self);
  if (!self->ledgers[0].inside)
    return;
  boundary = self->report->boundaries++;
  if (self->position >= self->plan->from && boundary % self->plan->stride == self->plan->phase
      && !reads_the_clock (self))
    check_copy (self);
}

/* Whether the victim goes on. */
static bool
on_stop (Tracer *self, int status)
{
  if (WIFEXITED (status) && WEXITSTATUS (status) == REFUSED)
    self->report->refused = true;
  else if (WIFEXITED (status))
    self->position = self->plan->n_steps;
  else if (!WIFSTOPPED (status))
    snprintf (self->report->fault, sizeof self->report->fault, "the victim ended with %d", status);
  else if (WSTOPSIG (status) == SIGTRAP)
    on_boundary (self);
  else if (WSTOPSIG (status) == TURN)
    take_turn (self);
  else if (WSTOPSIG (status) != SIGSTOP)
    snprintf (self->report->fault, sizeof self->report->fault, "the victim got signal %d",
              WSTOPSIG (status));
  note_fault (self, "victim", &self->ledgers[0]);
  note_fault (self, "survivor", &self->survivor_ledger);
  return WIFSTOPPED (status) && self->report->fault[0] == '\0';
}

static void
run_victim (Tracer *self)
{
  int pid = self->world.victim_pid;
  int status;

  for (;;)
    {
      while (waitpid (pid, &status, 0) < 0)
        if (errno != EINTR)
          abort ();
      if (!on_stop (self, status))
        break;
      if (ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
        break;
    }
  if (WIFSTOPPED (status))
    {
      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
    }
}

static int
make_dead_pidfd (int *out_pid)
{
  int pid = fork ();
  int fd;

  if (pid == 0)
    leave (0);
  fd = (int) syscall (SYS_pidfd_open, pid, 0);
  *out_pid = pid;
  /* Reaped when the run is over: the descriptor tells of a death either way. */
  return fd;
}

static void
finish (Tracer *self)
{
  collect_packets (self);
  deliver_packets (self);
  close (self->survivor_fd);
  if (self->report->fault[0] == '\0' && !self->report->refused)
    crash_survivor_finish (&self->world);
  else
    shm_link_close (&self->survivor.link);
  note_fault (self, "survivor at the end", &self->survivor_ledger);
  close (self->victim_fd);
}

void
crash_trace (const CrashPlan *plan, CrashReport *report)
{
  Tracer *self = calloc (1, sizeof *self);
  int pair[2];
  int dead_pid;

  memset (report, 0, sizeof *report);
  self->plan = plan;
  self->report = report;
  self->ledgers = mmap (NULL, 2 * sizeof *self->ledgers, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (self->ledgers == MAP_FAILED
      || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    abort ();
  self->survivor_fd = pair[1];
  self->world.survivor = &self->survivor;
  self->world.victim = &self->ledgers[0];
  self->world.dead_pidfd = make_dead_pidfd (&dead_pid);
  start_victim (self);
  crash_side_init (&self->survivor, &self->survivor_ledger, pair[0], self->world.victim_pid);
  run_victim (self);
  finish (self);
  close (self->world.dead_pidfd);
  waitpid (dead_pid, NULL, 0);
  munmap (self->ledgers, 2 * sizeof *self->ledgers);
  free (self);
}
