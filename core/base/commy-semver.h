/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Versions of services, and which comes first: the precedence of Semantic Versioning 2.0.0
 * (semver.org, section 11). Pure.
 *
 * One to three numbers joined by '.', which may be of any length ("2", "2.1", "2.1.0"; what is
 * missing counts as 0), then maybe '-' and identifiers of a version that comes before it
 * ("2.1.0-rc.1"), then maybe '+' and what does not count ("2.1.0+debian1").
 */
#pragma once

#include <glib.h>

#define COMMY_SEMVER_MAX 64u /* bytes */

gboolean commy_semver_is_valid (const char *text);
/* Both valid. Below 0: @a comes first; 0: neither does. */
int commy_semver_compare (const char *a, const char *b);
