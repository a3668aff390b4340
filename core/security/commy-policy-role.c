/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names for many: roles of principals, groups of networks. What inherits is resolved here, once,
 * so that nothing follows it when a request is decided.
 */
#include "config.h"

#include "security/commy-policy-private.h"

#include "base/commy-error-private.h"

#include <string.h>

#define ROLE "role "
#define NETWORK_GROUP "network-group "

void
commy_role_free (gpointer data)
{
  CommyRole *role = data;

  g_ptr_array_unref (role->inherits);
  g_free (role->rules);
  g_free (role);
}

/* --- roles --- */

static gboolean
read_inherits (CommyPolicy *self, CommyRole *role, GError **error)
{
  g_auto (GStrv) names = commy_config_get_list (self->config, role->group, "inherits");

  for (char **name = names; *name != NULL; name++)
    {
      CommyRole *other = g_hash_table_lookup (self->role_by_name, *name);

      if (other == NULL)
        {
          commy_policy_complain (self->config, role->group, "inherits", error,
                                 "inherits \"%s\", which is no role: add [role %s]", *name, *name);
          return FALSE;
        }
      g_ptr_array_add (role->inherits, other);
    }
  return TRUE;
}

/* The roles from @first on, each inheriting the next one, and @first again. */
static gboolean
complain_of_circle (CommyPolicy *self, GPtrArray *open, CommyRole *first, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  CommyRole *last = open->pdata[open->len - 1];
  guint i = 0;

  while (open->pdata[i] != first)
    i++;
  for (; i < open->len; i++)
    g_string_append_printf (names, "%s -> ", ((CommyRole *) open->pdata[i])->name);
  commy_policy_complain (self->config, last->group, "inherits", error,
                         "roles inherit in a circle: %s%s; take one of them out", names->str,
                         first->name);
  return FALSE;
}

/* At most as deep as there are roles. */
static gboolean
resolve (CommyPolicy *self, CommyRole *role, GPtrArray *open, GError **error)
{
  if (role->is_open)
    return complain_of_circle (self, open, role, error);
  if (role->is_visited)
    return TRUE;
  role->is_visited = role->is_open = TRUE;
  g_ptr_array_add (open, role);
  for (guint i = 0; i < role->inherits->len; i++)
    {
      CommyRole *other = role->inherits->pdata[i];

      if (!resolve (self, other, open, error))
        return FALSE;
      role->depth = MAX (role->depth, other->depth + 1);
    }
  g_ptr_array_set_size (open, (gint) open->len - 1);
  role->is_open = FALSE;
  if (role->depth <= COMMY_POLICY_DEPTH_MAX)
    return TRUE;
  commy_policy_complain (self->config, role->group, "inherits", error,
                         "inherits over %u roles, one from the other; %u may be", role->depth,
                         COMMY_POLICY_DEPTH_MAX);
  return FALSE;
}

gboolean
commy_policy_read_roles (CommyPolicy *self, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (self->config, ROLE);
  g_autoptr (GPtrArray) open = g_ptr_array_new ();

  if (groups->len > COMMY_POLICY_ROLES_MAX)
    {
      commy_policy_complain (self->config, groups->pdata[COMMY_POLICY_ROLES_MAX], NULL, error,
                             "is one role too many: %u may be", COMMY_POLICY_ROLES_MAX);
      return FALSE;
    }
  for (guint i = 0; i < groups->len; i++)
    {
      CommyRole *role = g_new0 (CommyRole, 1);

      role->group = groups->pdata[i];
      role->name = role->group + strlen (ROLE);
      role->inherits = g_ptr_array_new ();
      g_ptr_array_add (self->roles, role);
      g_hash_table_insert (self->role_by_name, (gpointer) role->name, role);
    }
  self->n_role_words = (self->roles->len + 63) / 64;
  for (guint i = 0; i < self->roles->len; i++)
    if (!read_inherits (self, self->roles->pdata[i], error))
      return FALSE;
  for (guint i = 0; i < self->roles->len; i++)
    if (!resolve (self, self->roles->pdata[i], open, error))
      return FALSE;
  return TRUE;
}

/* Each once; what is inherited comes first, which is as deep as the limit. */
static void
inherit_rules (CommyPolicy *self, CommyRole *role)
{
  if (!role->is_visited)
    return;
  role->is_visited = FALSE;
  for (guint i = 0; i < role->inherits->len; i++)
    {
      const CommyRole *other = role->inherits->pdata[i];

      inherit_rules (self, role->inherits->pdata[i]);
      for (guint word = 0; word < self->n_words; word++)
        role->rules[word] |= other->rules[word];
    }
}

void
commy_policy_index_roles (CommyPolicy *self)
{
  for (guint i = 0; i < self->roles->len; i++)
    {
      const CommyRole *role = self->roles->pdata[i];
      g_auto (GStrv) members = commy_config_get_list (self->config, role->group, "members");

      for (char **member = members; *member != NULL; member++)
        commy_glob_index_add (self->principals, *member, self->n_words * 64 + i);
    }
  for (guint i = 0; i < self->roles->len; i++)
    inherit_rules (self, self->roles->pdata[i]);
}

/* --- networks --- */

gboolean
commy_policy_read_networks (CommyConfig *config,
                            const char *group,
                            const char *key,
                            GArray *networks,
                            gboolean *out_local,
                            GError **error)
{
  g_auto (GStrv) texts = commy_config_get_list (config, group, key);

  for (char **text = texts; *text != NULL; text++)
    {
      CommyNetwork network;

      if (networks->len >= COMMY_POLICY_NETWORKS_MAX)
        {
          commy_policy_complain (config, group, key, error,
                                 "one rule has more than %u networks; write fewer, wider ones",
                                 COMMY_POLICY_NETWORKS_MAX);
          return FALSE;
        }
      if (g_str_equal (*text, "local"))
        *out_local = TRUE;
      else if (commy_network_parse (*text, &network))
        g_array_append_val (networks, network);
      else
        {
          commy_policy_complain (config, group, key, error,
                                 "%s: \"%s\" is no network; write 10.1.0.0/16, fd00::/8 or local",
                                 key, *text);
          return FALSE;
        }
    }
  return TRUE;
}

gboolean
commy_policy_read_network_groups (CommyConfig *config,
                                  const char *group,
                                  CommyCondition *condition,
                                  GError **error)
{
  g_auto (GStrv) names = commy_config_get_list (config, group, "groups");
  g_autoptr (GPtrArray) known = commy_config_list_groups (config, NETWORK_GROUP);

  condition->has_groups = names[0] != NULL;
  for (char **name = names; *name != NULL; name++)
    {
      g_autofree char *full = g_strconcat (NETWORK_GROUP, *name, NULL);

      if (!g_ptr_array_find_with_equal_func (known, full, g_str_equal, NULL))
        {
          commy_policy_complain (config, group, "groups", error,
                                 "\"%s\" is no group of networks: add [network-group %s]", *name,
                                 *name);
          return FALSE;
        }
      if (!commy_policy_read_networks (config, full, "addresses", condition->groups,
                                       &condition->groups_local, error))
        return FALSE;
    }
  return TRUE;
}
