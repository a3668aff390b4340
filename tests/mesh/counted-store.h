/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store of meshes of this process, with a count of what it is asked and what it tells: figures
 * that are the same on every machine.
 */
#pragma once

#include <commy/commy.h>

typedef struct
{
  guint64 asked;  /* ranges and watches */
  guint64 puts;   /* and deletions that were not refused */
  guint64 told;   /* changes */
  guint64 listed; /* entries of ranges */
  guint64 bytes;  /* of both */
  guint64 ended;  /* watches, by the store */
  guint64 failed; /* changes that the store did not acknowledge; it may have made them */
} StoreCounts;

/* On the mesh thread of one that has joined: what it asks from now on is counted. */
void counted_store_begin (CommyMesh *mesh);
/* Of all meshes; any thread. */
void counted_store_get (StoreCounts *out);
