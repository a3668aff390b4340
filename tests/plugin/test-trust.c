/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may have written a plugin file: owner, mode, kind and place of the file, or its hash.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  char *root;
  char *folder;
  char *file;
} Place;

static void
place_init (Place *place, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  place->root = g_dir_make_tmp ("commy-trust-XXXXXX", &error);
  g_assert_no_error (error);
  place->folder = g_build_filename (place->root, "plugins", NULL);
  place->file = g_build_filename (place->folder, "libcommy-transport-x.so", NULL);
  g_assert_cmpint (g_mkdir (place->folder, 0755), ==, 0);
  g_assert_cmpint (g_chmod (place->folder, 0755), ==, 0);
  g_assert_true (g_file_set_contents (place->file, "abc", 3, NULL));
  g_assert_cmpint (g_chmod (place->file, 0644), ==, 0);
}

static void
place_clear (Place *place, gconstpointer data)
{
  g_chmod (place->folder, 0755);
  g_unlink (place->file);
  g_rmdir (place->folder);
  g_rmdir (place->root);
  g_free (place->root);
  g_free (place->folder);
  g_free (place->file);
}

static void
assert_trusted (const char *path, CommyTrust trust, const char *sha256)
{
  g_autoptr (GError) error = NULL;
  int fd = commy_trust_open (path, trust, sha256, &error);

  g_assert_no_error (error);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
  close (fd);
}

static void
assert_refused (const char *path, CommyTrust trust, const char *sha256, const char *sentence)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (commy_trust_open (path, trust, sha256, &error), ==, -1);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_TRUST);
  if (strstr (error->message, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, sentence);
}

static void
test_modes (Place *place, gconstpointer data)
{
  const mode_t open_to_others[] = { 0664, 0646, 0666, 0620, 0602, 0777 };
  const mode_t fine[] = { 0644, 0600, 0400, 0755, 0555 };

  for (gsize i = 0; i < G_N_ELEMENTS (fine); i++)
    {
      g_assert_cmpint (g_chmod (place->file, fine[i]), ==, 0);
      assert_trusted (place->file, COMMY_TRUST_OWNER, NULL);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (open_to_others); i++)
    {
      g_assert_cmpint (g_chmod (place->file, open_to_others[i]), ==, 0);
      assert_refused (place->file, COMMY_TRUST_OWNER, NULL, "is writable by group or others");
      assert_trusted (place->file, COMMY_TRUST_ANY, NULL);
    }
}

static void
test_set_id (Place *place, gconstpointer data)
{
  const mode_t modes[] = { 04755, 02755, 06755 };

  for (gsize i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_assert_cmpint (g_chmod (place->file, modes[i]), ==, 0);
      assert_refused (place->file, COMMY_TRUST_OWNER, NULL, "set-id bit");
      assert_refused (place->file, COMMY_TRUST_ANY, NULL, "set-id bit");
    }
}

static void
test_folders (Place *place, gconstpointer data)
{
  g_assert_cmpint (g_chmod (place->folder, 0775), ==, 0);
  assert_refused (place->file, COMMY_TRUST_OWNER, NULL, "is writable by group or others");
  assert_trusted (place->file, COMMY_TRUST_ANY, NULL);
  g_assert_cmpint (g_chmod (place->folder, 0757), ==, 0);
  assert_refused (place->file, COMMY_TRUST_OWNER, NULL, "plugins is writable by group or others");
  g_assert_cmpint (g_chmod (place->folder, 0755), ==, 0);

  /* Higher up as well. */
  g_assert_cmpint (g_chmod (place->root, 0777), ==, 0);
  assert_refused (place->file, COMMY_TRUST_OWNER, NULL, place->root);
  g_assert_cmpint (g_chmod (place->root, 0700), ==, 0);
  assert_trusted (place->file, COMMY_TRUST_OWNER, NULL);
}

static void
test_sticky (Place *place, gconstpointer data)
{
  /* Only root's sticky folders are safe. */
  g_assert_cmpint (g_chmod (place->folder, 01777), ==, 0);
  if (geteuid () == 0)
    assert_trusted (place->file, COMMY_TRUST_OWNER, NULL);
  else
    assert_refused (place->file, COMMY_TRUST_OWNER, NULL, "is writable by group or others");
  if (geteuid () != 0)
    return;
  g_assert_cmpint (chown (place->folder, 4242, 4242), ==, 0);
  assert_refused (place->file, COMMY_TRUST_OWNER, NULL, "belongs to user 4242");
  g_assert_cmpint (chown (place->folder, 0, 0), ==, 0);
}

static void
test_foreign_owner (Place *place, gconstpointer data)
{
  if (geteuid () != 0)
    {
      g_test_skip ("only root can give files away");
      return;
    }
  g_assert_cmpint (chown (place->file, 4242, 4242), ==, 0);
  assert_refused (place->file, COMMY_TRUST_OWNER, NULL, "belongs to user 4242");
  assert_trusted (place->file, COMMY_TRUST_ANY, NULL);
}

static void
test_kinds (Place *place, gconstpointer data)
{
  g_autofree char *link = g_build_filename (place->folder, "link.so", NULL);
  g_autofree char *fifo = g_build_filename (place->folder, "fifo.so", NULL);
  g_autofree char *missing = g_build_filename (place->folder, "missing.so", NULL);
  const CommyTrust rules[] = { COMMY_TRUST_OWNER, COMMY_TRUST_ANY };

  g_assert_cmpint (symlink (place->file, link), ==, 0);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (rules); i++)
    {
      assert_refused (link, rules[i], NULL, "is a symbolic link");
      assert_refused (fifo, rules[i], NULL, "is not a regular file");
      assert_refused (place->folder, rules[i], NULL, "is not a regular file");
      assert_refused (missing, rules[i], NULL, "No such file");
      assert_refused ("/dev/null", rules[i], NULL, "is not a regular file");
      assert_refused ("plugins/x.so", rules[i], NULL, "is not an absolute path");
    }
  g_unlink (link);
  g_unlink (fifo);
}

static void
test_linked_folder (Place *place, gconstpointer data)
{
  g_autofree char *link = g_build_filename (place->root, "link", NULL);
  g_autofree char *file = g_build_filename (link, "libcommy-transport-x.so", NULL);

  /* A link to a folder is followed once; what is checked is where it leads. */
  g_assert_cmpint (symlink (place->folder, link), ==, 0);
  assert_trusted (file, COMMY_TRUST_OWNER, NULL);
  g_assert_cmpint (g_chmod (place->folder, 0777), ==, 0);
  assert_refused (file, COMMY_TRUST_OWNER, NULL, "is writable by group or others");
  g_unlink (link);
}

static void
test_hash (Place *place, gconstpointer data)
{
  const char *right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const char *wrong = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae";
  g_autofree char *upper = g_ascii_strup (right, -1);
  g_autofree char *prefix = g_strndup (right, 63);

  /* The mode does not matter: the bytes are pinned. */
  g_assert_cmpint (g_chmod (place->file, 0666), ==, 0);
  assert_trusted (place->file, COMMY_TRUST_HASH, right);
  assert_trusted (place->file, COMMY_TRUST_HASH, upper);
  assert_refused (place->file, COMMY_TRUST_HASH, wrong, right);
  assert_refused (place->file, COMMY_TRUST_HASH, prefix, "pinned is");
  assert_refused (place->file, COMMY_TRUST_HASH, "", "no pinned SHA-256");
  assert_refused (place->file, COMMY_TRUST_HASH, NULL, "no pinned SHA-256");
  g_assert_true (g_file_set_contents (place->file, "abd", 3, NULL));
  assert_refused (place->file, COMMY_TRUST_HASH, right, "pinned is");
}

/* Who may write the file writes it in place: what was opened is what was checked. */
static void
test_hash_copy (Place *place, gconstpointer data)
{
  const char *right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  g_autoptr (GError) error = NULL;
  char bytes[8] = "";
  int fd, file;

  fd = commy_trust_open (place->file, COMMY_TRUST_HASH, right, &error);
  g_assert_no_error (error);
  file = open (place->file, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (file, "xyz!", 4, 0), ==, 4);
  close (file);
  g_assert_cmpint (pread (fd, bytes, sizeof bytes, 0), ==, 3);
  g_assert_cmpstr (bytes, ==, "abc");
  /* Nor can the copy be changed by somebody of this process. */
  g_assert_cmpint (pwrite (fd, "x", 1, 0), ==, -1);
  g_assert_cmpint (ftruncate (fd, 0), ==, -1);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
  close (fd);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add (PATH, Place, NULL, place_init, FUNC, place_clear)
  /* attack: a plugin file that others can write; defence: refused before any of it runs */
  ADD ("/plugin/trust/file-writable-by-others-is-refused", test_modes);
  ADD ("/plugin/trust/set-id-is-refused", test_set_id);
  /* attack: a plugin in a writable directory; defence: every folder above it is judged, too */
  ADD ("/plugin/trust/folder-writable-by-others-is-refused", test_folders);
  ADD ("/plugin/trust/sticky-folder-of-root-is-safe", test_sticky);
  ADD ("/plugin/trust/foreign-owner-is-refused", test_foreign_owner);
  ADD ("/plugin/trust/only-regular-files", test_kinds);
  /* attack: a link to a plugin folder elsewhere; defence: judged where it leads */
  ADD ("/plugin/trust/linked-folder-is-judged-where-it-leads", test_linked_folder);
  ADD ("/plugin/trust/pinned-hash-is-exact", test_hash);
  /* attack: change a plugin between its check and its use; defence: a sealed copy of what was
   * checked is loaded */
  ADD ("/plugin/trust/pinned-bytes-cannot-be-changed-afterwards", test_hash_copy);
  return g_test_run ();
}
