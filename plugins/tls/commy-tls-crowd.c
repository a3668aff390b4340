/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Those who knock: how many handshakes are under way, for whom, and who gives way when there are
 * too many. Nobody knows yet who belongs here, so what counts is what can be seen: a peer of the
 * mesh speaks at once and is done in a moment, and no address needs many at a time.
 *
 * Who has spoken is answered in turns, one address after the other, a few at a time, because an
 * answer costs a public-key operation.
 *
 * Those who said nothing go first, then those who had a fair time, then, between addresses, those
 * of the one that has the most; of equals the oldest. If nobody is left to go, the newcomer is.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <string.h>

#define FAIR_TIME_NS (100 * TLS_MS)
#define ANSWERS_A_TURN 4

/* An address, and how many it has here. */
struct _TlsSource
{
  char *name;
  guint n;
  guint64 served; /* its last turn */
};

typedef enum
{
  CLASS_SILENT,
  CLASS_SLOW,
  CLASS_YOUNG,
} Class;

static void
source_free (gpointer data)
{
  TlsSource *source = data;

  g_free (source->name);
  g_free (source);
}

void
tls_crowd_init (TlsCrowd *self, CommyHost *host)
{
  self->host = host;
  self->sources = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, source_free);
}

void
tls_crowd_deinit (TlsCrowd *self)
{
  if (self->turn != 0)
    self->host->remove (self->host, self->turn);
  g_clear_pointer (&self->sources, g_hash_table_unref);
}

void
tls_crowd_add (TlsCrowd *self, TlsConnection *connection, const char *name)
{
  TlsSource *source = g_hash_table_lookup (self->sources, name);

  if (source == NULL)
    {
      source = g_new0 (TlsSource, 1);
      source->name = g_strdup (name);
      source->served = self->n_turns; /* who comes anew each time does not go before all */
      g_hash_table_insert (self->sources, source->name, source);
    }
  source->n++;
  connection->source = source;
  connection->older = self->newest;
  if (self->newest != NULL)
    self->newest->newer = connection;
  else
    self->oldest = connection;
  self->newest = connection;
  self->n++;
}

void
tls_crowd_remove (TlsCrowd *self, TlsConnection *connection)
{
  if (connection->source == NULL)
    return;
  if (connection->older != NULL)
    connection->older->newer = connection->newer;
  else
    self->oldest = connection->newer;
  if (connection->newer != NULL)
    connection->newer->older = connection->older;
  else
    self->newest = connection->older;
  connection->older = connection->newer = NULL;
  self->n_ready -= connection->ready ? 1 : 0;
  connection->ready = FALSE;
  self->n--;
  if (--connection->source->n == 0)
    g_hash_table_remove (self->sources, connection->source->name);
  connection->source = NULL;
}

/* --- who is answered --- */

/* The oldest of the address that waits longest for another turn. */
static TlsConnection *
find_next (const TlsCrowd *self)
{
  TlsConnection *next = NULL;

  for (TlsConnection *one = self->oldest; one != NULL; one = one->newer)
    if (one->ready && (next == NULL || one->source->served < next->source->served))
      next = one;
  return next;
}

static void
on_turn (gpointer user_data)
{
  TlsCrowd *self = user_data;

  self->turn = 0;
  for (guint i = 0; i < ANSWERS_A_TURN && self->n_ready > 0; i++)
    {
      TlsConnection *next = find_next (self);

      next->ready = FALSE;
      self->n_ready--;
      next->source->served = ++self->n_turns;
      tls_handshake_begin (next);
    }
  if (self->n_ready > 0)
    self->turn = self->host->add_timer (self->host, 0, on_turn, self);
}

void
tls_crowd_enqueue (TlsCrowd *self, TlsConnection *connection)
{
  self->host->remove (self->host, connection->watch);
  connection->watch = 0;
  connection->ready = connection->heard = TRUE;
  self->n_ready++;
  if (self->turn == 0)
    self->turn = self->host->add_timer (self->host, 0, on_turn, self);
}

/* --- who gives way --- */

static Class
classify (const TlsConnection *connection, gint64 now_ns)
{
  if (!connection->answered && !connection->heard)
    return CLASS_SILENT;
  return now_ns - connection->since_ns >= FAIR_TIME_NS ? CLASS_SLOW : CLASS_YOUNG;
}

/* @only: of this source, or NULL: of any; @newcomer: how many the newcomer's address has. */
static TlsConnection *
find_first (const TlsCrowd *self, const TlsSource *only, guint newcomer, gint64 now_ns)
{
  TlsConnection *first = NULL;
  Class first_class = CLASS_YOUNG;

  for (TlsConnection *one = self->oldest; one != NULL; one = one->newer)
    {
      Class class = classify (one, now_ns);

      if ((only != NULL && one->source != only)
          || (class == CLASS_YOUNG && (only != NULL || one->source->n <= newcomer + 1)))
        continue;
      if (first == NULL || class < first_class
          || (class == first_class && one->source->n > first->source->n))
        {
          first = one;
          first_class = class;
        }
    }
  return first;
}

/* Each turn finds one, or notes of another that it has spoken. */
static TlsConnection *
find_victim (const TlsCrowd *self, const TlsSource *only, guint newcomer, gint64 now_ns)
{
  TlsConnection *first;

  while ((first = find_first (self, only, newcomer, now_ns)) != NULL)
    {
      if (classify (first, now_ns) != CLASS_SILENT || !tls_handshake_has_hello (first))
        return first;
      first->heard = TRUE;
    }
  return NULL;
}

static gboolean
give_way (TlsConnection *victim)
{
  TlsInstance *instance;
  GError *error = NULL;

  if (victim == NULL)
    return FALSE;
  instance = victim->instance;
  /* Without an address: what is told of a flood is one text, of which a trail keeps the count. */
  g_set_error (&error, TLS_ERROR, COMMY_ERROR_BUSY,
               "a handshake gave way to a newcomer's: there may be %u at a time, of one address %u "
               "(param.handshakes, param.handshakes-per-address of transport/tls)",
               instance->handshakes, instance->handshakes_per_address);
  tls_connection_settle (victim, error);
  return TRUE;
}

gboolean
tls_crowd_make_room (TlsCrowd *self, const TlsInstance *instance, const char *name)
{
  const TlsSource *own = g_hash_table_lookup (self->sources, name);
  gint64 now_ns = instance->host->now_ns (instance->host);

  if (own != NULL && own->n >= instance->handshakes_per_address)
    return give_way (find_victim (self, own, own->n, now_ns));
  return self->n < instance->handshakes || tls_crowd_shrink (self, instance, name);
}

gboolean
tls_crowd_shrink (TlsCrowd *self, const TlsInstance *instance, const char *name)
{
  const TlsSource *own = g_hash_table_lookup (self->sources, name);

  return give_way (
      find_victim (self, NULL, own != NULL ? own->n : 0, instance->host->now_ns (instance->host)));
}
