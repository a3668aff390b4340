/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the demo runs: a temporary folder of its own with run-time and state directories,
 * certificates made by `commy pki init`, and the two keyfiles that make the difference between
 * the instances. Nothing of the user's own mesh is touched.
 */
#include "config.h"

#include "demo.h"

#include <errno.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <string.h>

/* DEMO_BUILD_DIR and DEMO_SOURCE_DIR come from the make fragment: this program is not installed. */
static const char *
folder (const char *variable, const char *fallback)
{
  const char *set = g_getenv (variable);

  return set != NULL && set[0] != '\0' ? set : fallback;
}

static const char *
build_dir (void)
{
  return folder ("COMMY_BUILD_DIR", DEMO_BUILD_DIR);
}

/* Folders of plugins, as a keyfile's list. */
static char *
plugin_path (void)
{
  g_autofree char *modules = g_build_filename (build_dir (), "modules", ".libs", NULL);
  char *path = g_strdup (folder ("COMMY_PLUGIN_PATH", modules));

  return g_strdelimit (path, ":", ';');
}

/* --- the command --- */

static char *
find_command (void)
{
  const char *const places[] = { "commy", "cli/commy", NULL };

  for (guint i = 0; places[i] != NULL; i++)
    {
      g_autofree char *path = g_build_filename (build_dir (), places[i], NULL);

      if (g_file_test (path, G_FILE_TEST_IS_EXECUTABLE) && !g_file_test (path, G_FILE_TEST_IS_DIR))
        return g_steal_pointer (&path);
    }
  return g_find_program_in_path ("commy");
}

static gboolean
make_certificates (const char *dir, GError **error)
{
  g_autofree char *command = find_command ();
  g_autoptr (GSubprocess) process = NULL;
  g_autofree char *said = NULL;

  if (command == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                   "the command commy, which makes the certificates, is neither in %s nor on PATH",
                   build_dir ());
      return FALSE;
    }
  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE,
                              error, command, "pki", "init", "--mesh", "default", "--host",
                              "localhost", "--user", "demo", "--dir", dir, NULL);
  if (process == NULL || !g_subprocess_communicate_utf8 (process, NULL, NULL, &said, NULL, error))
    return FALSE;
  if (g_subprocess_get_if_exited (process) && g_subprocess_get_exit_status (process) == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s pki init failed: %s", command,
               g_strstrip (said));
  return FALSE;
}

/* --- keyfiles --- */

static char *
common_settings (const char *dir)
{
  g_autofree char *plugins = plugin_path ();

  return g_strdup_printf ("[mesh]\n"
                          "runtime-dir=%s/run\n"
                          "state-dir=%s/state\n"
                          "credentials-dir=%s/pki\n"
                          "\n"
                          "[plugins]\n"
                          "# The build tree's folders may be writable by a group.\n"
                          "trust=any\n"
                          "user-plugins=true\n"
                          "path=%s\n",
                          dir, dir, dir, plugins);
}

static gboolean
write_keyfile (
    const char *path, const char *about, const char *dir, const char *more, GError **error)
{
  g_autofree char *common = common_settings (dir);
  g_autofree char *text = g_strconcat (about, common, more, NULL);

  return g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}

static gboolean
write_keyfiles (DemoPlace *self, GError **error)
{
  self->open = g_build_filename (self->dir, "open.conf", NULL);
  self->tls_only = g_build_filename (self->dir, "tls-only.conf", NULL);
  return write_keyfile (self->open, "# Instance A and the caller: every path is allowed.\n",
                        self->dir, "", error)
         && write_keyfile (self->tls_only, "# Instance B: nothing local, so only TLS remains.\n",
                           self->dir, "deny=transport/shm;transport/unix;transport/inproc\n",
                           error);
}

static void
set_environment (const DemoPlace *self)
{
  g_autofree char *shipped = g_build_filename (folder ("COMMY_SOURCE_DIR", DEMO_SOURCE_DIR),
                                               "deploy", "config", "commy.conf", NULL);

  g_setenv ("COMMY_SHIPPED_CONFIG", shipped, FALSE);
  g_setenv ("COMMY_CONFIG", self->open, TRUE);
  g_unsetenv ("COMMY_PLUGIN_PATH"); /* its folders are in the keyfiles */
}

/* --- the folder --- */

static int
remove_entry (const char *path, const struct stat *status, int kind, struct FTW *level)
{
  return g_remove (path);
}

static char *
program_beside_us (const char *name, GError **error)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", error);
  g_autofree char *dir = self != NULL ? g_path_get_dirname (self) : NULL;

  return dir != NULL ? g_build_filename (dir, name, NULL) : NULL;
}

DemoPlace *
demo_place_new (GError **error)
{
  DemoPlace *self = g_new0 (DemoPlace, 1);
  g_autofree char *pki = NULL;

  self->service = program_beside_us ("digest-service", error);
  self->dir = self->service != NULL ? g_dir_make_tmp ("commy-demo-XXXXXX", error) : NULL;
  if (self->dir != NULL)
    {
      pki = g_build_filename (self->dir, "pki", NULL);
      if (make_certificates (pki, error) && write_keyfiles (self, error))
        {
          set_environment (self);
          return self;
        }
    }
  demo_place_free (self);
  return NULL;
}

void
demo_place_free (DemoPlace *self)
{
  if (self == NULL)
    return;
  if (self->dir != NULL && nftw (self->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
    g_printerr ("commy-demo: %s could not be removed: %s\n", self->dir, g_strerror (errno));
  g_free (self->dir);
  g_free (self->service);
  g_free (self->open);
  g_free (self->tls_only);
  g_free (self);
}
