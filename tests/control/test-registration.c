/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process says of itself, over a store of the test's own that will not have one of its
 * records: the others stay as they are, and it is asked less and less often.
 */
#include "config.h"

#include "control/commy-registration.h"

#include "base/commy-error-private.h"

#include <string.h>

typedef struct
{
  CommyPlugin plugin;
  GHashTable *there; /* set of keys */
  const char *refused;
  guint n_grants, n_refused, n_looks;
  CommyStoreWatchEventFunc event; /* NULL: nothing is watched */
  gpointer event_data;
  char *watched;
} Puppet;

static CommyStoreResult
answer (gint64 lease)
{
  return (CommyStoreResult){
    .struct_size = sizeof (CommyStoreResult), .succeeded = TRUE, .revision = 1, .lease = lease
  };
}

static void
on_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Puppet *self = instance;
  CommyStoreEntry entry = { .key = prefix, .mod_revision = 1, .lease = self->n_grants };
  CommyStoreResult result = answer (0);

  self->n_looks++;
  entry.value = g_bytes_new_static ("v", 1);
  result.entries = &entry;
  result.n_entries = g_hash_table_contains (self->there, prefix);
  done (user_data, &result, NULL);
  g_bytes_unref (entry.value);
}

static void
on_txn (gpointer instance,
        const CommyStoreCompare *compares,
        gsize n_compares,
        const CommyStoreOp *ops,
        gsize n_ops,
        CommyStoreDoneFunc done,
        gpointer user_data)
{
  Puppet *self = instance;
  CommyStoreResult result = answer (0);
  g_autoptr (GError) error = NULL;

  if (g_strcmp0 (ops->key, self->refused) == 0 && ops->kind == COMMY_STORE_PUT)
    {
      self->n_refused++;
      commy_set_error (&error, COMMY_ERROR_DENIED, "not that one");
      done (user_data, NULL, error);
      return;
    }
  if (ops->kind == COMMY_STORE_PUT)
    g_hash_table_add (self->there, g_strdup (ops->key));
  else
    g_hash_table_remove (self->there, ops->key);
  done (user_data, &result, NULL);
}

static void
on_grant (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  Puppet *self = instance;
  CommyStoreResult result = answer (++self->n_grants);

  done (user_data, &result, NULL);
}

static void
on_revoke (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  CommyStoreResult result = answer (0);

  done (user_data, &result, NULL);
}

static guint
on_watch (gpointer instance,
          const char *prefix,
          gint64 from_revision,
          CommyStoreWatchEventFunc event,
          gpointer user_data)
{
  Puppet *self = instance;

  self->event = event;
  self->event_data = user_data;
  g_free (self->watched);
  self->watched = g_strdup (prefix);
  return 1;
}

static void
on_unwatch (gpointer instance, guint id)
{
  ((Puppet *) instance)->event = NULL;
}

static void
ignore (gpointer data, const GError *error)
{
}

static const char *const keys[] = { "services/a/1", "services/b/1", "services/c/1" };

static void
puppet_init (Puppet *self)
{
  *self = (Puppet){ .there = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL) };
  self->plugin.instance = self;
  self->plugin.ops.store = (CommyStoreOps){ .struct_size = sizeof (CommyStoreOps),
                                            .range = on_range,
                                            .txn = on_txn,
                                            .grant = on_grant,
                                            .revoke = on_revoke,
                                            .watch = on_watch,
                                            .unwatch = on_unwatch };
}

static void
puppet_clear (Puppet *self)
{
  g_hash_table_unref (self->there);
  g_free (self->watched);
}

static CommyRegistration *
offer_all (Puppet *puppet)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  CommyRegistration *self = commy_registration_new (&puppet->plugin, NULL);

  commy_registration_start (self, ignore, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    commy_registration_add (self, keys[i], value, ignore, NULL);
  return self;
}

/* All is gone, as who watches hears. */
static void
end_lease (Puppet *self)
{
  g_autofree char *key = g_strdup (self->watched);
  const CommyStoreEntry gone = { .key = key, .mod_revision = 2 };

  g_hash_table_remove_all (self->there);
  g_assert_nonnull (self->event);
  self->event (self->event_data, &gone, 1, 2, NULL);
}

static void
test_refused (void)
{
  Puppet puppet;
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  CommyRegistration *self;

  for (guint refused = 0; refused < G_N_ELEMENTS (keys); refused++)
    {
      puppet_init (&puppet);
      self = offer_all (&puppet);
      /* What is to be written now is not taken, and it is not there any more. */
      puppet.refused = keys[refused];
      g_hash_table_remove (puppet.there, keys[refused]);
      commy_registration_update (self, keys[refused], value, ignore, NULL);
      g_assert_cmpuint (puppet.n_refused, ==, 1);
      while (puppet.n_refused < 2)
        g_main_context_iteration (NULL, TRUE);
      /* The lease lasts, and so does all that is under it. */
      g_assert_cmpuint (puppet.n_grants, ==, 1);
      g_assert_cmpuint (g_hash_table_size (puppet.there), ==, G_N_ELEMENTS (keys) - 1);
      commy_registration_free (self);
      puppet_clear (&puppet);
    }
}

/* What goes on being refused is not what is watched, and the next end of a lease is noticed at
 * once, whatever the pause of that one. */
static void
test_lease_ends (void)
{
  Puppet puppet;
  CommyRegistration *self;

  puppet_init (&puppet);
  self = offer_all (&puppet);
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    if (strcmp (keys[i], puppet.watched) == 0)
      puppet.refused = keys[i];
  for (guint grants = 2; grants < 10; grants++)
    {
      end_lease (&puppet);
      g_assert_cmpuint (puppet.n_grants, ==, grants);
      g_assert_cmpuint (g_hash_table_size (puppet.there), ==, G_N_ELEMENTS (keys) - 1);
      g_assert_cmpstr (puppet.watched, !=, puppet.refused);
    }
  commy_registration_free (self);
  puppet_clear (&puppet);
}

/* Nothing is asked again before its time, either. */
static void
test_all_refused (void)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  Puppet puppet;
  CommyRegistration *self;

  puppet_init (&puppet);
  self = commy_registration_new (&puppet.plugin, NULL);
  commy_registration_start (self, ignore, NULL);
  commy_registration_add (self, keys[0], value, ignore, NULL);
  puppet.refused = keys[0];
  end_lease (&puppet);
  g_assert_cmpuint (puppet.n_grants, ==, 2);
  g_assert_cmpuint (puppet.n_refused, ==, 1);
  commy_registration_free (self);
  puppet_clear (&puppet);
}

static gboolean
on_time (gpointer is_over)
{
  *(gboolean *) is_over = TRUE;
  return G_SOURCE_REMOVE;
}

/* A store that was away is asked a second later, although something refused has longer to wait. */
static void
test_away (void)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  g_autoptr (GError) error = NULL;
  gboolean is_over = FALSE;
  Puppet puppet;
  CommyRegistration *self;
  guint n_looks;

  puppet_init (&puppet);
  self = offer_all (&puppet);
  puppet.refused = keys[0];
  commy_registration_update (self, keys[0], value, ignore, NULL);
  while (puppet.n_refused < 2)
    g_main_context_iteration (NULL, TRUE);
  n_looks = puppet.n_looks;
  /* Two seconds are to go; half of one more than that of a store that is away is enough. */
  commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "away");
  puppet.event (puppet.event_data, NULL, 0, 2, error);
  g_assert_cmpuint (puppet.n_looks, ==, n_looks);
  g_timeout_add (1500, on_time, &is_over);
  while (!is_over)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (puppet.n_looks, >, n_looks);
  commy_registration_free (self);
  puppet_clear (&puppet);
}

static void
test_pauses (void)
{
  g_assert_cmpuint (commy_registration_get_pause_ms (0), ==, 1000);
  g_assert_cmpuint (commy_registration_get_pause_ms (1), ==, 2000);
  g_assert_cmpuint (commy_registration_get_pause_ms (5), ==, 32000);
  for (guint i = 6; i < 40; i++)
    g_assert_cmpuint (commy_registration_get_pause_ms (i), ==, 64000);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/registration/one-refused-record-leaves-the-others", test_refused);
  g_test_add_func ("/control/registration/ends-of-leases-are-noticed-though-one-is-refused",
                   test_lease_ends);
  g_test_add_func ("/control/registration/all-refused-waits", test_all_refused);
  g_test_add_func ("/control/registration/store-that-was-away-is-asked-soon", test_away);
  g_test_add_func ("/control/registration/pauses-grow-to-a-minute", test_pauses);
  return g_test_run ();
}
