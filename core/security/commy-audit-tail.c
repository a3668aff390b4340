/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a file of the trail ends, read from its end; and the list of a folder's files.
 */
#include "config.h"

#include "security/commy-audit-tail.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-chain.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Enough for two whole lines and a torn one. */
#define LOOK (3u * COMMY_AUDIT_LINE_MAX)

/* Less than zero: it cannot be read, which is not its end. */
static gssize
read_at (int fd, off_t from, char *out, gsize room)
{
  gsize size = 0;

  while (size < room)
    {
      gssize got = pread (fd, out + size, room - size, from + (off_t) size);

      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -1;
      if (got == 0)
        break;
      size += (gsize) got;
    }
  return (gssize) size;
}

static gssize
read_end (int fd, char *out)
{
  struct stat status;

  if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode))
    return -1;
  return read_at (fd, MAX (status.st_size - (off_t) LOOK, 0), out, LOOK);
}

/* The last line that ends before @end, or at it. FALSE: there is none. */
static gboolean
step_back (const char *text, gssize *end, gssize *out_begin)
{
  gssize begin;

  while (*end > 0 && text[*end - 1] != '\n')
    (*end)--;
  for (begin = *end - 1; begin > 0 && text[begin - 1] != '\n'; begin--)
    ;
  *out_begin = MAX (begin, 0);
  return *end > 0;
}

/* Behind what its hash goes on from: the record before it, or what a first one says. */
static gboolean
fits (const char *text, gssize begin, const CommyAuditLine *line, const CommyAuditTools *tools)
{
  const CommyAuditSpan first = line->texts[COMMY_AUDIT_BEFORE];
  guint8 before[COMMY_AUDIT_HASH_SIZE], hash[COMMY_AUDIT_HASH_SIZE];
  gssize end = begin, at;

  if (first.size == COMMY_AUDIT_HEX_SIZE)
    {
      if (!commy_audit_from_hex (first.at, sizeof before, before))
        return FALSE;
    }
  else
    {
      CommyAuditLine other;

      if (!step_back (text, &end, &at) || end != begin
          || commy_audit_line_parse (text + at, (gsize) (end - 1 - at), &other) != NULL)
        return FALSE;
      memcpy (before, other.hash, sizeof before);
    }
  commy_audit_chain (tools, before, text + begin, line->hashed, hash);
  return memcmp (hash, line->hash, sizeof hash) == 0;
}

gboolean
commy_audit_tail_read (int fd, const CommyAuditTools *tools, CommyAuditTail *out_tail)
{
  g_autofree char *text = g_malloc (LOOK);
  gssize size = read_end (fd, text);
  gssize end = size, begin;

  memset (out_tail, 0, sizeof *out_tail);
  memset (out_tail->hash, '0', COMMY_AUDIT_HEX_SIZE);
  if (size < 0)
    return FALSE;
  for (; step_back (text, &end, &begin); end = begin)
    {
      CommyAuditLine line;

      if (commy_audit_line_parse (text + begin, (gsize) (end - 1 - begin), &line) != NULL)
        continue;
      out_tail->sequence = line.sequence;
      commy_audit_to_hex (line.hash, sizeof line.hash, out_tail->hash);
      out_tail->fits = commy_audit_time_parse (line.time, &out_tail->wall_us)
                       && fits (text, begin, &line, tools);
      out_tail->is_sealed = line.texts[COMMY_AUDIT_SEAL].at != NULL;
      break;
    }
  out_tail->torn = (gsize) (size - end);
  return TRUE;
}

/* --- how one begins --- */

static void
take_first (CommyAuditStart *self, const CommyAuditLine *line)
{
  g_autofree char *rules = commy_audit_span_dup (line->texts[COMMY_AUDIT_REASON]);

  if (line->texts[COMMY_AUDIT_BEFORE].size != COMMY_AUDIT_HEX_SIZE)
    return;
  self->sequence = line->sequence;
  memcpy (self->before, line->texts[COMMY_AUDIT_BEFORE].at, COMMY_AUDIT_HEX_SIZE);
  self->has_rules = rules != NULL && commy_audit_rules_parse (rules, &self->rules);
  if (!self->has_rules)
    memset (&self->rules, 0, sizeof self->rules);
}

void
commy_audit_start_take (CommyAuditStart *self, const CommyAuditLine *line)
{
  if (G_LIKELY (self->n_lines >= 2))
    return;
  if (!commy_audit_span_is (line->texts[COMMY_AUDIT_TYPE], COMMY_AUDIT_TRAIL))
    ;
  else if (self->n_lines == 0)
    take_first (self, line);
  else if (commy_audit_span_is (line->texts[COMMY_AUDIT_OUTCOME], COMMY_AUDIT_GAP)
           && commy_audit_span_is (line->texts[COMMY_AUDIT_REASON], COMMY_AUDIT_NOT_SYNCED))
    self->gap = line->count;
  self->n_lines++;
}

static gsize
take_line (const char *text, gsize size, CommyAuditLine *out_line)
{
  const char *end = memchr (text, '\n', size);

  return end != NULL && commy_audit_line_parse (text, (gsize) (end - text), out_line) == NULL
             ? (gsize) (end - text) + 1
             : 0;
}

gboolean
commy_audit_start_read (int fd, CommyAuditStart *out_start)
{
  g_autofree char *text = g_malloc (LOOK);
  gssize size = read_at (fd, 0, text, LOOK);
  CommyAuditLine line;
  gsize at = 0, step = 1;

  memset (out_start, 0, sizeof *out_start);
  out_start->is_empty = size >= 0 && memchr (text, '\n', (gsize) size) == NULL;
  for (guint i = 0; size > 0 && i < 2 && step > 0; i++)
    {
      step = take_line (text + at, (gsize) size - at, &line);
      at += step;
      if (step > 0)
        commy_audit_start_take (out_start, &line);
    }
  return size >= 0;
}

gboolean
commy_audit_start_follows (const CommyAuditStart *start, guint64 sequence, const char *hash)
{
  if (start->sequence == 0 || sequence >= start->sequence)
    return FALSE;
  if (sequence + 1 == start->sequence)
    return strcmp (start->before, hash) == 0;
  return start->sequence - 1 - sequence <= start->gap;
}

/* --- all of a folder --- */

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
commy_audit_list_files (const char *directory, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) cause = NULL;
  g_autoptr (GDir) dir = g_dir_open (directory, 0, &cause);
  const char *name;

  if (dir == NULL)
    {
      commy_set_error (error, COMMY_ERROR_AUDIT, "there is no audit trail to read: %s",
                       cause->message);
      return NULL;
    }
  while ((errno = 0, name = g_dir_read_name (dir)) != NULL)
    if (name[0] != '.'
        && (g_str_has_suffix (name, COMMY_AUDIT_SUFFIX)
            || g_str_has_suffix (name, COMMY_AUDIT_LIVE_SUFFIX)))
      g_ptr_array_add (names, g_strdup (name));
  if (errno != 0)
    {
      commy_set_error (error, COMMY_ERROR_AUDIT, "cannot read all names of %s: %s", directory,
                       g_strerror (errno));
      return NULL;
    }
  g_ptr_array_sort (names, compare);
  return g_steal_pointer (&names);
}

GPtrArray *
commy_audit_list_beside (const char *directory, const char *suffix)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (name[0] != '.' && g_str_has_suffix (name, suffix))
      g_ptr_array_add (names, g_strdup (name));
  return names;
}
