/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Findings of nodes, added up.
 */
#include "config.h"

#include "cli/commy-health-seen.h"

#include "cli/commy-lookup.h"

#include <string.h>

void
commy_seen_clear (CommySeen *seen)
{
  g_clear_pointer (&seen->reason, g_free);
}

GVariant *
commy_seen_ask (CommyMesh *mesh, GVariant *node, const char *service, GError **error)
{
  return commy_lookup_ask_for (mesh, node, "HealthOf", g_variant_new ("(s)", service), "aa{sv}",
                               error);
}

void
commy_seen_add (CommySeen *seen, const char *instance, GVariant *finding)
{
  const char *state = commy_record_get_string (finding, "state");
  const char *check = commy_record_get_string (finding, "check");

  if (strcmp (commy_record_get_string (finding, "source"), "seen") != 0
      || strcmp (commy_record_get_string (finding, "instance"), instance) != 0)
    return;
  seen->n_well += strcmp (state, "well") == 0;
  seen->n_unwell += strcmp (state, "unwell") == 0;
  if (check[0] != '\0' && strcmp (check, "none") != 0)
    seen->check = g_intern_string (check);
  seen->by_host |= strcmp (commy_record_get_string (finding, "by"), "host") == 0;
  if (strcmp (state, "unwell") == 0 && seen->reason == NULL)
    seen->reason = g_strdup (commy_record_get_string (finding, "reason"));
}

void
commy_seen_add_all (CommySeen *seen, const char *instance, GVariant *findings)
{
  for (gsize i = 0; i < g_variant_n_children (findings); i++)
    {
      g_autoptr (GVariant) finding = g_variant_get_child_value (findings, i);

      commy_seen_add (seen, instance, finding);
    }
}

const char *
commy_seen_get_state (const CommySeen *seen)
{
  if (seen->n_unwell > 0 && seen->n_unwell >= seen->n_well)
    return "unwell";
  return seen->n_well > 0 ? "well" : "unknown";
}
