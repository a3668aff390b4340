/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite of auth providers: see the header.
 */
#include "config.h"

#include "commy-auth-conformance.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REASON_SIZE 256
#define EXCHANGES 64

typedef struct
{
  const CommyAuthOps *ops;
  gpointer instance;
} Provider;

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  const CommyConformanceOptions *options;
  void (*test) (Provider *provider);
} Case;

typedef struct
{
  CommyAuthVerdict verdict;
  char principal[COMMY_PRINCIPAL_MAX];
  char reason[REASON_SIZE];
} Judgement;

/* Judges, and holds the answer against what every answer must be. */
static void
judge (Provider *provider, const CommyEvidence *evidence, Judgement *out)
{
  memset (out, 0x55, sizeof *out);
  out->principal[0] = out->reason[0] = '\0';
  out->verdict = provider->ops->judge (provider->instance, evidence, out->principal, out->reason,
                                       sizeof out->reason);
  g_assert_nonnull (memchr (out->principal, '\0', sizeof out->principal));
  g_assert_nonnull (memchr (out->reason, '\0', sizeof out->reason));
  g_assert_true (g_utf8_validate (out->principal, -1, NULL));
  g_assert_true (g_utf8_validate (out->reason, -1, NULL));
  switch (out->verdict)
    {
    case COMMY_AUTH_ACCEPTED:
      g_assert_cmpuint (strlen (out->principal), >, 0);
      g_assert_null (strpbrk (out->principal, " \t\r\n"));
      break;
    case COMMY_AUTH_REFUSED:
    case COMMY_AUTH_UNABLE:
      g_assert_cmpuint (strlen (out->reason), >, 0);
      g_assert_null (strchr (out->reason, '\n'));
      g_assert_false (g_str_has_suffix (out->reason, "."));
      break;
    case COMMY_AUTH_NOT_MINE:
      break;
    case COMMY_AUTH_CONTINUE:
    default:
      g_error ("judge answered %d: steps are for `step`", out->verdict);
    }
}

static CommyEvidence
evidence_of (guint32 kind)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .kind = kind, .pidfd = -1 };

  evidence.security = kind == COMMY_EVIDENCE_NONE ? COMMY_SECURITY_NONE : COMMY_SECURITY_KERNEL;
  if (kind == COMMY_EVIDENCE_KERNEL || kind == COMMY_EVIDENCE_SELF)
    {
      evidence.uid = (guint32) geteuid ();
      evidence.gid = (guint32) getegid ();
      evidence.pid = getpid ();
    }
  return evidence;
}

static void
test_nothing_is_no_proof (Provider *provider)
{
  CommyEvidence evidence = evidence_of (COMMY_EVIDENCE_NONE);
  Judgement judgement;

  judge (provider, &evidence, &judgement);
  g_assert_cmpint (judgement.verdict, !=, COMMY_AUTH_ACCEPTED);
}

/* What a later version of the transports' contract may bring. */
static void
test_unknown_evidence (Provider *provider)
{
  static const guint32 kinds[] = { 4, 5, 100, G_MAXUINT32 };

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      CommyEvidence evidence = evidence_of (kinds[i]);
      Judgement judgement;

      judge (provider, &evidence, &judgement);
      g_assert_cmpint (judgement.verdict, !=, COMMY_AUTH_ACCEPTED);
    }
}

static void
test_broken_certificates (Provider *provider)
{
  static const guint8 noise[] = { 0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x02, 0x01, 0x00 };

  for (gsize size = 0; size <= sizeof noise; size++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_static (noise, size);
      GBytes *chain[] = { bytes, bytes };
      CommyEvidence evidence = evidence_of (COMMY_EVIDENCE_X509);
      Judgement judgement;

      evidence.security = COMMY_SECURITY_MUTUAL;
      judge (provider, &evidence, &judgement); /* no chain at all */
      g_assert_cmpint (judgement.verdict, !=, COMMY_AUTH_ACCEPTED);
      evidence.chain = chain;
      for (evidence.n_chain = 1; evidence.n_chain <= G_N_ELEMENTS (chain); evidence.n_chain++)
        {
          judge (provider, &evidence, &judgement);
          g_assert_cmpint (judgement.verdict, !=, COMMY_AUTH_ACCEPTED);
        }
    }
}

static void
test_same_answer (Provider *provider)
{
  for (guint32 kind = COMMY_EVIDENCE_NONE; kind <= COMMY_EVIDENCE_KERNEL; kind++)
    {
      CommyEvidence evidence = evidence_of (kind);
      Judgement first, again;

      judge (provider, &evidence, &first);
      for (int i = 0; i < 10; i++)
        {
          judge (provider, &evidence, &again);
          g_assert_cmpint (again.verdict, ==, first.verdict);
          g_assert_true (first.verdict != COMMY_AUTH_ACCEPTED
                         || strcmp (again.principal, first.principal) == 0);
        }
    }
}

/* The reason goes to the peer: it is cut, not written past its room. */
static void
test_little_room (Provider *provider)
{
  for (guint32 kind = COMMY_EVIDENCE_NONE; kind <= COMMY_EVIDENCE_X509; kind++)
    for (gsize room = 1; room < 40; room++)
      {
        CommyEvidence evidence = evidence_of (kind);
        g_autofree char *principal = g_malloc (COMMY_PRINCIPAL_MAX);
        g_autofree char *reason = g_malloc (room); /* exactly: a sanitizer sees one too many */

        reason[0] = '\0';
        provider->ops->judge (provider->instance, &evidence, principal, reason, room);
        g_assert_nonnull (memchr (reason, '\0', room));
      }
}

static void
test_own_name (Provider *provider)
{
  char name[COMMY_PRINCIPAL_MAX] = "";

  if (provider->ops->self == NULL || !provider->ops->self (provider->instance, name, sizeof name))
    return;
  g_assert_nonnull (memchr (name, '\0', sizeof name));
  g_assert_cmpuint (strlen (name), >, 0);
}

/* --- steps --- */

typedef struct
{
  guint n_answers;
  gboolean is_over; /* nobody may answer any more */
  CommyAuthVerdict verdict;
} Answer;

static void
on_done (gpointer user_data, CommyAuthVerdict verdict, GBytes *bytes, const char *text)
{
  Answer *answer = user_data;

  g_assert_false (answer->is_over);
  answer->n_answers++;
  answer->verdict = verdict;
  g_assert_cmpint (verdict, <=, COMMY_AUTH_UNABLE);
  if (bytes != NULL)
    g_assert_cmpuint (g_bytes_get_size (bytes), <=, COMMY_AUTH_STEP_MAX);
  if (text != NULL)
    g_assert_true (g_utf8_validate (text, -1, NULL));
  if (verdict == COMMY_AUTH_REFUSED || verdict == COMMY_AUTH_UNABLE)
    {
      g_assert_nonnull (text);
      g_assert_cmpuint (strlen (text), >, 0);
      g_assert_null (strchr (text, '\n'));
      g_assert_false (g_str_has_suffix (text, "."));
    }
}

static GBytes *
make_noise (GRand *rand)
{
  gsize size = g_rand_boolean (rand) ? (gsize) g_rand_int_range (rand, 0, 100)
                                     : (gsize) g_rand_int_range (rand, 0, COMMY_AUTH_STEP_MAX + 1);
  guint8 *data = g_malloc (size + 1);

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) g_rand_int (rand);
  return g_bytes_new_take (data, size);
}

static CommyEvidence
bound_evidence (GRand *rand)
{
  CommyEvidence evidence = evidence_of (COMMY_EVIDENCE_KERNEL);

  evidence.has_binding = TRUE;
  for (gsize i = 0; i < sizeof evidence.binding; i++)
    evidence.binding[i] = (guint8) g_rand_int (rand);
  return evidence;
}

/* Memory of exactly the size that it asks for, so that a sanitizer sees what goes beyond. */
static gpointer
begin (Provider *provider, const CommyEvidence *evidence, gboolean accepting)
{
  gsize size = (provider->ops->session_size + 63) / 64 * 64;
  gpointer session = aligned_alloc (64, size);

  memset (session, 0, size);
  provider->ops->begin (provider->instance, session, evidence, accepting);
  return session;
}

/* One exchange with somebody who sends noise: answered once for each step, and never accepted. */
static void
exchange_noise (Provider *provider, GRand *rand, gboolean accepting)
{
  CommyEvidence evidence = bound_evidence (rand);
  gpointer session = begin (provider, &evidence, accepting);
  Answer answer = { .verdict = COMMY_AUTH_CONTINUE };

  for (guint round = 0; round < COMMY_AUTH_ROUNDS_MAX && answer.verdict == COMMY_AUTH_CONTINUE;
       round++)
    {
      g_autoptr (GBytes) noise = round == 0 && !accepting ? NULL : make_noise (rand);

      answer.n_answers = 0;
      provider->ops->step (session, noise, on_done, &answer);
      commy_test_run_until (NULL, answer.n_answers > 0);
      g_assert_cmpuint (answer.n_answers, ==, 1);
      g_assert_cmpint (answer.verdict, !=, COMMY_AUTH_ACCEPTED);
    }
  answer.is_over = TRUE;
  provider->ops->end (session);
  free (session);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* All of it or nothing. */
static gboolean
has_steps (Provider *provider)
{
  gboolean has = provider->ops->session_size > 0;

  g_assert_cmpint (provider->ops->begin != NULL, ==, has);
  g_assert_cmpint (provider->ops->step != NULL, ==, has);
  g_assert_cmpint (provider->ops->end != NULL, ==, has);
  return has;
}

static void
test_noise (Provider *provider)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  if (!has_steps (provider))
    return;
  for (guint i = 0; i < EXCHANGES; i++)
    exchange_noise (provider, rand, i % 2 == 0);
}

/* A path that breaks ends an exchange anywhere. */
static void
test_early_end (Provider *provider)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (2);

  if (!has_steps (provider))
    return;
  for (guint i = 0; i < 4; i++)
    {
      CommyEvidence evidence = bound_evidence (rand);
      gpointer session = begin (provider, &evidence, i % 2 == 0);
      Answer answer = { 0 };

      if (i >= 2)
        {
          g_autoptr (GBytes) noise = make_noise (rand);

          provider->ops->step (session, i % 2 == 0 ? noise : NULL, on_done, &answer);
        }
      answer.is_over = TRUE;
      provider->ops->end (session);
      free (session);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
}

/* Two at a time do not know of each other. */
static void
test_two_sessions (Provider *provider)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  CommyEvidence evidence = bound_evidence (rand);
  gpointer one, other;

  if (!has_steps (provider))
    return;
  one = begin (provider, &evidence, TRUE);
  other = begin (provider, &evidence, FALSE);
  provider->ops->end (one);
  free (one);
  provider->ops->end (other);
  free (other);
}

static void
run_case (gconstpointer data)
{
  const Case *test = data;
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, test->descriptor);
  g_autoptr (GError) error = NULL;
  Provider provider = { .ops = test->descriptor->ops };

  if (test->options != NULL)
    commy_conformance_prepare (test->options, host);
  provider.instance = commy_test_host_start (host, &error);
  g_assert_no_error (error);
  test->test (&provider);
  commy_test_host_stop (host);
  g_assert_cmpuint (commy_test_host_count_sources (host), ==, 0);
}

void
commy_auth_conformance_add (const CommyPluginDescriptor *descriptor,
                            const CommyConformanceOptions *options)
{
  static const struct
  {
    const char *name;
    void (*test) (Provider *provider);
  } cases[] = {
    { "nothing-is-no-proof", test_nothing_is_no_proof },
    { "evidence-of-an-unknown-kind-is-no-proof", test_unknown_evidence },
    { "broken-certificates-are-no-proof", test_broken_certificates },
    { "the-same-evidence-has-the-same-answer", test_same_answer },
    { "a-reason-keeps-to-its-room", test_little_room },
    { "own-name-is-a-name", test_own_name },
    { "noise-is-no-proof-in-any-step", test_noise },
    { "an-exchange-may-end-anywhere", test_early_end },
    { "sessions-do-not-know-of-each-other", test_two_sessions },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Case *test = g_new0 (Case, 1);
      g_autofree char *path = g_strdup_printf ("/auth/%s/%s", descriptor->note->id, cases[i].name);

      *test = (Case){ descriptor, options, cases[i].test };
      g_test_add_data_func_full (path, test, run_case, g_free);
    }
}
