/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a token says of its subject besides the name, as attributes that rules can look at: its
 * scopes, and those of its claims that were chosen. What cannot be told is a reason to refuse the
 * token: a rule that denies by a claim must not miss it.
 */
#include "config.h"

#include "auth/common/commy-jwt.h"

#include <string.h>

/* Of one attribute, and of all together; another provider of a chain has room beside them. */
#define ATTRIBUTE_MAX 255u
#define CLAIM_NAME_MAX 128u

char **
jwt_claims_parse (const char *names)
{
  g_auto (GStrv) words = g_strsplit (names, " ", -1);
  g_autoptr (GPtrArray) claims = g_ptr_array_new_with_free_func (g_free);

  for (char **word = words; *word != NULL; word++)
    {
      if (**word == '\0')
        continue;
      if (strlen (*word) > CLAIM_NAME_MAX || strpbrk (*word, "=;%*?") != NULL
          || !jwt_is_name (*word) || claims->len >= JWT_CLAIMS_MAX)
        return NULL;
      g_ptr_array_add (claims, g_strdup (*word));
    }
  g_ptr_array_add (claims, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&claims), FALSE);
}

typedef struct
{
  GString *principal;
  guint n;
} Attributes;

static gboolean
end_attribute (Attributes *self, gsize begin)
{
  return ++self->n <= JWT_SCOPES_MAX && self->principal->len - begin <= ATTRIBUTE_MAX;
}

/* One line, without spaces, and nothing that a list in a keyfile would be cut at. */
static void
append_value (GString *to, const char *text)
{
  for (; *text != '\0'; text++)
    if ((guchar) *text <= ' ' || *text == 0x7f || *text == '%' || *text == ';')
      g_string_append_printf (to, "%%%02X", (guint) (guchar) *text);
    else
      g_string_append_c (to, *text);
}

static gboolean
append_one (Attributes *self, const char *name, const JwtJson *value)
{
  gsize begin = self->principal->len + 1;

  g_string_append_printf (self->principal, "\nclaim:%s=", name);
  if (value->type == JWT_JSON_STRING)
    append_value (self->principal, value->text);
  else if (value->type == JWT_JSON_BOOLEAN)
    g_string_append (self->principal, value->integer != 0 ? "true" : "false");
  else if (value->type == JWT_JSON_INTEGER)
    g_string_append_printf (self->principal, "%" G_GINT64_FORMAT, value->integer);
  else
    return FALSE;
  return end_attribute (self, begin);
}

static gboolean
append_claim (Attributes *self, const char *name, const JwtJson *value)
{
  if (value == NULL || value->type == JWT_JSON_NULL)
    return TRUE;
  if (value->type != JWT_JSON_ARRAY)
    return append_one (self, name, value);
  for (guint i = 0; i < value->items->len; i++)
    if (!append_one (self, name, value->items->pdata[i]))
      return FALSE;
  return TRUE;
}

static gboolean
append_scopes (Attributes *self, const JwtJson *claims)
{
  const char *text = jwt_json_get_text (claims, "scope");
  g_auto (GStrv) words = NULL;

  if (!jwt_json_has (claims, "scope"))
    return TRUE;
  if (text == NULL)
    return FALSE;
  words = g_strsplit (text, " ", JWT_SCOPES_MAX + 1);
  if (g_strv_length (words) > JWT_SCOPES_MAX)
    return FALSE;
  for (char **word = words; *word != NULL; word++)
    {
      gsize begin = self->principal->len + 1;

      if (**word == '\0')
        continue;
      if (!jwt_is_name (*word))
        return FALSE;
      g_string_append_printf (self->principal, "\nscope=%s", *word);
      if (!end_attribute (self, begin))
        return FALSE;
    }
  return TRUE;
}

const char *
jwt_append_attributes (GString *principal, const JwtJson *claims, const JwtRules *rules)
{
  Attributes self = { principal, 0 };

  if (!append_scopes (&self, claims))
    return "its scopes are none, or more than 30";
  for (char **name = rules->claims; name != NULL && *name != NULL; name++)
    if (!append_claim (&self, *name, jwt_json_get (claims, *name)))
      return "a claim that rules look at (param.claims) is neither text, a whole number, true, "
             "false, nor a list of these, or too long, or there are more than 30 with the scopes";
  return NULL;
}
