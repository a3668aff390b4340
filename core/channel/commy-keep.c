/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kept frames lie one behind the other in chunks: a small chunk of its own for the little that is
 * usually on its way, and large ones, of the stock, for more. Each frame stands behind a word that
 * says what it is, padded to eight bytes.
 */
#include "config.h"

#include "channel/commy-keep.h"

#include <string.h>

#define OWN_SIZE 4096u
#define CHUNK_SIZE (64u << 10)

typedef struct
{
  guint32 size; /* of what is copied behind it */
  guint32 sequence;
} Mark;

/* Behind the mark of a piece, then its prefix. The mark's size has this bit. */
#define IS_PIECE (1u << 31)

typedef struct
{
  GBytes *message;
  gsize at, size;
} Piece;

typedef struct _Chunk Chunk;

struct _Chunk
{
  Chunk *next;
  gsize size;     /* of the data */
  gsize at, fill; /* what is kept lies between */
  guint8 data[];
};

struct _CommyKeep
{
  CommyStock *stock;
  gsize limit;
  gsize bytes;         /* that are kept */
  Chunk *first, *last; /* never NULL; the first one alone may be empty */
};

G_STATIC_ASSERT (sizeof (Chunk) % 8 == 0 && sizeof (Piece) % 8 == 0);

static Chunk *
chunk_new (CommyStock *stock, gsize size)
{
  Chunk *chunk = (Chunk *) (gpointer) commy_stock_take (stock, sizeof *chunk + size);

  *chunk = (Chunk){ .size = size };
  return chunk;
}

CommyKeep *
commy_keep_new (gsize limit, CommyStock *stock)
{
  CommyKeep *self = g_new0 (CommyKeep, 1);

  self->limit = limit;
  self->stock = stock;
  self->first = self->last = chunk_new (NULL, OWN_SIZE - sizeof (Chunk));
  return self;
}

gboolean
commy_keep_has_room (const CommyKeep *self)
{
  return self->bytes < self->limit;
}

gboolean
commy_keep_is_empty (const CommyKeep *self)
{
  return self->first->at == self->first->fill;
}

/* --- one frame --- */

static gsize
room_of (guint32 size)
{
  gsize copied = size & ~IS_PIECE;

  return sizeof (Mark) + (size & IS_PIECE ? sizeof (Piece) : 0) + ((copied + 7) & ~(gsize) 7);
}

static guint8 *
oldest (const CommyKeep *self, Mark *out_mark)
{
  guint8 *place = self->first->data + self->first->at;

  memcpy (out_mark, place, sizeof *out_mark);
  return place + sizeof *out_mark;
}

static guint8 *
add (CommyKeep *self, guint32 size, guint32 sequence)
{
  Mark mark = { size, sequence };
  gsize room = room_of (size);
  Chunk *chunk = self->last;
  guint8 *place;

  if (G_UNLIKELY (chunk->fill + room > chunk->size))
    {
      chunk = chunk_new (self->stock, MAX (room, CHUNK_SIZE - sizeof *chunk));
      self->last->next = chunk;
      self->last = chunk;
      if (commy_keep_is_empty (self))
        {
          commy_block_free (self->first);
          self->first = chunk;
        }
    }
  place = chunk->data + chunk->fill;
  memcpy (place, &mark, sizeof mark);
  chunk->fill += room;
  return place + sizeof mark;
}

/* What an idle channel holds on to is a chunk of its own. */
static void
leave_chunk (CommyKeep *self)
{
  Chunk *chunk = self->first;

  if (chunk->next != NULL)
    self->first = chunk->next;
  else if (chunk->size < CHUNK_SIZE - sizeof *chunk)
    {
      chunk->at = chunk->fill = 0;
      return;
    }
  else
    self->first = self->last = chunk_new (NULL, OWN_SIZE - sizeof *chunk);
  commy_block_free (chunk);
}

/* Forgets the oldest one; its piece, if it is one, is the caller's. */
static void
pop (CommyKeep *self, const Mark *mark)
{
  Chunk *chunk = self->first;

  chunk->at += room_of (mark->size);
  if (chunk->at == chunk->fill)
    leave_chunk (self);
}

/* --- frames --- */

void
commy_keep_add (CommyKeep *self, guint32 sequence, gconstpointer frame, gsize size)
{
  memcpy (add (self, (guint32) size, sequence), frame, size);
  self->bytes += size;
}

void
commy_keep_add_piece (CommyKeep *self,
                      guint32 sequence,
                      gconstpointer prefix,
                      gsize prefix_size,
                      GBytes *message,
                      gsize at,
                      gsize size)
{
  guint8 *place = add (self, (guint32) prefix_size | IS_PIECE, sequence);
  Piece piece = { .message = g_bytes_ref (message), .at = at, .size = size };

  memcpy (place, &piece, sizeof piece);
  memcpy (place + sizeof piece, prefix, prefix_size);
  self->bytes += prefix_size + size;
}

static void
drop_oldest (CommyKeep *self, const Mark *mark, const guint8 *place)
{
  Piece piece = { .message = NULL };

  if (mark->size & IS_PIECE)
    memcpy (&piece, place, sizeof piece);
  self->bytes -= (mark->size & ~IS_PIECE) + piece.size;
  pop (self, mark);
  g_bytes_unref (piece.message);
}

void
commy_keep_acked (CommyKeep *self, guint32 sequence)
{
  Mark mark;

  while (!commy_keep_is_empty (self))
    {
      const guint8 *place = oldest (self, &mark);

      if ((gint32) (sequence - mark.sequence) < 0)
        return;
      drop_oldest (self, &mark, place);
    }
}

void
commy_keep_foreach (const CommyKeep *self, CommyKeepFunc func, gpointer data)
{
  for (const Chunk *chunk = self->first; chunk != NULL; chunk = chunk->next)
    for (gsize at = chunk->at; at < chunk->fill;)
      {
        const guint8 *place = chunk->data + at + sizeof (Mark);
        Piece piece = { .message = NULL };
        gsize copied;
        Mark mark;

        memcpy (&mark, chunk->data + at, sizeof mark);
        copied = mark.size & ~IS_PIECE;
        at += room_of (mark.size);
        if (mark.size & IS_PIECE)
          {
            memcpy (&piece, place, sizeof piece);
            place += sizeof piece;
          }
        func (data, place, copied, copied + piece.size);
      }
}

GBytes *
commy_keep_take (CommyKeep *self, guint32 *out_sequence)
{
  Piece piece = { .message = NULL };
  const guint8 *place;
  gsize copied;
  guint8 *frame;
  Mark mark;

  if (commy_keep_is_empty (self))
    return NULL;
  place = oldest (self, &mark);
  copied = mark.size & ~IS_PIECE;
  if (mark.size & IS_PIECE)
    {
      memcpy (&piece, place, sizeof piece);
      place += sizeof piece;
    }
  frame = g_malloc (MAX (copied + piece.size, 1));
  memcpy (frame, place, copied);
  if (piece.message != NULL)
    memcpy (frame + copied, (const guint8 *) g_bytes_get_data (piece.message, NULL) + piece.at,
            piece.size);
  self->bytes -= copied + piece.size;
  pop (self, &mark);
  g_bytes_unref (piece.message);
  *out_sequence = mark.sequence;
  return g_bytes_new_take (frame, copied + piece.size);
}

void
commy_keep_free (CommyKeep *self)
{
  Mark mark;

  if (self == NULL)
    return;
  while (!commy_keep_is_empty (self))
    {
      const guint8 *place = oldest (self, &mark);

      drop_oldest (self, &mark, place);
    }
  commy_block_free (self->first);
  g_free (self);
}
