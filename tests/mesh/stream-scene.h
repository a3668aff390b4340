/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scene of stream tests: a service with the methods of stream-handlers.h, a mesh that
 * reaches it over one transport, and short forms for what tests do all the time.
 */
#pragma once

#include "mesh-fixture.h"

typedef struct
{
  CommyMesh *mesh;
  ServiceChild *child;   /* NULL: the service is in this process */
  CommyService *service; /* or NULL */
  CommyClient *client;
} Scene;

/* @workers: of a service in a child; one in this process has a thread of its own. */
Scene *scene_new (MeshFixture *fixture, const char *transport, guint workers, const char *settings);
void scene_free (Scene *scene);
CommyStream *open_stream (Scene *scene, const char *method, GVariant *parameters);
void write_int (CommyStream *stream, gint32 value);
void close_write (CommyStream *stream);
void expect_end (CommyStream *stream);
void expect_error (CommyStream *stream, gint code, const char *words);
guint32 result_u (CommyStream *stream);
GVariant *call (Scene *scene, const char *method);
gint32 fate (Scene *scene);
GBytes *some_bytes (gsize size);
guint64 dropped (Scene *scene, const char *reason);
/* A case "/streams/TRANSPORT/NAME"; of no transport with NULL. */
void stream_add (const char *name,
                 const char *transport,
                 void (*test) (MeshFixture *fixture, gconstpointer transport));
