/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy top`: what goes on in the mesh now, on a full screen, or one frame of it as text.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-nearest.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"
#include "cli/commy-top-screen.h"

#include <glib/gi18n.h>
#include <string.h>

#define EVERY_US G_USEC_PER_SEC
#define EVERY_MIN_US (G_USEC_PER_SEC / 10)
#define EVERY_MAX_US (G_GINT64_CONSTANT (60) * G_USEC_PER_SEC)

static const CommyCliVerb verb = {
  .name = "top",
  .usage = "",
  .summary = N_ (
      "What goes on now: calls, errors and bytes a second of nodes, services and flows, and how\n"
      "long calls took (P50 and P99 of all calls since their channels were opened). Services and\n"
      "flows are counted where calls are made; a node counts those that it makes and serves. One\n"
      "that does not answer within a second is stale: its figures are as old as it says.\n\n"
      "Keys: n nodes, s services, f flows; order by c calls, e errors, b bytes, p P99, a name;\n"
      "/ filter, space pause, arrows and pages scroll, Ctrl-L draws anew, q quit."),
  .description = N_ ("Example: which service is slow, and which node makes so many calls?\n"
                     "  commy top\n"
                     "  commy top --view nodes --sort errors\n"
                     "  commy top --once --filter org.example -o json"),
  .has_format = TRUE,
};

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
  char *view, *order, *filter, *every;
  gboolean once;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->view);
  g_free (options->order);
  g_free (options->filter);
  g_free (options->every);
  g_clear_object (&options->mesh);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

typedef const char *(*NameFunc) (guint i);

static const char *
view_name (guint i)
{
  return commy_top_view_name ((CommyTopView) i);
}

static const char *
order_name (guint i)
{
  return commy_top_order_name ((CommyTopOrder) i);
}

/* Whether @word (NULL: the default stays) is one of the names; else it was told. */
static gboolean
choose (const char *option, const char *word, NameFunc name, guint n, guint *out_choice)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *all = NULL;
  g_autofree char *hint = NULL;

  for (guint i = 0; i < n; i++)
    {
      if (word != NULL && strcmp (word, name (i)) == 0)
        {
          *out_choice = i;
          return TRUE;
        }
      g_ptr_array_add (names, (gpointer) name (i));
    }
  if (word == NULL)
    return TRUE;
  g_ptr_array_add (names, NULL);
  all = g_strjoinv (", ", (char **) names->pdata);
  hint = commy_nearest_dup_hint (word, (const char *const *) names->pdata);
  commy_cli_misuse (&verb, "%s is one of %s, not \"%s\"%s", option, all, word, hint);
  return FALSE;
}

static gboolean
read_settings (Options *options, CommyTopSettings *settings)
{
  guint view = COMMY_TOP_SERVICES, order = COMMY_TOP_BY_CALLS;

  if (!choose ("--view", options->view, view_name, COMMY_TOP_VIEWS, &view)
      || !choose ("--sort", options->order, order_name, COMMY_TOP_ORDERS, &order))
    return FALSE;
  settings->view = (CommyTopView) view;
  settings->order = (CommyTopOrder) order;
  settings->filter = options->filter;
  settings->every_us = EVERY_US;
  if (options->every != NULL
      && (!commy_quantity_parse_time (options->every, &settings->every_us)
          || settings->every_us < EVERY_MIN_US || settings->every_us > EVERY_MAX_US))
    {
      commy_cli_misuse (&verb, "--every is a time with its unit, from 100ms to 1m, not \"%s\"",
                        options->every);
      return FALSE;
    }
  if (options->cli->json && !options->once)
    {
      commy_cli_misuse (&verb, "-o json belongs to --once");
      return FALSE;
    }
  return TRUE;
}

/* --- one frame --- */

static void
print_view (const CommyTopFrame *frame, CommyTopView view, const CommyTopSettings *settings)
{
  g_autoptr (GPtrArray) rows
      = commy_top_frame_list (frame, view, settings->order, settings->filter);
  g_autoptr (CommyTable) table = commy_table_new (
      commy_top_titles[0], commy_top_titles[1], commy_top_titles[2], commy_top_titles[3],
      commy_top_titles[4], commy_top_titles[5], commy_top_titles[6], commy_top_titles[7], NULL);

  for (guint i = 0; i < rows->len; i++)
    {
      char *cells[COMMY_TOP_CELLS];

      commy_top_row_format (rows->pdata[i], cells);
      for (guint j = 0; j < COMMY_TOP_CELLS; j++)
        commy_table_take (table, cells[j]);
    }
  commy_output_print ("%s\n", _ (commy_top_view_name (view)));
  commy_table_print (table);
}

/* Rates are between two looks. */
static CommyExit
print_once (Options *options, const CommyTopSettings *settings)
{
  g_autoptr (CommyTopFrame) before = commy_top_frame_new (options->mesh, NULL);
  g_autoptr (CommyTopFrame) frame = NULL;
  g_autoptr (GError) error = NULL;

  g_usleep ((gulong) settings->every_us);
  frame = commy_top_frame_new (options->mesh, before);
  if (frame->error != NULL)
    {
      g_set_error_literal (&error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE, frame->error);
      return commy_cli_fail (error);
    }
  if (options->cli->json)
    commy_cli_json (options->cli, commy_top_frame_to_variant (frame));
  else if (options->view != NULL)
    print_view (frame, settings->view, settings);
  else
    for (guint i = 0; i < COMMY_TOP_VIEWS; i++)
      {
        if (i > 0)
          commy_output_print ("\n");
        print_view (frame, (CommyTopView) i, settings);
      }
  if (frame->n_silent > 0)
    commy_cli_note ("nodes that did not answer: %u", frame->n_silent);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_top (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .cli = cli };
  const GOptionEntry entries[] = {
    { "once", 0, 0, G_OPTION_ARG_NONE, &options.once,
      N_ ("One frame as text: after --every, since rates need two looks"), NULL },
    { "view", 0, 0, G_OPTION_ARG_STRING, &options.view,
      N_ ("nodes, services or flows (services; --once: all)"), "VIEW" },
    { "sort", 0, 0, G_OPTION_ARG_STRING, &options.order,
      N_ ("calls, errors, bytes, p99 or name (calls)"), "ORDER" },
    { "filter", 0, 0, G_OPTION_ARG_STRING, &options.filter,
      N_ ("Only rows that have this in their name or place"), "TEXT" },
    { "every", 0, 0, G_OPTION_ARG_STRING, &options.every,
      N_ ("How long between two looks, from 100ms to 1m (1s)"), "TIME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  CommyTopSettings settings;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "takes no arguments");
  if (!read_settings (&options, &settings))
    return COMMY_EXIT_USAGE;
  options.mesh = commy_cli_join (cli, &error);
  if (options.mesh == NULL)
    return commy_cli_fail (error);
  if (options.once)
    return print_once (&options, &settings);
  if (!commy_top_screen_run (options.mesh, &settings, &error))
    return commy_cli_fail (error);
  return COMMY_EXIT_DONE;
}
