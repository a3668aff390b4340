/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys of who looks whether instances are well, and of what makes an alarm. Rows for tables of
 * keys; core/mesh/commy-check.c and core/control/commy-alert.c read the values.
 */
#pragma once

#include "config/commy-config-table.h"

/* Of [service NAME]. */
#define COMMY_HEALTH_KEYS                                                                         \
  { "health-check", CHOICE ("none;heartbeat;call;tcp;http;command"), "none",                      \
    "how clients look whether an instance is well" },                                             \
      { "health-interval", WHOLE (DURATION, 10 * MS, HOUR), "5s", "time between two looks" },     \
      { "health-timeout", WHOLE (DURATION, MS, HOUR), "1s", "longest time for an answer" },       \
      { "health-rise", WHOLE (INT, 1, 1000), "2", "good looks in a row until it is well again" }, \
      { "health-fall", WHOLE (INT, 1, 1000), "3", "bad looks in a row until it is unwell" },      \
  {                                                                                               \
    "health-target", PLAIN (STRING), "",                                                          \
        "what is looked at: a method, PORT, PORT/PATH or a command"                               \
  }

/* Of [alert NAME]. */
#define COMMY_ALERT_KEYS                                                                          \
  { "when", CHOICE ("errors;latency-p99;instances;unwell;drops;memory;load;store-away"), NULL,    \
    "the figure that is watched" },                                                               \
      { "service", PLAIN (STRING), "", "the service that it is about" },                          \
      { "above", PLAIN (STRING), "", "it is bad above this" },                                    \
      { "below", PLAIN (STRING), "", "it is bad below this" },                                    \
      { "over", WHOLE (DURATION, S, 60 * S), "10s",                                               \
        "time over which errors, latency and drops are taken" },                                  \
      { "for", WHOLE (DURATION, 0, 24 * HOUR), "10s", "how long it must be bad until it fires" }, \
      { "cool-down", WHOLE (DURATION, 0, 24 * HOUR), "60s",                                       \
        "shortest time from one firing to the next" },                                            \
      { "severity", CHOICE ("info;warning;critical"), "warning", "how bad that is" },             \
  {                                                                                               \
    "command", PLAIN (STRING), "", "what is run when it fires and when it is over"                \
  }
