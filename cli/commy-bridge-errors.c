/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors through a bridge: those of the mesh have a name each on a bus, those of a bus keep theirs
 * at the beginning of their text, and get it back where they come to a bus again.
 */
#include "config.h"

#include "cli/commy-bridge.h"

#include <string.h>

#define PREFIX "org.commy.Error."

static const struct
{
  CommyError code;
  const char *nick;
} nicks[] = {
  { COMMY_ERROR_FAILED, "Failed" },
  { COMMY_ERROR_INVALID_ARGUMENT, "InvalidArgument" },
  { COMMY_ERROR_CONFIG, "Config" },
  { COMMY_ERROR_CONFIG_UNKNOWN, "ConfigUnknown" },
  { COMMY_ERROR_CONFIG_VALUE, "ConfigValue" },
  { COMMY_ERROR_PLUGIN_FILE, "PluginFile" },
  { COMMY_ERROR_PLUGIN_ABI, "PluginAbi" },
  { COMMY_ERROR_PLUGIN_TRUST, "PluginTrust" },
  { COMMY_ERROR_PLUGIN_SLOT, "PluginSlot" },
  { COMMY_ERROR_PLUGIN_MISMATCH, "PluginMismatch" },
  { COMMY_ERROR_PLUGIN_PROFILE, "PluginProfile" },
  { COMMY_ERROR_PLUGIN_INIT, "PluginInit" },
  { COMMY_ERROR_PLUGIN_MISSING, "PluginMissing" },
  { COMMY_ERROR_PLUGIN_PARAM, "PluginParam" },
  { COMMY_ERROR_PLUGIN_QUARANTINED, "PluginQuarantined" },
  { COMMY_ERROR_NO_SERVICE, "NoService" },
  { COMMY_ERROR_DEADLINE, "Deadline" },
  { COMMY_ERROR_CANCELLED, "Cancelled" },
  { COMMY_ERROR_NO_METHOD, "NoMethod" },
  { COMMY_ERROR_NO_ROUTE, "NoRoute" },
  { COMMY_ERROR_OUTCOME_UNKNOWN, "OutcomeUnknown" },
  { COMMY_ERROR_WOULD_DEADLOCK, "WouldDeadlock" },
  { COMMY_ERROR_BUSY, "Busy" },
  { COMMY_ERROR_TOO_BIG, "TooBig" },
  { COMMY_ERROR_TYPE, "Type" },
  { COMMY_ERROR_REMOTE, "Remote" },
  { COMMY_ERROR_UNREACHABLE, "Unreachable" },
  { COMMY_ERROR_WRONG_THREAD, "WrongThread" },
  { COMMY_ERROR_REQUIREMENT, "Requirement" },
  { COMMY_ERROR_REFUSED, "Refused" },
  { COMMY_ERROR_DENIED, "Denied" },
  { COMMY_ERROR_NOT_OFFERED, "NotOffered" },
  { COMMY_ERROR_CERTIFICATE, "Certificate" },
  { COMMY_ERROR_JOIN, "Join" },
  { COMMY_ERROR_AUDIT, "Audit" },
  { COMMY_ERROR_PROTOCOL, "Protocol" },
  { COMMY_ERROR_VERSION, "Version" },
  { COMMY_ERROR_HANDSHAKE, "Handshake" },
  { COMMY_ERROR_STORE, "Store" },
  { COMMY_ERROR_STATE_DIR, "StateDir" },
  { COMMY_ERROR_NOT_JOINED, "NotJoined" },
  { COMMY_ERROR_FORKED, "Forked" },
  { COMMY_ERROR_LEAVING, "Leaving" },
};

static const char *
find_nick (gint code)
{
  for (guint i = 0; i < G_N_ELEMENTS (nicks); i++)
    if ((gint) nicks[i].code == code)
      return nicks[i].nick;
  return "Failed";
}

char *
commy_bridge_dup_error_name (const GError *error, char **out_message)
{
  const char *remote = commy_error_get_remote (error);
  char *name = commy_error_dup_remote_name (error);

  if (name != NULL)
    {
      *out_message = g_strdup (remote + strlen (name) + 2);
      return name;
    }
  *out_message = g_strdup (remote != NULL ? remote : error->message);
  return g_strconcat (PREFIX, error->domain == COMMY_ERROR ? find_nick (error->code) : "Failed",
                      NULL);
}

char *
commy_bridge_dup_remote_text (const GError *error)
{
  g_autofree char *name = g_dbus_error_get_remote_error (error);
  g_autoptr (GError) bare = g_error_copy (error);

  if (name == NULL && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    name = g_strdup ("org.freedesktop.DBus.Error.Timeout");
  else if (name == NULL && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    name = g_strdup ("org.freedesktop.DBus.Error.Disconnected");
  else if (name == NULL && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    name = g_strdup ("org.freedesktop.DBus.Error.NoReply");
  if (name == NULL)
    return g_strdup (error->message);
  g_dbus_error_strip_remote_error (bare);
  return g_strdup_printf ("%s: %s", name, bare->message);
}
