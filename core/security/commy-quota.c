/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shares of a limit. The rule is dbus-broker's: with n users a newcomer always finds something,
 * because those who came before were never given all that was left. A user is remembered only
 * while it holds a seat, so the table is no longer than the limit.
 */
#include "config.h"

#include "security/commy-quota.h"

#include "base/commy-defence.h"

typedef struct
{
  char *who;
  guint seats;
} User;

struct _CommyQuota
{
  gatomicrefcount refs;
  guint limit;
  guint for_others;
  GMutex lock; /* protects what follows */
  guint used;
  guint used_by_others;
  GHashTable *others; /* who -> User; one's own user is not among them */
};

struct _CommySeat
{
  CommyQuota *quota;
  User *user; /* NULL: one's own */
};

static void
user_free (gpointer data)
{
  User *user = data;

  g_free (user->who);
  g_free (user);
}

CommyQuota *
commy_quota_new (guint limit, guint for_others)
{
  CommyQuota *self = g_new0 (CommyQuota, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  self->limit = limit;
  self->for_others = MIN (limit, for_others);
  self->others = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, user_free);
  return self;
}

void
commy_quota_unref (CommyQuota *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->others);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Whether a user who holds @seats may have one more. The first of a newcomer is never too much
 * while there is one. */
static gboolean
is_within_share (const CommyQuota *self, guint seats)
{
  guint n_users = g_hash_table_size (self->others) + (seats == 0 ? 1 : 0);
  guint left = self->for_others - MIN (self->for_others, self->used_by_others);

  if (left == 0)
    return FALSE;
  return !COMMY_DEFENCE (16, seats + 1 > MAX (1, (left + seats) / (n_users + 1)));
}

static User *
add_user (CommyQuota *self, const char *who)
{
  User *user = g_new0 (User, 1);

  user->who = g_strdup (who);
  g_hash_table_insert (self->others, user->who, user);
  return user;
}

/* Under the lock. Whether there is a seat; *@out_user is who it is counted for. */
static gboolean
take (CommyQuota *self, const char *who, gboolean is_own, User **out_user)
{
  User *user = is_own ? NULL : g_hash_table_lookup (self->others, who);

  if (self->used >= self->limit)
    return FALSE;
  if (!is_own)
    {
      if (!is_within_share (self, user != NULL ? user->seats : 0))
        return FALSE;
      if (user == NULL)
        user = add_user (self, who);
      user->seats++;
      self->used_by_others++;
    }
  self->used++;
  *out_user = user;
  return TRUE;
}

CommySeat *
commy_quota_take (CommyQuota *self, const char *who, gboolean is_own)
{
  CommySeat *seat = NULL;
  User *user = NULL;

  g_mutex_lock (&self->lock);
  if (take (self, who, is_own, &user))
    {
      seat = g_new (CommySeat, 1);
      *seat = (CommySeat){ .quota = self, .user = user };
      g_atomic_ref_count_inc (&self->refs);
    }
  g_mutex_unlock (&self->lock);
  return seat;
}

void
commy_seat_free (CommySeat *seat)
{
  CommyQuota *quota;

  if (seat == NULL)
    return;
  quota = seat->quota;
  g_mutex_lock (&quota->lock);
  quota->used--;
  if (seat->user != NULL)
    {
      quota->used_by_others--;
      if (--seat->user->seats == 0)
        g_hash_table_remove (quota->others, seat->user->who);
    }
  g_mutex_unlock (&quota->lock);
  commy_quota_unref (quota);
  g_free (seat);
}

guint
commy_quota_get_used (CommyQuota *self)
{
  guint used;

  g_mutex_lock (&self->lock);
  used = self->used;
  g_mutex_unlock (&self->lock);
  return used;
}
