/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many pieces of other processes' memory this one has mapped, and for which user. The kernel
 * lets a process have so many (vm.max_map_count), and one that has no more cannot even allocate:
 * what peers announce ends far below that, and no user takes all of it. The rule is the core's for
 * seats: at most 1/(n+1) of what n users left free; one's own user may have all. No GLib. Any
 * thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What is told when there are no more: one text, which is compared by its address. */
extern const char shm_maps_full[];

typedef struct
{
  uint32_t uid;
  uint32_t maps;
} ShmMapsUser;

typedef struct
{
  pthread_mutex_t lock; /* protects what follows the next three */
  uint32_t limit;
  uint32_t for_others;
  uint32_t own_uid;
  uint32_t used;
  uint32_t used_by_others;
  ShmMapsUser *others; /* who has some, in no order; one's own user is not among them */
  uint32_t n_others;
} ShmMaps;

/* Half of what the kernel lets a process have. */
uint32_t shm_maps_default (void);
void shm_maps_init (ShmMaps *self, uint32_t limit, uint32_t own_uid);
void shm_maps_clear (ShmMaps *self);
/* One more; false: there is none for that user. Without @self nothing is counted. */
bool shm_maps_take (ShmMaps *self, uint32_t uid);
void shm_maps_give (ShmMaps *self, uint32_t uid);
