/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the audit trail that nodes leave where `[audit]` is enabled: records, whether they are
 * whole, and taking a person's name out of them. All of it works on files, without a mesh.
 */
#pragma once

#include <commy/commy-types.h>

G_BEGIN_DECLS

/**
 * CommyAuditHashFunc: (skip)
 * @bytes: (array length=size) (element-type guint8): what is hashed
 * @size: how many
 * @out_hash: (out caller-allocates): 32 bytes
 * @user_data: of the #CommyAuditTools
 *
 * SHA-256 of some bytes.
 *
 * Since: 0.1
 */
typedef void (*CommyAuditHashFunc) (gconstpointer bytes,
                                    gsize size,
                                    guint8 *out_hash,
                                    gpointer user_data);

/**
 * CommyAuditSealFunc: (skip)
 * @before: (nullable): the seal before it in the same file, for the key that it introduced
 * @before_size: its bytes; 0 for the first of a file
 * @bytes: what was signed
 * @size: how many
 * @seal: the seal, from a file: it may be anything
 * @seal_size: its bytes
 * @user_data: of the #CommyAuditTools
 * @error: return location: why it is not
 *
 * Judges the seal of a checkpoint.
 *
 * Returns: whether the key that may do so made it for these bytes
 *
 * Since: 0.1
 */
typedef gboolean (*CommyAuditSealFunc) (gconstpointer before,
                                        gsize before_size,
                                        gconstpointer bytes,
                                        gsize size,
                                        gconstpointer seal,
                                        gsize seal_size,
                                        gpointer user_data,
                                        GError **error);

/**
 * CommyAuditTools: (skip)
 * @struct_size: `sizeof (CommyAuditTools)`
 * @hash: (nullable): a faster hash function than GLib's
 * @check_seal: (nullable): judges seals; without it they are counted and not judged
 * @user_data: for both
 *
 * What a verifier may bring along.
 *
 * Since: 0.1
 */
typedef struct
{
  gsize struct_size;
  CommyAuditHashFunc hash;
  CommyAuditSealFunc check_seal;
  gpointer user_data;
} CommyAuditTools;

/**
 * CommyAuditFunc:
 * @record: an `a{sv}` with `seq` (t), `time` (s), `boot` (t), `count` (t), `chain` (s) and what it
 *   has of `type`, `outcome`, `principal`, `address`, `peer`, `transport`, `service`, `method`,
 *   `rule`, `origin`, `reason`, `details` (s). A personal text that was erased is
 *   `erased:` and the beginning of its commitment
 * @user_data: as given
 *
 * One record of the trail.
 *
 * Returns: whether to go on
 *
 * Since: 0.1
 */
typedef gboolean (*CommyAuditFunc) (GVariant *record, gpointer user_data);

/**
 * commy_audit_read:
 * @directory: (type filename): where the trail is
 * @func: (scope call) (closure user_data): called for each record
 * @user_data: for @func
 * @error: return location
 *
 * Reads the records of all processes in the order of their times. Lines that are no records are
 * left out: commy_audit_verify() finds those. Blocks. Any thread.
 *
 * Returns: success; %FALSE with %COMMY_ERROR_AUDIT where there is no trail to read
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_audit_read (const char *directory,
                                     CommyAuditFunc func,
                                     gpointer user_data,
                                     GError **error);

/**
 * commy_audit_verify: (skip)
 * @directory: (type filename): where the trail is
 * @tools: (nullable): a hash function and a judge of seals
 * @expect: (nullable): `SEQ:HASH`, noted earlier, which must be there
 * @error: return location
 *
 * Checks every byte of a trail: hashes, order, seals and names. Needs nothing but its files.
 * Blocks. Any thread.
 *
 * Returns: (transfer full): an `a{sv}`: `files` (u), `records`, `bytes`, `names`, `erased` (t),
 *   `chains` (aa{sv}: `chain`, `state`, `hash` (s), `files`, `first`, `last`, `seals`, `unsealed`
 *   (t)), `notes` (as), `removals`, `ends` (t): files that are noted as removed, or as left by a
 *   process that did not close them, and how many of these notes stand under no seal that was
 *   judged, `removals_claimed`, `ends_claimed` (t); `fault_count` (t) and of the faults the first
 *   1000 as `faults` (aa{sv}: `file`, `fault`, `text` (s), `record`, `offset` (t)); or %NULL with
 *   @error set where there is no trail to read
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_audit_verify (const char *directory,
                                        const CommyAuditTools *tools,
                                        const char *expect,
                                        GError **error);

/**
 * commy_audit_erase:
 * @directory: (type filename): where the trail is
 * @name: a principal, an address, or another personal text
 * @out_count: (out) (optional): how many places it was taken out of
 * @error: return location
 *
 * Overwrites a name, and texts that mention it, and the salts of their commitments. The records
 * stay, and stay valid; nobody can tell any more whom they are about. A node that runs and meets
 * the name again does not bring it back in the file that it is writing. Blocks. Any thread.
 *
 * Returns: success, also where the name is nowhere
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_audit_erase (const char *directory,
                                      const char *name,
                                      guint64 *out_count,
                                      GError **error);

G_END_DECLS
