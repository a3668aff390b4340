/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names and patterns, part by part. "**" only ends a pattern, so nothing is ever tried twice.
 */
#include "config.h"

#include "base/commy-dotted-name.h"

#include <string.h>

static gsize
part_length (const char *text)
{
  return strcspn (text, ".");
}

static gboolean
is_part (const char *part, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (part[i]) && part[i] != '_' && part[i] != '-')
      return FALSE;
  return length > 0;
}

static gboolean
is_star (const char *part, gsize length)
{
  return length == 1 && part[0] == '*';
}

static gboolean
is_rest (const char *part, gsize length)
{
  return length == 2 && part[0] == '*' && part[1] == '*';
}

static gboolean
is_valid (const char *text, gsize most, gboolean wildcards)
{
  if (text == NULL || strnlen (text, most + 1) > most)
    return FALSE;
  for (;;)
    {
      gsize length = part_length (text);
      gboolean rest = wildcards && is_rest (text, length);

      if (!rest && !is_part (text, length) && !(wildcards && is_star (text, length)))
        return FALSE;
      if (text[length] == '\0')
        return TRUE;
      if (rest)
        return FALSE;
      text += length + 1;
    }
}

gboolean
commy_dotted_name_is_valid (const char *name)
{
  return is_valid (name, COMMY_DOTTED_NAME_MAX, FALSE);
}

gboolean
commy_topic_name_is_valid (const char *topic)
{
  return is_valid (topic, COMMY_TOPIC_NAME_MAX, FALSE);
}

gboolean
commy_topic_pattern_is_valid (const char *pattern)
{
  return is_valid (pattern, COMMY_TOPIC_NAME_MAX, TRUE);
}

gboolean
commy_topic_pattern_matches (const char *pattern, const char *topic)
{
  for (;;)
    {
      gsize wanted = part_length (pattern);
      gsize length = part_length (topic);

      if (is_rest (pattern, wanted))
        return TRUE;
      if (!is_star (pattern, wanted) && (wanted != length || memcmp (pattern, topic, length) != 0))
        return FALSE;
      pattern += wanted;
      topic += length;
      if (*topic == '\0')
        return *pattern == '\0' || strcmp (pattern, ".**") == 0;
      if (*pattern == '\0')
        return FALSE;
      pattern++;
      topic++;
    }
}

const char *
commy_topic_of_endpoint (const char *endpoint)
{
  return g_str_has_prefix (endpoint, COMMY_TOPIC_PREFIX) ? endpoint + strlen (COMMY_TOPIC_PREFIX)
                                                         : NULL;
}

gboolean
commy_endpoint_name_is_valid (const char *endpoint)
{
  const char *topic = endpoint != NULL ? commy_topic_of_endpoint (endpoint) : NULL;

  return topic != NULL ? commy_topic_name_is_valid (topic) : commy_dotted_name_is_valid (endpoint);
}
