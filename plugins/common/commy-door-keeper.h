/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who stands on both sides of a door, on the mesh thread: the keeper lets visitors in, the
 * caller knocks until somebody opens. Both end where a transport's own set-up begins.
 */
#pragma once

#include "commy-door.h"

#include <commy/commy-plugin.h>

/* A visitor came in; @fd is the callee's. */
typedef void (*DoorVisitorFunc) (gpointer user_data, int fd);

typedef struct
{
  CommyHost *host;
  char *address;
  int fd;
  guint watch;
  guint timer; /* while the process has no descriptor left */
  gboolean complained;
  DoorVisitorFunc func;
  gpointer user_data;
} DoorKeeper;

gboolean commy_door_keeper_start (DoorKeeper *self,
                                  CommyHost *host,
                                  const DoorStyle *style,
                                  DoorVisitorFunc func,
                                  gpointer user_data,
                                  GError **error);
/* The core's memory for the visitor behind @fd, counted for its user where the core can do that;
 * NULL: there are too many. */
gpointer commy_door_admit (const CommyAcceptor *acceptor, int fd);
/* Shuts the door and takes it away. */
void commy_door_keeper_stop (DoorKeeper *self);

/* The door opened: @fd is the callee's; or never will: @error says why. Once, never from inside
 * commy_door_caller_start(). */
typedef void (*DoorOpenedFunc) (gpointer user_data, int fd, GError *error);

typedef struct
{
  CommyHost *host;
  const DoorStyle *style;
  char *address;
  guint timer;
  DoorOpenedFunc func;
  gpointer user_data;
} DoorCaller;

/* Knocks, and again while too many others wait; whose patience that is ends it with stop. */
void commy_door_caller_start (DoorCaller *self,
                              CommyHost *host,
                              const DoorStyle *style,
                              const char *address,
                              DoorOpenedFunc func,
                              gpointer user_data);
/* Goes away; also after the end. */
void commy_door_caller_stop (DoorCaller *self);

/* The `reachable` of a transport with a door. */
gboolean commy_door_reachable (CommyHost *host,
                               const CommyEndpoint *endpoint,
                               char *reason,
                               gsize reason_size);
