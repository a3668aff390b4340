/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper of the node's record. One write at a time; what changes meanwhile is written after it.
 */
#include "config.h"

#include "mesh/commy-node-keeper.h"

#include "mesh/commy-ward.h"

#include <commy/commy-version.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct _CommyNodeKeeper
{
  CommyMesh *mesh;
  CommyNode *node;
  CommyNodeResources written;
  GSource *timer;      /* NULL: nobody wants to know */
  gboolean is_writing; /* also while it is taken away */
  gboolean is_stale;
  gboolean is_ending;
};

/* --- resources --- */

static guint64
read_kib (const char *text, const char *key)
{
  const char *line = strstr (text, key);

  return line != NULL ? g_ascii_strtoull (line + strlen (key), NULL, 10) * 1024 : 0;
}

static guint32
count_files (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint32 n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n > 0 ? n - 1 : 0; /* without the folder's own */
}

static void
read_resources (CommyNodeResources *out)
{
  g_autofree char *host = NULL;
  g_autofree char *own = NULL;
  const char *space;
  double load = 0;

  memset (out, 0, sizeof *out);
  out->cpus = (guint32) MAX (sysconf (_SC_NPROCESSORS_ONLN), 0);
  if (getloadavg (&load, 1) == 1)
    out->load = load;
  if (g_file_get_contents ("/proc/meminfo", &host, NULL, NULL))
    {
      out->memory_total = read_kib (host, "MemTotal:");
      out->memory_available = read_kib (host, "MemAvailable:");
    }
  if (g_file_get_contents ("/proc/self/statm", &own, NULL, NULL)
      && (space = strchr (own, ' ')) != NULL)
    out->resident = g_ascii_strtoull (space, NULL, 10) * (guint64) MAX (sysconf (_SC_PAGESIZE), 0);
  out->open_files = count_files ();
}

/* --- writing --- */

static void write_record (CommyNodeKeeper *self);

static void
on_written (gpointer data, const GError *error)
{
  CommyNodeKeeper *self = data;

  /* The registration said what it does about an error. */
  self->is_writing = FALSE;
  if (self->is_stale && !self->is_ending)
    write_record (self);
}

static void
write_record (CommyNodeKeeper *self)
{
  g_autoptr (GBytes) value = NULL;
  char *text;

  self->is_stale = self->is_writing;
  if (self->is_writing)
    return;
  self->is_writing = TRUE;
  self->written = self->node->resources;
  g_variant_unref (self->node->calls);
  self->node->calls = g_variant_ref_sink (
      commy_dependencies_tell (self->mesh->dependencies, g_get_real_time () / G_USEC_PER_SEC));
  text = commy_node_write (self->node);
  value = g_bytes_new_take (text, strlen (text));
  commy_registry_put_node (self->mesh->registry, self->node->id, value, on_written, self);
}

/* Calls tell by themselves. Whose thread is busy now is asked the next time: nobody waits. */
static void
note_streams (const GPtrArray *workers)
{
  for (guint i = 0; i < workers->len; i++)
    {
      CommyMeshWorker *worker = workers->pdata[i];

      if (!commy_worker_try_enter (worker->worker))
        continue;
      commy_peers_note_streams (worker->peers);
      commy_worker_exit (worker->worker);
    }
}

static gboolean
on_look (gpointer data)
{
  CommyNodeKeeper *self = data;
  /* Let go of last: the mesh may end with the last worker, and this with it. */
  g_autoptr (GPtrArray) workers = commy_mesh_dup_workers (self->mesh);

  note_streams (workers);
  read_resources (&self->node->resources);
  self->node->refreshed_s = g_get_real_time () / G_USEC_PER_SEC;
  if (commy_node_resources_differ (&self->written, &self->node->resources)
      || commy_dependencies_are_news (self->mesh->dependencies, self->node->refreshed_s))
    write_record (self);
  return G_SOURCE_CONTINUE;
}

/* --- life --- */

static char *
dup_program (void)
{
  const char *name = g_get_prgname ();
  const char *slash = strrchr (name != NULL ? name : program_invocation_short_name, '/');

  if (slash != NULL)
    return g_utf8_make_valid (slash + 1, -1);
  return g_utf8_make_valid (name != NULL ? name : program_invocation_short_name, -1);
}

static void
set (char **text, const char *to)
{
  g_free (*text);
  *text = g_strdup (to != NULL ? to : "");
}

static void
fill (CommyNodeKeeper *self)
{
  CommyMesh *mesh = self->mesh;
  CommyNode *node = self->node;
  GPtrArray *transports = g_ptr_array_new ();

  g_free (node->program);
  node->program = dup_program ();
  node->pid = getpid ();
  set (&node->host, g_get_host_name ());
  set (&node->host_id, commy_env_host_id ());
  set (&node->zone, commy_config_get (mesh->config, "mesh", "zone"));
  set (&node->region, commy_config_get (mesh->config, "mesh", "region"));
  set (&node->version, COMMY_VERSION);
  set (&node->mesh, mesh->name);
  node->joined_s = node->refreshed_s = g_get_real_time () / G_USEC_PER_SEC;
  for (guint i = 0; i < mesh->listeners->len; i++)
    g_ptr_array_add (transports,
                     g_strdup (commy_listener_get_transport (mesh->listeners->pdata[i])));
  g_ptr_array_add (transports, NULL);
  g_strfreev (node->transports);
  node->transports = (char **) g_ptr_array_free (transports, FALSE);
  g_strfreev (node->serializers);
  node->serializers = g_strdupv (mesh->setup.serializers);
  read_resources (&node->resources);
}

CommyNodeKeeper *
commy_node_keeper_new (CommyMesh *mesh)
{
  CommyNodeKeeper *self = g_new0 (CommyNodeKeeper, 1);
  gint64 every_ns = commy_config_get_duration (mesh->config, "mesh", "node-refresh");

  self->mesh = mesh;
  self->node = commy_node_new (mesh->node);
  fill (self);
  write_record (self);
  if (every_ns == 0)
    return self;
  self->timer = g_timeout_source_new ((guint) MAX (every_ns / 1000000, 1));
  g_source_set_callback (self->timer, on_look, self, NULL);
  g_source_attach (self->timer, mesh->context);
  return self;
}

void
commy_node_keeper_free (CommyNodeKeeper *self)
{
  if (self == NULL)
    return;
  self->is_ending = TRUE;
  if (self->timer != NULL)
    {
      g_source_destroy (self->timer);
      g_source_unref (self->timer);
    }
  while (self->is_writing)
    g_main_context_iteration (self->mesh->context, TRUE);
  self->is_writing = TRUE;
  commy_registry_remove_node (self->mesh->registry, self->node->id, on_written, self);
  while (self->is_writing)
    g_main_context_iteration (self->mesh->context, TRUE);
  commy_node_free (self->node);
  g_free (self);
}

void
commy_node_keeper_set_state (CommyNodeKeeper *self, CommyNodeState state)
{
  if (self->node->state == state)
    return;
  self->node->state = state;
  write_record (self);
}

CommyNodeState
commy_node_keeper_get_state (CommyNodeKeeper *self)
{
  return self->node->state;
}
