/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hook `cut`: connections that end in the middle, after so many messages or by chance. What was
 * sent before arrives; from then on both directions are over for this side, and for the other one
 * when this side has closed.
 */
#include "config.h"

#include "../common/commy-chance.h"

typedef struct
{
  CommyHook hook;
  guint per_million;
  guint64 after; /* 0: only by chance */
} Instance;

typedef struct
{
  CommyHookConnection base;
  guint64 n_sent;
  gboolean is_cut;
} Connection;

/* Before a message is taken: whether it is the one that finds the line cut. */
static gboolean
is_cut_now (Connection *self)
{
  const Instance *instance = (const Instance *) self->base.hook;

  if (!self->is_cut
      && ((instance->after > 0 && self->n_sent >= instance->after)
          || commy_chance_falls (instance->hook.host, instance->per_million)))
    {
      commy_hook_flush (self); /* what was sent before arrives */
      self->is_cut = TRUE;
    }
  return self->is_cut;
}

static CommyIo
cut_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  return is_cut_now (connection) ? COMMY_IO_CLOSED
                                 : commy_hook_reserve (connection, size, out_span);
}

static CommyIo
cut_commit (gpointer connection, gsize used)
{
  CommyIo io = commy_hook_commit (connection, used);

  ((Connection *) connection)->n_sent += used > 0 && io == COMMY_IO_OK;
  return io;
}

static CommyIo
cut_flush (gpointer connection)
{
  CommyIo io = commy_hook_flush (connection);

  return ((Connection *) connection)->is_cut ? COMMY_IO_CLOSED : io;
}

static CommyIo
cut_peek (gpointer connection, CommyMessage *out_message)
{
  return ((Connection *) connection)->is_cut ? COMMY_IO_CLOSED
                                             : commy_hook_peek (connection, out_message);
}

/* The end is something to see, so nobody sleeps on it. */
static guint
cut_arm (gpointer connection, guint interest, guint *out_events)
{
  guint met = commy_hook_arm (connection, interest, out_events);

  return ((Connection *) connection)->is_cut ? interest : met;
}

static CommyIo
cut_wait (gpointer connection, const guint32 *kick_word, guint32 kick_seen, gint64 deadline_ns)
{
  return ((Connection *) connection)->is_cut
             ? COMMY_IO_CLOSED
             : commy_hook_wait (connection, kick_word, kick_seen, deadline_ns);
}

static const char *
cut_why (gpointer connection)
{
  return ((Connection *) connection)->is_cut ? "the hook cut ended the connection"
                                             : commy_hook_why (connection);
}

COMMY_HOOK_OPS (cut_ops,
                Connection,
                .reserve = cut_reserve,
                .commit = cut_commit,
                .sendv = NULL,
                .flush = cut_flush,
                .peek = cut_peek,
                .arm = cut_arm,
                .wait = cut_wait,
                .why = cut_why);

static const CommyParamSpec cut_params[] = {
  COMMY_CHANCE_PARAM ("100", "How many of a million messages find the connection cut"),
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "after",
    .default_value = "0",
    .maximum = G_MAXINT64,
    .help = "After how many messages each connection is cut; 0: only by chance" },
};

static gboolean
cut_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;

  commy_hook_init (&self->hook, host, &cut_ops, NULL, NULL);
  self->per_million = commy_chance_param (host);
  self->after = g_ascii_strtoull (host->param (host, "after"), NULL, 10);
  return TRUE;
}

static void
cut_fini (gpointer instance)
{
}

COMMY_CHANCE_NOTE ("cut", "Hook: ends connections in the middle");
COMMY_PLUGIN_DEFINE (
    Instance, cut_init, NULL, cut_fini, cut_params, G_N_ELEMENTS (cut_params), &cut_ops);
