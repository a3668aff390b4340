/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conditions of a rule: when, from where, over what. All that are set must hold. What is not
 * known (no address, no time) is neither yes nor no; the rule decides what becomes of that. Pure:
 * time and path are arguments, the time zone is the process's.
 */
#pragma once

#include <commy/commy-profile.h>
#include <glib.h>

/* As the address of the other side is known to the path. */
typedef enum
{
  COMMY_WHERE_UNKNOWN,
  COMMY_WHERE_LOCAL,
  COMMY_WHERE_ADDRESS,
} CommyWhere;

/* What a decision may depend on besides names. */
typedef struct
{
  CommyWhere where;
  guint8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
  guint32 security;   /* a CommySecurity */
} CommyPolicyPath;

typedef struct
{
  guint8 address[16];
  guint bits;
} CommyNetwork;

/* A moment; what it is in the local day is found out when it is first asked for. */
typedef struct
{
  gint64 wall_us; /* since 1970; 0: not known */
  gboolean is_split;
  gint minute; /* of the day */
  gint second;
  gint day; /* 0 is Sunday */
} CommyMoment;

typedef struct
{
  gboolean has_from, from_local;
  GArray *from; /* CommyNetwork */
  gboolean has_groups;
  GArray *groups; /* CommyNetwork, of all groups named */
  gboolean groups_local;
  gint begin, end; /* minutes of the day; begin == end: any time */
  guint days;      /* bit n: day n, 0 is Sunday; 0: any */
  guint32 min_security;
  gint64 until_us; /* G_MAXINT64: for good */
} CommyCondition;

typedef enum
{
  COMMY_HOLDS_NO,
  COMMY_HOLDS_YES,
  COMMY_HOLDS_UNKNOWN,
} CommyHolds;

void commy_condition_init (CommyCondition *condition);
void commy_condition_clear (CommyCondition *condition);

/* The first that does not hold is named in @out_key. @inout_until_us becomes less if the answer
 * would be another one then. */
CommyHolds commy_condition_check (const CommyCondition *condition,
                                  const CommyPolicyPath *path,
                                  CommyMoment *moment,
                                  gint64 *inout_until_us,
                                  const char **out_key);

/* --- reading; FALSE: it is none --- */

/* "10.0.0.0/8", "fe80::1" */
gboolean commy_network_parse (const char *text, CommyNetwork *out_network);
gboolean commy_network_has (const CommyNetwork *network, const guint8 address[16]);
/* An address alone, into @out_address. */
gboolean commy_network_parse_address (const char *text, guint8 out_address[16]);
/* "08:00-18:00", "22:00-06:00", "00:00-24:00" */
gboolean commy_condition_parse_hours (const char *text, gint *out_begin, gint *out_end);
/* "mon", "mon-fri", "sat-mon": adds to @inout_days */
gboolean commy_condition_parse_days (const char *text, guint *inout_days);
/* "2026-12-31" (its end), "2026-12-31T12:00:00+01:00", "... 12:00:00" (local) */
gboolean commy_condition_parse_until (const char *text, gint64 *out_until_us);
