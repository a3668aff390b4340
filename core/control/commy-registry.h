/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Discovery: this node's instances under its lease, and snapshots of the services that clients
 * of this node use, kept fresh: of the store by watches, of endpoints in keyfiles and DNS by
 * their sources. The call path never asks any of them.
 */
#pragma once

#include "base/commy-env.h"
#include "config/commy-config.h"
#include "control/commy-instance.h"
#include "plugin/commy-catalog.h"

typedef struct _CommyRegistry CommyRegistry;

typedef void (*CommyRegistryFunc) (gpointer data, const GError *error);
typedef void (*CommyRegistryListFunc) (gpointer data, GPtrArray *instances, const GError *error);

/* --- mesh thread --- */

/* @store: started. @epoch grows, atomically, after every new snapshot and outlives the registry. */
CommyRegistry *commy_registry_new (CommyPlugin *store,
                                   CommyConfig *config,
                                   const CommyEnv *env,
                                   GMainContext *context,
                                   guint32 *epoch);
void commy_registry_free (CommyRegistry *registry);
/* @before: the snapshot that this one replaces; or NULL. */
typedef void (*CommyRegistrySurveyor) (gpointer data,
                                       CommySnapshot *snapshot,
                                       const CommySnapshot *before);
/* Called on the mesh thread for each snapshot before others see it; may fill in its survey. */
void
commy_registry_set_surveyor (CommyRegistry *registry, CommyRegistrySurveyor survey, gpointer data);
/* Gets the lease; @done once, also at once. */
void commy_registry_start (CommyRegistry *registry, CommyRegistryFunc done, gpointer data);
void commy_registry_add (CommyRegistry *registry,
                         CommyInstance *instance,
                         CommyRegistryFunc done,
                         gpointer data);
/* It is there already, and its record changed. */
void commy_registry_update (CommyRegistry *registry,
                            CommyInstance *instance,
                            CommyRegistryFunc done,
                            gpointer data);
void commy_registry_remove (CommyRegistry *registry,
                            CommyInstance *instance,
                            CommyRegistryFunc done,
                            gpointer data);
/* Makes sure that there is a snapshot of @service; @fresh: and that its sources were asked now. */
void commy_registry_ensure (CommyRegistry *registry,
                            const char *service,
                            gboolean fresh,
                            CommyRegistryFunc done,
                            gpointer data);
/* Forgets a service that nobody uses any more. FALSE: it is being asked for; try later. */
gboolean commy_registry_forget (CommyRegistry *registry, const char *service);
/* Told of each snapshot after others can see it. */
void commy_registry_set_listener (CommyRegistry *registry,
                                  void (*listen) (gpointer data, CommySnapshot *snapshot),
                                  gpointer data);
/* A connection to the endpoint @id of @service told who is there. */
void commy_registry_met (CommyRegistry *registry,
                         const char *service,
                         const char *id,
                         const CommyMeeting *meeting);
/* All instances below a glob on the name. */
void commy_registry_list (CommyRegistry *registry,
                          const char *pattern,
                          CommyRegistryListFunc done,
                          gpointer data);
/* The record of this node; also another one for it. */
void commy_registry_put_node (CommyRegistry *registry,
                              const char *node,
                              GBytes *record,
                              CommyRegistryFunc done,
                              gpointer data);
void commy_registry_remove_node (CommyRegistry *registry,
                                 const char *node,
                                 CommyRegistryFunc done,
                                 gpointer data);
/* All nodes, as CommyNode; what cannot be read is left out and logged. */
void commy_registry_list_nodes (CommyRegistry *registry, CommyRegistryListFunc done, gpointer data);
/* A connection to the owner of @lease broke: is it dead? */
void commy_registry_suspect (CommyRegistry *registry, gint64 lease);

/* --- any thread --- */

/* (transfer full); NULL: nobody asked for this service yet. */
CommySnapshot *commy_registry_lookup (CommyRegistry *registry, const char *service);
