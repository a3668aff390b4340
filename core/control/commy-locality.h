/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locality: near instances get the calls while enough of them are well, and what they cannot take
 * spills over to the next level, in proportion. Works by itself; who is not well is told from
 * outside. Belongs to one thread; allocates when the set of instances changes and to explain, never
 * for a pick; chance is an argument.
 */
#pragma once

#include "config/commy-config.h"
#include "route/commy-route.h"

/* Where somebody is; each nullable or "", which is never equal to anything. */
typedef struct
{
  const char *node, *host_id, *zone, *region;
} CommyPlace;

/* How near they are. What people said, the zone, wins over the hint that two hosts are the same. */
CommyLevel commy_place_get_level (const CommyPlace *here, const CommyPlace *there);

typedef struct
{
  gboolean enabled;        /* FALSE: whoever makes levels calls them all the same */
  double overprovisioning; /* so many times the calls that it would get can a level take */
  double panic;            /* share of a level; when fewer are well, health is ignored */
} CommyLocalityPolicy;

/* Of the keys COMMY_LOCALITY_KEYS of a group; what is not set has its default. */
void commy_locality_policy_read (CommyLocalityPolicy *out, CommyConfig *config, const char *group);

/* One level, as it was when shares were worked out last. */
typedef struct
{
  guint n_members, n_absent; /* the latter are not to be picked from, but counted as not well */
  guint n_well;
  double share; /* of the calls; 1 is all */
  gboolean panic;
  gboolean leaves_out; /* any member, when this level is drawn */
} CommyLocalityLevel;

typedef struct
{
  guint n_members, n_words;
  guint64 serial;   /* of what is blocked, that shares were worked out for */
  gboolean is_done; /* they were */
  guint certain;    /* the level that gets everything; COMMY_LEVELS: none does */
  CommyLocalityLevel levels[COMMY_LEVELS];
  guint64 *members[COMMY_LEVELS]; /* one bit each */
  guint64 *excluded[COMMY_LEVELS];
} CommyLocality;

void commy_locality_clear (CommyLocality *locality);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyLocality, commy_locality_clear)
/* The members from now on, by level. @absent (nullable): of each level, how many are not members
 * because they cannot be reached: a level that lost half of its instances has to be seen. */
void commy_locality_set_members (CommyLocality *locality,
                                 const guint8 *levels,
                                 guint n,
                                 const guint absent[COMMY_LEVELS]);

/* Who is not to be picked now, one bit a member; NULL: all may be. @blocked: those that are not
 * well; @barred: those of them that may not even be picked in panic, such as draining ones; both
 * nullable. @serial: another number whenever either has changed; 0: look again. Good until the next
 * call. */
const guint64 *commy_locality_exclude (CommyLocality *locality,
                                       const CommyLocalityPolicy *policy,
                                       const guint64 *blocked,
                                       const guint64 *barred,
                                       guint64 serial,
                                       guint64 random);

/* (transfer full): the shares of the last pick, such as "host 70 % (1 of 2 well), zone 30 % (3 of 3
 * well)", and which levels ignore health; NULL before the first, or without members */
char *commy_locality_explain (const CommyLocality *locality);
