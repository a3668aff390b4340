/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The suite: gives every rule a rig, or says why it is skipped. The rules are in
 * commy-transport-rules-*.c.
 */
#include "config.h"

#include "commy-transport-conformance.h"

#include "commy-transport-rules.h"

#include <string.h>

typedef struct
{
  CommyTransportSubject subject; /* what its pointers mean outlives the run */
  const Rule *rule;
} Run;

static const char *
why_skip (const Rule *rule,
          const CommyPluginDescriptor *descriptor,
          const CommyPluginDescriptor *hook)
{
  const CommyTransportOps *ops = descriptor->ops;
  const CommyTransportOps *outer = hook != NULL ? hook->ops : ops;

  if ((rule->needs & NEEDS_HANDLES) != 0
      && (descriptor->note->profile.capabilities & COMMY_CAP_FD_PASSING) == 0)
    return "the transport carries no descriptors";
  if ((rule->needs & NEEDS_POOLS) != 0 && (ops->lend == NULL || outer->lend == NULL))
    return "the transport has no pools";
  if ((rule->needs & NEEDS_WAIT) != 0 && (ops->wait == NULL || outer->wait == NULL))
    return "the transport has no wait: the core arms and polls";
  if ((rule->needs & NEEDS_PROCESSES) != 0
      && (descriptor->note->profile.reach & ~(guint32) COMMY_REACH_SELF) == 0)
    return "the transport stays in its process";
  return NULL;
}

static void
run_rule (gconstpointer data)
{
  const Run *run = data;
  g_autoptr (GError) error = NULL;
  RuleCase test = { &run->subject, commy_test_load ("transport", run->subject.id, &error) };
  const CommyPluginDescriptor *hook = NULL;
  Rig *rig = NULL;

  if (test.descriptor != NULL && run->subject.hook != NULL)
    hook = commy_test_load ("transport", run->subject.hook, &error);
  if (error != NULL)
    {
      g_test_skip (error->message);
      return;
    }
  if (why_skip (run->rule, test.descriptor, hook) != NULL)
    {
      g_test_skip (why_skip (run->rule, test.descriptor, hook));
      return;
    }
  if ((run->rule->needs & OWN_RIG) == 0)
    rig = rig_new (test.descriptor, test.subject, RIG_NONE);
  if ((run->rule->needs & NEEDS_PAIR) != 0)
    rig_make_pair (rig);
  run->rule->run (rig, &test);
  if (rig != NULL)
    rig_free (rig);
}

/* What a subject is called in the names of cases; a path is called as its file. */
static char *
dup_short_name (const char *id)
{
  g_autofree char *base = g_path_get_basename (id);
  const char *from = g_str_has_prefix (base, "libcommy-transport-")
                         ? base + strlen ("libcommy-transport-")
                         : base;

  return g_str_has_suffix (from, ".so") ? g_strndup (from, strlen (from) - strlen (".so"))
                                        : g_strdup (from);
}

void
commy_transport_conformance_add (const CommyTransportSubject *subject)
{
  const Rule *(*const chapters[]) (gsize * out_n) = {
    commy_transport_rules_set_up,  commy_transport_rules_messages, commy_transport_rules_waking,
    commy_transport_rules_handles, commy_transport_rules_pools,
  };

  for (gsize chapter = 0; chapter < G_N_ELEMENTS (chapters); chapter++)
    {
      gsize n = 0;
      const Rule *rules = chapters[chapter](&n);

      for (gsize i = 0; i < n; i++)
        {
          g_autofree char *id = dup_short_name (subject->id);
          g_autofree char *hook = subject->hook ? dup_short_name (subject->hook) : g_strdup ("");
          g_autofree char *path = g_strdup_printf ("/conformance/%s%s%s/%s", hook,
                                                   subject->hook ? "-on-" : "", id, rules[i].name);
          Run *run = g_new (Run, 1);

          run->subject = *subject;
          run->rule = &rules[i];
          g_test_add_data_func_full (path, run, run_rule, g_free);
        }
    }
}
