/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading descriptions of interfaces that may be hostile, their canonical form, and the verdict on
 * every field that can differ, in both directions.
 */
#include "config.h"

#include <commy/commy.h>
#include <string.h>

#define INTERFACE(body) "<node><interface name='org.example.A'>" body "</interface></node>"

static GDBusNodeInfo *
parse (const char *xml)
{
  g_autoptr (GError) error = NULL;
  GDBusNodeInfo *node = commy_schema_parse (xml, -1, &error);

  g_assert_no_error (error);
  g_assert_nonnull (node);
  return node;
}

/* --- reading --- */

static void
assert_refused (const char *xml, CommyError code, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusNodeInfo) node = commy_schema_parse (xml, -1, &error);

  g_assert_null (node);
  g_assert_error (error, COMMY_ERROR, (int) code);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
what_is_no_description_is_refused (void)
{
  static const struct
  {
    const char *xml, *words;
  } bad[] = {
    { "", "no introspection XML" },
    { "hello", "no introspection XML" },
    { "<node>", "no introspection XML" },
    { "<node><interface/></node>", "no introspection XML" },
    { "<node><interface name='nodots'/></node>", "is no name of an interface" },
    { INTERFACE ("<method name='a b'/>"), "is no name of a member" },
    { INTERFACE ("<method name='A'/><method name='A'/>"), "has \"A\" twice" },
    { INTERFACE ("<signal name='A'/><signal name='A'/>"), "has \"A\" twice" },
    { INTERFACE ("<property name='A' type='s' access='read'/>"
                 "<property name='A' type='s' access='read'/>"),
      "has \"A\" twice" },
    { INTERFACE ("<method name='A'><arg type='ss'/></method>"), "A: \"ss\" is not one type" },
    { INTERFACE ("<method name='A'><arg type=''/></method>"), "A: \"\" is not one type" },
    { INTERFACE ("<method name='A'><arg type='a*' direction='out'/></method>"), "not one type" },
    { INTERFACE ("<signal name='A'><arg type='a{vs}'/></signal>"), "not one type" },
    { INTERFACE ("<property name='A' type='(' access='read'/>"), "not one type" },
    { INTERFACE ("<method name='A'><annotation name='org.commy.Stream' value='all'/></method>"),
      "org.commy.Stream is client, server or both" },
    { INTERFACE ("<method name='A'><annotation name='org.commy.Stream.In' value='?'/></method>"),
      "not one type" },
    { "<node><node name='x'><interface name='org.example.A'>"
      "<property name='A' type='(' access='read'/></interface></node></node>",
      "not one type" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_refused (bad[i].xml, COMMY_ERROR_INVALID_ARGUMENT, bad[i].words);
}

static void
names_of_different_kinds_may_be_the_same (void)
{
  g_autoptr (GDBusNodeInfo) node
      = parse (INTERFACE ("<method name='A'/><signal name='A'/>"
                          "<property name='A' type='s' access='read'/>"));

  g_assert_nonnull (node->interfaces[0]);
}

static char *
repeat (const char *before, const char *text, guint n, const char *after)
{
  GString *all = g_string_new (before);

  for (guint i = 0; i < n; i++)
    g_string_append (all, text);
  g_string_append (all, after);
  return g_string_free (all, FALSE);
}

static void
size_depth_and_number_are_limited (void)
{
  g_autofree char *deep = repeat ("", "<node>", 100000, "");
  g_autofree char *notes
      = repeat ("<node><interface name='a.b'>", "<annotation name='x' value='y'>", 20000, "");
  g_autofree char *many = repeat ("<node>", "<node/>", 16384, "</node>");
  g_autofree char *enough = repeat ("<node>", "<node/>", 16383, "</node>");
  g_autofree char *large = repeat ("<node>", "                ", 65536, "</node>");
  g_autoptr (GDBusNodeInfo) node = NULL;

  assert_refused (deep, COMMY_ERROR_TOO_BIG, "deeper than 16");
  assert_refused (notes, COMMY_ERROR_TOO_BIG, "deeper than 16");
  assert_refused (many, COMMY_ERROR_TOO_BIG, "more than 16384");
  assert_refused (large, COMMY_ERROR_TOO_BIG, "larger than 1048576");
  node = parse (enough);
}

static void
a_length_ends_the_text (void)
{
  static const char xml[] = "<node/>behind";
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusNodeInfo) node = commy_schema_parse (xml, 7, &error);
  g_autoptr (GDBusNodeInfo) cut = NULL;

  g_assert_no_error (error);
  g_assert_nonnull (node);
  cut = commy_schema_parse (xml, 6, &error);
  g_assert_null (cut);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
}

static void
types_beyond_dbus_are_read (void)
{
  g_autoptr (GDBusNodeInfo) node
      = parse (INTERFACE ("<method name='A'><arg type='m(sv)'/></method>"));

  g_assert_cmpstr (node->interfaces[0]->methods[0]->in_args[0]->signature, ==, "m(sv)");
}

/* --- the canonical form --- */

static void
the_form_is_as_documented (void)
{
  g_autoptr (GDBusNodeInfo) node = parse (INTERFACE (
      "<property name='P' type='u' access='readwrite'/>"
      "<signal name='S'><arg type='s'/><annotation name='org.commy.Topic' value='t.s'/></signal>"
      "<method name='B'><arg name='a' type='i'/><arg type='s' direction='out'/>"
      "<annotation name='org.commy.Idempotent' value='true'/></method>"
      "<method name='A'><annotation name='org.freedesktop.DBus.Method.NoReply' value='TRUE'/>"
      "<annotation name='org.freedesktop.DBus.Deprecated' value='true'/></method>"));
  g_autofree char *form = commy_schema_to_string (node->interfaces[0]);
  g_autofree char *hash = commy_schema_to_hash (node->interfaces[0]);

  g_assert_cmpstr (form, ==,
                   "interface name org.example.A\n"
                   "method A\n"
                   "method A one-way true\n"
                   "method B\n"
                   "method B argument 1 i\n"
                   "method B argument-name 1 a\n"
                   "method B result 1 s\n"
                   "method B idempotent true\n"
                   "signal S\n"
                   "signal S argument 1 s\n"
                   "signal S topic t.s\n"
                   "property P\n"
                   "property P type u\n"
                   "property P access readwrite\n"
                   "property P changes true\n");
  g_assert_cmpuint (strlen (hash), ==, 32);
  g_assert_cmpuint (strspn (hash, "0123456789abcdef"), ==, 32);
}

static void
order_and_documentation_leave_no_trace (void)
{
  g_autoptr (GDBusNodeInfo) a
      = parse (INTERFACE ("<!-- text --><method name='A'/><method name='B'/><signal name='C'/>"));
  g_autoptr (GDBusNodeInfo) b = parse (INTERFACE (
      "<signal name='C'/><method name='B'><annotation name='org.gtk.GDBus.DocString' value='x'/>"
      "</method><method name='A'><annotation name='org.commy.Idempotent' value='false'/>"
      "</method>"));
  g_autofree char *x = commy_schema_to_hash (a->interfaces[0]);
  g_autofree char *y = commy_schema_to_hash (b->interfaces[0]);
  g_autoptr (GVariant) differences = NULL;

  g_assert_cmpstr (x, ==, y);
  g_assert_cmpint (commy_schema_compare (a->interfaces[0], b->interfaces[0], &differences), ==,
                   COMMY_SCHEMA_VERDICT_COMPATIBLE);
  g_assert_cmpuint (g_variant_n_children (differences), ==, 0);
}

/* --- the verdicts --- */

typedef struct
{
  const char *name;
  const char *client, *service;      /* bodies of the interface */
  const char *kind, *member, *field; /* of the only difference */
  guint index;
  const char *client_value, *service_value; /* NULL: not there */
  CommySchemaVerdict verdict, reverse;
} Case;

#define NOTE(name, value) "<annotation name='" name "' value='" value "'/>"
#define METHOD(body) "<method name='M'>" body "</method>"
#define IN(type) "<arg name='a' type='" type "'/>"
#define OUT(type) "<arg name='a' type='" type "' direction='out'/>"
#define STREAM NOTE ("org.commy.Stream", "both")
#define PROPERTY(type, access) "<property name='P' type='" type "' access='" access "'/>"
#define FINE COMMY_SCHEMA_VERDICT_COMPATIBLE
#define LOOK COMMY_SCHEMA_VERDICT_WARNINGS
#define BAD COMMY_SCHEMA_VERDICT_INCOMPATIBLE

static const Case cases[] = {
  { "method-added", "", METHOD (IN ("i")), "method", "M", "member", 0, NULL, "", FINE, BAD },
  { "signal-removed", "<signal name='S'/>", "", "signal", "S", "member", 0, "", NULL, BAD, FINE },
  { "property-removed", PROPERTY ("s", "read"), "", "property", "P", "member", 0, "", NULL, BAD,
    FINE },
  { "argument-type", METHOD (IN ("i")), METHOD (IN ("x")), "method", "M", "argument", 1, "i", "x",
    BAD, BAD },
  { "argument-renamed", METHOD ("<arg name='a' type='i'/>"), METHOD ("<arg name='b' type='i'/>"),
    "method", "M", "argument-name", 1, "a", "b", LOOK, LOOK },
  { "argument-added", METHOD ("<arg type='i'/>"), METHOD ("<arg type='i'/><arg type='s'/>"),
    "method", "M", "argument", 2, NULL, "s", BAD, BAD },
  { "result-type", METHOD (OUT ("i")), METHOD (OUT ("u")), "method", "M", "result", 1, "i", "u",
    BAD, BAD },
  { "signal-argument-type", "<signal name='S'><arg type='s'/></signal>",
    "<signal name='S'><arg type='o'/></signal>", "signal", "S", "argument", 1, "s", "o", BAD, BAD },
  { "stream-kind", METHOD (STREAM), METHOD (NOTE ("org.commy.Stream", "server")), "method", "M",
    "stream", 0, "both", "server", BAD, BAD },
  { "stream-or-not", METHOD (""), METHOD (STREAM), "method", "M", "stream", 0, NULL, "both", BAD,
    BAD },
  { "stream-in-type", METHOD (STREAM NOTE ("org.commy.Stream.In", "s")),
    METHOD (STREAM NOTE ("org.commy.Stream.In", "i")), "method", "M", "stream-in", 0, "s", "i", BAD,
    BAD },
  { "stream-in-checked-by-the-service", METHOD (STREAM),
    METHOD (STREAM NOTE ("org.commy.Stream.In", "i")), "method", "M", "stream-in", 0, NULL, "i",
    LOOK, FINE },
  { "stream-out-checked-by-the-client", METHOD (STREAM),
    METHOD (STREAM NOTE ("org.commy.Stream.Out", "i")), "method", "M", "stream-out", 0, NULL, "i",
    FINE, LOOK },
  { "no-reply", METHOD (""), METHOD (NOTE ("org.freedesktop.DBus.Method.NoReply", "true")),
    "method", "M", "one-way", 0, NULL, "true", BAD, LOOK },
  { "not-idempotent-any-more", METHOD (NOTE ("org.commy.Idempotent", "true")), METHOD (""),
    "method", "M", "idempotent", 0, "true", NULL, BAD, FINE },
  { "deadline", METHOD (NOTE ("org.commy.Deadline", "1s")),
    METHOD (NOTE ("org.commy.Deadline", "2s")), "method", "M", "deadline", 0, "1s", "2s", FINE,
    FINE },
  { "topic", "<signal name='S'/>", "<signal name='S'>" NOTE ("org.commy.Topic", "a.b") "</signal>",
    "signal", "S", "topic", 0, NULL, "a.b", BAD, BAD },
  { "property-type", PROPERTY ("s", "read"), PROPERTY ("o", "read"), "property", "P", "type", 0,
    "s", "o", BAD, BAD },
  { "property-read-only-now", PROPERTY ("s", "readwrite"), PROPERTY ("s", "read"), "property", "P",
    "access", 0, "readwrite", "read", BAD, FINE },
  { "property-write-only-now", PROPERTY ("s", "read"), PROPERTY ("s", "write"), "property", "P",
    "access", 0, "read", "write", BAD, BAD },
  { "property-changes", PROPERTY ("s", "read"),
    NOTE ("org.freedesktop.DBus.Property.EmitsChangedSignal", "const") PROPERTY ("s", "read"),
    "property", "P", "changes", 0, "true", "const", LOOK, LOOK },
  { "untyped", METHOD (IN ("i") OUT ("s")), METHOD (NOTE ("org.commy.Untyped", "true")), "method",
    "M", "untyped", 0, NULL, "true", LOOK, LOOK },
};

static void
assert_text (GVariant *record, const char *key, const char *expected)
{
  const char *text = NULL;

  g_variant_lookup (record, key, "&s", &text);
  g_assert_cmpstr (text, ==, expected);
}

static void
one_difference (gconstpointer data)
{
  static const char *const words[] = { "compatible", "warnings", "incompatible" };
  const Case *test = data;
  g_autofree char *before
      = g_strconcat ("<node><interface name='a.b'>", test->client, "</interface></node>", NULL);
  g_autofree char *after
      = g_strconcat ("<node><interface name='a.b'>", test->service, "</interface></node>", NULL);
  g_autoptr (GDBusNodeInfo) client = parse (before);
  g_autoptr (GDBusNodeInfo) service = parse (after);
  g_autofree char *x = commy_schema_to_hash (client->interfaces[0]);
  g_autofree char *y = commy_schema_to_hash (service->interfaces[0]);
  g_autoptr (GVariant) differences = NULL;
  g_autoptr (GVariant) record = NULL;
  guint32 index = 0;

  g_assert_cmpint (
      commy_schema_compare (client->interfaces[0], service->interfaces[0], &differences), ==,
      test->verdict);
  g_assert_cmpint (commy_schema_compare (service->interfaces[0], client->interfaces[0], NULL), ==,
                   test->reverse);
  g_assert_cmpstr (x, !=, y);
  g_assert_cmpuint (g_variant_n_children (differences), ==, 1);
  record = g_variant_get_child_value (differences, 0);
  assert_text (record, "kind", test->kind);
  assert_text (record, "name", test->member);
  assert_text (record, "field", test->field);
  assert_text (record, "client", test->client_value);
  assert_text (record, "service", test->service_value);
  assert_text (record, "verdict", words[test->verdict]);
  assert_text (record, "reverse", words[test->reverse]);
  g_variant_lookup (record, "index", "u", &index);
  g_assert_cmpuint (index, ==, test->index);
  if (test->verdict != FINE)
    g_assert_true (g_variant_lookup (record, "why", "s", NULL));
}

static void
the_worst_difference_is_the_verdict (void)
{
  g_autoptr (GDBusNodeInfo) client
      = parse (INTERFACE ("<method name='A'><arg name='a' type='i'/></method><method name='B'/>"));
  g_autoptr (GDBusNodeInfo) service
      = parse (INTERFACE ("<method name='A'><arg name='b' type='i'/></method><method name='C'/>"));
  g_autoptr (GVariant) differences = NULL;

  g_assert_cmpint (
      commy_schema_compare (client->interfaces[0], service->interfaces[0], &differences), ==, BAD);
  g_assert_cmpuint (g_variant_n_children (differences), ==, 3);
}

static void
another_name_of_the_interface_is_a_warning (void)
{
  g_autoptr (GDBusNodeInfo) client = parse ("<node><interface name='a.b'/></node>");
  g_autoptr (GDBusNodeInfo) service = parse ("<node><interface name='a.c'/></node>");

  g_assert_cmpint (commy_schema_compare (client->interfaces[0], service->interfaces[0], NULL), ==,
                   LOOK);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schema/parse/what-is-no-description-is-refused",
                   what_is_no_description_is_refused);
  g_test_add_func ("/schema/parse/names-of-different-kinds-may-be-the-same",
                   names_of_different_kinds_may_be_the_same);
  g_test_add_func ("/schema/parse/size-depth-and-number-are-limited",
                   size_depth_and_number_are_limited);
  g_test_add_func ("/schema/parse/a-length-ends-the-text", a_length_ends_the_text);
  g_test_add_func ("/schema/parse/types-beyond-dbus-are-read", types_beyond_dbus_are_read);
  g_test_add_func ("/schema/form/is-as-documented", the_form_is_as_documented);
  g_test_add_func ("/schema/form/order-and-documentation-leave-no-trace",
                   order_and_documentation_leave_no_trace);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/schema/compare/", cases[i].name, NULL);

      g_test_add_data_func (path, &cases[i], one_difference);
    }
  g_test_add_func ("/schema/compare/the-worst-difference-is-the-verdict",
                   the_worst_difference_is_the_verdict);
  g_test_add_func ("/schema/compare/another-name-of-the-interface-is-a-warning",
                   another_name_of_the_interface_is_a_warning);
  return g_test_run ();
}
