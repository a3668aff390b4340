/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Defences that a test can take away, to see that the attack behind them then succeeds. Only in
 * builds with --enable-failpoints: COMMY_WITHOUT_DEFENCE=n in the environment makes every
 * COMMY_DEFENCE (n, ...) false. Otherwise the macro is its condition and nothing else.
 *
 * The numbers are those of the table in docs/guide/security.md. Plugins have the same macro in
 * plugins/common/commy-defence.h.
 */
#pragma once

#ifdef COMMY_ENABLE_FAILPOINTS

#include <stdbool.h>
#include <stdlib.h>

/* Read at every pass, so that nothing is kept; only builds for tests pay for it. */
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
