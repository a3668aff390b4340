/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whom instances tell each other to have wait: what is written into a store, here one that answers
 * as a test wants it, and what is believed of it. Two instances with a real store are in
 * tests/mesh/test-lock-outs.c.
 */
#include "config.h"

#include "mesh/commy-lock-outs.h"
#include "mesh/commy-proof-keeper.h"
#include "security/commy-lock-out.h"

#include <arpa/inet.h>
#include <string.h>

#define S G_GINT64_CONSTANT (1000000000)
#define START_NS (1000 * S)
#define START_WALL_S G_GINT64_CONSTANT (1700000000)
#define ANN "spiffe://mesh/host/h/user/ann"
#define ANN_KEY COMMY_DENIED_PREFIX COMMY_LOCK_OUT "mesh/" ANN

/* --- a store --- */

typedef struct
{
  GBytes *value;
  gint64 revision;
} Row;

typedef struct
{
  GHashTable *rows;
  gint64 revision;
  gint64 lease;
  guint n_puts, n_revokes;
  gboolean refuses;
  const char *refused;     /* the key of another user */
  gboolean is_slow;        /* writes are answered by answer_write() */
  CommyStoreDoneFunc done; /* of the one that is under way; or NULL */
  gpointer user_data;
  gint64 done_at;                 /* its revision */
  CommyStoreWatchEventFunc event; /* NULL: nobody watches */
  gpointer event_data;
} FakeStore;

static void
row_free (gpointer data)
{
  Row *row = data;

  g_bytes_unref (row->value);
  g_free (row);
}

static void
answer (FakeStore *self, gboolean succeeded, CommyStoreDoneFunc done, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  const CommyStoreResult result = { .struct_size = sizeof result,
                                    .succeeded = succeeded,
                                    .revision = self->revision,
                                    .lease = self->lease };

  if (self->refuses)
    error = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_STORE, "no room");
  done (user_data, error == NULL ? &result : NULL, error);
}

static void
fake_grant (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  FakeStore *self = instance;

  g_assert_cmpint (ttl_ns, >=, S);
  self->lease++;
  answer (self, TRUE, done, user_data);
}

static void
fake_revoke (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  FakeStore *self = instance;

  g_assert_cmpint (lease, ==, self->lease);
  self->n_revokes++;
  answer (self, TRUE, done, user_data);
}

static void
fake_txn (gpointer instance,
          const CommyStoreCompare *compares,
          gsize n_compares,
          const CommyStoreOp *ops,
          gsize n_ops,
          CommyStoreDoneFunc done,
          gpointer user_data)
{
  FakeStore *self = instance;
  const Row *there = g_hash_table_lookup (self->rows, ops[0].key);
  gboolean holds
      = n_compares == 0 || (there != NULL ? there->revision : 0) == compares[0].mod_revision;

  g_assert_cmpuint (n_ops, ==, 1);
  if (g_strcmp0 (ops[0].key, self->refused) == 0)
    {
      g_autoptr (GError) error
          = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_DENIED, "it is another user's");

      done (user_data, NULL, error);
      return;
    }
  if (holds && !self->refuses)
    self->revision++;
  if (holds && !self->refuses && ops[0].kind == COMMY_STORE_PUT)
    {
      Row *row = g_new0 (Row, 1);

      g_assert_cmpint (ops[0].lease, ==, self->lease);
      self->n_puts++;
      *row = (Row){ .value = g_bytes_ref (ops[0].value), .revision = self->revision };
      g_hash_table_replace (self->rows, g_strdup (ops[0].key), row);
    }
  else if (holds && !self->refuses)
    g_hash_table_remove (self->rows, ops[0].key);
  if (self->is_slow)
    {
      g_assert_null (self->done);
      self->done = done;
      self->user_data = user_data;
      self->done_at = self->revision;
    }
  else
    answer (self, holds, done, user_data);
}

static void
answer_write (FakeStore *self)
{
  const CommyStoreResult result
      = { .struct_size = sizeof result, .succeeded = TRUE, .revision = self->done_at };

  g_assert_nonnull (self->done);
  self->is_slow = FALSE;
  g_steal_pointer (&self->done) (self->user_data, &result, NULL);
}

static void
fake_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  answer (instance, TRUE, done, user_data);
}

static guint
fake_watch (gpointer instance,
            const char *prefix,
            gint64 from_revision,
            CommyStoreWatchEventFunc event,
            gpointer user_data)
{
  FakeStore *self = instance;

  self->event = event;
  self->event_data = user_data;
  return 1;
}

static void
fake_unwatch (gpointer instance, guint watch)
{
  ((FakeStore *) instance)->event = NULL;
}

static void
end_watch (FakeStore *self)
{
  g_autoptr (GError) error = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_STORE, "away");

  g_steal_pointer (&self->event) (self->event_data, NULL, 0, self->revision, error);
}

/* --- an instance --- */

typedef struct
{
  CommyEnv env;
  gint64 now_ns;
  CommyPlugin plugin;
  FakeStore store;
  CommyMesh *mesh; /* what lock-outs look at, and no more */
  CommyLockOuts *lock_outs;
} Scene;

static gint64
fake_now (gpointer data)
{
  return ((Scene *) data)->now_ns;
}

static gint64
fake_wall (gpointer data)
{
  return START_WALL_S * G_USEC_PER_SEC + (((Scene *) data)->now_ns - START_NS) / 1000;
}

static void
scene_init (Scene *self, const char *node, const char *settings)
{
  g_autoptr (GError) error = NULL;

  memset (self, 0, sizeof *self);
  self->now_ns = START_NS;
  self->env = *commy_env_system ();
  self->env.now_ns = fake_now;
  self->env.wall_us = fake_wall;
  self->env.data = self;
  self->store.rows = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, row_free);
  self->plugin.instance = &self->store;
  self->plugin.ops.store = (CommyStoreOps){ .struct_size = sizeof (CommyStoreOps),
                                            .range = fake_range,
                                            .txn = fake_txn,
                                            .watch = fake_watch,
                                            .unwatch = fake_unwatch,
                                            .grant = fake_grant,
                                            .revoke = fake_revoke };
  self->mesh = g_new0 (CommyMesh, 1);
  self->mesh->env = &self->env;
  self->mesh->context = g_main_context_new ();
  self->mesh->store = &self->plugin;
  self->mesh->config = commy_config_load_text (settings, strlen (settings), "test.conf", &error);
  g_assert_no_error (error);
  self->mesh->setup.attempts = commy_attempts_new (1024);
  self->mesh->setup.addresses = commy_attempts_new (1024);
  g_strlcpy (self->mesh->node, node, sizeof self->mesh->node);
  self->lock_outs = commy_lock_outs_new (self->mesh);
}

static void
scene_clear (Scene *self)
{
  commy_lock_outs_free (self->lock_outs);
  commy_attempts_free (self->mesh->setup.attempts);
  commy_attempts_free (self->mesh->setup.addresses);
  commy_config_unref (self->mesh->config);
  g_main_context_unref (self->mesh->context);
  g_hash_table_unref (self->store.rows);
  g_free (self->mesh);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scene, scene_clear)

/* As the set-up does it. */
static void
fail (Scene *self, const char *source, CommyEvidenceKind kind)
{
  commy_attempts_add_failure (self->mesh->setup.attempts, source, self->now_ns);
  commy_attempts_set_kind (self->mesh->setup.attempts, source, "totp");
  if (self->mesh->setup.locked_out != NULL)
    self->mesh->setup.locked_out (self->mesh->setup.locked_out_data, source, kind);
}

static gint64
wait_of (Scene *self, const char *source)
{
  return commy_attempts_wait (self->mesh->setup.attempts, source, self->now_ns);
}

/* What is in the store under that key; NULL: nothing. */
static CommyDenial *
read_row (Scene *self, const char *key)
{
  const Row *row = g_hash_table_lookup (self->store.rows, key);
  gsize size = 0;
  const char *text = row != NULL ? g_bytes_get_data (row->value, &size) : NULL;

  return row != NULL ? commy_denial_read (key, text, size, NULL) : NULL;
}

/* Everything that one has written the other one is handed. */
static void
pass_on (Scene *from, Scene *to)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, from->store.rows);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      g_autoptr (CommyDenial) denial = read_row (from, key);

      commy_lock_outs_take (to->lock_outs, denial, ((Row *) value)->revision);
    }
}

static void
take (Scene *self, const char *subject, gint64 until_s, guint failures, const char *by)
{
  const CommyDenial denial = { .subject = (char *) subject,
                               .reason = (char *) "",
                               .until_s = until_s,
                               .failures = failures,
                               .by = (char *) by };

  commy_lock_outs_take (self->lock_outs, &denial, self->store.revision + 1);
}

/* --- addresses --- */

static void
check_address (const char *text, const char *expected, gboolean expected_of_link)
{
  guint8 bytes[16] = { [10] = 0xff, [11] = 0xff };
  gboolean of_link = TRUE;
  g_autofree char *source = NULL;

  if (strchr (text, ':') != NULL)
    g_assert_cmpint (inet_pton (AF_INET6, text, bytes), ==, 1);
  else
    g_assert_cmpint (inet_pton (AF_INET, text, bytes + 12), ==, 1);
  source = commy_lock_out_dup_address (bytes, &of_link);
  g_assert_cmpstr (source, ==, expected);
  g_assert_true (of_link == expected_of_link);
  g_assert_true (source == NULL || commy_lock_out_is_address (source));
}

static void
test_addresses (void)
{
  check_address ("203.0.113.7", "address/203.0.113.7", FALSE);
  check_address ("::ffff:203.0.113.7", "address/203.0.113.7", FALSE);
  check_address ("2001:db8:1:2:3:4:5:6", "address/2001:db8:1:2::/64", FALSE);
  check_address ("2001:db8:1:2:ffff::1", "address/2001:db8:1:2::/64", FALSE);
  check_address ("2001:db8:1:3::1", "address/2001:db8:1:3::/64", FALSE);
  check_address ("fd00::1", "address/fd00::/64", FALSE);
  /* All of a link have one /64. */
  check_address ("fe80::1:2", "address/fe80::1:2", TRUE);
  check_address ("169.254.1.2", "address/169.254.1.2", TRUE);
  /* What is at this very host is nobody's. */
  check_address ("127.0.0.1", NULL, FALSE);
  check_address ("127.7.7.7", NULL, FALSE);
  check_address ("::ffff:127.0.0.1", NULL, FALSE);
  check_address ("::1", NULL, FALSE);
  check_address ("::", NULL, FALSE);
}

#define THERE "address/2001:db8:1:2::/64"
#define THERE_KEY COMMY_DENIED_PREFIX COMMY_LOCK_OUT "mesh/" THERE

static void
fail_from (Scene *self, const char *address, CommyEvidenceKind kind)
{
  commy_attempts_add_failure (self->mesh->setup.addresses, address, self->now_ns);
  self->mesh->setup.locked_out (self->mesh->setup.locked_out_data, address, kind);
}

static gint64
wait_from (Scene *self, const char *address)
{
  return commy_attempts_wait (self->mesh->setup.addresses, address, self->now_ns);
}

/* An address is told when it has to wait, and not before; and it is lifted like any. */
static void
test_address_told (void)
{
  g_auto (Scene) one = { 0 };
  g_auto (Scene) other = { 0 };
  g_autoptr (CommyDenial) denial = NULL;

  scene_init (&one, "one", "[security]\nlock-out=10s\nlock-out-address=50\n");
  scene_init (&other, "other", "");
  for (guint i = 0; i < 49; i++)
    fail_from (&one, THERE, COMMY_EVIDENCE_X509);
  g_assert_cmpuint (one.store.n_puts, ==, 0);
  fail_from (&one, THERE, COMMY_EVIDENCE_X509);
  g_assert_cmpint (wait_from (&one, THERE), ==, 10 * S);
  denial = read_row (&one, THERE_KEY);
  g_assert_nonnull (denial);
  g_assert_cmpuint (denial->failures, ==, 1);
  g_assert_nonnull (strstr (denial->reason, "from there"));
  pass_on (&one, &other);
  g_assert_cmpint (wait_from (&other, THERE), ==, 10 * S);
  g_assert_cmpint (wait_of (&other, THERE), ==, 0);
  g_assert_cmpint (wait_from (&other, "address/2001:db8:1:3::/64"), ==, 0);
  commy_lock_outs_take_away (other.lock_outs, COMMY_LOCK_OUT "mesh/" THERE, 77);
  g_assert_cmpint (wait_from (&other, THERE), ==, 0);
  commy_lock_outs_take_away (one.lock_outs, COMMY_LOCK_OUT "mesh/" THERE, 77);
  g_assert_cmpint (wait_from (&one, THERE), ==, 0);
}

/* Another link has hosts of the same addresses. */
static void
test_address_of_link (void)
{
  const char *host = commy_env_host_id ();
  g_autofree char *key
      = g_strconcat (COMMY_DENIED_PREFIX COMMY_LOCK_OUT "host/", host, "/address/fe80::1", NULL);
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "[security]\nlock-out-address=1\n");
  fail_from (&one, "address/fe80::1", COMMY_EVIDENCE_KERNEL);
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, 1);
  g_assert_true (g_hash_table_contains (one.store.rows, key));
}

/* Who counts no addresses believes nothing of them. */
static void
test_address_not_counted (void)
{
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "");
  g_clear_pointer (&one.mesh->setup.addresses, commy_attempts_free);
  take (&one, COMMY_LOCK_OUT "mesh/" THERE, START_WALL_S + 10, 1, "other");
  commy_lock_outs_take_away (one.lock_outs, COMMY_LOCK_OUT "mesh/" THERE, 77);
  g_assert_cmpint (wait_of (&one, THERE), ==, 0);
}

/* --- telling --- */

static void
test_told (void)
{
  g_auto (Scene) one = { 0 };
  g_auto (Scene) other = { 0 };
  g_autoptr (CommyDenial) denial = NULL;

  scene_init (&one, "one", "");
  scene_init (&other, "other", "");
  for (guint i = 0; i < 4; i++)
    {
      fail (&one, ANN, COMMY_EVIDENCE_X509);
      one.now_ns += wait_of (&one, ANN);
    }
  fail (&one, ANN, COMMY_EVIDENCE_X509); /* 16 s now */
  other.now_ns = one.now_ns;
  denial = read_row (&one, ANN_KEY);
  g_assert_nonnull (denial);
  g_assert_cmpuint (denial->failures, ==, 5);
  g_assert_cmpint (denial->until_s, ==, START_WALL_S + 15 + 16);
  g_assert_cmpstr (denial->by, ==, "one");
  pass_on (&one, &other);
  g_assert_cmpint (wait_of (&other, ANN), ==, 16 * S);
  g_assert_cmpint (wait_of (&other, "spiffe://mesh/host/h/user/bob"), ==, 0);
  /* And goes on counting where the first one was. */
  other.now_ns += 16 * S;
  g_assert_cmpint (wait_of (&other, ANN), ==, 0);
  fail (&other, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpint (wait_of (&other, ANN), ==, 32 * S);
}

static void
forgive (Scene *self, const char *kind)
{
  commy_attempts_forgive_kind (self->mesh->setup.attempts, ANN, kind, self->now_ns);
}

/* At what he failed is told with it, and another kind of proof makes up for it nowhere. */
static void
test_kinds_told (void)
{
  g_auto (Scene) one = { 0 };
  g_auto (Scene) other = { 0 };
  g_autoptr (CommyDenial) denial = NULL;

  scene_init (&one, "one", "[security]\nlock-out=60s\n");
  scene_init (&other, "other", "[security]\nlock-out=60s\n");
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  denial = read_row (&one, ANN_KEY);
  g_assert_nonnull (denial);
  g_assert_nonnull (denial->kinds);
  g_assert_cmpuint (g_strv_length (denial->kinds), ==, 1);
  g_assert_cmpstr (denial->kinds[0], ==, "totp");
  pass_on (&one, &other);
  forgive (&other, "token");
  g_assert_cmpint (wait_of (&other, ANN), ==, 60 * S);
  forgive (&other, "totp");
  g_assert_cmpint (wait_of (&other, ANN), ==, 0);
}

/* Kinds that cannot be are as good as none. */
static void
test_spoilt_kinds (void)
{
  static const char *const spoilt[]
      = { "<'totp'>",
          "<['']>",
          "<@as []>",
          "<['a b']>",
          "<['a\\nb']>",
          "<['1', '2', '3', '4', '5', '6', '7', '8', '9']>",
          "<['0123456789012345678901234567890123456789012345678901234567890123456789']>" };

  for (gsize i = 0; i < G_N_ELEMENTS (spoilt); i++)
    {
      g_autofree char *text = g_strdup_printf (
          "{'reason': <'x'>, 'until': <int64 9>, 'failures': <uint32 3>, 'by': <'n'>, 'kinds': %s}",
          spoilt[i]);
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyDenial) denial = commy_denial_read (ANN_KEY, text, strlen (text), &error);

      g_assert_no_error (error);
      g_assert_cmpuint (denial->failures, ==, 3);
      g_assert_null (denial->kinds);
    }
}

/* What the kernel says of a peer is of its host; what a transport knows nothing of is nobody's. */
static void
test_hosts (void)
{
  const char *host = commy_env_host_id ();
  g_autofree char *key
      = g_strconcat (COMMY_DENIED_PREFIX COMMY_LOCK_OUT "host/", host, "/unix:uid=7", NULL);
  g_autofree char *subject = g_strconcat (COMMY_LOCK_OUT "host/", host, "/unix:uid=8", NULL);
  g_auto (Scene) one = { 0 };

  g_assert_cmpstr (host, !=, "");
  scene_init (&one, "one", "");
  fail (&one, "unix:uid=7", COMMY_EVIDENCE_KERNEL);
  fail (&one, "transport/x", COMMY_EVIDENCE_NONE);
  fail (&one, "with a space", COMMY_EVIDENCE_X509);
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, 1);
  g_assert_true (g_hash_table_contains (one.store.rows, key));
  take (&one, subject, START_WALL_S + 10, 1, "other");
  g_assert_cmpint (wait_of (&one, "unix:uid=8"), ==, 10 * S);
  take (&one, COMMY_LOCK_OUT "host/another/unix:uid=9", START_WALL_S + 10, 1, "other");
  g_assert_cmpint (wait_of (&one, "unix:uid=9"), ==, 0);
}

static void
test_ends (void)
{
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "");
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  fail (&one, "spiffe://mesh/host/h/user/bob", COMMY_EVIDENCE_X509);
  commy_lock_outs_tidy_up (one.lock_outs);
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, 2);
  /* Another instance has written over it, and takes it away itself. */
  ((Row *) g_hash_table_lookup (one.store.rows, ANN_KEY))->revision = 77;
  one.now_ns += S;
  commy_lock_outs_tidy_up (one.lock_outs);
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, 1);
  g_assert_true (g_hash_table_contains (one.store.rows, ANN_KEY));
  g_assert_cmpuint (commy_lock_outs_get_n (one.lock_outs), ==, 0);
}

static void
test_limits (void)
{
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "[security]\nlock-out=1h\nlock-out-longest=1h\n");
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *source = g_strdup_printf ("spiffe://mesh/host/h/user/%u", i);

      fail (&one, source, COMMY_EVIDENCE_X509);
      g_assert_cmpint (wait_of (&one, source), ==, 3600 * S);
    }
  g_assert_cmpuint (one.store.n_puts, >, 32);
  g_assert_cmpuint (one.store.n_puts, <, 100);
  for (guint i = 1000; i < 2000; i++)
    {
      g_autofree char *source = g_strdup_printf ("spiffe://mesh/host/h/user/%u", i);

      one.now_ns += S;
      fail (&one, source, COMMY_EVIDENCE_X509);
    }
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, COMMY_LOCK_OUTS_MAX);
  g_assert_cmpuint (commy_lock_outs_get_n (one.lock_outs), ==, COMMY_LOCK_OUTS_MAX);
  /* Room comes with the end of others. */
  one.now_ns += 3600 * S;
  commy_lock_outs_tidy_up (one.lock_outs);
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, 0);
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_true (g_hash_table_contains (one.store.rows, ANN_KEY));
}

/* A store that would not have it, or is away: those who failed here wait all the same. */
static void
test_refused (void)
{
  g_auto (Scene) one = { 0 };
  gint64 asked;

  scene_init (&one, "one", "[security]\nlock-out=10min\n");
  fail (&one, "spiffe://mesh/host/h/user/bob", COMMY_EVIDENCE_X509);
  g_assert_cmpuint (one.store.n_puts, ==, 1);
  one.store.refuses = TRUE;
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpint (wait_of (&one, ANN), ==, 600 * S);
  g_assert_cmpuint (one.store.n_revokes, ==, 1);
  /* What went with the lease lets nobody off. */
  commy_lock_outs_take_away (one.lock_outs, COMMY_LOCK_OUT "mesh/spiffe://mesh/host/h/user/bob",
                             one.store.revision + 1);
  g_assert_cmpint (wait_of (&one, "spiffe://mesh/host/h/user/bob"), ==, 600 * S);
  /* It is left alone for a while, and then asked again. */
  asked = one.store.lease;
  one.store.refuses = FALSE;
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpuint (one.store.n_puts, ==, 1);
  g_assert_cmpint (one.store.lease, ==, asked);
  one.now_ns += 30 * S;
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpuint (one.store.n_puts, ==, 2);
  g_assert_cmpint (one.store.lease, ==, asked + 1);
}

static void
test_not_shared (void)
{
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "[security]\nlock-out-shared=false\nlock-out=5s\n");
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpint (wait_of (&one, ANN), ==, 5 * S);
  g_assert_cmpuint (one.store.n_puts, ==, 0);
  take (&one, COMMY_LOCK_OUT "mesh/token:x", START_WALL_S + 10, 1, "other");
  g_assert_cmpint (wait_of (&one, "token:x"), ==, 0);
}

/* --- believing --- */

static void
test_ends_that_cannot_be (void)
{
  static const struct
  {
    gint64 until_s;
    guint failures;
    const char *by;
    gint64 wait_s;
  } cases[] = {
    { START_WALL_S + 60, 3, "other", 60 },
    { START_WALL_S + 900, 64, "other", 900 },
    { START_WALL_S + 901, 1, "other", 900 },
    { G_MAXINT64, G_MAXUINT32, NULL, 900 },
    { START_WALL_S, 5, "other", 0 },
    { 1, 5, "other", 0 },
    { 0, 5, "other", 0 },                 /* for good: there is no such lock-out */
    { START_WALL_S + 60, 0, "other", 0 }, /* it does not say that it is one */
    { START_WALL_S + 60, 5, "one", 0 },   /* one's own, as the store hands it back */
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (Scene) one = { 0 };

      scene_init (&one, "one", "");
      take (&one, COMMY_LOCK_OUT "mesh/" ANN, cases[i].until_s, cases[i].failures, cases[i].by);
      g_assert_cmpint (wait_of (&one, ANN), ==, cases[i].wait_s * S);
    }
}

/* A record that stays in the store, or is handed over again, is no reason to wait again. */
static void
test_once (void)
{
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "");
  take (&one, COMMY_LOCK_OUT "mesh/" ANN, G_MAXINT64, 2, "other");
  one.now_ns += 600 * S;
  take (&one, COMMY_LOCK_OUT "mesh/" ANN, G_MAXINT64, 2, "other");
  g_assert_cmpint (wait_of (&one, ANN), ==, 300 * S);
  one.now_ns += 300 * S;
  take (&one, COMMY_LOCK_OUT "mesh/" ANN, G_MAXINT64, 2, "other");
  g_assert_cmpint (wait_of (&one, ANN), ==, 0);
}

static void
test_flood (void)
{
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "");
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  for (guint i = 0; i < 3 * COMMY_ATTEMPTS_HEARD_MAX; i++)
    {
      g_autofree char *subject = g_strdup_printf (COMMY_LOCK_OUT "mesh/token:%u", i);

      take (&one, subject, START_WALL_S + 600, 1, "other");
    }
  g_assert_cmpuint (commy_attempts_get_n_heard (one.mesh->setup.attempts), ==,
                    COMMY_ATTEMPTS_HEARD_MAX);
  g_assert_cmpuint (commy_attempts_get_n (one.mesh->setup.attempts), ==, 1);
  g_assert_cmpint (wait_of (&one, ANN), ==, S);
}

/* --- a store that is away, and one that is shared --- */

/* One record that it would not have costs that one only. */
static void
test_one_refused (void)
{
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "[security]\nlock-out=10min\n");
  one.store.refused = ANN_KEY;
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpint (wait_of (&one, ANN), ==, 600 * S);
  g_assert_cmpuint (commy_lock_outs_get_n (one.lock_outs), ==, 0);
  fail (&one, "spiffe://mesh/host/h/user/bob", COMMY_EVIDENCE_X509);
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, 1);
  g_assert_cmpuint (one.store.n_revokes, ==, 0);
  /* It is another's, who may take it away. */
  commy_lock_outs_take_away (one.lock_outs, COMMY_LOCK_OUT "mesh/" ANN, one.store.revision + 1);
  g_assert_cmpint (wait_of (&one, ANN), ==, 600 * S);
  one.store.refused = NULL;
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_true (g_hash_table_contains (one.store.rows, ANN_KEY));
}

/* That a store which was away ends what it had is no operator's word, and it is told again. */
static void
test_lost (void)
{
  const char *subject = COMMY_LOCK_OUT "mesh/" ANN;
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "[security]\nlock-out=10min\n");
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  fail (&one, "spiffe://mesh/host/h/user/bob", COMMY_EVIDENCE_X509);
  g_assert_cmpuint (one.store.n_puts, ==, 2);
  commy_lock_outs_lose (one.lock_outs);
  g_assert_cmpuint (one.store.n_revokes, ==, 1);
  fail (&one, "spiffe://mesh/host/h/user/carl", COMMY_EVIDENCE_X509);
  g_assert_cmpuint (one.store.n_puts, ==, 2);
  g_hash_table_remove_all (one.store.rows);
  commy_lock_outs_take_away (one.lock_outs, subject, ++one.store.revision);
  g_assert_cmpint (wait_of (&one, ANN), ==, 600 * S);
  commy_lock_outs_resume (one.lock_outs);
  g_assert_cmpuint (g_hash_table_size (one.store.rows), ==, 3);
  g_assert_cmpint (one.store.lease, ==, 2);
  /* And now it is one. */
  commy_lock_outs_take_away (one.lock_outs, subject, one.store.revision + 1);
  g_assert_cmpint (wait_of (&one, ANN), ==, 0);
}

/* The same by the watch that hands them over. */
static void
test_watch_lost (void)
{
  g_auto (Scene) one = { 0 };
  CommyProofKeeper *keeper;

  scene_init (&one, "one", "[security]\nlock-out=10min\n");
  g_clear_pointer (&one.lock_outs, commy_lock_outs_free);
  keeper = commy_proof_keeper_new (one.mesh);
  commy_proof_keeper_start (keeper, NULL, NULL);
  g_assert_nonnull (one.store.event);
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpuint (one.store.n_puts, ==, 1);
  end_watch (&one.store);
  g_assert_cmpuint (one.store.n_revokes, ==, 1);
  while (one.store.event == NULL)
    g_main_context_iteration (one.mesh->context, TRUE);
  g_assert_cmpuint (one.store.n_puts, ==, 2);
  g_assert_cmpint (one.store.lease, ==, 2);
  commy_proof_keeper_free (keeper);
}

/* What was under way when it went belongs to what is over. */
static void
test_lost_meanwhile (void)
{
  const char *subject = COMMY_LOCK_OUT "mesh/" ANN;
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "[security]\nlock-out=10min\n");
  one.store.is_slow = TRUE;
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  commy_lock_outs_lose (one.lock_outs);
  answer_write (&one.store);
  commy_lock_outs_take_away (one.lock_outs, subject, one.store.revision + 1);
  g_assert_cmpint (wait_of (&one, ANN), ==, 600 * S);
  g_hash_table_remove_all (one.store.rows);
  commy_lock_outs_resume (one.lock_outs);
  g_assert_true (g_hash_table_contains (one.store.rows, ANN_KEY));
}

/* Another instance's, heard before the store says that it has this one's: that one is there. */
static void
test_both (void)
{
  const char *subject = COMMY_LOCK_OUT "mesh/" ANN;
  g_auto (Scene) one = { 0 };

  scene_init (&one, "one", "[security]\nlock-out=10min\n");
  one.store.is_slow = TRUE;
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  take (&one, subject, START_WALL_S + 600, 1, "other");
  answer_write (&one.store);
  g_assert_cmpuint (commy_lock_outs_get_n (one.lock_outs), ==, 0);
  /* Who wrote it takes it away, and nobody is let off here by that. */
  commy_lock_outs_take_away (one.lock_outs, subject, one.store.revision + 2);
  g_assert_cmpint (wait_of (&one, ANN), ==, 600 * S);
}

/* --- lifting --- */

static void
test_lifted (void)
{
  g_auto (Scene) one = { 0 };
  g_auto (Scene) other = { 0 };
  const char *subject = COMMY_LOCK_OUT "mesh/" ANN;

  scene_init (&one, "one", "[security]\nlock-out=60s\n");
  scene_init (&other, "other", "[security]\nlock-out=60s\n");
  fail (&one, ANN, COMMY_EVIDENCE_X509);
  pass_on (&one, &other);
  /* What was taken away before it was written is something else. */
  commy_lock_outs_take_away (one.lock_outs, subject, one.store.revision);
  g_assert_cmpint (wait_of (&one, ANN), ==, 60 * S);
  commy_lock_outs_take_away (one.lock_outs, subject, one.store.revision + 1);
  commy_lock_outs_take_away (other.lock_outs, subject, one.store.revision + 1);
  g_assert_cmpint (wait_of (&one, ANN), ==, 0);
  g_assert_cmpint (wait_of (&other, ANN), ==, 0);
  /* It may try again, and is no stranger. */
  fail (&other, ANN, COMMY_EVIDENCE_X509);
  g_assert_cmpint (wait_of (&other, ANN), ==, 120 * S);
  /* Somebody else's word that is gone ends no wait for what happened here. */
  take (&other, subject, START_WALL_S + 600, 1, "third");
  commy_lock_outs_take_away (other.lock_outs, subject, other.store.revision + 2);
  g_assert_cmpint (wait_of (&other, ANN), ==, 120 * S);
}

/* --- as text --- */

static void
test_subjects (void)
{
  g_autofree char *mesh = commy_lock_out_dup_subject (ANN, NULL);
  g_autofree char *host = commy_lock_out_dup_subject ("unix:uid=7", "h1");
  g_autofree char *longest = g_strnfill (COMMY_DENIAL_SUBJECT_MAX, 'x');

  g_assert_cmpstr (mesh, ==, COMMY_LOCK_OUT "mesh/" ANN);
  g_assert_cmpstr (commy_lock_out_get_source (mesh, "h1"), ==, ANN);
  g_assert_cmpstr (host, ==, COMMY_LOCK_OUT "host/h1/unix:uid=7");
  g_assert_cmpstr (commy_lock_out_get_source (host, "h1"), ==, "unix:uid=7");
  g_assert_null (commy_lock_out_get_source (host, "h"));
  g_assert_null (commy_lock_out_get_source (host, "h11"));
  g_assert_null (commy_lock_out_get_source (host, ""));
  g_assert_null (commy_lock_out_get_source (COMMY_LOCK_OUT "mesh/", "h1"));
  g_assert_null (commy_lock_out_get_source (COMMY_LOCK_OUT "host/h1", "h1"));
  g_assert_null (commy_lock_out_get_source (COMMY_LOCK_OUT "host/h1/", "h1"));
  g_assert_null (commy_lock_out_get_source ("token:x", "h1"));
  g_assert_null (commy_lock_out_dup_subject ("", NULL));
  g_assert_null (commy_lock_out_dup_subject ("a b", NULL));
  g_assert_null (commy_lock_out_dup_subject (longest, NULL));
  g_assert_null (commy_lock_out_dup_subject ("x", ""));
  g_assert_null (commy_lock_out_dup_subject ("x", "a/b"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/security/lock-outs/told-to-others-who-go-on-counting", test_told);
  g_test_add_func ("/security/lock-outs/told-at-what-somebody-failed", test_kinds_told);
  g_test_add_func ("/security/lock-outs/kinds-that-cannot-be-are-none", test_spoilt_kinds);
  g_test_add_func ("/security/lock-outs/a-user-is-of-his-host", test_hosts);
  /* attack: guess from each address of one's own IPv6 network; defence: a /64 is one source; test:
   * /security/lock-outs/address/which-are-one */
  g_test_add_func ("/security/lock-outs/address/which-are-one", test_addresses);
  g_test_add_func ("/security/lock-outs/address/told-when-it-waits-and-lifted", test_address_told);
  g_test_add_func ("/security/lock-outs/address/of-a-link-is-of-its-host", test_address_of_link);
  g_test_add_func ("/security/lock-outs/address/not-where-they-are-not-counted",
                   test_address_not_counted);
  g_test_add_func ("/security/lock-outs/what-has-ended-is-taken-away", test_ends);
  /* attack: fail under thousands of names, to fill the store; defence: so many records of an
   * instance, and so many writes in a while */
  g_test_add_func ("/security/lock-outs/so-many-records-and-writes", test_limits);
  g_test_add_func ("/security/lock-outs/a-store-that-refuses-lets-nobody-off", test_refused);
  g_test_add_func ("/security/lock-outs/where-they-are-not-shared", test_not_shared);
  /* attack: a record in the store that has somebody wait for ever; defence: no longer than the
   * longest wait, and once */
  g_test_add_func ("/security/lock-outs/no-end-counts-that-cannot-be", test_ends_that_cannot_be);
  g_test_add_func ("/security/lock-outs/one-word-counts-once", test_once);
  /* attack: fill an instance with lock-outs through the store, so that it forgets its own; defence:
   * what is heard has a table of its own */
  g_test_add_func ("/security/lock-outs/a-flood-of-them-washes-nothing-away", test_flood);
  g_test_add_func ("/security/lock-outs/one-that-is-refused-costs-itself", test_one_refused);
  g_test_add_func ("/security/lock-outs/lost-with-the-store-and-told-again", test_lost);
  g_test_add_func ("/security/lock-outs/lost-with-its-watch", test_watch_lost);
  g_test_add_func ("/security/lock-outs/lost-while-it-is-written", test_lost_meanwhile);
  g_test_add_func ("/security/lock-outs/written-by-two-at-a-time", test_both);
  g_test_add_func ("/security/lock-outs/one-can-be-lifted", test_lifted);
  g_test_add_func ("/security/lock-outs/subjects", test_subjects);
  return g_test_run ();
}
