/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The door of one user (commyd --door): the process that reads what that user's programs say. It
 * has their connections and its socket to the keeper, and nothing else: no store, no file, no
 * network. It checks frames, hands on what they ask as records, and keeps answers until they are
 * read.
 */
#pragma once

#include "daemon/commyd-link.h"

typedef struct _CommydCaller CommydCaller;

typedef struct
{
  const char *mesh;
  CommydLink link;
  GHashTable *callers; /* guint64 to CommydCaller */
  guint64 waiting;     /* bytes that were not read or not sent */
  guint64 most;        /* that may wait */
  gint64 since;        /* seconds since 1970 */
  guint in_source;
  guint out_source;
  gboolean is_over;
} CommydDoor;

/* The whole process: confines itself, and serves the keeper at descriptor 3 until that is gone. */
G_NORETURN void commyd_door_main (const char *mesh);

/* --- for callers --- */

void commyd_door_send (CommydDoor *self, const CommydInnerHead *head, const char *key);
void commyd_door_send_value (CommydDoor *self, const CommydInnerHead *head, GBytes *value);
/* Whether so much lies here for the keeper that no more is to be asked. */
gboolean commyd_door_is_full (const CommydDoor *self);
