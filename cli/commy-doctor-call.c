/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls of its own: a mesh in a folder that is made for it and removed again, joined twice by this
 * process, so that paths between nodes are real and nobody else sees anything of it.
 */
#include "config.h"

#include "cli/commy-doctor.h"
#include "cli/commy-lookup.h"
#include "cli/commy-quantity.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVICE "org.example.Doctor"
#define METHOD "Same"
#define CALLS 200u
#define TIMEOUT_US (3 * G_USEC_PER_SEC)

typedef struct
{
  char *dir;
  CommyMesh *here;  /* offers */
  CommyMesh *there; /* calls */
  CommyService *service;
} Rig;

/* --- the folder --- */

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    dir = g_dir_open (path, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *inner = g_build_filename (path, name, NULL);

      remove_tree (inner);
    }
  g_remove (path);
}

static void
rig_clear (Rig *rig)
{
  g_clear_object (&rig->service);
  if (rig->there != NULL)
    commy_mesh_leave_sync (rig->there, NULL, NULL);
  if (rig->here != NULL)
    commy_mesh_leave_sync (rig->here, NULL, NULL);
  g_clear_object (&rig->there);
  g_clear_object (&rig->here);
  if (rig->dir != NULL)
    remove_tree (rig->dir);
  g_clear_pointer (&rig->dir, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rig, rig_clear)

static void
on_same (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_bytes (invocation, commy_invocation_get_bytes (invocation));
}

static CommyMesh *
join (CommyDoctor *doctor, const char *dir, GError **error)
{
  g_autofree char *settings
      = g_strdup_printf ("[mesh]\nruntime-dir=%s\nstate-dir=%s\ncredentials-dir=%s\n", dir, dir,
                         commy_mesh_get_credentials_dir (doctor->mesh));
  g_autoptr (CommyMesh) mesh
      = commy_mesh_new_with_settings (commy_mesh_get_name (doctor->mesh), settings, error);

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return NULL;
  return g_steal_pointer (&mesh);
}

static gboolean
rig_set_up (Rig *rig, CommyDoctor *doctor, GError **error)
{
  if (doctor->mesh == NULL)
    {
      g_propagate_error (error, g_error_copy (doctor->error));
      return FALSE;
    }
  rig->dir = g_dir_make_tmp ("commy-XXXXXX", error);
  rig->here = rig->dir != NULL ? join (doctor, rig->dir, error) : NULL;
  if (rig->here == NULL)
    return FALSE;
  rig->service = commy_service_new (rig->here, SERVICE, NULL);
  commy_service_handle (rig->service, METHOD, on_same, NULL, NULL);
  commy_service_set_workers (rig->service, 1);
  if (!commy_service_start_sync (rig->service, NULL, error))
    return FALSE;
  rig->there = join (doctor, rig->dir, error);
  return rig->there != NULL;
}

/* (transfer full) (nullable): what the store says of the service */
static GVariant *
find_service (Rig *rig, GError **error)
{
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (rig->there, SERVICE, NULL, error);

  if (list == NULL)
    return NULL;
  if (g_variant_n_children (list) > 0)
    return g_variant_get_child_value (list, 0);
  commy_cli_set_error (error, COMMY_ERROR_STORE, "the store does not show what was offered");
  return NULL;
}

static void
fail (CommyFinding *finding, const GError *error)
{
  commy_finding_fail (finding, "%s", error->message);
  commy_finding_way_out (finding, "commy help %.7s", error->message);
}

/* --- listening --- */

static char *
join_pairs (GVariant *instance, const char *key, guint *out_n)
{
  g_autoptr (GVariant) pairs = g_variant_lookup_value (instance, key, G_VARIANT_TYPE ("a(ss)"));
  GString *out = g_string_new (NULL);
  GVariantIter iter;
  const char *transport, *text;

  *out_n = 0;
  if (pairs != NULL)
    {
      g_variant_iter_init (&iter, pairs);
      while (g_variant_iter_next (&iter, "(&s&s)", &transport, &text))
        {
          (*out_n)++;
          g_string_append_printf (out, "%s%s", out->len > 0 ? "; " : "", transport);
          if (strcmp (key, "withheld") == 0)
            g_string_append_printf (out, ": %s", text);
        }
    }
  return g_string_free (out, FALSE);
}

/* Without credentials a transport between hosts is not meant to listen. */
static gboolean
has_credentials (CommyDoctor *doctor)
{
  g_autofree char *path
      = g_build_filename (commy_mesh_get_credentials_dir (doctor->mesh), "cert.pem", NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

void
commy_doctor_check_listening (CommyDoctor *doctor, CommyFinding *finding)
{
  g_auto (Rig) rig = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) instance = NULL;
  g_autofree char *open = NULL;
  g_autofree char *withheld = NULL;
  guint n_open, n_withheld;

  if (!commy_doctor_has_files (finding))
    return;
  if (rig_set_up (&rig, doctor, &error))
    instance = find_service (&rig, &error);
  if (instance == NULL)
    {
      fail (finding, error);
      return;
    }
  open = join_pairs (instance, "endpoints", &n_open);
  withheld = join_pairs (instance, "withheld", &n_withheld);
  if (n_open == 0)
    commy_finding_fail (finding, "no transport listens (%s)", withheld);
  else if (n_withheld > 0 && has_credentials (doctor))
    commy_finding_warn (finding, "%s; not: %s", open, withheld);
  else if (n_withheld > 0)
    commy_finding_ok (finding, "%s; not: %s", open, withheld);
  else
    commy_finding_ok (finding, "%s", open);
  commy_finding_way_out (finding, "the reason says what is missing; commy help D016");
}

/* --- calling --- */

static gint
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

/* The middle of CALLS times, or -1. */
static gint64
measure (CommyMesh *mesh, const char *transport, GError **error)
{
  const char *only[] = { transport, NULL };
  g_autoptr (CommyClient) client = commy_client_new (mesh, SERVICE);
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GBytes) bytes = g_bytes_new_static ("commy", 5);
  gint64 times[CALLS];

  commy_requirements_set_preference (requirements, COMMY_PREFER_PIN, only);
  commy_client_set_requirements (client, requirements);
  commy_call_options_set_timeout (options, TIMEOUT_US);
  for (guint i = 0; i < CALLS; i++)
    {
      gint64 began = now_ns ();
      g_autoptr (GBytes) answer
          = commy_client_call_bytes_sync (client, METHOD, bytes, options, NULL, error);

      if (answer == NULL)
        return -1;
      if (!g_bytes_equal (answer, bytes))
        {
          commy_cli_set_error (error, COMMY_ERROR_PROTOCOL, "other bytes came back than were sent");
          return -1;
        }
      times[i] = now_ns () - began;
    }
  qsort (times, CALLS, sizeof times[0], compare);
  return times[CALLS / 2];
}

/* From another node; a transport inside one process from the node itself. */
static void
try_transport (Rig *rig, const char *transport, GString *worked, CommyFinding *finding)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) second = NULL;
  gint64 ns = measure (rig->there, transport, &error);
  g_autofree char *text = NULL;

  if (ns < 0 && g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE))
    ns = measure (rig->here, transport, &second);
  if (ns >= 0)
    {
      text = commy_quantity_format_ns ((double) ns);
      g_string_append_printf (worked, "%s%s %s", worked->len > 0 ? ", " : "", transport, text);
      return;
    }
  commy_finding_fail (finding, "%s: %s", transport, (second != NULL ? second : error)->message);
  commy_finding_way_out (finding, "commy plugin info transport/%s; commy route explain", transport);
}

void
commy_doctor_check_calls (CommyDoctor *doctor, CommyFinding *finding)
{
  g_auto (Rig) rig = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) instance = NULL;
  g_autoptr (GVariant) endpoints = NULL;
  g_autoptr (GString) worked = g_string_new (NULL);
  GVariantIter iter;
  const char *transport, *address;

  if (!commy_doctor_has_files (finding))
    return;
  if (rig_set_up (&rig, doctor, &error))
    instance = find_service (&rig, &error);
  if (instance == NULL)
    {
      fail (finding, error);
      return;
    }
  endpoints = g_variant_lookup_value (instance, "endpoints", G_VARIANT_TYPE ("a(ss)"));
  if (endpoints != NULL)
    {
      g_variant_iter_init (&iter, endpoints);
      while (g_variant_iter_next (&iter, "(&s&s)", &transport, &address))
        try_transport (&rig, transport, worked, finding);
    }
  if (finding->state == COMMY_FINDING_OK && worked->len > 0)
    commy_finding_ok (finding, "%s", worked->str);
  else if (finding->state == COMMY_FINDING_OK)
    commy_finding_fail (finding, "no transport can be used");
}
