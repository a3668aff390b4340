/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where trains, streams, descriptors and waiting handlers meet: what each does well alone, they
 * must do together, too.
 */
#include "config.h"

#include "stream-handlers.h"
#include "stream-scene.h"

#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_S 20 /* what a fault would let wait forever */

/* --- the service --- */

/* (h) to (s): what is in it */
static void
on_read (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GUnixFDList *list = commy_invocation_get_unix_fd_list (invocation);
  char text[64] = "";
  int fd;

  if (list == NULL)
    {
      commy_invocation_return_error (invocation, "nothing came");
      return;
    }
  fd = g_unix_fd_list_get (list, 0, NULL);
  g_assert_cmpint (read (fd, text, sizeof text - 1), >=, 0);
  close (fd);
  commy_invocation_return_value (invocation, g_variant_new ("(s)", text));
}

static void
add_methods (CommyService *service)
{
  stream_handlers_add (service);
  commy_service_handle (service, "Read", on_read, NULL, NULL);
}

/* --- waiting, but not forever --- */

static gboolean
on_patience_ends (gpointer data)
{
  g_error ("it hangs");
  return G_SOURCE_REMOVE;
}

static void
await (const guint *n, guint wanted)
{
  guint patience = g_timeout_add_seconds (PATIENCE_S, on_patience_ends, NULL);

  while ((guint) g_atomic_int_get (n) < wanted)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (patience);
}

/* --- descriptors of a call that waits behind a handler that waits --- */

static void
on_words (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_with_unix_fd_list_finish (COMMY_CLIENT (source), NULL, result, &error);
  const char *text;

  g_assert_no_error (error);
  g_variant_get (answer, "(&s)", &text);
  g_assert_cmpstr (text, ==, "behind the gate");
  ++*(guint *) data;
}

static GUnixFDList *
list_of_words (const char *words)
{
  GUnixFDList *list = g_unix_fd_list_new ();
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (write (fds[1], words, strlen (words)), ==, (int) strlen (words));
  close (fds[1]);
  g_unix_fd_list_append (list, fds[0], NULL);
  close (fds[0]);
  return list;
}

static void
test_deferred_handles (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, 1, NULL);
  CommyStream *gate = open_stream (scene, "Gate", NULL);
  g_autoptr (GUnixFDList) list = list_of_words ("behind the gate");
  guint n = 0;

  commy_client_call_with_unix_fd_list (scene->client, "Read", g_variant_new ("(h)", 0), list, NULL,
                                       NULL, on_words, &n);
  write_int (gate, 1);
  await (&n, 1);
  g_object_unref (gate);
  scene_free (scene);
}

static void
add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/seams/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, add_methods, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add ("a-call-that-waits-keeps-its-descriptors", "unix", test_deferred_handles);
  return g_test_run ();
}
