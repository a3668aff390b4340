/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines of the audit trail: one way to write each record, and a reader that takes nothing else, so
 * that whoever holds the line holds the bytes that were hashed.
 */
#include "config.h"

#include "security/commy-audit-record.h"

#include <string.h>
#include <time.h>

static const char *const names[COMMY_AUDIT_N_TEXTS] = {
  [COMMY_AUDIT_TYPE] = "type",           [COMMY_AUDIT_OUTCOME] = "outcome",
  [COMMY_AUDIT_PRINCIPAL] = "principal", [COMMY_AUDIT_ADDRESS] = "address",
  [COMMY_AUDIT_PEER] = "peer",           [COMMY_AUDIT_TRANSPORT] = "transport",
  [COMMY_AUDIT_SERVICE] = "service",     [COMMY_AUDIT_METHOD] = "method",
  [COMMY_AUDIT_RULE] = "rule",           [COMMY_AUDIT_ORIGIN] = "origin",
  [COMMY_AUDIT_REASON] = "reason",       [COMMY_AUDIT_DETAILS] = "details",
  [COMMY_AUDIT_BEFORE] = "before",       [COMMY_AUDIT_SEAL] = "seal",
  [COMMY_AUDIT_HEAD] = "head",
};

G_STATIC_ASSERT ((COMMY_AUDIT_N_TEXTS * (COMMY_AUDIT_TEXT_MAX + 16)) + 256 < COMMY_AUDIT_LINE_MAX);

static const char digits[] = "0123456789abcdef";

const char *
commy_audit_text_name (guint text)
{
  return text < COMMY_AUDIT_N_TEXTS ? names[text] : NULL;
}

void
commy_audit_to_hex (const guint8 *bytes, gsize size, char *out)
{
  for (gsize i = 0; i < size; i++)
    {
      out[2 * i] = digits[bytes[i] >> 4];
      out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int
hex_value (char digit)
{
  if (digit >= '0' && digit <= '9')
    return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

gboolean
commy_audit_from_hex (const char *text, gsize size, guint8 *out)
{
  for (gsize i = 0; i < size; i++)
    {
      int high = hex_value (text[2 * i]);
      int low = high < 0 ? -1 : hex_value (text[2 * i + 1]);

      if (low < 0)
        return FALSE;
      out[i] = (guint8) (high << 4 | low);
    }
  return TRUE;
}

/* --- writing --- */

static char *
put (char *to, const char *text)
{
  gsize size = strlen (text);

  memcpy (to, text, size);
  return to + size;
}

static char *
put_number (char *to, guint64 number, guint width)
{
  char reversed[20];
  guint n = 0;

  do
    reversed[n++] = (char) ('0' + number % 10);
  while ((number /= 10) > 0);
  while (n < width)
    reversed[n++] = '0';
  while (n > 0)
    *to++ = reversed[--n];
  return to;
}

static char *
put_time (char *to, gint64 wall_us)
{
  gint64 bounded = CLAMP (wall_us, 0, G_GINT64_CONSTANT (253402300799999999)); /* year 9999 */
  time_t seconds = (time_t) (bounded / G_USEC_PER_SEC);
  struct tm parts;

  gmtime_r (&seconds, &parts);
  to = put_number (to, (guint64) parts.tm_year + 1900, 4);
  *to++ = '-';
  to = put_number (to, (guint64) parts.tm_mon + 1, 2);
  *to++ = '-';
  to = put_number (to, (guint64) parts.tm_mday, 2);
  *to++ = 'T';
  to = put_number (to, (guint64) parts.tm_hour, 2);
  *to++ = ':';
  to = put_number (to, (guint64) parts.tm_min, 2);
  *to++ = ':';
  to = put_number (to, (guint64) parts.tm_sec, 2);
  *to++ = '.';
  to = put_number (to, (guint64) (bounded % G_USEC_PER_SEC), 6);
  *to++ = 'Z';
  return to;
}

void
commy_audit_time_write (gint64 wall_us, char out[COMMY_AUDIT_TIME_SIZE + 1])
{
  *put_time (out, wall_us) = '\0';
}

static gboolean
is_plain (guchar byte)
{
  return byte >= 0x20 && byte != 0x7f && byte != '"' && byte != '\\';
}

char *
commy_audit_quote (char *to, const char *end, const char *text)
{
  *to++ = '"';
  while (*text != '\0')
    {
      gsize size = (gsize) (g_utf8_next_char (text) - text);

      if (to + 7 > end) /* the longest escape, and the quote */
        break;
      if (is_plain ((guchar) *text))
        {
          memcpy (to, text, size);
          to += size;
        }
      else if (*text == '"' || *text == '\\')
        {
          *to++ = '\\';
          *to++ = *text;
        }
      else
        {
          to = put (to, "\\u00");
          *to++ = digits[(guchar) *text >> 4];
          *to++ = digits[(guchar) *text & 15];
        }
      text += size;
    }
  *to++ = '"';
  return to;
}

static char *
put_text (char *to, const char *name, const char *text)
{
  g_autofree char *valid = g_utf8_validate (text, -1, NULL) ? NULL : g_utf8_make_valid (text, -1);

  to = put (to, ",\"");
  to = put (to, name);
  to = put (to, "\":");
  return commy_audit_quote (to, to + COMMY_AUDIT_TEXT_MAX, valid != NULL ? valid : text);
}

gsize
commy_audit_record_write (const CommyAuditRecord *record, char out[COMMY_AUDIT_LINE_MAX])
{
  char *to = put (out, "{\"seq\":");

  to = put_number (to, record->sequence, 1);
  to = put (to, ",\"time\":\"");
  to = put_time (to, record->wall_us);
  to = put (to, "\",\"boot\":");
  to = put_number (to, (guint64) MAX (record->boot_ns, 0), 1);
  for (guint i = 0; i < COMMY_AUDIT_N_TEXTS; i++)
    if (record->texts[i] != NULL && record->texts[i][0] != '\0')
      to = put_text (to, names[i], record->texts[i]);
  if (record->count > 1)
    {
      to = put (to, ",\"count\":");
      to = put_number (to, record->count, 1);
    }
  return (gsize) (to - out);
}

gsize
commy_audit_record_end (char out[COMMY_AUDIT_LINE_MAX],
                        gsize size,
                        const guint8 hash[COMMY_AUDIT_HASH_SIZE])
{
  char *to = put (out + size, ",\"hash\":\"");

  commy_audit_to_hex (hash, COMMY_AUDIT_HASH_SIZE, to);
  to = put (to + COMMY_AUDIT_HEX_SIZE, "\"}\n");
  return (gsize) (to - out);
}

/* --- reading --- */

typedef struct
{
  const char *at;
  const char *end;
} Cursor;

static inline gboolean
is_next (const Cursor *cursor, const char *text)
{
  gsize size = strlen (text);

  return (gsize) (cursor->end - cursor->at) >= size && memcmp (cursor->at, text, size) == 0;
}

static inline gboolean
take (Cursor *cursor, const char *text)
{
  if (!is_next (cursor, text))
    return FALSE;
  cursor->at += strlen (text);
  return TRUE;
}

/* Digits without a zero in front. */
static gboolean
take_number (Cursor *cursor, guint64 *out_number)
{
  const char *begin = cursor->at;
  guint64 number = 0;

  for (; cursor->at < cursor->end && g_ascii_isdigit (*cursor->at); cursor->at++)
    {
      guint64 digit = (guint64) (*cursor->at - '0');

      if (number > (G_MAXUINT64 - digit) / 10)
        return FALSE;
      number = number * 10 + digit;
    }
  *out_number = number;
  return cursor->at > begin && (*begin != '0' || cursor->at == begin + 1);
}

/* Behind a backslash. */
static gboolean
take_escape (Cursor *cursor)
{
  gsize left = (gsize) (cursor->end - cursor->at);

  if (left < 2)
    return FALSE;
  if (cursor->at[1] == '"' || cursor->at[1] == '\\')
    cursor->at += 2;
  else if (left >= 6 && memcmp (cursor->at, "\\u00", 4) == 0 && hex_value (cursor->at[4]) >= 0
           && hex_value (cursor->at[5]) >= 0)
    cursor->at += 6;
  else
    return FALSE;
  return TRUE;
}

/* Up to the closing quote, which is taken, too. */
static gboolean
take_string (Cursor *cursor, CommyAuditSpan *out_span)
{
  const char *begin = cursor->at;

  while (cursor->at < cursor->end)
    {
      if (G_LIKELY (is_plain ((guchar) *cursor->at)))
        cursor->at++;
      else if (*cursor->at == '"')
        {
          out_span->at = begin;
          out_span->size = (gsize) (cursor->at++ - begin);
          return TRUE;
        }
      else if (*cursor->at != '\\' || !take_escape (cursor))
        return FALSE;
    }
  return FALSE;
}

static gboolean
is_time (const char *text)
{
  static const char form[] = "0000-00-00T00:00:00.000000Z";

  for (gsize i = 0; i < COMMY_AUDIT_TIME_SIZE; i++)
    if (form[i] == '0' ? !g_ascii_isdigit (text[i]) : text[i] != form[i])
      return FALSE;
  return TRUE;
}

static int
digits_at (const char *text, guint n)
{
  int number = 0;

  while (n-- > 0)
    number = number * 10 + (*text++ - '0');
  return number;
}

/* A day that no month has comes out as another one: so it is written again. */
gboolean
commy_audit_time_parse (const char *text, gint64 *out_wall_us)
{
  char again[COMMY_AUDIT_TIME_SIZE + 1];
  struct tm parts = { 0 };

  if (!is_time (text))
    return FALSE;
  parts.tm_year = digits_at (text, 4) - 1900;
  parts.tm_mon = digits_at (text + 5, 2) - 1;
  parts.tm_mday = digits_at (text + 8, 2);
  parts.tm_hour = digits_at (text + 11, 2);
  parts.tm_min = digits_at (text + 14, 2);
  parts.tm_sec = digits_at (text + 17, 2);
  *out_wall_us = (gint64) timegm (&parts) * G_USEC_PER_SEC + digits_at (text + 20, 6);
  commy_audit_time_write (*out_wall_us, again);
  return memcmp (text, again, COMMY_AUDIT_TIME_SIZE) == 0;
}

static const char *
take_head (Cursor *cursor, CommyAuditLine *line)
{
  guint64 boot;

  if (!take (cursor, "{\"seq\":") || !take_number (cursor, &line->sequence))
    return "it does not begin with a sequence number";
  if (!take (cursor, ",\"time\":\"") || cursor->end - cursor->at < (gssize) COMMY_AUDIT_TIME_SIZE
      || !is_time (cursor->at))
    return "it has no time";
  line->time = cursor->at;
  cursor->at += COMMY_AUDIT_TIME_SIZE;
  if (!take (cursor, "\",\"boot\":") || !take_number (cursor, &boot) || boot > G_MAXINT64)
    return "it has no time since boot";
  line->boot_ns = (gint64) boot;
  return NULL;
}

/* What is personal stands there as a commitment. */
static gboolean
is_text_of (guint text, CommyAuditSpan span)
{
  guint8 commitment[COMMY_AUDIT_HASH_SIZE];

  if (!commy_audit_text_is_personal (text))
    return span.size > 0 && span.size <= COMMY_AUDIT_TEXT_MAX
           && g_utf8_validate (span.at, (gssize) span.size, NULL);
  return span.size == COMMY_AUDIT_HEX_SIZE
         && commy_audit_from_hex (span.at, sizeof commitment, commitment);
}

/* Members in their order, each at most once; @from goes on. */
static gboolean
take_member (Cursor *cursor, guint *from, CommyAuditLine *line)
{
  if (!is_next (cursor, ",\""))
    return FALSE;
  for (guint i = *from; i < COMMY_AUDIT_N_TEXTS; i++)
    {
      gsize size = strlen (names[i]);

      if ((gsize) (cursor->end - cursor->at) < size + 5
          || memcmp (cursor->at + 2, names[i], size) != 0 || cursor->at[2 + size] != '"')
        continue;
      cursor->at += 2 + size;
      *from = i + 1;
      return take (cursor, "\":\"") && take_string (cursor, &line->texts[i])
             && is_text_of (i, line->texts[i]);
    }
  return FALSE;
}

static const char *
take_tail (Cursor *cursor, const char *text, CommyAuditLine *line)
{
  line->count = 1;
  if (take (cursor, ",\"count\":") && (!take_number (cursor, &line->count) || line->count < 2))
    return "its count is none";
  line->hashed = (gsize) (cursor->at - text);
  if (!take (cursor, ",\"hash\":\"")
      || cursor->end - cursor->at != (gssize) COMMY_AUDIT_HEX_SIZE + 2
      || !commy_audit_from_hex (cursor->at, COMMY_AUDIT_HASH_SIZE, line->hash))
    return "it does not end with a hash";
  cursor->at += COMMY_AUDIT_HEX_SIZE;
  return take (cursor, "\"}") ? NULL : "it does not end with a hash";
}

const char *
commy_audit_line_parse (const char *text, gsize size, CommyAuditLine *out_line)
{
  Cursor cursor = { text, text + size };
  const char *why;
  guint from = 0;

  memset (out_line, 0, sizeof *out_line);
  if (size >= COMMY_AUDIT_LINE_MAX)
    return "it is too long";
  why = take_head (&cursor, out_line);
  if (why != NULL)
    return why;
  while (!is_next (&cursor, ",\"count\":") && !is_next (&cursor, ",\"hash\":"))
    if (!take_member (&cursor, &from, out_line))
      return "one of its members is not what may stand there";
  why = take_tail (&cursor, text, out_line);
  return why != NULL || out_line->texts[COMMY_AUDIT_TYPE].at != NULL ? why : "it has no type";
}

gboolean
commy_audit_span_is (CommyAuditSpan span, const char *text)
{
  return span.at != NULL && span.size == strlen (text) && memcmp (span.at, text, span.size) == 0;
}

char *
commy_audit_span_dup (CommyAuditSpan span)
{
  GString *text;

  if (span.at == NULL)
    return NULL;
  text = g_string_sized_new (span.size + 1);
  for (gsize i = 0; i < span.size; i++)
    {
      guint8 byte = 0;

      if (span.at[i] != '\\' || i + 1 >= span.size)
        g_string_append_c (text, span.at[i]);
      else if (span.at[i + 1] != 'u')
        g_string_append_c (text, span.at[++i]);
      else if (i + 5 < span.size && commy_audit_from_hex (span.at + i + 4, 1, &byte))
        {
          g_string_append_c (text, byte != 0 ? (char) byte : '?');
          i += 5;
        }
    }
  if (!g_utf8_validate (text->str, (gssize) text->len, NULL))
    {
      char *valid = g_utf8_make_valid (text->str, (gssize) text->len);

      g_string_free (text, TRUE);
      return valid;
    }
  return g_string_free (text, FALSE);
}

/* --- hashes --- */

void
commy_audit_chain (const CommyAuditTools *tools,
                   const guint8 before[COMMY_AUDIT_HASH_SIZE],
                   const char *text,
                   gsize size,
                   guint8 out_hash[COMMY_AUDIT_HASH_SIZE])
{
  guint8 bytes[COMMY_AUDIT_HASH_SIZE + 4 + COMMY_AUDIT_LINE_MAX];
  guint32 length = GUINT32_TO_BE ((guint32) size);

  g_return_if_fail (size <= COMMY_AUDIT_LINE_MAX);
  memcpy (bytes, before, COMMY_AUDIT_HASH_SIZE);
  memcpy (bytes + COMMY_AUDIT_HASH_SIZE, &length, sizeof length);
  memcpy (bytes + COMMY_AUDIT_HASH_SIZE + sizeof length, text, size);
  tools->hash (bytes, COMMY_AUDIT_HASH_SIZE + sizeof length + size, out_hash, tools->user_data);
}

void
commy_audit_sealed_bytes (const CommyAuditTools *tools,
                          const guint8 last[COMMY_AUDIT_HASH_SIZE],
                          guint64 sequence,
                          const guint8 hash[COMMY_AUDIT_HASH_SIZE],
                          const char *head,
                          gsize head_size,
                          guint8 out[COMMY_AUDIT_SEALED_SIZE])
{
  guint64 number = GUINT64_TO_BE (sequence);
  guint8 *about = out + COMMY_AUDIT_HASH_SIZE + sizeof number;

  memcpy (out, last, COMMY_AUDIT_HASH_SIZE);
  memcpy (out + COMMY_AUDIT_HASH_SIZE, &number, sizeof number);
  if (head != NULL)
    commy_audit_chain (tools, hash, head, head_size, about);
  else
    memcpy (about, hash, COMMY_AUDIT_HASH_SIZE);
}

static void
hash_with_glib (gconstpointer bytes, gsize size, guint8 *out_hash, gpointer user_data)
{
  gsize length = COMMY_AUDIT_HASH_SIZE;

  g_checksum_reset (user_data);
  g_checksum_update (user_data, bytes, (gssize) size);
  g_checksum_get_digest (user_data, out_hash, &length);
}

CommyAuditTools *
commy_audit_tools_new (void)
{
  CommyAuditTools *tools = g_new0 (CommyAuditTools, 1);

  tools->struct_size = sizeof *tools;
  tools->hash = hash_with_glib;
  tools->user_data = g_checksum_new (G_CHECKSUM_SHA256);
  return tools;
}

void
commy_audit_tools_free (CommyAuditTools *tools)
{
  if (tools == NULL)
    return;
  g_checksum_free (tools->user_data);
  g_free (tools);
}
