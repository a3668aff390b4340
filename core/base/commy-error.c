/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The error domain: making errors with their number in the text, taking the number off again,
 * and what each number means with the way out.
 */
#include "config.h"

#include "base/commy-error-private.h"

#include <libintl.h>
#include <string.h>
#include <sys/auxv.h>

#define REMOTE_MARK "remote: "
#define NAME_MAX_BYTES 255u /* of an error on D-Bus */

typedef struct
{
  CommyError code;
  const char *help;
} Explanation;

static const Explanation explanations[] = {
  { COMMY_ERROR_FAILED,
    "Something failed that has no code of its own. The text names it; run the program with "
    "level=debug in the group [log] to see what led there." },
  { COMMY_ERROR_INVALID_ARGUMENT,
    "An argument of a call cannot be right, such as an empty service name. This is a mistake of "
    "the calling program: correct the argument that the text names." },
  { COMMY_ERROR_CONFIG,
    "A keyfile cannot be read or is no keyfile. The text names file and line. Comments stand on "
    "lines of their own and begin with '#'; a key is KEY=VALUE below a [group]. Check with "
    "\"commy config check FILE\"." },
  { COMMY_ERROR_CONFIG_UNKNOWN,
    "A keyfile has a group or key that does not exist, so a setting would silently not act. The "
    "text names file, line and the nearest known name; \"commy config show\" lists all." },
  { COMMY_ERROR_CONFIG_VALUE,
    "A value in a keyfile is not of the key's type or out of its range. The text names file, "
    "line and what is allowed. Remember that a '#' after a value belongs to the value." },
  { COMMY_ERROR_PLUGIN_FILE,
    "A plugin file is not what it should be: truncated, no ELF file, without Commy's note, or "
    "built for another machine. Install it again, built for this machine." },
  { COMMY_ERROR_PLUGIN_ABI,
    "A plugin was built for another generation of the plugin interface. Install the build that "
    "belongs to this version of Commy, or build it against the installed headers." },
  { COMMY_ERROR_PLUGIN_TRUST,
    "A plugin file is not trusted: it or a folder above it belongs to somebody else or is "
    "writable by others, or its hash is not the one in the keyfile. Correct owner and mode, or "
    "set sha256 in its group; trust=any in [plugins] is for development." },
  { COMMY_ERROR_PLUGIN_SLOT,
    "A plugin lacks an operation that its kind requires; the text names it. The plugin's author "
    "has to add it; \"commy plugin info\" shows the version." },
  { COMMY_ERROR_PLUGIN_MISMATCH,
    "The note in a plugin's file and the descriptor in its code say different things. Both come "
    "from one macro: build the plugin again from clean." },
  { COMMY_ERROR_PLUGIN_PROFILE,
    "The performance profile of a plugin is not sane: negative, not finite, or cheaper for more "
    "bytes. Correct it in the plugin, or override it with profile.* keys in its group." },
  { COMMY_ERROR_PLUGIN_INIT,
    "A plugin did not start; the text carries its own reason. Correct that, or set enabled=false "
    "in its group to do without it." },
  { COMMY_ERROR_PLUGIN_MISSING,
    "A plugin that the keyfile requires, or that the work needs, is not there or not usable. "
    "\"commy plugin list\" shows every plugin found and why it is not used." },
  { COMMY_ERROR_PLUGIN_PARAM,
    "A param.* key of a plugin is unknown or out of range; the text names file, line and the "
    "nearest parameter. \"commy plugin info\" prints all parameters with their ranges." },
  { COMMY_ERROR_PLUGIN_QUARANTINED,
    "A plugin that the keyfile requires is quarantined: a process ended while this build of it was "
    "loaded or started. Install another build, which is released by itself; or, if that process "
    "was "
    "killed from outside, run \"commy plugin release KIND/ID\". \"commy plugin list\" says when." },
  { COMMY_ERROR_NO_SERVICE,
    "Nobody offers the service at present. Check the name with \"commy services ls\", that the "
    "offering program runs and joined the same mesh as the same user." },
  { COMMY_ERROR_DEADLINE,
    "The deadline passed before an answer came. Give the call more time, or look with \"commy "
    "services info\" whether the service is overloaded." },
  { COMMY_ERROR_CANCELLED, "The caller cancelled the call. Nothing needs to be done." },
  { COMMY_ERROR_NO_METHOD,
    "The service has no method of this name. Check the spelling; \"commy introspect SERVICE\" "
    "lists the methods; an older instance may not have it yet." },
  { COMMY_ERROR_NO_ROUTE,
    "No combination of transport, security and serializer passed the filters. The text has the "
    "decision; \"commy route explain SERVICE\" shows each candidate with the requirement it "
    "failed and the keyfile line that set it." },
  { COMMY_ERROR_OUTCOME_UNKNOWN,
    "The path died after the request was sent and before an answer came, so it may or may not "
    "have been carried out. Repeat it if that does no harm; mark such calls idempotent and they "
    "are repeated for you." },
  { COMMY_ERROR_WOULD_DEADLOCK,
    "A synchronous call went to a service whose handlers run in the calling context, which "
    "would wait for itself for ever. Use the asynchronous call, or give the service workers." },
  { COMMY_ERROR_BUSY,
    "The peer does not take more at present: its queue or a limit is full. Wait and try again, "
    "call less at once, or raise the limit in [limits] that the text names." },
  { COMMY_ERROR_TOO_BIG,
    "A message is larger than a limit. Send less at once, or raise message in [limits] on both "
    "sides." },
  { COMMY_ERROR_TYPE,
    "Arguments or a result have another type than the interface says. The text names both; "
    "caller and service may have different versions of the interface." },
  { COMMY_ERROR_REMOTE,
    "The service's handler answered with an error; the text after \"remote:\" is its own. Look "
    "there for the cause." },
  { COMMY_ERROR_UNREACHABLE,
    "The instance is registered but cannot be connected to. It may just be starting or gone; "
    "\"commy route explain SERVICE\" shows each address that was tried." },
  { COMMY_ERROR_WRONG_THREAD,
    "A client was used on a thread that did not make it. Make one client for each thread; they "
    "are cheap." },
  { COMMY_ERROR_REQUIREMENT,
    "The client's maximum latency or minimum throughput was met, and measurements say that no "
    "allowed path meets it any more. The text has the best that is left; calls work again once a "
    "probe finds a path that does. Relax the requirement, or make it degradable." },
  { COMMY_ERROR_UNAVAILABLE,
    "The service has instances, but none may be called now; the text says of each why: its breaker "
    "is open because calls to it failed, it was ejected because it is worse than the others, or it "
    "is draining. They are tried again by themselves; \"commy endpoints SERVICE\" shows until "
    "when. The keys breaker-* and ejection-* of the service's group set the limits." },
  { COMMY_ERROR_OVERLOADED,
    "The instance has too much to do to answer before the call's deadline, or takes no more calls "
    "for now because of its serve-rate-limit, so it refused the call without beginning it. It is "
    "sent to another instance while the retry budget lasts. Give calls more time, add instances, "
    "or set shed=false or another limit in the service's group over there." },
  { COMMY_ERROR_LIMITED,
    "A limit that the calling program set itself for this service does not let the call begin: "
    "rate-limit, bulkhead or throttle in its group. The text names it and where it stands." },
  { COMMY_ERROR_TOO_OFTEN,
    "The instance takes so many calls a second of one principal, or of one address, and refused "
    "this one without beginning it; the text names the limit and says when the next may come. It "
    "is sent to another instance while the retry budget lasts. Call less often, or raise "
    "serve-rate-limit-per-principal or -per-address in the service's group over there." },
  { COMMY_ERROR_REFUSED,
    "The other side's identity was not accepted: another user, another mesh, or no proof. Run "
    "both as the same user, or give both certificates of one authority (\"commy pki\")." },
  { COMMY_ERROR_DENIED,
    "The policy does not allow this principal to make the call. The text names the keyfile line "
    "that decided; a [policy NAME] group with effect=allow lets it through." },
  { COMMY_ERROR_NOT_OFFERED,
    "An instance says it offers a name that its principal may not offer, so it was not called. "
    "Allow it with verbs=offer in a [policy NAME] group if that is wanted." },
  { COMMY_ERROR_CERTIFICATE,
    "A certificate or key cannot be used: missing, expired, of another authority, or readable by "
    "others. \"commy pki show\" tells what is there, \"commy pki issue\" makes a new one." },
  { COMMY_ERROR_JOIN,
    "The authority did not admit this host, or the join token is bad: damaged, expired, used, or "
    "of another authority. A token is good once and for a short time; \"commy pki token create\" "
    "makes a new one where the authority is." },
  { COMMY_ERROR_AUDIT,
    "The audit trail cannot be written or read. Where on-failure=refuse stands in [audit], what "
    "cannot be recorded is refused until it can be. Make room or correct the folder that the text "
    "names; nothing has to be started again." },
  { COMMY_ERROR_PROTOCOL,
    "The peer broke the protocol and the channel was closed; other channels are not affected. If "
    "it happens again, one side is faulty or is no Commy program." },
  { COMMY_ERROR_VERSION,
    "The peer speaks a version of the protocol that this library does not. Bring both to "
    "releases that are next to each other." },
  { COMMY_ERROR_HANDSHAKE,
    "Setting up a connection failed or took too long. The text says at which step; the time "
    "allowed is handshake-timeout in [limits]." },
  { COMMY_ERROR_STORE,
    "The store behind discovery cannot be used. Check the file or server that the text names and "
    "the space on its disk; calls go on with what was last known." },
  { COMMY_ERROR_STATE_DIR,
    "A state or runtime folder cannot be used: not writable, no space, or open to others. "
    "Correct the folder that the text names, or set runtime-dir or state-dir in [mesh]." },
  { COMMY_ERROR_NOT_JOINED, "The mesh is not joined yet, or no longer. Join it first." },
  { COMMY_ERROR_FORKED,
    "The mesh was joined by the parent process and cannot be used after fork. Join a mesh of its "
    "own in the child." },
  { COMMY_ERROR_LEAVING,
    "The mesh or service is being stopped and takes no new work. Call another instance, or join "
    "again." },
};

/* Written out: a formatter would put spaces into the argument of G_DEFINE_QUARK. */
GQuark
commy_error_quark (void)
{
  return g_quark_from_static_string ("commy-error-quark");
}

static const Explanation *
find_explanation (gint64 code)
{
  for (gsize i = 0; i < G_N_ELEMENTS (explanations); i++)
    if (explanations[i].code == code)
      return &explanations[i];
  return NULL;
}

/* Where the program has set a locale; programs that have not read English. */
static const char *translate (const char *text) G_GNUC_FORMAT (1);

static const char *
translate (const char *text)
{
  static gsize bound;

  if (g_once_init_enter (&bound))
    {
      const char *set = getauxval (AT_SECURE) != 0 ? NULL : g_getenv ("COMMY_LOCALE_DIR");

      bindtextdomain (GETTEXT_PACKAGE, set != NULL && set[0] != '\0' ? set : COMMY_LOCALE_DIR);
      bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
      g_once_init_leave (&bound, 1);
    }
  return g_dgettext (GETTEXT_PACKAGE, text);
}

const char *
commy_error_explain (gint code)
{
  const Explanation *explanation = find_explanation (code);

  return explanation != NULL ? translate (explanation->help) : NULL;
}

void
commy_set_error (GError **error, CommyError code, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;
  g_autofree char *valid = NULL;

  if (error == NULL)
    return;
  va_start (args, format);
  text = g_strdup_vprintf (translate (format), args);
  va_end (args);
  /* What is quoted may be anybody's, and is cut by bytes. */
  valid = g_utf8_make_valid (text, -1);
  g_set_error (error, COMMY_ERROR, code, "CMY%04d: %s", (int) code, valid);
}

GError *
commy_error_new_from_wire (guint32 code, gboolean remote, const char *text)
{
  const Explanation *known = find_explanation (code);
  CommyError which = known != NULL ? known->code : COMMY_ERROR_FAILED;
  g_autofree char *valid = g_utf8_make_valid (text != NULL ? text : "", -1);
  gboolean mark = remote || which == COMMY_ERROR_REMOTE;

  return g_error_new (COMMY_ERROR, which, "CMY%04d: %s%s", (int) which, mark ? REMOTE_MARK : "",
                      valid);
}

const char *
commy_error_bare (const GError *error)
{
  const char *text = error->message;

  if (!g_str_has_prefix (text, "CMY"))
    return text;
  for (guint i = 3; i < 7; i++)
    if (!g_ascii_isdigit (text[i]))
      return text;
  return text[7] == ':' && text[8] == ' ' ? text + 9 : text;
}

const char *
commy_error_get_remote (const GError *error)
{
  const char *text;

  if (!g_error_matches (error, COMMY_ERROR, COMMY_ERROR_REMOTE))
    return NULL;
  text = commy_error_bare (error);
  return g_str_has_prefix (text, REMOTE_MARK) ? text + strlen (REMOTE_MARK) : text;
}

/* As on D-Bus: parts with dots between them that do not begin with a digit. */
static gboolean
is_error_name (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, ".", -1);

  for (guint i = 0; parts[i] != NULL; i++)
    if (parts[i][0] == '\0' || g_ascii_isdigit (parts[i][0])
        || parts[i][strspn (parts[i], G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_")] != '\0')
      return FALSE;
  return strstr (name, ".Error.") != NULL && strlen (name) <= NAME_MAX_BYTES;
}

/* Whatever else stands before a colon is no name. */
char *
commy_error_dup_remote_name (const GError *error)
{
  const char *text = commy_error_get_remote (error);
  const char *colon = text != NULL ? strstr (text, ": ") : NULL;
  g_autofree char *name = colon != NULL ? g_strndup (text, (gsize) (colon - text)) : NULL;

  if (name == NULL || !is_error_name (name))
    return NULL;
  return g_steal_pointer (&name);
}
