/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rise and fall, and a ring of changes.
 */
#include "config.h"

#include "control/commy-health.h"

#include <string.h>

#define NOT_SERVING "not-serving"

const char *
commy_health_state_to_string (CommyHealthState state)
{
  static const char *const words[] = { "unknown", "well", "unwell" };

  return words[state];
}

void
commy_health_set_reason (char out[COMMY_HEALTH_REASON_MAX], const char *reason)
{
  const char *end;

  g_strlcpy (out, reason, COMMY_HEALTH_REASON_MAX);
  if (!g_utf8_validate (out, -1, &end))
    out[end - out] = '\0';
  for (char *at = out; *at != '\0'; at++)
    if (g_ascii_iscntrl (*at))
      *at = ' ';
}

gboolean
commy_health_note (CommyHealth *self,
                   const CommyHealthRules *rules,
                   const char *reason,
                   gint64 now_ns)
{
  CommyHealthState says = reason == NULL ? COMMY_HEALTH_WELL : COMMY_HEALTH_UNWELL;
  guint needed = reason != NULL ? rules->fall : rules->rise;

  self->seen_ns = now_ns;
  if (reason != NULL)
    commy_health_set_reason (self->reason, reason);
  else if (self->state != COMMY_HEALTH_UNWELL)
    {
      self->reason[0] = '\0';
      needed = 1;
    }
  if (self->state == says)
    self->n_against = 0;
  if (self->state == says || ++self->n_against < needed)
    return FALSE;
  self->state = says;
  self->n_against = 0;
  self->since_ns = now_ns;
  if (reason == NULL)
    self->reason[0] = '\0';
  return TRUE;
}

void
commy_health_adopt (CommyHealth *self, CommyHealthState state, const char *reason, gint64 now_ns)
{
  if (self->state != state)
    self->since_ns = now_ns;
  self->state = state;
  self->n_against = 0;
  self->seen_ns = now_ns;
  commy_health_set_reason (self->reason, state == COMMY_HEALTH_UNWELL ? reason : "");
}

void
commy_health_forget (CommyHealth *self, gint64 now_ns)
{
  commy_health_adopt (self, COMMY_HEALTH_UNKNOWN, "", now_ns);
}

gboolean
commy_health_is_stale (const CommyHealth *self, gint64 interval_ns, gint64 now_ns)
{
  return self->seen_ns == 0 || now_ns - self->seen_ns > 2 * interval_ns;
}

/* --- what an instance says of itself --- */

char *
commy_health_write_said (gboolean serving, const char *reason)
{
  char clean[COMMY_HEALTH_REASON_MAX] = "";

  if (serving)
    return g_strdup (COMMY_HEALTH_SERVING);
  if (reason != NULL)
    commy_health_set_reason (clean, reason);
  return clean[0] != '\0' ? g_strconcat (NOT_SERVING ": ", clean, NULL) : g_strdup (NOT_SERVING);
}

CommyHealthState
commy_health_read_said (const char *said, const char **out_reason)
{
  gsize length = strlen (NOT_SERVING);

  *out_reason = "";
  if (strcmp (said, COMMY_HEALTH_SERVING) == 0)
    return COMMY_HEALTH_WELL;
  if (strncmp (said, NOT_SERVING, length) != 0)
    return COMMY_HEALTH_UNKNOWN;
  if (said[length] == '\0')
    return COMMY_HEALTH_UNWELL;
  if (strncmp (said + length, ": ", 2) != 0)
    return COMMY_HEALTH_UNKNOWN;
  *out_reason = said + length + 2;
  return COMMY_HEALTH_UNWELL;
}

/* --- history --- */

struct _CommyHealthHistory
{
  CommyHealthChange *slots;
  guint most, first, length;
  gint64 retention_ns;
};

CommyHealthHistory *
commy_health_history_new (guint most, gint64 retention_ns)
{
  CommyHealthHistory *self = g_new0 (CommyHealthHistory, 1);

  self->most = most;
  self->slots = g_new0 (CommyHealthChange, MAX (most, 1));
  self->retention_ns = retention_ns;
  return self;
}

void
commy_health_history_free (CommyHealthHistory *self)
{
  if (self == NULL)
    return;
  g_free (self->slots);
  g_free (self);
}

static void
forget_first (CommyHealthHistory *self)
{
  self->first = (self->first + 1) % self->most;
  self->length--;
}

void
commy_health_history_add (CommyHealthHistory *self, const CommyHealthChange *change)
{
  if (self->most == 0)
    return;
  if (self->length == self->most)
    forget_first (self);
  self->slots[(self->first + self->length++) % self->most] = *change;
}

void
commy_health_history_foreach (CommyHealthHistory *self,
                              gint64 now_ns,
                              CommyHealthHistoryFunc func,
                              gpointer data)
{
  while (self->length > 0 && now_ns - self->slots[self->first].at_ns > self->retention_ns)
    forget_first (self);
  for (guint i = 0; i < self->length; i++)
    func (data, &self->slots[(self->first + i) % self->most]);
}
