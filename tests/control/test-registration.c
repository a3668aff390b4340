/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process says of itself, over a store of the test's own that will not have one of its
 * records: the others stay as they are, and it is asked less and less often. What somebody takes
 * away is there again, whichever it is.
 */
#include "config.h"

#include "control/commy-registration.h"

#include "base/commy-error-private.h"
#include "control/commy-registry.h"

#include <string.h>

typedef struct
{
  char *prefix;
  CommyStoreWatchEventFunc event;
  gpointer data;
} Watch;

typedef struct
{
  CommyPlugin plugin;
  GHashTable *there; /* key to GBytes */
  const char *refused;
  guint n_grants, n_revoked, n_refused, n_looks, n_puts;
  gint64 lease; /* that lasts */
  gint64 revision;
  gboolean is_full;    /* nothing can be put */
  GHashTable *watches; /* guint to Watch */
  guint last_watch;
} Puppet;

static CommyStoreResult
answer (const Puppet *self, gint64 lease)
{
  return (CommyStoreResult){ .struct_size = sizeof (CommyStoreResult),
                             .succeeded = TRUE,
                             .revision = self->revision,
                             .lease = lease };
}

static void
on_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  Puppet *self = instance;
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (CommyStoreEntry));
  CommyStoreResult result = answer (self, 0);
  GHashTableIter iter;
  gpointer key, value;

  self->n_looks++;
  g_hash_table_iter_init (&iter, self->there);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (g_str_has_prefix (key, prefix))
      {
        CommyStoreEntry entry
            = { .key = key, .value = value, .mod_revision = 1, .lease = self->lease };

        g_array_append_val (entries, entry);
      }
  result.entries = (const CommyStoreEntry *) (gpointer) entries->data;
  result.n_entries = entries->len;
  done (user_data, &result, NULL);
}

static void
fail (CommyError code, const char *why, CommyStoreDoneFunc done, gpointer user_data)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, code, "%s", why);
  done (user_data, NULL, error);
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
  CommyStoreResult result;

  if (ops->kind == COMMY_STORE_PUT)
    {
      self->n_puts++;
      if (g_strcmp0 (ops->key, self->refused) == 0)
        {
          self->n_refused++;
          fail (COMMY_ERROR_DENIED, "not that one", done, user_data);
          return;
        }
      if (self->is_full || ops->lease != self->lease)
        {
          fail (COMMY_ERROR_STORE, self->is_full ? "full" : "the lease has ended", done, user_data);
          return;
        }
      g_hash_table_replace (self->there, g_strdup (ops->key), g_bytes_ref (ops->value));
    }
  else
    g_hash_table_remove (self->there, ops->key);
  self->revision++;
  result = answer (self, 0);
  done (user_data, &result, NULL);
}

static void
on_grant (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  Puppet *self = instance;
  CommyStoreResult result = answer (self, ++self->n_grants);

  self->lease = self->n_grants;
  done (user_data, &result, NULL);
}

static void
on_revoke (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  Puppet *self = instance;
  CommyStoreResult result = answer (self, 0);

  self->n_revoked++;
  done (user_data, &result, NULL);
}

static void
watch_free (gpointer data)
{
  Watch *watch = data;

  g_free (watch->prefix);
  g_free (watch);
}

static guint
on_watch (gpointer instance,
          const char *prefix,
          gint64 from_revision,
          CommyStoreWatchEventFunc event,
          gpointer user_data)
{
  Puppet *self = instance;
  Watch *watch = g_new (Watch, 1);

  *watch = (Watch){ g_strdup (prefix), event, user_data };
  g_hash_table_insert (self->watches, GUINT_TO_POINTER (++self->last_watch), watch);
  return self->last_watch;
}

static void
on_unwatch (gpointer instance, guint id)
{
  g_assert_true (g_hash_table_remove (((Puppet *) instance)->watches, GUINT_TO_POINTER (id)));
}

/* Whoever watches hears that it has gone. Returns how many do. */
static guint
tell_gone (Puppet *self, const char *key)
{
  const CommyStoreEntry gone = { .key = key, .mod_revision = ++self->revision };
  g_autoptr (GList) watches = g_hash_table_get_values (self->watches);
  guint n = 0;

  for (GList *l = watches; l != NULL; l = l->next)
    {
      const Watch *watch = l->data;

      if (!g_str_has_prefix (key, watch->prefix))
        continue;
      watch->event (watch->data, &gone, 1, gone.mod_revision, NULL);
      n++;
    }
  return n;
}

static void
ignore (gpointer data, const GError *error)
{
}

static const char *const keys[] = { "services/a/1", "services/b/1", "services/c/1" };

static GHashTable *
new_table (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
}

static void
puppet_init (Puppet *self)
{
  *self = (Puppet){ .there = new_table (),
                    .watches = g_hash_table_new_full (NULL, NULL, NULL, watch_free) };
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
  g_assert_cmpuint (g_hash_table_size (self->watches), ==, 0);
  g_hash_table_unref (self->watches);
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
  g_autoptr (GHashTable) there = g_steal_pointer (&self->there);
  GHashTableIter iter;
  gpointer key;
  guint grants = self->n_grants;

  self->there = new_table ();
  self->lease = 0;
  g_hash_table_iter_init (&iter, there);
  while (self->n_grants == grants && g_hash_table_iter_next (&iter, &key, NULL))
    g_assert_cmpuint (tell_gone (self, key), ==, 1);
}

static void
take_away (Puppet *self, const char *key)
{
  g_assert_true (g_hash_table_remove (self->there, key));
  g_assert_cmpuint (tell_gone (self, key), ==, 1);
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

/* Whatever goes on being refused, the next end of a lease is noticed at once, whatever the pause of
 * that one. */
static void
test_lease_ends (void)
{
  Puppet puppet;
  CommyRegistration *self;

  puppet_init (&puppet);
  self = offer_all (&puppet);
  puppet.refused = keys[1];
  for (guint grants = 2; grants < 10; grants++)
    {
      end_lease (&puppet);
      g_assert_cmpuint (puppet.n_grants, ==, grants);
      g_assert_cmpuint (g_hash_table_size (puppet.there), ==, G_N_ELEMENTS (keys) - 1);
    }
  commy_registration_free (self);
  puppet_clear (&puppet);
}

/* Any of them, and the lease stays as it is. */
static void
test_taken_away (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      Puppet puppet;
      CommyRegistration *self;

      puppet_init (&puppet);
      self = offer_all (&puppet);
      take_away (&puppet, keys[i]);
      g_assert_cmpuint (g_hash_table_size (puppet.there), ==, G_N_ELEMENTS (keys));
      g_assert_cmpuint (puppet.n_grants, ==, 1);
      commy_registration_free (self);
      puppet_clear (&puppet);
    }
}

/* One that may not change is there as it was: the lease that it is under is not ended for that. */
static void
test_change_refused (void)
{
  g_autoptr (GBytes) changed = g_bytes_new_static ("changed", 7);
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  Puppet puppet;
  CommyRegistration *self;

  puppet_init (&puppet);
  self = commy_registration_new (&puppet.plugin, NULL);
  commy_registration_start (self, ignore, NULL);
  commy_registration_add (self, keys[0], value, ignore, NULL);
  puppet.refused = keys[0];
  commy_registration_update (self, keys[0], changed, ignore, NULL);
  while (puppet.n_refused < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (puppet.n_revoked, ==, 0);
  puppet.refused = NULL;
  while (!g_bytes_equal (g_hash_table_lookup (puppet.there, keys[0]), changed))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (puppet.n_revoked, ==, 0);
  commy_registration_free (self);
  puppet_clear (&puppet);
}

/* Who goes on taking it away is not answered each time, but in the end. */
static void
test_taken_again (void)
{
  Puppet puppet;
  CommyRegistration *self;
  guint n_puts;

  puppet_init (&puppet);
  self = offer_all (&puppet);
  take_away (&puppet, keys[0]);
  n_puts = puppet.n_puts;
  for (guint i = 0; i < 100; i++)
    {
      g_hash_table_remove (puppet.there, keys[0]);
      g_assert_cmpuint (tell_gone (&puppet, keys[0]), ==, 1);
    }
  g_assert_cmpuint (puppet.n_puts, ==, n_puts);
  while (!g_hash_table_contains (puppet.there, keys[0]))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (puppet.n_puts, ==, n_puts + 1);
  g_assert_cmpuint (puppet.n_grants, ==, 1);
  commy_registration_free (self);
  puppet_clear (&puppet);
}

/* A store that cannot put it anew must not lose the others, as the end of the lease would have it.
 */
static void
test_cannot_be_put (void)
{
  Puppet puppet;
  CommyRegistration *self;

  puppet_init (&puppet);
  self = offer_all (&puppet);
  puppet.is_full = TRUE;
  take_away (&puppet, keys[0]);
  g_assert_cmpuint (puppet.n_revoked, ==, 0);
  g_assert_cmpuint (g_hash_table_size (puppet.there), ==, G_N_ELEMENTS (keys) - 1);
  puppet.is_full = FALSE;
  while (!g_hash_table_contains (puppet.there, keys[0]))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (puppet.n_revoked, ==, 0);
  commy_registration_free (self);
  puppet_clear (&puppet);
}

/* Who offers much does not have a watch for each of it, and still hears of all. */
static void
test_many (void)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  Puppet puppet;
  CommyRegistration *self;

  puppet_init (&puppet);
  self = offer_all (&puppet);
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *key = g_strdup_printf ("%s/%u", i % 2 ? "services/many" : "nodes", i);

      commy_registration_add (self, key, value, ignore, NULL);
    }
  g_assert_cmpuint (g_hash_table_size (puppet.watches), ==, 2);
  take_away (&puppet, "services/many/77");
  g_assert_true (g_hash_table_contains (puppet.there, "services/many/77"));
  end_lease (&puppet);
  while (puppet.n_grants < 2 || g_hash_table_size (puppet.there) < 200 + G_N_ELEMENTS (keys))
    g_main_context_iteration (NULL, TRUE);
  take_away (&puppet, "nodes/4");
  while (!g_hash_table_contains (puppet.there, "nodes/4"))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (puppet.n_grants, ==, 2);
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
  g_assert_cmpuint (puppet.n_refused, ==, 2); /* under the old lease, and under the new one */
  commy_registration_free (self);
  puppet_clear (&puppet);
}

static void
end_watch (Puppet *self, const char *prefix, const GError *error)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->watches);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Watch *watch = value;

      if (strcmp (watch->prefix, prefix) != 0)
        continue;
      g_hash_table_iter_steal (&iter);
      watch->event (watch->data, NULL, 0, self->revision, error);
      watch_free (watch);
      return;
    }
  g_assert_not_reached ();
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
  g_autoptr (GBytes) changed = g_bytes_new_static ("changed", 7);
  g_autoptr (GError) error = NULL;
  gboolean is_over = FALSE;
  Puppet puppet;
  CommyRegistration *self;
  guint n_looks;

  puppet_init (&puppet);
  self = offer_all (&puppet);
  puppet.refused = keys[0];
  commy_registration_update (self, keys[0], changed, ignore, NULL);
  while (puppet.n_refused < 2)
    g_main_context_iteration (NULL, TRUE);
  n_looks = puppet.n_looks;
  /* Two seconds are to go; half of one more than that of a store that is away is enough. */
  commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "away");
  end_watch (&puppet, keys[0], error);
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

/* --- a process's view of itself --- */

static CommyInstance *
make_instance (const char *service, const char *id)
{
  CommyInstance *instance = commy_instance_new (id, service);

  instance->node = g_strdup ("0123456789abcdef0123456789abcdef");
  instance->host = g_strdup ("host");
  instance->host_id = g_strdup ("an-id");
  instance->interface_name = g_strdup (service);
  instance->serializers = g_strsplit ("json", ",", -1);
  return instance;
}

static guint
count_seen (CommyRegistry *registry)
{
  g_autoptr (CommySnapshot) snapshot = commy_registry_lookup (registry, "a");

  return snapshot->instances->len;
}

/* Of the only one that is seen. */
static gboolean
is_version (CommyRegistry *registry, const char *version)
{
  g_autoptr (CommySnapshot) snapshot = commy_registry_lookup (registry, "a");

  return strcmp (((CommyInstance *) snapshot->instances->pdata[0])->version, version) == 0;
}

static void
assert_sees (CommyRegistry *registry, guint n, const char *version)
{
  g_autoptr (CommySnapshot) snapshot = commy_registry_lookup (registry, "a");

  g_assert_nonnull (snapshot);
  g_assert_cmpuint (snapshot->instances->len, ==, n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpstr (((CommyInstance *) snapshot->instances->pdata[i])->version, ==, version);
}

/* The store takes back what is offered here and gives nothing new; who offers it sees it all the
 * same, as it is now, until he takes it back himself. */
static void
test_own_view (void)
{
  g_autoptr (GError) error = NULL;
  CommyConfig *config = commy_config_load_text ("", 0, "nothing", &error);
  g_autoptr (CommyInstance) instance = make_instance ("a", "1");
  g_autoptr (CommyInstance) other = make_instance ("b", "1");
  CommyRegistry *registry;
  guint32 epoch = 0;
  Puppet puppet;

  g_assert_no_error (error);
  puppet_init (&puppet);
  registry = commy_registry_new (&puppet.plugin, config, commy_env_system (), NULL, &epoch);
  commy_registry_start (registry, ignore, NULL);
  commy_registry_add (registry, instance, ignore, NULL);
  commy_registry_add (registry, other, ignore, NULL);
  commy_registry_ensure (registry, "a", FALSE, ignore, NULL);
  assert_sees (registry, 1, "");
  puppet.is_full = TRUE;
  g_assert_true (g_hash_table_remove (puppet.there, "services/a/1"));
  g_assert_cmpuint (tell_gone (&puppet, "services/a/1"), ==, 2); /* who offers it, and who looks */
  commy_registry_ensure (registry, "a", TRUE, ignore, NULL);
  assert_sees (registry, 1, "");
  g_free (instance->version);
  instance->version = g_strdup ("2");
  commy_registry_update (registry, instance, ignore, NULL);
  while (!is_version (registry, "2")) /* though nobody reads the store again */
    g_main_context_iteration (NULL, TRUE);
  assert_sees (registry, 1, "2");
  commy_registry_remove (registry, instance, ignore, NULL);
  while (count_seen (registry) > 0)
    g_main_context_iteration (NULL, TRUE);
  commy_registry_free (registry);
  commy_config_unref (config);
  puppet_clear (&puppet);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/registration/one-refused-record-leaves-the-others", test_refused);
  g_test_add_func ("/control/registration/ends-of-leases-are-noticed-though-one-is-refused",
                   test_lease_ends);
  g_test_add_func ("/control/registration/all-refused-waits", test_all_refused);
  g_test_add_func ("/control/registration/what-somebody-takes-away-is-there-again",
                   test_taken_away);
  g_test_add_func ("/control/registration/a-change-that-is-refused-costs-no-lease",
                   test_change_refused);
  g_test_add_func ("/control/registration/who-takes-away-again-and-again-waits", test_taken_again);
  g_test_add_func ("/control/registration/a-failing-store-costs-no-lease", test_cannot_be_put);
  g_test_add_func ("/control/registration/many-keys-share-watches", test_many);
  g_test_add_func ("/control/registration/store-that-was-away-is-asked-soon", test_away);
  g_test_add_func ("/control/registration/pauses-grow-to-a-minute", test_pauses);
  g_test_add_func ("/control/registration/a-process-never-loses-sight-of-what-it-offers",
                   test_own_view);
  return g_test_run ();
}
