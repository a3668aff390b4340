/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors that travel with a channel's messages: those that wait for the next frame to take
 * its place, those of frames that wait for room, and those that came. Whatever nobody takes is
 * closed here.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel-private.h"

#include <fcntl.h>
#include <unistd.h>

struct _CommyHandles
{
  guint n;
  int fds[];
};

void
commy_handles_free (gpointer data)
{
  CommyHandles *handles = data;

  for (guint i = 0; handles != NULL && i < handles->n; i++)
    close (handles->fds[i]);
  g_free (handles);
}

/* --- sending --- */

gboolean
commy_channel_set_handles (CommyChannel *self, GUnixFDList *list, GError **error)
{
  guint n = list != NULL ? (guint) g_unix_fd_list_get_length (list) : 0;
  g_autoptr (GError) cause = NULL;
  CommyHandles *handles;

  commy_channel_drop_handles (self);
  if (n == 0)
    return TRUE;
  if (n > COMMY_FRAME_HANDLES_MAX)
    {
      commy_set_error (error, COMMY_ERROR_TOO_BIG, "%u descriptors, a message carries at most %u",
                       n, COMMY_FRAME_HANDLES_MAX);
      return FALSE;
    }
  if (!self->passes_handles)
    {
      commy_set_error (error, COMMY_ERROR_TYPE,
                       "%s carries no descriptors; call with a list of descriptors, then another "
                       "path is taken",
                       self->transport->note.id);
      return FALSE;
    }
  handles = g_malloc (sizeof *handles + n * sizeof (int));
  for (handles->n = 0; handles->n < n && cause == NULL; handles->n++)
    handles->fds[handles->n] = g_unix_fd_list_get (list, (int) handles->n, &cause);
  if (cause == NULL)
    {
      self->handles = handles;
      return TRUE;
    }
  handles->n--; /* the one that failed */
  commy_handles_free (handles);
  commy_set_error (error, COMMY_ERROR_FAILED, "a descriptor cannot be duplicated: %s",
                   cause->message);
  return FALSE;
}

void
commy_channel_drop_handles (CommyChannel *self)
{
  g_clear_pointer (&self->handles, commy_handles_free);
}

/* Of its own, until they have arrived; fewer where the process has no more descriptors. */
static CommyHandles *
copy_handles (const CommyHandles *handles)
{
  CommyHandles *copies = g_malloc (sizeof *copies + handles->n * sizeof (int));

  copies->n = 0;
  for (guint i = 0; i < handles->n; i++)
    {
      copies->fds[i] = fcntl (handles->fds[i], F_DUPFD_CLOEXEC, 3);
      if (copies->fds[i] < 0)
        break;
      copies->n++;
    }
  return copies;
}

CommyIo
commy_channel_attach (CommyChannel *self, CommyHandles *handles)
{
  CommyHandles *copies = self->keep != NULL ? copy_handles (handles) : NULL;
  CommyIo io;

  if (copies != NULL && copies->n != handles->n)
    {
      commy_handles_free (copies);
      return COMMY_IO_WOULD_BLOCK; /* when others have been closed, there may be room */
    }
  io = self->ops->attach (self->connection, handles->fds, handles->n);
  if (io != COMMY_IO_OK)
    commy_handles_free (copies);
  else if (copies != NULL)
    commy_channel_keep_handles (self, copies);
  if (io == COMMY_IO_OK)
    handles->n = 0; /* they are the transport's now */
  return io;
}

CommyIo
commy_channel_attach_handles (CommyChannel *self)
{
  CommyIo io = commy_channel_attach (self, self->handles);

  if (io == COMMY_IO_OK)
    commy_channel_drop_handles (self);
  return io;
}

void
commy_channel_hold_handles (CommyChannel *self, gpointer frame)
{
  if (self->handles == NULL)
    return;
  if (self->held_handles == NULL)
    self->held_handles = g_hash_table_new_full (NULL, NULL, NULL, commy_handles_free);
  g_hash_table_insert (self->held_handles, frame, g_steal_pointer (&self->handles));
}

CommyIo
commy_channel_attach_held (CommyChannel *self, gpointer frame)
{
  CommyHandles *handles
      = self->held_handles != NULL ? g_hash_table_lookup (self->held_handles, frame) : NULL;
  CommyIo io;

  if (handles == NULL)
    return COMMY_IO_OK;
  io = commy_channel_attach (self, handles);
  if (io == COMMY_IO_OK)
    g_hash_table_remove (self->held_handles, frame);
  return io;
}

void
commy_channel_clear_handles (CommyChannel *self)
{
  commy_channel_drop_handles (self);
  g_clear_pointer (&self->held_handles, g_hash_table_unref);
}

/* --- receiving --- */

GUnixFDList *
commy_channel_take_handles (CommyChannel *self, const CommyMessage *message)
{
  int fds[COMMY_FRAME_HANDLES_MAX];
  gsize n;

  if (!self->passes_handles)
    return NULL;
  n = self->ops->take_fds (self->connection, message, fds, G_N_ELEMENTS (fds));
  return n > 0 ? g_unix_fd_list_new_from_array (fds, (int) n) : NULL;
}

gboolean
commy_channel_handles_match (const CommyIncoming *incoming)
{
  guint n = incoming->handles != NULL ? (guint) g_unix_fd_list_get_length (incoming->handles) : 0;

  return n == incoming->frame.n_handles;
}
