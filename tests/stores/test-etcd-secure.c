/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The suite of stores over an etcd-server that wants TLS with certificates of both sides, and a
 * user with a password.
 */
#include "config.h"

#include "etcd-cluster.h"
#include "tests/conformance/commy-store-conformance.h"

#define ENDPOINTS "COMMY_TEST_ETCD_ENDPOINTS"
#define DIR "COMMY_TEST_ETCD_DIR"

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *found = commy_test_load ("store", "etcd", &error);

  g_assert_no_error (error);
  return found;
}

static void
set_file (CommyTestHost *host, const char *name, const char *file)
{
  g_autofree char *path = g_build_filename (g_getenv (DIR), file, NULL);

  commy_test_host_set_param (host, name, path);
}

/* Children of a case find the cluster in their environment. */
static void
use_cluster (CommyTestHost *host, const char *place)
{
  g_autofree char *mesh = g_compute_checksum_for_string (G_CHECKSUM_SHA1, place, -1);

  commy_test_host_set_info (host, COMMY_HOST_MESH, mesh);
  commy_test_host_set_info (host, COMMY_HOST_STATE_DIR, place);
  commy_test_host_set_param (host, "endpoints", g_getenv (ENDPOINTS));
  set_file (host, "ca", "ca.pem");
  set_file (host, "certificate", "client.pem");
  commy_test_host_set_param (host, "user", ETCD_USER);
  set_file (host, "password-file", "password");
}

/* A change over TLS takes a connection of its own, so the whole suite takes half a minute; one case
 * that grants, puts, reads, watches and revokes is enough to see that each gets through. */
static void
choose_cases (int *argc, char ***argv)
{
  static char *chosen[]
      = { NULL, (char *) "-p", (char *) "/store/etcd/lease/revoke-removes-its-keys", NULL };

  if (*argc > 1 || g_getenv ("COMMY_TEST_ALL") != NULL)
    return;
  chosen[0] = (*argv)[0];
  *argc = G_N_ELEMENTS (chosen) - 1;
  *argv = chosen;
}

int
main (int argc, char **argv)
{
  g_autoptr (EtcdCluster) cluster = NULL;
  int status = 0;

  if (commy_store_conformance_child (descriptor (), use_cluster, argc, argv, &status))
    return status;
  choose_cases (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  if (!etcd_is_there ())
    {
      g_print ("1..0 # SKIP etcd is not installed\n");
      return 0;
    }
  cluster = etcd_cluster_new (1, TRUE);
  g_setenv (ENDPOINTS, etcd_cluster_get_endpoints (cluster), TRUE);
  g_setenv (DIR, etcd_cluster_get_dir (cluster), TRUE);
  commy_store_conformance_add (descriptor (), use_cluster);
  return g_test_run ();
}
