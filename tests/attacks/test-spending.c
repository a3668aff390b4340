/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a peer can have a node spend on it that keeps to the frames and not to their sense: it asks
 * and reads no answer. A right client of the same service is served before and after.
 */
#include "config.h"

#include "fake-scene.h"

#include <string.h>

#define PINGS 1000000u /* their PONGs are more than what sockets hold */
#define GREETERS 4u
#define GREETING (48u << 20) /* bytes */

/* The most memory that the service ever had, bytes. */
static gsize
read_peak (FakeScene *scene)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int) scene->child->pid);
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  line = strstr (text, "VmHWM:");
  g_assert_nonnull (line);
  return (gsize) g_ascii_strtoull (line + strlen ("VmHWM:"), NULL, 10) * 1024;
}

/* It is refused when its header is there, and before: not at its end. */
static void
test_large_greetings (MeshFixture *fixture, gconstpointer transport)
{
  CommyFrameSpec hello = { .type = COMMY_FRAME_HELLO };
  g_autofree guint8 *payload = g_malloc0 (GREETING);
  FakeScene *scene;
  FakeClient *fakes[GREETERS];
  gsize peak;

  mesh_fixture_capture_log (fixture);
  scene = fake_scene_new (fixture, transport, NULL, 0, fake_scene_check_add);
  peak = read_peak (scene);
  for (guint i = 0; i < GREETERS; i++)
    {
      CommyFrame frame;
      g_autofree char *text = NULL;

      fakes[i] = fake_scene_connect (scene, transport);
      fake_client_send_frame (fakes[i], &hello, payload, GREETING);
      while (fake_client_receive (fakes[i], &frame, &text))
        {
          g_assert_cmpint (frame.type, ==, COMMY_FRAME_CLOSE);
          g_clear_pointer (&text, g_free);
        }
    }
  mesh_fixture_await_log (fixture, "(at most 65536 are allowed)");
  g_test_message ("%u frames of %u MiB over %s: %u KiB more", GREETERS, GREETING >> 20,
                  (const char *) transport, (guint) ((read_peak (scene) - peak) / 1024));
  g_assert_cmpuint (read_peak (scene) - peak, <, GREETING / 2);
  for (guint i = 0; i < GREETERS; i++)
    fake_client_free (fakes[i]);
  fake_scene_free (scene);
}

/* How many PONGs come until the one for @last has. */
static guint
count_pongs (FakeClient *fake, guint32 last)
{
  guint n = 0;

  for (;;)
    {
      g_autofree char *text = NULL;
      CommyFrame frame;

      g_assert_true (fake_client_receive (fake, &frame, &text));
      if (frame.type != COMMY_FRAME_PONG)
        continue;
      n++;
      if (frame.stream == last)
        return n;
    }
}

/* Each PONG that was kept would be read in the end: as many come as the path itself holds. */
static void
test_pings (MeshFixture *fixture, gconstpointer transport)
{
  FakeScene *scene = fake_scene_new (fixture, transport, NULL, 0, fake_scene_check_add);
  FakeClient *fake = fake_scene_connect (scene, transport);
  guint n;

  fake_scene_greet (scene, fake);
  for (guint32 i = 1; i <= PINGS; i++)
    {
      CommyFrameSpec ping = { .type = COMMY_FRAME_PING, .stream = i };

      fake_client_send_frame (fake, &ping, NULL, 0);
    }
  fake_scene_check_add (scene->client);
  n = count_pongs (fake, PINGS);
  g_test_message ("%u PINGs over %s were owed %u PONGs", PINGS, (const char *) transport, n);
  g_assert_cmpuint (n, <, PINGS / 2);
  fake_client_free (fake);
  fake_scene_free (scene);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/attacks/spending/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const transports[] = {
    "shm",
    "unix",
#ifdef HAVE_GNUTLS
    "tls",
#endif
  };
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      gboolean copies = strcmp (transports[i], "shm") != 0;

      /* attack: ask with PINGs and read no answer; defence: one answer is owed, for the last that
       * came; test: /attacks/spending/unix/pings-without-reading */
      add ("pings-without-reading", transports[i], test_pings);
      /* attack: begin with a frame of 64 MiB, before anybody is known; defence: a limit for set-up,
       * held at the header; test: /attacks/spending/tls/large-greetings */
      if (copies)
        add ("large-greetings", transports[i], test_large_greetings);
    }
  return g_test_run ();
}
