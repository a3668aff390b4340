/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joins the mesh over the daemon's socket; that it looks for the host is a setting of its mesh.
 */
#include "config.h"

#include "daemon/commyd-look.h"

#include <commy/commy.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

static gboolean
on_terminate (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_CONTINUE;
}

static CommyMesh *
join (const char *name, const char *socket, const char *folder, GError **error)
{
  g_autofree char *own
      = folder != NULL
            ? g_strdup_printf ("runtime-dir=%s/run\nstate-dir=%s/state\n", folder, folder)
            : g_strdup ("");
  g_autofree char *settings = g_strdup_printf ("[mesh]\nstore=commyd\nlook-for-host=true\n%s"
                                               "[plugin store/commyd]\nparam.socket=%s\n",
                                               own, socket);
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings (name, settings, error);

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return NULL;
  return g_steal_pointer (&mesh);
}

int
commyd_look (const char *name, const char *socket, const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (CommyMesh) mesh = NULL;

  prctl (PR_SET_NAME, "commyd"); /* else it is "exe", as it was started */
  mesh = join (name, socket, folder, &error);
  if (mesh == NULL)
    {
      g_printerr ("commyd: looking for the programs of this host: %s\n", error->message);
      return EXIT_FAILURE;
    }
  g_unix_signal_add (SIGTERM, on_terminate, loop);
  g_unix_signal_add (SIGINT, on_terminate, loop);
  g_main_loop_run (loop);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return EXIT_SUCCESS;
}
