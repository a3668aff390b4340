/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An auth provider outside of Commy's tree: whoever the kernel says is the user of this process is
 * proved to be, everybody else is refused. Written against the installed headers only; read it from
 * the bottom up.
 */
#include <commy/commy-plugin.h>

#include <unistd.h>

typedef struct
{
  CommyHost *host;
} Instance;

static CommyAuthVerdict
abi_1_judge (gpointer instance,
                const CommyEvidence *evidence,
                char *principal,
                char *reason,
                gsize reason_size)
{
  /* Somebody else may know what to make of other evidence. */
  if (evidence->kind != COMMY_EVIDENCE_KERNEL && evidence->kind != COMMY_EVIDENCE_SELF)
    return COMMY_AUTH_NOT_MINE;
  if (evidence->uid != (guint32) geteuid ())
    {
      g_snprintf (reason, reason_size, "user %u is another user", evidence->uid);
      return COMMY_AUTH_REFUSED;
    }
  g_snprintf (principal, COMMY_PRINCIPAL_MAX, "unix:uid=%u", evidence->uid);
  return COMMY_AUTH_ACCEPTED;
}

/* The name that this process proves to others. */
static gboolean
abi_1_self (gpointer instance, char *principal, gsize size)
{
  g_snprintf (principal, size, "unix:uid=%u", (guint) geteuid ());
  return TRUE;
}

/* --- the plugin --- */

static gboolean
abi_1_init (gpointer instance, CommyHost *host, GError **error)
{
  ((Instance *) instance)->host = host;
  return TRUE;
}

static void
abi_1_fini (gpointer instance)
{
}

static const CommyAuthOps abi_1_ops = {
  .struct_size = sizeof (CommyAuthOps),
  .judge = abi_1_judge,
  .self = abi_1_self,
};

COMMY_PLUGIN_NOTE (AUTH,
                   "abi-1",
                   "1.0",
                   "LGPL-2.1-or-later",
                   "The own user, as the kernel says, and nobody else",
                   "",
                   COMMY_PLUGIN_FLAG_EXPERIMENTAL,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .security = COMMY_SECURITY_KERNEL,
                   .size_factor = 1,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (Instance, abi_1_init, NULL, abi_1_fini, NULL, 0, &abi_1_ops);
