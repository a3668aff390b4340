/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy subscribe`: prints what is published to the topics that match a pattern.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DEPTH 256
#define SHOWN_BYTES 64u

static const CommyCliVerb verb = {
  .name = "subscribe",
  .usage = "PATTERN",
  .summary = N_ ("Prints what is published: topic, number and value, or one line of JSON each,\n"
                 "until interrupted. In PATTERN a part that is * stands for exactly one part, and\n"
                 "** at the end for whatever follows (quoted for the shell). What was missed is\n"
                 "told with its reason."),
  .description
  = N_ ("Policies for when this command does not keep up: block (the publisher waits\n"
        "if it wants to), drop-oldest, latest (only the newest is kept) and error (it ends).\n\n"
        "Example: everything of the sensors, and one value of one of them\n"
        "  commy subscribe 'sensors.**' --history 10\n"
        "  commy subscribe sensors.temp --history 1 --count 1 -o json"),
  .has_format = TRUE,
};

typedef struct
{
  char *policy;
  char *timeout;
  char **transports;
  int depth;
  int history;
  int count;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->policy);
  g_free (options->timeout);
  g_strfreev (options->transports);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

typedef struct
{
  CommyCli *cli;
  GMainLoop *loop;
  gint64 left; /* -1: no end */
  GError *error;
} Reader;

/* --- what comes --- */

static char *
dup_text (CommyPublication *publication)
{
  GBytes *bytes = commy_publication_get_bytes (publication);
  gsize size;
  const char *data;

  if (bytes == NULL)
    return g_variant_print (commy_publication_get_value (publication), TRUE);
  data = g_bytes_get_data (bytes, &size);
  if (size <= SHOWN_BYTES && g_utf8_validate_len (data, size, NULL))
    {
      g_autofree char *text = g_strndup (data, size);

      return commy_output_clean (text, FALSE);
    }
  return commy_quantity_format_size (size);
}

static GVariant *
to_record (CommyPublication *publication)
{
  GVariant *value = commy_publication_get_value (publication);
  const char *reason = commy_publication_get_reason (publication);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "topic",
                         g_variant_new_string (commy_publication_get_topic (publication)));
  g_variant_builder_add (&builder, "{sv}", "publisher",
                         g_variant_new_string (commy_publication_get_publisher (publication)));
  g_variant_builder_add (&builder, "{sv}", "number",
                         g_variant_new_uint64 (commy_publication_get_sequence (publication)));
  g_variant_builder_add (&builder, "{sv}", "history",
                         g_variant_new_boolean (commy_publication_is_history (publication)));
  g_variant_builder_add (&builder, "{sv}", "lost",
                         g_variant_new_uint64 (commy_publication_get_lost (publication)));
  if (reason != NULL)
    g_variant_builder_add (&builder, "{sv}", "reason", g_variant_new_string (reason));
  g_variant_builder_add (
      &builder, "{sv}", value != NULL ? "value" : "bytes",
      value != NULL ? value
                    : g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING,
                                                commy_publication_get_bytes (publication), TRUE));
  return g_variant_builder_end (&builder);
}

static void
on_publication (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  Reader *reader = data;

  if (reader->left == 0)
    return;
  if (reader->cli->json)
    commy_cli_json (reader->cli, to_record (publication));
  else
    {
      g_autofree char *text = dup_text (publication);

      commy_output_print ("%s #%" G_GUINT64_FORMAT " %s\n",
                          commy_publication_get_topic (publication),
                          commy_publication_get_sequence (publication), text);
    }
  if (reader->left > 0)
    reader->left--;
  if (reader->left == 0 || fflush (stdout) != 0 || ferror (stdout))
    g_main_loop_quit (reader->loop);
}

static void
on_lost (CommySubscription *subscription,
         const char *topic,
         const char *publisher,
         guint64 count,
         const char *reason,
         gpointer data)
{
  commy_cli_note ("%s: %" G_GUINT64_FORMAT " missed (%s)", topic, count, reason);
}

static void
on_removed (CommySubscription *subscription,
            const char *topic,
            const char *publisher,
            const GError *error,
            gpointer data)
{
  Reader *reader = data;

  if (error == NULL)
    return;
  commy_cli_note ("%s: %s", topic, error->message);
  /* The policy "error" was asked for; and who is denied waits in vain. */
  if (reader->error == NULL
      && (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED)
          || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_BUSY)))
    {
      reader->error = g_error_copy (error);
      g_main_loop_quit (reader->loop);
    }
}

/* --- the loop --- */

static gboolean
on_interrupt (gpointer data)
{
  g_main_loop_quit (((Reader *) data)->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_timeout (gpointer data)
{
  Reader *reader = data;

  commy_cli_set_error (&reader->error, COMMY_ERROR_DEADLINE, "%s",
                       _ ("the time given with --timeout passed"));
  g_main_loop_quit (reader->loop);
  return G_SOURCE_CONTINUE;
}

static void
read_on (Reader *reader, gint64 timeout_us)
{
  guint interrupt = g_unix_signal_add (SIGINT, on_interrupt, reader);
  guint terminate = g_unix_signal_add (SIGTERM, on_interrupt, reader);
  guint timer = timeout_us > 0 ? g_timeout_add ((guint) MIN (timeout_us / 1000 + 1, G_MAXINT),
                                                on_timeout, reader)
                               : 0;

  g_main_loop_run (reader->loop);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  if (timer != 0)
    g_source_remove (timer);
}

static CommyExit
run (CommyCli *cli,
     const char *pattern,
     const CommySubscribeOptions *wishes,
     gint64 left,
     gint64 timeout_us)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Reader reader = { .cli = cli, .loop = loop, .left = left };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_cli_join (cli, &error);
  g_autoptr (CommySubscription) subscription = NULL;

  cli->lines = TRUE;
  if (mesh != NULL)
    subscription
        = commy_mesh_subscribe (mesh, pattern, wishes, on_publication, &reader, NULL, &error);
  if (subscription == NULL)
    return commy_cli_fail (error);
  g_signal_connect (subscription, "lost", G_CALLBACK (on_lost), &reader);
  g_signal_connect (subscription, "publisher-removed", G_CALLBACK (on_removed), &reader);
  read_on (&reader, timeout_us);
  commy_subscription_close (subscription);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  error = g_steal_pointer (&reader.error);
  return error != NULL ? commy_cli_fail (error) : COMMY_EXIT_DONE;
}

/* --- arguments --- */

/* 0: no such policy */
static CommySlowPolicy
policy_of (const char *word)
{
  static const char *const words[] = { "", "block", "drop-oldest", "latest", "error" };

  for (guint i = COMMY_SLOW_BLOCK; i <= COMMY_SLOW_ERROR; i++)
    if (strcmp (words[i], word) == 0)
      return i;
  return 0;
}

/* NULL: nothing is wrong. */
static const char *
find_misuse (const Options *options, char **arguments)
{
  if (g_strv_length (arguments) != 2)
    return N_ ("needs one pattern of topics");
  if (options->policy != NULL && policy_of (options->policy) == 0)
    return N_ ("--policy is block, drop-oldest, latest or error");
  if (options->depth < 1)
    return N_ ("--depth is 1 or more");
  if (options->history < 0 || options->count < 0)
    return N_ ("--history and --count are 0 or more");
  return NULL;
}

static CommySubscribeOptions *
to_wishes (const Options *options)
{
  CommySubscribeOptions *wishes = commy_subscribe_options_new ();
  g_autoptr (CommyRequirements) requirements = NULL;

  commy_subscribe_options_set_policy (
      wishes, options->policy != NULL ? policy_of (options->policy) : COMMY_SLOW_DROP_OLDEST,
      (guint) options->depth);
  commy_subscribe_options_set_history (wishes, (guint) options->history);
  if (options->transports == NULL)
    return wishes;
  requirements = commy_requirements_new ();
  commy_requirements_set_preference (
      requirements, g_strv_length (options->transports) == 1 ? COMMY_PREFER_PIN : COMMY_PREFER_LIST,
      (const char *const *) options->transports);
  commy_subscribe_options_set_requirements (wishes, requirements);
  return wishes;
}

CommyExit
commy_cmd_subscribe (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .depth = DEPTH };
  const GOptionEntry entries[] = {
    { "history", 0, 0, G_OPTION_ARG_INT, &options.history,
      N_ ("First the last ones that each publisher keeps"), "N" },
    { "policy", 0, 0, G_OPTION_ARG_STRING, &options.policy,
      N_ ("When this command is slow (drop-oldest)"), "POLICY" },
    { "depth", 0, 0, G_OPTION_ARG_INT, &options.depth,
      N_ ("So many wait for it at the publisher (256)"), "N" },
    { "count", 'n', 0, G_OPTION_ARG_INT, &options.count, N_ ("End after so many"), "N" },
    { "timeout", 't', 0, G_OPTION_ARG_STRING, &options.timeout, N_ ("End after this time"),
      "TIME" },
    { "transport", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.transports,
      N_ ("Only over this one; given more than once: the first that is allowed"), "ID" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommySubscribeOptions) wishes = NULL;
  gint64 timeout_us = 0;
  const char *misuse;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  misuse = find_misuse (&options, arguments);
  if (misuse != NULL)
    return commy_cli_misuse (&verb, "%s", _ (misuse));
  if (options.timeout != NULL && !commy_quantity_parse_time (options.timeout, &timeout_us))
    return commy_cli_misuse (&verb, "\"%s\" is no time with its unit, such as 2s or 250ms",
                             options.timeout);
  wishes = to_wishes (&options);
  return run (cli, arguments[1], wishes, options.count > 0 ? options.count : -1, timeout_us);
}
