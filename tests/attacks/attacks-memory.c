/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attacks with and on the memory itself: what a peer hands over that is not what it should be,
 * and what it tries with what it was given.
 */
#include "config.h"

#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Reads everything the peer's memory has, as a reader of messages would sooner or later. */
static guint
read_all (gpointer connection)
{
  const ShmLink *link = connection;
  guint sum = 0;

  for (gsize i = 0; i < link->peer.size; i += 64)
    sum += *(volatile const guint8 *) (link->peer.data + i);
  return sum;
}

/* Each of @n tries: the hostile one says when it has struck, whether or not it was let in. */
static AttackEnd
receive_tries (HostilePlay play, guint n)
{
  Victim victim;
  Hostile hostile;
  guint let_in = 0;

  victim_open (&victim);
  hostile = hostile_start (play, shm_test_host_address (victim.host));
  for (guint i = 0; i < n; i++)
    {
      gpointer connection = victim_let_in (&victim);
      char word = hostile_hear (hostile.control);

      g_assert_true ((word == 's') == (connection != NULL));
      if (connection != NULL)
        {
          let_in++;
          read_all (connection);
          shm_test_host_close (victim.host, connection);
        }
      hostile_say (hostile.control, 'n');
    }
  hostile_end (&hostile);
  victim_close (&victim);
  return let_in == 0 ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* 1: memory that its maker can still shrink. */
static const int weak_seals[] = { F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
                                  0,
                                  F_SEAL_SEAL,
                                  F_SEAL_GROW,
                                  F_SEAL_SHRINK,
                                  F_SEAL_FUTURE_WRITE,
                                  F_SEAL_SHRINK | F_SEAL_GROW,
                                  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE,
                                  F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL,
                                  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static void
play_truncation (int control, gconstpointer address)
{
  for (guint i = 0; i < G_N_ELEMENTS (weak_seals); i++)
    {
      HostilePeer peer;
      guint8 *own;
      int fd = hostile_memory (TRUE, weak_seals[i], &own);
      gboolean in = hostile_connect (&peer, address, fd, own);

      if (in && ftruncate (fd, 0) < 0)
        g_assert_cmpint (errno, ==, EPERM);
      hostile_say (control, in ? 's' : 'r');
      hostile_hear (control);
    }
}

AttackEnd
attack_truncation (void)
{
  return receive_tries (play_truncation, G_N_ELEMENTS (weak_seals));
}

/* 2: descriptors that are no memory. The first is a file, which can shrink and whose pages come
 * from who knows where. */
static int
make_file (const char *where)
{
  g_autofree char *path = g_strdup_printf ("%s/attack-%d", where, (int) getpid ());
  g_autofree guint8 *bytes = g_malloc0 (HOSTILE_BYTES);
  int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  hostile_fill_header (bytes);
  g_unlink (path);
  g_assert_cmpint (write (fd, bytes, HOSTILE_BYTES), ==, HOSTILE_BYTES);
  return fd;
}

static void
make_kinds (int *fds)
{
  int pair[2];

  fds[0] = make_file (g_getenv ("G_TEST_BUILDDIR"));
  fds[1] = make_file ("/dev/shm");
  g_assert_cmpint (pipe2 (pair, O_CLOEXEC), ==, 0);
  fds[2] = pair[0];
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  fds[3] = pair[0];
  fds[4] = open ("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fds[5] = open ("/dev/zero", O_RDWR | O_CLOEXEC);
  fds[6] = memfd_create ("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  if (fds[6] < 0)
    fds[6] = open ("/proc/self/exe", O_PATH | O_CLOEXEC);
}

static void
play_no_memory (int control, gconstpointer address)
{
  int fds[7];

  make_kinds (fds);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      HostilePeer peer;
      gboolean in = hostile_connect (&peer, address, fds[i], NULL);

      if (in && ftruncate (fds[i], 0) < 0)
        g_assert_cmpint (errno, ==, EINVAL);
      hostile_say (control, in ? 's' : 'r');
      hostile_hear (control);
    }
}

AttackEnd
attack_no_memory (void)
{
  struct statfs build;

  g_assert_cmpint (statfs (g_getenv ("G_TEST_BUILDDIR"), &build), ==, 0);
  if (build.f_type == TMPFS_MAGIC)
    return attack_not_here ("the build tree is on tmpfs, whose files have seals");
  return receive_tries (play_no_memory, 7);
}

/* 3: the five ways to write what was given for reading. */
static guint
try_to_write (const HostilePeer *peer)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", peer->their_fd);
  int again = open (path, O_RDWR | O_CLOEXEC);
  guint managed = 0;

  for (const int *fd = (int[]){ again, peer->their_fd, -1 }; *fd >= 0; fd++)
    {
      guint8 *map = mmap (NULL, HOSTILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);

      managed += pwrite (*fd, "evil", 4, 200) == 4;
      managed += fallocate (*fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
      managed += ftruncate (*fd, 0) == 0;
      if (map == MAP_FAILED)
        continue;
      managed++;
      memset (map + 200, 0xee, 4);
    }
  if (mprotect ((gpointer) peer->theirs, HOSTILE_BYTES, PROT_READ | PROT_WRITE) == 0)
    managed++;
  return managed;
}

static void
play_writing (int control, gconstpointer address)
{
  HostilePeer peer;

  hostile_become (HOSTILE_USER);
  hostile_connect_well (&peer, address);
  hostile_hear (control);
  hostile_say (control, (char) try_to_write (&peer));
  pause ();
}

AttackEnd
attack_writing (void)
{
  Victim victim;
  Hostile hostile;
  gpointer connection;
  const ShmLink *link;
  g_autofree guint8 *before = NULL;
  gboolean same;
  char managed;

  victim_open (&victim);
  hostile = hostile_start (play_writing, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  g_assert_nonnull (connection);
  link = connection;
  before = g_memdup2 (link->own.data, link->own.size);
  hostile_say (hostile.control, 'n');
  managed = hostile_hear (hostile.control);
  same = memcmp (before, link->own.data, link->own.size) == 0;
  hostile_end (&hostile);
  shm_test_host_close (victim.host, connection);
  victim_close (&victim);
  return same && managed == 0 ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* 4: a hole under what is being read. */
static void
play_holes (int control, gconstpointer address)
{
  HostilePeer peer;
  guint8 *own;
  int fd = hostile_memory (TRUE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, &own);
  gboolean in = hostile_connect (&peer, address, fd, own);

  if (in)
    {
      guint8 *room;

      g_assert_cmpint (shm_producer_reserve (&peer.tx, 1000, &room), ==, SHM_OK);
      memset (room, 'x', 1000);
      shm_producer_commit (&peer.tx, 1000);
      shm_producer_publish (&peer.tx);
    }
  hostile_say (control, in ? 's' : 'r');
  hostile_hear (control);
  g_assert_cmpint (
      fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SHM_HEADER_BYTES, HOSTILE_RING),
      ==, 0);
  hostile_say (control, 'p');
  pause ();
}

AttackEnd
attack_holes (void)
{
  Victim victim;
  Hostile hostile;
  gpointer connection;
  AttackEnd end = ATTACK_REPELLED;

  victim_open (&victim);
  hostile = hostile_start (play_holes, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  hostile_hear (hostile.control);
  if (connection != NULL)
    {
      CommyMessage message;

      g_assert_true (shm_test_receive (victim.host, connection, &message));
      g_assert_cmpint (message.data[500], ==, 'x');
      hostile_say (hostile.control, 'n');
      hostile_hear (hostile.control);
      end = ((volatile const guint8 *) message.data)[500] == 'x' ? ATTACK_REPELLED : ATTACK_WRONG;
      victim.host->ops->release (connection, &message);
      shm_test_host_close (victim.host, connection);
    }
  hostile_end (&hostile);
  victim_close (&victim);
  return end;
}

/* 5: memory without pages, which whoever reads it first pays for. */
static void
play_sparse (int control, gconstpointer address)
{
  HostilePeer peer;
  struct stat status;
  guint8 *own;
  int fd = hostile_memory (FALSE, HOSTILE_SEALS, &own);

  hostile_fill_header (own); /* one page is there */
  hostile_connect (&peer, address, fd, own);
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  hostile_say (control, status.st_blocks * 512 > SHM_HEADER_BYTES ? 'p' : 's');
  pause ();
}

AttackEnd
attack_sparse (void)
{
  Victim victim;
  Hostile hostile;
  gpointer connection;
  char word;

  victim_open (&victim);
  hostile = hostile_start (play_sparse, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  if (connection != NULL)
    shm_test_host_close (victim.host, connection);
  word = hostile_hear (hostile.control);
  hostile_end (&hostile);
  victim_close (&victim);
  return word == 's' && connection == NULL ? ATTACK_REPELLED : ATTACK_LEAK;
}

/* 10: memory that two peers see; one writes what the other reads. */
typedef struct
{
  int memory_fd;
} Shared;

static void
play_neighbour (int control, gconstpointer data)
{
  const Shared *shared = data;
  HostilePeer peer = { .their_fd = shared->memory_fd };

  hostile_become (HOSTILE_USER);
  peer.theirs = mmap (NULL, HOSTILE_BYTES, PROT_READ, MAP_SHARED, shared->memory_fd, 0);
  hostile_hear (control);
  hostile_say (control, (char) try_to_write (&peer));
  pause ();
}

/* The victim is the reader of what a third one writes for both. */
AttackEnd
attack_neighbours (void)
{
  Shared shared;
  ShmSegment written;
  ShmSegment read;
  Hostile hostile;
  const char *why;
  gboolean same = TRUE;
  char managed;

  g_assert_true (shm_segment_create (&written, HOSTILE_BYTES, &shared.memory_fd, &why));
  memset (written.data, 'm', written.size);
  hostile = hostile_start (play_neighbour, &shared);
  g_assert_true (shm_segment_map (&read, shared.memory_fd, HOSTILE_BYTES, &why));
  hostile_say (hostile.control, 'n');
  managed = hostile_hear (hostile.control);
  for (gsize i = 0; i < read.size; i++)
    same = same && read.data[i] == 'm';
  hostile_end (&hostile);
  shm_segment_clear (&read);
  shm_segment_clear (&written);
  close (shared.memory_fd);
  return same && managed == 0 ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* --- 18: memory without end --- */

#define MAPS_MAX 64u
#define ANNOUNCED 45u /* of either kind, so that they are within the arena */

typedef struct
{
  guint32 kind; /* as the link's packets have it: 1 of the arena, 3 of a pool */
  guint32 id;
  guint64 size;
} Announcement;

static void
play_maps (int control, gconstpointer address)
{
  HostilePeer peer;
  guint8 *data;
  int fd = hostile_memory (TRUE, HOSTILE_SEALS, &data);

  hostile_become (HOSTILE_USER);
  hostile_connect_well (&peer, address);
  for (guint32 id = 0; id < ANNOUNCED; id++)
    for (guint32 kind = 1; kind <= 3; kind += 2)
      {
        const Announcement announcement = { .kind = kind, .id = id, .size = HOSTILE_BYTES };

        hostile_send_fds (peer.socket_fd, &announcement, sizeof announcement, &fd, 1);
      }
  hostile_say (control, 's');
  pause ();
}

static void
play_newcomer (int control, gconstpointer address)
{
  HostilePeer peer;

  hostile_become (BYSTANDER_USER);
  hostile_connect_well (&peer, address);
  hostile_say (control, 's');
  pause ();
}

static guint
count_foreign_maps (void)
{
  g_autofree char *text = NULL;
  guint n = 0;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &text, NULL, NULL));
  for (const char *at = text; (at = strstr (at, "memfd:hostile")) != NULL; at++)
    n++;
  return n;
}

/* Takes turns until the connection is at its end, or all was sent and taken. How many maps came in
 * one of them, at most. */
static guint
take_announcements (const Victim *victim, gpointer connection, const Hostile *hostile)
{
  const CommyTransportOps *ops = victim->host->ops;
  guint most = 0;

  while (ops->why (connection) == NULL)
    {
      struct pollfd fds[] = { { .fd = ops->fd (connection), .events = POLLIN },
                              { .fd = hostile->control, .events = POLLIN } };
      guint before = count_foreign_maps ();
      guint events;

      poll (fds, G_N_ELEMENTS (fds), -1);
      if (fds[0].revents == 0)
        break;
      ops->arm (connection, COMMY_INTEREST_READ, &events);
      most = MAX (most, count_foreign_maps () - before);
    }
  return most;
}

/* What the one user has does not keep the next from coming in. */
static gboolean
is_newcomer_let_in (Victim *victim)
{
  Hostile newcomer = hostile_start (play_newcomer, shm_test_host_address (victim->host));
  gpointer connection = victim_let_in (victim);

  hostile_end (&newcomer);
  if (connection == NULL)
    return FALSE;
  shm_test_host_close (victim->host, connection);
  return TRUE;
}

AttackEnd
attack_maps (void)
{
  Victim victim;
  Hostile hostile;
  gpointer connection;
  guint in_a_turn, mapped;
  gboolean told, newcomer;
  g_autofree char *why = NULL;

  victim_open_with (&victim, "maps-max=64");
  hostile = hostile_start (play_maps, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  g_assert_nonnull (connection);
  in_a_turn = take_announcements (&victim, connection, &hostile);
  mapped = count_foreign_maps ();
  why = g_strdup (victim.host->ops->why (connection));
  told = why != NULL && strstr (why, "maps-max") != NULL;
  newcomer = geteuid () != 0 || is_newcomer_let_in (&victim);
  g_print ("# %u of %u announced are mapped, %u in a turn: %s\n", mapped, 2 * ANNOUNCED, in_a_turn,
           why != NULL ? why : "all is well");
  hostile_end (&hostile);
  shm_test_host_close (victim.host, connection);
  victim_close (&victim);
  if (!newcomer)
    return ATTACK_DENIED;
  return told && in_a_turn <= 1 && mapped <= MAPS_MAX && count_foreign_maps () == 0
             ? ATTACK_REPELLED
             : ATTACK_LEAK;
}
