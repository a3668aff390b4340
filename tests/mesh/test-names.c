/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any byte in the name of a service: it is called and offered where it is a name, and where not the
 * error says so in text that can be printed, before anything was asked or written.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>

#define N_PLACES 3u

/* (transfer full): @byte first, last, or between others. */
static char *
make_name (guint place, char byte)
{
  static const char *const before[N_PLACES] = { "", "org.exam", "org.example" };
  static const char *const behind[N_PLACES] = { "org.example", "ple", "" };

  return g_strdup_printf ("%s%c%s", before[place], byte, behind[place]);
}

static gboolean
is_name (guint place, char byte)
{
  return g_ascii_isalnum (byte) || byte == '_' || byte == '-' || (byte == '.' && place == 1);
}

static void
assert_refused (GError **error)
{
  g_assert_error (*error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_assert_true (g_utf8_validate ((*error)->message, -1, NULL));
  for (const char *at = (*error)->message; *at != '\0'; at++)
    g_assert_false (g_ascii_iscntrl (*at));
  g_clear_error (error);
}

static void
check_name (CommyMesh *mesh, const char *name, gboolean is_right)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, name);
  g_autoptr (CommyService) service = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  answer = commy_client_call_sync (client, "Nothing", NULL, NULL, NULL, &error);
  g_assert_null (answer);
  if (is_right)
    {
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE);
      return;
    }
  assert_refused (&error);
  service = commy_service_new (mesh, name, NULL);
  g_assert_false (commy_service_start_sync (service, NULL, &error));
  assert_refused (&error);
  g_assert_null (commy_mesh_new (name, &error));
  assert_refused (&error);
}

static guint
count_services (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, NULL, NULL, &error);

  g_assert_no_error (error);
  return (guint) g_variant_n_children (list);
}

static void
test_every_byte (MeshFixture *fixture, gconstpointer unused)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  const guint before = count_services (mesh);

  for (guint place = 0; place < N_PLACES; place++)
    for (guint byte = 1; byte < 256; byte++)
      {
        g_autofree char *name = make_name (place, (char) byte);

        /* What is a name is mostly like another that is one. */
        if (!is_name (place, (char) byte) || strchr ("aZ09_-.", (int) byte) != NULL)
          check_name (mesh, name, is_name (place, (char) byte));
      }
  check_name (mesh, "", FALSE);
  g_assert_cmpuint (count_services (mesh), ==, before);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/mesh/names/every-byte-in-a-service-s-name", MeshFixture, NULL, mesh_fixture_set_up,
              test_every_byte, mesh_fixture_tear_down);
  return g_test_run ();
}
