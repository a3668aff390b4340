/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data API of OPA (https://www.openpolicyagent.org/docs/rest-api): see the header. A document
 * that is not defined is a denial; what is neither yes nor no is no decision.
 */
#include "config.h"

#include "policies/opa/commy-opa-codec.h"

#include "auth/common/commy-jwt-json.h"

#include <string.h>

#define VALUES_MAX 512u

const char *
opa_path_why_not (const char *path)
{
  gsize size = strlen (path);

  if (size == 0 || size > OPA_PATH_MAX)
    return "it is empty, or longer than 255 bytes";
  if (strspn (path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/") != size)
    return "it has other characters than letters, digits, '_', '-' and '/'";
  if (path[0] == '/' || path[size - 1] == '/' || strstr (path, "//") != NULL)
    return "a part of it is empty; write commy/allow";
  return NULL;
}

/* --- asking --- */

static void
append_text (GString *json, const char *name, const char *text)
{
  g_string_append_printf (json, "%s\"%s\":\"", json->str[json->len - 1] == '{' ? "" : ",", name);
  for (const char *at = text; *at != '\0'; at++)
    if (*at == '"' || *at == '\\')
      g_string_append_printf (json, "\\%c", *at);
    else if ((guchar) *at < 0x20)
      g_string_append_printf (json, "\\u%04x", (guint) *at);
    else
      g_string_append_c (json, *at);
  g_string_append_c (json, '"');
}

static void
append_bool (GString *json, const char *name, gboolean value)
{
  g_string_append_printf (json, ",\"%s\":%s", name, value ? "true" : "false");
}

static const char *
name_of_security (guint32 security)
{
  static const char *const names[] = { [COMMY_SECURITY_NONE] = "none",
                                       [COMMY_SECURITY_KERNEL] = "kernel",
                                       [COMMY_SECURITY_AUTHENTICATED] = "authenticated",
                                       [COMMY_SECURITY_CONFIDENTIAL] = "confidential",
                                       [COMMY_SECURITY_MUTUAL] = "mutual" };

  return security < G_N_ELEMENTS (names) && names[security] != NULL ? names[security] : "none";
}

char *
opa_write (const CommyPolicyQuery *query)
{
  GString *json = g_string_new ("{\"input\":{");

  append_text (json, "principal", query->principal);
  append_bool (json, "own", query->own);
  append_text (json, "verb", query->verb);
  append_text (json, "service", query->service);
  append_text (json, "method", query->method);
  append_text (json, "where", query->where);
  if (query->address != NULL)
    append_text (json, "address", query->address);
  append_text (json, "security", name_of_security (query->security));
  append_bool (json, "confidential",
               strcmp (query->where, "local") == 0
                   || query->security >= COMMY_SECURITY_CONFIDENTIAL);
  g_string_append (json, "}}");
  return g_string_free (json, FALSE);
}

/* --- answers --- */

static CommyPolicyAnswer
say (CommyPolicyAnswer answer, const char *reason, char **out_reason)
{
  *out_reason = g_strdup (reason);
  return answer;
}

static CommyPolicyAnswer
read_result (const JwtJson *result, char **out_reason)
{
  const JwtJson *allow = result->type == JWT_JSON_OBJECT ? jwt_json_get (result, "allow") : result;
  const char *reason
      = result->type == JWT_JSON_OBJECT ? jwt_json_get_text (result, "reason") : NULL;

  if (allow == NULL)
    return say (COMMY_POLICY_DENIED, "its result says nothing of allow", out_reason);
  if (allow->type != JWT_JSON_BOOLEAN)
    return say (COMMY_POLICY_UNABLE, "its result is neither true nor false, and has no such allow",
                out_reason);
  return say (allow->integer != 0 ? COMMY_POLICY_ALLOWED : COMMY_POLICY_DENIED, reason, out_reason);
}

CommyPolicyAnswer
opa_read (const char *text, gsize size, char **out_reason)
{
  g_autoptr (JwtJson) answer
      = size <= OPA_ANSWER_MAX ? jwt_json_parse (text, size, VALUES_MAX) : NULL;
  const JwtJson *result;

  if (answer == NULL || answer->type != JWT_JSON_OBJECT)
    return say (COMMY_POLICY_UNABLE, "its answer is no JSON object, or a very large one",
                out_reason);
  result = jwt_json_get (answer, "result");
  if (result == NULL)
    return say (COMMY_POLICY_DENIED, "nothing is defined at that path", out_reason);
  return read_result (result, out_reason);
}
