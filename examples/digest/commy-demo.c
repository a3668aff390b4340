/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The demo: two instances of one service, every file through both, the decisions, a kill under
 * load, and what became of the calls. Options, order of events, interruption, exit status.
 */
#include "config.h"

#include "demo.h"

#include <glib-unix.h>
#include <stdio.h>
#include <string.h>

#define EXIT_RIGHT 0
#define EXIT_WRONG 1
#define EXIT_USAGE 2
#define EXIT_INTERRUPTED 130

typedef struct
{
  char **paths;
  char *format;
  int wrong_every;
  gboolean json;
} Options;

/* --- interruption: a thread of its own, since the main one is inside calls --- */

typedef struct
{
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
  GCancellable *cancellable;
} Signals;

static gboolean
on_signal (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
  return G_SOURCE_CONTINUE;
}

static gpointer
signals_main (gpointer loop)
{
  g_main_loop_run (loop);
  return NULL;
}

static void
signals_start (Signals *self, GCancellable *cancellable)
{
  const int caught[] = { SIGINT, SIGTERM, SIGHUP };

  self->cancellable = cancellable;
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (caught); i++)
    {
      g_autoptr (GSource) source = g_unix_signal_source_new (caught[i]);

      g_source_set_callback (source, on_signal, cancellable, NULL);
      g_source_attach (source, self->context);
    }
  self->thread = g_thread_new ("signals", signals_main, self->loop);
}

static void
signals_stop (Signals *self)
{
  g_main_loop_quit (self->loop);
  g_thread_join (self->thread);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
}

/* --- decisions --- */

static gboolean
explain (CommyClient *client, DemoWhy *why, GCancellable *cancellable, GError **error)
{
  const gsize sizes[DEMO_TABLES] = { 64, 4096, 1024 * 1024 };

  for (guint i = 0; i < DEMO_TABLES; i++)
    {
      why->decisions[i] = commy_client_explain (client, sizes[i], NULL, cancellable, error);
      if (why->decisions[i] == NULL)
        return FALSE;
    }
  return TRUE;
}

/* What the instance says of itself, through a typed call. */
static char *
describe (CommyClient *client, GCancellable *cancellable, GError **error)
{
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, DIGEST_DESCRIBE, NULL, NULL, cancellable, error);
  char *text = NULL;

  if (answer == NULL)
    return NULL;
  if (!g_variant_is_of_type (answer, G_VARIANT_TYPE ("(s)")))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                           "the answer of " DIGEST_DESCRIBE " is no text");
      return NULL;
    }
  g_variant_get (answer, "(s)", &text);
  return text;
}

/* Shared memory where there is an instance to be reached by it, else the network. */
static CommyClient *
client_of_any (CommyMesh *mesh)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  CommyClient *client = commy_client_new (mesh, DIGEST_SERVICE);

  commy_requirements_set_preference (requirements, COMMY_PREFER_LOCAL, NULL);
  commy_client_set_requirements (client, requirements);
  return client;
}

static gboolean
ask_why (DemoReport *report, CommyMesh *mesh, GCancellable *cancellable, GError **error)
{
  g_autoptr (CommyClient) any = client_of_any (mesh);

  report->why[0].title = "instance A: everything is allowed";
  report->why[1].title = "instance B: its keyfile denies shared memory";
  report->why[DEMO_INSTANCES].title = "the service: any instance, a local path preferred";
  for (guint i = 0; i < DEMO_INSTANCES; i++)
    {
      CommyClient *client = report->passes[i].client;

      report->why[i].described = describe (client, cancellable, error);
      if (report->why[i].described == NULL
          || !explain (client, &report->why[i], cancellable, error))
        return FALSE;
    }
  return explain (any, &report->why[DEMO_INSTANCES], cancellable, error);
}

/* --- the order of events --- */

static gboolean
send_all (
    DemoReport *report, CommyMesh *mesh, gboolean json, GCancellable *cancellable, GError **error)
{
  const char *const titles[] = { "through instance A", "through instance B" };

  for (guint i = 0; i < DEMO_INSTANCES; i++)
    {
      g_autoptr (CommyClient) client = commy_client_new (mesh, DIGEST_SERVICE);

      commy_client_set_instance (client, report->instances[i].id);
      demo_pass_init (&report->passes[i], client, cancellable);
      if (!demo_pass_run (&report->passes[i], report->tree, titles[i], error))
        return FALSE;
    }
  if (!ask_why (report, mesh, cancellable, error))
    return FALSE;
  if (json)
    return TRUE;
  demo_report_sent (report);
  demo_report_why (report);
  return TRUE;
}

static gboolean
fall_back (
    DemoReport *report, CommyMesh *mesh, gboolean json, GCancellable *cancellable, GError **error)
{
  g_autoptr (CommyClient) any = client_of_any (mesh);

  if (!demo_fallback (&report->fallback, any, report->tree, &report->instances[0], cancellable,
                      error))
    return FALSE;
  report->after = commy_client_explain (any, 4096, NULL, cancellable, NULL);
  report->drops = commy_mesh_list_drops (mesh);
  report->took_us = g_get_monotonic_time () - report->started_us;
  if (json)
    {
      demo_report_json (report);
      return TRUE;
    }
  demo_report_fallback (report);
  demo_report_end (report);
  return TRUE;
}

static gboolean
run (DemoReport *report,
     const DemoPlace *place,
     const Options *options,
     GCancellable *cancellable,
     GError **error)
{
  g_autoptr (CommyMesh) mesh = NULL;

  if (!demo_hash (report->tree, cancellable, error)
      || !demo_instance_start (&report->instances[0], place, 0, cancellable, error)
      || !demo_instance_start (&report->instances[1], place, options->wrong_every, cancellable,
                               error))
    return FALSE;
  if (!options->json)
    demo_report_begin (report);
  mesh = commy_mesh_new (NULL, error);
  return mesh != NULL && commy_mesh_join_sync (mesh, cancellable, error)
         && send_all (report, mesh, options->json, cancellable, error)
         && fall_back (report, mesh, options->json, cancellable, error)
         && demo_instance_stop (&report->instances[1], error);
}

static void
report_clear (DemoReport *report)
{
  for (guint i = 0; i < DEMO_INSTANCES; i++)
    {
      demo_pass_clear (&report->passes[i]);
      demo_instance_clear (&report->instances[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (report->why); i++)
    {
      for (guint k = 0; k < DEMO_TABLES; k++)
        g_clear_pointer (&report->why[i].decisions[k], commy_decision_unref);
      g_free (report->why[i].described);
    }
  g_clear_pointer (&report->after, commy_decision_unref);
  g_clear_pointer (&report->drops, g_variant_unref);
  demo_pass_clear (&report->fallback.pass);
  g_free (report->fallback.under_way);
}

/* Everything that must be undone, whatever happens in between. */
static int
run_in_place (DemoTree *tree, const Options *options)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  DemoPlace *place = demo_place_new (&error);
  DemoInstance instances[DEMO_INSTANCES] = { { .label = "A" }, { .label = "B" } };
  DemoReport report
      = { .tree = tree, .instances = instances, .started_us = g_get_monotonic_time () };
  gboolean right = FALSE;
  Signals signals;

  if (place != NULL)
    {
      instances[0].keyfile = place->open;
      instances[1].keyfile = place->tls_only;
      signals_start (&signals, cancellable);
      right = run (&report, place, options, cancellable, &error) && demo_report_is_right (&report);
      report_clear (&report);
      signals_stop (&signals);
    }
  demo_place_free (place);
  if (g_cancellable_is_cancelled (cancellable))
    {
      fprintf (stderr, "commy-demo: interrupted\n");
      return EXIT_INTERRUPTED;
    }
  if (error != NULL)
    fprintf (stderr, "commy-demo: %s\n", error->message);
  return right ? EXIT_RIGHT : EXIT_WRONG;
}

/* --- options --- */

static int
misuse (const char *why)
{
  fprintf (stderr, "commy-demo: %s (see commy-demo --help)\n", why);
  return EXIT_USAGE;
}

static GOptionContext *
make_context (Options *options)
{
  const GOptionEntry entries[] = {
    { "output", 'o', 0, G_OPTION_ARG_STRING, &options->format, "text or json (text)", "FORMAT" },
    { "wrong-every", 0, 0, G_OPTION_ARG_INT, &options->wrong_every,
      "Let instance B answer each N-th digest wrongly, to see that it is noticed", "N" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->paths, NULL, "[PATH...]" },
    { NULL },
  };
  GOptionContext *context = g_option_context_new ("- every file below PATH through the mesh");

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_summary (
      context,
      "Starts two instances of the service " DIGEST_SERVICE " as two processes: A may use shared\n"
      "memory, the keyfile of B denies it, so that only TLS remains. Sends every regular file\n"
      "below PATH (default: this project's tree) through both, by call, compares the digests that\n"
      "come back with its own, and tells how each path was chosen. Then sends all files again, to\n"
      "any instance but by a local path where there is one, kills A with SIGKILL on the way, and\n"
      "tells what became of the calls. Needs no set-up and touches no mesh of yours: everything\n"
      "is in a temporary folder that is removed at the end.");
  g_option_context_set_description (
      context,
      "Files of more than 16 MiB go in pieces of that size, each with a digest of its own.\n"
      "\n"
      "Examples:\n"
      "  commy-demo /usr/share/doc\n"
      "  commy-demo -o json . | jq .fallback\n"
      "\n"
      "Exit codes: 0 every digest was right and nothing was missing, 1 not so, 2 wrong usage,\n"
      "130 interrupted.\n");
  return context;
}

static const char *
project_tree (void)
{
  const char *set = g_getenv ("COMMY_SOURCE_DIR");

  return set != NULL && set[0] != '\0' ? set : DEMO_SOURCE_DIR;
}

static void
options_clear (Options *options)
{
  g_strfreev (options->paths);
  g_free (options->format);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

int
main (int argc, char **argv)
{
  g_auto (Options) options = { NULL };
  g_autoptr (GOptionContext) context = make_context (&options);
  const char *const fallback[] = { project_tree (), NULL };
  g_autoptr (GError) error = NULL;
  DemoTree *tree;
  int status;

  if (!g_option_context_parse (context, &argc, &argv, &error))
    return misuse (error->message);
  options.json = g_strcmp0 (options.format, "json") == 0;
  if (options.format != NULL && !options.json && strcmp (options.format, "text") != 0)
    return misuse ("--output is text or json");
  tree = demo_tree_new (options.paths != NULL ? (const char *const *) options.paths : fallback);
  if (tree->files->len > 0)
    status = run_in_place (tree, &options);
  else
    {
      for (guint i = 0; i < tree->unreadable->len; i++)
        fprintf (stderr, "commy-demo: %s\n", (const char *) tree->unreadable->pdata[i]);
      status = misuse ("there is no file to send");
    }
  demo_tree_free (tree);
  return status;
}
