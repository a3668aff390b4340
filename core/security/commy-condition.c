/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conditions: see the header. A window that passes midnight belongs to the day on which it began.
 */
#include "config.h"

#include "security/commy-condition.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#define DAY_MINUTES 1440
#define MINUTE_US (60 * (gint64) G_USEC_PER_SEC)
#define HOUR_US (60 * MINUTE_US)

void
commy_condition_init (CommyCondition *self)
{
  *self = (CommyCondition){ .until_us = G_MAXINT64 };
  self->from = g_array_new (FALSE, FALSE, sizeof (CommyNetwork));
  self->groups = g_array_new (FALSE, FALSE, sizeof (CommyNetwork));
}

void
commy_condition_clear (CommyCondition *self)
{
  g_clear_pointer (&self->from, g_array_unref);
  g_clear_pointer (&self->groups, g_array_unref);
}

/* --- where --- */

gboolean
commy_network_parse_address (const char *text, guint8 out_address[16])
{
  static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };

  if (inet_pton (AF_INET6, text, out_address) == 1)
    return TRUE;
  memcpy (out_address, mapped, sizeof mapped);
  return inet_pton (AF_INET, text, out_address + sizeof mapped) == 1;
}

gboolean
commy_network_parse (const char *text, CommyNetwork *out_network)
{
  const char *slash = strchr (text, '/');
  g_autofree char *address = slash != NULL ? g_strndup (text, (gsize) (slash - text)) : NULL;
  gboolean is_v4 = strchr (text, ':') == NULL;
  guint64 bits = is_v4 ? 32 : 128;

  if (!commy_network_parse_address (address != NULL ? address : text, out_network->address))
    return FALSE;
  if (slash != NULL && !g_ascii_string_to_unsigned (slash + 1, 10, 0, bits, &bits, NULL))
    return FALSE;
  out_network->bits = (guint) bits + (is_v4 ? 96 : 0);
  return TRUE;
}

gboolean
commy_network_has (const CommyNetwork *network, const guint8 address[16])
{
  guint bytes = network->bits / 8;
  guint rest = network->bits % 8;
  guint8 mask = (guint8) (0xff00u >> rest);

  return memcmp (network->address, address, bytes) == 0
         && (rest == 0 || ((network->address[bytes] ^ address[bytes]) & mask) == 0);
}

static CommyHolds
check_where (GArray *networks, gboolean local, const CommyPolicyPath *path)
{
  if (path == NULL || path->where == COMMY_WHERE_UNKNOWN)
    return COMMY_HOLDS_UNKNOWN;
  if (path->where == COMMY_WHERE_LOCAL)
    return local ? COMMY_HOLDS_YES : COMMY_HOLDS_NO;
  for (guint i = 0; i < networks->len; i++)
    if (commy_network_has (&g_array_index (networks, CommyNetwork, i), path->address))
      return COMMY_HOLDS_YES;
  return COMMY_HOLDS_NO;
}

/* --- when --- */

static void
split (CommyMoment *moment)
{
  time_t seconds = (time_t) (moment->wall_us / G_USEC_PER_SEC);
  struct tm local = { 0 };

  if (moment->is_split)
    return;
  localtime_r (&seconds, &local);
  moment->minute = local.tm_hour * 60 + local.tm_min;
  moment->second = local.tm_sec;
  moment->day = local.tm_wday;
  moment->is_split = TRUE;
}

/* Minutes until the clock shows @minute next, at least one. */
static gint
minutes_until (gint now, gint minute)
{
  gint left = (minute - now + DAY_MINUTES) % DAY_MINUTES;

  return left > 0 ? left : DAY_MINUTES;
}

/* The answer may be another at the next edge; and because clocks are put forward and back at a
 * full hour, no answer is kept beyond one. */
static void
bound (const CommyCondition *self, const CommyMoment *moment, gint64 *inout_until_us)
{
  gint64 hour_us = (moment->wall_us / HOUR_US + 1) * HOUR_US;
  gint minutes = minutes_until (moment->minute, 0);

  if (self->begin != self->end)
    {
      minutes = MIN (minutes, minutes_until (moment->minute, self->begin));
      minutes = MIN (minutes, minutes_until (moment->minute, self->end % DAY_MINUTES));
    }
  *inout_until_us
      = MIN (*inout_until_us, MIN (hour_us, moment->wall_us + minutes * MINUTE_US
                                                - moment->second * (gint64) G_USEC_PER_SEC
                                                - moment->wall_us % G_USEC_PER_SEC));
}

static gboolean
is_in_hours (const CommyCondition *self, gint minute)
{
  if (self->begin == self->end)
    return TRUE;
  if (self->begin < self->end)
    return minute >= self->begin && minute < self->end;
  return minute >= self->begin || minute < self->end;
}

static CommyHolds
check_when (const CommyCondition *self,
            CommyMoment *moment,
            gint64 *inout_until_us,
            const char **out_key)
{
  gint day;

  *out_key = self->begin != self->end ? "hours" : "days";
  if (moment->wall_us == 0)
    return COMMY_HOLDS_UNKNOWN;
  split (moment);
  bound (self, moment, inout_until_us);
  if (!is_in_hours (self, moment->minute))
    return COMMY_HOLDS_NO;
  *out_key = "days";
  day = moment->day;
  if (self->begin > self->end && moment->minute < self->end)
    day = (day + 6) % 7;
  return self->days == 0 || (self->days & 1u << day) != 0 ? COMMY_HOLDS_YES : COMMY_HOLDS_NO;
}

static CommyHolds
check_until (const CommyCondition *self, const CommyMoment *moment, gint64 *inout_until_us)
{
  if (moment->wall_us == 0)
    return COMMY_HOLDS_UNKNOWN;
  if (moment->wall_us >= self->until_us)
    return COMMY_HOLDS_NO;
  *inout_until_us = MIN (*inout_until_us, self->until_us);
  return COMMY_HOLDS_YES;
}

/* A no is a no, whatever is not known. */
static void
add (CommyHolds *total, CommyHolds one, const char *key, const char **out_key)
{
  if (one == COMMY_HOLDS_YES || *total == COMMY_HOLDS_NO)
    return;
  if (one == COMMY_HOLDS_NO || *total == COMMY_HOLDS_YES)
    *out_key = key;
  *total = one;
}

CommyHolds
commy_condition_check (const CommyCondition *self,
                       const CommyPolicyPath *path,
                       CommyMoment *moment,
                       gint64 *inout_until_us,
                       const char **out_key)
{
  CommyHolds total = COMMY_HOLDS_YES;
  const char *key;

  if (self->min_security > COMMY_SECURITY_NONE)
    add (&total,
         path == NULL                           ? COMMY_HOLDS_UNKNOWN
         : path->security >= self->min_security ? COMMY_HOLDS_YES
                                                : COMMY_HOLDS_NO,
         "min-security", out_key);
  if (self->has_from)
    add (&total, check_where (self->from, self->from_local, path), "from", out_key);
  if (self->has_groups)
    add (&total, check_where (self->groups, self->groups_local, path), "groups", out_key);
  if (self->until_us != G_MAXINT64)
    add (&total, check_until (self, moment, inout_until_us), "until", out_key);
  if (self->begin != self->end || self->days != 0)
    {
      CommyHolds when = check_when (self, moment, inout_until_us, &key);

      add (&total, when, key, out_key);
    }
  return total;
}

/* --- reading --- */

static gboolean
read_clock (const char *text, gint *out_minute)
{
  if (!g_ascii_isdigit (text[0]) || !g_ascii_isdigit (text[1]) || text[2] != ':'
      || !g_ascii_isdigit (text[3]) || !g_ascii_isdigit (text[4]))
    return FALSE;
  *out_minute = ((text[0] - '0') * 10 + text[1] - '0') * 60 + (text[3] - '0') * 10 + text[4] - '0';
  return text[3] < '6' && *out_minute <= DAY_MINUTES;
}

gboolean
commy_condition_parse_hours (const char *text, gint *out_begin, gint *out_end)
{
  if (strlen (text) != strlen ("00:00-24:00") || !read_clock (text, out_begin) || text[5] != '-'
      || !read_clock (text + 6, out_end))
    return FALSE;
  return *out_begin != *out_end && *out_begin<DAY_MINUTES && * out_end> 0;
}

static gint
day_of (const char *text, gsize length)
{
  static const char *const days[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

  for (gint i = 0; i < (gint) G_N_ELEMENTS (days); i++)
    if (strlen (days[i]) == length && strncmp (days[i], text, length) == 0)
      return i;
  return -1;
}

gboolean
commy_condition_parse_days (const char *text, guint *inout_days)
{
  const char *dash = strchr (text, '-');
  gint first = day_of (text, dash != NULL ? (gsize) (dash - text) : strlen (text));
  gint last = dash != NULL ? day_of (dash + 1, strlen (dash + 1)) : first;

  if (first < 0 || last < 0)
    return FALSE;
  for (gint day = first;; day = (day + 1) % 7)
    {
      *inout_days |= 1u << day;
      if (day == last)
        return TRUE;
    }
}

gboolean
commy_condition_parse_until (const char *text, gint64 *out_until_us)
{
  g_autoptr (GTimeZone) local = g_time_zone_new_local ();
  gboolean is_day = strpbrk (text, "T ") == NULL;
  g_autofree char *whole = is_day ? g_strconcat (text, "T00:00:00", NULL) : g_strdup (text);
  g_autoptr (GDateTime) begin = g_date_time_new_from_iso8601 (whole, local);
  g_autoptr (GDateTime) moment = NULL;

  if (begin == NULL)
    return FALSE;
  moment = is_day ? g_date_time_add_days (begin, 1) : g_date_time_ref (begin);
  if (moment == NULL)
    return FALSE;
  *out_until_us = g_date_time_to_unix (moment) * G_USEC_PER_SEC;
  return TRUE;
}
