/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer dies between any two instructions. The victim is stepped through everything a link
 * does; at each boundary (or at one in COMMY_CRASH_EVERY) a copy of the
 * survivor finds out, gets everything that was published and nothing else, whole and in order,
 * has its loans back, and exchanges 1000 messages with a fresh peer.
 */
#include "config.h"

#include "crash-tracer.h"
#include "run-ledger.h"

#include <glib.h>

/* A sanitizer makes both the steps and the copies many times dearer. */
#ifdef __SANITIZE_ADDRESS__
#define EVERY 5000
#define EVERY_CLOSELY 50
#define RANDOM_STEPS 10
#else
#define EVERY 50
#define EVERY_CLOSELY 1
#define RANDOM_STEPS 16
#endif

#define V(OP, COUNT, SIZE)                \
  {                                       \
    CRASH_VICTIM, CRASH_##OP, COUNT, SIZE \
  }
#define S(OP, COUNT, SIZE)                  \
  {                                         \
    CRASH_SURVIVOR, CRASH_##OP, COUNT, SIZE \
  }
#define INLINE_MAX (CRASH_RING_BYTES / 4 - SHM_MARK_BYTES)

static const CrashStep prologue[] = {
  V (GREET, 0, 0),
  S (GREET, 0, 0),
  S (MEET, 0, 0),
  V (MEET, 0, 0),
};

static const CrashStep connecting[] = {
  V (ARM, 0, 0),
  S (SEND, 1, 24),
  V (TAKE, 1, 0),
  V (CLOSE, 0, 0),
};

static const CrashStep publishing[] = {
  V (SEND, 3, 40),   V (BATCH, 4, 100), V (CANCEL, 0, 60), V (SEND, 1, INLINE_MAX), S (TAKE, 3, 0),
  V (COMMIT, 2, 56), V (SEND, 1, 24),   S (DRAIN, 0, 0),   V (COMMIT, 3, 48),       V (CLOSE, 0, 0),
};

static const CrashStep borrowing[] = {
  S (BATCH, 9, 90), V (TAKE, 6, 0),    V (RELEASE, 2, 0), V (RETURN, 2, 0), V (TAKE, 1, 0),
  S (SEND, 6, 150), V (RELEASE, 2, 0), V (TAKE, 9, 0),    V (RETURN, 5, 0), V (RELEASE, 9, 0),
  V (ARM, 0, 0),    S (SEND, 2, 24),   V (DRAIN, 0, 0),
};

/* Each size divides the ring another way. */
static const CrashStep wrapping[] = {
  V (SEND, 3, 1000), S (DRAIN, 0, 0), V (BATCH, 3, 900), S (TAKE, 2, 0),    V (SEND, 2, 500),
  S (DRAIN, 0, 0),   V (SEND, 9, 33), S (DRAIN, 0, 0),   V (SEND, 2, 1016), S (TAKE, 1, 0),
  V (BATCH, 2, 700), S (DRAIN, 0, 0), V (SEND, 3, 1000), S (DRAIN, 0, 0),   V (BATCH, 9, 120),
};

static const CrashStep filling[] = {
  V (SEND, 40, 200), V (ARM, 0, 0),   S (TAKE, 2, 0),  V (SEND, 9, 200),   S (RELEASE, 2, 0),
  V (SEND, 9, 90),   S (DRAIN, 0, 0), V (ARM, 0, 0),   V (BATCH, 70, 24),  S (DRAIN, 0, 0),
  V (SEND, 9, 1000), V (ARM, 0, 0),   S (DRAIN, 0, 0), V (COMMIT, 9, 900), S (TAKE, 3, 0),
};

static const CrashStep lending[] = {
  V (SEND, 2, 5000), V (CANCEL, 0, 5000),  S (TAKE, 1, 0),    V (BATCH, 2, 20000),
  V (SEND, 1, 100),  S (DRAIN, 0, 0),      V (SEND, 3, 5000), V (SEND, 1, 200000),
  S (TAKE, 2, 0),    V (SEND, 2, 200000),  S (DRAIN, 0, 0),   V (SEND, 4, 70000),
  S (RELEASE, 5, 0), S (DRAIN, 0, 0),      V (ARM, 0, 0),     V (SEND, 1, CRASH_ARENA_BYTES),
  S (DRAIN, 0, 0),   V (COMMIT, 1, 30000), V (CLOSE, 0, 0),
};

static const CrashStep returning[] = {
  S (SEND, 3, 5000), V (TAKE, 2, 0),   V (RETURN, 1, 0),   S (SEND, 2, 150000), V (TAKE, 2, 0),
  V (RELEASE, 1, 0), S (SEND, 1, 300), V (TAKE, 1, 0),     V (RETURN, 2, 0),    V (ARM, 0, 0),
  S (SEND, 9, 6000), V (DRAIN, 0, 0),  S (SEND, 2, 60000), V (TAKE, 1, 0),      S (SEND, 9, 150000),
  V (DRAIN, 0, 0),   V (ARM, 0, 0),    S (SEND, 1, 24),    V (DRAIN, 0, 0),
};

/* Blocks of a pool: taken, lent, given and reclaimed by the victim; then the survivor's, which the
 * victim reads, keeps and gives back. */
static const CrashStep pooling[] = {
  V (LEND, 2, 9000), S (TAKE, 1, 0),    V (LEND, 1, 30000), S (DRAIN, 0, 0),   V (LEND, 3, 9000),
  V (SEND, 2, 40),   S (TAKE, 4, 0),    V (LEND, 1, 20000), S (RETURN, 2, 0),  V (ARM, 0, 0),
  V (LEND, 1, 9000), S (DRAIN, 0, 0),   V (LEND, 9, 90000), S (DRAIN, 0, 0),   V (LEND, 1, 200000),
  S (DRAIN, 0, 0),   S (LEND, 2, 9000), V (TAKE, 2, 0),     V (RELEASE, 1, 0), S (LEND, 2, 40000),
  V (TAKE, 2, 0),    V (RETURN, 2, 0),  S (LEND, 3, 9000),  V (DRAIN, 0, 0),   V (LEND, 1, 9000),
  V (CLOSE, 0, 0),
};

static const CrashStep sleeping[] = {
  V (ARM, 0, 0),   S (SEND, 1, 24), V (DRAIN, 0, 0), V (PARK, 0, 0), S (BATCH, 2, 80),
  V (TAKE, 1, 0),  S (ARM, 0, 0),   V (SEND, 1, 30), S (TAKE, 1, 0), V (PARK, 0, 0),
  V (SEND, 1, 44), S (ARM, 0, 0),   V (DRAIN, 0, 0), V (ARM, 0, 0),  V (CLOSE, 0, 0),
};

/* So many loans that the cursor is due when the last of them, and nothing else, was taken. */
static const CrashStep taking[] = {
  S (SEND, 7, 5000),
  V (TAKE, 7, 0),
  S (SEND, 1, 5000),
  V (TAKE, 1, 0),
};

typedef struct
{
  const CrashStep *steps;
  guint n;
  guint from; /* of this step on each boundary is looked at, and none before; or 0 */
} Script;

static GArray *
script_new (const CrashStep *steps, guint n)
{
  GArray *script = g_array_new (FALSE, FALSE, sizeof (CrashStep));

  g_array_append_vals (script, prologue, G_N_ELEMENTS (prologue));
  g_array_append_vals (script, steps, n);
  return script;
}

/* One boundary in so many is looked at. */
static guint64
sampling (guint64 otherwise)
{
  const char *text = g_getenv ("COMMY_CRASH_EVERY");
  guint64 every = text != NULL ? g_ascii_strtoull (text, NULL, 10) : otherwise;

  return MAX (every, 1);
}

/* Each boundary that was looked at is a death. */
static void
record (const CrashReport *report)
{
  const RunLedgerRow row = { .boundaries = report->checked };
  g_autofree char *command = g_strdup_printf ("COMMY_CRASH_EVERY=%" G_GUINT64_FORMAT
                                              " tests/crash/test-every-instruction",
                                              sampling (EVERY));

  run_ledger_add ("every-instruction", &row, command);
}

static void
run (GArray *script, guint from)
{
  CrashPlan plan = { .steps = (const CrashStep *) (void *) script->data,
                     .n_steps = script->len,
                     .from = from != 0 ? from + G_N_ELEMENTS (prologue) : 0,
                     .stride = sampling (from != 0 ? EVERY_CLOSELY : EVERY) };
  CrashReport report;

  plan.phase = (guint32) g_test_rand_int () % plan.stride;
  crash_trace (&plan, &report);
  if (report.refused)
    {
      g_test_skip ("processes may not be traced here");
      return;
    }
  g_test_message ("%" G_GUINT64_FORMAT " boundaries, %" G_GUINT64_FORMAT
                  " looked at, from %" G_GUINT64_FORMAT " in steps of %" G_GUINT64_FORMAT,
                  report.boundaries, report.checked, plan.phase, plan.stride);
  g_assert_cmpstr (report.fault, ==, "");
  g_assert_cmpuint (report.checked, >, 0);
  record (&report);
}

static void
test_script (gconstpointer data)
{
  const Script *script = data;
  g_autoptr (GArray) steps = script_new (script->steps, script->n);

  run (steps, script->from);
}

static CrashStep
random_step (void)
{
  static const CrashOp ops[]
      = { CRASH_SEND, CRASH_LEND,    CRASH_BATCH,  CRASH_COMMIT, CRASH_CANCEL, CRASH_TAKE,
          CRASH_TAKE, CRASH_RELEASE, CRASH_RETURN, CRASH_DRAIN,  CRASH_ARM,    CRASH_PARK };
  static const guint32 most[] = { 100, 100, 1016, 6000, 100000 };
  guint32 size = most[g_test_rand_int_range (0, G_N_ELEMENTS (most))];

  return (CrashStep){ .who = g_test_rand_bit () ? CRASH_VICTIM : CRASH_SURVIVOR,
                      .op = ops[g_test_rand_int_range (0, G_N_ELEMENTS (ops))],
                      .count = (guint32) g_test_rand_int_range (1, 8),
                      .size = (guint32) g_test_rand_int_range (CRASH_SMALLEST, (gint32) size) };
}

static void
test_anything (void)
{
  g_autoptr (GArray) script = script_new (NULL, 0);

  for (guint i = 0; i < RANDOM_STEPS; i++)
    {
      CrashStep step = random_step ();

      g_array_append_val (script, step);
    }
  run (script, 0);
}

static void
add (const char *path, const CrashStep *steps, guint n, guint from)
{
  Script *script = g_new (Script, 1);

  *script = (Script){ steps, n, from };
  g_test_add_data_func_full (path, script, test_script, g_free);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, STEPS) add ("/crash/every-instruction/" PATH, STEPS, G_N_ELEMENTS (STEPS), 0)
  ADD ("connect-and-disconnect", connecting);
  ADD ("publish", publishing);
  ADD ("borrow-and-release", borrowing);
  ADD ("wrap-around", wrapping);
  ADD ("full-ring", filling);
  ADD ("take-and-lend-loans", lending);
  ADD ("return-loans", returning);
  ADD ("take-lend-and-reclaim-blocks", pooling);
  ADD ("sleep-and-wake", sleeping);
#undef ADD
  add ("/crash/every-instruction/take-a-loan-when-the-cursor-is-due", taking, G_N_ELEMENTS (taking),
       G_N_ELEMENTS (taking) - 1);
  g_test_add_func ("/crash/every-instruction/anything", test_anything);
  return g_test_run ();
}
