/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When what is said of two strangers counts as the same. Pure.
 */
#pragma once

#include <glib.h>

/* @text with networks of IPv6 (/64: what one owner gets) in the place of addresses; what else is in
 * it stays. (transfer full), NULL where there is none in it */
char *commy_audit_dup_alike (const char *text);
