/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What mesh tests share: private directories, meshes with settings, a test service, and
 * children that offer it and can be killed.
 */
#pragma once

#include <commy/commy.h>

typedef struct
{
  char *dir;    /* runtime, state and credentials below it */
  char *config; /* COMMY_CONFIG as the harness set it, or NULL */
  char *log;    /* file that takes the children's stderr; NULL: they share this process's */
} MeshFixture;

void mesh_fixture_set_up (MeshFixture *fixture, gconstpointer data);
void mesh_fixture_tear_down (MeshFixture *fixture, gconstpointer data);

/* A joined mesh of this process; @settings: keyfile text over the fixture's, or NULL. */
CommyMesh *mesh_fixture_join (MeshFixture *fixture, const char *settings);
/* The same without joining; NULL with @error. */
CommyMesh *mesh_fixture_new (MeshFixture *fixture, const char *settings, GError **error);

/* From now on, meshes and children of this process also read a keyfile with this text; NULL:
 * none but the harness's. (transfer full): its path. */
char *mesh_fixture_use_keyfile (MeshFixture *fixture, const char *name, const char *text);

/* Children that start from now on log into a file. */
void mesh_fixture_capture_log (MeshFixture *fixture);
/* Waits until the log contains @words. */
void mesh_fixture_await_log (MeshFixture *fixture, const char *words);

/* Makes an authority and a certificate for this host and user. */
void mesh_fixture_make_credentials (MeshFixture *fixture);

#define TEST_SERVICE "org.example.Test"

/* The test service: Echo (v raw or value), Add (ii)->(i), Fail, Slow (never answers by itself),
 * Pid ()->(i), Who ()->(ss) principal and transport, Count (one-way), Counted ()->(i), Span. */
#define TEST_INTERFACE "COMMY_TEST_INTERFACE" /* environment: XML to offer; "<node/>": untyped */
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
/* Called first thing in main: becomes the server if the arguments say so. SIGTERM drains it; its
 * status says whether that came to its end in time. */
gboolean service_child_main (int argc, char **argv, int *out_status);
/* The same; @extend adds methods to the service before it is offered. */
gboolean service_child_main_with (int argc,
                                  char **argv,
                                  void (*extend) (CommyService *service),
                                  int *out_status);

guint count_fds (void);
/* (transfer none): @size bytes of a file that processes share, zeros at first; for as long as the
 * process. */
guint8 *test_book_open (const char *path, gsize size);
