/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where keyfiles are, and reading them layer by layer. Nothing but this file touches the file
 * system or the environment for settings.
 */
#include "config.h"

#include "config/commy-config-private.h"

#include "base/commy-error-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

void
commy_config_sources_default (CommyConfigSources *out_sources)
{
  /* Set-user-id programs and the like: who started them has no say. */
  gboolean privileged = getauxval (AT_SECURE) != 0;
  const char *shipped = privileged ? NULL : g_getenv ("COMMY_SHIPPED_CONFIG");
  const char *environment = privileged ? NULL : g_getenv ("COMMY_CONFIG");

  *out_sources = (CommyConfigSources){
    .shipped = shipped != NULL && *shipped != '\0' ? g_intern_string (shipped)
                                                   : COMMY_DATA_DIR "/commy/commy.conf",
    .system = COMMY_SYSCONF_DIR "/commy/commy.conf",
    .system_dir = COMMY_SYSCONF_DIR "/commy/commy.conf.d",
  };
  if (privileged)
    return;
  {
    g_autofree char *user
        = g_build_filename (g_get_user_config_dir (), "commy", "commy.conf", NULL);

    out_sources->user = g_intern_string (user);
  }
  if (environment != NULL && *environment != '\0')
    out_sources->environment = g_intern_string (environment);
}

static gboolean
fail_errno (const char *path, int number, GError **error)
{
  commy_set_error (error, COMMY_ERROR_CONFIG, "%s cannot be read: %s", path, g_strerror (number));
  return FALSE;
}

/* At most one byte more than is allowed, so that devices and pipes end too. */
static gboolean
read_fd (int fd, GByteArray *bytes)
{
  guint8 block[8192];

  while (bytes->len <= COMMY_CONFIG_MAX_TEXT)
    {
      gssize got = read (fd, block, sizeof block);

      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0)
        return got == 0;
      g_byte_array_append (bytes, block, (guint) got);
    }
  return TRUE;
}

/* How a file came to be read. */
typedef enum
{
  FILE_FOUND,   /* it lies where everybody knows; whoever writes it names plugins and commands */
  FILE_SHIPPED, /* with the library; need not be there either */
  FILE_NAMED    /* somebody asked for it */
} FileKind;

/* What is found must be the user's own or the administrator's. To whom a group is given is theirs
 * to say. */
static gboolean
check_owner (int fd, const char *path, GError **error)
{
  struct stat about;

  if (fstat (fd, &about) != 0)
    return fail_errno (path, errno, error);
  if (about.st_uid != 0 && about.st_uid != geteuid ())
    commy_set_error (error, COMMY_ERROR_CONFIG,
                     "%s belongs to user %u, neither to this one nor to root: chown it, or name "
                     "it in COMMY_CONFIG if it is meant",
                     path, (guint) about.st_uid);
  else if (S_ISREG (about.st_mode) && (about.st_mode & S_IWOTH) != 0)
    commy_set_error (error, COMMY_ERROR_CONFIG, "everybody could write %s: chmod o-w %s", path,
                     path);
  else
    return TRUE;
  return FALSE;
}

static gboolean
add_file (CommyConfig *config, const char *path, FileKind kind, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gboolean ok;
  int number;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

  if (fd < 0 && kind != FILE_NAMED && (errno == ENOENT || errno == ENOTDIR))
    return TRUE;
  if (fd < 0)
    return fail_errno (path, errno, error);
  if (kind == FILE_FOUND && !check_owner (fd, path, error))
    {
      close (fd);
      return FALSE;
    }
  ok = read_fd (fd, bytes);
  number = errno;
  close (fd);
  if (!ok)
    return fail_errno (path, number, error);
  return commy_config_add_text (config, (const char *) bytes->data, bytes->len, path, error);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* (transfer full) (element-type filename): the keyfiles of a folder by name */
static GPtrArray *
list_dir (const char *path, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, error);
  GPtrArray *names;
  const char *name;

  if (dir == NULL)
    return NULL;
  names = g_ptr_array_new_with_free_func (g_free);
  while ((name = g_dir_read_name (dir)) != NULL)
    if (name[0] != '.' && g_str_has_suffix (name, ".conf"))
      g_ptr_array_add (names, g_build_filename (path, name, NULL));
  g_ptr_array_sort (names, compare_names);
  return names;
}

gboolean
commy_config_is_same_file (const char *path, const char *other)
{
  struct stat one, two;

  return stat (path, &one) == 0 && stat (other, &two) == 0 && one.st_dev == two.st_dev
         && one.st_ino == two.st_ino;
}

typedef struct
{
  CommyConfig *config;
  const CommyConfigSources *sources;
  char *failed; /* file or folder; NULL: none */
} Layers;

static gboolean
add_layer (Layers *self, const char *path, FileKind kind, GError **error)
{
  const char *without = self->sources->without;

  if (without != NULL && commy_config_is_same_file (path, without))
    return TRUE;
  if (add_file (self->config, path, kind, error))
    return TRUE;
  self->failed = g_strdup (path);
  return FALSE;
}

static gboolean
add_dir (Layers *self, const char *path, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (GPtrArray) names = list_dir (path, &local);

  if (names == NULL)
    {
      if (g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT)
          || g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOTDIR))
        return TRUE;
      commy_set_error (error, COMMY_ERROR_CONFIG, "%s cannot be read: %s", path, local->message);
      self->failed = g_strdup (path);
      return FALSE;
    }
  for (guint i = 0; i < names->len; i++)
    if (!add_layer (self, g_ptr_array_index (names, i), FILE_FOUND, error))
      return FALSE;
  return TRUE;
}

static gboolean
add_environment (Layers *self, const char *paths, GError **error)
{
  g_auto (GStrv) all = g_strsplit (paths, ":", -1);

  for (char **path = all; *path != NULL; path++)
    if (**path != '\0' && !add_layer (self, *path, FILE_NAMED, error))
      return FALSE;
  return TRUE;
}

static gboolean
add_sources (Layers *self, GError **error)
{
  const CommyConfigSources *sources = self->sources;

  self->config->without_policy = sources->without_policy;
  return (sources->shipped == NULL || add_layer (self, sources->shipped, FILE_SHIPPED, error))
         && (sources->system == NULL || add_layer (self, sources->system, FILE_FOUND, error))
         && (sources->system_dir == NULL || add_dir (self, sources->system_dir, error))
         && (sources->user == NULL || add_layer (self, sources->user, FILE_FOUND, error))
         && (sources->environment == NULL || add_environment (self, sources->environment, error))
         && (sources->program == NULL
             || commy_config_add_text (self->config, sources->program, strlen (sources->program),
                                       "program", error));
}

CommyConfig *
commy_config_load_where (const CommyConfigSources *sources, char **out_file, GError **error)
{
  g_autoptr (CommyConfig) config = commy_config_new ();
  Layers layers = { .config = config, .sources = sources };

  if (add_sources (&layers, error))
    return g_steal_pointer (&config);
  *out_file = layers.failed;
  return NULL;
}

CommyConfig *
commy_config_load (const CommyConfigSources *sources, GError **error)
{
  g_autofree char *file = NULL;

  return commy_config_load_where (sources, &file, error);
}

CommyConfig *
commy_config_load_over (CommyConfig *base, const char *path, GError **error)
{
  g_autoptr (CommyConfig) config = base != NULL ? commy_config_copy (base) : commy_config_new ();

  return add_file (config, path, FILE_NAMED, error) ? g_steal_pointer (&config) : NULL;
}

gboolean
commy_config_check_file (const char *path, GError **error)
{
  g_autoptr (CommyConfig) config = commy_config_new ();

  return add_file (config, path, FILE_NAMED, error);
}

static gboolean
add_setting (CommyConfig *config, const char *setting, GError **error)
{
  const char *equals = strchr (setting, '=');
  const char *dot = equals != NULL ? g_strrstr_len (setting, equals - setting, ".") : NULL;
  g_autofree char *text = NULL;

  if (dot == NULL || dot == setting || dot + 1 == equals)
    {
      commy_set_error (error, COMMY_ERROR_CONFIG, "\"%.80s\" is no setting; write GROUP.KEY=VALUE",
                       setting);
      return FALSE;
    }
  text = g_strdup_printf ("[%.*s]\n%s\n", (int) (dot - setting), setting, dot + 1);
  return commy_config_add_text (config, text, strlen (text), setting, error);
}

CommyConfig *
commy_config_load_as (const CommyGroupSchema *groups,
                      gsize n_groups,
                      const char *path,
                      const char *const *settings,
                      GError **error)
{
  g_autoptr (CommyConfig) config = commy_config_new ();

  config->schema = groups;
  config->n_schema = n_groups;
  if (!add_file (config, path, FILE_NAMED, error))
    return NULL;
  for (; settings != NULL && *settings != NULL; settings++)
    if (!add_setting (config, *settings, error))
      return NULL;
  return g_steal_pointer (&config);
}

CommyConfig *
commy_config_load_text (const char *text, gsize size, const char *origin, GError **error)
{
  g_autoptr (CommyConfig) config = commy_config_new ();

  return commy_config_add_text (config, text, size, origin, error) ? g_steal_pointer (&config)
                                                                   : NULL;
}

static void
list_layer (GVariantBuilder *files, const char *layer, const char *path)
{
  g_autofree char *name = path != NULL ? g_filename_display_name (path) : NULL;

  if (name != NULL && name[0] != '\0')
    g_variant_builder_add (files, "(ss)", layer, name);
}

GVariant *
commy_config_list_files (void)
{
  CommyConfigSources sources;
  g_autoptr (GPtrArray) names = NULL;
  g_auto (GStrv) named = NULL;
  GVariantBuilder files;

  commy_config_sources_default (&sources);
  names = list_dir (sources.system_dir, NULL);
  named = g_strsplit (sources.environment != NULL ? sources.environment : "", ":", -1);
  g_variant_builder_init (&files, G_VARIANT_TYPE ("a(ss)"));
  list_layer (&files, "shipped", sources.shipped);
  list_layer (&files, "system", sources.system);
  for (guint i = 0; names != NULL && i < names->len; i++)
    list_layer (&files, "drop-in", names->pdata[i]);
  list_layer (&files, "user", sources.user);
  for (guint i = 0; named[i] != NULL; i++)
    list_layer (&files, "environment", named[i]);
  return g_variant_builder_end (&files);
}
