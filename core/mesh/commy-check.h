/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One look at one instance: is it well? Each kind asks in its own way, within a time that is
 * bounded, and answers once. Knows nothing of when and how often, nor what becomes of the answer.
 * Mesh thread.
 */
#pragma once

#include "control/commy-health.h"
#include "control/commy-instance.h"
#include "mesh/commy-mesh-private.h"

/* What heartbeats need a snapshot of. */
#define COMMY_CHECK_NODE_SERVICE "org.commy.Node1"

typedef enum
{
  COMMY_CHECK_NONE,
  COMMY_CHECK_HEARTBEAT, /* the instance's process answers */
  COMMY_CHECK_CALL,      /* a method answers without an error */
  COMMY_CHECK_TCP,       /* a port takes connections */
  COMMY_CHECK_HTTP,      /* a path is answered with a status from 200 to 399 */
  COMMY_CHECK_COMMAND,   /* a command ends with 0 */
} CommyCheckKind;

const char *commy_check_kind_to_string (CommyCheckKind kind);

/* How a service's instances are looked at. Immutable. */
typedef struct
{
  grefcount refs;
  CommyCheckKind kind;
  gint64 interval_ns, timeout_ns;
  CommyHealthRules rules;
  char *method;
  guint16 port;
  char *path;  /* of http, with its '/' */
  char **argv; /* of a command */
  char *how;   /* all of this in one line: who looks in the same way finds the same */
} CommyCheckSpec;

/* Whether all that the keyfile says of such looks can be done. */
gboolean commy_check_config (CommyConfig *config, GError **error);
/* What it says of @service; NULL: nothing. */
CommyCheckSpec *commy_check_spec_new (CommyConfig *config, const char *service);
CommyCheckSpec *commy_check_spec_ref (CommyCheckSpec *spec);
void commy_check_spec_unref (CommyCheckSpec *spec);

typedef struct _CommyCheck CommyCheck;

/* The reason of a look for others that says nothing of the instance: this process may not ask it,
 * or has no way there. */
extern const char commy_check_cannot_tell[];

/* @reason: NULL if it is well. */
typedef void (*CommyCheckFunc) (gpointer data, const char *reason);

struct _CommyCheck
{
  CommyMesh *mesh; /* outlives it */
  CommyCheckSpec *spec;
  CommyInstance *instance;
  GCancellable *cancellable;
  GSource *timeout;
  gboolean is_late;
  gboolean asks_itself; /* the instance, not its node */
  CommyCheckFunc func;
  gpointer data;
};

/* @func is called once, from the mesh's context and never at once, also if it is cancelled. */
CommyCheck *commy_check_begin (CommyMesh *mesh,
                               CommyCheckSpec *spec,
                               CommyInstance *instance,
                               CommyCheckFunc func,
                               gpointer data);
void commy_check_cancel (CommyCheck *check);

/* --- for the kinds --- */

/* The answer: @format NULL if it is well. Frees @check. */
void commy_check_end (CommyCheck *check, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* Why an operation failed, in our words if it took too long. Frees @check. */
void commy_check_fail (CommyCheck *check, const GError *error);

void commy_check_begin_call (CommyCheck *check);    /* heartbeat and call */
void commy_check_begin_socket (CommyCheck *check);  /* tcp and http */
void commy_check_begin_command (CommyCheck *check); /* commy-command.h */
