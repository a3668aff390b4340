/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joining in tests: the command as a process, an authority that it serves, tokens.
 */
#include "config.h"

#include "tests/pki/join-fixture.h"

#include <signal.h>
#include <string.h>

const char *
join_command (void)
{
  static char *path; /* lint: allow-static made once, the same for all */

  if (path == NULL)
    path = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "commy", NULL);
  return path;
}

/* --- running the command --- */

static void
on_communicated (GObject *source, GAsyncResult *result, gpointer data)
{
  JoinRun *run = data;
  g_autoptr (GError) error = NULL;

  g_subprocess_communicate_utf8_finish (run->process, result, &run->out, &run->err, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (run->process));
  run->status = g_subprocess_get_exit_status (run->process);
  run->done = TRUE;
}

/* Words up to NULL; @input goes to its standard input. */
void
join_run_start (JoinRun *run, const char *input, const char *const *words)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;

  memset (run, 0, sizeof *run);
  g_ptr_array_add (argv, (gpointer) join_command ());
  for (; *words != NULL; words++)
    g_ptr_array_add (argv, (gpointer) *words);
  g_ptr_array_add (argv, NULL);
  run->process = g_subprocess_newv ((const char *const *) argv->pdata,
                                    G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE
                                        | G_SUBPROCESS_FLAGS_STDERR_PIPE,
                                    &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8_async (run->process, input != NULL ? input : "", NULL,
                                       on_communicated, run);
}

/* Serves our own context meanwhile: the other side may live in it. */
void
join_run_wait (JoinRun *run)
{
  while (!run->done)
    g_main_context_iteration (NULL, TRUE);
}

void
join_run_clear (JoinRun *run)
{
  g_clear_object (&run->process);
  g_clear_pointer (&run->out, g_free);
  g_clear_pointer (&run->err, g_free);
}
void
join_run (JoinRun *run, const char *input, const char *first, ...)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  va_list args;

  va_start (args, first);
  for (const char *word = first; word != NULL; word = va_arg (args, const char *))
    g_ptr_array_add (words, (gpointer) word);
  va_end (args);
  g_ptr_array_add (words, NULL);
  join_run_start (run, input, (const char *const *) words->pdata);
  join_run_wait (run);
}

void
join_assert_told (const JoinRun *run, int status, const char *words)
{
  if (run->status != status || strstr (run->err, words) == NULL)
    g_error ("exit %d (not %d), and \"%s\" does not say \"%s\"", run->status, status, run->err,
             words);
}

void
join_assert_done (const JoinRun *run)
{
  if (run->status != 0)
    g_error ("exit %d: %s", run->status, run->err);
}

/* --- the authority as a process --- */

void
join_authority_start (JoinAuthority *self, const char *life)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL;

  self->process = g_subprocess_new (
      G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error, join_command (),
      "pki", "serve", "--dir", self->dir, "--listen", "127.0.0.1:0", "--life", life, NULL);
  g_assert_no_error (error);
  self->out = g_data_input_stream_new (g_subprocess_get_stdout_pipe (self->process));
  line = g_data_input_stream_read_line (self->out, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_str_has_prefix (line, "listening  127.0.0.1:"));
  self->address = g_strdup (line + strlen ("listening  "));
}

void
join_authority_init (JoinAuthority *self)
{
  memset (self, 0, sizeof *self);
  self->dir = fixture_authority_dir ();
  join_authority_start (self, "24h");
}

void
join_authority_stop (JoinAuthority *self)
{
  if (self->process == NULL)
    return;
  g_subprocess_send_signal (self->process, SIGTERM);
  g_assert_true (g_subprocess_wait_check (self->process, NULL, NULL)); /* it leaves in good order */
  g_clear_object (&self->out);
  g_clear_object (&self->process);
  g_clear_pointer (&self->address, g_free);
}

void
join_authority_clear (JoinAuthority *self)
{
  join_authority_stop (self);
  fixture_remove (self->dir);
}

char *
join_token_for (const char *dir, const char *address, const char *host, const char *user)
{
  g_auto (JoinRun) run = { 0 };

  join_run (&run, NULL, "pki", "token", "create", "--dir", dir, "--address", address, "--host",
            host, "--user", user, NULL);
  join_assert_done (&run);
  return g_strdup (run.out);
}

char *
join_new_dir (void)
{
  char *dir = g_dir_make_tmp ("commy-join-XXXXXX", NULL);

  g_assert_nonnull (dir);
  return dir;
}

void
join_with (JoinRun *run, const char *token, const char *dir, const char *host)
{
  join_run (run, token, "join", "-", "--dir", dir, "--host", host, "--user", "u", NULL);
}

/* A token straight from the register, for times and addresses that the command does not make. */
char *
join_make_token (const char *dir, const char *address, gint64 expires_s)
{
  const char *const addresses[] = { address, NULL };
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (dir, NULL);
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (dir, NULL);
  g_autoptr (CommyPkiToken) token = NULL;
  guint8 fingerprint[COMMY_PKI_FINGERPRINT_SIZE];

  g_assert_true (commy_pki_authority_get_fingerprint (authority, fingerprint, NULL));
  token = commy_pki_token_new (fingerprint, addresses, expires_s, NULL);
  g_assert_true (commy_pki_register_add_token (reg, token, NULL, NULL, fixture_now (), NULL));
  g_assert_true (commy_pki_register_save (reg, fixture_now (), NULL));
  return commy_pki_token_to_text (token);
}

gboolean
join_is_empty (const char *dir)
{
  g_autofree char *cert = g_build_filename (dir, COMMY_PKI_CERT_FILE, NULL);
  g_autofree char *key = g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL);
  g_autofree char *ca = g_build_filename (dir, COMMY_PKI_CA_FILE, NULL);

  return !g_file_test (cert, G_FILE_TEST_EXISTS) && !g_file_test (key, G_FILE_TEST_EXISTS)
         && !g_file_test (ca, G_FILE_TEST_EXISTS);
}
