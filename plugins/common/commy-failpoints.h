/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Named fail points of plugins: as those of the core, and carried out by the core that loaded the
 * plugin. Where there is none (a test that links the plugin's own sources) nothing fails. Only in
 * builds with --enable-failpoints; otherwise the macro is nothing.
 *
 * Every plugin tells the core of its points when it is loaded, so that a test can enumerate them.
 */
#pragma once

#include <stdbool.h>

#ifdef COMMY_ENABLE_FAILPOINTS

typedef struct
{
  const char *name;
  unsigned hits;
} CommyFailpoint;

extern const CommyFailpoint commy_failpoints_start[] __asm__("__start_commy_failpoints")
    __attribute__ ((weak, visibility ("hidden")));
extern const CommyFailpoint commy_failpoints_stop[] __asm__("__stop_commy_failpoints")
    __attribute__ ((weak, visibility ("hidden")));

/* The core's, if there is one in this process. */
extern bool commy_failpoint_hit (CommyFailpoint *point) __attribute__ ((weak));
extern void commy_failpoints_add (const CommyFailpoint *begin, const CommyFailpoint *end)
    __attribute__ ((weak));

__attribute__ ((constructor)) static void
commy_failpoints_tell (void)
{
  if (commy_failpoints_add != NULL)
    commy_failpoints_add (commy_failpoints_start, commy_failpoints_stop);
}

#define COMMY_FAILPOINT(NAME)                                              \
  ({                                                                       \
    static CommyFailpoint commy_failpoint_                                 \
        __attribute__ ((section ("commy_failpoints"), used, aligned (16))) \
        = { NAME, 0 };                                                     \
    commy_failpoint_hit != NULL &&commy_failpoint_hit (&commy_failpoint_); \
  })

#else
#define COMMY_FAILPOINT(NAME) (false)
#endif
