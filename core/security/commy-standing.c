/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Standings: a list under a lock, because connections end on the threads of their workers. What is
 * over stays over. Providers are asked while the lock is held: they answer from what they keep.
 */
#include "config.h"

#include "security/commy-standing.h"

#include <string.h>

#define SECOND G_USEC_PER_SEC
/* How long one that fades waits for the next attempt to replace it. */
#define RETRY_MIN_US (SECOND / 5)
#define RETRY_MAX_US (60 * SECOND)
/* No proof holds longer; what providers say is multiplied. */
#define UNTIL_MAX_S (G_MAXINT64 / SECOND / 4)

struct _CommyStanding
{
  CommyStandings *standings; /* a reference */
  CommyStanding *previous, *next;
  char *principal;
  char *principals; /* that one and all others that were proved with it */
  char *ids;
  CommyStandingProof *proofs;
  guint n_proofs;
  gint64 until_s;    /* of the first that ends; 0: none does */
  gint64 replace_us; /* from then on it fades */
  gint64 tell_us;    /* while it is not good: when its owner is told again */
  guint32 told;      /* in which state he was told last */
  gint64 stale_us;   /* since when a provider wants it made anew; 0: it does not */
  char *stale;       /* why */
  guint32 state;     /* atomic; CommyStandingState */
  char *reason;      /* set before the state is OVER, and never again */

  void (*hold) (gpointer data); /* under the lock; NULL: nobody is told */
  void (*tell) (gpointer data);
  gpointer data;
};

struct _CommyStandings
{
  gatomicrefcount refs;
  gint64 grace_us;
  gint64 ask_every_us;

  /* mesh thread */
  CommyDenyList *denied;
  void (*on_added) (gpointer data);
  gpointer added_data;

  GMutex lock; /* of the list, and of who is in it */
  CommyStanding *first;
  guint n;
};

/* --- all of them --- */

CommyStandings *
commy_standings_new (gint64 ask_every_us, gint64 grace_us)
{
  CommyStandings *self = g_new0 (CommyStandings, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  self->ask_every_us = ask_every_us;
  self->grace_us = grace_us;
  self->denied = commy_deny_list_new ();
  return self;
}

CommyStandings *
commy_standings_ref (CommyStandings *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
commy_standings_unref (CommyStandings *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  commy_deny_list_free (self->denied);
  g_mutex_clear (&self->lock);
  g_free (self);
}

CommyDenyList *
commy_standings_get_deny_list (CommyStandings *self)
{
  return self->denied;
}

void
commy_standings_tell_added (CommyStandings *self, void (*func) (gpointer data), gpointer data)
{
  self->on_added = func;
  self->added_data = data;
}

guint
commy_standings_get_n (CommyStandings *self)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n;
  g_mutex_unlock (&self->lock);
  return n;
}

/* --- judging one --- */

static void
set_over (CommyStanding *self, char *reason)
{
  self->reason = reason;
  __atomic_store_n (&self->state, COMMY_STANDING_OVER, __ATOMIC_RELEASE);
}

static char *
format_time (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return time == NULL ? g_strdup ("?") : g_date_time_format (time, "%Y-%m-%d %H:%M:%S UTC");
}

/* Whether it is denied; then it is over. */
static gboolean
is_denied (CommyStanding *self, gint64 now_us)
{
  CommyDenyList *list = self->standings->denied;
  const CommyDenial *denial
      = commy_deny_list_find (list, self->principals, self->ids, now_us / SECOND);

  if (denial == NULL)
    return FALSE;
  set_over (self, g_strdup_printf ("%s is denied: %s", denial->subject,
                                   denial->reason[0] != '\0' ? denial->reason : "no reason given"));
  return TRUE;
}

/* Asks the providers. Whether one of them took its proof back; then it is over. */
static gboolean
is_revoked (CommyStanding *self, gint64 now_us)
{
  char reason[256];
  gboolean stale = FALSE;

  for (guint i = 0; i < self->n_proofs; i++)
    {
      const CommyStandingProof *one = &self->proofs[i];
      CommyProofState state = COMMY_PROOF_GOOD;

      reason[0] = '\0';
      if (one->proof.id[0] != '\0')
        state = one->stands (one->instance, one->proof.id, reason, sizeof reason);
      if (state == COMMY_PROOF_REVOKED)
        {
          set_over (self, g_strdup (reason));
          return TRUE;
        }
      if (state != COMMY_PROOF_STALE)
        continue;
      stale = TRUE;
      if (self->stale_us == 0)
        self->stale_us = now_us;
      if (self->stale == NULL)
        self->stale = g_strdup (reason);
    }
  if (!stale)
    self->stale_us = 0;
  return FALSE;
}

static gint64
end_us (const CommyStanding *self)
{
  gint64 end = self->until_s != 0 ? self->until_s * SECOND : G_MAXINT64;

  if (self->stale_us != 0)
    end = MIN (end, self->stale_us);
  return end < G_MAXINT64 - self->standings->grace_us ? end + self->standings->grace_us
                                                      : G_MAXINT64;
}

static void
look_at (CommyStanding *self, gint64 now_us)
{
  g_autofree char *ended = NULL;

  if (self->state == COMMY_STANDING_OVER || is_denied (self, now_us) || is_revoked (self, now_us))
    return;
  if (now_us > end_us (self))
    {
      ended = format_time (self->until_s);
      set_over (self, self->stale_us != 0
                          ? g_strdup_printf ("%s has to prove anew who it is: %s", self->principal,
                                             self->stale)
                          : g_strdup_printf ("what %s, or this side, was let in with ended at %s",
                                             self->principal, ended));
    }
  else if (self->stale_us != 0 || now_us >= self->replace_us)
    __atomic_store_n (&self->state, COMMY_STANDING_FADING, __ATOMIC_RELEASE);
  else
    __atomic_store_n (&self->state, COMMY_STANDING_GOOD, __ATOMIC_RELEASE);
}

/* When there is something to see without anything else happening. */
static gint64
next_us (const CommyStanding *self, gint64 now_us)
{
  gint64 end = end_us (self);

  if (self->state == COMMY_STANDING_OVER)
    return self->tell_us; /* whoever has it did not hear of it yet */
  /* Clocks may be put forward, and providers change their minds. */
  if (self->n_proofs > 0)
    end = MIN (end, now_us + self->standings->ask_every_us);
  if (self->state == COMMY_STANDING_FADING)
    return MIN (end, self->tell_us);
  return MIN (end, self->replace_us);
}

/* How long its owner is left alone once it was told. An attempt to replace it may fail, and is made
 * again: the sooner the less is left. That it is over the owner hears once; each look would post
 * him one more visit, and looks can follow one another fast. */
static gint64
find_pause (const CommyStanding *self, gint64 now_us)
{
  return self->state == COMMY_STANDING_OVER
             ? self->standings->ask_every_us
             : CLAMP ((end_us (self) - now_us) / 4, RETRY_MIN_US, RETRY_MAX_US);
}

static gboolean
must_tell (CommyStanding *self, gint64 now_us)
{
  if (self->state == COMMY_STANDING_GOOD)
    {
      self->told = COMMY_STANDING_GOOD;
      return FALSE;
    }
  if (self->told != self->state || now_us >= self->tell_us
      || self->tell_us > now_us + MAX (RETRY_MAX_US, self->standings->ask_every_us))
    {
      self->told = self->state;
      self->tell_us = now_us + find_pause (self, now_us);
      return TRUE;
    }
  return FALSE;
}

typedef struct
{
  void (*tell) (gpointer data);
  gpointer data;
} News;

gint64
commy_standings_look (CommyStandings *self, gint64 now_us)
{
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (News));
  gint64 next = G_MAXINT64;
  gboolean tells;

  g_mutex_lock (&self->lock);
  for (CommyStanding *at = self->first; at != NULL; at = at->next)
    {
      const News news = { at->tell, at->data };

      look_at (at, now_us);
      tells = must_tell (at, now_us);
      next = MIN (next, next_us (at, now_us));
      if (!tells || at->hold == NULL)
        continue;
      at->hold (at->data);
      g_array_append_val (all, news);
    }
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < all->len; i++)
    {
      const News *news = &g_array_index (all, News, i);

      news->tell (news->data);
    }
  return next;
}

/* --- one of them --- */

/* By five sixths of its life what is renewed by itself has been; who connects later than that
 * leaves it half of what there is. */
static gint64
find_replacement (const CommyProof *proof, gint64 now_us, guint32 random)
{
  gint64 until = proof->until_s * SECOND;
  gint64 from = proof->from_s != 0 ? MIN (proof->from_s * SECOND, now_us) : now_us;
  gint64 life = MAX (until - from, 0);
  gint64 at = from + life / 6 * 5 + (gint64) random % (life / 20 + 1);

  return MAX (at, now_us + MAX ((until - now_us) / 2, SECOND));
}

static void
tidy_up (CommyProof *proof)
{
  proof->id[sizeof proof->id - 1] = '\0';
  proof->until_s = CLAMP (proof->until_s, 0, UNTIL_MAX_S);
  proof->from_s = CLAMP (proof->from_s, 0, UNTIL_MAX_S);
}

static void
take_proofs (CommyStanding *self, gint64 now_us, guint32 random)
{
  g_autoptr (GString) ids = g_string_new (NULL);

  self->replace_us = G_MAXINT64;
  for (guint i = 0; i < self->n_proofs; i++)
    {
      CommyProof *proof = &self->proofs[i].proof;

      tidy_up (proof);
      if (proof->id[0] != '\0')
        g_string_append_printf (ids, "%s%s", ids->len > 0 ? " " : "", proof->id);
      if (proof->until_s == 0)
        continue;
      if (self->until_s == 0 || proof->until_s < self->until_s)
        self->until_s = proof->until_s;
      self->replace_us = MIN (self->replace_us, find_replacement (proof, now_us, random));
    }
  self->ids = g_strdup (ids->str);
}

CommyStanding *
commy_standings_add (CommyStandings *standings,
                     const char *principals,
                     const CommyStandingProof *proofs,
                     guint n_proofs,
                     gint64 now_us,
                     guint32 random)
{
  CommyStanding *self = g_new0 (CommyStanding, 1);

  self->standings = commy_standings_ref (standings);
  self->principal = g_strndup (principals, strcspn (principals, " "));
  self->principals = g_strdup (principals);
  self->n_proofs = MIN (n_proofs, COMMY_STANDING_PROOFS_MAX);
  self->proofs = g_memdup2 (proofs, self->n_proofs * sizeof *proofs);
  take_proofs (self, now_us, random);
  g_mutex_lock (&standings->lock);
  look_at (self, now_us);
  self->next = standings->first;
  if (self->next != NULL)
    self->next->previous = self;
  standings->first = self;
  standings->n++;
  g_mutex_unlock (&standings->lock);
  if (standings->on_added != NULL)
    standings->on_added (standings->added_data);
  return self;
}

void
commy_standing_free (CommyStanding *self)
{
  CommyStandings *standings;

  if (self == NULL)
    return;
  standings = self->standings;
  g_mutex_lock (&standings->lock);
  if (self->previous != NULL)
    self->previous->next = self->next;
  else
    standings->first = self->next;
  if (self->next != NULL)
    self->next->previous = self->previous;
  standings->n--;
  g_mutex_unlock (&standings->lock);
  commy_standings_unref (standings);
  g_free (self->principal);
  g_free (self->principals);
  g_free (self->ids);
  g_free (self->proofs);
  g_free (self->stale);
  g_free (self->reason);
  g_free (self);
}

void
commy_standing_watch (CommyStanding *self,
                      void (*hold) (gpointer data),
                      void (*tell) (gpointer data),
                      gpointer data)
{
  g_mutex_lock (&self->standings->lock);
  self->hold = hold;
  self->tell = tell;
  self->data = data;
  g_mutex_unlock (&self->standings->lock);
}

CommyStandingState
commy_standing_get_state (const CommyStanding *self)
{
  return (CommyStandingState) __atomic_load_n (&self->state, __ATOMIC_ACQUIRE);
}

const char *
commy_standing_get_reason (const CommyStanding *self)
{
  return commy_standing_get_state (self) == COMMY_STANDING_OVER ? self->reason : NULL;
}

const char *
commy_standing_get_ids (const CommyStanding *self)
{
  return self->ids;
}

gint64
commy_standing_get_until_s (const CommyStanding *self)
{
  return self->until_s;
}
