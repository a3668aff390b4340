/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The catalog from folder to running instance: every bad file is listed with its reason and
 * none of its code runs; settings decide with their origin; loading and starting a plugin.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct
{
  char *folder; /* searched first */
  char *marker; /* what ran */
} Case;

static void
case_init (Case *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  self->folder = g_dir_make_tmp ("commy-catalog-XXXXXX", &error);
  g_assert_no_error (error);
  self->marker = g_strconcat (self->folder, ".marker", NULL);
  g_setenv ("COMMY_FIXTURE_MARKER", self->marker, TRUE);
  g_unsetenv ("COMMY_PLUGIN_PATH");
}

static void
case_clear (Case *self, gconstpointer data)
{
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->folder, name, NULL);

      if (g_unlink (path) != 0)
        g_rmdir (path);
    }
  g_rmdir (self->folder);
  g_unlink (self->marker);
  g_free (self->folder);
  g_free (self->marker);
}

static guint8 *
read_fixture (const char *file, gsize *out_size)
{
  g_autofree char *path = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "tests", "fixtures",
                                            "plugins", ".libs", file, NULL);
  g_autoptr (GError) error = NULL;
  char *bytes = NULL;

  g_file_get_contents (path, &bytes, out_size, &error);
  g_assert_no_error (error);
  return (guint8 *) bytes;
}

static char *
write_as (Case *self, const char *file, const guint8 *bytes, gsize size)
{
  char *path = g_build_filename (self->folder, file, NULL);

  g_assert_true (g_file_set_contents (path, (const char *) bytes, (gssize) size, NULL));
  g_assert_cmpint (g_chmod (path, 0755), ==, 0);
  return path;
}

/* Copies a fixture; returns where to. */
static char *
install_as (Case *self, const char *fixture, const char *file)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture (fixture, &size);

  return write_as (self, file, bytes, size);
}

static void
install (Case *self, const char *fixture)
{
  g_free (install_as (self, fixture, fixture));
}

static CommyConfig *
make_config (Case *self, const char *plugins, const char *rest)
{
  g_autofree char *text
      = g_strdup_printf ("[plugins]\npath=%s\n%s\n%s\n", self->folder, plugins, rest);
  CommyConfigSources sources = { .program = text };
  g_autoptr (GError) error = NULL;
  CommyConfig *config = commy_config_load (&sources, &error);

  g_assert_no_error (error);
  return config;
}

static CommyCatalog *
make_catalog (CommyConfig *config)
{
  g_autoptr (GError) error = NULL;
  CommyCatalog *catalog = commy_catalog_new (config, NULL, &error);

  g_assert_no_error (error);
  return catalog;
}

static CommyPlugin *
get_by_file (CommyCatalog *catalog, const char *file)
{
  for (guint i = 0; i < commy_catalog_get_n_plugins (catalog); i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (catalog, i);

      if (g_str_has_suffix (plugin->path, file))
        return plugin;
    }
  g_error ("%s is not listed", file);
}

static void
assert_says (const char *text, const char *sentence)
{
  if (text == NULL || strstr (text, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", text != NULL ? text : "(nothing)", sentence);
}

static void
assert_ran (Case *self, const char *what)
{
  g_autofree char *ran = NULL;

  if (!g_file_get_contents (self->marker, &ran, NULL, NULL))
    ran = g_strdup ("");
  g_assert_cmpstr (ran, ==, what);
}

/* Listed, not usable, the reason said, and nothing of it was run. */
static void
assert_rejected (Case *self, CommyCatalog *catalog, const char *file, const char *sentence)
{
  CommyPlugin *plugin = get_by_file (catalog, file);
  g_autoptr (CommyConfig) config = make_config (self, "", "");
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_REJECTED);
  assert_says (plugin->reason, sentence);
  g_assert_false (commy_plugin_load (plugin, config, &error));
  assert_says (error->message, sentence);
  assert_ran (self, "");
}

static void
patch_elf (Case *self, const char *file, gsize offset, guint8 value)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);

  bytes[offset] = value;
  g_free (write_as (self, file, bytes, size));
}

static void
test_bad_files (Case *self, gconstpointer data)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;

  g_free (write_as (self, "libcommy-transport-cut.so", bytes, size / 2));
  g_free (write_as (self, "libcommy-transport-empty.so", bytes, 0));
  g_free (write_as (self, "libcommy-transport-text.so", (const guint8 *) "hello\n", 6));
  patch_elf (self, "libcommy-transport-foreign.so", G_STRUCT_OFFSET (ElfW (Ehdr), e_machine), 183);
  patch_elf (self, "libcommy-transport-class.so", EI_CLASS, ELFCLASS32);
  install (self, "libcommy-transport-wrong-major.so");
  install (self, "libcommy-transport-profile-nan.so");
  install (self, "libcommy-transport-profile-negative.so");
  install (self, "libcommy-transport-profile-descending.so");
  install (self, "libcommy-transport-two-notes.so");
  /* Not plugins by their name: not listed. */
  g_free (write_as (self, "libcommy-transport-good.la", bytes, size));
  g_free (write_as (self, "README.so", bytes, size));

  catalog = make_catalog (config);
  g_assert_cmpuint (commy_catalog_get_n_plugins (catalog), ==, 10);
  assert_rejected (self, catalog, "cut.so", "truncated");
  assert_rejected (self, catalog, "empty.so", "not an ELF file");
  assert_rejected (self, catalog, "text.so", "not an ELF file");
#if defined(__x86_64__)
  assert_rejected (self, catalog, "foreign.so", "built for aarch64, this process is x86-64");
  assert_rejected (self, catalog, "class.so", "32-bit plugin in a 64-bit process");
#endif
  assert_rejected (self, catalog, "wrong-major.so", "built for plugin ABI 2, this is ABI 1");
  assert_rejected (self, catalog, "profile-nan.so", "not a number");
  assert_rejected (self, catalog, "profile-negative.so", "latency_ns is -1");
  assert_rejected (self, catalog, "profile-descending.so", "do not ascend");
  assert_rejected (self, catalog, "two-notes.so", "2 Commy notes");
  g_assert_null (commy_catalog_find (catalog, COMMY_PLUGIN_TRANSPORT, "wrong-major"));
}

static void
test_untrusted (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=owner", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autofree char *open
      = install_as (self, "libcommy-transport-good.so", "libcommy-transport-open.so");
  g_autofree char *set_id
      = install_as (self, "libcommy-transport-good.so", "libcommy-transport-setid.so");
  g_autofree char *fifo = g_build_filename (self->folder, "libcommy-transport-fifo.so", NULL);
  g_autofree char *link = g_build_filename (self->folder, "libcommy-transport-link.so", NULL);

  g_assert_cmpint (g_chmod (open, 0777), ==, 0);
  g_assert_cmpint (g_chmod (set_id, 04755), ==, 0);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_cmpint (symlink (open, link), ==, 0);

  catalog = make_catalog (config);
  assert_rejected (self, catalog, "open.so", "is writable by group or others");
  assert_rejected (self, catalog, "setid.so", "set-id");
  assert_rejected (self, catalog, "fifo.so", "is not a regular file");
  assert_rejected (self, catalog, "link.so", "is a symbolic link");
  assert_says (get_by_file (catalog, "open.so")->reason_origin, "program:");
}

static void
test_hash (Case *self, gconstpointer data)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);
  g_autofree char *hash = g_compute_checksum_for_data (G_CHECKSUM_SHA256, bytes, size);
  g_autofree char *right = g_strdup_printf ("[plugin transport/good]\nsha256=%s\n", hash);
  g_autofree char *wrong = NULL;
  g_autoptr (GError) error = NULL;

  install (self, "libcommy-transport-good.so");
  hash[0] = hash[0] == '0' ? '1' : '0';
  wrong = g_strdup_printf ("[plugin transport/good]\nsha256=%s\n", hash);
  {
    g_autoptr (CommyConfig) config = make_config (self, "trust=hash", wrong);
    g_autoptr (CommyCatalog) catalog = make_catalog (config);

    assert_rejected (self, catalog, "good.so", "pinned is");
  }
  {
    g_autoptr (CommyConfig) config = make_config (self, "trust=hash", "");
    g_autoptr (CommyCatalog) catalog = make_catalog (config);

    assert_rejected (self, catalog, "good.so", "no pinned SHA-256");
  }
  {
    g_autoptr (CommyConfig) config = make_config (self, "trust=hash", right);
    g_autoptr (CommyCatalog) catalog = make_catalog (config);

    g_assert_true (commy_plugin_load (get_by_file (catalog, "good.so"), config, &error));
    g_assert_no_error (error);
  }
}

/* Two catalogs of one process share the code, as they do where it is loaded by its name; and a
 * folder that anybody may write to does no harm. */
static void
test_hash_twice (Case *self, gconstpointer data)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);
  g_autofree char *hash = g_compute_checksum_for_data (G_CHECKSUM_SHA256, bytes, size);
  g_autofree char *pin = g_strdup_printf ("[plugin transport/good]\nsha256=%s\n", hash);
  g_autoptr (CommyConfig) config = make_config (self, "trust=hash", pin);
  g_autoptr (CommyCatalog) one = NULL;
  g_autoptr (CommyCatalog) two = NULL;
  g_autoptr (GError) error = NULL;
  int taken;

  install (self, "libcommy-transport-good.so");
  g_assert_cmpint (g_chmod (self->folder, 0777), ==, 0);
  one = make_catalog (config);
  two = make_catalog (config);
  g_assert_true (commy_plugin_load (get_by_file (one, "good.so"), config, &error));
  g_assert_no_error (error);
  /* Takes the number, so that the second copy is not called like the first. */
  taken = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  g_assert_true (commy_plugin_load (get_by_file (two, "good.so"), config, &error));
  g_assert_no_error (error);
  close (taken);
  g_assert_true (get_by_file (one, "good.so")->descriptor
                 == get_by_file (two, "good.so")->descriptor);
}

/* Swapped between check and load: other bytes, and the note that was seen does not help. */
static void
test_hash_swapped (Case *self, gconstpointer data)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-fail-init.so", &size);
  g_autofree char *hash = g_compute_checksum_for_data (G_CHECKSUM_SHA256, bytes, size);
  g_autofree char *pin = g_strdup_printf ("[plugin transport/fail-init]\nsha256=%s\n", hash);
  g_autoptr (CommyConfig) config = make_config (self, "trust=hash", pin);
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;

  install (self, "libcommy-transport-fail-init.so");
  catalog = make_catalog (config);
  g_assert_cmpint (get_by_file (catalog, "fail-init.so")->state, ==, COMMY_PLUGIN_STATE_FOUND);
  bytes = g_realloc (bytes, size + 1);
  bytes[size] = 0;
  path = write_as (self, "libcommy-transport-fail-init.so", bytes, size + 1);
  g_assert_false (commy_plugin_load (get_by_file (catalog, "fail-init.so"), config, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_TRUST);
  assert_says (error->message, "pinned is");
  assert_ran (self, "");
}

static void
assert_fails_to_load (Case *self, const char *file, int code, const char *sentence)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *ran = NULL;
  CommyPlugin *plugin;

  install (self, file);
  catalog = make_catalog (config);
  plugin = get_by_file (catalog, file);
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_FOUND);
  assert_ran (self, "");
  g_assert_false (commy_plugin_load (plugin, config, &error));
  g_assert_error (error, COMMY_ERROR, code);
  assert_says (error->message, sentence);
  assert_says (plugin->reason, sentence);
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_FAILED);
  g_assert_null (plugin->descriptor);
  /* Its constructor ran, its operations did not. */
  g_assert_true (g_file_get_contents (self->marker, &ran, NULL, NULL));
  g_assert_null (strstr (ran, "init;"));
}

static void
test_missing_slot (Case *self, gconstpointer data)
{
  assert_fails_to_load (self, "libcommy-transport-missing-slot.so", COMMY_ERROR_PLUGIN_SLOT,
                        "required operation 'peek' is missing");
}

static void
test_half_pools (Case *self, gconstpointer data)
{
  assert_fails_to_load (self, "libcommy-transport-half-pools.so", COMMY_ERROR_PLUGIN_SLOT,
                        "all or none of them");
}

static void
test_note_differs (Case *self, gconstpointer data)
{
  assert_fails_to_load (self, "libcommy-transport-note-differs.so", COMMY_ERROR_PLUGIN_MISMATCH,
                        "its descriptor differ");
}

static void
test_no_query (Case *self, gconstpointer data)
{
  assert_fails_to_load (self, "libcommy-transport-no-query.so", COMMY_ERROR_PLUGIN_ABI,
                        "no symbol commy_plugin_query_v1");
}

static void
test_borrowed_query (Case *self, gconstpointer data)
{
  assert_fails_to_load (self, "libcommy-transport-borrowed-query.so", COMMY_ERROR_PLUGIN_ABI,
                        "belongs to another library");
}

static void
test_replaced (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;

  install (self, "libcommy-transport-good.so");
  catalog = make_catalog (config);
  g_free (install_as (self, "libcommy-transport-fail-init.so", "libcommy-transport-good.so"));
  g_assert_false (commy_plugin_load (get_by_file (catalog, "good.so"), config, &error));
  assert_says (error->message, "was replaced since it was found");
  assert_ran (self, "");
}

static void
test_short_ops (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;
  CommyPlugin *plugin;

  install (self, "libcommy-auth-short-ops.so");
  catalog = make_catalog (config);
  plugin = commy_catalog_find (catalog, COMMY_PLUGIN_AUTH, "short-ops");
  g_assert_nonnull (plugin);
  g_assert_true (commy_plugin_load (plugin, config, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (plugin->ops.auth.struct_size, ==, sizeof (CommyAuthOps));
  g_assert_nonnull (plugin->ops.auth.begin);
  g_assert_nonnull (plugin->ops.auth.step);
  plugin->ops.auth.end (NULL);
}

static void
test_extra_export (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;

  install (self, "libcommy-transport-extra-export.so");
  catalog = make_catalog (config);
  g_assert_true (commy_plugin_load (get_by_file (catalog, "extra-export.so"), config, &error));
  g_assert_no_error (error);
  g_assert_null (dlsym (RTLD_DEFAULT, "fixture_extra_symbol"));
}

static void
test_hidden (Case *self, gconstpointer data)
{
  g_autofree char *first
      = install_as (self, "libcommy-transport-good.so", "libcommy-transport-a.so");
  g_autofree char *second
      = install_as (self, "libcommy-transport-good.so", "libcommy-transport-b.so");
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = make_catalog (config);
  CommyPlugin *hidden = get_by_file (catalog, "b.so");

  g_assert_cmpint (hidden->state, ==, COMMY_PLUGIN_STATE_HIDDEN);
  assert_says (hidden->reason, first);
  g_assert_true (commy_catalog_find (catalog, COMMY_PLUGIN_TRANSPORT, "good")
                 == get_by_file (catalog, "a.so"));
  assert_ran (self, "");
}

static void
test_policy (Case *self, gconstpointer data)
{
  const struct
  {
    const char *plugins, *rest, *reason, *origin;
  } cases[] = {
    { "trust=any\ndeny=transport/*", "", "denied by deny=transport/*", "program:4" },
    { "trust=any\ndeny=transport/good\nallow=*", "", "denied by", "program:4" },
    { "trust=any\nallow=auth/*", "", "not named by allow=", "program:4" },
    { "trust=any", "[plugin transport/good]\nenabled=false", "enabled=false", "program:5" },
  };

  install (self, "libcommy-transport-good.so");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (CommyConfig) config = make_config (self, cases[i].plugins, cases[i].rest);
      g_autoptr (CommyCatalog) catalog = make_catalog (config);
      CommyPlugin *plugin = get_by_file (catalog, "good.so");

      g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_DISABLED);
      assert_says (plugin->reason, cases[i].reason);
      g_assert_cmpstr (plugin->reason_origin, ==, cases[i].origin);
      g_assert_null (commy_catalog_find (catalog, COMMY_PLUGIN_TRANSPORT, "good"));
    }
}

static void
test_require (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) missing = make_config (self, "trust=any\nrequire=transport/none", "");
  g_autoptr (CommyConfig) denied
      = make_config (self, "trust=any\nrequire=transport/good\ndeny=transport/good", "");
  g_autoptr (CommyConfig) there = make_config (self, "trust=any\nrequire=transport/good", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;

  install (self, "libcommy-transport-good.so");
  g_assert_null (commy_catalog_new (missing, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_MISSING);
  assert_says (error->message, "transport/none is required (program:4) and was not found");
  g_clear_error (&error);
  g_assert_null (commy_catalog_new (denied, NULL, &error));
  assert_says (error->message, "disabled: denied by deny=");
  catalog = make_catalog (there);
}

static void
test_profile_override (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config
      = make_config (self, "trust=any",
                     "[plugin transport/good]\nbias=2\nprofile.latency=7us\n"
                     "profile.bandwidth=1GB/s\n");
  g_autoptr (CommyCatalog) catalog = NULL;
  CommyPlugin *plugin;

  install (self, "libcommy-transport-good.so");
  catalog = make_catalog (config);
  plugin = get_by_file (catalog, "good.so");
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_FOUND);
  g_assert_cmpfloat (plugin->bias, ==, 2);
  g_assert_cmpuint (plugin->profile.provenance, ==, COMMY_PROVENANCE_OPERATOR);
  g_assert_cmpstr (plugin->profile_origin, ==, "program:6");
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpfloat (plugin->profile.segments[i].latency_ns, ==, 7000);
      g_assert_cmpfloat_with_epsilon (plugin->profile.segments[i].wire_ns_per_byte, 1, 1e-9);
    }
  g_assert_cmpfloat (plugin->note.profile.segments[0].latency_ns, ==, 100);
}

typedef struct
{
  GMainLoop *loop;
  CommyHost *host;
  GString *order;
  int fds[2];
  guint watch;
} Run;

static void
on_post (gpointer data)
{
  g_string_append ((GString *) ((Run *) data)->order, "post;");
}

static void
on_never (gpointer data)
{
  g_assert_not_reached ();
}

static void
on_timer (gpointer data)
{
  Run *run = data;

  g_string_append (run->order, "timer;");
  g_assert_cmpint (write (run->fds[1], "x", 1), ==, 1);
}

static void
on_fd (gpointer data, int fd, guint condition)
{
  Run *run = data;

  g_assert_cmpint (fd, ==, run->fds[0]);
  g_string_append (run->order, "fd;");
  run->host->remove (run->host, run->watch);
  g_main_loop_quit (run->loop);
}

static void
check_host (CommyHost *host)
{
  GMainContext *context = g_main_context_default ();
  Run run = { .host = host, .order = g_string_new (NULL) };
  guint8 bytes[16] = { 0 };
  guint timer;

  run.loop = g_main_loop_new (context, FALSE);
  g_assert_true (g_unix_open_pipe (run.fds, FD_CLOEXEC, NULL));
  host->post (host, on_post, &run);
  timer = host->add_timer (host, 0, on_never, &run);
  g_assert_cmpuint (timer, !=, 0);
  host->remove (host, timer);
  host->add_timer (host, 1000, on_timer, &run);
  run.watch = host->watch_fd (host, run.fds[0], G_IO_IN, on_fd, &run);
  g_main_loop_run (run.loop);
  g_assert_cmpstr (run.order->str, ==, "post;timer;fd;");
  /* The descriptor is still readable, but nobody watches. */
  while (g_main_context_iteration (context, FALSE))
    ;
  g_assert_cmpstr (run.order->str, ==, "post;timer;fd;");

  g_assert_cmpstr (host->info (host, COMMY_HOST_MESH), ==, "m");
  g_assert_null (host->info (host, COMMY_HOST_WRAPPED));
  g_assert_null (host->info (host, (CommyHostInfo) 99));
  g_assert_null (host->param (host, "no-such"));
  g_assert_cmpint (host->now_ns (host), >, 0);
  host->random (host, bytes, sizeof bytes);
  g_main_loop_unref (run.loop);
  g_string_free (run.order, TRUE);
  close (run.fds[0]);
  close (run.fds[1]);
}

static void
test_life (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config
      = make_config (self, "trust=any", "[plugin transport/good]\nparam.ring-size=8KiB\n");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;
  const CommyHostSetup setup = { .mesh = "m", .node = "n", .env = commy_env_system () };
  CommyPlugin *plugin;

  install (self, "libcommy-transport-good.so");
  catalog = make_catalog (config);
  plugin = get_by_file (catalog, "good.so");
  assert_ran (self, "");
  g_assert_false (commy_plugin_start (plugin, config, &setup, NULL));
  g_assert_true (commy_plugin_load (plugin, config, &error));
  g_assert_no_error (error);
  g_assert_true (commy_plugin_load (plugin, config, NULL));
  assert_ran (self, "loaded;");
  g_assert_cmpint (plugin->ops.transport.sendv (NULL, NULL, 0), ==, COMMY_IO_UNSUPPORTED);
  g_assert_cmpint (plugin->ops.transport.wait (NULL, NULL, 0, 0), ==, COMMY_IO_UNSUPPORTED);

  g_assert_true (commy_plugin_start (plugin, config, &setup, &error));
  g_assert_no_error (error);
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_ACTIVE);
  g_assert_cmpuint ((guintptr) plugin->instance % 64, ==, 0);
  g_assert_cmpstr (plugin->host->param (plugin->host, "ring-size"), ==, "8192");
  check_host (plugin->host);
  /* What is pending at the end is never called. */
  plugin->host->post (plugin->host, on_never, NULL);
  plugin->host->add_timer (plugin->host, 0, on_never, NULL);
  commy_plugin_quiesce (plugin);
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_QUIESCED);
  commy_plugin_stop (plugin);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  assert_ran (self, "loaded;init;quiesce;fini;");
  commy_plugin_stop (plugin);
  assert_ran (self, "loaded;init;quiesce;fini;");
}

static void
test_bad_param (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config
      = make_config (self, "trust=any", "[plugin transport/good]\nparam.ring-sise=8KiB\n");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;

  install (self, "libcommy-transport-good.so");
  catalog = make_catalog (config);
  g_assert_false (commy_plugin_load (get_by_file (catalog, "good.so"), config, &error));
  assert_says (error->message, "ring-size");
}

static void
test_failing_init (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GError) error = NULL;
  const CommyHostSetup setup = { .mesh = "m", .env = commy_env_system () };
  CommyPlugin *plugin;

  install (self, "libcommy-transport-fail-init.so");
  catalog = make_catalog (config);
  plugin = get_by_file (catalog, "fail-init.so");
  g_assert_true (commy_plugin_load (plugin, config, &error));
  g_assert_false (commy_plugin_start (plugin, config, &setup, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_INIT);
  assert_says (error->message, "no ring to be had");
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_FAILED);
  g_assert_null (plugin->instance);
  g_assert_null (plugin->host);
}

/* What a crash costs today: the process that started the plugin, and nobody who only lists it. */
static void
test_crashing_init (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  const CommyHostSetup setup = { .mesh = "m", .env = commy_env_system () };
  CommyPlugin *plugin;
  int status;
  pid_t child;

  install (self, "libcommy-transport-crash-init.so");
  catalog = make_catalog (config);
  plugin = get_by_file (catalog, "crash-init.so");
  assert_ran (self, "");
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      if (commy_plugin_load (plugin, config, NULL))
        commy_plugin_start (plugin, config, &setup, NULL);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGABRT);
  assert_ran (self, "loaded;crash;");
  g_assert_cmpint (plugin->state, ==, COMMY_PLUGIN_STATE_FOUND);
}

static void
test_listing (Case *self, gconstpointer data)
{
  g_autoptr (CommyConfig) config = make_config (self, "trust=any", "");
  g_autoptr (CommyCatalog) catalog = NULL;
  g_autoptr (GVariant) list = NULL;
  g_autoptr (GVariant) first = NULL;
  const char *text;

  install (self, "libcommy-transport-good.so");
  install (self, "libcommy-auth-short-ops.so");
  g_free (write_as (self, "libcommy-transport-junk.so", (const guint8 *) "junk", 4));
  catalog = make_catalog (config);
  list = g_variant_ref_sink (commy_catalog_list (catalog));
  g_assert_true (g_variant_is_of_type (list, G_VARIANT_TYPE ("aa{sv}")));
  g_assert_cmpuint (g_variant_n_children (list), ==, 3);
  first = g_variant_get_child_value (list, 0);
  g_assert_true (g_variant_lookup (first, "id", "&s", &text));
  g_assert_cmpstr (text, ==, "good");
  g_assert_true (g_variant_lookup (first, "state", "&s", &text));
  g_assert_cmpstr (text, ==, "found");
  g_assert_true (g_variant_lookup (first, "abi", "&s", &text));
  g_assert_cmpstr (text, ==, "1.0");
  {
    g_autoptr (GVariant) junk = g_variant_get_child_value (list, 2);

    g_assert_true (g_variant_lookup (junk, "id", "&s", &text));
    g_assert_cmpstr (text, ==, "junk");
    g_assert_true (g_variant_lookup (junk, "reason", "&s", &text));
    g_assert_cmpstr (text, ==, "not an ELF file");
  }
  assert_ran (self, "");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add (PATH, Case, NULL, case_init, FUNC, case_clear)
  ADD ("/plugin/catalog/bad-files-are-listed-and-not-run", test_bad_files);
  ADD ("/plugin/catalog/untrusted-files-are-listed-and-not-run", test_untrusted);
  ADD ("/plugin/catalog/pinned-hash-decides", test_hash);
  ADD ("/plugin/catalog/pinned-hash-loads-once", test_hash_twice);
  ADD ("/plugin/catalog/pinned-hash-holds-until-it-is-mapped", test_hash_swapped);
  ADD ("/plugin/catalog/same-id-twice-first-wins", test_hidden);
  ADD ("/plugin/catalog/settings-decide-with-their-origin", test_policy);
  ADD ("/plugin/catalog/required-plugin-must-be-usable", test_require);
  ADD ("/plugin/catalog/operator's-profile-is-taken", test_profile_override);
  ADD ("/plugin/catalog/listing-names-everything", test_listing);
  ADD ("/plugin/load/missing-slot-is-named", test_missing_slot);
  ADD ("/plugin/load/half-of-the-pool-slots-is-refused", test_half_pools);
  ADD ("/plugin/load/note-and-descriptor-must-agree", test_note_differs);
  ADD ("/plugin/load/query-symbol-must-exist", test_no_query);
  ADD ("/plugin/load/query-symbol-must-be-its-own", test_borrowed_query);
  ADD ("/plugin/load/replaced-file-is-not-run", test_replaced);
  ADD ("/plugin/load/older-minor-is-filled", test_short_ops);
  ADD ("/plugin/load/extra-symbols-stay-local", test_extra_export);
  ADD ("/plugin/load/unknown-parameter-is-refused", test_bad_param);
  ADD ("/plugin/start/life-of-a-plugin", test_life);
  ADD ("/plugin/start/failing-init-says-why", test_failing_init);
  ADD ("/plugin/start/crashing-init-harms-no-lister", test_crashing_init);
  return g_test_run ();
}
