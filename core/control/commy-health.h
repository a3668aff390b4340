/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether something is well, as checks find it: thresholds against a single bad moment, the last
 * reason, and a history of what changed, of bounded length and age. Pure: time is an argument.
 */
#pragma once

#include <glib.h>

#define COMMY_HEALTH_REASON_MAX 128u
#define COMMY_HEALTH_NAME_MAX 256u

typedef enum
{
  COMMY_HEALTH_UNKNOWN, /* nobody looked yet, or nobody looks any more */
  COMMY_HEALTH_WELL,
  COMMY_HEALTH_UNWELL,
} CommyHealthState;

const char *commy_health_state_to_string (CommyHealthState state);

typedef struct
{
  guint rise; /* checks in a row that succeed until who was unwell is well */
  guint fall; /* that fail until who was well, or unknown, is unwell */
} CommyHealthRules;

typedef struct
{
  CommyHealthState state;
  guint n_against;                      /* checks in a row that spoke against the state */
  gint64 since_ns;                      /* of the state */
  gint64 seen_ns;                       /* of the last check; 0: none */
  char reason[COMMY_HEALTH_REASON_MAX]; /* of the last check that failed; "" while all is well */
} CommyHealth;

/* A check ended: @reason why it failed, NULL if it did not. Whether the state changed. The first
 * success makes well who is unknown: nothing speaks against it. */
gboolean commy_health_note (CommyHealth *health,
                            const CommyHealthRules *rules,
                            const char *reason,
                            gint64 now_ns);
/* Somebody else looked, and found @state; @reason as far as it is unwell. From there looks of one's
 * own go on. */
void
commy_health_adopt (CommyHealth *health, CommyHealthState state, const char *reason, gint64 now_ns);
/* Who looked cannot tell any more: what was found before says nothing of now. */
void commy_health_forget (CommyHealth *health, gint64 now_ns);
/* Nobody has found anything for two intervals: there is nothing to tell others. */
gboolean commy_health_is_stale (const CommyHealth *health, gint64 interval_ns, gint64 now_ns);
/* Copies UTF-8 of others, cut between letters, without what does not belong into a line. */
void commy_health_set_reason (char out[COMMY_HEALTH_REASON_MAX], const char *reason);

/* --- what an instance says of itself --- */

#define COMMY_HEALTH_SERVING "serving"

/* (transfer full): as it stands in an instance's record: "serving", "not-serving: REASON" */
char *commy_health_write_said (gboolean serving, const char *reason);
/* What such a text means; @out_reason points into it. Anything else is UNKNOWN. */
CommyHealthState commy_health_read_said (const char *said, const char **out_reason);

/* --- history --- */

typedef struct
{
  gint64 at_ns;
  char service[COMMY_HEALTH_NAME_MAX];
  char instance[33];
  CommyHealthState from, to;
  char reason[COMMY_HEALTH_REASON_MAX];
} CommyHealthChange;

typedef struct _CommyHealthHistory CommyHealthHistory;

/* Keeps the last @most changes, none for longer than @retention_ns. */
CommyHealthHistory *commy_health_history_new (guint most, gint64 retention_ns);
void commy_health_history_free (CommyHealthHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyHealthHistory, commy_health_history_free)
void commy_health_history_add (CommyHealthHistory *history, const CommyHealthChange *change);
/* Oldest first; those that are too old at @now_ns are forgotten. */
typedef void (*CommyHealthHistoryFunc) (gpointer data, const CommyHealthChange *change);
void commy_health_history_foreach (CommyHealthHistory *history,
                                   gint64 now_ns,
                                   CommyHealthHistoryFunc func,
                                   gpointer data);
