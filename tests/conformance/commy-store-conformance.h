/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every store must do, as GTest cases over a descriptor: revisions, compare and set,
 * watches, leases, several processes. The cases start the test program again as other
 * processes, so its main asks commy_store_conformance_child() first.
 */
#pragma once

#include "commy-test-host.h"

G_BEGIN_DECLS

/* Points a host at the store named @place; by default its state directory. */
typedef void (*CommyStoreConformanceSetup) (CommyTestHost *host, const char *place);

/* Whether this process is one that a case started; then @out_status is what main returns. */
gboolean commy_store_conformance_child (const CommyPluginDescriptor *descriptor,
                                        CommyStoreConformanceSetup setup,
                                        int argc,
                                        char **argv,
                                        int *out_status);
void commy_store_conformance_add (const CommyPluginDescriptor *descriptor,
                                  CommyStoreConformanceSetup setup);

/* --- for further tests of a store: operations that wait for their answer --- */

typedef struct
{
  CommyTestHost *host;
  const CommyStoreOps *ops;
  gpointer instance;
} CommyStoreUnderTest;

typedef struct
{
  gboolean done;
  gboolean succeeded;
  gint64 revision;
  gint64 lease;
  GArray *entries; /* of CommyStoreEntry, owned */
  GError *error;
} CommyStoreAnswer;

void commy_store_answer_clear (CommyStoreAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyStoreAnswer, commy_store_answer_clear)

void commy_store_range (CommyStoreUnderTest *store, const char *prefix, CommyStoreAnswer *out);
void commy_store_txn (CommyStoreUnderTest *store,
                      const CommyStoreCompare *compares,
                      gsize n_compares,
                      const CommyStoreOp *ops,
                      gsize n_ops,
                      CommyStoreAnswer *out);
/* A put that must work; returns its revision. */
gint64
commy_store_put (CommyStoreUnderTest *store, const char *key, const char *value, gint64 lease);
gint64 commy_store_grant (CommyStoreUnderTest *store);
guint commy_store_count (CommyStoreUnderTest *store, const char *prefix);

G_END_DECLS
