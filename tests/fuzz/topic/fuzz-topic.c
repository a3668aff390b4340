/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the other side of a topic says: names and patterns, a subscriber's wishes, a publisher's
 * greeting. Matching is compared with a matcher that takes names apart; what was read and is
 * written again must read the same.
 */
#include "config.h"

#include "base/commy-dotted-name.h"
#include "mesh/commy-topic-private.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (gboolean ok)
{
  if (!ok)
    abort ();
}

/* --- names --- */

static gboolean
matches (char **pattern, char **topic)
{
  guint i = 0;

  for (; pattern[i] != NULL && strcmp (pattern[i], "**") != 0; i++)
    if (topic[i] == NULL || (strcmp (pattern[i], "*") != 0 && strcmp (pattern[i], topic[i]) != 0))
      return FALSE;
  return pattern[i] != NULL || topic[i] == NULL;
}

/* A pattern, a line's end, a topic. */
static void
try_names (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", 3);
  g_auto (GStrv) pattern_parts = NULL;
  g_auto (GStrv) topic_parts = NULL;
  const char *pattern = lines[0] != NULL ? lines[0] : "";
  const char *topic = lines[0] != NULL && lines[1] != NULL ? lines[1] : "";
  g_autofree char *endpoint = g_strconcat (COMMY_TOPIC_PREFIX, topic, NULL);

  check (!commy_topic_name_is_valid (pattern) || commy_topic_pattern_is_valid (pattern));
  check (commy_topic_name_is_valid (topic) == commy_endpoint_name_is_valid (endpoint));
  check (strcmp (commy_topic_of_endpoint (endpoint), topic) == 0);
  check (!commy_dotted_name_is_valid (endpoint));
  if (!commy_topic_pattern_is_valid (pattern) || !commy_topic_name_is_valid (topic))
    return;
  check (strlen (topic) <= COMMY_TOPIC_NAME_MAX && strlen (pattern) <= COMMY_TOPIC_NAME_MAX);
  pattern_parts = g_strsplit (pattern, ".", -1);
  topic_parts = g_strsplit (topic, ".", -1);
  check (commy_topic_pattern_matches (pattern, topic) == matches (pattern_parts, topic_parts));
}

/* --- what comes as values --- */

static void
try_wishes (GVariant *value)
{
  g_autoptr (GError) error = NULL;
  CommySubscribeRequest request, again;
  CommySubscribeOptions options = { 0 };
  g_autoptr (GVariant) written = NULL;

  if (!commy_subscribe_request_read (value, &request, &error))
    {
      check (error != NULL && g_utf8_validate (error->message, -1, NULL));
      return;
    }
  check (request.depth > 0 && request.policy >= COMMY_SLOW_BLOCK
         && request.policy <= COMMY_SLOW_ERROR);
  options.policy = request.policy;
  options.depth = request.depth;
  options.history = request.history;
  /* What was cut to the size of an id may end inside a character, and is none that is known. */
  if (!g_utf8_validate (request.publisher, -1, NULL))
    return;
  written = g_variant_ref_sink (
      commy_subscribe_request_write (&options, request.publisher, request.after));
  check (commy_subscribe_request_read (written, &again, NULL));
  check (again.policy == request.policy && again.depth == request.depth
         && again.history == request.history && again.after == request.after
         && strcmp (again.publisher, request.publisher) == 0);
}

static void
try_greeting (GVariant *value)
{
  CommyTopicGreeting greeting, again;
  g_autoptr (GVariant) written = NULL;

  if (!commy_topic_greeting_read (value, &greeting))
    return;
  check (greeting.replay < greeting.next && strlen (greeting.publisher) == 32);
  written = g_variant_ref_sink (commy_topic_greeting_write (&greeting));
  check (commy_topic_greeting_read (written, &again));
  check (again.next == greeting.next && again.replay == greeting.replay
         && strcmp (again.publisher, greeting.publisher) == 0);
}

/* The text form finds its way sooner than the bytes do; both end as a value in normal form. */
static GVariant *
value_of (const GVariantType *type, const uint8_t *data, size_t size, gboolean is_text)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GVariant) raw = NULL;

  if (is_text)
    return g_variant_parse (type, (const char *) data, (const char *) data + size, NULL, NULL);
  raw = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));
  return g_variant_get_normal_form (raw);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = NULL;
  g_autoptr (GVariant) value = NULL;
  gboolean is_wish;

  if (size == 0)
    return 0;
  text = g_strndup ((const char *) data + 1, size - 1);
  if (data[0] == 'n')
    {
      try_names (text);
      return 0;
    }
  is_wish = data[0] == 'w' || data[0] == 'W';
  value = value_of (is_wish ? G_VARIANT_TYPE ("(a{sv})") : G_VARIANT_TYPE_VARDICT, data + 1,
                    size - 1, data[0] == 'w' || data[0] == 'g');
  if (value == NULL)
    return 0;
  if (is_wish)
    try_wishes (value);
  else
    try_greeting (value);
  return 0;
}
