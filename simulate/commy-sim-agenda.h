/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is to happen, by time: the heart of a discrete-event simulation. What is due at the same
 * time happens in the order in which it was put there, so runs repeat.
 */
#pragma once

#include <glib.h>

typedef void (*CommySimFunc) (gpointer world, gpointer what, guint64 number);

typedef struct
{
  gint64 at_ns;
  guint64 order;
  CommySimFunc func;
  gpointer what;
  guint64 number; /* for the function */
} CommySimEvent;

typedef struct
{
  GArray *heap; /* of CommySimEvent */
  guint64 n_added;
} CommySimAgenda;

void commy_sim_agenda_init (CommySimAgenda *agenda);
void commy_sim_agenda_clear (CommySimAgenda *agenda);
void commy_sim_agenda_add (
    CommySimAgenda *agenda, gint64 at_ns, CommySimFunc func, gpointer what, guint64 number);
/* Takes what is due first; FALSE: there is nothing. */
gboolean commy_sim_agenda_take (CommySimAgenda *agenda, CommySimEvent *out_event);
