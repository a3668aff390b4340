/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes a found plugin resident and checks what it says of itself when it runs: the only file
 * that knows dlopen. Nothing is ever unloaded: code that a thread or a destructor may still
 * stand in must not vanish.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_INSTANCE_SIZE (64u << 20)
#define MAX_PARAMS 256u

/* What is read of a file at first. Its note nearly always lies there. */
#define HEAD_SIZE 16384u

static gboolean
read_range (int fd, guint8 *image, gsize from, gsize to)
{
  return from >= to || pread (fd, image + from, to - from, (off_t) from) == (gssize) (to - from);
}

/* The file as far as its note is looked for in it, zeros behind, or NULL with errno; munmap() it.
 * Read, not mapped: one that is cut short meanwhile would end in SIGBUS. Not from malloc() either:
 * once it has freed such a block it keeps as much of everything that is freed later, in every
 * program that loads a plugin. */
static void *
read_image (int fd, gsize size)
{
  const gsize head = MIN (size, HEAD_SIZE);
  guint8 *image = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (image == MAP_FAILED)
    return NULL;
  if (read_range (fd, image, 0, head)
      && read_range (fd, image, head, commy_note_get_extent (image, head, size)))
    return image;
  munmap (image, size);
  return NULL;
}

int
commy_plugin_open (const char *path,
                   const char *sha256,
                   CommyTrust trust,
                   CommyPluginNote *out_note,
                   GError **error)
{
  struct stat info;
  void *image;
  gboolean ok;
  int fd = commy_trust_open (path, trust, sha256, error);

  if (fd < 0)
    return -1;
  if (fstat (fd, &info) != 0 || info.st_size > COMMY_PLUGIN_MAX_FILE)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "larger than 256 MiB");
      close (fd);
      return -1;
    }
  if (info.st_size == 0)
    ok = commy_note_parse ((const guint8 *) "", 0, out_note, error);
  else if ((image = read_image (fd, (gsize) info.st_size)) != NULL)
    {
      ok = commy_note_parse (image, (gsize) info.st_size, out_note, error);
      munmap (image, (gsize) info.st_size);
    }
  else
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "cannot be read: %s", g_strerror (errno));
      ok = FALSE;
    }
  if (ok)
    return fd;
  close (fd);
  return -1;
}

/* How the names begin under which the loader opens descriptors with these bytes. The loader takes
 * two equal names for one library, and descriptor numbers come again: the pinned hash is
 * therefore woven into the name, a "." for every bit that is set. */
static char *
dup_pinned_stem (const char *sha256)
{
  GString *name = g_string_new ("/proc/self/fd");

  for (guint i = 0; sha256[i] != '\0'; i++)
    for (guint bit = 0; bit < 4; bit++)
      g_string_append (name, (g_ascii_xdigit_value (sha256[i]) >> bit) & 1 ? "/." : "/");
  g_string_append_c (name, '/');
  return g_string_free (name, FALSE);
}

typedef struct
{
  const char *stem;
  char *name;
} Loaded;

static int
compare_loaded (struct dl_phdr_info *info, size_t size, void *data)
{
  Loaded *loaded = data;
  gsize stem = strlen (loaded->stem);

  if (strncmp (info->dlpi_name, loaded->stem, stem) != 0
      || !g_ascii_isdigit (info->dlpi_name[stem]))
    return 0;
  loaded->name = g_strdup (info->dlpi_name);
  return 1;
}

/* Every copy is a file of its own to the loader. A plugin that another mesh of this process has
 * must not come twice: what its instances share is theirs. */
static char *
dup_pinned_name (int fd, const char *sha256)
{
  g_autofree char *stem = dup_pinned_stem (sha256);
  Loaded loaded = { .stem = stem };

  dl_iterate_phdr (compare_loaded, &loaded);
  return loaded.name != NULL ? loaded.name : g_strdup_printf ("%s%d", stem, fd);
}

/* The name of the very file that was opened, all links resolved. */
static char *
dup_real_name (int fd, const char *path)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  char *real = g_file_read_link (link, NULL);

  return real != NULL ? real : g_strdup (path);
}

static gpointer
open_library (
    int fd, const CommyPlugin *plugin, CommyTrust trust, const char *sha256, GError **error)
{
  g_autofree char *name
      = trust == COMMY_TRUST_HASH ? dup_pinned_name (fd, sha256) : dup_real_name (fd, plugin->path);
  gpointer library = dlopen (name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

  if (library == NULL)
    commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "cannot be loaded: %s", dlerror ());
  return library;
}

/* The query symbol, if it is this library's own and not one of its dependencies'. */
static CommyPluginQueryFunc
find_query (gpointer library, GError **error)
{
  gpointer symbol = dlsym (library, COMMY_QUERY_SYMBOL);
  CommyPluginQueryFunc query = NULL;
  struct link_map *ours = NULL, *theirs = NULL;
  Dl_info info;

  if (symbol == NULL)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_ABI,
                       "it has no symbol " COMMY_QUERY_SYMBOL "; use COMMY_PLUGIN_DEFINE");
      return NULL;
    }
  if (dlinfo (library, RTLD_DI_LINKMAP, &ours) != 0
      || dladdr1 (symbol, &info, (void **) &theirs, RTLD_DL_LINKMAP) == 0 || ours != theirs)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_ABI,
                       "its symbol " COMMY_QUERY_SYMBOL " belongs to another library, %s",
                       theirs != NULL ? theirs->l_name : "unknown");
      return NULL;
    }
  memcpy (&query, &symbol, sizeof query);
  return query;
}

static gboolean
check_note (const CommyPluginDescriptor *descriptor, const CommyPluginNote *note, GError **error)
{
  if (descriptor == NULL || descriptor->struct_size < sizeof *descriptor)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_ABI,
                       "its descriptor is shorter than this ABI's; build it again");
      return FALSE;
    }
  if (descriptor->note == NULL || memcmp (descriptor->note, note, sizeof *note) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_MISMATCH,
                       "the note in its file and its descriptor differ; if the file was replaced, "
                       "start this process again");
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_specs (const CommyPluginDescriptor *descriptor, GError **error)
{
  if (descriptor->n_params > MAX_PARAMS || (descriptor->n_params > 0 && descriptor->params == NULL))
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_PARAM, "its table of parameters makes no sense");
      return FALSE;
    }
  for (gsize i = 0; i < descriptor->n_params; i++)
    {
      const CommyParamSpec *spec = &descriptor->params[i];

      if (spec->struct_size == sizeof *spec && spec->type >= COMMY_PARAM_BOOL
          && spec->type <= COMMY_PARAM_CHOICE && spec->name != NULL && spec->name[0] != '\0'
          && spec->default_value != NULL && spec->help != NULL
          && (spec->type != COMMY_PARAM_CHOICE || spec->choices != NULL))
        continue;
      commy_set_error (error, COMMY_ERROR_PLUGIN_PARAM,
                       "its parameter %u (%s) is not fully described", (guint) i + 1,
                       spec->struct_size == sizeof *spec && spec->name != NULL ? spec->name : "?");
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_descriptor (CommyPlugin *plugin,
                  const CommyPluginDescriptor *descriptor,
                  CommyConfig *config,
                  GError **error)
{
  if (!check_note (descriptor, &plugin->note, error))
    return FALSE;
  if (descriptor->init == NULL || descriptor->fini == NULL)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT, "its required operation '%s' is missing",
                       descriptor->init == NULL ? "init" : "fini");
      return FALSE;
    }
  if (descriptor->instance_size > MAX_INSTANCE_SIZE)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_SLOT,
                       "its instance_size of %" G_GSIZE_FORMAT " bytes is over the limit of 64 MiB",
                       descriptor->instance_size);
      return FALSE;
    }
  return check_specs (descriptor, error)
         && commy_plugin_fill_ops (plugin->note.kind, descriptor->ops, &plugin->ops, error)
         && commy_config_check_params (config, plugin->name, descriptor->params,
                                       descriptor->n_params, error);
}

static gboolean
load (CommyPlugin *plugin, CommyConfig *config, GError **error)
{
  g_autofree char *group = commy_plugin_dup_group (plugin);
  const char *sha256 = commy_config_get (config, group, "sha256");
  CommyTrust trust = commy_plugin_get_trust (config);
  CommyPluginQueryFunc query;
  const CommyPluginDescriptor *descriptor;
  CommyPluginNote note;
  gpointer library;
  int fd = commy_plugin_open (plugin->path, sha256, trust, &note, error);

  if (fd < 0)
    return FALSE;
  if (memcmp (&note, &plugin->note, sizeof note) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_MISMATCH,
                       "the file was replaced since it was found");
      close (fd);
      return FALSE;
    }
  library = open_library (fd, plugin, trust, sha256, error);
  close (fd);
  if (library == NULL)
    return FALSE;
  query = find_query (library, error);
  if (query == NULL)
    return FALSE;
  descriptor = query ();
  if (!check_descriptor (plugin, descriptor, config, error))
    return FALSE;
  plugin->descriptor = descriptor;
  return TRUE;
}

gboolean
commy_plugin_load (CommyPlugin *plugin, CommyConfig *config, GError **error)
{
  g_autoptr (GError) local = NULL;
  CommyTrial *trial;
  gboolean ok;

  if (plugin->descriptor != NULL)
    return TRUE;
  if (plugin->state != COMMY_PLUGIN_STATE_FOUND)
    {
      commy_set_error (
          error,
          plugin->state == COMMY_PLUGIN_STATE_QUARANTINED ? COMMY_ERROR_PLUGIN_QUARANTINED
                                                          : COMMY_ERROR_PLUGIN_MISSING,
          "plugin %s is %s: %s", plugin->name, commy_plugin_state_to_string (plugin->state),
          plugin->reason != NULL ? plugin->reason : "no reason known");
      return FALSE;
    }
  trial = commy_quarantine_begin (plugin->quarantine, plugin->name, plugin->path, "it was loaded");
  ok = load (plugin, config, &local);
  commy_trial_end (trial, FALSE);
  if (ok)
    {
      plugin->state = COMMY_PLUGIN_STATE_LOADED;
      return TRUE;
    }
  plugin->state = COMMY_PLUGIN_STATE_FAILED;
  plugin->reason = g_strdup (commy_error_bare (local));
  commy_set_error (error, local->code, "plugin %s (%s): %s", plugin->name, plugin->path,
                   plugin->reason);
  return FALSE;
}
