/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words of keyfiles and reports for objectives, security levels and preferences, and
 * numbers with units for reports. Writes into buffers only, and alike in every locale.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>
#include <string.h>

static const char *const objectives[] = { "default", "latency", "throughput", "cpu", "balanced" };
static const char *const levels[] = { "none", "kernel", "authenticated", "confidential", "mutual" };
static const char *const preferences[]
    = { "auto", "prefer-local", "prefer-network", "local-only", "network-only",
        "list", "pin",          "adaptive" };

static gboolean
find_word (const char *text, const char *const *words, guint n, guint *out_index)
{
  for (guint i = 0; text != NULL && i < n; i++)
    if (strcmp (text, words[i]) == 0)
      {
        *out_index = i;
        return TRUE;
      }
  return FALSE;
}

static const char *
word (guint value, const char *const *words, guint n)
{
  return value < n ? words[value] : "?";
}

const char *
commy_level_to_string (guint level)
{
  static const char *const names[COMMY_LEVELS]
      = { "process", "host", "zone", "region", "elsewhere" };

  return word (level, names, COMMY_LEVELS);
}

gboolean
commy_objective_parse (const char *text, CommyObjective *out_objective)
{
  guint i;

  if (!find_word (text, objectives, G_N_ELEMENTS (objectives), &i))
    return FALSE;
  *out_objective = (CommyObjective) i;
  return TRUE;
}

gboolean
commy_security_parse (const char *text, guint *out_security)
{
  return find_word (text, levels, G_N_ELEMENTS (levels), out_security);
}

gboolean
commy_preference_parse (const char *text, CommyPreference *out_preference)
{
  guint i;

  if (!find_word (text, preferences, G_N_ELEMENTS (preferences), &i))
    return FALSE;
  *out_preference = (CommyPreference) i;
  return TRUE;
}

const char *
commy_objective_to_string (CommyObjective objective)
{
  return word ((guint) objective, objectives, G_N_ELEMENTS (objectives));
}

const char *
commy_security_to_string (guint security)
{
  return word (security, levels, G_N_ELEMENTS (levels));
}

const char *
commy_preference_to_string (CommyPreference preference)
{
  return word ((guint) preference, preferences, G_N_ELEMENTS (preferences));
}

/* Three digits: "278", "14.1", "2". */
static void
print_number (char *out, gsize size, double value, const char *unit)
{
  double tenths = floor (value * 10 + 0.5);
  guint64 whole = (guint64) (tenths / 10);
  guint tenth = (guint) (tenths - (double) whole * 10);

  if (value >= 99.95 || tenth == 0)
    g_snprintf (out, size, "%" G_GUINT64_FORMAT " %s", (guint64) floor (value + 0.5), unit);
  else
    g_snprintf (out, size, "%" G_GUINT64_FORMAT ".%u %s", whole, tenth, unit);
}

void
commy_text_duration (char *out, gsize size, double ns)
{
  if (!(ns >= 0) || ns > 1e18)
    g_strlcpy (out, "unknown", size);
  else if (ns < 999.5)
    print_number (out, size, ns, "ns");
  else if (ns < 999.5e3)
    print_number (out, size, ns / 1e3, "us");
  else if (ns < 999.5e6)
    print_number (out, size, ns / 1e6, "ms");
  else
    print_number (out, size, ns / 1e9, "s");
}

void
commy_text_bytes (char *out, gsize size, double bytes, const char *per)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
  char unit[16];
  guint i = 0;

  if (!(bytes >= 0) || bytes > 1e17)
    {
      g_strlcpy (out, "unlimited", size);
      return;
    }
  while (bytes >= 1023.95 && i + 1 < G_N_ELEMENTS (units))
    {
      bytes /= 1024;
      i++;
    }
  g_snprintf (unit, sizeof unit, "%s%s", units[i], per);
  print_number (out, size, bytes, unit);
}
