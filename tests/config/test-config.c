/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settings: types, layers, origins, and what bad keyfiles are told.
 */
#include "config.h"

#include "config/commy-config.h"

#include <commy/commy-error.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  char *dir;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->dir = g_dir_make_tmp ("commy-config-XXXXXX", NULL);
  g_assert_nonnull (fixture->dir);
}

static void
remove_all (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *inner = g_build_filename (path, name, NULL);

      remove_all (inner);
    }
  g_assert_cmpint (g_remove (path), ==, 0);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  remove_all (fixture->dir);
  g_free (fixture->dir);
}

static char *
write_file (Fixture *fixture, const char *name, const char *text)
{
  char *path = g_build_filename (fixture->dir, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  return path;
}

static CommyConfig *
load (const char *text)
{
  g_autoptr (GError) error = NULL;
  CommyConfig *config = commy_config_load_text (text, strlen (text), "t.conf", &error);

  g_assert_no_error (error);
  return config;
}

static void
test_typed (void)
{
  g_autoptr (CommyConfig) config = load ("[plugins]\nuser-plugins=true\npath=/a; /b;\n"
                                         "[selection]\ntie-band=5%\nswitch-z=1.25\nmin-dwell=1ms\n"
                                         "[limits]\nmessage=1.5MiB\nhandshakes=7\n"
                                         "[service org.example.A]\nworkers=-1\n"
                                         "[plugin transport/x]\nprofile.bandwidth=1GiB/s\n");
  g_auto (GStrv) path = commy_config_get_list (config, "plugins", "path");
  g_auto (GStrv) allow = commy_config_get_list (config, "plugins", "allow");
  g_auto (GStrv) unset = commy_config_get_list (config, "service org.example.A", "transports");

  g_assert_true (commy_config_get_bool (config, "plugins", "user-plugins"));
  g_assert_cmpuint (g_strv_length (path), ==, 2);
  g_assert_cmpstr (path[1], ==, "/b");
  g_assert_cmpstr (allow[0], ==, "*");
  g_assert_cmpuint (g_strv_length (unset), ==, 0);
  g_assert_cmpfloat_with_epsilon (commy_config_get_double (config, "selection", "tie-band"), 0.05,
                                  1e-12);
  g_assert_cmpfloat (commy_config_get_double (config, "selection", "switch-z"), ==, 1.25);
  g_assert_cmpint (commy_config_get_duration (config, "selection", "min-dwell"), ==, 1000000);
  g_assert_cmpuint (commy_config_get_size (config, "limits", "message"), ==, 1572864);
  g_assert_cmpint (commy_config_get_int (config, "limits", "handshakes"), ==, 7);
  g_assert_cmpint (commy_config_get_int (config, "service org.example.A", "workers"), ==, -1);
  g_assert_cmpfloat (commy_config_get_double (config, "plugin transport/x", "profile.bandwidth"),
                     ==, 1073741824);
}

static void
test_defaults (void)
{
  g_autoptr (CommyConfig) config = load ("");

  g_assert_cmpstr (commy_config_get (config, "selection", "objective"), ==, "latency");
  g_assert_cmpstr (commy_config_get_origin (config, "selection", "objective"), ==, "default");
  g_assert_cmpstr (commy_config_get (config, "mesh", "store"), ==, "");
  g_assert_true (commy_config_get_bool (config, "plugin store/any", "enabled"));
  g_assert_cmpint (commy_config_get_duration (config, "service any", "timeout"), ==, 10000000000);
  g_assert_null (commy_config_get (config, "service any", "objective"));
  g_assert_null (commy_config_get (config, "service any", "nothing"));
  g_assert_null (commy_config_get (config, "nothing", "nothing"));
  g_assert_null (commy_config_get (config, "plugin store/any", "param.x"));
}

/* Of what is found by itself; what is named is taken. */
static void
test_others (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = write_file (fixture, "1.conf", "[log]\nlevel=info\n");
  CommyConfigSources places[]
      = { { .system = path }, { .user = path }, { .system_dir = fixture->dir } };
  CommyConfigSources named = { .shipped = path, .environment = path };
  g_autoptr (CommyConfig) taken = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyConfig) good = NULL;

      g_assert_cmpint (g_chmod (path, 0666), ==, 0);
      g_assert_null (commy_config_load (&places[i], &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
      g_assert_nonnull (strstr (error->message, "chmod o-w"));
      g_clear_error (&error);
      g_assert_cmpint (g_chmod (path, 0664), ==, 0);
      good = commy_config_load (&places[i], &error);
      g_assert_no_error (error);
      if (geteuid () != 0)
        continue;
      g_assert_cmpint (chown (path, 4711, (gid_t) -1), ==, 0);
      g_assert_null (commy_config_load (&places[i], &error));
      g_assert_nonnull (strstr (error->message, "belongs to user 4711"));
      g_assert_cmpint (chown (path, 0, (gid_t) -1), ==, 0);
    }
  g_assert_cmpint (g_chmod (path, 0666), ==, 0);
  taken = commy_config_load (&named, NULL);
  g_assert_nonnull (taken);
}

static void
test_layers (Fixture *fixture, gconstpointer data)
{
  g_autofree char *shipped = write_file (
      fixture, "1.conf", "[limits]\nchannels=1\nhandshakes=1\nmethods=1\npending-calls=1\n");
  g_autofree char *system
      = write_file (fixture, "2.conf", "[limits]\nhandshakes=2\nmethods=2\npending-calls=2\n");
  g_autofree char *late = write_file (fixture, "d/20.conf", "[limits]\nmethods=20\n");
  g_autofree char *early
      = write_file (fixture, "d/10.conf", "\n[limits]\nmethods=10\npending-calls=10\n");
  g_autofree char *backup = write_file (fixture, "d/30.conf~", "[limits]\nmethods=30\n");
  g_autofree char *user = write_file (fixture, "4.conf", "[log]\nlevel=info\n");
  g_autofree char *env = write_file (fixture, "5.conf", "[log]\nlevel=error\n[wait]\nmode=spin\n");
  g_autofree char *dir = g_build_filename (fixture->dir, "d", NULL);
  g_autofree char *missing = g_build_filename (fixture->dir, "missing", NULL);
  g_autofree char *early_origin = g_strconcat (early, ":4", NULL);
  g_autofree char *shipped_origin = g_strconcat (shipped, ":2", NULL);
  CommyConfigSources sources = { .shipped = shipped,
                                 .system = system,
                                 .system_dir = dir,
                                 .user = user,
                                 .environment = env,
                                 .program = "# mine\n[wait]\nmode=block\n" };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = commy_config_load (&sources, &error);

  g_assert_no_error (error);
  g_assert_cmpint (commy_config_get_int (config, "limits", "channels"), ==, 1);
  g_assert_cmpint (commy_config_get_int (config, "limits", "handshakes"), ==, 2);
  g_assert_cmpint (commy_config_get_int (config, "limits", "methods"), ==, 20);
  g_assert_cmpint (commy_config_get_int (config, "limits", "pending-calls"), ==, 10);
  g_assert_cmpstr (commy_config_get (config, "log", "level"), ==, "error");
  g_assert_cmpstr (commy_config_get (config, "wait", "mode"), ==, "block");
  g_assert_cmpstr (commy_config_get_origin (config, "limits", "pending-calls"), ==, early_origin);
  g_assert_cmpstr (commy_config_get_origin (config, "limits", "channels"), ==, shipped_origin);
  g_assert_cmpstr (commy_config_get_origin (config, "wait", "mode"), ==, "program:3");

  g_clear_pointer (&config, commy_config_unref);
  sources = (CommyConfigSources){
    .shipped = missing, .system = missing, .system_dir = missing, .user = missing
  };
  config = commy_config_load (&sources, &error);
  g_assert_no_error (error);
  g_assert_nonnull (config);
  sources.environment = missing;
  g_assert_null (commy_config_load (&sources, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, missing));
}

static void
test_groups (void)
{
  CommyConfigSources sources
      = { .program = "[policy b]\nprincipals=*\neffect=deny\n[log]\nlevel=info\n[policy a]\n"
                     "principals=*\neffect=deny\n" };
  g_autoptr (CommyConfig) config = commy_config_load (&sources, NULL);
  g_autoptr (GPtrArray) names = commy_config_list_groups (config, "policy ");

  g_assert_cmpuint (names->len, ==, 2);
  g_assert_cmpstr (g_ptr_array_index (names, 0), ==, "policy b");
  g_assert_cmpstr (g_ptr_array_index (names, 1), ==, "policy a");
}

static void
test_list (void)
{
  g_autoptr (CommyConfig) config = load ("[log]\nlevel=info\n[plugin store/x]\nbias=2\n");
  g_autoptr (GVariant) list = g_variant_ref_sink (commy_config_list (config));
  const char *group, *key, *value, *origin;
  guint levels = 0, enabled = 0;

  g_assert_true (g_variant_is_of_type (list, G_VARIANT_TYPE ("a(ssss)")));
  g_variant_get_child (list, 0, "(&s&s&s&s)", &group, &key, &value, &origin);
  g_assert_cmpstr (group, ==, "log");
  g_assert_cmpstr (value, ==, "info");
  g_assert_cmpstr (origin, ==, "t.conf:2");
  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_variant_get_child (list, i, "(&s&s&s&s)", &group, &key, &value, &origin);
      levels += g_str_equal (group, "log") && g_str_equal (key, "level");
      enabled += g_str_equal (group, "plugin store/x") && g_str_equal (key, "enabled");
    }
  g_assert_cmpuint (levels, ==, 1);
  g_assert_cmpuint (enabled, ==, 1);
}

static const struct
{
  const char *name;
  const char *text;
  int code;
  const char *words;
} bad[] = {
  { "unknown-key", "[plugins]\n\ntrsut=any\n", COMMY_ERROR_CONFIG_UNKNOWN,
    "t.conf:3: unknown key \"trsut\" in [plugins]; did you mean \"trust\"?" },
  { "unknown-key-far", "[log]\nzzzzzzzz=1\n", COMMY_ERROR_CONFIG_UNKNOWN, "known: level" },
  { "unknown-group", "# c\n[selecton]\n", COMMY_ERROR_CONFIG_UNKNOWN,
    "t.conf:2: unknown group [selecton]; did you mean \"selection\"?" },
  { "group-with-needless-name", "[mesh x]\n", COMMY_ERROR_CONFIG_UNKNOWN,
    "did you mean \"mesh\"?" },
  { "group-without-name", "[policy]\n", COMMY_ERROR_CONFIG_UNKNOWN, "write [policy NAME]" },
  { "plugin-without-kind", "[plugin shm]\n", COMMY_ERROR_CONFIG_UNKNOWN, "[plugin KIND/ID]" },
  { "plugin-of-bad-id", "[plugin store/A]\n", COMMY_ERROR_CONFIG_UNKNOWN, "[plugin KIND/ID]" },
  { "key-twice", "[wait]\nmode=spin\n\nmode=block\n", COMMY_ERROR_CONFIG,
    "t.conf:4: key \"mode\" of [wait] stands in this file twice, first in line 2" },
  { "group-twice", "[wait]\nmode=spin\n[log]\n[wait]\n", COMMY_ERROR_CONFIG,
    "t.conf:4: group [wait] stands in this file twice, first in line 1" },
  { "bool", "[plugins]\nuser-plugins=yes\n", COMMY_ERROR_CONFIG_VALUE, "not true or false" },
  { "int", "[limits]\nchannels=4.5\n", COMMY_ERROR_CONFIG_VALUE, "not a whole number" },
  { "int-low", "[limits]\nchannels=0\n", COMMY_ERROR_CONFIG_VALUE, "allowed is 1 to 1048576" },
  { "workers-low", "[service a]\nworkers=-2\n", COMMY_ERROR_CONFIG_VALUE, "allowed is -1 to 64" },
  { "workers-high", "[service a]\nworkers=65\n", COMMY_ERROR_CONFIG_VALUE, "allowed is -1 to 64" },
  { "size-high", "[limits]\nmessage=2GiB\n", COMMY_ERROR_CONFIG_VALUE,
    "allowed is 1 KiB to 1 GiB" },
  { "size-huge", "[limits]\nmessage=15EiB\n", COMMY_ERROR_CONFIG_VALUE, "not a size" },
  { "size-empty", "[limits]\nmessage=\n", COMMY_ERROR_CONFIG_VALUE, "not a size" },
  { "duration", "[wait]\nspin-max=soon\n", COMMY_ERROR_CONFIG_VALUE, "not a duration" },
  { "duration-high", "[wait]\nspin-max=2s\n", COMMY_ERROR_CONFIG_VALUE, "allowed is 0 ns to 1 s" },
  { "share", "[selection]\ntie-band=200%\n", COMMY_ERROR_CONFIG_VALUE, "not a share" },
  { "double", "[selection]\nswitch-z=nan\n", COMMY_ERROR_CONFIG_VALUE, "not a number" },
  { "bias", "[plugin store/x]\nbias=0\n", COMMY_ERROR_CONFIG_VALUE, "allowed is 0.001 to 1000" },
  { "rate", "[plugin store/x]\nprofile.bandwidth=0\n", COMMY_ERROR_CONFIG_VALUE, "out of range" },
  { "choice", "[wait]\nmode=spn\n", COMMY_ERROR_CONFIG_VALUE, "did you mean \"spin\"?" },
  { "choice-two", "[wait]\nmode=spin;block\n", COMMY_ERROR_CONFIG_VALUE, "no choice" },
  { "trailing-comment", "[wait]\nmode=spin # fast\n", COMMY_ERROR_CONFIG_VALUE,
    "a comment stands on a line of its own" },
  { "id", "[mesh]\nstore=SQL\n", COMMY_ERROR_CONFIG_VALUE, "id of a plugin" },
  { "plugin", "[plugins]\nrequire=shm\n", COMMY_ERROR_CONFIG_VALUE, "kind/id" },
  { "path", "[plugins]\npath=.\n", COMMY_ERROR_CONFIG_VALUE, "not an absolute path" },
  { "sha256", "[plugin store/x]\nsha256=abc\n", COMMY_ERROR_CONFIG_VALUE, "64 hexadecimal" },
  { "glob", "[policy a]\nservices=* # all\n", COMMY_ERROR_CONFIG_VALUE, "line of its own" },
  { "empty-item", "[plugins]\ndeny=a;;b\n", COMMY_ERROR_CONFIG_VALUE, "an item is empty" },
  { "verb", "[policy a]\nverbs=call;eat\n", COMMY_ERROR_CONFIG_VALUE, "no choice" },
  { "format", "[commy]\nformat=2\n", COMMY_ERROR_CONFIG_VALUE, "allowed is 1 to 1" },
  { "no-group", "a=1\n", COMMY_ERROR_CONFIG, "t.conf:1: this key stands before" },
  { "no-equals", "[log]\nlevel\n", COMMY_ERROR_CONFIG, "t.conf:2: this is no [group]" },
  { "no-key", "[log]\n=1\n", COMMY_ERROR_CONFIG, "t.conf:2: this is no [group]" },
  { "open-group", "[log\n", COMMY_ERROR_CONFIG, "t.conf:1: a group is written as [name]" },
  { "text-after-group", "[log] # x\n", COMMY_ERROR_CONFIG, "with nothing after it" },
  { "escape", "[plugin store/x]\nparam.a=\\q\n", COMMY_ERROR_CONFIG, "t.conf:2: " },
  { "locale", "[plugin store/x]\nparam.a[de]=1\n", COMMY_ERROR_CONFIG, "t.conf:2: " },
  { "utf-8", "[log]\nlevel=\xff\xfe\n", COMMY_ERROR_CONFIG, "t.conf:2: this is not UTF-8" },
};

static void
test_bad (gconstpointer data)
{
  const gsize i = GPOINTER_TO_SIZE (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config
      = commy_config_load_text (bad[i].text, strlen (bad[i].text), "t.conf", &error);

  g_assert_null (config);
  g_assert_error (error, COMMY_ERROR, bad[i].code);
  if (strstr (error->message, bad[i].words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, bad[i].words);
  g_assert_nonnull (strstr (error->message, "t.conf:"));
}

static void
test_bytes (void)
{
  static const char nul[] = "[log]\nlev\0el=info\n";
  g_autoptr (GError) error = NULL;
  g_autofree char *huge = g_strnfill (2 * 1024 * 1024, '#');

  g_assert_null (commy_config_load_text (nul, sizeof nul - 1, "t.conf", &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "t.conf:2: there is a NUL byte"));
  g_clear_error (&error);
  g_assert_null (commy_config_load_text (huge, strlen (huge), "t.conf", &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "larger than"));
  g_clear_error (&error);
  g_assert_null (commy_config_load_text ("\x7f"
                                         "ELF\x02\x01\x01\0\0",
                                         9, "t.conf", &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
}

static void
test_files (Fixture *fixture, gconstpointer data)
{
  g_autofree char *good = write_file (fixture, "good.conf", "\r\n[log]\r\nlevel=info\r\n");
  g_autofree char *wrong = write_file (fixture, "wrong.conf", "[log]\nlevl=info\n");
  g_autofree char *place = g_strconcat (wrong, ":2: unknown key", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (commy_config_check_file (good, &error));
  g_assert_no_error (error);
  g_assert_false (commy_config_check_file (wrong, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_UNKNOWN);
  g_assert_nonnull (strstr (error->message, place));
  g_clear_error (&error);
  g_assert_false (commy_config_check_file (fixture->dir, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
  g_clear_error (&error);
  g_assert_false (commy_config_check_file ("/dev/zero", &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
  g_assert_true (commy_config_check_file ("/dev/null", NULL));
}

/* Also where another file stands in the text of the mistake. */
static void
test_where (Fixture *fixture, gconstpointer data)
{
  g_autofree char *good = write_file (fixture, "good.conf", "[log]\nlevel=info\n");
  g_autofree char *text = g_strdup_printf ("[mesh]\nnosuch=%s: \n", good);
  g_autofree char *wrong = write_file (fixture, "dir/wrong.conf", text);
  g_autofree char *dir = g_path_get_dirname (wrong);
  g_autofree char *link = g_build_filename (fixture->dir, "link.conf", NULL);
  g_autofree char *failed = NULL;
  g_autoptr (GError) error = NULL;
  CommyConfigSources sources = { .user = good, .system_dir = dir };
  g_autoptr (CommyConfig) config = commy_config_load_where (&sources, &failed, &error);

  g_assert_null (config);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_UNKNOWN);
  g_assert_cmpstr (failed, ==, wrong);
  g_clear_pointer (&failed, g_free);
  g_assert_cmpint (symlink (wrong, link), ==, 0);
  g_assert_true (commy_config_is_same_file (link, wrong));
  g_assert_false (commy_config_is_same_file (good, wrong));
  sources.without = link;
  config = commy_config_load_where (&sources, &failed, NULL);
  g_assert_cmpstr (commy_config_get (config, "log", "level"), ==, "info");
  g_assert_null (failed);
}

/* What is put on top does not change what is below. */
static void
test_over (Fixture *fixture, gconstpointer data)
{
  g_autofree char *over
      = write_file (fixture, "over.conf", "[plugins]\ndeny=a\n[service b]\nbalancer=random\n");
  g_autoptr (CommyConfig) base
      = load ("[plugins]\ndeny=b;c\ntrust=any\n[service c]\nbalancer=random\n");
  g_autoptr (CommyConfig) config = commy_config_load_over (base, over, NULL);
  g_auto (GStrv) below = commy_config_get_list (base, "plugins", "deny");
  g_auto (GStrv) above = commy_config_get_list (config, "plugins", "deny");
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "service ");

  g_assert_cmpuint (g_strv_length (below), ==, 2);
  g_assert_cmpuint (g_strv_length (above), ==, 1);
  g_assert_cmpstr (commy_config_get (config, "plugins", "trust"), ==, "any");
  g_assert_cmpstr (commy_config_get_origin (config, "plugins", "trust"), ==, "t.conf:3");
  g_assert_cmpuint (groups->len, ==, 2);
  g_assert_cmpstr (groups->pdata[0], ==, "service c");
  g_assert_null (commy_config_get (base, "service b", "balancer"));
}

/* Mistakes in rules do not matter where they are passed over; other mistakes do. */
static void
test_without_policy (Fixture *fixture, gconstpointer data)
{
  g_autofree char *rules
      = write_file (fixture, "rules.conf",
                    "[policy p]\neffect=perhaps\nno=key\n[log]\nlevel=info\n[role r]\nmember=x\n");
  g_autofree char *others = write_file (fixture, "others.conf", "[policy p]\n[log]\nlevl=info\n");
  CommyConfigSources sources = { .user = rules };
  g_autoptr (GPtrArray) groups = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = commy_config_load (&sources, NULL);

  g_assert_null (config);
  sources.without_policy = TRUE;
  config = commy_config_load (&sources, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (commy_config_get (config, "log", "level"), ==, "info");
  groups = commy_config_list_groups (config, "");
  g_assert_cmpuint (groups->len, ==, 1);
  sources.user = others;
  g_assert_null (commy_config_load (&sources, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_UNKNOWN);
}

/* Every key of the table is in the shipped file, and every example there is a good value. */
static void
test_shipped (void)
{
  g_autofree char *path
      = g_test_build_filename (G_TEST_DIST, "..", "deploy", "config", "commy.conf", NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GString) open = g_string_new (NULL);
  g_auto (GStrv) lines = NULL;
  g_autoptr (CommyConfig) shipped = NULL;
  g_autoptr (CommyConfig) examples = NULL;
  g_autoptr (CommyConfig) none = load ("");
  g_autoptr (GVariant) defaults = g_variant_ref_sink (commy_config_list (none));

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_true (commy_config_check_file (path, &error));
  g_assert_no_error (error);
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      gboolean example = (*line)[0] == '#' && g_ascii_islower ((*line)[1]) && strchr (*line, '=');

      g_string_append_printf (open, "%s\n", example ? *line + 1 : *line);
    }
  examples = commy_config_load_text (open->str, open->len, "examples", &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (defaults); i++)
    {
      const char *group, *key, *value, *origin;

      g_variant_get_child (defaults, i, "(&s&s&s&s)", &group, &key, &value, &origin);
      g_assert_cmpstr (commy_config_get_origin (examples, group, key), !=, "default");
      if (!(g_str_equal (group, "mesh") && !g_str_has_suffix (key, "-dir"))
          && !(g_str_equal (group, "daemon") && g_str_equal (key, "store")))
        g_assert_cmpstr (commy_config_get (examples, group, key), ==, value);
    }
}

static const CommyParamSpec specs[] = {
  { sizeof (CommyParamSpec), COMMY_PARAM_SIZE, 0, "ring-size", "256KiB", NULL, 4096, 1 << 20, "" },
  { sizeof (CommyParamSpec), COMMY_PARAM_DURATION, 0, "idle", "1ms", NULL, 0, 0, "" },
  { sizeof (CommyParamSpec), COMMY_PARAM_BOOL, 0, "pages", "false", NULL, 0, 0, "" },
  { sizeof (CommyParamSpec), COMMY_PARAM_CHOICE, 0, "mode", "a", "a;b", 0, 0, "" },
  { sizeof (CommyParamSpec), COMMY_PARAM_INT, 0, "depth", "-1", NULL, -1, 9, "" },
};

static void
test_params (void)
{
  g_autoptr (CommyConfig) config
      = load ("[plugin transport/x]\nparam.ring-size=8KiB\nparam.depth=3\n");
  g_autoptr (GError) error = NULL;
  g_autofree char *ring = commy_config_dup_param (config, "transport/x", &specs[0]);
  g_autofree char *idle = commy_config_dup_param (config, "transport/x", &specs[1]);
  g_autofree char *pages = commy_config_dup_param (config, "transport/x", &specs[2]);
  g_autofree char *depth = commy_config_dup_param (config, "transport/y", &specs[4]);

  g_assert_true (
      commy_config_check_params (config, "transport/x", specs, G_N_ELEMENTS (specs), &error));
  g_assert_no_error (error);
  g_assert_cmpstr (ring, ==, "8192");
  g_assert_cmpstr (idle, ==, "1000000");
  g_assert_cmpstr (pages, ==, "false");
  g_assert_cmpstr (depth, ==, "-1");
}

static void
refuse_param (const char *line, const char *words)
{
  g_autofree char *text = g_strdup_printf ("[plugin transport/x]\n%s\n", line);
  g_autoptr (CommyConfig) config = load (text);
  g_autoptr (GError) error = NULL;

  g_assert_false (
      commy_config_check_params (config, "transport/x", specs, G_N_ELEMENTS (specs), &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_PARAM);
  g_assert_nonnull (strstr (error->message, "t.conf:2: "));
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_bad_params (void)
{
  CommyParamSpec broken = { sizeof broken, COMMY_PARAM_INT, 0, "n", "many", NULL, 0, 0, "" };
  CommyParamSpec nameless = { sizeof nameless, COMMY_PARAM_INT, 0, NULL, "1", NULL, 0, 0, "" };
  CommyParamSpec of_no_type = { sizeof of_no_type, 77, 0, "n", "1", NULL, 0, 0, "" };
  CommyParamSpec tiny = { 8, COMMY_PARAM_INT, 0, "n", "1", NULL, 0, 0, "" };
  const CommyParamSpec *wrong[] = { &broken, &nameless, &of_no_type, &tiny };
  g_autoptr (CommyConfig) config = load ("[plugin transport/x]\nparam.a=1\n");

  refuse_param ("param.ring-sise=8KiB", "did you mean \"ring-size\"?");
  refuse_param ("param.ring-size=1", "allowed is 4 KiB to 1 MiB");
  refuse_param ("param.mode=c", "no choice");
  refuse_param ("param.pages=1", "true or false");
  refuse_param ("param.depth=-2", "allowed is -1 to 9");
  g_assert_false (commy_config_check_params (config, "transport/x", NULL, 0, NULL));
  g_assert_true (commy_config_check_params (config, "transport/y", NULL, 0, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    g_assert_false (commy_config_check_params (config, "transport/y", wrong[i], 1, NULL));
}

static void
test_sources (void)
{
  CommyConfigSources sources;

  g_setenv ("COMMY_CONFIG", "/a:/b", TRUE);
  g_setenv ("COMMY_SHIPPED_CONFIG", "/shipped", TRUE);
  commy_config_sources_default (&sources);
  g_assert_cmpstr (sources.shipped, ==, "/shipped");
  g_assert_cmpstr (sources.environment, ==, "/a:/b");
  g_assert_true (g_str_has_suffix (sources.system, "/commy/commy.conf"));
  g_assert_true (g_str_has_suffix (sources.system_dir, "/commy/commy.conf.d"));
  g_assert_true (g_str_has_suffix (sources.user, "/commy/commy.conf"));
  g_assert_null (sources.program);
  g_unsetenv ("COMMY_CONFIG");
  g_unsetenv ("COMMY_SHIPPED_CONFIG");
  commy_config_sources_default (&sources);
  g_assert_null (sources.environment);
  g_assert_true (g_str_has_suffix (sources.shipped, "/commy/commy.conf"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/config/every-type-is-read", test_typed);
  g_test_add_func ("/config/defaults", test_defaults);
  g_test_add ("/config/later-layer-wins", Fixture, NULL, set_up, test_layers, tear_down);
  g_test_add_func ("/config/groups-in-order", test_groups);
  g_test_add_func ("/config/list-has-set-values-then-defaults", test_list);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *path = g_strconcat ("/config/refused/", bad[i].name, NULL);

      g_test_add_data_func (path, GSIZE_TO_POINTER (i), test_bad);
    }
  g_test_add_func ("/config/refused/bytes-that-are-no-text", test_bytes);
  g_test_add ("/config/files", Fixture, NULL, set_up, test_files, tear_down);
  g_test_add ("/config/which-file-is-wrong", Fixture, NULL, set_up, test_where, tear_down);
  g_test_add ("/config/one-more-over-what-is-there", Fixture, NULL, set_up, test_over, tear_down);
  g_test_add ("/config/what-others-could-write", Fixture, NULL, set_up, test_others, tear_down);
  g_test_add ("/config/without-policy", Fixture, NULL, set_up, test_without_policy, tear_down);
  g_test_add_func ("/config/shipped-file-shows-every-default", test_shipped);
  g_test_add_func ("/config/params-in-base-units", test_params);
  g_test_add_func ("/config/bad-params-are-refused", test_bad_params);
  g_test_add_func ("/config/sources-of-this-process", test_sources);
  return g_test_run ();
}
