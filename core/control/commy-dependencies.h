/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which services a process has called lately, as its calls showed: so many names, each with the
 * time when that was seen last, for the record of its node. Any thread; time is an argument.
 */
#pragma once

#include <glib.h>

/* So many are told, and as many bytes of names; who was called last comes first. */
#define COMMY_DEPENDENCIES_MAX 64u
#define COMMY_DEPENDENCIES_BYTES 6144u
/* What was not called for so long is not told any more. */
#define COMMY_DEPENDENCIES_AGE_S 3600

typedef struct _CommyDependencies CommyDependencies;

CommyDependencies *commy_dependencies_new (void);
void commy_dependencies_free (CommyDependencies *dependencies);
/* @service was called, and that was seen at @now_s, Unix time. Nothing for the mesh's own services.
 */
void commy_dependencies_note (CommyDependencies *dependencies, const char *service, gint64 now_s);
/* Whether others should be told: one came or went since the last time, or has been used on for a
 * quarter of the age. */
gboolean commy_dependencies_are_news (CommyDependencies *dependencies, gint64 now_s);
/* a(sx), floating: what is told now; from then on it is no news. */
GVariant *commy_dependencies_tell (CommyDependencies *dependencies, gint64 now_s);

/* Floating: of an a(sx) of a stranger, names that can be and no more of them than above. */
GVariant *commy_dependencies_check (GVariant *told);
