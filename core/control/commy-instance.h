/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of one instance of a service, as it lies in the store, and a snapshot of all
 * instances of one name. Both immutable and shared between threads.
 */
#pragma once

#include <glib-object.h>

typedef struct
{
  char *transport;
  char *address;
} CommyInstanceEndpoint;

typedef struct
{
  gatomicrefcount refs;
  char *id;
  char *service;
  char *node;
  char *host;           /* the host's name, for people */
  char *host_id;        /* a hint for "the same host" */
  char *interface_name; /* "" if untyped */
  char *interface_hash; /* commy_schema_to_hash() of it; NULL: it does not say */
  gint32 pid;
  guint32 weight;
  char *zone, *region; /* where it runs; "" if nobody said */
  char *version;       /* of the service it offers, such as "2.1.0"; "" if it does not say */
  char **tags;
  GVariant *metadata; /* a{ss} */
  gint64 started_s;   /* when it was first offered, in Unix time; 0: it does not say */
  gboolean draining;  /* it takes no new work */
  char *health;       /* what it says of itself, as commy-health.h has it; "" if nothing */
  char **serializers;
  CommyInstanceEndpoint *endpoints;
  guint n_endpoints;
  CommyInstanceEndpoint *withheld; /* transports it does not offer; `address` is the reason */
  guint n_withheld;
  gint64 lease; /* as the store says; 0 for our own before it is written */
  /* Of an endpoint that no store lists: only its address is known until somebody has been there. */
  char *origin;        /* "FILE:LINE" or a name in DNS; NULL: of the store */
  char *peer_instance; /* the id it has there; NULL: not met yet */
  guint32 priority;    /* 0 is best; others are for when no better one can be used */
} CommyInstance;

CommyInstance *commy_instance_new (const char *id, const char *service);
CommyInstance *commy_instance_ref (CommyInstance *instance);
void commy_instance_unref (CommyInstance *instance);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyInstance, commy_instance_unref)

/* The order of snapshots: by priority and id; takes pointers to pointers. */
int commy_instance_compare (gconstpointer a, gconstpointer b);

/* What tables of instances are keyed by: the service, the id, and whether a store lists it or an
 * operator named it. Whoever may write one record chooses its id and may take another's: an id
 * alone says nothing. */
guint commy_instance_hash (gconstpointer instance);
gboolean commy_instance_equal (gconstpointer a, gconstpointer b);

/* While it is being made. */
void
commy_instance_add_endpoint (CommyInstance *instance, const char *transport, const char *address);
void
commy_instance_add_withheld (CommyInstance *instance, const char *transport, const char *reason);

/* (transfer full): the record's text */
char *commy_instance_write (CommyInstance *instance);
/* Whether its serializers and its node are known: of a store, or met. */
gboolean commy_instance_is_known (const CommyInstance *instance);
/* What a peer said of itself. */
typedef struct
{
  const char *node;
  const char *instance;           /* its id over there */
  const char *const *serializers; /* those both sides know */
  const char *interface_name;     /* what it offers; NULL: it does not say */
  const char *interface_hash;
} CommyMeeting;

/* A copy of an endpoint's, with what came out there. */
CommyInstance *commy_instance_met (const CommyInstance *instance, const CommyMeeting *meeting);
/* While it is being made: takes over what @old, of the same address, had learnt. */
void commy_instance_inherit (CommyInstance *instance, const CommyInstance *old);

/* Text of a store: checked field by field, bounded. */
CommyInstance *commy_instance_read (
    const char *id, const char *service, const char *text, gsize size, GError **error);
/* a{sv}, floating, as commy_mesh_list_services_sync() documents. */
GVariant *commy_instance_to_variant (CommyInstance *instance);

gboolean commy_interface_hash_is_valid (const char *text);

/* Letters, digits, '_', '-', in parts joined by '.'; at most 255 bytes. */
gboolean commy_service_name_is_valid (const char *name);

typedef struct
{
  gatomicrefcount refs;
  char *service;
  GPtrArray *instances; /* CommyInstance, ordered by priority and id */
  gint64 revision;
  char *notice;    /* what to know about them, such as that the store is away; NULL: all is well */
  gint64 away_ns;  /* since when it is, on the steady clock; 0: it is there */
  gpointer survey; /* what the mesh thread found out about the endpoints; see commy-survey.h */
  GDestroyNotify survey_free;
} CommySnapshot;

CommySnapshot *commy_snapshot_ref (CommySnapshot *snapshot);
void commy_snapshot_unref (CommySnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommySnapshot, commy_snapshot_unref)
CommySnapshot *commy_snapshot_new (const char *service, gint64 revision, const char *notice);
/* The notice, with how old what the store said last is by now. (transfer full) (nullable) */
char *commy_snapshot_dup_notice (const CommySnapshot *snapshot, gint64 now_ns);
