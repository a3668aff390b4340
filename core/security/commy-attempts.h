/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long somebody who failed to authenticate has to wait: a second after the first failure, twice
 * as long after each further one, a quarter of an hour at most. And how many attempts one may have
 * under way, because those that begin before the first has failed wait for nothing. What other
 * instances say of a source counts beside what happened here. Bounded tables; time is an argument.
 * Mesh thread.
 */
#pragma once

#include <glib.h>

#define COMMY_ATTEMPTS_FIRST_NS G_GINT64_CONSTANT (1000000000)
#define COMMY_ATTEMPTS_LONGEST_NS (900 * COMMY_ATTEMPTS_FIRST_NS)

/* Under way at a time; after a failure one. */
#define COMMY_ATTEMPTS_AT_ONCE 32u

typedef struct _CommyAttempts CommyAttempts;

/* Kinds of failures that are told apart of a source; those beyond are forgiven by time alone. */
#define COMMY_ATTEMPTS_KINDS_MAX 8u

/* What is heard takes no room from what happened here. */
#define COMMY_ATTEMPTS_HEARD_MAX 4096u

/* @max: sources that are remembered. */
CommyAttempts *commy_attempts_new (guint max);
/* Other waits than those above: after the first failure, and at most. */
void commy_attempts_set_waits (CommyAttempts *attempts, gint64 first_ns, gint64 longest_ns);
/* Only each so-many-th failure counts, if no more than the longest wait lies between that many: for
 * sources that many share. Without it each does. */
void commy_attempts_set_allowance (CommyAttempts *attempts, guint allowance);
void commy_attempts_free (CommyAttempts *attempts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAttempts, commy_attempts_free)

/* Nanoseconds until @source may try again; 0: it may. */
gint64 commy_attempts_wait (CommyAttempts *attempts, const char *source, gint64 now_ns);
/* And of these, what it waits because of what was heard. */
gint64 commy_attempts_wait_heard (CommyAttempts *attempts, const char *source, gint64 now_ns);
/* An attempt of @source, if it may have one more. Each that is TRUE needs an end. Their number is
 * bounded by that of the set-ups. */
gboolean commy_attempts_begin (CommyAttempts *attempts, const char *source);
void commy_attempts_end (CommyAttempts *attempts, const char *source);
void commy_attempts_add_failure (CommyAttempts *attempts, const char *source, gint64 now_ns);
/* How often in a row @source has failed; 0: not that it were known. */
guint commy_attempts_get_failures (CommyAttempts *attempts, const char *source);
/* At what its last failure here happened, such as a provider: that is forgiven by the same alone,
 * and all of it when nothing of the kind is left. */
void commy_attempts_set_kind (CommyAttempts *attempts, const char *source, const char *kind);
/* At what the failures happened that count, here or elsewhere; NULL: that is not known. (transfer
 * container): up to NULL */
const char **commy_attempts_list_kinds (CommyAttempts *attempts, const char *source);
/* It knew better, in something of @kind: so did who failed at nothing else, and what went before
 * counts no more. What was heard of that kind not when it is heard again, either. */
void commy_attempts_forgive_kind (CommyAttempts *attempts,
                                  const char *source,
                                  const char *kind,
                                  gint64 now_ns);
guint commy_attempts_get_n (CommyAttempts *attempts);

/* Another instance says that @source failed so often there, and is to wait so long from now. No
 * more than the longest wait counts, and only once: @end is what makes one word of its differ from
 * the next, such as the end that it gives. @kinds: at what it failed, up to NULL; without them no
 * proof forgives it, only time does. */
void commy_attempts_hear (CommyAttempts *attempts,
                          const char *source,
                          guint failures,
                          const char *const *kinds,
                          gint64 wait_ns,
                          gint64 end,
                          gint64 now_ns);
/* It need not wait any more for what was heard; how often it failed is not forgotten. */
void commy_attempts_lift_heard (CommyAttempts *attempts, const char *source, gint64 now_ns);
/* Nor for what happened here. */
void commy_attempts_lift (CommyAttempts *attempts, const char *source, gint64 now_ns);
guint commy_attempts_get_n_heard (CommyAttempts *attempts);
