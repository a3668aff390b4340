/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handlers that are commands of the shell: the argument goes to its standard input, its standard
 * output is the answer.
 */
#pragma once

#include <commy/commy.h>

typedef struct _CommyServeCommands CommyServeCommands;

/* At most @threads commands run at once. */
CommyServeCommands *commy_serve_commands_new (guint threads);
/* Ends what still runs; its callers are told. Any thread. */
void commy_serve_commands_end (CommyServeCommands *commands);
/* Ends what still runs and waits for it. */
void commy_serve_commands_free (CommyServeCommands *commands);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyServeCommands, commy_serve_commands_free)

/* Calls of @method of @service run @command through /bin/sh. Before the service starts. */
void commy_serve_commands_add (CommyServeCommands *commands,
                               CommyService *service,
                               const char *service_name,
                               const char *method,
                               const char *command);
