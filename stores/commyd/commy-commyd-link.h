/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The link to the daemon: connects when something is asked, keeps what was asked in order, tells
 * every watch when the connection breaks. Main context only.
 */
#pragma once

#include "stores/common/commy-store-stream.h"

#include <commy/commy-plugin.h>

typedef struct _CommydLink CommydLink;

typedef struct
{
  CommyHost *host;
  char *own_path; /* (nullable): looked for first */
  char *system_path;
  gint64 timeout_ns; /* for the daemon to be there, and for an answer */
  gsize max_answer;
} CommydLinkSettings;

/* Takes the paths over. */
CommydLink *commyd_link_new (const CommydLinkSettings *settings);
/* Says goodbye, waits up to @leave_ns for the daemon to have ended the leases, and frees. What was
 * not answered ends with an error. */
void commyd_link_free (CommydLink *self, gint64 leave_ns);

/* The id for the next request's frame. */
guint64 commyd_link_next_id (CommydLink *self);
/* Sends a request, whose @frame is taken over. Answers come in order of asking. */
void commyd_link_ask (
    CommydLink *self, guint64 id, GByteArray *frame, CommyStoreDoneFunc done, gpointer user_data);
/* A request that fails, in its turn. */
void commyd_link_fail (CommydLink *self,
                       const GError *error,
                       CommyStoreDoneFunc done,
                       gpointer user_data);

guint commyd_link_watch (CommydLink *self,
                         const char *prefix,
                         gint64 after,
                         CommyStoreWatchEventFunc event,
                         gpointer user_data);
void commyd_link_unwatch (CommydLink *self, guint watch);
