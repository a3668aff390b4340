/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From what people say to what is demanded: requirements of an application and what-if
 * questions, laid over the settings of the keyfile. Requirements only ever narrow; a what-if
 * may also widen, because nothing is sent by it.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-units.h"
#include "route/commy-decision-private.h"

#include <string.h>

#define REQUIREMENTS "requirements"
#define WHAT_IF "what-if"
#define LOCAL_REACH (COMMY_REACH_SELF | COMMY_REACH_HOST)

gboolean
commy_id_list_set (CommyIdList *list, const char *const *ids)
{
  CommyIdList filled = { .n = 0 };

  memset (list, 0, sizeof *list);
  for (guint i = 0; ids != NULL && ids[i] != NULL; i++)
    {
      if (filled.n == COMMY_MAX_LISTED || ids[i][0] == '\0' || strlen (ids[i]) >= COMMY_ID_MAX)
        return FALSE;
      g_strlcpy (filled.id[filled.n++], ids[i], COMMY_ID_MAX);
    }
  *list = filled;
  return TRUE;
}

/* --- requirements --- */

static gboolean
names_transports (CommyPreference preference)
{
  return preference == COMMY_PREFER_LIST || preference == COMMY_PREFER_PIN;
}

static guint
reach_of (CommyPreference preference)
{
  return preference == COMMY_PREFER_LOCAL_ONLY     ? LOCAL_REACH
         : preference == COMMY_PREFER_NETWORK_ONLY ? COMMY_REACH_NETWORK
                                                   : 0;
}

/* Those of @a, in its order, that are in @b too. A pin is a list of one. */
static CommyIdList
intersect (const CommyIdList *a, const CommyIdList *b, guint n_b)
{
  CommyIdList both = { .n = 0 };

  for (guint i = 0; i < a->n; i++)
    for (guint j = 0; j < MIN (b->n, n_b); j++)
      if (strcmp (a->id[i], b->id[j]) == 0)
        {
          g_strlcpy (both.id[both.n++], a->id[i], COMMY_ID_MAX);
          break;
        }
  return both;
}

static void
narrow_reach (CommyDemand *demand, guint reach, const char *origin)
{
  guint left = demand->allowed_reach != 0 ? demand->allowed_reach & reach : reach;

  if (left == demand->allowed_reach)
    return;
  demand->reach_origin = origin;
  /* Only this host and only the network together leave nothing. */
  demand->allowed_reach = left != 0 ? left : COMMY_REACH_NOTHING;
}

static void
apply_preference (CommyDemand *demand, const CommyRequirements *requirements)
{
  CommyPreference wanted = requirements->preference, set = demand->preference;

  if (wanted == COMMY_PREFER_AUTO)
    return;
  /* What the keyfile restricts stays restricted, whatever is asked beside it. */
  if (reach_of (set) != 0)
    {
      narrow_reach (demand, reach_of (set), demand->preference_origin);
      demand->preference = set = COMMY_PREFER_AUTO;
    }
  if (reach_of (wanted) != 0)
    {
      narrow_reach (demand, reach_of (wanted), REQUIREMENTS);
      return;
    }
  if (names_transports (set))
    {
      if (!names_transports (wanted))
        return;
      demand->transports = intersect (&requirements->transports, &demand->transports,
                                      set == COMMY_PREFER_PIN ? 1 : COMMY_MAX_LISTED);
      demand->preference = COMMY_PREFER_LIST;
    }
  else
    {
      demand->transports = requirements->transports;
      demand->preference = wanted;
    }
  demand->preference_origin = REQUIREMENTS;
}

static void
apply_limits (CommyDemand *demand, const CommyRequirements *requirements)
{
  gboolean had_limits = demand->max_latency_ns != 0 || demand->min_throughput != 0;

  if (requirements->min_security > demand->min_security)
    {
      demand->min_security = requirements->min_security;
      demand->min_security_origin = REQUIREMENTS;
    }
  if (requirements->max_latency_ns != 0
      && (demand->max_latency_ns == 0 || requirements->max_latency_ns < demand->max_latency_ns))
    {
      demand->max_latency_ns = requirements->max_latency_ns;
      demand->requirement_origin = REQUIREMENTS;
    }
  if (requirements->min_throughput > demand->min_throughput)
    {
      demand->min_throughput = requirements->min_throughput;
      demand->requirement_origin = REQUIREMENTS;
    }
  /* The keyfile's limits are not the application's to miss. */
  demand->degradable = requirements->degradable && (demand->degradable || !had_limits);
}

void
commy_demand_apply_requirements (CommyDemand *demand, const CommyRequirements *requirements)
{
  g_return_if_fail (demand != NULL);

  if (requirements == NULL)
    return;
  if (requirements->objective != COMMY_OBJECTIVE_DEFAULT)
    {
      demand->objective = requirements->objective;
      demand->weights = commy_weights_for (requirements->objective);
    }
  demand->ordered = requirements->ordered;
  apply_preference (demand, requirements);
  apply_limits (demand, requirements);
}

/* --- what-if --- */

/* The names, in the order in which they are applied. */
typedef enum
{
  CHANGE_OBJECTIVE,
  CHANGE_MIN_SECURITY,
  CHANGE_TRANSPORTS,
  CHANGE_PREFERENCE,
  CHANGE_MAX_LATENCY,
  CHANGE_MIN_THROUGHPUT,
  CHANGE_ORDERED,
  N_CHANGES
} Change;

static const char *const change_names[N_CHANGES + 1] = {
  [CHANGE_OBJECTIVE] = "objective",     [CHANGE_MIN_SECURITY] = "min-security",
  [CHANGE_TRANSPORTS] = "transports",   [CHANGE_PREFERENCE] = "preference",
  [CHANGE_MAX_LATENCY] = "max-latency", [CHANGE_MIN_THROUGHPUT] = "min-throughput",
  [CHANGE_ORDERED] = "ordered",
};

struct _CommyWhatIf
{
  guint changed; /* bits of Change */
  CommyObjective objective;
  guint min_security;
  CommyPreference preference;
  CommyIdList transports;
  guint64 max_latency_ns;
  guint64 min_throughput;
  gboolean ordered;
};

G_DEFINE_BOXED_TYPE (CommyWhatIf, commy_what_if, commy_what_if_copy, commy_what_if_free)

static gboolean
parse_transports (const char *value, CommyIdList *out_list)
{
  g_auto (GStrv) parts = g_strsplit (value, ";", -1);
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();

  for (guint i = 0; parts[i] != NULL; i++)
    if (*g_strstrip (parts[i]) != '\0')
      g_ptr_array_add (ids, parts[i]);
  g_ptr_array_add (ids, NULL);
  return ids->len > 1 && commy_id_list_set (out_list, (const char *const *) ids->pdata);
}

static gboolean
parse_boolean (const char *value, gboolean *out_value)
{
  *out_value = strcmp (value, "true") == 0;
  return *out_value || strcmp (value, "false") == 0;
}

static gboolean
parse_latency (const char *value, guint64 *out_ns)
{
  gint64 ns;

  if (!commy_parse_duration (value, &ns) || ns < 0)
    return FALSE;
  *out_ns = (guint64) ns;
  return TRUE;
}

static gboolean
parse_throughput (const char *value, guint64 *out_rate)
{
  double rate;

  if (!commy_parse_rate (value, &rate) || !(rate >= 0 && rate < 1e18))
    return FALSE;
  *out_rate = (guint64) rate;
  return TRUE;
}

static gboolean
parse_change (CommyWhatIf *what_if, Change change, const char *value)
{
  switch (change)
    {
    case CHANGE_OBJECTIVE:
      return commy_objective_parse (value, &what_if->objective);
    case CHANGE_MIN_SECURITY:
      return commy_security_parse (value, &what_if->min_security);
    case CHANGE_TRANSPORTS:
      return parse_transports (value, &what_if->transports);
    case CHANGE_PREFERENCE:
      return commy_preference_parse (value, &what_if->preference);
    case CHANGE_MAX_LATENCY:
      return parse_latency (value, &what_if->max_latency_ns);
    case CHANGE_MIN_THROUGHPUT:
      return parse_throughput (value, &what_if->min_throughput);
    case CHANGE_ORDERED:
      return parse_boolean (value, &what_if->ordered);
    case N_CHANGES:
    default:
      return FALSE;
    }
}

static gboolean
find_change (const char *name, gsize length, Change *out_change, GError **error)
{
  g_autofree char *text = g_strndup (name, length);
  const char *nearest = NULL;
  guint least = 4;

  for (guint i = 0; i < N_CHANGES; i++)
    {
      guint distance = commy_edit_distance (text, change_names[i], 3);

      if (distance == 0)
        {
          *out_change = (Change) i;
          return TRUE;
        }
      if (distance < least)
        {
          least = distance;
          nearest = change_names[i];
        }
    }
  if (nearest != NULL)
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                     "unknown what-if \"%s\", did you mean \"%s\"?", text, nearest);
  else
    {
      g_autofree char *known = g_strjoinv (", ", (char **) change_names);

      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "unknown what-if \"%s\", there are %s",
                       text, known);
    }
  return FALSE;
}

static gboolean
add_change (CommyWhatIf *what_if, const char *text, GError **error)
{
  const char *equals = strchr (text, '=');
  Change change;

  if (equals == NULL)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "what-if \"%s\" has no value, write NAME=VALUE", text);
      return FALSE;
    }
  if (!find_change (text, (gsize) (equals - text), &change, error))
    return FALSE;
  if (what_if->changed & (1u << change))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "what-if \"%s\" is given twice",
                       change_names[change]);
      return FALSE;
    }
  if (!parse_change (what_if, change, equals + 1))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "what-if \"%s\": value \"%s\" is not allowed", change_names[change],
                       equals + 1);
      return FALSE;
    }
  what_if->changed |= 1u << change;
  return TRUE;
}

/* A list of transports alone restricts to them; a preference for a list needs one. */
static gboolean
check_transports (CommyWhatIf *what_if, GError **error)
{
  gboolean has_list = (what_if->changed & (1u << CHANGE_TRANSPORTS)) != 0;

  if (!(what_if->changed & (1u << CHANGE_PREFERENCE)))
    {
      if (has_list)
        what_if->preference = COMMY_PREFER_LIST;
      return TRUE;
    }
  if (names_transports (what_if->preference) == has_list
      && (what_if->preference != COMMY_PREFER_PIN || what_if->transports.n == 1))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   has_list ? "what-if \"preference=%s\" does not go with the transports given"
                            : "what-if \"preference=%s\" needs transports=...",
                   commy_preference_to_string (what_if->preference));
  return FALSE;
}

CommyWhatIf *
commy_what_if_new (const char *const *changes, GError **error)
{
  g_autoptr (CommyWhatIf) what_if = g_new0 (CommyWhatIf, 1);

  for (guint i = 0; changes != NULL && changes[i] != NULL; i++)
    if (!add_change (what_if, changes[i], error))
      return NULL;
  if (!check_transports (what_if, error))
    return NULL;
  return g_steal_pointer (&what_if);
}

CommyWhatIf *
commy_what_if_copy (const CommyWhatIf *what_if)
{
  g_return_val_if_fail (what_if != NULL, NULL);

  return g_memdup2 (what_if, sizeof *what_if);
}

void
commy_what_if_free (CommyWhatIf *what_if)
{
  g_free (what_if);
}

static gboolean
changes (const CommyWhatIf *what_if, Change change)
{
  return (what_if->changed & (1u << change)) != 0;
}

void
commy_demand_apply_what_if (CommyDemand *demand, const CommyWhatIf *what_if)
{
  g_return_if_fail (demand != NULL);

  if (what_if == NULL)
    return;
  if (changes (what_if, CHANGE_OBJECTIVE))
    {
      demand->objective = what_if->objective;
      demand->weights = commy_weights_for (what_if->objective);
    }
  if (changes (what_if, CHANGE_MIN_SECURITY))
    {
      demand->min_security = what_if->min_security;
      demand->min_security_origin = WHAT_IF;
    }
  if (changes (what_if, CHANGE_PREFERENCE) || changes (what_if, CHANGE_TRANSPORTS))
    {
      demand->preference = what_if->preference;
      demand->transports = what_if->transports;
      demand->preference_origin = WHAT_IF;
      demand->allowed_reach = 0;
      demand->reach_origin = WHAT_IF;
    }
  if (changes (what_if, CHANGE_MAX_LATENCY))
    {
      demand->max_latency_ns = what_if->max_latency_ns;
      demand->requirement_origin = WHAT_IF;
    }
  if (changes (what_if, CHANGE_MIN_THROUGHPUT))
    {
      demand->min_throughput = what_if->min_throughput;
      demand->requirement_origin = WHAT_IF;
    }
  if (changes (what_if, CHANGE_ORDERED))
    demand->ordered = what_if->ordered;
}
