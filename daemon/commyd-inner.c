/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records between keeper and doors: see the header. All there is to parse is one head, and all
 * there is to its lengths is one equation.
 */
#include "config.h"

#include "daemon/commyd-inner.h"

#include <string.h>

enum
{
  HAS_CONNECTION = 1,
  HAS_ID = 2,
  HAS_KEY = 4,
  HAS_PIECE = 8,
  HAS_NUMBER = 16,
  HAS_OTHER = 32,
};

#define ABOUT (HAS_CONNECTION | HAS_ID)
#define PIECES (ABOUT | HAS_PIECE | HAS_NUMBER | HAS_OTHER)

/* What a record of a type may say; everything else in it is zero. */
static const guint8 shapes[] = {
  [COMMYD_INNER_READY] = HAS_NUMBER,
  [COMMYD_INNER_CLOSED] = HAS_CONNECTION | HAS_NUMBER | HAS_KEY,
  [COMMYD_INNER_RANGE] = ABOUT | HAS_KEY,
  [COMMYD_INNER_WATCH] = ABOUT | HAS_KEY | HAS_NUMBER,
  [COMMYD_INNER_UNWATCH] = ABOUT,
  [COMMYD_INNER_CUT] = ABOUT | HAS_NUMBER,
  [COMMYD_INNER_STATUS] = ABOUT,
  [COMMYD_INNER_GRANT] = ABOUT | HAS_NUMBER,
  [COMMYD_INNER_REVOKE] = ABOUT | HAS_NUMBER,
  [COMMYD_INNER_BEGIN] = ABOUT,
  [COMMYD_INNER_COMPARE] = ABOUT | HAS_KEY | HAS_NUMBER,
  [COMMYD_INNER_PUT] = ABOUT | HAS_KEY | HAS_NUMBER | HAS_OTHER,
  [COMMYD_INNER_DELETE] = ABOUT | HAS_KEY,
  [COMMYD_INNER_DELETE_PREFIX] = ABOUT | HAS_KEY,
  [COMMYD_INNER_PIECE] = ABOUT | HAS_PIECE,
  [COMMYD_INNER_COMMIT] = ABOUT,
  [COMMYD_INNER_OPENED] = HAS_CONNECTION,
  [COMMYD_INNER_SETTINGS] = HAS_NUMBER | HAS_OTHER,
  [COMMYD_INNER_OPEN] = HAS_CONNECTION,
  [COMMYD_INNER_CLOSE] = HAS_CONNECTION,
  [COMMYD_INNER_ANSWER] = PIECES,
  [COMMYD_INNER_EVENT] = PIECES,
  [COMMYD_INNER_END] = PIECES,
};

static gboolean
fits (const CommydInnerHead *head)
{
  const guint8 shape = shapes[head->type];

  return ((shape & HAS_CONNECTION) != 0) == (head->connection != 0)
         && ((shape & HAS_ID) != 0 || head->id == 0)
         && ((shape & HAS_KEY) != 0 || head->key_size == 0)
         && ((shape & HAS_PIECE) != 0) == (head->piece_size != 0)
         && ((shape & HAS_NUMBER) != 0 || head->number == 0)
         && ((shape & HAS_OTHER) != 0 || head->other == 0) && head->zero == 0;
}

const char *
commyd_inner_read (const guint8 *data, gsize size, CommydInner *out_record)
{
  CommydInnerHead head;

  if (size < sizeof head)
    return "it is shorter than a head";
  memcpy (&head, data, sizeof head);
  if (head.type == 0 || head.type >= G_N_ELEMENTS (shapes))
    return "its type is unknown";
  if (head.key_size > COMMYD_INNER_MAX_KEY || head.piece_size > COMMYD_INNER_MAX_PIECE
      || size != sizeof head + head.key_size + head.piece_size)
    return "its lengths are not those of what it has";
  if (!fits (&head))
    return "it says what its type does not say";
  if (memchr (data + sizeof head, 0, head.key_size) != NULL)
    return "its key has a NUL";
  out_record->head = head;
  out_record->key = (const char *) data + sizeof head;
  out_record->piece = data + sizeof head + head.key_size;
  return NULL;
}

GBytes *
commyd_inner_write (const CommydInnerHead *head,
                    const char *key,
                    const guint8 *piece,
                    gsize piece_size)
{
  CommydInnerHead own = *head;
  gsize key_size = key != NULL ? strlen (key) : 0;
  guint8 *data;

  own.key_size = (guint32) MIN (key_size, COMMYD_INNER_MAX_KEY);
  own.piece_size = (guint32) MIN (piece_size, COMMYD_INNER_MAX_PIECE);
  data = g_malloc (sizeof own + own.key_size + own.piece_size);
  memcpy (data, &own, sizeof own);
  if (own.key_size > 0)
    memcpy (data + sizeof own, key, own.key_size);
  if (own.piece_size > 0)
    memcpy (data + sizeof own + own.key_size, piece, own.piece_size);
  return g_bytes_new_take (data, sizeof own + own.key_size + own.piece_size);
}
