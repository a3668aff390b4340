/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A queue with two limits. Decisions of several threads lie in it for as long as it takes to push
 * them out, so its size is also what is lost to holes in the arenas of these threads.
 */
#include "config.h"

#include "route/commy-decision-log.h"

void
commy_decision_log_init (CommyDecisionLog *log)
{
  g_queue_init (&log->decisions);
  log->n_rows = 0;
}

static void
drop_oldest (CommyDecisionLog *log)
{
  CommyDecision *oldest = g_queue_pop_head (&log->decisions);

  log->n_rows -= commy_decision_count_rows (oldest);
  commy_decision_unref (oldest);
}

void
commy_decision_log_clear (CommyDecisionLog *log)
{
  while (log->decisions.length > 0)
    drop_oldest (log);
}

void
commy_decision_log_add (CommyDecisionLog *log, CommyDecision *decision)
{
  g_queue_push_tail (&log->decisions, commy_decision_ref (decision));
  log->n_rows += commy_decision_count_rows (decision);
  while (log->decisions.length > COMMY_DECISION_LOG_MOST
         || (log->decisions.length > 1 && log->n_rows > COMMY_DECISION_LOG_ROWS))
    drop_oldest (log);
}

GPtrArray *
commy_decision_log_list (CommyDecisionLog *log)
{
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_decision_unref);

  for (GList *l = log->decisions.head; l != NULL; l = l->next)
    g_ptr_array_add (list, commy_decision_ref (l->data));
  return list;
}
