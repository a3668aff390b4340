/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a keyfile of policy: either a policy, or an error that names its place. A policy
 * answers questions that are made of its own words, always alike, explains them as it decides them,
 * and with one more rule that denies all allows nothing.
 */
#include "config.h"

#include "security/commy-policy.h"

#include <commy/commy-error.h>
#include <stdint.h>
#include <string.h>

#define QUESTIONS 42u /* each kind over each path, of oneself and of others */
#define DENY_ALL                                          \
  "\n[policy no one at all]\nprincipals=*\neffect=deny\n" \
  "verbs=call;offer;subscribe;publish;read;write;control\n"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static CommyPolicy *
compile (const char *text, gsize size)
{
  static const char *const own[] = { "unix:uid=0", NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = commy_config_load_text (text, size, "fuzz", &error);
  CommyPolicy *policy = config != NULL ? commy_policy_compile (config, own, &error) : NULL;

  g_assert_true ((policy != NULL) == (error == NULL));
  if (error == NULL)
    return policy;
  g_assert_true (error->domain == COMMY_ERROR);
  g_assert_nonnull (strstr (error->message, "fuzz"));
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  return NULL;
}

static void
ask (CommyPolicy *policy, CommyPolicy *strict, const CommyPolicyRequest *request)
{
  CommyPolicyVerdict verdict = commy_policy_judge (policy, request);
  CommyPolicyVerdict again = commy_policy_judge (policy, request);
  g_autoptr (GVariant) record = g_variant_ref_sink (
      commy_policy_explain (policy, request, &(CommyPolicyWanted){ .why_not = TRUE }));
  gboolean allowed = FALSE;

  g_assert_true (verdict.allowed == again.allowed && verdict.until_us == again.until_us);
  g_assert_nonnull (verdict.origin);
  g_assert_true (verdict.until_us > request->wall_us);
  g_variant_lookup (record, "allowed", "b", &allowed);
  g_assert_true (allowed == verdict.allowed);
  if (strict != NULL && commy_policy_judge (strict, request).trial == NULL)
    g_assert_false (commy_policy_judge (strict, request).allowed);
}

static void
ask_all (CommyPolicy *policy, CommyPolicy *strict, char **words)
{
  static const struct
  {
    CommyVerb verb;
    const char *prefix;
  } kinds[] = {
    { COMMY_VERB_CALL, "" },  { COMMY_VERB_CALL, "topic:" },  /* subscribe */
    { COMMY_VERB_OFFER, "" }, { COMMY_VERB_OFFER, "topic:" }, /* publish */
    { COMMY_VERB_READ, "" },  { COMMY_VERB_WRITE, "" },       { COMMY_VERB_CONTROL, "" },
  };
  CommyPolicyPath paths[] = {
    { .where = COMMY_WHERE_LOCAL, .security = COMMY_SECURITY_KERNEL },
    { .where = COMMY_WHERE_ADDRESS, .security = COMMY_SECURITY_MUTUAL },
  };
  guint n = g_strv_length (words);

  for (guint i = 0; i < QUESTIONS && n > 0; i++)
    {
      const char *word = words[(i * 7 + 1) % n];
      g_autofree char *resource = g_strconcat (kinds[i % G_N_ELEMENTS (kinds)].prefix, word, NULL);
      CommyPolicyRequest request = { .verb = kinds[i % G_N_ELEMENTS (kinds)].verb,
                                     .principal = words[i % n],
                                     .resource = resource,
                                     .method = words[(i * 3 + 2) % n],
                                     .own = i % 2 == 0,
                                     .path = i % 3 == 0 ? NULL : &paths[i % 3 - 1],
                                     .wall_us = (gint64) i * 7919 * 3600 * G_USEC_PER_SEC };

      memset (paths[1].address, (int) (i * 17), sizeof paths[1].address);
      ask (policy, strict, &request);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup (size > 0 ? (const char *) data : "", size);
  g_autofree char *stricter = g_strconcat (text, DENY_ALL, NULL);
  g_autoptr (CommyPolicy) policy = compile ((const char *) data, size);
  g_autoptr (CommyPolicy) strict = NULL;
  g_auto (GStrv) words = NULL;

  if (policy == NULL)
    return 0;
  if (strlen (text) == size)
    strict = compile (stricter, strlen (stricter));
  words = g_strsplit_set (text, "=;\n", 256);
  ask_all (policy, strict, words);
  return 0;
}
