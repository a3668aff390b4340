/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who gives way when too many are at the admission service. Nobody knows yet who belongs there, so
 * what counts is what can be seen, as at the port of `tls`: who means to join speaks at once and is
 * done in a few round trips, and no address needs many at a time.
 *
 * Those who said nothing go first, then those of the address that has the most, if that is more
 * than the newcomer's would have, then those who had a fair time, but for those whose address has
 * no more than the newcomer's; of equals the oldest. An address that has its share makes room among
 * its own. If nobody is left to go, the newcomer is.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#define NOBODY 3u /* goes */

typedef enum
{
  CLASS_SILENT,
  CLASS_SLOW,
  CLASS_YOUNG,
  CLASS_ANSWERED, /* young, too, and its token is used up: it gets its answer */
} Class;

static Class
classify (CommyPkiSession *session, gint64 now_us)
{
  if (!commy_pki_session_has_spoken (session))
    return CLASS_SILENT;
  if (now_us - commy_pki_session_get_since (session) >= COMMY_PKI_FAIR_TIME_US)
    return CLASS_SLOW;
  return commy_pki_session_has_asked (session) ? CLASS_ANSWERED : CLASS_YOUNG;
}

static guint
count (const GQueue *sessions, const char *from)
{
  guint n = 0;

  for (const GList *at = sessions->head; at != NULL; at = at->next)
    n += g_str_equal (commy_pki_session_get_from (at->data), from) ? 1 : 0;
  return n;
}

/* Of @from alone: a share that is full of the young has no room. */
static CommyPkiSession *
find_own (const GQueue *sessions, const char *from, gint64 now_us)
{
  CommyPkiSession *first = NULL;
  Class first_class = CLASS_YOUNG;

  for (const GList *at = sessions->head; at != NULL; at = at->next)
    {
      Class class = classify (at->data, now_us);

      if (class < first_class && g_str_equal (commy_pki_session_get_from (at->data), from))
        {
          first = at->data;
          first_class = class;
        }
    }
  return first;
}

/* The lower, the sooner one goes; @n: how many its address has, @own: the newcomer's. Who comes
 * with many takes no place of one who comes alone, however slow. */
static guint
rank (Class class, guint n, guint own, gboolean is_own)
{
  if (class == CLASS_SILENT)
    return 0;
  if (class == CLASS_ANSWERED)
    return NOBODY;
  if (n > own + 1)
    return 1;
  return class == CLASS_SLOW && (n > own || is_own) ? 2 : NOBODY;
}

static CommyPkiSession *
find_any (const GQueue *sessions, const char *from, guint own, gint64 now_us)
{
  CommyPkiSession *first = NULL;
  Class first_class = CLASS_ANSWERED;
  guint first_rank = NOBODY, first_n = 0;

  for (const GList *at = sessions->head; at != NULL; at = at->next)
    {
      const char *name = commy_pki_session_get_from (at->data);
      guint n = count (sessions, name);
      Class class = classify (at->data, now_us);
      guint this = rank (class, n, own, g_str_equal (name, from));

      if (this == NOBODY || this > first_rank || (this == first_rank && n < first_n)
          || (this == first_rank && n == first_n && class >= first_class))
        continue;
      first = at->data;
      first_class = class;
      first_rank = this;
      first_n = n;
    }
  return first;
}

gboolean
commy_pki_crowd_choose (const GQueue *sessions,
                        const char *from,
                        gint64 now_us,
                        CommyPkiSession **out_victim)
{
  guint own = count (sessions, from);

  *out_victim = NULL;
  if (own >= COMMY_PKI_SESSIONS_PER_ADDRESS)
    *out_victim = find_own (sessions, from, now_us);
  else if (g_queue_get_length ((GQueue *) sessions) >= COMMY_PKI_SESSIONS)
    *out_victim = find_any (sessions, from, own, now_us);
  else
    return TRUE;
  return *out_victim != NULL;
}
