/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One record of the audit trail as a line of text, both ways, and the hash that chains it to the
 * one before. Pure: time, salts and the hash function are arguments. docs/formats/audit.md has
 * the format.
 */
#pragma once

#include <commy/commy-audit.h>

#define COMMY_AUDIT_HASH_SIZE 32u
#define COMMY_AUDIT_HEX_SIZE 64u /* of a hash, without a NUL */
#define COMMY_AUDIT_TIME_SIZE 27u
#define COMMY_AUDIT_SALT_SIZE 16u
#define COMMY_AUDIT_TEXT_MAX 512u  /* bytes of a text as it stands in the line */
#define COMMY_AUDIT_LINE_MAX 8192u /* its line feed included */

/* Members with a text, in the order in which they stand. */
typedef enum
{
  COMMY_AUDIT_TYPE,
  COMMY_AUDIT_OUTCOME,
  COMMY_AUDIT_PRINCIPAL, /* these three are personal: in a line only their commitments stand */
  COMMY_AUDIT_ADDRESS,
  COMMY_AUDIT_PEER, /* what a peer said of itself that nobody proved */
  COMMY_AUDIT_TRANSPORT,
  COMMY_AUDIT_SERVICE,
  COMMY_AUDIT_METHOD,
  COMMY_AUDIT_RULE,
  COMMY_AUDIT_ORIGIN,
  COMMY_AUDIT_REASON,
  COMMY_AUDIT_DETAILS,
  COMMY_AUDIT_N_EVENT_TEXTS,
  COMMY_AUDIT_BEFORE
  = COMMY_AUDIT_N_EVENT_TEXTS, /* first line of a file: the hash it goes on from */
  COMMY_AUDIT_SEAL,
  COMMY_AUDIT_HEAD, /* the commitment to what the head shows from here on */
  COMMY_AUDIT_N_TEXTS,
} CommyAuditText;

static inline gboolean
commy_audit_text_is_personal (guint text)
{
  return text >= COMMY_AUDIT_PRINCIPAL && text <= COMMY_AUDIT_PEER;
}

/* What somebody did by hand; its method is the act, its peer what that was about. */
#define COMMY_AUDIT_ADMIN "admin"
/* The type of the records that the trail makes about itself, and their outcomes. */
#define COMMY_AUDIT_TRAIL "trail"
#define COMMY_AUDIT_OPENED "opened"
#define COMMY_AUDIT_CHECKPOINT "checkpoint"
#define COMMY_AUDIT_CLOSED "closed"
#define COMMY_AUDIT_SEAL_FOLLOWS "a seal follows" /* its details, if one does */
#define COMMY_AUDIT_GAP "gap"                     /* count: records that were lost */
#define COMMY_AUDIT_NOT_SYNCED "not synced" /* its reason; details: the file that lacks them */
#define COMMY_AUDIT_RECOVERED "recovered"   /* details: a file; reason: a note where it ends */
#define COMMY_AUDIT_REMOVED "removed"       /* the same, of a file that had to go */

/* Details of a record that stands for strangers who had no records of their own. */
#define COMMY_AUDIT_WITHHELD "strangers beyond strangers-per-second, counted alone"

/* The same of what a principal was denied. */
#define COMMY_AUDIT_WITHHELD_DENIALS "denials beyond denied-per-second, counted alone"

/* The name of a member. */
const char *commy_audit_text_name (guint text);

typedef struct
{
  guint64 sequence;
  gint64 wall_us;
  gint64 boot_ns;
  guint64 count;        /* 0 and 1: does not stand in the line */
  gboolean is_stranger; /* it is about somebody who proved nothing; does not stand in the line */
  const char *texts[COMMY_AUDIT_N_TEXTS];
} CommyAuditRecord;

/* Writes the part that is hashed; what is too long is cut, what is no text made one. The size. */
gsize commy_audit_record_write (const CommyAuditRecord *record, char out[COMMY_AUDIT_LINE_MAX]);
/* Puts hash, end and line feed behind @size bytes. The new size. */
gsize commy_audit_record_end (char out[COMMY_AUDIT_LINE_MAX],
                              gsize size,
                              const guint8 hash[COMMY_AUDIT_HASH_SIZE]);

/* A point in time as it stands in a record, with a NUL; and back, of COMMY_AUDIT_TIME_SIZE bytes.
 */
void commy_audit_time_write (gint64 wall_us, char out[COMMY_AUDIT_TIME_SIZE + 1]);
gboolean commy_audit_time_parse (const char *text, gint64 *out_wall_us);

/* A part of a line, as it stands there. */
typedef struct
{
  const char *at; /* NULL: not there */
  gsize size;
} CommyAuditSpan;

typedef struct
{
  guint64 sequence;
  gint64 boot_ns;
  guint64 count;
  const char *time; /* COMMY_AUDIT_TIME_SIZE bytes */
  CommyAuditSpan texts[COMMY_AUDIT_N_TEXTS];
  gsize hashed; /* bytes that the hash is about */
  guint8 hash[COMMY_AUDIT_HASH_SIZE];
} CommyAuditLine;

/* @size: without the line feed. NULL, or why it is no record. The line points into @text. */
const char *commy_audit_line_parse (const char *text, gsize size, CommyAuditLine *out_line);
gboolean commy_audit_span_is (CommyAuditSpan span, const char *text);
/* The text that was written. (transfer full), NULL where there is none */
char *commy_audit_span_dup (CommyAuditSpan span);

/* SHA-256 (@before, the size in 4 bytes with the high one first, @text). */
void commy_audit_chain (const CommyAuditTools *tools,
                        const guint8 before[COMMY_AUDIT_HASH_SIZE],
                        const char *text,
                        gsize size,
                        guint8 out_hash[COMMY_AUDIT_HASH_SIZE]);

/* What a checkpoint's seal signs: the last checkpoint's hash, and the record it is about, together
 * with what the checkpoint itself has as its `head` (NULL: nothing). */
#define COMMY_AUDIT_SEALED_SIZE (COMMY_AUDIT_HASH_SIZE + 8u + COMMY_AUDIT_HASH_SIZE)
void commy_audit_sealed_bytes (const CommyAuditTools *tools,
                               const guint8 last[COMMY_AUDIT_HASH_SIZE],
                               guint64 sequence,
                               const guint8 hash[COMMY_AUDIT_HASH_SIZE],
                               const char *head,
                               gsize head_size,
                               guint8 out[COMMY_AUDIT_SEALED_SIZE]);

/* Hash functions of GLib alone; @user_data of the tools is a GChecksum. */
CommyAuditTools *commy_audit_tools_new (void);
void commy_audit_tools_free (CommyAuditTools *tools);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAuditTools, commy_audit_tools_free)

void commy_audit_to_hex (const guint8 *bytes, gsize size, char *out);
gboolean commy_audit_from_hex (const char *text, gsize size, guint8 *out);

/* --- names: what commitments are about (commy-audit-names.c) --- */

#define COMMY_AUDIT_NAME_LINE_MAX 1024u

typedef struct
{
  char commitment[COMMY_AUDIT_HEX_SIZE + 1];
  gboolean is_erased;
  guint8 salt[COMMY_AUDIT_SALT_SIZE];
  CommyAuditSpan text; /* points into the line */
} CommyAuditName;

/* A text as it is committed to: bounded, and text. (transfer full) */
char *commy_audit_name_dup (const char *text);
/* SHA-256 (@salt, @text), in hex with a NUL. */
void commy_audit_name_commit (const CommyAuditTools *tools,
                              const guint8 salt[COMMY_AUDIT_SALT_SIZE],
                              const char *text,
                              char out_hex[COMMY_AUDIT_HEX_SIZE + 1]);
/* A line with its line feed, whose length tells little about that of the text. The size. */
gsize commy_audit_name_write (const char *commitment,
                              const guint8 salt[COMMY_AUDIT_SALT_SIZE],
                              const char *text,
                              char out[COMMY_AUDIT_NAME_LINE_MAX]);
/* @size: without the line feed. */
gboolean commy_audit_name_parse (const char *line, gsize size, CommyAuditName *out_name);
/* What takes the place of everything behind the commitment, in a line of this size. */
void commy_audit_name_erase (char *line, gsize size);
/* A line of its own, of no commitment and erased, over @torn bytes of one that was not finished,
 * fewer than COMMY_AUDIT_NAME_LINE_MAX. Its size. */
gsize commy_audit_name_blot (gsize torn, char out[COMMY_AUDIT_NAME_LINE_MAX]);
/* Whether it is the name that is meant, or has it as a whole word, as a refusal's text does. */
gboolean commy_audit_name_mentions (const char *text, const char *name);

/* Puts @text between quotes; stops before @end, at the end of a character. Where it ended. */
char *commy_audit_quote (char *to, const char *end, const char *text);
