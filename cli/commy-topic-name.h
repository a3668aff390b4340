/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of topics, as interfaces say them in org.commy.Topic.
 */
#pragma once

#include <gio/gio.h>

/* Whether the library takes it: parts with dots between them, which are not patterns. */
gboolean commy_topic_name_is_valid (const char *topic);
/* Whether the signal's annotation, if there is one, is such a name. */
gboolean commy_topic_name_check (const GDBusSignalInfo *signal, GError **error);
