/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The core's own copy of a plugin's operations. A plugin of an older minor brings a shorter
 * struct, an optional slot may be NULL: both are filled here once, so that nobody tests a
 * pointer later.
 *
 * A stub sees a connection or instance and nothing more. So `sendv` answers
 * COMMY_IO_UNSUPPORTED, and the caller then reserves, copies and commits; `wait` likewise,
 * and the caller arms and polls.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"

#include <string.h>

#define MAX_OPS_SIZE 65536u        /* no vtable is larger; what is, is rubbish */
#define MAX_STATE_SIZE (16u << 20) /* memory the core allocates for one connection or state */

static void
stub_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
}

static CommyIo
stub_sendv (gpointer connection, const GOutputVector *parts, gsize n_parts)
{
  return COMMY_IO_UNSUPPORTED;
}

static CommyIo
stub_wait (gpointer connection, const guint32 *kick_word, guint32 kick_seen, gint64 deadline_ns)
{
  return COMMY_IO_UNSUPPORTED;
}

static CommyIo
stub_attach (gpointer connection, const int *fds, gsize n_fds)
{
  return COMMY_IO_UNSUPPORTED;
}

static gsize
stub_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max)
{
  return 0;
}

static gboolean
stub_unsent (gpointer connection, CommyUnsentFunc each, gpointer user_data)
{
  return FALSE;
}

static gpointer
stub_pool_new (gpointer instance, gsize limit)
{
  return NULL;
}

static void
stub_pool_free (gpointer pool)
{
}

static CommyIo
stub_pool_take (gpointer pool, gsize size, CommyBlock *out_block)
{
  return COMMY_IO_UNSUPPORTED;
}

static void
stub_pool_give (const CommyBlock *block)
{
}

static CommyIo
stub_lend (
    gpointer connection, gconstpointer head, gsize head_size, const CommyBlock *block, gsize size)
{
  return COMMY_IO_UNSUPPORTED;
}

static gboolean
stub_body (gpointer connection,
           const CommyMessage *message,
           const guint8 **out_data,
           gsize *out_size)
{
  return FALSE;
}

static void
stub_limit (gpointer connection, gsize max)
{
}

static void
stub_auth_begin (gpointer instance,
                 gpointer session,
                 const CommyEvidence *evidence,
                 gboolean accepting)
{
}

static void
stub_auth_step (gpointer session, GBytes *bytes, CommyAuthStepDoneFunc done, gpointer user_data)
{
  done (user_data, COMMY_AUTH_NOT_MINE, NULL, "this provider has no steps");
}

static void
stub_auth_end (gpointer session)
{
}

static gboolean
stub_auth_self (gpointer instance, char *principal, gsize size)
{
  return FALSE;
}

static gboolean
stub_auth_same_user (gpointer instance, const char *principal)
{
  return FALSE;
}

static gboolean
stub_auth_seal (gpointer instance,
                gboolean first,
                gconstpointer bytes,
                gsize size,
                guint8 *seal,
                gsize *seal_size)
{
  return FALSE;
}

static gboolean
stub_auth_proof (gpointer instance,
                 const CommyEvidence *evidence,
                 gpointer session,
                 CommyProof *proof)
{
  return FALSE;
}

static CommyProofState
stub_auth_stands (gpointer instance, const char *id, char *reason, gsize reason_size)
{
  return COMMY_PROOF_GOOD;
}

static void
stub_balancer_report (gpointer state, gsize index, gint64 latency_ns, gboolean failed)
{
}

static void
stub_balancer_clear (gpointer state)
{
}

static void
stub_store_suspect (gpointer instance, gint64 lease)
{
}

typedef struct
{
  const char *name;
  gsize offset;
  GCallback stub; /* NULL: required */
} Slot;

typedef struct
{
  gsize size;
  const Slot *slots;
  gsize n_slots;
  const Slot *sizes; /* fields that say how much memory to give */
  gsize n_sizes;
} Kind;

#define REQUIRED(TYPE, FIELD)                  \
  {                                            \
#FIELD, G_STRUCT_OFFSET(TYPE, FIELD), NULL \
  }
#define OPTIONAL(TYPE, FIELD, STUB)                        \
  {                                                        \
#FIELD, G_STRUCT_OFFSET(TYPE, FIELD), G_CALLBACK(STUB) \
  }

static const Slot transport_slots[] = {
  REQUIRED (CommyTransportOps, listen),
  REQUIRED (CommyTransportOps, address),
  REQUIRED (CommyTransportOps, unlisten),
  REQUIRED (CommyTransportOps, connect),
  REQUIRED (CommyTransportOps, reachable),
  OPTIONAL (CommyTransportOps, estimate, stub_estimate),
  REQUIRED (CommyTransportOps, reserve),
  REQUIRED (CommyTransportOps, commit),
  OPTIONAL (CommyTransportOps, sendv, stub_sendv),
  REQUIRED (CommyTransportOps, flush),
  REQUIRED (CommyTransportOps, peek),
  REQUIRED (CommyTransportOps, release),
  REQUIRED (CommyTransportOps, fd),
  REQUIRED (CommyTransportOps, arm),
  OPTIONAL (CommyTransportOps, wait, stub_wait),
  REQUIRED (CommyTransportOps, evidence),
  REQUIRED (CommyTransportOps, why),
  REQUIRED (CommyTransportOps, close),
  OPTIONAL (CommyTransportOps, attach, stub_attach),
  OPTIONAL (CommyTransportOps, take_fds, stub_take_fds),
  OPTIONAL (CommyTransportOps, unsent, stub_unsent),
  OPTIONAL (CommyTransportOps, pool_new, stub_pool_new),
  OPTIONAL (CommyTransportOps, pool_free, stub_pool_free),
  OPTIONAL (CommyTransportOps, pool_take, stub_pool_take),
  OPTIONAL (CommyTransportOps, pool_give, stub_pool_give),
  OPTIONAL (CommyTransportOps, lend, stub_lend),
  OPTIONAL (CommyTransportOps, body, stub_body),
  OPTIONAL (CommyTransportOps, limit, stub_limit),
};

static const Slot transport_sizes[] = {
  REQUIRED (CommyTransportOps, listener_size),
  REQUIRED (CommyTransportOps, connection_size),
};

static const Slot serializer_slots[] = {
  REQUIRED (CommySerializerOps, bound),
  REQUIRED (CommySerializerOps, encode),
  REQUIRED (CommySerializerOps, decode),
};

static const Slot auth_slots[] = {
  REQUIRED (CommyAuthOps, judge),
  OPTIONAL (CommyAuthOps, begin, stub_auth_begin),
  OPTIONAL (CommyAuthOps, step, stub_auth_step),
  OPTIONAL (CommyAuthOps, end, stub_auth_end),
  OPTIONAL (CommyAuthOps, self, stub_auth_self),
  OPTIONAL (CommyAuthOps, same_user, stub_auth_same_user),
  OPTIONAL (CommyAuthOps, seal, stub_auth_seal),
  OPTIONAL (CommyAuthOps, proof, stub_auth_proof),
  OPTIONAL (CommyAuthOps, stands, stub_auth_stands),
};

static const Slot auth_sizes[] = { REQUIRED (CommyAuthOps, session_size) };

static const Slot balancer_slots[] = {
  REQUIRED (CommyBalancerOps, update),
  REQUIRED (CommyBalancerOps, pick),
  OPTIONAL (CommyBalancerOps, report, stub_balancer_report),
  OPTIONAL (CommyBalancerOps, clear, stub_balancer_clear),
};

static const Slot balancer_sizes[] = { REQUIRED (CommyBalancerOps, state_size) };

static const Slot store_slots[] = {
  REQUIRED (CommyStoreOps, range),
  REQUIRED (CommyStoreOps, txn),
  REQUIRED (CommyStoreOps, grant),
  REQUIRED (CommyStoreOps, revoke),
  REQUIRED (CommyStoreOps, watch),
  REQUIRED (CommyStoreOps, unwatch),
  OPTIONAL (CommyStoreOps, suspect, stub_store_suspect),
};

static const Slot policy_slots[] = {
  REQUIRED (CommyPolicyEngineOps, decide),
  REQUIRED (CommyPolicyEngineOps, cancel),
};

static const Slot policy_sizes[] = { REQUIRED (CommyPolicyEngineOps, decision_size) };

static const Kind kinds[] = {
  [COMMY_PLUGIN_TRANSPORT]
  = { sizeof (CommyTransportOps), transport_slots, G_N_ELEMENTS (transport_slots), transport_sizes,
      G_N_ELEMENTS (transport_sizes) },
  [COMMY_PLUGIN_SERIALIZER]
  = { sizeof (CommySerializerOps), serializer_slots, G_N_ELEMENTS (serializer_slots), NULL, 0 },
  [COMMY_PLUGIN_AUTH] = { sizeof (CommyAuthOps), auth_slots, G_N_ELEMENTS (auth_slots), auth_sizes,
                          G_N_ELEMENTS (auth_sizes) },
  [COMMY_PLUGIN_BALANCER]
  = { sizeof (CommyBalancerOps), balancer_slots, G_N_ELEMENTS (balancer_slots), balancer_sizes,
      G_N_ELEMENTS (balancer_sizes) },
  [COMMY_PLUGIN_STORE]
  = { sizeof (CommyStoreOps), store_slots, G_N_ELEMENTS (store_slots), NULL, 0 },
  [COMMY_PLUGIN_POLICY]
  = { sizeof (CommyPolicyEngineOps), policy_slots, G_N_ELEMENTS (policy_slots), policy_sizes,
      G_N_ELEMENTS (policy_sizes) },
};

static gboolean
fill_slots (const Kind *kind, guint8 *ops, GError **error)
{
  for (gsize i = 0; i < kind->n_slots; i++)
    {
      const Slot *slot = &kind->slots[i];
      GCallback callback;

      memcpy (&callback, ops + slot->offset, sizeof callback);
      if (callback != NULL)
        continue;
      if (slot->stub == NULL)
        {
          commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT, "its required operation '%s' is missing",
                           slot->name);
          return FALSE;
        }
      memcpy (ops + slot->offset, &slot->stub, sizeof slot->stub);
    }
  return TRUE;
}

static gboolean
check_sizes (const Kind *kind, const guint8 *ops, GError **error)
{
  for (gsize i = 0; i < kind->n_sizes; i++)
    {
      gsize size;

      memcpy (&size, ops + kind->sizes[i].offset, sizeof size);
      if (size <= MAX_STATE_SIZE)
        continue;
      commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT,
                       "its %s of %" G_GSIZE_FORMAT " bytes is over the limit of 16 MiB",
                       kind->sizes[i].name, size);
      return FALSE;
    }
  return TRUE;
}

/* A transport has pools or it has not; half of the slots would lose a message's second part. */
static gboolean
check_transport (const CommyTransportOps *ops, GError **error)
{
  guint n = (ops->pool_new != NULL) + (ops->pool_free != NULL) + (ops->pool_take != NULL)
            + (ops->pool_give != NULL) + (ops->lend != NULL) + (ops->body != NULL);

  if (n == 0 || n == 6)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT,
                   "it has some of the operations of pools, 'lend' and 'body'; all or none of "
                   "them");
  return FALSE;
}

/* A provider goes by steps or it does not; half of the slots would hang a handshake. */
static gboolean
check_auth (const CommyAuthOps *ops, GError **error)
{
  guint n = (ops->begin != NULL) + (ops->step != NULL) + (ops->end != NULL);

  if (n == 0 || n == 3)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT,
                   "it has some of the operations 'begin', 'step' and 'end'; all or none of them");
  return FALSE;
}

gboolean
commy_plugin_fill_ops (guint kind, gconstpointer theirs, CommyPluginOps *out_ops, GError **error)
{
  const Kind *table;
  CommyPluginOps ops = { 0 };
  gsize size;

  if (kind < COMMY_PLUGIN_TRANSPORT || kind > COMMY_PLUGIN_POLICY || theirs == NULL)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT, "it has no operations");
      return FALSE;
    }
  table = &kinds[kind];
  memcpy (&size, theirs, sizeof size);
  if (size < sizeof size || size > MAX_OPS_SIZE || size % sizeof (gpointer) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT,
                       "its operations say they have %" G_GSIZE_FORMAT " bytes", size);
      return FALSE;
    }

  memcpy (&ops, theirs, MIN (size, table->size));
  memcpy (&ops, &table->size, sizeof table->size);
  if (!check_sizes (table, (const guint8 *) &ops, error)
      || (kind == COMMY_PLUGIN_AUTH && !check_auth (&ops.auth, error))
      || (kind == COMMY_PLUGIN_TRANSPORT && !check_transport (&ops.transport, error))
      || !fill_slots (table, (guint8 *) &ops, error))
    return FALSE;
  *out_ops = ops;
  return TRUE;
}
