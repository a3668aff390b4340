/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking the issuer about a token (RFC 7662), as this node's own client; so many at a time, and
 * not all of them for one caller.
 */
#include "config.h"

#include "auth/common/commy-shares.h"
#include "auth/oauth2/commy-oauth2.h"

#include <gio/gio.h>
#include <string.h>

#define FORM_BEGIN "token_type_hint=access_token&token="
#define FORM_MAX (sizeof FORM_BEGIN + (gsize) 3 * JWT_TEXT_MAX) /* each byte may be escaped */

struct _Oauth2Introspector
{
  Oauth2Provider *provider;
  const JwtRules *rules;
  CommyShares *shares; /* questions under way */
};

struct _Oauth2Question
{
  Oauth2Introspector *introspector;
  char *who;
  char *token;
  Oauth2VerdictFunc done;
  gpointer user_data;
  Oauth2Wait wait;
  CommyHttpExchange *exchange;
  gboolean is_inside; /* oauth2_introspector_ask() has not come back */
  gboolean is_over;   /* nobody waits any more */
};

Oauth2Introspector *
oauth2_introspector_new (Oauth2Provider *provider, const JwtRules *rules)
{
  Oauth2Introspector *self = g_new0 (Oauth2Introspector, 1);

  self->provider = provider;
  self->rules = rules;
  self->shares = commy_shares_new (OAUTH2_CHECKS_MAX, OAUTH2_CHECKS_EACH);
  return self;
}

void
oauth2_introspector_free (Oauth2Introspector *self)
{
  if (self == NULL)
    return;
  commy_shares_free (self->shares);
  g_free (self);
}

static void
question_free (Oauth2Question *self)
{
  commy_shares_give (self->introspector->shares, self->who);
  g_free (self->who);
  explicit_bzero (self->token, strlen (self->token));
  g_free (self->token);
  g_free (self);
}

static void
answer (Oauth2Question *self, JwtVerdict *verdict, const char *why, gboolean is_unable)
{
  self->done (self->user_data, verdict, why, is_unable);
  self->is_over = TRUE;
  if (!self->is_inside)
    question_free (self);
}

static void
on_answer (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  Oauth2Question *self = user_data;
  gint64 now_s = g_get_real_time () / G_USEC_PER_SEC;
  const char *why = error != NULL ? error->message : NULL;
  g_autofree char *sentence = NULL;
  JwtVerdict verdict = { NULL };
  /* A token that has the issuer say "bad request" is the caller's. */
  gboolean is_unable = why != NULL || (reply->status != 200 && reply->status != 400);

  self->exchange = NULL;
  if (why == NULL && reply->status != 200)
    {
      g_autofree char *word = oauth2_error_parse (reply->data, reply->size);

      why = sentence = g_strdup_printf ("the issuer gave no answer about it: status %u %s",
                                        reply->status, word);
    }
  if (why == NULL)
    why = oauth2_introspection_parse (reply->data, reply->size, self->introspector->rules, now_s,
                                      &verdict);
  if (why != NULL && strcmp (why, OAUTH2_NO_ANSWER) == 0)
    is_unable = TRUE;
  answer (self, why == NULL ? &verdict : NULL, why, is_unable);
  jwt_verdict_clear (&verdict);
}

static void
on_provider (gpointer user_data, const char *why)
{
  Oauth2Question *self = user_data;
  Oauth2Provider *provider = self->introspector->provider;
  g_autoptr (GString) form = g_string_sized_new (FORM_MAX); /* does not grow and leave copies */
  g_autoptr (GError) error = NULL;

  if (why == NULL && provider->metadata.introspection_endpoint == NULL)
    why = "the issuer's discovery document has no introspection_endpoint";
  if (why == NULL)
    {
      g_string_append (form, FORM_BEGIN);
      g_string_append_uri_escaped (form, self->token, NULL, FALSE);
      self->exchange = oauth2_provider_post (provider, provider->metadata.introspection_endpoint,
                                             form->str, on_answer, self, &error);
      explicit_bzero (form->str, form->len);
      if (self->exchange != NULL)
        return;
      why = error->message;
    }
  answer (self, NULL, why, TRUE);
}

Oauth2Question *
oauth2_introspector_ask (Oauth2Introspector *self,
                         const char *who,
                         const char *token,
                         gsize size,
                         Oauth2VerdictFunc done,
                         gpointer user_data)
{
  Oauth2Question *question;

  if (!commy_shares_take (self->shares, who))
    {
      done (user_data, NULL, "too many checks are under way", TRUE);
      return NULL;
    }
  question = g_new0 (Oauth2Question, 1);
  question->introspector = self;
  question->who = g_strdup (who);
  question->token = g_strndup (token, size);
  question->done = done;
  question->user_data = user_data;
  question->is_inside = TRUE;
  oauth2_provider_await (self->provider, &question->wait, on_provider, question);
  question->is_inside = FALSE;
  if (!question->is_over)
    return question;
  question_free (question);
  return NULL;
}

void
oauth2_question_cancel (Oauth2Question *self)
{
  if (self == NULL)
    return;
  oauth2_wait_cancel (&self->wait);
  commy_http_cancel (self->exchange);
  question_free (self);
}
