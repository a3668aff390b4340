/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every suite that fits a plugin, whatever its kind: what all plugins must do, and what those of
 * its kind must. A test of one's own is this and a main that loads the plugin.
 */
#pragma once

#include "commy-test-host.h"

G_BEGIN_DECLS

typedef struct
{
  const char *path; /* of the plugin file */
  /* For a hook: id or path of the transport it is put on; NULL: no rules of transports. */
  const char *wrapped;
  const char *const *params; /* (nullable): NAME=VALUE of the plugin, up to NULL */
  const char *credentials;   /* (nullable): folder with ca.pem, cert.pem and key.pem */
} CommyConformanceOptions;

/* Adds the rules as GTest cases; both arguments must outlive the run. A suite of stores starts
 * its program again, so main asks commy_conformance_child() first. */
void commy_conformance_add (const CommyPluginDescriptor *descriptor,
                            const CommyConformanceOptions *options);

/* Whether this process is one that a case started; then @out_status is what main returns.
 * COMMY_CONFORMANCE_PLUGIN in the environment says which plugin that case is about. */
gboolean commy_conformance_child (int argc, char **argv, int *out_status);

/* What a host needs that is not in the plugin's table. */
void commy_conformance_prepare (const CommyConformanceOptions *options, CommyTestHost *host);

G_END_DECLS
