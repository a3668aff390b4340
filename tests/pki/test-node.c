/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes that look after certificates while they run: one serves the authority because its keyfile
 * says so, others have theirs renewed there, at home, or say why not.
 */
#include "config.h"

#include "tests/pki/join-fixture.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

/* `commy serve` with folders of its own. */
typedef struct
{
  char *dir; /* with run/, state/, pki/ and a keyfile */
  char *pki;
  GSubprocess *process;
  GDataInputStream *told;
} Node;

static void
node_init (Node *self, const char *settings)
{
  g_autofree char *run = NULL;
  g_autofree char *state = NULL;
  g_autofree char *conf = NULL;
  g_autofree char *text = NULL;

  memset (self, 0, sizeof *self);
  self->dir = join_new_dir ();
  self->pki = g_build_filename (self->dir, "pki", NULL);
  run = g_build_filename (self->dir, "run", NULL);
  state = g_build_filename (self->dir, "state", NULL);
  conf = g_build_filename (self->dir, "commy.conf", NULL);
  g_assert_cmpint (g_mkdir (run, 0700) + g_mkdir (state, 0700) + g_mkdir (self->pki, 0700), ==, 0);
  text = g_strdup_printf ("[plugins]\ntrust=any\nuser-plugins=true\n"
                          "[mesh]\nruntime-dir=%s\nstate-dir=%s\ncredentials-dir=%s\n%s",
                          run, state, self->pki, settings);
  g_assert_true (g_file_set_contents (conf, text, -1, NULL));
}

static void
node_start (Node *self)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (
      G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_autofree char *conf = g_build_filename (self->dir, "commy.conf", NULL);
  g_autoptr (GError) error = NULL;

  g_subprocess_launcher_setenv (launcher, "COMMY_CONFIG", conf, TRUE);
  g_subprocess_launcher_unsetenv (launcher, "COMMY_RUNTIME_DIR");
  g_subprocess_launcher_unsetenv (launcher, "COMMY_STATE_DIR");
  self->process = g_subprocess_launcher_spawn (launcher, &error, join_command (), "serve",
                                               "org.example.Echo", NULL);
  g_assert_no_error (error);
  self->told = g_data_input_stream_new (g_subprocess_get_stderr_pipe (self->process));
}

/* Reads what it tells until a line has @words. (transfer full) */
static char *
node_await (Node *self, const char *words)
{
  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *line = g_data_input_stream_read_line (self->told, NULL, NULL, &error);

      g_assert_no_error (error);
      if (line == NULL)
        g_error ("the node ended before it said \"%s\"", words);
      g_test_message ("%s", line);
      if (strstr (line, words) != NULL)
        return g_steal_pointer (&line);
    }
}

static void
node_stop (Node *self)
{
  if (self->process == NULL)
    return;
  g_subprocess_send_signal (self->process, SIGTERM);
  g_assert_true (g_subprocess_wait_check (self->process, NULL, NULL));
  g_clear_object (&self->told);
  g_clear_object (&self->process);
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) listing = g_dir_open (path, 0, NULL);
  const char *name;

  while (listing != NULL && (name = g_dir_read_name (listing)) != NULL)
    {
      g_autofree char *inner = g_build_filename (path, name, NULL);

      if (g_file_test (inner, G_FILE_TEST_IS_DIR) && !g_file_test (inner, G_FILE_TEST_IS_SYMLINK))
        remove_tree (inner);
      else
        g_assert_cmpint (g_unlink (inner), ==, 0);
    }
  g_assert_cmpint (g_rmdir (path), ==, 0);
}

static void
node_clear (Node *self)
{
  node_stop (self);
  remove_tree (self->dir);
  g_free (self->pki);
  g_free (self->dir);
}

static void
make_authority (const char *dir)
{
  g_autoptr (CommyPkiAuthority) authority
      = commy_pki_authority_new ("default", fixture_now (), NULL);

  g_assert_true (commy_pki_authority_save (authority, dir, NULL));
}

/* Credentials with 40 s left of three minutes: due, and time enough for a slow machine. */
static void
make_due (const char *authority_dir, const char *dir, const char *issuer)
{
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (authority_dir, NULL);
  g_autoptr (CommyPkiPair) pair
      = commy_pki_issue (authority, "member", "u", fixture_now () - 140, fixture_now () + 40, NULL);
  g_autofree char *text = g_strdup_printf ("[issuer]\naddresses=%s\n", issuer);

  g_assert_true (commy_pki_pair_save (pair, authority, dir, NULL));
  if (issuer != NULL)
    g_assert_true (commy_pki_write_file (dir, COMMY_PKI_ISSUER_FILE, text, 0644, FALSE, NULL));
}

static void
test_renewal (void)
{
  Node authority, member;
  g_autofree char *line = NULL;
  g_autofree char *renewed = NULL;
  g_autoptr (CommyPkiCredentials) before = NULL;
  g_autoptr (CommyPkiCredentials) after = NULL;

  node_init (&authority, "[plugin auth/mtls]\n"
                         "param.serve-authority=127.0.0.1:0\nparam.certificate-life=1000s\n");
  make_authority (authority.pki);
  node_start (&authority);
  line = node_await (&authority, "serves the authority on ");

  node_init (&member, "");
  make_due (authority.pki, member.pki, strstr (line, "127.0.0.1:"));
  before = commy_pki_credentials_load (member.pki, NULL);
  node_start (&member);
  renewed = node_await (&member, "renewed the certificate of ");
  after = commy_pki_credentials_load (member.pki, NULL);
  g_assert_cmpstr (after->id, ==, before->id);
  g_assert_cmpint (after->not_after_s, >, before->not_after_s);
  g_assert_cmpint (after->not_after_s, <=, fixture_now () + 1000);
  g_assert_cmpstr (after->key_pem, !=, before->key_pem);
  node_clear (&member);
  node_clear (&authority);
}

/* An authority that does not answer is asked again, and the log says why. */
static void
test_backoff (void)
{
  JoinAuthority authority = { .dir = fixture_authority_dir () };
  g_autofree char *address = NULL;
  g_autofree char *first = NULL;
  g_autofree char *then = NULL;
  Node member;

  join_authority_start (&authority, "24h");
  address = g_strdup (authority.address);
  join_authority_stop (&authority);
  node_init (&member, "");
  make_due (authority.dir, member.pki, address);
  node_start (&member);
  first = node_await (&member, "cannot renew the certificate");
  g_assert_nonnull (strstr (first, "nobody listens at"));
  g_assert_nonnull (strstr (first, "failure 1"));
  then = node_await (&member, "failure 2");
  node_clear (&member);
  join_authority_clear (&authority);
}

/* Where the authority's key lies nobody has to be asked. */
static void
test_renewal_at_home (void)
{
  Node node;
  g_autofree char *line = NULL;

  node_init (&node, "");
  make_authority (node.pki);
  make_due (node.pki, node.pki, NULL);
  node_start (&node);
  line = node_await (&node, "renewed the certificate of ");
  g_assert_nonnull (strstr (line, "at this host"));
  node_clear (&node);
}

/* A node that leaves does not wait for an authority that keeps silent. */
static void
test_leaving (void)
{
  char *authority = fixture_authority_dir ();
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  g_autoptr (GSocketConnection) asked = NULL;
  g_autofree char *address = NULL;
  g_autoptr (GError) error = NULL;
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, &error);
  Node node;

  g_assert_no_error (error);
  address = g_strdup_printf ("127.0.0.1:%u", port);
  node_init (&node, "");
  make_due (authority, node.pki, address);
  node_start (&node);
  g_free (node_await (&node, "is offered in the mesh"));
  asked = g_socket_listener_accept (listener, NULL, NULL, &error);
  g_assert_no_error (error);
  node_clear (&node);
  fixture_remove (authority);
}

static void
test_orphan (void)
{
  char *authority = fixture_authority_dir ();
  Node node;
  g_autofree char *line = NULL;

  node_init (&node, "");
  make_due (authority, node.pki, NULL);
  node_start (&node);
  line = node_await (&node, "no issuer is known");
  node_clear (&node);
  fixture_remove (authority);
}

static void
test_no_certificate (void)
{
  Node node;
  g_autofree char *line = NULL;

  node_init (&node, "");
  node_start (&node);
  line = node_await (&node, "transport tls does not listen: ");
  g_assert_nonnull (strstr (line, "no certificate; run commy pki init or commy join"));
  node_clear (&node);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/node/renews-at-the-node-that-serves-the-authority", test_renewal);
  g_test_add_func ("/node/says-why-it-cannot-renew", test_backoff);
  g_test_add_func ("/node/renews-by-itself-where-the-authority-lies", test_renewal_at_home);
  g_test_add_func ("/node/leaves-while-an-authority-keeps-silent", test_leaving);
  g_test_add_func ("/node/tells-that-nobody-renews-what-was-made-by-hand", test_orphan);
  g_test_add_func ("/node/without-a-certificate-says-how-to-get-one", test_no_certificate);
  return g_test_run ();
}
