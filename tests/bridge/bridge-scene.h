/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real message bus of the test's own, a mesh, `commy bridge dbus` between them, and the same
 * laboratory offered on either side. Whatever waits iterates the main context, in which both
 * laboratories answer.
 */
#pragma once

#include "tests/mesh/mesh-fixture.h"

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#define LAB "org.example.Lab"
#define LAB_PATH "/org/example/Lab"

typedef struct
{
  MeshFixture fixture;
  GSubprocess *daemon;
  char *address;
  GDBusConnection *bus; /* of the test */
  CommyMesh *mesh;
  char *xml_file; /* the laboratory's interface */
  GDBusInterfaceInfo *interface;

  CommyService *service;              /* the laboratory in the mesh, or NULL */
  guint object, name;                 /* the laboratory on the bus, or 0 */
  int level;                          /* its property */
  GPtrArray *heard;                   /* one-way messages */
  GDBusMethodInvocation *slow_on_bus; /* what Slow left unanswered */
  CommyInvocation *slow_in_mesh;      /* the same of the other laboratory, or NULL */
} Scene;

typedef struct
{
  GSubprocess *process;
  GDataInputStream *out;
  gboolean terminated;
  char *line; /* the first that it wrote; NULL: it ended without one */
} Bridge;

void scene_set_up (Scene *scene, gconstpointer data);
void scene_tear_down (Scene *scene, gconstpointer data);

/* The bus dies, and another is started at the same address. */
void scene_stop_bus (Scene *scene);
void scene_start_bus (Scene *scene);

void scene_offer_in_mesh (Scene *scene, gboolean typed);
/* What Slow left unanswered in the mesh, if anything. */
void scene_answer_slow (Scene *scene);
void scene_offer_on_bus (Scene *scene);
void scene_leave_bus (Scene *scene);

/* `commy bridge dbus WORD...` with the address of the bus; returns when it wrote a line or ended.
 */
Bridge *bridge_start (Scene *scene, ...) G_GNUC_NULL_TERMINATED;
/* Asks it to end, once; the next two do so too and wait for it. */
void bridge_terminate (Bridge *bridge);
/* (transfer full): what it wrote to stderr. */
char *bridge_end (Bridge *bridge, int *out_status);
/* It never got to its line, ends with this exit code, and says these words. */
void bridge_expect_end (Bridge *bridge, int wanted, const char *text);
/* It must end well. */
void bridge_stop (Bridge *bridge);

/* Calls on the bus and in the mesh. @parameters is sunk; @handles go along, those of the answer
 * come back in @out_handles. */
GVariant *scene_call_bus (Scene *scene,
                          const char *interface,
                          const char *method,
                          GVariant *parameters,
                          GUnixFDList *handles,
                          GUnixFDList **out_handles,
                          GError **error);
/* The laboratory under another name of the bus. */
GVariant *scene_call_name (
    Scene *scene, const char *name, const char *method, GVariant *parameters, GError **error);
GVariant *scene_call_mesh (Scene *scene,
                           const char *service,
                           const char *method,
                           GVariant *parameters,
                           GUnixFDList *handles,
                           GUnixFDList **out_handles,
                           gint64 timeout_us,
                           GError **error);
/* The D-Bus name of the error is this one. */
void scene_assert_error_name (const GError *error, const char *name);
/* Calls until it fails like this, or, with 0, does not fail. */
void scene_await_mesh (Scene *scene, const char *service, gint code);
void scene_await_owner (Scene *scene, const char *name);
