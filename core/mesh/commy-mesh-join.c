/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joining and leaving, on the mesh thread: plugins are started, the registry gets its lease,
 * transports listen, the node's own service is offered; and the way back.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "channel/commy-flow-table.h"
#include "config/commy-config-value.h"
#include "mesh/commy-alerts.h"
#include "mesh/commy-check.h"
#include "mesh/commy-drain.h"
#include "mesh/commy-health-checks.h"
#include "mesh/commy-host-look.h"
#include "mesh/commy-interface-check.h"
#include "mesh/commy-node-keeper.h"
#include "mesh/commy-policy-watch.h"
#include "mesh/commy-prober.h"
#include "mesh/commy-proof-keeper.h"
#include "mesh/commy-service-private.h"
#include "mesh/commy-store-access.h"
#include "mesh/commy-topics.h"

#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_SERIALIZERS 15u
#define DRAIN_NS G_GINT64_CONSTANT (5000000000)
#define DRAIN_LOOK_US 1000
#define STOCK_BYTES ((gsize) 32 << 20)
/* As many as the transports inside a host need at most. */
#define DESCRIPTORS_A_CHANNEL 2
/* Who failed to prove who it is, and has to wait. */
#define ATTEMPTS 1024u

/* --- plugins --- */

static CommyPlugin *
find_store (gpointer mesh)
{
  return ((CommyMesh *) mesh)->store;
}

static gboolean
start_plugin (CommyMesh *self, CommyPlugin *plugin, GError **error)
{
  CommyHostSetup setup = { .context = self->context,
                           .mesh = self->name,
                           .node = self->node,
                           .runtime_dir = self->runtime_dir,
                           .state_dir = self->state_dir,
                           .credentials_dir = self->credentials_dir,
                           .host_id = commy_env_host_id (),
                           .env = self->env,
                           .audit = commy_mesh_audit_from_plugin,
                           .audit_data = self,
                           .find_store = find_store,
                           .store_data = self };
  g_autoptr (GError) cause = NULL;

  if (!commy_plugin_load (plugin, self->config, error)
      || !commy_plugin_start (plugin, self->config, &setup, error))
    return FALSE;
  if (!commy_plugin_wrap (plugin, self->catalog, self->config, &setup, &cause))
    {
      commy_plugin_stop (plugin);
      plugin->state = COMMY_PLUGIN_STATE_FAILED;
      g_free (plugin->reason);
      plugin->reason = g_strdup (commy_error_bare (cause));
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
  g_ptr_array_add (self->started, plugin);
  return TRUE;
}

/* "; did you mean ...?" of those of a kind that can be used, or "". (transfer full) */
static char *
suggest (CommyMesh *self, guint kind, const char *id)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();

  for (guint i = 0; i < commy_catalog_get_n_plugins (self->catalog); i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (self->catalog, i);

      if (plugin->has_note && plugin->note.kind == kind
          && commy_catalog_find (self->catalog, kind, plugin->note.id) == plugin)
        g_ptr_array_add (ids, (gpointer) plugin->note.id);
    }
  g_ptr_array_add (ids, NULL);
  return commy_value_suggest (id, (const char *const *) ids->pdata);
}

/* A balancer that @who asks for: "[service NAME]", with where that stands, or a program. */
CommyPlugin *
commy_mesh_start_balancer (CommyMesh *self, const char *id, const char *who, GError **error)
{
  CommyPlugin *plugin = commy_catalog_find (self->catalog, COMMY_PLUGIN_BALANCER, id);
  CommyPlugin *listed = commy_catalog_find_any (self->catalog, COMMY_PLUGIN_BALANCER, id);

  if (plugin == NULL && listed != NULL)
    {
      commy_set_error (error,
                       listed->state == COMMY_PLUGIN_STATE_QUARANTINED
                           ? COMMY_ERROR_PLUGIN_QUARANTINED
                           : COMMY_ERROR_PLUGIN_MISSING,
                       "balancer %s, which %s names, cannot be used: %s", id, who,
                       listed->reason != NULL ? listed->reason : "see commy plugin list");
      return NULL;
    }
  if (plugin == NULL)
    {
      g_autofree char *suggestion = suggest (self, COMMY_PLUGIN_BALANCER, id);

      commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING,
                       "there is no balancer \"%s\", which %s names%s", id, who, suggestion);
      return NULL;
    }
  if (plugin->state != COMMY_PLUGIN_STATE_ACTIVE && !start_plugin (self, plugin, error))
    return NULL;
  return plugin;
}

void
commy_mesh_keep_balancer (CommyMesh *self, const char *id)
{
  const char *known = g_intern_string (id);

  if (self->kept_balancers == NULL)
    self->kept_balancers = g_ptr_array_new ();
  if (!g_ptr_array_find (self->kept_balancers, known, NULL))
    g_ptr_array_add (self->kept_balancers, (gpointer) known);
}

/* Those that programs named when the mesh was joined before. */
static void
start_kept_balancers (CommyMesh *self)
{
  for (guint i = 0; self->kept_balancers != NULL && i < self->kept_balancers->len; i++)
    {
      g_autoptr (GError) error = NULL;

      if (commy_mesh_start_balancer (self, self->kept_balancers->pdata[i], "a client", &error)
          == NULL)
        g_warning ("%s", error->message);
    }
}

/* Those that the keyfile names; others wait until a client asks for one. */
static gboolean
start_balancers (CommyMesh *self, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (self->config, "service ");

  g_ptr_array_insert (groups, 0, (gpointer) "mesh");
  for (guint i = 0; i < groups->len; i++)
    {
      const char *group = groups->pdata[i];
      const char *id = commy_config_get (self->config, group, "balancer");
      g_autofree char *who = NULL;

      if (id == NULL || id[0] == '\0')
        continue;
      who = g_strdup_printf ("[%s] (%s)", group,
                             commy_config_get_origin (self->config, group, "balancer"));
      if (commy_mesh_start_balancer (self, id, who, error) == NULL)
        return FALSE;
    }
  start_kept_balancers (self);
  return TRUE;
}

CommyPlugin *
commy_mesh_start_named (
    CommyMesh *self, guint kind, const char *group, const char *key, const char *id, GError **error)
{
  CommyPlugin *plugin, *listed;

  if (id == NULL || id[0] == '\0')
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING,
                       "the keyfile names no plugin in \"%s\" of [%s] (%s)", key, group,
                       commy_config_get_origin (self->config, group, key));
      return NULL;
    }
  plugin = commy_catalog_find (self->catalog, kind, id);
  listed = commy_catalog_find_any (self->catalog, kind, id);
  if (plugin == NULL && listed != NULL && listed->state == COMMY_PLUGIN_STATE_QUARANTINED)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_QUARANTINED,
                       "plugin %s, which \"%s\" of [%s] names (%s), is quarantined: %s",
                       listed->name, key, group, commy_config_get_origin (self->config, group, key),
                       listed->reason);
      return NULL;
    }
  if (plugin == NULL)
    {
      commy_set_error (
          error, COMMY_ERROR_PLUGIN_MISSING,
          "no usable plugin %s/%s, which \"%s\" of [%s] names (%s): see commy plugin list",
          commy_plugin_kind_to_string (kind), id, key, group,
          commy_config_get_origin (self->config, group, key));
      return NULL;
    }
  if (plugin->state != COMMY_PLUGIN_STATE_ACTIVE && !start_plugin (self, plugin, error))
    return NULL;
  return plugin;
}

/* All of a kind; one that does not start is left out, with its reason in the catalog. */
static void
start_kind (CommyMesh *self, guint kind)
{
  guint n = commy_catalog_get_n_plugins (self->catalog);

  for (guint i = 0; i < n; i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (self->catalog, i);
      g_autoptr (GError) error = NULL;

      if (!plugin->has_note || plugin->note.kind != kind || commy_plugin_is_hook (plugin)
          || (plugin->state != COMMY_PLUGIN_STATE_FOUND
              && plugin->state != COMMY_PLUGIN_STATE_LOADED
              && plugin->state != COMMY_PLUGIN_STATE_QUIESCED))
        continue;
      if (!start_plugin (self, plugin, &error))
        g_message ("%s is not used: %s", plugin->name, error->message);
    }
}

static CommyPlugin *
start_for_chain (gpointer data, const char *id, GError **error)
{
  return commy_mesh_start_named (data, COMMY_PLUGIN_AUTH, "mesh", "auth", id, error);
}

static gboolean
start_chains (CommyMesh *self, GError **error)
{
  self->setup.chains
      = commy_auth_chains_new (self->config, self->setup.auth, start_for_chain, self, error);
  return self->setup.chains != NULL;
}

static gboolean
start_auth (CommyMesh *self, GError **error)
{
  g_auto (GStrv) ids = commy_config_get_list (self->config, "mesh", "auth");
  GPtrArray *providers = g_ptr_array_new ();

  for (guint i = 0; ids[i] != NULL; i++)
    {
      g_autoptr (GError) cause = NULL;
      CommyPlugin *plugin
          = commy_mesh_start_named (self, COMMY_PLUGIN_AUTH, "mesh", "auth", ids[i], &cause);

      if (plugin != NULL)
        g_ptr_array_add (providers, plugin);
      else
        g_message ("auth provider %s is not used: %s", ids[i], cause->message);
    }
  g_ptr_array_add (providers, NULL);
  self->setup.auth = (CommyPlugin **) g_ptr_array_free (providers, FALSE);
  if (self->setup.auth[0] != NULL)
    return start_chains (self, error);
  commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING, "%s (\"auth\" of [mesh], %s)",
                   ids[0] == NULL ? "no keyfile names an auth provider; the shipped commy.conf does"
                                  : "no auth provider can be used: see commy plugin list",
                   commy_config_get_origin (self->config, "mesh", "auth"));
  return FALSE;
}

static char **
offered_serializers (CommyMesh *self)
{
  GPtrArray *ids = g_ptr_array_new ();

  for (guint i = 0; i < self->started->len && ids->len < MAX_SERIALIZERS; i++)
    {
      CommyPlugin *plugin = self->started->pdata[i];

      if (plugin->note.kind == COMMY_PLUGIN_SERIALIZER)
        g_ptr_array_add (ids, g_strdup (plugin->note.id));
    }
  g_ptr_array_add (ids, NULL);
  return (char **) g_ptr_array_free (ids, FALSE);
}

/* --- who we are --- */

static char **
own_principals (CommyMesh *self)
{
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < self->started->len; i++)
    {
      CommyPlugin *plugin = self->started->pdata[i];
      char name[COMMY_PRINCIPAL_MAX] = "";

      if (plugin->note.kind == COMMY_PLUGIN_AUTH
          && plugin->ops.auth.self (plugin->instance, name, sizeof name))
        g_ptr_array_add (names, g_strdup (name));
    }
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (names, FALSE);
}

/* The only processor this process may run on, or -1. */
static int
single_cpu (void)
{
  cpu_set_t set;

  if (sched_getaffinity (0, sizeof set, &set) < 0 || CPU_COUNT (&set) != 1)
    return -1;
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET (i, &set))
      return i;
  return -1;
}

static CommyWaitMode
wait_mode (CommyMesh *self)
{
  const char *mode = commy_config_get (self->config, "wait", "mode");

  if (g_strcmp0 (mode, "spin") == 0)
    return COMMY_WAIT_SPIN;
  if (g_strcmp0 (mode, "block") == 0)
    return COMMY_WAIT_BLOCK;
  return COMMY_WAIT_ADAPTIVE;
}

static CommyHungPolicy
hung_policy (CommyMesh *self)
{
  const char *word = commy_config_get (self->config, "limits", "hung");

  if (g_strcmp0 (word, "drop") == 0)
    return COMMY_HUNG_DROP;
  if (g_strcmp0 (word, "disconnect") == 0)
    return COMMY_HUNG_DISCONNECT;
  return COMMY_HUNG_WARN;
}

/* Any of ours with this name that takes calls, or NULL. Several share what comes. */
static CommyService *
pick_offer (CommyMesh *self, const char *service)
{
  CommyService *picked = NULL;
  GHashTableIter iter;
  gpointer value;
  guint n = 0;

  if (self->offers == NULL)
    return NULL;
  g_hash_table_iter_init (&iter, self->offers);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (strcmp (((CommyService *) value)->name, service) == 0
        && commy_env_random64 (self->env) % ++n == 0)
      picked = value;
  return picked;
}

static gboolean
locate (gpointer data,
        const char *service,
        const char *instance,
        CommyDestination *out_destination,
        GError **error)
{
  CommyMesh *self = data;
  CommyService *offer = NULL;

  if (instance[0] == '\0')
    offer = pick_offer (self, service);
  else if (self->offers != NULL)
    offer = g_hash_table_lookup (self->offers, instance);
  if (offer != NULL && strcmp (offer->name, service) == 0
      && commy_service_destination (offer, out_destination))
    {
      out_destination->instance = offer->instance->id;
      out_destination->interface_name = offer->instance->interface_name;
      out_destination->interface_hash = offer->instance->interface_hash;
      return TRUE;
    }
  if (instance[0] == '\0')
    commy_set_error (error, COMMY_ERROR_NO_SERVICE, "%s is not offered here", service);
  else
    commy_set_error (error, COMMY_ERROR_NO_SERVICE, "instance %.8s of %s is not offered here",
                     instance, service);
  return FALSE;
}

static gboolean
fill_shared (CommyMesh *self, GError **error)
{
  CommyConfig *config = self->config;
  long n_cpus = sysconf (_SC_NPROCESSORS_ONLN);

  self->shared.owner = G_OBJECT (self);
  self->shared.env = self->env;
  self->shared.ledger = &self->ledger;
  self->shared.catalog = self->catalog;
  self->shared.deaths = self->deaths;
  self->shared.own_principals = own_principals (self);
  self->shared.max_payload = commy_config_get_size (config, "limits", "message");
  self->shared.max_methods = (guint) commy_config_get_int (config, "limits", "methods");
  self->shared.max_pending = (guint) commy_config_get_int (config, "limits", "pending-calls");
  self->shared.max_streams = (guint) commy_config_get_int (config, "limits", "streams");
  self->shared.stream_window = (gint64) commy_config_get_size (config, "limits", "stream-window");
  self->shared.max_backlog = self->shared.max_payload;
  self->shared.max_kept = commy_config_get_size (config, "limits", "kept");
  self->shared.resume_ns = commy_config_get_duration (config, "limits", "resume-within");
  self->shared.hung_after_ns = commy_config_get_duration (config, "limits", "hung-after");
  self->shared.hung_policy = hung_policy (self);
  self->shared.flows = commy_flow_table_new ();
  self->shared.stock = commy_stock_new (STOCK_BYTES, self->context);
  self->shared.wait_mode = n_cpus > 1 ? wait_mode (self) : COMMY_WAIT_BLOCK;
  self->shared.spin_max_ns = commy_config_get_duration (config, "wait", "spin-max");
  self->shared.single_cpu = single_cpu ();
  if (!commy_mesh_make_policy (self, error))
    return FALSE;
  self->policy_watch = commy_policy_watch_new (self);
  return TRUE;
}

static guint
count_descriptors (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
    return G_MAXUINT;
  return (guint) MIN (limit.rlim_cur, G_MAXUINT);
}

/* How many channels other users may have: those for which there are descriptors, and a quarter of
 * these to spare. One's own user may have as many as the limit says, which should be possible. */
static guint
channels_for_others (CommyMesh *self, guint channels)
{
  guint descriptors = count_descriptors ();
  const char *origin = commy_config_get_origin (self->config, "limits", "channels");

  if (channels > descriptors && g_strcmp0 (origin, "default") != 0)
    g_message ("the limit \"channels\" is %u (%s), but this process may have %u descriptors: "
               "raise those (ulimit -n, LimitNOFILE=)",
               channels, origin, descriptors);
  return MIN (channels, descriptors / 4 * 3 / DESCRIPTORS_A_CHANNEL);
}

static void
fill_setup (CommyMesh *self)
{
  guint handshakes = (guint) commy_config_get_int (self->config, "limits", "handshakes");
  guint channels = (guint) commy_config_get_int (self->config, "limits", "channels");

  self->setup.channel = &self->shared;
  self->setup.context = self->context;
  self->setup.mesh = self->name;
  self->setup.node = self->node;
  self->setup.serializers = offered_serializers (self);
  self->setup.timeout_ns = commy_config_get_duration (self->config, "limits", "handshake-timeout");
  self->setup.handshakes = commy_quota_new (handshakes, handshakes);
  self->setup.channels = commy_quota_new (channels, channels_for_others (self, channels));
  self->setup.attempts = commy_attempts_new (ATTEMPTS);
  if (commy_config_get_int (self->config, "security", "lock-out-address") > 0)
    self->setup.addresses = commy_attempts_new (ATTEMPTS);
  self->setup.locate = locate;
  self->setup.locate_data = self;
}

/* --- listening --- */

static void
start_listeners (CommyMesh *self)
{
  for (guint i = 0; i < self->started->len; i++)
    {
      CommyPlugin *plugin = self->started->pdata[i];
      g_autoptr (GError) error = NULL;
      CommyListener *listener;

      if (plugin->note.kind != COMMY_PLUGIN_TRANSPORT)
        continue;
      listener = commy_listener_new (&self->setup, plugin, &error);
      if (listener != NULL)
        g_ptr_array_add (self->listeners, listener);
      else
        {
          g_info ("%s does not listen: %s", plugin->name, error->message);
          g_free (plugin->reason);
          plugin->reason = g_strdup_printf ("does not listen: %s", commy_error_bare (error));
          plugin->deaf = g_error_matches (error, COMMY_ERROR, COMMY_ERROR_UNREACHABLE);
        }
    }
}

typedef struct
{
  gboolean done;
  GError *error;
} Answer;

static void
take_answer (gpointer data, const GError *error)
{
  Answer *answer = data;

  answer->done = TRUE;
  answer->error = error != NULL ? g_error_copy (error) : NULL;
}

/* Iterates the mesh thread's own context until the store has answered. */
static gboolean
settle (CommyMesh *self, Answer *answer, GError **error)
{
  while (!answer->done)
    g_main_context_iteration (self->context, TRUE);
  if (answer->error == NULL)
    return TRUE;
  g_propagate_error (error, answer->error);
  return FALSE;
}

static void
on_snapshot (gpointer data, CommySnapshot *snapshot, const CommySnapshot *before)
{
  CommyMesh *self = data;

  commy_survey_snapshot (self, snapshot, before);
  commy_health_checks_follow (self->health, snapshot);
  commy_service_rate_note (self, snapshot);
}

static gboolean
start_registry (CommyMesh *self, GError **error)
{
  Answer answer = { 0 };

  self->registry
      = commy_registry_new (self->store, self->config, self->env, self->context, &self->epoch);
  commy_registry_set_surveyor (self->registry, on_snapshot, self);
  commy_registry_start (self->registry, take_answer, &answer);
  return settle (self, &answer, error);
}

static gboolean
start_proofs (CommyMesh *self, GError **error)
{
  g_autoptr (GError) why = NULL;
  Answer answer = { 0 };

  commy_proof_keeper_start (self->proofs, take_answer, &answer);
  if (settle (self, &answer, &why)
      || g_strcmp0 (commy_config_get (self->config, "security", "deny-list"), "required") != 0)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_STORE,
                   "who is denied cannot be read in the store, so that who was shut out would be "
                   "let in here: %s (deny-list=if-there of [security] joins all the same)",
                   commy_error_bare (why));
  return FALSE;
}

static gboolean
start_node_service (CommyMesh *self, GError **error)
{
  Answer answer = { 0 };

  self->node_service = commy_node_service_new (self);
  commy_service_offer_here (self->node_service, take_answer, &answer);
  return settle (self, &answer, error);
}

gboolean
commy_mesh_join_here (CommyMesh *self, GError **error)
{
  const char *store = commy_config_get (self->config, "mesh", "store");

  self->started = g_ptr_array_new ();
  self->listeners = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_listener_free);
  self->offers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  self->alerts = commy_alerts_new (self, error);
  if (self->alerts == NULL || !commy_check_config (self->config, error))
    return FALSE;
  self->deaths = commy_death_watch_new (error);
  if (self->deaths == NULL || !start_auth (self, error))
    return FALSE;
  commy_death_watch_start (self->deaths);
  self->store = commy_mesh_start_named (self, COMMY_PLUGIN_STORE, "mesh", "store", store, error);
  if (self->store == NULL)
    return FALSE;
  if (COMMY_FAILPOINT ("join-store"))
    {
      commy_set_error (error, COMMY_ERROR_STORE, "fail point join-store");
      return FALSE;
    }
  start_kind (self, COMMY_PLUGIN_SERIALIZER);
  if (!start_balancers (self, error))
    return FALSE;
  start_kind (self, COMMY_PLUGIN_TRANSPORT);
  if (!commy_mesh_start_audit (self, error) || !commy_mesh_start_engine (self, error)
      || !fill_shared (self, error) || !commy_mesh_audit_plugins (self, error))
    return FALSE;
  fill_setup (self);
  self->prober = commy_prober_new (self);
  self->interface_checks = commy_interface_checks_new (self);
  self->looks_for_host = commy_config_get_bool (self->config, "mesh", "look-for-host");
  self->health = commy_health_checks_new (self);
  self->proofs = commy_proof_keeper_new (self);
  if (!start_registry (self, error) || !start_proofs (self, error))
    return FALSE;
  commy_alerts_start (self->alerts);
  start_listeners (self);
  if (COMMY_FAILPOINT ("join-listening"))
    {
      commy_set_error (error, COMMY_ERROR_FAILED, "fail point join-listening");
      return FALSE;
    }
  if (!start_node_service (self, error))
    return FALSE;
  self->keeper = commy_node_keeper_new (self);
  self->host_look = commy_host_look_new (self);
  return TRUE;
}

/* --- leaving --- */

static void
drain_context (CommyMesh *self)
{
  while (g_main_context_iteration (self->context, FALSE))
    ;
}

/* Lets the services' own threads answer what they have begun. */
static void
drain_offers (CommyMesh *self, GPtrArray *offers)
{
  gint64 until = commy_env_now (self->env) + DRAIN_NS;
  gboolean draining = TRUE;

  while (draining && commy_env_now (self->env) < until)
    {
      draining = FALSE;
      for (guint i = 0; i < offers->len; i++)
        draining |= commy_service_is_draining (offers->pdata[i]);
      drain_context (self);
      if (draining)
        g_usleep (DRAIN_LOOK_US);
    }
}

static void
stop_offers (CommyMesh *self)
{
  g_autoptr (GPtrArray) offers = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTable *left;
  GHashTableIter iter;
  gpointer service;

  if (self->offers == NULL)
    return;
  g_hash_table_iter_init (&iter, self->offers);
  while (g_hash_table_iter_next (&iter, NULL, &service))
    g_ptr_array_add (offers, g_object_ref (service));
  for (guint i = 0; i < offers->len; i++)
    {
      CommyService *offer = offers->pdata[i];
      Answer answer = { 0 };

      while (offer->is_writing)
        g_main_context_iteration (self->context, TRUE);
      commy_service_unlist_here (offer, NULL);
      if (self->registry != NULL && offer->instance != NULL)
        {
          commy_registry_remove (self->registry, offer->instance, take_answer, &answer);
          while (!answer.done)
            g_main_context_iteration (self->context, TRUE);
          g_clear_error (&answer.error);
        }
      commy_service_announce_end_here (offer);
    }
  if (!self->left_from_inside)
    drain_offers (self, offers);
  for (guint i = 0; i < offers->len; i++)
    commy_service_abort_here (offers->pdata[i]);
  g_mutex_lock (&self->lock);
  left = g_steal_pointer (&self->offers);
  g_mutex_unlock (&self->lock);
  g_hash_table_unref (left);
  g_clear_object (&self->node_service);
}

/* A transport whose messages somebody still holds stays until the catalog goes; who holds one
 * holds the mesh. */
static void
stop_plugin (CommyPlugin *plugin)
{
  if (__atomic_load_n (&plugin->connections, __ATOMIC_ACQUIRE) == 0)
    commy_plugin_stop (plugin);
}

/* Clients may outlive the mesh: their channels are closed on their own threads' workers. */
void
commy_mesh_leave_here (CommyMesh *self)
{
  (void) COMMY_FAILPOINT ("leave"); /* it cannot fail, but its process can */
  if (self->prober != NULL)
    commy_prober_stop (self->prober);
  if (self->interface_checks != NULL)
    commy_interface_checks_stop (self->interface_checks);
  g_clear_pointer (&self->alerts, commy_alerts_free);
  g_clear_pointer (&self->host_look, commy_host_look_free);
  if (self->health != NULL)
    commy_health_checks_stop (self->health);
  commy_mesh_drop_publishers (self);
  commy_mesh_end_store_watches (self);
  commy_drain_abandon (self);
  g_clear_pointer (&self->keeper, commy_node_keeper_free);
  stop_offers (self);
  self->is_cordoned = FALSE;
  g_clear_pointer (&self->listeners, g_ptr_array_unref);
  commy_setup_cancel_all (&self->setup);
  drain_context (self);
  for (guint i = self->started != NULL ? self->started->len : 0; i-- > 0;)
    commy_plugin_quiesce (self->started->pdata[i]);
  commy_mesh_shut_workers (self, FALSE);
  commy_setup_cancel_all (&self->setup);
  commy_mesh_stop_engine (self);
  g_clear_pointer (&self->proofs, commy_proof_keeper_free);
  g_clear_pointer (&self->topics, commy_topics_free);
  g_clear_pointer (&self->registry, commy_registry_free);
  g_clear_pointer (&self->prober, commy_prober_free);
  g_clear_pointer (&self->interface_checks, commy_interface_checks_free);
  g_clear_pointer (&self->health, commy_health_checks_free);
  commy_mesh_stop_audit (self);
  for (guint i = self->started != NULL ? self->started->len : 0; i-- > 0;)
    stop_plugin (self->started->pdata[i]);
  g_clear_pointer (&self->started, g_ptr_array_unref);
  drain_context (self);
  self->shared.deaths = NULL;
  g_clear_pointer (&self->deaths, commy_death_watch_free);
  g_clear_pointer (&self->setup.serializers, g_strfreev);
  g_clear_pointer (&self->setup.chains, commy_auth_chains_free);
  g_clear_pointer (&self->setup.attempts, commy_attempts_free);
  g_clear_pointer (&self->setup.addresses, commy_attempts_free);
  g_clear_pointer (&self->setup.auth, g_free);
  g_clear_pointer (&self->shared.flows, commy_flow_table_free);
  g_clear_pointer (&self->shared.stock, commy_stock_close);
  g_clear_pointer (&self->setup.handshakes, commy_quota_unref);
  g_clear_pointer (&self->setup.channels, commy_quota_unref);
  g_clear_pointer (&self->shared.own_principals, g_strfreev);
  g_clear_pointer (&self->policy_watch, commy_policy_watch_free);
  self->shared.policy = NULL;
  g_clear_pointer (&self->policy, commy_policy_current_free);
  self->store = NULL;
}
