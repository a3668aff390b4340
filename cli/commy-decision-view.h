/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decisions as records (a{sv}), which is how another node gives them: the table for people, one
 * row of a list, and the answer to "why not".
 */
#pragma once

#include <glib.h>

/* Writes the candidates and why those that were refused were. */
void commy_decision_view_print (GVariant *record);
/* Writes one line for each decision of an aa{sv}. */
void commy_decision_view_print_list (GVariant *records);
/* (transfer full): a sentence for each candidate that goes over @transport */
char **commy_decision_view_why_not (GVariant *record, const char *transport);
