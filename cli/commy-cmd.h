/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verbs. Each takes what all share and its own arguments, the verb first, and returns the
 * exit code.
 */
#pragma once

#include "cli/commy-cli.h"

typedef CommyExit (*CommyCmdFunc) (CommyCli *cli, char **argv);

CommyExit commy_cmd_serve (CommyCli *cli, char **argv);
CommyExit commy_cmd_call (CommyCli *cli, char **argv);
CommyExit commy_cmd_services (CommyCli *cli, char **argv);
CommyExit commy_cmd_plugin (CommyCli *cli, char **argv);
CommyExit commy_cmd_route (CommyCli *cli, char **argv);
CommyExit commy_cmd_node (CommyCli *cli, char **argv);
CommyExit commy_cmd_config (CommyCli *cli, char **argv);
