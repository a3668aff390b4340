/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy bridge dbus`: a service of the mesh on a message bus, or the other way round, until
 * interrupted.
 */
#include "config.h"

#include "cli/commy-bridge.h"
#include "cli/commy-cmd.h"
#include "cli/commy-quantity.h"

#include <gio/gio.h>
#include <string.h>

static const CommyCliVerb verb = {
  .name = "bridge",
  .usage = "dbus export SERVICE|dbus import BUSNAME",
  .summary = N_ (
      "  dbus export  puts a service of the mesh on a D-Bus message bus, as an object with its\n"
      "               interface: for gdbus, busctl and every program that speaks D-Bus\n"
      "  dbus import  offers an object of a message bus as a service of the mesh\n"
      "Both run until interrupted, and go on by themselves when the bus, the owner of the name or\n"
      "the service was away. When it works one line is printed: exporting ..., importing ...."),
  .description
  = N_ ("Methods, properties (called like org.freedesktop.DBus.Properties.Get), descriptors and\n"
        "deadlines go through, and signals: the signal Changed of the service org.example.Echo is\n"
        "the topic org.example.Echo.Changed. Whoever calls through a bridge is the user that runs\n"
        "it.\n\n"
        "Example: a service of the mesh for D-Bus, and the bus itself for the mesh\n"
        "  commy bridge dbus export org.example.Echo --xml echo.xml &\n"
        "  gdbus call --session -d org.example.Echo -o /org/example/Echo -m org.example.Echo.Echo "
        "hi\n"
        "  commy bridge dbus import org.freedesktop.DBus &\n"
        "  commy call org.freedesktop.DBus ListNames"),
};

typedef struct
{
  char *bus;
  char *name;
  char *path;
  char *interface;
  char *as;
  char *xml;
  char *timeout;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->bus);
  g_free (options->name);
  g_free (options->path);
  g_free (options->interface);
  g_free (options->as);
  g_free (options->xml);
  g_free (options->timeout);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static CommyBridgeWishes
to_wishes (const Options *options, const char *subject, gint64 timeout_us)
{
  return (CommyBridgeWishes){ .subject = subject,
                              .bus = options->bus != NULL ? options->bus : "session",
                              .name = options->name,
                              .path = options->path,
                              .interface = options->interface,
                              .as = options->as,
                              .xml = options->xml,
                              .timeout_us = timeout_us };
}

/* NULL: nothing is wrong. */
static const char *
find_misuse (const Options *options, gboolean export, const char *subject)
{
  const char *name = export && options->name != NULL ? options->name : subject;
  g_autofree char *path = commy_bridge_dup_path (name);

  if (export && options->as != NULL)
    return N_ ("--as is for import; the name on the bus is said with --name");
  if (!export && (options->name != NULL || options->xml != NULL))
    return N_ ("--name and --xml are for export");
  if (!g_dbus_is_name (name) || (export && g_dbus_is_unique_name (name)))
    return export ? N_ ("the service's name is no name on a bus: give one with --name")
                  : N_ ("needs a name on the bus, such as org.freedesktop.DBus");
  if (!g_variant_is_object_path (options->path != NULL ? options->path : path))
    return options->path != NULL ? N_ ("--path is the path of an object, such as /org/example/Echo")
                                 : N_ ("no path can be made of this name: give one with --path");
  if (options->interface != NULL && !g_dbus_is_interface_name (options->interface))
    return N_ ("--interface is a name such as org.example.Echo");
  return NULL;
}

/* The two words behind the verb. */
static gboolean
parse_direction (char **arguments, gboolean *out_export)
{
  if (g_strv_length (arguments) != 4 || strcmp (arguments[1], "dbus") != 0)
    return FALSE;
  *out_export = strcmp (arguments[2], "export") == 0;
  return *out_export || strcmp (arguments[2], "import") == 0;
}

CommyExit
commy_cmd_bridge (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .bus = NULL };
  const GOptionEntry entries[] = {
    { "bus", 'b', 0, G_OPTION_ARG_STRING, &options.bus,
      N_ ("session, system or the address of a bus (session)"), "BUS" },
    { "name", 'n', 0, G_OPTION_ARG_STRING, &options.name,
      N_ ("Export: name on the bus (as the service)"), "BUSNAME" },
    { "path", 'p', 0, G_OPTION_ARG_STRING, &options.path,
      N_ ("Path of the object (as its name, with /)"), "PATH" },
    { "interface", 'i', 0, G_OPTION_ARG_STRING, &options.interface,
      N_ ("Which of several (the one of the same name, or the only one)"), "INTERFACE" },
    { "xml", 0, 0, G_OPTION_ARG_FILENAME, &options.xml,
      N_ ("Export: the interface, where the service itself is untyped or comes later"), "FILE" },
    { "as", 0, 0, G_OPTION_ARG_STRING, &options.as,
      N_ ("Import: name of the service (as the interface)"), "NAME" },
    { "timeout", 't', 0, G_OPTION_ARG_STRING, &options.timeout,
      N_ ("Longest that a call may take (25s)"), "TIME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  gint64 timeout_us = COMMY_BRIDGE_CALL_TIMEOUT_US;
  CommyBridgeWishes wishes;
  gboolean export = FALSE;
  const char *misuse;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (!parse_direction (arguments, &export))
    return commy_cli_misuse (&verb, "say dbus export SERVICE or dbus import BUSNAME");
  misuse = find_misuse (&options, export, arguments[3]);
  if (misuse != NULL)
    return commy_cli_misuse (&verb, "%s", _ (misuse));
  if (options.timeout != NULL && !commy_quantity_parse_time (options.timeout, &timeout_us))
    return commy_cli_misuse (&verb, "\"%s\" is no time with its unit, such as 2s or 250ms",
                             options.timeout);
  wishes = to_wishes (&options, arguments[3], timeout_us);
  return export ? commy_bridge_export (cli, &wishes) : commy_bridge_import (cli, &wishes);
}
