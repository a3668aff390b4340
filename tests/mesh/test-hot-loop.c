/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * While both sides are awake, a message over shared memory costs no allocation, no lock and no
 * system call, on either side. Allocations and locks are counted by standing before the C
 * library's and GLib's functions; system calls by a seccomp filter on the one thread, whose
 * trap handler counts and then makes the call in the thread's stead.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_COUNT 0
#define WHY_NOT "a sanitizer stands before the allocator already"
#elif !defined(__x86_64__) || !defined(__GLIBC__)
#define CAN_COUNT 0
#define WHY_NOT "counting system calls is written for x86-64 and glibc"
#else
#define CAN_COUNT 1
#define WHY_NOT ""
#endif

#define CLIENTS 50u
#define WARM_UP 1000
#define MEASURED 2000
#define ROUNDS 20u
#define SPIN "[wait]\nmode=spin\n[selection]\npreference=pin\ntransports=shm\n"

typedef struct
{
  guint32 allocations;
  guint32 locks;
  guint32 system_calls;
  guint32 last_system_call;
} Costs;

#if CAN_COUNT

/* Else the libraries would not see what stands before theirs. */
#define EXPORT __attribute__ ((visibility ("default")))

/* Per thread, because only the thread that carries messages is meant. lint: allow-static */
static __thread Costs costs;
static __thread volatile gboolean armed; /* lint: allow-static */

/* --- allocations --- */

extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *block, size_t size);
extern void *__libc_memalign (size_t alignment, size_t size);
extern void __libc_free (void *block);

static inline void
count_allocation (void)
{
  if (armed)
    costs.allocations++;
}

EXPORT void *
malloc (size_t size)
{
  count_allocation ();
  return __libc_malloc (size);
}

EXPORT void *
calloc (size_t n, size_t size)
{
  count_allocation ();
  return __libc_calloc (n, size);
}

EXPORT void *
realloc (void *block, size_t size)
{
  count_allocation ();
  return __libc_realloc (block, size);
}

EXPORT void *
aligned_alloc (size_t alignment, size_t size)
{
  count_allocation ();
  return __libc_memalign (alignment, size);
}

EXPORT int
posix_memalign (void **out_block, size_t alignment, size_t size)
{
  count_allocation ();
  *out_block = __libc_memalign (alignment, size);
  return *out_block != NULL ? 0 : ENOMEM;
}

EXPORT void
free (void *block)
{
  if (block != NULL)
    count_allocation ();
  __libc_free (block);
}

/* --- locks --- */

typedef void (*LockFunc) (GMutex *mutex);
typedef int (*PthreadLockFunc) (pthread_mutex_t *mutex);

EXPORT void
g_mutex_lock (GMutex *mutex)
{
  static LockFunc real; /* lint: allow-static */

  if (real == NULL)
    *(void **) &real = dlsym (RTLD_NEXT, "g_mutex_lock");
  if (armed)
    costs.locks++;
  real (mutex);
}

EXPORT int
pthread_mutex_lock (pthread_mutex_t *mutex)
{
  static PthreadLockFunc real; /* lint: allow-static */

  if (real == NULL)
    *(void **) &real = dlsym (RTLD_NEXT, "pthread_mutex_lock");
  if (armed)
    costs.locks++;
  return real (mutex);
}

/* --- system calls --- */

/* The one place from which the filter lets system calls through. */
long test_let_through (long a, long b, long c, long d, long e, long f, long number);
__asm__(".text\n"
        ".globl test_let_through\n"
        ".type test_let_through, @function\n"
        "test_let_through:\n"
        "  movq 8(%rsp), %rax\n"
        "  movq %rcx, %r10\n"
        "  syscall\n"
        ".globl test_let_through_return\n"
        "test_let_through_return:\n"
        "  ret\n"
        ".size test_let_through, . - test_let_through\n");
extern char test_let_through_return[];

static void
on_system_call (int signal, siginfo_t *info, void *context)
{
  greg_t *regs = ((ucontext_t *) context)->uc_mcontext.gregs;

  if (armed)
    {
      costs.system_calls++;
      costs.last_system_call = (guint32) info->si_syscall;
    }
  regs[REG_RAX] = test_let_through (regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10],
                                    regs[REG_R8], regs[REG_R9], info->si_syscall);
}

/* From now on each system call of this thread is counted while armed; there is no way back. */
static gboolean
watch_system_calls (void)
{
  guint64 address = (guint64) (gsize) test_let_through_return;
  struct sock_filter code[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 4, 0),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, instruction_pointer)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (guint32) address, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, instruction_pointer) + 4),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (guint32) (address >> 32), 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  };
  struct sock_fprog program = { G_N_ELEMENTS (code), code };
  struct sigaction action = { .sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO | SA_ONSTACK };
  stack_t stack = { .ss_sp = g_malloc (65536), .ss_size = 65536 };

  /* A stack of its own: a thread that ends gives its normal one back page by page. */
  sigaltstack (&stack, NULL);
  sigaction (SIGSYS, &action, NULL);
  return prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
         && prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void
arm (gboolean on)
{
  if (on)
    memset (&costs, 0, sizeof costs);
  armed = on;
}

static Costs
get_costs (void)
{
  return costs;
}

#else

static gboolean
watch_system_calls (void)
{
  return FALSE;
}

static void
arm (gboolean on)
{
}

static Costs
get_costs (void)
{
  return (Costs){ 0 };
}

#endif

static void
check_free (const char *side, Costs found)
{
  if (found.system_calls > 0)
    g_test_message ("%s: %u system calls, the last was number %u", side, found.system_calls,
                    found.last_system_call);
  g_test_message ("%s: %u allocations, %u locks, %u system calls in %d messages", side,
                  found.allocations, found.locks, found.system_calls, MEASURED);
  g_assert_cmpuint (found.allocations, ==, 0);
  g_assert_cmpuint (found.locks, ==, 0);
  g_assert_cmpuint (found.system_calls, ==, 0);
}

/* --- the service's side --- */

static void
answer (CommySpanCall *call, gconstpointer data, gsize size)
{
  CommySpan out;

  if (!commy_span_call_reserve (call, size, &out))
    return;
  memcpy (out.data, data, size);
}

static void
on_watch (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  guint8 ok = (guint8) watch_system_calls ();

  answer (call, &ok, 1);
}

static void
on_arm (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  guint8 ok = 1;

  answer (call, &ok, 1);
  arm (TRUE);
}

static void
on_report (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  Costs found = get_costs ();

  arm (FALSE);
  answer (call, &found, sizeof found);
}

/* Writes what it reads, in place; its result is what that cost once it was warm. */
static gboolean
reflect (CommyStream *stream)
{
  const guint8 *data;
  CommySpan span;
  gsize size;
  gboolean ok;

  if (!commy_stream_peek (stream, &data, &size, NULL))
    return FALSE;
  ok = commy_stream_reserve (stream, size, &span, NULL);
  if (ok)
    memcpy (span.data, data, size);
  commy_stream_release (stream);
  return ok && commy_stream_commit (stream, &span, NULL) && commy_stream_flush (stream, NULL);
}

static void
on_reflect (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  Costs found = { 0 };

  for (guint i = 0; reflect (stream); i++)
    {
      if (i == WARM_UP)
        arm (TRUE);
      else if (i == WARM_UP + MEASURED)
        {
          found = get_costs ();
          arm (FALSE);
        }
    }
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(uu)", found.allocations, found.locks));
}

static void
extend (CommyService *service)
{
  commy_service_handle_stream (service, "Reflect", COMMY_STREAM_KIND_BOTH, on_reflect, NULL, NULL);
  commy_service_handle_span (service, "Watch", on_watch, NULL, NULL);
  commy_service_handle_span (service, "Arm", on_arm, NULL, NULL);
  commy_service_handle_span (service, "Report", on_report, NULL, NULL);
}

/* --- the client's side --- */

static void
call_once (CommyClient *client, CommyMethod method, gsize size, CommyReply *reply)
{
  GError *error = NULL;
  CommySpan span;

  if (!commy_client_reserve (client, method, size, &span, &error))
    g_error ("reserve: %s", error->message);
  memset (span.data, 7, size);
  if (!commy_client_exchange (client, method, &span, reply, 0, &error))
    g_error ("exchange: %s", error->message);
}

static void
repeat (CommyClient *client, CommyMethod method, guint n, gsize size)
{
  for (guint i = 0; i < n; i++)
    {
      CommyReply reply;

      call_once (client, method, size, &reply);
      commy_reply_clear (&reply);
    }
}

typedef struct
{
  MeshFixture *fixture;
  gsize size;
  gboolean can_count;
  Costs client;
  Costs service;
} Measurement;

static CommyMethod
resolve (CommyClient *client, const char *name)
{
  g_autoptr (GError) error = NULL;
  CommyMethod method = commy_client_resolve (client, name, &error);

  g_assert_no_error (error);
  return method;
}

static gboolean
is_free (const Costs *costs_of)
{
  return costs_of->allocations == 0 && costs_of->locks == 0 && costs_of->system_calls == 0;
}

static void
measure_round (Measurement *measurement,
               CommyClient *client,
               CommyMethod span,
               CommyMethod begin,
               CommyMethod report)
{
  CommyReply reply;

  repeat (client, span, WARM_UP, measurement->size);
  call_once (client, report, 1, &reply);
  commy_reply_clear (&reply);
  repeat (client, begin, 1, 1);
  arm (TRUE);
  repeat (client, span, MEASURED, measurement->size);
  measurement->client = get_costs ();
  arm (FALSE);
  call_once (client, report, 1, &reply);
  g_assert_cmpuint (reply.size, ==, sizeof (Costs));
  memcpy (&measurement->service, reply.data, sizeof (Costs));
  commy_reply_clear (&reply);
}

static void
measure_with (Measurement *measurement, CommyClient *client)
{
  CommyMethod span = resolve (client, "Span");
  CommyMethod watch = resolve (client, "Watch");
  CommyMethod begin = resolve (client, "Arm");
  CommyMethod report = resolve (client, "Report");
  CommyReply reply;

  call_once (client, watch, 1, &reply);
  measurement->can_count = reply.data[0] == 1;
  commy_reply_clear (&reply);
  if (!measurement->can_count || !watch_system_calls ())
    {
      measurement->can_count = FALSE;
      return;
    }
  /* The arena grows while it is used in a new way, which a busy machine may put off until the
   * measuring has begun; it cannot grow for ever. */
  for (guint round = 0; round < ROUNDS; round++)
    {
      measure_round (measurement, client, span, begin, report);
      if (is_free (&measurement->client) && is_free (&measurement->service))
        return;
      g_test_message ("round %u was not free yet: client %u, service %u system calls", round,
                      measurement->client.system_calls, measurement->service.system_calls);
    }
}

/* On a thread of its own, which takes the filter with it when it ends. */
static gpointer
measure (gpointer data)
{
  Measurement *measurement = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  CommyMesh *mesh = mesh_fixture_join (measurement->fixture, SPIN);
  CommyClient *client;

  g_main_context_push_thread_default (context);
  client = commy_client_new (mesh, TEST_SERVICE);
  measure_with (measurement, client);
  g_object_unref (client);
  g_main_context_pop_thread_default (context);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  return NULL;
}

static void
test_hot_loop (MeshFixture *fixture, gconstpointer data)
{
  Measurement measurement = { .fixture = fixture, .size = GPOINTER_TO_SIZE (data) };
  ServiceChild *child;

  if (!CAN_COUNT || g_get_num_processors () < 2)
    {
      g_test_skip (CAN_COUNT ? "nothing spins on one processor" : WHY_NOT);
      return;
    }
  child = service_child_start (fixture, SPIN, 1);
  g_thread_join (g_thread_new ("measure", measure, &measurement));
  service_child_free (child);
  if (!measurement.can_count)
    {
      g_test_skip ("the kernel lets no seccomp filter be set here");
      return;
    }
  check_free ("client", measurement.client);
  check_free ("service", measurement.service);
}

/* Many clients, each of which has to find the service. */
static Costs
find_often (CommyMesh *mesh)
{
  CommyClient *clients[CLIENTS];
  Costs found;

  arm (TRUE);
  for (guint i = 0; i < CLIENTS; i++)
    {
      clients[i] = commy_client_new (mesh, TEST_SERVICE);
      resolve (clients[i], "Span");
    }
  found = get_costs ();
  arm (FALSE);
  for (guint i = 0; i < CLIENTS; i++)
    g_object_unref (clients[i]);
  return found;
}

static gpointer
measure_finding (gpointer data)
{
  Measurement *measurement = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  CommyMesh *mesh = mesh_fixture_join (measurement->fixture, SPIN);
  CommyClient *first = commy_client_new (mesh, TEST_SERVICE);

  g_main_context_push_thread_default (context);
  resolve (first, "Span"); /* the thread's worker lives as long as a client of it */
  find_often (mesh);
  measurement->can_count = watch_system_calls ();
  for (guint round = 0; round < ROUNDS; round++)
    {
      measurement->client = find_often (mesh);
      if (measurement->client.system_calls == 0)
        break;
    }
  g_object_unref (first);
  g_main_context_pop_thread_default (context);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  return NULL;
}

/* What is watched is known: to look a name up asks nobody. */
static void
test_finding (MeshFixture *fixture, gconstpointer data)
{
  Measurement measurement = { .fixture = fixture };
  ServiceChild *child;

  if (!CAN_COUNT)
    {
      g_test_skip (WHY_NOT);
      return;
    }
  child = service_child_start (fixture, SPIN, 1);
  g_thread_join (g_thread_new ("measure", measure_finding, &measurement));
  service_child_free (child);
  if (!measurement.can_count)
    {
      g_test_skip ("the kernel lets no seccomp filter be set here");
      return;
    }
  g_test_message ("%u system calls, the last was number %u, for %u clients",
                  measurement.client.system_calls, measurement.client.last_system_call, CLIENTS);
  g_assert_cmpuint (measurement.client.system_calls, ==, 0);
}

static void
look_into (CommyStream *stream, gsize size)
{
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  CommySpan span;
  gsize got;

  if (!commy_stream_reserve (stream, size, &span, &error))
    g_error ("reserve: %s", error->message);
  memset (span.data, 7, size);
  if (!commy_stream_commit (stream, &span, &error)
      || !commy_stream_peek (stream, &data, &got, &error))
    g_error ("commit or peek: %s", error->message);
  if (got != size || data[size - 1] != 7)
    g_error ("%" G_GSIZE_FORMAT " other bytes came back", got);
  commy_stream_release (stream);
}

/* The same for messages of a stream; many windows pass, so credits are among what is counted. */
static void
test_stream (MeshFixture *fixture, gconstpointer data)
{
  gsize size = GPOINTER_TO_SIZE (data);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyStream) stream = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  ServiceChild *child;
  Costs mine, theirs = { 0 };

  if (!CAN_COUNT)
    {
      g_test_skip (WHY_NOT);
      return;
    }
  child = service_child_start (fixture, SPIN, 1);
  mesh = mesh_fixture_join (fixture, SPIN);
  client = commy_client_new (mesh, TEST_SERVICE);
  stream = commy_client_open_stream_sync (client, "Reflect", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < WARM_UP; i++)
    look_into (stream, size);
  arm (TRUE);
  for (guint i = 0; i < MEASURED; i++)
    look_into (stream, size);
  mine = get_costs ();
  arm (FALSE);
  look_into (stream, size); /* theirs ends one later */
  commy_stream_close_write (stream, NULL);
  result = commy_stream_wait_result_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (result, "(uu)", &theirs.allocations, &theirs.locks);
  g_test_message ("client: %u allocations, %u locks; service: %u, %u", mine.allocations, mine.locks,
                  theirs.allocations, theirs.locks);
  g_assert_cmpuint (mine.allocations + mine.locks, ==, 0);
  g_assert_cmpuint (theirs.allocations + theirs.locks, ==, 0);
  g_clear_object (&stream);
  g_clear_object (&client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

/* The counters themselves must be able to fail. */
static gpointer
count_on_purpose (gpointer data)
{
  Measurement *measurement = data;
  GMutex mutex;

  g_mutex_init (&mutex);
  measurement->can_count = watch_system_calls ();
  arm (TRUE);
  g_free (g_malloc (100));
  g_mutex_lock (&mutex);
  g_mutex_unlock (&mutex);
  syscall (SYS_getppid);
  measurement->client = get_costs ();
  arm (FALSE);
  g_mutex_clear (&mutex);
  return NULL;
}

static void
test_counting_counts (void)
{
  Measurement measurement = { 0 };

  if (!CAN_COUNT)
    {
      g_test_skip (WHY_NOT);
      return;
    }
  g_thread_join (g_thread_new ("count", count_on_purpose, &measurement));
  if (!measurement.can_count)
    {
      g_test_skip ("the kernel lets no seccomp filter be set here");
      return;
    }
  g_assert_cmpuint (measurement.client.allocations, ==, 2);
  g_assert_cmpuint (measurement.client.locks, ==, 1);
  g_assert_cmpuint (measurement.client.system_calls, ==, 1);
  g_assert_cmpuint (measurement.client.last_system_call, ==, SYS_getppid);
}

static void
add (const char *name, gsize size, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/hot-loop/%s", name);

  g_test_add (path, MeshFixture, GSIZE_TO_POINTER (size), mesh_fixture_set_up, test,
              mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  /* Old GLib keeps small blocks in magazines of its own, where nobody sees them come and go. */
  if (g_getenv ("G_SLICE") == NULL)
    {
      g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);

      g_setenv ("G_SLICE", "always-malloc", TRUE);
      execv (self, argv);
    }
  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mesh/hot-loop/counting-counts", test_counting_counts);
  add ("small-messages-cost-nothing", 64, test_hot_loop);
  add ("large-messages-cost-nothing", 100000, test_hot_loop);
  add ("a-name-that-is-watched-is-found-without-a-system-call", 0, test_finding);
  add ("small-messages-of-a-stream-allocate-nothing", 64, test_stream);
  add ("large-messages-of-a-stream-allocate-nothing", 100000, test_stream);
  return g_test_run ();
}
