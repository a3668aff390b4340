/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transports of this tree under the conformance suite; with arguments: the transports
 * that they name instead, found in COMMY_PLUGIN_PATH.
 */
#include "config.h"

#include "commy-transport-conformance.h"

#ifdef WITH_TLS
#include "tests/pki/pki-fixture.h"

static void
prepare_tls (CommyTestHost *server, CommyTestHost *client)
{
  CommyHost *hosts[] = { commy_test_host_get (server), commy_test_host_get (client) };
  char *authority = fixture_authority_dir ();

  /* 64 handshakes at once on a busy machine, under a sanitizer, may need longer than 2 s. */
  commy_test_host_set_param (server, "handshake-timeout", "60s");
  commy_test_host_set_param (client, "handshake-timeout", "60s");
  for (gsize i = 0; i < G_N_ELEMENTS (hosts); i++)
    fixture_issue (authority, hosts[i]->info (hosts[i], COMMY_HOST_CREDENTIALS_DIR), -1, 1);
  fixture_remove (authority);
}
#endif

/* Both directions wait; what is sent waits at the receiver, so that a sender need not be awake. */
static void
prepare_delay (CommyTestHost *host)
{
  commy_test_host_set_param (host, "delay", "20us");
  commy_test_host_set_param (host, "jitter", "20us");
  commy_test_host_set_param (host, "rate", "4GiB");
  commy_test_host_set_param (host, "direction", "in");
}

static void
prepare_trace (CommyTestHost *host)
{
  commy_test_host_set_param (host, "what", "all");
  commy_test_host_set_param (host, "bytes", "8");
}

/* A hook that does harm does none without a chance of it. */
static void
prepare_harmless (CommyTestHost *host)
{
  commy_test_host_set_param (host, "per-million", "0");
}

int
main (int argc, char **argv)
{
  static const CommyTransportSubject subjects[] = {
    { .id = "inproc" },
    { .id = "shm" },
    { .id = "unix" },
    { .id = "inproc", .hook = "trace" },
    { .id = "shm", .hook = "trace" },
    { .id = "unix", .hook = "trace", .prepare_hook = prepare_trace },
    { .id = "unix", .hook = "delay", .prepare_hook = prepare_delay },
    { .id = "unix", .hook = "loss", .prepare_hook = prepare_harmless },
    { .id = "unix", .hook = "reorder", .prepare_hook = prepare_harmless },
    { .id = "unix", .hook = "cut", .prepare_hook = prepare_harmless },
    { .id = "shm", .hook = "corrupt", .prepare_hook = prepare_harmless },
#ifdef WITH_TLS
    { .id = "tls", .prepare = prepare_tls },
    { .id = "tls", .prepare = prepare_tls, .hook = "trace" },
#endif
  };
  GList *named = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  for (int i = 1; i < argc; i++)
    {
      named = g_list_prepend (named, g_new0 (CommyTransportSubject, 1));
      ((CommyTransportSubject *) named->data)->id = argv[i];
      commy_transport_conformance_add (named->data);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (subjects) && argc < 2; i++)
    commy_transport_conformance_add (&subjects[i]);
  status = g_test_run ();
  g_list_free_full (named, g_free);
  return status;
}
