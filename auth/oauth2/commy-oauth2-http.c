/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What issuers are asked: a document, or a form as this node's client. How: plugins/common/.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/oauth2/commy-oauth2.h"

#include <string.h>

/* RFC 6749, 2.3.1: both are encoded as in forms first. A secret, for commy_credential_free(). */
static char *
write_credentials (const char *id, const char *secret)
{
  g_autofree char *id_part = g_uri_escape_string (id, NULL, FALSE);
  char *secret_part = g_uri_escape_string (secret, NULL, FALSE);
  char *both = g_strconcat (id_part, ":", secret_part, NULL);
  char *encoded = g_base64_encode ((const guchar *) both, strlen (both));
  char *header = g_strconcat ("Basic ", encoded, NULL);
  char *secrets[] = { secret_part, both, encoded };

  for (gsize i = 0; i < G_N_ELEMENTS (secrets); i++)
    commy_credential_free (secrets[i]);
  return header;
}

CommyHttpExchange *
oauth2_http_send (CommyHttp *http, const Oauth2Request *asked)
{
  char *credentials = asked->id != NULL ? write_credentials (asked->id, asked->secret) : NULL;
  g_autoptr (GBytes) form
      = asked->form != NULL ? commy_credential_new_bytes (asked->form, strlen (asked->form)) : NULL;
  const CommyHttpRequest request = { .url = asked->url, /* addresses were checked */
                                     .body = form,
                                     .type = "application/x-www-form-urlencoded",
                                     .authorization = credentials,
                                     .max = asked->max,
                                     .limit_ns = OAUTH2_TIMEOUT_NS,
                                     .done = asked->done,
                                     .user_data = asked->user_data };
  CommyHttpExchange *exchange = commy_http_send (http, &request);

  commy_credential_free (credentials);
  return exchange;
}
