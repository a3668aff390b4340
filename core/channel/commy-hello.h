/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The payloads of HELLO and WELCOME: a dictionary, so that later versions can say more. Taken
 * from peers, so checked field by field.
 */
#pragma once

#include <glib.h>

typedef struct
{
  char *mesh;
  char *node;
  char *service;
  char *instance;
  char *library;
  char **serializers;
  guint32 min_version, max_version; /* of frames */
  gint32 cpu;                       /* the only processor of the process, or -1 */
} CommyHello;

GBytes *commy_hello_write (const CommyHello *hello);
gboolean commy_hello_read (const guint8 *data, gsize size, CommyHello *out_hello, GError **error);
void commy_hello_clear (CommyHello *hello);
