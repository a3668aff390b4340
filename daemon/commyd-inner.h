/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the keeper of commyd and the doors say to each other: one record a datagram of a
 * SOCK_SEQPACKET socket, so that the kernel keeps them apart. A record is a head of fixed size,
 * then a key, then a piece of a value, and nothing else. Numbers are the machine's own: both ends
 * are the same program. Pure: bytes in, a checked record out, and back.
 */
#pragma once

#include <glib.h>

#define COMMYD_INNER_HEAD 48u
#define COMMYD_INNER_MAX_KEY 65535u
#define COMMYD_INNER_MAX_PIECE 65536u
#define COMMYD_INNER_MAX (COMMYD_INNER_HEAD + COMMYD_INNER_MAX_KEY + COMMYD_INNER_MAX_PIECE)

typedef enum
{
  /* from a door; all but the first are about a connection */
  COMMYD_INNER_READY = 1, /* number: how it is confined (commyd-sandbox.h) */
  COMMYD_INNER_CLOSED,    /* the connection is no more; number: 0, or of an error, key: its text */
  COMMYD_INNER_RANGE,     /* key: prefix */
  COMMYD_INNER_WATCH,     /* key: prefix, number: after which revision */
  COMMYD_INNER_UNWATCH,
  COMMYD_INNER_CUT, /* a watch is too slow; number: bytes that wait */
  COMMYD_INNER_STATUS,
  COMMYD_INNER_GRANT,   /* number: nanoseconds */
  COMMYD_INNER_REVOKE,  /* number: lease */
  COMMYD_INNER_BEGIN,   /* a transaction; its parts follow, and nothing else until it ends */
  COMMYD_INNER_COMPARE, /* key, number: revision */
  COMMYD_INNER_PUT,     /* key, number: lease, other: bytes of the value, which follow in pieces */
  COMMYD_INNER_DELETE,
  COMMYD_INNER_DELETE_PREFIX,
  COMMYD_INNER_PIECE, /* value: the next bytes of the last put */
  COMMYD_INNER_COMMIT,
  COMMYD_INNER_OPENED, /* the connection is taken: said before the first byte of it is read */
  /* from the keeper */
  COMMYD_INNER_SETTINGS, /* number: bytes that may wait, other: since when the daemon runs */
  COMMYD_INNER_OPEN,     /* with the descriptor of a connection */
  COMMYD_INNER_CLOSE,    /* answered with CLOSED */
  COMMYD_INNER_ANSWER,   /* to the request; number: bytes of all pieces, other: those before */
  COMMYD_INNER_EVENT,    /* of a watch, the same */
  COMMYD_INNER_END,      /* of a watch, the same */
} CommydInnerType;

typedef struct
{
  guint32 type;
  guint32 key_size;
  guint32 piece_size;
  guint32 zero;
  guint64 connection; /* chosen by the keeper, never used twice */
  guint64 id;         /* of the request or the watch, chosen by the client */
  gint64 number;
  gint64 other;
} CommydInnerHead;

G_STATIC_ASSERT (sizeof (CommydInnerHead) == COMMYD_INNER_HEAD);

typedef struct
{
  CommydInnerHead head;
  const char *key; /* of head.key_size bytes, none of them NUL */
  const guint8 *piece;
} CommydInner;

/* What is wrong with it; NULL: nothing, and @out_record points into @data. */
const char *commyd_inner_read (const guint8 *data, gsize size, CommydInner *out_record);
/* The sizes of @head are set from what is given. (transfer full) */
GBytes *commyd_inner_write (const CommydInnerHead *head,
                            const char *key,
                            const guint8 *piece,
                            gsize piece_size);
