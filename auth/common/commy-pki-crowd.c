/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who gives way when too many are at the admission service. Nobody knows yet who belongs there, so
 * what counts is what can be seen, as at the port of `tls`: who means to join speaks at once and is
 * done in a few round trips, and no address needs many at a time.
 *
 * Those who said nothing go first, then those who had a fair time, then, between addresses, those
 * of the one that has the most; of equals the oldest. An address that has its share makes room
 * among its own. If nobody is left to go, the newcomer is.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

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

/* Of any address; the young only where theirs has more than @own and the newcomer are. */
static CommyPkiSession *
find_any (const GQueue *sessions, guint own, gint64 now_us)
{
  CommyPkiSession *first = NULL;
  Class first_class = CLASS_ANSWERED;
  guint first_n = 0;

  for (const GList *at = sessions->head; at != NULL; at = at->next)
    {
      Class class = classify (at->data, now_us);
      guint n;

      if (class == CLASS_ANSWERED || class > first_class)
        continue;
      n = count (sessions, commy_pki_session_get_from (at->data));
      if ((class == CLASS_YOUNG && n <= own + 1) || (class == first_class && n <= first_n))
        continue;
      first = at->data;
      first_class = class;
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
    *out_victim = find_any (sessions, own, now_us);
  else
    return TRUE;
  return *out_victim != NULL;
}
