/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verbs. Each takes what all share and its own arguments, the verb first, and returns the
 * exit code.
 */
#pragma once

#include "cli/commy-cli.h"

typedef CommyExit (*CommyCmdFunc) (CommyCli *cli, char **argv);

/* What somebody wants who looks for a verb. A row without one is about setting up. */
typedef enum
{
  COMMY_TASK_SET_UP,
  COMMY_TASK_USE,
  COMMY_TASK_LOOK,
  COMMY_TASK_UNDERSTAND,
  COMMY_TASK_HIDDEN, /* for programs */
} CommyTask;

typedef struct
{
  const char *name;
  CommyCmdFunc func;
  const char *summary;
  const char *example;
  CommyTask task;
} CommyVerb;

/* The table of verbs, from which help and completion are made. */
const CommyVerb *commy_verbs (guint *out_n);
const CommyVerb *commy_verbs_find (const char *name);

CommyExit commy_cmd_serve (CommyCli *cli, char **argv);
CommyExit commy_cmd_call (CommyCli *cli, char **argv);
CommyExit commy_cmd_services (CommyCli *cli, char **argv);
CommyExit commy_cmd_plugin (CommyCli *cli, char **argv);
CommyExit commy_cmd_route (CommyCli *cli, char **argv);
CommyExit commy_cmd_node (CommyCli *cli, char **argv);
CommyExit commy_cmd_policy (CommyCli *cli, char **argv);
CommyExit commy_cmd_authz (CommyCli *cli, char **argv);
CommyExit commy_cmd_config (CommyCli *cli, char **argv);
CommyExit commy_cmd_introspect (CommyCli *cli, char **argv);
CommyExit commy_cmd_nodes (CommyCli *cli, char **argv);
CommyExit commy_cmd_stats (CommyCli *cli, char **argv);
CommyExit commy_cmd_drops (CommyCli *cli, char **argv);
CommyExit commy_cmd_doctor (CommyCli *cli, char **argv);
CommyExit commy_cmd_help (CommyCli *cli, char **argv);
CommyExit commy_cmd_publish (CommyCli *cli, char **argv);
CommyExit commy_cmd_subscribe (CommyCli *cli, char **argv);
CommyExit commy_cmd_bridge (CommyCli *cli, char **argv);
CommyExit commy_cmd_schema (CommyCli *cli, char **argv);
CommyExit commy_cmd_simulate (CommyCli *cli, char **argv);
CommyExit commy_cmd_codegen (CommyCli *cli, char **argv);
CommyExit commy_cmd_health (CommyCli *cli, char **argv);
CommyExit commy_cmd_audit (CommyCli *cli, char **argv);
CommyExit commy_cmd_alerts (CommyCli *cli, char **argv);
CommyExit commy_cmd_store (CommyCli *cli, char **argv);
CommyExit commy_cmd_endpoints (CommyCli *cli, char **argv);
CommyExit commy_cmd_top (CommyCli *cli, char **argv);
CommyExit commy_cmd_complete (CommyCli *cli, char **argv);
