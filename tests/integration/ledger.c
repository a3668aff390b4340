/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that keeps a book of its calls: it offers a service, calls it, or does both,
 * and knows nothing of hosts, stores and transports. Each line is one write, there whatever comes:
 *
 *   x CALLER NUMBER           carried out (before it is answered)
 *   s NUMBER KIND TIME        sent; KIND: "once" or "again" (idempotent), sync or async
 *   a NUMBER TIME INSTANCE    answered, by whom
 *   f NUMBER TIME CODE TEXT   failed
 *   m BYTES                   of malloc()'s memory in use, twice a second
 *
 *   ledger BOOK NAME [--offer] [--call] ... (--help has the rest)
 * SIGTERM ends the load, waits for what is under way, and leaves.
 */
#include <commy/commy.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#define INTERFACE "org.example.Ledger"
#define N_ASYNC 4u
#define MEMORY_MS 500

static const char interface_xml[] = "<node><interface name='" INTERFACE "'><method name='Enter'>"
                                    "<arg name='caller' type='s' direction='in'/>"
                                    "<arg name='number' type='t' direction='in'/>"
                                    "<arg name='number' type='t' direction='out'/>"
                                    "<arg name='by' type='s' direction='out'/>"
                                    "</method></interface></node>";

typedef struct
{
  CommyMesh *mesh;
  const char *name;
  char *service;
  int book;
  gint64 pause_us;
  gint64 timeout_us;
  guint64 last; /* number given out; atomic */
  gint is_over; /* atomic */
} Program;

/* One of the loads: a thread with a client. */
typedef struct
{
  Program *program;
  gboolean is_again;
  gboolean is_async;
  CommyClient *client;
  CommyCallOptions *options;
  guint n_pending;
} Load;

typedef struct
{
  Load *load;
  guint64 number;
} Entry;

/* --- the book --- */

static void write_line (Program *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
write_line (Program *self, const char *format, ...)
{
  g_autofree char *line = NULL;
  va_list arguments;

  va_start (arguments, format);
  line = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  if (write (self->book, line, strlen (line)) != (gssize) strlen (line))
    g_error ("the book cannot be written: %s", g_strerror (errno));
}

/* --- offering --- */

static void
enter (CommyService *service, CommyInvocation *call, gpointer user_data)
{
  Program *self = user_data;
  const char *caller;
  guint64 number;

  g_variant_get (commy_invocation_get_parameters (call), "(&st)", &caller, &number);
  write_line (self, "x %s %" G_GUINT64_FORMAT "\n", caller, number);
  commy_invocation_return_value (call, g_variant_new ("(ts)", number, self->name));
}

static CommyService *
offer (Program *self)
{
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (interface_xml, NULL);
  CommyService *service = commy_service_new (self->mesh, self->service, node->interfaces[0]);
  g_autoptr (GError) error = NULL;

  commy_service_handle (service, "Enter", enter, self, NULL);
  if (!commy_service_start_sync (service, NULL, &error))
    g_error ("%s", error->message);
  return service;
}

/* --- calling --- */

static guint64
note_sent (Load *load)
{
  Program *self = load->program;
  guint64 number = __atomic_add_fetch (&self->last, 1, __ATOMIC_RELAXED);

  write_line (self, "s %" G_GUINT64_FORMAT " %s-%s %" G_GINT64_FORMAT "\n", number,
              load->is_async ? "async" : "sync", load->is_again ? "again" : "once",
              g_get_monotonic_time ());
  return number;
}

static void
note_end (Load *load, guint64 number, GVariant *answer, const GError *error)
{
  Program *self = load->program;
  gint64 now = g_get_monotonic_time ();
  guint64 said = 0;
  const char *by = NULL;

  if (answer != NULL)
    {
      g_variant_get (answer, "(t&s)", &said, &by);
      if (said != number)
        g_error ("number %" G_GUINT64_FORMAT " was answered as %" G_GUINT64_FORMAT, number, said);
      write_line (self, "a %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %s\n", number, now, by);
      return;
    }
  write_line (self, "f %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %d %s\n", number, now,
              error->domain == COMMY_ERROR ? error->code : -1, error->message);
}

static GVariant *
arguments (Load *load, guint64 number)
{
  return g_variant_new ("(st)", load->program->name, number);
}

static void
call_now (Load *load)
{
  guint64 number = note_sent (load);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (
      load->client, "Enter", arguments (load, number), load->options, NULL, &error);

  note_end (load, number, answer, error);
}

static void
on_called (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree Entry *entry = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  entry->load->n_pending--;
  note_end (entry->load, entry->number, answer, error);
}

static void
call_later (Load *load)
{
  Entry *entry = g_new (Entry, 1);

  entry->load = load;
  entry->number = note_sent (load);
  load->n_pending++;
  commy_client_call (load->client, "Enter", arguments (load, entry->number), load->options, NULL,
                     on_called, entry);
}

/* A few calls at once, and others as these end. */
static void
run_async (Load *load)
{
  GMainContext *context = g_main_context_get_thread_default ();

  while (load->n_pending > 0 || g_atomic_int_get (&load->program->is_over) == 0)
    {
      while (load->n_pending < N_ASYNC && g_atomic_int_get (&load->program->is_over) == 0)
        call_later (load);
      g_main_context_iteration (context, TRUE);
      g_usleep ((gulong) load->program->pause_us);
    }
}

static void
run_sync (Load *load)
{
  while (g_atomic_int_get (&load->program->is_over) == 0)
    {
      call_now (load);
      g_usleep ((gulong) load->program->pause_us);
    }
}

/* The loop of an asynchronous load is its own; a synchronous one has none. */
static gpointer
run_load (gpointer data)
{
  Load *load = data;
  g_autoptr (GMainContext) context = load->is_async ? g_main_context_new () : NULL;

  if (context != NULL)
    g_main_context_push_thread_default (context);
  load->client = commy_client_new (load->program->mesh, load->program->service);
  load->options = commy_call_options_new ();
  commy_call_options_set_timeout (load->options, load->program->timeout_us);
  commy_call_options_set_idempotent (load->options, load->is_again);
  if (load->is_async)
    run_async (load);
  else
    run_sync (load);
  g_clear_object (&load->client);
  commy_call_options_free (load->options);
  if (context != NULL)
    g_main_context_pop_thread_default (context);
  return NULL;
}

/* --- the program --- */

static gboolean
note_memory (gpointer data)
{
  const struct mallinfo2 heap = mallinfo2 ();

  write_line (data, "m %zu\n", heap.uordblks + heap.hblkhd);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_term (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_CONTINUE;
}

static void
run (Program *self, gboolean is_offering, gboolean is_calling)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (CommyService) service = is_offering ? offer (self) : NULL;
  Load loads[] = { { .program = self },
                   { .program = self, .is_again = TRUE },
                   { .program = self, .is_async = TRUE },
                   { .program = self, .is_again = TRUE, .is_async = TRUE } };
  GThread *threads[G_N_ELEMENTS (loads)] = { NULL };
  guint term = g_unix_signal_add (SIGTERM, on_term, loop);
  guint memory = g_timeout_add (MEMORY_MS, note_memory, self);

  for (guint i = 0; is_calling && i < G_N_ELEMENTS (loads); i++)
    threads[i] = g_thread_new ("load", run_load, &loads[i]);
  write_line (self, "ready\n");
  g_main_loop_run (loop);
  g_atomic_int_set (&self->is_over, 1);
  for (guint i = 0; i < G_N_ELEMENTS (loads); i++)
    if (threads[i] != NULL)
      g_thread_join (threads[i]);
  g_source_remove (memory);
  g_source_remove (term);
}

static gboolean
read_arguments (Program *self,
                int *argc,
                char ***argv,
                gboolean *is_offering,
                gboolean *is_calling,
                GError **error)
{
  gint64 pause_us = 1000;
  gint64 timeout_ms = 2000;
  const GOptionEntry entries[]
      = { { "offer", 0, 0, G_OPTION_ARG_NONE, is_offering, "offer the service", NULL },
          { "call", 0, 0, G_OPTION_ARG_NONE, is_calling, "call it", NULL },
          { "service", 0, 0, G_OPTION_ARG_STRING, &self->service, "its name", "SERVICE" },
          { "pause", 0, 0, G_OPTION_ARG_INT64, &pause_us, "microseconds between calls", "N" },
          { "timeout", 0, 0, G_OPTION_ARG_INT64, &timeout_ms, "milliseconds of a call", "N" },
          G_OPTION_ENTRY_NULL };
  g_autoptr (GOptionContext) context = g_option_context_new ("BOOK NAME");

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc != 3)
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                           "it takes the path of a book and a name");
      return FALSE;
    }
  if (self->service == NULL)
    self->service = g_strdup (INTERFACE);
  self->name = (*argv)[2];
  self->pause_us = pause_us;
  self->timeout_us = timeout_ms * 1000;
  return TRUE;
}

int
main (int argc, char **argv)
{
  Program self = { .book = -1 };
  gboolean is_offering = FALSE;
  gboolean is_calling = FALSE;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;

  if (!read_arguments (&self, &argc, &argv, &is_offering, &is_calling, &error))
    g_error ("%s", error->message);
  self.book = open (argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (self.book < 0)
    g_error ("%s: %s", argv[1], g_strerror (errno));
  mesh = self.mesh = commy_mesh_new (NULL, &error);
  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    g_error ("%s", error->message);
  run (&self, is_offering, is_calling);
  if (!commy_mesh_leave_sync (mesh, NULL, &error))
    g_error ("%s", error->message);
  write_line (&self, "left\n");
  close (self.book);
  g_free (self.service);
  return 0;
}
