/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules about what a caller proved besides its name: scopes and claims of tokens.
 */
#include "config.h"

#include "security/commy-policy.h"

#include "base/commy-error-private.h"

#include <string.h>

#define OWN "unix:uid=1000"
#define ANN "token:ann"

static CommyPolicy *
compile (const char *text, GError **error)
{
  static const char *const own[] = { OWN, NULL };
  g_autoptr (CommyConfig) config = commy_config_load_text (text, strlen (text), "p.conf", error);

  return config != NULL ? commy_policy_compile (config, own, error) : NULL;
}

/* @attributes: with spaces between; NULL: not known. */
static CommyPolicyVerdict
judge (CommyPolicy *policy, const char *principal, const char *attributes)
{
  g_auto (GStrv) all = attributes != NULL ? g_strsplit (attributes, " ", -1) : NULL;
  const CommyPolicyRequest request = { .verb = COMMY_VERB_CALL,
                                       .principal = principal,
                                       .resource = "s",
                                       .method = "m",
                                       .attributes = (const char *const *) all };

  return commy_policy_judge (policy, &request);
}

static gboolean
may (const char *rules, const char *principal, const char *attributes)
{
  g_autoptr (GError) error = NULL;
  CommyPolicy *policy = compile (rules, &error);
  gboolean allowed;

  g_assert_no_error (error);
  allowed = judge (policy, principal, attributes).allowed;
  commy_policy_unref (policy);
  return allowed;
}

#define ALLOW "[policy p]\nprincipals=token:*\neffect=allow\n"

static void
test_each (void)
{
  const char *two = ALLOW "attributes=scope=deploy;claim:team=pay*\n";

  g_assert_true (may (ALLOW "attributes=scope=deploy\n", ANN, "scope=read scope=deploy"));
  g_assert_false (may (ALLOW "attributes=scope=deploy\n", ANN, "scope=deploys scope=deplo"));
  g_assert_false (may (ALLOW "attributes=scope=deploy\n", ANN, ""));
  g_assert_true (may (two, ANN, "claim:team=payments scope=deploy"));
  g_assert_false (may (two, ANN, "scope=deploy claim:team=ops"));
  g_assert_false (may (two, ANN, "claim:team=payments"));
  g_assert_false (may (two, "token-x", "claim:team=payments scope=deploy"));
  g_assert_true (may (ALLOW "attributes=scope=deploy;scope=deploy;\n", ANN, "scope=deploy"));
  /* A pattern does not reach into another attribute, and a name is none. */
  g_assert_false (may (ALLOW "attributes=token:ann\n", ANN, "scope=deploy"));
  g_assert_false (may (ALLOW "attributes=scope=a*b\n", ANN, "scope=a scope=b"));
}

/* Its word is nobody's: bytes that are no text fit nothing, not even what fits all. */
static void
test_no_text (void)
{
  g_assert_true (may (ALLOW "attributes=*\n", ANN, "x"));
  g_assert_false (may (ALLOW "attributes=*\n", ANN, "\xff\xfe"));
}

#define DENY "[policy p]\nprincipals=*\neffect=deny\n"

/* What is not there does not let a rule speak, of either kind; what nobody knows lets it deny. */
static void
test_not_there (void)
{
  g_assert_false (may (DENY "attributes=claim:state=suspended\n", OWN, "claim:state=suspended"));
  g_assert_true (may (DENY "attributes=claim:state=suspended\n", OWN, "claim:state=well"));
  g_assert_true (may (DENY "attributes=claim:state=suspended\n", OWN, ""));
  g_assert_false (may (DENY "attributes=claim:state=suspended\n", OWN, NULL));
  g_assert_false (may (ALLOW "attributes=scope=deploy\n", ANN, NULL));
  /* And a no is a no, whatever else is not known. */
  g_assert_true (may (DENY "attributes=claim:a=b\nhours=08:00-18:00\n", OWN, ""));
  g_assert_true (may (DENY "attributes=claim:a=b\nfrom=local\nuntil=2001-01-01\n", OWN, ""));
  g_assert_false (may (DENY "attributes=claim:a=b\nhours=08:00-18:00\n", OWN, "claim:a=b"));
  g_assert_false (may (ALLOW "attributes=scope=a\nhours=08:00-18:00\n", ANN, "scope=a"));
}

/* Other conditions still count where attributes are there, and say how long the answer holds. */
static void
test_with_others (void)
{
  g_autoptr (GError) error = NULL;
  CommyPolicy *policy = compile (ALLOW "attributes=scope=a\nuntil=2026-12-31T00:00:00Z\n", &error);
  const char *const has[] = { "scope=a", NULL };
  const char *const has_not[] = { NULL };
  CommyPolicyRequest request = { .verb = COMMY_VERB_CALL,
                                 .principal = ANN,
                                 .resource = "s",
                                 .method = "m",
                                 .attributes = has,
                                 .wall_us = 1 };

  g_assert_no_error (error);
  g_assert_true (commy_policy_judge (policy, &request).allowed);
  g_assert_cmpint (commy_policy_judge (policy, &request).until_us, <, G_MAXINT64);
  request.attributes = has_not;
  g_assert_false (commy_policy_judge (policy, &request).allowed);
  g_assert_cmpint (commy_policy_judge (policy, &request).until_us, ==, G_MAXINT64);
  commy_policy_unref (policy);
}

/* Of more rules than a word has bits each finds its own, whatever stands before and behind it. */
static void
test_many (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  CommyPolicy *policy;

  for (guint i = 0; i < 200; i++)
    g_string_append_printf (text,
                            "[policy p%u]\nprincipals=token:*\neffect=%s\n"
                            "attributes=scope=s%u;scope=common\n",
                            i, i % 2 == 0 ? "allow" : "deny", i);
  policy = compile (text->str, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *both = g_strdup_printf ("scope=common scope=s%u", i);
      g_autofree char *one = g_strdup_printf ("scope=s%u", i);
      g_autofree char *rule = g_strdup_printf ("p%u", i);
      CommyPolicyVerdict verdict = judge (policy, ANN, both);

      g_assert_cmpstr (verdict.rule, ==, rule);
      g_assert_true (verdict.allowed == (i % 2 == 0));
      g_assert_null (judge (policy, ANN, one).rule);
    }
  /* The last one wins, as ever. */
  g_assert_cmpstr (judge (policy, ANN, "scope=s7 scope=s100 scope=common scope=s9").rule, ==,
                   "p100");
  commy_policy_unref (policy);
}

static void
test_limit (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  CommyPolicy *policy;

  for (guint i = 0; i < 5; i++)
    {
      g_string_append_printf (text, "\n[policy p%u]\nprincipals=*\neffect=allow\nattributes=", i);
      for (guint k = 0; k < 1000 && i * 1000 + k <= COMMY_POLICY_ATTRIBUTES_MAX; k++)
        g_string_append_printf (text, "scope=s%u;", i * 1000 + k);
    }
  policy = compile (text->str, &error);
  g_assert_null (policy);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
  g_assert_nonnull (strstr (error->message, "p.conf:"));
  g_assert_nonnull (strstr (error->message, "one attribute too many"));
  /* The same one again takes no room. */
  g_string_truncate (text, text->len - strlen ("scope=s4096;"));
  g_string_append (text, "scope=s1;");
  g_clear_error (&error);
  policy = compile (text->str, &error);
  g_assert_no_error (error);
  commy_policy_unref (policy);
}

static void
test_told (void)
{
  g_autoptr (GError) error = NULL;
  CommyPolicy *policy = compile (ALLOW "attributes=scope=deploy;claim:team=*\n", &error);
  const char *const has[] = { "scope=deploy", NULL };
  CommyPolicyRequest request = {
    .verb = COMMY_VERB_CALL, .principal = ANN, .resource = "s", .method = "m", .attributes = has
  };
  const CommyPolicyWanted wanted = { .why_not = TRUE };
  g_autoptr (GVariant) record
      = g_variant_ref_sink (commy_policy_explain (policy, &request, &wanted));
  g_autofree char *text = g_variant_print (record, FALSE);
  g_autoptr (GVariant) rules = g_variant_ref_sink (commy_policy_list (policy));
  g_autofree char *list = g_variant_print (rules, FALSE);
  g_autoptr (GVariant) unknown = NULL;
  g_autofree char *other = NULL;

  g_assert_no_error (error);
  g_test_message ("%s %s", text, list);
  g_assert_nonnull (strstr (text, "attributes=scope=deploy;claim:team=* does not hold"));
  g_assert_nonnull (strstr (text, "'condition': <'attribute'>"));
  g_assert_nonnull (strstr (text, "with claim:team=*'>"));
  g_assert_nonnull (strstr (list, "'limits': <'attributes=scope=deploy;claim:team=*'>"));
  request.attributes = NULL;
  unknown = g_variant_ref_sink (commy_policy_explain (policy, &request, &wanted));
  other = g_variant_print (unknown, FALSE);
  g_assert_nonnull (strstr (other, "not known here: say --attribute"));
  commy_policy_unref (policy);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy/attributes/each-has-to-be-there", test_each);
  /* attack: prove something that is no text, so that a pattern slips; defence: it fits nothing */
  g_test_add_func ("/policy/attributes/what-is-no-text-fits-nothing", test_no_text);
  /* attack: show a token without the scope that a rule asks for; defence: what is not there fits
   * nothing, and what is not known allows nothing */
  g_test_add_func ("/policy/attributes/what-is-not-there-fits-nothing", test_not_there);
  g_test_add_func ("/policy/attributes/with-other-conditions", test_with_others);
  g_test_add_func ("/policy/attributes/the-last-that-fits-wins", test_many);
  g_test_add_func ("/policy/attributes/have-a-limit", test_limit);
  g_test_add_func ("/policy/attributes/are-told", test_told);
  return g_test_run ();
}
