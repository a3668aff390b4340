/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What fits through a bridge: interfaces and values as D-Bus has them, names of topics and errors,
 * and how much at a time. A bus drops the connection of who sends what it does not allow, so that
 * everything is looked at before, whoever it comes from.
 */
#include "config.h"

#include "cli/commy-bridge.h"

#include "cli/commy-topic-name.h"

#include <string.h>

/* The limits of the D-Bus specification. */
#define SIGNATURE_MAX 255u
#define NESTING_MAX 32u
#define DEPTH_MAX 64u /* with the tuple of arguments, which GLib counts */
#define MESSAGE_MAX (128u << 20)

/* Below this no value can become too large: the wire takes at most eight times as much. */
#define SURELY_SMALL (4u << 20)

/* Of a description; GIO's reader takes the square of its nesting. */
#define XML_MAX (4u << 20)
#define XML_DEPTH_MAX 32u

#define CALLS_MAX 1024u
#define BYTES_MAX (256u << 20)

/* --- types --- */

static gboolean
is_too_deep (const GVariantType *type, guint arrays, guint structs)
{
  if (arrays > NESTING_MAX || structs > NESTING_MAX)
    return TRUE;
  if (g_variant_type_is_array (type))
    return is_too_deep (g_variant_type_element (type), arrays + 1, structs);
  if (!g_variant_type_is_tuple (type) && !g_variant_type_is_dict_entry (type))
    return FALSE;
  for (const GVariantType *item = g_variant_type_first (type); item != NULL;
       item = g_variant_type_next (item))
    if (is_too_deep (item, arrays, structs + 1))
      return TRUE;
  return FALSE;
}

/* How many containers are around the innermost type. */
static guint
count_levels (const GVariantType *type)
{
  guint most = 0;

  if (g_variant_type_is_array (type))
    return 1 + count_levels (g_variant_type_element (type));
  if (!g_variant_type_is_tuple (type) && !g_variant_type_is_dict_entry (type))
    return 0;
  for (const GVariantType *item = g_variant_type_first (type); item != NULL;
       item = g_variant_type_next (item))
    most = MAX (most, count_levels (item));
  return 1 + most;
}

static gboolean
has_bare_entry (const char *signature)
{
  for (const char *at = strchr (signature, '{'); at != NULL; at = strchr (at + 1, '{'))
    if (at == signature || at[-1] != 'a')
      return TRUE;
  return FALSE;
}

/* @signature: types in a row. NULL: D-Bus has them. */
static const char *
find_flaw (const char *signature)
{
  g_autofree char *tuple = g_strdup_printf ("(%s)", signature);

  if (strlen (signature) > SIGNATURE_MAX)
    return N_ ("signatures of more than 255 characters");
  if (strchr (signature, 'm') != NULL)
    return N_ ("maybe types (m)");
  if (strstr (signature, "()") != NULL)
    return N_ ("empty tuples inside of values");
  if (has_bare_entry (signature))
    return N_ ("dictionary entries outside of arrays");
  if (!g_variant_is_signature (signature) || !g_variant_type_string_is_valid (tuple))
    return N_ ("such a type");
  /* The tuple around all of it does not count. */
  for (const GVariantType *item = g_variant_type_first (G_VARIANT_TYPE (tuple)); item != NULL;
       item = g_variant_type_next (item))
    if (is_too_deep (item, 0, 0))
      return N_ ("nesting of more than 32 levels");
  return NULL;
}

static gboolean
check_type (const char *what, const char *type, GError **error)
{
  const char *flaw = find_flaw (type);

  if (flaw == NULL)
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "%s has the type \"%.64s\": D-Bus does not have %s",
                       what, type, _ (flaw));
  return FALSE;
}

/* Exactly one type. */
static gboolean
check_one (const char *what, const char *type, GError **error)
{
  if (strchr (type, 'm') != NULL || g_variant_type_string_is_valid (type))
    return check_type (what, type, error);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "%s: \"%.64s\" is not the type of a value", what,
                       type);
  return FALSE;
}

/* --- values --- */

/* What one value of type g says. */
static gboolean
check_signature (const char *text, GError **error)
{
  const char *flaw = find_flaw (text);

  if (flaw == NULL)
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_TYPE,
                       "a value is the signature \"%.64s\": D-Bus does not have %s", text,
                       _ (flaw));
  return FALSE;
}

/* A type that was not seen yet, of a value inside of @depth others. */
static gboolean
check_depth (GVariant *value, guint depth, GError **error)
{
  if (depth + count_levels (g_variant_get_type (value)) <= DEPTH_MAX)
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_TYPE,
                       "a value is nested more than %u levels deep, which D-Bus does not allow",
                       DEPTH_MAX - 1);
  return FALSE;
}

static gboolean
check_inside (GVariant *value, guint depth, GError **error)
{
  gsize n;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_SIGNATURE))
    return check_signature (g_variant_get_string (value, NULL), error);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    {
      g_autoptr (GVariant) inner = g_variant_get_variant (value);

      return check_type (_ ("a value"), g_variant_get_type_string (inner), error)
             && check_depth (inner, depth + 1, error) && check_inside (inner, depth + 1, error);
    }
  /* Variants bring types that were not seen yet, and so do signatures. */
  if (strpbrk (g_variant_get_type_string (value), "vg") == NULL)
    return TRUE;
  n = g_variant_n_children (value);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      if (!check_inside (child, depth + 1, error))
        return FALSE;
    }
  return TRUE;
}

/* GLib knows the sizes: it is asked to write a message. */
static gboolean
check_size (GVariant *value, GError **error)
{
  g_autoptr (GDBusMessage) message = NULL;
  g_autofree guchar *blob = NULL;
  g_autoptr (GError) cause = NULL;
  gsize size = 0;

  if (g_variant_get_size (value) <= SURELY_SMALL)
    return TRUE;
  if (g_variant_get_size (value) <= MESSAGE_MAX)
    {
      message = g_dbus_message_new_signal ("/", "org.commy.Bridge", "Size");
      g_dbus_message_set_body (message, value);
      g_dbus_message_set_serial (message, 1);
      blob = g_dbus_message_to_blob (message, &size, G_DBUS_CAPABILITY_FLAGS_NONE, &cause);
    }
  /* A header of names is smaller than what is kept free for it. */
  if (blob != NULL && size <= MESSAGE_MAX - 4096)
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_TOO_BIG,
                       "a value is larger than D-Bus allows (arrays of 64 MiB, messages of "
                       "128 MiB)%s%s",
                       cause != NULL ? ": " : "", cause != NULL ? cause->message : "");
  return FALSE;
}

gboolean
commy_bridge_check_value (GVariant *value, GError **error)
{
  const char *type = g_variant_get_type_string (value);
  g_autofree char *inner = NULL;

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_TUPLE))
    {
      commy_cli_set_error (error, COMMY_ERROR_TYPE,
                           "D-Bus takes a tuple of arguments, not a value of type %.64s", type);
      return FALSE;
    }
  /* The tuple is what a message does not have. */
  inner = g_strndup (type + 1, strlen (type) - 2);
  return check_type (_ ("a value"), inner, error) && check_depth (value, 0, error)
         && check_inside (value, 0, error) && check_size (value, error);
}

/* --- interfaces --- */

/* One by one, because "a" and "i" would do together. */
static gboolean
check_arguments (const char *what, GDBusArgInfo **arguments, GError **error)
{
  g_autofree char *tuple = commy_bridge_dup_tuple (arguments);

  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    if (!check_one (what, arguments[i]->signature, error))
      return FALSE;
  tuple[strlen (tuple) - 1] = '\0';
  return check_type (what, tuple + 1, error);
}

static gboolean
check_name (const char *what, const char *name, GError **error)
{
  if (g_dbus_is_member_name (name))
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "the interface %s has \"%.64s\", which is no name on D-Bus", what, name);
  return FALSE;
}

static gboolean
check_interface (GDBusInterfaceInfo *interface, GError **error)
{
  const char *name = interface->name;

  if (!g_dbus_is_interface_name (name))
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                           "\"%.64s\" is no name of an interface on D-Bus", name);
      return FALSE;
    }
  for (guint i = 0; interface->methods != NULL && interface->methods[i] != NULL; i++)
    {
      GDBusMethodInfo *method = interface->methods[i];

      if (!check_name (name, method->name, error)
          || !check_arguments (method->name, method->in_args, error)
          || !check_arguments (method->name, method->out_args, error))
        return FALSE;
    }
  for (guint i = 0; interface->signals != NULL && interface->signals[i] != NULL; i++)
    if (!check_name (name, interface->signals[i]->name, error)
        || !commy_topic_name_check (interface->signals[i], error)
        || !check_arguments (interface->signals[i]->name, interface->signals[i]->args, error))
      return FALSE;
  for (guint i = 0; interface->properties != NULL && interface->properties[i] != NULL; i++)
    if (!check_name (name, interface->properties[i]->name, error)
        || !check_one (interface->properties[i]->name, interface->properties[i]->signature, error))
      return FALSE;
  return TRUE;
}

static void
leave_out_methods (GDBusInterfaceInfo *interface)
{
  guint kept = 0;

  for (guint i = 0; interface->methods != NULL && interface->methods[i] != NULL; i++)
    {
      GDBusMethodInfo *method = interface->methods[i];

      interface->methods[i] = NULL;
      if (g_dbus_annotation_info_lookup (method->annotations, "org.commy.Stream") == NULL)
        interface->methods[kept++] = method;
      else
        {
          commy_cli_note ("%s streams, which D-Bus has not: it is left out", method->name);
          g_dbus_method_info_unref (method);
        }
    }
}

static void
leave_out_signals (GDBusInterfaceInfo *interface)
{
  guint kept = 0;

  for (guint i = 0; interface->signals != NULL && interface->signals[i] != NULL; i++)
    {
      GDBusSignalInfo *signal = interface->signals[i];
      g_autofree char *tuple = commy_bridge_dup_tuple (signal->args);

      interface->signals[i] = NULL;
      if (strchr (tuple, 'h') == NULL)
        interface->signals[kept++] = signal;
      else
        {
          commy_cli_note ("%s carries descriptors, which topics do not: it is left out",
                          signal->name);
          g_dbus_signal_info_unref (signal);
        }
    }
}

/* What every object has. */
static gboolean
is_standard (const char *name)
{
  return strcmp (name, COMMY_BRIDGE_PROPERTIES) == 0
         || strcmp (name, "org.freedesktop.DBus.Introspectable") == 0
         || strcmp (name, "org.freedesktop.DBus.Peer") == 0
         || strcmp (name, "org.freedesktop.DBus.ObjectManager") == 0;
}

static GDBusInterfaceInfo *
choose_interface (GDBusNodeInfo *node, const char *name, const char *likely, GError **error)
{
  g_autoptr (GString) all = g_string_new (NULL);
  GDBusInterfaceInfo *found = g_dbus_node_info_lookup_interface (node, name ? name : likely);
  guint n = 0;

  if (found != NULL)
    return found;
  for (guint i = 0; node->interfaces != NULL && node->interfaces[i] != NULL; i++)
    {
      g_string_append_printf (all, "%s%s", i > 0 ? ", " : "", node->interfaces[i]->name);
      if (!is_standard (node->interfaces[i]->name))
        {
          found = node->interfaces[i];
          n++;
        }
    }
  if (name == NULL && n == 1)
    return found;
  if (name != NULL)
    commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                         "there is no interface %s; there are: %s", name, all->str);
  else
    commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                         "say which interface with --interface; there are: %s",
                         all->len > 0 ? all->str : "-");
  return NULL;
}

static void
on_element (GMarkupParseContext *context,
            const char *element,
            const char **names,
            const char **values,
            gpointer depth,
            GError **error)
{
  if (++*(guint *) depth > XML_DEPTH_MAX)
    g_set_error (error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT,
                 "elements are nested more than %u levels deep", XML_DEPTH_MAX);
}

static void
on_element_end (GMarkupParseContext *context, const char *element, gpointer depth, GError **error)
{
  --*(guint *) depth;
}

/* It comes from another program. */
static gboolean
check_xml (const char *xml, GError **error)
{
  static const GMarkupParser parser
      = { .start_element = on_element, .end_element = on_element_end };
  guint depth = 0;
  g_autoptr (GMarkupParseContext) context = NULL;

  if (strlen (xml) > XML_MAX)
    {
      commy_cli_set_error (error, COMMY_ERROR_TOO_BIG, "the description has more than %u bytes",
                           XML_MAX);
      return FALSE;
    }
  context = g_markup_parse_context_new (&parser, G_MARKUP_DEFAULT_FLAGS, &depth, NULL);
  return g_markup_parse_context_parse (context, xml, -1, error)
         && g_markup_parse_context_end_parse (context, error);
}

GDBusInterfaceInfo *
commy_bridge_read_interface (const char *xml, const char *name, const char *likely, GError **error)
{
  GDBusNodeInfo *node = check_xml (xml, error) ? g_dbus_node_info_new_for_xml (xml, error) : NULL;
  GDBusInterfaceInfo *found = node != NULL ? choose_interface (node, name, likely, error) : NULL;

  if (found != NULL)
    {
      leave_out_methods (found);
      leave_out_signals (found);
      found = check_interface (found, error) ? g_dbus_interface_info_ref (found) : NULL;
    }
  g_clear_pointer (&node, g_dbus_node_info_unref);
  return found;
}

/* --- names --- */

char *
commy_bridge_dup_tuple (GDBusArgInfo *const *arguments)
{
  GString *text = g_string_new ("(");

  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    g_string_append (text, arguments[i]->signature);
  g_string_append_c (text, ')');
  return g_string_free (text, FALSE);
}

char *
commy_bridge_dup_topic (const char *service, const GDBusSignalInfo *signal)
{
  const char *told = g_dbus_annotation_info_lookup (signal->annotations, "org.commy.Topic");

  return told != NULL ? g_strdup (told) : g_strdup_printf ("%s.%s", service, signal->name);
}

char *
commy_bridge_dup_path (const char *name)
{
  char *path = g_strconcat ("/", name, NULL);

  /* A part of a path has neither. */
  return g_strdelimit (g_strdelimit (path, ".", '/'), "-", '_');
}

/* --- how much is under way --- */

gboolean
commy_bridge_admit (CommyBridgeLoad *load, gsize size)
{
  /* One of any size always may. */
  if (load->calls >= CALLS_MAX || (load->calls > 0 && load->bytes + size > BYTES_MAX))
    return FALSE;
  load->calls++;
  load->bytes += size;
  return TRUE;
}

void
commy_bridge_release (CommyBridgeLoad *load, gsize size)
{
  load->calls--;
  load->bytes -= size;
}
