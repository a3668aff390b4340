/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A member of a cluster that is none, or means ill: what it answers over HTTP is broken, endless,
 * late, or lies. Every operation ends with an error, nothing is kept, and when the member comes to
 * its senses the store goes on.
 */
#include "config.h"

#include "tests/conformance/commy-store-conformance.h"

#include <gio/gio.h>
#include <libsoup/soup.h>
#include <string.h>

#define MAX_ANSWER "64 KiB"
#define GOOD_RANGE "{\"header\":{\"revision\":\"7\"},\"count\":\"0\"}"

typedef struct
{
  const char *name;
  const char *head; /* NULL: that of a good answer */
  const char *body;
  guint repeat;   /* how often the body is sent; 0: once */
  gulong drip_us; /* a pause after each byte of the head */
  gboolean waits; /* for the other side to hang up, instead of doing so itself */
} Answer;

typedef struct
{
  GSocketService *service;
  char *endpoint;
  const Answer *answer; /* to ranges; NULL: the good one */
  const char *lines;    /* to watches, before the stream ends */
  gint n_ranges;        /* atomic, as all that its threads touch */
  gint n_watches;
  gint bad_watches; /* so many streams are bad, the others good */
  gint chatters;    /* good streams never fall silent */
  gint n_beats;     /* signs of life that were heard, answered slowly */
  gint n_served;    /* connections whose thread has not ended */
  GCancellable *is_over;
} Server;

typedef struct
{
  CommyStoreUnderTest store;
  Server server;
} Fixture;

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *found = commy_test_load ("store", "etcd", &error);

  g_assert_no_error (error);
  return found;
}

/* --- the server --- */

/* The path of a request whose body was read, too; NULL: there is none any more. */
static char *
read_request (GDataInputStream *in, GCancellable *is_over)
{
  g_autofree char *first = g_data_input_stream_read_line (in, NULL, is_over, NULL);
  g_auto (GStrv) words = first != NULL ? g_strsplit (first, " ", 3) : NULL;
  gsize length = 0;

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
  while (length > 0)
    {
      gssize n = g_input_stream_skip (G_INPUT_STREAM (in), length, is_over, NULL);

      if (n <= 0)
        return NULL;
      length -= (gsize) n;
    }
  return g_strdup (words[1]);
}

static gboolean
say (Server *self, GOutputStream *out, const char *text, gssize size)
{
  return g_output_stream_write_all (out, text, size >= 0 ? (gsize) size : strlen (text), NULL,
                                    self->is_over, NULL);
}

static void
say_good (Server *self, GOutputStream *out, const char *body)
{
  g_autofree char *text
      = g_strdup_printf ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                         "%" G_GSIZE_FORMAT "\r\nConnection: close\r\n\r\n%s",
                         strlen (body), body);

  say (self, out, text, -1);
}

/* Until the other side hangs up, or the test is over. */
static void
wait_for_end (Server *self, GInputStream *in)
{
  while (g_input_stream_skip (in, 4096, self->is_over, NULL) > 0)
    continue;
}

static void
say_answer (Server *self, const Answer *answer, GInputStream *in, GOutputStream *out)
{
  gboolean is_heard = TRUE;

  if (answer->head == NULL)
    {
      say_good (self, out, answer->body);
      return;
    }
  for (gsize i = 0; answer->drip_us > 0 && answer->head[i] != '\0' && is_heard; i++)
    {
      is_heard = say (self, out, answer->head + i, 1);
      g_usleep (answer->drip_us);
    }
  if (answer->drip_us == 0)
    is_heard = say (self, out, answer->head, -1);
  for (guint i = 0; i < MAX (answer->repeat, 1) && answer->body != NULL && is_heard; i++)
    is_heard = say (self, out, answer->body, -1);
  if (answer->waits)
    wait_for_end (self, in);
}

static void
say_stream (Server *self, GInputStream *in, GOutputStream *out)
{
  gint number = g_atomic_int_add (&self->n_watches, 1);
  /* {"key":"commy/m/k"} as etcd says it */
  static const char good[]
      = "{\"result\":{\"header\":{\"revision\":\"8\"},\"watch_id\":\"1\",\"created\":true}}\n"
        "{\"result\":{\"header\":{\"revision\":\"9\"},\"watch_id\":\"1\",\"events\":[{\"kv\":{"
        "\"key\":\"Y29tbXkvbS9r\",\"create_revision\":\"9\",\"mod_revision\":\"9\","
        "\"version\":\"1\",\"value\":\"dg==\"}}]}}\n";
  static const char nothing_new[]
      = "{\"result\":{\"header\":{\"revision\":\"9\"},\"watch_id\":\"1\"}}\n";

  say (self, out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
       -1);
  if (number < g_atomic_int_get (&self->bad_watches))
    {
      say (self, out, self->lines, -1);
      return;
    }
  say (self, out, good, -1);
  while (g_atomic_int_get (&self->chatters) && say (self, out, nothing_new, -1))
    g_usleep (1000);
  wait_for_end (self, in);
}

#define SLOW_US 700000u

static void
say_beat (Server *self, GOutputStream *out)
{
  g_usleep (SLOW_US);
  say_good (self, out,
            "{\"result\":{\"header\":{\"revision\":\"7\"},\"ID\":\"1\",\"TTL\":\"3\"}}\n");
  g_atomic_int_inc (&self->n_beats);
}

static gboolean
on_connection (GThreadedSocketService *service,
               GSocketConnection *connection,
               GObject *source,
               gpointer user_data)
{
  Server *self = user_data;
  GInputStream *in = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GOutputStream *out = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (in);
  g_autofree char *path = NULL;

  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (lines), FALSE);
  path = read_request (lines, self->is_over);
  if (g_strcmp0 (path, "/v3/watch") == 0)
    say_stream (self, in, out);
  else if (g_strcmp0 (path, "/v3/lease/keepalive") == 0)
    say_beat (self, out);
  else if (path != NULL)
    {
      const Answer *answer = g_atomic_pointer_get (&self->answer);

      g_atomic_int_inc (&self->n_ranges);
      if (answer != NULL)
        say_answer (self, answer, in, out);
      else
        say_good (self, out, GOOD_RANGE);
    }
  g_atomic_int_add (&self->n_served, -1);
  return TRUE;
}

/* Before its thread begins. */
static gboolean
on_incoming (GSocketService *service,
             GSocketConnection *connection,
             GObject *source,
             gpointer user_data)
{
  Server *self = user_data;

  g_atomic_int_inc (&self->n_served);
  return FALSE;
}

static void
server_start (Server *self)
{
  g_autoptr (GError) error = NULL;
  guint16 port;

  self->is_over = g_cancellable_new ();
  self->service = g_threaded_socket_service_new (64);
  port = g_socket_listener_add_any_inet_port (G_SOCKET_LISTENER (self->service), NULL, &error);
  g_assert_no_error (error);
  self->endpoint = g_strdup_printf ("http://127.0.0.1:%u", port);
  g_signal_connect (self->service, "incoming", G_CALLBACK (on_incoming), self);
  g_signal_connect (self->service, "run", G_CALLBACK (on_connection), self);
  g_socket_service_start (self->service);
}

/* --- fixture --- */

static void
set_up (Fixture *fixture, const char *timeout, const char *attempt, const char *probe)
{
  CommyTestHost *host = commy_test_host_new (NULL, descriptor ());
  g_autoptr (GError) error = NULL;

  server_start (&fixture->server);
  fixture->store = (CommyStoreUnderTest){ host, descriptor ()->ops, NULL };
  commy_test_host_set_info (host, COMMY_HOST_MESH, "m");
  commy_test_host_set_param (host, "endpoints", fixture->server.endpoint);
  commy_test_host_set_param (host, "timeout", timeout);
  commy_test_host_set_param (host, "attempt", attempt);
  commy_test_host_set_param (host, "probe", probe);
  commy_test_host_set_param (host, "max-answer", MAX_ANSWER);
  fixture->store.instance = commy_test_host_start (host, &error);
  g_assert_no_error (error);
}

/* For what must fail. */
static void
impatient_set_up (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, "200ms", "80ms", "2s");
}

/* For what takes longer than an operation may. */
static void
brisk_set_up (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, "600ms", "600ms", "2s");
}

/* For what comes right because it is asked again. */
static void
quick_set_up (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, "30s", "10ms", "2s");
}

/* For what must fail, on a member that goes on telling. */
static void
steady_set_up (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, "2s", "1s", "600s");
}

/* For what must come right, however busy this machine is. */
static void
patient_set_up (Fixture *fixture, gconstpointer data)
{
  set_up (fixture, "60s", "60s", "2s");
}

static void
fixture_tear_down (Fixture *fixture, gconstpointer data)
{
  Server *server = &fixture->server;

  commy_test_host_stop (fixture->store.host);
  g_assert_cmpuint (commy_test_host_count_sources (fixture->store.host), ==, 0);
  commy_test_host_free (fixture->store.host);
  g_socket_service_stop (server->service);
  g_cancellable_cancel (server->is_over);
  g_socket_listener_close (G_SOCKET_LISTENER (server->service));
  while (g_atomic_int_get (&server->n_served) > 0)
    g_usleep (1000); /* its threads know this server */
  g_object_unref (server->service);
  g_object_unref (server->is_over);
  g_free (server->endpoint);
}

/* --- ranges --- */

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define ONE_KEY(key, revision)                                                                \
  "{\"header\":{\"revision\":\"7\"},\"count\":\"1\",\"kvs\":[{\"key\":\"" key "\","           \
  "\"create_revision\":\"" revision "\",\"mod_revision\":\"" revision "\",\"version\":\"1\"," \
  "\"value\":\"dg==\"}]}"
#define K4 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["

static const Answer answers[] = {
  { .name = "hangs-up", .head = "" },
  { .name = "never-answers", .head = "", .waits = TRUE },
  { .name = "is-no-http", .head = "\x01\x02\xff\xfe garbage\r\n\r\n" },
  { .name = "line-without-end", .head = "HTTP/1.1 200 ", .body = K4, .repeat = 20000 },
  { .name = "headers-without-end", .head = OK_HEAD, .body = "X-A: " K4 "\r\n", .repeat = 20000 },
  { .name = "continues-without-end",
    .head = "HTTP/1.1 100 Continue\r\n\r\n",
    .body = "HTTP/1.1 100 Continue\r\n\r\n",
    .repeat = 10000 },
  { .name = "promises-more-than-it-sends", .head = OK_HEAD "Content-Length: 1000\r\n\r\n{" },
  { .name = "length-below-zero", .head = OK_HEAD "Content-Length: -1\r\n\r\n{" },
  { .name = "length-beyond-all",
    .head = OK_HEAD "Content-Length: 99999999999999999999999\r\n\r\n{" },
  { .name = "chunk-of-no-size", .head = OK_HEAD "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n" },
  { .name = "chunk-beyond-all",
    .head = OK_HEAD "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n" },
  { .name = "body-without-end",
    .head = OK_HEAD "\r\n",
    .body = "                                                                ",
    .repeat = 20000 },
  { .name = "drips", .head = OK_HEAD "Content-Length: 39\r\n\r\n" GOOD_RANGE, .drip_us = 10000 },
  { .name = "sends-elsewhere",
    .head = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" },
  { .name = "asks-for-a-password",
    .head = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n" },
  { .name = "says-nothing-well", .head = "HTTP/1.1 204 No Content\r\n\r\n" },
  { .name = "is-packed", /* what is said to be gzip is not unpacked */
    .head = OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08" },
  { .name = "is-a-page", .body = "<html><body>It works!</body></html>" },
  { .name = "is-empty", .body = "" },
  { .name = "is-deep", .head = OK_HEAD "\r\n", .body = K4, .repeat = 500 },
  { .name = "is-no-object", .body = "7" },
  { .name = "has-no-header", .body = "{\"count\":\"0\"}" },
  { .name = "header-is-text", .body = "{\"header\":\"x\"}" },
  { .name = "revision-is-an-object", .body = "{\"header\":{\"revision\":{}}}" },
  { .name = "revision-below-zero", .body = "{\"header\":{\"revision\":\"-7\"}}" },
  { .name = "revision-beyond-all", .body = "{\"header\":{\"revision\":\"99999999999999999999\"}}" },
  { .name = "keys-are-a-number", .body = "{\"header\":{\"revision\":\"7\"},\"kvs\":7}" },
  { .name = "key-is-no-base64", .body = ONE_KEY ("!!!", "7") },
  { .name = "key-of-another-mesh", .body = ONE_KEY ("Y29tbXkvby9r", "7") },
  { .name = "key-of-the-future", .body = ONE_KEY ("Y29tbXkvbS9r", "70") },
  { .name = "more-and-nothing",
    .body = "{\"header\":{\"revision\":\"7\"},\"more\":true,\"count\":\"5\"}" },
};

/* The member's fault is told; and as soon as it answers well, so does the store. */
static void
test_range (Fixture *fixture, gconstpointer data)
{
  const Answer *answer = data;
  g_auto (CommyStoreAnswer) bad = { 0 };
  gboolean is_good = FALSE;

  g_atomic_pointer_set (&fixture->server.answer, answer);
  commy_store_range (&fixture->store, "", &bad);
  g_assert_nonnull (bad.error);
  g_assert_true (bad.error->domain == COMMY_TEST_ERROR);
  g_test_message ("%s", bad.error->message);
  g_assert_cmpuint (strlen (bad.error->message), <, 1000);
  g_assert_true (g_utf8_validate (bad.error->message, -1, NULL));
  g_atomic_pointer_set (&fixture->server.answer, NULL);
  while (!is_good) /* a busy machine may answer too late */
    {
      g_auto (CommyStoreAnswer) good = { 0 };

      commy_store_range (&fixture->store, "", &good);
      is_good = good.error == NULL && good.revision == 7;
    }
}

/* It takes longer than the first attempts: later ones take longer, too. */
static void
test_slow_range (Fixture *fixture, gconstpointer data)
{
  static const Answer slow = { .name = "slow",
                               .head = OK_HEAD "Content-Length: 39\r\n\r\n" GOOD_RANGE,
                               .drip_us = 2000 };
  g_auto (CommyStoreAnswer) answer = { 0 };

  g_atomic_pointer_set (&fixture->server.answer, &slow);
  commy_store_range (&fixture->store, "", &answer);
  g_assert_no_error (answer.error);
  g_assert_cmpint (answer.revision, ==, 7);
}

static void
on_lease (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  g_assert_no_error (error);
  *(gboolean *) user_data = TRUE;
}

/* Its sign of life may take longer than an operation may. */
static void
test_slow_beat (Fixture *fixture, gconstpointer data)
{
  gboolean is_granted = FALSE;

  fixture->store.ops->grant (fixture->store.instance, G_GINT64_CONSTANT (3000000000), on_lease,
                             &is_granted);
  commy_test_run_until (NULL, is_granted);
  commy_test_run_until (NULL, g_atomic_int_get (&fixture->server.n_beats) >= 2);
  g_assert_cmpuint (commy_test_host_count_log (fixture->store.host, "is not kept alive: no member"),
                    ==, 0);
}

typedef struct
{
  guint n_errors;
} Count;

static void
on_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Count *count = user_data;

  g_assert_error (error, COMMY_TEST_ERROR, 601);
  count->n_errors++;
}

/* Whoever waits in the queue has waited when its first has: none asks anew for as long. */
static void
test_queue (Fixture *fixture, gconstpointer data)
{
  static const Answer silence = { .name = "silence", .head = "", .waits = TRUE };
  Count count = { 0 };
  gint n_asked;

  g_atomic_pointer_set (&fixture->server.answer, &silence);
  for (guint i = 0; i < 50; i++)
    fixture->store.ops->range (fixture->store.instance, "", on_done, &count);
  commy_test_run_until (NULL, count.n_errors > 0);
  n_asked = g_atomic_int_get (&fixture->server.n_ranges);
  commy_test_run_until (NULL, count.n_errors == 50);
  g_assert_cmpint (g_atomic_int_get (&fixture->server.n_ranges), <=, n_asked + 2);
}

/* --- watches --- */

typedef struct
{
  const char *name;
  const char *lines;
} Lines;

#define LINE(rest) "{\"result\":{\"header\":{\"revision\":\"8\"},\"watch_id\":\"1\"" rest "}}\n"
#define EVENT(key, revision) \
  ",\"events\":[{\"kv\":{\"key\":\"" key "\",\"mod_revision\":\"" revision "\"}}]"

static const Lines streams[] = {
  { "ends-at-once", "" },
  { "is-garbage", "garbage\n" },
  { "is-binary", "\x01\xff\xfe\n" },
  { "has-half-a-line", "{\"result\":{\"hea" },
  { "is-an-error", "{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}\n" },
  { "has-an-unknown-watch", "{\"result\":{\"header\":{\"revision\":\"8\"},\"watch_id\":\"9\"}}\n" },
  { "is-cancelled-without-a-reason", LINE (",\"created\":true") LINE (",\"canceled\":true") },
  { "tells-the-past", LINE (",\"created\":true") LINE (EVENT ("Y29tbXkvbS9r", "3")) },
  { "tells-the-future", LINE (",\"created\":true") LINE (EVENT ("Y29tbXkvbS9r", "800")) },
  { "tells-of-another-mesh", LINE (",\"created\":true") LINE (EVENT ("Y29tbXkvby9r", "8")) },
  { "has-events-that-are-none", LINE (",\"events\":7") },
};

typedef struct
{
  guint n_entries;
  guint n_errors;
} Seen;

static void
on_event (gpointer user_data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  Seen *seen = user_data;

  seen->n_errors += error != NULL;
  for (gsize i = 0; i < n_entries; i++)
    {
      g_assert_cmpstr (entries[i].key, ==, "k");
      g_assert_cmpint (entries[i].mod_revision, ==, 9);
      seen->n_entries++;
    }
}

/* Two bad streams, then a good one: what it tells is told once, and nothing of the others. */
static void
test_watch (Fixture *fixture, gconstpointer data)
{
  const Lines *lines = data;
  Seen seen = { 0 };

  fixture->server.lines = lines->lines;
  g_atomic_int_set (&fixture->server.bad_watches, 2);
  fixture->store.ops->watch (fixture->store.instance, "", 7, on_event, &seen);
  commy_test_run_until (NULL, seen.n_entries > 0 || seen.n_errors > 0);
  g_assert_cmpuint (seen.n_errors, ==, 0);
  g_assert_cmpuint (seen.n_entries, ==, 1);
}

/* Never a good one: the watch ends with an error, and the member was not stormed. */
static void
test_no_watch (Fixture *fixture, gconstpointer data)
{
  Seen seen = { 0 };

  fixture->server.lines = "";
  g_atomic_int_set (&fixture->server.bad_watches, G_MAXINT);
  fixture->store.ops->watch (fixture->store.instance, "", 7, on_event, &seen);
  commy_test_run_until (NULL, seen.n_errors > 0);
  g_assert_cmpuint (seen.n_entries, ==, 0);
  g_assert_cmpint (g_atomic_int_get (&fixture->server.n_watches), <, 50);
}

#define TRIES 3u

/* A member that is slow to answer, but tells changes, is not asked to tell them anew. A busy
 * machine may keep it from telling. */
static void
test_telling_member (Fixture *fixture, gconstpointer data)
{
  static const Answer silence = { .name = "silence", .head = "", .waits = TRUE };
  Seen seen = { 0 };
  guint n_tries = 0;
  gint n_before;

  g_atomic_int_set (&fixture->server.chatters, TRUE);
  fixture->store.ops->watch (fixture->store.instance, "", 7, on_event, &seen);
  commy_test_run_until (NULL, seen.n_entries > 0);
  g_atomic_pointer_set (&fixture->server.answer, &silence);
  do
    {
      g_auto (CommyStoreAnswer) answer = { 0 };

      n_before = g_atomic_int_get (&fixture->server.n_watches);
      commy_store_range (&fixture->store, "", &answer);
      g_assert_error (answer.error, COMMY_TEST_ERROR, 601);
    }
  while (g_atomic_int_get (&fixture->server.n_watches) > n_before && ++n_tries < TRIES);
  g_assert_cmpuint (n_tries, <, TRIES);
  g_assert_cmpuint (seen.n_errors, ==, 0);
  g_atomic_int_set (&fixture->server.chatters, FALSE);
}

/* What is asked of libsoup. */
typedef struct
{
  guint n_streams;
  guint timeout_s;
} Asked;

static gboolean
on_request (GSignalInvocationHint *hint, guint n, const GValue *values, gpointer user_data)
{
  Asked *asked = user_data;
  GUri *uri = soup_message_get_uri (g_value_get_object (&values[1]));

  asked->n_streams += strcmp (g_uri_get_path (uri), "/v3/watch") == 0;
  asked->timeout_s = soup_session_get_timeout (g_value_get_object (&values[0]));
  return TRUE;
}

static gulong
listen_in (Asked *asked)
{
  g_type_ensure (SOUP_TYPE_SESSION);
  return g_signal_add_emission_hook (g_signal_lookup ("request-queued", SOUP_TYPE_SESSION), 0,
                                     on_request, asked, NULL);
}

static void
stop_listening (gulong hook)
{
  g_signal_remove_emission_hook (g_signal_lookup ("request-queued", SOUP_TYPE_SESSION), hook);
}

#define NAMES 40u
#define GATHERED_US 500000 /* longest wait for another name */

typedef struct
{
  Fixture *fixture;
  Seen *seen;
  guint n_left;
} Names;

static void
on_name (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Names *names = user_data;

  g_assert_no_error (error);
  names->n_left--;
  names->fixture->store.ops->watch (names->fixture->store.instance, "", 7, on_event, names->seen);
}

/* Who reads many names and watches each of them opens few streams for it. */
static void
test_many_names (Fixture *fixture, gconstpointer data)
{
  gint64 start_us = g_get_monotonic_time ();
  guint most;
  Asked asked = { 0 };
  gulong hook = listen_in (&asked);
  Seen seen = { 0 };
  Names names = { fixture, &seen, NAMES };

  for (guint i = 0; i < NAMES; i++)
    fixture->store.ops->range (fixture->store.instance, "", on_name, &names);
  commy_test_run_until (NULL, names.n_left == 0 && seen.n_entries > 0);
  stop_listening (hook);
  g_test_message ("%u streams", asked.n_streams);
  most = 2 + (guint) ((g_get_monotonic_time () - start_us) / GATHERED_US);
  g_assert_cmpuint (asked.n_streams, <=, most);
}

typedef struct
{
  gint64 revision; /* up to which it was told */
  guint n_entries;
} Told;

static void
on_told (gpointer user_data,
         const CommyStoreEntry *entries,
         gsize n_entries,
         gint64 revision,
         const GError *error)
{
  Told *told = user_data;

  g_assert_no_error (error);
  for (gsize i = 0; i < n_entries; i++)
    g_assert_cmpint (entries[i].mod_revision, >=, told->revision);
  told->revision = revision;
  told->n_entries += (guint) n_entries;
}

#define HEAD_20 "{\"result\":{\"header\":{\"revision\":\"20\"},\"watch_id\":\"1\","
#define PUT_AT(revision)                                                             \
  HEAD_20 "\"events\":[{\"kv\":{\"key\":\"Y29tbXkvbS9r\",\"create_revision\":\"8\"," \
          "\"mod_revision\":\"" revision "\",\"value\":\"dg==\"}}]}}\n"

/* To who is behind etcd says in each header where it is itself. */
static void
test_behind (Fixture *fixture, gconstpointer data)
{
  Told told = { 0 };

  fixture->server.lines = HEAD_20 "\"created\":true}}\n" PUT_AT ("8") PUT_AT ("12");
  g_atomic_int_set (&fixture->server.bad_watches, 1);
  fixture->store.ops->watch (fixture->store.instance, "", 7, on_told, &told);
  commy_test_run_until (NULL, told.n_entries >= 2);
  g_assert_cmpint (told.revision, ==, 12);
}

/* Without news for longer than libsoup would have it. */
static void
test_quiet_stream (Fixture *fixture, gconstpointer data)
{
  Asked asked = { .timeout_s = G_MAXUINT };
  gulong hook = listen_in (&asked);
  Seen seen = { 0 };

  fixture->store.ops->watch (fixture->store.instance, "", 7, on_event, &seen);
  commy_test_run_until (NULL, seen.n_entries > 0);
  stop_listening (hook);
  g_assert_cmpuint (asked.timeout_s, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      g_autofree char *path = g_strconcat ("/store/etcd/hostile/range/", answers[i].name, NULL);

      g_test_add (path, Fixture, &answers[i], impatient_set_up, test_range, fixture_tear_down);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (streams); i++)
    {
      g_autofree char *path = g_strconcat ("/store/etcd/hostile/watch/", streams[i].name, NULL);

      g_test_add (path, Fixture, &streams[i], patient_set_up, test_watch, fixture_tear_down);
    }
  g_test_add ("/store/etcd/hostile/watch/is-given-up-when-none-is-good", Fixture, NULL,
              impatient_set_up, test_no_watch, fixture_tear_down);
  g_test_add ("/store/etcd/hostile/queue/waits-as-long-as-its-first", Fixture, NULL,
              impatient_set_up, test_queue, fixture_tear_down);
  g_test_add ("/store/etcd/hostile/range/a-slow-member-is-given-more-time", Fixture, NULL,
              quick_set_up, test_slow_range, fixture_tear_down);
  g_test_add ("/store/etcd/hostile/lease/a-slow-sign-of-life-is-one", Fixture, NULL, brisk_set_up,
              test_slow_beat, fixture_tear_down);
  g_test_add ("/store/etcd/hostile/watch/goes-on-while-its-member-tells", Fixture, NULL,
              steady_set_up, test_telling_member, fixture_tear_down);
  g_test_add ("/store/etcd/hostile/watch/many-names-are-few-streams", Fixture, NULL, patient_set_up,
              test_many_names, fixture_tear_down);
  g_test_add ("/store/etcd/hostile/watch/says-how-far-it-told", Fixture, NULL, patient_set_up,
              test_behind, fixture_tear_down);
  g_test_add ("/store/etcd/hostile/watch/without-news-is-no-failure", Fixture, NULL, patient_set_up,
              test_quiet_stream, fixture_tear_down);
  return g_test_run ();
}
