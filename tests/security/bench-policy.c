/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What asking the policy costs, in ns: of a call whose method was decided before, which is what
 * every call pays, and of a decision that nobody has kept, with 1,000 rules. Medians of batches.
 */
#include "config.h"

#include "channel/commy-channel-rights.h"

#include <string.h>
#include <time.h>

#define RULES 1000
#define BATCH 1000
#define BATCHES 301

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static void
tell (const char *name, double *ns, guint n)
{
  qsort (ns, n, sizeof *ns, compare);
  g_print ("%-28s p50 %7.1f ns   p99 %7.1f ns\n", name, ns[n / 2], ns[n * 99 / 100]);
}

static CommyPolicy *
compile (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = commy_config_load_text (text, strlen (text), "p.conf", &error);
  CommyPolicy *policy = config != NULL ? commy_policy_compile (config, NULL, &error) : NULL;

  g_assert_no_error (error);
  return policy;
}

/* --- kept --- */

static void
measure_kept (const char *name, const char *condition, guint batches)
{
  g_autofree char *text
      = g_strdup_printf ("[policy p]\nprincipals=*\neffect=allow\n%s\n", condition);
  CommyPolicyCurrent *current = commy_policy_current_new (compile (text));
  g_autofree double *ns = g_new (double, batches);
  const CommyChannelShared shared = { .env = commy_env_system (), .policy = current };
  g_autofree CommyChannel *channel = g_new0 (CommyChannel, 1);
  CommyIncomingMethod method = { .name = (char *) "Get" };
  guint allowed = 0;

  channel->shared = &shared;
  channel->service = (char *) "org.example.Shop";
  channel->peer = commy_principal_new ("unix:uid=1", "bench");
  channel->methods_in = g_array_new (FALSE, TRUE, sizeof (CommyIncomingMethod));
  commy_channel_rights_init (channel);
  commy_channel_judge_method (channel, &method);
  for (guint i = 0; i < 64; i++)
    g_array_append_val (channel->methods_in, method);
  for (guint i = 0; i < batches; i++)
    {
      gint64 start = now_ns ();

      for (guint32 n = 0; n < BATCH; n++)
        allowed += commy_channel_permit (channel, 1 + n % 64)->allowed ? 1 : 0;
      ns[i] = (double) (now_ns () - start) / BATCH;
    }
  g_assert_cmpuint (allowed, ==, batches * BATCH);
  tell (name, ns, batches);
  commy_channel_rights_clear (channel);
  g_array_unref (channel->methods_in);
  commy_principal_unref (channel->peer);
  commy_policy_current_free (current);
}

/* --- not kept --- */

/* @form: of a rule, with its number three times. */
static char *
make_rules (const char *head, const char *form)
{
  GString *text = g_string_new (head);

  for (guint i = 0; i < RULES; i++)
    {
      g_auto (GStrv) parts = g_strsplit (form, "#", -1);
      g_autofree char *number = g_strdup_printf ("%u", i);
      g_autofree char *rule = g_strjoinv (number, parts);

      g_string_append (text, rule);
    }
  return g_string_free (text, FALSE);
}

static void
measure_fresh (const char *name, const char *head, const char *form, guint batches)
{
  g_autofree char *text = make_rules (head, form);
  g_autoptr (CommyPolicy) policy = compile (text);
  g_autofree double *ns = g_new (double, batches);
  g_auto (GStrv) principals = g_new0 (char *, RULES + 1);
  g_auto (GStrv) services = g_new0 (char *, RULES + 1);
  g_auto (GStrv) scopes = g_new0 (char *, RULES + 1);
  static const char *attributes[RULES][4];
  guint allowed = 0;

  for (guint i = 0; i < RULES; i++)
    {
      principals[i] = g_strdup_printf ("spiffe://mesh-0123abcd/host/h%u/user/u%u", i, i);
      services[i] = g_strdup_printf ("org.example.shop%u.Orders", i);
      scopes[i] = g_strdup_printf ("scope=s%u", i);
      attributes[i][0] = "token-id=0123456789abcdef";
      attributes[i][1] = scopes[i];
      attributes[i][2] = "claim:team=payments";
    }
  for (guint i = 0; i < batches; i++)
    {
      gint64 start = now_ns ();

      for (guint n = 0; n < BATCH; n++)
        {
          const CommyPolicyRequest request = { .verb = COMMY_VERB_CALL,
                                               .principal = principals[n % RULES],
                                               .resource = services[n % RULES],
                                               .method = "GetOne",
                                               .attributes = attributes[n % RULES],
                                               .wall_us = 1 };

          allowed += commy_policy_judge (policy, &request).allowed ? 1 : 0;
        }
      ns[i] = (double) (now_ns () - start) / BATCH;
    }
  g_assert_cmpuint (allowed, ==, batches * BATCH);
  tell (name, ns, batches);
}

int
main (int argc, char **argv)
{
  guint batches = argc > 1 && strcmp (argv[1], "--smoke") == 0 ? 3 : BATCHES;

  measure_kept ("kept", "", batches);
  measure_kept ("kept, with hours", "hours=00:00-24:00", batches);
  measure_fresh ("1000 rules, names", "",
                 "[policy p#]\nprincipals=spiffe://mesh-0123abcd/host/h#/user/u#\n"
                 "services=org.example.shop#.Orders\nmethods=GetOne;List\neffect=allow\n",
                 batches);
  measure_fresh ("1000 rules, patterns", "",
                 "[policy p#]\nprincipals=*/user/u#\nservices=org.example.shop#.*\n"
                 "methods=Get*\neffect=allow\n",
                 batches);
  measure_fresh ("1000 rules, roles", "[role all]\nmembers=spiffe://mesh-0123abcd/*\n",
                 "[policy p#]\nroles=all\nservices=org.example.shop#.*\nmethods=Get*\n"
                 "effect=allow\n",
                 batches);
  measure_fresh ("1000 rules, attributes", "",
                 "[policy p#]\nprincipals=*\nservices=*\nattributes=scope=s#;claim:team=*\n"
                 "effect=allow\n",
                 batches);
  measure_fresh ("1000 rules, all fit", "", "[policy p#]\nprincipals=*\nservices=*\neffect=allow\n",
                 batches);
  return 0;
}
