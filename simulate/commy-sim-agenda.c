/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A binary heap.
 */
#include "config.h"

#include "simulate/commy-sim-agenda.h"

void
commy_sim_agenda_init (CommySimAgenda *agenda)
{
  agenda->heap = g_array_new (FALSE, FALSE, sizeof (CommySimEvent));
  agenda->n_added = 0;
}

void
commy_sim_agenda_clear (CommySimAgenda *agenda)
{
  g_clear_pointer (&agenda->heap, g_array_unref);
}

static gboolean
is_before (const CommySimEvent *a, const CommySimEvent *b)
{
  return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void
commy_sim_agenda_add (
    CommySimAgenda *agenda, gint64 at_ns, CommySimFunc func, gpointer what, guint64 number)
{
  const CommySimEvent event = { at_ns, agenda->n_added++, func, what, number };
  CommySimEvent *heap;
  guint at = agenda->heap->len;

  g_array_append_val (agenda->heap, event);
  heap = (gpointer) agenda->heap->data;
  for (; at > 0 && is_before (&event, &heap[(at - 1) / 2]); at = (at - 1) / 2)
    heap[at] = heap[(at - 1) / 2];
  heap[at] = event;
}

gboolean
commy_sim_agenda_take (CommySimAgenda *agenda, CommySimEvent *out_event)
{
  CommySimEvent *heap = (gpointer) agenda->heap->data;
  CommySimEvent last;
  guint n = agenda->heap->len, at = 0;

  if (n == 0)
    return FALSE;
  *out_event = heap[0];
  last = heap[--n];
  for (guint child = 1; child < n; child = 2 * at + 1)
    {
      if (child + 1 < n && is_before (&heap[child + 1], &heap[child]))
        child++;
      if (!is_before (&heap[child], &last))
        break;
      heap[at] = heap[child];
      at = child;
    }
  heap[at] = last;
  g_array_set_size (agenda->heap, n);
  return TRUE;
}
