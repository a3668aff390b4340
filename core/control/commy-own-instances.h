/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The instances that this process offers: what is registered of them, and what is known of them
 * here. A process that was cut off loses its lease, and with it its instances for all others; it
 * knows itself that they are there, so its own view never lacks them. Mesh thread.
 */
#pragma once

#include "control/commy-instance.h"
#include "control/commy-registration.h"

typedef struct _CommyOwnInstances CommyOwnInstances;

/* One is not offered any more. */
typedef void (*CommyOwnGoneFunc) (gpointer data, const char *service, const char *id);

/* @registration: borrowed, lives longer. */
CommyOwnInstances *
commy_own_instances_new (CommyRegistration *registration, CommyOwnGoneFunc gone, gpointer data);
/* What the store has not answered yet calls back later all the same. */
void commy_own_instances_free (CommyOwnInstances *own);

/* From when the store has it. */
void commy_own_instances_add (CommyOwnInstances *own,
                              CommyInstance *instance,
                              CommyRegistrationFunc done,
                              gpointer data);
/* It is there already, and its record changed. */
void commy_own_instances_update (CommyOwnInstances *own,
                                 CommyInstance *instance,
                                 CommyRegistrationFunc done,
                                 gpointer data);
void commy_own_instances_remove (CommyOwnInstances *own,
                                 CommyInstance *instance,
                                 CommyRegistrationFunc done,
                                 gpointer data);

/* Those of @service that are not @listed (by id) are added to @out. */
void commy_own_instances_append (CommyOwnInstances *own,
                                 const char *service,
                                 GHashTable *listed,
                                 GPtrArray *out);
