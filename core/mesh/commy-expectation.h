/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client was written for: an interface, its hash, and what its annotations say of calls.
 * Immutable; shared between threads.
 */
#pragma once

#include <gio/gio.h>

typedef struct
{
  gint64 timeout_ns; /* org.commy.Deadline; -1: it says none */
  gboolean idempotent;
} CommyMethodTerms;

typedef struct
{
  gatomicrefcount refs;
  GDBusInterfaceInfo *interface;
  char *hash;
  GHashTable *terms; /* method -> CommyMethodTerms, of those that are annotated; NULL: none is */
} CommyExpectation;

CommyExpectation *commy_expectation_new (GDBusInterfaceInfo *interface);
CommyExpectation *commy_expectation_ref (CommyExpectation *expectation);
void commy_expectation_unref (CommyExpectation *expectation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyExpectation, commy_expectation_unref)

/* (transfer none) (nullable) */
const CommyMethodTerms *commy_expectation_get_terms (const CommyExpectation *expectation,
                                                     const char *method);
