/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Alerts: a rule says which figure is bad beyond which limit, for how long until it fires, and how
 * soon it may fire again. Pure: figures and time are arguments.
 */
#pragma once

#include "config/commy-config.h"

typedef enum
{
  COMMY_ALERT_ERRORS,      /* share of calls to a service that fail */
  COMMY_ALERT_LATENCY_P99, /* ns */
  COMMY_ALERT_INSTANCES,   /* of a service that can be used */
  COMMY_ALERT_UNWELL,      /* instances */
  COMMY_ALERT_DROPS,       /* messages */
  COMMY_ALERT_MEMORY,      /* bytes of this process */
  COMMY_ALERT_LOAD,        /* of the host, average of one minute */
  COMMY_ALERT_STORE_AWAY,  /* 1 or 0 */
} CommyAlertWhen;

const char *commy_alert_when_to_string (CommyAlertWhen when);

typedef struct
{
  char *name;
  CommyAlertWhen when;
  char *service; /* "" for all */
  gboolean has_above, has_below;
  double above, below; /* in the figure's unit */
  gint64 over_ns, for_ns, cool_down_ns;
  const char *severity; /* interned: "info", "warning", "critical" */
  char **command;       /* NULL: none */
} CommyAlertRule;

/* What the group "alert NAME" says. NULL with @error, which names the place. */
CommyAlertRule *commy_alert_rule_new (CommyConfig *config, const char *group, GError **error);
void commy_alert_rule_free (CommyAlertRule *rule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAlertRule, commy_alert_rule_free)

typedef enum
{
  COMMY_ALERT_QUIET,
  COMMY_ALERT_PENDING, /* bad, but not for long enough, or too soon after it fired */
  COMMY_ALERT_FIRING,
} CommyAlertState;

const char *commy_alert_state_to_string (CommyAlertState state);

typedef struct
{
  CommyAlertState state;
  gint64 since_ns; /* of the state */
  gboolean known;  /* there was a figure the last time */
  double value;    /* the last figure */
  gboolean fired;  /* at all, */
  gint64 fired_ns; /* the last time */
} CommyAlert;

typedef enum
{
  COMMY_ALERT_SAME,
  COMMY_ALERT_FIRED,
  COMMY_ALERT_OVER,
} CommyAlertStep;

/* @value: NULL if there is no figure, which is not bad. */
CommyAlertStep commy_alert_step (CommyAlert *alert,
                                 const CommyAlertRule *rule,
                                 const double *value,
                                 gint64 now_ns);
/* (transfer full): "errors of org.example.Echo: 12.5% (limit: above 5%)" */
char *commy_alert_describe (const CommyAlert *alert, const CommyAlertRule *rule);
