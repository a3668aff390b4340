/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The issuer's key set, kept for a while: fetched again when it is used towards the end of its
 * time, and for a key that is not there, but however many tokens name such keys, once a minute.
 */
#include "config.h"

#include "auth/oauth2/commy-oauth2.h"

#include <gio/gio.h>
#include <string.h>

struct _Oauth2Keys
{
  Oauth2Provider *provider;
  guint algorithms;
  gint64 max_age_ns;
  void (*on_change) (gpointer data);
  gpointer data;
  Oauth2Flight *flight;
  CommyHttpExchange *exchange;
  Oauth2Wait wait; /* for the issuer */
  JwtKeys *keys;   /* or NULL */
  guint n_fetched;
  gint64 fetched_ns;
  gint64 begun_ns; /* the last fetch, whatever came of it */
};

static gint64
now_ns (Oauth2Keys *self)
{
  return self->provider->host->now_ns (self->provider->host);
}

static void
fail (Oauth2Keys *self, const char *why)
{
  CommyHost *host = self->provider->host;
  g_autofree char *line = g_strdup_printf ("no keys of %s: %s", self->provider->issuer, why);

  host->log (host, G_LOG_LEVEL_WARNING, line);
  oauth2_flight_land (self->flight, line);
}

static void
on_answer (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  Oauth2Keys *self = user_data;
  const char *why = error != NULL ? error->message : NULL;
  g_autoptr (GError) mistake = NULL;
  g_autofree char *sentence = NULL;
  JwtKeys *keys = NULL;

  self->exchange = NULL;
  if (why == NULL && reply->status != 200)
    why = sentence = g_strdup_printf ("status %u", reply->status);
  if (why == NULL)
    keys = jwt_keys_parse (reply->data, reply->size, self->algorithms, &mistake);
  if (keys != NULL && jwt_keys_has_secret (keys))
    {
      g_clear_pointer (&keys, jwt_keys_free);
      why = "a key (oct) is no public one";
    }
  if (keys == NULL)
    {
      fail (self, why != NULL ? why : mistake->message);
      return;
    }
  g_clear_pointer (&self->keys, jwt_keys_free);
  self->keys = keys;
  self->n_fetched++;
  self->fetched_ns = now_ns (self);
  self->on_change (self->data);
  oauth2_flight_land (self->flight, NULL);
}

static void
on_provider (gpointer user_data, const char *why)
{
  Oauth2Keys *self = user_data;
  Oauth2Request request = { .url = self->provider->metadata.jwks_uri,
                            .max = JWT_KEYS_TEXT_MAX,
                            .done = on_answer,
                            .user_data = self };

  if (why == NULL && request.url == NULL)
    why = "its discovery document has no jwks_uri";
  if (why != NULL)
    fail (self, why);
  else
    self->exchange = oauth2_http_send (self->provider->http, &request);
}

static void
fetch (gpointer data)
{
  Oauth2Keys *self = data;

  self->begun_ns = now_ns (self);
  oauth2_provider_await (self->provider, &self->wait, on_provider, self);
}

Oauth2Keys *
oauth2_keys_new (Oauth2Provider *provider,
                 guint algorithms,
                 gint64 max_age_ns,
                 void (*on_change) (gpointer data),
                 gpointer data)
{
  Oauth2Keys *self = g_new0 (Oauth2Keys, 1);

  self->provider = provider;
  self->algorithms = algorithms;
  self->max_age_ns = max_age_ns;
  self->on_change = on_change;
  self->data = data;
  self->flight = oauth2_flight_new (provider->host, fetch, self);
  return self;
}

void
oauth2_keys_free (Oauth2Keys *self)
{
  if (self == NULL)
    return;
  oauth2_wait_cancel (&self->wait);
  commy_http_cancel (self->exchange);
  oauth2_flight_free (self->flight);
  g_clear_pointer (&self->keys, jwt_keys_free);
  g_free (self);
}

JwtKeys *
oauth2_keys_get (Oauth2Keys *self)
{
  return self->keys != NULL && now_ns (self) - self->fetched_ns < self->max_age_ns ? self->keys
                                                                                   : NULL;
}

guint
oauth2_keys_get_n_fetched (const Oauth2Keys *self)
{
  return self->n_fetched;
}

void
oauth2_keys_await (Oauth2Keys *self, Oauth2Wait *wait, Oauth2ReadyFunc done, gpointer user_data)
{
  if (oauth2_keys_get (self) == NULL)
    {
      oauth2_flight_join (self->flight, wait, done, user_data);
      return;
    }
  if (now_ns (self) - self->fetched_ns > self->max_age_ns / 4 * 3)
    oauth2_flight_begin (self->flight); /* those that are there go on meanwhile */
  done (user_data, NULL);
}

gboolean
oauth2_keys_reload (Oauth2Keys *self, Oauth2Wait *wait, Oauth2ReadyFunc done, gpointer user_data)
{
  gboolean is_under_way = self->exchange != NULL || self->wait.flight != NULL;

  if (!is_under_way && now_ns (self) - self->begun_ns < OAUTH2_RELOAD_NS)
    return FALSE;
  oauth2_flight_join (self->flight, wait, done, user_data);
  return TRUE;
}
