/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the guard, which knows members by index, and what calls have in their hands: peers,
 * routes that have some of them, and errors.
 */
#include "config.h"

#include "mesh/commy-ward.h"

#include "base/commy-bits.h"
#include "control/commy-chance.h"
#include "mesh/commy-health-checks.h"

#include <string.h>

#define RECHECK_NS G_GINT64_CONSTANT (1000000000)

/* --- life --- */

static void
ward_guard_free (gpointer data)
{
  CommyWardGuard *self = data;

  commy_guard_clear (&self->guard);
  g_free (self->method);
  g_free (self);
}

/* All threads share what the keyfile limits: of the group that says it, so that a method whose own
 * group says nothing of it is limited together with the others. */
static void
share_limits (CommyWard *self, CommyWardGuard *added)
{
  static const char *const rates[] = { "rate-limit", "rate-burst", NULL };
  static const char *const bulkheads[] = { "bulkhead", NULL };
  CommyMesh *mesh = self->mesh;
  g_autofree char *of_rate
      = commy_resilience_dup_group (mesh->config, self->service, added->method, rates);
  g_autofree char *of_bulkhead
      = commy_resilience_dup_group (mesh->config, self->service, added->method, bulkheads);

  if (added->policy.rate.rate > 0 || added->policy.bulkhead > 0)
    commy_guard_share (&added->guard, &commy_call_limits_ensure (mesh->call_limits, of_rate)->rate,
                       &commy_call_limits_ensure (mesh->call_limits, of_bulkhead)->bulkhead);
}

/* The mesh would not be there if its settings could not be read. */
static void
add_guard (CommyWard *self, const char *method)
{
  CommyConfig *config = self->mesh->config;
  CommyWardGuard *added = g_new0 (CommyWardGuard, 1);
  g_autofree char *group = g_strdup_printf ("service %s", self->service);

  added->method = g_strdup (method);
  if (method != NULL)
    commy_resilience_read_method (&added->policy, config, self->service, method, NULL);
  else
    commy_resilience_read (&added->policy, config, group, NULL);
  commy_guard_init (&added->guard, &added->policy);
  share_limits (self, added);
  g_ptr_array_add (self->guards, added);
}

static CommyWard *
ward_new (CommyPeers *peers, const char *service)
{
  CommyWard *self = g_new0 (CommyWard, 1);
  g_autoptr (GPtrArray) methods = commy_resilience_list_methods (peers->mesh->config, service);

  self->peers = peers;
  self->mesh = peers->mesh;
  self->service = g_strdup (service);
  self->members = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_peer_unref);
  self->chance = commy_env_random64 (peers->mesh->env);
  self->guards = g_ptr_array_new_with_free_func (ward_guard_free);
  add_guard (self, NULL);
  for (guint i = 0; i < methods->len; i++)
    add_guard (self, methods->pdata[i]);
  return self;
}

void
commy_ward_free (CommyWard *self)
{
  for (guint i = 0; i < self->members->len; i++)
    ((CommyPeer *) self->members->pdata[i])->ward_index = COMMY_NOT_IN_WARD;
  g_ptr_array_unref (self->members);
  g_ptr_array_unref (self->guards);
  g_clear_pointer (&self->snapshot, commy_snapshot_unref);
  g_free (self->service);
  g_free (self);
}

CommyWard *
commy_peers_ensure_ward (CommyPeers *peers, const char *service)
{
  CommyWard *ward = g_hash_table_lookup (peers->wards, service);

  if (ward != NULL)
    return ward;
  ward = ward_new (peers, service);
  g_hash_table_insert (peers->wards, ward->service, ward);
  return ward;
}

/* --- what is called --- */

void
commy_ward_note_call (CommyWard *self)
{
  self->is_called = TRUE;
  commy_dependencies_note (self->mesh->dependencies, self->service,
                           g_get_real_time () / G_USEC_PER_SEC);
}

/* Messages on open channels, by service. */
static void
add_messages (gpointer data, gpointer totals)
{
  CommyChannel *channel = data;
  const CommyCounters *counters = commy_channel_get_counters (channel);
  const char *service = commy_channel_get_service (channel);
  guint64 *total;

  if (commy_channel_is_accepting (channel))
    return;
  total = g_hash_table_lookup (totals, service);
  if (total == NULL)
    {
      total = g_new0 (guint64, 1);
      g_hash_table_insert (totals, (gpointer) service, total);
    }
  *total += commy_counters_get (counters, COMMY_COUNT_SENT)
            + commy_counters_get (counters, COMMY_COUNT_RECEIVED);
}

void
commy_peers_note_streams (CommyPeers *peers)
{
  g_autoptr (GHashTable) totals = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  GHashTableIter iter;
  gpointer value;

  commy_worker_foreach_channel (peers->worker, add_messages, totals);
  g_hash_table_iter_init (&iter, peers->wards);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyWard *ward = value;
      const guint64 *total = g_hash_table_lookup (totals, ward->service);
      const guint64 n = total != NULL ? *total : 0;

      if (ward->is_called && n > 0 && n != ward->n_messages)
        commy_ward_note_call (ward);
      ward->n_messages = n;
    }
}

CommyGuard *
commy_ward_find_guard (const CommyWard *self, const char *method)
{
  for (guint i = 1; i < self->guards->len; i++)
    {
      CommyWardGuard *found = self->guards->pdata[i];

      if (strcmp (found->method, method) == 0)
        return &found->guard;
    }
  return &((CommyWardGuard *) self->guards->pdata[0])->guard;
}

/* --- members --- */

static GHashTable *
index_snapshot (CommySnapshot *snapshot)
{
  GHashTable *present = g_hash_table_new (commy_instance_hash, commy_instance_equal);

  for (guint i = 0; i < snapshot->instances->len; i++)
    {
      CommyInstance *instance = snapshot->instances->pdata[i];

      g_hash_table_insert (present, instance, instance);
    }
  return present;
}

static void
add_member (CommyWard *self, GArray *from, CommyPeer *peer, gssize was)
{
  peer->ward_index = self->members->len;
  if (was < 0)
    peer->ward_term++; /* calls of before say nothing of it */
  g_ptr_array_add (self->members, peer);
  g_array_append_val (from, was);
}

/* What it says of itself, and what looking at it has shown. */
static void
note_state (CommyWard *self, guint index, const CommyInstance *instance, gint64 now_ns)
{
  CommyHealthFinding finding = { 0 };
  CommyGuardHow how = COMMY_GUARD_IN;

  if (self->mesh->health != NULL)
    commy_health_checks_get (self->mesh->health, instance, &finding);
  if (instance->draining)
    how = COMMY_GUARD_DRAINING;
  else if (finding.state == COMMY_HEALTH_UNWELL)
    how = COMMY_GUARD_UNWELL;
  for (guint i = 0; i < self->guards->len; i++)
    commy_guard_set_out (&((CommyWardGuard *) self->guards->pdata[i])->guard, index, how,
                         how == COMMY_GUARD_UNWELL ? finding.reason : NULL, now_ns);
}

/* Who is no more in the snapshot goes; who is in it says whether it takes calls. */
static void
set_members (
    CommyWard *self, GHashTable *present, CommyPeer *const *members, guint n_members, gint64 now_ns)
{
  g_autoptr (GPtrArray) old = g_steal_pointer (&self->members);
  g_autoptr (GArray) from = g_array_new (FALSE, FALSE, sizeof (gssize));
  guint n_old = old->len;

  self->members = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_peer_unref);
  for (guint i = 0; i < n_old; i++)
    {
      CommyPeer *peer = old->pdata[i];

      peer->ward_index = COMMY_NOT_IN_WARD;
      if (g_hash_table_contains (present, peer->instance))
        add_member (self, from, commy_peer_ref (peer), i);
    }
  for (guint i = 0; i < n_members; i++)
    if (members[i]->ward_index == COMMY_NOT_IN_WARD)
      add_member (self, from, commy_peer_ref (members[i]), -1);
  if (self->members->len != n_old || from->len != n_old
      || (n_old > 0 && g_array_index (from, gssize, n_old - 1) != (gssize) n_old - 1))
    for (guint i = 0; i < self->guards->len; i++)
      {
        CommyGuard *guard = &((CommyWardGuard *) self->guards->pdata[i])->guard;

        commy_guard_set_members (guard, self->members->len,
                                 (const gssize *) (gconstpointer) from->data);
        commy_guard_fold (guard, now_ns); /* who was left out still is */
      }
  for (guint i = 0; i < self->members->len; i++)
    {
      CommyPeer *peer = self->members->pdata[i];
      const CommyInstance *instance = g_hash_table_lookup (present, peer->instance);

      if (instance != NULL)
        note_state (self, i, instance, now_ns);
    }
}

void
commy_ward_update (CommyWard *self,
                   CommySnapshot *snapshot,
                   CommyPeer *const *members,
                   guint n_members)
{
  g_autoptr (GHashTable) present = NULL;
  const guint32 epoch = commy_mesh_get_epoch (self->mesh);
  gboolean known = self->snapshot == snapshot && self->epoch == epoch;

  for (guint i = 0; i < n_members && known; i++)
    known = members[i]->ward_index != COMMY_NOT_IN_WARD;
  if (known)
    return;
  present = index_snapshot (snapshot);
  set_members (self, present, members, n_members, commy_env_now (self->mesh->env));
  commy_peers_prune (self->peers, self->service, present);
  commy_snapshot_ref (snapshot);
  g_clear_pointer (&self->snapshot, commy_snapshot_unref);
  self->snapshot = snapshot;
  self->epoch = epoch;
}

/* --- calls --- */

void
commy_ward_begin (CommyGuard *guard, CommyGuarded *call, CommyPeer *peer, gint64 now_ns)
{
  call->guard = guard;
  call->peer = commy_peer_ref (peer);
  call->term = peer->ward_term;
  commy_peer_begin (peer);
  if (peer->ward_index != COMMY_NOT_IN_WARD)
    call->guarded = commy_guard_begin (guard, peer->ward_index, now_ns);
  else
    call->guarded = (CommyGuardAttempt){ .index = COMMY_NOT_IN_WARD, .begun_ns = now_ns };
}

void
commy_ward_end (CommyWard *self, CommyGuarded *call, CommyOutcome outcome, gint64 now_ns)
{
  CommyPeer *peer = call->peer;

  if (peer == NULL)
    return;
  if (outcome == COMMY_OUTCOME_TOO_OFTEN)
    outcome = COMMY_OUTCOME_ABANDONED; /* for what is thought of the instance */
  call->peer = NULL;
  commy_peer_end (peer);
  /* It may have another index now, or have gone and come back as somebody new. */
  if (call->guarded.index != COMMY_NOT_IN_WARD && peer->ward_index != COMMY_NOT_IN_WARD
      && call->term == peer->ward_term)
    {
      guint64 chance = outcome != COMMY_OUTCOME_OK ? commy_chance_next (&self->chance) : 0;

      call->guarded.index = peer->ward_index;
      commy_guard_end (call->guard, &call->guarded, outcome, now_ns, chance);
    }
  commy_peer_unref (peer);
}

static guint64 *
mark_tried (CommyWard *self, const CommyTries *tries)
{
  guint64 *bits = g_new0 (guint64, MAX (commy_bits_words (self->members->len), 1));

  for (guint i = 0; i < self->members->len; i++)
    if (commy_tries_has (tries, 0, self->members->pdata[i]))
      commy_bits_add (bits, i);
  return bits;
}

CommyRetryVerdict
commy_ward_decide_retry (CommyWard *self,
                         CommyGuard *guard,
                         const CommyTries *tries,
                         guint n_sent,
                         CommyOutcome outcome,
                         gboolean idempotent,
                         gint64 now_ns,
                         gint64 deadline_ns,
                         gint64 *out_at_ns)
{
  g_autofree guint64 *tried = tries != NULL ? mark_tried (self, tries) : NULL;

  return commy_guard_decide_retry (guard, n_sent, outcome, idempotent, tried, now_ns, deadline_ns,
                                   commy_chance_next (&self->chance), out_at_ns);
}

/* --- who may be picked --- */

void
commy_route_mask_clear (CommyRouteMask *mask)
{
  g_clear_pointer (&mask->blocked, g_free);
  g_clear_pointer (&mask->barred, g_free);
  g_clear_pointer (&mask->excluded, g_free);
  mask->n_words = 0;
  mask->serial = 0;
}

static void
update_mask (const CommyGuard *guard,
             CommyRouteMask *mask,
             CommyPeer *const *members,
             guint n_members)
{
  const guint n_words = (guint) commy_bits_words (n_members);

  if (mask->n_words != n_words)
    {
      commy_route_mask_clear (mask);
      mask->n_words = n_words;
      mask->blocked = g_new (guint64, n_words);
      mask->barred = g_new (guint64, n_words);
      mask->excluded = g_new (guint64, n_words);
    }
  memset (mask->blocked, 0, n_words * sizeof *mask->blocked);
  memset (mask->barred, 0, n_words * sizeof *mask->barred);
  mask->n_blocked = mask->n_barred = 0;
  mask->guard = guard;
  mask->serial = guard->serial;
  mask->version++;
  for (guint i = 0; i < n_members && guard->n_blocked > 0; i++)
    if (members[i]->ward_index != COMMY_NOT_IN_WARD
        && commy_guard_is_blocked (guard, members[i]->ward_index))
      {
        commy_bits_add (mask->blocked, i);
        if (commy_guard_is_barred (guard, members[i]->ward_index))
          {
            commy_bits_add (mask->barred, i);
            mask->n_barred++;
          }
        mask->n_blocked++;
      }
}

/* Those of @base, and those of @tries from @first on. How many are left. */
static guint
exclude_tried (CommyRouteMask *mask,
               const guint64 *base,
               CommyPeer *const *members,
               guint n_members,
               const CommyTries *tries,
               guint first)
{
  guint n_left = 0;

  memcpy (mask->excluded, base, mask->n_words * sizeof *mask->excluded);
  for (guint i = 0; i < n_members; i++)
    {
      if (commy_tries_has (tries, first, members[i]))
        commy_bits_add (mask->excluded, i);
      n_left += !commy_bits_has (mask->excluded, i);
    }
  return n_left;
}

CommyWardVerdict
commy_ward_exclude (CommyGuard *guard,
                    CommyRouteMask *mask,
                    CommyPeer *const *members,
                    guint n_members,
                    const CommyTries *tries,
                    gint64 now_ns,
                    const guint64 **out_excluded)
{
  const guint64 *base;

  if (now_ns >= guard->next_ns)
    commy_guard_fold (guard, now_ns);
  if (mask->guard != guard || mask->serial != guard->serial
      || mask->n_words != commy_bits_words (n_members))
    update_mask (guard, mask, members, n_members);
  if (mask->n_barred == n_members)
    return COMMY_WARD_NOBODY;
  /* Where nobody is well, nobody is worse than the others. */
  base = mask->n_blocked == n_members ? mask->barred : mask->blocked;
  *out_excluded = (base == mask->barred ? mask->n_barred : mask->n_blocked) > 0 ? base : NULL;
  /* Where everybody was tried: again, but not where it failed last; a single one all the same. */
  if (tries != NULL && tries->n > 0
      && (exclude_tried (mask, base, members, n_members, tries, 0) > 0
          || exclude_tried (mask, base, members, n_members, tries, tries->n - 1) > 0))
    *out_excluded = mask->excluded;
  return mask->n_blocked == n_members ? COMMY_WARD_UNWELL : COMMY_WARD_WELL;
}

gboolean
commy_ward_leaves_out (const CommyGuard *guard, const CommyPeer *peer)
{
  return peer->ward_index != COMMY_NOT_IN_WARD && commy_guard_is_blocked (guard, peer->ward_index);
}

gint64
commy_ward_get_recheck (const CommyGuard *guard, gint64 now_ns)
{
  return MIN (guard->next_ns, now_ns + RECHECK_NS);
}

char *
commy_ward_explain (CommyWard *self, CommyGuard *guard, const CommyTries *tries, gint64 now_ns)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree guint64 *tried = mark_tried (self, tries);

  for (guint i = 0; i < self->members->len; i++)
    {
      const CommyInstance *instance = ((CommyPeer *) self->members->pdata[i])->instance;

      g_ptr_array_add (names, g_strdup_printf ("%.8s", instance->id));
    }
  return commy_guard_explain (guard, (const char *const *) names->pdata, tried, now_ns);
}

/* --- judging --- */

CommyOutcome
commy_outcome_judge (const GError *error, gboolean sent)
{
  if (error == NULL)
    return COMMY_OUTCOME_OK;
  if (error->domain != COMMY_ERROR)
    return COMMY_OUTCOME_ANSWERED;
  switch (error->code)
    {
    case COMMY_ERROR_CANCELLED:
    case COMMY_ERROR_LEAVING:
    case COMMY_ERROR_NOT_JOINED:
    case COMMY_ERROR_FORKED:
    case COMMY_ERROR_WOULD_DEADLOCK:
      return COMMY_OUTCOME_ABANDONED;
    case COMMY_ERROR_INVALID_ARGUMENT:
    case COMMY_ERROR_TYPE:
    case COMMY_ERROR_TOO_BIG:
    case COMMY_ERROR_DENIED:
      return sent ? COMMY_OUTCOME_OK : COMMY_OUTCOME_ABANDONED; /* the caller's fault */
    case COMMY_ERROR_OVERLOADED:
      return COMMY_OUTCOME_LIMITED;
    case COMMY_ERROR_TOO_OFTEN:
      return COMMY_OUTCOME_TOO_OFTEN;
    case COMMY_ERROR_BUSY:
      return sent ? COMMY_OUTCOME_FAILED : COMMY_OUTCOME_ABANDONED;
    case COMMY_ERROR_REMOTE:
    case COMMY_ERROR_NO_METHOD:
      return COMMY_OUTCOME_ANSWERED;
    default:
      return sent ? COMMY_OUTCOME_FAILED : COMMY_OUTCOME_NOT_SENT;
    }
}
