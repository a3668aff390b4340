/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks what interfaces say of topics before something is published or subscribed to under it.
 */
#include "config.h"

#include "cli/commy-topic-name.h"

#include "cli/commy-cli.h"

#include <string.h>

#define TOPIC_MAX 249u /* bytes */

gboolean
commy_topic_name_is_valid (const char *topic)
{
  g_auto (GStrv) parts = g_strsplit (topic, ".", -1);

  if (topic[0] == '\0' || strlen (topic) > TOPIC_MAX)
    return FALSE;
  for (guint i = 0; parts[i] != NULL; i++)
    if (parts[i][0] == '\0'
        || parts[i][strspn (parts[i], G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-")] != '\0')
      return FALSE;
  return TRUE;
}

gboolean
commy_topic_name_check (const GDBusSignalInfo *signal, GError **error)
{
  const char *topic = g_dbus_annotation_info_lookup (signal->annotations, "org.commy.Topic");

  if (topic == NULL || commy_topic_name_is_valid (topic))
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "%s: org.commy.Topic is the name of a topic, such as "
                       "org.example.Echo.Changed: not \"%.64s\"",
                       signal->name, topic);
  return FALSE;
}
