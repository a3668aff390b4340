/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a note's content makes sense: ABI, kind, texts, profile. Texts are printed on
 * terminals and used in file names and keyfiles, so nothing but printable text passes.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <string.h>

static gboolean
check_abi (const CommyPluginNote *note, GError **error)
{
  if (note->abi_major != COMMY_ABI_MAJOR)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_ABI,
                       "built for plugin ABI %u, this is ABI %u; build it again", note->abi_major,
                       COMMY_ABI_MAJOR);
      return FALSE;
    }
  if (note->struct_size != sizeof *note)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_ABI, "its note says it has %u bytes instead of %u",
                       note->struct_size, (guint) sizeof *note);
      return FALSE;
    }
  if (note->kind < COMMY_PLUGIN_TRANSPORT || note->kind > COMMY_PLUGIN_POLICY)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_ABI, "plugin kind %u is unknown", note->kind);
      return FALSE;
    }
  if (note->reserved != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_ABI, "its note uses a reserved field");
      return FALSE;
    }
  return TRUE;
}

/* Terminated, padded with zeros, printable. */
static gboolean
check_text (const char *field, const char *text, gsize room, GError **error)
{
  gsize length = strnlen (text, room);

  if (length == room)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "its note's %s is not terminated", field);
      return FALSE;
    }
  for (gsize i = length; i < room; i++)
    if (text[i] != '\0')
      {
        commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "its note's %s is not padded with zeros",
                         field);
        return FALSE;
      }
  if (!g_utf8_validate (text, (gssize) length, NULL))
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "its note's %s is not UTF-8", field);
      return FALSE;
    }
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    if (!g_unichar_isprint (g_utf8_get_char (p)))
      {
        commy_set_error (error, COMMY_ERROR_PLUGIN_FILE,
                         "its note's %s has characters that cannot be printed", field);
        return FALSE;
      }
  return TRUE;
}

static gboolean
check_name (const char *field, const char *name, GError **error)
{
  if (name[0] != '\0' && name[0] != '-'
      && strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen (name))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_PLUGIN_FILE,
                   "its note's %s \"%s\" is not made of lower case letters, digits and '-'", field,
                   name);
  return FALSE;
}

gboolean
commy_note_check (const CommyPluginNote *note, GError **error)
{
  if (!check_abi (note, error) || !check_text ("id", note->id, sizeof note->id, error)
      || !check_text ("version", note->version, sizeof note->version, error)
      || !check_text ("licence", note->licence, sizeof note->licence, error)
      || !check_text ("summary", note->summary, sizeof note->summary, error)
      || !check_text ("scheme", note->scheme, sizeof note->scheme, error)
      || !check_name ("id", note->id, error))
    return FALSE;
  /* Only a transport has addresses; a hook has those of what it wraps. */
  if (((note->kind == COMMY_PLUGIN_TRANSPORT && (note->flags & COMMY_PLUGIN_FLAG_HOOK) == 0)
       || note->scheme[0] != '\0')
      && !check_name ("scheme", note->scheme, error))
    return FALSE;
  if (note->profile.provenance == COMMY_PROVENANCE_OPERATOR)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_PROFILE,
                       "its profile claims to be the operator's; only a keyfile may say that");
      return FALSE;
    }
  return commy_profile_check (&note->profile, error);
}
