/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a mesh knows of the health of the instances that its clients use: what they say of
 * themselves and what its own looks at them found. And how all that changed, with what this node
 * says of its own services.
 */
#pragma once

#include "control/commy-health.h"
#include "control/commy-instance.h"
#include "mesh/commy-mesh-private.h"

typedef struct
{
  CommyHealthState state;
  gint64 since_ns;                           /* of the state; 0: not known */
  char reason[COMMY_HEALTH_REASON_MAX + 16]; /* why it is unwell; else "" */
} CommyHealthFinding;

CommyHealthChecks *commy_health_checks_new (CommyMesh *mesh);
/* Mesh thread: what is under way ends, and nothing begins any more. */
void commy_health_checks_stop (CommyHealthChecks *checks);
void commy_health_checks_free (CommyHealthChecks *checks);

/* Any thread, while the mesh is joined. Who says that it does not serve is unwell whatever looks
 * at it find. The mesh's epoch grows whenever a state changes. */
void commy_health_checks_get (CommyHealthChecks *checks,
                              const CommyInstance *instance,
                              CommyHealthFinding *out_finding);

/* Mesh thread: these are the instances of a service that is used here. */
void commy_health_checks_follow (CommyHealthChecks *checks, const CommySnapshot *snapshot);
/* Mesh thread: an instance of this node is about to say @said instead of what it said before. */
void commy_health_checks_note_own (CommyHealthChecks *checks,
                                   const CommyInstance *instance,
                                   const char *said);

/* Mesh thread: instances that are unwell, of @service ("": of all that are used here). */
guint commy_health_checks_count_unwell (CommyHealthChecks *checks, const char *service);

/* Mesh thread, of who looks for the whole host: appends the record of a service, see
 * commy-host-checks.h. FALSE: it is not looked at. */
gboolean commy_health_checks_write (CommyHealthChecks *checks, const char *service, GString *out);
/* --- mesh thread: for org.commy.Node1 --- */

/* (transfer full): "serving", or "not-serving: SERVICE: REASON" of the first that does not. */
char *commy_health_checks_dup_own (CommyHealthChecks *checks);
/* aa{sv}, floating, @service "" for all: service s, instance s, source s ("self": of this node,
 * "seen": used by it), check s (how it is looked at), state s, reason s, since x (Unix time in s,
 * 0: not known); of one that is looked at also by s ("node": this one looked; "host": its daemon
 * did), age t (ns since it was looked at or told) and looks t (of this node's own). */
GVariant *commy_health_checks_list (CommyHealthChecks *checks, const char *service);
/* aa{sv}, floating, oldest first: time x (Unix time in us), service s, instance s, from s, to s,
 * reason s. */
GVariant *commy_health_checks_list_history (CommyHealthChecks *checks, const char *service);
