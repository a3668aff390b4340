/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The node. Its handlers run on a worker of the service, its calls on the thread that made it.
 */
#include "config.h"

#include "kill-node.h"

#include <string.h>

#define INTERFACE "org.example.Kill"
#define CALLS 6
#define STREAMED 12
#define TOLD 40 /* one-way, so that some lie in the ring when their reader dies */
#define PATIENCE_US (30 * G_USEC_PER_SEC)

static const char xml[] = "<node><interface name='" INTERFACE "'>"
                          "</interface></node>";

static void
on_note (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  KillNode *self = data;
  GBytes *message = commy_invocation_get_bytes (invocation);

  if (message != NULL && kill_ledger_note (self->ledger, self->number, message))
    commy_invocation_return_bytes (invocation, message);
  else
    commy_invocation_return_error (invocation, "that is no message");
}

/* Every stream counts from zero. */
static void
read_flow (KillNode *self, CommyInvocation *invocation, gboolean of_parent)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  guint32 n = 0;

  if (of_parent)
    kill_ledger_have (self->ledger);
  for (;; n++)
    {
      g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, &error);

      if (value == NULL)
        break;
      if (of_parent)
        kill_ledger_have (self->ledger);
      if (!g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32) || g_variant_get_uint32 (value) != n)
        kill_ledger_fail (self->ledger, "a stream to node %u has not %u where it should",
                          self->number, n);
    }
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(u)", n));
}

static void
on_flow (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  read_flow (data, invocation, FALSE);
}

static void
on_parents_flow (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  read_flow (data, invocation, TRUE);
}

/* The parent alone says something that way. */
static void
on_tell (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  kill_ledger_have (((KillNode *) data)->ledger);
  commy_invocation_return_value (invocation, NULL);
}

static char *
name_of (guint number)
{
  return g_strdup_printf (INTERFACE ".Node%u", number);
}

gboolean
kill_node_start (KillNode *self, KillLedger *ledger, guint number, const char *settings)
{
  g_autoptr (GDBusNodeInfo) info = g_dbus_node_info_new_for_xml (xml, NULL);
  g_autofree char *name = name_of (number);
  g_autoptr (GError) error = NULL;

  *self = (KillNode){ .ledger = ledger, .number = number };
  self->mesh = commy_mesh_new_with_settings ("test", settings, &error);
  if (self->mesh == NULL || !commy_mesh_join_sync (self->mesh, NULL, &error))
    {
      kill_ledger_fail (ledger, "node %u cannot join: %s", number, error->message);
      return FALSE;
    }
  self->service = commy_service_new (self->mesh, name, info->interfaces[0]);
  commy_service_handle (self->service, "Note", on_note, self, NULL);
  commy_service_handle (self->service, "Tell", on_tell, self, NULL);
  commy_service_handle_stream (self->service, "Flow", COMMY_STREAM_KIND_CLIENT, on_flow, self,
                               NULL);
  commy_service_handle_stream (self->service, "ParentsFlow", COMMY_STREAM_KIND_CLIENT,
                               on_parents_flow, self, NULL);
  commy_service_set_workers (self->service, 1);
  if (!commy_service_start_sync (self->service, NULL, &error))
    {
      kill_ledger_fail (ledger, "node %u cannot offer: %s", number, error->message);
      return FALSE;
    }
  for (guint i = 0; i < KILL_NODES; i++)
    {
      g_autofree char *other = name_of (i);

      if (i != number)
        self->clients[i] = commy_client_new (self->mesh, other);
    }
  return TRUE;
}

void
kill_node_stop (KillNode *self)
{
  for (guint i = 0; i < KILL_NODES; i++)
    g_clear_object (&self->clients[i]);
  if (self->mesh != NULL)
    commy_mesh_leave_sync (self->mesh, NULL, NULL);
  if (self->service != NULL)
    g_object_run_dispose (G_OBJECT (self->service)); /* its handlers' data is ours */
  g_clear_object (&self->service);
  g_clear_object (&self->mesh);
}

/* --- calling --- */

/* A victim got the parent's answer, or its error. */
static void
note_answer (KillNode *self, CommyClient *client, gboolean answered)
{
  if (answered && self->number != KILL_PARENT && client == self->clients[KILL_PARENT])
    kill_ledger_have (self->ledger);
}

static gboolean
send_one (KillNode *self, CommyClient *client, const CommyCallOptions *options)
{
  guint number;
  g_autoptr (GBytes) message = kill_ledger_write (self->ledger, self->number, &number);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) answer
      = commy_client_call_bytes_sync (client, "Note", message, options, NULL, &error);

  note_answer (self, client, answer != NULL);
  if (answer != NULL && !g_bytes_equal (answer, message))
    kill_ledger_fail (self->ledger, "message %u of node %u has another's answer", number,
                      self->number);
  kill_ledger_end (self->ledger, self->number, number, error);
  return answer != NULL;
}

static gboolean
stream_some (KillNode *self, CommyClient *client, const CommyCallOptions *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (CommyStream) stream = commy_client_open_stream_sync (
      client, self->number == KILL_PARENT ? "ParentsFlow" : "Flow", NULL, options, NULL, &error);
  guint32 n = 0;

  for (guint32 i = 0; i < STREAMED && error == NULL; i++)
    commy_stream_write_sync (stream, g_variant_new_uint32 (i), NULL, &error);
  if (error == NULL && commy_stream_close_write (stream, &error))
    result = commy_stream_wait_result_sync (stream, NULL, &error);
  note_answer (self, client, result != NULL);
  if (result != NULL)
    g_variant_get (result, "(u)", &n);
  if (result != NULL && n != STREAMED)
    kill_ledger_fail (self->ledger, "a stream of node %u lost %u messages", self->number,
                      STREAMED - n);
  if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DEADLINE))
    kill_ledger_fail (self->ledger, "a stream of node %u hung", self->number);
  return result != NULL;
}

static gboolean
tell_some (KillNode *self, CommyClient *client, const CommyCallOptions *options)
{
  gboolean ok = TRUE;

  for (guint i = 0; i < TOLD && ok; i++)
    ok = commy_client_send (client, "Tell", NULL, options, NULL);
  return ok;
}

gboolean
kill_node_work (KillNode *self)
{
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  CommyClient *client;
  gboolean ok = TRUE;

  do
    client = self->clients[self->turn++ % KILL_NODES];
  while (client == NULL);
  commy_call_options_set_timeout (options, PATIENCE_US);
  if (self->ledger->sent[self->number] + CALLS > KILL_MESSAGES)
    return FALSE;
  for (guint i = 0; i < CALLS && ok; i++)
    ok = send_one (self, client, options);
  if (ok && self->number == KILL_PARENT)
    ok = tell_some (self, client, options);
  return ok && stream_some (self, client, options);
}

guint
kill_node_count_instances (KillNode *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) services
      = commy_mesh_list_services_sync (self->mesh, INTERFACE ".*", NULL, &error);

  if (error != NULL)
    kill_ledger_fail (self->ledger, "the store does not list: %s", error->message);
  return services != NULL ? (guint) g_variant_n_children (services) : 0;
}
