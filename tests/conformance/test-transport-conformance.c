/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transports of this tree under the conformance suite.
 */
#include "config.h"

#include "commy-transport-conformance.h"

int
main (int argc, char **argv)
{
  static const CommyTransportSubject subjects[] = {
    { .id = "inproc" },
    { .id = "shm" },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (subjects); i++)
    commy_transport_conformance_add (&subjects[i]);
  return g_test_run ();
}
