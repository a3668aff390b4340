/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sealed shared memory: making a segment that only its maker can write and nobody can shrink,
 * and taking one from a stranger only after everything that could hurt was ruled out. No GLib.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct
{
  uint8_t *data;
  size_t size;
} ShmSegment;

/* Makes, reserves, maps and seals a segment. On success *@out_fd is to be passed and closed.
 * On failure returns false with *@out_step naming the step, and errno. */
bool shm_segment_create (ShmSegment *self, size_t size, int *out_fd, const char **out_step);
/* Maps @fd read-only if it is exactly what shm_segment_create() makes, @size bytes long. Leaves
 * @fd open. On failure returns false with *@out_why, before anything was mapped. */
bool shm_segment_map (ShmSegment *self, int fd, size_t size, const char **out_why);
void shm_segment_clear (ShmSegment *self);
