/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's child that looks whether instances are well (commyd-look.h): started where the
 * keyfile has anything to look at, and again when it ends, less and less often while it fails.
 */
#pragma once

#include "config/commy-config.h"

typedef struct _CommydLooker CommydLooker;

/* The strings are kept, not copied. */
CommydLooker *commyd_looker_new (const char *mesh, const char *socket, CommyConfig *config);
/* Ends the child and waits for it. */
void commyd_looker_free (CommydLooker *looker);
/* Settings were read again: a child that there is begins anew with them. */
void commyd_looker_configure (CommydLooker *looker, CommyConfig *config);
