/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store of the tests' own that does what each case says, and a source of the instances of one
 * service that reads it, in a time of its own.
 */
#pragma once

#include "control/commy-source.h"
#include "plugin/commy-plugin-private.h"

#define SERVICE "org.example.Test"
#define PREFIX "services/" SERVICE "/"
#define MOST 1500u /* instances; the flood of unreadable ones fits */

/* What it does instead of what it should, from question to question; the last of a script stays. */
typedef enum
{
  GOOD,
  TWICE,   /* two of them */
  EMPTY,   /* neither a result nor an error */
  LATE,    /* when the case says so */
  OLDER,   /* from before what was seen */
  FAILS,   /* an error */
  STRANGE, /* entries of somebody else, and without a key */
} Answer;

typedef struct
{
  CommyStoreDoneFunc done;
  gpointer user_data;
} Asked;

typedef struct
{
  CommyPlugin plugin;
  GTree *entries; /* key to text */
  gint64 revision;
  const Answer *script;
  guint n_script;
  guint n_ranges;
  Asked late;
  CommyStoreWatchEventFunc event; /* NULL: nobody watches */
  gpointer event_data;
  guint last_watch;
  guint n_watches;
} Puppet;

/* Nothing is in it yet; the last of a script stays. */
void puppet_init (Puppet *self, const Answer *script, guint n_script);
/* What was asked is answered well, from this revision. */
void puppet_answer (Puppet *self, const Asked *asked, gint64 revision);
/* @text: NULL for a good record. */
void puppet_set (Puppet *self, const char *id, const char *text);
/* And it is told. */
void puppet_remove (Puppet *self, const char *id);
/* Tells of one key, changed at @mod_revision, when the store is at @revision. */
void puppet_tell (Puppet *self, const char *id, gint64 mod_revision, gint64 revision);
void puppet_end_watch (Puppet *self);

typedef struct
{
  Puppet puppet;
  CommySource *source;
  gint64 now_ns;
  CommyEnv env;
  guint settled;
  char *error; /* of the last time */
} Scene;

/* "a" is there, and nobody has looked. */
void scene_init (Scene *self, const Answer *script, guint n_script);
/* "a" and "b" are there and known. */
void scene_start_well (Scene *self, const Answer *script, guint n_script);
void scene_clear (Scene *self);
/* A timer of the source runs out at once; there must be one. */
void scene_hurry (Scene *self);
/* What the store lacks since it was away has had its moment. */
void scene_wait_out (Scene *self);
/* @ids: all that are known, with commas. */
void scene_assert_knows (Scene *self, const char *ids);
void scene_assert_says (Scene *self, const char *part);
