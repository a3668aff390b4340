/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shares of the memory maps of a process: see the header.
 */
#include "config.h"

#include "commy-maps.h"

#include "plugins/common/commy-defence.h"

#include <stdio.h>
#include <stdlib.h>

#define KERNELS_DEFAULT 65530u

const char shm_maps_full[]
    = "the peer's user has all the memory mapped here that it may have: param.maps-max of "
      "transport/shm, by default half of vm.max_map_count, is shared between users";

uint32_t
shm_maps_default (void)
{
  unsigned long maps = KERNELS_DEFAULT;
  FILE *file = fopen ("/proc/sys/vm/max_map_count", "re");

  if (file != NULL)
    {
      if (fscanf (file, "%lu", &maps) != 1)
        maps = KERNELS_DEFAULT;
      fclose (file);
    }
  return maps / 2 < UINT32_MAX ? (uint32_t) (maps / 2) : UINT32_MAX;
}

void
shm_maps_init (ShmMaps *self, uint32_t limit, uint32_t own_uid)
{
  *self = (ShmMaps){ .limit = limit, .for_others = limit - limit / 4, .own_uid = own_uid };
  pthread_mutex_init (&self->lock, NULL);
}

void
shm_maps_clear (ShmMaps *self)
{
  free (self->others);
  self->others = NULL;
  pthread_mutex_destroy (&self->lock);
}

static ShmMapsUser *
find (ShmMaps *self, uint32_t uid)
{
  for (uint32_t i = 0; i < self->n_others; i++)
    if (self->others[i].uid == uid)
      return &self->others[i];
  return NULL;
}

static ShmMapsUser *
add (ShmMaps *self, uint32_t uid)
{
  ShmMapsUser *others = realloc (self->others, (self->n_others + 1) * sizeof *others);

  if (others == NULL)
    return NULL;
  self->others = others;
  others[self->n_others] = (ShmMapsUser){ .uid = uid };
  return &others[self->n_others++];
}

/* The first of a newcomer is never too much while there is one. */
static bool
is_within_share (const ShmMaps *self, uint32_t maps)
{
  uint32_t n_users = self->n_others + (maps == 0 ? 1 : 0);
  uint32_t left
      = self->used_by_others < self->for_others ? self->for_others - self->used_by_others : 0;
  uint32_t share = (left + maps) / (n_users + 1);

  return !COMMY_DEFENCE (18, left == 0 || maps + 1 > (share > 1 ? share : 1));
}

static bool
take_for_other (ShmMaps *self, uint32_t uid)
{
  ShmMapsUser *user = find (self, uid);

  if (!is_within_share (self, user != NULL ? user->maps : 0))
    return false;
  if (user == NULL)
    user = add (self, uid);
  if (user == NULL)
    return false;
  user->maps++;
  self->used_by_others++;
  return true;
}

bool
shm_maps_take (ShmMaps *self, uint32_t uid)
{
  bool taken;

  if (self == NULL)
    return true;
  pthread_mutex_lock (&self->lock);
  taken = !COMMY_DEFENCE (18, self->used >= self->limit)
          && (uid == self->own_uid || take_for_other (self, uid));
  self->used += taken;
  pthread_mutex_unlock (&self->lock);
  return taken;
}

void
shm_maps_give (ShmMaps *self, uint32_t uid)
{
  ShmMapsUser *user;

  if (self == NULL)
    return;
  pthread_mutex_lock (&self->lock);
  self->used--;
  user = uid == self->own_uid ? NULL : find (self, uid);
  if (user != NULL)
    {
      self->used_by_others--;
      if (--user->maps == 0)
        *user = self->others[--self->n_others];
    }
  pthread_mutex_unlock (&self->lock);
}
