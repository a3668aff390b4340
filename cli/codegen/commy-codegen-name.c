/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of D-Bus as identifiers of C, by the rules of gdbus-codegen.
 */
#include "config.h"

#include "cli/codegen/commy-codegen.h"

#include <string.h>

char *
commy_codegen_to_lower (const char *camel)
{
  GString *out = g_string_new (NULL);
  gboolean was_lower = FALSE;

  for (; *camel == '_'; camel++)
    g_string_append_c (out, '_');
  for (; *camel != '\0'; camel++)
    {
      const gboolean is_upper = g_ascii_isupper (*camel);

      if (is_upper && was_lower)
        g_string_append_c (out, '_');
      g_string_append_c (out, g_ascii_tolower (*camel));
      was_lower = !is_upper;
    }
  return g_string_free (out, FALSE);
}

char *
commy_codegen_dup_identifier (const char *text)
{
  char *out = g_strdup (text);

  for (char *at = out; *at != '\0'; at++)
    if (!g_ascii_isalnum (*at))
      *at = '_';
  return out;
}

char *
commy_codegen_dup_member (const char *name, GDBusAnnotationInfo **annotations)
{
  const char *other = g_dbus_annotation_info_lookup (annotations, "org.gtk.GDBus.C.Name");
  g_autofree char *lower = NULL;

  if (other != NULL && other[0] != '\0' && strchr (other + 1, '_') != NULL)
    lower = g_ascii_strdown (other, -1);
  else
    lower = commy_codegen_to_lower (other != NULL && other[0] != '\0' ? other : name);
  return commy_codegen_dup_identifier (lower);
}

gboolean
commy_codegen_is_reserved (const char *identifier)
{
  static const char *const words[] = {
    "asm",     "auto",     "bool",    "break",     "case",   "char",     "const",   "continue",
    "default", "do",       "double",  "else",      "enum",   "extern",   "false",   "float",
    "for",     "goto",     "if",      "inline",    "int",    "linux",    "long",    "register",
    "return",  "restrict", "short",   "signed",    "sizeof", "static",   "struct",  "switch",
    "true",    "typedef",  "typeof",  "union",     "unix",   "unsigned", "void",    "volatile",
    "while",   "class",    "delete",  "explicit",  "export", "friend",   "mutable", "namespace",
    "new",     "operator", "private", "protected", "public", "template", "this",    "throw",
    "try",     "using",    "virtual", NULL,
  };

  return g_strv_contains (words, identifier);
}
