/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "List and watch": all there is below a prefix of the store, then each change of it; begun anew a
 * second after the store did not answer, or ended the watch. What came before stays with who was
 * told. On the thread of its context.
 */
#pragma once

#include "plugin/commy-catalog.h"

typedef struct
{
  /* All there is now; what is not among it is gone. */
  void (*listed) (gpointer data, const CommyStoreResult *result);
  /* What has changed since. */
  void (*changed) (gpointer data, const CommyStoreEntry *entries, gsize n_entries);
  /* Changes are missed from now on, until it is listed again. Or NULL. */
  void (*ended) (gpointer data, const GError *error);
  /* It cannot be listed at present. Or NULL. */
  void (*failed) (gpointer data, const GError *error);
} CommyListWatchFuncs;

typedef struct _CommyListWatch CommyListWatch;

/* Asks at once; a store that answers at once does so from here. Not to be freed from inside @funcs,
 * which stay the caller's. */
CommyListWatch *commy_list_watch_new (CommyPlugin *store,
                                      GMainContext *context,
                                      const char *prefix,
                                      const CommyListWatchFuncs *funcs,
                                      gpointer data);
/* Nothing is called any more. */
void commy_list_watch_free (CommyListWatch *list_watch);
