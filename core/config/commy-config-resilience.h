/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys of what a client does when calls fail: retries, hedges, breakers, ejection, limits; and
 * of what a service takes; of a service, and of one method where that differs. Rows for a table of
 * keys; core/control/commy-resilience.c reads the values, and says where the defaults come from.
 */
#pragma once

#include "config/commy-config-table.h"

/* Of calls. @DEFAULT: what a value becomes that is not set. */
#define COMMY_CALL_KEYS(DEFAULT)                                                                 \
  { "retry-attempts", WHOLE (INT, 1, 5), DEFAULT ("3"),                                          \
    "attempts of a call, the first included" },                                                  \
      { "retry-backoff", WHOLE (DURATION, MS, HOUR), DEFAULT ("20ms"),                           \
        "wait before the first retry" },                                                         \
      { "retry-backoff-max", WHOLE (DURATION, MS, HOUR), DEFAULT ("1s"),                         \
        "longest wait before a retry" },                                                         \
      { "attempt-timeout", WHOLE (DURATION, 0, HOUR), DEFAULT ("0"),                             \
        "time for one attempt; 0: all that the call has" },                                      \
      { "retry-budget", REAL (SHARE, 0, 1), DEFAULT ("18%"),                                     \
        "retries and hedges, as a share of a thread's calls" },                                  \
      { "retry-reserve", WHOLE (INT, 0, 1000000), DEFAULT ("10"),                                \
        "retries a second of a thread, however few calls it makes" },                            \
      { "hedge-attempts", WHOLE (INT, 1, 5), DEFAULT ("1"),                                      \
        "copies of a call that may be under way, the first included" },                          \
      { "hedge-after", WHOLE (DURATION, 0, HOUR), DEFAULT ("0"),                                 \
        "wait before a copy is sent; 0: as long as 95% of the calls take" },                     \
      { "breaker", PLAIN (BOOL), DEFAULT ("true"),                                               \
        "stop calling an instance that fails; each thread finds out by its own calls" },         \
      { "breaker-failures", WHOLE (INT, 1, 1000000), DEFAULT ("7"),                              \
        "failures in a row that open it" },                                                      \
      { "breaker-success", REAL (SHARE, 0, 1), DEFAULT ("80%"),                                  \
        "share of successes below which it opens" },                                             \
      { "breaker-window", WHOLE (DURATION, 100 * MS, HOUR), DEFAULT ("10s"),                     \
        "time over which the share is taken" },                                                  \
      { "breaker-volume", WHOLE (INT, 1, 1000000), DEFAULT ("5"),                                \
        "fewest calls that make a share" },                                                      \
      { "breaker-penalty", WHOLE (DURATION, MS, HOUR), DEFAULT ("1s"),                           \
        "time until one call tries again" },                                                     \
      { "breaker-penalty-max", WHOLE (DURATION, MS, 24 * HOUR), DEFAULT ("60s"),                 \
        "the longest such time" },                                                               \
      { "max-in-flight", WHOLE (INT, 1, 1 << 24), DEFAULT ("65536"),                             \
        "calls of a thread under way to one instance" },                                         \
      { "ejection", PLAIN (BOOL), DEFAULT ("true"),                                              \
        "leave out an instance that is worse than the others; each thread finds out by its own " \
        "calls" },                                                                               \
      { "ejection-failures", WHOLE (INT, 1, 1000000), DEFAULT ("5"),                             \
        "failures in a row that eject" },                                                        \
      { "ejection-interval", WHOLE (DURATION, 10 * MS, HOUR), DEFAULT ("10s"),                   \
        "how often instances are compared" },                                                    \
      { "ejection-difference", REAL (SHARE, 0, 1), DEFAULT ("10%"),                              \
        "how much worse an instance must be than the others" },                                  \
      { "ejection-time", WHOLE (DURATION, MS, HOUR), DEFAULT ("30s"),                            \
        "how long, the first time" },                                                            \
      { "ejection-time-max", WHOLE (DURATION, MS, 24 * HOUR), DEFAULT ("300s"),                  \
        "how long at most" },                                                                    \
      { "ejection-share", REAL (SHARE, 0, 1), DEFAULT ("50%"),                                   \
        "most instances that are out at a time" },                                               \
      { "rate-limit", REAL (DOUBLE, 0, 1e9), DEFAULT ("0"),                                      \
        "calls a second of the whole program, all its threads together; 0: no limit" },          \
      { "rate-burst", WHOLE (INT, 1, 1 << 24), DEFAULT ("100"), "calls at once after a rest" },  \
      { "bulkhead", WHOLE (INT, 0, 1 << 24), DEFAULT ("0"),                                      \
        "calls of the whole program under way at a time; 0: no limit" },                         \
      { "throttle", PLAIN (BOOL), DEFAULT ("false"),                                             \
        "hold calls of a thread back when most of them are refused" },                           \
  {                                                                                              \
    "throttle-success", REAL (SHARE, 0.01, 1), DEFAULT ("95%"),                                  \
        "share of accepted calls that is well"                                                   \
  }

/* Of a service that is offered: what it refuses because it would be too late. */
#define COMMY_SHED_KEYS(DEFAULT)                                               \
  { "shed", PLAIN (BOOL), DEFAULT ("true"),                                    \
    "of what is offered here: refuse at once what cannot meet its deadline" }, \
  {                                                                            \
    "shed-quantile", REAL (SHARE, 0, 1), DEFAULT ("50%"),                      \
        "share of calls that are served in the time that must be left"         \
  }

/* And what it takes of all callers together. */
#define COMMY_SERVE_KEYS(DEFAULT)                                                             \
  { "serve-rate-limit", REAL (DOUBLE, 0, 1e9), DEFAULT ("0"),                                 \
    "calls a second that what is offered here takes, of all callers together; 0: no limit" }, \
      { "serve-rate-burst", WHOLE (INT, 1, 1 << 24), DEFAULT ("100"),                         \
        "calls at once after a rest" },                                                       \
  {                                                                                           \
    "serve-rate-scope", CHOICE ("instance;service"), DEFAULT ("instance"),                    \
        "whose such limits are: each instance's; or the service's, whose instances divide "   \
        "them among those that the store lists"                                               \
  }

/* And of each of them, whichever method is called. */
#define COMMY_SERVE_EACH_KEYS                                                                    \
  { "serve-rate-limit-per-principal", REAL (DOUBLE, 0, 1e9), "0",                                \
    "calls a second that what is offered here takes of each principal; 0: no limit" },           \
      { "serve-rate-burst-per-principal", WHOLE (INT, 1, 1 << 24), "100",                        \
        "calls at once after a rest" },                                                          \
      { "serve-rate-limit-per-address", REAL (DOUBLE, 0, 1e9), "0",                              \
        "the same of each address of another host, of IPv6 of each /64; 0: no limit" },          \
  {                                                                                              \
    "serve-rate-burst-per-address", WHOLE (INT, 1, 1 << 24), "100", "calls at once after a rest" \
  }

#define COMMY_AS_IT_IS(text) text
#define COMMY_AS_OF_SERVICE(text) NULL

#define COMMY_RESILIENCE_KEYS COMMY_CALL_KEYS (COMMY_AS_IT_IS), COMMY_SHED_KEYS (COMMY_AS_IT_IS)
#define COMMY_METHOD_KEYS                                                                         \
  { "timeout", WHOLE (DURATION, 1, 24 * HOUR), NULL,                                              \
    "time for a call that names none, instead of what its interface says (org.commy.Deadline)" }, \
      COMMY_CALL_KEYS (COMMY_AS_OF_SERVICE), COMMY_SHED_KEYS (COMMY_AS_OF_SERVICE),               \
      COMMY_SERVE_KEYS (COMMY_AS_OF_SERVICE)
