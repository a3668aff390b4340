/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The door: a Unix socket with a name in the runtime directory. How it is put there, found,
 * knocked at and taken away, and who the kernel says is on the other side. What is said through
 * it is not known here.
 */
#pragma once

#include <glib.h>

/* What tells one transport's doors from another's. Connecting to a door with another @type
 * fails at once. */
typedef struct
{
  const char *prefix; /* names are PREFIX-NODE.sock */
  int type;           /* SOCK_SEQPACKET or SOCK_STREAM */
} DoorStyle;

typedef struct
{
  guint32 uid;
  guint32 gid;
  gint32 pid;
  gint32 pidfd; /* -1 if it cannot be had */
} DoorPeer;

/* Listens as the door of @node in @directory; the descriptor, or -1. *@out_address is the path. */
int commy_door_open (const DoorStyle *style,
                     const char *directory,
                     const char *node,
                     char **out_address,
                     GError **error);
void commy_door_close (int fd, const char *address);
/* Connects without blocking; -1 with @error (BUSY: try again) if it cannot be. */
int commy_door_knock (const DoorStyle *style, const char *address, GError **error);
/* Whether @address is a door that may be knocked at; else why not. */
gboolean commy_door_check (const char *address, char *reason, gsize reason_size);
/* @force_fallback is for tests: as if the kernel could not give the pidfd of a socket's peer. */
gboolean commy_door_identify (int fd, gboolean force_fallback, DoorPeer *out_peer, GError **error);

void commy_door_set_error (GError **error, int code, const char *format, ...) G_GNUC_PRINTF (3, 4);
