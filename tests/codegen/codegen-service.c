/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The skeletons of the test, with handlers in both forms: signals, and a class that implements the
 * interface.
 */
#include "config.h"

#include "codegen-service.h"

#include "tests/codegen/everything-generated.h"
#include "tests/codegen/foreign-generated.h"

#include "mesh/commy-service-private.h"

#include <unistd.h>

/* --- everything: handlers of signals --- */

static gboolean
on_add (TestEverything *object, CommyInvocation *invocation, gint a, gint b, gpointer data)
{
  test_everything_complete_add (object, invocation, a + b);
  return TRUE;
}

static gboolean
on_all_types (TestEverything *object,
              CommyInvocation *invocation,
              gboolean b,
              guchar y,
              gint n,
              guint q,
              gint i,
              guint u,
              gint64 x,
              guint64 t,
              gdouble d,
              const char *s,
              const char *o,
              const char *g,
              const char *ay,
              const char *const *as,
              const char *const *ao,
              const char *const *aay,
              GVariant *v,
              GVariant *dict,
              GVariant *maybe,
              gpointer data)
{
  test_everything_complete_all_types (object, invocation, b, y, (gint16) n, (guint16) q, i, u, x, t,
                                      d, s, o, g, ay, as, ao, aay, v, dict, maybe);
  return TRUE;
}

static gboolean
on_keywords (TestEverything *object,
             CommyInvocation *invocation,
             gint first,
             gint second,
             gint third,
             const char *text,
             gpointer data)
{
  test_everything_complete_keywords (object, invocation, first, second, third, text);
  return TRUE;
}

static gboolean
on_pipe (TestEverything *object,
         CommyInvocation *invocation,
         GUnixFDList *fd_list,
         const char *text,
         gpointer data)
{
  g_autoptr (GUnixFDList) list = NULL;
  int fds[2];

  g_assert_null (fd_list);
  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (write (fds[1], text, strlen (text)), ==, strlen (text));
  close (fds[1]);
  list = g_unix_fd_list_new_from_array (fds, 1);
  test_everything_complete_pipe (object, invocation, list, g_variant_new_handle (0));
  return TRUE;
}

/* One-way: the note becomes the property Type, whose change is told as a signal. */
static gboolean
on_note (TestEverything *object, CommyInvocation *invocation, const char *text, gpointer data)
{
  g_assert_true (commy_invocation_is_one_way (invocation));
  test_everything_set_type_ (object, text);
  test_everything_emit_changed (object, text, -7, g_variant_new_parsed ("{'more': <true>}"));
  test_everything_emit_elsewhere (object, 9);
  return TRUE;
}

static gboolean
on_chat (TestEverything *object, CommyInvocation *invocation, const char *greeting, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  guint count = 0;

  for (;;)
    {
      g_autoptr (GVariant) message = commy_stream_read_sync (stream, NULL, NULL);

      if (message == NULL)
        break;
      count++;
      commy_stream_write_sync (
          stream, g_variant_new_printf ("%s %s", greeting, g_variant_get_string (message, NULL)),
          NULL, NULL);
    }
  test_everything_complete_chat (object, invocation, count);
  return TRUE;
}

static gboolean
on_http_get (TestEverything *object, CommyInvocation *invocation, gpointer data)
{
  test_everything_complete_httpget (object, invocation,
                                    g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "a\0b", 3, 1));
  return TRUE;
}

static CommyService *
offer_everything (CommyMesh *mesh)
{
  g_autoptr (TestEverything) skeleton = test_everything_skeleton_new ();
  const struct
  {
    const char *signal;
    GCallback callback;
  } handlers[] = {
    { "handle-add", G_CALLBACK (on_add) },
    { "handle-all-types", G_CALLBACK (on_all_types) },
    { "handle-keywords", G_CALLBACK (on_keywords) },
    { "handle-pipe", G_CALLBACK (on_pipe) },
    { "handle-note", G_CALLBACK (on_note) },
    { "handle-chat", G_CALLBACK (on_chat) },
    { "handle-httpget", G_CALLBACK (on_http_get) },
  };
  CommyService *service;

  for (guint i = 0; i < G_N_ELEMENTS (handlers); i++)
    g_signal_connect (skeleton, handlers[i].signal, handlers[i].callback, NULL);
  test_everything_set_volume (skeleton, 0.5);
  test_everything_set_names (skeleton, (const char *const[]){ "one", "two", NULL });
  service = test_everything_skeleton_new_service (TEST_EVERYTHING_SKELETON (skeleton), mesh,
                                                  EVERYTHING);
  commy_service_set_workers (service, 1);
  return service;
}

/* --- the network monitor: a class that implements the interface --- */

typedef struct
{
  RealPortalNetworkMonitorSkeleton parent_instance;
} TestMonitor;

typedef struct
{
  RealPortalNetworkMonitorSkeletonClass parent_class;
} TestMonitorClass;

static gboolean
monitor_handle_can_reach (RealPortalNetworkMonitor *object,
                          CommyInvocation *invocation,
                          const char *hostname,
                          guint port)
{
  real_portal_network_monitor_complete_can_reach (object, invocation,
                                                  g_str_equal (hostname, "there") && port == 80);
  return TRUE;
}

static gboolean
monitor_handle_get_status (RealPortalNetworkMonitor *object, CommyInvocation *invocation)
{
  real_portal_network_monitor_complete_get_status (
      object, invocation, g_variant_new_parsed ("{'available': <true>, 'connectivity': <@u 4>}"));
  return TRUE;
}

static gboolean
monitor_handle_get_available (RealPortalNetworkMonitor *object, CommyInvocation *invocation)
{
  g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "no idea");

  commy_invocation_return_gerror (invocation, error);
  return TRUE;
}

static void
test_monitor_iface_init (RealPortalNetworkMonitorIface *iface)
{
  iface->handle_can_reach = monitor_handle_can_reach;
  iface->handle_get_status = monitor_handle_get_status;
  iface->handle_get_available = monitor_handle_get_available;
}

static GType test_monitor_get_type (void);
G_DEFINE_TYPE_WITH_CODE (TestMonitor,
                         test_monitor,
                         REAL_TYPE_PORTAL_NETWORK_MONITOR_SKELETON,
                         G_IMPLEMENT_INTERFACE (REAL_TYPE_PORTAL_NETWORK_MONITOR,
                                                test_monitor_iface_init))

static void
test_monitor_class_init (TestMonitorClass *klass)
{
}

static void
test_monitor_init (TestMonitor *self)
{
}

/* --- the others --- */

static gboolean
on_add_notification (RealPortalNotification *object,
                     CommyInvocation *invocation,
                     const char *id,
                     GVariant *notification,
                     gpointer data)
{
  real_portal_notification_complete_add_notification (object, invocation);
  real_portal_notification_emit_action_invoked (
      object, id, "clicked", g_variant_new_array (G_VARIANT_TYPE_VARIANT, NULL, 0));
  return TRUE;
}

static gboolean
on_get_mount_point (RealPortalDocuments *object, CommyInvocation *invocation, gpointer data)
{
  real_portal_documents_complete_get_mount_point (object, invocation, "/run/doc");
  return TRUE;
}

/* Gives the descriptors that came back, the other way round. */
static gboolean
on_add_full (RealPortalDocuments *object,
             CommyInvocation *invocation,
             GUnixFDList *fd_list,
             GVariant *fds,
             guint flags,
             const char *app,
             const char *const *permissions,
             gpointer data)
{
  g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 1);
  real_portal_documents_complete_add_full (object, invocation, fd_list, permissions,
                                           g_variant_new_parsed ("@a{sv} {}"));
  return TRUE;
}

static gboolean
on_resolve_host_name (RealAvahiServer *object,
                      CommyInvocation *invocation,
                      gint interface,
                      gint protocol,
                      const char *name,
                      gint aprotocol,
                      guint flags,
                      gpointer data)
{
  real_avahi_server_complete_resolve_host_name (object, invocation, interface, protocol, name,
                                                aprotocol, "192.0.2.1", flags);
  return TRUE;
}

/* --- the liar --- */

static void
lie (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(s)", "no number"));
}

static void
keep (CommyService *service, CommyService *taken)
{
  g_autoptr (GError) error = NULL;

  commy_service_start_sync (taken, NULL, &error);
  g_assert_no_error (error);
  /* The key is its own, as the address is. */
  g_object_set_data_full (G_OBJECT (service), commy_service_get_instance_id (taken), taken,
                          g_object_unref);
}

void
codegen_service_extend (CommyService *service)
{
  CommyMesh *mesh = service->mesh;
  g_autoptr (RealPortalNetworkMonitor) monitor = g_object_new (test_monitor_get_type (), NULL);
  g_autoptr (RealPortalNotification) notification = real_portal_notification_skeleton_new ();
  g_autoptr (RealPortalDocuments) documents = real_portal_documents_skeleton_new ();
  g_autoptr (RealAvahiServer) avahi = real_avahi_server_skeleton_new ();
  g_autoptr (GDBusNodeInfo) once = commy_schema_parse (
      "<node><interface name='" EVERYTHING "'><method name='Add'><arg name='a' type='i'/>"
      "<arg name='sum' type='i' direction='out'/></method></interface></node>",
      -1, NULL);
  CommyService *older = commy_service_new (mesh, OLDER, once->interfaces[0]);
  CommyService *liar = commy_service_new (mesh, LIAR, NULL);

  real_portal_network_monitor_set_version (monitor, 3);
  g_signal_connect (notification, "handle-add-notification", G_CALLBACK (on_add_notification),
                    NULL);
  g_signal_connect (documents, "handle-get-mount-point", G_CALLBACK (on_get_mount_point), NULL);
  g_signal_connect (documents, "handle-add-full", G_CALLBACK (on_add_full), NULL);
  g_signal_connect (avahi, "handle-resolve-host-name", G_CALLBACK (on_resolve_host_name), NULL);
  commy_service_handle (liar, "Add", lie, NULL, NULL);
  commy_service_handle (liar, "org.freedesktop.DBus.Properties.GetAll", lie, NULL, NULL);
  keep (service, offer_everything (mesh));
  keep (service, real_portal_network_monitor_skeleton_new_service (
                     REAL_PORTAL_NETWORK_MONITOR_SKELETON (monitor), mesh, MONITOR));
  keep (service, real_portal_notification_skeleton_new_service (
                     REAL_PORTAL_NOTIFICATION_SKELETON (notification), mesh, NOTIFICATION));
  keep (service, real_portal_documents_skeleton_new_service (
                     REAL_PORTAL_DOCUMENTS_SKELETON (documents), mesh, DOCUMENTS));
  keep (service,
        real_avahi_server_skeleton_new_service (REAL_AVAHI_SERVER_SKELETON (avahi), mesh, AVAHI));
  keep (service, older);
  keep (service, liar);
}
