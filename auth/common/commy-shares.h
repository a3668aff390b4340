/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Places for checks that are under way, of which no caller may have all.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _CommyShares CommyShares;

/* @max: places; @max_each: of one caller. */
CommyShares *commy_shares_new (guint max, guint max_each);
void commy_shares_free (CommyShares *shares);
/* A place for @who, for commy_shares_give(); FALSE: it has its share, or all are taken. */
gboolean commy_shares_take (CommyShares *shares, const char *who);
void commy_shares_give (CommyShares *shares, const char *who);
guint commy_shares_get_n (const CommyShares *shares);

G_END_DECLS
