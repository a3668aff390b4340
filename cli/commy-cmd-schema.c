/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy schema check | hash`: whether an interface may follow another one, and one number for what
 * an interface says. Interfaces come from files or from running services.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-interface.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"

#include <string.h>

#define MAX_SIZE (1024u * 1024u)

static const CommyCliVerb verb = {
  .name = "schema",
  .usage = "check OLD NEW | hash SOURCE...",
  .summary
  = N_ ("  check  whether NEW may follow OLD, with everything that differs\n"
        "  hash   one number for what an interface says, whatever its order and documentation\n\n"
        "OLD, NEW and SOURCE are files of D-Bus introspection XML (with a '/' or .xml in the\n"
        "name) or running services."),
  .description
  = N_ ("A verdict has a direction. A service may offer more than its clients know, a client may\n"
        "not need more than its service offers. So the table has two: \"old clients\" tells what\n"
        "programs that run already meet when the service is updated, \"new clients\" what updated\n"
        "programs meet while the old service still runs. The exit code goes by --clients.\n\n"
        "Incompatible: a member is gone, types differ, another kind of stream, another topic, a\n"
        "method that must not be repeated any more (org.commy.Idempotent) or is not answered any\n"
        "more (NoReply), a property with less access. Warnings: other names of arguments or of\n"
        "the interface, and what cannot be known. A deadline may differ.\n\n"
        "Example: may this version be released, and does what runs fit it?\n"
        "  commy schema check released.xml working.xml\n"
        "  commy schema check org.example.Echo echo.xml --clients both -o json\n"
        "  commy schema hash echo.xml org.example.Echo\n\n"
        "Exit codes of check: 0 compatible, 6 with warnings, 1 incompatible."),
  .has_format = TRUE,
};

/* --- where interfaces come from --- */

static gboolean
is_file (const char *source)
{
  return strchr (source, '/') != NULL || g_str_has_suffix (source, ".xml")
         || g_file_test (source, G_FILE_TEST_IS_REGULAR);
}

/* No more than may be: it could be a device. */
static GBytes *
read_file (const char *path, GError **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) stream = NULL;
  g_autofree char *text = g_malloc (MAX_SIZE + 1);
  g_autoptr (GError) cause = NULL;
  gsize size;

  stream = g_file_read (file, NULL, &cause);
  if (stream == NULL
      || !g_input_stream_read_all (G_INPUT_STREAM (stream), text, MAX_SIZE + 1, &size, NULL,
                                   &cause))
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%s cannot be read: %s", path,
                           cause->message);
      return NULL;
    }
  return g_bytes_new_take (g_steal_pointer (&text), size);
}

static GBytes *
ask_service (CommyCli *cli, const char *service, GError **error)
{
  g_autoptr (CommyMesh) mesh = commy_cli_join (cli, error);
  g_autoptr (GPtrArray) interfaces
      = mesh != NULL ? commy_interface_ask_all (mesh, service, NULL, error) : NULL;
  char *xml;

  if (interfaces == NULL)
    return NULL;
  if (commy_interface_find_different (interfaces) > 0)
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                           "instances of %s differ: write the one that is meant into a file with "
                           "commy introspect %s -o xml --of INSTANCE",
                           service, service);
      return NULL;
    }
  xml = commy_interface_dup_xml (interfaces->pdata[0]);
  return g_bytes_new_take (xml, strlen (xml));
}

static GDBusNodeInfo *
load (CommyCli *cli, const char *source, GError **error)
{
  g_autoptr (GBytes) xml
      = is_file (source) ? read_file (source, error) : ask_service (cli, source, error);
  g_autoptr (GError) cause = NULL;
  GDBusNodeInfo *node;

  if (xml == NULL)
    return NULL;
  node = commy_schema_parse (g_bytes_get_data (xml, NULL), (gssize) g_bytes_get_size (xml), &cause);
  if (node == NULL)
    g_propagate_prefixed_error (error, g_steal_pointer (&cause), "%s: ", source);
  return node;
}

/* (transfer container): of GDBusInterfaceInfo; those that D-Bus itself describes everywhere are
 * left out unless they are asked for by name */
static GPtrArray *
pick (GDBusNodeInfo *node, const char *source, const char *name, GError **error)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new ();

  for (GDBusInterfaceInfo **at = node->interfaces; at != NULL && *at != NULL; at++)
    if (name != NULL ? strcmp ((*at)->name, name) == 0
                     : !g_str_has_prefix ((*at)->name, "org.freedesktop.DBus."))
      g_ptr_array_add (found, *at);
  if (found->len > 0)
    return g_steal_pointer (&found);
  if (name != NULL)
    commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE, "%s has no interface %s", source, name);
  else
    commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE, "%s has no interface", source);
  return NULL;
}

/* --- comparing --- */

typedef struct
{
  CommySchemaVerdict old_clients;
  CommySchemaVerdict new_clients;
  GVariantBuilder interfaces; /* for JSON */
  CommyTable *table;
} Check;

static const char *
verdict_word (CommySchemaVerdict verdict)
{
  static const char *const words[] = { "compatible", "warnings", "incompatible" };

  return words[verdict];
}

static CommyTone
verdict_tone (const char *verdict)
{
  return strcmp (verdict, "compatible") == 0     ? COMMY_TONE_GOOD
         : strcmp (verdict, "incompatible") == 0 ? COMMY_TONE_BAD
                                                 : COMMY_TONE_STRONG;
}

/* What a side does not have is a dash, what is only there says so. */
static void
add_value (CommyTable *table, GVariant *difference, const char *key)
{
  const char *value = NULL;

  g_variant_lookup (difference, key, "&s", &value);
  commy_table_add (table, value == NULL ? NULL : value[0] != '\0' ? value : _ ("there"));
}

static void
add_row (CommyTable *table, const char *interface, GVariant *difference)
{
  const char *kind = commy_record_get_string (difference, "kind");
  const char *name = commy_record_get_string (difference, "name");
  const char *field = commy_record_get_string (difference, "field");
  const char *verdict = commy_record_get_string (difference, "verdict");
  const char *reverse = commy_record_get_string (difference, "reverse");
  const char *why = commy_record_get_string (difference, "why");
  const guint64 index = commy_record_get_uint (difference, "index");

  commy_table_take (table, g_strdup_printf ("%s %s", kind, name[0] != '\0' ? name : interface));
  commy_table_take (table, index > 0 ? g_strdup_printf ("%s %" G_GUINT64_FORMAT, field, index)
                                     : g_strdup (field));
  add_value (table, difference, "client");
  add_value (table, difference, "service");
  commy_table_add_toned (table, verdict, verdict_tone (verdict));
  commy_table_add_toned (table, reverse, verdict_tone (reverse));
  commy_table_add (table, why[0] != '\0' ? _ (why) : "");
}

/* The comparison speaks of client and service; here they are the old and the new interface. */
static GVariant *
rename_sides (GVariant *difference)
{
  static const struct
  {
    const char *from, *to;
  } names[] = {
    { "client", "old" },
    { "service", "new" },
    { "verdict", "old-clients" },
    { "reverse", "new-clients" },
  };
  GVariantBuilder record;
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_iter_init (&iter, difference);
  while (g_variant_iter_loop (&iter, "{&sv}", &key, &value))
    {
      for (guint i = 0; i < G_N_ELEMENTS (names); i++)
        if (strcmp (key, names[i].from) == 0)
          key = names[i].to;
      g_variant_builder_add (&record, "{sv}", key, value);
    }
  return g_variant_builder_end (&record);
}

static void
add_interface (Check *check,
               GDBusInterfaceInfo *old,
               GDBusInterfaceInfo *new,
               GVariant *differences)
{
  g_autofree char *old_hash = commy_schema_to_hash (old);
  g_autofree char *new_hash = commy_schema_to_hash (new);
  const gsize n = g_variant_n_children (differences);
  GVariantBuilder list, record;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) difference = g_variant_get_child_value (differences, i);

      add_row (check->table, old->name, difference);
      g_variant_builder_add_value (&list, rename_sides (difference));
    }
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "interface", g_variant_new_string (old->name));
  g_variant_builder_add (&record, "{sv}", "old-hash", g_variant_new_string (old_hash));
  g_variant_builder_add (&record, "{sv}", "new-hash", g_variant_new_string (new_hash));
  g_variant_builder_add (&record, "{sv}", "differences", g_variant_builder_end (&list));
  g_variant_builder_add_value (&check->interfaces, g_variant_builder_end (&record));
}

static void
compare_pair (Check *check, GDBusInterfaceInfo *old, GDBusInterfaceInfo *new)
{
  g_autoptr (GVariant) differences = NULL;
  const CommySchemaVerdict old_clients = commy_schema_compare (old, new, &differences);
  const CommySchemaVerdict new_clients = commy_schema_compare (new, old, NULL);

  check->old_clients = MAX (check->old_clients, old_clients);
  check->new_clients = MAX (check->new_clients, new_clients);
  add_interface (check, old, new, differences);
}

/* An interface that only one side has is compared with one of the same name and no members. */
static void
compare_lone (Check *check, GDBusInterfaceInfo *interface, gboolean is_old)
{
  GDBusInterfaceInfo empty = { .ref_count = -1, .name = interface->name };

  if (is_old)
    compare_pair (check, interface, &empty);
  else
    compare_pair (check, &empty, interface);
}

static GDBusInterfaceInfo *
find (GPtrArray *interfaces, const char *name)
{
  for (guint i = 0; i < interfaces->len; i++)
    if (strcmp (((GDBusInterfaceInfo *) interfaces->pdata[i])->name, name) == 0)
      return interfaces->pdata[i];
  return NULL;
}

static void
compare_all (Check *check, GPtrArray *old, GPtrArray *new)
{
  if (old->len == 1 && new->len == 1)
    {
      compare_pair (check, old->pdata[0], new->pdata[0]);
      return;
    }
  for (guint i = 0; i < old->len; i++)
    {
      GDBusInterfaceInfo *interface = old->pdata[i], *other = find (new, interface->name);

      if (other != NULL)
        compare_pair (check, interface, other);
      else
        compare_lone (check, interface, TRUE);
    }
  for (guint i = 0; i < new->len; i++)
    if (find (old, ((GDBusInterfaceInfo *) new->pdata[i])->name) == NULL)
      compare_lone (check, new->pdata[i], FALSE);
}

static CommyExit
exit_for (CommySchemaVerdict verdict)
{
  static const CommyExit codes[] = { COMMY_EXIT_DONE, COMMY_EXIT_WARNED, COMMY_EXIT_FAILED };

  return codes[verdict];
}

/* --- printing --- */

static void
print_table (Check *check)
{
  if (commy_table_get_n_rows (check->table) == 0)
    commy_output_print (_ ("nothing differs\n"));
  else
    commy_table_print (check->table);
  commy_output_print (_ ("old clients with the new service: %s\n"),
                      verdict_word (check->old_clients));
  commy_output_print (_ ("new clients with the old service: %s\n"),
                      verdict_word (check->new_clients));
}

static void
print_json (CommyCli *cli, Check *check)
{
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "old-clients",
                         g_variant_new_string (verdict_word (check->old_clients)));
  g_variant_builder_add (&record, "{sv}", "new-clients",
                         g_variant_new_string (verdict_word (check->new_clients)));
  g_variant_builder_add (&record, "{sv}", "interfaces", g_variant_builder_end (&check->interfaces));
  commy_cli_json (cli, g_variant_builder_end (&record));
}

static CommyExit
check_sources (CommyCli *cli,
               const char *old_source,
               const char *new_source,
               const char *interface,
               const char *clients)
{
  g_autoptr (CommyTable) table = commy_table_new ("MEMBER", "FIELD", "OLD", "NEW", "OLD CLIENTS",
                                                  "NEW CLIENTS", "WHY", NULL);
  g_autoptr (GDBusNodeInfo) old = NULL;
  g_autoptr (GDBusNodeInfo) new = NULL;
  g_autoptr (GPtrArray) before = NULL;
  g_autoptr (GPtrArray) after = NULL;
  g_autoptr (GError) error = NULL;
  Check check = { .table = table };

  if ((old = load (cli, old_source, &error)) == NULL
      || (new = load (cli, new_source, &error)) == NULL
      || (before = pick (old, old_source, interface, &error)) == NULL
      || (after = pick (new, new_source, interface, &error)) == NULL)
    return commy_cli_fail (error);
  g_variant_builder_init (&check.interfaces, G_VARIANT_TYPE ("aa{sv}"));
  compare_all (&check, before, after);
  if (cli->json)
    print_json (cli, &check);
  else
    print_table (&check);
  g_variant_builder_clear (&check.interfaces);
  if (strcmp (clients, "both") == 0)
    return exit_for (MAX (check.old_clients, check.new_clients));
  return exit_for (strcmp (clients, "new") == 0 ? check.new_clients : check.old_clients);
}

static CommyExit
print_hashes (CommyCli *cli, char **sources, const char *name)
{
  GVariantBuilder list;
  g_autoptr (CommyTable) table = commy_table_new ("INTERFACE", "HASH", "SOURCE", NULL);
  g_autoptr (GVariant) json = NULL;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{ss}"));
  for (guint i = 0; sources[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GDBusNodeInfo) node = load (cli, sources[i], &error);
      g_autoptr (GPtrArray) found = node != NULL ? pick (node, sources[i], name, &error) : NULL;

      if (found == NULL)
        {
          g_variant_builder_clear (&list);
          return commy_cli_fail (error);
        }
      for (guint k = 0; k < found->len; k++)
        {
          GDBusInterfaceInfo *interface = found->pdata[k];
          g_autofree char *hash = commy_schema_to_hash (interface);

          commy_table_add_toned (table, interface->name, COMMY_TONE_STRONG);
          commy_table_add (table, hash);
          commy_table_add (table, sources[i]);
          g_variant_builder_open (&list, G_VARIANT_TYPE ("a{ss}"));
          g_variant_builder_add (&list, "{ss}", "interface", interface->name);
          g_variant_builder_add (&list, "{ss}", "hash", hash);
          g_variant_builder_add (&list, "{ss}", "source", sources[i]);
          g_variant_builder_close (&list);
        }
    }
  json = g_variant_ref_sink (g_variant_builder_end (&list));
  if (cli->json)
    commy_cli_json (cli, json);
  else
    commy_table_print (table);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_schema (CommyCli *cli, char **argv)
{
  g_autofree char *interface = NULL;
  g_autofree char *clients = NULL;
  const GOptionEntry entries[] = {
    { "interface", 0, 0, G_OPTION_ARG_STRING, &interface,
      N_ ("Only this interface, where a file has several"), "NAME" },
    { "clients", 0, 0, G_OPTION_ARG_STRING, &clients,
      N_ ("check: whose verdict is the exit code: old, new or both"), "WHICH" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  guint n;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  n = g_strv_length (arguments);
  if (clients == NULL)
    clients = g_strdup ("old");
  if (strcmp (clients, "old") != 0 && strcmp (clients, "new") != 0 && strcmp (clients, "both") != 0)
    return commy_cli_misuse (&verb, "--clients is old, new or both: not \"%s\"", clients);
  if (n == 4 && strcmp (arguments[1], "check") == 0)
    return check_sources (cli, arguments[2], arguments[3], interface, clients);
  if (n > 2 && strcmp (arguments[1], "hash") == 0)
    return print_hashes (cli, arguments + 2, interface);
  return commy_cli_misuse (&verb, "needs check with OLD and NEW, or hash with a file or service");
}
