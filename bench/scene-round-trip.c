/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Round trips, one after the other, as an application makes them: spans whose bytes are copied, or
 * written and read in place, or not touched; raw bytes by a method's name; values by its types.
 */
#include "config.h"

#include "node.h"

#include <string.h>

typedef struct
{
  CommyClient *client;
  CommyMethod method;
  gsize size;
  guint8 *payload;
  GBytes *bytes;
} Calls;

static gboolean
call_copied (gpointer data, GError **error)
{
  const Calls *self = data;
  CommySpan in;
  CommyReply reply;
  gboolean ok;

  if (!commy_client_reserve (self->client, self->method, self->size, &in, error))
    return FALSE;
  memcpy (in.data, self->payload, self->size);
  if (!commy_client_exchange (self->client, self->method, &in, &reply, 0, error))
    return FALSE;
  ok = reply.size == self->size;
  if (ok)
    memcpy (self->payload, reply.data, self->size);
  commy_reply_clear (&reply);
  return ok || bench_fail (error, "the answer is not the argument");
}

static gboolean
call_in_place (gpointer data, GError **error)
{
  const Calls *self = data;
  CommySpan in;
  CommyReply reply;
  gboolean ok;

  if (!commy_client_reserve (self->client, self->method, self->size, &in, error))
    return FALSE;
  bench_fill (in.data, self->size, 0x5a);
  if (!commy_client_exchange (self->client, self->method, &in, &reply, 0, error))
    return FALSE;
  ok = reply.size == self->size;
  if (ok)
    self->payload[0] = (guint8) bench_sum (reply.data, self->size);
  commy_reply_clear (&reply);
  return ok || bench_fail (error, "the answer is of another size");
}

static gboolean
call_untouched (gpointer data, GError **error)
{
  const Calls *self = data;
  CommySpan in;
  CommyReply reply;
  gboolean ok;

  if (!commy_client_reserve (self->client, self->method, self->size, &in, error)
      || !commy_client_exchange (self->client, self->method, &in, &reply, 0, error))
    return FALSE;
  ok = reply.size == self->size;
  commy_reply_clear (&reply);
  return ok || bench_fail (error, "the answer is of another size");
}

static gboolean
call_bytes (gpointer data, GError **error)
{
  const Calls *self = data;
  g_autoptr (GBytes) got
      = commy_client_call_bytes_sync (self->client, "Echo", self->bytes, NULL, NULL, error);

  if (got == NULL)
    return FALSE;
  return g_bytes_get_size (got) == self->size
         || bench_fail (error, "the answer is not the argument");
}

static gboolean
call_value (gpointer data, GError **error)
{
  const Calls *self = data;
  g_autoptr (GVariant) got = commy_client_call_sync (
      self->client, "Add", g_variant_new ("(ii)", 20, 22), NULL, NULL, error);
  gint32 sum;

  if (got == NULL)
    return FALSE;
  g_variant_get (got, "(i)", &sum);
  return sum == 42 || bench_fail (error, "the sum is wrong");
}

/* @method NULL: the call goes by name. A row that fails is told, and the others are still tried. */
static void
measure (BenchRun *run,
         const BenchScene *scene,
         CommyClient *client,
         const char *what,
         const char *method,
         BenchOnce once,
         gsize size)
{
  Calls self = { .client = client, .size = size };
  g_autofree guint8 *payload = g_malloc (size);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "%s/%" G_GSIZE_FORMAT, what, size);
  bench_fill (payload, size, 0x5a);
  bytes = g_bytes_new (payload, size);
  self.payload = payload;
  self.bytes = bytes;
  if (method != NULL)
    self.method = commy_client_resolve (client, method, &error);
  if (error == NULL)
    bench_time_each (run, id, size, once, &self, &error);
  if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_TOO_BIG))
    bench_tell_missing (run, id, "%s", error->message);
  else if (error != NULL)
    bench_tell_failed (run, id, g_steal_pointer (&error));
}

static gboolean
round_trips (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  const gsize *sizes = bench_get_round_trip_sizes (run);
  gboolean small = g_strcmp0 (scene->extra, "small") == 0;
  gboolean in_place = g_strcmp0 (scene->extra, "in-place") == 0;
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

  for (gsize i = 0; sizes[i] != 0 && !(small && i > 0); i++)
    measure (run, scene, client, "copied", "Copied", call_copied, sizes[i]);
  for (gsize i = 0; in_place && sizes[i] != 0; i++)
    measure (run, scene, client, "in-place", "InPlace", call_in_place, sizes[i]);
  measure (run, scene, client, "bytes", NULL, call_bytes, 64);
  measure (run, scene, client, "value", NULL, call_value, 8);
  return TRUE;
}

gboolean
scene_round_trips (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, round_trips, error);
}

/* --- loans --- */

static gboolean
loans (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  const gsize *sizes = bench_get_round_trip_sizes (run);
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

  for (gsize i = 0; sizes[i] != 0; i++)
    measure (run, scene, client, "untouched", "Untouched", call_untouched, sizes[i]);
  return TRUE;
}

gboolean
scene_loans (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, loans, error);
}

/* --- serializers --- */

/* Ids of all serializers that can be used. */
static GPtrArray *
list_serializers (CommyMesh *mesh)
{
  g_autoptr (GVariant) plugins = commy_mesh_list_plugins (mesh);
  GPtrArray *ids = g_ptr_array_new_with_free_func (g_free);
  GVariantIter iter;
  GVariant *plugin;

  g_variant_iter_init (&iter, plugins);
  while (g_variant_iter_loop (&iter, "@a{sv}", &plugin))
    {
      const char *kind = "";
      const char *state = "";
      const char *id = "";

      g_variant_lookup (plugin, "kind", "&s", &kind);
      g_variant_lookup (plugin, "state", "&s", &state);
      g_variant_lookup (plugin, "id", "&s", &id);
      if (strcmp (kind, "serializer") == 0
          && (strcmp (state, "found") == 0 || strcmp (state, "active") == 0
              || strcmp (state, "loaded") == 0))
        g_ptr_array_add (ids, g_strdup (id));
    }
  return ids;
}

/* Leaves only @id of @all. */
static char *
deny_others (const GPtrArray *all, const char *id)
{
  GString *line = g_string_new ("deny=");

  for (guint i = 0; i < all->len; i++)
    if (strcmp (all->pdata[i], id) != 0)
      g_string_append_printf (line, "serializer/%s;", (const char *) all->pdata[i]);
  g_string_append_c (line, '\n');
  return g_string_free (line, FALSE);
}

static gboolean
with_serializer (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

  measure (run, scene, client, scene->extra, NULL, call_value, 8);
  return TRUE;
}

gboolean
scene_serializers (BenchRun *run, const BenchScene *scene, GError **error)
{
  g_autofree char *keyfile = bench_keyfile (run, scene->wait, NULL, NULL);
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("bench", keyfile, error);
  g_autoptr (GPtrArray) ids = NULL;

  if (mesh == NULL)
    return FALSE;
  ids = list_serializers (mesh);
  for (guint i = 0; i < ids->len; i++)
    {
      g_autofree char *deny = deny_others (ids, ids->pdata[i]);
      BenchScene one = *scene;

      one.extra = ids->pdata[i];
      if (!bench_with_service (run, &one, deny, with_serializer, error))
        return FALSE;
    }
  return TRUE;
}
