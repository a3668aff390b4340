/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which plugin builds took a process down, and which have proved themselves. A build is tried
 * under a marker; if the process is gone and the marker is still there, the build is quarantined
 * until there is another one or it is released. What proved itself once is never marked again.
 */
#pragma once

#include <glib.h>

typedef struct _CommyQuarantine CommyQuarantine;
/* One try: the step of a plugin's start during which it could take the process down. */
typedef struct _CommyTrial CommyTrial;

/* Reads the records of this user below @state_dir and judges those whose process is gone. Any
 * trouble is said once and means: no quarantine. @state_dir may be NULL: none either. */
CommyQuarantine *commy_quarantine_new (const char *state_dir);
void commy_quarantine_free (CommyQuarantine *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyQuarantine, commy_quarantine_free)

/* Why the build at @path is not started, with the way out; NULL if it may be. @name: "kind/id".
 * (transfer full) */
char *commy_quarantine_check (CommyQuarantine *self, const char *name, const char *path);

/* Before the code of a plugin runs, @self may be NULL: leaves a marker that outlives this process.
 * NULL if the build has proved itself or nothing can be written. @step goes into the reason: "it
 * was loaded". One thread at a time. */
CommyTrial *commy_quarantine_begin (CommyQuarantine *self,
                                    const char *name,
                                    const char *path,
                                    const char *step);
/* It came through. @proved: it works, do not try it again. Takes @trial, which may be NULL. */
void commy_trial_end (CommyTrial *trial, gboolean proved);

/* Forgets the record of @name, "kind/id" or "id"; NULL: all. aa{sv} with kind, id, path, floating.
 * Any thread. Error: it has none, or it cannot be removed. */
GVariant *commy_quarantine_release (CommyQuarantine *self, const char *name, GError **error);
