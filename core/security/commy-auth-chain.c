/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chains of auth providers, from the keyfile. What they say of a peer is the business of the
 * set-up (core/channel/commy-setup-auth.c).
 */
#include "config.h"

#include "security/commy-auth-chain.h"

#include "base/commy-error-private.h"
#include "config/commy-config-value.h"

#include <string.h>

#define PREFIX "auth-chain "

struct _CommyAuthChains
{
  CommyConfig *config;
  CommyAuthChain by_default;
  GHashTable *by_name;  /* name -> CommyAuthChain */
  GPtrArray *steppers;  /* CommyPlugin, and NULL */
  CommyPlugin *none[1]; /* an empty list */
};

gboolean
commy_auth_has_steps (const CommyPlugin *provider)
{
  return provider->ops.auth.session_size > 0;
}

static void
chain_free (gpointer data)
{
  CommyAuthChain *chain = data;

  g_free ((char *) chain->name);
  g_free (chain->any);
  g_free (chain->require);
  g_free (chain);
}

static void
note_steppers (CommyAuthChains *self, CommyPlugin *const *list)
{
  for (; *list != NULL; list++)
    if (commy_auth_has_steps (*list) && !g_ptr_array_find (self->steppers, *list, NULL))
      g_ptr_array_add (self->steppers, *list);
}

/* --- from the keyfile --- */

typedef struct
{
  CommyAuthChains *chains;
  CommyAuthStartFunc start;
  gpointer data;
} Reader;

static gboolean
refuse (CommyConfig *config, const char *group, const char *key, const char *why, GError **error)
{
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: [%s] %s",
                   commy_config_get_origin (config, group, key), group, why);
  return FALSE;
}

/* A list of providers, up to NULL. */
static CommyPlugin **
read_list (Reader *reader, const char *group, const char *key, GError **error)
{
  CommyConfig *config = reader->chains->config;
  g_auto (GStrv) ids = commy_config_get_list (config, group, key);
  guint n = g_strv_length (ids);
  g_autofree CommyPlugin **list = g_new0 (CommyPlugin *, n + 1);

  if (n > COMMY_AUTH_CHAIN_MAX)
    {
      refuse (config, group, key, "names more than four providers in one list; leave some out",
              error);
      return NULL;
    }
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) cause = NULL;

      if (g_strv_contains ((const char *const *) ids + i + 1, ids[i]))
        {
          refuse (config, group, key, "names a provider twice; once is enough", error);
          return NULL;
        }
      list[i] = reader->start (reader->data, ids[i], &cause);
      if (list[i] != NULL)
        continue;
      commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING,
                       "[%s] (%s) needs the auth provider %s, which cannot be used: %s", group,
                       commy_config_get_origin (config, group, key), ids[i],
                       commy_error_bare (cause));
      return NULL;
    }
  return g_steal_pointer (&list);
}

static gboolean
contains (CommyPlugin *const *list, const CommyPlugin *provider)
{
  for (; *list != NULL; list++)
    if (*list == provider)
      return TRUE;
  return FALSE;
}

static guint
count (CommyPlugin *const *list)
{
  guint n = 0;

  while (list[n] != NULL)
    n++;
  return n;
}

static gboolean
check_chain (CommyConfig *config, const char *group, const CommyAuthChain *chain, GError **error)
{
  if (chain->any[0] == NULL && chain->require[0] == NULL)
    return refuse (config, group, NULL, "asks nobody; write require=PROVIDER;... or any=...",
                   error);
  for (CommyPlugin *const *one = chain->require; *one != NULL; one++)
    if (contains (chain->any, *one))
      return refuse (config, group, "any",
                     "names a provider that require= names, too; leave one out", error);
  if (chain->same_principal && (chain->any[0] != NULL) + count (chain->require) < 2)
    return refuse (
        config, group, "same-principal",
        "asks for one proof only, which speaks of itself; name another in require=", error);
  return TRUE;
}

static gboolean
read_chain (Reader *reader, const char *group, GError **error)
{
  CommyAuthChains *self = reader->chains;
  CommyAuthChain *chain = g_new0 (CommyAuthChain, 1);

  chain->name = g_strdup_printf ("[%s]", group);
  g_hash_table_insert (self->by_name, g_strdup (group + strlen (PREFIX)), chain);
  chain->any = read_list (reader, group, "any", error);
  if (chain->any == NULL)
    return FALSE;
  chain->require = read_list (reader, group, "require", error);
  chain->same_principal = commy_config_get_bool (self->config, group, "same-principal");
  if (chain->require == NULL || !check_chain (self->config, group, chain, error))
    return FALSE;
  note_steppers (self, chain->any);
  note_steppers (self, chain->require);
  return TRUE;
}

/* "; did you mean ...?", or "". (transfer full) */
static char *
suggest (CommyAuthChains *self, const char *name)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, self->by_name);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (names, key);
  g_ptr_array_add (names, NULL);
  return commy_value_suggest (name, (const char *const *) names->pdata);
}

/* A name that no chain has would silently ask for less. */
static gboolean
check_name (CommyAuthChains *self, const char *group, const char *key, GError **error)
{
  const char *name = commy_config_get (self->config, group, key);
  g_autofree char *suggestion = NULL;

  if (name == NULL || *name == '\0' || g_hash_table_contains (self->by_name, name))
    return TRUE;
  suggestion = suggest (self, name);
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: there is no [auth-chain %s]%s",
                   commy_config_get_origin (self->config, group, key), name, suggestion);
  return FALSE;
}

static gboolean
check_names (CommyAuthChains *self, const char *prefix, const char *key, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (self->config, prefix);

  for (guint i = 0; i < groups->len; i++)
    if (!check_name (self, g_ptr_array_index (groups, i), key, error))
      return FALSE;
  return TRUE;
}

CommyAuthChains *
commy_auth_chains_new (CommyConfig *config,
                       CommyPlugin **auth,
                       CommyAuthStartFunc start,
                       gpointer data,
                       GError **error)
{
  g_autoptr (CommyAuthChains) self = g_new0 (CommyAuthChains, 1);
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, PREFIX);
  Reader reader = { .chains = self, .start = start, .data = data };

  self->config = commy_config_ref (config);
  self->by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, chain_free);
  self->steppers = g_ptr_array_new ();
  self->by_default
      = (CommyAuthChain){ .name = "\"auth\" of [mesh]", .any = auth, .require = self->none };
  note_steppers (self, auth);
  for (guint i = 0; i < groups->len; i++)
    if (!read_chain (&reader, g_ptr_array_index (groups, i), error))
      return NULL;
  g_ptr_array_add (self->steppers, NULL);
  if (!check_name (self, "mesh", "auth-chain", error)
      || !check_names (self, "service ", "auth-chain", error)
      || !check_names (self, "service ", "expect-chain", error)
      || !check_names (self, "plugin transport/", "auth-chain", error))
    return NULL;
  return g_steal_pointer (&self);
}

void
commy_auth_chains_free (CommyAuthChains *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->by_name, g_hash_table_unref);
  g_clear_pointer (&self->steppers, g_ptr_array_unref);
  g_clear_pointer (&self->config, commy_config_unref);
  g_free (self);
}

/* --- which one --- */

/* NULL: that group names none. */
static const CommyAuthChain *
named_by (CommyAuthChains *self, const char *group, const char *key)
{
  const char *name = commy_config_get (self->config, group, key);

  return name != NULL && *name != '\0' ? g_hash_table_lookup (self->by_name, name) : NULL;
}

const CommyAuthChain *
commy_auth_chains_get_offered (CommyAuthChains *self, const char *service, const char *transport)
{
  g_autofree char *of_service = g_strconcat ("service ", service, NULL);
  g_autofree char *of_transport = g_strconcat ("plugin transport/", transport, NULL);
  const CommyAuthChain *chain = named_by (self, of_service, "auth-chain");

  if (chain == NULL)
    chain = named_by (self, of_transport, "auth-chain");
  if (chain == NULL)
    chain = named_by (self, "mesh", "auth-chain");
  return chain != NULL ? chain : &self->by_default;
}

const CommyAuthChain *
commy_auth_chains_get_expected (CommyAuthChains *self, const char *service)
{
  g_autofree char *of_service = g_strconcat ("service ", service, NULL);
  const CommyAuthChain *chain = named_by (self, of_service, "expect-chain");

  return chain != NULL ? chain : &self->by_default;
}

const CommyAuthChain *
commy_auth_chains_get_default (CommyAuthChains *self)
{
  return &self->by_default;
}

gboolean
commy_auth_chains_is_simple (CommyAuthChains *self)
{
  return g_hash_table_size (self->by_name) == 0;
}

CommyPlugin *const *
commy_auth_chains_get_steppers (CommyAuthChains *self)
{
  return (CommyPlugin *const *) self->steppers->pdata;
}

CommyPlugin *
commy_auth_chains_find_stepper (CommyAuthChains *self, const char *id)
{
  for (CommyPlugin *const *one = commy_auth_chains_get_steppers (self); *one != NULL; one++)
    if (strcmp ((*one)->note.id, id) == 0)
      return *one;
  return NULL;
}
