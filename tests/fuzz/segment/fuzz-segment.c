/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer that shares memory and means harm: the input says what it writes into its segment, and
 * which packets it sends, between which steps of the side that reads. The plugin's own handshake,
 * segments, rings, arenas and bells are what runs. Nothing is left behind, whatever happened.
 */
#include "config.h"

#include "segment-peer.h"

#include <sys/mman.h>
#include <unistd.h>

#define STEPS_MAX 400

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
void *__real_mmap (void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap (void *at, size_t size);
void *__wrap_mmap (void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap (void *at, size_t size);

/* Maps of the plugin; the linker lets its calls pass here. */
static int n_maps; /* lint: allow-static a wrapped function has nowhere else to count */

void *
__wrap_mmap (void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
  /* A page that nobody looks at costs nothing then. */
  void *data = __real_mmap (at, size, protection, flags & ~MAP_POPULATE, fd, offset);

  n_maps += data != MAP_FAILED;
  return data;
}

int
__wrap_munmap (void *at, size_t size)
{
  n_maps--;
  return __real_munmap (at, size);
}

int
segment_count_maps (void)
{
  return n_maps;
}

/* The lowest number that is free: a leak raises it. */
static int
next_fd (void)
{
  int fd = dup (STDERR_FILENO);

  close (fd);
  return fd;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree Segment *self = g_new0 (Segment, 1);
  int fd = next_fd ();
  int maps = segment_count_maps ();

  self->input = (SegmentInput){ .at = data, .left = size };
  if (segment_meet (self))
    for (unsigned i = 0; i < STEPS_MAX && self->input.left > 0; i++)
      segment_step (self);
  segment_part (self);
  SEGMENT_CHECK (next_fd () == fd);
  SEGMENT_CHECK (segment_count_maps () == maps);
  return 0;
}
