/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A server on a thread a connection: see the header.
 */
#include "config.h"

#include "opa-puppet.h"

#include <string.h>

#define THREADS 64

struct _OpaPuppet
{
  GMainContext *context; /* of a thread of its own, where connections come in */
  GMainLoop *loop;
  GThread *thread;
  GSocketService *service;
  GCancellable *is_over;
  char *url;
  GMutex lock; /* of the rest */
  GCond changed;
  char *head, *body;
  guint repeat;
  gboolean is_held;
  guint asked, serving;
  char *question;
};

/* --- one connection --- */

/* Its path and body; NULL: there is none any more. */
static char *
read_question (GDataInputStream *in, GCancellable *is_over)
{
  g_autofree char *first = g_data_input_stream_read_line (in, NULL, is_over, NULL);
  g_auto (GStrv) words = first != NULL ? g_strsplit (first, " ", 3) : NULL;
  g_autofree char *body = NULL;
  gsize length = 0;
  gsize n = 0;

  if (words == NULL || g_strv_length (words) != 3)
    return NULL;
  for (;;)
    {
      g_autofree char *line = g_data_input_stream_read_line (in, NULL, is_over, NULL);

      if (line == NULL)
        return NULL;
      if (g_ascii_strncasecmp (line, "Content-Length:", 15) == 0)
        length = g_ascii_strtoull (line + 15, NULL, 10);
      if (g_strchomp (line)[0] == '\0')
        break;
    }
  body = g_malloc0 (length + 1);
  if (!g_input_stream_read_all (G_INPUT_STREAM (in), body, length, &n, is_over, NULL)
      || n != length)
    return NULL;
  return g_strdup_printf ("%s %s %s", words[0], words[1], body);
}

/* What to say, as it is when it may be said. */
static char *
await_answer (OpaPuppet *self, char *question)
{
  GString *answer = g_string_new (NULL);

  g_mutex_lock (&self->lock);
  g_free (self->question);
  self->question = question;
  self->asked++;
  g_cond_broadcast (&self->changed);
  while (self->is_held && !g_cancellable_is_cancelled (self->is_over))
    g_cond_wait (&self->changed, &self->lock);
  if (self->head != NULL)
    g_string_append (answer, self->head);
  else if (self->body != NULL)
    g_string_append_printf (answer,
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                            strlen (self->body) * MAX (self->repeat, 1));
  for (guint i = 0; i < MAX (self->repeat, 1) && self->body != NULL; i++)
    g_string_append (answer, self->body);
  g_mutex_unlock (&self->lock);
  return g_string_free (answer, FALSE);
}

static gboolean
on_connection (GThreadedSocketService *service,
               GSocketConnection *connection,
               GObject *source,
               gpointer data)
{
  OpaPuppet *self = data;
  g_autoptr (GDataInputStream) in
      = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  char *question;

  g_mutex_lock (&self->lock);
  self->serving++;
  g_mutex_unlock (&self->lock);
  g_data_input_stream_set_newline_type (in, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
  question = read_question (in, self->is_over);
  if (question != NULL)
    {
      g_autofree char *answer = await_answer (self, question);

      g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), answer,
                                 strlen (answer), NULL, self->is_over, NULL);
    }
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  g_mutex_lock (&self->lock);
  self->serving--;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* --- what tests say --- */

void
opa_puppet_answer (OpaPuppet *self, const char *head, const char *body, guint repeat)
{
  g_mutex_lock (&self->lock);
  g_free (self->head);
  g_free (self->body);
  self->head = g_strdup (head);
  self->body = g_strdup (body);
  self->repeat = repeat;
  g_mutex_unlock (&self->lock);
}

void
opa_puppet_hold (OpaPuppet *self, gboolean hold)
{
  g_mutex_lock (&self->lock);
  self->is_held = hold;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

guint
opa_puppet_get_asked (OpaPuppet *self)
{
  guint asked;

  g_mutex_lock (&self->lock);
  asked = self->asked;
  g_mutex_unlock (&self->lock);
  return asked;
}

void
opa_puppet_await (OpaPuppet *self, guint asked)
{
  g_mutex_lock (&self->lock);
  while (self->asked < asked)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
}

char *
opa_puppet_dup_question (OpaPuppet *self)
{
  char *question;

  g_mutex_lock (&self->lock);
  question = g_strdup (self->question);
  g_mutex_unlock (&self->lock);
  return question;
}

/* --- life --- */

const char *
opa_puppet_get_url (OpaPuppet *self)
{
  return self->url;
}

static gpointer
run_loop (gpointer data)
{
  OpaPuppet *self = data;

  g_main_context_push_thread_default (self->context);
  g_main_loop_run (self->loop);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

OpaPuppet *
opa_puppet_new (void)
{
  OpaPuppet *self = g_new0 (OpaPuppet, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GInetAddress) address = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) any = g_inet_socket_address_new (address, 0);
  g_autoptr (GSocketAddress) bound = NULL;

  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->is_over = g_cancellable_new ();
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  g_main_context_push_thread_default (self->context);
  self->service = g_threaded_socket_service_new (THREADS);
  /* All may come at once: what the queue has no room for would come again a second later. */
  g_socket_listener_set_backlog (G_SOCKET_LISTENER (self->service), THREADS);
  g_signal_connect (self->service, "run", G_CALLBACK (on_connection), self);
  g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), any, G_SOCKET_TYPE_STREAM,
                                 G_SOCKET_PROTOCOL_TCP, NULL, &bound, &error);
  g_assert_no_error (error);
  g_socket_service_start (self->service);
  g_main_context_pop_thread_default (self->context);
  self->url = g_strdup_printf ("http://127.0.0.1:%u",
                               g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound)));
  self->thread = g_thread_new ("opa-puppet", run_loop, self);
  return self;
}

void
opa_puppet_free (OpaPuppet *self)
{
  g_main_loop_quit (self->loop);
  g_thread_join (self->thread);
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_mutex_lock (&self->lock);
  g_cancellable_cancel (self->is_over);
  g_cond_broadcast (&self->changed);
  while (self->serving > 0)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
  g_object_unref (self->service);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_object_unref (self->is_over);
  g_free (self->url);
  g_free (self->head);
  g_free (self->body);
  g_free (self->question);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}
