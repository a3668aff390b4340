/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handshakes by the thousand that nobody means to finish, against a node that serves meanwhile: no
 * call fails, whoever belongs to the mesh still comes in, and memory stays within what is said for
 * handshakes. How long calls take before and meanwhile is printed and judged by nobody.
 *
 * COMMY_TEST_HALF_OPEN is how many there are (1000; `make check-floods`: 5000). Those who are
 * thrown out come again, a thousand a second.
 */
#include "config.h"

#include "mesh-fixture.h"

#include "mesh/commy-client-private.h"
#include "mesh/commy-peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HALF_OPEN 1000u
#define CALLS 4000u
#define NEWCOMERS 20u
#define HANDSHAKES 128u                 /* the default of param.handshakes */
#define MEMORY_EACH (96u * 1024u)       /* as the guide says */
#define MEMORY_SLACK (4u * 1024 * 1024) /* of the allocator, and of what serves the newcomers */
/* Every tick so many come: until all have, and then of those who were thrown out. */
#define TICK_US 10000
#define AT_FIRST 64u
#define AGAIN 10u
#define ADDRESSES 8u /* that the attackers come from, where they come from others */

typedef struct
{
  const char *name;
  gboolean from_others; /* not from the address from which the others come */
  gboolean by_bytes;    /* a byte a second of a record that never ends */
  gboolean with_hello;  /* a whole first word, then silence */
} Style;

static const Style styles[] = {
  /* attack: half-open handshakes by the thousand while calls go on; defence: a ceiling, below which
   * newcomers take the place of who says nothing; test: /attacks/half-open/silent */
  { .name = "silent" },
  { .name = "silent-from-many", .from_others = TRUE },
  /* attack: slow handshakes by the thousand while calls go on; defence: the same; test:
   * /attacks/half-open/byte-by-byte */
  { .name = "byte-by-byte", .by_bytes = TRUE },
  { .name = "hello-and-silence", .from_others = TRUE, .with_hello = TRUE },
};

/* --- the attackers: a process of their own --- */

typedef struct
{
  const Style *style;
  guint16 port;
  guint wanted;
  int epoll;
  guint8 hello[2048];
  gsize hello_size;
  guint64 opened;
} Attacker;

static ssize_t
take_hello (gnutls_transport_ptr_t data, const void *bytes, size_t size)
{
  Attacker *self = data;

  g_assert_cmpuint (self->hello_size + size, <=, sizeof self->hello);
  memcpy (self->hello + self->hello_size, bytes, size);
  self->hello_size += size;
  return (ssize_t) size;
}

static ssize_t
have_nothing (gnutls_transport_ptr_t data, void *bytes, size_t size)
{
  errno = EAGAIN;
  return -1;
}

/* One hello does for all: nobody asks whether it is fresh. */
static void
make_hello (Attacker *self)
{
  const gnutls_datum_t alpn = { (guint8 *) "commy/1", 7 };
  gnutls_certificate_credentials_t credentials;
  gnutls_session_t session;

  gnutls_certificate_allocate_credentials (&credentials);
  gnutls_init (&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
  gnutls_set_default_priority (session);
  gnutls_credentials_set (session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_alpn_set_protocols (session, &alpn, 1, 0);
  gnutls_transport_set_ptr (session, self);
  gnutls_transport_set_push_function (session, take_hello);
  gnutls_transport_set_pull_function (session, have_nothing);
  g_assert_cmpint (gnutls_handshake (session), ==, GNUTLS_E_AGAIN);
  gnutls_deinit (session);
  gnutls_certificate_free_credentials (credentials);
}

static void
open_one (Attacker *self)
{
  struct sockaddr_in from = { .sin_family = AF_INET };
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  struct epoll_event event = { .events = EPOLLOUT | EPOLLIN | EPOLLRDHUP | EPOLLET };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0)
    return;
  event.data.fd = fd;
  to.sin_port = htons (self->port);
  if (self->style->from_others)
    {
      from.sin_addr.s_addr = htonl (INADDR_LOOPBACK + 1 + (in_addr_t) (self->opened % ADDRESSES));
      (void) bind (fd, (struct sockaddr *) &from, sizeof from);
    }
  if (connect (fd, (struct sockaddr *) &to, sizeof to) < 0 && errno != EINPROGRESS)
    {
      close (fd);
      return;
    }
  epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event);
  self->opened++;
}

static void
on_connected (Attacker *self, int fd)
{
  static const guint8 record[] = { 0x16, 0x03, 0x01, 0x3f, 0x00, 0x01 };

  if (self->style->with_hello)
    (void) send (fd, self->hello, self->hello_size, MSG_NOSIGNAL);
  else if (self->style->by_bytes)
    (void) send (fd, record, sizeof record, MSG_NOSIGNAL);
}

/* Another byte of a record that never ends, for those who are still there. */
static void
say_more (int first, int last)
{
  for (int fd = first; fd <= last; fd++)
    (void) send (fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whoever is thrown out comes again, as long as the parent lives. */
static void
besiege (Attacker *self)
{
  guint there = 0;
  gint64 said_us = 0, opened_us = 0;
  gboolean told = FALSE;

  for (;;)
    {
      struct epoll_event events[64];
      guint lost = 0;
      int n = epoll_wait (self->epoll, events, G_N_ELEMENTS (events), 10);

      for (int i = 0; i < n; i++)
        if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
          {
            close (events[i].data.fd);
            lost++;
          }
        else if (events[i].events & EPOLLOUT)
          on_connected (self, events[i].data.fd);
      there -= lost;
      if (g_get_monotonic_time () - opened_us >= TICK_US)
        {
          opened_us = g_get_monotonic_time ();
          for (guint i = 0; i < (told ? AGAIN : AT_FIRST) && there < self->wanted; i++, there++)
            open_one (self);
        }
      if (self->style->by_bytes && g_get_monotonic_time () - said_us > G_USEC_PER_SEC)
        {
          said_us = g_get_monotonic_time ();
          say_more (self->epoll + 1, self->epoll + (int) self->wanted);
        }
      if (!told && self->opened >= self->wanted)
        {
          told = TRUE;
          if (write (STDOUT_FILENO, "!", 1) != 1)
            return;
        }
    }
}

static gboolean
attacker_main (int argc, char **argv)
{
  Attacker self = { 0 };

  if (argc < 5 || strcmp (argv[1], "--attacker") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  self.style = &styles[atoi (argv[2])];
  self.port = (guint16) atoi (argv[3]);
  self.wanted = (guint) atoi (argv[4]);
  self.epoll = epoll_create1 (EPOLL_CLOEXEC);
  make_hello (&self);
  besiege (&self);
  return TRUE;
}

typedef struct
{
  GPid pid;
  int out_fd;
} Siege;

static void
siege_begin (Siege *self, guint style, const char *address, guint wanted)
{
  g_autofree char *exe = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *which = g_strdup_printf ("%u", style);
  g_autofree char *number = g_strdup_printf ("%u", wanted);
  char *argv[] = { exe, (char *) "--attacker", which, strrchr (address, ':') + 1, number, NULL };
  g_autoptr (GError) error = NULL;
  char word;

  g_spawn_async_with_pipes (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &self->pid,
                            NULL, &self->out_fd, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (read (self->out_fd, &word, 1), ==, 1);
}

static void
siege_end (Siege *self)
{
  kill (self->pid, SIGKILL);
  waitpid (self->pid, NULL, 0);
  close (self->out_fd);
}

/* --- those who belong here --- */

static void
call (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) sum
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  g_assert_no_error (error);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

/* In microseconds, of calls one after the other. */
static gint64
measure_p99 (CommyClient *client)
{
  g_autofree gint64 *times = g_new (gint64, CALLS);

  for (guint i = 0; i < CALLS; i++)
    {
      gint64 start = g_get_monotonic_time ();

      call (client);
      times[i] = g_get_monotonic_time () - start;
    }
  qsort (times, CALLS, sizeof *times, compare);
  return times[CALLS * 99 / 100];
}

/* A context of its own is a connection of its own. */
static gpointer
come_new (gpointer mesh)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  CommyClient *client;

  g_main_context_push_thread_default (context);
  client = commy_client_new (mesh, TEST_SERVICE);
  call (client);
  g_object_unref (client);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static gsize
resident (GPid pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", pid);
  g_autofree char *text = NULL;
  g_auto (GStrv) words = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  words = g_strsplit (text, " ", 3);
  return (gsize) g_ascii_strtoull (words[1], NULL, 10) * (gsize) sysconf (_SC_PAGESIZE);
}

static guint
how_many (void)
{
  const char *told = g_getenv ("COMMY_TEST_HALF_OPEN");
  guint wanted = told != NULL ? (guint) atoi (told) : HALF_OPEN;
  struct rlimit limit;

  getrlimit (RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted + 64)
    {
      g_test_message ("this process may have %lu descriptors", (gulong) limit.rlim_cur);
      g_assert_null (told); /* who asks for so many is not answered with fewer */
      wanted = (guint) limit.rlim_cur - 64;
    }
  return wanted;
}

static const char *
address_of (CommyClient *client)
{
  for (guint i = 0; i < COMMY_FLAVOUR_LAST; i++)
    if (client->routes[i].home.path != NULL)
      return client->routes[i].home.path->address;
  g_assert_not_reached ();
}

static void
test_flood (MeshFixture *fixture, gconstpointer data)
{
  guint style = GPOINTER_TO_UINT (data);
  guint wanted = how_many ();
  ServiceChild *child;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  gint64 before_us, meanwhile_us;
  gsize before, meanwhile = 0;
  Siege siege;

  mesh_fixture_make_credentials (fixture);
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, NULL, 1);
  mesh = mesh_fixture_join (fixture, "[selection]\npreference=pin\ntransports=tls\n"
                                     "[calibration]\nmode=off\n");
  client = commy_client_new (mesh, TEST_SERVICE);
  call (client);
  for (guint i = 0; i < NEWCOMERS; i++)
    g_thread_join (g_thread_new ("new", come_new, mesh));
  before_us = measure_p99 (client);
  before = resident (child->pid);
  siege_begin (&siege, style, address_of (client), wanted);
  meanwhile_us = measure_p99 (client);
  for (guint i = 0; i < NEWCOMERS; i++)
    {
      g_thread_join (g_thread_new ("new", come_new, mesh));
      meanwhile = MAX (meanwhile, resident (child->pid));
    }
  siege_end (&siege);
  meanwhile -= MIN (before, meanwhile);
  g_test_message ("%s: %u half-open, p99 %" G_GINT64_FORMAT " us before, %" G_GINT64_FORMAT
                  " us meanwhile (x%.2f), %u newcomers, %" G_GSIZE_FORMAT " KiB more of %u",
                  styles[style].name, wanted, before_us, meanwhile_us,
                  (double) meanwhile_us / (double) MAX (before_us, 1), NEWCOMERS, meanwhile / 1024,
                  HANDSHAKES * (MEMORY_EACH / 1024));
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
  g_assert_cmpuint (meanwhile, <=, HANDSHAKES * MEMORY_EACH + MEMORY_SLACK);
#endif
  mesh_fixture_await_log (fixture, "refused a peer on tls");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  service_child_free (child);
}

int
main (int argc, char **argv)
{
  struct rlimit limit;
  int status;

  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
  if (attacker_main (argc, argv))
    return 0;
  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (styles); i++)
    {
      g_autofree char *path = g_strdup_printf ("/attacks/half-open/%s", styles[i].name);

      g_test_add (path, MeshFixture, GUINT_TO_POINTER (i), mesh_fixture_set_up, test_flood,
                  mesh_fixture_tear_down);
    }
  return g_test_run ();
}
