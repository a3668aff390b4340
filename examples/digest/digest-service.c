/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The digest service: SHA-256 of raw bytes. A service as one would write it: methods that take
 * bytes as they are, a typed method beside them, an orderly end.
 */
#include "config.h"

#include "digest.h"

#include <commy/commy.h>

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char interface_xml[]
    = "<node><interface name='" DIGEST_SERVICE "'><method name='" DIGEST_DESCRIBE "'>"
      "<arg name='text' type='s' direction='out'/></method></interface></node>";

/* Handlers run in the main context, so nothing here needs a lock. */
typedef struct
{
  const char *label;
  guint64 answered;
  int wrong_every;
} Digest;

static void
on_sha256 (CommyService *service, CommyInvocation *call, gpointer user_data)
{
  Digest *self = user_data;
  GBytes *input = commy_invocation_get_bytes (call);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GBytes) output = NULL;
  guint8 answer[DIGEST_SIZE + DIGEST_BY_MAX];
  gsize size, digest_size = DIGEST_SIZE, by_size = 0;
  const guint8 *data;

  if (input == NULL)
    {
      commy_invocation_return_error (call, "takes raw bytes, not a value");
      return;
    }
  data = g_bytes_get_data (input, &size);
  g_checksum_update (checksum, data, (gssize) size);
  g_checksum_get_digest (checksum, answer, &digest_size);
  if (strcmp (commy_invocation_get_method (call), DIGEST_SHA256_BY) == 0)
    by_size = (gsize) g_snprintf ((char *) answer + DIGEST_SIZE, DIGEST_BY_MAX, "%s over %s",
                                  self->label, commy_invocation_get_transport (call));
  self->answered++;
  if (self->wrong_every > 0 && self->answered % (guint) self->wrong_every == 0)
    answer[0] ^= 1;
  output = g_bytes_new (answer, DIGEST_SIZE + MIN (by_size, DIGEST_BY_MAX - 1));
  commy_invocation_return_bytes (call, output);
}

static void
on_describe (CommyService *service, CommyInvocation *call, gpointer user_data)
{
  const Digest *self = user_data;
  g_autofree char *text
      = g_strdup_printf ("instance %s, process %d, %" G_GUINT64_FORMAT " digests so far",
                         self->label, (int) getpid (), self->answered);

  commy_invocation_return_value (call, g_variant_new ("(s)", text));
}

static gboolean
on_end (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

static gboolean
on_input (int fd, GIOCondition condition, gpointer loop)
{
  char unused[64];

  return read (fd, unused, sizeof unused) > 0 ? G_SOURCE_CONTINUE : on_end (loop);
}

/* Whoever started us and then dies, even by SIGKILL, takes us along. */
static gboolean
follow_parent (GMainLoop *loop, int parent)
{
  if (parent <= 0)
    return TRUE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, loop);
  return getppid () == parent;
}

static gboolean
serve (Digest *digest, GMainLoop *loop, GError **error)
{
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (interface_xml, error);
  g_autoptr (CommyMesh) mesh = commy_mesh_new (NULL, error);
  g_autoptr (CommyService) service = NULL;

  if (node == NULL || mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return FALSE;
  service = commy_service_new (mesh, DIGEST_SERVICE, node->interfaces[0]);
  commy_service_handle (service, DIGEST_SHA256, on_sha256, digest, NULL);
  commy_service_handle (service, DIGEST_SHA256_BY, on_sha256, digest, NULL);
  commy_service_handle (service, DIGEST_DESCRIBE, on_describe, digest, NULL);
  if (!commy_service_start_sync (service, NULL, error))
    return FALSE;
  printf ("ready %s\n", commy_service_get_instance_id (service));
  fflush (stdout);
  g_main_loop_run (loop);
  return commy_mesh_leave_sync (mesh, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GOptionContext) context = g_option_context_new ("- offers " DIGEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autofree char *label = NULL;
  Digest digest = { .label = "?" };
  int parent = 0;
  const GOptionEntry entries[] = {
    { "label", 0, 0, G_OPTION_ARG_STRING, &label, "What this instance calls itself", "TEXT" },
    { "follow", 0, 0, G_OPTION_ARG_INT, &parent,
      "End with the parent process PID, or when standard input ends", "PID" },
    { "wrong-every", 0, 0, G_OPTION_ARG_INT, &digest.wrong_every,
      "Answer each N-th digest wrongly, to see that callers notice", "N" },
    { NULL },
  };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      fprintf (stderr, "digest-service: %s\n", error->message);
      return 2;
    }
  if (label != NULL)
    digest.label = label;
  if (!follow_parent (loop, parent))
    return 1;
  g_unix_signal_add (SIGTERM, on_end, loop);
  g_unix_signal_add (SIGINT, on_end, loop);
  if (serve (&digest, loop, &error))
    return 0;
  fprintf (stderr, "digest-service: %s\n", error->message);
  return 1;
}
