/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attacks through processes, descriptors and names: what is passed, what outlives whom, who is
 * taken for whom, and what stands where a door is to be.
 */
#include "config.h"

#include "attack.h"
#include "plugins/common/commy-door.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- 12: descriptors that nobody asked for --- */

#define PACKETS_A_PEER 10

/* A socket with bytes that nobody reads, whose last close waits an hour for them. */
static int
lingering_socket (void)
{
  const struct linger an_hour = { 1, 3600 };
  struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof name;
  int listening = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char bytes[4096] = { 0 };

  if (bind (listening, (struct sockaddr *) &name, sizeof name) < 0 || listen (listening, 1) < 0
      || getsockname (listening, (struct sockaddr *) &name, &size) < 0
      || connect (fd, (struct sockaddr *) &name, size) < 0)
    return -1;
  while (send (fd, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
    ;
  setsockopt (fd, SOL_SOCKET, SO_LINGER, &an_hour, sizeof an_hour);
  return fd;
}

/* All in one go, before the victim looks; the first packet ends the set-up, the rest waits in the
 * socket. */
static void
play_descriptors (int control, gconstpointer address)
{
  const guint n_peers = attack_count (1000) / PACKETS_A_PEER;
  int fds[253];

  fds[0] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  for (guint i = 1; i < G_N_ELEMENTS (fds); i++)
    fds[i] = fds[0];
  for (guint i = 0; i < n_peers; i++)
    {
      int socket_fd = hostile_knock (address);

      fcntl (socket_fd, F_SETFL, O_NONBLOCK);
      for (guint k = 0; k < PACKETS_A_PEER; k++)
        hostile_send_fds (socket_fd, &hostile_hello, sizeof hostile_hello, fds,
                          2 + (i * PACKETS_A_PEER + k) % 252);
      hostile_hear (control);
      close (socket_fd);
    }
  hostile_say (control, 's');
  pause ();
}

/* The same when the victim has no descriptor left: what cannot come is noticed. */
static void
play_last_descriptor (int control, gconstpointer address)
{
  guint8 *own;
  int fd = hostile_memory (TRUE, HOSTILE_SEALS, &own);
  int socket_fd = hostile_knock (address);

  hostile_hear (control);
  hostile_send_fds (socket_fd, &hostile_hello, sizeof hostile_hello, &fd, 1);
  hostile_say (control, 's');
  pause ();
}

static void
refuse_without_room (Victim *victim)
{
  guint failed = victim->host->n_failed;
  struct rlimit old;
  struct rlimit tight;
  Hostile hostile = hostile_start (play_last_descriptor, shm_test_host_address (victim->host));

  while (victim->host->pending->len == 0)
    shm_test_host_iterate (victim->host);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &old), ==, 0);
  tight = old;
  tight.rlim_cur = 3;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &tight), ==, 0);
  hostile_say (hostile.control, 'n');
  while (victim->host->n_failed == failed)
    shm_test_host_iterate (victim->host);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &old), ==, 0);
  hostile_end (&hostile);
}

AttackEnd
attack_descriptors (void)
{
  const guint n_peers = attack_count (1000) / PACKETS_A_PEER;
  guint before = shm_test_count_fds ();
  Victim victim;
  Hostile hostile;
  guint after;

  victim_open (&victim);
  hostile = hostile_start (play_descriptors, shm_test_host_address (victim.host));
  for (guint i = 0; i < n_peers; i++)
    {
      g_assert_null (victim_let_in (&victim));
      hostile_say (hostile.control, 'n');
    }
  hostile_hear (hostile.control);
  hostile_end (&hostile);
  refuse_without_room (&victim);
  victim_close (&victim);
  after = shm_test_count_fds ();
  g_print ("# %u packets, %d descriptors stayed\n", n_peers * PACKETS_A_PEER,
           (int) after - (int) before);
  return after == before ? ATTACK_REPELLED : ATTACK_LEAK;
}

/* Its last holder is the victim. */
static void
play_lingering (int control, gconstpointer address)
{
  int socket_fd = hostile_knock (address);
  int last = lingering_socket ();

  g_assert_cmpint (last, >=, 0);
  hostile_send_fds (socket_fd, &hostile_hello, sizeof hostile_hello, &last, 1);
  close (last);
  hostile_say (control, 's');
  pause ();
}

AttackEnd
attack_lingering (void)
{
  Victim victim;
  Hostile hostile;

  victim_open (&victim);
  hostile = hostile_start (play_lingering, shm_test_host_address (victim.host));
  hostile_hear (hostile.control);
  g_assert_null (victim_let_in (&victim));
  hostile_end (&hostile);
  victim_close (&victim);
  return ATTACK_REPELLED;
}

/* --- 13: a peer that is dead and does not look it --- */

/* Its child keeps the socket open, and nobody asks how the peer itself ended. */
static void
play_zombie (int control, gconstpointer address)
{
  HostilePeer peer;

  if (geteuid () == 0)
    g_assert_cmpint (setresuid (HOSTILE_USER, HOSTILE_USER, 0), ==, 0);
  hostile_connect_well (&peer, address);
  /* Who it is now does not matter any more. */
  if (getuid () == HOSTILE_USER)
    g_assert_cmpint (setresuid (0, 0, 0), ==, 0);
  hostile_say (control, 's');
  hostile_hear (control);
  if (fork () == 0)
    {
      prctl (PR_SET_PDEATHSIG, 0);
      hostile_hear (control); /* until the victim closes the line */
    }
}

AttackEnd
attack_zombie (void)
{
  Victim victim;
  Hostile hostile;
  gpointer connection;
  CommyMessage message;
  CommyEvidence evidence = { .struct_size = sizeof evidence };
  guint32 wanted = geteuid () == 0 ? HOSTILE_USER : geteuid ();
  gboolean known;

  victim_open (&victim);
  hostile = hostile_start (play_zombie, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  g_assert_nonnull (connection);
  hostile_hear (hostile.control);
  victim.host->ops->evidence (connection, &evidence);
  known = evidence.uid == wanted;
  hostile_say (hostile.control, 'n');
  /* The core watches what the evidence names; ends by the news of the death, or never. */
  if (evidence.pidfd >= 0)
    {
      struct pollfd process = { .fd = evidence.pidfd, .events = POLLIN };

      g_assert_cmpint (poll (&process, 1, -1), ==, 1);
    }
  g_assert_false (shm_test_receive (victim.host, connection, &message));
  g_assert_cmpint (kill (hostile.pid, 0), ==, 0); /* which cannot tell */
  g_assert_nonnull (strstr (victim.host->ops->why (connection), "died"));
  shm_test_host_close (victim.host, connection);
  hostile_end (&hostile);
  victim_close (&victim);
  return known ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* --- 14: who was there first --- */

static const DoorStyle door_style = { .prefix = "shm", .type = SOCK_SEQPACKET };

#define NODE "0123456789abcdef0123456789abcdef"
#define DOOR "shm-" NODE ".sock"

/* Takes the door's name and answers in its place. */
static void
play_squatter (int control, gconstpointer directory)
{
  g_autofree char *away = g_build_filename (directory, "away", NULL);
  g_autofree char *door = g_build_filename (directory, DOOR, NULL);
  g_autofree char *address = NULL;

  hostile_become (HOSTILE_USER);
  hostile_hear (control);
  g_rename (door, away);
  g_chmod (directory, 0700); /* where it is our own, to pass our own check */
  if (geteuid () == HOSTILE_USER)
    {
      struct sockaddr_un name = { .sun_family = AF_UNIX };
      int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

      g_strlcpy (name.sun_path, door, sizeof name.sun_path);
      g_assert_cmpint (bind (fd, (const struct sockaddr *) &name, sizeof name), ==, 0);
      g_assert_cmpint (listen (fd, 1), ==, 0);
    }
  else
    g_assert_cmpint (commy_door_open (&door_style, directory, NODE, &address, NULL), >=, 0);
  hostile_say (control, 's');
  pause ();
}

/* Who answers at the address that was put up: this process or another. */
static gboolean
somebody_else_answers (const char *address)
{
  struct ucred who;
  socklen_t size = sizeof who;
  int fd = commy_door_knock (&door_style, address, NULL);
  gboolean other;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &who, &size), ==, 0);
  other = who.pid != getpid ();
  close (fd);
  return other;
}

static gboolean
is_squatted (const char *directory)
{
  g_autofree char *address = NULL;
  g_autofree char *away = g_build_filename (directory, "away", NULL);
  g_autoptr (GError) error = NULL;
  Hostile hostile = hostile_start (play_squatter, directory);
  int fd = commy_door_open (&door_style, directory, NODE, &address, &error);
  gboolean squatted = FALSE;

  if (fd >= 0)
    {
      hostile_say (hostile.control, 'n');
      hostile_hear (hostile.control);
      squatted = somebody_else_answers (address);
      commy_door_close (fd, address);
      g_unlink (away);
    }
  else
    g_print ("# %s\n", error->message);
  hostile_end (&hostile);
  return squatted;
}

static gboolean
is_refused (const char *directory)
{
  g_autofree char *address = NULL;
  g_autoptr (GError) error = NULL;
  int fd = commy_door_open (&door_style, directory, NODE, &address, &error);

  if (fd < 0)
    {
      g_print ("# %s\n", error->message);
      return TRUE;
    }
  commy_door_close (fd, address);
  return FALSE;
}

/* Something stands at the door's name already. It stays as it is. */
static guint
try_names (const char *directory)
{
  g_autofree char *door = g_build_filename (directory, DOOR, NULL);
  GStatBuf before;
  GStatBuf after;
  guint opened = 0;

  g_assert_cmpint (g_chmod (directory, 0700), ==, 0);
  for (guint i = 0; i < 4; i++)
    {
      if (i == 0)
        g_assert_cmpint (symlink ("/etc/hostname", door), ==, 0);
      else if (i == 1)
        g_assert_cmpint (mkfifo (door, 0600), ==, 0);
      else if (i == 2)
        g_assert_true (g_file_set_contents (door, "mine", 4, NULL));
      else
        g_assert_cmpint (g_mkdir (door, 0700), ==, 0);
      g_assert_cmpint (g_lstat (door, &before), ==, 0);
      opened += !is_refused (directory);
      g_assert_cmpint (g_lstat (door, &after), ==, 0);
      g_assert_cmpuint (before.st_ino, ==, after.st_ino);
      g_assert_cmpint (g_remove (door), ==, 0);
    }
  return opened;
}

/* Folders that are not ours alone, and one that hangs below a folder of everybody's. */
static guint
try_folders (const char *directory)
{
  g_autofree char *link_path = g_strconcat (directory, ".link", NULL);
  g_autofree char *inner = g_build_filename (directory, "inner", NULL);
  guint opened = 0;

  g_assert_cmpint (symlink (directory, link_path), ==, 0);
  opened += !is_refused (link_path);
  g_assert_cmpint (g_unlink (link_path), ==, 0);
  g_assert_cmpint (g_chmod (directory, 0770), ==, 0);
  opened += !is_refused (directory);
  g_assert_cmpint (g_mkdir (inner, 0700), ==, 0);
  g_assert_cmpint (g_chmod (directory, 0777), ==, 0);
  opened += !is_refused (inner);
  g_assert_cmpint (g_chmod (directory, 01777), ==, 0);
  opened += is_refused (inner); /* as below /tmp: nobody can move it */
  g_assert_cmpint (g_rmdir (inner), ==, 0);
  g_assert_cmpint (g_chmod (directory, 0700), ==, 0);
  if (geteuid () == 0)
    {
      g_assert_cmpint (chown (directory, HOSTILE_USER, HOSTILE_USER), ==, 0);
      opened += !is_refused (directory);
      g_assert_cmpint (chown (directory, 0, 0), ==, 0);
    }
  return opened;
}

AttackEnd
attack_squatting (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *directory = g_dir_make_tmp ("commy-squat-XXXXXX", &error);
  gboolean squatted;
  guint wrong;

  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (directory, 0777), ==, 0);
  squatted = is_squatted (directory);
  wrong = try_names (directory) + (squatted ? 0 : try_folders (directory));
  shm_test_directory_free (g_steal_pointer (&directory));
  return !squatted && wrong == 0 ? ATTACK_REPELLED : ATTACK_WRONG;
}

/* --- 15: what children get --- */

/* Runs this program to count its descriptors. */
static guint
count_in_program (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    {
      execl (self, self, "--count-descriptors", NULL);
      _exit (255);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  return (guint) WEXITSTATUS (status);
}

static guint
count_maps_in_child (void)
{
  int status;
  pid_t pid = fork ();

  if (pid == 0)
    _exit ((int) shm_test_count_maps ());
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  return (guint) WEXITSTATUS (status);
}

static void
play_inheritance (int control, gconstpointer address)
{
  HostilePeer peer;

  hostile_connect_well (&peer, address);
  hostile_say (control, 's');
  pause ();
}

AttackEnd
attack_inheritance (void)
{
  guint before = count_in_program ();
  Victim victim;
  Hostile hostile;
  gpointer connection;
  guint fds;
  guint maps;

  victim_open (&victim);
  hostile = hostile_start (play_inheritance, shm_test_host_address (victim.host));
  connection = victim_let_in (&victim);
  hostile_hear (hostile.control);
  g_assert_cmpuint (shm_test_count_maps (), >, 0);
  fds = count_in_program () - before;
  maps = count_maps_in_child ();
  g_print ("# a child gets %u maps, a program %u descriptors\n", maps, fds);
  hostile_end (&hostile);
  shm_test_host_close (victim.host, connection);
  victim_close (&victim);
  return fds == 0 && maps == 0 ? ATTACK_REPELLED : ATTACK_LEAK;
}
