/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hook `loss`: messages that are sent and never arrive. The sender is told that all went well,
 * as a network does; descriptors of a lost message are closed.
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
} Connection;

static CommyIo
loss_commit (gpointer connection, gsize used)
{
  const Instance *self = (const Instance *) ((const CommyHookConnection *) connection)->hook;

  if (used > 0 && commy_chance_falls (self->hook.host, self->per_million))
    used = 0; /* gives the reservation back, descriptors too */
  return commy_hook_commit (connection, used);
}

/* What is lost is told as a cost; that messages are safe stays claimed, or nobody would use it. */
static void
loss_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
  const Instance *self = instance;
  double kept = 1 - (double) self->per_million / COMMY_CHANCE_MILLION;

  commy_hook_estimate (instance, endpoint, profile);
  profile->loss = 1 - (1 - profile->loss) * kept;
}

COMMY_HOOK_OPS (
    loss_ops, Connection, .estimate = loss_estimate, .commit = loss_commit, .sendv = NULL);

static const CommyParamSpec loss_params[] = {
  COMMY_CHANCE_PARAM ("10000", "How many of a million messages that are sent do not arrive"),
};

static gboolean
loss_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;

  commy_hook_init (&self->hook, host, &loss_ops, NULL, NULL);
  self->per_million = commy_chance_param (host);
  return TRUE;
}

static void
loss_fini (gpointer instance)
{
}

COMMY_CHANCE_NOTE ("loss", "Hook: loses messages by chance");
COMMY_PLUGIN_DEFINE (
    Instance, loss_init, NULL, loss_fini, loss_params, G_N_ELEMENTS (loss_params), &loss_ops);
