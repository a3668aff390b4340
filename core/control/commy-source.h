/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A source of instances of one service: the store, the keyfile, or a name in DNS. The registry
 * has some for each service that is used, and makes one snapshot of what they all say.
 * Mesh thread.
 */
#pragma once

#include "base/commy-env.h"
#include "base/commy-refusals.h"
#include "control/commy-instance.h"
#include "plugin/commy-catalog.h"

typedef struct _CommySource CommySource;

typedef struct
{
  /* Asks anew; ends in commy_source_settle(), maybe at once. */
  void (*refresh) (CommySource *source);
  void (*free) (CommySource *source);
} CommySourceOps;

/* Who is told; both may come from inside commy_source_refresh(). */
typedef struct
{
  void (*changed) (gpointer data);                      /* instances or notice */
  void (*settled) (gpointer data, const GError *error); /* an asking has ended */
  gpointer data;
} CommySourceListener;

struct _CommySource
{
  const CommySourceOps *ops;
  CommySourceListener listener;
  GHashTable *instances; /* id -> CommyInstance */
  gint64 revision;       /* the store's */
  char *notice;          /* what to know about them, such as that they are old; or NULL */
  gboolean live;         /* it has answered and keeps itself fresh */
  gboolean away;         /* the store does not answer: these are its last words */
  gboolean asking;
  gboolean busy; /* must not be freed: somebody will answer it */
};

void commy_source_init (CommySource *source,
                        const CommySourceOps *ops,
                        const CommySourceListener *listener);
/* Frees what commy_source_init() made; for `free`. */
void commy_source_clear (CommySource *source);
void commy_source_free (CommySource *source);
/* An empty table for `instances`. (transfer full) */
GHashTable *commy_source_new_instances (void);

/* Asks, unless that is under way. */
void commy_source_refresh (CommySource *source);
void commy_source_settle (CommySource *source, const GError *error);
/* Says so; @notice: (transfer full) (nullable). */
void commy_source_changed (CommySource *source, char *notice);

/* --- the store (commy-source-store.c) --- */

#define COMMY_SERVICES_PREFIX "services/"

/* @most: the limit "instances"; those beyond are left out, with a notice, until there is room. */
CommySource *commy_source_store_new (CommyPlugin *store,
                                     const CommyEnv *env,
                                     GMainContext *context,
                                     const char *service,
                                     guint most,
                                     const CommySourceListener *listener);
/* All instances of services whose names have this beginning; ids are "REST/ID". */
CommySource *commy_source_store_new_all (CommyPlugin *store,
                                         const CommyEnv *env,
                                         GMainContext *context,
                                         const char *beginning,
                                         guint most,
                                         const CommySourceListener *listener);
/* NULL: no record of an instance; @error: it should be one. */
CommyInstance *commy_source_store_read (const CommyStoreEntry *entry, GError **error);
/* Logs that a record cannot be read; of those that whoever may write records writes in a loop so
 * many in a while, and then how many more there were. */
void commy_source_store_tell (CommyRefusals *told, const GError *error);

/* --- endpoints (commy-source.c, commy-source-srv.c) --- */

/* At most so many of one service; what is beyond is told and left out. */
#define COMMY_ENDPOINTS_MAX 64u

/* An instance nobody has met: its id comes from service and address, so that it stays the same.
 * @origin: "FILE:LINE" or the name in DNS. */
CommyInstance *commy_endpoint_instance (
    const char *service, const char *transport, const char *host, guint16 port, const char *origin);

CommySource *commy_source_endpoint_new (const char *service,
                                        const char *origin,
                                        const CommySourceListener *listener);
void commy_source_endpoint_add (CommySource *source,
                                const char *transport,
                                const char *host,
                                guint16 port);

typedef struct
{
  const CommyEnv *env;
  GMainContext *context;
  const char *transport;
  gint64 refresh_ns;
} CommySrvSettings;

/* @name: "_commy-digest._tcp.example.org". */
CommySource *commy_source_srv_new (const CommySrvSettings *settings,
                                   const char *service,
                                   const char *name,
                                   const CommySourceListener *listener);
