/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Subsets: of many instances each node considers a few, so that neither its connections nor its
 * decisions grow with their number. Rendezvous hashing (Thaler and Ravishankar, 1998; gRPC's random
 * subsetting, proposal A68): every instance has a score of its own for each node, the least ones
 * are in. So all instances are in as many subsets, give or take chance, and one that comes or goes
 * changes at most one entry of each. Pure, nothing is allocated.
 */
#pragma once

#include <glib.h>

typedef struct
{
  guint32 rank;  /* lower ones are filled first */
  guint64 score; /* among equals */
} CommySubsetItem;

/* @seed: of the node; the same score in every process. */
guint64 commy_subset_score (guint64 seed, const char *instance);

/* The at most @k first of @items by rank and score. @out: room for MIN (@n, @k) indexes, the first
 * comes first. How many there are. */
guint commy_subset_choose (const CommySubsetItem *items, guint n, guint k, guint *out);
