/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frame around a peer: options, the two processes and how they end, the clock, and the result.
 * The parent only waits: it starts the server, waits until it can be reached, starts the client,
 * and when the end that measures is done it ends the other one, so that no figure knows how a
 * library shuts down.
 */
#include "peer.h"
#include "touch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNABLE 77
#define MOST_SAMPLES ((size_t) 1 << 22)
#define NANOSECONDS 1000000000LL

/* What both ends and the parent see. */
typedef struct
{
  atomic_bool over;
  uint64_t n;
  int64_t p50_ns, p99_ns;
  double messages_per_s;
  char address[PEER_ADDRESS_SIZE];
} Shared;

typedef struct
{
  const Peer *peer;
  PeerRun run;
  Shared *shared;
  char *dir, *first;
  pid_t server, client, daemon;
  int to_parent[2];
  int signals;
  int64_t deadline;
} Frame;

/* There is one run in a process; the functions that a peer calls find it here. */
static Frame frame;

int64_t
peer_now (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * NANOSECONDS + now.tv_nsec;
}

void
peer_fail (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  fprintf (stderr, "%s: ", frame.peer->name);
  vfprintf (stderr, format, arguments);
  fputc ('\n', stderr);
  va_end (arguments);
  _exit (1);
}

void
peer_layout (size_t *out_last, size_t *out_size)
{
  *out_last = offsetof (PeerRun, touch);
  *out_size = sizeof (Peer);
}

bool
peer_over (void)
{
  return atomic_load_explicit (&frame.shared->over, memory_order_relaxed);
}

bool
peer_is_request (const PeerRun *run)
{
  size_t length = strlen (run->transport);
  return length > 3 && strcmp (run->transport + length - 3, "-rr") == 0;
}

bool
peer_is_over (const PeerRun *run, const char *transport)
{
  size_t length = strlen (transport);
  const char *rest = run->transport + length;
  return strncmp (run->transport, transport, length) == 0
         && (*rest == '\0' || strcmp (rest, "-rr") == 0);
}

unsigned
peer_depth (const PeerRun *run, size_t bytes, unsigned most)
{
  size_t fit = bytes / (run->size ? run->size : 1);
  if (fit < 2)
    return 2;
  return fit < most ? (unsigned) fit : most;
}

/* --- what is in a message --- */

void
peer_fill (PeerRun *run, void *message)
{
  if (run->touch)
    touch_fill (message, run->size, ++run->sent);
}

void
peer_check (PeerRun *run, const void *message, size_t size)
{
  if (size != run->size)
    peer_fail ("%zu bytes came instead of %zu", size, run->size);
  if (!run->touch)
    return;
  if (touch_sum (message, size) != touch_sum_of (size, ++run->seen))
    peer_fail ("a message is not what was sent: lost, repeated, reordered or torn");
}

/* --- what is measured --- */

static int
compare (const void *a, const void *b)
{
  const int64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static int64_t
quantile (const int64_t *sorted, size_t n, unsigned percent)
{
  return sorted[(n * percent + 99) / 100 - 1];
}

static void
exchange (const Peer *peer, void *end)
{
  if (peer->exchange)
    {
      peer->exchange (end);
      return;
    }
  peer->produce (end);
  peer->consume (end);
}

static void
measure_round_trips (const Peer *peer, const PeerRun *run, Shared *shared, void *end)
{
  int64_t *took = malloc (MOST_SAMPLES * sizeof *took);
  if (!took)
    peer_fail ("no memory for the samples");
  /* No page of it comes into being while the clock runs. */
  memset (took, 1, MOST_SAMPLES * sizeof *took);

  int64_t span = run->seconds * NANOSECONDS, warm = peer_now () + span / 5;
  for (unsigned i = 0; i < 16 || peer_now () < warm; i++)
    exchange (peer, end);

  size_t n = 0;
  int64_t stop = peer_now () + span;
  for (int64_t after = 0; n < MOST_SAMPLES && after < stop;)
    {
      int64_t before = peer_now ();
      exchange (peer, end);
      after = peer_now ();
      took[n++] = after - before;
    }
  qsort (took, n, sizeof *took, compare);
  shared->n = n;
  shared->p50_ns = quantile (took, n, 50);
  shared->p99_ns = quantile (took, n, 99);
  free (took);
}

/* Counts what @turn says that has come. */
static void
measure_rate (const PeerRun *run, Shared *shared, uint64_t (*turn) (void *end), void *end)
{
  /* The clock is read once in so many messages. */
  uint64_t every = peer_depth (run, 64 << 10, 64) / 2;
  int64_t span = run->seconds * NANOSECONDS, now = peer_now (), warm = now + span / 5;
  for (uint64_t n = 0; n < 16 || now < warm; now = peer_now ())
    for (uint64_t group = 0; group < every;)
      {
        uint64_t came = turn (end);
        n += came;
        group += came;
      }

  uint64_t n = 0;
  int64_t start = peer_now ();
  for (now = start; now < start + span; now = peer_now ())
    for (uint64_t group = 0; group < every;)
      {
        uint64_t came = turn (end);
        n += came;
        group += came;
      }
  shared->n = n;
  shared->messages_per_s = n / ((now - start) / (double) NANOSECONDS);
}

/* --- the two ends --- */

static void
pin (int cpu)
{
  cpu_set_t set;
  CPU_ZERO (&set);
  CPU_SET (cpu, &set);
  if (sched_setaffinity (0, sizeof set, &set) != 0)
    peer_fail ("cannot use processor %d: %s", cpu, strerror (errno));
}

/* Tells the parent; @letter: 'r' the server can be reached, 'd' the measurement is done. */
static void
tell (char letter)
{
  if (write (frame.to_parent[1], &letter, 1) != 1)
    peer_fail ("cannot tell the parent: %s", strerror (errno));
}

/* The end that measured stays until the parent has ended the other one, which would else see a
 * connection break; ends that clean up do so now. */
static void
finish (void *end)
{
  atomic_store (&frame.shared->over, true);
  if (frame.peer->ends_itself)
    frame.peer->close (end);
  else
    for (tell ('d');;)
      pause ();
}

static void
run_server (void)
{
  const Peer *peer = frame.peer;
  void *end = peer->serve (&frame.run);
  tell ('r');
  if (frame.run.stream)
    measure_rate (&frame.run, frame.shared, peer->consume, end);
  else
    while (!peer_over ())
      peer->echo (end);
  finish (end);
}

static void
run_client (void)
{
  const Peer *peer = frame.peer;
  void *end = peer->connect (&frame.run);
  if (frame.run.pipelined)
    measure_rate (&frame.run, frame.shared, peer->pipeline, end);
  else if (!frame.run.stream)
    measure_round_trips (peer, &frame.run, frame.shared, end);
  else
    while (!peer_over ())
      peer->produce (end);
  finish (end);
}

static pid_t
start_end (void (*body) (void), int cpu)
{
  pid_t parent = getpid (), pid = fork ();
  if (pid < 0)
    peer_fail ("cannot fork: %s", strerror (errno));
  if (pid > 0)
    return pid;
  sigset_t none;
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (1);
  /* A library that cleans up is left the time to do it. */
  if (frame.peer->ends_itself)
    signal (SIGTERM, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  /* Large messages come from the heap again and again, not as new pages each time. */
  mallopt (M_MMAP_THRESHOLD, 32 << 20);
  mallopt (M_TRIM_THRESHOLD, 512 << 20);
  pin (cpu);
  body ();
  _exit (0);
}

void
peer_spawn (const PeerRun *run, const char *const *argv)
{
  pid_t parent = getpid (), pid = fork ();
  if (pid < 0)
    peer_fail ("cannot fork: %s", strerror (errno));
  if (pid > 0)
    {
      frame.daemon = pid;
      return;
    }
  char log[512];
  snprintf (log, sizeof log, "%s/daemon.log", run->dir);
  int fd = open (log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd >= 0)
    {
      dup2 (fd, STDOUT_FILENO);
      dup2 (fd, STDERR_FILENO);
    }
  sigset_t none;
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (1);
  execvp (argv[0], (char *const *) argv);
  fprintf (stderr, "cannot run %s: %s\n", argv[0], strerror (errno));
  _exit (127);
}

int
peer_free_port (void)
{
  struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t length = sizeof any;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind (fd, (struct sockaddr *) &any, sizeof any) != 0
      || getsockname (fd, (struct sockaddr *) &any, &length) != 0)
    peer_fail ("no free TCP port: %s", strerror (errno));
  close (fd);
  return ntohs (any.sin_port);
}

/* --- the parent --- */

static int
remove_one (const char *path, const struct stat *info, int type, struct FTW *place)
{
  (void) info;
  (void) type;
  (void) place;
  return remove (path);
}

static void
end_child (pid_t *pid, int signal_number)
{
  if (*pid <= 0)
    return;
  kill (*pid, signal_number);
  while (waitpid (*pid, NULL, 0) < 0 && errno == EINTR)
    ;
  *pid = 0;
}

/* Takes everything back, whatever was reached; the end that measured goes last. */
static void
take_down (void)
{
  if (frame.run.stream)
    end_child (&frame.client, SIGKILL);
  end_child (&frame.server, SIGKILL);
  end_child (&frame.client, SIGKILL);
  end_child (&frame.daemon, SIGTERM);
  if (frame.peer->after)
    frame.peer->after (&frame.run);
  nftw (frame.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
give_up (int status, const char *why)
{
  take_down ();
  if (why)
    fprintf (stderr, "%s: %s\n", frame.peer->name, why);
  exit (status);
}

/* Whether the child *@pid has ended well; one that failed ends the run. */
static bool
has_ended (pid_t *pid, const char *who)
{
  int status;
  if (*pid <= 0 || waitpid (*pid, &status, WNOHANG) != *pid)
    return false;
  *pid = 0;
  if (WIFEXITED (status) && WEXITSTATUS (status) == 0 && peer_over ())
    return true;
  char why[64];
  snprintf (why, sizeof why, "the %s ended unexpectedly", who);
  give_up (1, why);
  return true;
}

/* Waits for the next thing to happen, until frame.deadline. Returns the letter that an end told, or
 * 0 where it was something else. */
static char
wait_event (void)
{
  struct pollfd fds[2] = { { .fd = frame.signals, .events = POLLIN },
                           { .fd = frame.to_parent[0], .events = POLLIN } };
  int64_t left = (frame.deadline - peer_now ()) / 1000000;
  int n = left > 0 ? poll (fds, 2, (int) left) : 0;
  if (n == 0)
    give_up (1, "nothing moves: given up");
  if (n > 0 && fds[0].revents)
    {
      struct signalfd_siginfo info;
      if (read (frame.signals, &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD)
        give_up (128 + (int) info.ssi_signo, NULL);
    }
  char letter = 0;
  return n > 0 && fds[1].revents && read (frame.to_parent[0], &letter, 1) == 1 ? letter : 0;
}

static void
measure (void)
{
  frame.deadline = peer_now () + (int64_t) ((frame.run.seconds + 18) * NANOSECONDS);
  if (frame.peer->before)
    frame.peer->before (&frame.run);
  frame.server = start_end (run_server, frame.run.cpus[1]);
  while (wait_event () != 'r')
    if (has_ended (&frame.daemon, "daemon") || has_ended (&frame.server, "server"))
      give_up (1, "ended before it began");
  frame.client = start_end (run_client, frame.run.cpus[0]);
  while (frame.client > 0 || frame.server > 0)
    {
      char told = wait_event ();
      has_ended (&frame.daemon, "daemon");
      has_ended (&frame.client, "client");
      has_ended (&frame.server, "server");
      if (told == 'd')
        break;
    }
  take_down ();
}

static const char *
metric_of (const PeerRun *run)
{
  if (run->pipelined)
    return "async";
  return run->stream ? "stream" : "rtt";
}

static void
print_result (void)
{
  const PeerRun *run = &frame.run;
  const Shared *shared = frame.shared;
  printf ("{\"peer\":\"%s\",\"metric\":\"%s\",\"transport\":\"%s\",\"wait\":\"%s\",\"size\":%zu,"
          "\"n\":%llu,",
          frame.peer->name, metric_of (run), run->transport, run->spin ? "spin" : "block",
          run->size, (unsigned long long) shared->n);
  if (run->stream || run->pipelined)
    printf ("\"messages_per_s\":%.1f,\"bytes_per_s\":%.0f,", shared->messages_per_s,
            shared->messages_per_s * run->size);
  else
    printf ("\"p50_ns\":%lld,\"p99_ns\":%lld,", (long long) shared->p50_ns,
            (long long) shared->p99_ns);
  printf ("\"touched\":%s}\n", run->touch ? "true" : "false");
}

/* --- the command line --- */

/* Takes the next word of *@list, its @out_length behind it. NULL: there is none. */
static const char *
next_word (const char **list, size_t *out_length)
{
  const char *word = *list + strspn (*list, " ");
  *out_length = strcspn (word, " ");
  *list = word + *out_length;
  return *out_length ? word : NULL;
}

static void
print_list (const char *key, const char *list)
{
  size_t length;
  const char *comma = "";
  printf (",\"%s\":[", key);
  for (const char *word; (word = next_word (&list, &length)); comma = ",")
    printf ("%s\"%.*s\"", comma, (int) length, word);
  putchar (']');
}

static bool
is_in (const char *wanted, const char *list)
{
  size_t length;
  for (const char *word; (word = next_word (&list, &length));)
    if (strlen (wanted) == length && strncmp (wanted, word, length) == 0)
      return true;
  return false;
}

static void
describe (const Peer *peer)
{
  printf ("{\"name\":\"%s\",\"version\":\"%s\"", peer->name, peer->version ());
  print_list ("transports", peer->transports);
  print_list ("metrics", peer->pipeline ? "rtt stream async" : "rtt stream");
  print_list ("waits", peer->waits);
  puts ("}");
}

static void
usage (const Peer *peer, int status)
{
  FILE *to = status ? stderr : stdout;
  fprintf (to,
           "usage: %s --describe\n"
           "       %s rtt|stream|async --transport T --wait spin|block --size N --seconds S\n"
           "         --cpus A,B [--touch]\n\n"
           "Measures %s between two processes of this host and prints one line of JSON.\n"
           "Ends with 77 and a sentence where that cannot be measured.\n",
           peer->name, peer->name, peer->name);
  exit (status);
}

static void
unable (const char *why, const char *what)
{
  fprintf (stderr, "%s: %s%s\n", frame.peer->name, why, what);
  exit (UNABLE);
}

/* The whole of @text as a number between @least and @most. */
static double
number_of (const char *option, const char *text, double least, double most)
{
  char *end;
  errno = 0;
  double value = strtod (text, &end);
  if (errno || end == text || *end || !(value >= least && value <= most))
    {
      fprintf (stderr, "%s: %s %s: not a number from %g to %g\n", frame.peer->name, option, text,
               least, most);
      exit (2);
    }
  return value;
}

static void
parse (const Peer *peer, int argc, char **argv)
{
  static const struct option options[] = { { "transport", required_argument, NULL, 't' },
                                           { "wait", required_argument, NULL, 'w' },
                                           { "size", required_argument, NULL, 's' },
                                           { "seconds", required_argument, NULL, 'd' },
                                           { "cpus", required_argument, NULL, 'c' },
                                           { "touch", no_argument, NULL, 'T' },
                                           { "describe", no_argument, NULL, 'D' },
                                           { "help", no_argument, NULL, 'h' },
                                           { NULL, 0, NULL, 0 } };
  PeerRun *run = &frame.run;
  size_t length;
  const char *first = peer->transports;
  const char *wait = is_in ("spin", peer->waits) ? "spin" : "block";
  first = next_word (&first, &length);
  frame.first = strndup (first, length);
  run->transport = frame.first;
  run->size = 64;
  run->seconds = 1;
  run->cpus[1] = 1;
  for (int letter; (letter = getopt_long (argc, argv, "h", options, NULL)) != -1;)
    switch (letter)
      {
      case 't':
        run->transport = optarg;
        break;
      case 'w':
        wait = optarg;
        break;
      case 's':
        run->size = (size_t) number_of ("--size", optarg, 1, PEER_MAX_SIZE);
        break;
      case 'd':
        run->seconds = number_of ("--seconds", optarg, 0.001, 3600);
        break;
      case 'c':
        {
          char after;
          if (sscanf (optarg, "%d,%d%c", &run->cpus[0], &run->cpus[1], &after) != 2
              || run->cpus[0] < 0 || run->cpus[1] < 0 || run->cpus[0] >= CPU_SETSIZE
              || run->cpus[1] >= CPU_SETSIZE)
            usage (peer, 2);
          break;
        }
      case 'T':
        run->touch = true;
        break;
      case 'D':
        describe (peer);
        exit (0);
      default:
        usage (peer, letter == 'h' ? 0 : 2);
      }
  if (argc - optind != 1 || !is_in (argv[optind], "rtt stream async"))
    usage (peer, 2);
  run->stream = strcmp (argv[optind], "stream") == 0;
  run->pipelined = strcmp (argv[optind], "async") == 0;
  run->spin = strcmp (wait, "spin") == 0;
  if (!run->spin && strcmp (wait, "block") != 0)
    usage (peer, 2);
  if (!is_in (run->transport, peer->transports))
    unable ("has no transport ", run->transport);
  if (!is_in (wait, peer->waits))
    unable ("cannot wait so: ", wait);
  if (run->stream && peer_is_request (run))
    unable ("a stream has no answers: ", run->transport);
  if (run->pipelined && (!peer->pipeline || run->touch))
    unable ("no asynchronous calls", run->touch ? " whose bytes are touched" : "");
  const char *why = peer->why_not ? peer->why_not (run) : NULL;
  if (why)
    unable (why, "");
}

/* Where the caller runs first in, first out, an end that spins would keep the threads of its own
 * library off the processor for ever, and this parent too: they take turns instead. */
static void
share_processor (void)
{
  struct sched_param param;
  if (sched_getscheduler (0) == SCHED_FIFO && sched_getparam (0, &param) == 0
      && sched_setscheduler (0, SCHED_RR, &param) != 0)
    peer_fail ("cannot leave SCHED_FIFO: %s", strerror (errno));
}

int
peer_main (const Peer *peer, int argc, char **argv)
{
  frame.peer = peer;
  parse (peer, argc, argv);
  share_processor ();

  /* From here on a signal takes down what there is. */
  sigset_t handled;
  sigemptyset (&handled);
  sigaddset (&handled, SIGCHLD);
  sigaddset (&handled, SIGTERM);
  sigaddset (&handled, SIGINT);
  sigaddset (&handled, SIGHUP);
  sigprocmask (SIG_BLOCK, &handled, NULL);

  const char *base = getenv ("TMPDIR");
  if (asprintf (&frame.dir, "%s/peer-XXXXXX", base && *base ? base : "/tmp") < 0
      || !mkdtemp (frame.dir))
    peer_fail ("cannot make a folder in %s: %s", base ? base : "/tmp", strerror (errno));
  frame.shared = mmap (NULL, sizeof *frame.shared, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  frame.signals = signalfd (-1, &handled, SFD_CLOEXEC);
  if (frame.shared == MAP_FAILED || frame.signals < 0 || pipe2 (frame.to_parent, O_CLOEXEC) != 0)
    peer_fail ("cannot prepare: %s", strerror (errno));
  frame.run.dir = frame.dir;
  frame.run.address = frame.shared->address;

  measure ();
  print_result ();
  free (frame.dir);
  free (frame.first);
  return 0;
}
