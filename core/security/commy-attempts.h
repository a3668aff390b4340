/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long somebody who failed to authenticate has to wait: a second after the first failure, twice
 * as long after each further one, a quarter of an hour at most. And how many attempts one may have
 * under way, because those that begin before the first has failed wait for nothing. A bounded
 * table; time is an argument. Mesh thread.
 */
#pragma once

#include <glib.h>

#define COMMY_ATTEMPTS_FIRST_NS G_GINT64_CONSTANT (1000000000)
#define COMMY_ATTEMPTS_LONGEST_NS (900 * COMMY_ATTEMPTS_FIRST_NS)

/* Under way at a time; after a failure one. */
#define COMMY_ATTEMPTS_AT_ONCE 32u

typedef struct _CommyAttempts CommyAttempts;

/* @max: sources that are remembered. */
CommyAttempts *commy_attempts_new (guint max);
void commy_attempts_free (CommyAttempts *attempts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAttempts, commy_attempts_free)

/* Nanoseconds until @source may try again; 0: it may. */
gint64 commy_attempts_wait (CommyAttempts *attempts, const char *source, gint64 now_ns);
/* An attempt of @source, if it may have one more. Each that is TRUE needs an end. Their number is
 * bounded by that of the set-ups. */
gboolean commy_attempts_begin (CommyAttempts *attempts, const char *source);
void commy_attempts_end (CommyAttempts *attempts, const char *source);
void commy_attempts_add_failure (CommyAttempts *attempts, const char *source, gint64 now_ns);
/* It knew better: what went before is forgotten. */
void commy_attempts_forgive (CommyAttempts *attempts, const char *source);
guint commy_attempts_get_n (CommyAttempts *attempts);
