/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sealed shared memory. The maker maps the memory for writing first and then forbids every
 * other way to write it; what it hands out can be read, and nothing else, even by another
 * process of the same user that opens the descriptor anew.
 */
#include "config.h"

#include "commy-segment.h"

#include "commy-ring.h"
#include "plugins/common/commy-defence.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
#define BLOCK_BYTES 512
/* The size of a stranger's memory is his to choose, and so would be the time that it takes to map
 * its pages. Rings and the common loans are smaller; of larger memory the kernel maps sixteen pages
 * at a time when they are read. */
#define FOREIGN_POPULATE_MAX (SHM_HEADER_BYTES + (1u << 20))

static int
open_memory (void)
{
  int fd = memfd_create ("commy", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

  /* Kernels before 6.3 do not know the flag. */
  if (fd < 0 && errno == EINVAL)
    fd = memfd_create ("commy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return fd;
}

static bool
map (ShmSegment *self, int fd, size_t size, int protection, int flags)
{
  void *data = mmap (NULL, size, protection, MAP_SHARED | flags, fd, 0);

  if (data == MAP_FAILED)
    return false;
  self->data = data;
  self->size = size;
  /* A forked child must not write into, nor keep, what belongs to its parent's peers. */
  if (!COMMY_DEFENCE (15, true) || madvise (data, size, MADV_DONTFORK) == 0)
    return true;
  shm_segment_clear (self);
  return false;
}

/* What keeps others from writing to, and from punching holes into, what we write: one peer alone
 * (3), and the next one whom the same memory is shown to (10). */
static int
own_seals (void)
{
  return COMMY_DEFENCE (3, COMMY_DEFENCE (10, true)) ? SEALS : SEALS & ~F_SEAL_FUTURE_WRITE;
}

/* Pages are reserved now, so that a lack of memory is an error here and not a signal later. */
static bool
fill_and_seal (ShmSegment *self, int fd, size_t size, const char **out_step)
{
  *out_step = "sizing shared memory";
  if (ftruncate (fd, (off_t) size) < 0)
    return false;
  *out_step = "reserving shared memory";
  errno = posix_fallocate (fd, 0, (off_t) size);
  if (errno != 0)
    return false;
  *out_step = "mapping shared memory";
  if (!map (self, fd, size, PROT_READ | PROT_WRITE, MAP_POPULATE))
    return false;
  *out_step = "sealing shared memory";
  if (fcntl (fd, F_ADD_SEALS, own_seals ()) == 0)
    return true;
  shm_segment_clear (self);
  return false;
}

bool
shm_segment_create (ShmSegment *self, size_t size, int *out_fd, const char **out_step)
{
  int fd = open_memory ();
  int saved_errno;

  *self = (ShmSegment){ 0 };
  *out_step = "creating shared memory";
  if (fd < 0)
    return false;
  if (fill_and_seal (self, fd, size, out_step))
    {
      *out_fd = fd;
      return true;
    }
  saved_errno = errno;
  close (fd);
  errno = saved_errno;
  return false;
}

/* A /dev/shm file answers too: the very bits count. NOEXEC_SEAL adds one that is harmless. */
static bool
are_right_seals (int seals)
{
  int differences = (seals & ~F_SEAL_EXEC) ^ SEALS;

  if (COMMY_DEFENCE (1, (differences & ~F_SEAL_FUTURE_WRITE) != 0))
    return false;
  return !COMMY_DEFENCE (4, COMMY_DEFENCE (10, (differences & F_SEAL_FUTURE_WRITE) != 0));
}

/* NULL, or why this is not memory. */
static const char *
check_kind (int fd, const struct stat *status)
{
  struct statfs file_system;

  if (!S_ISREG (status->st_mode))
    return "the descriptor is not a regular file";
  if (fstatfs (fd, &file_system) < 0 || file_system.f_type != TMPFS_MAGIC)
    return "the memory is not of tmpfs";
  return fcntl (fd, F_GET_SEALS) < 0 ? "the descriptor is not sealable memory" : NULL;
}

/* NULL, or what is wrong with a descriptor from outside. Nothing here touches its memory. */
static const char *
check (int fd, size_t size)
{
  struct stat status;
  const char *why;
  int seals = fcntl (fd, F_GET_SEALS);

  if (fstat (fd, &status) < 0)
    return "the descriptor is none";
  why = check_kind (fd, &status);
  if (COMMY_DEFENCE (2, why != NULL))
    return why;
  if (seals >= 0 && !are_right_seals (seals))
    return "the memory does not have the seals it must have";
  if (status.st_size < 0 || (uint64_t) status.st_size != size)
    return "the memory does not have the size that was announced";
  if (COMMY_DEFENCE (5, (uint64_t) status.st_blocks * BLOCK_BYTES < size))
    return "the memory has holes";
  return NULL;
}

bool
shm_segment_map (ShmSegment *self, int fd, size_t size, const char **out_why)
{
  *self = (ShmSegment){ 0 };
  *out_why = check (fd, size);
  if (*out_why != NULL)
    return false;
  if (map (self, fd, size, PROT_READ, size <= FOREIGN_POPULATE_MAX ? MAP_POPULATE : 0))
    return true;
  *out_why = "the memory cannot be mapped";
  return false;
}

void
shm_segment_clear (ShmSegment *self)
{
  if (self->data != NULL)
    munmap (self->data, self->size);
  *self = (ShmSegment){ 0 };
}
