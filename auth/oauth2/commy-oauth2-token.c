/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * This node's own token, by the client credentials grant (RFC 6749, 4.4): fetched when it is needed
 * first, and then, as long as it is used, again before it ends. It is kept in memory only.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/oauth2/commy-oauth2.h"

#include <gio/gio.h>
#include <string.h>

struct _Oauth2Token
{
  Oauth2Provider *provider;
  const char *scope;
  const char *resource;
  Oauth2Flight *flight;
  CommyHttpExchange *exchange;
  Oauth2Wait wait; /* for the issuer */
  guint timer;     /* to fetch again */
  char *text;      /* or NULL */
  gint64 ends_ns;  /* from then on it is not shown */
  gint64 from_s;   /* since 1970 */
  gint64 until_s;
  gboolean is_due;   /* who needs it next has it fetched anew, and does not wait for that */
  gboolean was_used; /* by others than those for whom it was fetched */
};

static gint64
now_ns (Oauth2Token *self)
{
  return self->provider->host->now_ns (self->provider->host);
}

static void
drop (Oauth2Token *self)
{
  commy_credential_free (self->text);
  self->text = NULL;
}

/* Where nobody used it, who needs one next has it fetched: a connection that is replaced because
 * its token ends is to get a younger one, if not now then the next time. */
static void
on_time (gpointer user_data)
{
  Oauth2Token *self = user_data;

  self->timer = 0;
  if (self->was_used)
    oauth2_flight_begin (self->flight);
  else
    self->is_due = TRUE;
}

static void
plan (Oauth2Token *self, gint64 delay_ns)
{
  CommyHost *host = self->provider->host;

  if (self->timer != 0)
    host->remove (host, self->timer);
  self->timer = host->add_timer (host, MAX (delay_ns, 0), on_time, self);
}

/* --- fetching --- */

static void
fail (Oauth2Token *self, const char *why)
{
  CommyHost *host = self->provider->host;
  g_autofree char *line = g_strdup_printf ("no token of %s: %s", self->provider->issuer, why);

  oauth2_flight_land (self->flight, line);
  if (self->text == NULL || now_ns (self) >= self->ends_ns)
    return;
  host->log (host, G_LOG_LEVEL_WARNING, line); /* else who waits for it says so */
  plan (self, oauth2_flight_get_backoff_ns (self->flight) - now_ns (self));
}

/* It is fetched anew at three quarters of its life, and shown until a tenth, or half a minute,
 * before its end: it must hold while it is on its way. */
static void
take (Oauth2Token *self, char *text, gint64 life_s)
{
  gint64 life_ns = life_s * OAUTH2_SECOND;

  drop (self);
  self->text = text;
  self->ends_ns = now_ns (self) + life_ns - MIN (life_ns / 10, 30 * OAUTH2_SECOND);
  self->from_s = g_get_real_time () / G_USEC_PER_SEC;
  self->until_s = self->from_s + life_s;
  self->was_used = self->is_due = FALSE;
  plan (self, life_ns / 4 * 3);
  oauth2_flight_land (self->flight, NULL);
}

static void
on_answer (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  Oauth2Token *self = user_data;
  const char *why = error != NULL ? error->message : NULL;
  g_autofree char *sentence = NULL;
  char *token = NULL;
  gint64 life_s = 0;

  self->exchange = NULL;
  if (why == NULL && reply->status != 200)
    {
      g_autofree char *word = oauth2_error_parse (reply->data, reply->size);

      why = sentence = g_strdup_printf ("status %u %s", reply->status, word);
    }
  if (why == NULL)
    why = oauth2_token_parse (reply->data, reply->size, &token, &life_s);
  if (why != NULL)
    fail (self, why);
  else
    take (self, token, life_s);
}

static void
append_field (GString *form, const char *name, const char *value)
{
  if (*value == '\0')
    return;
  g_string_append_printf (form, "&%s=", name);
  g_string_append_uri_escaped (form, value, NULL, FALSE);
}

static void
on_provider (gpointer user_data, const char *why)
{
  Oauth2Token *self = user_data;
  g_autoptr (GString) form = g_string_new ("grant_type=client_credentials");
  g_autoptr (GError) error = NULL;

  if (why == NULL && self->provider->metadata.token_endpoint == NULL)
    why = "its discovery document has no token_endpoint";
  if (why != NULL)
    {
      fail (self, why);
      return;
    }
  append_field (form, "scope", self->scope);
  append_field (form, "resource", self->resource);
  self->exchange = oauth2_provider_post (self->provider, self->provider->metadata.token_endpoint,
                                         form->str, on_answer, self, &error);
  if (self->exchange == NULL)
    fail (self, error->message);
}

static void
fetch (gpointer data)
{
  Oauth2Token *self = data;

  oauth2_provider_await (self->provider, &self->wait, on_provider, self);
}

/* --- for who needs it --- */

Oauth2Token *
oauth2_token_new (Oauth2Provider *provider, const char *scope, const char *resource)
{
  Oauth2Token *self = g_new0 (Oauth2Token, 1);

  self->provider = provider;
  self->scope = scope;
  self->resource = resource;
  self->flight = oauth2_flight_new (provider->host, fetch, self);
  return self;
}

void
oauth2_token_free (Oauth2Token *self)
{
  if (self == NULL)
    return;
  if (self->timer != 0)
    self->provider->host->remove (self->provider->host, self->timer);
  oauth2_wait_cancel (&self->wait);
  commy_http_cancel (self->exchange);
  oauth2_flight_free (self->flight);
  drop (self);
  g_free (self);
}

const char *
oauth2_token_get (Oauth2Token *self)
{
  return self->text != NULL && now_ns (self) < self->ends_ns ? self->text : NULL;
}

void
oauth2_token_get_times (Oauth2Token *self, gint64 *out_from_s, gint64 *out_until_s)
{
  *out_from_s = self->from_s;
  *out_until_s = self->until_s;
}

void
oauth2_token_await (Oauth2Token *self, Oauth2Wait *wait, Oauth2ReadyFunc done, gpointer user_data)
{
  if (oauth2_token_get (self) == NULL)
    {
      oauth2_flight_join (self->flight, wait, done, user_data);
      return;
    }
  self->was_used = TRUE;
  if (self->is_due)
    oauth2_flight_begin (self->flight);
  self->is_due = FALSE;
  done (user_data, NULL);
}
