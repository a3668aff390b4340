/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events on their way to the trail: packed, and those that repeat counted instead of written again.
 */
#pragma once

#include "security/commy-audit-log.h"

/* Packs an event; texts that are too long are cut. How many bytes; 0: there is not enough room. */
gsize commy_audit_event_pack (
    const CommyAuditEvent *event, gint64 wall_us, gint64 boot_ns, guint8 *out, gsize room);

/* As many different events are remembered at a time; one more pushes out another. */
#define COMMY_AUDIT_REPEAT_SLOTS 64u

typedef struct _CommyAuditRepeats CommyAuditRepeats;
typedef void (*CommyAuditRecordFunc) (gpointer data, const CommyAuditRecord *record);

CommyAuditRepeats *commy_audit_repeats_new (void);
void commy_audit_repeats_free (CommyAuditRepeats *repeats);

/* Takes a packed event: @add gets the first of its kind at once, later ones within a second
 * together. Its size. */
gsize commy_audit_repeats_take (CommyAuditRepeats *repeats,
                                const guint8 *packed,
                                CommyAuditRecordFunc add,
                                gpointer data);
/* Gives out what was counted, where its second is over at @boot_ns. */
void commy_audit_repeats_flush (CommyAuditRepeats *repeats,
                                gint64 boot_ns,
                                CommyAuditRecordFunc add,
                                gpointer data);
