/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Namespaces and a real DNS server for tests.
 */
#include "config.h"

#include "tests/control/dns-fixture.h"
#include "tests/fixtures/net-namespace.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

/* --- a network of our own --- */

static char *
find_server (void)
{
  char *path = g_find_program_in_path ("dnsmasq");

  if (path == NULL && g_file_test ("/usr/sbin/dnsmasq", G_FILE_TEST_IS_EXECUTABLE))
    path = g_strdup ("/usr/sbin/dnsmasq");
  return path;
}

const char *
dns_fixture_enter (void)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "commy-resolv-XXXXXX", NULL);
  const char *text = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
  const char *why = NULL;
  g_autofree char *server = find_server ();
  int fd;

  if (server == NULL)
    return "dnsmasq is not installed";
  why = net_namespace_enter ();
  if (why != NULL)
    return why;
  fd = g_mkstemp (path);
  if (fd < 0 || write (fd, text, strlen (text)) < 0
      || mount (path, "/etc/resolv.conf", "", MS_BIND, NULL) != 0)
    why = "there is no /etc/resolv.conf here";
  if (fd >= 0)
    close (fd);
  g_unlink (path);
  return why;
}

/* --- the server --- */

/* Also where a test is aborted. */
static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

void
dns_server_start (DnsServer *self, const char *records)
{
  g_autofree char *program = find_server ();
  g_autofree char *config = NULL;
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr (GDataInputStream) lines = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("commy-dns-XXXXXX", &self->config, &error);

  g_assert_no_error (error);
  close (fd);
  g_assert_true (g_file_set_contents (self->config, records, -1, NULL));
  config = g_strconcat ("--conf-file=", self->config, NULL);
  g_subprocess_launcher_set_child_setup (launcher, die_with_parent, NULL, NULL);
  self->process = g_subprocess_launcher_spawn (
      launcher, &error, program, "--no-daemon", config, "--no-resolv", "--no-hosts",
      "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root", "--group=root",
      "--pid-file=", "--log-facility=-", "--local=/example.org/", NULL);
  g_assert_no_error (error);
  lines = g_data_input_stream_new (g_subprocess_get_stderr_pipe (self->process));
  for (;;)
    {
      g_autofree char *line = g_data_input_stream_read_line (lines, NULL, NULL, NULL);

      if (line == NULL)
        g_error ("dnsmasq did not start");
      if (strstr (line, "started, version") != NULL)
        return;
    }
}

void
dns_server_stop (DnsServer *self)
{
  if (self->process == NULL)
    return;
  g_subprocess_force_exit (self->process);
  g_subprocess_wait (self->process, NULL, NULL);
  g_clear_object (&self->process);
  g_unlink (self->config);
  g_clear_pointer (&self->config, g_free);
}
