/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Selectors: which instances of a service a caller wants, by what they say of themselves. Pure.
 *
 * Words with spaces between them, all of which must fit:
 *   >=2.1  >2.1  <3  <=3  =2.1   the version, by commy-semver.h
 *   gpu                          a tag
 *   rack:7                       a pair of the metadata; nothing behind ':' is an empty value
 */
#pragma once

#include <glib.h>

#define COMMY_SELECTOR_MAX 512u
#define COMMY_TRAIT_MAX 63u /* bytes of a tag, or of a key of the metadata */
#define COMMY_TRAIT_VALUE_MAX 255u

/* What an instance says of itself. */
typedef struct
{
  const char *version; /* "" if it does not say */
  const char *const *tags;
  GVariant *metadata; /* a{ss} */
} CommyTraits;

typedef struct _CommySelector CommySelector;

/* COMMY_ERROR_INVALID_ARGUMENT if it cannot be read. */
CommySelector *commy_selector_new (const char *text, GError **error);
void commy_selector_free (CommySelector *selector);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommySelector, commy_selector_free)

const char *commy_selector_get_text (const CommySelector *selector);

/* Whether all words fit. If not, the first that does not is in @wanted, and what there is instead
 * in @offered; UTF-8, cut to their sizes, which may be 0. */
gboolean commy_selector_matches (const CommySelector *selector,
                                 const CommyTraits *traits,
                                 char *wanted,
                                 gsize wanted_size,
                                 char *offered,
                                 gsize offered_size);

/* Letters, digits, '_', '.', '/' and '-'. */
gboolean commy_tag_is_valid (const char *tag);
/* Of the metadata: the key is like a tag, the value text of one line. */
gboolean commy_metadata_is_valid (const char *key, const char *value);
