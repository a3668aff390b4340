/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `commy top` shows: nodes, services and flows with what they did since the last look. Two
 * samples make a frame; the first one alone has no rates.
 */
#pragma once

#include <commy/commy.h>

typedef enum
{
  COMMY_TOP_NODES,
  COMMY_TOP_SERVICES,
  COMMY_TOP_FLOWS,
  COMMY_TOP_VIEWS
} CommyTopView;

typedef enum
{
  COMMY_TOP_BY_CALLS,
  COMMY_TOP_BY_ERRORS,
  COMMY_TOP_BY_BYTES,
  COMMY_TOP_BY_P99,
  COMMY_TOP_BY_NAME,
  COMMY_TOP_ORDERS
} CommyTopOrder;

typedef struct
{
  char *key;   /* tells it from others */
  char *name;  /* for people, cleaned: */
  char *where; /* host and pid; how many instances; transport and peer */
  guint64 calls, errors, bytes;
  guint64 p50_ns, p99_ns; /* 0: nobody measured any */
  double calls_s, errors_s, bytes_s;
  gint64 stale_us;  /* of a node: its figures are so old, for it does not answer; 0: it does */
  gboolean is_back; /* it counts somebody again who did not answer: what is new is not known */
} CommyTopRow;

/* Immutable once it is made. */
typedef struct
{
  gint64 at_us;
  GHashTable *rows[COMMY_TOP_VIEWS]; /* key -> CommyTopRow */
  GHashTable *answers;               /* id of a node -> the last that it said */
  GMainContext *context; /* in which nodes are asked, of all frames that follow each other */
  guint n_silent;        /* nodes that did not answer */
  char *error;           /* nothing could be looked at; or NULL */
} CommyTopFrame;

/* Asks all nodes side by side; of one that does not answer within COMMY_TOP_PATIENCE_US the figures
 * stay as they were. A screen does it in a thread. @before: the frame that rates are since, or
 * NULL. */
#define COMMY_TOP_PATIENCE_US G_USEC_PER_SEC
CommyTopFrame *commy_top_frame_new (CommyMesh *mesh, const CommyTopFrame *before);
CommyTopFrame *commy_top_frame_ref (CommyTopFrame *frame); /* any thread; NULL for NULL */
void commy_top_frame_unref (CommyTopFrame *frame);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyTopFrame, commy_top_frame_unref)

/* (transfer container): rows that have @filter in their name or place (NULL: all), the most first
 */
GPtrArray *commy_top_frame_list (const CommyTopFrame *frame,
                                 CommyTopView view,
                                 CommyTopOrder order,
                                 const char *filter);

const char *commy_top_view_name (CommyTopView view);
const char *commy_top_order_name (CommyTopOrder order);
/* Floating: {nodes: [...], services: [...], flows: [...]} */
GVariant *commy_top_frame_to_variant (const CommyTopFrame *frame);

/* The cells of a row: name, where, calls/s, errors/s, bytes/s, P50, P99, calls. */
#define COMMY_TOP_CELLS 8u
extern const char *const commy_top_titles[COMMY_TOP_CELLS];
void commy_top_row_format (const CommyTopRow *row, char **cells); /* (transfer full) each */
