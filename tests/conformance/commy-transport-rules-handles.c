/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules of descriptors that travel with messages: whose they are at each moment.
 */
#include "config.h"

#include "commy-transport-rules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MOST 253

static int
open_nothing (void)
{
  int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  return fd;
}

static guint
count_open (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* Reserves, attaches @n descriptors, which it opens, and commits. */
static void
send_with (Rig *rig, const char *text, guint n)
{
  gsize size = strlen (text);
  CommySpan span = { NULL, 0 };
  int fds[MOST];

  for (guint i = 0; i < n; i++)
    fds[i] = open_nothing ();
  g_assert_cmpint (rig->ops->reserve (rig->client, size, &span), ==, COMMY_IO_OK);
  memcpy (span.data, text, size);
  g_assert_cmpint (rig->ops->attach (rig->client, fds, n), ==, COMMY_IO_OK);
  g_assert_cmpint (rig->ops->commit (rig->client, size), ==, COMMY_IO_OK);
  g_assert_cmpint (rig->ops->flush (rig->client), !=, COMMY_IO_CLOSED);
}

static void
receive (Rig *rig, const char *text, CommyMessage *out_message)
{
  g_assert_cmpint (rig_receive (rig, rig->server, rig->client, out_message), ==, COMMY_IO_OK);
  g_assert_cmpmem (out_message->data, out_message->size, text, strlen (text));
}

static void
the_same_file_arrives (Rig *rig, const RuleCase *test)
{
  CommySpan span = { NULL, 0 };
  CommyMessage message;
  int fds[2];
  int got[4];
  char byte = 0;

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (write (fds[1], "z", 1), ==, 1);
  g_assert_cmpint (rig->ops->reserve (rig->client, 4, &span), ==, COMMY_IO_OK);
  memcpy (span.data, "pipe", 4);
  g_assert_cmpint (rig->ops->attach (rig->client, fds, 2), ==, COMMY_IO_OK);
  g_assert_cmpint (rig->ops->commit (rig->client, 4), ==, COMMY_IO_OK);
  rig->ops->flush (rig->client);
  receive (rig, "pipe", &message);
  g_assert_cmpuint (rig->ops->take_fds (rig->server, &message, got, 1), ==, 1);
  g_assert_cmpuint (rig->ops->take_fds (rig->server, &message, got + 1, 3), ==, 1);
  g_assert_cmpuint (rig->ops->take_fds (rig->server, &message, got + 2, 2), ==, 0);
  rig->ops->release (rig->server, &message);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (fcntl (got[i], F_GETFD) & FD_CLOEXEC, !=, 0);
  g_assert_cmpint (read (got[0], &byte, 1), ==, 1);
  g_assert_cmpint (byte, ==, 'z');
  close (got[0]);
  close (got[1]);
}

static void
each_message_has_its_own (Rig *rig, const RuleCase *test)
{
  static const guint counts[] = { 0, 1, 0, 3, 2, 0, 0, 5, 1, 1 };
  CommyMessage messages[G_N_ELEMENTS (counts)];
  int got[MOST];

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      if (counts[i] > 0)
        send_with (rig, "with", counts[i]);
      else
        rig_send (rig, rig->client, "none", 4);
    }
  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    receive (rig, counts[i] > 0 ? "with" : "none", &messages[i]);
  for (guint i = G_N_ELEMENTS (counts); i-- > 0;)
    {
      g_assert_cmpuint (rig->ops->take_fds (rig->server, &messages[i], got, MOST), ==, counts[i]);
      rig->ops->release (rig->server, &messages[i]);
      for (guint k = 0; k < counts[i]; k++)
        g_assert_cmpint (close (got[k]), ==, 0);
    }
}

static void
as_many_as_the_kernel_carries (Rig *rig, const RuleCase *test)
{
  guint before = count_open ();
  CommySpan span = { NULL, 0 };
  CommyMessage message;
  int fds[MOST + 1] = { 0 };

  send_with (rig, "many", MOST);
  receive (rig, "many", &message);
  g_assert_cmpuint (rig->ops->take_fds (rig->server, &message, fds, MOST), ==, MOST);
  rig->ops->release (rig->server, &message);
  for (guint i = 0; i < MOST; i++)
    close (fds[i]);
  memset (fds, 0, sizeof fds);
  g_assert_cmpint (rig->ops->reserve (rig->client, 4, &span), ==, COMMY_IO_OK);
  g_assert_cmpint (rig->ops->attach (rig->client, fds, MOST + 1), ==, COMMY_IO_TOO_BIG);
  g_assert_cmpint (rig->ops->commit (rig->client, 0), ==, COMMY_IO_OK);
  g_assert_cmpuint (count_open (), ==, before);
}

static void
what_nobody_takes_is_closed (Rig *rig, const RuleCase *test)
{
  guint before;

  rig_send (rig, rig->client, "warm", 4);
  rig_expect (rig, rig->server, rig->client, "warm", 4);
  before = count_open ();
  for (guint i = 0; i < 50; i++)
    {
      CommyMessage message;
      int one;

      send_with (rig, "left", 7);
      receive (rig, "left", &message);
      if (i % 2 == 0)
        {
          g_assert_cmpuint (rig->ops->take_fds (rig->server, &message, &one, 1), ==, 1);
          close (one);
        }
      rig->ops->release (rig->server, &message);
      g_assert_cmpuint (count_open (), ==, before);
    }
}

static void
reservation_given_back_closes_them (Rig *rig, const RuleCase *test)
{
  guint before = count_open ();

  for (guint i = 0; i < 10; i++)
    {
      CommySpan span = { NULL, 0 };
      int fd = open_nothing ();

      g_assert_cmpint (rig->ops->reserve (rig->client, 8, &span), ==, COMMY_IO_OK);
      g_assert_cmpint (rig->ops->attach (rig->client, &fd, 1), ==, COMMY_IO_OK);
      if (i % 2 == 0)
        g_assert_cmpint (rig->ops->commit (rig->client, 0), ==, COMMY_IO_OK);
      else
        {
          g_assert_cmpint (rig->ops->reserve (rig->client, 8, &span), ==, COMMY_IO_OK);
          g_assert_cmpint (rig->ops->commit (rig->client, 0), ==, COMMY_IO_OK);
        }
    }
  g_assert_cmpuint (count_open (), ==, before);
  rig_send (rig, rig->client, "after", 5);
  rig_expect (rig, rig->server, rig->client, "after", 5);
}

/* Both ends are closed with descriptors in every stage of the way. */
static void
nothing_is_left_behind (Rig *unused, const RuleCase *test)
{
  guint before = 0;

  for (guint i = 0; i < 4; i++)
    {
      Rig *rig = rig_new (test->descriptor, test->subject, RIG_NONE);
      CommySpan span = { NULL, 0 };
      CommyMessage message;
      int fd;

      rig_make_pair (rig);
      for (guint k = 0; k < 5; k++)
        send_with (rig, "some", 3);
      receive (rig, "some", &message);
      fd = open_nothing ();
      g_assert_cmpint (rig->ops->reserve (rig->client, 8, &span), ==, COMMY_IO_OK);
      g_assert_cmpint (rig->ops->attach (rig->client, &fd, 1), ==, COMMY_IO_OK);
      if (i % 2 == 0)
        rig_close_client (rig);
      rig->ops->release (rig->server, &message);
      rig_free (rig);
      if (i == 0)
        before = count_open ();
      g_assert_cmpuint (count_open (), ==, before);
    }
}

static const Rule rules[] = {
  { "handles/the-same-file-arrives", the_same_file_arrives, NEEDS_PAIR | NEEDS_HANDLES },
  { "handles/each-message-has-its-own", each_message_has_its_own, NEEDS_PAIR | NEEDS_HANDLES },
  { "handles/as-many-as-the-kernel-carries", as_many_as_the_kernel_carries,
    NEEDS_PAIR | NEEDS_HANDLES },
  { "handles/what-nobody-takes-is-closed", what_nobody_takes_is_closed,
    NEEDS_PAIR | NEEDS_HANDLES },
  { "handles/reservation-given-back-closes-them", reservation_given_back_closes_them,
    NEEDS_PAIR | NEEDS_HANDLES },
  { "handles/nothing-is-left-behind", nothing_is_left_behind, OWN_RIG | NEEDS_HANDLES },
};

const Rule *
commy_transport_rules_handles (gsize *out_n)
{
  *out_n = G_N_ELEMENTS (rules);
  return rules;
}
