/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `commy plugin` does for authors of plugins: verify, bench, new. Each has a file of its own.
 */
#pragma once

#include "cli/commy-cli.h"

typedef struct
{
  char *on;          /* verify: the transport that a hook is put on */
  char **params;     /* NAME=VALUE */
  char *credentials; /* folder */
  char *rule;        /* verify: only those whose names begin so, or NULL */
  int seconds;       /* for each rule; a positive number */
} CommyPluginWork;

CommyExit commy_plugin_verify (CommyCli *cli, const char *path, const CommyPluginWork *work);
CommyExit commy_plugin_bench (CommyCli *cli, const char *path, const CommyPluginWork *work);
/* Writes a folder NAME into the current one. */
CommyExit commy_plugin_new (const char *kind, const char *name);
