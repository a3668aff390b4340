/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys of what a client does when calls fail: retries, hedges, breakers, ejection, limits. Rows
 * for a table of keys; core/control/commy-resilience.c reads the values, and says where the
 * defaults come from.
 */
#pragma once

#include "config/commy-config-table.h"

#define COMMY_RESILIENCE_KEYS                                                                      \
  { "retry-attempts", WHOLE (INT, 1, 5), "3", "attempts of a call, the first included" },          \
      { "retry-backoff", WHOLE (DURATION, MS, HOUR), "20ms", "wait before the first retry" },      \
      { "retry-backoff-max", WHOLE (DURATION, MS, HOUR), "1s", "longest wait before a retry" },    \
      { "attempt-timeout", WHOLE (DURATION, 0, HOUR), "0",                                         \
        "time for one attempt; 0: all that the call has" },                                        \
      { "retry-budget", REAL (SHARE, 0, 1), "20%", "retries and hedges, as a share of calls" },    \
      { "retry-reserve", WHOLE (INT, 0, 1000000), "10",                                            \
        "retries a second, however few calls there are" },                                         \
      { "hedge-attempts", WHOLE (INT, 1, 5), "1",                                                  \
        "copies of a call that may be under way, the first included" },                            \
      { "hedge-after", WHOLE (DURATION, 0, HOUR), "0",                                             \
        "wait before a copy is sent; 0: as long as 95% of the calls take" },                       \
      { "shed", PLAIN (BOOL), "true", "refuse at once what cannot meet its deadline" },            \
      { "shed-quantile", REAL (SHARE, 0, 1), "50%",                                                \
        "share of calls that are served in the time that must be left" },                          \
      { "breaker", PLAIN (BOOL), "true", "stop calling an instance that fails" },                  \
      { "breaker-failures", WHOLE (INT, 1, 1000000), "7", "failures in a row that open it" },      \
      { "breaker-success", REAL (SHARE, 0, 1), "80%", "share of successes below which it opens" }, \
      { "breaker-window", WHOLE (DURATION, 100 * MS, HOUR), "10s",                                 \
        "time over which the share is taken" },                                                    \
      { "breaker-volume", WHOLE (INT, 1, 1000000), "5", "fewest calls that make a share" },        \
      { "breaker-penalty", WHOLE (DURATION, MS, HOUR), "1s", "time until one call tries again" },  \
      { "breaker-penalty-max", WHOLE (DURATION, MS, 24 * HOUR), "60s", "the longest such time" },  \
      { "max-in-flight", WHOLE (INT, 1, 1 << 24), "65536", "calls under way to one instance" },    \
      { "ejection", PLAIN (BOOL), "true", "leave out an instance that is worse than the others" }, \
      { "ejection-failures", WHOLE (INT, 1, 1000000), "5", "failures in a row that eject" },       \
      { "ejection-interval", WHOLE (DURATION, 10 * MS, HOUR), "10s",                               \
        "how often instances are compared" },                                                      \
      { "ejection-difference", REAL (SHARE, 0, 1), "10%",                                          \
        "how much worse an instance must be than the others" },                                    \
      { "ejection-time", WHOLE (DURATION, MS, HOUR), "30s", "how long, the first time" },          \
      { "ejection-time-max", WHOLE (DURATION, MS, 24 * HOUR), "300s", "how long at most" },        \
      { "ejection-share", REAL (SHARE, 0, 1), "50%", "most instances that are out at a time" },    \
      { "rate-limit", REAL (DOUBLE, 0, 1e9), "0", "calls a second; 0: no limit" },                 \
      { "rate-burst", WHOLE (INT, 1, 1 << 24), "100", "calls at once after a rest" },              \
      { "bulkhead", WHOLE (INT, 0, 1 << 24), "0", "calls under way at a time; 0: no limit" },      \
      { "throttle", PLAIN (BOOL), "false", "hold calls back when most are refused" },              \
  {                                                                                                \
    "throttle-success", REAL (SHARE, 0.01, 1), "95%", "share of accepted calls that is well"       \
  }
