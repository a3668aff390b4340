/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Named fail points: places where a test makes the process fail on purpose. They exist only
 * in builds with --enable-failpoints; otherwise the macros are nothing.
 *
 * COMMY_FAILPOINT=name:nth:kill|stop|error|sleep  (nth: 1 is the first time it is passed;
 * several are separated by ','; sleep is 100 ms)
 *
 * All names lie in a linker section, so that a test can enumerate them and none is forgotten.
 */
#pragma once

#include <stdbool.h>

#ifdef COMMY_ENABLE_FAILPOINTS

typedef struct
{
  const char *name;
  unsigned hits; /* touched atomically */
} CommyFailpoint;

/* Whether this pass must fail with an error; kill, stop and sleep happen inside. What happens is
 * said on stderr first. Exported: plugins call it, too (plugins/common/commy-failpoints.h). */
__attribute__ ((visibility ("default"))) bool commy_failpoint_hit (CommyFailpoint *point);

/* The first and one past the last, of this object file's link unit. */
const CommyFailpoint *commy_failpoints_begin (void);
const CommyFailpoint *commy_failpoints_end (void);

/* A plugin tells of its own; once for a section is enough. Exported. */
__attribute__ ((visibility ("default"))) void commy_failpoints_add (const CommyFailpoint *begin,
                                                                    const CommyFailpoint *end);
/* The core's own, then those of all plugins that were loaded. */
void commy_failpoints_foreach (void (*func) (const CommyFailpoint *point, void *data), void *data);

#define COMMY_FAILPOINT(NAME)                                              \
  ({                                                                       \
    static CommyFailpoint commy_failpoint_                                 \
        __attribute__ ((section ("commy_failpoints"), used, aligned (16))) \
        = { NAME, 0 };                                                     \
    commy_failpoint_hit (&commy_failpoint_);                               \
  })

#else
#define COMMY_FAILPOINT(NAME) (false)
#endif
