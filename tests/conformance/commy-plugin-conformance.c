/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules for plugins of any kind: see the header. A hook starts on a transport only, so these rules
 * look at its table alone.
 */
#include "config.h"

#include "commy-plugin-conformance.h"

#include <string.h>

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  const CommyConformanceOptions *options;
} Subject;

typedef struct
{
  Subject subject;
  void (*test) (const Subject *subject);
  gboolean starts; /* not for hooks */
} Case;

static CommyTestHost *
make_host (const Subject *subject)
{
  CommyTestHost *host = commy_test_host_new (NULL, subject->descriptor);

  if (subject->options != NULL)
    commy_conformance_prepare (subject->options, host);
  return host;
}

static void
start (CommyTestHost *host)
{
  g_autoptr (GError) error = NULL;

  commy_test_host_start (host, &error);
  g_assert_no_error (error);
}

static void
stop (CommyTestHost *host)
{
  commy_test_host_stop (host);
  g_assert_cmpuint (commy_test_host_count_sources (host), ==, 0);
}

static void
test_start_stop (const Subject *subject)
{
  g_autoptr (CommyTestHost) host = make_host (subject);

  start (host);
  stop (host);
}

static void
test_start_again (const Subject *subject)
{
  g_autoptr (CommyTestHost) host = make_host (subject);

  for (int i = 0; i < 3; i++)
    {
      start (host);
      stop (host);
    }
}

static void
test_several (const Subject *subject)
{
  g_autoptr (CommyTestHost) first = make_host (subject);
  g_autoptr (CommyTestHost) second = make_host (subject);

  start (first);
  start (second);
  stop (first);
  start (first);
  stop (second);
  stop (first);
}

/* An `init` that refuses gives back what it took and says why. */
static void
try_value (const Subject *subject, const char *name, const char *value)
{
  g_autoptr (CommyTestHost) host = make_host (subject);
  g_autoptr (GError) error = NULL;

  commy_test_host_set_param (host, name, value);
  if (commy_test_host_start (host, &error) == NULL)
    {
      g_assert_nonnull (error);
      g_assert_true (error->domain == COMMY_TEST_ERROR);
      return;
    }
  stop (host);
}

static void
test_params (const Subject *subject)
{
  for (gsize i = 0; i < subject->descriptor->n_params; i++)
    {
      const CommyParamSpec *spec = &subject->descriptor->params[i];
      g_auto (GStrv) values = NULL;

      if (spec->type == COMMY_PARAM_CHOICE)
        values = g_strsplit (spec->choices, ";", -1);
      else if (spec->type == COMMY_PARAM_BOOL)
        values = g_strsplit ("true;false", ";", -1);
      else if (spec->type != COMMY_PARAM_STRING)
        {
          g_autofree char *both = g_strdup_printf ("%" G_GINT64_FORMAT ";%" G_GINT64_FORMAT,
                                                   spec->minimum, spec->maximum);

          values = g_strsplit (both, ";", -1);
        }
      for (gsize j = 0; values != NULL && values[j] != NULL; j++)
        try_value (subject, spec->name, values[j]);
    }
}

static gboolean
is_name (const char *text)
{
  return text[0] != '\0' && strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen (text);
}

/* People read these in `commy plugin info` and write them into keyfiles. */
static void
test_table (const Subject *subject)
{
  const CommyPluginNote *note = subject->descriptor->note;

  g_assert_cmpuint (strlen (note->summary), >, 0);
  g_assert_cmpuint (strlen (note->licence), >, 0);
  g_assert_cmpuint (strlen (note->version), >, 0);
  for (gsize i = 0; i < subject->descriptor->n_params; i++)
    {
      const CommyParamSpec *spec = &subject->descriptor->params[i];
      g_auto (GStrv) choices = g_strsplit (spec->choices != NULL ? spec->choices : "", ";", -1);

      g_assert_true (is_name (spec->name));
      g_assert_cmpuint (strlen (spec->help), >, 0);
      g_assert_null (strchr (spec->help, '\n'));
      g_assert_true (spec->type != COMMY_PARAM_CHOICE
                     || g_strv_contains ((const char *const *) choices, spec->default_value));
      for (gsize j = 0; j < i; j++)
        g_assert_cmpstr (subject->descriptor->params[j].name, !=, spec->name);
    }
}

static void
run_case (gconstpointer data)
{
  const Case *test = data;

  if (test->starts && (test->subject.descriptor->note->flags & COMMY_PLUGIN_FLAG_HOOK) != 0)
    g_test_skip ("a hook starts on a transport, with the rules of transports");
  else
    test->test (&test->subject);
}

void
commy_plugin_conformance_add (const CommyPluginDescriptor *descriptor,
                              const CommyConformanceOptions *options)
{
  static const struct
  {
    const char *name;
    void (*test) (const Subject *subject);
    gboolean starts;
  } cases[] = {
    { "starts-and-stops", test_start_stop, TRUE },
    { "describes-itself", test_table, FALSE },
    { "starts-again-after-it-stopped", test_start_again, TRUE },
    { "several-at-once", test_several, TRUE },
    { "parameters-at-their-limits", test_params, TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Case *test = g_new0 (Case, 1);
      g_autofree char *path
          = g_strdup_printf ("/plugin/%s/%s", descriptor->note->id, cases[i].name);

      *test = (Case){ { descriptor, options }, cases[i].test, cases[i].starts };
      g_test_add_data_func_full (path, test, run_case, g_free);
    }
}
