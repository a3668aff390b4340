/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dotted names, of services and of topics, and patterns over topics. Pure.
 *
 * A name is parts of letters, digits, '_' and '-' joined by '.'. In a pattern a part may be "*",
 * which stands for exactly one part, and the last may be "**", which stands for whatever follows,
 * also nothing. A publisher of the topic NAME is an endpoint like a service, under "topic:NAME",
 * which no service can be called.
 */
#pragma once

#include <glib.h>

#define COMMY_DOTTED_NAME_MAX 255u
#define COMMY_TOPIC_PREFIX "topic:"
#define COMMY_TOPIC_NAME_MAX (COMMY_DOTTED_NAME_MAX - (sizeof COMMY_TOPIC_PREFIX - 1))

/* At most COMMY_DOTTED_NAME_MAX bytes. */
gboolean commy_dotted_name_is_valid (const char *name);

/* At most COMMY_TOPIC_NAME_MAX bytes. */
gboolean commy_topic_name_is_valid (const char *topic);
gboolean commy_topic_pattern_is_valid (const char *pattern);
/* Both valid. Time is linear in their lengths. */
gboolean commy_topic_pattern_matches (const char *pattern, const char *topic);

/* The topic whose publishers @endpoint names; NULL: it names a service. Points into @endpoint. */
const char *commy_topic_of_endpoint (const char *endpoint);
/* Whether it names a service or a topic. */
gboolean commy_endpoint_name_is_valid (const char *endpoint);
