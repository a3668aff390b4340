/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "etcd" over a real etcd-server: the suite of stores, and what only this store has:
 * pages, compaction, restarts, leases that end while their owner lives.
 */
#include "config.h"

#include "etcd-cluster.h"
#include "tests/conformance/commy-store-conformance.h"

#include <string.h>

#define ENDPOINTS "COMMY_TEST_ETCD_ENDPOINTS"

static EtcdCluster *cluster; /* one for all cases; each has a mesh of its own */

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *found = commy_test_load ("store", "etcd", &error);

  g_assert_no_error (error);
  return found;
}

static void
use_mesh (CommyTestHost *host, const char *place)
{
  g_autofree char *mesh = g_compute_checksum_for_string (G_CHECKSUM_SHA1, place, -1);

  commy_test_host_set_info (host, COMMY_HOST_MESH, mesh);
  commy_test_host_set_info (host, COMMY_HOST_STATE_DIR, place);
}

/* Children of a case find the cluster in their environment. */
static void
use_cluster (CommyTestHost *host, const char *place)
{
  use_mesh (host, place);
  commy_test_host_set_param (host, "endpoints", g_getenv (ENDPOINTS));
}

int
main (int argc, char **argv)
{
  int status = 0;

  if (commy_store_conformance_child (descriptor (), use_cluster, argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  if (!etcd_is_there ())
    {
      g_print ("1..0 # SKIP etcd is not installed\n");
      return 0;
    }
  cluster = etcd_cluster_new (1, FALSE);
  g_setenv (ENDPOINTS, etcd_cluster_get_endpoints (cluster), TRUE);
  commy_store_conformance_add (descriptor (), use_cluster);
  status = g_test_run ();
  etcd_cluster_free (cluster);
  return status;
}
