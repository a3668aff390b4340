/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the demo: what is walked, where it runs, who answers, what was measured.
 * Every number that is printed comes from here and was measured in this run.
 */
#pragma once

#include "digest.h"

#include <commy/commy.h>

/* --- files (demo-walk.c) --- */

/* Longer files are sent in pieces; each piece is one call and has a digest of its own. */
#define DEMO_PIECE_MAX (16u * 1024 * 1024)

typedef struct
{
  char *path; /* bytes, as the file system has them */
  guint64 size;
  GByteArray *digests; /* as computed here, DIGEST_SIZE bytes a piece; NULL if never read */
} DemoFile;

typedef struct
{
  GPtrArray *files;      /* of DemoFile, sorted within each directory */
  GPtrArray *unreadable; /* of char: name and reason */
  guint64 bytes;
  guint64 others;   /* symbolic links, sockets and the like */
  gint64 hashed_us; /* what computing the digests took, here */
} DemoTree;

DemoTree *demo_tree_new (const char *const *roots);
void demo_tree_free (DemoTree *tree);
/* Says why a file was left out. */
void demo_tree_add_unreadable (DemoTree *tree, const char *path, const char *reason);
/* A name for people: one line, whatever bytes it has. (transfer full) */
char *demo_show_name (const char *path);

typedef struct
{
  int fd;
  guint64 left; /* as far as known: a hint */
  guint pieces;
} DemoReader;

gboolean demo_reader_open (DemoReader *reader, const char *path, GError **error);
/* The next piece; an empty file has one, of no bytes. NULL at the end, or with @error. */
GBytes *demo_reader_next (DemoReader *reader, GError **error);
void demo_reader_close (DemoReader *reader);

/* --- where it runs (demo-place.c) --- */

typedef struct
{
  char *dir;      /* private, temporary, removed with everything in it */
  char *service;  /* program of the service */
  char *open;     /* keyfile that allows everything */
  char *tls_only; /* keyfile that denies what is local */
} DemoPlace;

/* Sets the environment of this process: call it before there is a second thread. */
DemoPlace *demo_place_new (GError **error);
void demo_place_free (DemoPlace *place);

/* --- who answers (demo-instance.c) --- */

typedef struct
{
  const char *label;
  const char *keyfile;
  GSubprocess *process;
  int output; /* the child's standard output; of the process object */
  int pid;
  char *id; /* of the instance in the mesh */
} DemoInstance;

gboolean demo_instance_start (DemoInstance *instance,
                              const DemoPlace *place,
                              int wrong_every,
                              GCancellable *cancellable,
                              GError **error);
/* Lets it leave the mesh and end; after five seconds by force. */
gboolean demo_instance_stop (DemoInstance *instance, GError **error);
/* By force, and waits until it is gone. Any thread. */
void demo_instance_kill (DemoInstance *instance);
void demo_instance_clear (DemoInstance *instance);

/* --- progress, on standard error (demo-progress.c) --- */

typedef struct
{
  const char *what;
  guint64 total;
  gint64 shown_us;
  gboolean terminal;
} DemoProgress;

void demo_progress_start (DemoProgress *progress, const char *what, guint64 total);
void demo_progress_tick (DemoProgress *progress, guint64 done, guint64 bytes);
void demo_progress_end (DemoProgress *progress);

/* --- here and there (demo-send.c) --- */

#define DEMO_COMPLAINTS_MAX 20u

/* Computes all digests here. What cannot be read goes from the files to the unreadable. FALSE
 * with @error only if it was cancelled. */
gboolean demo_hash (DemoTree *tree, GCancellable *cancellable, GError **error);

/* Answers by who gave them and over which transport, as the service itself says. */
#define DEMO_TALLY_MAX 8u

typedef struct
{
  char by[DIGEST_BY_MAX];
  guint64 n;
} DemoTally;

guint64 demo_tally_get (const DemoTally *tally, const char *by);
/* Such as "59 A over shm, 91 B over tls". (transfer full) */
char *demo_tally_show (const DemoTally *tally);

/* Every file sent once, and what came of it. */
typedef struct
{
  CommyClient *client;
  CommyCallOptions *options;
  GCancellable *cancellable;
  void (*before) (gpointer hook_data, const DemoFile *file);
  void (*after) (gpointer hook_data, const char *by, gint64 began_us, gint64 ended_us);
  gpointer hook_data;

  guint64 files; /* all of whose digests came back right */
  guint64 calls;
  guint64 bytes;
  guint64 equal, wrong, missing; /* digests */
  DemoTally tally[DEMO_TALLY_MAX];
  guint64 changed;             /* files that changed since they were digested here */
  guint64 vanished;            /* files that could not be read again */
  gint64 spent_us, slowest_us; /* in calls */
  GPtrArray *complaints;       /* of char */
} DemoPass;

void demo_pass_init (DemoPass *pass, CommyClient *client, GCancellable *cancellable);
/* FALSE with @error only if it was cancelled; what went wrong otherwise is counted, and after
 * DEMO_COMPLAINTS_MAX the rest is not tried. */
gboolean demo_pass_run (DemoPass *pass, const DemoTree *tree, const char *what, GError **error);
void demo_pass_clear (DemoPass *pass);

/* --- again, and one instance is killed (demo-fallback.c) --- */

typedef struct
{
  DemoPass pass;
  guint64 retried; /* calls under way at the kill that the other instance answered */
  gint64 first_us; /* from the kill to the first answer of the other instance; -1: none came */
  char *under_way; /* the file that was being sent at the kill */
  guint64 under_way_size;
} DemoFallback;

gboolean demo_fallback (DemoFallback *fallback,
                        CommyClient *client,
                        const DemoTree *tree,
                        DemoInstance *victim,
                        GCancellable *cancellable,
                        GError **error);

/* --- what is told (demo-report.c, demo-json.c) --- */

#define DEMO_INSTANCES 2
#define DEMO_TABLES 3

typedef struct
{
  const char *title;
  CommyDecision *decisions[DEMO_TABLES]; /* for 64 B, 4 KiB, 1 MiB */
  char *described;                       /* what the service itself said; NULL for several */
} DemoWhy;

typedef struct
{
  DemoTree *tree;
  DemoInstance *instances; /* DEMO_INSTANCES of them */
  DemoWhy why[DEMO_INSTANCES + 1];
  DemoPass passes[DEMO_INSTANCES];
  DemoFallback fallback;
  CommyDecision *after; /* how the service is reached after the kill */
  GVariant *drops;      /* a(sts) */
  gint64 started_us;
  gint64 took_us;
} DemoReport;

gboolean demo_report_is_right (const DemoReport *report);
void demo_report_begin (const DemoReport *report);
void demo_report_sent (const DemoReport *report);
void demo_report_why (const DemoReport *report);
void demo_report_fallback (const DemoReport *report);
void demo_report_end (const DemoReport *report);
void demo_report_json (const DemoReport *report);
