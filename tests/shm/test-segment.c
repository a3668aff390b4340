/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors from strangers: whatever is not exactly a sealed, full segment of the announced
 * size is refused before it is mapped; and what we hand out cannot be written by anybody else.
 */
#include "config.h"

#include "plugins/shm/commy-maps.h"
#include "plugins/shm/commy-segment.h"
#include "shm-host.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SIZE 8192
#define ALL (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* Closes @fd. */
static void
refused (int fd, const char *what)
{
  ShmSegment segment;
  const char *why = NULL;
  guint n_maps = shm_test_count_maps ();

  g_test_message ("%s", what);
  g_assert_cmpint (fd, >=, 0);
  g_assert_false (shm_segment_map (&segment, fd, SIZE, &why));
  g_assert_nonnull (why);
  g_assert_null (segment.data);
  g_assert_cmpuint (shm_test_count_maps (), ==, n_maps);
  close (fd);
}

static int
memory (off_t size, gboolean full, int seals)
{
  int fd = memfd_create ("commy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (ftruncate (fd, size), ==, 0);
  if (full)
    g_assert_cmpint (posix_fallocate (fd, 0, size), ==, 0);
  if (seals != 0)
    g_assert_cmpint (fcntl (fd, F_ADD_SEALS, seals), ==, 0);
  return fd;
}

static void
test_seals (void)
{
  const int bits[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL, F_SEAL_WRITE };

  /* Every combination but the one. */
  for (guint mask = 0; mask < 32; mask++)
    {
      int seals = 0;

      for (guint i = 0; i < G_N_ELEMENTS (bits); i++)
        if ((mask & (1u << i)) != 0)
          seals |= bits[i];
      if (seals != ALL)
        refused (memory (SIZE, TRUE, seals), "other seals");
    }
}

static void
test_accepted (void)
{
  ShmSegment segment;
  const char *why;
  int fd = memory (SIZE, TRUE, ALL);

  g_assert_true (shm_segment_map (&segment, fd, SIZE, &why));
  close (fd);
  shm_segment_clear (&segment);
}

static void
test_sizes (void)
{
  refused (memory (SIZE - 1, TRUE, ALL), "a byte short");
  refused (memory (SIZE / 2, TRUE, ALL), "half");
  refused (memory (SIZE * 2, TRUE, ALL), "twice");
  refused (memory (0, FALSE, ALL), "empty");
  refused (memory (SIZE, FALSE, ALL), "sparse");
}

static void
test_kinds (void)
{
  int pipes[2];
  int sockets[2];
  g_autofree char *path = g_strdup_printf ("/dev/shm/commy-test-%d", (int) getpid ());
  int fd;

  g_assert_cmpint (pipe2 (pipes, O_CLOEXEC), ==, 0);
  refused (pipes[0], "the reading end of a pipe");
  refused (pipes[1], "the writing end of a pipe");
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), ==, 0);
  refused (sockets[0], "a socket");
  close (sockets[1]);
  refused (open ("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "a directory");
  refused (open ("/dev/zero", O_RDWR | O_CLOEXEC), "/dev/zero");
  refused (open ("/proc/self/exe", O_RDONLY | O_CLOEXEC), "a file");
  refused (open ("/proc/self/exe", O_PATH | O_CLOEXEC), "a path");
  fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd >= 0)
    {
      g_unlink (path);
      g_assert_cmpint (posix_fallocate (fd, 0, SIZE), ==, 0);
      refused (fd, "a file in /dev/shm, which can shrink");
    }
  fd = memfd_create ("commy", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  if (fd >= 0)
    refused (fd, "huge pages");
}

static void
test_enforced (void)
{
  ShmSegment own;
  ShmSegment peer;
  const char *why;
  int fd;
  g_autofree char *path = NULL;
  int again;

  g_assert_true (shm_segment_create (&own, SIZE, &fd, &why));
  g_assert_true (shm_segment_map (&peer, fd, SIZE, &why));
  own.data[5] = 17;
  g_assert_cmpuint (peer.data[5], ==, 17);
  g_assert_cmpint (mprotect (peer.data, SIZE, PROT_READ | PROT_WRITE), ==, -1);
  path = g_strdup_printf ("/proc/self/fd/%d", fd);
  again = open (path, O_RDWR | O_CLOEXEC);
  for (int *writer = (int[]){ fd, again, -1 }; *writer >= 0; writer++)
    {
      g_assert_cmpint (pwrite (*writer, "x", 1, 0), ==, -1);
      g_assert_cmpint (errno, ==, EPERM);
      g_assert_true (mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, *writer, 0)
                     == MAP_FAILED);
      g_assert_cmpint (fallocate (*writer, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), ==,
                       -1);
      g_assert_cmpint (ftruncate (*writer, 0), ==, -1);
      g_assert_cmpint (ftruncate (*writer, SIZE * 2), ==, -1);
    }
  if (again >= 0)
    close (again);
  close (fd);
  g_assert_cmpuint (peer.data[5], ==, 17);
  shm_segment_clear (&own);
  shm_segment_clear (&peer);
}

/* A lack of memory is an error that names the step. */
static void
test_no_memory (void)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      const struct rlimit limit = { 1 << 20, 1 << 20 };
      ShmSegment segment;
      const char *step = NULL;
      int fd;

      signal (SIGXFSZ, SIG_IGN);
      setrlimit (RLIMIT_FSIZE, &limit);
      if (shm_segment_create (&segment, 4 << 20, &fd, &step) || step == NULL || errno != EFBIG)
        _exit (1);
      _exit (shm_segment_create (&segment, 4096, &fd, &step) ? 0 : 2);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

/* Pages of shared memory that this process has mapped. */
static long
count_shared_pages (void)
{
  g_autofree char *text = NULL;
  long size, resident, shared;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  g_assert_cmpint (sscanf (text, "%ld %ld %ld", &size, &resident, &shared), ==, 3);
  return shared;
}

/* How much a stranger announces is not how long it takes. */
static void
test_pages (void)
{
  const gsize large = 16 << 20;
  const long pages = (long) large / sysconf (_SC_PAGESIZE);
  ShmSegment own, peer;
  const char *why;
  long before;
  int fd;

  g_assert_true (shm_segment_create (&own, large, &fd, &why));
  own.data[large - 1] = 17;
  before = count_shared_pages ();
  g_assert_true (shm_segment_map (&peer, fd, large, &why));
  g_assert_cmpint (count_shared_pages () - before, <, pages / 2);
  g_assert_cmpuint (peer.data[large - 1], ==, 17);
  close (fd);
  shm_segment_clear (&own);
  shm_segment_clear (&peer);
}

static guint
take_all (ShmMaps *maps, guint32 uid)
{
  guint n = 0;

  while (shm_maps_take (maps, uid))
    n++;
  return n;
}

/* 100, of which others may have 75: half of that is the first one's, half of the rest the next's.
 */
static void
test_maps (void)
{
  ShmMaps maps;

  g_assert_cmpuint (shm_maps_default (), >, 1000);
  shm_maps_init (&maps, 100, 7);
  g_assert_cmpuint (take_all (&maps, 1), ==, 37);
  g_assert_cmpuint (take_all (&maps, 2), ==, 12);
  for (guint32 uid = 10; uid < 20; uid++)
    g_assert_true (shm_maps_take (&maps, uid));
  g_assert_false (shm_maps_take (&maps, 1));
  g_assert_cmpuint (take_all (&maps, 7), ==, 41);
  g_assert_false (shm_maps_take (&maps, 21));
  for (guint i = 0; i < 41; i++)
    shm_maps_give (&maps, 7);
  for (guint i = 0; i < 37; i++)
    shm_maps_give (&maps, 1);
  g_assert_true (shm_maps_take (&maps, 21));
  g_assert_cmpuint (maps.n_others, ==, 12);
  g_assert_cmpuint (maps.used, ==, 12 + 10 + 1);
  g_assert_true (shm_maps_take (NULL, 1));
  shm_maps_clear (&maps);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/shm/segment/the-right-one-is-taken", test_accepted);
  g_test_add_func ("/shm/segment/any-other-seals-are-refused", test_seals);
  g_test_add_func ("/shm/segment/any-other-size-is-refused", test_sizes);
  g_test_add_func ("/shm/segment/any-other-kind-is-refused", test_kinds);
  g_test_add_func ("/shm/segment/nobody-else-can-write-shrink-or-punch", test_enforced);
  g_test_add_func ("/shm/segment/no-memory-is-an-error", test_no_memory);
  g_test_add_func ("/shm/segment/large-ones-are-mapped-without-their-pages", test_pages);
  g_test_add_func ("/shm/segment/maps-are-shared-between-users", test_maps);
  return g_test_run ();
}
