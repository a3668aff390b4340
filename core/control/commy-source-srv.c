/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A name in DNS as a source: the targets of an SRV record (RFC 2782), asked for in the
 * background, and again at fixed intervals, since the system's resolver tells no time to live.
 * Where DNS does not answer, what it said last stays, with a notice; where it answers that there
 * is nothing, there is nothing.
 */
#include "config.h"

#include "control/commy-source.h"

#include "config/commy-config-endpoint.h"

#include <string.h>

/* Who asks for the first time waits no longer; the answer is taken whenever it comes. */
#define PATIENCE_MS 2000u
#define RETRY_FIRST_NS G_GINT64_CONSTANT (1000000000)
#define RECENT_NS G_GINT64_CONSTANT (1000000000)
#define WEIGHT_MAX 1000u

typedef struct _SrvSource SrvSource;

/* Outlives a source that is freed while its name is being looked up. */
typedef struct
{
  SrvSource *source; /* NULL once nobody waits */
  GCancellable *cancellable;
} Lookup;

struct _SrvSource
{
  CommySource source;
  const CommyEnv *env;
  GMainContext *context;
  char *transport;
  gint64 refresh_ns;
  char *service;
  char *name;
  Lookup *lookup;     /* under way, one at a time: the resolver has its own limits */
  GSource *timer;     /* until the next one */
  GSource *patience;  /* of those who wait for this one */
  guint failures;     /* in a row */
  gint64 answered_ns; /* 0: never */
  gint64 asked_ns;    /* when the last lookup ended, either way; 0: never */
};

typedef struct
{
  guint16 priority, weight, port;
  const char *host; /* of the record */
} Target;

static void look_up (SrvSource *self);

static void
drop_timer (GSource **timer)
{
  if (*timer == NULL)
    return;
  g_source_destroy (*timer);
  g_clear_pointer (timer, g_source_unref);
}

/* --- answers --- */

static gint
compare_targets (gconstpointer a, gconstpointer b)
{
  const Target *x = a, *y = b;

  if (x->priority != y->priority)
    return x->priority < y->priority ? -1 : 1;
  if (x->weight != y->weight)
    return x->weight > y->weight ? -1 : 1;
  if (x->port != y->port)
    return x->port < y->port ? -1 : 1;
  return strcmp (x->host, y->host);
}

/* Best ones first. "." as a target says that there is decidedly no service (RFC 2782). */
static GArray *
read_targets (SrvSource *self, GList *records)
{
  GArray *targets = g_array_new (FALSE, FALSE, sizeof (Target));

  for (GList *at = records; at != NULL; at = at->next)
    {
      Target target;

      g_variant_get (at->data, "(qqq&s)", &target.priority, &target.weight, &target.port,
                     &target.host);
      if (target.host[0] == '\0' || strcmp (target.host, ".") == 0)
        continue;
      if (target.port != 0 && commy_config_host_is_valid (target.host))
        g_array_append_val (targets, target);
      else
        {
          g_autofree char *shown = g_strescape (target.host, NULL);

          g_message ("%s: \"%.80s\", port %u, is no target and is left out", self->name, shown,
                     target.port);
        }
    }
  g_array_sort (targets, compare_targets);
  if (targets->len > COMMY_ENDPOINTS_MAX)
    {
      g_message ("%s has %u targets; the first %u by priority and weight are used", self->name,
                 targets->len, COMMY_ENDPOINTS_MAX);
      g_array_set_size (targets, COMMY_ENDPOINTS_MAX);
    }
  return targets;
}

/* Weights of up to 65535 become those of instances, in proportion. */
static guint32
scale_weight (const GArray *targets, guint16 weight)
{
  guint32 most = 1;

  for (guint i = 0; i < targets->len; i++)
    most = MAX (most, g_array_index (targets, Target, i).weight);
  if (most > WEIGHT_MAX)
    return MAX (1, (guint32) weight * WEIGHT_MAX / most);
  return MAX (1, weight);
}

static CommyInstance *
make_instance (SrvSource *self, const GArray *targets, const Target *target, guint32 priority)
{
  g_autofree char *host = g_strdup (target->host);
  CommyInstance *instance, *old;
  gsize size = strlen (host);

  if (host[size - 1] == '.')
    host[size - 1] = '\0';
  instance
      = commy_endpoint_instance (self->service, self->transport, host, target->port, self->name);
  instance->priority = priority;
  instance->weight = scale_weight (targets, target->weight);
  old = g_hash_table_lookup (self->source.instances, instance->id);
  if (old != NULL)
    commy_instance_inherit (instance, old);
  return instance;
}

static gboolean
is_same (GHashTable *one, GHashTable *other)
{
  GHashTableIter iter;
  gpointer id, instance;

  if (g_hash_table_size (one) != g_hash_table_size (other))
    return FALSE;
  g_hash_table_iter_init (&iter, one);
  while (g_hash_table_iter_next (&iter, &id, &instance))
    {
      const CommyInstance *x = instance, *y = g_hash_table_lookup (other, id);

      if (y == NULL || x->priority != y->priority || x->weight != y->weight)
        return FALSE;
    }
  return TRUE;
}

/* Only what changed is told: each new snapshot makes all clients decide anew. */
static void
take_answer (SrvSource *self, GList *records)
{
  g_autoptr (GArray) targets = read_targets (self, records);
  g_autoptr (GHashTable) fresh = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                        (GDestroyNotify) commy_instance_unref);
  guint32 rank = 0;
  char *notice = NULL;

  for (guint i = 0; i < targets->len; i++)
    {
      const Target *target = &g_array_index (targets, Target, i);
      CommyInstance *instance;

      /* What counts is the order: the first ones are as good as instances without a priority. */
      rank += i > 0 && target->priority != target[-1].priority ? 1 : 0;
      instance = make_instance (self, targets, target, rank);
      if (g_hash_table_contains (fresh, instance->id))
        commy_instance_unref (instance);
      else
        g_hash_table_insert (fresh, g_strdup (instance->id), instance);
    }
  if (targets->len == 0)
    notice = g_strdup_printf ("DNS has no target for %s", self->name);
  self->failures = 0;
  self->answered_ns = commy_env_now (self->env);
  self->source.live = TRUE;
  if (is_same (fresh, self->source.instances) && g_strcmp0 (notice, self->source.notice) == 0)
    {
      g_free (notice);
      return;
    }
  g_hash_table_unref (self->source.instances);
  self->source.instances = g_steal_pointer (&fresh);
  commy_source_changed (&self->source, notice);
}

static void
take_failure (SrvSource *self, const char *reason)
{
  gint64 age_s = (commy_env_now (self->env) - self->answered_ns) / G_GINT64_CONSTANT (1000000000);

  if (self->failures++ == 0)
    g_message ("DNS does not answer for %s: %s", self->name, reason);
  commy_source_changed (
      &self->source,
      self->answered_ns == 0
          ? g_strdup_printf ("DNS does not answer for %s: %s", self->name, reason)
          : g_strdup_printf (
              "DNS does not answer for %s: %s; this is what it said %" G_GINT64_FORMAT " s ago",
              self->name, reason, age_s));
}

/* --- asking --- */

static gboolean
on_time (gpointer data)
{
  SrvSource *self = data;

  g_clear_pointer (&self->timer, g_source_unref);
  look_up (self);
  return G_SOURCE_REMOVE;
}

static void
plan_next (SrvSource *self)
{
  gint64 pause_ns = self->refresh_ns;

  if (self->failures > 0)
    pause_ns = MIN (RETRY_FIRST_NS << MIN (self->failures - 1, 16), pause_ns);
  drop_timer (&self->timer);
  self->timer = g_timeout_source_new ((guint) MIN (pause_ns / 1000000, G_MAXUINT));
  g_source_set_callback (self->timer, on_time, self, NULL);
  g_source_attach (self->timer, self->context);
}

static void
on_answer (GObject *resolver, GAsyncResult *result, gpointer user_data)
{
  Lookup *lookup = user_data;
  SrvSource *self = lookup->source;
  g_autoptr (GError) error = NULL;
  GList *records = g_resolver_lookup_records_finish (G_RESOLVER (resolver), result, &error);

  g_object_unref (lookup->cancellable);
  g_free (lookup);
  if (self != NULL)
    {
      self->lookup = NULL;
      self->asked_ns = commy_env_now (self->env);
      drop_timer (&self->patience);
      if (error == NULL || g_error_matches (error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND))
        take_answer (self, records);
      else
        take_failure (self, error->message);
      plan_next (self);
      commy_source_settle (&self->source, NULL);
    }
  g_list_free_full (records, (GDestroyNotify) g_variant_unref);
}

static void
look_up (SrvSource *self)
{
  g_autoptr (GResolver) resolver = NULL;

  if (self->lookup != NULL)
    return;
  drop_timer (&self->timer);
  resolver = g_resolver_get_default ();
  self->lookup = g_new0 (Lookup, 1);
  self->lookup->source = self;
  self->lookup->cancellable = g_cancellable_new ();
  g_resolver_lookup_records_async (resolver, self->name, G_RESOLVER_RECORD_SRV,
                                   self->lookup->cancellable, on_answer, self->lookup);
}

/* The lookup goes on; only those who wait are let go. */
static gboolean
on_impatient (gpointer data)
{
  SrvSource *self = data;

  g_clear_pointer (&self->patience, g_source_unref);
  if (self->answered_ns == 0)
    commy_source_changed (&self->source,
                          g_strdup_printf ("DNS has not answered for %s yet", self->name));
  commy_source_settle (&self->source, NULL);
  return G_SOURCE_REMOVE;
}

static void
srv_refresh (CommySource *source)
{
  SrvSource *self = (SrvSource *) source;

  /* Callers that find nothing must not make a flood of questions. */
  if (self->lookup == NULL && self->asked_ns != 0
      && commy_env_now (self->env) - self->asked_ns < RECENT_NS)
    {
      commy_source_settle (source, NULL);
      return;
    }
  look_up (self);
  if (self->patience != NULL)
    return;
  self->patience = g_timeout_source_new (PATIENCE_MS);
  g_source_set_callback (self->patience, on_impatient, self, NULL);
  g_source_attach (self->patience, self->context);
}

/* --- life --- */

static void
srv_free (CommySource *source)
{
  SrvSource *self = (SrvSource *) source;

  if (self->lookup != NULL)
    {
      self->lookup->source = NULL;
      g_cancellable_cancel (self->lookup->cancellable);
    }
  drop_timer (&self->timer);
  drop_timer (&self->patience);
  commy_source_clear (source);
  g_free (self->transport);
  g_free (self->service);
  g_free (self->name);
  g_free (self);
}

CommySource *
commy_source_srv_new (const CommySrvSettings *settings,
                      const char *service,
                      const char *name,
                      const CommySourceListener *listener)
{
  static const CommySourceOps ops = { srv_refresh, srv_free };
  SrvSource *self = g_new0 (SrvSource, 1);

  commy_source_init (&self->source, &ops, listener);
  self->env = settings->env;
  self->context = settings->context;
  self->transport = g_strdup (settings->transport);
  self->refresh_ns = settings->refresh_ns;
  self->service = g_strdup (service);
  self->name = g_strdup (name);
  return &self->source;
}
