/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads introspection XML that may come from anybody. GIO's reader does the work; what it does not
 * bound is bounded before it (size, depth, elements), what it does not check is checked after it
 * (names, types, doubles).
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "schema/commy-schema-private.h"

#include <string.h>

#define MAX_SIZE (1024u * 1024u)
#define MAX_DEPTH 16u
#define MAX_ELEMENTS 16384u
#define MAX_SHOWN 64 /* bytes of somebody else's text in an error */

/* --- before: what it would cost --- */

typedef struct
{
  guint depth;
  guint elements;
} Cost;

/* Where GIO's reader wants it; elsewhere some of its versions end the process. */
static gboolean
has_its_place (const char *element, const char *parent)
{
  static const struct
  {
    const char *element;
    const char *parents; /* between spaces */
  } places[] = {
    { "interface", " node " },
    { "method", " interface " },
    { "signal", " interface " },
    { "property", " interface " },
    { "arg", " method signal " },
    { "annotation", " interface method signal property arg annotation " },
  };
  g_autofree char *word = g_strconcat (" ", parent != NULL ? parent : "", " ", NULL);

  if (strcmp (element, "node") == 0)
    return parent == NULL || strcmp (parent, "node") == 0;
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    if (strcmp (element, places[i].element) == 0)
      return strstr (places[i].parents, word) != NULL;
  return parent != NULL;
}

static void
on_element (GMarkupParseContext *context,
            const char *element,
            const char **names,
            const char **values,
            gpointer data,
            GError **error)
{
  Cost *cost = data;
  const GSList *parents = g_markup_parse_context_get_element_stack (context)->next;
  const char *parent = parents != NULL ? parents->data : NULL;

  if (++cost->elements > MAX_ELEMENTS)
    commy_set_error (error, COMMY_ERROR_TOO_BIG, "the XML has more than %u elements", MAX_ELEMENTS);
  else if (++cost->depth > MAX_DEPTH)
    commy_set_error (error, COMMY_ERROR_TOO_BIG, "the XML is nested deeper than %u elements",
                     MAX_DEPTH);
  else if (!has_its_place (element, parent))
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                     "no introspection XML: <%.*s> has no place in <%.*s>", MAX_SHOWN, element,
                     MAX_SHOWN, parent != NULL ? parent : "");
}

static void
on_end (GMarkupParseContext *context, const char *element, gpointer data, GError **error)
{
  ((Cost *) data)->depth--;
}

static void
set_malformed (GError **error, const GError *cause)
{
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "no introspection XML: %s", cause->message);
}

static gboolean
check_cost (const char *xml, gsize size, GError **error)
{
  static const GMarkupParser parser = { .start_element = on_element, .end_element = on_end };
  Cost cost = { 0 };
  g_autoptr (GMarkupParseContext) context
      = g_markup_parse_context_new (&parser, G_MARKUP_PREFIX_ERROR_POSITION, &cost, NULL);
  g_autoptr (GError) cause = NULL;

  if (g_markup_parse_context_parse (context, xml, (gssize) size, &cause)
      && g_markup_parse_context_end_parse (context, &cause))
    return TRUE;
  if (cause->domain == COMMY_ERROR)
    g_propagate_error (error, g_steal_pointer (&cause));
  else
    set_malformed (error, cause);
  return FALSE;
}

/* --- after: what it says --- */

/* Where a check is: for its errors. */
typedef struct
{
  const char *interface;
  const char *member; /* NULL: the interface itself */
  GHashTable *names;  /* of the members of one kind */
} Place;

static gboolean
check_type (const Place *place, const char *type, GError **error)
{
  if (type != NULL && g_variant_type_string_is_valid (type)
      && g_variant_type_is_definite ((const GVariantType *) type))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%.*s.%.*s: \"%.*s\" is not one type",
                   MAX_SHOWN, place->interface, MAX_SHOWN, place->member, MAX_SHOWN,
                   type != NULL ? type : "");
  return FALSE;
}

static gboolean
check_arguments (const Place *place, GDBusArgInfo **arguments, GError **error)
{
  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    if (!check_type (place, arguments[i]->signature, error))
      return FALSE;
  return TRUE;
}

static gboolean
check_name (Place *place, const char *name, GError **error)
{
  place->member = name;
  if (!g_dbus_is_member_name (name))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%.*s: \"%.*s\" is no name of a member",
                       MAX_SHOWN, place->interface, MAX_SHOWN, name);
      return FALSE;
    }
  if (!g_hash_table_add (place->names, (gpointer) name))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%.*s has \"%.*s\" twice", MAX_SHOWN,
                       place->interface, MAX_SHOWN, name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_stream (const Place *place, GDBusMethodInfo *method, GError **error)
{
  const char *kind = g_dbus_annotation_info_lookup (method->annotations, "org.commy.Stream");
  static const char *const types[] = { "org.commy.Stream.In", "org.commy.Stream.Out" };

  if (kind != NULL && strcmp (kind, "client") != 0 && strcmp (kind, "server") != 0
      && strcmp (kind, "both") != 0)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "%.*s.%.*s: org.commy.Stream is client, server or both", MAX_SHOWN,
                       place->interface, MAX_SHOWN, method->name);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      const char *type = g_dbus_annotation_info_lookup (method->annotations, types[i]);

      if (type != NULL && !check_type (place, type, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
check_methods (Place *place, GDBusMethodInfo **methods, GError **error)
{
  for (guint i = 0; methods != NULL && methods[i] != NULL; i++)
    if (!check_name (place, methods[i]->name, error)
        || !check_arguments (place, methods[i]->in_args, error)
        || !check_arguments (place, methods[i]->out_args, error)
        || !check_stream (place, methods[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
check_signals (Place *place, GDBusSignalInfo **signals, GError **error)
{
  for (guint i = 0; signals != NULL && signals[i] != NULL; i++)
    if (!check_name (place, signals[i]->name, error)
        || !check_arguments (place, signals[i]->args, error))
      return FALSE;
  return TRUE;
}

static gboolean
check_properties (Place *place, GDBusPropertyInfo **properties, GError **error)
{
  for (guint i = 0; properties != NULL && properties[i] != NULL; i++)
    if (!check_name (place, properties[i]->name, error)
        || !check_type (place, properties[i]->signature, error))
      return FALSE;
  return TRUE;
}

static gboolean
check_interface (GDBusInterfaceInfo *interface, GError **error)
{
  g_autoptr (GHashTable) methods = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) signals = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) properties = g_hash_table_new (g_str_hash, g_str_equal);
  Place place = { .interface = interface->name, .names = methods };

  if (!g_dbus_is_interface_name (interface->name))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "\"%.*s\" is no name of an interface (two parts at least, joined by '.')",
                       MAX_SHOWN, interface->name);
      return FALSE;
    }
  if (!check_methods (&place, interface->methods, error))
    return FALSE;
  place.names = signals;
  if (!check_signals (&place, interface->signals, error))
    return FALSE;
  place.names = properties;
  return check_properties (&place, interface->properties, error);
}

/* And those of the nodes in it: how deep they may be was checked. */
static gboolean
check_node (GDBusNodeInfo *node, GError **error)
{
  for (GDBusInterfaceInfo **at = node->interfaces; at != NULL && *at != NULL; at++)
    if (!check_interface (*at, error))
      return FALSE;
  for (GDBusNodeInfo **at = node->nodes; at != NULL && *at != NULL; at++)
    if (!check_node (*at, error))
      return FALSE;
  return TRUE;
}

GDBusNodeInfo *
commy_schema_parse (const char *xml, gssize size, GError **error)
{
  gsize length;
  g_autofree char *text = NULL;
  g_autoptr (GDBusNodeInfo) node = NULL;
  g_autoptr (GError) cause = NULL;

  g_return_val_if_fail (xml != NULL || size == 0, NULL);
  length = size < 0 ? strlen (xml) : (gsize) size;
  if (length > MAX_SIZE)
    {
      commy_set_error (error, COMMY_ERROR_TOO_BIG, "the XML is larger than %u bytes", MAX_SIZE);
      return NULL;
    }
  if (!check_cost (length > 0 ? xml : "", length, error))
    return NULL;
  text = g_strndup (xml, length);
  node = g_dbus_node_info_new_for_xml (text, &cause);
  if (node == NULL)
    {
      set_malformed (error, cause);
      return NULL;
    }
  return check_node (node, error) ? g_steal_pointer (&node) : NULL;
}
