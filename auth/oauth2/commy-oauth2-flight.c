/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Something that is fetched once, however many wait for it, and after a failure not again for a
 * while: 1 s, twice as long each time, a minute at most.
 */
#include "config.h"

#include "auth/oauth2/commy-oauth2.h"

#include <string.h>

struct _Oauth2Flight
{
  CommyHost *host;
  void (*start) (gpointer data);
  gpointer data;
  gboolean is_under_way;
  gboolean is_starting; /* `start` has not come back: nobody is told from inside of it */
  GPtrArray *waits;     /* Oauth2Wait */
  GPtrArray *landing;   /* those that are told just now */
  guint failures;       /* in a row */
  gint64 failed_ns;
  char *why; /* the last failure; NULL: none */
};

Oauth2Flight *
oauth2_flight_new (CommyHost *host, void (*start) (gpointer data), gpointer data)
{
  Oauth2Flight *self = g_new0 (Oauth2Flight, 1);

  self->host = host;
  self->start = start;
  self->data = data;
  self->waits = g_ptr_array_new ();
  self->landing = g_ptr_array_new ();
  return self;
}

void
oauth2_flight_free (Oauth2Flight *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->waits);
  g_ptr_array_unref (self->landing);
  g_free (self->why);
  g_free (self);
}

gint64
oauth2_flight_get_backoff_ns (const Oauth2Flight *self)
{
  if (self->failures == 0)
    return 0;
  return self->failed_ns
         + MIN (OAUTH2_SECOND << MIN (self->failures - 1, 6), OAUTH2_BACKOFF_MAX_NS);
}

void
oauth2_flight_begin (Oauth2Flight *self)
{
  if (self->is_under_way || self->host->now_ns (self->host) < oauth2_flight_get_backoff_ns (self))
    return;
  self->is_under_way = self->is_starting = TRUE;
  self->start (self->data);
  self->is_starting = FALSE;
}

void
oauth2_flight_join (Oauth2Flight *self, Oauth2Wait *wait, Oauth2ReadyFunc done, gpointer user_data)
{
  g_autofree char *why = NULL;

  if (self->waits->len >= OAUTH2_WAITS_MAX)
    {
      done (user_data, "too many wait for the issuer already");
      return;
    }
  *wait = (Oauth2Wait){ .flight = self, .done = done, .user_data = user_data };
  g_ptr_array_add (self->waits, wait);
  oauth2_flight_begin (self);
  if (self->is_under_way)
    return;
  /* It has failed a moment ago, or came to an end at once. */
  g_ptr_array_remove (self->waits, wait);
  wait->flight = NULL;
  why = g_strdup (self->why);
  done (user_data, why);
}

void
oauth2_wait_cancel (Oauth2Wait *wait)
{
  if (wait->flight == NULL)
    return;
  g_ptr_array_remove (wait->flight->waits, wait);
  g_ptr_array_remove (wait->flight->landing, wait);
  wait->flight = NULL;
}

/* Each of them may end another one's wait, and begin a new one. */
static void
tell (Oauth2Flight *self, const char *why)
{
  g_autofree char *copy = g_strdup (why);

  g_ptr_array_extend_and_steal (self->landing, g_steal_pointer (&self->waits));
  self->waits = g_ptr_array_new ();
  while (self->landing->len > 0)
    {
      Oauth2Wait *wait = g_ptr_array_remove_index (self->landing, 0);

      wait->flight = NULL;
      wait->done (wait->user_data, copy);
    }
}

void
oauth2_flight_land (Oauth2Flight *self, const char *why)
{
  self->is_under_way = FALSE;
  self->failures = why != NULL ? self->failures + 1 : 0;
  self->failed_ns = self->host->now_ns (self->host);
  g_free (self->why);
  self->why = g_strdup (why);
  if (!self->is_starting)
    tell (self, why);
}
