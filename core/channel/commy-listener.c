/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The accepting side of a transport: which set-ups are under way, how many may be, and how much the
 * log hears of those that are refused.
 */
#include "config.h"

#include "base/commy-refusals.h"
#include "channel/commy-audit-events.h"
#include "channel/commy-setup-private.h"

#include <stdlib.h>
#include <unistd.h>

struct _CommyListener
{
  CommySetupShared *shared;
  CommyPlugin *transport;
  CommyAcceptor acceptor;
  gpointer memory;
  GHashTable *setups; /* connection -> CommySetup */
  CommyRefusals refusals;
};

gboolean
commy_listener_tells (CommyListener *listener, int code)
{
  gboolean is_busy = code == COMMY_ERROR_BUSY;
  gint64 now_ns = commy_env_now (listener->shared->channel->env);
  guint untold = 0;
  gboolean told = commy_refusals_add (&listener->refusals, is_busy, now_ns, &untold);

  if (is_busy)
    g_atomic_int_inc (&listener->shared->turned_away);
  if (untold > 0)
    g_message ("refused %u more peers on %s, of which nothing was told", untold,
               listener->transport->note.id);
  return told;
}

void
commy_listener_forget (CommyListener *listener, gpointer connection)
{
  g_hash_table_remove (listener->setups, connection);
}

static gpointer
begin (CommyListener *self, const char *who, gboolean is_own)
{
  CommySeat *seat = commy_quota_take (self->shared->handshakes, who, is_own);
  CommySetup *setup;

  if (seat == NULL)
    {
      if (commy_listener_tells (self, COMMY_ERROR_BUSY))
        g_message ("%s: %u set-ups are under way, the next one of %s is dropped (limit "
                   "\"handshakes\")",
                   self->transport->note.id, commy_quota_get_used (self->shared->handshakes), who);
      commy_audit_turned_away (self->shared, self->transport->note.id, who);
      return NULL;
    }
  setup = commy_setup_new (self->shared, self, self->transport);
  setup->seat = seat;
  g_hash_table_insert (self->setups, setup->connection, setup);
  return setup->connection;
}

/* Nobody knows yet who it is: all of them share what one user may have. */
static gpointer
listener_alloc (gpointer user_data)
{
  CommyListener *self = user_data;

  return begin (self, self->transport->note.id, FALSE);
}

static gpointer
listener_alloc_for_user (gpointer user_data, guint32 uid)
{
  char who[32];

  g_snprintf (who, sizeof who, "user %u", uid);
  return begin (user_data, who, uid == geteuid ());
}

static void
listener_opened (gpointer user_data, gpointer connection, const GError *cause)
{
  CommyListener *self = user_data;
  CommySetup *setup = g_hash_table_lookup (self->setups, connection);

  g_return_if_fail (setup != NULL);
  if (cause == NULL)
    {
      commy_setup_on_open (setup);
      return;
    }
  g_hash_table_remove (self->setups, connection);
  g_clear_pointer (&setup->connection, free);
  commy_setup_fail (setup, cause, FALSE);
}

CommyListener *
commy_listener_new (CommySetupShared *shared, CommyPlugin *transport, GError **error)
{
  CommyListener *self = g_new0 (CommyListener, 1);
  const CommyTransportOps *ops = &transport->ops.transport;

  self->shared = shared;
  self->transport = transport;
  self->memory = commy_setup_alloc (ops->listener_size);
  self->setups = g_hash_table_new (NULL, NULL);
  self->acceptor = (CommyAcceptor){ .struct_size = sizeof (CommyAcceptor),
                                    .alloc = listener_alloc,
                                    .opened = listener_opened,
                                    .user_data = self,
                                    .alloc_for_user = listener_alloc_for_user };
  if (!ops->listen (transport->instance, self->memory, &self->acceptor, error))
    {
      g_clear_pointer (&self->memory, free);
      commy_listener_free (self);
      return NULL;
    }
  return self;
}

const char *
commy_listener_get_address (CommyListener *listener)
{
  return listener->transport->ops.transport.address (listener->transport->instance,
                                                     listener->memory);
}

const char *
commy_listener_get_transport (CommyListener *listener)
{
  return listener->transport->note.id;
}

void
commy_listener_free (CommyListener *self)
{
  GHashTableIter iter;
  gpointer setup;

  if (self == NULL)
    return;
  g_hash_table_iter_init (&iter, self->setups);
  while (g_hash_table_iter_next (&iter, NULL, &setup))
    {
      g_hash_table_iter_steal (&iter);
      ((CommySetup *) setup)->listener = NULL;
      commy_setup_free (setup);
    }
  if (self->memory != NULL)
    {
      self->transport->ops.transport.unlisten (self->transport->instance, self->memory);
      free (self->memory);
    }
  g_hash_table_unref (self->setups);
  g_free (self);
}
