/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header. While the store is away the last snapshot stays, and with it the number.
 */
#include "config.h"

#include "mesh/commy-service-rate.h"

#include "base/commy-units.h"
#include "mesh/commy-service-private.h"
#include "security/commy-lock-out.h"

#include <string.h>

/* --- the limits --- */

static const char *const names[COMMY_RATE_KINDS][2] = {
  [COMMY_RATE_PRINCIPAL] = { "serve-rate-limit-per-principal", "serve-rate-burst-per-principal" },
  [COMMY_RATE_ADDRESS] = { "serve-rate-limit-per-address", "serve-rate-burst-per-address" },
  [COMMY_RATE_ALL] = { "serve-rate-limit", "serve-rate-burst" },
};

static gboolean
read_limit (CommyConfig *config, const char *group, CommyRateKind kind, CommyRateLimitPolicy *out)
{
  out->rate = commy_config_get_double (config, group, names[kind][0]);
  out->burst = (guint) commy_config_get_int (config, group, names[kind][1]);
  return out->rate > 0;
}

CommyServiceRate *
commy_service_rate_new (CommyConfig *config, const char *service)
{
  g_autofree char *group = g_strdup_printf ("service %s", service);
  CommyServiceRate *self;
  gboolean limits = FALSE;

  /* A name that no keyfile can have is refused when it is offered. */
  if (commy_config_get (config, group, "serve-rate-limit") == NULL)
    return NULL;
  self = g_new0 (CommyServiceRate, 1);
  self->is_shared
      = g_strcmp0 (commy_config_get (config, group, "serve-rate-scope"), "service") == 0;
  for (guint kind = 0; kind < COMMY_RATE_KINDS; kind++)
    {
      if (!read_limit (config, group, kind, &self->whole[kind]))
        continue;
      self->tables[kind] = commy_rate_table_new (
          &self->whole[kind], kind == COMMY_RATE_ALL ? 0 : COMMY_SERVICE_RATE_CALLERS);
      limits = TRUE;
    }
  if (!limits)
    g_clear_pointer (&self, commy_service_rate_free);
  return self;
}

void
commy_service_rate_free (CommyServiceRate *self)
{
  if (self == NULL)
    return;
  for (guint kind = 0; kind < COMMY_RATE_KINDS; kind++)
    commy_rate_table_free (self->tables[kind]);
  g_free (self);
}

void
commy_service_rate_divide (CommyServiceRate *self, guint n, gint64 now_ns)
{
  for (guint kind = 0; self->is_shared && kind < COMMY_RATE_KINDS; kind++)
    if (self->tables[kind] != NULL)
      commy_rate_table_divide (self->tables[kind], n, now_ns);
}

/* --- a caller --- */

CommyRateCaller *
commy_rate_caller_new (void)
{
  return g_new0 (CommyRateCaller, 1);
}

void
commy_rate_caller_free (CommyRateCaller *self)
{
  if (self == NULL)
    return;
  for (guint kind = 0; kind < COMMY_RATE_KINDS; kind++)
    commy_rate_bucket_unref (self->buckets[kind]);
  g_free (self);
}

static void
drop_bucket (CommyRateCaller *self, CommyRateKind kind)
{
  g_clear_pointer (&self->buckets[kind], commy_rate_bucket_unref);
}

/* A flow moves from one path to another, and with it to where it comes from. */
static void
note_address (CommyRateCaller *self, const CommyPolicyPath *path)
{
  if (path->where == self->where
      && memcmp (path->address, self->address, sizeof self->address) == 0)
    return;
  drop_bucket (self, COMMY_RATE_ADDRESS);
  self->where = path->where;
  self->is_remote = path->where == COMMY_WHERE_ADDRESS;
  memcpy (self->address, path->address, sizeof self->address);
}

/* (transfer full); NULL: this host's own, whose users the kernel tells apart. */
static char *
dup_key (const CommyRateCaller *self, CommyRateKind kind, const char *principal)
{
  gboolean of_link;

  if (kind == COMMY_RATE_ADDRESS)
    return commy_lock_out_dup_address (self->address, &of_link);
  return g_strdup (principal);
}

/* FALSE: the limit is not about this caller. */
static gboolean
hold_bucket (CommyRateCaller *self,
             CommyRateTable *table,
             CommyRateKind kind,
             const char *principal,
             gint64 now_ns)
{
  g_autofree char *key = NULL;

  if (kind == COMMY_RATE_ADDRESS && !self->is_remote)
    return FALSE;
  if (self->buckets[kind] != NULL
      && (kind == COMMY_RATE_ALL || !commy_rate_bucket_is_shared (self->buckets[kind])))
    return TRUE;
  drop_bucket (self, kind);
  key = dup_key (self, kind, principal);
  if (key != NULL)
    self->buckets[kind] = commy_rate_table_find (table, key, now_ns);
  else
    self->is_remote = FALSE;
  return key != NULL;
}

/* --- taking --- */

static gboolean
take_one (CommyServiceRate *self,
          CommyRateCaller *caller,
          CommyRateKind kind,
          const char *principal,
          gint64 now_ns,
          CommyRateRefusal *out_refusal)
{
  CommyRateTable *table = self->tables[kind];
  CommyRateVerdict verdict;

  do
    {
      if (table == NULL || !hold_bucket (caller, table, kind, principal, now_ns))
        return TRUE;
      verdict = commy_rate_table_take (table, caller->buckets[kind], now_ns, &out_refusal->wait_ns);
      if (verdict == COMMY_RATE_GONE)
        drop_bucket (caller, kind);
    }
  while (verdict == COMMY_RATE_GONE);
  if (verdict == COMMY_RATE_TAKEN)
    return TRUE;
  out_refusal->kind = kind;
  out_refusal->is_crowd
      = kind != COMMY_RATE_ALL && commy_rate_bucket_is_shared (caller->buckets[kind]);
  return FALSE;
}

gboolean
commy_service_rate_take (CommyServiceRate *self,
                         CommyRateCaller *caller,
                         const char *principal,
                         const CommyPolicyPath *path,
                         gint64 now_ns,
                         CommyRateRefusal *out_refusal)
{
  guint kind = 0;

  note_address (caller, path);
  /* What is only for this one comes first: who is beyond that takes nothing of what is for all. */
  while (kind < COMMY_RATE_KINDS && take_one (self, caller, kind, principal, now_ns, out_refusal))
    kind++;
  if (kind == COMMY_RATE_KINDS)
    return TRUE;
  while (kind-- > 0)
    if (self->tables[kind] != NULL && caller->buckets[kind] != NULL)
      commy_rate_table_give_back (self->tables[kind], caller->buckets[kind]);
  return FALSE;
}

char *
commy_service_rate_describe (CommyServiceRate *self, const CommyRateRefusal *refusal)
{
  const CommyRateKind kind = refusal->kind;
  g_autofree char *wait = commy_format_duration ((double) refusal->wait_ns);
  g_autofree char *parts
      = self->is_shared ? g_strdup_printf (", of which each of %u instances has its part",
                                           MAX (commy_rate_table_get_n (self->tables[kind]), 1))
                        : g_strdup ("");

  return g_strdup_printf ("%s=%g%s%s; the next one may come in %s", names[kind][0],
                          self->whole[kind].rate, parts,
                          refusal->is_crowd ? ", which newcomers share for now" : "", wait);
}

/* --- who shares it --- */

guint
commy_service_rate_count (const CommySnapshot *snapshot, const char *id)
{
  gboolean has_own = FALSE;
  guint n = 0;

  for (guint i = 0; i < snapshot->instances->len; i++)
    {
      const CommyInstance *instance = snapshot->instances->pdata[i];

      /* An endpoint of a keyfile may be anybody's. */
      if (instance->origin != NULL)
        continue;
      n++;
      has_own |= strcmp (instance->id, id) == 0;
    }
  return has_own ? n : n + 1;
}

void
commy_service_rate_note (CommyMesh *mesh, const CommySnapshot *snapshot)
{
  GHashTableIter iter;
  gpointer value;

  if (mesh->offers == NULL)
    return;
  g_hash_table_iter_init (&iter, mesh->offers);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyService *service = value;

      if (service->rate == NULL || service->instance == NULL
          || strcmp (service->name, snapshot->service) != 0)
        continue;
      commy_service_rate_divide (service->rate,
                                 commy_service_rate_count (snapshot, service->instance->id),
                                 commy_env_now (mesh->env));
    }
}

/* The source has told the log. */
static void
on_followed (gpointer data, const GError *error)
{
}

void
commy_service_rate_follow (CommyService *service)
{
  CommyRegistry *registry = service->mesh->registry;
  g_autoptr (CommySnapshot) snapshot = NULL;

  if (service->rate == NULL || !service->rate->is_shared)
    return;
  commy_registry_ensure (registry, service->name, FALSE, on_followed, NULL);
  /* Where somebody here follows it already, the next one may take its time. */
  snapshot = commy_registry_lookup (registry, service->name);
  if (snapshot != NULL)
    commy_service_rate_note (service->mesh, snapshot);
}
