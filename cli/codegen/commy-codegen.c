/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Describes interfaces as the templates want them: every name and type in C, every format of
 * GVariant, what kind of call a method is.
 */
#include "config.h"

#include "cli/codegen/commy-codegen.h"

#include "cli/commy-cli.h"
#include "cli/commy-quantity.h"
#include "cli/commy-topic-name.h"

#include <string.h>

#define NO_REPLY "org.freedesktop.DBus.Method.NoReply"
#define DEPRECATED "org.freedesktop.DBus.Deprecated"
#define DOC "org.gtk.GDBus.DocString"
#define UNIX_FD "org.gtk.GDBus.C.UnixFD"

static gboolean
is_noted (GDBusAnnotationInfo **annotations, const char *name)
{
  const char *value = g_dbus_annotation_info_lookup (annotations, name);

  return value != NULL && g_ascii_strcasecmp (value, "true") == 0;
}

/* Documentation from the XML becomes part of a comment. */
static char *
dup_doc (GDBusAnnotationInfo **annotations)
{
  const char *text = g_dbus_annotation_info_lookup (annotations, DOC);
  g_auto (GStrv) pieces = NULL;
  g_auto (GStrv) lines = NULL;
  g_autofree char *safe = NULL;

  if (text == NULL || text[0] == '\0')
    return g_strdup ("");
  pieces = g_strsplit (text, "*/", -1);
  safe = g_strjoinv ("* /", pieces);
  g_strstrip (safe);
  lines = g_strsplit (safe, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    g_strstrip (lines[i]);
  return g_strjoinv ("\n * ", lines);
}

static void
set_doc (CommyScope *scope, GDBusAnnotationInfo **annotations)
{
  char *doc = dup_doc (annotations);

  commy_scope_set (scope, "colon", doc[0] != '\0' ? ": " : "");
  commy_scope_take (scope, "doc", doc);
}

/* --- names that must differ --- */

/* Whether @name is new among @seen; else an error that names both members. */
static gboolean
claim (GHashTable *seen, const char *name, const char *member, GError **error)
{
  const char *other = g_hash_table_lookup (seen, name);

  if (other == NULL && strcmp (name, "notify") != 0)
    {
      g_hash_table_insert (seen, g_strdup (name), g_strdup (member));
      return TRUE;
    }
  commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "\"%s\" and \"%s\" would both be called %s in C: give one of them another "
                       "name with the annotation org.gtk.GDBus.C.Name",
                       other != NULL ? other : "GObject::notify", member, name);
  return FALSE;
}

static char *
to_hyphens (const char *name)
{
  return g_strdelimit (g_strdup (name), "_", '-');
}

/* --- arguments --- */

/* (transfer full): @wanted, or what is like it and free */
static char *
take_name (const char *wanted, GHashTable *taken)
{
  GString *name = g_string_new (wanted);

  while (!g_hash_table_add (taken, g_strdup (name->str)))
    g_string_append_c (name, '_');
  return g_string_free (name, FALSE);
}

/* GIO's reader names an argument without a name "arg_" and a number. */
static char *
dup_argument_name (GDBusArgInfo *argument, guint number, GHashTable *taken)
{
  const char *given = argument->name != NULL ? argument->name : "";
  const gboolean named = given[0] != '\0'
                         && (!g_str_has_prefix (given, "arg_")
                             || given[strspn (given + 4, "0123456789") + 4] != '\0');
  g_autofree char *name
      = named ? commy_codegen_dup_identifier (given) : g_strdup_printf ("unnamed_arg%u", number);

  return take_name (name, taken);
}

/* As a parameter of its own, without "arg_" or "out_" before it. */
static char *
dup_value_name (const char *name, GHashTable *taken)
{
  g_autofree char *longer = g_strconcat (name, "_", NULL);

  if (!g_ascii_isdigit (name[0]) && !commy_codegen_is_reserved (name))
    return g_strdup (name);
  if (!g_ascii_isdigit (name[0]))
    return take_name (longer, taken);
  g_free (longer);
  longer = g_strconcat ("_", name, NULL);
  return take_name (longer, taken);
}

static char *
dup_format (const CommyCodegenType *type, const char *signature)
{
  return type->is_variant ? g_strconcat ("@", signature, NULL) : g_strdup (type->format);
}

static void
set_type (CommyScope *scope, const CommyCodegenType *type, const char *signature)
{
  commy_scope_set (scope, "in", type->c_in);
  commy_scope_set (scope, "out", type->c_out);
  commy_scope_set (scope, "dup", type->c_dup);
  commy_scope_set (scope, "in-signal", type->c_signal);
  commy_scope_set (scope, "gtype", type->gtype);
  commy_scope_set (scope, "signature", signature);
  commy_scope_set (scope, "notes", type->notes);
  commy_scope_set (scope, "colon-of-notes", type->notes[0] != '\0' ? ":" : "");
}

/* Which names in a function are taken before its arguments come: words of C, and what the templates
 * use. */
static GHashTable *
make_taken (void)
{
  static const char *const ours[] = { "object", "invocation", "fd_list" };
  GHashTable *taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (ours); i++)
    g_hash_table_add (taken, g_strdup (ours[i]));
  return taken;
}

static guint
count_arguments (GDBusArgInfo **arguments)
{
  guint n = 0;

  while (arguments != NULL && arguments[n] != NULL)
    n++;
  return n;
}

/* Fills @list with the arguments and adds what belongs to all: @list-format and @list-type, which
 * are tuples, and @list-kinds, 'v' for each that is passed as a GVariant and 'p' for others. */
static gboolean
add_arguments (CommyScope *scope, const char *list, GDBusArgInfo **arguments, guint first)
{
  g_autoptr (GHashTable) taken = make_taken ();
  GString *format = g_string_new ("("), *type = g_string_new ("("), *kinds = g_string_new (NULL);
  gboolean has_handle = FALSE;

  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    {
      GDBusArgInfo *argument = arguments[i];
      const CommyCodegenType *held
          = commy_codegen_find_type (argument->signature, argument->annotations);
      g_autofree char *piece = dup_format (held, argument->signature);
      g_autofree char *name = dup_argument_name (argument, first + i, taken);
      CommyScope *item = commy_scope_append (scope, list);

      set_type (item, held, argument->signature);
      commy_scope_set (item, "arg", name);
      commy_scope_take (item, "value", dup_value_name (name, taken));
      set_doc (item, argument->annotations);
      g_string_append (format, piece);
      g_string_append (type, argument->signature);
      g_string_append_c (kinds, held->is_variant ? 'v' : 'p');
      has_handle |= strchr (argument->signature, 'h') != NULL;
    }
  g_string_append_c (format, ')');
  g_string_append_c (type, ')');
  commy_scope_take (scope, "format", g_string_free (format, FALSE));
  commy_scope_take (scope, "type", g_string_free (type, FALSE));
  if (strcmp (list, "arguments") == 0)
    commy_scope_set (scope, "arguments-kinds", kinds->str);
  commy_scope_take (scope, "kinds", g_string_free (kinds, FALSE));
  return has_handle;
}

/* --- members --- */

/* What callers wait, unless they say otherwise; -1: as the library does. */
static gboolean
set_deadline (CommyScope *scope, GDBusMethodInfo *method, GError **error)
{
  const char *text = g_dbus_annotation_info_lookup (method->annotations, "org.commy.Deadline");
  gint64 us = -1;

  if (text != NULL && !commy_quantity_parse_time (text, &us))
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                           "%s: org.commy.Deadline is a time with its unit, such as 250ms: not "
                           "\"%s\"",
                           method->name, text);
      return FALSE;
    }
  commy_scope_take (scope, "deadline", g_strdup_printf ("%" G_GINT64_FORMAT, us));
  return TRUE;
}

/* Which functions of a proxy there are for it. */
static void
set_kind (CommyScope *scope, GDBusMethodInfo *method, gboolean has_handle)
{
  const gboolean streams
      = g_dbus_annotation_info_lookup (method->annotations, "org.commy.Stream") != NULL;
  const gboolean one_way = !streams && is_noted (method->annotations, NO_REPLY);
  const gboolean fds
      = !streams && !one_way
        && (has_handle || g_dbus_annotation_info_lookup (method->annotations, UNIX_FD) != NULL);

  commy_scope_flag (scope, "streams", streams);
  commy_scope_flag (scope, "one-way", one_way);
  commy_scope_flag (scope, "fds", fds);
  commy_scope_flag (scope, "calls", !streams && !one_way);
  commy_scope_set (scope, "flags", one_way ? "GEN_ONE_WAY" : fds ? "GEN_FDS" : "0");
  commy_scope_set (scope, "idempotent",
                   is_noted (method->annotations, "org.commy.Idempotent") ? "TRUE" : "FALSE");
  /* The invocation, and the list of descriptors. */
  commy_scope_take (scope, "n-values",
                    g_strdup_printf ("%u", 1 + (guint) fds + count_arguments (method->in_args)));
}

static gboolean
add_method (CommyScope *interface,
            GDBusMethodInfo *method,
            guint index,
            GHashTable *signals,
            GError **error)
{
  CommyScope *scope = commy_scope_append (interface, "methods");
  g_autofree char *name = commy_codegen_dup_member (method->name, method->annotations);
  g_autofree char *hyphens = to_hyphens (name);
  g_autofree char *signal = g_strconcat ("handle-", hyphens, NULL);
  CommyScope *results;
  gboolean has_handle = add_arguments (scope, "arguments", method->in_args, 0);

  if (!claim (signals, signal, method->name, error) || !set_deadline (scope, method, error))
    return FALSE;
  /* The results have a scope of their own, as their format and type have the same names. */
  results = commy_scope_append (scope, "results");
  has_handle
      |= add_arguments (results, "out-args", method->out_args, count_arguments (method->in_args));
  commy_scope_take (scope, "index", g_strdup_printf ("%u", index));
  commy_scope_set (scope, "Method", method->name);
  commy_scope_set (scope, "method", name);
  commy_scope_set (scope, "handle", signal);
  set_doc (scope, method->annotations);
  commy_scope_set (scope, "deprecated",
                   is_noted (method->annotations, DEPRECATED) ? "G_GNUC_DEPRECATED " : "");
  set_kind (scope, method, has_handle);
  return TRUE;
}

/* The topic in C; without the annotation the code asks for the service's name. */
static gboolean
set_topic (CommyScope *scope, GDBusSignalInfo *signal, GError **error)
{
  const char *topic = g_dbus_annotation_info_lookup (signal->annotations, "org.commy.Topic");

  if (!commy_topic_name_check (signal, error))
    return FALSE;
  commy_scope_take (scope, "topic",
                    topic != NULL ? g_strdup_printf ("\"%s\"", topic) : g_strdup ("NULL"));
  return TRUE;
}

static gboolean
add_signal (CommyScope *interface,
            GDBusSignalInfo *signal,
            guint index,
            GHashTable *signals,
            GError **error)
{
  CommyScope *scope = commy_scope_append (interface, "signals");
  g_autofree char *name = commy_codegen_dup_member (signal->name, signal->annotations);
  g_autofree char *hyphens = to_hyphens (name);

  add_arguments (scope, "arguments", signal->args, 0);
  commy_scope_take (scope, "index", g_strdup_printf ("%u", index));
  commy_scope_set (scope, "Signal", signal->name);
  commy_scope_set (scope, "signal", name);
  commy_scope_set (scope, "signal-name", hyphens);
  commy_scope_take (scope, "n-values", g_strdup_printf ("%u", count_arguments (signal->args)));
  set_doc (scope, signal->annotations);
  return claim (signals, hyphens, signal->name, error) && set_topic (scope, signal, error);
}

/* "G_TYPE_INT64" -> "g_param_spec_int64" */
static char *
dup_spec_function (const CommyCodegenType *type)
{
  g_autofree char *lower = NULL;

  if (strcmp (type->gtype, "G_TYPE_STRV") == 0)
    return g_strdup ("g_param_spec_boxed");
  lower = g_ascii_strdown (type->gtype + strlen ("G_TYPE_"), -1);
  return g_strconcat ("g_param_spec_", lower, NULL);
}

static char *
dup_property_flags (GDBusInterfaceInfo *interface,
                    GDBusPropertyInfo *property,
                    const CommyCodegenType *type)
{
  static const char changes[] = "org.freedesktop.DBus.Property.EmitsChangedSignal";
  const char *own = g_dbus_annotation_info_lookup (property->annotations, changes);
  const char *all = g_dbus_annotation_info_lookup (interface->annotations, changes);
  const char *how = own != NULL ? own : all != NULL ? all : "true";
  GString *flags = g_string_new ("0");

  if ((property->flags & G_DBUS_PROPERTY_INFO_FLAGS_READABLE) != 0)
    g_string_append (flags, " | GEN_READABLE");
  if ((property->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE) != 0)
    g_string_append (flags, " | GEN_WRITABLE");
  if (strcmp (how, "true") == 0)
    g_string_append (flags, " | GEN_EMITS");
  else if (strcmp (how, "invalidates") == 0)
    g_string_append (flags, " | GEN_INVALIDATES");
  if (type->is_variant)
    g_string_append (flags, " | GEN_VARIANT");
  return g_string_free (flags, FALSE);
}

static gboolean
add_property (CommyScope *scope_of_interface,
              GDBusInterfaceInfo *interface,
              GDBusPropertyInfo *property,
              GHashTable *properties,
              GError **error)
{
  CommyScope *scope = commy_scope_append (scope_of_interface, "properties");
  const CommyCodegenType *type
      = commy_codegen_find_type (property->signature, property->annotations);
  g_autofree char *name = commy_codegen_dup_member (property->name, property->annotations);
  g_autofree char *hyphens = to_hyphens (name);

  set_type (scope, type, property->signature);
  commy_scope_set (scope, "Property", property->name);
  /* foo_get_type() is the function of the type. */
  commy_scope_take (scope, "property",
                    g_strconcat (name, strcmp (name, "type") == 0 ? "_" : "", NULL));
  commy_scope_set (scope, "property-name", hyphens);
  commy_scope_set (scope, "getter", type->is_pointer ? "dup" : "get");
  commy_scope_take (scope, "spec-function", dup_spec_function (type));
  commy_scope_take (scope, "spec",
                    type->is_variant
                        ? g_strdup_printf ("G_VARIANT_TYPE (\"%s\"), NULL", property->signature)
                        : g_strdup (type->spec));
  commy_scope_take (scope, "flags", dup_property_flags (interface, property, type));
  set_doc (scope, property->annotations);
  commy_scope_set (scope, "in-property", type->is_pointer ? type->c_dup : type->c_signal);
  commy_scope_set (scope, "zero", type->is_pointer ? "NULL" : "0");
  return claim (properties, hyphens, property->name, error);
}

/* --- the interface --- */

/* "a.bC" -> "ABC" */
static char *
join_camel (const char *name)
{
  GString *out = g_string_new (NULL);
  gboolean upper = TRUE;

  for (; *name != '\0'; name++)
    {
      if (g_ascii_isalnum (*name))
        g_string_append_c (out, upper ? g_ascii_toupper (*name) : *name);
      upper = *name == '.' || (upper && !g_ascii_isalnum (*name));
    }
  return g_string_free (out, FALSE);
}

static void
set_names (CommyScope *scope, GDBusInterfaceInfo *interface, const CommyCodegenNames *names)
{
  const char *other
      = g_dbus_annotation_info_lookup (interface->annotations, "org.gtk.GDBus.C.Name");
  const char *rest = g_str_has_prefix (interface->name, names->prefix)
                         ? interface->name + strlen (names->prefix)
                         : interface->name;
  g_autofree char *camel = join_camel (other != NULL && other[0] != '\0' ? other : rest);
  g_autofree char *space = commy_codegen_to_lower (names->namespace);
  g_autofree char *name = commy_codegen_to_lower (camel);
  g_autofree char *lower = g_strconcat (space, space[0] != '\0' ? "_" : "", name, NULL);
  g_autofree char *space_upper = g_ascii_strup (space, -1);

  commy_scope_set (scope, "interface", interface->name);
  commy_scope_take (scope, "Foo", g_strconcat (names->namespace, camel, NULL));
  commy_scope_set (scope, "foo", lower);
  commy_scope_take (scope, "FOO", g_ascii_strup (lower, -1));
  commy_scope_take (scope, "NS_", g_strconcat (space_upper, space[0] != '\0' ? "_" : "", NULL));
  commy_scope_take (scope, "NAME", g_ascii_strup (name, -1));
  set_doc (scope, interface->annotations);
}

/* @text inside of quotes in C, where "??/" would be a backslash to compilers that know trigraphs.
 */
static char *
dup_escaped (const char *text)
{
  g_autofree char *escaped = g_strescape (text, NULL);
  g_auto (GStrv) pieces = g_strsplit (escaped, "?", -1);

  return g_strjoinv ("\\?", pieces);
}

/* The interface as text, a line of C each, for who has it read when the program runs. */
static void
add_xml (CommyScope *scope, GDBusInterfaceInfo *interface)
{
  g_autoptr (GString) xml = g_string_new ("<node>\n");
  g_auto (GStrv) lines = NULL;

  g_dbus_interface_info_generate_xml (interface, 2, xml);
  g_string_append (xml, "</node>");
  lines = g_strsplit (xml->str, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    commy_scope_take (commy_scope_append (scope, "xml"), "line", dup_escaped (lines[i]));
}

static gboolean
add_members (CommyScope *scope, GDBusInterfaceInfo *interface, GError **error)
{
  g_autoptr (GHashTable) signals = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GHashTable) properties
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  for (guint i = 0; interface->methods != NULL && interface->methods[i] != NULL; i++)
    if (!add_method (scope, interface->methods[i], i, signals, error))
      return FALSE;
  for (guint i = 0; interface->signals != NULL && interface->signals[i] != NULL; i++)
    if (!add_signal (scope, interface->signals[i], i, signals, error))
      return FALSE;
  for (GDBusPropertyInfo **at = interface->properties; at != NULL && *at != NULL; at++)
    if (!add_property (scope, interface, *at, properties, error))
      return FALSE;
  return TRUE;
}

gboolean
commy_codegen_add_interface (CommyScope *file,
                             GDBusInterfaceInfo *interface,
                             const CommyCodegenNames *names,
                             GError **error)
{
  CommyScope *scope = commy_scope_append (file, "interfaces");
  g_autoptr (GError) cause = NULL;

  set_names (scope, interface, names);
  add_xml (scope, interface);
  if (add_members (scope, interface, &cause))
    return TRUE;
  g_propagate_prefixed_error (error, g_steal_pointer (&cause), "%s: ", interface->name);
  return FALSE;
}
