/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scene of stream tests and its short forms, each of which fails the test by itself.
 */
#include "config.h"

#include "stream-scene.h"

#include "stream-handlers.h"

#include <string.h>

/* @workers: of a service in a child; one in this process has a thread of its own. */
Scene *
scene_new (MeshFixture *fixture, const char *transport, guint workers, const char *settings)
{
  g_autofree char *own
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transport);
  Scene *scene = g_new0 (Scene, 1);
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  if (strcmp (transport, "inproc") != 0)
    scene->child = service_child_start (fixture, settings, workers);
  scene->mesh = mesh_fixture_join (fixture, own);
  if (scene->child == NULL)
    {
      scene->service = test_service_new (scene->mesh, 1);
      stream_handlers_add (scene->service);
      commy_service_start_sync (scene->service, NULL, &error);
      g_assert_no_error (error);
    }
  scene->client = commy_client_new (scene->mesh, TEST_SERVICE);
  return scene;
}

void
scene_free (Scene *scene)
{
  g_object_unref (scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_clear_object (&scene->service);
  g_object_unref (scene->mesh);
  if (scene->child != NULL)
    service_child_free (scene->child);
  g_free (scene);
}

CommyStream *
open_stream (Scene *scene, const char *method, GVariant *parameters)
{
  g_autoptr (GError) error = NULL;
  CommyStream *stream
      = commy_client_open_stream_sync (scene->client, method, parameters, NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (stream);
  g_assert_cmpstr (commy_stream_get_method (stream), ==, method);
  return stream;
}

void
write_int (CommyStream *stream, gint32 value)
{
  g_autoptr (GError) error = NULL;

  commy_stream_write_sync (stream, g_variant_new_int32 (value), NULL, &error);
  g_assert_no_error (error);
}

void
close_write (CommyStream *stream)
{
  g_autoptr (GError) error = NULL;

  commy_stream_close_write (stream, &error);
  g_assert_no_error (error);
}

void
expect_end (CommyStream *stream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, &error);

  g_assert_no_error (error);
  g_assert_null (value);
}

void
expect_error (CommyStream *stream, gint code, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, &error);

  g_assert_null (value);
  g_assert_error (error, COMMY_ERROR, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
}

guint32
result_u (CommyStream *stream)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = commy_stream_wait_result_sync (stream, NULL, &error);
  guint32 n;

  g_assert_no_error (error);
  g_assert_true (result == commy_stream_get_result (stream));
  g_variant_get (result, "(u)", &n);
  return n;
}

GVariant *
call (Scene *scene, const char *method)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = commy_client_call_sync (scene->client, method, NULL, NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

gint32
fate (Scene *scene)
{
  g_autoptr (GVariant) value = call (scene, "Fate");
  gint32 code;

  g_variant_get (value, "(i)", &code);
  return code;
}

GBytes *
some_bytes (gsize size)
{
  guint8 *data = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) (i * 31 + size);
  return g_bytes_new_take (data, size);
}

guint64
dropped (Scene *scene, const char *reason)
{
  g_autoptr (GVariant) drops = commy_mesh_list_drops (scene->mesh);
  GVariantIter iter;
  const char *name;
  guint64 n;

  g_variant_iter_init (&iter, drops);
  while (g_variant_iter_next (&iter, "(&st&s)", &name, &n, NULL))
    if (strcmp (name, reason) == 0)
      return n;
  return 0;
}

void
stream_add (const char *name, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = transport != NULL ? g_strdup_printf ("/streams/%s/%s", transport, name)
                                            : g_strdup_printf ("/streams/%s", name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}
