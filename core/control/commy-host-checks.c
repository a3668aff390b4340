/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of a host's looks.
 */
#include "config.h"

#include "control/commy-host-checks.h"

#include <string.h>

#define MAGIC "commy-checks 1"
#define ID_LENGTH 32u

typedef struct
{
  char instance[ID_LENGTH + 1];
  CommyHealthState state;
  char reason[COMMY_HEALTH_REASON_MAX];
} Verdict;

char *
commy_host_checks_dup_prefix (const char *host_id)
{
  return g_strdup_printf ("hosts/%s/checks/", host_id);
}

void
commy_host_checks_begin (GString *out, const char *how)
{
  g_string_append_printf (out, MAGIC "\n%s\n", how);
}

void
commy_host_checks_add (GString *out,
                       const char *instance,
                       CommyHealthState state,
                       const char *reason)
{
  char clean[COMMY_HEALTH_REASON_MAX];

  commy_health_set_reason (clean, reason);
  g_string_append_printf (out, "%s %s%s%s\n", instance, commy_health_state_to_string (state),
                          clean[0] != '\0' ? " " : "", clean);
}

static gboolean
read_state (const char *word, CommyHealthState *out)
{
  for (guint i = COMMY_HEALTH_UNKNOWN; i <= COMMY_HEALTH_UNWELL; i++)
    if (strcmp (word, commy_health_state_to_string (i)) == 0)
      {
        *out = i;
        return TRUE;
      }
  return FALSE;
}

/* @line is the caller's to cut up. */
static gboolean
read_line (char *line, Verdict *out)
{
  char *state = strchr (line, ' ');
  char *reason;

  if (state != line + ID_LENGTH || strspn (line, "0123456789abcdef") != ID_LENGTH)
    return FALSE;
  *state++ = '\0';
  reason = strchr (state, ' ');
  if (reason != NULL)
    *reason++ = '\0';
  memcpy (out->instance, line, ID_LENGTH + 1);
  commy_health_set_reason (out->reason, reason != NULL ? reason : "");
  return read_state (state, &out->state);
}

/* The line at @at, which goes on behind it; NULL: it has no end. */
static char *
cut_line (char **at)
{
  char *line = *at;
  char *end = strchr (line, '\n');

  if (end == NULL)
    return NULL;
  *end = '\0';
  *at = end + 1;
  return line;
}

static gboolean
read_lines (char *text, GArray *verdicts)
{
  while (*text != '\0')
    {
      char *line = cut_line (&text);
      Verdict verdict;

      if (line == NULL || verdicts->len >= COMMY_HOST_CHECKS_MAX || !read_line (line, &verdict))
        return FALSE;
      g_array_append_val (verdicts, verdict);
    }
  return TRUE;
}

CommyHostChecksStatus
commy_host_checks_read (
    const char *text, gsize size, const char *how, CommyHostChecksFunc func, gpointer data)
{
  g_autofree char *copy = g_strndup (text, size);
  char *at = copy;
  const char *magic, *said;
  g_autoptr (GArray) verdicts = g_array_new (FALSE, FALSE, sizeof (Verdict));

  if (strlen (copy) != size)
    return COMMY_HOST_CHECKS_MALFORMED;
  if ((magic = cut_line (&at)) == NULL || strcmp (magic, MAGIC) != 0
      || (said = cut_line (&at)) == NULL)
    return COMMY_HOST_CHECKS_MALFORMED;
  if (strcmp (said, how) != 0)
    return COMMY_HOST_CHECKS_OTHER;
  if (!read_lines (at, verdicts))
    return COMMY_HOST_CHECKS_MALFORMED;
  for (guint i = 0; i < verdicts->len; i++)
    {
      const Verdict *verdict = &g_array_index (verdicts, Verdict, i);

      func (data, verdict->instance, verdict->state, verdict->reason);
    }
  return COMMY_HOST_CHECKS_OK;
}
