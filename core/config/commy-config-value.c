/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks texts against value types, and words the refusals.
 */
#include "config.h"

#include "config/commy-config-value.h"

#include "base/commy-error-private.h"
#include "base/commy-selector.h"
#include "base/commy-semver.h"
#include "base/commy-units.h"
#include "config/commy-config-endpoint.h"

#include <math.h>
#include <string.h>

#define MAX_ID 31u
#define SHA256_DIGITS 64u
#define MAX_SHOWN 80

static const char *const type_names[] = {
  [COMMY_VALUE_BOOL] = "true or false",
  [COMMY_VALUE_INT] = "a whole number",
  [COMMY_VALUE_SIZE] = "a size such as 64KiB or 1MiB",
  [COMMY_VALUE_DURATION] = "a duration such as 50us, 20ms or 2s",
  [COMMY_VALUE_DOUBLE] = "a number such as 1.5",
  [COMMY_VALUE_SHARE] = "a share such as 10% or 0.1",
  [COMMY_VALUE_RATE] = "a rate such as 12GiB/s",
  [COMMY_VALUE_CHOICE] = "one of the choices",
  [COMMY_VALUE_STRING] = "a text",
  [COMMY_VALUE_ID] = "the id of a plugin (lower case letters, digits and '-')",
  [COMMY_VALUE_PLUGIN] = "a plugin written as kind/id",
  [COMMY_VALUE_PATH] = "an absolute path",
  [COMMY_VALUE_GLOB] = "a pattern with '*' and '?'",
  [COMMY_VALUE_PRINCIPAL] = "a pattern with '*' and '?'",
  [COMMY_VALUE_OPERATION] = "a pattern with '*' and '?'",
  [COMMY_VALUE_SHA256] = "64 hexadecimal digits",
  [COMMY_VALUE_ENDPOINT] = "an endpoint",
  [COMMY_VALUE_VERSION] = "a version such as 2.1 or 2.1.0-rc.1",
  [COMMY_VALUE_TAG] = "a word (letters, digits, '_', '.', '/' and '-', at most 63)",
  [COMMY_VALUE_PAIR] = "a pair such as rack:7",
};

const char *
commy_value_kind_name (guint kind)
{
  static const char *const names[] = {
    [COMMY_PLUGIN_TRANSPORT] = "transport", [COMMY_PLUGIN_SERIALIZER] = "serializer",
    [COMMY_PLUGIN_AUTH] = "auth",           [COMMY_PLUGIN_BALANCER] = "balancer",
    [COMMY_PLUGIN_STORE] = "store",         [COMMY_PLUGIN_POLICY] = "policy",
  };

  return kind < G_N_ELEMENTS (names) ? names[kind] : NULL;
}

static gboolean
is_id (const char *text)
{
  gsize length = strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789-");

  return length > 0 && length <= MAX_ID && text[length] == '\0';
}

static gboolean
is_pair (const char *text)
{
  const char *colon = strchr (text, ':');
  g_autofree char *key = colon != NULL ? g_strndup (text, (gsize) (colon - text)) : NULL;

  return key != NULL && commy_metadata_is_valid (key, colon + 1);
}

gboolean
commy_value_is_plugin (const char *text)
{
  for (guint kind = COMMY_PLUGIN_TRANSPORT; kind <= COMMY_PLUGIN_POLICY; kind++)
    {
      const char *name = commy_value_kind_name (kind);
      gsize length = strlen (name);

      if (strncmp (text, name, length) == 0 && text[length] == '/')
        return is_id (text + length + 1);
    }
  return FALSE;
}

static gboolean
parse_double (const char *text, double *out)
{
  char *end = NULL;
  double value;

  if (strspn (text, "0123456789.-") != strlen (text) || *text == '\0')
    return FALSE;
  value = g_ascii_strtod (text, &end);
  if (*end != '\0' || !isfinite (value))
    return FALSE;
  *out = value;
  return TRUE;
}

static gboolean
is_choice (const char *text, const char *choices)
{
  g_auto (GStrv) all = g_strsplit (choices, ";", -1);

  return *text != '\0' && g_strv_contains ((const char *const *) all, text);
}

static gboolean
parse_whole (CommyValueType type, const char *text, gint64 *out)
{
  guint64 bytes;

  if (type == COMMY_VALUE_DURATION)
    return commy_parse_duration (text, out);
  if (type == COMMY_VALUE_INT)
    return g_ascii_string_to_signed (text, 10, G_MININT64, G_MAXINT64, out, NULL);
  if (!commy_parse_size (text, &bytes) || bytes > G_MAXINT64)
    return FALSE;
  *out = (gint64) bytes;
  return TRUE;
}

static gboolean
parse_real (CommyValueType type, const char *text, double *out)
{
  if (type == COMMY_VALUE_SHARE)
    return commy_parse_share (text, out);
  if (type == COMMY_VALUE_RATE)
    return commy_parse_rate (text, out);
  return parse_double (text, out);
}

static gboolean
is_whole (CommyValueType type)
{
  return type == COMMY_VALUE_INT || type == COMMY_VALUE_SIZE || type == COMMY_VALUE_DURATION;
}

static gboolean
is_real (CommyValueType type)
{
  return type == COMMY_VALUE_DOUBLE || type == COMMY_VALUE_SHARE || type == COMMY_VALUE_RATE;
}

static char *
format_whole (CommyValueType type, gint64 value)
{
  if (type == COMMY_VALUE_SIZE && value >= 0)
    return commy_format_size ((guint64) value);
  if (type == COMMY_VALUE_DURATION)
    return commy_format_duration ((double) value);
  return g_strdup_printf ("%" G_GINT64_FORMAT, value);
}

static char *
format_real (double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  return g_strdup (g_ascii_formatd (text, sizeof text, "%g", value));
}

static gboolean
check_range (const CommyValueSpec *spec, const char *text, char **out_why)
{
  g_autofree char *low = NULL;
  g_autofree char *high = NULL;

  if (is_whole (spec->type))
    {
      gint64 value = commy_value_get_whole (spec, text);

      if ((spec->minimum == 0 && spec->maximum == 0)
          || (value >= spec->minimum && value <= spec->maximum))
        return TRUE;
      low = format_whole (spec->type, spec->minimum);
      high = format_whole (spec->type, spec->maximum);
    }
  else
    {
      double value = commy_value_get_real (spec, text);

      if (!(spec->real_maximum > spec->real_minimum)
          || (value >= spec->real_minimum && value <= spec->real_maximum))
        return TRUE;
      low = format_real (spec->real_minimum);
      high = format_real (spec->real_maximum);
    }
  *out_why = g_strdup_printf ("%s is out of range, allowed is %s to %s", text, low, high);
  return FALSE;
}

static gboolean
has_type (const CommyValueSpec *spec, const char *text)
{
  gint64 whole;
  double real;

  switch (spec->type)
    {
    case COMMY_VALUE_BOOL:
      return g_str_equal (text, "true") || g_str_equal (text, "false");
    case COMMY_VALUE_INT:
    case COMMY_VALUE_SIZE:
    case COMMY_VALUE_DURATION:
      return parse_whole (spec->type, text, &whole);
    case COMMY_VALUE_DOUBLE:
    case COMMY_VALUE_SHARE:
    case COMMY_VALUE_RATE:
      return parse_real (spec->type, text, &real);
    case COMMY_VALUE_CHOICE:
      return is_choice (text, spec->choices);
    case COMMY_VALUE_ID:
      return *text == '\0' || is_id (text);
    case COMMY_VALUE_PLUGIN:
      return commy_value_is_plugin (text);
    case COMMY_VALUE_PATH:
      return *text == '\0' || *text == '/';
    case COMMY_VALUE_GLOB:
    case COMMY_VALUE_PRINCIPAL:
    case COMMY_VALUE_OPERATION:
      return *text != '\0' && strstr (text, " #") == NULL;
    case COMMY_VALUE_SHA256:
      return *text == '\0'
             || (strlen (text) == SHA256_DIGITS
                 && strspn (text, "0123456789abcdefABCDEF") == SHA256_DIGITS);
    case COMMY_VALUE_VERSION:
      return *text == '\0' || commy_semver_is_valid (text);
    case COMMY_VALUE_TAG:
      return (*text == '\0' && !spec->is_list) || commy_tag_is_valid (text);
    case COMMY_VALUE_PAIR:
      return is_pair (text);
    case COMMY_VALUE_STRING:
    default:
      return TRUE;
    }
}

static char *
explain_type (const CommyValueSpec *spec, const char *text)
{
  g_autofree char *shown = g_utf8_substring (text, 0, MIN (g_utf8_strlen (text, -1), MAX_SHOWN));
  const char *hint = strstr (text, " #") != NULL
                         ? " (a comment stands on a line of its own, not after a value)"
                         : "";

  if (spec->type == COMMY_VALUE_CHOICE)
    {
      g_auto (GStrv) all = g_strsplit (spec->choices, ";", -1);
      g_autofree char *suggestion = commy_value_suggest (text, (const char *const *) all);

      return g_strdup_printf ("\"%s\" is no choice%s%s", shown, suggestion, hint);
    }
  return g_strdup_printf ("\"%s\" is not %s%s", shown, type_names[spec->type], hint);
}

static gboolean
check_selector (const char *text, char **out_why)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommySelector) selector = *text != '\0' ? commy_selector_new (text, &error) : NULL;

  if (error != NULL)
    *out_why = g_strdup (commy_error_bare (error));
  return error == NULL;
}

gboolean
commy_value_check (const CommyValueSpec *spec, const char *text, char **out_why)
{
  if (spec->type == COMMY_VALUE_ENDPOINT)
    return commy_config_endpoint_parse (text, NULL, out_why);
  if (spec->type == COMMY_VALUE_SELECTOR)
    return check_selector (text, out_why);
  if (!has_type (spec, text))
    {
      *out_why = explain_type (spec, text);
      return FALSE;
    }
  if (spec->type == COMMY_VALUE_PRINCIPAL)
    return commy_value_check_principal (text, out_why);
  if (spec->type == COMMY_VALUE_OPERATION)
    return commy_value_check_operation (text, out_why);
  if (is_whole (spec->type) || is_real (spec->type))
    return check_range (spec, text, out_why);
  return TRUE;
}

gint64
commy_value_get_whole (const CommyValueSpec *spec, const char *text)
{
  gint64 value = 0;

  return parse_whole (spec->type, text, &value) ? value : 0;
}

double
commy_value_get_real (const CommyValueSpec *spec, const char *text)
{
  double value = 0;

  if (is_whole (spec->type))
    return (double) commy_value_get_whole (spec, text);
  return parse_real (spec->type, text, &value) ? value : 0;
}

char *
commy_value_dup_base (const CommyValueSpec *spec, const char *text)
{
  gint64 value;

  if (is_whole (spec->type) && parse_whole (spec->type, text, &value))
    return g_strdup_printf ("%" G_GINT64_FORMAT, value);
  return g_strdup (text);
}

char *
commy_value_suggest (const char *wrong, const char *const *names)
{
  /* A short word is near to everything, so it must agree in half of its letters. */
  guint limit = (guint) MIN (3, MAX (1, (strlen (wrong) + 1) / 2));
  guint best = limit + 1;
  const char *nearest = NULL;
  g_autofree char *all = NULL;

  for (gsize i = 0; names[i] != NULL; i++)
    {
      guint distance = commy_edit_distance (wrong, names[i], limit);

      if (distance < best)
        {
          best = distance;
          nearest = names[i];
        }
    }
  if (nearest != NULL)
    return g_strdup_printf ("; did you mean \"%s\"?", nearest);
  all = g_strjoinv (", ", (char **) names);
  return g_strconcat ("; known: ", all, NULL);
}
