/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quarantine with real processes: a child starts a plugin and dies of it, others know. What ends
 * a quarantine, what must not begin one, and what happens where nothing can be remembered.
 */
#include "config.h"

#include "../conformance/commy-test-host.h"
#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  char *root;
  char *plugins; /* searched */
  char *state;
  char *records; /* state/.plugins */
  char *marker;  /* what ran */
} Place;

static void
place_init (Place *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  self->root = g_dir_make_tmp ("commy-quarantine-XXXXXX", &error);
  g_assert_no_error (error);
  self->plugins = g_build_filename (self->root, "plugins", NULL);
  self->state = g_build_filename (self->root, "state", NULL);
  self->records = g_build_filename (self->state, ".plugins", NULL);
  self->marker = g_build_filename (self->root, "marker", NULL);
  g_assert_cmpint (g_mkdir (self->plugins, 0755), ==, 0);
  g_assert_cmpint (g_mkdir (self->state, 0700), ==, 0);
  g_setenv ("COMMY_FIXTURE_MARKER", self->marker, TRUE);
  g_unsetenv ("COMMY_FIXTURE_HANG");
  g_unsetenv ("COMMY_PLUGIN_PATH");
}

static void
place_clear (Place *self, gconstpointer data)
{
  commy_test_remove_tree (self->root);
  g_free (self->root);
  g_free (self->plugins);
  g_free (self->state);
  g_free (self->records);
  g_free (self->marker);
}

/* Writes the fixture anew; @more bytes behind it make another build of it. */
static void
install (Place *self, const char *id, const char *more)
{
  g_autofree char *file = g_strdup_printf ("libcommy-transport-%s.so", id);
  g_autofree char *from = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "tests", "fixtures",
                                            "plugins", ".libs", file, NULL);
  g_autofree char *to = g_build_filename (self->plugins, file, NULL);
  g_autofree char *bytes = NULL;
  g_autoptr (GString) all = NULL;
  g_autoptr (GError) error = NULL;
  gsize size;

  g_file_get_contents (from, &bytes, &size, &error);
  g_assert_no_error (error);
  all = g_string_new_len (bytes, (gssize) size);
  g_string_append (all, more);
  g_assert_true (g_file_set_contents (to, all->str, (gssize) all->len, NULL));
  g_assert_cmpint (g_chmod (to, 0755), ==, 0);
}

static CommyConfig *
make_config (Place *self, const char *more)
{
  g_autofree char *text
      = g_strdup_printf ("[plugins]\npath=%s\ntrust=any\n%s\n", self->plugins, more);
  CommyConfigSources sources = { .program = text };
  g_autoptr (GError) error = NULL;
  CommyConfig *config = commy_config_load (&sources, &error);

  g_assert_no_error (error);
  return config;
}

static CommyCatalog *
look (Place *self)
{
  g_autoptr (CommyConfig) config = make_config (self, "");
  g_autoptr (GError) error = NULL;
  CommyCatalog *catalog = commy_catalog_new (config, self->state, &error);

  g_assert_no_error (error);
  return catalog;
}

static CommyPluginState
state_of (Place *self, const char *id)
{
  g_autoptr (CommyCatalog) catalog = look (self);
  const CommyPlugin *plugin = commy_catalog_find_any (catalog, COMMY_PLUGIN_TRANSPORT, id);

  g_assert_nonnull (plugin);
  return plugin->state;
}

static gboolean
start (Place *self, const char *id)
{
  const CommyHostSetup setup = { .mesh = "m", .env = commy_env_system () };
  g_autoptr (CommyConfig) config = make_config (self, "");
  g_autoptr (CommyCatalog) catalog = look (self);
  CommyPlugin *plugin = commy_catalog_find_any (catalog, COMMY_PLUGIN_TRANSPORT, id);

  return commy_plugin_load (plugin, config, NULL)
         && commy_plugin_start (plugin, config, &setup, NULL);
}

/* A process that starts the plugin; it exits with 42 if it comes that far. */
static pid_t
spawn_start (Place *self, const char *id)
{
  pid_t child = fork ();

  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      signal (SIGSEGV, SIG_DFL); /* no report of a sanitizer: this crash is wanted */
      signal (SIGABRT, SIG_DFL);
      start (self, id);
      _exit (42);
    }
  return child;
}

static int
await (pid_t child)
{
  int status;

  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  return status;
}

static void
crash (Place *self, const char *id)
{
  int status = await (spawn_start (self, id));

  g_assert_false (WIFEXITED (status) && WEXITSTATUS (status) == 42);
}

static char *
dup_ran (Place *self)
{
  char *ran = NULL;

  return g_file_get_contents (self->marker, &ran, NULL, NULL) ? ran : g_strdup ("");
}

/* The only record, or NULL. (transfer full): its path */
static char *
dup_record (Place *self, const char *ending)
{
  g_autoptr (GDir) dir = g_dir_open (self->records, 0, NULL);
  char *found = NULL;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_assert_true (g_str_has_suffix (name, ending));
      g_assert_null (found);
      found = g_build_filename (self->records, name, NULL);
    }
  return found;
}

static void
test_crash (Place *self, gconstpointer data)
{
  const char *const *what = data; /* id, part of the reason */
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (CommyConfig) config = make_config (self, "");
  g_autoptr (GError) error = NULL;
  g_autofree char *ran = NULL;
  g_autofree char *still = NULL;
  g_autofree char *record = NULL;
  CommyPlugin *plugin;
  struct stat info;

  install (self, what[0], "");
  install (self, "good", "");
  crash (self, what[0]);
  ran = dup_ran (self);

  catalog = look (self);
  plugin = commy_catalog_find_any (catalog, COMMY_PLUGIN_TRANSPORT, what[0]);
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_QUARANTINED);
  g_assert_nonnull (strstr (plugin->reason, what[1]));
  g_assert_nonnull (strstr (plugin->reason, "a new build is released by itself"));
  g_assert_nonnull (strstr (plugin->reason, "commy plugin release transport/"));
  g_assert_null (commy_catalog_find (catalog, COMMY_PLUGIN_TRANSPORT, what[0]));
  g_assert_false (commy_plugin_load (plugin, config, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_QUARANTINED);
  still = dup_ran (self);
  g_assert_cmpstr (still, ==, ran);
  /* The others are not touched by it, and the next process knows too. */
  g_assert_nonnull (commy_catalog_find (catalog, COMMY_PLUGIN_TRANSPORT, "good"));
  g_assert_cmpint (state_of (self, what[0]), ==, COMMY_PLUGIN_STATE_QUARANTINED);

  record = dup_record (self, ".quarantined");
  g_assert_nonnull (record);
  g_assert_cmpint (g_stat (record, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0600);
  g_assert_cmpint (g_stat (self->records, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0700);
}

static void
test_proved (Place *self, gconstpointer data)
{
  g_autofree char *record = NULL;
  g_autofree char *second = NULL;
  struct stat before, after;

  install (self, "good", "");
  g_assert_true (start (self, "good"));
  record = dup_record (self, ".proved");
  g_assert_nonnull (record);
  g_assert_cmpint (g_stat (self->records, &before), ==, 0);
  g_assert_true (start (self, "good"));
  g_assert_cmpint (g_stat (self->records, &after), ==, 0);
  g_assert_true (memcmp (&before.st_mtim, &after.st_mtim, sizeof before.st_mtim) == 0);

  /* Another build proves itself anew, and takes the place of the older one's record. */
  install (self, "good", "another build");
  g_assert_cmpint (await (spawn_start (self, "good")), ==, 42 << 8);
  second = dup_record (self, ".proved");
  g_assert_cmpstr (second, !=, record);
}

static void
test_failing (Place *self, gconstpointer data)
{
  install (self, "fail-init", "");
  g_assert_false (start (self, "fail-init"));
  /* Neither guilty nor proved: it said no and came back. */
  g_assert_null (dup_record (self, "nothing"));
  g_assert_cmpint (state_of (self, "fail-init"), ==, COMMY_PLUGIN_STATE_FOUND);
}

static void
test_new_build (Place *self, gconstpointer data)
{
  install (self, "crash-init", "");
  crash (self, "crash-init");
  g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_QUARANTINED);
  /* The same bytes put there again are the same build. */
  install (self, "crash-init", "");
  g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_QUARANTINED);
  install (self, "crash-init", "another build");
  g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_FOUND);
  g_assert_null (dup_record (self, "nothing"));
}

/* A new build that comes before anybody judged. */
static void
test_new_build_first (Place *self, gconstpointer data)
{
  install (self, "crash-init", "");
  crash (self, "crash-init");
  install (self, "crash-init", "another build");
  g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_FOUND);
  g_assert_null (dup_record (self, "nothing"));
}

static gsize
release (Place *self, const char *name, GError **error)
{
  g_autoptr (CommyCatalog) catalog = look (self);
  GVariant *released = commy_catalog_release (catalog, name, error);
  gsize n = released != NULL ? g_variant_n_children (released) : 0;

  g_clear_pointer (&released, g_variant_unref);
  return n;
}

static void
test_release (Place *self, gconstpointer data)
{
  static const char *const names[] = { "transport/crash-init", "crash-init", NULL };
  g_autoptr (GError) error = NULL;

  install (self, "crash-init", "");
  g_assert_cmpuint (release (self, NULL, &error), ==, 0);
  g_assert_no_error (error);
  g_assert_cmpuint (release (self, "crash-init", &error), ==, 0);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_MISSING);
  g_clear_error (&error);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      crash (self, "crash-init");
      g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_QUARANTINED);
      g_assert_cmpuint (release (self, "transport/other", NULL), ==, 0);
      g_assert_cmpuint (release (self, names[i], &error), ==, 1);
      g_assert_no_error (error);
      g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_FOUND);
    }
}

/* Starts hang-init in a process of its own and waits until it stands in its init. */
static pid_t
spawn_hanging (Place *self)
{
  GString *ran = g_string_new (NULL);
  pid_t child;
  int fd;

  g_assert_cmpint (mkfifo (self->marker, 0600), ==, 0);
  g_setenv ("COMMY_FIXTURE_HANG", "1", TRUE);
  child = spawn_start (self, "hang-init");
  fd = open (self->marker, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  while (strstr (ran->str, "hang;") == NULL)
    {
      char buffer[64];
      gssize n = read (fd, buffer, sizeof buffer);

      g_assert_cmpint (n, >, 0);
      g_string_append_len (ran, buffer, n);
    }
  close (fd);
  g_string_free (ran, TRUE);
  g_unsetenv ("COMMY_FIXTURE_HANG");
  g_unlink (self->marker);
  return child;
}

static void
test_running (Place *self, gconstpointer data)
{
  pid_t child;
  g_autoptr (CommyCatalog) catalog = NULL;
  const CommyPlugin *plugin;

  install (self, "hang-init", "");
  child = spawn_hanging (self);
  /* Its process lives: no crash. */
  g_assert_cmpint (state_of (self, "hang-init"), ==, COMMY_PLUGIN_STATE_FOUND);
  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
  g_assert_cmpint (WTERMSIG (await (child)), ==, SIGKILL);
  /* Nobody can tell who did it: the reason says so and names the way out. */
  catalog = look (self);
  plugin = commy_catalog_find_any (catalog, COMMY_PLUGIN_TRANSPORT, "hang-init");
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_QUARANTINED);
  g_assert_nonnull (strstr (plugin->reason, "or it was killed"));
  g_assert_cmpuint (release (self, "hang-init", NULL), ==, 1);
  g_assert_cmpint (state_of (self, "hang-init"), ==, COMMY_PLUGIN_STATE_FOUND);
}

static void
test_two_at_once (Place *self, gconstpointer data)
{
  pid_t child;

  install (self, "hang-init", "");
  child = spawn_hanging (self);
  g_assert_cmpint (await (spawn_start (self, "hang-init")), ==, 42 << 8);
  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
  await (child);
  /* The same build came through elsewhere: it is good, the other process was killed. */
  g_assert_cmpint (state_of (self, "hang-init"), ==, COMMY_PLUGIN_STATE_FOUND);
  g_free (dup_record (self, ".proved"));
}

static void
test_many_crash (Place *self, gconstpointer data)
{
  pid_t children[8];
  g_autofree char *record = NULL;

  install (self, "crash-init", "");
  for (gsize i = 0; i < G_N_ELEMENTS (children); i++)
    children[i] = spawn_start (self, "crash-init");
  for (gsize i = 0; i < G_N_ELEMENTS (children); i++)
    await (children[i]);
  g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_QUARANTINED);
  record = dup_record (self, ".quarantined");
  g_assert_nonnull (record);
}

static void
test_power_cut (Place *self, gconstpointer data)
{
  g_autofree char *marker = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) parts = NULL;
  g_autofree char *other = NULL;

  install (self, "crash-init", "");
  crash (self, "crash-init");
  marker = dup_record (self, ".starting");
  g_assert_true (g_file_get_contents (marker, &text, NULL, NULL));
  parts = g_strsplit (text, commy_env_host_id (), -1);
  g_assert_cmpuint (g_strv_length (parts), ==, 2);
  other = g_strjoinv ("00000000-1111-2222-3333-444444444444", parts);
  g_assert_true (g_file_set_contents (marker, other, -1, NULL));
  g_assert_cmpint (state_of (self, "crash-init"), ==, COMMY_PLUGIN_STATE_FOUND);
  g_assert_null (dup_record (self, "nothing"));
}

static void
test_required (Place *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "require=transport/crash-init");
  g_autoptr (GError) error = NULL;

  install (self, "crash-init", "");
  crash (self, "crash-init");
  g_assert_null (commy_catalog_new (config, self->state, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_QUARANTINED);
  g_assert_nonnull (strstr (error->message, "commy plugin release transport/crash-init"));
}

/* --- where nothing can be remembered --- */

static void
count_message (const char *domain, GLogLevelFlags level, const char *text, gpointer data)
{
  guint *n = data;

  *n += strstr (text, "without quarantine") != NULL || strstr (text, "cannot be read") != NULL;
}

/* The plugin is started all the same, and the trouble is told once a catalog. */
static void
assert_told_once (Place *self)
{
  g_autoptr (CommyConfig) config = make_config (self, "");
  const CommyHostSetup setup = { .mesh = "m", .env = commy_env_system () };
  guint n_told = 0;
  GLogFunc before = g_log_set_default_handler (count_message, &n_told);
  g_autoptr (CommyCatalog) catalog = look (self);

  for (guint i = 0; i < commy_catalog_get_n_plugins (catalog); i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (catalog, i);

      if (!g_str_has_prefix (plugin->path, self->plugins))
        continue;
      g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_FOUND);
      g_assert_true (commy_plugin_load (plugin, config, NULL));
      g_assert_true (commy_plugin_start (plugin, config, &setup, NULL));
    }
  g_log_set_default_handler (before, NULL);
  g_assert_cmpuint (n_told, ==, 1);
}

static void
test_no_place (Place *self, gconstpointer data)
{
  install (self, "good", "");
  install (self, "hang-init", "");
  /* Where others may write, they could set plugins free, or stop them. */
  g_assert_cmpint (g_mkdir (self->records, 0700), ==, 0);
  g_assert_cmpint (g_chmod (self->records, 0777), ==, 0);
  assert_told_once (self);
  g_assert_null (dup_record (self, "nothing"));
  g_assert_cmpint (g_rmdir (self->records), ==, 0);

  g_assert_cmpint (symlink (self->plugins, self->records), ==, 0);
  assert_told_once (self);
  g_assert_cmpint (g_unlink (self->records), ==, 0);

  g_assert_true (g_file_set_contents (self->records, "a file", -1, NULL));
  assert_told_once (self);
  g_assert_cmpint (g_unlink (self->records), ==, 0);

  g_assert_cmpint (g_rmdir (self->state), ==, 0);
  g_assert_true (g_file_set_contents (self->state, "a file", -1, NULL));
  assert_told_once (self);
}

static void
test_spoiled (Place *self, gconstpointer data)
{
  static const char *const texts[]
      = { "", "no keyfile", "[start]\nplugin=x\n", "\xff\xfe\n",
          "[start]\nplugin=nothing\npath=/\nstep=s\ndate=d\nboot=b\n" };
  static const char *const files[]
      = { "transport-good.12345678.0123456789abcdef.quarantined", "x.starting", ".starting",
          "transport-good.12345678.0123456789abcdef.12345678.starting" };

  install (self, "good", "");
  g_assert_cmpint (g_mkdir (self->records, 0700), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (files); j++)
      {
        g_autofree char *path = g_build_filename (self->records, files[j], NULL);

        g_assert_true (g_file_set_contents (path, texts[i], -1, NULL));
        g_assert_cmpint (state_of (self, "good"), ==, COMMY_PLUGIN_STATE_FOUND);
        g_unlink (path);
      }
}

int
main (int argc, char **argv)
{
  static const char *const crashes[][2] = {
    { "crash-constructor", "a process ended when it was loaded" },
    { "crash-query", "a process ended when it was loaded" },
    { "crash-init", "a process ended when its init ran" },
    { "exit-init", "a process ended when its init ran" },
  };

  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add (PATH, Place, NULL, place_init, FUNC, place_clear)
  for (gsize i = 0; i < G_N_ELEMENTS (crashes); i++)
    {
      g_autofree char *path
          = g_strdup_printf ("/plugin/quarantine/second-start-knows/%s", crashes[i][0]);

      g_test_add (path, Place, crashes[i], place_init, test_crash, place_clear);
    }
  ADD ("/plugin/quarantine/what-proved-itself-writes-nothing-more", test_proved);
  ADD ("/plugin/quarantine/failing-init-is-no-crash", test_failing);
  ADD ("/plugin/quarantine/new-build-is-released-by-itself", test_new_build);
  ADD ("/plugin/quarantine/new-build-before-the-judgement", test_new_build_first);
  ADD ("/plugin/quarantine/release-by-name-id-or-all", test_release);
  ADD ("/plugin/quarantine/running-init-is-no-crash-until-killed", test_running);
  ADD ("/plugin/quarantine/killed-beside-one-that-came-through-is-no-crash", test_two_at_once);
  ADD ("/plugin/quarantine/many-processes-crash-at-once", test_many_crash);
  ADD ("/plugin/quarantine/end-of-the-machine's-run-is-no-crash", test_power_cut);
  ADD ("/plugin/quarantine/required-plugin-has-its-own-error", test_required);
  ADD ("/plugin/quarantine/no-place-is-told-once-and-harms-nobody", test_no_place);
  ADD ("/plugin/quarantine/spoiled-records-are-dropped", test_spoiled);
  return g_test_run ();
}
