/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Generated proxies against generated skeletons in another process, over shared memory and TLS: of
 * an interface with everything, and of interfaces that others wrote.
 */
#include "config.h"

#include "codegen-service.h"
#include "tests/codegen/everything-generated.h"
#include "tests/codegen/foreign-generated.h"

#include <string.h>
#include <unistd.h>

typedef struct
{
  MeshFixture fixture;
  ServiceChild *child;
  CommyMesh *mesh;
  TestEverything *proxy;
} Scene;

static void
set_up (Scene *self, gconstpointer transport)
{
  g_autofree char *settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", (const char *) transport);

  mesh_fixture_set_up (&self->fixture, NULL);
  mesh_fixture_make_credentials (&self->fixture);
  self->child = service_child_start (&self->fixture, NULL, 0);
  self->mesh = mesh_fixture_join (&self->fixture, settings);
  self->proxy = test_everything_proxy_new (self->mesh, EVERYTHING);
}

static void
tear_down (Scene *self, gconstpointer transport)
{
  g_object_unref (self->proxy);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
  service_child_free (self->child);
  mesh_fixture_tear_down (&self->fixture, NULL);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static GAsyncResult *
await (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

/* --- calls --- */

static void
calls_wait_or_do_not (Scene *self, gconstpointer transport)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  gint sum = 0;

  g_assert_true (test_everything_call_add_sync (self->proxy, 2, 3, &sum, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (sum, ==, 5);
  g_assert_true (test_everything_call_add_sync (self->proxy, 2, 3, NULL, NULL, NULL));
  test_everything_call_add (self->proxy, 40, 2, NULL, keep_result, &result);
  g_assert_null (result);
  await (&result);
  g_assert_true (g_async_result_get_source_object (result) == (GObject *) self->proxy);
  g_object_unref (self->proxy);
  g_assert_true (test_everything_call_add_finish (self->proxy, &sum, result, &error));
  g_assert_no_error (error);
  g_assert_cmpint (sum, ==, 42);
}

static void
all_types_come_back_equal (Scene *self, gconstpointer transport)
{
  const char *const strings[] = { "a", "", "\xc3\xa9", NULL };
  const char *const paths[] = { "/a", "/", NULL };
  g_autofree char *s = NULL, *o = NULL, *g = NULL, *ay = NULL;
  g_auto (GStrv) as = NULL;
  g_auto (GStrv) ao = NULL;
  g_auto (GStrv) aay = NULL;
  g_autoptr (GVariant) v = NULL;
  g_autoptr (GVariant) dict = NULL;
  g_autoptr (GVariant) maybe = NULL;
  g_autoptr (GVariant) sent = g_variant_ref_sink (g_variant_new_parsed ("{'k': <@t 18>}"));
  g_autoptr (GError) error = NULL;
  gboolean b;
  guchar y;
  gint16 n;
  guint16 q;
  gint i;
  guint u;
  gint64 x;
  guint64 t;
  gdouble d;

  test_everything_call_all_types_sync (
      self->proxy, TRUE, 255, G_MININT16, G_MAXUINT16, G_MININT32, G_MAXUINT32, G_MININT64,
      G_MAXUINT64, -0.5, "text", "/path", "a{sv}", "bytes", strings, paths, strings,
      g_variant_new_variant (g_variant_new_string ("in")), sent,
      g_variant_new_maybe (NULL, g_variant_new_string ("just")), &b, &y, &n, &q, &i, &u, &x, &t, &d,
      &s, &o, &g, &ay, &as, &ao, &aay, &v, &dict, &maybe, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (b);
  g_assert_cmpint (y, ==, 255);
  g_assert_cmpint (n, ==, G_MININT16);
  g_assert_cmpint (q, ==, G_MAXUINT16);
  g_assert_cmpint (i, ==, G_MININT32);
  g_assert_cmpuint (u, ==, G_MAXUINT32);
  g_assert_cmpint (x, ==, G_MININT64);
  g_assert_cmpuint (t, ==, G_MAXUINT64);
  g_assert_cmpfloat (d, ==, -0.5);
  g_assert_cmpstr (s, ==, "text");
  g_assert_cmpstr (o, ==, "/path");
  g_assert_cmpstr (g, ==, "a{sv}");
  g_assert_cmpstr (ay, ==, "bytes");
  g_assert_true (g_strv_equal ((const char *const *) as, strings));
  g_assert_true (g_strv_equal ((const char *const *) ao, paths));
  g_assert_true (g_strv_equal ((const char *const *) aay, strings));
  g_assert_true (g_variant_equal (dict, sent));
  g_assert_cmpstr (g_variant_get_type_string (v), ==, "v");
  g_assert_cmpstr (g_variant_get_type_string (maybe), ==, "ms");
}

static void
odd_names_of_arguments_work (Scene *self, gconstpointer transport)
{
  g_autoptr (GVariant) bytes = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  gint a = 0, b = 0, c = 0;

  test_everything_call_keywords_sync (self->proxy, 1, 2, 3, "four", &a, &b, &c, &text, NULL,
                                      &error);
  g_assert_no_error (error);
  g_assert_cmpint (a * 100 + b * 10 + c, ==, 123);
  g_assert_cmpstr (text, ==, "four");
  test_everything_call_httpget_sync (self->proxy, &bytes, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (bytes), ==, 3);
}

G_GNUC_BEGIN_IGNORE_DEPRECATIONS
static void
what_nobody_handles_is_an_error (Scene *self, gconstpointer transport)
{
  g_autoptr (TestEverything) liar = test_everything_proxy_new (self->mesh, LIAR);
  g_autoptr (GError) error = NULL;
  gint sum = -1;

  g_assert_false (test_everything_call_old_sync (self->proxy, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_REMOTE);
  g_clear_error (&error);
  g_assert_false (test_everything_call_add_sync (liar, 1, 2, &sum, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_assert_cmpint (sum, ==, -1);
  g_clear_error (&error);
  g_assert_false (test_everything_proxy_load_sync (TEST_EVERYTHING_PROXY (liar), NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
}
G_GNUC_END_IGNORE_DEPRECATIONS

static void
who_offers_another_version_is_not_called (Scene *self, gconstpointer transport)
{
  g_autoptr (TestEverything) older = test_everything_proxy_new (self->mesh, OLDER);
  g_autoptr (GError) error = NULL;
  gint sum;

  g_test_expect_message ("Commy", G_LOG_LEVEL_MESSAGE, "*" OLDER "*does not fit*");
  g_assert_false (test_everything_call_add_sync (older, 1, 2, &sum, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_nonnull (strstr (error->message, "interface: method Add"));
  g_test_assert_expected_messages ();
}

static void
read_all (GUnixFDList *list, const char *expected)
{
  g_autoptr (GError) error = NULL;
  char text[16] = { 0 };
  int fd;

  g_assert_nonnull (list);
  fd = g_unix_fd_list_get (list, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpint (read (fd, text, sizeof text - 1), ==, strlen (expected));
  g_assert_cmpstr (text, ==, expected);
  close (fd);
}

static void
descriptors_travel (Scene *self, gconstpointer transport)
{
  g_autoptr (GUnixFDList) list = NULL;
  g_autoptr (GUnixFDList) later = NULL;
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  if (strcmp (transport, "unix") != 0)
    {
      test_everything_call_pipe_sync (self->proxy, "x", NULL, NULL, NULL, NULL, &error);
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
      return;
    }
  test_everything_call_pipe_sync (self->proxy, "hello", NULL, &handle, &list, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_handle (handle), ==, 0);
  read_all (list, "hello");
  test_everything_call_pipe (self->proxy, "again", NULL, NULL, keep_result, &result);
  test_everything_call_pipe_finish (self->proxy, NULL, &later, await (&result), &error);
  g_assert_no_error (error);
  read_all (later, "again");
}

/* --- streams, signals, properties --- */

static void
chat (CommyStream *stream)
{
  g_autoptr (GVariant) message = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  guint count = 0;

  g_assert_true (commy_stream_write_sync (stream, g_variant_new_string ("you"), NULL, &error));
  message = commy_stream_read_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (message, NULL), ==, "hi you");
  g_assert_true (commy_stream_close_write (stream, &error));
  result = commy_stream_wait_result_sync (stream, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (result, "(u)", &count);
  g_assert_cmpuint (count, ==, 1);
}

static void
annotated_methods_stream (Scene *self, gconstpointer transport)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (CommyStream) waited = test_everything_open_chat_sync (self->proxy, "hi", NULL, &error);
  g_autoptr (CommyStream) awaited = NULL;

  g_assert_no_error (error);
  chat (waited);
  test_everything_open_chat (self->proxy, "hi", NULL, keep_result, &result);
  awaited = test_everything_open_chat_finish (self->proxy, await (&result), &error);
  g_assert_no_error (error);
  chat (awaited);
}

typedef struct
{
  char *what;
  gint count;
  gboolean more;
  guint elsewhere;
  gboolean invalid;
} Seen;

static void
on_changed (TestEverything *proxy, const char *what, gint count, GVariant *more, gpointer data)
{
  Seen *seen = data;

  g_free (seen->what);
  seen->what = g_strdup (what);
  seen->count = count;
  g_variant_lookup (more, "more", "b", &seen->more);
}

static void
on_elsewhere (TestEverything *proxy, guint number, gpointer data)
{
  ((Seen *) data)->elsewhere = number;
}

static void
on_notify_type (GObject *proxy, GParamSpec *spec, gpointer data)
{
  ((Seen *) data)->invalid = TRUE;
}

static gboolean
stop_waiting (gpointer waiting)
{
  *(gboolean *) waiting = FALSE;
  return G_SOURCE_REMOVE;
}

/* Runs the main context for a moment, so that whoever asks again does not flood the other side. */
static void
run_for_a_moment (void)
{
  gboolean waiting = TRUE;

  g_timeout_add (5, stop_waiting, &waiting);
  while (waiting)
    g_main_context_iteration (NULL, TRUE);
}

static void
one_way_messages_and_signals_arrive (Scene *self, gconstpointer transport)
{
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  g_signal_connect (self->proxy, "changed", G_CALLBACK (on_changed), &seen);
  g_signal_connect (self->proxy, "elsewhere", G_CALLBACK (on_elsewhere), &seen);
  g_signal_connect (self->proxy, "notify::type", G_CALLBACK (on_notify_type), &seen);
  test_everything_proxy_load_sync (TEST_EVERYTHING_PROXY (self->proxy), NULL, &error);
  g_assert_no_error (error);
  seen.invalid = FALSE;
  g_assert_true (
      test_everything_proxy_subscribe (TEST_EVERYTHING_PROXY (self->proxy), NULL, &error));
  g_assert_no_error (error);
  /* What is published before the publishers are reached is not for this subscription. */
  for (guint i = 0; seen.what == NULL || seen.elsewhere == 0 || !seen.invalid; i++)
    {
      g_autofree char *text = g_strdup_printf ("note %u", i);

      g_assert_true (test_everything_send_note (self->proxy, text, &error));
      g_assert_no_error (error);
      run_for_a_moment ();
    }
  g_assert_true (g_str_has_prefix (seen.what, "note "));
  g_assert_cmpint (seen.count, ==, -7);
  g_assert_true (seen.more);
  g_assert_cmpuint (seen.elsewhere, ==, 9);
  g_signal_handlers_disconnect_by_data (self->proxy, &seen);
  g_free (seen.what);
}

static void
properties_are_loaded_set_and_told (Scene *self, gconstpointer transport)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_auto (GStrv) names = NULL;
  g_autofree char *type = NULL;
  g_autoptr (GVariant) none = NULL;
  TestEverythingProxy *proxy = TEST_EVERYTHING_PROXY (self->proxy);

  g_assert_cmpfloat (test_everything_get_volume (self->proxy), ==, 0);
  test_everything_proxy_load (proxy, NULL, keep_result, &result);
  g_assert_true (test_everything_proxy_load_finish (proxy, await (&result), &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (test_everything_get_volume (self->proxy), ==, 0.5);
  names = test_everything_dup_names (self->proxy);
  g_assert_cmpstr (names[1], ==, "two");
  type = test_everything_dup_type_ (self->proxy);
  g_assert_cmpstr (type, ==, "");
  none = test_everything_dup_meta (self->proxy);
  g_assert_null (none);
  g_assert_true (test_everything_proxy_subscribe (proxy, NULL, &error));
  for (gint16 level = -1; test_everything_get_level (self->proxy) == 0; level--)
    {
      test_everything_set_level (self->proxy, level);
      test_everything_set_meta (self->proxy, g_variant_new_parsed ("{'a': <1>}"));
      run_for_a_moment ();
    }
  g_assert_cmpint (test_everything_get_level (self->proxy), <, 0);
}

static void
properties_refuse_what_does_not_fit (Scene *self, gconstpointer transport)
{
  static const struct
  {
    const char *method, *arguments;
  } bad[] = {
    { "Get", "('org.example.Everything', 'Nothing')" },
    { "Get", "('org.example.Other', 'Volume')" },
    { "Get", "('org.example.Everything', 'Meta')" },
    { "Get", "(1, 2)" },
    { "GetAll", "('org.example.Other',)" },
    { "Set", "('org.example.Everything', 'Constant', <@u 1>)" },
    { "Set", "('org.example.Everything', 'Volume', <'loud'>)" },
    { "Set", "('', 'Volume')" },
  };
  CommyClient *client = test_everything_proxy_get_client (TEST_EVERYTHING_PROXY (self->proxy));

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *method
          = g_strconcat ("org.freedesktop.DBus.Properties.", bad[i].method, NULL);
      g_autoptr (GError) error = NULL;
      GVariant *arguments = g_variant_new_parsed (bad[i].arguments);
      g_autoptr (GVariant) answer
          = commy_client_call_sync (client, method, arguments, NULL, NULL, &error);

      g_assert_null (answer);
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_REMOTE);
    }
}

/* --- what others wrote --- */

static void
a_network_monitor_answers (Scene *self, gconstpointer transport)
{
  g_autoptr (RealPortalNetworkMonitor) monitor
      = real_portal_network_monitor_proxy_new (self->mesh, MONITOR);
  g_autoptr (GVariant) status = NULL;
  g_autoptr (GError) error = NULL;
  gboolean reachable = FALSE, available = FALSE;

  real_portal_network_monitor_call_can_reach_sync (monitor, "there", 80, &reachable, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (reachable);
  real_portal_network_monitor_call_get_status_sync (monitor, &status, NULL, &error);
  g_assert_no_error (error);
  g_variant_lookup (status, "available", "b", &available);
  g_assert_true (available);
  real_portal_network_monitor_proxy_load_sync (REAL_PORTAL_NETWORK_MONITOR_PROXY (monitor), NULL,
                                               &error);
  g_assert_no_error (error);
  g_assert_cmpuint (real_portal_network_monitor_get_version (monitor), ==, 3);
  g_assert_false (
      real_portal_network_monitor_call_get_available_sync (monitor, NULL, NULL, &error));
  g_assert_cmpstr (commy_error_get_remote (error), ==, "no idea");
}

static void
on_action (RealPortalNotification *proxy,
           const char *id,
           const char *action,
           GVariant *parameter,
           gpointer data)
{
  g_assert_cmpstr (action, ==, "clicked");
  *(gboolean *) data = TRUE;
}

static void
a_notification_is_clicked (Scene *self, gconstpointer transport)
{
  g_autoptr (RealPortalNotification) proxy
      = real_portal_notification_proxy_new (self->mesh, NOTIFICATION);
  g_autoptr (GError) error = NULL;
  gboolean clicked = FALSE;

  g_signal_connect (proxy, "action-invoked", G_CALLBACK (on_action), &clicked);
  g_assert_true (real_portal_notification_proxy_subscribe (REAL_PORTAL_NOTIFICATION_PROXY (proxy),
                                                           NULL, &error));
  while (!clicked)
    {
      real_portal_notification_call_add_notification_sync (
          proxy, "id", g_variant_new_parsed ("{'title': <'t'>}"), NULL, &error);
      g_assert_no_error (error);
      run_for_a_moment ();
    }
}

static void
documents_and_host_names_answer (Scene *self, gconstpointer transport)
{
  g_autoptr (RealPortalDocuments) documents
      = real_portal_documents_proxy_new (self->mesh, DOCUMENTS);
  g_autoptr (RealAvahiServer) avahi = real_avahi_server_proxy_new (self->mesh, AVAHI);
  const char *const rights[] = { "read", NULL };
  const int in[] = { 0, -1 };
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  g_autoptr (GUnixFDList) back = NULL;
  g_auto (GStrv) ids = NULL;
  g_autofree char *path = NULL, *name = NULL, *address = NULL;
  g_autoptr (GError) error = NULL;
  gint interface = 0, protocol = 0, aprotocol = 0;
  guint flags = 0;

  real_portal_documents_call_get_mount_point_sync (documents, &path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (path, ==, "/run/doc");
  real_avahi_server_call_resolve_host_name_sync (avahi, 1, 2, "a.local", 3, 4, &interface,
                                                 &protocol, &name, &aprotocol, &address, &flags,
                                                 NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (name, ==, "a.local");
  g_assert_cmpstr (address, ==, "192.0.2.1");
  g_assert_cmpuint (flags, ==, 4);
  if (strcmp (transport, "unix") != 0)
    return;
  g_assert_cmpint (g_unix_fd_list_append (fds, in[0], &error), ==, 0);
  real_portal_documents_call_add_full_sync (documents, g_variant_new_parsed ("[@h 0]"), 0, "app",
                                            rights, fds, &ids, NULL, &back, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (ids[0], ==, "read");
  g_assert_cmpint (g_unix_fd_list_get_length (back), ==, 1);
}

static void
add (const char *transport, const char *name, void (*func) (Scene *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/codegen/%s/%s", transport, name);

  g_test_add (path, Scene, transport, set_up, func, tear_down);
}

static void
add_all (const char *transport)
{
  add (transport, "calls-wait-or-do-not", calls_wait_or_do_not);
  add (transport, "all-types-come-back-equal", all_types_come_back_equal);
  add (transport, "odd-names-of-arguments-work", odd_names_of_arguments_work);
  add (transport, "what-nobody-handles-is-an-error", what_nobody_handles_is_an_error);
  add (transport, "who-offers-another-version-is-not-called",
       who_offers_another_version_is_not_called);
  add (transport, "descriptors-travel", descriptors_travel);
  add (transport, "annotated-methods-stream", annotated_methods_stream);
  add (transport, "one-way-messages-and-signals-arrive", one_way_messages_and_signals_arrive);
  add (transport, "properties-are-loaded-set-and-told", properties_are_loaded_set_and_told);
  add (transport, "properties-refuse-what-does-not-fit", properties_refuse_what_does_not_fit);
  add (transport, "a-network-monitor-answers", a_network_monitor_answers);
  add (transport, "a-notification-is-clicked", a_notification_is_clicked);
  add (transport, "documents-and-host-names-answer", documents_and_host_names_answer);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, codegen_service_extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add_all ("shm");
  /* Which carries descriptors. */
  add ("unix", "descriptors-travel", descriptors_travel);
  add ("unix", "documents-and-host-names-answer", documents_and_host_names_answer);
#ifdef HAVE_GNUTLS
  add_all ("tls");
#endif
  return g_test_run ();
}
