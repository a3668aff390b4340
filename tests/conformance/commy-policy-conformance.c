/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite of policy engines: see the header.
 */
#include "config.h"

#include "commy-policy-conformance.h"

#include <string.h>

#define MANY 32u
#define PATIENCE_S 30

typedef struct
{
  CommyTestHost *host;
  GMainContext *context;
  const CommyPolicyEngineOps *ops;
  gpointer instance;
} Scene;

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  const CommyConformanceOptions *options;
  void (*test) (Scene *scene);
} Case;

typedef struct
{
  gpointer memory;
  guint n_done;
  CommyPolicyAnswer answer;
} Decision;

static void
on_done (gpointer user_data, CommyPolicyAnswer answer, const char *reason)
{
  Decision *decision = user_data;

  decision->n_done++;
  decision->answer = answer;
  g_assert_cmpint (answer, >=, COMMY_POLICY_ALLOWED);
  g_assert_cmpint (answer, <=, COMMY_POLICY_UNABLE);
  g_assert_true (reason == NULL || g_utf8_validate (reason, -1, NULL));
  g_clear_pointer (&decision->memory, g_free); /* as the core does */
}

static void
begin_as (Scene *scene, Decision *decision, const char *principal, const char *method)
{
  const CommyPolicyQuery query = { .struct_size = sizeof query,
                                   .principal = principal,
                                   .verb = "call",
                                   .service = "org.example.Test",
                                   .method = method,
                                   .where = "network",
                                   .address = "fd00::1",
                                   .security = COMMY_SECURITY_MUTUAL };

  *decision = (Decision){ .memory = g_malloc0 (MAX (scene->ops->decision_size, 1)) };
  scene->ops->decide (scene->instance, decision->memory, &query, on_done, decision);
}

static void
cancel (Scene *scene, Decision *decision)
{
  if (decision->n_done > 0)
    return;
  scene->ops->cancel (decision->memory);
  g_clear_pointer (&decision->memory, g_free);
}

static gboolean
on_too_late (gpointer unused)
{
  g_error ("no answer in %d s", PATIENCE_S);
  return G_SOURCE_REMOVE;
}

static void
await (Scene *scene, const Decision *decision)
{
  g_autoptr (GSource) late = g_timeout_source_new_seconds (PATIENCE_S);

  g_source_set_callback (late, on_too_late, NULL, NULL);
  g_source_attach (late, scene->context);
  while (decision->n_done == 0)
    g_main_context_iteration (scene->context, TRUE);
  g_source_destroy (late);
}

/* --- rules --- */

static void
test_ends_once (Scene *scene)
{
  Decision decisions[MANY];

  for (guint i = 0; i < MANY; i++)
    begin_as (scene, &decisions[i], "unix:uid=7", "Get");
  for (guint i = 0; i < MANY; i++)
    await (scene, &decisions[i]);
  for (guint i = 0; i < MANY; i++)
    g_assert_cmpuint (decisions[i].n_done, ==, 1);
}

static void
test_cancelled (Scene *scene)
{
  Decision decisions[MANY];
  Decision last;

  for (guint i = 0; i < MANY; i++)
    {
      begin_as (scene, &decisions[i], "unix:uid=7", "Get");
      if (i % 2 == 0)
        g_main_context_iteration (scene->context, FALSE);
      cancel (scene, &decisions[i]);
    }
  begin_as (scene, &last, "unix:uid=7", "Get");
  await (scene, &last);
  for (guint i = 0; i < MANY; i++)
    g_assert_cmpuint (decisions[i].n_done, <=, 1);
}

/* Names are whatever the other side likes. */
static void
test_any_text (Scene *scene)
{
  static const char *const texts[]
      = { "", "\"\\\"", "\n\r\t\x01\x7f", "\xc3\xa4\xe2\x80\xa8\xf0\x9f\x90\xb8", "%s%n", "{}" };
  g_autofree char *large = g_strnfill (65536, 'x');
  Decision decision;

  for (gsize i = 0; i <= G_N_ELEMENTS (texts); i++)
    {
      const char *text = i < G_N_ELEMENTS (texts) ? texts[i] : large;

      begin_as (scene, &decision, text, text);
      await (scene, &decision);
    }
}

/* The last thing before the end is a cancellation. */
static void
test_ends_early (Scene *scene)
{
  Decision decision;

  begin_as (scene, &decision, "unix:uid=7", "Get");
  cancel (scene, &decision);
}

static void
run_case (gconstpointer data)
{
  const Case *test = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  Scene scene = { .ops = test->descriptor->ops, .context = context };
  g_autoptr (GError) error = NULL;

  g_main_context_push_thread_default (context);
  scene.host = commy_test_host_new (context, test->descriptor);
  if (test->options != NULL)
    commy_conformance_prepare (test->options, scene.host);
  scene.instance = commy_test_host_start (scene.host, &error);
  g_assert_no_error (error);
  test->test (&scene);
  commy_test_host_stop (scene.host);
  g_assert_cmpuint (commy_test_host_count_sources (scene.host), ==, 0);
  commy_test_host_free (scene.host);
  g_main_context_pop_thread_default (context);
}

void
commy_policy_conformance_add (const CommyPluginDescriptor *descriptor,
                              const CommyConformanceOptions *options)
{
  static const struct
  {
    const char *name;
    void (*test) (Scene *scene);
  } cases[] = {
    { "each-decision-ends-once", test_ends_once },
    { "what-is-cancelled-is-over", test_cancelled },
    { "any-text-may-be-asked", test_any_text },
    { "nothing-is-left-at-the-end", test_ends_early },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Case *test = g_new0 (Case, 1);
      g_autofree char *path
          = g_strdup_printf ("/policy/%s/%s", descriptor->note->id, cases[i].name);

      *test = (Case){ descriptor, options, cases[i].test };
      g_test_add_data_func_full (path, test, run_case, g_free);
    }
}
