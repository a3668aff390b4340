/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host of several users: see the header.
 */
#include "config.h"

#include "users-scene.h"

#include <errno.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

void
host_fixture_set_up (HostFixture *fixture, gconstpointer unused)
{
  mesh_fixture_set_up (&fixture->mesh, NULL);
  fixture->daemon = test_daemon_new ();
}

void
host_fixture_tear_down (HostFixture *fixture, gconstpointer unused)
{
  test_daemon_free (fixture->daemon);
  mesh_fixture_tear_down (&fixture->mesh, NULL);
}

char *
host_dup_settings (HostFixture *fixture)
{
  return g_strdup_printf ("store=commyd\n[plugin store/commyd]\nparam.socket=%s\n",
                          fixture->daemon->socket);
}

#ifdef HAVE_GNUTLS

static uid_t new_owner;

static int
give (const char *path, const struct stat *status, int type, struct FTW *where)
{
  return lchown (path, new_owner, new_owner);
}

char *
host_make_home (HostFixture *fixture, CommyPkiAuthority *authority, const char *name, uid_t uid)
{
  char *home = g_build_filename (fixture->daemon->dir, name, NULL);
  g_autofree char *pki = g_build_filename (home, "state", "test", "pki", NULL);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiPair) pair
      = commy_pki_issue (authority, "testhost", name, now - 60, now + 86400, &error);

  g_assert_no_error (error);
  g_assert_cmpint (g_mkdir_with_parents (pki, 0700), ==, 0);
  commy_pki_pair_save (pair, authority, pki, &error);
  g_assert_no_error (error);
  new_owner = uid;
  g_assert_cmpint (nftw (home, give, 8, FTW_PHYS), ==, 0);
  return home;
}

#endif

char *
host_dup_keyfile (HostFixture *fixture, const char *home, const char *policy)
{
  g_autofree char *text = host_dup_settings (fixture);

  return g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n%s"
                          "[plugin transport/tls]\nparam.bind=127.0.0.1\n%s",
                          home, home, text, policy);
}

pid_t
host_start_as (uid_t uid, const char *home, const char *role, const char *text, int fd)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  const char *const argv[] = { self, role, text, "1", NULL };
  pid_t pid = fork ();

  if (pid != 0)
    return pid;
  if (fd >= 0)
    dup2 (fd, 3);
  g_setenv ("HOME", home, TRUE);
  g_unsetenv ("XDG_RUNTIME_DIR");
  if (chdir ("/") < 0 || setgroups (0, NULL) < 0 || setresgid (uid, uid, uid) < 0
      || setresuid (uid, uid, uid) < 0)
    _exit (78);
  execv (self, (char **) argv);
  _exit (77);
}

int
host_wait_for (pid_t pid)
{
  int status = -1;

  while (waitpid (pid, &status, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

void
host_open_to_all (TestDaemon *daemon)
{
  g_autofree char *folder = g_path_get_dirname (daemon->socket);

  test_daemon_write_keyfile (daemon, "[daemon]\nmode=0666\n");
  g_assert_cmpint (g_chmod (daemon->dir, 0755), ==, 0);
  g_mkdir_with_parents (folder, 0755);
  test_daemon_start (daemon);
}
