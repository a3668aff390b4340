/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chance for tests of policies: from a fixed seed, so a case is the same in every run.
 */
#pragma once

#include "simulate/commy-sim-random.h"

#define MS G_GINT64_CONSTANT (1000000)
#define SECOND (1000 * MS)
/* A steady clock says anything at the beginning, but never 0. */
#define START (12345 * SECOND)
