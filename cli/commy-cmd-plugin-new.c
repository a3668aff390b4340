/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy plugin new KIND NAME`: a folder with a plugin that works. The templates are plugins of
 * this tree that are compiled and verified in its tests; only their name is changed.
 */
#include "config.h"

#include "cli/commy-cmd-plugin.h"

#include "cli/commy-output.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#define RESOURCES "/org/commy/templates/"

typedef struct
{
  const char *kind;      /* as it is said */
  const char *file_kind; /* in names of files: a hook is a transport */
  const char *word;      /* the template's own name, which gives way to the new one */
} Template;

static const Template templates[] = {
  { "transport", "transport", "seqpacket" },   { "hook", "transport", "tally" },
  { "serializer", "serializer", "netstring" }, { "auth", "auth", "sameuser" },
  { "balancer", "balancer", "leastbusy" },     { "store", "store", "onefile" },
};

static const char *const files[]
    = { "Makefile", "README.md", "autotools/configure.ac", "autotools/Makefile.am" };

static const Template *
find_template (const char *kind)
{
  for (gsize i = 0; i < G_N_ELEMENTS (templates); i++)
    if (strcmp (templates[i].kind, kind) == 0)
      return &templates[i];
  return NULL;
}

/* As a note's id must be, and a C identifier once '-' is '_'. */
static gboolean
is_id (const char *name)
{
  gsize length = strlen (name);

  return g_ascii_islower (name[0]) && length < sizeof ((CommyPluginNote *) NULL)->id
         && strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length
         && !g_str_has_suffix (name, "-");
}

/* (transfer full) */
static char *
dup_resource (const char *name)
{
  g_autofree char *path = g_strconcat (RESOURCES, name, NULL);
  g_autoptr (GBytes) bytes = g_resources_lookup_data (path, G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);

  g_assert (bytes != NULL);
  return g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
}

/* (transfer full): @text with pairs of words replaced, in the order in which they come */
static char *
dup_replaced (const char *text, const char *const *pairs)
{
  GString *out = g_string_new (text);

  for (gsize i = 0; pairs[i] != NULL; i += 2)
    g_string_replace (out, pairs[i], pairs[i + 1], 0);
  return g_string_free (out, FALSE);
}

static gboolean
write_file (const char *folder, const char *name, const char *text, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  if (g_mkdir_with_parents (parent, 0755) != 0)
    {
      commy_cli_set_error (error, COMMY_ERROR_FAILED, "cannot make the folder %s: %s", parent,
                           g_strerror (errno));
      return FALSE;
    }
  return g_file_set_contents (path, text, -1, error);
}

static gboolean
write_all (const Template *template, const char *name, GError **error)
{
  g_autofree char *symbol = g_strdelimit (g_strdup (name), "-", '_');
  g_autofree char *old_prefix = g_strconcat (template->word, "_", NULL);
  g_autofree char *source_name = g_strdup_printf ("commy-%s-%s.c", template->file_kind, name);
  g_autofree char *source_resource = g_strconcat (template->kind, ".c", NULL);
  g_autofree char *source = dup_resource (source_resource);
  /* Marks first: the new name may contain the template's, and must not be replaced again. */
  const char *const words[] = { old_prefix, "@SYM@_", template->word, "@ID@", NULL };
  const char *const marks[] = { "@ID@",        name,
                                "@SYM@",       symbol,
                                "@FILE_KIND@", template->file_kind,
                                "@FILE_SYM@",  template->file_kind,
                                "@KIND@",      template->kind,
                                NULL };
  g_autofree char *marked = dup_replaced (source, words);
  g_autofree char *code = dup_replaced (marked, marks);

  if (!write_file (name, source_name, code, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *text = dup_resource (files[i]);
      g_autofree char *done = dup_replaced (text, marks);

      if (!write_file (name, files[i], done, error))
        return FALSE;
    }
  return TRUE;
}

CommyExit
commy_plugin_new (const char *kind, const char *name)
{
  const Template *template = find_template (kind);
  g_autoptr (GError) error = NULL;

  if (template == NULL)
    commy_cli_note ("there is no template for \"%s\": say transport, hook, serializer, auth, "
                    "balancer or store",
                    kind);
  else if (!is_id (name))
    commy_cli_note ("\"%s\" is no name for a plugin: lower case letters, digits and '-', a letter "
                    "first, at most 31",
                    name);
  else if (g_mkdir (name, 0755) != 0)
    commy_cli_note ("cannot make the folder %s: %s", name, g_strerror (errno));
  else if (!write_all (template, name, &error))
    return commy_cli_fail (error);
  else
    {
      commy_output_print (_ ("%s/ has a plugin that works (%s); now:\n  cd %s && make check\n"),
                          name, kind, name);
      return COMMY_EXIT_DONE;
    }
  return COMMY_EXIT_USAGE;
}
