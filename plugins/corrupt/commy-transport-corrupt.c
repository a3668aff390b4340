/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hook `corrupt`: one bit of a message is another one when it arrives. Where the wrapped
 * transport protects what it carries, this happens before it does: so a peer looks that sends
 * nonsense.
 */
#include "config.h"

#include "../common/commy-chance.h"

typedef struct
{
  CommyHook hook;
  guint per_million;
} Instance;

typedef struct
{
  CommyHookConnection base;
  guint8 *span; /* of the reservation */
} Connection;

static CommyIo
corrupt_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  CommyIo io = commy_hook_reserve (connection, size, out_span);

  ((Connection *) connection)->span = io == COMMY_IO_OK ? out_span->data : NULL;
  return io;
}

static CommyIo
corrupt_commit (gpointer connection, gsize used)
{
  Connection *self = connection;
  const Instance *instance = (const Instance *) self->base.hook;
  CommyHost *host = instance->hook.host;

  if (used > 0 && self->span != NULL && commy_chance_falls (host, instance->per_million))
    {
      guint64 bit = commy_chance_below (host, (guint64) used * 8);

      self->span[bit / 8] ^= (guint8) (1u << (bit % 8));
    }
  self->span = NULL;
  return commy_hook_commit (connection, used);
}

COMMY_HOOK_OPS (
    corrupt_ops, Connection, .reserve = corrupt_reserve, .commit = corrupt_commit, .sendv = NULL);

static const CommyParamSpec corrupt_params[] = {
  COMMY_CHANCE_PARAM ("1000",
                      "How many of a million messages that are sent arrive with a bit flipped"),
};

static gboolean
corrupt_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;

  commy_hook_init (&self->hook, host, &corrupt_ops, NULL, NULL);
  self->per_million = commy_chance_param (host);
  return TRUE;
}

static void
corrupt_fini (gpointer instance)
{
}

COMMY_CHANCE_NOTE ("corrupt", "Hook: flips bits of messages by chance");
COMMY_PLUGIN_DEFINE (Instance,
                     corrupt_init,
                     NULL,
                     corrupt_fini,
                     corrupt_params,
                     G_N_ELEMENTS (corrupt_params),
                     &corrupt_ops);
