/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Showing the same thing again and again until interrupted: what --watch does.
 */
#pragma once

#include "cli/commy-cli.h"

typedef struct
{
  gboolean on;
  char *every; /* as given; NULL: every two seconds */
  gint64 every_us;
} CommyWatch;

/* Two rows of a table of options. */
#define COMMY_WATCH_OPTIONS(watch)                                                                \
  {                                                                                               \
    "watch", 'w', 0, G_OPTION_ARG_NONE, &(watch).on, N_ ("Show it again until interrupted"), NULL \
  },                                                                                              \
  {                                                                                               \
    "every", 0, 0, G_OPTION_ARG_STRING, &(watch).every,                                           \
        N_ ("How long --watch waits in between, from 100ms to 1h (2s); or --watch=TIME"), "TIME"  \
  }

void commy_watch_clear (CommyWatch *watch);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyWatch, commy_watch_clear)

/* Whether the options make sense; else it was told. */
gboolean commy_watch_check (CommyWatch *watch, const CommyCliVerb *verb);

/* Shows it once; tells its own errors. */
typedef CommyExit (*CommyWatchFunc) (gpointer data);

/* Once, or until interrupted: then COMMY_EXIT_DONE, whatever was shown. */
CommyExit
commy_watch_run (const CommyWatch *watch, CommyCli *cli, CommyWatchFunc show, gpointer data);
