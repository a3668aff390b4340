/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The auth provider `peercred`: the principal is the user that the kernel names.
 */
#include "config.h"

#include <commy/commy-plugin.h>

#include <unistd.h>

#define NO_UID G_MAXUINT32
#define DEFAULT_OVERFLOW_UID 65534u

typedef struct
{
  guint32 overflow_uid;
} Peercred;

static guint32
read_overflow_uid (void)
{
  g_autofree char *text = NULL;
  guint64 value;

  if (!g_file_get_contents ("/proc/sys/kernel/overflowuid", &text, NULL, NULL)
      || !g_ascii_string_to_unsigned (g_strstrip (text), 10, 0, G_MAXUINT32, &value, NULL))
    return DEFAULT_OVERFLOW_UID;
  return (guint32) value;
}

static gboolean
peercred_init (gpointer instance, CommyHost *host, GError **error)
{
  Peercred *self = instance;

  self->overflow_uid = read_overflow_uid ();
  return TRUE;
}

static void
peercred_fini (gpointer instance)
{
}

static CommyAuthVerdict
peercred_judge (gpointer instance,
                const CommyEvidence *evidence,
                char *principal,
                char *reason,
                gsize reason_size)
{
  Peercred *self = instance;
  guint32 uid;

  if (evidence->kind == COMMY_EVIDENCE_SELF)
    {
      /* Even the overflow user is itself when it talks to itself. */
      g_snprintf (principal, COMMY_PRINCIPAL_MAX, "unix:uid=%u", (guint) geteuid ());
      return COMMY_AUTH_ACCEPTED;
    }
  if (evidence->kind != COMMY_EVIDENCE_KERNEL)
    return COMMY_AUTH_NOT_MINE;
  uid = evidence->uid;
  if (uid == NO_UID)
    {
      g_strlcpy (reason, "the kernel does not name the peer's user", reason_size);
      return COMMY_AUTH_REFUSED;
    }
  if (uid == self->overflow_uid)
    {
      g_snprintf (reason, reason_size,
                  "the peer's user has no number in this namespace (it shows as %u)", uid);
      return COMMY_AUTH_REFUSED;
    }
  g_snprintf (principal, COMMY_PRINCIPAL_MAX, "unix:uid=%u", uid);
  return COMMY_AUTH_ACCEPTED;
}

static gboolean
peercred_self (gpointer instance, char *principal, gsize size)
{
  g_snprintf (principal, size, "unix:uid=%u", (guint) geteuid ());
  return TRUE;
}

static const CommyAuthOps peercred_ops = {
  .struct_size = sizeof (CommyAuthOps),
  .judge = peercred_judge,
  .self = peercred_self,
};

COMMY_PLUGIN_NOTE (AUTH,
                   "peercred",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "the user that the kernel names",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_DERIVED,
                   .security = COMMY_SECURITY_AUTHENTICATED,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .connect_ns = 500,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (Peercred, peercred_init, NULL, peercred_fini, NULL, 0, &peercred_ops);
