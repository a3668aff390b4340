/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests that are given up or run out of time in every phase, thousands of them, and connections
 * that nobody uses. libsoup's clock is a minute fast where a case wants it so.
 */
#include "config.h"

#include "http-server.h"
#include "plugins/common/commy-http.h"
#include "tests/conformance/commy-test-host.h"

#include <dlfcn.h>
#include <string.h>
#include <time.h>

#define LIMIT_NS (G_GINT64_CONSTANT (1000000000))
#define MINUTE_NS (60 * LIMIT_NS)
#define LARGE (4u << 20) /* more than what two sockets hold */
#define MOST_TURNS 12u
#define N_STORM "1200" /* COMMY_TEST_COUNT */
#define MOST_AT_ONCE 12u
#define N_AGED 500u

/* GCC 12's leak checker crashes over threads that shook hands in a module; the rest of the address
 * sanitizer looks all the same. */
int __lsan_is_turned_off (void);

G_MODULE_EXPORT int
__lsan_is_turned_off (void)
{
  return 1;
}

/* --- libsoup's clock --- */

static gboolean soup_is_late;

/* Takes the place of GLib's for whoever is linked to it; a timer that libsoup sets to a minute from
 * now is due at once. */
G_MODULE_EXPORT gint64
g_get_monotonic_time (void)
{
  struct timespec now;
  Dl_info info;
  gint64 now_us;

  clock_gettime (CLOCK_MONOTONIC, &now);
  now_us = (gint64) now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
  if (soup_is_late && dladdr (__builtin_return_address (0), &info) != 0
      && strstr (info.dli_fname, "libsoup") != NULL)
    now_us -= 61 * G_USEC_PER_SEC;
  return now_us;
}

/* --- a scene --- */

typedef struct
{
  HttpServer *server;
  CommyTestHost *host;
  CommyHttp *http;
  GBytes *bodies[3];
  GPtrArray *all; /* Asked */
} Scene;

typedef struct
{
  Scene *scene;
  CommyHttpExchange *exchange; /* NULL: it is over */
  gboolean is_given_up;
  guint n_done, n_lines;
  guint code; /* of the error */
} Asked;

static void
scene_open (Scene *scene)
{
  g_autoptr (GError) error = NULL;

  scene->http = commy_http_new (commy_test_host_get (scene->host), &(CommyHttpSettings){ .ca = "" },
                                &error);
  g_assert_no_error (error);
}

static void
scene_init (Scene *scene)
{
  static const CommyPluginDescriptor none = { .struct_size = sizeof none };
  g_autofree char *large = g_malloc0 (LARGE);

  scene->server = http_server_new (g_main_context_default ());
  scene->host = commy_test_host_new (NULL, &none);
  commy_test_host_use_virtual_clock (scene->host);
  scene->all = g_ptr_array_new_with_free_func (g_free);
  scene->bodies[0] = g_bytes_new_static ("", 0);
  scene->bodies[1] = g_bytes_new_static ("ask", 3);
  scene->bodies[2] = g_bytes_new_take (g_steal_pointer (&large), LARGE);
  scene_open (scene);
}

/* Whoever is still asked is let go, and its connection closed. */
static void
scene_close (Scene *scene)
{
  for (guint i = 0; i < scene->all->len; i++)
    {
      Asked *asked = scene->all->pdata[i];

      asked->is_given_up |= asked->exchange != NULL;
      asked->exchange = NULL;
    }
  http_server_hear (scene->server);
  commy_http_free (scene->http);
  scene->http = NULL;
  g_assert_cmpuint (commy_test_host_count_sources (scene->host), ==, 0);
  while (g_atomic_int_get (&scene->server->n_open) > 0)
    {
      http_server_hear (scene->server);
      g_main_context_iteration (NULL, TRUE);
    }
}

static void
scene_clear (Scene *scene)
{
  scene_close (scene);
  http_server_free (scene->server);
  g_ptr_array_unref (scene->all);
  commy_test_host_free (scene->host);
  for (guint i = 0; i < G_N_ELEMENTS (scene->bodies); i++)
    g_bytes_unref (scene->bodies[i]);
}

static void
on_line (gpointer user_data, const char *line, gsize size)
{
  Asked *self = user_data;

  g_assert_false (self->is_given_up);
  g_assert_cmpuint (self->n_done, ==, 0);
  g_assert_cmpmem (line, size, "lines", strlen ("lines"));
  self->n_lines++;
}

static void
on_done (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  Asked *self = user_data;

  g_assert_false (self->is_given_up);
  g_assert_cmpuint (self->n_done++, ==, 0);
  self->exchange = NULL;
  self->code = error != NULL && error->domain == COMMY_HTTP_ERROR ? (guint) error->code : 0;
  if (error == NULL && reply->status == 200 && reply->size >= strlen ("lines"))
    g_assert_cmpint (memcmp (reply->data, "lines", strlen ("lines")), ==, 0);
}

/* (transfer none): the scene's */
static Asked *
ask (Scene *scene, const HttpMood *mood, guint body, gboolean is_stream, gboolean is_repeatable)
{
  g_autofree char *url = http_server_dup_url (scene->server, mood);
  Asked *self = g_new0 (Asked, 1);

  g_ptr_array_add (scene->all, self);
  self->scene = scene;
  self->exchange = commy_http_send (scene->http, &(CommyHttpRequest){
                                                     .url = url,
                                                     .body = scene->bodies[body],
                                                     .type = "text/plain",
                                                     .authorization = "Bearer secret",
                                                     .is_repeatable = is_repeatable,
                                                     .max = 1000,
                                                     .limit_ns = LIMIT_NS,
                                                     .line = is_stream ? on_line : NULL,
                                                     .done = on_done,
                                                     .user_data = self,
                                                 });
  return self;
}

static void
give_up (Asked *self)
{
  if (self->exchange == NULL)
    return;
  commy_http_cancel (g_steal_pointer (&self->exchange));
  self->is_given_up = TRUE;
}

static void
turn (guint n)
{
  for (guint i = 0; i < n; i++)
    g_main_context_iteration (NULL, FALSE);
}

/* --- one phase after the other --- */

typedef enum
{
  BY_CANCELLING,
  BY_LIMIT,
  BY_CLOSING,
  N_WAYS,
} Way;

static void
end_asked (Asked *self, Way way)
{
  switch (way)
    {
    case BY_CANCELLING:
      give_up (self);
      break;
    case BY_LIMIT:
      commy_test_host_advance (self->scene->host, LIMIT_NS);
      g_assert_true (self->exchange == NULL || self->n_lines > 0); /* it is for the first line */
      give_up (self);
      break;
    default:
      scene_close (self->scene);
      scene_open (self->scene);
    }
}

/* The server has done its part; some turns later it ends. Then nothing of it is left. */
static void
end_in_phase (Scene *scene, const HttpMood *mood, Way way, guint n_turns, gboolean is_stream)
{
  const gint before = g_atomic_int_get (&scene->server->n_reached);
  const guint body = strcmp (mood->path, "/is-deaf") == 0 ? 2 : 1;
  Asked *asked = ask (scene, mood, body, is_stream, TRUE);

  while (g_atomic_int_get (&scene->server->n_reached) == before && asked->exchange != NULL)
    g_main_context_iteration (NULL, TRUE);
  turn (n_turns);
  end_asked (asked, way);
  http_server_hear (scene->server);
  if (!mood->ends)
    while (g_atomic_int_get (&scene->server->n_open) > 0)
      g_main_context_iteration (NULL, TRUE);
  turn (MOST_TURNS);
}

static void
test_phase (gconstpointer data)
{
  const HttpMood *mood = data;
  Scene scene = { 0 };

  scene_init (&scene);
  for (guint i = 0; i < MOST_TURNS * 2; i++)
    for (guint way = 0; way < (i % MOST_TURNS == 0 ? N_WAYS : BY_CLOSING); way++)
      end_in_phase (&scene, mood, way, i % MOST_TURNS, i >= MOST_TURNS);
  scene_clear (&scene);
}

/* --- all of them at once --- */

typedef struct
{
  Scene scene;
  GRand *rand;
  Asked *open[MOST_AT_ONCE];
} Storm;

static guint
draw (Storm *self, guint most)
{
  return (guint) g_rand_int_range (self->rand, 0, (gint32) most);
}

/* One begins, or some turns pass, or one is given up, or time does. */
static void
storm_step (Storm *self, guint number)
{
  Asked **place = &self->open[draw (self, MOST_AT_ONCE)];

  if (*place == NULL || (*place)->exchange == NULL)
    *place
        = ask (&self->scene, &http_moods[draw (self, http_n_moods)],
               draw (self, 40) == 0 ? 2 : draw (self, 2), draw (self, 3) == 0, draw (self, 4) > 0);
  else if (draw (self, 3) == 0)
    give_up (*place);
  if (draw (self, 200) == 0)
    commy_test_host_advance (self->scene.host, LIMIT_NS);
  if (draw (self, 50) == 0)
    http_server_hear (self->scene.server);
  if (number % 300 == 299)
    end_asked (*place, BY_CLOSING);
  turn (draw (self, MOST_TURNS));
}

static void
test_storm (void)
{
  Storm self = { .rand = g_rand_new_with_seed ((guint32) g_test_rand_int ()) };
  const char *count = g_getenv ("COMMY_TEST_COUNT");
  const guint64 n_steps = g_ascii_strtoull (count != NULL ? count : N_STORM, NULL, 10);
  guint n_ended = 0, n_given_up = 0;

  scene_init (&self.scene);
  for (guint i = 0; i < n_steps; i++)
    storm_step (&self, i);
  scene_close (&self.scene);
  turn (MOST_TURNS);
  for (guint i = 0; i < self.scene.all->len; i++)
    {
      const Asked *asked = self.scene.all->pdata[i];

      g_assert_cmpuint (asked->n_done + asked->is_given_up, ==, 1);
      n_ended += asked->n_done;
      n_given_up += asked->is_given_up;
    }
  g_test_message ("%u ended, %u were given up", n_ended, n_given_up);
  g_assert_cmpuint (n_ended, >, 0);
  g_assert_cmpuint (n_given_up, >, 0);
  scene_open (&self.scene);
  scene_clear (&self.scene);
  g_rand_free (self.rand);
}

/* --- connections that nobody uses --- */

static const HttpMood *
find_mood (const char *path)
{
  for (guint i = 0; i < http_n_moods; i++)
    if (strcmp (http_moods[i].path, path) == 0)
      return &http_moods[i];
  g_assert_not_reached ();
}

static void
ask_and_wait (Scene *scene)
{
  Asked *asked = ask (scene, find_mood ("/fine"), 1, FALSE, TRUE);

  while (asked->exchange != NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (asked->code, ==, 0);
  turn (MOST_TURNS);
}

static void
await_open (Scene *scene, gint n)
{
  while (g_atomic_int_get (&scene->server->n_open) != n)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_idle (void)
{
  Scene scene = { 0 };

  scene_init (&scene);
  for (guint i = 0; i < 3; i++)
    ask_and_wait (&scene);
  g_assert_cmpint (g_atomic_int_get (&scene.server->n_open), ==, 1); /* the same each time */
  commy_test_host_advance (scene.host, MINUTE_NS);
  await_open (&scene, 0);
  ask_and_wait (&scene);
  g_assert_cmpint (g_atomic_int_get (&scene.server->n_open), ==, 1);
  scene_clear (&scene);
}

/* What is under way is left alone; the others go when it is over. */
static void
test_idle_beside (void)
{
  Scene scene = { 0 };
  Asked *stream, *busy;

  scene_init (&scene);
  ask_and_wait (&scene);
  commy_test_host_advance (scene.host, MINUTE_NS - LIMIT_NS / 2);
  stream = ask (&scene, find_mood ("/half-a-body"), 1, TRUE, TRUE);
  while (stream->n_lines == 0)
    g_main_context_iteration (NULL, TRUE);
  busy = ask (&scene, find_mood ("/is-silent"), 1, FALSE, FALSE);
  await_open (&scene, 3);
  commy_test_host_advance (scene.host, LIMIT_NS * 3 / 4); /* past the minute */
  turn (MOST_TURNS);
  g_assert_cmpuint (busy->n_done, ==, 0);
  g_assert_cmpint (g_atomic_int_get (&scene.server->n_open), ==, 3);
  give_up (busy);
  await_open (&scene, 2);
  commy_test_host_advance (scene.host, LIMIT_NS);
  await_open (&scene, 1);
  turn (MOST_TURNS);
  g_assert_cmpuint (stream->n_done, ==, 0);
  scene_clear (&scene);
}

/* Where libsoup closes what is idle in the very turn in which it gives it to a request. Something
 * else is under way all the time, as a watch is. */
static void
test_just_then (void)
{
  Scene scene = { 0 };
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) g_test_rand_int ());
  Asked *watch, *last = NULL;

  scene_init (&scene);
  soup_is_late = TRUE;
  watch = ask (&scene, find_mood ("/is-silent"), 1, TRUE, TRUE);
  await_open (&scene, 1);
  while (scene.all->len <= N_AGED || last->exchange != NULL)
    {
      if (last != NULL && last->exchange != NULL)
        g_main_context_iteration (NULL, TRUE);
      else if (g_rand_int_range (rand, 0, 3) > 0)
        turn (1);
      else
        last = ask (&scene, find_mood ("/fine"), 1, FALSE, TRUE);
    }
  for (guint i = 1; i < scene.all->len; i++)
    g_assert_cmpuint (((Asked *) scene.all->pdata[i])->n_done, ==, 1);
  g_assert_cmpint (g_atomic_int_get (&scene.server->n_open), ==, 2);
  soup_is_late = FALSE;
  give_up (watch);
  scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < http_n_moods; i++)
    {
      g_autofree char *path = g_strconcat ("/http/ends-in-phase", http_moods[i].path, NULL);

      g_test_add_data_func (path, &http_moods[i], test_phase);
    }
  g_test_add_func ("/http/ends-at-random", test_storm);
  g_test_add_func ("/http/idle/is-closed-after-a-minute", test_idle);
  g_test_add_func ("/http/idle/leaves-what-is-under-way", test_idle_beside);
  g_test_add_func ("/http/idle/is-not-closed-when-it-is-used-just-then", test_just_then);
  return g_test_run ();
}
