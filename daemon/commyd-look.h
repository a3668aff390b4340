/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process that looks whether instances are well, once for all programs of this host. It is an
 * ordinary program of the mesh, so that the one that owns the store speaks with nobody's service.
 */
#pragma once

#include <glib.h>

/* Runs until SIGTERM. @folder: for sockets and state of its own, or NULL for the user's. Returns an
 * exit status. */
int commyd_look (const char *mesh, const char *socket, const char *folder);
