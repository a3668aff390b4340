/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry on the mesh thread: for every service that somebody uses its sources, and one
 * snapshot of what they say together, made anew whenever one of them has something new.
 */
#include "config.h"

#include "control/commy-registry.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"
#include "config/commy-config-endpoint.h"
#include "control/commy-node.h"
#include "control/commy-own-instances.h"
#include "control/commy-registration.h"
#include "control/commy-source.h"

#include <string.h>

#define PREFIX COMMY_SERVICES_PREFIX
/* Between two snapshots of a service is so many times what one takes, in these bounds. */
#define PAUSE_SHARE 4
#define PAUSE_LEAST_NS G_GINT64_CONSTANT (1000000)
#define PAUSE_MOST_NS G_GINT64_CONSTANT (200000000)

typedef struct
{
  CommyRegistryFunc func;
  gpointer data;
  gboolean fresh;
} Waiter;

/* A service that somebody uses. */
typedef struct
{
  CommyRegistry *registry;
  char *service;
  GPtrArray *sources; /* CommySource; the store's first */
  char *complaint;    /* about its endpoints in the keyfile, or NULL */
  GError *error;      /* of the store, when it was asked last */
  gboolean beginning; /* sources are being asked: not all of them yet */
  GSource *later;     /* makes the snapshot that is due; NULL: none is */
  gint64 next_ns;     /* not made before */
  gint64 away_ns;     /* since when the store is away; 0: it is there */
  GArray *waiters;
} Watched;

struct _CommyRegistry
{
  CommyPlugin *store;
  const CommyStoreOps *ops;
  GMainContext *context;
  CommyConfig *config;
  const CommyEnv *env;
  CommyRegistration *registration;
  CommyOwnInstances *own;
  GHashTable *watched;                 /* service -> Watched */
  guint most_services, most_instances; /* limits */
  CommyRefusals told;                  /* of records that could not be read, for lists */
  CommyRegistrySurveyor survey;
  gpointer survey_data;
  void (*listen) (gpointer data, CommySnapshot *snapshot);
  gpointer listen_data;
  GMutex lock;           /* of snapshots */
  GHashTable *snapshots; /* service -> CommySnapshot */
  guint32 *epoch;        /* atomic; the mesh's */
};

/* --- snapshots --- */

/* An endpoint behind which an instance of the store was met is no second one. */
static gboolean
is_listed_twice (Watched *watched, const CommyInstance *instance)
{
  const CommySource *store = watched->sources->pdata[0];

  return instance->origin != NULL && instance->peer_instance != NULL
         && g_hash_table_contains (store->instances, instance->peer_instance);
}

static void
add_instances (Watched *watched, CommySource *source, GPtrArray *instances)
{
  GHashTableIter iter;
  gpointer instance;

  g_hash_table_iter_init (&iter, source->instances);
  while (g_hash_table_iter_next (&iter, NULL, &instance))
    if (!is_listed_twice (watched, instance))
      g_ptr_array_add (instances, commy_instance_ref (instance));
}

/* What is compared mostly decides by the first bytes of ids: of thousands of instances none has to
 * be looked at for that. */
typedef struct
{
  guint64 head;
  CommyInstance *instance;
} Sortable;

static int
compare_sortables (gconstpointer a, gconstpointer b)
{
  const Sortable *x = a;
  const Sortable *y = b;

  if (x->head != y->head)
    return x->head < y->head ? -1 : 1;
  return commy_instance_compare (&x->instance, &y->instance);
}

static guint64
get_head (const char *id)
{
  guint64 head = 0;

  for (guint i = 0; i < sizeof head && id[i] != '\0'; i++)
    head |= (guint64) (guint8) id[i] << (8 * (sizeof head - 1 - i));
  return head;
}

static void
sort_instances (GPtrArray *instances)
{
  g_autoptr (GArray) sortables
      = g_array_sized_new (FALSE, FALSE, sizeof (Sortable), instances->len);
  gboolean have_priorities = FALSE;

  for (guint i = 0; i < instances->len; i++)
    {
      Sortable sortable
          = { get_head (((CommyInstance *) instances->pdata[i])->id), instances->pdata[i] };

      have_priorities |= sortable.instance->priority != 0;
      g_array_append_val (sortables, sortable);
    }
  if (have_priorities)
    {
      g_ptr_array_sort (instances, commy_instance_compare);
      return;
    }
  g_array_sort (sortables, compare_sortables);
  for (guint i = 0; i < instances->len; i++)
    instances->pdata[i] = g_array_index (sortables, Sortable, i).instance;
}

static char *
join_notices (Watched *watched)
{
  g_autoptr (GPtrArray) notices = g_ptr_array_new ();

  for (guint i = 0; i < watched->sources->len; i++)
    {
      CommySource *source = watched->sources->pdata[i];

      if (source->notice != NULL)
        g_ptr_array_add (notices, source->notice);
    }
  if (watched->complaint != NULL)
    g_ptr_array_add (notices, watched->complaint);
  g_ptr_array_add (notices, NULL);
  return notices->len > 1 ? g_strjoinv ("; ", (char **) notices->pdata) : NULL;
}

static void
drop_later (Watched *watched)
{
  if (watched->later == NULL)
    return;
  g_source_destroy (watched->later);
  g_clear_pointer (&watched->later, g_source_unref);
}

static void
make_snapshot (Watched *watched)
{
  CommyRegistry *self = watched->registry;
  g_autoptr (CommySnapshot) before = commy_registry_lookup (self, watched->service);
  const CommySource *store = watched->sources->pdata[0];
  g_autofree char *notice = join_notices (watched);
  g_autoptr (CommySnapshot) snapshot
      = commy_snapshot_new (watched->service, store->revision, notice);

  snapshot->away_ns = watched->away_ns;
  for (guint i = 0; i < watched->sources->len; i++)
    add_instances (watched, watched->sources->pdata[i], snapshot->instances);
  commy_own_instances_append (self->own, watched->service, store->instances, snapshot->instances);
  sort_instances (snapshot->instances);
  if (self->survey != NULL)
    self->survey (self->survey_data, snapshot, before);
  g_mutex_lock (&self->lock);
  g_hash_table_replace (self->snapshots, g_strdup (watched->service),
                        commy_snapshot_ref (snapshot));
  g_mutex_unlock (&self->lock);
  __atomic_add_fetch (self->epoch, 1, __ATOMIC_RELEASE);
  if (self->listen != NULL)
    self->listen (self->listen_data, snapshot);
}

static void
publish_now (Watched *watched)
{
  const CommyEnv *env = watched->registry->env;
  gint64 start_ns = commy_env_now (env);
  gint64 end_ns;

  drop_later (watched);
  make_snapshot (watched);
  end_ns = commy_env_now (env);
  watched->next_ns = end_ns + MIN ((end_ns - start_ns) * PAUSE_SHARE, PAUSE_MOST_NS);
}

/* It may be away for many snapshots. */
static void
note_away (Watched *watched)
{
  const CommySource *store = watched->sources->pdata[0];

  if (!store->away)
    watched->away_ns = 0;
  else if (watched->away_ns == 0)
    watched->away_ns = MAX (commy_env_now (watched->registry->env), 1);
}

static gboolean
on_later (gpointer data)
{
  publish_now (data);
  return G_SOURCE_REMOVE;
}

/* The first change shows at once; those that follow closely show together, because a snapshot
 * costs as much for one change of thousands of instances as for all of them. */
static void
publish (gpointer data)
{
  Watched *watched = data;
  gint64 wait_ns = watched->next_ns - commy_env_now (watched->registry->env);

  note_away (watched);
  if (watched->later != NULL)
    return;
  if (wait_ns < PAUSE_LEAST_NS)
    {
      publish_now (watched);
      return;
    }
  watched->later = g_timeout_source_new ((guint) (wait_ns / PAUSE_LEAST_NS));
  g_source_set_callback (watched->later, on_later, watched, NULL);
  g_source_attach (watched->later, watched->registry->context);
}

/* Who waits for an answer sees what came with it. */
static void
publish_rest (Watched *watched)
{
  if (watched->later != NULL)
    publish_now (watched);
}

CommySnapshot *
commy_registry_lookup (CommyRegistry *self, const char *service)
{
  CommySnapshot *snapshot;

  g_mutex_lock (&self->lock);
  snapshot = g_hash_table_lookup (self->snapshots, service);
  if (snapshot != NULL)
    commy_snapshot_ref (snapshot);
  g_mutex_unlock (&self->lock);
  return snapshot;
}

/* --- waiting --- */

/* Where other sources have instances, a store that is away only matters to who asked for it. */
static void
answer_waiters (Watched *watched, const GError *error)
{
  g_autoptr (CommySnapshot) snapshot = NULL;
  g_autoptr (GArray) waiters = NULL;
  gboolean found;

  publish_rest (watched);
  snapshot = commy_registry_lookup (watched->registry, watched->service);
  found = snapshot != NULL && snapshot->instances->len > 0 && watched->sources->len > 1;
  waiters = g_steal_pointer (&watched->waiters);
  watched->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  for (guint i = 0; i < waiters->len; i++)
    {
      Waiter *waiter = &g_array_index (waiters, Waiter, i);

      waiter->func (waiter->data, found && !waiter->fresh ? NULL : error);
    }
}

static void
answer_if_settled (Watched *watched)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < watched->sources->len; i++)
    if (((CommySource *) watched->sources->pdata[i])->asking)
      return;
  if (watched->beginning)
    return;
  error = g_steal_pointer (&watched->error);
  answer_waiters (watched, error);
}

static void
on_settled (gpointer data, const GError *error)
{
  Watched *watched = data;

  if (error != NULL)
    {
      g_clear_error (&watched->error);
      watched->error = g_error_copy (error);
    }
  answer_if_settled (watched);
}

/* --- sources --- */

static void
watched_free (gpointer data)
{
  Watched *watched = data;

  drop_later (watched);
  g_ptr_array_unref (watched->sources);
  g_array_unref (watched->waiters);
  g_clear_error (&watched->error);
  g_free (watched->complaint);
  g_free (watched->service);
  g_free (watched);
}

/* Says what cannot be used, here and in each decision. (transfer full) */
static void
complain (Watched *watched, const char *origin, char *why)
{
  g_autofree char *text = g_strdup_printf ("%s: %s", origin, why);

  g_warning ("%s", text);
  g_free (watched->complaint);
  watched->complaint = g_steal_pointer (&text);
  g_free (why);
}

static void
add_srv (Watched *watched,
         const char *rest,
         const char *origin,
         const CommySourceListener *listener)
{
  CommyRegistry *self = watched->registry;
  const CommySrvSettings settings
      = { .env = self->env,
          .context = self->context,
          .transport = commy_config_get (self->config, "mesh", "srv-transport"),
          .refresh_ns = commy_config_get_duration (self->config, "mesh", "srv-refresh") };
  char *why = NULL;
  g_autofree char *name = commy_config_endpoint_srv_name (rest, watched->service, &why);

  if (name != NULL && settings.transport != NULL && settings.transport[0] != '\0')
    g_ptr_array_add (watched->sources,
                     commy_source_srv_new (&settings, watched->service, name, listener));
  else if (name != NULL)
    complain (watched, origin,
              g_strdup ("endpoints in DNS need \"srv-transport\" of [mesh], which is empty"));
  else
    complain (watched, origin, why);
}

/* What [service NAME] lists. */
static void
add_endpoints (Watched *watched, const CommySourceListener *listener)
{
  CommyConfig *config = watched->registry->config;
  g_autofree char *group = g_strdup_printf ("service %s", watched->service);
  const char *origin = commy_config_get_origin (config, group, "endpoints");
  g_auto (GStrv) items = commy_config_get_list (config, group, "endpoints");
  CommySource *fixed = NULL;

  for (guint i = 0; items[i] != NULL; i++)
    {
      g_auto (CommyConfigEndpoint) endpoint = { NULL };
      g_autofree char *why = NULL;

      if (!commy_config_endpoint_parse (items[i], &endpoint, &why))
        continue; /* checked when the keyfile was read */
      if (endpoint.transport == NULL)
        {
          add_srv (watched, endpoint.host, origin, listener);
          continue;
        }
      if (fixed == NULL)
        {
          fixed = commy_source_endpoint_new (watched->service, origin, listener);
          g_ptr_array_add (watched->sources, fixed);
        }
      commy_source_endpoint_add (fixed, endpoint.transport, endpoint.host, endpoint.port);
    }
}

static Watched *
watched_new (CommyRegistry *self, const char *service)
{
  Watched *watched = g_new0 (Watched, 1);
  const CommySourceListener listener
      = { .changed = publish, .settled = on_settled, .data = watched };

  watched->registry = self;
  watched->service = g_strdup (service);
  watched->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  watched->sources = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_source_free);
  g_ptr_array_add (watched->sources,
                   commy_source_store_new (self->store, self->env, self->context, service,
                                           self->most_instances, &listener));
  add_endpoints (watched, &listener);
  g_hash_table_insert (self->watched, watched->service, watched);
  return watched;
}

static gboolean
is_live (const Watched *watched)
{
  for (guint i = 0; i < watched->sources->len; i++)
    if (!((CommySource *) watched->sources->pdata[i])->live)
      return FALSE;
  return TRUE;
}

void
commy_registry_ensure (
    CommyRegistry *self, const char *service, gboolean fresh, CommyRegistryFunc done, gpointer data)
{
  Watched *watched = g_hash_table_lookup (self->watched, service);
  Waiter waiter = { done, data, fresh };

  if (watched != NULL && is_live (watched) && !fresh)
    {
      done (data, NULL);
      return;
    }
  if (watched == NULL && g_hash_table_size (self->watched) >= self->most_services)
    {
      g_autoptr (GError) error = NULL;

      commy_set_error (&error, COMMY_ERROR_LIMITED,
                       "%s is not looked for: this program follows %u services already (limit "
                       "\"services\")",
                       service, self->most_services);
      done (data, error);
      return;
    }
  if (watched == NULL)
    watched = watched_new (self, service);
  g_array_append_val (watched->waiters, waiter);
  watched->beginning = TRUE;
  for (guint i = 0; i < watched->sources->len; i++)
    {
      CommySource *source = watched->sources->pdata[i];

      if (fresh || !source->live)
        commy_source_refresh (source);
    }
  watched->beginning = FALSE;
  answer_if_settled (watched);
}

gboolean
commy_registry_forget (CommyRegistry *self, const char *service)
{
  Watched *watched = g_hash_table_lookup (self->watched, service);

  if (watched == NULL)
    return TRUE;
  if (watched->waiters->len > 0 || watched->beginning)
    return FALSE;
  for (guint i = 0; i < watched->sources->len; i++)
    if (((CommySource *) watched->sources->pdata[i])->busy)
      return FALSE;
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->snapshots, service);
  g_mutex_unlock (&self->lock);
  g_hash_table_remove (self->watched, service);
  return TRUE;
}

void
commy_registry_met (CommyRegistry *self,
                    const char *service,
                    const char *id,
                    const CommyMeeting *meeting)
{
  Watched *watched = g_hash_table_lookup (self->watched, service);

  for (guint i = 1; watched != NULL && i < watched->sources->len; i++)
    {
      CommySource *source = watched->sources->pdata[i];
      CommyInstance *instance = g_hash_table_lookup (source->instances, id);

      if (instance == NULL || g_strcmp0 (instance->peer_instance, meeting->instance) == 0)
        continue;
      instance = commy_instance_met (instance, meeting);
      g_hash_table_replace (source->instances, g_strdup (id), instance);
      publish (watched);
    }
}

/* --- our own instances --- */

void
commy_registry_start (CommyRegistry *self, CommyRegistryFunc done, gpointer data)
{
  commy_registration_start (self->registration, done, data);
}

/* The store tells of it, unless it lacked it already. */
static void
on_own_gone (gpointer data, const char *service, const char *id)
{
  CommyRegistry *self = data;
  Watched *watched = g_hash_table_lookup (self->watched, service);
  const CommySource *store = watched != NULL ? watched->sources->pdata[0] : NULL;

  if (store != NULL && !g_hash_table_contains (store->instances, id))
    publish (watched);
}

void
commy_registry_add (CommyRegistry *self,
                    CommyInstance *instance,
                    CommyRegistryFunc done,
                    gpointer data)
{
  commy_own_instances_add (self->own, instance, done, data);
}

void
commy_registry_update (CommyRegistry *self,
                       CommyInstance *instance,
                       CommyRegistryFunc done,
                       gpointer data)
{
  commy_own_instances_update (self->own, instance, done, data);
}

void
commy_registry_remove (CommyRegistry *self,
                       CommyInstance *instance,
                       CommyRegistryFunc done,
                       gpointer data)
{
  commy_own_instances_remove (self->own, instance, done, data);
}

/* --- listing --- */

/* Lists wait until the services with endpoints of their own have been asked for. */
typedef struct
{
  CommyRegistry *registry;
  CommyRegistryListFunc func;
  gpointer data;
  GPatternSpec *pattern;
  guint pending;
  GError *leaving; /* the mesh is left: nothing can be asked any more */
} Listing;

static gboolean
is_wanted (const Listing *listing, const char *service)
{
  return listing->pattern == NULL || g_pattern_spec_match_string (listing->pattern, service);
}

/* Whether a list may be so long. */
static gboolean
check_length (guint n, guint most, GError **error)
{
  if (n < most)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_LIMITED,
                   "the list is longer than %u (limit \"instances\"): ask for fewer, or raise it",
                   most);
  return FALSE;
}

static gboolean
add_entries (const Listing *listing,
             const CommyStoreResult *result,
             GPtrArray *instances,
             GError **failure)
{
  for (gsize i = 0; i < result->n_entries; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyInstance) instance = commy_source_store_read (&result->entries[i], &error);

      if (error != NULL)
        commy_source_store_tell (&listing->registry->told, error);
      if (instance == NULL || !is_wanted (listing, instance->service))
        continue;
      if (!check_length (instances->len, listing->registry->most_instances, failure))
        return FALSE;
      g_ptr_array_add (instances, g_steal_pointer (&instance));
    }
  return TRUE;
}

static void
list_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Listing *listing = user_data;
  g_autoptr (GPtrArray) instances
      = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_instance_unref);
  g_autoptr (GError) failure = NULL;
  GHashTableIter iter;
  gpointer value;

  if (error == NULL && !add_entries (listing, result, instances, &failure))
    error = failure;
  /* With an error the registry may be gone: the mesh is being left. */
  if (error == NULL)
    g_hash_table_iter_init (&iter, listing->registry->watched);
  while (error == NULL && g_hash_table_iter_next (&iter, NULL, &value))
    {
      Watched *watched = value;

      for (guint i = 1; is_wanted (listing, watched->service) && i < watched->sources->len; i++)
        add_instances (watched, watched->sources->pdata[i], instances);
    }
  listing->func (listing->data, instances, error);
  g_clear_pointer (&listing->pattern, g_pattern_spec_free);
  g_clear_error (&listing->leaving);
  g_free (listing);
}

/* Whether a source could be asked shows in what it has; only a store that is away is an error. */
static void
list_asked (gpointer data, const GError *error)
{
  Listing *listing = data;
  CommyRegistry *self = listing->registry;

  if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_LEAVING) && listing->leaving == NULL)
    listing->leaving = g_error_copy (error);
  if (--listing->pending > 0)
    return;
  if (listing->leaving != NULL)
    list_done (listing, NULL, listing->leaving);
  else
    self->ops->range (self->store->instance, PREFIX, list_done, listing);
}

void
commy_registry_list (CommyRegistry *self,
                     const char *pattern,
                     CommyRegistryListFunc done,
                     gpointer data)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (self->config, "service ");
  Listing *listing = g_new0 (Listing, 1);

  listing->registry = self;
  listing->func = done;
  listing->data = data;
  listing->pattern = pattern != NULL ? g_pattern_spec_new (pattern) : NULL;
  listing->pending = 1;
  for (guint i = 0; i < groups->len; i++)
    {
      const char *service = (const char *) groups->pdata[i] + strlen ("service ");

      if (commy_config_get (self->config, groups->pdata[i], "endpoints") == NULL
          || !commy_endpoint_name_is_valid (service) || !is_wanted (listing, service))
        continue;
      listing->pending++;
      commy_registry_ensure (self, service, FALSE, list_asked, listing);
    }
  list_asked (listing, NULL);
}

/* --- nodes --- */

void
commy_registry_put_node (
    CommyRegistry *self, const char *node, GBytes *record, CommyRegistryFunc done, gpointer data)
{
  g_autofree char *key = g_strconcat (COMMY_NODES_PREFIX, node, NULL);

  commy_registration_update (self->registration, key, record, done, data);
}

void
commy_registry_remove_node (CommyRegistry *self,
                            const char *node,
                            CommyRegistryFunc done,
                            gpointer data)
{
  g_autofree char *key = g_strconcat (COMMY_NODES_PREFIX, node, NULL);

  commy_registration_remove (self->registration, key, done, data);
}

typedef struct
{
  CommyRegistryListFunc func;
  gpointer data;
  guint most;
} NodeListing;

static void
nodes_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  g_autofree NodeListing *listing = user_data;
  g_autoptr (GPtrArray) nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_node_free);
  g_autoptr (GError) failure = NULL;

  for (gsize i = 0; error == NULL && i < result->n_entries; i++)
    {
      const CommyStoreEntry *entry = &result->entries[i];
      g_autoptr (GError) cause = NULL;
      gsize size = 0;
      const char *text = entry->value != NULL ? g_bytes_get_data (entry->value, &size) : NULL;
      CommyNode *node = commy_node_read (entry->key + strlen (COMMY_NODES_PREFIX),
                                         text != NULL ? text : "", size, &cause);

      if (node == NULL)
        {
          g_warning ("%s", cause->message);
          continue;
        }
      g_ptr_array_add (nodes, node);
      if (!check_length (nodes->len - 1, listing->most, &failure))
        error = failure;
    }
  listing->func (listing->data, nodes, error);
}

void
commy_registry_list_nodes (CommyRegistry *self, CommyRegistryListFunc done, gpointer data)
{
  NodeListing *listing = g_new (NodeListing, 1);

  *listing = (NodeListing){ done, data, self->most_instances };
  self->ops->range (self->store->instance, COMMY_NODES_PREFIX, nodes_done, listing);
}

void
commy_registry_suspect (CommyRegistry *self, gint64 lease)
{
  if (lease != 0 && lease != commy_registration_get_lease (self->registration))
    self->ops->suspect (self->store->instance, lease);
}

/* --- life --- */

void
commy_registry_set_surveyor (CommyRegistry *self, CommyRegistrySurveyor survey, gpointer data)
{
  self->survey = survey;
  self->survey_data = data;
}

void
commy_registry_set_listener (CommyRegistry *self,
                             void (*listen) (gpointer data, CommySnapshot *snapshot),
                             gpointer data)
{
  self->listen = listen;
  self->listen_data = data;
}

CommyRegistry *
commy_registry_new (CommyPlugin *store,
                    CommyConfig *config,
                    const CommyEnv *env,
                    GMainContext *context,
                    guint32 *epoch)
{
  CommyRegistry *self = g_new0 (CommyRegistry, 1);

  self->store = store;
  self->ops = &store->ops.store;
  self->context = context;
  self->registration = commy_registration_new (store, context);
  self->own = commy_own_instances_new (self->registration, on_own_gone, self);
  self->config = commy_config_ref (config);
  self->most_services = (guint) commy_config_get_int (config, "limits", "services");
  self->most_instances = (guint) commy_config_get_int (config, "limits", "instances");
  self->env = env;
  self->epoch = epoch;
  /* Routes outlive a registry: one decided from the last must not look fresh. */
  __atomic_add_fetch (epoch, 1, __ATOMIC_RELEASE);
  self->watched = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, watched_free);
  g_mutex_init (&self->lock);
  self->snapshots = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) commy_snapshot_unref);
  return self;
}

/* Who still waits for the store hears that nothing comes. */
static void
dismiss_waiters (CommyRegistry *self)
{
  g_autoptr (GList) all = g_hash_table_get_values (self->watched);
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  for (GList *l = all; l != NULL; l = l->next)
    answer_waiters (l->data, error);
}

void
commy_registry_free (CommyRegistry *self)
{
  if (self == NULL)
    return;
  dismiss_waiters (self);
  commy_own_instances_free (self->own);
  commy_registration_free (self->registration);
  g_hash_table_unref (self->watched);
  g_hash_table_unref (self->snapshots);
  g_mutex_clear (&self->lock);
  commy_config_unref (self->config);
  g_free (self);
}
