/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table of instances, a queue of those that wait for their look, and one timer. The first looks
 * at many instances are spread over an interval, those at a few happen at once.
 */
#include "config.h"

#include "mesh/commy-health-runner.h"

#include <string.h>

#define FEW 16u
#define SHIFT_PERCENT 10 /* earlier or later, at random */

typedef struct
{
  CommyHealthRunner *runner; /* NULL: it is not followed any more */
  CommyCheckSpec *spec;
  CommyInstance *instance;
  CommyHealth health;
  gint64 due_ns;
  GSequenceIter *place; /* in the queue; NULL: it is being looked at */
  CommyCheck *check;    /* under way, or NULL */
  guint32 round;        /* of follow() */
} Subject;

struct _CommyHealthRunner
{
  CommyMesh *mesh;
  guint at_once, n_running;
  CommyHealthRunnerFunc func;
  gpointer data;
  GHashTable *subjects; /* CommyInstance, as commy_instance_equal() -> Subject */
  GSequence *queue;     /* Subject, by the time when it is due */
  GSource *timer;
  guint32 round;
  gboolean is_ending;
};

/* --- subjects --- */

static void
subject_free (Subject *subject)
{
  commy_check_spec_unref (subject->spec);
  commy_instance_unref (subject->instance);
  g_free (subject);
}

static int
compare_due (gconstpointer a, gconstpointer b, gpointer unused)
{
  const Subject *x = a, *y = b;

  return x->due_ns < y->due_ns ? -1 : x->due_ns > y->due_ns;
}

static void
enqueue (Subject *subject, gint64 due_ns)
{
  subject->due_ns = due_ns;
  subject->place = g_sequence_insert_sorted (subject->runner->queue, subject, compare_due, NULL);
}

static void
dequeue (Subject *subject)
{
  if (subject->place != NULL)
    g_sequence_remove (subject->place);
  subject->place = NULL;
}

/* One that is being looked at goes when that ends. */
static void
subject_drop (gpointer data)
{
  Subject *subject = data;

  subject->runner = NULL;
  dequeue (subject);
  if (subject->check != NULL)
    commy_check_cancel (subject->check);
  else
    subject_free (subject);
}

/* --- looking --- */

static void plan (CommyHealthRunner *self);

static gint64
next_due (const Subject *subject, gint64 now_ns)
{
  gint64 shift = subject->spec->interval_ns / 100 * SHIFT_PERCENT;
  guint64 chance = commy_env_random64 (subject->runner->mesh->env);

  return now_ns + subject->spec->interval_ns - shift
         + (gint64) (chance % (guint64) (2 * shift + 1));
}

/* Its runner; a check whose subject is gone only has to be counted. */
typedef struct
{
  CommyHealthRunner *runner;
  Subject *subject;
} Look;

static void
on_checked (gpointer data, const char *reason)
{
  g_autofree Look *look = data;
  CommyHealthRunner *self = look->runner;
  Subject *subject = look->subject;
  gint64 now = commy_env_now (self->mesh->env);
  CommyHealthState from = subject->health.state;

  self->n_running--;
  subject->check = NULL;
  if (subject->runner == NULL)
    subject_free (subject);
  else
    {
      if (reason == commy_check_cannot_tell)
        commy_health_forget (&subject->health, now);
      else
        commy_health_note (&subject->health, &subject->spec->rules, reason, now);
      enqueue (subject, next_due (subject, now));
      self->func (self->data, subject->instance, &subject->health, from);
    }
  plan (self);
}

/* Begins what is due, and sets the timer for what is next. */
static void
plan (CommyHealthRunner *self)
{
  gint64 ready_us = -1;

  while (!self->is_ending && self->n_running < self->at_once)
    {
      gint64 now = commy_env_now (self->mesh->env);
      GSequenceIter *first = g_sequence_get_begin_iter (self->queue);
      Subject *subject;
      Look *look;

      if (g_sequence_iter_is_end (first))
        break;
      subject = g_sequence_get (first);
      if (subject->due_ns > now)
        {
          ready_us = g_get_monotonic_time () + (subject->due_ns - now) / 1000 + 1;
          break;
        }
      look = g_new (Look, 1);
      *look = (Look){ self, subject };
      dequeue (subject);
      self->n_running++;
      subject->check
          = commy_check_begin (self->mesh, subject->spec, subject->instance, on_checked, look);
    }
  g_source_set_ready_time (self->timer, ready_us);
}

static gboolean
on_timer (gpointer data)
{
  plan (data);
  return G_SOURCE_CONTINUE;
}

/* --- who is followed --- */

static gboolean
is_left (gpointer key, gpointer value, gpointer data)
{
  const Subject *subject = value;
  const CommyInstance *model = data;

  return strcmp (subject->instance->service, model->service) == 0
         && subject->round != subject->runner->round;
}

static void
follow_one (CommyHealthRunner *self, CommyCheckSpec *spec, CommyInstance *instance, gint64 due_ns)
{
  Subject *subject = g_hash_table_lookup (self->subjects, instance);

  if (subject == NULL)
    {
      subject = g_new0 (Subject, 1);
      subject->runner = self;
      enqueue (subject, due_ns);
      g_hash_table_insert (self->subjects, commy_instance_ref (instance), subject);
    }
  if (subject->instance != instance)
    {
      g_clear_pointer (&subject->instance, commy_instance_unref);
      subject->instance = commy_instance_ref (instance);
    }
  if (subject->spec != spec)
    {
      g_clear_pointer (&subject->spec, commy_check_spec_unref);
      subject->spec = commy_check_spec_ref (spec);
    }
  subject->round = self->round;
}

void
commy_health_runner_follow (CommyHealthRunner *self,
                            const char *service,
                            CommyCheckSpec *spec,
                            GPtrArray *instances)
{
  gint64 now = commy_env_now (self->mesh->env);
  CommyInstance model = { .service = (char *) service };

  self->round++;
  for (guint i = 0; spec != NULL && i < instances->len; i++)
    {
      gint64 due = now;

      if (instances->len > FEW)
        due += (gint64) (commy_env_random64 (self->mesh->env) % (guint64) spec->interval_ns);
      follow_one (self, spec, instances->pdata[i], due);
    }
  g_hash_table_foreach_remove (self->subjects, is_left, &model);
  plan (self);
}

void
commy_health_runner_adopt (CommyHealthRunner *self,
                           const char *service,
                           const char *instance,
                           CommyHealthState state,
                           const char *reason,
                           gint64 until_ns)
{
  CommyInstance model = { .service = (char *) service, .id = (char *) instance };
  Subject *subject = g_hash_table_lookup (self->subjects, &model);
  CommyHealthState from;

  if (subject == NULL)
    {
      model.origin = (char *) ""; /* one that an operator named */
      subject = g_hash_table_lookup (self->subjects, &model);
    }
  if (subject == NULL || state == COMMY_HEALTH_UNKNOWN)
    return;
  from = subject->health.state;
  if (subject->place != NULL)
    {
      dequeue (subject);
      enqueue (subject, until_ns);
    }
  commy_health_adopt (&subject->health, state, reason, commy_env_now (self->mesh->env));
  self->func (self->data, subject->instance, &subject->health, from);
}

/* --- life --- */

static gboolean
dispatch_timer (GSource *source, GSourceFunc func, gpointer data)
{
  g_source_set_ready_time (source, -1);
  return func (data);
}

/* lint: allow-static GLib takes it writable; nothing writes it */
static GSourceFuncs timer_funcs = { .dispatch = dispatch_timer };

CommyHealthRunner *
commy_health_runner_new (CommyMesh *mesh, guint at_once, CommyHealthRunnerFunc func, gpointer data)
{
  CommyHealthRunner *self = g_new0 (CommyHealthRunner, 1);

  self->mesh = mesh;
  self->at_once = at_once;
  self->func = func;
  self->data = data;
  self->subjects = g_hash_table_new_full (commy_instance_hash, commy_instance_equal,
                                          (GDestroyNotify) commy_instance_unref, subject_drop);
  self->queue = g_sequence_new (NULL);
  self->timer = g_source_new (&timer_funcs, sizeof (GSource));
  g_source_set_callback (self->timer, on_timer, self, NULL);
  g_source_attach (self->timer, mesh->context);
  return self;
}

void
commy_health_runner_free (CommyHealthRunner *self)
{
  if (self == NULL)
    return;
  self->is_ending = TRUE;
  g_hash_table_remove_all (self->subjects);
  while (self->n_running > 0)
    g_main_context_iteration (self->mesh->context, TRUE);
  g_hash_table_unref (self->subjects);
  g_sequence_free (self->queue);
  g_source_destroy (self->timer);
  g_source_unref (self->timer);
  g_free (self);
}
