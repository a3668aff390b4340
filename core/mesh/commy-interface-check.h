/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether an instance offers what a client was written for. Where the hashes differ the instance is
 * asked once for its description, on the mesh thread; the verdict is kept for the pair of hashes,
 * and routes are decided anew when it is there.
 */
#pragma once

#include "control/commy-instance.h"
#include "mesh/commy-expectation.h"
#include "mesh/commy-mesh-private.h"

/* The method that every service of a typed interface answers. */
#define COMMY_INTERFACE_METHOD "org.freedesktop.DBus.Introspectable.Introspect"

#define COMMY_INTERFACE_TEXT 160

typedef enum
{
  COMMY_INTERFACE_SAME,
  COMMY_INTERFACE_FITS,    /* it differs, and nothing of that matters */
  COMMY_INTERFACE_WARNS,   /* calls work; the text is the first thing worth a look */
  COMMY_INTERFACE_DIFFERS, /* incompatible; the text is the first difference */
  COMMY_INTERFACE_UNKNOWN, /* it was not compared; the text says why */
  COMMY_INTERFACE_AWAITED, /* its description is on its way */
} CommyInterfaceState;

typedef struct
{
  CommyInterfaceState state;
  char text[COMMY_INTERFACE_TEXT]; /* UTF-8, one line */
} CommyInterfaceFinding;

CommyInterfaceChecks *commy_interface_checks_new (CommyMesh *mesh);
/* Mesh thread: what is under way ends, and nothing begins any more. */
void commy_interface_checks_stop (CommyInterfaceChecks *checks);
void commy_interface_checks_free (CommyInterfaceChecks *checks);

/* Any thread, while the mesh is joined. Does not block: what has to be asked for is AWAITED. */
void commy_interface_checks_get (CommyInterfaceChecks *checks,
                                 CommyExpectation *expectation,
                                 CommyInstance *instance,
                                 CommyInterfaceFinding *out_finding);
/* Mesh thread: @done when one more of the descriptions that @expectation waits for is there, or at
 * once if none is on its way. Those who came first are called first; @done must not ask the
 * checks. */
void commy_interface_checks_wait (CommyInterfaceChecks *checks,
                                  const CommyExpectation *expectation,
                                  CommyRegistryFunc done,
                                  gpointer data);
