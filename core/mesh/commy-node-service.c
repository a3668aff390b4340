/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.commy.Node1: what every node tells about itself, on the mesh thread. The command line
 * asks the process it is about, never itself.
 */
#include "config.h"

#include "base/commy-dotted-name.h"
#include "mesh/commy-alerts.h"
#include "mesh/commy-client-private.h"
#include "mesh/commy-drain.h"
#include "mesh/commy-health-checks.h"
#include "mesh/commy-node-keeper.h"
#include "mesh/commy-node-report.h"
#include "mesh/commy-service-private.h"

#include <commy/commy-version.h>
#include <unistd.h>

#define NODE_SERVICE "org.commy.Node1"

static const char node_xml[]
    = "<node><interface name='" NODE_SERVICE "'>"
      "<method name='Ping'/>"
      "<method name='Info'><arg name='info' type='a{sv}' direction='out'/></method>"
      "<method name='Plugins'><arg name='plugins' type='aa{sv}' direction='out'/></method>"
      "<method name='Flows'><arg name='flows' type='aa{sv}' direction='out'/></method>"
      "<method name='Decisions'><arg name='decisions' type='aa{sv}' direction='out'/></method>"
      "<method name='Drops'><arg name='drops' type='a(sts)' direction='out'/></method>"
      "<method name='Stats'><arg name='stats' type='a{sv}' direction='out'/></method>"
      "<method name='Health'><arg name='health' type='s' direction='out'/></method>"
      "<method name='HealthOf'>"
      "<arg name='service' type='s' direction='in'/>"
      "<arg name='instances' type='aa{sv}' direction='out'/></method>"
      "<method name='HealthHistory'>"
      "<arg name='service' type='s' direction='in'/>"
      "<arg name='changes' type='aa{sv}' direction='out'/></method>"
      "<method name='Alerts'><arg name='alerts' type='aa{sv}' direction='out'/></method>"
      "<method name='Explain'>"
      "<arg name='service' type='s' direction='in'/>"
      "<arg name='size' type='t' direction='in'/>"
      "<arg name='what_if' type='as' direction='in'/>"
      "<arg name='decision' type='a{sv}' direction='out'/></method>"
      "<method name='Endpoints'>"
      "<arg name='service' type='s' direction='in'/>"
      "<arg name='endpoints' type='aa{sv}' direction='out'/></method>"
      "<method name='Introspect'>"
      "<arg name='service' type='s' direction='in'/>"
      "<arg name='instance' type='s' direction='in'/>"
      "<arg name='interfaces' type='aa{sv}' direction='out'/></method>"
      "<method name='Cordon'>"
      "<arg name='cordoned' type='b' direction='in'/>"
      "<arg name='state' type='s' direction='out'/></method>"
      "<method name='Drain'>"
      "<arg name='timeout_ns' type='t' direction='in'/>"
      "<arg name='left' type='u' direction='out'/></method>"
      "<method name='ReloadPolicy'><arg name='state' type='s' direction='out'/></method>"
      "</interface></node>";

static void
on_ping (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, NULL);
}

static void
on_info (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyMesh *mesh = service->mesh;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "node", g_variant_new_string (mesh->node));
  g_variant_builder_add (&builder, "{sv}", "mesh", g_variant_new_string (mesh->name));
  g_variant_builder_add (&builder, "{sv}", "pid", g_variant_new_int32 (getpid ()));
  g_variant_builder_add (&builder, "{sv}", "host", g_variant_new_string (g_get_host_name ()));
  g_variant_builder_add (&builder, "{sv}", "version", g_variant_new_string (COMMY_VERSION));
  g_variant_builder_add (
      &builder, "{sv}", "principals",
      g_variant_new_strv ((const char *const *) mesh->shared.own_principals, -1));
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(@a{sv})", g_variant_builder_end (&builder)));
}

static void
on_plugins (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (
      invocation, g_variant_new ("(@aa{sv})", commy_catalog_list (service->mesh->catalog)));
}

static void
on_flows (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (
      invocation, g_variant_new ("(@aa{sv})", commy_node_report_flows (service->mesh)));
}

static void
on_decisions (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GPtrArray) decisions = commy_mesh_list_decisions (service->mesh);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < decisions->len; i++)
    {
      g_autoptr (GVariant) value = commy_decision_to_variant (decisions->pdata[i]);

      g_variant_builder_add_value (&builder, value);
    }
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(@aa{sv})", g_variant_builder_end (&builder)));
}

static void
on_drops (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GVariant) drops = commy_mesh_list_drops (service->mesh);

  commy_invocation_return_value (invocation, g_variant_new ("(@a(sts))", drops));
}

static void
on_stats (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (
      invocation, g_variant_new ("(@a{sv})", commy_node_report_stats (service->mesh)));
}

static void
on_endpoints (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *name;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&s)", &name);
  commy_invocation_return_value (
      invocation, g_variant_new ("(@aa{sv})", commy_node_report_endpoints (service->mesh, name)));
}

static void
on_introspect (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *name, *instance;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&s&s)", &name, &instance);
  commy_invocation_return_value (
      invocation,
      g_variant_new ("(@aa{sv})", commy_node_report_interfaces (service->mesh, name, instance)));
}

static void
on_health (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autofree char *health = commy_health_checks_dup_own (service->mesh->health);

  commy_invocation_return_value (invocation, g_variant_new ("(s)", health));
}

static void
on_health_of (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *name;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&s)", &name);
  commy_invocation_return_value (
      invocation,
      g_variant_new ("(@aa{sv})", commy_health_checks_list (service->mesh->health, name)));
}

static void
on_health_history (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *name;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&s)", &name);
  commy_invocation_return_value (
      invocation,
      g_variant_new ("(@aa{sv})", commy_health_checks_list_history (service->mesh->health, name)));
}

static void
on_alerts (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  /* While the mesh is being left there are none any more. */
  GVariant *alerts = service->mesh->alerts != NULL ? commy_alerts_list (service->mesh->alerts)
                                                   : g_variant_new ("aa{sv}", NULL);

  commy_invocation_return_value (invocation, g_variant_new ("(@aa{sv})", alerts));
}

/* The mesh is joined as long as its node answers, but for a moment at both ends. */
static gboolean
has_keeper (CommyMesh *mesh, CommyInvocation *invocation)
{
  if (mesh->keeper == NULL)
    commy_invocation_return_error (invocation, "the node is joining or leaving");
  return mesh->keeper != NULL;
}

/* What changes something is a permission of its own, beside that to call the method. */
static void
on_reload_policy (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GError) error = NULL;

  if (!commy_invocation_may_control (invocation, "reload-policy"))
    return;
  if (commy_mesh_reload_policy_here (service->mesh, &error))
    {
      g_message ("the policy was read again");
      commy_invocation_return_value (invocation, g_variant_new ("(s)", "read again"));
      return;
    }
  /* The one who asks is another process: both want to know. */
  g_warning ("the policy stays as it was: %s", error->message);
  commy_invocation_return_gerror (invocation, error);
}

static void
on_cordon (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyMesh *mesh = service->mesh;
  CommyNodeState state;
  gboolean cordoned;

  if (!commy_invocation_may_control (invocation, "cordon") || !has_keeper (mesh, invocation))
    return;
  g_variant_get (commy_invocation_get_parameters (invocation), "(b)", &cordoned);
  commy_drain_cordon (mesh, cordoned);
  state = commy_node_keeper_get_state (mesh->keeper);
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(s)", commy_node_state_to_string (state)));
}

static void
on_drained (gpointer data, guint left, const GError *error)
{
  g_autoptr (CommyInvocation) invocation = data;

  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(u)", left));
}

static void
on_drain (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  guint64 timeout_ns;

  if (!commy_invocation_may_control (invocation, "drain")
      || !has_keeper (service->mesh, invocation))
    return;
  g_variant_get (commy_invocation_get_parameters (invocation), "(t)", &timeout_ns);
  commy_drain_begin (service->mesh,
                     timeout_ns == G_MAXUINT64
                         ? -1
                         : (gint64) MIN (timeout_ns, (guint64) COMMY_DRAIN_MAX_US * 1000),
                     on_drained, g_object_ref (invocation));
}

/* A decision that is to be explained, and perhaps waits for the store. */
typedef struct
{
  CommyInvocation *invocation;
  CommyMesh *mesh; /* borrowed: it is there as long as its registry */
  char *service;
  guint64 size;
  CommyWhatIf *what_if;
} Question;

static void
question_free (Question *self)
{
  g_object_unref (self->invocation);
  commy_what_if_free (self->what_if);
  g_free (self->service);
  g_free (self);
}

/* A registry that is given up tells who waits so, and is not the mesh's any more. */
static gboolean
has_instances (CommyMesh *mesh, const char *service)
{
  g_autoptr (CommySnapshot) snapshot
      = mesh->registry != NULL ? commy_registry_lookup (mesh->registry, service) : NULL;

  return snapshot != NULL && snapshot->instances->len > 0;
}

/* From what is known. @error (nullable): why no more is. */
static void
explain_known (gpointer data, const GError *error)
{
  Question *self = data;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (CommyDecision) decision = NULL;
  g_autoptr (GVariant) record = NULL;
  g_autoptr (GError) cause = NULL;

  if (error != NULL && !has_instances (self->mesh, self->service))
    commy_invocation_return_gerror (self->invocation, error);
  else
    {
      client = commy_client_new (self->mesh, self->service);
      commy_client_expect_as_others (client);
      decision = commy_client_explain (client, self->size, self->what_if, NULL, &cause);
      record = decision != NULL ? commy_decision_to_variant (decision) : NULL;
      if (record != NULL)
        commy_invocation_return_value (self->invocation, g_variant_new ("(@a{sv})", record));
      else
        commy_invocation_return_gerror (self->invocation, cause);
    }
  question_free (self);
}

/* This thread keeps leases alive, so it never waits for the store: the answer comes when the store
 * has said who is there, as it does if the name is new or nobody offers it. */
static void
on_explain (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyMesh *mesh = service->mesh;
  g_autofree char *name = NULL;
  g_auto (GStrv) changes = NULL;
  g_autoptr (CommyWhatIf) what_if = NULL;
  g_autoptr (GError) error = NULL;
  Question *question;
  guint64 size;

  g_variant_get (commy_invocation_get_parameters (invocation), "(st^as)", &name, &size, &changes);
  what_if = commy_what_if_new ((const char *const *) changes, &error);
  if (what_if == NULL)
    {
      commy_invocation_return_gerror (invocation, error);
      return;
    }
  if (!has_keeper (mesh, invocation))
    return;
  question = g_new0 (Question, 1);
  question->invocation = g_object_ref (invocation);
  question->mesh = mesh;
  question->service = g_steal_pointer (&name);
  question->size = size;
  question->what_if = g_steal_pointer (&what_if);
  /* A client says what is wrong with what is no name. */
  if (!commy_endpoint_name_is_valid (question->service) || has_instances (mesh, question->service))
    explain_known (question, NULL);
  else
    commy_registry_ensure (mesh->registry, question->service, TRUE, explain_known, question);
}

CommyService *
commy_node_service_new (CommyMesh *mesh)
{
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (node_xml, NULL);
  CommyService *service
      = commy_service_new_internal (mesh, NODE_SERVICE, node->interfaces[0], mesh->context);
  static const struct
  {
    const char *name;
    CommyCallFunc func;
  } methods[] = {
    { "Ping", on_ping },
    { "Info", on_info },
    { "Plugins", on_plugins },
    { "Flows", on_flows },
    { "Drops", on_drops },
    { "Stats", on_stats },
    { "Decisions", on_decisions },
    { "Health", on_health },
    { "Explain", on_explain },
    { "Introspect", on_introspect },
    { "Alerts", on_alerts },
    { "HealthOf", on_health_of },
    { "HealthHistory", on_health_history },
    { "Cordon", on_cordon },
    { "Drain", on_drain },
    { "ReloadPolicy", on_reload_policy },
    { "Endpoints", on_endpoints },
  };

  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    commy_service_handle (service, methods[i].name, methods[i].func, NULL, NULL);
  commy_service_set_workers (service, 0);
  return service;
}
