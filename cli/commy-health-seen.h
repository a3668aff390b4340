/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the nodes that use an instance found by looking at it.
 */
#pragma once

#include "cli/commy-cli.h"

typedef struct
{
  guint n_well, n_unwell; /* nodes that found it so */
  const char *check;      /* interned; NULL: nobody looks */
  gboolean by_host;       /* a host's daemon looks for those on it */
  char *reason;           /* why it is unwell, or NULL */
} CommySeen;

void commy_seen_clear (CommySeen *seen);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommySeen, commy_seen_clear)

/* Asks a node what it found of @service ("": of all); takes seconds where it is stuck.
 * (transfer full) (nullable) */
GVariant *commy_seen_ask (CommyMesh *mesh, GVariant *node, const char *service, GError **error);
/* Adds a finding of such an answer, if it is about this instance. */
void commy_seen_add (CommySeen *seen, const char *instance, GVariant *finding);
/* The same of all findings of an answer. */
void commy_seen_add_all (CommySeen *seen, const char *instance, GVariant *findings);
/* "well", "unwell" or "unknown": nobody looked, or those who did do not know yet. */
const char *commy_seen_get_state (const CommySeen *seen);
