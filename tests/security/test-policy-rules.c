/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Roles, conditions, verbs, trials and limits of the policy, each by what it allows and denies.
 */
#include "config.h"

#include "security/commy-policy-current.h"

#include <commy/commy-error.h>
#include <string.h>

#define OWN "unix:uid=1000"
#define ANN "spiffe://dom/host/h/user/ann"
#define BOB "spiffe://dom/host/h/user/bob"

/* 2026-11-22 is a Sunday. */
#define DAY_US(DAY) ((G_GINT64_CONSTANT (1795305600) + ((DAY) -22) * 86400) * G_USEC_PER_SEC)
#define AT(DAY, HOUR, MINUTE) \
  (DAY_US (DAY) + ((HOUR) *60 + (MINUTE)) * 60 * (gint64) G_USEC_PER_SEC)

static CommyPolicy *
try_compile (const char *text, GError **error)
{
  static const char *const own[] = { OWN, NULL };
  g_autoptr (CommyConfig) config = commy_config_load_text (text, strlen (text), "p.conf", error);

  return config != NULL ? commy_policy_compile (config, own, error) : NULL;
}

static CommyPolicy *
compile (const char *text)
{
  g_autoptr (GError) error = NULL;
  CommyPolicy *policy = try_compile (text, &error);

  g_assert_no_error (error);
  return policy;
}

static gboolean
may (CommyPolicy *policy, CommyVerb verb, const char *principal, const char *resource)
{
  return commy_policy_decide (policy, verb, principal, resource, "M").allowed;
}

/* --- roles --- */

static void
test_roles (void)
{
  g_autoptr (CommyPolicy) policy
      = compile ("[role reader]\nmembers=" BOB "\n"
                 "[role writer]\ninherits=reader\n"
                 "[role admin]\nmembers=" ANN "\ninherits=writer\n"
                 "[policy read]\nroles=reader\nservices=r\neffect=allow\n"
                 "[policy write]\nroles=writer\nservices=w\n"
                 "principals=unix:uid=7\neffect=allow\n"
                 "[policy admin]\nroles=admin\nservices=a\n"
                 "effect=allow\n");

  g_assert_true (may (policy, COMMY_VERB_CALL, BOB, "r"));
  g_assert_false (may (policy, COMMY_VERB_CALL, BOB, "w"));
  g_assert_false (may (policy, COMMY_VERB_CALL, BOB, "a"));
  g_assert_true (may (policy, COMMY_VERB_CALL, ANN, "r"));
  g_assert_true (may (policy, COMMY_VERB_CALL, ANN, "w"));
  g_assert_true (may (policy, COMMY_VERB_CALL, ANN, "a"));
  g_assert_true (may (policy, COMMY_VERB_CALL, "unix:uid=7", "w"));
  g_assert_false (may (policy, COMMY_VERB_CALL, "unix:uid=7", "r"));
}

static char *
chain (guint n)
{
  GString *text = g_string_new ("[role r0]\nmembers=" ANN "\n");

  for (guint i = 1; i <= n; i++)
    g_string_append_printf (text, "[role r%u]\ninherits=r%u\n", i, i - 1);
  return g_string_free (text, FALSE);
}

static void
expect_mistake (const char *text, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPolicy) policy = try_compile (text, &error);

  g_assert_null (policy);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_depth (void)
{
  g_autofree char *deepest = chain (COMMY_POLICY_DEPTH_MAX);
  g_autofree char *deeper = chain (COMMY_POLICY_DEPTH_MAX + 1);
  g_autoptr (CommyPolicy) policy = compile (deepest);

  g_assert_nonnull (policy);
  expect_mistake (deeper, "p.conf:20: [role r9] inherits over 9 roles");
}

static void
test_mistakes (void)
{
  static const struct
  {
    const char *text;
    const char *words;
  } cases[] = {
    { "[role a]\ninherits=b\n[role b]\ninherits=c\n[role c]\ninherits=d;b\n[role d]\n",
      "p.conf:6: [role c] roles inherit in a circle: b -> c -> b;" },
    { "[role a]\ninherits=a\n", "p.conf:2: [role a] roles inherit in a circle: a -> a;" },
    { "[role a]\ninherits=x\n", "p.conf:2: [role a] inherits \"x\", which is no role" },
    { "[policy a]\nroles=x\neffect=deny\n", "p.conf:2: [policy a] speaks of \"x\", which is no" },
    { "[policy a]\neffect=deny\n", "p.conf:1: [policy a] has no principals" },
    { "[policy a]\nprincipals=*\neffect=deny\nmin-security=mutual\n",
      "p.conf:4: [policy a] denies, and has a min-security" },
    { "[policy a]\nprincipals=*\neffect=deny\nhours=8-18\n",
      "p.conf:4: [policy a] hours: \"8-18\"" },
    { "[policy a]\nprincipals=*\neffect=deny\nhours=08:00-08:00\n", "p.conf:4" },
    { "[policy a]\nprincipals=*\neffect=deny\nhours=08:00-24:01\n", "p.conf:4" },
    { "[policy a]\nprincipals=*\neffect=deny\nhours=08:60-18:00\n", "p.conf:4" },
    { "[policy a]\nprincipals=*\neffect=deny\ndays=mon-xyz\n", "p.conf:4: [policy a] days:" },
    { "[policy a]\nprincipals=*\neffect=deny\nuntil=2026-13-01\n", "p.conf:4: [policy a] until:" },
    { "[policy a]\nprincipals=*\neffect=deny\nfrom=10.0.0.0/33\n", "p.conf:4: [policy a] from:" },
    { "[policy a]\nprincipals=*\neffect=deny\nfrom=fd00::/129\n", "p.conf:4" },
    { "[policy a]\nprincipals=*\neffect=deny\ngroups=dmz\n",
      "p.conf:4: [policy a] \"dmz\" is no group of networks" },
    { "[network-group dmz]\naddresses=nonsense\n"
      "[policy a]\nprincipals=*\neffect=deny\ngroups=dmz\n",
      "p.conf:2: [network-group dmz] addresses: \"nonsense\"" },
    { "[policy a]\nprincipals=*\nkeys=\neffect=deny\n", "p.conf:3: [policy a] has no keys" },
    /* What the verbs do not look at would let the rule be about everything. */
    { "[policy a]\nprincipals=*\ntopics=sensors.*\neffect=allow\n",
      "p.conf:3: [policy a] has topics, which none of its verbs looks at (verbs=call): add "
      "verbs=subscribe;publish" },
    { "[policy a]\nprincipals=*\nkeys=a/*\neffect=deny\n", "add verbs=read;write" },
    { "[policy a]\nprincipals=*\noperations=drain\neffect=deny\n", "add verbs=control" },
    { "[policy a]\nprincipals=*\nservices=a.b\nverbs=control;subscribe\neffect=allow\n",
      "p.conf:3: [policy a] has services" },
    { "[policy a]\nprincipals=*\nmethods=Get\nverbs=offer\neffect=allow\n",
      "p.conf:3: [policy a] has methods" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    expect_mistake (cases[i].text, cases[i].words);
}

static void
fill_tables (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (CommyPolicy) most = NULL;

  for (guint i = 0; i < COMMY_POLICY_RULES_MAX; i++)
    g_string_append_printf (text, "[policy p%u]\nprincipals=u%u\neffect=allow\n", i, i);
  most = compile (text->str);
  g_assert_true (may (most, COMMY_VERB_CALL, "u4095", "s"));
  g_assert_false (may (most, COMMY_VERB_CALL, "u4096", "s"));
  g_string_append (text, "[policy more]\nprincipals=*\neffect=allow\n");
  expect_mistake (text->str, "p.conf:12289: [policy more] is one rule too many: 4096 may be");
  g_string_truncate (text, 0);
  for (guint i = 0; i < COMMY_POLICY_ROLES_MAX; i++)
    g_string_append_printf (text, "[role r%u]\nmembers=m%u\n", i, i);
  g_string_append (text, "[policy p]\nroles=r1023\neffect=allow\n");
  g_clear_pointer (&most, commy_policy_unref);
  most = compile (text->str);
  g_assert_true (may (most, COMMY_VERB_CALL, "m1023", "s"));
  g_assert_false (may (most, COMMY_VERB_CALL, "m1022", "s"));
  g_string_append (text, "[role more]\n");
  expect_mistake (text->str, "[role more] is one role too many: 1024 may be");
  g_string_assign (text, "[policy p]\nprincipals=*\neffect=allow\nfrom=");
  for (guint i = 0; i <= COMMY_POLICY_NETWORKS_MAX; i++)
    g_string_append_printf (text, "10.0.%u.%u;", i / 256, i % 256);
  expect_mistake (text->str, "p.conf:4: [policy p] one rule has more than 1024 networks");
}

/* In a child: GLib gives up a table when it has so many names, which looks like a leak. */
static void
test_limits (void)
{
  g_autofree char *before = g_strdup (g_getenv ("ASAN_OPTIONS"));

  g_setenv ("ASAN_OPTIONS", "detect_leaks=0", TRUE);
  g_test_trap_subprocess ("/policy/tables-have-limits/subprocess", 0, 0);
  if (before != NULL)
    g_setenv ("ASAN_OPTIONS", before, TRUE);
  else
    g_unsetenv ("ASAN_OPTIONS");
  g_test_trap_assert_passed ();
}

/* --- verbs --- */

static void
test_verbs (void)
{
  g_autoptr (CommyPolicy) policy
      = compile ("[policy r]\nprincipals=" ANN "\nverbs=read\nkeys=shop/*\neffect=allow\n"
                 "[policy w]\nprincipals=" ANN "\nverbs=write\nkeys=shop/ann/*\neffect=allow\n"
                 "[policy c]\nprincipals=" ANN "\nverbs=control\noperations=dr*\neffect=allow\n"
                 "[policy t]\nprincipals=" ANN "\nverbs=subscribe\ntopics=news.*\neffect=allow\n");

  g_assert_true (may (policy, COMMY_VERB_READ, ANN, "shop/limit"));
  g_assert_false (may (policy, COMMY_VERB_WRITE, ANN, "shop/limit"));
  g_assert_true (may (policy, COMMY_VERB_WRITE, ANN, "shop/ann/limit"));
  g_assert_false (may (policy, COMMY_VERB_READ, ANN, "shops"));
  g_assert_false (may (policy, COMMY_VERB_READ, BOB, "shop/limit"));
  g_assert_true (may (policy, COMMY_VERB_CONTROL, ANN, "drain"));
  g_assert_false (may (policy, COMMY_VERB_CONTROL, ANN, "cordon"));
  g_assert_true (may (policy, COMMY_VERB_CONTROL, OWN, "cordon"));
  g_assert_true (may (policy, COMMY_VERB_CALL, ANN, "topic:news.a"));
  g_assert_false (may (policy, COMMY_VERB_OFFER, ANN, "topic:news.a"));
  g_assert_false (may (policy, COMMY_VERB_CALL, ANN, "news.a"));
  g_assert_true (commy_policy_is_about (policy, COMMY_VERB_WRITE));
  g_assert_false (commy_policy_is_about (policy, COMMY_VERB_OFFER));
}

/* --- conditions --- */

static CommyPolicyVerdict
ask_at (const char *conditions, const char *effect, gint64 wall_us, const CommyPolicyPath *path)
{
  g_autofree char *text
      = g_strdup_printf ("[policy p]\nprincipals=*\neffect=%s\n%s\n", effect, conditions);
  g_autoptr (CommyPolicy) policy = compile (text);
  const CommyPolicyRequest request = { .verb = COMMY_VERB_CALL,
                                       .principal = g_str_equal (effect, "deny") ? OWN : ANN,
                                       .resource = "s",
                                       .method = "m",
                                       .path = path,
                                       .wall_us = wall_us };

  return commy_policy_judge (policy, &request);
}

static gboolean
allows_at (const char *conditions, gint64 wall_us)
{
  return ask_at (conditions, "allow", wall_us, NULL).allowed;
}

static void
test_hours (void)
{
  g_assert_false (allows_at ("hours=08:00-18:00", AT (22, 7, 59)));
  g_assert_true (allows_at ("hours=08:00-18:00", AT (22, 8, 0)));
  g_assert_true (allows_at ("hours=08:00-18:00", AT (22, 17, 59)));
  g_assert_false (allows_at ("hours=08:00-18:00", AT (22, 18, 0)));
  g_assert_true (allows_at ("hours=22:00-06:00", AT (22, 23, 0)));
  g_assert_true (allows_at ("hours=22:00-06:00", AT (22, 5, 59)));
  g_assert_false (allows_at ("hours=22:00-06:00", AT (22, 6, 0)));
  g_assert_true (allows_at ("hours=18:00-24:00", AT (22, 23, 59)));
  g_assert_false (allows_at ("hours=18:00-24:00", AT (23, 0, 0)));
}

static void
test_days (void)
{
  g_assert_true (allows_at ("days=sun", AT (22, 12, 0)));
  g_assert_false (allows_at ("days=mon-sat", AT (22, 12, 0)));
  g_assert_true (allows_at ("days=mon-sat", AT (23, 12, 0)));
  g_assert_true (allows_at ("days=sat-mon", AT (22, 12, 0)));
  g_assert_false (allows_at ("days=tue;wed", AT (22, 12, 0)));
  /* A night belongs to the day on which it began. */
  g_assert_true (allows_at ("days=sat\nhours=22:00-06:00", AT (22, 3, 0)));
  g_assert_false (allows_at ("days=sat\nhours=22:00-06:00", AT (22, 23, 0)));
  g_assert_false (allows_at ("days=sun\nhours=22:00-06:00", AT (22, 3, 0)));
}

static void
test_until (void)
{
  g_assert_true (allows_at ("until=2026-11-22", AT (22, 23, 59)));
  g_assert_false (allows_at ("until=2026-11-22", AT (23, 0, 0)));
  g_assert_true (allows_at ("until=2026-11-22T12:00:00Z", AT (22, 11, 59)));
  g_assert_false (allows_at ("until=2026-11-22T12:00:00Z", AT (22, 12, 0)));
  g_assert_false (allows_at ("until=2026-11-22T12:00:00+02:00", AT (22, 10, 0)));
}

static void
test_holds_until (void)
{
  gint64 inside = AT (22, 17, 30) + 5 * G_USEC_PER_SEC + 7;

  g_assert_cmpint (ask_at ("", "allow", inside, NULL).until_us, ==, G_MAXINT64);
  g_assert_cmpint (ask_at ("hours=08:00-17:45", "allow", inside, NULL).until_us, ==,
                   AT (22, 17, 45));
  g_assert_cmpint (ask_at ("hours=17:40-18:45", "allow", inside, NULL).until_us, ==,
                   AT (22, 17, 40));
  /* Never beyond a full hour: clocks are put forward and back at one. */
  g_assert_cmpint (ask_at ("hours=08:00-20:45", "allow", inside, NULL).until_us, ==,
                   AT (22, 18, 0));
  g_assert_cmpint (ask_at ("until=2026-11-22T17:31:00Z", "allow", inside, NULL).until_us, ==,
                   AT (22, 17, 31));
  g_assert_cmpint (ask_at ("days=sun", "allow", AT (22, 23, 30), NULL).until_us, ==, AT (23, 0, 0));
}

/* At every minute of two days, what a decision says of how long it holds is true. */
static void
test_no_edge_is_missed (void)
{
  static const char *const conditions[]
      = { "hours=08:10-17:20", "hours=22:05-05:55\ndays=sun", "days=mon",
          "until=2026-11-23T03:33:00Z\nhours=01:00-24:00", "hours=00:00-23:59" };

  for (gsize i = 0; i < G_N_ELEMENTS (conditions); i++)
    {
      CommyPolicyVerdict kept = ask_at (conditions[i], "allow", AT (22, 0, 0), NULL);

      for (gint minute = 1; minute < 2 * 24 * 60; minute++)
        {
          gint64 now_us = AT (22, 0, minute);
          CommyPolicyVerdict fresh = ask_at (conditions[i], "allow", now_us, NULL);

          if (now_us >= kept.until_us)
            kept = fresh;
          g_assert_true (kept.allowed == fresh.allowed);
          g_assert_cmpint (fresh.until_us, >, now_us);
        }
    }
}

static CommyPolicyPath
path_from (const char *address, guint32 security)
{
  CommyPolicyPath path = { .where = COMMY_WHERE_ADDRESS, .security = security };

  if (g_str_equal (address, "local"))
    path.where = COMMY_WHERE_LOCAL;
  else
    g_assert_true (commy_network_parse_address (address, path.address));
  return path;
}

static gboolean
allows_from (const char *conditions, const char *address, guint32 security)
{
  CommyPolicyPath path = path_from (address, security);
  g_autofree char *all = g_strconcat ("groups=lab\n", conditions,
                                      "\n[network-group lab]\naddresses=local;0.0.0.0/0;"
                                      "::/0",
                                      NULL);

  return ask_at (all, "allow", 0, &path).allowed;
}

static void
test_where (void)
{
  const guint32 mutual = COMMY_SECURITY_MUTUAL;

  g_assert_true (allows_from ("from=10.1.0.0/16", "10.1.255.255", mutual));
  g_assert_false (allows_from ("from=10.1.0.0/16", "10.2.0.0", mutual));
  g_assert_true (allows_from ("from=10.1.0.0/17", "10.1.127.1", mutual));
  g_assert_false (allows_from ("from=10.1.0.0/17", "10.1.128.1", mutual));
  g_assert_true (allows_from ("from=10.1.2.3;fd00::/8", "fdff::1", mutual));
  g_assert_false (allows_from ("from=10.1.2.3;fd00::/8", "fe00::1", mutual));
  g_assert_true (allows_from ("from=10.1.2.3", "::ffff:10.1.2.3", mutual));
  g_assert_false (allows_from ("from=10.0.0.0/8", "local", mutual));
  g_assert_true (allows_from ("from=local", "local", mutual));
  g_assert_false (allows_from ("from=local", "127.0.0.1", mutual));
}

static void
test_groups (void)
{
  CommyPolicyPath inside = path_from ("192.168.7.7", COMMY_SECURITY_MUTUAL);
  CommyPolicyPath outside = path_from ("192.168.8.7", COMMY_SECURITY_MUTUAL);
  const char *both = "groups=office;lab\nfrom=192.168.0.0/16\n"
                     "[network-group office]\naddresses=10.0.0.0/8\n"
                     "[network-group lab]\naddresses=192.168.7.0/24";

  g_assert_true (ask_at (both, "allow", 0, &inside).allowed);
  g_assert_false (ask_at (both, "allow", 0, &outside).allowed);
  g_assert_false (ask_at (both, "allow", 0, NULL).allowed);
}

static void
test_floor (void)
{
  g_assert_true (allows_from ("min-security=confidential", "10.0.0.1", COMMY_SECURITY_MUTUAL));
  g_assert_true (
      allows_from ("min-security=confidential", "10.0.0.1", COMMY_SECURITY_CONFIDENTIAL));
  g_assert_false (
      allows_from ("min-security=confidential", "10.0.0.1", COMMY_SECURITY_AUTHENTICATED));
  g_assert_false (allows_from ("min-security=confidential", "local", COMMY_SECURITY_KERNEL));
  g_assert_false (allows_at ("min-security=kernel", AT (22, 0, 0)));
}

/* What is not known lets nothing through. */
static void
test_unknown (void)
{
  CommyPolicyPath nowhere = { .where = COMMY_WHERE_UNKNOWN, .security = COMMY_SECURITY_MUTUAL };
  CommyPolicyPath elsewhere = path_from ("192.168.0.1", COMMY_SECURITY_MUTUAL);

  g_assert_false (ask_at ("from=0.0.0.0/0", "allow", 0, &nowhere).allowed);
  g_assert_false (ask_at ("from=0.0.0.0/0", "deny", 0, &nowhere).allowed);
  g_assert_false (ask_at ("from=10.0.0.0/8", "deny", 0, NULL).allowed);
  g_assert_false (ask_at ("hours=00:00-24:00", "allow", 0, NULL).allowed);
  g_assert_false (ask_at ("hours=00:00-00:01", "deny", 0, NULL).allowed);
  /* But a condition that is known not to hold is. */
  g_assert_true (ask_at ("from=local\nhours=00:00-00:01", "deny", AT (22, 1, 0), NULL).allowed);
  g_assert_true (ask_at ("from=local\nhours=00:00-00:01", "deny", 0, &elsewhere).allowed);
}

/* --- trials --- */

static void
test_rule_on_trial (void)
{
  g_autoptr (CommyPolicy) policy
      = compile ("[policy all]\nprincipals=*\neffect=allow\n"
                 "[policy maybe]\nprincipals=" ANN "\neffect=deny\nmode=observe\n"
                 "[policy generous]\nprincipals=" BOB "\nservices=x\neffect=deny\n"
                 "[policy later]\nprincipals=" BOB "\neffect=allow\nmode=observe\n");
  CommyPolicyVerdict verdict = commy_policy_decide (policy, COMMY_VERB_CALL, ANN, "s", "m");

  g_assert_true (verdict.allowed);
  g_assert_cmpstr (verdict.rule, ==, "all");
  g_assert_cmpstr (verdict.trial, ==, "p.conf:6");
  verdict = commy_policy_decide (policy, COMMY_VERB_CALL, OWN, "s", "m");
  g_assert_null (verdict.trial);
  /* One that would allow does not. */
  verdict = commy_policy_decide (policy, COMMY_VERB_CALL, BOB, "x", "m");
  g_assert_false (verdict.allowed);
  g_assert_cmpstr (verdict.rule, ==, "generous");
}

static void
test_all_on_trial (void)
{
  g_autoptr (CommyPolicy) policy
      = compile ("[security]\npolicy-mode=observe\n"
                 "[policy no]\nprincipals=*\nverbs=call;offer;control;write;read\neffect=deny\n");
  CommyPolicyVerdict verdict = commy_policy_decide (policy, COMMY_VERB_CALL, ANN, "s", "m");

  g_assert_true (verdict.allowed);
  g_assert_cmpstr (verdict.trial, ==, "p.conf:6");
  g_assert_true (may (policy, COMMY_VERB_READ, ANN, "k"));
  g_assert_true (may (policy, COMMY_VERB_OFFER, OWN, "s"));
  g_assert_true (may (policy, COMMY_VERB_CONTROL, OWN, "drain"));
  g_assert_true (commy_policy_may_call_any (policy, ANN, "s"));
  /* A trial gives no stranger what only one's own user had; what is no name stays out. */
  g_assert_false (may (policy, COMMY_VERB_OFFER, ANN, "s"));
  g_assert_false (may (policy, COMMY_VERB_OFFER, ANN, "topic:s"));
  g_assert_false (may (policy, COMMY_VERB_WRITE, ANN, "k"));
  g_assert_false (may (policy, COMMY_VERB_CONTROL, ANN, "drain"));
  g_assert_false (may (policy, COMMY_VERB_CALL, "\xff", "s"));
}

static void
test_told_once (void)
{
  CommyPolicyCurrent *current = commy_policy_current_new (compile (""));
  const gint64 minute_ns = 60 * G_GINT64_CONSTANT (1000000000);

  g_test_expect_message ("Commy", G_LOG_LEVEL_MESSAGE, "*u would be denied s (p.conf:1)");
  commy_policy_current_tell_trial (current, 1, "u", "s", "p.conf:1");
  commy_policy_current_tell_trial (current, minute_ns, "u", "s", "p.conf:1");
  g_test_assert_expected_messages ();
  g_test_expect_message ("Commy", G_LOG_LEVEL_MESSAGE, "*u would be denied t*");
  commy_policy_current_tell_trial (current, minute_ns, "u", "t", "p.conf:1");
  g_test_expect_message ("Commy", G_LOG_LEVEL_MESSAGE, "*u would be denied s*");
  commy_policy_current_tell_trial (current, minute_ns + 1, "u", "s", "p.conf:1");
  g_test_assert_expected_messages ();
  commy_policy_current_free (current);
}

/* --- the one in force --- */

static void
test_epochs (void)
{
  CommyPolicyCurrent *current = commy_policy_current_new (compile (""));
  guint32 first, second;
  g_autoptr (CommyPolicy) before = commy_policy_current_dup (current, &first);
  g_autoptr (CommyPolicy) after = NULL;

  g_assert_cmpuint (first, !=, 0);
  commy_policy_current_replace (current, compile ("[policy p]\nprincipals=*\neffect=allow\n"));
  g_assert_cmpuint (commy_policy_current_get_epoch (current), !=, first);
  after = commy_policy_current_dup (current, &second);
  g_assert_cmpuint (second, ==, commy_policy_current_get_epoch (current));
  /* Who holds the old one still can ask it. */
  g_assert_false (may (before, COMMY_VERB_CALL, ANN, "s"));
  g_assert_true (may (after, COMMY_VERB_CALL, ANN, "s"));
  commy_policy_current_free (current);
}

/* --- for people --- */

static void
test_explained (void)
{
  g_autoptr (CommyPolicy) policy
      = compile ("[role staff]\nmembers=" ANN "\n"
                 "[policy base]\nroles=staff\neffect=allow\n"
                 "[policy night]\nroles=staff\neffect=deny\nhours=22:00-06:00\n"
                 "[policy other]\nprincipals=" ANN "\nservices=x\neffect=deny\n");
  const CommyPolicyRequest request = { .verb = COMMY_VERB_CALL,
                                       .principal = ANN,
                                       .resource = "s",
                                       .method = "m",
                                       .wall_us = AT (22, 12, 0) };
  g_autoptr (GVariant) record
      = g_variant_ref_sink (commy_policy_explain (policy, &request, &(CommyPolicyWanted){ NULL }));
  g_autofree char *text = g_variant_print (record, FALSE);

  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, "'allowed': <true>"));
  g_assert_nonnull (strstr (text, "'rule': <'base'>"));
  g_assert_nonnull (strstr (text, "'roles': <['staff']>"));
  g_assert_nonnull (strstr (text, "is about other services"));
  g_assert_nonnull (strstr (text, "hours=22:00-06:00 does not hold"));
}

static void
test_requests_are_read (void)
{
  static const struct
  {
    const char *verb, *resource;
    gboolean ok;
  } cases[] = {
    { "call", "a.b/M", TRUE },      { "call", "a.b", FALSE },  { "call", "topic:a", FALSE },
    { "call", "/M", FALSE },        { "offer", "a.b", TRUE },  { "offer", "a.b/M", FALSE },
    { "publish", "topic:a", TRUE }, { "publish", "a", FALSE }, { "subscribe", "topic:a", TRUE },
    { "read", "key:a/b", TRUE },    { "write", "a/b", FALSE }, { "control", "control:drain", TRUE },
    { "control", "drain", FALSE },  { "fly", "a", FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      CommyPolicyRequest request = { 0 };
      g_autofree char *service = NULL;
      g_autoptr (GError) error = NULL;
      gboolean ok = commy_policy_request_read (cases[i].verb, cases[i].resource, &request, &service,
                                               &error);

      g_test_message ("%s %s", cases[i].verb, cases[i].resource);
      g_assert_true (ok == cases[i].ok);
      g_assert_true (ok == (error == NULL));
    }
}

int
main (int argc, char **argv)
{
  g_setenv ("TZ", "UTC", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy/roles-have-what-they-inherit", test_roles);
  g_test_add_func ("/policy/roles-inherit-no-deeper-than-eight", test_depth);
  /* attack: a role that inherits itself; defence: told with the circle and the line */
  g_test_add_func ("/policy/mistakes-name-their-line", test_mistakes);
  g_test_add_func ("/policy/tables-have-limits", test_limits);
  g_test_add_func ("/policy/tables-have-limits/subprocess", fill_tables);
  g_test_add_func ("/policy/verbs-are-about-things-of-their-own", test_verbs);
  g_test_add_func ("/policy/condition/hours-may-pass-midnight", test_hours);
  g_test_add_func ("/policy/condition/days", test_days);
  g_test_add_func ("/policy/condition/until-a-day-is-its-end", test_until);
  g_test_add_func ("/policy/condition/says-how-long-it-holds", test_holds_until);
  g_test_add_func ("/policy/condition/no-edge-is-missed", test_no_edge_is_missed);
  g_test_add_func ("/policy/condition/from-a-network", test_where);
  g_test_add_func ("/policy/condition/groups-and-from-must-both-hold", test_groups);
  g_test_add_func ("/policy/condition/floor-of-security", test_floor);
  /* attack: have a condition not be known; defence: what is not known allows nothing and denies */
  g_test_add_func ("/policy/condition/unknown-lets-nothing-through", test_unknown);
  g_test_add_func ("/policy/trial/a-rule-decides-nothing", test_rule_on_trial);
  g_test_add_func ("/policy/trial/all-of-it", test_all_on_trial);
  g_test_add_func ("/policy/trial/is-told-once-a-minute", test_told_once);
  g_test_add_func ("/policy/replaced-as-a-whole", test_epochs);
  g_test_add_func ("/policy/explained-rule-by-rule", test_explained);
  g_test_add_func ("/policy/questions-are-read-or-refused", test_requests_are_read);
  return g_test_run ();
}
