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
  { "policy", "policy", "getters" },
};

static const struct
{
  const char *name;
  int mode;
} files[] = {
  { "Makefile", 0644 },
  { "README.md", 0644 },
  { "autotools/configure.ac", 0644 },
  { "autotools/Makefile.am", 0644 },
  { "debian/changelog", 0644 },
  { "debian/control", 0644 },
  { "debian/copyright", 0644 },
  { "debian/rules", 0755 },
  { "debian/source/format", 0644 },
};

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

typedef struct
{
  const char *from;
  const char *to;
} Pair;

/* (transfer full): @text with words replaced, in the order of @pairs, whose last is empty */
static char *
dup_replaced (const char *text, const Pair *pairs)
{
  GString *out = g_string_new (text);

  for (; pairs->from != NULL; pairs++)
    g_string_replace (out, pairs->from, pairs->to, 0);
  return g_string_free (out, FALSE);
}

static gboolean
write_file (const char *folder, const char *name, const char *text, int mode, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  if (g_mkdir_with_parents (parent, 0755) != 0)
    {
      commy_cli_set_error (error, COMMY_ERROR_FAILED, "cannot make the folder %s: %s", parent,
                           g_strerror (errno));
      return FALSE;
    }
  return g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, mode, error);
}

/* (transfer full): whose package it is, from the variables that Debian's own tools read */
static char *
dup_maintainer (void)
{
  const char *name = g_getenv ("DEBFULLNAME");
  const char *mail = g_getenv ("DEBEMAIL");

  return g_strdup_printf ("%s <%s>", name != NULL ? name : "Your Name",
                          mail != NULL ? mail : "you@example.org");
}

/* (transfer full): as a changelog has it in every language */
static char *
dup_date (GDateTime *date)
{
  static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
  static const char *const months[]
      = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
  g_autofree char *rest = g_date_time_format (date, "%Y %H:%M:%S +0000");

  return g_strdup_printf ("%s, %02d %s %s", days[g_date_time_get_day_of_week (date) - 1],
                          g_date_time_get_day_of_month (date),
                          months[g_date_time_get_month (date) - 1], rest);
}

static gboolean
write_all (const Template *template, const char *name, GError **error)
{
  g_autofree char *symbol = g_strdelimit (g_strdup (name), "-", '_');
  g_autofree char *old_prefix = g_strconcat (template->word, "_", NULL);
  g_autofree char *source_name = g_strdup_printf ("commy-%s-%s.c", template->file_kind, name);
  g_autofree char *source_resource = g_strconcat (template->kind, ".c", NULL);
  g_autofree char *source = dup_resource (source_resource);
  g_autofree char *maintainer = dup_maintainer ();
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *date = dup_date (now);
  g_autofree char *year = g_date_time_format (now, "%Y");
  /* Marks first: the new name may contain the template's, and must not be replaced again. */
  const Pair words[] = { { old_prefix, "@SYM@_" }, { template->word, "@ID@" }, { NULL, NULL } };
  const Pair marks[] = {
    { "@ID@", name },
    { "@SYM@", symbol },
    { "@FILE_KIND@", template->file_kind },
    { "@FILE_SYM@", template->file_kind },
    { "@KIND@", template->kind },
    { "@VERSION@", PACKAGE_VERSION },
    { "@DATE@", date },
    { "@YEAR@", year },
    { "@MAINTAINER@", maintainer },
    { NULL, NULL },
  };
  g_autofree char *marked = dup_replaced (source, words);
  g_autofree char *code = dup_replaced (marked, marks);

  if (!write_file (name, source_name, code, 0644, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *text = dup_resource (files[i].name);
      g_autofree char *done = dup_replaced (text, marks);

      if (!write_file (name, files[i].name, done, files[i].mode, error))
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
                    "balancer, store or policy",
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
