/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Principals, and the policy as a matrix of questions and answers.
 */
#include "config.h"

#include "security/commy-policy.h"

#include <commy/commy-error.h>
#include <string.h>

#define OWN "unix:uid=1000"
#define OTHER "unix:uid=1001"
#define HOST "spiffe://dom/host/h1/user/ann"

static const char rules[] = "[policy readers]\n"
                            "principals=unix:uid=1001;spiffe://dom/host/*;\n"
                            "services=org.example.*;\n"
                            "methods=Get*;List;\n"
                            "effect=allow\n"
                            "[policy no-secrets]\n"
                            "principals=*;\n"
                            "services=org.example.Secret;\n"
                            "verbs=call;offer;\n"
                            "effect=deny\n"
                            "[policy ann]\n"
                            "principals=*/user/ann\n"
                            "services=org.example.Secret\n"
                            "methods=GetOne\n"
                            "effect=allow\n"
                            "[policy offers]\n"
                            "principals=" HOST "\n"
                            "services=org.example.B?\n"
                            "verbs=offer\n"
                            "effect=allow\n";

static const struct
{
  CommyVerb verb;
  const char *principal;
  const char *service;
  const char *method;
  gboolean allowed;
  const char *rule;
  const char *origin;
} matrix[] = {
  { COMMY_VERB_CALL, OWN, "org.example.A", "Set", TRUE, NULL, "default: own user" },
  { COMMY_VERB_CALL, OTHER, "org.example.A", "Set", FALSE, NULL, "default: other principal" },
  { COMMY_VERB_CALL, OTHER, "org.example.A", "GetX", TRUE, "readers", "p.conf:5" },
  { COMMY_VERB_CALL, OTHER, "org.example.A", "List", TRUE, "readers", "p.conf:5" },
  { COMMY_VERB_CALL, OTHER, "org.example.A", "list", FALSE, NULL, "default: other principal" },
  { COMMY_VERB_CALL, OTHER, "org.exampleXA", "List", FALSE, NULL, "default: other principal" },
  { COMMY_VERB_CALL, OTHER "0", "org.example.A", "List", FALSE, NULL, "default: other principal" },
  { COMMY_VERB_CALL, HOST, "org.example.A", "Get", TRUE, "readers", "p.conf:5" },
  { COMMY_VERB_CALL, OWN, "org.example.Secret", "GetOne", FALSE, "no-secrets", "p.conf:10" },
  { COMMY_VERB_CALL, HOST, "org.example.Secret", "GetOne", TRUE, "ann", "p.conf:15" },
  { COMMY_VERB_CALL, HOST, "org.example.Secret", "GetTwo", FALSE, "no-secrets", "p.conf:10" },
  { COMMY_VERB_OFFER, OWN, "org.example.A", NULL, TRUE, NULL, "default: own user" },
  { COMMY_VERB_OFFER, OWN, "org.example.Secret", NULL, FALSE, "no-secrets", "p.conf:10" },
  { COMMY_VERB_OFFER, OTHER, "org.example.A", NULL, FALSE, NULL, "default: other principal" },
  { COMMY_VERB_OFFER, HOST, "org.example.Bx", NULL, TRUE, "offers", "p.conf:20" },
  { COMMY_VERB_OFFER, HOST, "org.example.Bxx", NULL, FALSE, NULL, "default: other principal" },
  { COMMY_VERB_CALL, HOST, "org.example.Bx", "Nothing", FALSE, NULL, "default: other principal" },
  { COMMY_VERB_CALL, NULL, "org.example.A", "Get", FALSE, NULL, "default: name is no text" },
  { COMMY_VERB_CALL, OWN, NULL, "Get", FALSE, NULL, "default: name is no text" },
  { COMMY_VERB_CALL, OWN, "org.example.A", NULL, FALSE, NULL, "default: name is no text" },
  { COMMY_VERB_CALL, OWN, "org.example.A", "G\xff", FALSE, NULL, "default: name is no text" },
  { COMMY_VERB_CALL, "\xc3", "org.example.A", "G", FALSE, NULL, "default: name is no text" },
  { COMMY_VERB_CALL, "", "", "", FALSE, NULL, "default: other principal" },
};

static CommyPolicy *
compile (const char *text, GError **error)
{
  static const char *const own[] = { OWN, "spiffe://own/*", NULL };
  g_autoptr (CommyConfig) config = commy_config_load_text (text, strlen (text), "p.conf", error);

  return config != NULL ? commy_policy_compile (config, own, error) : NULL;
}

static void
test_matrix (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPolicy) policy = compile (rules, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < G_N_ELEMENTS (matrix); i++)
    {
      CommyPolicyVerdict verdict = commy_policy_decide (policy, matrix[i].verb, matrix[i].principal,
                                                        matrix[i].service, matrix[i].method);

      g_test_message ("case %" G_GSIZE_FORMAT, i);
      g_assert_cmpint (verdict.allowed, ==, matrix[i].allowed);
      g_assert_cmpstr (verdict.rule, ==, matrix[i].rule);
      g_assert_cmpstr (verdict.origin, ==, matrix[i].origin);
    }
}

static void
test_own (void)
{
  g_autoptr (CommyPolicy) policy = compile ("", NULL);
  g_autoptr (CommyPolicy) again = commy_policy_ref (policy);

  g_assert_true (commy_policy_decide (again, COMMY_VERB_CALL, OWN, "a", "b").allowed);
  /* Own names are exact: in a certificate '*' is only a character. */
  g_assert_true (commy_policy_decide (again, COMMY_VERB_CALL, "spiffe://own/*", "a", "b").allowed);
  g_assert_false (
      commy_policy_decide (again, COMMY_VERB_CALL, "spiffe://own/host/h", "a", "b").allowed);
  g_assert_false (commy_policy_decide (again, COMMY_VERB_CALL, HOST, "a", "b").allowed);
}

static void
test_nobody (void)
{
  g_autoptr (CommyConfig) config = commy_config_load_text ("", 0, "p.conf", NULL);
  g_autoptr (CommyPolicy) policy = commy_policy_compile (config, NULL, NULL);

  g_assert_false (commy_policy_decide (policy, COMMY_VERB_CALL, OWN, "a", "b").allowed);
}

static void
test_bad (void)
{
  static const struct
  {
    const char *text;
    const char *words;
  } cases[] = {
    { "[policy a]\nprincipals=*\n", "p.conf:1: [policy a] has no effect" },
    { "\n[policy a]\neffect=deny\n", "p.conf:2: [policy a] has no principals" },
    { "[policy a]\n", "p.conf:1: [policy a] has no principals" },
    { "[policy a]\nprincipals=\neffect=deny\n", "p.conf:2: [policy a] has no principals" },
    { "[policy a]\nprincipals=*\nservices=\neffect=allow\n",
      "p.conf:3: [policy a] has no services" },
    { "[policy a]\nprincipals=*\nverbs=\neffect=allow\n", "p.conf:3: [policy a] has no verbs" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (compile (cases[i].text, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
      g_assert_nonnull (strstr (error->message, cases[i].words));
    }
}

static void
test_principal (void)
{
  CommyPrincipal *principal = commy_principal_new (OWN, "kernel");
  CommyPrincipal *boxed = g_boxed_copy (COMMY_TYPE_PRINCIPAL, principal);

  g_assert_true (boxed == principal);
  commy_principal_unref (principal);
  g_assert_cmpstr (commy_principal_get_name (boxed), ==, OWN);
  g_assert_cmpstr (commy_principal_get_provider (boxed), ==, "kernel");
  g_boxed_free (COMMY_TYPE_PRINCIPAL, boxed);
  commy_principal_unref (NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy/last-match-wins", test_matrix);
  g_test_add_func ("/policy/own-user-is-allowed-by-default", test_own);
  g_test_add_func ("/policy/nobody-is-own-when-none-is-named", test_nobody);
  g_test_add_func ("/policy/incomplete-group-names-its-line", test_bad);
  g_test_add_func ("/principal/is-shared-by-reference", test_principal);
  return g_test_run ();
}
