/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The payloads of HELLO and WELCOME: a dictionary, so that later versions can say more. Taken
 * from peers, so checked field by field.
 */
#pragma once

#include <glib.h>

#define COMMY_FLOW_SECRET_SIZE 32u

/* What a side offers beyond the frames themselves; unknown bits are ignored. */
typedef enum
{
  COMMY_FEATURE_MOVES = 1 << 0,  /* the flow may outlive its path */
  COMMY_FEATURE_KEEPS = 1 << 1,  /* this side keeps copies and wants acknowledgements */
  COMMY_FEATURE_RUNS = 1 << 2,   /* it takes several messages in one frame */
  COMMY_FEATURE_BODIES = 1 << 3, /* over this path it takes messages in two parts */
} CommyFeatures;

/* A flow, as its acceptor named it, and what proves that somebody was told of it. */
typedef struct
{
  guint64 id; /* 0: none */
  guint8 secret[COMMY_FLOW_SECRET_SIZE];
} CommyFlowName;

typedef struct
{
  char *mesh;
  char *node;
  char *service;
  char *instance;
  char *library;
  char **serializers;
  guint32 min_version, max_version; /* of frames */
  char *interface_name;             /* WELCOME: what the instance offers; NULL: it does not say */
  char *interface_hash;
  char **auth;        /* HELLO: auth providers whose steps this side takes part in; NULL: none */
  char **auth_wants;  /* and those that the other side must prove itself by; NULL: none */
  gint32 cpu;         /* the only processor of the process, or -1 */
  guint32 features;   /* CommyFeatures */
  CommyFlowName flow; /* WELCOME: what was given to this flow; none without MOVES */
  /* "resume" */
  gboolean has_resume;
  CommyFlowName resume;    /* HELLO: the flow that goes on here */
  guint32 resume_number;   /* which move of it this is, counted up; WELCOME: the same */
  guint32 resume_received; /* WELCOME: the last sequence that arrived */
} CommyHello;

GBytes *commy_hello_write (const CommyHello *hello);
gboolean commy_hello_read (const guint8 *data, gsize size, CommyHello *out_hello, GError **error);
void commy_hello_clear (CommyHello *hello);
