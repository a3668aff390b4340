/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is ejected. Intervals, times and failures in a row are those of Envoy's outlier detection
 * and gRPC's (proposal A50). Their comparison, more than 1.9 standard deviations below the mean,
 * is not: of 50 instances that are equally good one is so far off by chance in most intervals, and
 * with two bad ones of five nobody can be. Instead an instance is compared with all others
 * together: it must fail more of its calls by a difference that matters, and it must be all but
 * impossible that instances alike differ so (Beta-Binomial). That holds for two instances as for
 * fifty.
 */
#include "config.h"

#include "control/commy-ejection.h"

#include "base/commy-units.h"
#include "control/commy-beta-binomial.h"

#include <math.h>

#define ALL_BUT_IMPOSSIBLE 1e-7
#define STRANGE 1e-5
#define FEWEST 5u /* calls of an interval that are compared */

/* One may always be out, and the last one never. */
static guint
get_most_out (const CommyEjectionPolicy *policy, guint n_hosts)
{
  const guint most = MAX ((guint) (policy->share * n_hosts), 1);

  return MIN (most, MAX (n_hosts, 1) - 1);
}

static gboolean
is_full (const CommyEjection *ejection, const CommyEjectionPolicy *policy, guint n_hosts)
{
  return ejection->n_out >= get_most_out (policy, n_hosts);
}

static void
eject (CommyEjection *ejection,
       const CommyEjectionPolicy *policy,
       CommyEjectionHost *host,
       gint64 now_ns)
{
  gint64 time;

  host->n_times++;
  if (__builtin_mul_overflow (policy->time_ns, (gint64) host->n_times, &time))
    time = policy->time_max_ns;
  host->out = TRUE;
  host->since_ns = now_ns;
  host->until_ns = now_ns + CLAMP (time, 1, MAX (policy->time_ns, policy->time_max_ns));
  ejection->n_out++;
  ejection->n_ejections++;
}

static void
let_in (CommyEjection *ejection, CommyEjectionHost *host)
{
  host->out = FALSE;
  host->row = 0;
  host->passed = host->failed = 0;
  ejection->n_out--;
}

static CommyEjectionHost *
find_oldest (CommyEjectionHost *hosts, guint n_hosts)
{
  CommyEjectionHost *oldest = NULL;

  for (guint i = 0; i < n_hosts; i++)
    if (hosts[i].out && (oldest == NULL || hosts[i].since_ns < oldest->since_ns))
      oldest = &hosts[i];
  return oldest;
}

void
commy_ejection_fit (CommyEjection *ejection,
                    const CommyEjectionPolicy *policy,
                    CommyEjectionHost *hosts,
                    guint n_hosts)
{
  ejection->n_out = 0;
  for (guint i = 0; i < n_hosts; i++)
    ejection->n_out += hosts[i].out;
  while (ejection->n_out > get_most_out (policy, n_hosts))
    let_in (ejection, find_oldest (hosts, n_hosts));
}

typedef struct
{
  guint64 passed, failed;
} Pool;

static Pool
add_up (const CommyEjectionHost *hosts, guint n_hosts)
{
  Pool pool = { 0 };

  for (guint i = 0; i < n_hosts; i++)
    if (!hosts[i].out)
      {
        pool.passed += hosts[i].passed;
        pool.failed += hosts[i].failed;
      }
  return pool;
}

static gboolean
another_answers (const CommyEjectionHost *hosts, guint n_hosts, guint index)
{
  for (guint i = 0; i < n_hosts; i++)
    if (i != index && !hosts[i].out && hosts[i].answers)
      return TRUE;
  return FALSE;
}

void
commy_ejection_pass (CommyEjectionHost *host, const CommyEjectionPolicy *policy, guint32 n)
{
  if (!policy->enabled)
    return;
  host->answers = TRUE;
  host->passed += MIN (n, G_MAXUINT32 - host->passed);
  host->row = 0;
}

/* Whether so many errors in a row would be strange of any of the others. */
static gboolean
is_strange (const CommyEjectionHost *hosts, guint n_hosts, guint index)
{
  const Pool pool = add_up (hosts, n_hosts);
  const double failed = (double) pool.failed - (hosts[index].out ? 0 : hosts[index].failed);
  const double passed = (double) pool.passed - (hosts[index].out ? 0 : hosts[index].passed);

  return hosts[index].row * log ((failed + 0.5) / (failed + passed + 1)) < log (STRANGE);
}

gboolean
commy_ejection_tell (CommyEjection *ejection,
                     const CommyEjectionPolicy *policy,
                     CommyEjectionHost *hosts,
                     guint n_hosts,
                     guint index,
                     CommyOutcome outcome,
                     gint64 now_ns)
{
  CommyEjectionHost *host = &hosts[index];

  if (!policy->enabled || outcome == COMMY_OUTCOME_ABANDONED)
    return FALSE;
  host->answers = outcome == COMMY_OUTCOME_OK;
  if (host->answers)
    {
      host->passed++;
      host->row = 0;
      return FALSE;
    }
  /* To have too much to do is no fault; balancers and breakers see to that. */
  if (outcome == COMMY_OUTCOME_LIMITED)
    {
      host->limited = TRUE;
      return FALSE;
    }
  host->failed++;
  host->row++;
  if (host->out || host->row < policy->failures || is_full (ejection, policy, n_hosts)
      || !another_answers (hosts, n_hosts, index)
      || (outcome == COMMY_OUTCOME_ANSWERED && !is_strange (hosts, n_hosts, index)))
    return FALSE;
  host->row_seen = host->row;
  eject (ejection, policy, host, now_ns);
  return TRUE;
}

/* --- the comparison --- */

static double
get_share (guint64 failed, guint64 passed)
{
  return failed + passed > 0 ? (double) failed / (double) (failed + passed) : 0;
}

static CommyEjectionHost *
find_worst (CommyEjectionHost *hosts, guint n_hosts)
{
  CommyEjectionHost *worst = NULL;
  double most = 0;

  for (guint i = 0; i < n_hosts; i++)
    {
      const double share = get_share (hosts[i].failed, hosts[i].passed);

      if (hosts[i].out || hosts[i].failed + hosts[i].passed < FEWEST || share <= most)
        continue;
      most = share;
      worst = &hosts[i];
    }
  return worst;
}

static gboolean
is_outlier (CommyEjectionHost *host, const CommyEjectionPolicy *policy, Pool pool)
{
  const guint64 failed = pool.failed - host->failed, passed = pool.passed - host->passed;

  host->share_seen = get_share (host->failed, host->passed);
  host->others_seen = get_share (failed, passed);
  host->row_seen = 0;
  return failed + passed >= FEWEST && host->share_seen - host->others_seen >= policy->difference
         && commy_beta_binomial_tail ((guint64) host->failed + host->passed, host->failed, failed,
                                      passed)
                < ALL_BUT_IMPOSSIBLE;
}

/* The worst first: without it the next one is compared with better ones. */
static gboolean
compare (CommyEjection *ejection,
         const CommyEjectionPolicy *policy,
         CommyEjectionHost *hosts,
         guint n_hosts,
         gint64 now_ns)
{
  gboolean changed = FALSE;

  while (!is_full (ejection, policy, n_hosts))
    {
      CommyEjectionHost *worst = find_worst (hosts, n_hosts);

      if (worst == NULL || !is_outlier (worst, policy, add_up (hosts, n_hosts)))
        break;
      eject (ejection, policy, worst, now_ns);
      changed = TRUE;
    }
  return changed;
}

/* Nobody who is in answered: who is out may do better. */
static gboolean
are_all_bad (const CommyEjectionHost *hosts, guint n_hosts)
{
  const Pool pool = add_up (hosts, n_hosts);
  gboolean any = pool.failed > 0;

  for (guint i = 0; i < n_hosts && !any; i++)
    any = !hosts[i].out && hosts[i].limited;
  return any && pool.passed == 0;
}

static gboolean
end_interval (CommyEjection *ejection,
              const CommyEjectionPolicy *policy,
              CommyEjectionHost *hosts,
              guint n_hosts,
              gint64 now_ns)
{
  const gboolean all_bad = are_all_bad (hosts, n_hosts);
  gboolean changed
      = all_bad ? ejection->n_out > 0 : compare (ejection, policy, hosts, n_hosts, now_ns);

  for (guint i = 0; i < n_hosts; i++)
    {
      if (hosts[i].out && all_bad)
        let_in (ejection, &hosts[i]);
      else if (!hosts[i].out && hosts[i].n_times > 0 && hosts[i].passed > 0)
        hosts[i].n_times--;
      hosts[i].passed = hosts[i].failed = 0;
      hosts[i].limited = FALSE;
    }
  return changed;
}

gboolean
commy_ejection_check (CommyEjection *ejection,
                      const CommyEjectionPolicy *policy,
                      CommyEjectionHost *hosts,
                      guint n_hosts,
                      gint64 now_ns)
{
  gboolean changed = FALSE;

  if (!policy->enabled)
    return FALSE;
  if (ejection->next_ns == 0)
    ejection->next_ns = now_ns + policy->interval_ns;
  for (guint i = 0; i < n_hosts && ejection->n_out > 0; i++)
    if (hosts[i].out && now_ns >= hosts[i].until_ns)
      {
        let_in (ejection, &hosts[i]);
        changed = TRUE;
      }
  if (now_ns < ejection->next_ns)
    return changed;
  ejection->next_ns = now_ns + policy->interval_ns;
  return end_interval (ejection, policy, hosts, n_hosts, now_ns) || changed;
}

gint64
commy_ejection_get_next (const CommyEjection *ejection,
                         const CommyEjectionHost *hosts,
                         guint n_hosts)
{
  gint64 next = ejection->next_ns;

  for (guint i = 0; i < n_hosts && ejection->n_out > 0; i++)
    if (hosts[i].out)
      next = MIN (next, hosts[i].until_ns);
  return next;
}

gboolean
commy_ejection_explain (const CommyEjectionHost *host, gint64 now_ns, GString *text)
{
  g_autofree char *left = commy_format_duration ((double) MAX (host->until_ns - now_ns, 0));

  if (!host->out)
    return FALSE;
  if (host->row_seen > 0)
    g_string_append_printf (text, "ejected for %s (%u failures)", left, host->row_seen);
  else
    g_string_append_printf (text, "ejected for %s (%.0f%% failed, of the others %.0f%%)", left,
                            100 * host->share_seen, 100 * host->others_seen);
  return TRUE;
}
