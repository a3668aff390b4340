/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Defences that a test can take away, to see that the attack behind them then succeeds: the
 * plugins' own copy of core/base/commy-defence.h, because a plugin includes nothing of the core.
 * Freestanding where fail points are not compiled in, so that the ring stays what it is.
 */
#pragma once

#include <stdbool.h>

/* The ring does not include it. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef COMMY_ENABLE_FAILPOINTS

#include <stdlib.h>

static inline bool
commy_defence_stands (int defence)
{
  const char *without = getenv ("COMMY_WITHOUT_DEFENCE");

  return without == NULL || atoi (without) != defence;
}

#define COMMY_DEFENCE(DEFENCE, CONDITION) (commy_defence_stands (DEFENCE) && (CONDITION))

#else
#define COMMY_DEFENCE(DEFENCE, CONDITION) (CONDITION)
#endif
