/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who the commitments of a trail are about: lines of commitment, salt and text beside it. Without
 * salt and text a commitment is a number that nobody can trace, and the trail is as whole as
 * before.
 */
#include "config.h"

#include "security/commy-audit-record.h"

#include <string.h>

#define PAD 64u /* texts are padded to a multiple */
#define SALT_AT (COMMY_AUDIT_HEX_SIZE + 1)
#define TEXT_AT (SALT_AT + 2 * COMMY_AUDIT_SALT_SIZE + 1)

G_STATIC_ASSERT (TEXT_AT + COMMY_AUDIT_TEXT_MAX + PAD + 1 <= COMMY_AUDIT_NAME_LINE_MAX);

char *
commy_audit_name_dup (const char *text)
{
  char quoted[COMMY_AUDIT_TEXT_MAX];
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  char *end = commy_audit_quote (quoted, quoted + sizeof quoted, valid);

  return commy_audit_span_dup ((CommyAuditSpan){ quoted + 1, (gsize) (end - quoted) - 2 });
}

void
commy_audit_name_commit (const CommyAuditTools *tools,
                         const guint8 salt[COMMY_AUDIT_SALT_SIZE],
                         const char *text,
                         char out_hex[COMMY_AUDIT_HEX_SIZE + 1])
{
  guint8 bytes[COMMY_AUDIT_SALT_SIZE + COMMY_AUDIT_TEXT_MAX];
  guint8 hash[COMMY_AUDIT_HASH_SIZE];
  gsize size = MIN (strlen (text), COMMY_AUDIT_TEXT_MAX);

  memcpy (bytes, salt, COMMY_AUDIT_SALT_SIZE);
  memcpy (bytes + COMMY_AUDIT_SALT_SIZE, text, size);
  tools->hash (bytes, COMMY_AUDIT_SALT_SIZE + size, hash, tools->user_data);
  commy_audit_to_hex (hash, sizeof hash, out_hex);
  out_hex[COMMY_AUDIT_HEX_SIZE] = '\0';
}

gsize
commy_audit_name_write (const char *commitment,
                        const guint8 salt[COMMY_AUDIT_SALT_SIZE],
                        const char *text,
                        char out[COMMY_AUDIT_NAME_LINE_MAX])
{
  char *to = out + TEXT_AT;
  gsize size;

  memcpy (out, commitment, COMMY_AUDIT_HEX_SIZE);
  out[SALT_AT - 1] = ' ';
  commy_audit_to_hex (salt, COMMY_AUDIT_SALT_SIZE, out + SALT_AT);
  out[TEXT_AT - 1] = ' ';
  to = commy_audit_quote (to, to + COMMY_AUDIT_TEXT_MAX, text);
  size = ((gsize) (to - out) - TEXT_AT + PAD - 1) / PAD * PAD;
  memset (to, ' ', TEXT_AT + size - (gsize) (to - out));
  out[TEXT_AT + size] = '\n';
  return TEXT_AT + size + 1;
}

static gboolean
is_erased (const char *line, gsize size)
{
  for (gsize i = SALT_AT; i < size; i++)
    if (line[i] != '-')
      return FALSE;
  return TRUE;
}

gboolean
commy_audit_name_parse (const char *line, gsize size, CommyAuditName *out_name)
{
  guint8 hash[COMMY_AUDIT_HASH_SIZE];
  gsize end = size;

  memset (out_name, 0, sizeof *out_name);
  if (size < TEXT_AT + PAD || size >= COMMY_AUDIT_NAME_LINE_MAX || line[SALT_AT - 1] != ' '
      || !commy_audit_from_hex (line, sizeof hash, hash))
    return FALSE;
  memcpy (out_name->commitment, line, COMMY_AUDIT_HEX_SIZE);
  out_name->is_erased = is_erased (line, size);
  if (out_name->is_erased)
    return TRUE;
  while (line[end - 1] == ' ')
    end--;
  if (line[TEXT_AT - 1] != ' ' || end < TEXT_AT + 2 || line[TEXT_AT] != '"' || line[end - 1] != '"'
      || !commy_audit_from_hex (line + SALT_AT, COMMY_AUDIT_SALT_SIZE, out_name->salt))
    return FALSE;
  out_name->text = (CommyAuditSpan){ line + TEXT_AT + 1, end - TEXT_AT - 2 };
  return TRUE;
}

void
commy_audit_name_erase (char *line, gsize size)
{
  memset (line + SALT_AT, '-', size - SALT_AT);
}

gsize
commy_audit_name_blot (gsize torn, char out[COMMY_AUDIT_NAME_LINE_MAX])
{
  gsize size = TEXT_AT + PAD;

  while (size + 1 < torn)
    size += PAD;
  size = MIN (size, COMMY_AUDIT_NAME_LINE_MAX - 1);
  memset (out, '0', COMMY_AUDIT_HEX_SIZE);
  out[SALT_AT - 1] = ' ';
  commy_audit_name_erase (out, size);
  out[size] = '\n';
  return size + 1;
}

static gboolean
is_of_a_name (char c)
{
  return g_ascii_isalnum (c) || c == '-' || c == '_' || c == '/' || (c & 0x80) != 0;
}

gboolean
commy_audit_name_mentions (const char *text, const char *name)
{
  gsize size = strlen (name);

  for (const char *at = strstr (text, name); size > 0 && at != NULL; at = strstr (at + 1, name))
    if ((at == text || !is_of_a_name (at[-1])) && !is_of_a_name (at[size]))
      return TRUE;
  return FALSE;
}
