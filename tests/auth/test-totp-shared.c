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
  CommyHost host;
  CommyHostTimerFunc timer;
  gpointer timer_data;
  GHashTable *rows; /* key -> GBytes */
  gint64 revision;
  CommyStoreWatchEventFunc event;
  gpointer event_data;
  gboolean is_away;
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

  g_assert_null (self->timer);
  self->timer = func;
  self->timer_data = user_data;
  return 1;
}

static void
host_remove (CommyHost *host, guint id)
{
  ((Scene *) host->core)->timer = NULL;
}

static void
run_timer (Scene *self)
{
  CommyHostTimerFunc func = self->timer;

  g_assert_nonnull (func);
  self->timer = NULL;
  func (self->timer_data);
}

static void
store_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Scene *self = instance;
  g_autoptr (GArray) entries = g_array_new (FALSE, TRUE, sizeof (CommyStoreEntry));
  g_autoptr (GError) error = NULL;
  CommyStoreResult result = { .struct_size = sizeof result, .revision = self->revision };
  GHashTableIter iter;
  gpointer key, value;

  self->n_ranges++;
  if (self->is_away)
    {
      error = g_error_new_literal (OF_COMMY, COMMY_ERROR_STORE, "away");
      done (user_data, NULL, error);
      return;
    }
  value = g_hash_table_lookup (self->rows, prefix);
  if (value != NULL)
    {
      const CommyStoreEntry entry
          = { .key = prefix, .value = value, .mod_revision = self->revision };

      g_array_append_val (entries, entry);
    }
  g_hash_table_iter_init (&iter, self->rows);
  while (strcmp (prefix, COMMY_SESSIONS_PREFIX) == 0
         && g_hash_table_iter_next (&iter, &key, &value))
    {
      const CommyStoreEntry entry = { .key = key, .value = value, .mod_revision = self->revision };

      g_array_append_val (entries, entry);
    }
  result.entries = (const CommyStoreEntry *) (gpointer) entries->data;
  result.n_entries = entries->len;
  done (user_data, &result, NULL);
}

static void
tell (Scene *self, const char *key, GBytes *value)
{
  const CommyStoreEntry entry = { .key = key, .value = value, .mod_revision = self->revision };

  if (self->event != NULL)
    self->event (self->event_data, &entry, 1, self->revision, NULL);
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
  Scene *self = instance;
  g_autoptr (GError) error = NULL;
  const CommyStoreResult result
      = { .struct_size = sizeof result, .succeeded = TRUE, .revision = ++self->revision };

  if (self->is_away)
    {
      error = g_error_new_literal (OF_COMMY, COMMY_ERROR_STORE, "away");
      done (user_data, NULL, error);
      return;
    }
  for (gsize i = 0; i < n_ops; i++)
    if (ops[i].kind == COMMY_STORE_PUT)
      g_hash_table_replace (self->rows, g_strdup (ops[i].key), g_bytes_ref (ops[i].value));
    else
      {
        g_hash_table_remove (self->rows, ops[i].key);
        tell (self, ops[i].key, NULL);
      }
  done (user_data, &result, NULL);
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
                            .store = host_store };
  self->rows
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  self->shared = totp_shared_new (&self->host, &rules, seal);
  run_timer (self);
  g_assert_nonnull (self->event);
}

static void
scene_clear (Scene *self)
{
  totp_shared_free (self->shared);
  g_assert_null (self->event);
  g_assert_null (self->timer);
  g_hash_table_unref (self->rows);
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

/* A record as another instance writes it. */
static void
write_there (Scene *self, const guint8 *with, const char *principal, CommySessionGrant *out_grant)
{
  g_autoptr (CommySessionRecord) record
      = commy_session_record_new (&rules, principal, FACTOR, now_s (), out_grant, NULL);
  char *key = commy_session_record_dup_key (record->id);

  self->revision++;
  g_hash_table_replace (self->rows, key, commy_session_record_write (record, with));
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
  value = g_bytes_ref (g_hash_table_lookup (scene.rows, key));
  g_assert_false (totp_shared_is_revoked (scene.shared, scene.grant.key.id));
  g_hash_table_remove (scene.rows, key);
  scene.revision++;
  tell (&scene, key, NULL);
  g_assert_true (totp_shared_is_revoked (scene.shared, scene.grant.key.id));
  check (&scene, &scene.grant, "there is no such session");
  g_hash_table_replace (scene.rows, g_strdup (key), g_bytes_ref (value));
  tell (&scene, key, value);
  check (&scene, &scene.grant, "there is no such session");
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
  give (&scene, ANN, now_s ());
  g_assert_cmpstr (scene.answer, ==, "away");
  g_assert_cmpstr (scene.grant.key.id, ==, "");
  run_timer (&scene); /* and it is still away */
  g_assert_null (scene.event);
  scene.is_away = FALSE;
  g_hash_table_remove_all (scene.rows);
  run_timer (&scene);
  g_assert_nonnull (scene.event);
  g_assert_true (totp_shared_is_revoked (scene.shared, kept.key.id));
  check (&scene, &kept, "there is no such session");
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
  check (&scene, &first, FACTOR);
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, COMMY_SESSIONS_PRINCIPAL_MAX);
  /* It was used, and so lasts longest; another one gives way. */
  give (&scene, ANN, now_s ());
  g_assert_cmpuint (totp_shared_get_n (scene.shared), ==, COMMY_SESSIONS_PRINCIPAL_MAX);
  g_assert_cmpuint (g_hash_table_size (scene.rows), ==, COMMY_SESSIONS_PRINCIPAL_MAX);
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
  g_test_add_func ("/auth/totp-shared/while-the-store-is-away", test_away);
  g_test_add_func ("/auth/totp-shared/so-many-are-given", test_many);
  g_test_add_func ("/auth/totp-shared/so-many-are-followed", test_flood);
  g_test_add_func ("/auth/totp-shared/expired-is-not-revoked", test_expired);
  g_test_add_func ("/auth/totp-shared/a-name-that-is-none", test_bad_name);
  g_test_add_func ("/auth/totp-shared/the-same-user-on-another-host", test_kin);
  return g_test_run ();
}
