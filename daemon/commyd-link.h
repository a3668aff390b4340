/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One end of the socket between the keeper and a door, without blocking: records that came, and
 * those that it had no room for yet. Who waits for the socket is the caller's business, and so are
 * limits of what may lie here.
 */
#pragma once

#include "daemon/commyd-inner.h"

typedef struct
{
  int fd; /* owned; -1: none yet, or none any more */
  GQueue out;
  gsize out_bytes; /* not sent yet */
  guint64 n_sent;  /* records, ever */
  guint8 *buffer;  /* what came last */
} CommydLink;

void commyd_link_init (CommydLink *self);
/* Takes @fd over; @first (nullable) goes before what was to be sent until now. */
void commyd_link_open (CommydLink *self, int fd, const CommydInnerHead *first);
void commyd_link_close (CommydLink *self);

/* Whoever is at the other end, or gone, is met again where it is read. */
void commyd_link_send (CommydLink *self, const CommydInnerHead *head, const char *key);
/* All of @data, which is not empty, in pieces; @head says of which type. */
void commyd_link_send_pieces (CommydLink *self,
                              const CommydInnerHead *head,
                              const guint8 *data,
                              gsize size);
/* OPEN; @connection_fd is taken over. */
void commyd_link_send_open (CommydLink *self, guint64 connection, int connection_fd);
void commyd_link_flush (CommydLink *self);

/* What was said is there to be received, and nothing is said any more, whoever has the other end:
 * it may be several, or nobody. */
void commyd_link_hang_up (CommydLink *self);

/* The next record: 1, valid until the next call; none yet: 0; -1: the other side is gone, or says
 * what is no record: @out_why then, else NULL. @out_fd (nullable): a descriptor that came with it,
 * or -1; without it none is taken. */
int
commyd_link_receive (CommydLink *self, CommydInner *out_record, int *out_fd, const char **out_why);
