/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names in DNS as a source of instances, against a real server (dnsmasq) in a network of this
 * test's own: order, weights, answers that change, that say no, that are nonsense, that are
 * huge, and servers that are gone or silent.
 */
#include "config.h"

#include "control/commy-source.h"
#include "tests/control/dns-fixture.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define SERVICE "org.example.Digest"
#define NAME "_commy-digest._tcp.example.org"
#define MS G_GINT64_CONSTANT (1000000)
#define PATIENCE_US (30 * G_USEC_PER_SEC)

/* --- the source --- */

typedef struct
{
  CommyEnv env;
  gint64 now_ns; /* its clock: stands still unless it is moved */
  CommySource *source;
  guint changes, settled;
  guint seen; /* changes that were waited for */
} Watch;

static gint64
watch_now (gpointer data)
{
  return ((Watch *) data)->now_ns;
}

static void
on_changed (gpointer data)
{
  ((Watch *) data)->changes++;
}

static void
on_settled (gpointer data, const GError *error)
{
  g_assert_no_error (error);
  ((Watch *) data)->settled++;
}

static void
watch_start (Watch *self, const char *name, gint64 refresh_ns)
{
  const CommySrvSettings settings = { .env = &self->env,
                                      .context = g_main_context_default (),
                                      .transport = "tls",
                                      .refresh_ns = refresh_ns };
  const CommySourceListener listener
      = { .changed = on_changed, .settled = on_settled, .data = self };

  *self = (Watch){ .env = *commy_env_system (), .now_ns = 1000 * MS };
  self->env.now_ns = watch_now;
  self->env.data = self;
  self->source = commy_source_srv_new (&settings, SERVICE, name, &listener);
}

/* Until it has answered, or those who ask are let go. */
static void
watch_ask (Watch *self)
{
  guint settled = self->settled;

  commy_source_refresh (self->source);
  while (self->settled == settled)
    g_main_context_iteration (NULL, TRUE);
  self->seen = self->changes;
}

static gboolean
on_too_late (gpointer data)
{
  g_error ("nothing happened for half a minute");
  return G_SOURCE_REMOVE;
}

/* Until something is told that was not seen yet. */
static void
watch_await_change (Watch *self)
{
  guint timer = g_timeout_add (PATIENCE_US / 1000, on_too_late, NULL);

  while (self->changes == self->seen)
    g_main_context_iteration (NULL, TRUE);
  self->seen = self->changes;
  g_source_remove (timer);
}

static void
watch_stop (Watch *self)
{
  commy_source_free (self->source);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static guint
count (Watch *self)
{
  return g_hash_table_size (self->source->instances);
}

static CommyInstance *
find (Watch *self, const char *address)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->source->instances);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (strcmp (((CommyInstance *) value)->endpoints[0].address, address) == 0)
      return value;
  return NULL;
}

/* --- answers --- */

static void
test_targets (void)
{
  DnsServer server = { NULL };
  Watch watch;
  CommyInstance *one, *two, *three;

  dns_server_start (&server, "srv-host=" NAME ",host-a.example.org,7001,10,60000\n"
                             "srv-host=" NAME ",host-b.example.org,7002,10,30000\n"
                             "srv-host=" NAME ",host-c.example.org,7003,20,0\n");
  watch_start (&watch, NAME, 3600 * 1000 * MS);
  watch_ask (&watch);
  g_assert_cmpuint (count (&watch), ==, 3);
  one = find (&watch, "host-a.example.org:7001");
  two = find (&watch, "host-b.example.org:7002");
  three = find (&watch, "host-c.example.org:7003");
  g_assert_cmpuint (one->priority, ==, 0);
  g_assert_cmpuint (two->priority, ==, 0);
  g_assert_cmpuint (three->priority, ==, 1);
  g_assert_cmpuint (one->weight, ==, 1000);
  g_assert_cmpuint (two->weight, ==, 500);
  g_assert_cmpuint (three->weight, ==, 1);
  g_assert_cmpstr (one->endpoints[0].transport, ==, "tls");
  g_assert_cmpstr (one->origin, ==, NAME);
  g_assert_cmpstr (one->host, ==, "host-a.example.org");
  g_assert_null (watch.source->notice);
  g_assert_true (watch.source->live);
  watch_stop (&watch);
  dns_server_stop (&server);
}

/* What was learnt of an address stays, and an answer that says nothing new changes nothing. */
static void
test_same_again (void)
{
  DnsServer server = { NULL };
  Watch watch;
  const char *const serializers[] = { "gvariant", NULL };
  const CommyMeeting meeting = { .node = "cafe", .instance = "beef", .serializers = serializers };
  CommyInstance *one, *met;
  guint before;

  dns_server_start (&server, "srv-host=" NAME ",host-a.example.org,7001\n");
  watch_start (&watch, NAME, 3600 * 1000 * MS);
  watch_ask (&watch);
  one = find (&watch, "host-a.example.org:7001");
  g_assert_nonnull (one);
  met = commy_instance_met (one, &meeting);
  g_hash_table_replace (watch.source->instances, g_strdup (met->id), met);
  before = watch.changes;
  for (guint i = 0; i < 3; i++)
    {
      watch.now_ns += 2000 * MS;
      watch_ask (&watch);
    }
  g_assert_cmpuint (watch.changes, ==, before);
  dns_server_stop (&server);
  dns_server_start (&server, "srv-host=" NAME ",host-a.example.org,7001,0,7\n");
  watch_ask (&watch); /* too soon: nothing is asked */
  g_assert_cmpuint (watch.changes, ==, before);
  watch.now_ns += 2000 * MS;
  watch_ask (&watch);
  g_assert_cmpuint (watch.changes, ==, before + 1);
  one = find (&watch, "host-a.example.org:7001");
  g_assert_cmpuint (one->weight, ==, 7);
  g_assert_cmpstr (one->peer_instance, ==, "beef");
  g_assert_cmpstr (one->serializers[0], ==, "gvariant");
  watch_stop (&watch);
  dns_server_stop (&server);
}

static void
test_not_there (void)
{
  DnsServer server = { NULL };
  Watch watch;

  dns_server_start (&server, "srv-host=_other._tcp.example.org,host-a.example.org,7001\n");
  watch_start (&watch, NAME, 3600 * 1000 * MS);
  watch_ask (&watch);
  g_assert_cmpuint (count (&watch), ==, 0);
  g_assert_cmpstr (watch.source->notice, ==, "DNS has no target for " NAME);
  watch_stop (&watch);
  dns_server_stop (&server);
}

/* dnsmasq without a target sends ".", which says that the service is decidedly not there. */
static void
test_decidedly_not (void)
{
  DnsServer server = { NULL };
  Watch watch;

  dns_server_start (&server, "srv-host=" NAME "\n");
  watch_start (&watch, NAME, 3600 * 1000 * MS);
  watch_ask (&watch);
  g_assert_cmpuint (count (&watch), ==, 0);
  g_assert_cmpstr (watch.source->notice, ==, "DNS has no target for " NAME);
  watch_stop (&watch);
  dns_server_stop (&server);
}

static void
test_nonsense (void)
{
  DnsServer server = { NULL };
  Watch watch;

  dns_server_start (&server, "srv-host=" NAME ",host-a.example.org,0\n"
                             "srv-host=" NAME ",10.1.1,7001\n"
                             "srv-host=" NAME ",-x.example.org,7001\n"
                             "srv-host=" NAME ",host-b.example.org,7001\n");
  watch_start (&watch, NAME, 3600 * 1000 * MS);
  watch_ask (&watch);
  g_assert_cmpuint (count (&watch), ==, 1);
  g_assert_nonnull (find (&watch, "host-b.example.org:7001"));
  watch_stop (&watch);
  dns_server_stop (&server);
}

/* Too much for a datagram: asked again over TCP. The best of them are used. */
static void
test_many (void)
{
  g_autoptr (GString) records = g_string_new (NULL);
  DnsServer server = { NULL };
  Watch watch;
  GHashTableIter iter;
  gpointer value;

  for (guint i = 0; i < 1000; i++)
    g_string_append_printf (records, "srv-host=" NAME ",h%u.example.org,7001,%u,1\n", i,
                            i < 50 ? 1 : 2);
  dns_server_start (&server, records->str);
  watch_start (&watch, NAME, 3600 * 1000 * MS);
  watch_ask (&watch);
  while (count (&watch) == 0)
    watch_await_change (&watch);
  g_assert_cmpuint (count (&watch), ==, COMMY_ENDPOINTS_MAX);
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *address = g_strdup_printf ("h%u.example.org:7001", i);

      g_assert_nonnull (find (&watch, address));
    }
  g_hash_table_iter_init (&iter, watch.source->instances);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_assert_cmpuint (((CommyInstance *) value)->priority, <=, 1);
  watch_stop (&watch);
  dns_server_stop (&server);
}

/* --- change, and servers that are not there --- */

static void
test_change (void)
{
  DnsServer server = { NULL };
  Watch watch;

  dns_server_start (&server, "srv-host=" NAME ",host-a.example.org,7001\n");
  watch_start (&watch, NAME, 100 * MS);
  watch_ask (&watch);
  g_assert_nonnull (find (&watch, "host-a.example.org:7001"));
  dns_server_stop (&server);
  /* The last good answer stays, and it is told that it is old. */
  watch_await_change (&watch);
  g_assert_nonnull (find (&watch, "host-a.example.org:7001"));
  g_assert_nonnull (strstr (watch.source->notice, "DNS does not answer for " NAME));
  g_assert_nonnull (strstr (watch.source->notice, "s ago"));
  dns_server_start (&server, "srv-host=" NAME ",host-b.example.org,7002\n");
  do
    watch_await_change (&watch);
  while (watch.source->notice != NULL);
  g_assert_cmpuint (count (&watch), ==, 1);
  g_assert_nonnull (find (&watch, "host-b.example.org:7002"));
  watch_stop (&watch);
  dns_server_stop (&server);
}

static int
silent_server (void)
{
  struct sockaddr_in address
      = { .sin_family = AF_INET, .sin_port = htons (53), .sin_addr = { htonl (INADDR_LOOPBACK) } };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  return fd;
}

static void
test_silence (void)
{
  Watch watch;
  int fd = silent_server ();

  watch_start (&watch, NAME, 3600 * 1000 * MS);
  watch_ask (&watch);
  g_assert_cmpuint (count (&watch), ==, 0);
  /* Either the resolver has given up by now, or nobody waits for it any longer. */
  g_assert_nonnull (watch.source->notice);
  g_assert_nonnull (strstr (watch.source->notice, NAME));
  watch_stop (&watch);
  close (fd);
}

/* Freed while a lookup is under way: nobody is told, nothing is left. */
static void
test_freed_early (void)
{
  Watch watch;
  int fd = silent_server ();

  watch_start (&watch, NAME, 3600 * 1000 * MS);
  commy_source_refresh (watch.source);
  watch_stop (&watch);
  g_assert_cmpuint (watch.changes + watch.settled, ==, 0);
  close (fd);
}

/* --- */

static void
skip (gconstpointer why)
{
  g_test_skip (why);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    GTestFunc func;
  } cases[] = {
    { "/control/srv/targets-keep-priority-and-weight", test_targets },
    { "/control/srv/the-same-answer-changes-nothing", test_same_again },
    { "/control/srv/a-name-without-records-has-no-instances", test_not_there },
    { "/control/srv/a-dot-says-decidedly-not", test_decidedly_not },
    { "/control/srv/nonsense-is-left-out", test_nonsense },
    { "/control/srv/of-a-thousand-the-best-are-used", test_many },
    { "/control/srv/the-last-good-answer-stays-until-another-comes", test_change },
    { "/control/srv/nobody-waits-for-a-silent-server", test_silence },
    { "/control/srv/may-be-freed-during-a-lookup", test_freed_early },
  };
  const char *why = dns_fixture_enter ();

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    if (why != NULL)
      g_test_add_data_func (cases[i].path, why, skip);
    else
      g_test_add_func (cases[i].path, cases[i].func);
  return g_test_run ();
}
