/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Goes through the lines of a trail with one line of foresight: what follows tells whether a
 * number was changed, records are swapped, or some are missing. Each record carries its own hash,
 * so that what follows a fault is checked again from the next record on.
 */
#include "config.h"

#include "security/commy-audit-check.h"

#include <string.h>

/* A line of the file, legible or not. */
typedef struct
{
  gsize offset;
  gsize size; /* without its line feed */
  const char *why;
  CommyAuditLine line;
} Place;

static void G_GNUC_PRINTF (5, 6) tell (CommyAuditChecker *self,
                                       const char *fault,
                                       guint64 record,
                                       gsize offset,
                                       const char *format,
                                       ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  self->funcs.fault (self->funcs.data, fault, record, offset, text);
}

void
commy_audit_checker_init (CommyAuditChecker *self,
                          const CommyAuditTools *tools,
                          const CommyAuditCheckFuncs *funcs)
{
  memset (self, 0, sizeof *self);
  self->tools = tools;
  self->funcs = *funcs;
}

/* The next whole line from @offset on. */
static gboolean
look (const CommyAuditChecker *self, gsize offset, Place *out_place)
{
  const char *end;

  out_place->offset = offset;
  if (offset >= self->size)
    return FALSE;
  end = memchr (self->bytes + offset, '\n', self->size - offset);
  if (end == NULL)
    return FALSE;
  out_place->size = (gsize) (end - self->bytes) - offset;
  out_place->why = commy_audit_line_parse (self->bytes + offset, out_place->size, &out_place->line);
  return TRUE;
}

static gboolean
is_of_trail (const CommyAuditLine *line, const char *outcome)
{
  return commy_audit_span_is (line->texts[COMMY_AUDIT_OUTCOME], outcome)
         && commy_audit_span_is (line->texts[COMMY_AUDIT_TYPE], COMMY_AUDIT_TRAIL);
}

/* --- the first line of a file --- */

/* Whether the file says behind its first line that so many records before it may not be there,
 * because the disk failed: that line is judged as every other is. */
static gboolean
is_noted_gap (const Place *after, guint64 sequence, guint64 n)
{
  return after != NULL && after->why == NULL && after->line.sequence == sequence
         && is_of_trail (&after->line, COMMY_AUDIT_GAP)
         && commy_audit_span_is (after->line.texts[COMMY_AUDIT_REASON], COMMY_AUDIT_NOT_SYNCED)
         && after->line.count >= n;
}

static void
begin (CommyAuditChecker *self, const Place *place, const Place *after)
{
  const CommyAuditLine *line = &place->line;
  CommyAuditSpan before = line->texts[COMMY_AUDIT_BEFORE];
  guint8 hash[COMMY_AUDIT_HASH_SIZE];

  if (!is_of_trail (line, COMMY_AUDIT_OPENED) || before.size != COMMY_AUDIT_HEX_SIZE
      || !commy_audit_from_hex (before.at, sizeof hash, hash))
    {
      if (self->first == 0)
        {
          self->first = self->next = line->sequence;
          tell (self, COMMY_AUDIT_FAULT_MISSING, line->sequence, place->offset,
                "the file does not begin with its first record");
        }
      return;
    }
  if (self->first == 0)
    self->first = self->next = line->sequence;
  else if (line->sequence == self->next
           && (!self->has_hash || memcmp (hash, self->hash, sizeof hash) == 0))
    return;
  /* Records before it are missing, and their number will tell so; or a foreign file stands here,
   * and its hash will. */
  else if (line->sequence <= self->next)
    return;
  else if (is_noted_gap (after, line->sequence + 1, line->sequence - self->next))
    {
      self->n_unsynced += line->sequence - self->next;
      self->next = line->sequence;
    }
  memcpy (self->hash, hash, sizeof hash);
  self->has_hash = TRUE;
  self->has_computed = FALSE;
}

/* --- one record --- */

static void
check_seal (CommyAuditChecker *self, const Place *place)
{
  const CommyAuditLine *line = &place->line;
  CommyAuditSpan text = line->texts[COMMY_AUDIT_SEAL];
  guint8 bytes[COMMY_AUDIT_SEALED_SIZE];
  guint8 seal[sizeof self->seal];
  gsize size = text.size / 2;
  g_autoptr (GError) error = NULL;

  self->is_seal_good = FALSE;
  if (text.at == NULL || size > sizeof seal || text.size % 2 != 0
      || !commy_audit_from_hex (text.at, size, seal))
    {
      tell (self, COMMY_AUDIT_FAULT_SEAL, line->sequence, place->offset,
            "checkpoint %" G_GUINT64_FORMAT " has no seal", line->sequence);
      return;
    }
  commy_audit_sealed_bytes (self->tools, self->last_seal, line->sequence - 1, self->hash,
                            line->texts[COMMY_AUDIT_HEAD].at, line->texts[COMMY_AUDIT_HEAD].size,
                            bytes);
  self->is_seal_good = self->has_hash;
  if (self->has_hash && self->tools->check_seal != NULL
      && !self->tools->check_seal (self->is_sealed ? self->seal : NULL,
                                   self->is_sealed ? self->seal_size : 0, bytes, sizeof bytes, seal,
                                   size, self->tools->user_data, &error))
    self->is_seal_good = FALSE;
  if (self->has_hash && !self->is_seal_good)
    tell (self, COMMY_AUDIT_FAULT_SEAL, line->sequence, place->offset,
          "the seal of checkpoint %" G_GUINT64_FORMAT " is not good: %s", line->sequence,
          error != NULL ? error->message : "nobody says why");
  memcpy (self->seal, seal, size);
  self->seal_size = size;
  memcpy (self->last_seal, line->hash, sizeof self->last_seal);
  self->is_sealed = TRUE;
  self->unsealed = 0;
  self->n_seals++;
}

/* A record in its place. What it carries as its hash goes on, whether it fits or not; if not, what
 * fits may be the next one's, too: then only the hash was changed. */
static void
check_hash (CommyAuditChecker *self, const Place *place)
{
  const CommyAuditLine *line = &place->line;
  const char *text = self->bytes + place->offset;
  guint8 hash[COMMY_AUDIT_HASH_SIZE];
  gboolean fits = !self->has_hash;

  if (self->has_hash)
    {
      commy_audit_chain (self->tools, self->hash, text, line->hashed, hash);
      fits = memcmp (hash, line->hash, sizeof hash) == 0;
    }
  if (!fits && self->has_computed)
    {
      guint8 other[COMMY_AUDIT_HASH_SIZE];

      commy_audit_chain (self->tools, self->computed, text, line->hashed, other);
      fits = memcmp (other, line->hash, sizeof other) == 0;
    }
  if (!fits)
    {
      tell (self, COMMY_AUDIT_FAULT_CHANGED, line->sequence, place->offset,
            "record %" G_GUINT64_FORMAT " does not fit its hash: it was changed, or it is not "
            "the one that stood here",
            line->sequence);
      memcpy (self->computed, hash, sizeof hash);
    }
  self->has_computed = !fits;
}

static void
take (CommyAuditChecker *self, const Place *place)
{
  const CommyAuditLine *line = &place->line;

  check_hash (self, place);
  if (line->boot_ns >= self->boot_ns) /* else it was held back, and is older than the one before */
    {
      if (memcmp (line->time, self->time, sizeof self->time) < 0)
        self->n_set_back++;
      memcpy (self->time, line->time, sizeof self->time);
      self->boot_ns = line->boot_ns;
    }
  self->unsealed++;
  if (G_UNLIKELY (commy_audit_span_is (line->texts[COMMY_AUDIT_TYPE], COMMY_AUDIT_TRAIL)))
    {
      if (is_of_trail (line, COMMY_AUDIT_CHECKPOINT))
        check_seal (self, place);
      if (is_of_trail (line, COMMY_AUDIT_CLOSED))
        {
          self->is_closed = TRUE;
          self->seal_follows
              = commy_audit_span_is (line->texts[COMMY_AUDIT_DETAILS], COMMY_AUDIT_SEAL_FOLLOWS);
        }
    }
  memcpy (self->hash, line->hash, sizeof self->hash);
  self->has_hash = TRUE;
  self->next = line->sequence + 1;
  self->n_records++;
  if (self->funcs.record != NULL)
    self->funcs.record (self->funcs.data, line);
}

/* --- what is out of order --- */

static void
tell_missing (CommyAuditChecker *self, const Place *place)
{
  guint64 last = place->line.sequence - 1;

  if (last == self->next)
    tell (self, COMMY_AUDIT_FAULT_MISSING, last, place->offset,
          "record %" G_GUINT64_FORMAT " is missing", last);
  else
    tell (self, COMMY_AUDIT_FAULT_MISSING, self->next, place->offset,
          "records %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " are missing", self->next, last);
}

/* How many lines were dealt with. */
static guint
settle (CommyAuditChecker *self, Place *place, const Place *after)
{
  guint64 number = place->line.sequence;
  guint64 following = after != NULL && after->why == NULL ? after->line.sequence : 0;

  if (following == self->next + 1)
    {
      tell (self, COMMY_AUDIT_FAULT_CHANGED, self->next, place->offset,
            "record %" G_GUINT64_FORMAT " was changed: it says that it is %" G_GUINT64_FORMAT,
            self->next, number);
      memcpy (self->hash, place->line.hash, sizeof self->hash);
      self->has_hash = TRUE;
      self->has_computed = FALSE;
      self->next++;
      self->n_records++;
      return 1;
    }
  if (number == self->next + 1 && following == self->next)
    {
      tell (self, COMMY_AUDIT_FAULT_SWAPPED, self->next, place->offset,
            "records %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " are swapped", self->next,
            number);
      memcpy (self->hash, place->line.hash, sizeof self->hash);
      self->has_computed = FALSE;
      self->next += 2;
      self->n_records += 2;
      return 2;
    }
  if (number < self->next)
    {
      tell (self, COMMY_AUDIT_FAULT_REPEATED, number, place->offset,
            "record %" G_GUINT64_FORMAT " stands here once more, or out of its place", number);
      return 1;
    }
  tell_missing (self, place);
  self->has_hash = self->has_computed = FALSE;
  take (self, place);
  return 1;
}

/* Lines in a row that are no records: what they were, the next one tells. */
static void
tell_illegible (CommyAuditChecker *self, const Place *first, guint n, const Place *after)
{
  g_autofree char *which = NULL;
  guint64 last = after != NULL ? after->line.sequence - 1 : self->next;

  if (after != NULL && after->line.sequence > self->next + 1)
    which
        = g_strdup_printf ("records %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, self->next, last);
  else
    which = g_strdup_printf ("record %" G_GUINT64_FORMAT, self->next);
  tell (self, COMMY_AUDIT_FAULT_ILLEGIBLE, self->next, first->offset,
        "where %s should be %s no record: %s", which,
        n > 1 ? "are lines that are" : "is a line that is", first->why);
  self->has_hash = self->has_computed = FALSE;
  if (after != NULL && after->line.sequence > self->next)
    self->next = after->line.sequence;
}

static void
reset_file (CommyAuditChecker *self, const char *bytes, gsize size, gboolean is_live)
{
  self->bytes = bytes;
  self->size = size;
  self->is_live = is_live;
  self->is_closed = self->is_sealed = self->is_seal_good = self->seal_follows = FALSE;
  self->unsealed = self->torn = 0;
  self->seal_size = 0;
  memset (self->last_seal, 0, sizeof self->last_seal);
  memset (self->time, 0, sizeof self->time);
  self->boot_ns = 0;
}

/* Behind the last whole line. */
static void
end (CommyAuditChecker *self, gsize offset)
{
  if (offset < self->size && !self->is_live)
    self->torn = self->size - offset;
  if (self->seal_follows && self->unsealed > 0)
    tell (self, COMMY_AUDIT_FAULT_CUT, self->next, offset,
          "the file was closed, and the seal at its end is missing");
}

void
commy_audit_checker_run (CommyAuditChecker *self, const char *bytes, gsize size, gboolean is_live)
{
  Place places[2], illegible = { 0 };
  Place *place = &places[0], *after = &places[1], *swap;
  gboolean has, has_after, is_first = TRUE;
  guint n_illegible = 0;

  reset_file (self, bytes, size, is_live);
  for (has = look (self, 0, place); has;)
    {
      guint n = 1;

      has_after = look (self, place->offset + place->size + 1, after);
      if (place->why != NULL && n_illegible++ == 0)
        illegible = *place;
      if (place->why == NULL)
        {
          if (is_first)
            begin (self, place, has_after ? after : NULL);
          is_first = FALSE;
          if (n_illegible > 0)
            tell_illegible (self, &illegible, n_illegible, place);
          n_illegible = 0;
          if (place->line.sequence == self->next)
            take (self, place);
          else
            n = settle (self, place, has_after ? after : NULL);
        }
      swap = place;
      place = after;
      after = swap;
      has = has_after;
      if (n == 2 && has)
        has = look (self, place->offset + place->size + 1, place);
    }
  if (n_illegible > 0)
    tell_illegible (self, &illegible, n_illegible, NULL);
  end (self, place->offset);
}
