/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Too many handshakes at a time: who gives way, who does not, and that whoever belongs to the mesh
 * comes in all the same.
 */
#include "config.h"

#include "tests/pki/pki-fixture.h"
#include "tests/tls/tls-node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHDOG_S 120
#define MAX_STRANGERS 16
#define GAVE_WAY "gave way to a newcomer"
#define TOO_MANY "too many handshakes are under way"

/* A listener, a node of the same mesh, and strangers, in the order in which they came. */
typedef struct
{
  char *authority_dir;
  char *dirs[2];
  TlsNode *server;
  TlsNode *client;
  int strangers[MAX_STRANGERS];
  guint n_strangers;
} Scene;

static void
scene_init (Scene *self, const char *const *params)
{
  memset (self, 0, sizeof *self);
  self->authority_dir = fixture_authority_dir ();
  for (guint i = 0; i < G_N_ELEMENTS (self->dirs); i++)
    self->dirs[i] = fixture_credentials_dir (self->authority_dir, -1, 1);
  self->server = tls_node_new (self->dirs[0], params);
  self->client = tls_node_new (self->dirs[1], NULL);
  tls_node_listen (self->server);
}

static void
scene_clear (Scene *self)
{
  for (guint i = 0; i < self->n_strangers; i++)
    close (self->strangers[i]);
  tls_node_unlisten (self->server);
  g_hash_table_remove_all (self->server->alive); /* those in mid handshake: the core's again */
  self->server->accepted = NULL;
  tls_node_free (self->client);
  tls_node_free (self->server);
  for (guint i = 0; i < G_N_ELEMENTS (self->dirs); i++)
    fixture_remove (self->dirs[i]);
  fixture_remove (self->authority_dir);
}

static guint16
port_of (Scene *self)
{
  const char *address = self->server->ops->address (self->server->instance, self->server->listener);

  return (guint16) atoi (strrchr (address, ':') + 1);
}

/* A stranger from 127.0.0.@host, connected and so far silent. */
static int
come (Scene *self, guint8 host)
{
  struct sockaddr_in from = { .sin_family = AF_INET };
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_cmpuint (self->n_strangers, <, MAX_STRANGERS);
  from.sin_addr.s_addr = htonl (INADDR_LOOPBACK - 1 + host);
  to.sin_port = htons (port_of (self));
  g_assert_cmpint (bind (fd, (struct sockaddr *) &from, sizeof from), ==, 0);
  g_assert_cmpint (connect (fd, (struct sockaddr *) &to, sizeof to), ==, 0);
  self->strangers[self->n_strangers++] = fd;
  return fd;
}

static ssize_t
have_nothing (gnutls_transport_ptr_t data, void *bytes, size_t size)
{
  errno = EAGAIN;
  return -1;
}

/* The first word of a client that knows how to speak, and has nothing to show. */
static void
say_hello (int fd)
{
  const gnutls_datum_t alpn = { (guint8 *) "commy/1", 7 };
  gnutls_session_t session;
  gnutls_certificate_credentials_t credentials;
  int code;

  gnutls_certificate_allocate_credentials (&credentials);
  gnutls_init (&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
  gnutls_set_default_priority (session);
  gnutls_credentials_set (session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_alpn_set_protocols (session, &alpn, 1, 0);
  gnutls_transport_set_int (session, fd);
  gnutls_transport_set_pull_function (session, have_nothing);
  code = gnutls_handshake (session);
  g_assert_true (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED);
  gnutls_deinit (session);
  gnutls_certificate_free_credentials (credentials);
}

static guint
count_alive (Scene *self)
{
  return g_hash_table_size (self->server->alive);
}

/* Until as many were let in to begin, and as many of these were turned away or gave way. */
static void
await (Scene *self, guint alive, guint settled)
{
  while (count_alive (self) != alive || self->server->n_settled != settled)
    tls_node_turn ();
}

static gboolean
is_open (int fd)
{
  guint8 byte;

  return recv (fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0;
}

static void
assert_refusal (Scene *self, const char *words)
{
  if (self->server->refusal == NULL || strstr (self->server->refusal, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", self->server->refusal, words);
}

static void
assert_client_comes_in (Scene *self)
{
  TlsAttempt attempt;

  tls_attempt_start (&attempt, self->client,
                     self->server->ops->address (self->server->instance, self->server->listener));
  while (!attempt.settled || (attempt.refusal == NULL && self->server->accepted == NULL))
    tls_node_turn ();
  g_assert_cmpstr (attempt.refusal, ==, NULL);
  tls_node_close (self->server, self->server->accepted);
  tls_attempt_clear (&attempt);
}

/* The oldest of those who say nothing. */
static void
test_silent (void)
{
  static const char *const params[] = { "handshakes=4", "handshakes-per-address=4", NULL };
  Scene scene;

  scene_init (&scene, params);
  for (guint i = 0; i < 12; i++)
    come (&scene, 2);
  await (&scene, 4, 8);
  assert_refusal (&scene, GAVE_WAY);
  for (guint i = 0; i < 12; i++)
    g_assert_cmpint (is_open (scene.strangers[i]), ==, i >= 8);
  assert_client_comes_in (&scene);
  scene_clear (&scene);
}

/* Whoever shares an address with them comes in, too. */
static void
test_same_address (void)
{
  static const char *const params[] = { "handshakes=8", "handshakes-per-address=3", NULL };
  Scene scene;

  scene_init (&scene, params);
  for (guint i = 0; i < 10; i++)
    come (&scene, 1);
  await (&scene, 3, 7);
  assert_client_comes_in (&scene);
  scene_clear (&scene);
}

static void
test_share_of_an_address (void)
{
  static const char *const params[] = { "handshakes=100", "handshakes-per-address=3", NULL };
  Scene scene;

  scene_init (&scene, params);
  come (&scene, 3);
  await (&scene, 1, 0);
  for (guint i = 0; i < 10; i++)
    come (&scene, 2);
  await (&scene, 4, 7);
  g_assert_true (is_open (scene.strangers[0])); /* older than all of them */
  g_assert_false (is_open (scene.strangers[1]));
  g_assert_true (is_open (scene.strangers[10]));
  scene_clear (&scene);
}

/* Who has spoken has a fair time against others of its address. */
static void
test_fair_time (void)
{
  static const char *const params[] = { "handshakes=8", "handshakes-per-address=2", NULL };
  Scene scene;

  scene_init (&scene, params);
  say_hello (come (&scene, 2));
  say_hello (come (&scene, 2));
  come (&scene, 2); /* the other two lie unread, or are answered: both counts */
  await (&scene, 2, 1);
  assert_refusal (&scene, TOO_MANY);
  g_assert_false (is_open (scene.strangers[2]));
  scene.server->ahead_ns = 1000000000;
  come (&scene, 2);
  await (&scene, 2, 2);
  assert_refusal (&scene, GAVE_WAY);
  g_assert_true (is_open (scene.strangers[3]));
  scene_clear (&scene);
}

/* An address that has many gives way to one that has none, however well it speaks. */
static void
test_greedy (void)
{
  static const char *const params[] = { "handshakes=3", "handshakes-per-address=3", NULL };
  Scene scene;

  scene_init (&scene, params);
  say_hello (come (&scene, 3));
  for (guint i = 0; i < 2; i++)
    say_hello (come (&scene, 2));
  await (&scene, 3, 0);
  come (&scene, 4);
  await (&scene, 3, 1);
  assert_refusal (&scene, GAVE_WAY);
  g_assert_true (is_open (scene.strangers[3]));
  assert_client_comes_in (&scene); /* in the place of the silent one */
  g_assert_false (is_open (scene.strangers[3]));
  scene_clear (&scene);
}

/* The core's word is the last one: there, too, somebody gives way. */
static void
test_core_has_no_more (void)
{
  Scene scene;

  scene_init (&scene, NULL);
  for (guint i = 0; i < 3; i++)
    come (&scene, 2);
  await (&scene, 3, 0);
  scene.server->allowed = 0;
  come (&scene, 3);
  while (scene.server->n_settled < 1)
    tls_node_turn ();
  assert_refusal (&scene, GAVE_WAY);
  scene_clear (&scene);
}

/* Who is turned away for what its address has already costs nobody else's place. */
static void
test_nobody_gives_way_for_nothing (void)
{
  static const char *const params[] = { "handshakes-per-address=1", NULL };
  Scene scene;

  scene_init (&scene, params);
  say_hello (come (&scene, 2));
  come (&scene, 3);
  await (&scene, 2, 0);
  scene.server->ahead_ns = -G_GINT64_CONSTANT (10000000000); /* the first one's time is fair */
  scene.server->allowed = 0;
  come (&scene, 2);
  while (is_open (scene.strangers[2]))
    tls_node_turn ();
  g_assert_true (is_open (scene.strangers[1]));
  g_assert_cmpuint (scene.server->n_settled, ==, 0);
  scene_clear (&scene);
}

static gboolean
is_answered (int fd)
{
  guint8 byte;

  return recv (fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

/* An answer costs a public-key operation: who comes alone does not wait for all of who came with
 * many before. */
static void
test_turns (void)
{
  Scene scene;
  guint answered = 0;

  scene_init (&scene, NULL);
  for (guint i = 0; i < 12; i++)
    say_hello (come (&scene, 2));
  say_hello (come (&scene, 3));
  while (!is_answered (scene.strangers[12]))
    tls_node_turn ();
  for (guint i = 0; i < 12; i++)
    answered += is_answered (scene.strangers[i]) ? 1 : 0;
  g_assert_cmpuint (answered, <=, 3);
  scene_clear (&scene);
}

/* Who was here before does not wait for all who come from addresses of their own. */
static void
test_turns_of_newcomers (void)
{
  Scene scene;
  guint answered = 0;

  scene_init (&scene, NULL);
  say_hello (come (&scene, 2));
  while (!is_answered (scene.strangers[0]))
    tls_node_turn ();
  say_hello (come (&scene, 2));
  for (guint i = 0; i < 12; i++)
    say_hello (come (&scene, (guint8) (3 + i)));
  while (!is_answered (scene.strangers[1]))
    tls_node_turn ();
  for (guint i = 2; i < scene.n_strangers; i++)
    answered += is_answered (scene.strangers[i]) ? 1 : 0;
  g_assert_cmpuint (answered, <=, 3);
  scene_clear (&scene);
}

/* A byte now and then does not make the time longer, and no hello. */
static void
test_byte_by_byte (void)
{
  static const char *const params[] = { "handshake-timeout=50000000", NULL };
  static const guint8 record[] = { 0x16, 0x03, 0x01, 0x40, 0x00, 0x01 };
  Scene scene;
  int fd;

  scene_init (&scene, params);
  fd = come (&scene, 2);
  for (gsize i = 0; scene.server->n_settled == 0; i++)
    {
      if (i < sizeof record)
        g_assert_cmpint (send (fd, record + i, 1, MSG_NOSIGNAL), ==, 1);
      tls_node_turn ();
    }
  assert_refusal (&scene, "did not finish the handshake within 50 ms");
  scene_clear (&scene);
}

/* A part of a hello is none. */
static void
test_part_of_a_hello (void)
{
  static const char *const params[] = { "handshakes=2", "handshakes-per-address=2", NULL };
  guint8 part[200] = { 0x16, 0x03, 0x01, 0x3f, 0x00, 0x01 };
  Scene scene;

  scene_init (&scene, params);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (send (come (&scene, 2), part, sizeof part, MSG_NOSIGNAL), ==, sizeof part);
  await (&scene, 2, 0);
  while (g_main_context_iteration (NULL, FALSE))
    ; /* they are read */
  come (&scene, 2);
  await (&scene, 2, 1);
  assert_refusal (&scene, GAVE_WAY);
  scene_clear (&scene);
}

/* One subscriber has 2^64 addresses of IPv6, so they count as one. */
static void
test_ipv6 (void)
{
  static const char *const params[]
      = { "bind=::1", "handshakes=8", "handshakes-per-address=1", NULL };
  struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
  int probe = socket (AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Scene scene;

  if (probe < 0 || bind (probe, (struct sockaddr *) &to, sizeof to) < 0)
    {
      g_test_skip ("this host has no IPv6");
      return;
    }
  close (probe);
  scene_init (&scene, params);
  to.sin6_port = htons (port_of (&scene));
  for (guint i = 0; i < 3; i++)
    {
      int fd = socket (AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

      g_assert_cmpint (connect (fd, (struct sockaddr *) &to, sizeof to), ==, 0);
      scene.strangers[scene.n_strangers++] = fd;
    }
  await (&scene, 1, 2);
  assert_client_comes_in (&scene);
  scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  alarm (WATCHDOG_S); /* a hang is a failure, not a wait */
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tls/crowd/the-oldest-who-says-nothing-gives-way", test_silent);
  /* attack: half-open handshakes from the address of those who belong here; defence: who says
   * nothing gives way */
  g_test_add_func ("/tls/crowd/nobody-is-kept-out-by-who-shares-the-address", test_same_address);
  g_test_add_func ("/tls/crowd/an-address-has-its-share", test_share_of_an_address);
  g_test_add_func ("/tls/crowd/who-has-spoken-has-a-fair-time", test_fair_time);
  /* attack: handshakes with a good hello that go no further; defence: the address that has most
   * gives way */
  g_test_add_func ("/tls/crowd/who-has-most-gives-way-to-who-has-none", test_greedy);
  g_test_add_func ("/tls/crowd/the-cores-limit-makes-one-give-way", test_core_has_no_more);
  g_test_add_func ("/tls/crowd/nobody-gives-way-to-who-is-turned-away",
                   test_nobody_gives_way_for_nothing);
  /* attack: first words by the hundred, each of which costs an answer; defence: addresses take
   * turns */
  g_test_add_func ("/tls/crowd/addresses-take-turns", test_turns);
  /* attack: first words from a new address each time, to be answered before who has one; defence:
   * a new address begins behind the others */
  g_test_add_func ("/tls/crowd/new-addresses-wait-their-turn", test_turns_of_newcomers);
  /* attack: a handshake a byte at a time; defence: a time for all of it */
  g_test_add_func ("/tls/crowd/a-byte-at-a-time-is-not-for-ever", test_byte_by_byte);
  g_test_add_func ("/tls/crowd/a-part-of-a-hello-is-none", test_part_of_a_hello);
  /* attack: a handshake from each of the many addresses of one subscriber; defence: a network of
   * /64 counts as one */
  g_test_add_func ("/tls/crowd/addresses-of-ipv6-count-by-network", test_ipv6);
  return g_test_run ();
}
