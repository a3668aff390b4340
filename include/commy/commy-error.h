/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors: one domain, stable numbers. The value of a code is the number in its text:
 * %COMMY_ERROR_DEADLINE is 302 and reads "CMY0302: ...". The numbers also go over the wire.
 */
#pragma once

#include <commy/commy-types.h>

G_BEGIN_DECLS

/**
 * CommyError:
 * @COMMY_ERROR_FAILED: something failed that has no code of its own
 * @COMMY_ERROR_INVALID_ARGUMENT: an argument cannot be right
 * @COMMY_ERROR_CONFIG: a keyfile cannot be read or parsed
 * @COMMY_ERROR_CONFIG_UNKNOWN: a keyfile has an unknown group or key
 * @COMMY_ERROR_CONFIG_VALUE: a value in a keyfile is not allowed
 * @COMMY_ERROR_PLUGIN_FILE: a plugin file is not what it should be (truncated, not ELF, other
 * machine)
 * @COMMY_ERROR_PLUGIN_ABI: a plugin was built for another ABI
 * @COMMY_ERROR_PLUGIN_TRUST: a plugin file is not trusted (owner, mode, place, hash)
 * @COMMY_ERROR_PLUGIN_SLOT: a plugin lacks a required operation
 * @COMMY_ERROR_PLUGIN_MISMATCH: a plugin's note and its descriptor differ
 * @COMMY_ERROR_PLUGIN_PROFILE: a plugin's profile is not sane
 * @COMMY_ERROR_PLUGIN_INIT: a plugin did not start
 * @COMMY_ERROR_PLUGIN_MISSING: a plugin that is required is not there
 * @COMMY_ERROR_PLUGIN_PARAM: a parameter of a plugin is unknown or out of range
 * @COMMY_ERROR_PLUGIN_QUARANTINED: a plugin that is required took a process down before
 * @COMMY_ERROR_NO_SERVICE: nobody offers the service
 * @COMMY_ERROR_DEADLINE: the deadline passed
 * @COMMY_ERROR_CANCELLED: the caller cancelled
 * @COMMY_ERROR_NO_METHOD: the service has no such method
 * @COMMY_ERROR_NO_ROUTE: no candidate passed the filters; the decision is in the text
 * @COMMY_ERROR_OUTCOME_UNKNOWN: the path died after the request was sent; it may have been carried
 * out
 * @COMMY_ERROR_WOULD_DEADLOCK: a synchronous call to a service of the calling context
 * @COMMY_ERROR_BUSY: back-pressure: the peer does not take more at present
 * @COMMY_ERROR_TOO_BIG: a message is larger than a limit
 * @COMMY_ERROR_TYPE: arguments or a result have another type than the interface says
 * @COMMY_ERROR_REMOTE: the handler returned an error; its text is the remote's
 * @COMMY_ERROR_UNREACHABLE: the instance cannot be connected to
 * @COMMY_ERROR_WRONG_THREAD: a client was used on a thread that did not make it
 * @COMMY_ERROR_REQUIREMENT: a requirement stopped being met while the channel lives
 * @COMMY_ERROR_UNAVAILABLE: there are instances, but none that may be called now
 * @COMMY_ERROR_OVERLOADED: the instance refused the call unread, because it has too much to do or
 *   takes no more for now
 * @COMMY_ERROR_LIMITED: a limit of the calling program's own does not let the call begin
 * @COMMY_ERROR_TOO_OFTEN: the instance refused the call unread, because its caller, or who else is
 *   at the same address, calls it too often
 * @COMMY_ERROR_REFUSED: the peer's identity was not accepted
 * @COMMY_ERROR_DENIED: policy does not allow the call
 * @COMMY_ERROR_NOT_OFFERED: the instance's principal may not offer this name
 * @COMMY_ERROR_CERTIFICATE: a certificate or key cannot be used
 * @COMMY_ERROR_JOIN: the authority did not admit the newcomer, or a join token is bad
 * @COMMY_ERROR_AUDIT: the audit trail cannot be written or read
 * @COMMY_ERROR_PROTOCOL: the peer broke the protocol
 * @COMMY_ERROR_VERSION: the peer speaks another version
 * @COMMY_ERROR_HANDSHAKE: connection set-up failed or took too long
 * @COMMY_ERROR_STORE: the store cannot be used
 * @COMMY_ERROR_STATE_DIR: a state or runtime directory cannot be used
 * @COMMY_ERROR_NOT_JOINED: the mesh is not joined
 * @COMMY_ERROR_FORKED: the mesh belongs to the parent process
 * @COMMY_ERROR_LEAVING: the mesh or service is being stopped
 *
 * Error codes of %COMMY_ERROR.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_ERROR_FAILED = 1,
  COMMY_ERROR_INVALID_ARGUMENT = 2,

  COMMY_ERROR_CONFIG = 101,
  COMMY_ERROR_CONFIG_UNKNOWN = 102,
  COMMY_ERROR_CONFIG_VALUE = 103,

  COMMY_ERROR_PLUGIN_FILE = 201,
  COMMY_ERROR_PLUGIN_ABI = 202,
  COMMY_ERROR_PLUGIN_TRUST = 203,
  COMMY_ERROR_PLUGIN_SLOT = 204,
  COMMY_ERROR_PLUGIN_MISMATCH = 205,
  COMMY_ERROR_PLUGIN_PROFILE = 206,
  COMMY_ERROR_PLUGIN_INIT = 207,
  COMMY_ERROR_PLUGIN_MISSING = 208,
  COMMY_ERROR_PLUGIN_PARAM = 209,
  COMMY_ERROR_PLUGIN_QUARANTINED = 210,

  COMMY_ERROR_NO_SERVICE = 301,
  COMMY_ERROR_DEADLINE = 302,
  COMMY_ERROR_CANCELLED = 303,
  COMMY_ERROR_NO_METHOD = 304,
  COMMY_ERROR_NO_ROUTE = 305,
  COMMY_ERROR_OUTCOME_UNKNOWN = 306,
  COMMY_ERROR_WOULD_DEADLOCK = 307,
  COMMY_ERROR_BUSY = 308,
  COMMY_ERROR_TOO_BIG = 309,
  COMMY_ERROR_TYPE = 310,
  COMMY_ERROR_REMOTE = 311,
  COMMY_ERROR_UNREACHABLE = 312,
  COMMY_ERROR_WRONG_THREAD = 313,
  COMMY_ERROR_REQUIREMENT = 314,
  COMMY_ERROR_UNAVAILABLE = 315,
  COMMY_ERROR_OVERLOADED = 316,
  COMMY_ERROR_LIMITED = 317,
  COMMY_ERROR_TOO_OFTEN = 318,

  COMMY_ERROR_REFUSED = 401,
  COMMY_ERROR_DENIED = 402,
  COMMY_ERROR_NOT_OFFERED = 403,
  COMMY_ERROR_CERTIFICATE = 404,
  COMMY_ERROR_JOIN = 405,
  COMMY_ERROR_AUDIT = 420,

  COMMY_ERROR_PROTOCOL = 501,
  COMMY_ERROR_VERSION = 502,
  COMMY_ERROR_HANDSHAKE = 503,

  COMMY_ERROR_STORE = 601,
  COMMY_ERROR_STATE_DIR = 602,

  COMMY_ERROR_NOT_JOINED = 701,
  COMMY_ERROR_FORKED = 702,
  COMMY_ERROR_LEAVING = 703,
} CommyError;

/**
 * COMMY_ERROR:
 *
 * The error domain of Commy.
 *
 * Since: 0.1
 */
#define COMMY_ERROR (commy_error_quark ())

/**
 * commy_error_quark:
 *
 * The domain of all errors of Commy.
 *
 * Returns: the quark of the error domain
 *
 * Since: 0.1
 */
COMMY_API GQuark commy_error_quark (void);

/**
 * commy_error_get_remote:
 * @error: an error of %COMMY_ERROR_REMOTE
 *
 * The remote's own words, without the prefix that Commy put before them. Any thread.
 *
 * Returns: (transfer none) (nullable): a part of @error's message; %NULL for other errors
 *
 * Since: 0.1
 */
COMMY_API const char *commy_error_get_remote (const GError *error);

/**
 * commy_error_dup_remote_name:
 * @error: an error of %COMMY_ERROR_REMOTE
 *
 * The name that the remote's words begin with, such as `org.example.Error.Full` of
 * `org.example.Error.Full: no paper`: parts with dots between them, one of which is `Error` and
 * stands between others. Errors of D-Bus that come through `commy bridge dbus` begin with theirs;
 * handlers may begin theirs like that. What follows the colon and the space is the message: with
 * both, g_dbus_error_new_for_dbus_error() makes the #GError that GDBus would. Any thread.
 *
 * Returns: (transfer full) (nullable): the name; %NULL if there is none
 *
 * Since: 0.1
 */
COMMY_API char *commy_error_dup_remote_name (const GError *error);

/**
 * commy_error_explain:
 * @code: a #CommyError value
 *
 * What an error means and what to do about it, in the language of the program's locale where
 * there is a translation.
 *
 * Returns: (transfer none) (nullable): a paragraph; %NULL for an unknown number
 *
 * Since: 0.1
 */
COMMY_API const char *commy_error_explain (gint code);

G_END_DECLS
