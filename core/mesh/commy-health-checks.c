/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table of findings, one an instance of a service that is used; the mesh thread writes it, any
 * thread reads it.
 */
#include "config.h"

#include "mesh/commy-health-checks.h"

#include "control/commy-host-checks.h"
#include "mesh/commy-health-runner.h"
#include "mesh/commy-host-health.h"
#include "mesh/commy-service-private.h"

#include <string.h>

typedef struct
{
  CommyInstance *instance;
  CommyCheckKind kind;
  CommyHealth found;     /* by looking */
  CommyHealthState said; /* by itself, when the last snapshot came */
  gint64 said_ns;
  gboolean by_host; /* what was found is the host's word */
  guint64 n_looks;  /* of our own */
  guint32 round;    /* of follow() */
} Entry;

/* A service that is used, and how its instances are looked at. */
typedef struct
{
  CommyCheckSpec *spec; /* NULL: they are not */
} Followed;

struct _CommyHealthChecks
{
  CommyMesh *mesh;
  CommyHealthRunner *runner; /* NULL: stopped */
  CommyHostHealth *host;     /* NULL: nobody is looked at yet, or this is who looks for all */
  GHashTable *followed;      /* service -> Followed */
  CommyHealthHistory *history;
  guint32 round;
  gboolean is_adopting; /* the host's word, not a look of our own */
  GMutex lock;          /* of entries; only the mesh thread writes them */
  GHashTable *entries;  /* CommyInstance, as commy_instance_equal() -> Entry */
};

/* --- what changes --- */

static void
note_change (CommyHealthChecks *self,
             const CommyInstance *instance,
             CommyHealthState from,
             CommyHealthState to,
             const char *reason)
{
  CommyHealthChange change = { .at_ns = commy_env_now (self->mesh->env), .from = from, .to = to };

  g_strlcpy (change.service, instance->service, sizeof change.service);
  g_strlcpy (change.instance, instance->id, sizeof change.instance);
  if (to == COMMY_HEALTH_UNWELL)
    commy_health_set_reason (change.reason, reason);
  commy_health_history_add (self->history, &change);
}

static void
tell (const CommyInstance *instance, CommyHealthState from, CommyHealthState to, const char *reason)
{
  if (to == COMMY_HEALTH_UNWELL)
    g_message ("%s (instance %.8s) is unwell: %s", instance->service, instance->id, reason);
  else if (from == COMMY_HEALTH_UNWELL && to == COMMY_HEALTH_UNKNOWN)
    g_message ("%s (instance %.8s) was unwell, and nobody can tell any more", instance->service,
               instance->id);
  else if (from == COMMY_HEALTH_UNWELL)
    g_message ("%s (instance %.8s) is well again", instance->service, instance->id);
}

/* "it says: REASON" */
static void
describe_said (const char *reason, char *out, gsize size)
{
  char clean[COMMY_HEALTH_REASON_MAX];

  commy_health_set_reason (clean, reason);
  if (clean[0] != '\0')
    g_snprintf (out, size, "it says: %s", clean);
  else
    g_strlcpy (out, "it says that it does not serve", size);
}

static void
on_checked (gpointer data,
            CommyInstance *instance,
            const CommyHealth *health,
            CommyHealthState from)
{
  CommyHealthChecks *self = data;
  Entry *entry = g_hash_table_lookup (self->entries, instance);

  if (entry == NULL)
    return;
  g_mutex_lock (&self->lock);
  entry->found = *health;
  entry->by_host = self->is_adopting;
  entry->n_looks += !self->is_adopting;
  g_mutex_unlock (&self->lock);
  if (health->state == from)
    return;
  note_change (self, instance, from, health->state, health->reason);
  tell (instance, from, health->state, health->reason);
  __atomic_add_fetch (&self->mesh->epoch, 1, __ATOMIC_RELEASE);
}

/* --- what the host's daemon says --- */

typedef struct
{
  CommyHealthChecks *checks;
  const char *service;
  gint64 until_ns;
} Adoption;

static void
on_verdict (gpointer data, const char *instance, CommyHealthState state, const char *reason)
{
  const Adoption *adoption = data;

  commy_health_runner_adopt (adoption->checks->runner, adoption->service, instance, state, reason,
                             adoption->until_ns);
}

/* It is told twice an interval. Not told for one, each looks for itself; not all at once. */
static gint64
hold_until (const CommyHealthChecks *self, const CommyCheckSpec *spec)
{
  const gint64 tenth = spec->interval_ns / 10;

  return commy_env_now (self->mesh->env) + 9 * tenth
         + (gint64) (commy_env_random64 (self->mesh->env) % (guint64) (tenth + 1));
}

static void
on_host (gpointer data, const char *service, const char *text, gsize size)
{
  CommyHealthChecks *self = data;
  const Followed *followed = g_hash_table_lookup (self->followed, service);
  Adoption adoption = { .checks = self, .service = service };

  if (self->runner == NULL || followed == NULL || followed->spec == NULL)
    return;
  adoption.until_ns = hold_until (self, followed->spec);
  self->is_adopting = TRUE;
  if (commy_host_checks_read (text, size, followed->spec->how, on_verdict, &adoption)
      == COMMY_HOST_CHECKS_MALFORMED)
    g_message ("what this host's daemon says of %s cannot be read: it is looked at from here",
               service);
  self->is_adopting = FALSE;
}

gboolean
commy_health_checks_write (CommyHealthChecks *self, const char *service, GString *out)
{
  const Followed *followed = g_hash_table_lookup (self->followed, service);
  const gint64 now_ns = commy_env_now (self->mesh->env);
  GHashTableIter iter;
  gpointer value;
  guint n = 0;

  if (followed == NULL || followed->spec == NULL)
    return FALSE;
  commy_host_checks_begin (out, followed->spec->how);
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Entry *entry = value;

      if (strcmp (entry->instance->service, service) == 0
          && !commy_health_is_stale (&entry->found, followed->spec->interval_ns, now_ns)
          && n++ < COMMY_HOST_CHECKS_MAX)
        commy_host_checks_add (out, entry->instance->id, entry->found.state, entry->found.reason);
    }
  return TRUE;
}

/* What the snapshot says that an instance says. The epoch grows with the snapshot. */
static void
take_said (CommyHealthChecks *self, Entry *entry, CommyInstance *instance)
{
  char text[COMMY_HEALTH_REASON_MAX + 16];
  const char *reason;
  CommyHealthState said = commy_health_read_said (instance->health, &reason);
  CommyHealthState from = entry->said;

  if (said == from)
    return;
  g_mutex_lock (&self->lock);
  entry->said = said;
  entry->said_ns = commy_env_now (self->mesh->env);
  g_mutex_unlock (&self->lock);
  /* This node told of its own when it said so; and that somebody serves is no news at first. */
  if (commy_mesh_is_ours (self->mesh, instance)
      || (from == COMMY_HEALTH_UNKNOWN && said == COMMY_HEALTH_WELL))
    return;
  describe_said (reason, text, sizeof text);
  note_change (self, instance, from, said, text);
  tell (instance, from, said, text);
}

void
commy_health_checks_note_own (CommyHealthChecks *self,
                              const CommyInstance *instance,
                              const char *said)
{
  const char *reason;
  CommyHealthState from = commy_health_read_said (instance->health, &reason);
  CommyHealthState to = commy_health_read_said (said, &reason);

  note_change (self, instance, from, to, reason);
}

/* --- who is followed --- */

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  commy_instance_unref (entry->instance);
  g_free (entry);
}

static void
followed_free (gpointer data)
{
  Followed *followed = data;

  commy_check_spec_unref (followed->spec);
  g_free (followed);
}

static void
nothing (gpointer data, const GError *error)
{
}

static Followed *
ensure_followed (CommyHealthChecks *self, const char *service)
{
  Followed *followed = g_hash_table_lookup (self->followed, service);

  if (followed != NULL)
    return followed;
  followed = g_new0 (Followed, 1);
  followed->spec = commy_check_spec_new (self->mesh->config, service);
  g_hash_table_insert (self->followed, g_strdup (service), followed);
  if (followed->spec != NULL && self->host == NULL && !self->mesh->looks_for_host)
    self->host = commy_host_health_new (self->mesh, on_host, self);
  if (followed->spec != NULL && followed->spec->kind == COMMY_CHECK_HEARTBEAT)
    commy_registry_ensure (self->mesh->registry, COMMY_CHECK_NODE_SERVICE, FALSE, nothing, NULL);
  return followed;
}

static gboolean
is_left (gpointer key, gpointer value, gpointer data)
{
  const Entry *entry = value;
  const CommyHealthChecks *self = ((gpointer *) data)[0];
  const char *service = ((gpointer *) data)[1];

  return entry->round != self->round && strcmp (entry->instance->service, service) == 0;
}

static void
take_instance (CommyHealthChecks *self, const Followed *followed, CommyInstance *instance)
{
  Entry *entry = g_hash_table_lookup (self->entries, instance);

  /* Of thousands mostly one changed. */
  if (entry != NULL && entry->instance == instance)
    {
      entry->round = self->round;
      return;
    }
  g_mutex_lock (&self->lock);
  if (entry == NULL)
    {
      entry = g_new0 (Entry, 1);
      g_hash_table_insert (self->entries, commy_instance_ref (instance), entry);
    }
  g_clear_pointer (&entry->instance, commy_instance_unref);
  entry->instance = commy_instance_ref (instance);
  entry->kind = followed->spec != NULL ? followed->spec->kind : COMMY_CHECK_NONE;
  entry->round = self->round;
  g_mutex_unlock (&self->lock);
  take_said (self, entry, instance);
}

void
commy_health_checks_follow (CommyHealthChecks *self, const CommySnapshot *snapshot)
{
  gpointer of[] = { self, snapshot->service };
  const Followed *followed;

  if (self->runner == NULL || g_str_has_prefix (snapshot->service, "org.commy.")
      || !commy_service_name_is_valid (snapshot->service))
    return;
  followed = ensure_followed (self, snapshot->service);
  self->round++;
  for (guint i = 0; i < snapshot->instances->len; i++)
    take_instance (self, followed, snapshot->instances->pdata[i]);
  g_mutex_lock (&self->lock);
  g_hash_table_foreach_remove (self->entries, is_left, of);
  g_mutex_unlock (&self->lock);
  commy_health_runner_follow (self->runner, snapshot->service, followed->spec, snapshot->instances);
}

/* --- what others ask --- */

void
commy_health_checks_get (CommyHealthChecks *self,
                         const CommyInstance *instance,
                         CommyHealthFinding *out_finding)
{
  const char *reason;
  CommyHealthState said = commy_health_read_said (instance->health, &reason);
  const Entry *entry;

  *out_finding = (CommyHealthFinding){ .state = said };
  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->entries, instance);
  if (entry != NULL)
    out_finding->since_ns = entry->said_ns;
  if (said == COMMY_HEALTH_UNWELL)
    describe_said (reason, out_finding->reason, sizeof out_finding->reason);
  else if (entry != NULL && entry->found.state != COMMY_HEALTH_UNKNOWN)
    {
      out_finding->state = entry->found.state;
      out_finding->since_ns = entry->found.since_ns;
      if (entry->found.state == COMMY_HEALTH_UNWELL)
        g_strlcpy (out_finding->reason, entry->found.reason, sizeof out_finding->reason);
    }
  g_mutex_unlock (&self->lock);
}

char *
commy_health_checks_dup_own (CommyHealthChecks *self)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->mesh->offers);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyService *service = value;
      g_autofree char *health = commy_service_dup_health (service);
      const char *reason;

      if (commy_health_read_said (health, &reason) != COMMY_HEALTH_UNWELL)
        continue;
      return g_strdup_printf ("not-serving: %s%s%s", service->name, *reason != '\0' ? ": " : "",
                              reason);
    }
  return g_strdup (COMMY_HEALTH_SERVING);
}

/* A point of the mesh's clock in Unix time, us; 0 stays 0. */
static gint64
to_wall_us (const CommyHealthChecks *self, gint64 at_ns)
{
  return at_ns == 0 ? 0 : g_get_real_time () - (commy_env_now (self->mesh->env) - at_ns) / 1000;
}

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text));
}

/* Whose word it is, and how old. */
static void
add_looks (const CommyHealthChecks *self, GVariantBuilder *record, const Entry *entry)
{
  gint64 age_ns = commy_env_now (self->mesh->env) - entry->found.seen_ns;

  g_variant_builder_add (record, "{sv}", "looks", g_variant_new_uint64 (entry->n_looks));
  if (entry->found.seen_ns == 0)
    return;
  add_text (record, "by", entry->by_host ? "host" : "node");
  g_variant_builder_add (record, "{sv}", "age", g_variant_new_uint64 ((guint64) MAX (age_ns, 0)));
}

/* @entry: NULL: it is this node's own. */
static void
add_record (const CommyHealthChecks *self,
            GVariantBuilder *list,
            const char *service,
            const char *instance,
            const Entry *entry,
            const CommyHealthFinding *finding)
{
  CommyCheckKind kind = entry != NULL ? entry->kind : COMMY_CHECK_NONE;
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_text (&record, "service", service);
  add_text (&record, "instance", instance);
  add_text (&record, "source", entry != NULL ? "seen" : "self");
  add_text (&record, "check", commy_check_kind_to_string (kind));
  add_text (&record, "state", commy_health_state_to_string (finding->state));
  add_text (&record, "reason", finding->reason);
  g_variant_builder_add (
      &record, "{sv}", "since",
      g_variant_new_int64 (to_wall_us (self, finding->since_ns) / G_USEC_PER_SEC));
  if (kind != COMMY_CHECK_NONE)
    add_looks (self, &record, entry);
  g_variant_builder_add_value (list, g_variant_builder_end (&record));
}

static gboolean
is_wanted (const char *service, const char *wanted)
{
  return wanted[0] == '\0' ? !g_str_has_prefix (service, "org.commy.")
                           : strcmp (service, wanted) == 0;
}

guint
commy_health_checks_count_unwell (CommyHealthChecks *self, const char *service)
{
  GHashTableIter iter;
  gpointer value;
  guint n = 0;

  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Entry *entry = value;
      CommyHealthFinding finding;

      if (!is_wanted (entry->instance->service, service))
        continue;
      commy_health_checks_get (self, entry->instance, &finding);
      n += finding.state == COMMY_HEALTH_UNWELL;
    }
  return n;
}

GVariant *
commy_health_checks_list (CommyHealthChecks *self, const char *service)
{
  CommyHealthFinding finding;
  GVariantBuilder list;
  GHashTableIter iter;
  gpointer id, value;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  g_hash_table_iter_init (&iter, self->mesh->offers);
  while (g_hash_table_iter_next (&iter, &id, &value))
    {
      g_autofree char *health = commy_service_dup_health (value);
      const char *name = ((CommyService *) value)->name, *reason;

      if (!is_wanted (name, service))
        continue;
      finding = (CommyHealthFinding){ .state = commy_health_read_said (health, &reason) };
      g_strlcpy (finding.reason, reason, sizeof finding.reason);
      add_record (self, &list, name, id, NULL, &finding);
    }
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Entry *entry = value;

      if (!is_wanted (entry->instance->service, service))
        continue;
      commy_health_checks_get (self, entry->instance, &finding);
      add_record (self, &list, entry->instance->service, entry->instance->id, entry, &finding);
    }
  return g_variant_builder_end (&list);
}

typedef struct
{
  const CommyHealthChecks *checks;
  const char *service;
  GVariantBuilder *list;
} Listing;

static void
list_change (gpointer data, const CommyHealthChange *change)
{
  const Listing *listing = data;
  GVariantBuilder record;

  if (!is_wanted (change->service, listing->service))
    return;
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "time",
                         g_variant_new_int64 (to_wall_us (listing->checks, change->at_ns)));
  add_text (&record, "service", change->service);
  add_text (&record, "instance", change->instance);
  add_text (&record, "from", commy_health_state_to_string (change->from));
  add_text (&record, "to", commy_health_state_to_string (change->to));
  add_text (&record, "reason", change->reason);
  g_variant_builder_add_value (listing->list, g_variant_builder_end (&record));
}

GVariant *
commy_health_checks_list_history (CommyHealthChecks *self, const char *service)
{
  GVariantBuilder list;
  Listing listing = { self, service, &list };

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  commy_health_history_foreach (self->history, commy_env_now (self->mesh->env), list_change,
                                &listing);
  return g_variant_builder_end (&list);
}

/* --- life --- */

CommyHealthChecks *
commy_health_checks_new (CommyMesh *mesh)
{
  CommyHealthChecks *self = g_new0 (CommyHealthChecks, 1);
  CommyConfig *config = mesh->config;

  self->mesh = mesh;
  g_mutex_init (&self->lock);
  self->entries = g_hash_table_new_full (commy_instance_hash, commy_instance_equal,
                                         (GDestroyNotify) commy_instance_unref, entry_free);
  self->followed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, followed_free);
  self->history
      = commy_health_history_new ((guint) commy_config_get_int (config, "limits", "health-history"),
                                  commy_config_get_duration (config, "limits", "health-retention"));
  self->runner = commy_health_runner_new (
      mesh, (guint) commy_config_get_int (config, "limits", "health-checks"), on_checked, self);
  return self;
}

void
commy_health_checks_stop (CommyHealthChecks *self)
{
  CommyHealthRunner *runner = g_steal_pointer (&self->runner);

  g_clear_pointer (&self->host, commy_host_health_free);
  commy_health_runner_free (runner);
}

void
commy_health_checks_free (CommyHealthChecks *self)
{
  if (self == NULL)
    return;
  commy_health_checks_stop (self);
  g_hash_table_unref (self->followed);
  g_hash_table_unref (self->entries);
  commy_health_history_free (self->history);
  g_mutex_clear (&self->lock);
  g_free (self);
}
