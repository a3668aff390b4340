/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop behind --watch: one round, a pause in the main loop, where signals end it. On a
 * terminal each round begins on an empty screen; elsewhere an empty line stands between rounds,
 * and JSON is one line a round.
 */
#include "config.h"

#include "cli/commy-watch.h"

#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLEAR "\033[H\033[2J" /* an empty screen */
#define EVERY_US (2 * G_USEC_PER_SEC)
#define EVERY_MIN_US (G_USEC_PER_SEC / 10)
#define EVERY_MAX_US (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)

void
commy_watch_clear (CommyWatch *watch)
{
  g_clear_pointer (&watch->every, g_free);
}

gboolean
commy_watch_check (CommyWatch *watch, const CommyCliVerb *verb)
{
  watch->every_us = EVERY_US;
  if (watch->every == NULL)
    return TRUE;
  if (!watch->on)
    commy_cli_misuse (verb, "--every belongs to --watch");
  else if (!commy_quantity_parse_time (watch->every, &watch->every_us)
           || watch->every_us < EVERY_MIN_US || watch->every_us > EVERY_MAX_US)
    commy_cli_misuse (verb, "--every is a time with its unit, from 100ms to 1h, not \"%s\"",
                      watch->every);
  else
    return TRUE;
  return FALSE;
}

typedef struct
{
  CommyCli *cli;
  CommyWatchFunc show;
  gpointer data;
  GMainLoop *loop;
  gboolean terminal;
  gboolean again;
  gboolean over; /* a loop that does not run yet cannot be told to end */
} Rounds;

static void
end (Rounds *rounds)
{
  rounds->over = TRUE;
  g_main_loop_quit (rounds->loop);
}

static gboolean
on_interrupt (gpointer data)
{
  end (data);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_round (gpointer data)
{
  Rounds *rounds = data;

  if (rounds->terminal)
    commy_output_write (CLEAR, strlen (CLEAR));
  else if (rounds->again && !rounds->cli->json)
    commy_output_print ("\n");
  rounds->again = TRUE;
  /* What one round cannot show the next one may. */
  rounds->show (rounds->data);
  if (fflush (stdout) != 0 || ferror (stdout))
    end (rounds);
  return G_SOURCE_CONTINUE;
}

CommyExit
commy_watch_run (const CommyWatch *watch, CommyCli *cli, CommyWatchFunc show, gpointer data)
{
  g_autoptr (GMainLoop) loop = NULL;
  Rounds rounds = { .cli = cli, .show = show, .data = data };
  guint interrupt, terminate, timer;

  if (!watch->on)
    return show (data);
  loop = g_main_loop_new (NULL, FALSE);
  rounds.loop = loop;
  rounds.terminal = isatty (STDOUT_FILENO) && !cli->json;
  cli->lines = TRUE;
  interrupt = g_unix_signal_add (SIGINT, on_interrupt, &rounds);
  terminate = g_unix_signal_add (SIGTERM, on_interrupt, &rounds);
  timer = g_timeout_add ((guint) (watch->every_us / 1000), on_round, &rounds);
  on_round (&rounds);
  if (!rounds.over)
    g_main_loop_run (loop);
  g_source_remove (timer);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  return COMMY_EXIT_DONE;
}
