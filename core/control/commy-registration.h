/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this process says of itself in the store: keys under one lease, and both made anew when
 * the store ended the lease of an owner that lives (it was stopped, or cut off, for too long). A
 * key that somebody else takes away is put anew.
 */
#pragma once

#include "plugin/commy-plugin-private.h"

#include <commy/commy-store.h>

typedef struct _CommyRegistration CommyRegistration;

typedef void (*CommyRegistrationFunc) (gpointer data, const GError *error);

CommyRegistration *commy_registration_new (CommyPlugin *store, GMainContext *context);
/* What the store has not answered yet calls back later all the same; nothing is watched or tried
 * again any more. */
void commy_registration_free (CommyRegistration *self);

/* Takes the lease, before anything is added. */
void commy_registration_start (CommyRegistration *self, CommyRegistrationFunc done, gpointer data);
void commy_registration_add (CommyRegistration *self,
                             const char *key,
                             GBytes *value,
                             CommyRegistrationFunc done,
                             gpointer data);
/* A key that is there already gets another value. Where the store does not take it now, it is tried
 * again until it does; @done tells of the first time. */
void commy_registration_update (CommyRegistration *registration,
                                const char *key,
                                GBytes *value,
                                CommyRegistrationFunc done,
                                gpointer data);
void commy_registration_remove (CommyRegistration *self,
                                const char *key,
                                CommyRegistrationFunc done,
                                gpointer data);
gint64 commy_registration_get_lease (CommyRegistration *self);

/* How long nothing is tried after the store has refused something so often in turn. */
guint commy_registration_get_pause_ms (guint n_refused);
