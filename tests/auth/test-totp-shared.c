/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions that instances share, over a store that answers as a test wants it, lies and goes away.
 * Two instances with a real store are in tests/mesh/test-shared-sessions.c.
 */
#include "config.h"

#include "auth/totp/commy-totp-kept.h"
#include "auth/totp/commy-totp-shared.h"

#include <commy/commy-error.h>
#include <commy/commy-store.h>
#include <string.h>

#define ANN "spiffe://mesh/host/h/user/ann"
#define FACTOR "0123456789ab"
#define OF_COMMY g_quark_from_static_string ("commy-error-quark")

static const CommySessionRules rules = { .idle_s = 3600, .life_s = 7200 };
static const guint8 seal[COMMY_SESSION_SEAL_SIZE] = { 1, 2, 3 };
static const guint8 other_seal[COMMY_SESSION_SEAL_SIZE] = { 1, 2, 4 };
static const guint8 transcript[32] = { 7 };

/* --- a store, and the host that leads to it --- */

typedef struct
{
  guint id;
  CommyHostTimerFunc func;
  gpointer data;
} Timer;

typedef struct
{
  GBytes *value;
  gint64 revision;
} Row;

/* A question that is not answered yet: a range, or a transaction of one operation. */
typedef struct
{
  char *key;
  GBytes *value; /* NULL: of a range, or to be removed */
  gboolean is_range;
  gint64 expected;
  CommyStoreDoneFunc done;
  gpointer user_data;
} Question;

typedef struct
{
  CommyHost host;
  GArray *timers; /* of Timer */
  guint last_timer;
  guint n_logged;
  GHashTable *rows; /* key -> Row */
  gint64 revision;
  CommyStoreWatchEventFunc event;
  gpointer event_data;
  gboolean is_away;
  gboolean is_slow;    /* questions are answered by answer_all() */
  GPtrArray *asked;    /* of Question */
  const char *refused; /* the key of another user */
  guint n_ranges;
  TotpShared *shared;
  CommySessionGrant grant; /* the last one */
  char *answer;            /* of the last check, or why not */
} Scene;

static gint64
now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static guint
host_add_timer (CommyHost *host, gint64 delay_ns, CommyHostTimerFunc func, gpointer user_data)
{
  Scene *self = host->core;
  const Timer timer = { .id = ++self->last_timer, .func = func, .data = user_data };

  g_array_append_val (self->timers, timer);
  return timer.id;
}

static void
host_remove (CommyHost *host, guint id)
{
  Scene *self = host->core;
  guint at = 0;

  while (at < self->timers->len && g_array_index (self->timers, Timer, at).id != id)
    at++;
  g_assert_cmpuint (at, <, self->timers->len);
  g_array_remove_index (self->timers, at);
}

static void
host_log (CommyHost *host, guint level, const char *message)
{
  ((Scene *) host->core)->n_logged++;
}

/* The only one. */
static void
run_timer (Scene *self)
{
  Timer timer;

  g_assert_cmpuint (self->timers->len, ==, 1);
  timer = g_array_index (self->timers, Timer, 0);
  g_array_set_size (self->timers, 0);
  timer.func (timer.data);
}

static void
row_free (gpointer data)
{
  Row *row = data;

  g_bytes_unref (row->value);
  g_free (row);
}

static void
question_free (gpointer data)
{
  Question *self = data;

  g_free (self->key);
  g_clear_pointer (&self->value, g_bytes_unref);
  g_free (self);
}

static void
put_row (Scene *self, const char *key, GBytes *value)
{
  Row *row = g_new (Row, 1);

  *row = (Row){ .value = g_bytes_ref (value), .revision = ++self->revision };
  g_hash_table_replace (self->rows, g_strdup (key), row);
}

/* What a watch hears of a key as it is now. */
static void
tell (Scene *self, const char *key)
{
  const Row *row = g_hash_table_lookup (self->rows, key);
  const CommyStoreEntry entry = { .key = key,
                                  .value = row != NULL ? row->value : NULL,
                                  .mod_revision = row != NULL ? row->revision : self->revision };

  if (self->event != NULL)
    self->event (self->event_data, &entry, 1, self->revision, NULL);
}

static void
remove_row (Scene *self, const char *key)
{
  g_hash_table_remove (self->rows, key);
  self->revision++;
  tell (self, key);
}

static void
answer_range (Scene *self, const Question *question)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, TRUE, sizeof (CommyStoreEntry));
  CommyStoreResult result = { .struct_size = sizeof result, .revision = self->revision };
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->rows);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      const Row *row = value;
      const CommyStoreEntry entry
          = { .key = key, .value = row->value, .mod_revision = row->revision };

      if (g_str_has_prefix (key, question->key))
        g_array_append_val (entries, entry);
    }
  result.entries = (const CommyStoreEntry *) (gpointer) entries->data;
  result.n_entries = entries->len;
  question->done (question->user_data, &result, NULL);
}

static void
answer_txn (Scene *self, const Question *question)
{
  const Row *row = g_hash_table_lookup (self->rows, question->key);
  CommyStoreResult result = { .struct_size = sizeof result };

  result.succeeded = (row != NULL ? row->revision : 0) == question->expected;
  if (result.succeeded && question->value != NULL)
    put_row (self, question->key, question->value);
  else if (result.succeeded)
    remove_row (self, question->key);
  result.revision = self->revision;
  question->done (question->user_data, &result, NULL);
}

static void
answer (Scene *self, const Question *question)
{
  g_autoptr (GError) error = NULL;

  if (self->is_away)
    error = g_error_new_literal (OF_COMMY, COMMY_ERROR_STORE, "away");
  else if (!question->is_range && g_strcmp0 (self->refused, question->key) == 0)
    error = g_error_new_literal (OF_COMMY, COMMY_ERROR_DENIED, "another user's");
  if (error != NULL)
    question->done (question->user_data, NULL, error);
  else if (question->is_range)
    answer_range (self, question);
  else
    answer_txn (self, question);
}

static void
answer_all (Scene *self)
{
  g_autoptr (GPtrArray) asked = g_steal_pointer (&self->asked);

  self->asked = g_ptr_array_new_with_free_func (question_free);
  self->is_slow = FALSE;
  for (guint i = 0; i < asked->len; i++)
    answer (self, asked->pdata[i]);
}

static void
take_question (Scene *self, const Question *question)
{
  Question *copy;

  if (!self->is_slow)
    {
      answer (self, question);
      return;
    }
  copy = g_memdup2 (question, sizeof *question);
  copy->key = g_strdup (question->key);
  copy->value = question->value != NULL ? g_bytes_ref (question->value) : NULL;
  g_ptr_array_add (self->asked, copy);
}

static void
store_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Scene *self = instance;

  self->n_ranges++;
  take_question (
      self, &(Question){
                .key = (char *) prefix, .is_range = TRUE, .done = done, .user_data = user_data });
}

static void
store_txn (gpointer instance,
           const CommyStoreCompare *compares,
           gsize n_compares,
           const CommyStoreOp *ops,
           gsize n_ops,
           CommyStoreDoneFunc done,
           gpointer user_data)
{
  g_assert_cmpuint (n_compares, ==, 1);
  g_assert_cmpuint (n_ops, ==, 1);
  g_assert_cmpstr (compares[0].key, ==, ops[0].key);
  g_assert_true ((ops[0].kind == COMMY_STORE_PUT) == (ops[0].value != NULL));
  take_question (instance, &(Question){ .key = (char *) ops[0].key,
                                        .value = ops[0].value,
                                        .expected = compares[0].mod_revision,
                                        .done = done,
                                        .user_data = user_data });
}

static guint
store_watch (gpointer instance,
             const char *prefix,
             gint64 from_revision,
             CommyStoreWatchEventFunc event,
             gpointer user_data)
{
  Scene *self = instance;

  self->event = event;
  self->event_data = user_data;
  return 1;
}

static void
store_unwatch (gpointer instance, guint watch)
{
  ((Scene *) instance)->event = NULL;
}

static const CommyStoreOps *
host_store (CommyHost *host, gpointer *out_instance)
{
  static const CommyStoreOps ops = { .struct_size = sizeof ops,
                                     .range = store_range,
                                     .txn = store_txn,
                                     .watch = store_watch,
                                     .unwatch = store_unwatch };

  *out_instance = host->core;
  return &ops;
}

static void
scene_init (Scene *self)
{
  memset (self, 0, sizeof *self);
  self->host = (CommyHost){ .struct_size = sizeof self->host,
                            .core = self,
                            .add_timer = host_add_timer,
                            .remove = host_remove,
                            .log = host_log,
                            .store = host_store };
  self->rows = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, row_free);
  self->timers = g_array_new (FALSE, TRUE, sizeof (Timer));
  self->asked = g_ptr_array_new_with_free_func (question_free);
  self->shared = totp_shared_new (&self->host, &rules, seal);
  run_timer (self);
  g_assert_nonnull (self->event);
}

static void
scene_clear (Scene *self)
{
  totp_shared_free (self->shared);
  g_assert_null (self->event);
  g_assert_cmpuint (self->timers->len, ==, 0);
  g_assert_cmpuint (self->asked->len, ==, 0);
  g_hash_table_unref (self->rows);
  g_array_unref (self->timers);
  g_ptr_array_unref (self->asked);
  g_free (self->answer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scene, scene_clear)

static void
on_given (gpointer data, const CommySessionGrant *grant, const char *why)
{
  Scene *self = data;

  memset (&self->grant, 0, sizeof self->grant);
  if (grant != NULL)
    self->grant = *grant;
  g_free (self->answer);
  self->answer = g_strdup (why);
}

static void
give (Scene *self, const char *principal, gint64 at_s)
{
  totp_shared_give (self->shared, principal, FACTOR, at_s, on_given, self);
}

static void
on_checked (gpointer data, const char *factor, const char *why)
{
  Scene *self = data;

  g_free (self->answer);
  self->answer = g_strdup (factor != NULL ? factor : why);
}

/* Shows the session of that grant. */
static void
check (Scene *self, const CommySessionGrant *grant, const char *expected)
{
  guint8 proof[COMMY_API_KEY_HASH_SIZE], unused[COMMY_API_KEY_HASH_SIZE];

  commy_api_key_prove (&grant->key, grant->pepper, transcript, proof, unused);
  g_clear_pointer (&self->answer, g_free);
  totp_shared_check (self->shared, ANN, grant->key.id, transcript, proof, now_s (), on_checked,
                     self);
  g_assert_cmpstr (self->answer, ==, expected);
}

/* A record as another instance wrote it then. (transfer full): its key */
static char *
write_then (Scene *self,
            const guint8 *with,
            const char *principal,
            gint64 at_s,
            CommySessionGrant *out_grant)
{
  g_autoptr (CommySessionRecord) record
      = commy_session_record_new (&rules, principal, FACTOR, at_s, out_grant, NULL);
  g_autoptr (GBytes) value = commy_session_record_write (record, with);
  char *key = commy_session_record_dup_key (record->id);

  put_row (self, key, value);
  return key;
}

static void
write_there (Scene *self, const guint8 *with, const char *principal, CommySessionGrant *out_grant)
{
  g_free (write_then (self, with, principal, now_s (), out_grant));
}

/* --- tests --- */

static void
test_given (void)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene);
  give (&scene, ANN, now_s ());
  g_assert_true (commy_api_key_is_id (scene.grant.key.id));
  check (&scene, &scene.grant, FACTOR);
  g_assert_cmpuint (scene.n_ranges, ==, 1); /* that of the beginning */
  scene.grant.key.secret[0] ^= 1;
  check (&scene, &scene.grant, "its proof is wrong");
}

/* The store is asked for what was not heard of yet, and believed where it is sealed. */
static void
test_newer_than_heard (void)
{
  g_auto (Scene) scene = { 0 };
  CommySessionGrant grant, forged, others;

  scene_init (&scene);
  write_there (&scene, seal, ANN, &grant);
  write_there (&scene, other_seal, ANN, &forged);
  write_there (&scene, seal, "token:bob", &others);
  check (&scene, &grant, FACTOR);
  check (&scene, &forged, "there is no such session");
  check (&scene, &others, "it is somebody else's");
  g_strlcpy (grant.key.id, "no id", sizeof grant.key.id);
  check (&scene, &grant, "there is no such session");
}

/* What was taken away does not come back, whatever the store says. */
static void
test_revoked (void)
{
  g_auto (Scene) scene = { 0 };
  g_autofree char *key = NULL;
  g_autoptr (GBytes) value = NULL;

  scene_init (&scene);
  give (&scene, ANN, now_s ());
  key = commy_session_record_dup_key (scene.grant.key.id);
  value = g_bytes_ref (((const Row *) g_hash_table_lookup (scene.rows, key))->value);
  g_assert_false (totp_shared_is_revoked (scene.shared, scene.grant.key.id));
  remove_row (&scene, key);
  g_assert_true (totp_shared_is_revoked (scene.shared, scene.grant.key.id));
  check (&scene, &scene.grant, "there is no such session");
  put_row (&scene, key, value);
  tell (&scene, key);
  check (&scene, &scene.grant, "there is no such session");
}

/* Also where that was heard before the store said that it has it. */
static void
test_revoked_at_once (void)
{
  g_auto (Scene) scene = { 0 };
  const Question *question;

  scene_init (&scene);
  scene.is_slow = TRUE;
  give (&scene, ANN, now_s ());
  g_assert_cmpuint (scene.asked->len, ==, 1);
  question = scene.asked->pdata[0];
  put_row (&scene, question->key, question->value);
  tell (&scene, question->key);
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, 1);
  remove_row (&scene, question->key);
  answer_all (&scene);
  g_assert_true (totp_shared_is_revoked (scene.shared, scene.grant.key.id));
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, 0);
  check (&scene, &scene.grant, "there is no such session");
}

/* Of more than there is room for those are forgotten that end first. */
static void
test_many_revoked (void)
{
  g_auto (Scene) scene = { 0 };
  CommySessionGrant first, grant;

  scene_init (&scene);
  for (guint i = 0; i <= TOTP_REVOKED_MAX; i++)
    {
      g_autofree char *key = write_then (&scene, seal, ANN, now_s () - (i == 0 ? 600 : 0), &grant);

      if (i == 0)
        first = grant;
      tell (&scene, key);
      g_assert_true (totp_shared_is_revoked (scene.shared, first.key.id) == (i > 0));
      remove_row (&scene, key);
      g_assert_true (totp_shared_is_revoked (scene.shared, grant.key.id));
    }
  g_assert_false (totp_shared_is_revoked (scene.shared, first.key.id));
  g_assert_cmpuint (scene.n_logged, ==, 1);
}

/* What was heard counts while the store is away; what is gone when it is back was revoked. */
static void
test_away (void)
{
  g_auto (Scene) scene = { 0 };
  g_autoptr (GError) error = g_error_new_literal (OF_COMMY, COMMY_ERROR_STORE, "away");
  CommySessionGrant kept, newer;

  scene_init (&scene);
  give (&scene, ANN, now_s ());
  kept = scene.grant;
  scene.is_away = TRUE;
  scene.event (scene.event_data, NULL, 0, scene.revision, error);
  scene.event = NULL;
  check (&scene, &kept, FACTOR);
  write_there (&scene, seal, ANN, &newer);
  check (&scene, &newer, "there is no such session");
  g_assert_cmpuint (scene.n_ranges, ==, 1);
  give (&scene, ANN, now_s ());
  g_assert_cmpstr (scene.answer, ==, "the store is not there");
  g_assert_cmpstr (scene.grant.key.id, ==, "");
  run_timer (&scene); /* and it is still away */
  g_assert_null (scene.event);
  scene.is_away = FALSE;
  g_hash_table_remove_all (scene.rows);
  run_timer (&scene);
  g_assert_nonnull (scene.event);
  g_assert_true (totp_shared_is_revoked (scene.shared, kept.key.id));
  check (&scene, &kept, "there is no such session");
  give (&scene, ANN, now_s ());
  check (&scene, &scene.grant, FACTOR);
}

/* Nobody waits long for a store, and what it says afterwards changes no answer. */
static void
test_slow (void)
{
  g_auto (Scene) scene = { 0 };
  CommySessionGrant newer;

  scene_init (&scene);
  scene.is_slow = TRUE;
  give (&scene, ANN, now_s ());
  g_assert_null (scene.answer);
  run_timer (&scene);
  g_assert_cmpstr (scene.answer, ==, "the store takes too long");
  answer_all (&scene);
  g_assert_cmpstr (scene.answer, ==, "the store takes too long");
  g_assert_cmpuint (g_hash_table_size (scene.rows), ==, 0); /* nobody has its key */
  write_there (&scene, seal, ANN, &newer);
  scene.is_slow = TRUE;
  check (&scene, &newer, NULL);
  run_timer (&scene);
  g_assert_cmpstr (scene.answer, ==, "there is no such session");
  answer_all (&scene);
  g_assert_cmpstr (scene.answer, ==, "there is no such session");
  check (&scene, &newer, FACTOR);
}

static void
test_gone_meanwhile (void)
{
  g_auto (Scene) scene = { 0 };
  CommySessionGrant newer;

  scene_init (&scene);
  write_there (&scene, seal, ANN, &newer);
  scene.is_slow = TRUE;
  check (&scene, &newer, NULL);
  give (&scene, ANN, now_s ());
  g_clear_pointer (&scene.shared, totp_shared_free);
  g_assert_cmpuint (scene.timers->len, ==, 0);
  answer_all (&scene);
  g_assert_null (scene.answer);
}

static void
test_many (void)
{
  g_auto (Scene) scene = { 0 };
  CommySessionGrant first;

  scene_init (&scene);
  give (&scene, ANN, now_s () - 60);
  first = scene.grant;
  for (guint i = 1; i < COMMY_SESSIONS_PRINCIPAL_MAX; i++)
    give (&scene, ANN, now_s ());
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, COMMY_SESSIONS_PRINCIPAL_MAX);
  g_assert_cmpstr (scene.answer, ==, NULL);
  /* No other gives way. */
  give (&scene, ANN, now_s ());
  g_assert_cmpstr (scene.answer, ==, "there are too many");
  g_assert_cmpstr (scene.grant.key.id, ==, "");
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, COMMY_SESSIONS_PRINCIPAL_MAX);
  g_assert_cmpuint (g_hash_table_size (scene.rows), ==, COMMY_SESSIONS_PRINCIPAL_MAX);
  check (&scene, &first, FACTOR);
  for (guint i = 0; i < 2 * TOTP_SHARED_GIVEN; i++)
    {
      g_autofree char *principal = g_strdup_printf ("token:%u", i);

      give (&scene, principal, now_s ());
    }
  g_assert_cmpstr (scene.answer, ==, "there are too many");
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, TOTP_SHARED_GIVEN);
}

/* Others may have written more, sealed; so many are followed. */
static void
test_flood (void)
{
  g_auto (Scene) scene = { 0 };
  CommySessionGrant grant;

  scene_init (&scene);
  for (guint i = 0; i < TOTP_SHARED_MAX + 100; i++)
    {
      write_there (&scene, seal, "token:bob", &grant);
      check (&scene, &grant,
             i < TOTP_SHARED_MAX ? "it is somebody else's" : "there is no such session");
    }
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, TOTP_SHARED_MAX);
}

/* What expired is taken away by who gives the next one, and nobody is closed for that. */
static void
test_expired (void)
{
  g_auto (Scene) scene = { 0 };
  g_autofree char *old = NULL;

  scene_init (&scene);
  give (&scene, ANN, now_s () - 3600);
  old = g_strdup (scene.grant.key.id);
  check (&scene, &scene.grant, "it has expired");
  give (&scene, "token:early", now_s ());
  g_assert_cmpuint (g_hash_table_size (scene.rows), ==, 2); /* clocks differ */
  give (&scene, "token:late", now_s () + 61);
  g_assert_cmpuint (g_hash_table_size (scene.rows), ==, 2);
  g_assert_false (totp_shared_is_revoked (scene.shared, old));
}

/* What is over is not followed; and what cannot be taken away stops nothing else. */
static void
test_swept (void)
{
  g_auto (Scene) scene = { 0 };
  CommySessionGrant grant;
  g_autofree char *others = NULL;
  g_autofree char *changed = NULL;
  g_autoptr (GBytes) value = NULL;

  scene_init (&scene);
  others = write_then (&scene, seal, "token:others", now_s () - 3700, &grant);
  changed = write_then (&scene, seal, "token:changed", now_s () - 3700, &grant);
  tell (&scene, others);
  tell (&scene, changed);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = write_then (&scene, seal, "token:old", now_s () - 3700, &grant);

      tell (&scene, key);
    }
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, 0);
  scene.refused = others;
  value = g_bytes_ref (((const Row *) g_hash_table_lookup (scene.rows, changed))->value);
  put_row (&scene, changed, value); /* not heard of yet */
  for (guint i = 0; i < 5; i++)
    {
      give (&scene, ANN, now_s ());
      g_assert_null (scene.answer);
    }
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, 5);
  g_assert_cmpuint (g_hash_table_size (scene.rows), ==, 5 + 2);
  g_assert_true (g_hash_table_contains (scene.rows, others));
  g_assert_true (g_hash_table_contains (scene.rows, changed));
}

static void
test_bad_name (void)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene);
  give (&scene, "ann", now_s ());
  g_assert_nonnull (strstr (scene.answer, "is none"));
  g_assert_cmpuint (g_hash_table_size (scene.rows), ==, 0);
}

/* --- callers --- */

static void
test_kin (void)
{
  static const struct
  {
    const char *service;
    gboolean is_kin;
  } cases[] = {
    { "spiffe://mesh/host/b/user/www", TRUE },
    { "spiffe://mesh/host/b/user/ann", FALSE },
    { "spiffe://other/host/b/user/www", FALSE },
    { "spiffe://mesh/host/b", FALSE },
    { "unix:uid=7", FALSE },
    { "token:mesh/host/b/user/www", FALSE },
  };
  TotpKept *kept = totp_kept_new ();
  CommySessionGrant grant = { .ends_s = 100 };

  totp_kept_add (kept, "spiffe://mesh/host/a/user/www", &grant);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_assert_null (totp_kept_find (kept, cases[i].service, 10));
      g_assert_true ((totp_kept_find_kin (kept, cases[i].service, 10) != NULL) == cases[i].is_kin);
      g_assert_null (totp_kept_find_kin (kept, cases[i].service, 100));
    }
  totp_kept_free (kept);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/auth/totp-shared/given-and-shown", test_given);
  g_test_add_func ("/auth/totp-shared/newer-than-what-was-heard", test_newer_than_heard);
  /* attack: bring a revoked session back by its old record; defence: who saw it revoked believes no
   * record of it any more */
  g_test_add_func ("/auth/totp-shared/revoked-stays-revoked", test_revoked);
  g_test_add_func ("/auth/totp-shared/revoked-before-it-was-given", test_revoked_at_once);
  g_test_add_func ("/auth/totp-shared/so-many-stay-revoked", test_many_revoked);
  g_test_add_func ("/auth/totp-shared/while-the-store-is-away", test_away);
  /* attack: have logins hang on a store that is slow; defence: nobody waits long for it, and what
   * was heard of it counts */
  g_test_add_func ("/auth/totp-shared/a-store-that-is-slow", test_slow);
  g_test_add_func ("/auth/totp-shared/gone-before-the-store-answers", test_gone_meanwhile);
  /* attack: end another's sessions by codes of the same principal; defence: who has too many is
   * given no other */
  g_test_add_func ("/auth/totp-shared/so-many-are-given", test_many);
  g_test_add_func ("/auth/totp-shared/so-many-are-followed", test_flood);
  g_test_add_func ("/auth/totp-shared/expired-is-not-revoked", test_expired);
  g_test_add_func ("/auth/totp-shared/what-is-over-is-swept-one-by-one", test_swept);
  g_test_add_func ("/auth/totp-shared/a-name-that-is-none", test_bad_name);
  g_test_add_func ("/auth/totp-shared/the-same-user-on-another-host", test_kin);
  return g_test_run ();
}
