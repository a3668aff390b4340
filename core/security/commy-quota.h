/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A limit that several users share so that none can take it all: whoever asks for one more gets
 * at most 1/(n+1) of what the n users who hold something, the asking one among them, left free.
 * One tier: seats are counted for the user, not for a connection or process, so that opening more
 * of those gains nothing. One's own user may take all. Any thread.
 */
#pragma once

#include <glib.h>

typedef struct _CommyQuota CommyQuota;
/* One of what the quota limits; who holds it keeps the quota alive. */
typedef struct _CommySeat CommySeat;

/* @limit: seats there are; @for_others: of these, how many all users but one's own may have. */
CommyQuota *commy_quota_new (guint limit, guint for_others);
void commy_quota_unref (CommyQuota *quota);

/* (transfer full): one more seat for @who, or NULL: the limit or the user's share is reached. */
CommySeat *commy_quota_take (CommyQuota *quota, const char *who, gboolean is_own);
/* Gives it back; NULL is nothing. */
void commy_seat_free (CommySeat *seat);
/* How many seats are taken. */
guint commy_quota_get_used (CommyQuota *quota);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyQuota, commy_quota_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommySeat, commy_seat_free)
