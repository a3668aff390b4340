/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the rules of the conformance suite look to the suite. A rule drives the vtable as the
 * core does and knows no transport; what only some can do is asked of the profile and the
 * vtable.
 */
#pragma once

#include "commy-transport-rig.h"

typedef enum
{
  NEEDS_PAIR = 1 << 0,      /* an open connection */
  NEEDS_WAIT = 1 << 1,      /* the transport can park */
  NEEDS_PROCESSES = 1 << 2, /* the transport reaches other processes */
  OWN_RIG = 1 << 3,         /* the rule makes its rigs */
  NEEDS_HANDLES = 1 << 4,   /* the transport carries descriptors */
  NEEDS_POOLS = 1 << 5,     /* the transport has pools */
} Needs;

typedef struct
{
  const CommyTransportSubject *subject;
  const CommyPluginDescriptor *descriptor;
} RuleCase;

typedef struct
{
  const char *name;
  void (*run) (Rig *rig, const RuleCase *test); /* without @rig where it makes its own */
  guint needs;
} Rule;

const Rule *commy_transport_rules_set_up (gsize *out_n);
const Rule *commy_transport_rules_messages (gsize *out_n);
const Rule *commy_transport_rules_waking (gsize *out_n);
const Rule *commy_transport_rules_handles (gsize *out_n);
const Rule *commy_transport_rules_pools (gsize *out_n);
