/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules, their states, and who is told.
 */
#include "config.h"

#include "mesh/commy-alerts.h"

#include "base/commy-error-private.h"
#include "mesh/commy-alert-figures.h"
#include "mesh/commy-check.h"
#include "mesh/commy-command.h"

#define TICK_MS 1000u
#define COMMAND_MS 30000u

typedef struct
{
  CommyAlerts *alerts;
  CommyAlertRule *rule;
  CommyAlert alert;
  CommyAlertWindow window;
  GCancellable *command; /* the last one that was run; or NULL */
} Watch;

struct _CommyAlerts
{
  CommyMesh *mesh;
  CommyAlertFigures *figures;
  GPtrArray *watches; /* Watch */
  GSource *timer;     /* NULL: there are no rules */
  guint n_running;    /* commands */
};

/* --- commands --- */

typedef struct
{
  CommyAlerts *alerts;
  char *name;
  GCancellable *cancellable;
  GSource *timeout;
} Run;

static void
on_command_end (gpointer data, const GError *error)
{
  Run *run = data;

  run->alerts->n_running--;
  if (error != NULL)
    g_message ("the command of alert %s: %s", run->name, commy_error_bare (error));
  g_source_destroy (run->timeout);
  g_source_unref (run->timeout);
  g_object_unref (run->cancellable);
  g_free (run->name);
  g_free (run);
}

static gboolean
on_command_late (gpointer data)
{
  g_cancellable_cancel (data);
  return G_SOURCE_REMOVE;
}

static char **
dup_environment (const Watch *watch, const char *text)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  char **environment = g_get_environ ();
  const char *values[][2] = {
    { "COMMY_ALERT", watch->rule->name },
    { "COMMY_ALERT_STATE", watch->alert.state == COMMY_ALERT_FIRING ? "firing" : "over" },
    { "COMMY_ALERT_SEVERITY", watch->rule->severity },
    { "COMMY_ALERT_SERVICE", watch->rule->service },
    { "COMMY_ALERT_VALUE", g_ascii_dtostr (number, sizeof number, watch->alert.value) },
    { "COMMY_ALERT_TEXT", text },
  };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    environment = g_environ_setenv (environment, values[i][0], values[i][1], TRUE);
  return environment;
}

/* The news of before is old: whoever still works on it is ended. */
static void
run_command (Watch *watch, const char *text)
{
  g_auto (GStrv) environment = dup_environment (watch, text);
  Run *run = g_new0 (Run, 1);

  if (watch->command != NULL)
    g_cancellable_cancel (watch->command);
  g_clear_object (&watch->command);
  watch->command = g_cancellable_new ();
  run->alerts = watch->alerts;
  run->name = g_strdup (watch->rule->name);
  run->cancellable = g_object_ref (watch->command);
  run->timeout = g_timeout_source_new (COMMAND_MS);
  g_source_set_callback (run->timeout, on_command_late, run->cancellable, NULL);
  g_source_attach (run->timeout, watch->alerts->mesh->context);
  watch->alerts->n_running++;
  commy_command_run ((const char *const *) watch->rule->command, (const char *const *) environment,
                     run->cancellable, on_command_end, run);
}

/* --- telling --- */

static gint64
to_wall_s (const CommyAlerts *self, gint64 at_ns)
{
  return (g_get_real_time () - (commy_env_now (self->mesh->env) - at_ns) / 1000) / G_USEC_PER_SEC;
}

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text));
}

static GVariant *
describe (const Watch *watch)
{
  const CommyAlertRule *rule = watch->rule;
  const CommyAlert *alert = &watch->alert;
  g_autofree char *text = commy_alert_describe (alert, rule);
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_text (&record, "name", rule->name);
  add_text (&record, "state", commy_alert_state_to_string (alert->state));
  add_text (&record, "severity", rule->severity);
  add_text (&record, "when", commy_alert_when_to_string (rule->when));
  add_text (&record, "service", rule->service);
  g_variant_builder_add (&record, "{sv}", "known", g_variant_new_boolean (alert->known));
  g_variant_builder_add (&record, "{sv}", "value", g_variant_new_double (alert->value));
  add_text (&record, "text", text);
  g_variant_builder_add (
      &record, "{sv}", "since",
      g_variant_new_int64 (alert->since_ns != 0 ? to_wall_s (watch->alerts, alert->since_ns) : 0));
  g_variant_builder_add (
      &record, "{sv}", "fired",
      g_variant_new_int64 (alert->fired ? to_wall_s (watch->alerts, alert->fired_ns) : 0));
  return g_variant_builder_end (&record);
}

/* For the context in which the mesh was made. */
typedef struct
{
  GWeakRef mesh;
  char *name;
  gboolean firing;
  GVariant *details;
} News;

static gboolean
emit (gpointer data)
{
  News *news = data;
  g_autoptr (CommyMesh) mesh = g_weak_ref_get (&news->mesh);

  if (mesh != NULL)
    g_signal_emit_by_name (mesh, "alert", news->name, news->firing, news->details);
  return G_SOURCE_REMOVE;
}

static void
news_free (gpointer data)
{
  News *news = data;

  g_weak_ref_clear (&news->mesh);
  g_variant_unref (news->details);
  g_free (news->name);
  g_free (news);
}

static void
tell_program (const Watch *watch)
{
  CommyMesh *mesh = watch->alerts->mesh;
  g_autoptr (GSource) source = g_idle_source_new ();
  News *news = g_new0 (News, 1);

  g_weak_ref_init (&news->mesh, mesh);
  news->name = g_strdup (watch->rule->name);
  news->firing = watch->alert.state == COMMY_ALERT_FIRING;
  news->details = g_variant_ref_sink (describe (watch));
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, emit, news, news_free);
  g_source_attach (source, mesh->home);
}

static void
tell (Watch *watch, CommyAlertStep step)
{
  g_autofree char *text = commy_alert_describe (&watch->alert, watch->rule);

  if (step == COMMY_ALERT_OVER)
    g_message ("alert %s is over: %s", watch->rule->name, text);
  else
    g_message ("alert %s (%s): %s", watch->rule->name, watch->rule->severity, text);
  tell_program (watch);
  if (watch->rule->command != NULL)
    run_command (watch, text);
}

GVariant *
commy_alerts_list (CommyAlerts *self)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->watches->len; i++)
    g_variant_builder_add_value (&list, describe (self->watches->pdata[i]));
  return g_variant_builder_end (&list);
}

/* --- a second --- */

static gboolean
on_tick (gpointer data)
{
  CommyAlerts *self = data;
  gint64 now = commy_env_now (self->mesh->env);
  g_autofree CommyAlertFigure *of = g_new (CommyAlertFigure, self->watches->len);

  for (guint i = 0; i < self->watches->len; i++)
    {
      Watch *watch = self->watches->pdata[i];

      of[i] = (CommyAlertFigure){ watch->rule, &watch->window };
    }
  commy_alert_figures_tick (self->figures, of, self->watches->len);
  for (guint i = 0; i < self->watches->len; i++)
    {
      Watch *watch = self->watches->pdata[i];
      double value;
      gboolean known = commy_alert_figures_get (self->figures, &of[i], &value);
      CommyAlertStep step
          = commy_alert_step (&watch->alert, watch->rule, known ? &value : NULL, now);

      if (step != COMMY_ALERT_SAME)
        tell (watch, step);
    }
  return G_SOURCE_CONTINUE;
}

/* --- life --- */

static void
watch_free (gpointer data)
{
  Watch *watch = data;

  if (watch->command != NULL)
    g_cancellable_cancel (watch->command);
  g_clear_object (&watch->command);
  commy_alert_window_clear (&watch->window);
  commy_alert_rule_free (watch->rule);
  g_free (watch);
}

CommyAlerts *
commy_alerts_new (CommyMesh *mesh, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (mesh->config, "alert ");
  CommyAlerts *self = g_new0 (CommyAlerts, 1);

  self->mesh = mesh;
  self->watches = g_ptr_array_new_with_free_func (watch_free);
  self->figures = commy_alert_figures_new (mesh);
  for (guint i = 0; i < groups->len; i++)
    {
      CommyAlertRule *rule = commy_alert_rule_new (mesh->config, groups->pdata[i], error);
      Watch *watch;

      if (rule == NULL)
        {
          commy_alerts_free (self);
          return NULL;
        }
      watch = g_new0 (Watch, 1);
      watch->alerts = self;
      watch->rule = rule;
      commy_alert_window_init (&watch->window, rule);
      g_ptr_array_add (self->watches, watch);
    }
  return self;
}

static void
nothing (gpointer data, const GError *error)
{
}

/* The services that the rules are about are followed, whether or not anybody calls them. */
static const char *
followed_service (const CommyAlertRule *rule)
{
  switch (rule->when)
    {
    case COMMY_ALERT_INSTANCES:
    case COMMY_ALERT_UNWELL:
      return rule->service;
    case COMMY_ALERT_STORE_AWAY:
      return COMMY_CHECK_NODE_SERVICE;
    case COMMY_ALERT_ERRORS:
    case COMMY_ALERT_LATENCY_P99:
    case COMMY_ALERT_DROPS:
    case COMMY_ALERT_MEMORY:
    case COMMY_ALERT_LOAD:
    default:
      return "";
    }
}

void
commy_alerts_start (CommyAlerts *self)
{
  for (guint i = 0; i < self->watches->len; i++)
    {
      const Watch *watch = self->watches->pdata[i];
      const char *service = followed_service (watch->rule);

      if (service[0] != '\0')
        commy_registry_ensure (self->mesh->registry, service, FALSE, nothing, NULL);
    }
  if (self->watches->len == 0)
    return;
  self->timer = g_timeout_source_new (TICK_MS);
  g_source_set_callback (self->timer, on_tick, self, NULL);
  g_source_attach (self->timer, self->mesh->context);
}

void
commy_alerts_free (CommyAlerts *self)
{
  if (self == NULL)
    return;
  if (self->timer != NULL)
    {
      g_source_destroy (self->timer);
      g_source_unref (self->timer);
    }
  g_ptr_array_unref (self->watches);
  while (self->n_running > 0)
    g_main_context_iteration (self->mesh->context, TRUE);
  commy_alert_figures_free (self->figures);
  g_free (self);
}
