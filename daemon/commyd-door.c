/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A door: see the header.
 */
#include "config.h"

#include "daemon/commyd-door.h"

#include "daemon/commyd-caller.h"
#include "daemon/commyd-sandbox.h"

#include "base/commy-env.h"

#include <glib-unix.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define KEEPER_FD 3
#define RECORDS_A_TURN 256
#define MOST_OUT (1u << 20)

static gboolean on_writable (int fd, GIOCondition condition, gpointer data);

gboolean
commyd_door_is_full (const CommydDoor *self)
{
  return self->link.out_bytes > MOST_OUT;
}

static void
update_out_source (CommydDoor *self)
{
  if (self->link.out_bytes > 0 && self->out_source == 0)
    self->out_source = g_unix_fd_add (self->link.fd, G_IO_OUT, on_writable, self);
  if (self->link.out_bytes == 0 && self->out_source != 0)
    {
      g_source_remove (self->out_source);
      self->out_source = 0;
    }
}

static gboolean
on_writable (int fd, GIOCondition condition, gpointer data)
{
  CommydDoor *self = data;
  GHashTableIter iter;
  gpointer caller;

  commyd_link_flush (&self->link);
  update_out_source (self);
  /* Those that were too many, and those that are not said to be taken yet. */
  g_hash_table_iter_init (&iter, self->callers);
  while (!commyd_door_is_full (self) && g_hash_table_iter_next (&iter, NULL, &caller))
    commyd_caller_go_on (caller);
  return G_SOURCE_CONTINUE;
}

void
commyd_door_send (CommydDoor *self, const CommydInnerHead *head, const char *key)
{
  commyd_link_send (&self->link, head, key);
  update_out_source (self);
}

void
commyd_door_send_value (CommydDoor *self, const CommydInnerHead *head, GBytes *value)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (value, &size);

  commyd_link_send_pieces (&self->link, head, data, size);
  update_out_source (self);
}

/* What callers have in memory was counted with the limit of its time. */
static void
take (CommydDoor *self, const CommydInner *record, int fd)
{
  CommydCaller *caller = g_hash_table_lookup (self->callers, &record->head.connection);

  switch (record->head.type)
    {
    case COMMYD_INNER_SETTINGS:
      self->most = (guint64) record->head.number;
      self->since = record->head.other;
      break;
    case COMMYD_INNER_OPEN:
      if (fd >= 0)
        commyd_caller_open (self, record->head.connection, fd);
      else
        commyd_door_send (self,
                          &(CommydInnerHead){ .type = COMMYD_INNER_CLOSED,
                                              .connection = record->head.connection },
                          NULL); /* there are no more descriptors */
      break;
    case COMMYD_INNER_CLOSE:
      if (caller != NULL)
        commyd_caller_close (caller, NULL);
      break;
    default:
      if (caller != NULL)
        commyd_caller_take (caller, record);
      break;
    }
}

static gboolean
on_readable (int fd, GIOCondition condition, gpointer data)
{
  CommydDoor *self = data;

  for (int i = 0; i < RECORDS_A_TURN; i++)
    {
      CommydInner record;
      const char *why;
      int connection = -1;
      int found = commyd_link_receive (&self->link, &record, &connection, &why);

      if (found < 0)
        self->is_over = TRUE;
      if (found != 1)
        break;
      take (self, &record, connection);
    }
  return G_SOURCE_CONTINUE;
}

void
commyd_door_main (const char *mesh)
{
  CommydDoor self = { .mesh = mesh };
  CommydInnerHead ready = { .type = COMMYD_INNER_READY };

  prctl (PR_SET_NAME, "commyd-door"); /* else it is "exe", as it was started */
  commy_env_host_id ();               /* read from a file, while there are files */
  commyd_sandbox_close_descriptors (KEEPER_FD);
  g_main_context_default (); /* has a descriptor of its own */
  commyd_link_init (&self.link);
  self.callers = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, commyd_caller_unref);
  ready.number = (gint64) commyd_sandbox_enter ();
  commyd_link_open (&self.link, KEEPER_FD, &ready);
  update_out_source (&self);
  self.in_source = g_unix_fd_add (self.link.fd, G_IO_IN, on_readable, &self);
  while (!self.is_over)
    g_main_context_iteration (NULL, TRUE);
  /* Nothing here is anybody's after it: what an orderly end would do is not allowed any more. */
  _exit (EXIT_SUCCESS);
}
