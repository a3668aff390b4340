/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `commy services` shows beyond lists: figures of the instances of a service, round trips to
 * them, and who depends on whom.
 */
#pragma once

#include "cli/commy-cli.h"

/* Each shows it once and tells its own errors. */
CommyExit commy_service_view_stats (CommyCli *cli, CommyMesh *mesh, const char *service);
CommyExit commy_service_view_ping (CommyCli *cli, CommyMesh *mesh, const char *service, gint count);
/* @service: only edges that begin or end there; NULL for all. @dot: for Graphviz */
CommyExit
commy_service_view_deps (CommyCli *cli, CommyMesh *mesh, const char *service, gboolean dot);
