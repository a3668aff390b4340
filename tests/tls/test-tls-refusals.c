/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who the TLS transport does not talk to, and that both sides learn why: strangers, the expired,
 * the anonymous, other protocols, garbage, and those that say nothing at all.
 */
#include "config.h"

#include "tests/pki/pki-fixture.h"
#include "tests/tls/tls-node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHDOG_S 120
#define ANY_ALERT (-2) /* which one is the library's taste */

static void
assert_says (const char *text, const char *words)
{
  if (text == NULL || strstr (text, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", text == NULL ? "(nothing)" : text, words);
}

static const char *
address_of (TlsNode *node)
{
  return node->ops->address (node->instance, node->listener);
}

/* Connects and waits until both sides have settled, in refusal. */
static void
assert_refused (TlsNode *server, TlsNode *client, const char *server_says, const char *client_says)
{
  TlsAttempt attempt;
  guint before = server->n_settled;

  tls_attempt_start (&attempt, client, address_of (server));
  while (!attempt.settled || server->n_settled == before)
    tls_node_turn ();
  g_assert_null (attempt.connection);
  g_assert_null (server->accepted);
  assert_says (server->refusal, server_says);
  assert_says (attempt.refusal, client_says);
  g_assert_cmpint (attempt.code, ==, COMMY_ERROR_REFUSED);
  tls_attempt_clear (&attempt);
}

typedef struct
{
  char *authority_dir;
  char *dirs[2];
  TlsNode *server;
  TlsNode *client;
} Scene;

static void
scene_open (Scene *self, const char *const *params)
{
  self->server = tls_node_new (self->dirs[0], params);
  self->client = tls_node_new (self->dirs[1], NULL);
  tls_node_listen (self->server);
}

static void
scene_init (Scene *self, int server_until, int client_until)
{
  self->authority_dir = fixture_authority_dir ();
  self->dirs[0] = fixture_credentials_dir (self->authority_dir, -5, server_until);
  self->dirs[1] = fixture_credentials_dir (self->authority_dir, -5, client_until);
}

static void
scene_clear (Scene *self)
{
  tls_node_free (self->client);
  tls_node_free (self->server);
  fixture_remove (self->dirs[0]);
  fixture_remove (self->dirs[1]);
  fixture_remove (self->authority_dir);
}

static void
test_expired_client (void)
{
  Scene scene;

  scene_init (&scene, 1, -1);
  scene_open (&scene, NULL);
  assert_refused (scene.server, scene.client, "the certificate expired at",
                  "Certificate is expired");
  scene_clear (&scene);
}

static void
test_expired_server (void)
{
  Scene scene;

  scene_init (&scene, -1, 1);
  scene_open (&scene, NULL);
  assert_refused (scene.server, scene.client, "refused this node's certificate",
                  "certificate expired at");
  assert_says (scene.server->log->str, "has expired");
  scene_clear (&scene);
}

static void
test_other_mesh (void)
{
  Scene scene;
  char *other = fixture_authority_dir ();

  scene_init (&scene, 1, 1);
  fixture_remove (scene.dirs[1]);
  scene.dirs[1] = fixture_credentials_dir (other, -1, 1);
  scene_open (&scene, NULL);
  assert_refused (scene.server, scene.client, "refused this node's certificate",
                  "not signed by this mesh");
  scene_clear (&scene);
  fixture_remove (other);
}

/* The client trusts both authorities, so that it is the server who has to refuse. */
static void
test_other_mesh_seen_by_the_server (void)
{
  Scene scene;
  char *other = fixture_authority_dir ();
  g_autofree char *ours = NULL;
  g_autofree char *theirs = NULL;
  g_autofree char *both = NULL;
  g_autofree char *path = NULL;

  scene_init (&scene, 1, 1);
  fixture_remove (scene.dirs[1]);
  scene.dirs[1] = fixture_credentials_dir (other, -1, 1);
  ours = commy_pki_read_file (scene.dirs[0], COMMY_PKI_CA_FILE, FALSE, NULL);
  theirs = commy_pki_read_file (scene.dirs[1], COMMY_PKI_CA_FILE, FALSE, NULL);
  both = g_strconcat (ours, theirs, NULL);
  path = g_build_filename (scene.dirs[1], COMMY_PKI_CA_FILE, NULL);
  g_assert_true (g_file_set_contents (path, both, -1, NULL));
  scene_open (&scene, NULL);
  assert_refused (scene.server, scene.client, "not signed by this mesh", "CA is unknown");
  scene_clear (&scene);
  fixture_remove (other);
}

static void
test_no_credentials (void)
{
  Scene scene;
  char *empty = g_dir_make_tmp ("commy-pki-XXXXXX", NULL);
  TlsNode *node = tls_node_new (empty, NULL);
  const CommyEndpoint endpoint
      = { .struct_size = sizeof endpoint, .transport = "tls", .address = "127.0.0.1:9" };
  g_autoptr (GError) error = NULL;
  gpointer listener = g_aligned_alloc0 (1, node->ops->listener_size, 64);
  CommyAcceptor acceptor = { .struct_size = sizeof acceptor };
  TlsAttempt attempt;
  char reason[512] = "";

  g_assert_false (node->ops->listen (node->instance, listener, &acceptor, &error));
  g_assert_cmpint (error->code, ==, COMMY_ERROR_CERTIFICATE);
  assert_says (error->message, "commy pki init");
  g_assert_false (node->ops->reachable (node->instance, &endpoint, reason, sizeof reason));
  assert_says (reason, "commy pki init");
  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  tls_attempt_start (&attempt, node, address_of (scene.server));
  while (!attempt.settled)
    tls_node_turn ();
  assert_says (attempt.refusal, "commy pki init");
  tls_attempt_clear (&attempt);
  while (scene.server->n_settled == 0)
    tls_node_turn ();
  assert_says (scene.server->refusal, "hung up");
  g_aligned_free (listener);
  tls_node_free (node);
  fixture_remove (empty);
  scene_clear (&scene);
}

/* --- peers that are not ours --- */

static int
raw_connect (const char *address)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  to.sin_port = htons ((guint16) atoi (strrchr (address, ':') + 1));
  g_assert_cmpint (connect (fd, (struct sockaddr *) &to, sizeof to), ==, 0);
  return fd;
}

typedef struct
{
  const char *address;
  const char *priority;
  const char *alpn;
  const char *dir;     /* NULL: without certificate */
  const guint8 *bytes; /* sent once the handshake is through */
  gsize n_bytes;
  int alert; /* what came back; -1 for none */
} RawClient;

static gnutls_certificate_credentials_t
raw_credentials (const char *dir)
{
  gnutls_certificate_credentials_t credentials;

  gnutls_certificate_allocate_credentials (&credentials);
  if (dir != NULL)
    {
      g_autofree char *cert = g_build_filename (dir, COMMY_PKI_CERT_FILE, NULL);
      g_autofree char *key = g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL);

      g_assert_cmpint (
          gnutls_certificate_set_x509_key_file (credentials, cert, key, GNUTLS_X509_FMT_PEM), >=,
          0);
    }
  return credentials;
}

/* A TLS client of another making, with blocking calls. */
static gpointer
raw_client_thread (gpointer data)
{
  RawClient *self = data;
  gnutls_certificate_credentials_t credentials = raw_credentials (self->dir);
  gnutls_session_t session;
  gnutls_datum_t alpn = { (guint8 *) self->alpn, (unsigned) strlen (self->alpn) };
  guint8 rest[256];
  gssize got;
  int fd = raw_connect (self->address);

  gnutls_init (&session, GNUTLS_CLIENT);
  g_assert_cmpint (gnutls_priority_set_direct (session, self->priority, NULL), >=, 0);
  gnutls_credentials_set (session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_alpn_set_protocols (session, &alpn, 1, 0);
  gnutls_transport_set_int (session, fd);
  do
    got = gnutls_handshake (session);
  while (got < 0 && gnutls_error_is_fatal ((int) got) == 0);
  if (got >= 0 && self->n_bytes > 0)
    gnutls_record_send (session, self->bytes, self->n_bytes);
  while (got >= 0)
    {
      got = gnutls_record_recv (session, rest, sizeof rest);
      if (got == 0)
        break;
    }
  self->alert = got == GNUTLS_E_FATAL_ALERT_RECEIVED ? (int) gnutls_alert_get (session) : -1;
  gnutls_deinit (session);
  gnutls_certificate_free_credentials (credentials);
  close (fd);
  g_main_context_wakeup (NULL);
  return NULL;
}

static void
test_raw (RawClient *client, const char *server_says, int alert)
{
  Scene scene;
  GThread *thread;

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  client->address = address_of (scene.server);
  thread = g_thread_new ("raw", raw_client_thread, client);
  while (scene.server->n_settled == 0)
    tls_node_turn ();
  g_thread_join (thread);
  g_assert_null (scene.server->accepted);
  assert_says (scene.server->refusal, server_says);
  if (alert != ANY_ALERT)
    g_assert_cmpint (client->alert, ==, alert);
  g_assert_cmpint (client->alert, >, 0);
  scene_clear (&scene);
}

static void
test_anonymous (void)
{
  RawClient client = { .priority = "NORMAL", .alpn = "commy/1" };

  test_raw (&client, "showed no certificate", GNUTLS_A_CERTIFICATE_REQUIRED);
}

static void
test_tls12 (void)
{
  RawClient client = { .priority = "NORMAL:-VERS-ALL:+VERS-TLS1.2", .alpn = "commy/1" };

  test_raw (&client, "the handshake with", ANY_ALERT);
}

static void
test_other_protocol (void)
{
  RawClient client = { .priority = "NORMAL", .alpn = "h2" };

  test_raw (&client, "the handshake with", GNUTLS_A_NO_APPLICATION_PROTOCOL);
}

/* A peer with a good certificate that does not keep to our records. */
static void
test_bad_records (gconstpointer data)
{
  static const guint8 huge[8] = { 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0 };
  static const guint8 kind[8] = { 8, 0, 0, 0, 7, 0, 0, 0 };
  static const guint8 empty[8] = { 0 };
  const guint8 *const all[] = { huge, kind, empty };
  Scene scene;
  RawClient client = { .priority = "NORMAL", .alpn = "commy/1", .n_bytes = 8 };
  GThread *thread;
  CommyMessage message;
  CommyIo result;

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  client.address = address_of (scene.server);
  client.dir = scene.dirs[1];
  client.bytes = all[GPOINTER_TO_UINT (data)];
  thread = g_thread_new ("raw", raw_client_thread, &client);
  while (scene.server->accepted == NULL)
    tls_node_turn ();
  while ((result = scene.server->ops->peek (scene.server->accepted, &message))
         == COMMY_IO_WOULD_BLOCK)
    {
      struct pollfd fd = { .fd = scene.server->ops->fd (scene.server->accepted), .events = POLLIN };

      poll (&fd, 1, -1);
    }
  g_assert_cmpint (result, ==, COMMY_IO_CLOSED);
  assert_says (scene.server->ops->why (scene.server->accepted), "broke the protocol");
  tls_node_close (scene.server, scene.server->accepted);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_thread_join (thread);
  scene_clear (&scene);
}

static void
test_garbage (void)
{
  static const char *const all[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\xff\xff",
                                     "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff",
                                     "SSH-2.0-x\r\n aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
  Scene scene;

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (all) + 50; i++)
    {
      int fd = raw_connect (address_of (scene.server));
      guint8 noise[512];
      guint before = scene.server->n_settled;

      for (gsize j = 0; j < sizeof noise; j++)
        noise[j] = (guint8) g_test_rand_int ();
      if (i < G_N_ELEMENTS (all))
        g_assert_cmpint (send (fd, all[i], strlen (all[i]), MSG_NOSIGNAL), >, 0);
      else
        g_assert_cmpint (send (fd, noise, sizeof noise, MSG_NOSIGNAL), >, 0);
      shutdown (fd, SHUT_WR);
      while (scene.server->n_settled == before)
        tls_node_turn ();
      g_assert_nonnull (scene.server->refusal);
      close (fd);
    }
  g_assert_null (scene.server->accepted);
  scene_clear (&scene);
}

static void
test_silent_client (void)
{
  static const char *const params[] = { "handshake-timeout=20000000", NULL };
  Scene scene;
  int fd;

  scene_init (&scene, 1, 1);
  scene_open (&scene, params);
  fd = raw_connect (address_of (scene.server));
  while (scene.server->n_settled == 0)
    tls_node_turn ();
  assert_says (scene.server->refusal, "did not finish the handshake within 20 ms");
  close (fd);
  scene_clear (&scene);
}

/* A server that takes the connection and says nothing: the core gives up and closes. */
static void
test_silent_server (void)
{
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof at;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_autofree char *address = NULL;
  TlsAttempt attempt;
  Scene scene;
  int peer;
  guint8 hello[5];

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &at, sizeof at), ==, 0);
  g_assert_cmpint (listen (fd, 1), ==, 0);
  g_assert_cmpint (getsockname (fd, (struct sockaddr *) &at, &size), ==, 0);
  address = g_strdup_printf ("127.0.0.1:%u", ntohs (at.sin_port));
  tls_attempt_start (&attempt, scene.client, address);
  peer = accept (fd, NULL, NULL);
  while (recv (peer, hello, sizeof hello, MSG_DONTWAIT | MSG_PEEK) < 0)
    tls_node_turn ();
  tls_attempt_clear (&attempt);
  g_assert_false (attempt.settled);
  g_assert_cmpint (recv (peer, hello, sizeof hello, 0), >, 0);
  close (peer);
  close (fd);
  scene_clear (&scene);
}

static void
test_nobody_there (void)
{
  static const char *const bad[]
      = { "",       "nonsense", "127.0.0.1:", "127.0.0.1:0",   ":80",          "[::1]",
          "::1:80", "[]:80",    "1.2.3.4:x",  "1.2.3.4:70000", "1.2.3.4:80:80" };
  TlsAttempt attempt;
  Scene scene;
  g_autofree char *address = NULL;
  char reason[512];

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  address = g_strdup (address_of (scene.server));
  tls_node_unlisten (scene.server);
  tls_attempt_start (&attempt, scene.client, address);
  while (!attempt.settled)
    tls_node_turn ();
  g_assert_cmpint (attempt.code, ==, COMMY_ERROR_UNREACHABLE);
  assert_says (attempt.refusal, address);
  tls_attempt_clear (&attempt);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const CommyEndpoint endpoint
          = { .struct_size = sizeof endpoint, .transport = "tls", .address = bad[i] };

      g_assert_false (
          scene.client->ops->reachable (scene.client->instance, &endpoint, reason, sizeof reason));
      tls_attempt_start (&attempt, scene.client, bad[i]);
      while (!attempt.settled)
        tls_node_turn ();
      assert_says (attempt.refusal, "not an address");
      tls_attempt_clear (&attempt);
    }
  scene_clear (&scene);
}

static void
test_reachable (void)
{
  CommyEndpoint endpoint
      = { .struct_size = sizeof endpoint, .transport = "tls", .host_id = "this-host" };
  Scene scene;
  char reason[512];

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  endpoint.address = "127.0.0.1:80";
  g_assert_true (
      scene.client->ops->reachable (scene.client->instance, &endpoint, reason, sizeof reason));
  endpoint.host_id = "another-host";
  g_assert_false (
      scene.client->ops->reachable (scene.client->instance, &endpoint, reason, sizeof reason));
  assert_says (reason, "loopback address of another host");
  endpoint.address = "[2001:db8::1]:80";
  g_assert_true (
      scene.client->ops->reachable (scene.client->instance, &endpoint, reason, sizeof reason));
  scene_clear (&scene);
}

/* The core's limit on connections being set up; of those beyond one is hung up on. */
static void
test_limit (void)
{
  Scene scene;
  TlsAttempt first;
  TlsAttempt second;

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  scene.server->allowed = 1;
  tls_attempt_start (&first, scene.client, address_of (scene.server));
  tls_attempt_start (&second, scene.client, address_of (scene.server));
  while (!first.settled || !second.settled || scene.server->accepted == NULL)
    tls_node_turn ();
  g_assert_true ((first.refusal == NULL) != (second.refusal == NULL));
  assert_says (first.refusal != NULL ? first.refusal : second.refusal, "hung up");
  tls_attempt_clear (&first);
  tls_attempt_clear (&second);
  scene_clear (&scene);
}

/* Connections in mid handshake go with their listener, without a word. */
static void
test_unlisten_in_handshake (void)
{
  Scene scene;
  int fds[3];

  scene_init (&scene, 1, 1);
  scene_open (&scene, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = raw_connect (address_of (scene.server));
  while (g_hash_table_size (scene.server->alive) < G_N_ELEMENTS (fds))
    tls_node_turn ();
  tls_node_unlisten (scene.server);
  g_assert_cmpuint (scene.server->n_settled, ==, 0);
  g_hash_table_remove_all (scene.server->alive); /* their memory is the core's again */
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      guint8 byte;

      g_assert_cmpint (recv (fds[i], &byte, 1, 0), <=, 0);
      close (fds[i]);
    }
  scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  alarm (WATCHDOG_S); /* a hang is a failure, not a wait */
  g_test_init (&argc, &argv, NULL);
  /* attack: an expired certificate; defence: refused in the handshake, both sides are told */
  g_test_add_func ("/tls/refuses/expired-client-on-both-sides", test_expired_client);
  g_test_add_func ("/tls/refuses/expired-server-on-both-sides", test_expired_server);
  g_test_add_func ("/tls/refuses/another-mesh-on-both-sides", test_other_mesh);
  g_test_add_func ("/tls/refuses/another-mesh-seen-by-the-server",
                   test_other_mesh_seen_by_the_server);
  /* attack: no certificate at all; defence: one is required in the handshake */
  g_test_add_func ("/tls/refuses/client-without-certificate", test_anonymous);
  /* attack: downgrade to TLS 1.2; defence: TLS 1.3 is all that is spoken */
  g_test_add_func ("/tls/refuses/tls-1.2", test_tls12);
  /* attack: a handshake that was meant for another protocol; defence: ALPN is required */
  g_test_add_func ("/tls/refuses/another-protocol", test_other_protocol);
  /* attack: a message that says it is enormous; defence: refused before memory is taken */
  g_test_add_data_func ("/tls/refuses/record/huge", GUINT_TO_POINTER (0), test_bad_records);
  g_test_add_data_func ("/tls/refuses/record/unknown", GUINT_TO_POINTER (1), test_bad_records);
  g_test_add_data_func ("/tls/refuses/record/empty", GUINT_TO_POINTER (2), test_bad_records);
  /* attack: garbage in the place of a handshake; defence: the connection ends, nothing else does */
  g_test_add_func ("/tls/refuses/garbage", test_garbage);
  g_test_add_func ("/tls/refuses/silent-client", test_silent_client);
  g_test_add_func ("/tls/connect/silent-server-can-be-given-up", test_silent_server);
  g_test_add_func ("/tls/connect/nobody-there-and-no-address", test_nobody_there);
  g_test_add_func ("/tls/connect/reachable-knows-loopback-of-others", test_reachable);
  g_test_add_func ("/tls/listen/needs-a-certificate", test_no_credentials);
  g_test_add_func ("/tls/listen/the-cores-limit-holds", test_limit);
  g_test_add_func ("/tls/listen/unlisten-in-mid-handshake", test_unlisten_in_handshake);
  return g_test_run ();
}
