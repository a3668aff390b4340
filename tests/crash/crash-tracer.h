/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a script of two sides, the victim in a process that is stepped instruction by
 * instruction; at chosen boundaries a copy of the survivor lives through the victim's death.
 */
#pragma once

#include "crash-side.h"

typedef struct
{
  const CrashStep *steps;
  uint32_t n_steps;
  uint32_t from; /* the first step of which boundaries are looked at */
  /* Every `stride`th boundary is looked at, `phase` first. */
  uint64_t stride;
  uint64_t phase;
} CrashPlan;

typedef struct
{
  uint64_t boundaries; /* in the library or in a message being written */
  uint64_t checked;
  bool refused; /* tracing is not allowed here */
  char fault[256];
} CrashReport;

void crash_trace (const CrashPlan *plan, CrashReport *report);
