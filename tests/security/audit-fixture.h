/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For the tests of the audit trail: a folder, a clock that is set by hand, trails made with them,
 * and what a verification says.
 */
#pragma once

#include "security/commy-audit-log.h"

#include <commy/commy-error.h>

typedef struct
{
  char *dir;
  gint64 wall_us;
  gint64 boot_ns;
  guint sealed;     /* by the fake provider */
  gboolean is_dumb; /* which has no key */
} AuditFixture;

void audit_fixture_set_up (AuditFixture *fixture, gconstpointer data);
void audit_fixture_tear_down (AuditFixture *fixture, gconstpointer data);

/* A setup with the fixture's clock and provider. */
CommyAuditLogSetup audit_fixture_setup (AuditFixture *fixture);
/* A closed trail of one file with @n calls. */
void audit_fixture_make (AuditFixture *fixture, guint n);
/* One call; @i makes them differ. */
CommyAuditRecord audit_fixture_call (AuditFixture *fixture, guint i, char method[16]);

/* The only file with this end, or the @nth. (transfer full) */
char *audit_fixture_dup_file (AuditFixture *fixture, const char *suffix, guint nth);
guint audit_fixture_count_files (AuditFixture *fixture, const char *suffix);
/* (transfer full): what is in it */
GByteArray *audit_fixture_read (AuditFixture *fixture, const char *name);
void audit_fixture_write (AuditFixture *fixture, const char *name, gconstpointer data, gsize size);
/* One byte of it. */
void audit_fixture_put (AuditFixture *fixture, const char *name, gsize at, guint8 byte);

/* (transfer full); judges the fake seals */
GVariant *audit_fixture_verify (AuditFixture *fixture, const char *expect);
guint64 audit_report_get (GVariant *report, const char *key);
/* Whether a fault has that word, and, where they are not G_MAXUINT64, that record and offset. */
gboolean audit_report_has (GVariant *report, const char *fault, guint64 record, guint64 offset);
void audit_assert_whole (AuditFixture *fixture);
/* SEQ:HASH of the last record. (transfer full) */
char *audit_report_dup_end (GVariant *report);
