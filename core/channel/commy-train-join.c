/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting trains together from pieces that anybody may have sent. Memory follows what arrives,
 * never what a first piece claims. Knows no channel.
 */
#include "config.h"

#include "channel/commy-train.h"

#include <string.h>

#define ROOM_FIRST (256u * 1024)

static CommyTrainStep
wrong (const char **out_why, const char *why)
{
  *out_why = why;
  return COMMY_TRAIN_WRONG;
}

static CommyTrainIn *
find (CommyTrainsIn *self, guint32 id)
{
  for (guint i = 0; i < self->n; i++)
    if (self->trains[i].frame.train == id)
      return &self->trains[i];
  return NULL;
}

static void
forget (CommyTrainsIn *self, CommyTrainIn *train)
{
  self->bytes -= train->fill;
  commy_block_free (train->bytes);
  g_clear_object (&train->handles);
  *train = self->trains[--self->n];
}

/* Takes the next @size bytes; the caller knows that they fit into what was announced. */
static void
append (CommyTrainsIn *self, CommyTrainIn *train, const guint8 *bytes, gsize size)
{
  if (train->fill + size > train->room)
    {
      gsize room = MAX (train->fill + size, 2 * train->room);

      train->bytes = commy_block_grow (train->bytes, MIN (room, train->size));
      train->room = commy_block_get_size (train->bytes);
    }
  memcpy (train->bytes + train->fill, bytes, size);
  train->fill += size;
  self->bytes += size;
}

/* What may begin in pieces: messages of applications. */
static gboolean
may_be_cut (guint8 type)
{
  return type == COMMY_FRAME_CALL || type == COMMY_FRAME_REPLY || type == COMMY_FRAME_ONEWAY
         || type == COMMY_FRAME_DATA;
}

static CommyTrainStep
begin (CommyTrainsIn *self,
       const CommyFrame *frame,
       const guint8 *bytes,
       gsize limit,
       const char **out_why)
{
  CommyTrainIn *train;

  if (!may_be_cut (frame->type))
    return wrong (out_why, "a train of frames that are never cut");
  if (frame->payload_size == 0)
    return wrong (out_why, "a train that begins without payload");
  if (frame->train_size > limit)
    return wrong (out_why, "a train larger than the limit \"message\"");
  if (find (self, frame->train) != NULL)
    return wrong (out_why, "a train with the number of an open one");
  if (self->n == COMMY_TRAINS_OPEN_MAX)
    return wrong (out_why, "too many open trains");
  if (self->trains == NULL)
    self->trains = g_new (CommyTrainIn, COMMY_TRAINS_OPEN_MAX);
  train = &self->trains[self->n++];
  *train = (CommyTrainIn){ .frame = *frame,
                           .size = frame->payload_offset + (gsize) frame->train_size };
  /* Memory that lies here anyway may be taken at the sender's word. */
  train->bytes = commy_stock_find (self->stock, train->size);
  if (train->bytes == NULL)
    train->bytes = commy_stock_take (self->stock, MIN (train->size, ROOM_FIRST));
  train->room = commy_block_get_size (train->bytes);
  train->frame.payload_size = (guint32) frame->train_size;
  train->frame.length = (guint32) train->size;
  append (self, train, bytes, frame->payload_offset + frame->payload_size);
  return COMMY_TRAIN_MORE;
}

/* Hands the whole message over, as if it had come in one frame. */
static void
finish (CommyTrainsIn *self, CommyTrainIn *train, CommyIncoming *out_whole)
{
  *out_whole = (CommyIncoming){
    .frame = train->frame, .bytes = train->bytes, .copy = train->bytes, .is_exact = TRUE
  };
  out_whole->frame.has_train = FALSE;
  train->bytes = NULL;
  out_whole->handles = g_steal_pointer (&train->handles);
  forget (self, train);
}

CommyTrainStep
commy_trains_in_take (CommyTrainsIn *self,
                      const CommyFrame *frame,
                      const guint8 *bytes,
                      gsize limit,
                      CommyIncoming *out_whole,
                      const char **out_why)
{
  CommyTrainIn *train;

  if (!(frame->flags & COMMY_FRAME_FLAG_ORDERED))
    return wrong (out_why, "a piece of a train outside of the flow");
  if (frame->has_train && frame->type == COMMY_FRAME_FRAGMENT)
    return wrong (out_why, "a train within a train");
  if (self->bytes + frame->payload_size > 2 * (limit + COMMY_FRAME_EXT_MAX))
    return wrong (out_why, "unfinished trains of more than twice the limit \"message\"");
  if (frame->has_train)
    return begin (self, frame, bytes, limit, out_why);
  train = find (self, frame->stream);
  if (train == NULL)
    return wrong (out_why, "a piece of an unknown train");
  if (frame->payload_size == 0)
    {
      forget (self, train);
      return COMMY_TRAIN_END;
    }
  if (frame->payload_size > train->size - train->fill)
    return wrong (out_why, "a train longer than its beginning said");
  append (self, train, bytes + frame->payload_offset, frame->payload_size);
  if (train->fill < train->size)
    return COMMY_TRAIN_MORE;
  finish (self, train, out_whole);
  return COMMY_TRAIN_WHOLE;
}

void
commy_trains_in_keep (CommyTrainsIn *self, guint32 id, GUnixFDList *handles)
{
  CommyTrainIn *train = find (self, id);

  g_assert (train != NULL && train->handles == NULL);
  train->handles = handles;
}

void
commy_trains_in_clear (CommyTrainsIn *self)
{
  while (self->n > 0)
    forget (self, &self->trains[self->n - 1]);
  g_clear_pointer (&self->trains, g_free);
}
