/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Takes an interface apart into facts, and prints them: the canonical form and its hash.
 */
#include "config.h"

#include "schema/commy-schema-private.h"

#include <string.h>

#define HASH_DIGITS 32u /* 128 bits */

static const char *const kind_words[] = { "interface", "method", "signal", "property" };
static const char *const field_words[] = {
  [COMMY_SCHEMA_FIELD_NAME] = "name",
  [COMMY_SCHEMA_FIELD_PRESENT] = "member",
  [COMMY_SCHEMA_FIELD_UNTYPED] = "untyped",
  [COMMY_SCHEMA_FIELD_ARGUMENT] = "argument",
  [COMMY_SCHEMA_FIELD_ARGUMENT_NAME] = "argument-name",
  [COMMY_SCHEMA_FIELD_RESULT] = "result",
  [COMMY_SCHEMA_FIELD_RESULT_NAME] = "result-name",
  [COMMY_SCHEMA_FIELD_STREAM] = "stream",
  [COMMY_SCHEMA_FIELD_STREAM_IN] = "stream-in",
  [COMMY_SCHEMA_FIELD_STREAM_OUT] = "stream-out",
  [COMMY_SCHEMA_FIELD_ONE_WAY] = "one-way",
  [COMMY_SCHEMA_FIELD_IDEMPOTENT] = "idempotent",
  [COMMY_SCHEMA_FIELD_DEADLINE] = "deadline",
  [COMMY_SCHEMA_FIELD_TOPIC] = "topic",
  [COMMY_SCHEMA_FIELD_TYPE] = "type",
  [COMMY_SCHEMA_FIELD_ACCESS] = "access",
  [COMMY_SCHEMA_FIELD_CHANGES] = "changes",
};

const char *
commy_schema_kind_word (CommySchemaKind kind)
{
  return kind_words[kind];
}

const char *
commy_schema_field_word (CommySchemaField field)
{
  return field_words[field];
}

gboolean
commy_schema_is_true (const char *value)
{
  return value != NULL && g_ascii_strcasecmp (value, "true") == 0;
}

/* --- taking apart --- */

typedef struct
{
  GArray *facts;
  CommySchemaKind kind;
  const char *member;
} Collector;

static void
add (Collector *self, CommySchemaField field, guint index, const char *value)
{
  const CommySchemaFact fact = { self->kind, self->member, field, index, value };

  if (value != NULL)
    g_array_append_val (self->facts, fact);
}

static void
add_annotation (Collector *self,
                CommySchemaField field,
                GDBusAnnotationInfo **annotations,
                const char *name)
{
  add (self, field, 0, g_dbus_annotation_info_lookup (annotations, name));
}

/* What is off is the same as what is not said. */
static void
add_flag (Collector *self,
          CommySchemaField field,
          GDBusAnnotationInfo **annotations,
          const char *name)
{
  if (commy_schema_is_true (g_dbus_annotation_info_lookup (annotations, name)))
    add (self, field, 0, "true");
}

/* Arguments without a name get one like this from GIO's reader. */
static gboolean
is_named (const GDBusArgInfo *argument)
{
  static const char made[] = "arg_";
  const char *name = argument->name;

  if (name == NULL || name[0] == '\0')
    return FALSE;
  return !g_str_has_prefix (name, made)
         || name[strspn (name + strlen (made), "0123456789") + strlen (made)] != '\0';
}

/* The field of the names is the one behind that of the types. */
static void
add_arguments (Collector *self, CommySchemaField field, GDBusArgInfo **arguments)
{
  for (guint i = 0; arguments != NULL && arguments[i] != NULL; i++)
    {
      add (self, field, i + 1, arguments[i]->signature);
      if (is_named (arguments[i]))
        add (self, field + 1, i + 1, arguments[i]->name);
    }
}

static void
add_method (Collector *self, GDBusMethodInfo *method)
{
  GDBusAnnotationInfo **notes = method->annotations;

  self->kind = COMMY_SCHEMA_METHOD;
  self->member = method->name;
  add (self, COMMY_SCHEMA_FIELD_PRESENT, 0, "");
  if (commy_schema_is_true (g_dbus_annotation_info_lookup (notes, "org.commy.Untyped")))
    {
      add (self, COMMY_SCHEMA_FIELD_UNTYPED, 0, "true");
      return;
    }
  add_arguments (self, COMMY_SCHEMA_FIELD_ARGUMENT, method->in_args);
  add_arguments (self, COMMY_SCHEMA_FIELD_RESULT, method->out_args);
  add_annotation (self, COMMY_SCHEMA_FIELD_STREAM, notes, "org.commy.Stream");
  add_annotation (self, COMMY_SCHEMA_FIELD_STREAM_IN, notes, "org.commy.Stream.In");
  add_annotation (self, COMMY_SCHEMA_FIELD_STREAM_OUT, notes, "org.commy.Stream.Out");
  add_flag (self, COMMY_SCHEMA_FIELD_ONE_WAY, notes, "org.freedesktop.DBus.Method.NoReply");
  add_flag (self, COMMY_SCHEMA_FIELD_IDEMPOTENT, notes, "org.commy.Idempotent");
  add_annotation (self, COMMY_SCHEMA_FIELD_DEADLINE, notes, "org.commy.Deadline");
}

static void
add_signal (Collector *self, GDBusSignalInfo *signal)
{
  self->kind = COMMY_SCHEMA_SIGNAL;
  self->member = signal->name;
  add (self, COMMY_SCHEMA_FIELD_PRESENT, 0, "");
  add_arguments (self, COMMY_SCHEMA_FIELD_ARGUMENT, signal->args);
  add_annotation (self, COMMY_SCHEMA_FIELD_TOPIC, signal->annotations, "org.commy.Topic");
}

static const char *
access_word (GDBusPropertyInfoFlags flags)
{
  const gboolean writable = (flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE) != 0;

  if ((flags & G_DBUS_PROPERTY_INFO_FLAGS_READABLE) == 0)
    return writable ? "write" : "none";
  return writable ? "readwrite" : "read";
}

/* D-Bus lets a whole interface say it. */
static const char *
find_changes (GDBusInterfaceInfo *interface, GDBusPropertyInfo *property)
{
  static const char name[] = "org.freedesktop.DBus.Property.EmitsChangedSignal";
  const char *own = g_dbus_annotation_info_lookup (property->annotations, name);
  const char *all = g_dbus_annotation_info_lookup (interface->annotations, name);

  return own != NULL ? own : all != NULL ? all : "true";
}

static void
add_property (Collector *self, GDBusInterfaceInfo *interface, GDBusPropertyInfo *property)
{
  self->kind = COMMY_SCHEMA_PROPERTY;
  self->member = property->name;
  add (self, COMMY_SCHEMA_FIELD_PRESENT, 0, "");
  add (self, COMMY_SCHEMA_FIELD_TYPE, 0, property->signature);
  add (self, COMMY_SCHEMA_FIELD_ACCESS, 0, access_word (property->flags));
  add (self, COMMY_SCHEMA_FIELD_CHANGES, 0, find_changes (interface, property));
}

gint
commy_schema_fact_compare (const CommySchemaFact *a, const CommySchemaFact *b)
{
  const gint members = a->kind == b->kind ? strcmp (a->member, b->member) : 0;

  if (a->kind != b->kind)
    return a->kind < b->kind ? -1 : 1;
  if (members != 0)
    return members;
  if (a->field != b->field)
    return a->field < b->field ? -1 : 1;
  return a->index == b->index ? 0 : a->index < b->index ? -1 : 1;
}

/* Of members of one name, which only a hand-made interface can have, the first one counts. */
static void
drop_doubles (GArray *facts)
{
  guint kept = 0;

  for (guint i = 0; i < facts->len; i++)
    {
      const CommySchemaFact fact = g_array_index (facts, CommySchemaFact, i);

      if (kept > 0
          && commy_schema_fact_compare (&g_array_index (facts, CommySchemaFact, kept - 1), &fact)
                 == 0)
        continue;
      g_array_index (facts, CommySchemaFact, kept++) = fact;
    }
  g_array_set_size (facts, kept);
}

GArray *
commy_schema_list_facts (GDBusInterfaceInfo *interface)
{
  GArray *facts = g_array_new (FALSE, FALSE, sizeof (CommySchemaFact));
  Collector self = { facts, COMMY_SCHEMA_INTERFACE, "" };

  add (&self, COMMY_SCHEMA_FIELD_NAME, 0, interface->name);
  for (GDBusMethodInfo **at = interface->methods; at != NULL && *at != NULL; at++)
    add_method (&self, *at);
  for (GDBusSignalInfo **at = interface->signals; at != NULL && *at != NULL; at++)
    add_signal (&self, *at);
  for (GDBusPropertyInfo **at = interface->properties; at != NULL && *at != NULL; at++)
    add_property (&self, interface, *at);
  g_array_sort (facts, (GCompareFunc) commy_schema_fact_compare); /* keeps the order of equals */
  drop_doubles (facts);
  return facts;
}

/* --- printing --- */

char *
commy_schema_to_string (GDBusInterfaceInfo *interface)
{
  g_autoptr (GArray) facts = NULL;
  GString *text = g_string_new (NULL);

  g_return_val_if_fail (interface != NULL, NULL);
  facts = commy_schema_list_facts (interface);
  for (guint i = 0; i < facts->len; i++)
    {
      const CommySchemaFact *fact = &g_array_index (facts, CommySchemaFact, i);
      g_autofree char *value = g_strescape (fact->value, NULL);

      g_string_append (text, kind_words[fact->kind]);
      if (fact->member[0] != '\0')
        g_string_append_printf (text, " %s", fact->member);
      if (fact->field != COMMY_SCHEMA_FIELD_PRESENT)
        g_string_append_printf (text, " %s", field_words[fact->field]);
      if (fact->index > 0)
        g_string_append_printf (text, " %u", fact->index);
      g_string_append_printf (text, "%s%s\n", value[0] != '\0' ? " " : "", value);
    }
  return g_string_free (text, FALSE);
}

char *
commy_schema_to_hash (GDBusInterfaceInfo *interface)
{
  g_autofree char *text = commy_schema_to_string (interface);
  char *hash;

  g_return_val_if_fail (text != NULL, NULL);
  hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  hash[HASH_DIGITS] = '\0';
  return hash;
}
