/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strangers on either side of an admission: addresses that lead to somebody else, who must learn
 * nothing, and visitors of the service, who must not keep others out.
 */
#include "config.h"

#include "tests/pki/join-fixture.h"

#include <errno.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- addresses that do not help --- */

/* A listening socket of our own that nobody serves. */
static int
listen_somewhere (char **out_address)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t size = sizeof address;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, size), ==, 0);
  g_assert_cmpint (listen (fd, 16), ==, 0);
  g_assert_cmpint (getsockname (fd, (struct sockaddr *) &address, &size), ==, 0);
  *out_address = g_strdup_printf ("127.0.0.1:%u", ntohs (address.sin_port));
  return fd;
}

static void
test_unanswered (void)
{
  char *authority = fixture_authority_dir ();
  char *dir = join_new_dir ();
  g_autofree char *address = NULL;
  int fd = listen_somewhere (&address);
  g_autofree char *token = join_make_token (authority, address, fixture_now () + 600);
  g_auto (JoinRun) silent = { 0 };
  g_auto (JoinRun) nobody = { 0 };

  join_run (&silent, token, "join", "-", "--dir", dir, "--timeout", "300ms", NULL);
  join_assert_told (&silent, 5, "did not answer in time");
  close (fd);
  join_with (&nobody, token, dir, "h");
  join_assert_told (&nobody, 1, "nobody listens at");
  g_assert_nonnull (strstr (nobody.err, "commy pki serve"));
  g_assert_true (join_is_empty (dir));
  fixture_remove (dir);
  fixture_remove (authority);
}

/* Somebody who answers one connection with TLS, or with plain text if @credentials is NULL. */
typedef struct
{
  int fd;
  gnutls_certificate_credentials_t credentials;
  const char *alpn;
  char *heard; /* what came over TLS */
} Impostor;

static void
impose (Impostor *self, int fd)
{
  gnutls_session_t tls;
  gnutls_datum_t alpn = { (guint8 *) self->alpn, (unsigned) strlen (self->alpn) };
  char text[512];
  gssize got;

  gnutls_init (&tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
  gnutls_set_default_priority (tls);
  gnutls_credentials_set (tls, GNUTLS_CRD_CERTIFICATE, self->credentials);
  if (alpn.size > 0)
    gnutls_alpn_set_protocols (tls, &alpn, 1, 0);
  gnutls_transport_set_int (tls, fd);
  if (gnutls_handshake (tls) >= 0)
    {
      got = gnutls_record_recv (tls, text, sizeof text);
      self->heard = got > 0 ? g_strndup (text, (gsize) got) : NULL;
    }
  gnutls_deinit (tls);
}

static gpointer
impostor_work (gpointer data)
{
  Impostor *self = data;
  int fd = accept4 (self->fd, NULL, NULL, SOCK_CLOEXEC);

  if (self->credentials != NULL)
    impose (self, fd);
  else
    g_assert_cmpint (send (fd, "HTTP/1.0 400 what?\r\n\r\n", 22, MSG_NOSIGNAL), ==, 22);
  close (fd);
  return NULL;
}

static void
assert_impostor (const char *authority,
                 const char *chain_pem,
                 const char *key_pem,
                 const char *alpn,
                 const char *words)
{
  Impostor self = { .alpn = alpn };
  g_autofree char *address = NULL;
  g_autofree char *token = NULL;
  char *dir = join_new_dir ();
  g_auto (JoinRun) run = { 0 };
  GThread *thread;

  self.fd = listen_somewhere (&address);
  token = join_make_token (authority, address, fixture_now () + 600);
  if (chain_pem != NULL)
    g_assert_cmpint (commy_pki_tls_credentials (&self.credentials, chain_pem, key_pem), >=, 0);
  thread = g_thread_new ("impostor", impostor_work, &self);
  join_with (&run, token, dir, "h");
  g_thread_join (thread);
  if (run.status == 0 || strstr (run.err, words) == NULL)
    g_error ("exit %d, and \"%s\" does not say \"%s\"", run.status, run.err, words);
  g_assert_null (self.heard); /* not a byte was told */
  g_assert_true (join_is_empty (dir));
  if (self.credentials != NULL)
    gnutls_certificate_free_credentials (self.credentials);
  close (self.fd);
  fixture_remove (dir);
}

/* The worst of them: a member of the mesh, with a certificate of the right authority. */
static void
test_impostors (void)
{
  char *authority = fixture_authority_dir ();
  char *member = fixture_credentials_dir (authority, -1, 1);
  g_autoptr (CommyPkiAuthority) loaded = commy_pki_authority_load (authority, NULL);
  g_autoptr (CommyPkiPair) real = commy_pki_issue_path (
      loaded, COMMY_PKI_AUTHORITY_PATH, fixture_now () - 60, fixture_now () + DAY, NULL);
  g_autofree char *ca = commy_pki_read_file (authority, COMMY_PKI_CA_FILE, FALSE, NULL);
  g_autofree char *cert = commy_pki_read_file (member, COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_autofree char *key = commy_pki_read_file (member, COMMY_PKI_KEY_FILE, TRUE, NULL);
  g_autofree char *chain = g_strconcat (cert, ca, NULL);
  g_autofree char *real_chain = g_strconcat (real->cert_pem, ca, NULL);

  assert_impostor (authority, NULL, NULL, "", "answers, but not as a Commy authority");
  assert_impostor (authority, chain, key, COMMY_PKI_ALPN, "and not the mesh's authority");
  assert_impostor (authority, cert, key, COMMY_PKI_ALPN, "shows no authority of a mesh");
  assert_impostor (authority, real_chain, real->key_pem, "", "not as a Commy authority");
  fixture_remove (member);
  fixture_remove (authority);
}

/* --- strangers at the authority --- */

static int
connect_to (const char *address)
{
  struct sockaddr_in to = { .sin_family = AF_INET };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  to.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  to.sin_port = htons ((guint16) atoi (strchr (address, ':') + 1));
  g_assert_cmpint (connect (fd, (struct sockaddr *) &to, sizeof to), ==, 0);
  return fd;
}

#define SILENT 200

static void
test_slow_strangers (void)
{
  JoinAuthority authority;
  int fds[SILENT];
  char *dir = join_new_dir ();
  g_autofree char *token = NULL;
  g_auto (JoinRun) run = { 0 };

  join_authority_init (&authority);
  token = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  for (guint i = 0; i < SILENT; i++)
    {
      fds[i] = connect_to (authority.address);
      if (i % 2 == 0) /* half of them begin a handshake and leave it at that */
        g_assert_cmpint (send (fds[i], "\x16\x03\x01\x02", 4, MSG_NOSIGNAL), ==, 4);
    }
  join_with (&run, token, dir, "h");
  join_assert_done (&run);
  for (guint i = 0; i < SILENT; i++)
    close (fds[i]);
  join_authority_clear (&authority);
  fixture_remove (dir);
}

/* --- a flood that goes on while one joins --- */

/* The way of one who joins to the service: before each of its steps a flood comes. */
typedef struct
{
  const char *address; /* of the service */
  int listener;
  int ends[2]; /* who joins, the service */
  guint n_steps;
  const guint8 *hosts; /* 127.0.0.x from which the flood comes, ends with 0 */
  gboolean with_hello; /* whole first words, not silence */
  guint8 hello[2048];
  gsize hello_size;
  GArray *flood; /* of int */
} Relay;

#define A_STEP 100

static ssize_t
take_hello (gnutls_transport_ptr_t data, const void *bytes, size_t size)
{
  Relay *self = data;

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
make_hello (Relay *self)
{
  gnutls_certificate_credentials_t credentials;
  gnutls_priority_t priority;
  gnutls_session_t session;

  gnutls_certificate_allocate_credentials (&credentials);
  g_assert_cmpint (commy_pki_tls_priority (&priority), ==, 0);
  g_assert_cmpint (commy_pki_tls_session (&session, GNUTLS_CLIENT, priority, credentials, -1), ==,
                   0);
  gnutls_transport_set_ptr (session, self);
  gnutls_transport_set_push_function (session, take_hello);
  gnutls_transport_set_pull_function (session, have_nothing);
  g_assert_cmpint (gnutls_handshake (session), ==, GNUTLS_E_AGAIN);
  gnutls_deinit (session);
  gnutls_priority_deinit (priority);
  gnutls_certificate_free_credentials (credentials);
}

static int
connect_from (const char *address, guint8 host)
{
  struct sockaddr_in from = { .sin_family = AF_INET };
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  from.sin_addr.s_addr = htonl (INADDR_LOOPBACK - 1 + host);
  to.sin_port = htons ((guint16) atoi (strchr (address, ':') + 1));
  g_assert_cmpint (bind (fd, (struct sockaddr *) &from, sizeof from), ==, 0);
  g_assert_cmpint (connect (fd, (struct sockaddr *) &to, sizeof to), ==, 0);
  return fd;
}

/* Comes, and is taken in as far as it will be. */
static void
flood (Relay *self)
{
  for (const guint8 *host = self->hosts; *host != 0; host++)
    for (guint i = 0; i < A_STEP; i++)
      {
        int fd = connect_from (self->address, *host);

        if (self->with_hello)
          (void) send (fd, self->hello, self->hello_size, MSG_NOSIGNAL);
        g_array_append_val (self->flood, fd);
        if (i % 16 == 0)
          while (g_main_context_iteration (NULL, FALSE))
            ;
      }
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static gboolean
on_relay (int fd, GIOCondition condition, gpointer data)
{
  Relay *self = data;
  guint8 bytes[16384];
  ssize_t got;
  int other;

  flood (self);
  self->n_steps++;
  got = recv (fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (self->ends[1] < 0) /* now: a client's first word comes right behind its connection */
    {
      self->ends[1] = connect_from (self->address, 1);
      g_unix_fd_add (self->ends[1], G_IO_IN, on_relay, self);
    }
  other = fd == self->ends[0] ? self->ends[1] : self->ends[0];
  if (got <= 0 || send (other, bytes, (gsize) got, MSG_NOSIGNAL) != got)
    {
      shutdown (other, SHUT_RDWR);
      return G_SOURCE_REMOVE;
    }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_relay_incoming (int fd, GIOCondition condition, gpointer data)
{
  Relay *self = data;

  self->ends[0] = accept4 (fd, NULL, NULL, SOCK_CLOEXEC);
  g_unix_fd_add (self->ends[0], G_IO_IN, on_relay, self);
  return G_SOURCE_REMOVE;
}

static void
assert_joins_in_flood (const guint8 *hosts, gboolean with_hello)
{
  char *dir = fixture_authority_dir ();
  char *joined = join_new_dir ();
  const CommyPkiServerConfig config
      = { .dir = dir, .listen = "127.0.0.1:0", .deadline_us = 60 * G_USEC_PER_SEC };
  g_autoptr (CommyPkiServer) server = commy_pki_server_new (&config, NULL);
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  Relay relay = { .ends = { -1, -1 }, .hosts = hosts, .with_hello = with_hello, .flood = fds };
  g_autofree char *address = NULL;
  g_autofree char *token = NULL;
  g_auto (JoinRun) run = { 0 };

  relay.address = commy_pki_server_get_address (server);
  relay.listener = listen_somewhere (&address);
  make_hello (&relay);
  g_unix_fd_add (relay.listener, G_IO_IN, on_relay_incoming, &relay);
  token = join_make_token (dir, address, fixture_now () + 600);
  flood (&relay);
  join_with (&run, token, joined, "h");
  join_assert_done (&run);
  g_assert_cmpuint (relay.n_steps, >=, 4);
  while (g_source_remove_by_user_data (&relay))
    ;
  for (guint i = 0; i < fds->len; i++)
    close (g_array_index (fds, int, i));
  for (guint i = 0; i < G_N_ELEMENTS (relay.ends); i++)
    close (relay.ends[i]);
  close (relay.listener);
  fixture_remove (joined);
  fixture_remove (dir);
}

/* A thousand a second are some thirty each round trip of a host nearby; here they are more. */
static void
test_silent_flood (void)
{
  static const guint8 same[] = { 1, 0 };

  assert_joins_in_flood (same, FALSE);
}

static void
test_flood_of_first_words (void)
{
  static const guint8 one[] = { 2, 0 };

  assert_joins_in_flood (one, TRUE);
}

static void
test_flood_from_many (void)
{
  static const guint8 many[] = { 2, 3, 4, 5, 6, 7, 0 };

  assert_joins_in_flood (many, TRUE);
}

/* One that has nothing to do is let go by the deadline. */
static void
test_deadline (void)
{
  char *dir = fixture_authority_dir ();
  const CommyPkiServerConfig config
      = { .dir = dir, .listen = "127.0.0.1:0", .deadline_us = 50 * 1000 };
  g_autoptr (CommyPkiServer) server = commy_pki_server_new (&config, NULL);
  int fd = connect_to (commy_pki_server_get_address (server));
  char byte;

  while (commy_pki_server_get_n_connections (server) == 0)
    g_main_context_iteration (NULL, TRUE);
  while (commy_pki_server_get_n_connections (server) > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (recv (fd, &byte, 1, 0), <=, 0);
  close (fd);
  fixture_remove (dir);
}

static void
test_garbage (void)
{
  JoinAuthority authority;
  char *dir = join_new_dir ();
  g_autofree char *token = NULL;
  g_auto (JoinRun) run = { 0 };

  join_authority_init (&authority);
  token = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  for (guint i = 0; i < 20; i++)
    {
      int fd = connect_to (authority.address);
      char rest[256];

      g_assert_cmpint (send (fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), ==, 18);
      while (recv (fd, rest, sizeof rest, 0) > 0)
        ;
      close (fd);
    }
  join_with (&run, token, dir, "h");
  join_assert_done (&run);
  join_authority_clear (&authority);
  fixture_remove (dir);
}

/* Who guesses is soon not listened to any more. */
static void
test_guessing (void)
{
  JoinAuthority authority;
  char *dir = join_new_dir ();
  g_autofree char *text = NULL;
  g_autoptr (CommyPkiToken) token = NULL;
  CommyPkiJoin guess = { .dir = dir, .host = "h", .user = "u", .now_s = fixture_now () };
  g_autoptr (GError) last = NULL;

  join_authority_init (&authority);
  text = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  token = commy_pki_token_parse (text, NULL);
  guess.token = token;
  token->secret[0] ^= 1;
  for (guint i = 0; i < COMMY_PKI_LIMITER_FAILURES; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (commy_pki_join (&guess, NULL, &error));
      g_assert_nonnull (strstr (error->message, "no such token"));
    }
  token->secret[0] ^= 1;
  g_assert_null (commy_pki_join (&guess, NULL, &last));
  g_assert_null (strstr (last->message, "refuses"));
  join_authority_clear (&authority);
  fixture_remove (dir);
}

static void
test_one_service (void)
{
  JoinAuthority authority;
  g_auto (JoinRun) run = { 0 };
  g_autofree char *found = NULL;

  join_authority_init (&authority);
  found = commy_pki_server_find (authority.dir);
  g_assert_cmpstr (found, ==, authority.address);
  join_run (&run, NULL, "pki", "serve", "--dir", authority.dir, "--listen", "127.0.0.1:0", NULL);
  join_assert_told (&run, 1, "another process serves this authority already");
  join_authority_stop (&authority);
  g_assert_null (commy_pki_server_find (authority.dir));
  join_authority_start (&authority, "24h");
  join_authority_clear (&authority);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/strangers/addresses-that-do-not-answer", test_unanswered);
  g_test_add_func ("/strangers/impostors-learn-nothing", test_impostors);
  /* attack: slow strangers at the port where hosts join; defence: limits in number and time */
  g_test_add_func ("/strangers/slow-ones-do-not-keep-others-out", test_slow_strangers);
  g_test_add_func ("/strangers/a-silent-flood-keeps-nobody-out", test_silent_flood);
  /* attack: connections without end at that port, while a host joins; defence: an address has a
   * share, in which its own give way first */
  g_test_add_func ("/strangers/a-flood-of-first-words-keeps-nobody-out", test_flood_of_first_words);
  g_test_add_func ("/strangers/a-flood-from-many-keeps-nobody-out", test_flood_from_many);
  g_test_add_func ("/strangers/are-let-go-by-the-deadline", test_deadline);
  g_test_add_func ("/strangers/garbage-does-no-harm", test_garbage);
  /* attack: guess the secret of a join token; defence: 160 bits, and a limit for each address */
  g_test_add_func ("/strangers/guessing-ends-soon", test_guessing);
  g_test_add_func ("/strangers/a-second-service-is-refused", test_one_service);
  return g_test_run ();
}
