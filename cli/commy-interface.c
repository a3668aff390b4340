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

static gboolean
fits (GVariant *instance, const char *of)
{
  return of == NULL || g_str_has_prefix (commy_record_get_string (instance, "instance"), of)
         || g_str_has_prefix (commy_record_get_string (instance, "node"), of);
}

static GPtrArray *
find_instances (CommyMesh *mesh, const char *service, const char *of, GError **error)
{
  g_autoptr (GPtrArray) all = commy_lookup_instances (mesh, service, TRUE, error);
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  if (all == NULL)
    return NULL;
  for (guint i = 0; i < all->len; i++)
    if (strcmp (commy_record_get_string (all->pdata[i], "service"), service) == 0
        && fits (all->pdata[i], of))
      g_ptr_array_add (found, g_variant_ref (all->pdata[i]));
  if (found->len > 0)
    return g_steal_pointer (&found);
  if (all->len > 0)
    commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE,
                         "no instance of %s fits \"%s\" (commy services ls shows all)", service,
                         of);
  else
    commy_lookup_set_missing (mesh, service, error);
  return NULL;
}

GPtrArray *
commy_interface_ask_all (CommyMesh *mesh, const char *service, const char *of, GError **error)
{
  g_autoptr (GPtrArray) instances = find_instances (mesh, service, of, error);
  g_autoptr (GPtrArray) interfaces
      = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (guint i = 0; instances != NULL && i < instances->len; i++)
    {
      GVariant *interface = commy_interface_ask (mesh, instances->pdata[i], error);

      if (interface == NULL)
        return NULL;
      g_ptr_array_add (interfaces, interface);
    }
  return instances != NULL ? g_steal_pointer (&interfaces) : NULL;
}

static gboolean
are_same (GVariant *a, GVariant *b)
{
  g_autoptr (GVariant) x = g_variant_lookup_value (a, "methods", NULL);
  g_autoptr (GVariant) y = g_variant_lookup_value (b, "methods", NULL);

  return strcmp (commy_record_get_string (a, "xml"), commy_record_get_string (b, "xml")) == 0
         && (x == y || (x != NULL && y != NULL && g_variant_equal (x, y)));
}

guint
commy_interface_find_different (GPtrArray *interfaces)
{
  for (guint i = 1; i < interfaces->len; i++)
    if (!are_same (interfaces->pdata[0], interfaces->pdata[i]))
      return i;
  return 0;
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

/* What is unknown is said to be, in a form that readers of such XML skip. */
static char *
make_xml (GVariant *interface)
{
  g_auto (GStrv) methods = commy_interface_dup_methods (interface);
  GString *xml = g_string_new ("<node>\n");
  g_autofree char *begin = g_markup_printf_escaped ("  <interface name=\"%s\">\n",
                                                    commy_record_get_string (interface, "service"));

  g_string_append (xml, begin);
  for (guint i = 0; methods[i] != NULL; i++)
    {
      g_autofree char *method = g_markup_printf_escaped (
          "    <method name=\"%s\">\n"
          "      <annotation name=\"org.commy.Untyped\" value=\"true\"/>\n"
          "    </method>\n",
          methods[i]);

      g_string_append (xml, method);
    }
  g_string_append (xml, "  </interface>\n</node>\n");
  return g_string_free (xml, FALSE);
}

char *
commy_interface_dup_xml (GVariant *interface)
{
  const char *told = commy_record_get_string (interface, "xml");

  return told[0] != '\0' ? g_strdup (told) : make_xml (interface);
}
