/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy engine `opa`: asks an Open Policy Agent by its REST interface, one POST a decision,
 * over HTTPS, a Unix socket, or plain HTTP to this very host where that is allowed.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "plugins/common/commy-http.h"
#include "plugins/common/commy-params.h"
#include "policies/opa/commy-opa-codec.h"

#include <commy/commy-plugin.h>
#include <string.h>

#define MINUTE_NS (60 * G_GINT64_CONSTANT (1000000000)) /* the core gives up before */
#define TOKEN_MAX 4096u

typedef struct
{
  CommyHost *host;
  CommyHttp *http;
  char *url; /* of the document; NULL: there is none */
} Opa;

typedef struct
{
  CommyHttpExchange *exchange;
  CommyPolicyDoneFunc done;
  gpointer user_data;
} Decision;

#define STRING_PARAM(NAME, DEFAULT, HELP)                                             \
  {                                                                                   \
    .struct_size = sizeof (CommyParamSpec), .type = COMMY_PARAM_STRING, .name = NAME, \
    .default_value = DEFAULT, .help = HELP                                            \
  }

static const CommyParamSpec opa_params[] = {
  STRING_PARAM ("url", "", "Where OPA is asked, as https://opa.example.org:8181"),
  STRING_PARAM ("socket", "", "Absolute path of its Unix socket, instead of url"),
  STRING_PARAM ("path", "commy/allow", "The document that decides, below /v1/data/"),
  STRING_PARAM ("token",
                "",
                "The file of a bearer token, as an absolute path, or the name of a credential of "
                "the service manager; empty: none is shown"),
  STRING_PARAM ("ca",
                "",
                "Absolute path of the authorities that vouch for its host (PEM); empty: those of "
                "the system"),
  STRING_PARAM ("certificate", "", "Absolute path of a certificate to show to it (PEM)"),
  STRING_PARAM ("key", "", "And of its key; empty: in the same file"),
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_BOOL,
    .name = "insecure-loopback",
    .default_value = "false",
    .help = "Whether it may be asked by plain HTTP, if it is this very host" },
};

/* --- settings --- */

static const char *
why_not_files (CommyHost *host)
{
  static const char *const files[] = { "socket", "ca", "certificate", "key" };

  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      const char *path = host->param (host, files[i]);

      if (*path != '\0' && !g_path_is_absolute (path))
        return "socket, ca, certificate and key are absolute paths";
    }
  return NULL;
}

/* A path, or NULL: it is fine. */
static const char *
why_not (CommyHost *host, const char *url, const char *path)
{
  const char *why = why_not_files (host);

  if (why == NULL && *url != '\0' && *host->param (host, "socket") != '\0')
    why = "url and socket are two ways to the same: one of them";
  if (why == NULL && *url != '\0')
    why = commy_http_url_why_not (url,
                                  strcmp (host->param (host, "insecure-loopback"), "true") == 0);
  if (why == NULL && strchr (url, '?') != NULL)
    why = "it has a query";
  return why != NULL ? why : opa_path_why_not (path);
}

static gboolean
opa_init (gpointer instance, CommyHost *host, GError **error)
{
  Opa *self = instance;
  g_autofree char *url = g_strdup (host->param (host, "url"));
  const char *socket = host->param (host, "socket");
  const char *path = host->param (host, "path");
  const char *why = why_not (host, url, path);
  const CommyHttpSettings settings = { .ca = host->param (host, "ca"),
                                       .certificate = host->param (host, "certificate"),
                                       .key = host->param (host, "key"),
                                       .socket = socket };

  if (why != NULL)
    return commy_params_refuse (error, "url \"%s\", path \"%s\": %s", url, path, why);
  self->host = host;
  self->http = commy_http_new (host, &settings, error);
  if (self->http == NULL)
    return FALSE;
  if (g_str_has_suffix (url, "/"))
    url[strlen (url) - 1] = '\0';
  if (*url != '\0' || *socket != '\0')
    self->url = g_strconcat (*url != '\0' ? url : "http://localhost", "/v1/data/", path, NULL);
  return TRUE;
}

static void
opa_fini (gpointer instance)
{
  Opa *self = instance;

  g_clear_pointer (&self->http, commy_http_free);
  g_clear_pointer (&self->url, g_free);
}

/* --- deciding --- */

static void
on_reply (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  Decision *decision = user_data;
  CommyPolicyAnswer answer = COMMY_POLICY_UNABLE;
  g_autofree char *reason = NULL;

  if (error != NULL)
    reason = g_strdup (error->message);
  else if (reply->status == 200)
    answer = opa_read (reply->data, reply->size, &reason);
  else
    reason = g_strdup_printf ("status %u", reply->status);
  decision->done (decision->user_data, answer, reason);
}

/* "Bearer ...", a secret. FALSE: there should be one. */
static gboolean
read_token (CommyHost *host, char **out_header, GError **error)
{
  const char *name = host->param (host, "token");
  char *token;

  *out_header = NULL;
  if (*name == '\0')
    return TRUE;
  token = commy_credential_get (name, TOKEN_MAX, error);
  if (token == NULL)
    return FALSE;
  *out_header = g_strconcat ("Bearer ", token, NULL);
  commy_credential_free (token);
  return TRUE;
}

static void
opa_decide (gpointer instance,
            gpointer decision_,
            const CommyPolicyQuery *query,
            CommyPolicyDoneFunc done,
            gpointer user_data)
{
  Opa *self = instance;
  Decision *decision = decision_;
  char *body = opa_write (query);
  g_autoptr (GBytes) bytes = g_bytes_new_take (body, strlen (body));
  g_autoptr (GError) error = NULL;
  char *token = NULL;

  if (self->url == NULL)
    {
      done (user_data, COMMY_POLICY_UNABLE, "param.url of [plugin policy/opa] is empty");
      return;
    }
  if (!read_token (self->host, &token, &error))
    {
      done (user_data, COMMY_POLICY_UNABLE, error->message);
      return;
    }
  decision->done = done;
  decision->user_data = user_data;
  decision->exchange = commy_http_send (self->http, &(CommyHttpRequest){ .url = self->url,
                                                                         .body = bytes,
                                                                         .type = "application/json",
                                                                         .authorization = token,
                                                                         .is_repeatable = TRUE,
                                                                         .max = OPA_ANSWER_MAX,
                                                                         .limit_ns = MINUTE_NS,
                                                                         .done = on_reply,
                                                                         .user_data = decision });
  commy_credential_free (token);
}

static void
opa_cancel (gpointer decision)
{
  commy_http_cancel (((Decision *) decision)->exchange);
}

static const CommyPolicyEngineOps opa_ops = {
  .struct_size = sizeof (CommyPolicyEngineOps),
  .decision_size = sizeof (Decision),
  .decide = opa_decide,
  .cancel = opa_cancel,
};

COMMY_PLUGIN_NOTE (POLICY,
                   "opa",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "an Open Policy Agent, asked over HTTP",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_DERIVED,
                   .security = COMMY_SECURITY_AUTHENTICATED,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .connect_ns = 2000000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (
    Opa, opa_init, NULL, opa_fini, opa_params, G_N_ELEMENTS (opa_params), &opa_ops);
