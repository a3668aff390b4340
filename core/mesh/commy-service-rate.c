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

static const char *const names[COMMY_RATE_KINDS] = {
  [COMMY_RATE_PRINCIPAL] = "serve-rate-limit-per-principal",
  [COMMY_RATE_ADDRESS] = "serve-rate-limit-per-address",
  [COMMY_RATE_ALL] = "serve-rate-limit",
};

static void
set_limit (CommyServiceRate *self, CommyRateKind kind, const CommyRateLimitPolicy *limit, guint max)
{
  self->whole[kind] = *limit;
  if (limit->rate > 0)
    self->tables[kind] = commy_rate_table_new (limit, max);
}

CommyServiceRate *
commy_service_rate_new (CommyConfig *config, const char *service, const char *method)
{
  CommyServePolicy policy;
  CommyServiceRate *self;

  if (!commy_resilience_read_serve (&policy, config, service, method))
    return NULL;
  self = g_new0 (CommyServiceRate, 1);
  self->method = g_strdup (method);
  self->is_shared = policy.is_shared;
  set_limit (self, COMMY_RATE_PRINCIPAL, &policy.of_principal, COMMY_SERVICE_RATE_CALLERS);
  set_limit (self, COMMY_RATE_ADDRESS, &policy.of_address, COMMY_SERVICE_RATE_CALLERS);
  set_limit (self, COMMY_RATE_ALL, &policy.rate, 0);
  if (self->tables[COMMY_RATE_ALL] != NULL)
    self->all = commy_rate_table_find (self->tables[COMMY_RATE_ALL], "", 0);
  return self;
}

void
commy_service_rate_free (CommyServiceRate *self)
{
  if (self == NULL)
    return;
  commy_rate_bucket_unref (self->all);
  for (guint kind = 0; kind < COMMY_RATE_KINDS; kind++)
    commy_rate_table_free (self->tables[kind]);
  g_free (self->method);
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
  if (self->buckets[kind] != NULL && !commy_rate_bucket_is_shared (self->buckets[kind]))
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

/* NULL: the limit is not about this caller. */
static CommyRateBucket *
get_bucket (const CommyServiceRate *self, const CommyRateCaller *caller, CommyRateKind kind)
{
  return kind == COMMY_RATE_ALL ? self->all : caller->buckets[kind];
}

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
      if (table == NULL
          || (kind != COMMY_RATE_ALL && !hold_bucket (caller, table, kind, principal, now_ns)))
        return TRUE;
      verdict = commy_rate_table_take (table, get_bucket (self, caller, kind), now_ns,
                                       &out_refusal->wait_ns);
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

/* What the limits before @kind took. */
static void
give_back_before (CommyServiceRate *self, const CommyRateCaller *caller, guint kind)
{
  while (kind-- > 0)
    if (self->tables[kind] != NULL && get_bucket (self, caller, kind) != NULL)
      commy_rate_table_give_back (self->tables[kind], get_bucket (self, caller, kind));
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
  give_back_before (self, caller, kind);
  return FALSE;
}

void
commy_service_rate_give_back (CommyServiceRate *self, const CommyRateCaller *caller)
{
  give_back_before (self, caller, COMMY_RATE_KINDS);
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

  return g_strdup_printf ("%s=%g%s%s%s; the next one may come in %s", names[kind],
                          self->whole[kind].rate, self->method != NULL ? " of the method" : "",
                          parts, refusal->is_crowd ? ", which newcomers share for now" : "", wait);
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

/* Whether one of its limits is divided; the table of methods stays as it is while it is offered. */
static gboolean
is_shared (const CommyService *service)
{
  GHashTableIter iter;
  gpointer value;

  if (service->rate != NULL && service->rate->is_shared)
    return TRUE;
  g_hash_table_iter_init (&iter, service->methods);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const CommyServiceRate *rate = ((CommyServiceMethod *) value)->rate;

      if (rate != NULL && rate->is_shared)
        return TRUE;
    }
  return FALSE;
}

static void
divide_all (CommyService *service, guint n, gint64 now_ns)
{
  GHashTableIter iter;
  gpointer value;

  if (service->rate != NULL)
    commy_service_rate_divide (service->rate, n, now_ns);
  g_hash_table_iter_init (&iter, service->methods);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyServiceRate *rate = ((CommyServiceMethod *) value)->rate;

      if (rate != NULL)
        commy_service_rate_divide (rate, n, now_ns);
    }
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

      if (strcmp (service->name, snapshot->service) == 0 && is_shared (service))
        divide_all (service, commy_service_rate_count (snapshot, service->instance->id),
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

  if (!is_shared (service))
    return;
  commy_registry_ensure (registry, service->name, FALSE, on_followed, NULL);
  /* Where somebody here follows it already, the next one may take its time. */
  snapshot = commy_registry_lookup (registry, service->name);
  if (snapshot != NULL)
    commy_service_rate_note (service->mesh, snapshot);
}
