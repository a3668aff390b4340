/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process of a door, as the keeper starts, limits and ends it. That it has ended is known by
 * its socket; nobody waits for it but who ends it here, so that its number is its own until then.
 */
#pragma once

#include "daemon/commyd-server.h"

/* Starts the program; the other end of @out_fd is its descriptor 3. (CommydSpawnFunc) */
gboolean commyd_door_spawn (CommydServer *server, GPid *out_pid, int *out_fd, GError **error);
/* What became of it, if it had ended by itself before. (transfer full) */
char *commyd_door_kill (GPid pid);
/* As many descriptors as connections, and some of its own; as much memory as what may wait can
 * take. The hard limits stay, so that settings may raise them; where it is forbidden to set limits,
 * it has those of the keeper. */
void commyd_door_limit (GPid pid, const CommydLimits *limits);
