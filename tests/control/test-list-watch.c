/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lies below a prefix of the store and what becomes of it, over a store of the test's own that
 * answers, fails, is silent and ends its watch as a test wants it.
 */
#include "config.h"

#include "control/commy-list-watch.h"

#include "base/commy-error-private.h"
#include "base/commy-text.h"

#define PREFIX "denied/"

typedef struct
{
  CommyPlugin plugin;
  gboolean is_away, is_empty, is_silent;
  gint64 revision;
  guint n_ranges;
  CommyStoreDoneFunc done; /* of a range that was not answered; or NULL */
  gpointer done_data;
  CommyStoreWatchEventFunc event; /* NULL: nobody watches */
  gpointer event_data;
  gint64 from;
} Store;

typedef struct
{
  guint n_listed, n_changed, n_ended, n_failed;
  char *failure;
} Heard;

static void
answer (const Store *self, CommyStoreDoneFunc done, gpointer user_data)
{
  const CommyStoreResult result
      = { .struct_size = sizeof result, .succeeded = TRUE, .revision = self->revision };
  g_autoptr (GError) error = NULL;

  if (self->is_away)
    commy_set_error (&error, COMMY_ERROR_STORE, "away");
  done (user_data, self->is_away || self->is_empty ? NULL : &result, error);
}

static void
store_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;

  g_assert_cmpstr (prefix, ==, PREFIX);
  g_assert_null (self->done);
  self->n_ranges++;
  if (!self->is_silent)
    answer (self, done, user_data);
  else
    {
      self->done = done;
      self->done_data = user_data;
    }
}

static guint
store_watch (gpointer instance,
             const char *prefix,
             gint64 from_revision,
             CommyStoreWatchEventFunc event,
             gpointer user_data)
{
  Store *self = instance;

  g_assert_cmpstr (prefix, ==, PREFIX);
  g_assert_null (self->event);
  self->from = from_revision;
  self->event = event;
  self->event_data = user_data;
  return 7;
}

static void
store_unwatch (gpointer instance, guint watch)
{
  Store *self = instance;

  g_assert_cmpuint (watch, ==, 7);
  g_assert_nonnull (self->event);
  self->event = NULL;
}

static void
store_init (Store *self)
{
  *self = (Store){ .revision = 5 };
  self->plugin.instance = self;
  self->plugin.ops.store = (CommyStoreOps){ .struct_size = sizeof (CommyStoreOps),
                                            .range = store_range,
                                            .watch = store_watch,
                                            .unwatch = store_unwatch };
}

static void
change_last (Store *self)
{
  const CommyStoreEntry entry = { .key = PREFIX "x", .mod_revision = ++self->revision };
  g_autoptr (GError) error = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_STORE, "compacted");

  g_steal_pointer (&self->event) (self->event_data, &entry, 1, self->revision, error);
}

static void
on_listed (gpointer data, const CommyStoreResult *result)
{
  ((Heard *) data)->n_listed++;
}

static void
on_changed (gpointer data, const CommyStoreEntry *entries, gsize n_entries)
{
  g_assert_cmpuint (n_entries, >, 0);
  ((Heard *) data)->n_changed++;
}

static void
on_ended (gpointer data, const GError *error)
{
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_STORE);
  ((Heard *) data)->n_ended++;
}

static void
on_failed (gpointer data, const GError *error)
{
  Heard *heard = data;

  heard->n_failed++;
  commy_text_replace (&heard->failure, commy_error_bare (error));
}

static const CommyListWatchFuncs all_funcs
    = { .listed = on_listed, .changed = on_changed, .ended = on_ended, .failed = on_failed };
/* What is told may be of no use to somebody. */
static const CommyListWatchFuncs few_funcs = { .listed = on_listed, .changed = on_changed };

static void
run_until_asked (const Store *store, guint n_ranges)
{
  while (store->n_ranges < n_ranges)
    g_main_context_iteration (NULL, TRUE);
}

/* A watch is from what was listed, and what its end brings is told before that. */
static void
test_begun_anew (void)
{
  Store store;
  Heard heard = { 0 };
  CommyListWatch *self;

  store_init (&store);
  self = commy_list_watch_new (&store.plugin, NULL, PREFIX, &all_funcs, &heard);
  g_assert_cmpuint (heard.n_listed, ==, 1);
  g_assert_cmpint (store.from, ==, 5);
  change_last (&store);
  g_assert_cmpuint (heard.n_changed, ==, 1);
  g_assert_cmpuint (heard.n_ended, ==, 1);
  g_assert_cmpuint (store.n_ranges, ==, 1);
  run_until_asked (&store, 2);
  g_assert_cmpuint (heard.n_listed, ==, 2);
  g_assert_cmpint (store.from, ==, 6);
  g_assert_cmpuint (heard.n_failed, ==, 0);
  commy_list_watch_free (self);
  g_assert_null (store.event);
}

static void
test_failures (void)
{
  Store store;
  Heard heard = { 0 };
  CommyListWatch *self;
  GSource *timer;

  store_init (&store);
  store.is_away = TRUE;
  self = commy_list_watch_new (&store.plugin, NULL, PREFIX, &all_funcs, &heard);
  g_assert_cmpstr (heard.failure, ==, "away");
  store.is_away = FALSE;
  store.is_empty = TRUE;
  run_until_asked (&store, 2);
  g_assert_cmpuint (heard.n_failed, ==, 2);
  g_assert_nonnull (g_strstr_len (heard.failure, -1, "empty"));
  g_assert_cmpuint (heard.n_listed, ==, 0);
  g_assert_null (store.event);
  /* It would be tried once more, but not by one that is freed. */
  timer = g_main_context_find_source_by_user_data (NULL, self);
  g_assert_nonnull (timer);
  g_source_ref (timer);
  commy_list_watch_free (self);
  g_assert_true (g_source_is_destroyed (timer));
  g_source_unref (timer);
  g_free (heard.failure);
}

static void
test_few_funcs (void)
{
  Store store;
  Heard heard = { 0 };
  CommyListWatch *self;

  store_init (&store);
  store.is_away = TRUE;
  self = commy_list_watch_new (&store.plugin, NULL, PREFIX, &few_funcs, &heard);
  store.is_away = FALSE;
  run_until_asked (&store, 2);
  change_last (&store);
  g_assert_cmpuint (heard.n_listed, ==, 1);
  commy_list_watch_free (self);
}

/* The answer comes when nobody is there any more. */
static void
test_freed_meanwhile (void)
{
  Store store;
  Heard heard = { 0 };

  store_init (&store);
  store.is_silent = TRUE;
  commy_list_watch_free (commy_list_watch_new (&store.plugin, NULL, PREFIX, &all_funcs, &heard));
  g_assert_nonnull (store.done);
  answer (&store, store.done, store.done_data);
  g_assert_cmpuint (heard.n_listed, ==, 0);
  g_assert_null (store.event);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/list-watch/a-watch-that-ended-is-begun-anew", test_begun_anew);
  g_test_add_func ("/control/list-watch/a-store-that-fails-is-told-and-asked-again", test_failures);
  g_test_add_func ("/control/list-watch/failures-need-not-be-heard", test_few_funcs);
  g_test_add_func ("/control/list-watch/nothing-comes-once-it-is-freed", test_freed_meanwhile);
  return g_test_run ();
}
