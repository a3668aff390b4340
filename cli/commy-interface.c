/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of org.commy.Node1.Introspect. They come from another process and may be anything.
 */
#include "config.h"

#include "cli/commy-interface.h"

#include "cli/commy-lookup.h"

#include <glib/gi18n.h>
#include <string.h>

static GVariant *
find_node (GPtrArray *instances, const char *node)
{
  for (guint i = 0; i < instances->len; i++)
    {
      GVariant *instance = instances->pdata[i];

      if (strcmp (commy_record_get_string (instance, "service"), COMMY_NODE_SERVICE) == 0
          && strcmp (commy_record_get_string (instance, "node"), node) == 0)
        return instance;
    }
  return NULL;
}

GVariant *
commy_interface_ask (CommyMesh *mesh, GVariant *instance, GError **error)
{
  const char *service = commy_record_get_string (instance, "service");
  const char *id = commy_record_get_string (instance, "instance");
  g_autoptr (GPtrArray) nodes = commy_lookup_instances (mesh, COMMY_NODE_SERVICE, TRUE, error);
  g_autoptr (GVariant) found = NULL;
  GVariant *node;

  if (nodes == NULL)
    return NULL;
  node = find_node (nodes, commy_record_get_string (instance, "node"));
  if (node != NULL)
    {
      found = commy_lookup_ask_for (mesh, node, "Introspect", g_variant_new ("(ss)", service, id),
                                    "aa{sv}", error);
      if (found == NULL)
        return NULL;
      if (g_variant_n_children (found) > 0)
        return g_variant_get_child_value (found, 0);
    }
  commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE, "the node of %s does not offer it any more",
                       service);
  return NULL;
}

static GVariant *
dup_list (GVariant *interface)
{
  GVariant *list = g_variant_lookup_value (interface, "methods", G_VARIANT_TYPE ("aa{sv}"));

  return list != NULL ? list : g_variant_ref_sink (g_variant_new ("aa{sv}", NULL));
}

GVariant *
commy_interface_find_method (GVariant *interface, const char *name)
{
  g_autoptr (GVariant) list = dup_list (interface);
  gsize n = g_variant_n_children (list);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) method = g_variant_get_child_value (list, i);

      if (strcmp (commy_record_get_string (method, "name"), name) == 0)
        return g_steal_pointer (&method);
    }
  return NULL;
}

char **
commy_interface_dup_methods (GVariant *interface)
{
  g_autoptr (GVariant) list = dup_list (interface);
  gsize n = g_variant_n_children (list);
  char **names = g_new0 (char *, n + 1);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) method = g_variant_get_child_value (list, i);

      names[i] = g_strdup (commy_record_get_string (method, "name"));
    }
  return names;
}

gboolean
commy_interface_is_typed (GVariant *method)
{
  return commy_record_get_boolean (method, "typed");
}

char *
commy_interface_dup_arguments (GVariant *method, const char *direction)
{
  g_autoptr (GVariant) list = g_variant_lookup_value (method, direction, G_VARIANT_TYPE ("a(ss)"));
  GString *out = g_string_new (NULL);
  GVariantIter iter;
  const char *name, *type;

  if (list != NULL)
    {
      g_variant_iter_init (&iter, list);
      while (g_variant_iter_next (&iter, "(&s&s)", &name, &type))
        g_string_append_printf (out, "%s%s%s%s", out->len > 0 ? ", " : "", type,
                                name[0] != '\0' ? " " : "", name);
    }
  return g_string_free (out, FALSE);
}

char *
commy_interface_dup_signature (GVariant *method)
{
  const char *name = commy_record_get_string (method, "name");
  g_autofree char *in = NULL;
  g_autofree char *out = NULL;

  if (!commy_interface_is_typed (method))
    return g_strdup_printf (_ ("%s (arguments unknown)"), name);
  in = commy_interface_dup_arguments (method, "in");
  out = commy_interface_dup_arguments (method, "out");
  return g_strdup_printf ("%s (%s) -> (%s)", name, in, out);
}

char **
commy_interface_dup_types (GVariant *method)
{
  g_autoptr (GVariant) list = g_variant_lookup_value (method, "in", G_VARIANT_TYPE ("a(ss)"));
  g_autoptr (GPtrArray) types = g_ptr_array_new_with_free_func (g_free);
  GVariantIter iter;
  const char *name, *type;

  if (!commy_interface_is_typed (method) || list == NULL)
    return NULL;
  g_variant_iter_init (&iter, list);
  while (g_variant_iter_next (&iter, "(&s&s)", &name, &type))
    {
      if (!g_variant_type_string_is_valid (type) || strpbrk (type, "*?r") != NULL)
        return NULL;
      g_ptr_array_add (types, g_strdup (type));
    }
  g_ptr_array_add (types, NULL);
  return (char **) g_ptr_array_steal (types, NULL);
}
