/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hook `reorder`: a message waits until the next one has passed it. Nothing is lost: what waits
 * leaves as soon as the sender has nothing else to do, so a message alone is only a little late.
 */
#include "config.h"

#include "../common/commy-chance.h"

#include <string.h>

#define ROUNDS 16

typedef struct
{
  CommyHook hook;
  guint per_million;
} Instance;

typedef struct
{
  CommyHookConnection base;
  guint8 *span;  /* of the reservation */
  gboolean tied; /* to descriptors: it goes as it is */
  guint8 *held;  /* the message that waits, or NULL */
  gsize held_size;
} Connection;

/* Sends what waits; WOULD_BLOCK: there is no room. */
static CommyIo
let_go (Connection *self)
{
  CommySpan span;
  CommyIo io;

  if (self->held == NULL)
    return COMMY_IO_OK;
  io = commy_hook_reserve (self, self->held_size, &span);
  if (io == COMMY_IO_OK)
    {
      memcpy (span.data, self->held, self->held_size);
      io = commy_hook_commit (self, self->held_size);
    }
  if (io == COMMY_IO_WOULD_BLOCK)
    return io;
  g_clear_pointer (&self->held, g_free);
  return io == COMMY_IO_OK ? commy_hook_flush (self) : io;
}

static CommyIo
reorder_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  Connection *self = connection;
  CommyIo io = commy_hook_reserve (connection, size, out_span);

  /* Without room nothing passes the one that waits. */
  if (io == COMMY_IO_WOULD_BLOCK)
    let_go (self);
  self->span = io == COMMY_IO_OK ? out_span->data : NULL;
  self->tied = FALSE;
  return io;
}

static CommyIo
reorder_attach (gpointer connection, const int *fds, gsize n_fds)
{
  ((Connection *) connection)->tied = TRUE;
  return commy_hook_attach (connection, fds, n_fds);
}

static CommyIo
reorder_commit (gpointer connection, gsize used)
{
  Connection *self = connection;
  const Instance *instance = (const Instance *) self->base.hook;
  CommyIo io;

  if (used > 0 && self->held == NULL && !self->tied && self->span != NULL
      && commy_chance_falls (instance->hook.host, instance->per_million))
    {
      self->held = g_memdup2 (self->span, used);
      self->held_size = used;
      return commy_hook_commit (connection, 0);
    }
  io = commy_hook_commit (connection, used);
  if (used > 0 && io == COMMY_IO_OK)
    let_go (self);
  return io;
}

static CommyIo
reorder_peek (gpointer connection, CommyMessage *out_message)
{
  CommyIo io = commy_hook_peek (connection, out_message);

  if (io == COMMY_IO_WOULD_BLOCK)
    let_go (connection);
  return io;
}

/* While something waits for room, room is worth waking for. */
static guint
reorder_arm (gpointer connection, guint interest, guint *out_events)
{
  Connection *self = connection;
  guint met = 0;

  for (guint i = 0; i < ROUNDS; i++)
    {
      guint wanted = interest;

      if (let_go (self) == COMMY_IO_WOULD_BLOCK)
        wanted |= COMMY_INTEREST_WRITE;
      met = commy_hook_arm (connection, wanted, out_events);
      if ((met & interest) != 0 || met == 0)
        return met & interest;
    }
  return interest;
}

static CommyIo
reorder_wait (gpointer connection, const guint32 *kick_word, guint32 kick_seen, gint64 deadline_ns)
{
  let_go (connection);
  return commy_hook_wait (connection, kick_word, kick_seen, deadline_ns);
}

static void
reorder_closed (gpointer connection)
{
  Connection *self = connection;

  let_go (self);
  g_clear_pointer (&self->held, g_free);
}

COMMY_HOOK_OPS (reorder_ops,
                Connection,
                .reserve = reorder_reserve,
                .commit = reorder_commit,
                .sendv = NULL,
                .peek = reorder_peek,
                .arm = reorder_arm,
                .wait = reorder_wait,
                .attach = reorder_attach,
                .unsent = NULL /* what waits here is in nobody's ring */);

static const CommyParamSpec reorder_params[] = {
  COMMY_CHANCE_PARAM ("10000", "How many of a million messages wait until the next one has passed"),
};

static gboolean
reorder_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;

  commy_hook_init (&self->hook, host, &reorder_ops, NULL, reorder_closed);
  self->per_million = commy_chance_param (host);
  return TRUE;
}

static void
reorder_fini (gpointer instance)
{
}

COMMY_CHANCE_NOTE ("reorder", "Hook: lets messages overtake each other");
COMMY_PLUGIN_DEFINE (Instance,
                     reorder_init,
                     NULL,
                     reorder_fini,
                     reorder_params,
                     G_N_ELEMENTS (reorder_params),
                     &reorder_ops);
