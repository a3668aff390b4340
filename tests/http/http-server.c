/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread for each connection, with blocking reads; those that wait do so until the client goes.
 */
#include "config.h"

#include "http-server.h"

#include <string.h>

#define MOST_THREADS 200
#define FINE "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlines\n"
#define PIECE "6\r\nlines\n\r\n"
#define N_PIECES 20u

const HttpMood http_moods[] = {
  { "/tls-hangs-up", HTTP_TLS_HANGS_UP, TRUE },
  { "/tls-is-silent", HTTP_TLS_IS_SILENT, FALSE },
  { "/tls-babbles", HTTP_TLS_BABBLES, TRUE },
  { "/tls-begins", HTTP_TLS_BEGINS, FALSE },
  { "/hangs-up", HTTP_PLAIN, TRUE },      /* when it has read the head */
  { "/is-deaf", HTTP_PLAIN, FALSE },      /* does not read the body */
  { "/answers-early", HTTP_PLAIN, TRUE }, /* before it has read the body, and hangs up */
  { "/is-silent", HTTP_PLAIN, FALSE },    /* when it has read all */
  { "/half-a-head", HTTP_PLAIN, FALSE },
  { "/half-a-body", HTTP_PLAIN, FALSE },
  { "/cut-body", HTTP_PLAIN, TRUE },
  { "/drips", HTTP_PLAIN, TRUE },    /* piece by piece */
  { "/no-reuse", HTTP_PLAIN, TRUE }, /* hangs up when it has answered, and does not say so before */
  { "/fine", HTTP_PLAIN, TRUE },
};
const guint http_n_moods = G_N_ELEMENTS (http_moods);

typedef struct
{
  HttpServer *server;
  HttpDoor number;
} Door;

static void
free_door (gpointer door, GClosure *closure)
{
  g_free (door);
}

static void
count (HttpServer *self, gint *counter, gint by)
{
  g_atomic_int_add (counter, by);
  g_main_context_wakeup (self->client);
}

static gboolean
say (GOutputStream *out, const char *text)
{
  return g_output_stream_write_all (out, text, strlen (text), NULL, NULL, NULL);
}

static void
wait_for_end (GInputStream *in)
{
  char bytes[4096];

  while (g_input_stream_read (in, bytes, sizeof bytes, NULL, NULL) > 0)
    ;
}

static void
say_part (HttpServer *self, GInputStream *in, GOutputStream *out, const char *text)
{
  say (out, text);
  count (self, &self->n_reached, 1);
  wait_for_end (in);
}

static void
wait_to_hear (HttpServer *self)
{
  guint before;

  g_mutex_lock (&self->lock);
  for (before = self->n_hears; before == self->n_hears;)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
}

void
http_server_hear (HttpServer *self)
{
  g_mutex_lock (&self->lock);
  self->n_hears++;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* --- a request --- */

/* The path, and after it the length of the body. FALSE: the client is gone. */
static gboolean
read_head (GDataInputStream *lines, char **out_path, gsize *out_size)
{
  char *line;

  *out_size = 0;
  g_clear_pointer (out_path, g_free);
  while ((line = g_data_input_stream_read_line (lines, NULL, NULL, NULL)) != NULL)
    {
      g_autofree char *own = g_strchomp (line);
      g_auto (GStrv) words = g_strsplit (own, " ", -1);

      if (*own == '\0')
        return *out_path != NULL;
      if (*out_path == NULL)
        *out_path = g_strdup (g_strv_length (words) > 1 ? words[1] : "");
      if (g_ascii_strcasecmp (words[0], "content-length:") == 0)
        *out_size = (gsize) g_ascii_strtoull (words[1], NULL, 10);
    }
  return FALSE;
}

static gboolean
read_body (GDataInputStream *lines, gsize size)
{
  char bytes[65536];
  gsize n = 0;

  for (; size > 0; size -= n)
    if (!g_input_stream_read_all (G_INPUT_STREAM (lines), bytes, MIN (size, sizeof bytes), &n, NULL,
                                  NULL)
        || n == 0)
      return FALSE;
  return TRUE;
}

static void
drip (GOutputStream *out)
{
  gboolean is_heard = say (out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

  for (guint i = 0; i < N_PIECES && is_heard; i++)
    {
      g_thread_yield ();
      is_heard = say (out, PIECE);
    }
  say (out, "0\r\n\r\n");
}

/* Whether another request may come over this connection. */
static gboolean
answer (HttpServer *self, const char *path, gsize size, GDataInputStream *lines, GOutputStream *out)
{
  GInputStream *in = G_INPUT_STREAM (lines);

  if (strcmp (path, "/is-deaf") == 0)
    {
      count (self, &self->n_reached, 1);
      wait_to_hear (self);
      wait_for_end (in);
      return FALSE;
    }
  if (strcmp (path, "/answers-early") == 0)
    say (out, FINE);
  if (strcmp (path, "/hangs-up") == 0 || strcmp (path, "/answers-early") == 0)
    {
      count (self, &self->n_reached, 1);
      return FALSE;
    }
  if (!read_body (lines, size))
    return FALSE;
  if (strcmp (path, "/is-silent") == 0)
    say_part (self, in, out, "");
  else if (strcmp (path, "/half-a-head") == 0)
    say_part (self, in, out, "HTTP/1.1 200 OK\r\nContent-Le");
  else if (strcmp (path, "/half-a-body") == 0)
    say_part (self, in, out, "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nlines\nlin");
  else if (strcmp (path, "/cut-body") == 0)
    say (out, "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nlines\nlin");
  else if (strcmp (path, "/drips") == 0)
    drip (out);
  else
    say (out, FINE);
  count (self, &self->n_reached, 1);
  return strcmp (path, "/fine") == 0 || strcmp (path, "/drips") == 0;
}

static gboolean
on_plain (GThreadedSocketService *service,
          GSocketConnection *connection,
          GObject *source,
          gpointer user_data)
{
  HttpServer *self = ((const Door *) user_data)->server;
  g_autoptr (GDataInputStream) lines
      = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  GOutputStream *out = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  g_autofree char *path = NULL;
  gsize size = 0;

  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (lines), FALSE);
  count (self, &self->n_open, 1);
  while (read_head (lines, &path, &size) && answer (self, path, size, lines, out))
    ;
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  count (self, &self->n_open, -1);
  return TRUE;
}

/* --- what should be TLS --- */

static gboolean
on_tls (GThreadedSocketService *service,
        GSocketConnection *connection,
        GObject *source,
        gpointer user_data)
{
  const Door *door = user_data;
  HttpServer *self = door->server;
  GInputStream *in = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GOutputStream *out = g_io_stream_get_output_stream (G_IO_STREAM (connection));

  count (self, &self->n_open, 1);
  if (door->number == HTTP_TLS_BABBLES)
    say (out, "HTTP/1.1 400 Bad Request\r\n\r\n");
  if (door->number == HTTP_TLS_BEGINS)
    say (out, "\x16\x03\x03\x40");
  count (self, &self->n_reached, 1);
  if (door->number == HTTP_TLS_IS_SILENT || door->number == HTTP_TLS_BEGINS)
    wait_for_end (in);
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  count (self, &self->n_open, -1);
  return TRUE;
}

/* --- life --- */

static gpointer
accept_them (gpointer data)
{
  HttpServer *self = data;

  g_main_context_push_thread_default (self->context);
  for (guint i = 0; i < HTTP_N_DOORS; i++)
    {
      GSocketService *service = g_threaded_socket_service_new (MOST_THREADS);
      g_autoptr (GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
      g_autoptr (GSocketAddress) any = g_inet_socket_address_new (loopback, 0);
      g_autoptr (GSocketAddress) address = NULL;
      g_autoptr (GError) error = NULL;
      Door *door = g_new (Door, 1);

      *door = (Door){ self, i };
      g_socket_listener_add_address (G_SOCKET_LISTENER (service), any, G_SOCKET_TYPE_STREAM,
                                     G_SOCKET_PROTOCOL_TCP, NULL, &address, &error);
      g_assert_no_error (error);
      self->ports[i] = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
      g_signal_connect_data (service, "run",
                             i == HTTP_PLAIN ? G_CALLBACK (on_plain) : G_CALLBACK (on_tls), door,
                             free_door, 0);
      self->services[i] = service;
    }
  g_atomic_int_set (&self->is_ready, 1);
  g_main_context_wakeup (self->client);
  g_main_loop_run (self->loop);
  for (guint i = 0; i < HTTP_N_DOORS; i++)
    {
      g_socket_service_stop (self->services[i]);
      g_object_unref (self->services[i]);
    }
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

HttpServer *
http_server_new (GMainContext *client)
{
  HttpServer *self = g_new0 (HttpServer, 1);

  self->client = client;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  self->thread = g_thread_new ("server", accept_them, self);
  while (g_atomic_int_get (&self->is_ready) == 0)
    g_main_context_iteration (client, TRUE);
  return self;
}

static gboolean
on_end (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

void
http_server_free (HttpServer *self)
{
  g_main_context_invoke_full (self->context, G_PRIORITY_DEFAULT, on_end, self->loop, NULL);
  g_thread_join (self->thread);
  while (g_atomic_int_get (&self->n_open) > 0)
    g_main_context_iteration (self->client, TRUE);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_free (self);
}

char *
http_server_dup_url (HttpServer *self, const HttpMood *mood)
{
  return g_strdup_printf ("%s://127.0.0.1:%u%s", mood->door == HTTP_PLAIN ? "http" : "https",
                          self->ports[mood->door], mood->path);
}
