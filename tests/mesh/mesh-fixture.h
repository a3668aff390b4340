/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What mesh tests share: private directories, meshes with settings, a test service, and
 * children that offer it and can be killed.
 */
#pragma once

#include <commy/commy.h>

typedef struct
{
  char *dir; /* runtime, state and credentials below it */
} MeshFixture;

void mesh_fixture_set_up (MeshFixture *fixture, gconstpointer data);
void mesh_fixture_tear_down (MeshFixture *fixture, gconstpointer data);

/* A joined mesh of this process; @settings: keyfile text over the fixture's, or NULL. */
CommyMesh *mesh_fixture_join (MeshFixture *fixture, const char *settings);
/* The same without joining; NULL with @error. */
CommyMesh *mesh_fixture_new (MeshFixture *fixture, const char *settings, GError **error);

/* Makes an authority and a certificate for this host and user. */
void mesh_fixture_make_credentials (MeshFixture *fixture);

#define TEST_SERVICE "org.example.Test"

/* The test service: Echo (v raw or value), Add (ii)->(i), Fail, Slow (never answers by itself),
 * Pid ()->(i), Who ()->(ss) principal and transport, Count (one-way), Counted ()->(i), Span. */
CommyService *test_service_new (CommyMesh *mesh, guint workers);

typedef struct
{
  GPid pid;
  int stop_fd; /* closing it ends the child */
  char *instance;
} ServiceChild;

/* Forks and execs this very program as a server; returns when it is offered. */
ServiceChild *service_child_start (MeshFixture *fixture, const char *settings, guint workers);
void service_child_kill (ServiceChild *child); /* SIGKILL and wait */
void service_child_free (ServiceChild *child);
/* Called first thing in main: becomes the server if the arguments say so. */
gboolean service_child_main (int argc, char **argv, int *out_status);

guint count_fds (void);
