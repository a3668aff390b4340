/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is due is probed, oldest first, while the budget lasts; when all are done the mesh's epoch
 * grows and routes look again. A little later it grows once more, so that a route that is still in
 * use asks again: this is what keeps probes coming, and what ends them when nobody calls any more.
 */
#include "config.h"

#include "mesh/commy-prober.h"

#include "base/commy-error-private.h"
#include "base/commy-units.h"
#include "mesh/commy-measurement-file.h"
#include "mesh/commy-probe.h"

#include <math.h>
#include <string.h>

#define SECOND G_GINT64_CONSTANT (1000000000)
#define DOUBT_NS (1 * SECOND)
#define VERIFY_NS (SECOND / 50)
#define SAVE_NS (600 * SECOND)
#define RETRY_FIRST_NS (5 * SECOND)
#define MOST_DOUBLINGS 6
#define BUDGET_SECONDS 100.0 /* what was not spent is kept for so long */
#define MAX_SUBJECTS 256u
#define FIRST_SMALL 8u
#define FIRST_LARGE 4u
#define LATER_SMALL 3u
#define LATER_LARGE 2u

/* One transport to one place. */
typedef struct
{
  CommyMeasurement found;
  gboolean measured;      /* by this process: else it is as the file had it */
  CommyPlugin *transport; /* NULL: nobody asked yet */
  CommyInstance *instance;
  char *address;
  CommyProfile profile;
  gboolean due;
  gint64 due_ns;
  gint64 probed_ns;
  gint64 retry_ns;
  guint failures;
  char *failure; /* NULL: the last look was fine */
} Subject;

struct _CommyProber
{
  CommyMesh *mesh;
  gboolean known;  /* mode is not off: what was measured counts */
  gboolean active; /* mode active */
  gboolean persist;
  gint64 every_ns;
  double time_share, byte_rate;
  char *path, *machine;

  GMutex lock; /* of the rest */
  GCond wake;
  GPtrArray *subjects;
  GThread *thread;
  CommyWorker *worker; /* the thread's */
  GCancellable *cancellable;
  gboolean stopping;
  gboolean ticking;
  gint64 tick_ns;
  double time_left_ns, bytes_left;
  gint64 filled_ns, saved_ns;
  guint64 round_trips, bytes;
  gint64 spent_ns;
};

/* --- life --- */

static void
subject_free (gpointer data)
{
  Subject *subject = data;

  g_clear_pointer (&subject->instance, commy_instance_unref);
  g_free (subject->address);
  g_free (subject->failure);
  g_free (subject);
}

static const CommyPlugin *
find_transport (CommyMesh *mesh, const char *id)
{
  return commy_catalog_find (mesh->catalog, COMMY_PLUGIN_TRANSPORT, id);
}

/* Keeps of the file what is of the plugins that are here now. */
static void
load (CommyProber *self)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));
  gint64 wall_s = g_get_real_time () / G_USEC_PER_SEC;

  commy_measurement_load (self->path, self->machine, entries);
  for (guint i = 0; i < entries->len; i++)
    {
      CommyMeasurement *entry = &g_array_index (entries, CommyMeasurement, i);
      const CommyPlugin *plugin = find_transport (self->mesh, entry->transport);
      char build[COMMY_MEASUREMENT_BUILD_MAX];
      Subject *subject;

      if (plugin == NULL)
        continue;
      commy_plugin_build (plugin, build, sizeof build);
      if (strcmp (build, entry->build) != 0)
        continue;
      subject = g_new0 (Subject, 1);
      subject->found = *entry;
      commy_measurement_age (&subject->found, wall_s, commy_env_now (self->mesh->env));
      g_ptr_array_add (self->subjects, subject);
    }
}

CommyProber *
commy_prober_new (CommyMesh *mesh)
{
  CommyProber *self = g_new0 (CommyProber, 1);
  const char *mode = commy_config_get (mesh->config, "calibration", "mode");

  self->mesh = mesh;
  self->known = g_strcmp0 (mode, "off") != 0;
  self->every_ns = commy_config_get_duration (mesh->config, "calibration", "probe-every");
  self->time_share = commy_config_get_double (mesh->config, "calibration", "probe-time");
  self->byte_rate = commy_config_get_double (mesh->config, "calibration", "probe-bytes");
  self->active = g_strcmp0 (mode, "active") == 0 && self->time_share > 0 && self->byte_rate > 0;
  self->persist = self->known && commy_config_get_bool (mesh->config, "calibration", "persist");
  self->path = g_build_filename (mesh->state_dir, "calibration.conf", NULL);
  self->machine = commy_machine_name ();
  self->subjects = g_ptr_array_new_with_free_func (subject_free);
  self->cancellable = g_cancellable_new ();
  self->time_left_ns = self->time_share * BUDGET_SECONDS * SECOND;
  self->bytes_left = self->byte_rate * BUDGET_SECONDS;
  self->filled_ns = self->saved_ns = commy_env_now (mesh->env);
  g_mutex_init (&self->lock);
  g_cond_init (&self->wake);
  if (self->persist)
    load (self);
  return self;
}

/* What this process measured itself; the rest is in the file as it was. */
static GArray *
dup_measured (CommyProber *self)
{
  GArray *entries = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->subjects->len; i++)
    {
      Subject *subject = self->subjects->pdata[i];

      if (subject->measured)
        g_array_append_val (entries, subject->found);
    }
  g_mutex_unlock (&self->lock);
  return entries;
}

static void
save (CommyProber *self)
{
  g_autoptr (GArray) entries = dup_measured (self);

  if (self->persist)
    commy_measurement_save (self->path, self->machine, entries);
}

void
commy_prober_stop (CommyProber *self)
{
  GThread *thread;

  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  thread = g_steal_pointer (&self->thread);
  if (self->worker != NULL)
    commy_worker_kick (self->worker);
  g_cond_broadcast (&self->wake);
  g_mutex_unlock (&self->lock);
  g_cancellable_cancel (self->cancellable);
  if (thread != NULL)
    g_thread_join (thread);
  save (self);
}

void
commy_prober_free (CommyProber *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->subjects);
  g_object_unref (self->cancellable);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->wake);
  g_free (self->path);
  g_free (self->machine);
  g_free (self);
}

/* --- the table --- */

gboolean
commy_prober_is_active (CommyProber *prober)
{
  return prober->active;
}

static void
bump (CommyProber *self)
{
  __atomic_add_fetch (&self->mesh->epoch, 1, __ATOMIC_RELEASE);
}

static const char *
place_of (const CommyInstance *instance)
{
  return g_strcmp0 (instance->host_id, commy_env_host_id ()) == 0 ? "here" : instance->host_id;
}

/* Another host names itself: only what looks like a name may become one of the file's. */
static gboolean
is_place (const char *place)
{
  gsize length = place != NULL ? strlen (place) : 0;

  return length > 0 && length < COMMY_MEASUREMENT_PLACE_MAX
         && strspn (place, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
                == length;
}

static Subject *
find_subject (CommyProber *self, const char *transport, const char *place)
{
  for (guint i = 0; i < self->subjects->len; i++)
    {
      Subject *subject = self->subjects->pdata[i];

      if (strcmp (subject->found.transport, transport) == 0
          && strcmp (subject->found.place, place) == 0)
        return subject;
    }
  return NULL;
}

static void
describe_finding (CommyProber *self, const Subject *subject, char *out, gsize size)
{
  gint64 age_s = g_get_real_time () / G_USEC_PER_SEC - subject->found.measured_s;
  double age_ns = subject->measured
                      ? (double) (commy_env_now (self->mesh->env) - subject->probed_ns)
                      : (double) MAX (age_s, 0) * SECOND;
  g_autofree char *age = commy_format_duration (age_ns);
  const char *end;

  g_snprintf (out, size, "%s%s%s%" G_GUINT64_FORMAT " round trips, the last %s ago%s",
              subject->failure != NULL ? "not now: " : "",
              subject->failure != NULL ? subject->failure : "",
              subject->failure != NULL ? "; " : "", subject->found.probes, age,
              subject->measured ? "" : ", by an earlier run");
  /* A long reason may have been cut inside a character. */
  if (!g_utf8_validate (out, -1, &end))
    out[end - out] = '\0';
}

void
commy_prober_get (CommyProber *self,
                  const char *transport,
                  const CommyInstance *instance,
                  CommyFinding *out_finding)
{
  const char *place = place_of (instance);
  Subject *subject;

  memset (out_finding, 0, sizeof *out_finding);
  if (!self->known || !is_place (place))
    return;
  g_mutex_lock (&self->lock);
  subject = find_subject (self, transport, place);
  if (subject != NULL && (subject->found.probes > 0 || subject->failure != NULL))
    {
      out_finding->calibration = subject->found.calibration;
      out_finding->probes = subject->found.probes;
      out_finding->probed_ns = subject->probed_ns;
      describe_finding (self, subject, out_finding->text, sizeof out_finding->text);
    }
  g_mutex_unlock (&self->lock);
}

char *
commy_prober_describe (CommyProber *self)
{
  g_autofree char *time = NULL;
  g_autofree char *bytes = NULL;
  g_autofree char *rate = commy_format_size ((guint64) self->byte_rate);
  char share[G_ASCII_DTOSTR_BUF_SIZE];
  char *text;

  if (!self->active)
    return g_strdup ("no probes (mode, probe-time and probe-bytes of [calibration])");
  g_mutex_lock (&self->lock);
  time = commy_format_duration ((double) self->spent_ns);
  bytes = commy_format_size (self->bytes);
  text
      = g_strdup_printf ("probes: %" G_GUINT64_FORMAT
                         " round trips took %s and %s; ceilings are %s%% of the time and %s/s",
                         self->round_trips, time, bytes,
                         g_ascii_formatd (share, sizeof share, "%g", 100 * self->time_share), rate);
  g_mutex_unlock (&self->lock);
  return text;
}

/* --- probing --- */

static void
fill_budget (CommyProber *self, gint64 now_ns)
{
  double passed = (double) (now_ns - self->filled_ns);

  self->filled_ns = now_ns;
  self->time_left_ns = MIN (self->time_left_ns + passed * self->time_share,
                            self->time_share * BUDGET_SECONDS * SECOND);
  self->bytes_left = MIN (self->bytes_left + passed * self->byte_rate / SECOND,
                          self->byte_rate * BUDGET_SECONDS);
}

/* When the budget is above nothing again; a look may overdraw it, the next one waits for that. */
static gint64
affordable_at (const CommyProber *self, gint64 now_ns)
{
  double wait = 0;

  if (self->time_left_ns <= 0)
    wait = -self->time_left_ns / self->time_share + 1;
  if (self->bytes_left <= 0)
    wait = MAX (wait, -self->bytes_left / self->byte_rate * SECOND + 1);
  return now_ns + (gint64) MIN (wait, 1e15);
}

/* lock held. */
static Subject *
next_due (CommyProber *self)
{
  Subject *first = NULL;

  for (guint i = 0; i < self->subjects->len; i++)
    {
      Subject *subject = self->subjects->pdata[i];

      if (subject->due && (first == NULL || subject->due_ns < first->due_ns))
        first = subject;
    }
  return first;
}

/* The claim for a message of @size, without what a serializer takes. */
static double
claimed_ns (const CommyProfile *profile, gsize size)
{
  CommyCost cost;

  commy_cost_compute (profile, NULL, size, &cost);
  return cost.t_latency_ns;
}

/* A lie in every size, not only the wake-up that a claim left out, is worth a word to people. What
 * to say, once for each plugin, or NULL; lock held. */
static const char *
blame (CommyProber *self, const Subject *subject)
{
  const CommyCalibration *calibration = &subject->found.calibration;
  gint64 now = commy_env_now (self->mesh->env);
  CommyPosterior worst = { .ratio = 1 };
  g_autofree char *text = NULL;
  const char *said;

  if (__atomic_load_n (&subject->transport->contradiction, __ATOMIC_ACQUIRE) != NULL)
    return NULL;
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      CommyPosterior posterior = commy_calibration_get (calibration, &subject->profile, c, now);

      if (!(calibration->classes[c].n > 0))
        continue;
      if (!posterior.contradicted)
        return NULL;
      if (fabs (log (posterior.ratio)) > fabs (log (worst.ratio)))
        worst = posterior;
    }
  if (worst.ratio == 1)
    return NULL;
  text = g_strdup_printf ("its claim is contradicted and dropped: messages take %.3g times as long",
                          worst.ratio);
  said = g_intern_string (text);
  __atomic_store_n (&subject->transport->contradiction, said, __ATOMIC_RELEASE);
  return said;
}

/* lock held. */
static void
take_result (CommyProber *self, Subject *subject, const CommyProbeResult *result)
{
  CommyMeasurement *found = &subject->found;
  gint64 now = commy_env_now (self->mesh->env);

  if (!subject->measured)
    commy_measurement_refresh (found);
  subject->measured = TRUE;
  found->calibration.bare = true;
  found->probes += result->round_trips;
  found->measured_s = g_get_real_time () / G_USEC_PER_SEC;
  for (guint i = 0; i < result->n_small; i++)
    commy_calibration_add (&found->calibration, result->small_size, (double) result->small_ns[i],
                           claimed_ns (&subject->profile, result->small_size), now);
  for (guint i = 0; i < result->n_large; i++)
    commy_calibration_add (&found->calibration, result->large_size, (double) result->large_ns[i],
                           claimed_ns (&subject->profile, result->large_size), now);
}

/* lock held. */
static void
take_failure (CommyProber *self, Subject *subject, const GError *error)
{
  subject->retry_ns = commy_env_now (self->mesh->env)
                      + (RETRY_FIRST_NS << MIN (subject->failures, MOST_DOUBLINGS));
  subject->failures++;
  g_free (subject->failure);
  subject->failure = g_strdup (commy_error_bare (error));
}

/* lock held; let go while probing. Subjects are never removed. */
static void
probe (CommyProber *self, Subject *subject)
{
  gint64 started = commy_env_now (self->mesh->env);
  g_autoptr (CommyInstance) instance = commy_instance_ref (subject->instance);
  g_autofree char *address = g_strdup (subject->address);
  CommyProfile profile = subject->profile;
  CommyProbe probe = { .mesh = self->mesh,
                       .worker = self->worker,
                       .transport = subject->transport,
                       .instance = instance,
                       .address = address,
                       .profile = &profile,
                       .cancellable = self->cancellable,
                       .n_small = subject->measured ? LATER_SMALL : FIRST_SMALL,
                       .n_large = subject->measured ? LATER_LARGE : FIRST_LARGE };
  g_autoptr (GError) error = NULL;
  CommyProbeResult result;
  const char *said = NULL;
  gboolean ok;

  subject->due = FALSE;
  if (subject->found.build[0] == '\0')
    commy_plugin_build (subject->transport, subject->found.build, sizeof subject->found.build);
  g_mutex_unlock (&self->lock);
  ok = commy_probe_run (&probe, &result, &error);
  g_mutex_lock (&self->lock);
  subject->probed_ns = commy_env_now (self->mesh->env);
  self->spent_ns += subject->probed_ns - started;
  self->time_left_ns -= (double) (subject->probed_ns - started);
  self->bytes += result.bytes;
  self->bytes_left -= (double) result.bytes;
  self->round_trips += result.round_trips;
  if (ok)
    {
      subject->failures = 0;
      g_clear_pointer (&subject->failure, g_free);
      take_result (self, subject, &result);
      said = blame (self, subject);
    }
  else if (!self->stopping)
    take_failure (self, subject, error);
  if (said == NULL)
    return;
  g_mutex_unlock (&self->lock);
  g_message ("%s: %s", probe.transport->name, said);
  g_mutex_lock (&self->lock);
}

/* lock held. */
static void
sleep_until (CommyProber *self, gint64 until_ns)
{
  if (until_ns == G_MAXINT64)
    g_cond_wait (&self->wake, &self->lock);
  else
    g_cond_wait_until (&self->wake, &self->lock, until_ns / 1000 + 1);
}

/* lock held. One step: who is due now, the tick, or sleep. */
static void
step (CommyProber *self)
{
  gint64 now = commy_env_now (self->mesh->env);
  Subject *subject = next_due (self);
  gint64 at;

  fill_budget (self, now);
  at = subject != NULL ? MAX (subject->due_ns, affordable_at (self, now)) : G_MAXINT64;
  if (at <= now)
    {
      probe (self, subject);
      subject = next_due (self);
      if (subject == NULL || subject->due_ns > commy_env_now (self->mesh->env))
        bump (self);
    }
  else if (self->ticking && self->tick_ns <= now)
    {
      self->ticking = FALSE;
      bump (self);
    }
  else
    sleep_until (self, MIN (at, self->ticking ? self->tick_ns : G_MAXINT64));
}

static void
save_sometimes (CommyProber *self)
{
  gint64 now = commy_env_now (self->mesh->env);

  if (now - self->saved_ns < SAVE_NS)
    return;
  self->saved_ns = now;
  g_mutex_unlock (&self->lock);
  save (self);
  g_mutex_lock (&self->lock);
}

static gpointer
prober_thread (gpointer data)
{
  CommyProber *self = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GError) error = NULL;
  CommyWorker *worker = commy_worker_new (context, FALSE, self->mesh->env, &error);

  if (worker == NULL)
    {
      g_warning ("paths are not probed: %s", commy_error_bare (error));
      return NULL;
    }
  g_mutex_lock (&self->lock);
  self->worker = worker;
  while (!self->stopping)
    {
      step (self);
      save_sometimes (self);
    }
  self->worker = NULL;
  g_mutex_unlock (&self->lock);
  commy_worker_unref (worker);
  return NULL;
}

/* --- asking --- */

/* lock held. */
static Subject *
ensure_subject (CommyProber *self,
                CommyInstance *instance,
                const CommySurveyEndpoint *endpoint,
                const char *place)
{
  Subject *subject = find_subject (self, endpoint->id, place);

  if (subject == NULL && self->subjects->len >= MAX_SUBJECTS)
    return NULL;
  if (subject == NULL)
    {
      subject = g_new0 (Subject, 1);
      g_strlcpy (subject->found.transport, endpoint->id, sizeof subject->found.transport);
      g_strlcpy (subject->found.place, place, sizeof subject->found.place);
      g_ptr_array_add (self->subjects, subject);
    }
  subject->transport = endpoint->transport;
  subject->profile = endpoint->facts->profile;
  if (subject->instance != instance)
    {
      g_clear_pointer (&subject->instance, commy_instance_unref);
      subject->instance = commy_instance_ref (instance);
      g_free (subject->address);
      subject->address = g_strdup (endpoint->address);
    }
  return subject;
}

static gint64
when_due (const CommyProber *self, const Subject *subject, CommyProbeUrgency urgency, gint64 now_ns)
{
  gint64 pause = urgency == COMMY_PROBE_VERIFY  ? VERIFY_NS
                 : urgency == COMMY_PROBE_DOUBT ? DOUBT_NS
                                                : self->every_ns;

  if (subject->failure != NULL)
    return subject->retry_ns;
  return subject->probed_ns == 0 ? now_ns : subject->probed_ns + MIN (pause, self->every_ns);
}

void
commy_prober_ask (CommyProber *self,
                  CommyInstance *instance,
                  const CommySurveyEndpoint *endpoint,
                  CommyProbeUrgency urgency)
{
  const char *place = place_of (instance);
  gint64 now = commy_env_now (self->mesh->env);
  Subject *subject;

  if (!self->active || endpoint->transport == NULL || !is_place (place))
    return;
  g_mutex_lock (&self->lock);
  subject = self->stopping ? NULL : ensure_subject (self, instance, endpoint, place);
  if (subject != NULL)
    {
      gint64 due_ns = when_due (self, subject, urgency, now);

      /* What is due long after the next tick is asked about again then. */
      if ((urgency != COMMY_PROBE_FLOOR || due_ns <= now + self->every_ns / 4)
          && (!subject->due || due_ns < subject->due_ns))
        {
          subject->due = TRUE;
          subject->due_ns = due_ns;
        }
      if (!self->ticking)
        {
          self->ticking = TRUE;
          self->tick_ns = now + self->every_ns;
        }
      if (self->thread == NULL)
        self->thread = g_thread_new ("commy-prober", prober_thread, self);
      g_cond_broadcast (&self->wake);
    }
  g_mutex_unlock (&self->lock);
}
