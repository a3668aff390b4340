/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is kept of what a policy engine said, how long, and what happens when it says nothing or is
 * asked too much. The engine is the test, the clock too.
 */
#include "config.h"

#include "security/commy-engine.h"

#include <string.h>

#define S G_GINT64_CONSTANT (1000000000)

typedef struct
{
  CommyEnv env;
  gint64 now_ns;
  CommyPlugin plugin;
  GMainContext *context;
  CommyEngine *engine;
  GPtrArray *open;  /* Decision */
  gboolean at_once; /* allows from inside */
  guint asked, cancelled, told;
  char last[16]; /* principal that was asked about */
} Fixture;

typedef struct
{
  Fixture *fixture;
  CommyPolicyDoneFunc done;
  gpointer user_data;
} Decision;

static gint64
now_ns (gpointer data)
{
  return ((Fixture *) data)->now_ns;
}

static void
decide (gpointer instance,
        gpointer decision_,
        const CommyPolicyQuery *query,
        CommyPolicyDoneFunc done,
        gpointer user_data)
{
  Fixture *self = instance;
  Decision *decision = decision_;

  self->asked++;
  g_strlcpy (self->last, query->principal, sizeof self->last);
  g_assert_cmpuint (query->struct_size, ==, sizeof *query);
  if (self->at_once)
    {
      done (user_data, COMMY_POLICY_ALLOWED, NULL);
      return;
    }
  *decision = (Decision){ self, done, user_data };
  g_ptr_array_add (self->open, decision);
}

static void
cancel (gpointer decision)
{
  Fixture *self = ((Decision *) decision)->fixture;

  g_assert_true (g_ptr_array_remove (self->open, decision));
  self->cancelled++;
}

static void
set_up (Fixture *self, gconstpointer keep_s)
{
  const CommyEngineLimits limits
      = { .timeout_ns = 60 * S, .cache_ns = 40 * S, .keep_ns = GPOINTER_TO_INT (keep_s) * S };

  self->env = *commy_env_system ();
  self->env.now_ns = now_ns;
  self->env.data = self;
  self->now_ns = 1000 * S;
  self->open = g_ptr_array_new ();
  self->context = g_main_context_new ();
  self->plugin.instance = self;
  strcpy (self->plugin.note.id, "test");
  self->plugin.ops.policy = (CommyPolicyEngineOps){ .struct_size = sizeof (CommyPolicyEngineOps),
                                                    .decision_size = sizeof (Decision),
                                                    .decide = decide,
                                                    .cancel = cancel };
  self->engine = commy_engine_new (&self->plugin, self->context, &self->env, &limits);
}

static void
tear_down (Fixture *self, gconstpointer unused)
{
  commy_engine_free (self->engine);
  g_assert_cmpuint (self->open->len, ==, 0);
  g_ptr_array_unref (self->open);
  g_main_context_unref (self->context);
}

static void
iterate (Fixture *self)
{
  while (g_main_context_iteration (self->context, FALSE))
    continue;
}

static void
on_ready (gpointer data)
{
  ((Fixture *) data)->told++;
}

static CommyEngineWaiter
want_waiter (gpointer data)
{
  return (CommyEngineWaiter){ on_ready, data };
}

static CommyEngineState
ask_as (Fixture *self, const char *principal, const char *method, char **out_why)
{
  const CommyPolicyRequest request
      = { .verb = COMMY_VERB_CALL, .principal = principal, .resource = "s", .method = method };
  CommyEngineAnswer answer;

  commy_engine_ask (self->engine, &request, TRUE, want_waiter, self, &answer);
  g_assert_true (answer.state == COMMY_ENGINE_THINKS || answer.until_ns > self->now_ns);
  g_assert_true ((answer.why != NULL) == (answer.state == COMMY_ENGINE_DENIES));
  if (out_why != NULL)
    *out_why = answer.why;
  else
    g_free (answer.why);
  iterate (self);
  return answer.state;
}

static CommyEngineState
ask (Fixture *self)
{
  return ask_as (self, "p", "m", NULL);
}

/* To the oldest question. */
static void
answer (Fixture *self, CommyPolicyAnswer verdict, const char *reason)
{
  Decision decision;

  g_assert_cmpuint (self->open->len, >, 0);
  decision = *(Decision *) self->open->pdata[0];
  g_ptr_array_remove_index (self->open, 0);
  decision.done (decision.user_data, verdict, reason);
}

/* --- life of a decision --- */

static void
test_kept (Fixture *self, gconstpointer unused)
{
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  g_assert_cmpuint (self->asked, ==, 1);
  g_assert_cmpuint (self->told, ==, 0);
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  g_assert_cmpuint (self->told, ==, 2);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_ALLOWS);
  self->now_ns += 29 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_ALLOWS);
  g_assert_cmpuint (self->asked, ==, 1);
  /* In its last quarter it is asked for again, and counts meanwhile. */
  self->now_ns += 1 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_ALLOWS);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_ALLOWS);
  g_assert_cmpuint (self->asked, ==, 2);
  self->now_ns += 10 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  answer (self, COMMY_POLICY_DENIED, "no");
  g_assert_cmpuint (self->told, ==, 5);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_DENIES);
  self->now_ns += 41 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  g_assert_cmpuint (self->asked, ==, 3);
}

static void
test_differs (Fixture *self, gconstpointer unused)
{
  CommyPolicyPath path = { .where = COMMY_WHERE_LOCAL, .security = COMMY_SECURITY_KERNEL };
  CommyPolicyRequest request = {
    .verb = COMMY_VERB_CALL, .principal = "p", .resource = "s", .method = "m", .path = &path
  };
  CommyEngineAnswer got;

  self->at_once = TRUE;
  ask_as (self, "p", "m", NULL);
  ask_as (self, "q", "m", NULL);
  ask_as (self, "p", "n", NULL);
  /* No name can pretend to be part of another. */
  ask_as (self, "p1:s1:m", "m", NULL);
  g_assert_cmpuint (self->asked, ==, 4);
  for (guint i = 0; i < 4; i++)
    {
      path.security = i % 2 == 0 ? COMMY_SECURITY_KERNEL : COMMY_SECURITY_MUTUAL;
      path.where = i < 2 ? COMMY_WHERE_LOCAL : COMMY_WHERE_ADDRESS;
      path.address[15] = (guint8) i;
      for (guint again = 0; again < 2; again++)
        {
          commy_engine_ask (self->engine, &request, TRUE, want_waiter, self, &got);
          iterate (self);
        }
    }
  g_assert_cmpuint (self->asked, ==, 8);
  request.own = TRUE;
  commy_engine_ask (self->engine, &request, TRUE, want_waiter, self, &got);
  iterate (self);
  g_assert_cmpuint (self->asked, ==, 9);
}

static void
test_forgotten (Fixture *self, gconstpointer unused)
{
  const CommyEngineLimits limits = { .timeout_ns = S, .cache_ns = 4 * S };

  ask (self);
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  g_assert_cmpint (ask_as (self, "p", "other", NULL), ==, COMMY_ENGINE_THINKS);
  commy_engine_forget (self->engine, &limits);
  /* What was under way is asked anew, and its waiters still wait. */
  g_assert_cmpuint (self->cancelled, ==, 1);
  g_assert_cmpuint (self->asked, ==, 3);
  g_assert_cmpuint (self->told, ==, 1);
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  g_assert_cmpuint (self->told, ==, 2);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  self->now_ns += 4 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
}

/* --- no decision --- */

static void
test_failure_denies (Fixture *self, gconstpointer unused)
{
  g_autofree char *why = NULL;

  ask (self);
  answer (self, COMMY_POLICY_UNABLE, "gone\nfishing\xff");
  g_assert_cmpint (ask_as (self, "p", "m", &why), ==, COMMY_ENGINE_DENIES);
  g_assert_cmpstr (why, ==, "engine test gives no decision: gone fishing\xef\xbf\xbd");
  g_assert_cmpuint (self->asked, ==, 1);
  /* It is asked again soon, and not at once. */
  self->now_ns += S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_ALLOWS);
  /* A decision counts for its time; then it does not. */
  self->now_ns += 30 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_ALLOWS);
  answer (self, (CommyPolicyAnswer) 77, NULL);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_ALLOWS);
  self->now_ns += 10 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  answer (self, COMMY_POLICY_UNABLE, NULL);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_DENIES);
}

static void
test_failure_keeps (Fixture *self, gconstpointer unused)
{
  gint64 decided_ns = self->now_ns;

  ask (self);
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  self->now_ns += 50 * S;
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  answer (self, COMMY_POLICY_UNABLE, NULL);
  while (self->now_ns < decided_ns + 100 * S)
    {
      CommyEngineState state = ask (self);

      g_assert_cmpint (state, ==, COMMY_ENGINE_ALLOWS);
      if (self->open->len > 0)
        answer (self, COMMY_POLICY_UNABLE, NULL);
      self->now_ns += S / 2;
    }
  /* 40 s, and 60 s more; not a moment longer. */
  ask (self);
  if (self->open->len > 0)
    answer (self, COMMY_POLICY_UNABLE, NULL);
  g_assert_cmpint (ask (self), ==, COMMY_ENGINE_DENIES);
}

static void
test_timeout (Fixture *self, gconstpointer unused)
{
  const CommyEngineLimits limits = { .timeout_ns = S / 1000, .cache_ns = 4 * S };
  g_autofree char *why = NULL;

  commy_engine_forget (self->engine, &limits);
  ask (self);
  while (self->told == 0)
    g_main_context_iteration (self->context, TRUE);
  g_assert_cmpuint (self->cancelled, ==, 1);
  g_assert_cmpint (ask_as (self, "p", "m", &why), ==, COMMY_ENGINE_DENIES);
  g_assert_cmpstr (why, ==, "engine test gives no decision: no answer in 0.001 s");
}

/* --- limits --- */

static void
ask_many (Fixture *self, const char *principal, guint n, CommyEngineState state)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *method = g_strdup_printf ("m%u", i);

      g_assert_cmpint (ask_as (self, principal, method, NULL), ==, state);
    }
}

static void
answer_all (Fixture *self)
{
  while (self->open->len > 0)
    {
      answer (self, COMMY_POLICY_ALLOWED, NULL);
      iterate (self);
    }
}

/* What is too much waits, and principals take turns. */
static void
test_questions (Fixture *self, gconstpointer unused)
{
  const guint each = COMMY_ENGINE_QUESTIONS_EACH;

  ask_many (self, "p0", each + 2, COMMY_ENGINE_THINKS);
  g_assert_cmpuint (self->asked, ==, each);
  for (guint i = 1; i < COMMY_ENGINE_QUESTIONS_MAX / each; i++)
    {
      g_autofree char *principal = g_strdup_printf ("p%u", i);

      ask_many (self, principal, each, COMMY_ENGINE_THINKS);
    }
  g_assert_cmpuint (self->asked, ==, COMMY_ENGINE_QUESTIONS_MAX);
  ask_many (self, "another", 1, COMMY_ENGINE_THINKS);
  g_assert_cmpuint (self->asked, ==, COMMY_ENGINE_QUESTIONS_MAX);
  /* One of p0's ends; who came later and has none under way is before p0's next. */
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  iterate (self);
  g_assert_cmpuint (self->asked, ==, COMMY_ENGINE_QUESTIONS_MAX + 1);
  g_assert_cmpstr (self->last, ==, "another");
  g_assert_cmpuint (self->told, ==, 1);
  answer_all (self);
  g_assert_cmpuint (self->asked, ==, COMMY_ENGINE_QUESTIONS_MAX + 3);
  g_assert_cmpuint (self->told, ==, COMMY_ENGINE_QUESTIONS_MAX + 3);
  ask_many (self, "p0", each + 2, COMMY_ENGINE_ALLOWS);
}

/* Everything that is open is asked about again, and nothing of it denied for that. */
static void
test_many_forgotten (Fixture *self, gconstpointer unused)
{
  const CommyEngineLimits limits = { .timeout_ns = 60 * S, .cache_ns = 40 * S };

  ask_many (self, "p", 40, COMMY_ENGINE_THINKS);
  answer_all (self);
  ask_many (self, "p", 40, COMMY_ENGINE_ALLOWS);
  self->told = 0;
  commy_engine_forget (self->engine, &limits);
  ask_many (self, "p", 40, COMMY_ENGINE_THINKS);
  g_assert_cmpuint (self->open->len, ==, COMMY_ENGINE_QUESTIONS_EACH);
  /* And while they are under way, again. */
  commy_engine_forget (self->engine, &limits);
  ask_many (self, "p", 40, COMMY_ENGINE_THINKS);
  g_assert_cmpuint (self->open->len, ==, COMMY_ENGINE_QUESTIONS_EACH);
  answer_all (self);
  g_assert_cmpuint (self->told, ==, 80);
  ask_many (self, "p", 40, COMMY_ENGINE_ALLOWS);
}

/* Their time runs while they wait. */
static void
test_no_turn (Fixture *self, gconstpointer unused)
{
  const CommyEngineLimits limits = { .timeout_ns = S / 1000, .cache_ns = 4 * S };
  const guint n = COMMY_ENGINE_QUESTIONS_EACH + 2;
  CommyPolicyRequest request = { .verb = COMMY_VERB_CALL, .principal = "p", .resource = "s" };
  g_autofree char *last = g_strdup_printf ("m%u", n - 1);
  g_autofree char *why = NULL;
  CommyEngineAnswer got;
  gint64 over_us;

  commy_engine_forget (self->engine, &limits);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *method = g_strdup_printf ("m%u", i);

      request.method = method;
      commy_engine_ask (self->engine, &request, TRUE, want_waiter, self, &got);
      g_assert_cmpint (got.state, ==, COMMY_ENGINE_THINKS);
    }
  /* So that the time of all is over before the first turn of the context. */
  for (over_us = g_get_monotonic_time () + 5000; g_get_monotonic_time () < over_us;)
    continue;
  while (self->told < n)
    g_main_context_iteration (self->context, TRUE);
  g_assert_cmpint (ask_as (self, "p", last, &why), ==, COMMY_ENGINE_DENIES);
  g_assert_cmpstr (why, ==, "engine test gives no decision: too many questions are under way");
  g_assert_cmpuint (self->open->len, ==, 0);
}

/* Questions about @principal until one is denied. Returns how many were not, and why that was. */
static guint
ask_all_there_is (Fixture *self, const char *principal, char **out_why)
{
  for (guint i = 0;; i++)
    {
      g_autofree char *method = g_strdup_printf ("m%u", i);

      if (ask_as (self, principal, method, out_why) == COMMY_ENGINE_DENIES)
        return i;
    }
}

/* What waits is limited, too, for each principal and in all: however many take what they get, who
 * comes behind them has a share. */
static void
test_waiting (Fixture *self, gconstpointer unused)
{
  guint total = 0;
  guint n = 0;

  for (gboolean is_full = FALSE; !is_full; n++)
    {
      g_autofree char *principal = g_strdup_printf ("p%u", n);
      g_autofree char *why = NULL;
      guint got = ask_all_there_is (self, principal, &why);

      is_full = strstr (why, "too many decisions") != NULL;
      g_assert_true (is_full || strstr (why, "too many questions about this principal wait"));
      g_assert_cmpuint (got, >=, n < 64 ? 4096 / (n + 1) / (n + 2) : is_full ? 0 : 1);
      g_assert_cmpuint (got, <=, COMMY_ENGINE_DECISIONS_MAX / (n + 1));
      total += got;
    }
  g_assert_cmpuint (total, ==, COMMY_ENGINE_DECISIONS_MAX);
  g_assert_cmpuint (n, >=, 100);
}

/* Nor does who has no share left push out what others were told. */
static void
test_kept_from_others (Fixture *self, gconstpointer unused)
{
  g_autofree char *why = NULL;

  self->at_once = TRUE;
  ask_many (self, "q", COMMY_ENGINE_DECISIONS_MAX / 2, COMMY_ENGINE_THINKS);
  self->at_once = FALSE;
  g_assert_cmpuint (ask_all_there_is (self, "p", &why), ==, COMMY_ENGINE_DECISIONS_MAX / 2);
  for (guint i = 0; i < 16; i++)
    {
      g_autofree char *method = g_strdup_printf ("other%u", i);

      g_assert_cmpint (ask_as (self, "p", method, NULL), ==, COMMY_ENGINE_DENIES);
    }
  ask_many (self, "q", COMMY_ENGINE_DECISIONS_MAX / 2, COMMY_ENGINE_ALLOWS);
}

static void
test_waiters (Fixture *self, gconstpointer unused)
{
  g_autofree char *why = NULL;

  for (guint i = 0; i < COMMY_ENGINE_WAITERS_MAX; i++)
    g_assert_cmpint (ask (self), ==, COMMY_ENGINE_THINKS);
  g_assert_cmpint (ask_as (self, "p", "m", &why), ==, COMMY_ENGINE_DENIES);
  g_assert_nonnull (strstr (why, "too many wait for it"));
}

/* The oldest answer makes room; what is under way does not. */
static void
test_decisions (Fixture *self, gconstpointer unused)
{
  ask_as (self, "p", "open", NULL);
  self->at_once = TRUE;
  for (guint i = 0; i < COMMY_ENGINE_DECISIONS_MAX; i++)
    {
      g_autofree char *method = g_strdup_printf ("m%u", i);

      ask_as (self, "p", method, NULL);
    }
  g_assert_cmpuint (self->asked, ==, COMMY_ENGINE_DECISIONS_MAX + 1);
  g_assert_cmpint (ask_as (self, "p", "m1", NULL), ==, COMMY_ENGINE_ALLOWS);
  g_assert_cmpint (ask_as (self, "p", "m0", NULL), ==, COMMY_ENGINE_THINKS);
  g_assert_cmpint (ask_as (self, "p", "m0", NULL), ==, COMMY_ENGINE_ALLOWS);
  g_assert_cmpint (ask_as (self, "p", "m1", NULL), ==, COMMY_ENGINE_THINKS);
  self->told = 0;
  answer (self, COMMY_POLICY_ALLOWED, NULL);
  g_assert_cmpuint (self->told, ==, 1);
}

static void
test_long_reason (Fixture *self, gconstpointer unused)
{
  g_autofree char *reason = g_strnfill (100000, 'x');
  g_autofree char *why = NULL;

  ask (self);
  answer (self, COMMY_POLICY_DENIED, reason);
  g_assert_cmpint (ask_as (self, "p", "m", &why), ==, COMMY_ENGINE_DENIES);
  g_assert_cmpuint (strlen (why), ==, strlen ("engine test: ") + 200);
}

/* Who waits when all is over is told. */
static void
test_end (Fixture *self, gconstpointer unused)
{
  ask (self);
  commy_engine_free (g_steal_pointer (&self->engine));
  g_assert_cmpuint (self->told, ==, 1);
  g_assert_cmpuint (self->cancelled, ==, 1);
}

static void
add (const char *name, gint keep_s, void (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/engine/", name, NULL);

  g_test_add (path, Fixture, GINT_TO_POINTER (keep_s), set_up, test, tear_down);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add ("a-decision-is-kept-for-its-time", 0, test_kept);
  add ("each-question-has-its-own", 0, test_differs);
  add ("forgotten", 60, test_forgotten);
  add ("no-decision-denies", 0, test_failure_denies);
  add ("no-decision-keeps-the-last-for-a-while", 60, test_failure_keeps);
  add ("time-is-over", 0, test_timeout);
  /* attack: one caller of many methods keeps the policy engine busy; defence: its share of
   * questions is bounded; test: /engine/limits/questions */
  add ("limits/questions", 0, test_questions);
  add ("limits/questions-without-a-turn", 0, test_no_turn);
  /* attack: a few callers of many methods fill what the policy engine is to be asked; defence: with
   * n callers one more gets a share of what is left; test: /engine/limits/questions-that-wait */
  add ("limits/questions-that-wait", 0, test_waiting);
  add ("limits/decisions-of-others-stay", 0, test_kept_from_others);
  add ("limits/many-are-asked-again", 0, test_many_forgotten);
  add ("limits/waiters", 0, test_waiters);
  add ("limits/decisions", 0, test_decisions);
  add ("limits/reason", 0, test_long_reason);
  add ("the-end", 0, test_end);
  return g_test_run ();
}
