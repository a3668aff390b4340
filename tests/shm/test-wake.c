/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every way in which a sleeper and its waker can come between each other, with up to three
 * switches. The very source of the ring and the bell runs here with a hook in front of each shared
 * access and a kernel that is a model: the producer runs through, and at a hook the consumer does
 * some of its steps. Memory is sequentially consistent, or what a side stores waits in a buffer of
 * its own until a fence or the kernel lets it out: as late as a machine may. tests/model has every
 * time between, on a model; tsan-ring runs on the real one.
 */
#include "config.h"

#include <errno.h>
#include <glib.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void before_access (void);
static void buffer_store (void *at, gsize size, guint64 value);
static guint64 buffered (const void *at, gsize size, guint64 value);
static void let_out (void);
static long model_syscall (long number, ...);
static ssize_t model_send (int fd, const void *data, size_t size, int flags);

#define __atomic_load_n(at, order) \
  (before_access (),               \
   (__typeof__ (*(at) + 0)) buffered (at, sizeof *(at), __atomic_load_n (at, order)))
#define __atomic_store_n(at, value, order) \
  (before_access (), buffer_store (at, sizeof *(at), (guint64) (value)))
#define __atomic_thread_fence(order) (before_access (), let_out ())
#define syscall model_syscall
#define send model_send

#include "plugins/shm/commy-ring.c"
#include "plugins/shm/commy-wait.c"

#undef __atomic_load_n
#undef __atomic_store_n
#undef __atomic_thread_fence
#undef syscall
#undef send

#define CAPACITY SHM_RING_MIN
#define BATCHES 2u
#define BATCH 2u
#define RECORD_BYTES 100u
#define SWITCHES 3
/* As many as lead from one nap into the next. */
#define MAX_STEPS 9u
#define MAX_STORES 64u
/* Whose stores wait. */
#define PRODUCER_IS_LAZY 8u
#define CONSUMER_IS_LAZY 16u

typedef enum
{
  NAP_FUTEX,
  NAP_FUTEX_WITHOUT_WAITV,
  NAP_SOCKET,
} Nap;

typedef enum
{
  STEP_TAKE,
  STEP_LOOK_AT_TAIL,
  STEP_ANNOUNCE,
  STEP_LOOK_AGAIN,
  STEP_SLEEP,
  STEP_AWAKE,
} Step;

typedef struct
{
  ShmHeader producer_header;
  ShmHeader consumer_header;
  uint8_t ring[CAPACITY];
} __attribute__ ((aligned (64))) Memory;

typedef struct
{
  unsigned hook;
  unsigned steps;
  unsigned done; /* it may have gone to sleep first */
} Switch;

/* Stores in the order in which they were made. */
typedef struct
{
  bool is_lazy;
  unsigned n;
  struct
  {
    void *at;
    gsize size;
    guint64 value;
  } stores[MAX_STORES];
} Buffer;

typedef struct
{
  Memory memory;
  Buffer producers, consumers;
  Buffer *buffer; /* of who runs */
  ShmProducer producer;
  ShmConsumer consumer;
  ShmBell producer_bell;
  ShmBell consumer_bell;
  unsigned n_sent;
  /* The consumer: a machine that stops after any of its steps. */
  Nap nap;
  Step step;
  uint32_t tail_seen;
  unsigned n_read;
  /* The kernel. */
  bool parked;
  unsigned bytes;
  int send_error;
  unsigned n_calls;
  /* The schedule, and where in it the producer is. */
  Switch switches[SWITCHES];
  bool hooks_on;
  unsigned n_hooks;
} Model;

/* The hooks have no argument to find it by. */
static Model *model;

/* --- stores that wait --- */

static void
store (void *at, gsize size, guint64 value)
{
  if (size == sizeof (guint64))
    *(guint64 *) at = value;
  else
    *(guint32 *) at = (guint32) value;
}

static void
let_out (void)
{
  Buffer *buffer = model->buffer;

  for (unsigned i = 0; i < buffer->n; i++)
    store (buffer->stores[i].at, buffer->stores[i].size, buffer->stores[i].value);
  buffer->n = 0;
}

static void
buffer_store (void *at, gsize size, guint64 value)
{
  Buffer *buffer = model->buffer;

  if (!buffer->is_lazy)
    {
      store (at, size, value);
      return;
    }
  if (buffer->n == MAX_STORES)
    let_out ();
  buffer->stores[buffer->n].at = at;
  buffer->stores[buffer->n].size = size;
  buffer->stores[buffer->n++].value = value;
}

/* What this side stored last, or what lies in memory. */
static guint64
buffered (const void *at, gsize size, guint64 value)
{
  const Buffer *buffer = model->buffer;

  for (unsigned i = buffer->n; i-- > 0;)
    if (buffer->stores[i].at == at && buffer->stores[i].size == size)
      return buffer->stores[i].value;
  return value;
}

/* --- the consumer --- */

static void
consumer_take (void)
{
  ShmRecord record;
  ShmResult result = shm_consumer_take (&model->consumer, &record);

  g_assert_cmpint (result, !=, SHM_BROKEN);
  if (result == SHM_EMPTY)
    {
      model->step = STEP_LOOK_AT_TAIL;
      return;
    }
  g_assert_cmpuint (record.data[0], ==, model->n_read);
  model->n_read++;
  shm_consumer_release_to (&model->consumer, model->consumer.position);
}

static void
consumer_announce (void)
{
  uint32_t how = model->nap == NAP_SOCKET ? SHM_STATE_SOCKET : SHM_STATE_FUTEX;

  shm_bell_announce (&model->consumer_bell, how | SHM_STATE_DATA);
}

static void
consumer_sleep (void)
{
  const uint32_t kick = 0;

  shm_park (shm_tail_word (&model->memory.producer_header), model->tail_seen, &kick, 0, INT64_MAX,
            model->nap == NAP_FUTEX ? SHM_PARK_BEST : SHM_PARK_WITHOUT_WAITV);
}

/* A shared access, or false if it sleeps. As in sleep_until_ready() and shm_link_arm(). */
static bool
consumer_goes_on (void)
{
  /* The kernel has it, and let out what it had stored. */
  if (model->step == STEP_SLEEP)
    let_out ();
  if (model->parked || (model->nap == NAP_SOCKET && model->step == STEP_SLEEP && model->bytes == 0))
    return false;
  switch (model->step)
    {
    case STEP_TAKE:
      consumer_take ();
      return true;
    case STEP_LOOK_AT_TAIL:
      model->bytes = 0;
      model->tail_seen = *shm_tail_word (&model->memory.producer_header);
      break;
    case STEP_ANNOUNCE:
      consumer_announce ();
      break;
    case STEP_LOOK_AGAIN:
      model->step = shm_consumer_ready (&model->consumer) ? STEP_AWAKE : STEP_SLEEP;
      return true;
    case STEP_SLEEP:
      if (model->nap != NAP_SOCKET)
        consumer_sleep ();
      break;
    case STEP_AWAKE:
      shm_bell_awake (&model->consumer_bell);
      model->step = STEP_TAKE;
      return true;
    }
  model->step++;
  return true;
}

static bool
consumer_step (void)
{
  Buffer *before = model->buffer;
  bool goes_on;

  model->buffer = &model->consumers;
  goes_on = consumer_goes_on ();
  model->buffer = before;
  return goes_on;
}

/* --- what the source under test calls --- */

static void
before_access (void)
{
  if (!model->hooks_on)
    return;
  model->hooks_on = false;
  for (unsigned i = 0; i < SWITCHES; i++)
    if (model->switches[i].hook == model->n_hooks)
      while (model->switches[i].done < model->switches[i].steps && consumer_step ())
        model->switches[i].done++;
  model->n_hooks++;
  model->hooks_on = true;
}

/* A futex looks at the word and goes to sleep in one step; nobody's patience ends. */
static long
model_futex_wait (const uint32_t *word, uint32_t seen)
{
  g_assert_true (word == shm_tail_word (&model->memory.producer_header));
  if (*word == seen)
    {
      model->parked = true;
      return 0;
    }
  errno = EAGAIN;
  return -1;
}

static long
model_futex_wake (const uint32_t *word)
{
  long n_woken;

  g_assert_true (word == shm_tail_word (&model->memory.producer_header));
  before_access ();
  let_out ();
  model->n_calls++;
  n_woken = model->parked;
  model->parked = false;
  return n_woken;
}

static long
model_syscall (long number, ...)
{
  va_list arguments;
  const uint32_t *word;
  long result;
  int operation;

  va_start (arguments, number);
#ifdef SYS_futex_waitv
  if (number == SYS_futex_waitv)
    {
      const struct futex_waitv *waits = va_arg (arguments, const struct futex_waitv *);

      va_end (arguments);
      return model_futex_wait ((const uint32_t *) (uintptr_t) waits->uaddr, (uint32_t) waits->val);
    }
#endif
  g_assert_cmpint (number, ==, SYS_futex);
  word = va_arg (arguments, const uint32_t *);
  operation = va_arg (arguments, int);
  result = operation == FUTEX_WAIT ? model_futex_wait (word, va_arg (arguments, uint32_t))
                                   : model_futex_wake (word);
  va_end (arguments);
  return result;
}

static ssize_t
model_send (int fd, const void *data, size_t size, int flags)
{
  before_access ();
  let_out ();
  model->n_calls++;
  if (model->send_error != 0)
    {
      errno = model->send_error;
      return -1;
    }
  model->bytes++;
  return (ssize_t) size;
}

/* --- the runs --- */

/* @start: where in the ring; near the end a record needs padding before it. */
static void
set_up (Nap nap, uint64_t start)
{
  Memory *memory = &model->memory;

  memset (memory, 0, sizeof *memory);
  model->producers.n = model->consumers.n = 0;
  model->buffer = &model->producers;
  model->nap = nap;
  model->step = STEP_TAKE;
  model->n_read = model->n_sent = model->n_hooks = model->n_calls = model->bytes = 0;
  model->parked = model->hooks_on = false;
  model->send_error = 0;
  shm_producer_init (&model->producer, &memory->producer_header, memory->ring, CAPACITY,
                     shm_ring_max_inline (CAPACITY), &memory->consumer_header);
  shm_consumer_init (&model->consumer, &memory->consumer_header, &memory->producer_header,
                     memory->ring, CAPACITY, shm_ring_max_inline (CAPACITY));
  shm_bell_init (&model->producer_bell, &memory->producer_header, &memory->consumer_header, -1);
  shm_bell_init (&model->consumer_bell, &memory->consumer_header, &memory->producer_header, -1);
  model->producer.head = model->producer.published = model->producer.peer_cursor = start;
  model->consumer.position = model->consumer.cursor = start;
  memory->producer_header.tail = memory->consumer_header.cursor = start;
}

static void
send_batch (void)
{
  uint8_t *data;

  for (unsigned i = 0; i < BATCH; i++)
    {
      g_assert_cmpint (shm_producer_reserve (&model->producer, RECORD_BYTES, &data), ==, SHM_OK);
      data[0] = (uint8_t) model->n_sent++;
      shm_producer_commit (&model->producer, RECORD_BYTES);
    }
  g_assert_true (shm_producer_publish (&model->producer));
  shm_bell_ring (&model->producer_bell, SHM_STATE_DATA);
}

static void
run_consumer_until_it_sleeps (void)
{
  while (consumer_step ())
    continue;
}

static void
run_schedule (Nap nap, uint64_t start)
{
  set_up (nap, start);
  for (unsigned i = 0; i < SWITCHES; i++)
    model->switches[i].done = 0;
  model->hooks_on = true;
  for (unsigned i = 0; i < BATCHES; i++)
    send_batch ();
  /* What it stored may come out after all that it does. */
  before_access ();
  model->hooks_on = false;
  let_out ();
  run_consumer_until_it_sleeps ();
  if (model->n_read == model->n_sent)
    return;
  for (unsigned i = 0; i < SWITCHES; i++)
    g_test_message ("at access %u of the producer: %u steps of the consumer",
                    model->switches[i].hook, model->switches[i].steps);
  g_error ("the consumer sleeps with %u of %u messages read", model->n_read, model->n_sent);
}

/* All schedules that begin with the first @depth switches. */
static void
try_schedules (Nap nap, uint64_t start, unsigned depth)
{
  unsigned first = depth == 0 ? 0 : model->switches[depth - 1].hook + 1;
  unsigned end;

  for (unsigned i = depth; i < SWITCHES; i++)
    model->switches[i] = (Switch){ .hook = UINT_MAX };
  run_schedule (nap, start);
  if (depth == SWITCHES)
    return;
  /* The consumer's doing can add a call of the kernel to what the producer does. */
  end = model->n_hooks + BATCHES;
  for (unsigned hook = first; hook < end; hook++)
    for (unsigned steps = 1; steps <= MAX_STEPS; steps++)
      {
        model->switches[depth] = (Switch){ .hook = hook, .steps = steps };
        try_schedules (nap, start, depth + 1);
        if (model->switches[depth].done < steps)
          break;
      }
}

static void
test_schedules (gconstpointer user_data)
{
  Model *own = g_aligned_alloc0 (1, sizeof *own, SHM_LINE);
  /* The second batch begins with padding. */
  const uint64_t starts[] = { 0, CAPACITY - 5 * SHM_LINE };

  const unsigned how = GPOINTER_TO_UINT (user_data);

  model = own;
  own->producers.is_lazy = (how & PRODUCER_IS_LAZY) != 0;
  own->consumers.is_lazy = (how & CONSUMER_IS_LAZY) != 0;
  for (gsize i = 0; i < G_N_ELEMENTS (starts); i++)
    try_schedules (how & ~(PRODUCER_IS_LAZY | CONSUMER_IS_LAZY), starts[i], 0);
  g_aligned_free (own);
}

static void
add_schedules (const char *nap_name, Nap nap)
{
  static const struct
  {
    const char *name;
    unsigned flags;
  } lazy[] = { { "", 0 },
               { "/stores-of-the-writer-wait", PRODUCER_IS_LAZY },
               { "/stores-of-the-reader-wait", CONSUMER_IS_LAZY },
               { "/all-stores-wait", PRODUCER_IS_LAZY | CONSUMER_IS_LAZY } };

  for (gsize i = 0; i < G_N_ELEMENTS (lazy); i++)
    {
      g_autofree char *path = g_strdup_printf ("/wake/every-schedule/%s%s", nap_name, lazy[i].name);

      g_test_add_data_func (path, GUINT_TO_POINTER (nap | lazy[i].flags), test_schedules);
    }
}

static void
put_to_sleep (Nap nap)
{
  set_up (nap, 0);
  run_consumer_until_it_sleeps ();
}

static void
test_one_call (gconstpointer user_data)
{
  Model *own = g_aligned_alloc0 (1, sizeof *own, SHM_LINE);

  model = own;
  put_to_sleep (GPOINTER_TO_INT (user_data));
  for (unsigned i = 0; i < 3; i++)
    send_batch ();
  g_assert_cmpuint (model->n_calls, ==, 1);
  run_consumer_until_it_sleeps ();
  g_assert_cmpuint (model->n_read, ==, model->n_sent);
  send_batch ();
  g_assert_cmpuint (model->n_calls, ==, 2);
  g_aligned_free (own);
}

/* A byte that the kernel had no memory for is sent again; a full socket says enough. */
static void
test_failing_socket (void)
{
  Model *own = g_aligned_alloc0 (1, sizeof *own, SHM_LINE);

  model = own;
  put_to_sleep (NAP_SOCKET);
  model->send_error = ENOBUFS;
  send_batch ();
  model->send_error = EAGAIN;
  send_batch ();
  g_assert_cmpuint (model->n_calls, ==, 2);
  send_batch ();
  g_assert_cmpuint (model->n_calls, ==, 2);
  g_aligned_free (own);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    Nap nap;
  } naps[] = {
    { "futex", NAP_FUTEX },
    { "futex-without-waitv", NAP_FUTEX_WITHOUT_WAITV },
    { "socket", NAP_SOCKET },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (naps); i++)
    {
      g_autofree char *once = g_strdup_printf ("/wake/sleeper-is-called-once/%s", naps[i].name);

      add_schedules (naps[i].name, naps[i].nap);
      g_test_add_data_func (once, GINT_TO_POINTER (naps[i].nap), test_one_call);
    }
  g_test_add_func ("/wake/socket-without-memory-is-tried-again", test_failing_socket);
  return g_test_run ();
}
