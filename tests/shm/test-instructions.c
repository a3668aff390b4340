/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the compiler made of the ring and the bell. A child runs one function of the product, and is
 * stopped after each machine instruction. At the instruction that is the fence, what has to be seen
 * by others is stored already; and what the other side changes right behind it is noticed. What it
 * changes between any two instructions of a reader is either not seen at all or refused. A mark
 * that is read twice, and fences that are missing or in the wrong place, show every time.
 */
#include "config.h"

#include "plugins/shm/commy-ring.h"
#include "plugins/shm/commy-wait.h"

#include <elf.h>
#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPACITY SHM_RING_MIN
#define SIZE 100u
#define NAP (1u << SHM_STATE_BITS | SHM_STATE_SOCKET | SHM_STATE_DATA)
/* Under a sanitizer there are many more boundaries. */
#ifdef __SANITIZE_ADDRESS__
#define STRIDE 23u
#else
#define STRIDE 1u
#endif

/* What tracer and child share. */
typedef struct
{
  ShmHeader writers;
  ShmHeader readers;
  uint8_t ring[CAPACITY];
  volatile bool inside;
  int socket_fd;
  /* The child's findings. */
  ShmResult result;
  ShmRecord record;
  bool ready;
} Memory;

typedef struct
{
  Memory *memory;
  void (*run) (Memory *memory);
  /* At the first fence, before the next instruction. */
  void (*at_fence) (Memory *memory);
  /* After so many instructions. */
  void (*at_boundary) (Memory *memory);
  guint boundary;
  guint n_steps, n_fences;
} Trace;

/* --- instructions --- */

#if defined(__x86_64__)
#define KNOWN 1
static bool
is_fence (const guint8 *code)
{
  static const guint8 mfence[] = { 0x0f, 0xae, 0xf0 };

  /* Everything that is locked is a full fence, too. */
  return code[0] == 0xf0 || memcmp (code, mfence, sizeof mfence) == 0;
}
#elif defined(__aarch64__)
#define KNOWN 1
static bool
is_fence (const guint8 *code)
{
  static const guint8 dmb_ish[] = { 0xbf, 0x3b, 0x03, 0xd5 };

  return memcmp (code, dmb_ish, sizeof dmb_ish) == 0;
}
#else
#define KNOWN 0
static bool
is_fence (const guint8 *code)
{
  return false;
}
#endif

static gulong
program_counter (pid_t pid)
{
  struct user_regs_struct registers;
  struct iovec into = { &registers, sizeof registers };

  g_assert_cmpint (ptrace (PTRACE_GETREGSET, pid, NT_PRSTATUS, &into), ==, 0);
#if defined(__x86_64__)
  return registers.rip;
#elif defined(__aarch64__)
  return registers.pc;
#else
  return 0;
#endif
}

static bool
stands_at_fence (pid_t pid)
{
  gulong code;

  errno = 0;
  code = (gulong) ptrace (PTRACE_PEEKTEXT, pid, program_counter (pid), NULL);
  g_assert_cmpint (errno, ==, 0);
  return is_fence ((const guint8 *) &code);
}

/* --- the child --- */

static void
be_child (Trace *trace)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) == 0)
    {
      raise (SIGSTOP);
      trace->memory->inside = true;
      trace->run (trace->memory);
      trace->memory->inside = false;
    }
  syscall (SYS_exit_group, 0);
}

static void
step (Trace *trace, pid_t pid)
{
  bool inside = trace->memory->inside;
  bool fence = inside && stands_at_fence (pid);
  int status;

  g_assert_cmpint (ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL), ==, 0);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSTOPPED (status) && WSTOPSIG (status) == SIGTRAP);
  if (!inside)
    return;
  if (fence && trace->n_fences++ == 0 && trace->at_fence != NULL)
    trace->at_fence (trace->memory);
  if (++trace->n_steps == trace->boundary)
    trace->at_boundary (trace->memory);
}

/* FALSE: processes may not be traced here. */
static bool
follow (Trace *trace)
{
  pid_t pid = fork ();
  bool begun = false;
  int status;

  if (pid == 0)
    be_child (trace);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (!WIFSTOPPED (status))
    return false;
  while (!begun || trace->memory->inside)
    {
      step (trace, pid);
      begun |= trace->memory->inside;
    }
  g_assert_cmpint (ptrace (PTRACE_CONT, pid, NULL, NULL), ==, 0);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  return true;
}

static bool
may_follow (Trace *trace)
{
  if (!KNOWN)
    g_test_skip ("instructions are known for x86-64 and aarch64");
  else if (!follow (trace))
    g_test_skip ("processes may not be traced here");
  else
    return true;
  return false;
}

/* --- what the two do --- */

static Memory *
memory_new (void)
{
  Memory *memory
      = mmap (NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  g_assert_true (memory != MAP_FAILED);
  memory->socket_fd = -1;
  return memory;
}

static void
memory_free (Memory *memory)
{
  munmap (memory, sizeof *memory);
}

static void
writer_begin (ShmProducer *writer, Memory *memory)
{
  shm_producer_init (writer, &memory->writers, memory->ring, CAPACITY,
                     shm_ring_max_inline (CAPACITY), &memory->readers);
}

static void
reader_begin (ShmConsumer *reader, Memory *memory)
{
  shm_consumer_init (reader, &memory->readers, &memory->writers, memory->ring, CAPACITY,
                     shm_ring_max_inline (CAPACITY));
}

static void
commit_one (ShmProducer *writer)
{
  uint8_t *data;

  g_assert_cmpint (shm_producer_reserve (writer, SIZE, &data), ==, SHM_OK);
  shm_producer_commit (writer, SIZE);
}

/* --- fences --- */

static void
publish_and_ring (Memory *memory)
{
  ShmProducer writer;
  ShmBell bell;

  writer_begin (&writer, memory);
  shm_bell_init (&bell, &memory->writers, &memory->readers, memory->socket_fd);
  commit_one (&writer);
  shm_producer_publish (&writer);
  shm_bell_ring (&bell, SHM_STATE_DATA);
}

/* From now on the reader sleeps: the writer looks after its fence, or never knows. */
static void
fall_asleep (Memory *memory)
{
  memory->ready = memory->writers.tail != 0 && *(const uint64_t *) (gpointer) memory->ring != 0;
  memory->readers.state = NAP;
}

static void
test_writers_fence (void)
{
  Memory *memory = memory_new ();
  Trace trace = { .memory = memory, .run = publish_and_ring, .at_fence = fall_asleep };
  int pair[2];
  char byte;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  memory->socket_fd = pair[1];
  if (may_follow (&trace))
    {
      g_test_message ("%u instructions, %u fences", trace.n_steps, trace.n_fences);
      g_assert_cmpuint (trace.n_fences, >, 0);
      g_assert_true (memory->ready);
      g_assert_cmpint (recv (pair[0], &byte, 1, MSG_DONTWAIT), ==, 1);
    }
  close (pair[0]);
  close (pair[1]);
  memory_free (memory);
}

static void
announce_and_look (Memory *memory)
{
  ShmConsumer reader;
  ShmBell bell;

  reader_begin (&reader, memory);
  shm_bell_init (&bell, &memory->readers, &memory->writers, -1);
  shm_bell_announce (&bell, SHM_STATE_SOCKET | SHM_STATE_DATA);
  memory->ready = shm_consumer_ready (&reader);
}

static void
publish_now (Memory *memory)
{
  ShmProducer writer;

  g_assert_cmpuint (memory->readers.state, !=, SHM_STATE_AWAKE);
  writer_begin (&writer, memory);
  commit_one (&writer);
  shm_producer_publish (&writer);
}

static void
test_readers_fence (void)
{
  Memory *memory = memory_new ();
  Trace trace = { .memory = memory, .run = announce_and_look, .at_fence = publish_now };

  if (may_follow (&trace))
    {
      g_test_message ("%u instructions, %u fences", trace.n_steps, trace.n_fences);
      g_assert_cmpuint (trace.n_fences, >, 0);
      g_assert_true (memory->ready);
    }
  memory_free (memory);
}

/* --- words that are read once --- */

static void
take_one (Memory *memory)
{
  ShmConsumer reader;

  reader_begin (&reader, memory);
  memory->result = shm_consumer_take (&reader, &memory->record);
}

static void
make_mark_worse (Memory *memory)
{
  uint64_t *mark = (uint64_t *) (gpointer) memory->ring;

  *mark |= (1u << 30) - 1; /* the size */
}

static void
prepare (Memory *memory)
{
  ShmProducer writer;

  memset (memory, 0, sizeof *memory);
  memory->socket_fd = -1;
  writer_begin (&writer, memory);
  commit_one (&writer);
  shm_producer_publish (&writer);
}

/* Whether there was such a boundary. */
static bool
take_with_change_at (Trace *trace, guint boundary)
{
  prepare (trace->memory);
  trace->boundary = boundary;
  trace->n_steps = 0;
  return follow (trace) && trace->n_steps >= boundary;
}

static void
test_mark (void)
{
  Memory *memory = memory_new ();
  Trace trace = { .memory = memory, .run = take_one, .at_boundary = make_mark_worse };
  guint n_refused = 0, n_taken = 0;

  prepare (memory);
  if (may_follow (&trace))
    {
      for (guint i = 1; take_with_change_at (&trace, i); i += STRIDE)
        {
          n_refused += memory->result == SHM_BROKEN;
          n_taken += memory->result == SHM_OK;
          if (memory->result == SHM_OK)
            g_assert_cmpuint (memory->record.size, ==, SIZE);
        }
      g_test_message ("changed at %u boundaries, %u of them too late", n_refused + n_taken,
                      n_taken);
      g_assert_cmpuint (n_refused, >, 0);
      g_assert_cmpuint (n_taken, >, 0);
    }
  memory_free (memory);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/instructions/the-writer-looks-after-its-fence", test_writers_fence);
  g_test_add_func ("/instructions/the-reader-looks-after-its-fence", test_readers_fence);
  g_test_add_func ("/instructions/a-mark-is-read-once", test_mark);
  return g_test_run ();
}
