/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many patterns at once: which of them fit a text. A pattern is GPatternSpec's, '*' and '?', and
 * stands for a number; a look-up sets the bits of all that fit. What a text has to begin or to end
 * with is searched, so that only patterns are tried that may fit. Immutable once sealed. Pure.
 */
#pragma once

#include <glib.h>

typedef struct _CommyGlobIndex CommyGlobIndex;

CommyGlobIndex *commy_glob_index_new (void);
void commy_glob_index_free (CommyGlobIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyGlobIndex, commy_glob_index_free)

/* Before it is sealed; numbers of one pattern in order that does not fall. */
void commy_glob_index_add (CommyGlobIndex *index, const char *glob, guint number);
/* @n_words: of the sets of bits, each 64 numbers. */
void commy_glob_index_seal (CommyGlobIndex *index, guint n_words);
/* Adds to @bits; @text is UTF-8. */
void commy_glob_index_match (const CommyGlobIndex *index, const char *text, guint64 *bits);
