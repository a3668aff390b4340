/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "fake-scene.h"

#include <string.h>

char *
fake_scene_find_address (CommyMesh *mesh, const char *transport)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, TEST_SERVICE, NULL, &error);
  g_autoptr (GVariant) entry = NULL;
  g_autoptr (GVariantIter) endpoints = NULL;
  const char *id, *address;

  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (list), ==, 1);
  entry = g_variant_get_child_value (list, 0);
  g_assert_true (g_variant_lookup (entry, "endpoints", "a(ss)", &endpoints));
  while (g_variant_iter_next (endpoints, "(&s&s)", &id, &address))
    if (strcmp (id, transport) == 0)
      return g_strdup (address);
  g_assert_not_reached ();
}

void
fake_scene_check_add (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 3, 4), NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (value);
}

FakeScene *
fake_scene_new (MeshFixture *fixture,
                const char *transport,
                const char *settings,
                guint workers,
                FakeSceneCheckFunc check)
{
  FakeScene *self = g_new0 (FakeScene, 1);
  g_autofree char *pinned
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transport);

  mesh_fixture_make_credentials (fixture);
  self->credentials = g_build_filename (fixture->dir, "state", "test", "pki", NULL);
  self->check = check;
  self->child = service_child_start (fixture, settings, workers);
  self->mesh = mesh_fixture_join (fixture, pinned);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
  self->address = fake_scene_find_address (self->mesh, transport);
  self->check (self->client);
  return self;
}

void
fake_scene_free (FakeScene *self)
{
  self->check (self->client);
  g_object_unref (self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
  service_child_free (self->child);
  g_free (self->address);
  g_free (self->credentials);
  g_free (self);
}

FakeClient *
fake_scene_connect (FakeScene *self, const char *transport)
{
  FakeClient *fake = fake_client_new (transport, self->credentials);
  g_autoptr (GError) error = NULL;

  fake_client_connect (fake, self->address, &error);
  g_assert_no_error (error);
  return fake;
}

void
fake_scene_greet (FakeScene *self, FakeClient *fake)
{
  CommyHello hello = { .service = (char *) TEST_SERVICE, .instance = self->child->instance };
  g_autofree char *text = NULL;
  CommyFrame frame;

  fake_client_greet (fake, &hello);
  g_assert_true (fake_client_receive (fake, &frame, &text));
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_WELCOME);
}
