/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys of which instances a client considers and in what proportion: levels, subsets, slow
 * start. Rows for a table of keys; the defaults are Envoy's, but for the subset.
 */
#pragma once

#include "config/commy-config-table.h"

#define COMMY_LOCALITY_KEYS                                                               \
  { "locality", CHOICE ("on;off"), "on", "whether near instances come before far ones" }, \
      { "overprovisioning", REAL (DOUBLE, 1, 100), "1.4",                                 \
        "how many times its calls a level of instances can take" },                       \
  {                                                                                       \
    "panic", REAL (SHARE, 0, 1), "50%",                                                   \
        "share of a level's instances; when fewer are well, health is ignored"            \
  }

#define COMMY_SUBSET_KEYS                                                             \
  { "subset", WHOLE (INT, 1, 256), "32", "instances that a node considers at most" }, \
      { "slow-start", WHOLE (DURATION, 0, 24 * HOUR), "0",                            \
        "time until a new instance has all of its share; 0: at once" },               \
  {                                                                                   \
    "slow-start-aggression", REAL (DOUBLE, 0.1, 10), "1",                             \
        "1: the share grows like the age; more: faster at first"                      \
  }
