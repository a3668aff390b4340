/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy publish`: publishes a value to a topic, once, again and again, or for who comes later.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <string.h>

#define MAX_COUNT 10000000
#define TIMEOUT_US (10 * G_USEC_PER_SEC)

static const CommyCliVerb verb = {
  .name = "publish",
  .usage = "TOPIC [VALUE]",
  .summary = N_ ("Publishes VALUE, in GVariant text: 21.5, 'text' (quoted for the shell too),\n"
                 "{'key': <true>}. Waits for a subscriber first, so that it reaches somebody."),
  .description = N_ ("A VALUE that begins with \"-\" stands behind \"--\".\n\n"
                     "Example: once, ten times, and as the last value for whoever comes\n"
                     "  commy publish sensors.temp 21.5\n"
                     "  commy publish sensors.temp 21.5 --count 10 --every 100ms\n"
                     "  commy publish sensors.temp 21.5 --history 1 --keep"),
  .has_format = TRUE,
};

typedef struct
{
  char *bytes;
  char *every;
  char *timeout;
  int count;
  int history;
  int wait;
  gboolean keep;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->bytes);
  g_free (options->every);
  g_free (options->timeout);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

typedef struct
{
  GMainLoop *loop;
  CommyPublisher *publisher;
  GVariant *value; /* or */
  GBytes *bytes;
  guint left;  /* still to be published */
  guint reach; /* the most subscribers that one publication had */
  GError *error;
  gboolean interrupted;
} Job;

static void
job_clear (Job *job)
{
  g_clear_pointer (&job->loop, g_main_loop_unref);
  g_clear_object (&job->publisher);
  g_clear_pointer (&job->value, g_variant_unref);
  g_clear_pointer (&job->bytes, g_bytes_unref);
  g_clear_error (&job->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Job, job_clear)

/* --- waiting --- */

static gboolean
on_interrupt (gpointer data)
{
  Job *job = data;

  job->interrupted = TRUE;
  g_main_loop_quit (job->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_timeout (gpointer data)
{
  Job *job = data;

  commy_cli_set_error (&job->error, COMMY_ERROR_NO_SERVICE,
                       "%u subscribe to %s; with --wait 0 it is published all the same",
                       commy_publisher_get_subscribers (job->publisher),
                       commy_publisher_get_topic (job->publisher));
  g_main_loop_quit (job->loop);
  return G_SOURCE_CONTINUE;
}

static void
on_subscribers (Job *job)
{
  g_main_loop_quit (job->loop);
}

/* Whether they came. */
static gboolean
await_subscribers (Job *job, guint wanted, gint64 timeout_us)
{
  guint timer = g_timeout_add ((guint) MIN (timeout_us / 1000, G_MAXINT), on_timeout, job);
  gulong handler = g_signal_connect_swapped (job->publisher, "notify::subscribers",
                                             G_CALLBACK (on_subscribers), job);

  while (commy_publisher_get_subscribers (job->publisher) < wanted && job->error == NULL
         && !job->interrupted)
    g_main_loop_run (job->loop);
  g_signal_handler_disconnect (job->publisher, handler);
  g_source_remove (timer);
  return job->error == NULL && !job->interrupted;
}

/* --- publishing --- */

static gboolean
publish_once (Job *job)
{
  job->reach = MAX (job->reach, commy_publisher_get_subscribers (job->publisher));
  job->left--;
  if (job->bytes != NULL)
    return commy_publisher_publish_bytes (job->publisher, job->bytes, &job->error);
  return commy_publisher_publish (job->publisher, job->value, &job->error);
}

static gboolean
on_every (gpointer data)
{
  Job *job = data;

  if (!publish_once (job) || job->left == 0)
    g_main_loop_quit (job->loop);
  return G_SOURCE_CONTINUE;
}

static void
publish_all (Job *job, gint64 every_us)
{
  guint timer;

  if (every_us == 0)
    {
      while (job->left > 0 && publish_once (job) && !job->interrupted)
        g_main_context_iteration (NULL, FALSE);
      return;
    }
  if (!publish_once (job) || job->left == 0)
    return;
  timer = g_timeout_add ((guint) MAX (every_us / 1000, 1), on_every, job);
  g_main_loop_run (job->loop);
  g_source_remove (timer);
}

static void
report (CommyCli *cli, const Job *job)
{
  guint64 published = commy_publisher_get_published (job->publisher);
  guint64 dropped = commy_publisher_get_dropped (job->publisher);
  GVariantBuilder builder;

  if (!cli->json)
    {
      commy_output_print (_ ("published %" G_GUINT64_FORMAT " to %s; subscribers: %u, dropped: "
                             "%" G_GUINT64_FORMAT "\n"),
                          published, commy_publisher_get_topic (job->publisher), job->reach,
                          dropped);
      return;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "topic",
                         g_variant_new_string (commy_publisher_get_topic (job->publisher)));
  g_variant_builder_add (&builder, "{sv}", "published", g_variant_new_uint64 (published));
  g_variant_builder_add (&builder, "{sv}", "subscribers", g_variant_new_uint32 (job->reach));
  g_variant_builder_add (&builder, "{sv}", "dropped", g_variant_new_uint64 (dropped));
  commy_cli_json (cli, g_variant_builder_end (&builder));
}

static void
work (Job *job, const Options *options, gint64 every_us, gint64 timeout_us)
{
  if (options->wait > 0 && !await_subscribers (job, (guint) options->wait, timeout_us))
    return;
  publish_all (job, every_us);
  if (job->error == NULL && options->keep && !job->interrupted)
    g_main_loop_run (job->loop);
  if (job->error == NULL)
    commy_publisher_drain_sync (job->publisher, timeout_us, &job->error);
}

static CommyExit
run (CommyCli *cli,
     const Options *options,
     const char *topic,
     Job *job,
     gint64 every_us,
     gint64 timeout_us)
{
  g_autoptr (CommyPublisherOptions) settings = commy_publisher_options_new ();
  g_autoptr (CommyMesh) mesh = commy_cli_join (cli, &job->error);
  guint interrupt, terminate;

  if (mesh == NULL)
    return commy_cli_fail (job->error);
  commy_publisher_options_set_history (settings, (guint) options->history);
  job->publisher = commy_publisher_new (mesh, topic, settings);
  if (!commy_publisher_start_sync (job->publisher, NULL, &job->error))
    return commy_cli_fail (job->error);
  job->loop = g_main_loop_new (NULL, FALSE);
  job->left = (guint) options->count;
  interrupt = g_unix_signal_add (SIGINT, on_interrupt, job);
  terminate = g_unix_signal_add (SIGTERM, on_interrupt, job);
  work (job, options, every_us, timeout_us);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  commy_publisher_close (job->publisher);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  if (job->error != NULL)
    return commy_cli_fail (job->error);
  report (cli, job);
  return COMMY_EXIT_DONE;
}

/* --- arguments --- */

/* NULL: nothing is wrong. */
static const char *
find_misuse (const Options *options, char **arguments)
{
  guint n = g_strv_length (arguments);

  if (n < 2)
    return N_ ("needs a topic");
  if (n > 3 || (options->bytes != NULL) == (n == 3))
    return N_ ("needs one value, or --bytes");
  if (options->count < 1 || options->count > MAX_COUNT)
    return N_ ("--count is from 1 to 10000000");
  if (options->history < 0 || options->wait < 0)
    return N_ ("--history and --wait are 0 or more");
  return NULL;
}

static gboolean
read_time (const char *text, gint64 *out_us)
{
  if (text == NULL || commy_quantity_parse_time (text, out_us))
    return TRUE;
  commy_cli_misuse (&verb, "\"%s\" is no time with its unit, such as 2s or 250ms", text);
  return FALSE;
}

static gboolean
read_value (Job *job, const Options *options, const char *word)
{
  g_autoptr (GError) error = NULL;

  if (options->bytes != NULL)
    {
      job->bytes = g_bytes_new (options->bytes, strlen (options->bytes));
      return TRUE;
    }
  if (g_utf8_validate (word, -1, NULL))
    job->value = g_variant_parse (NULL, word, NULL, NULL, &error);
  if (job->value != NULL)
    return TRUE;
  commy_cli_misuse (&verb, "VALUE is no value in GVariant text: %s; a string is written \"'text'\"",
                    error != NULL ? error->message : _ ("no UTF-8"));
  return FALSE;
}

CommyExit
commy_cmd_publish (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .count = 1, .wait = -1 };
  const GOptionEntry entries[] = {
    { "bytes", 'b', 0, G_OPTION_ARG_STRING, &options.bytes, N_ ("Publish these raw bytes"),
      "TEXT" },
    { "count", 'n', 0, G_OPTION_ARG_INT, &options.count, N_ ("Publish so often"), "N" },
    { "every", 0, 0, G_OPTION_ARG_STRING, &options.every, N_ ("Time between them"), "TIME" },
    { "history", 0, 0, G_OPTION_ARG_INT, &options.history,
      N_ ("Keep the last ones for subscribers that come later"), "N" },
    { "keep", 0, 0, G_OPTION_ARG_NONE, &options.keep, N_ ("Stay until interrupted"), NULL },
    { "wait", 0, 0, G_OPTION_ARG_INT, &options.wait,
      N_ ("For so many subscribers (1; with --keep 0)"), "N" },
    { "timeout", 't', 0, G_OPTION_ARG_STRING, &options.timeout, N_ ("To wait for them (10s)"),
      "TIME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_auto (Job) job = { NULL };
  gint64 every_us = 0, timeout_us = TIMEOUT_US;
  const char *misuse;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (options.wait < 0)
    options.wait = options.keep ? 0 : 1;
  misuse = find_misuse (&options, arguments);
  if (misuse != NULL)
    return commy_cli_misuse (&verb, "%s", _ (misuse));
  if (!read_time (options.every, &every_us) || !read_time (options.timeout, &timeout_us)
      || !read_value (&job, &options, arguments[2]))
    return COMMY_EXIT_USAGE;
  return run (cli, &options, arguments[1], &job, every_us, timeout_us);
}
