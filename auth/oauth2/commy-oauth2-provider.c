/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The issuer: where it is to be asked for what, as it says itself, and looked up again after a day.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/oauth2/commy-oauth2.h"

#include <gio/gio.h>
#include <string.h>

#define DISCOVERY "/.well-known/openid-configuration"
#define LOOK_AGAIN_NS (86400 * OAUTH2_SECOND)
#define SECRET_MAX 4096u

static void
on_discovered (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  Oauth2Provider *self = user_data;
  const char *why = error != NULL ? error->message : NULL;
  g_autofree char *sentence = NULL;
  Oauth2Metadata metadata;

  self->exchange = NULL;
  if (why == NULL && reply->status != 200)
    why = sentence = g_strdup_printf ("status %u", reply->status);
  if (why == NULL)
    why = oauth2_metadata_parse (reply->data, reply->size, self->issuer, self->allows_loopback,
                                 &metadata);
  if (why == NULL)
    {
      oauth2_metadata_clear (&self->metadata);
      self->metadata = metadata;
      self->has_metadata = TRUE;
      self->looked_ns = self->host->now_ns (self->host);
      oauth2_flight_land (self->flight, NULL);
    }
  else
    {
      g_autofree char *all = g_strdup_printf ("%s" DISCOVERY ": %s", self->issuer, why);

      oauth2_flight_land (self->flight, all);
    }
}

static void
discover (gpointer data)
{
  Oauth2Provider *self = data;
  g_autofree char *base = g_strdup (self->issuer);
  g_autofree char *url = NULL;
  Oauth2Request request = { .max = OAUTH2_ANSWER_MAX, .done = on_discovered, .user_data = self };

  if (g_str_has_suffix (base, "/"))
    base[strlen (base) - 1] = '\0';
  url = g_strconcat (base, DISCOVERY, NULL);
  request.url = url;
  self->exchange = oauth2_http_send (self->http, &request);
}

void
oauth2_provider_init (Oauth2Provider *self)
{
  self->flight = oauth2_flight_new (self->host, discover, self);
}

void
oauth2_provider_clear (Oauth2Provider *self)
{
  g_clear_pointer (&self->exchange, commy_http_cancel);
  g_clear_pointer (&self->flight, oauth2_flight_free);
  oauth2_metadata_clear (&self->metadata);
}

void
oauth2_provider_await (Oauth2Provider *self,
                       Oauth2Wait *wait,
                       Oauth2ReadyFunc done,
                       gpointer user_data)
{
  if (!self->has_metadata)
    {
      oauth2_flight_join (self->flight, wait, done, user_data);
      return;
    }
  if (self->host->now_ns (self->host) - self->looked_ns > LOOK_AGAIN_NS)
    oauth2_flight_begin (self->flight); /* what is known goes on meanwhile */
  done (user_data, NULL);
}

CommyHttpExchange *
oauth2_provider_post (Oauth2Provider *self,
                      const char *url,
                      const char *form,
                      CommyHttpReplyFunc done,
                      gpointer user_data,
                      GError **error)
{
  char *secret = commy_credential_get (self->client_secret, SECRET_MAX, error);
  Oauth2Request request = { .url = url,
                            .form = form,
                            .id = self->client_id,
                            .secret = secret,
                            .max = OAUTH2_ANSWER_MAX,
                            .done = done,
                            .user_data = user_data };
  CommyHttpExchange *exchange = secret != NULL ? oauth2_http_send (self->http, &request) : NULL;

  commy_credential_free (secret);
  return exchange;
}
