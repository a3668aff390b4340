/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mesh and its policy engine: started with the mesh, which fails without it, because rules rely
 * on it. Who only wants to know what it would say need not join: it is started for the question.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "mesh/commy-mesh-private.h"
#include "security/commy-engine.h"

#include <string.h>

#define KEY "policy-engine"
#define SPARE_US (5 * G_USEC_PER_SEC) /* beside the time for the answer */

static const char *
engine_id (CommyConfig *config)
{
  const char *id = commy_config_get (config, "security", KEY);

  return id != NULL ? id : "";
}

gboolean
commy_mesh_start_engine (CommyMesh *self, GError **error)
{
  const char *id = engine_id (self->config);
  CommyEngineLimits limits;
  CommyPlugin *plugin;

  if (*id == '\0')
    return TRUE;
  plugin = commy_mesh_start_named (self, COMMY_PLUGIN_POLICY, "security", KEY, id, error);
  if (plugin == NULL)
    return FALSE;
  commy_engine_limits_read (self->config, &limits);
  self->shared.engine = commy_engine_new (plugin, self->context, self->env, &limits);
  return TRUE;
}

/* All workers are shut. */
void
commy_mesh_stop_engine (CommyMesh *self)
{
  g_clear_pointer (&self->shared.engine, commy_engine_free);
}

gboolean
commy_mesh_check_engine (CommyMesh *self, CommyConfig *config, GError **error)
{
  const char *wanted = engine_id (config);
  const char *running
      = self->shared.engine != NULL ? commy_engine_get_id (self->shared.engine) : "";

  if (strcmp (wanted, running) == 0)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "%s: [security] " KEY "=%s is another one than runs (%s): leave the mesh and "
                   "join it again, or put it back",
                   commy_config_get_origin (config, "security", KEY), wanted,
                   *running != '\0' ? running : "none");
  return FALSE;
}

void
commy_mesh_renew_engine (CommyMesh *self, CommyConfig *config)
{
  CommyEngineLimits limits;

  if (self->shared.engine == NULL)
    return;
  commy_engine_limits_read (config, &limits);
  commy_engine_forget (self->shared.engine, &limits);
}

/* --- only to know --- */

typedef struct
{
  CommyEngine *engine;
  const CommyPolicyRequest *request;
  gboolean is_over;
  char *denial;
} Question;

static void ask (Question *question);

static void
on_ready (gpointer data)
{
  ask (data);
}

static CommyEngineWaiter
want_waiter (gpointer data)
{
  return (CommyEngineWaiter){ on_ready, data };
}

static void
ask (Question *question)
{
  CommyEngineAnswer answer;

  commy_engine_ask (question->engine, question->request, FALSE, want_waiter, question, &answer);
  question->is_over = answer.state != COMMY_ENGINE_THINKS;
  question->denial = answer.why;
}

/* Of its own, and gone afterwards: nobody else hears of it. */
static char *
ask_own (CommyMesh *self, const CommyPolicyRequest *request, GError **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (CommyCatalog) catalog = commy_catalog_new (self->config, NULL, error);
  const char *id = engine_id (self->config);
  CommyHostSetup setup = { .context = context,
                           .mesh = self->name,
                           .node = self->node,
                           .runtime_dir = self->runtime_dir,
                           .state_dir = self->state_dir,
                           .credentials_dir = self->credentials_dir,
                           .host_id = commy_env_host_id (),
                           .env = self->env };
  Question question = { .request = request };
  CommyEngineLimits limits;
  CommyPlugin *plugin;

  if (catalog == NULL)
    return NULL;
  plugin = commy_catalog_find (catalog, COMMY_PLUGIN_POLICY, id);
  if (plugin == NULL)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING,
                       "no usable plugin policy/%s: see commy plugin list", id);
      return NULL;
    }
  g_main_context_push_thread_default (context);
  if (commy_plugin_load (plugin, self->config, error)
      && commy_plugin_start (plugin, self->config, &setup, error))
    {
      commy_engine_limits_read (self->config, &limits);
      question.engine = commy_engine_new (plugin, context, self->env, &limits);
      for (ask (&question); !question.is_over;)
        g_main_context_iteration (context, TRUE);
      commy_engine_free (question.engine);
      commy_plugin_stop (plugin);
    }
  g_main_context_pop_thread_default (context);
  return question.denial;
}

/* --- of a mesh that is joined --- */

typedef struct
{
  CommyMesh *mesh;
  CommyLatch *latch;
  char *principal, *service, *method;
  CommyPolicyPath path;
  CommyPolicyRequest request;
} Inquiry;

static void
inquiry_answer (Inquiry *inquiry, char *denial, const GError *error)
{
  CommyLatch *latch = inquiry->latch;

  /* The waiter may drop the mesh at once: ours must not be the last reference. */
  g_object_unref (inquiry->mesh);
  g_free (inquiry->principal);
  g_free (inquiry->service);
  g_free (inquiry->method);
  g_free (inquiry);
  commy_latch_answer (latch, denial, g_free, error);
}

static void ask_here (gpointer data);

static CommyEngineWaiter
want_inquirer (gpointer data)
{
  return (CommyEngineWaiter){ ask_here, data };
}

/* On the mesh thread. */
static void
ask_here (gpointer data)
{
  Inquiry *inquiry = data;
  CommyEngine *engine = inquiry->mesh->shared.engine;
  CommyEngineAnswer answer;
  g_autoptr (GError) error = NULL;

  if (engine == NULL)
    {
      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      inquiry_answer (inquiry, NULL, error);
      return;
    }
  inquiry->request.own |= g_strv_contains (
      (const char *const *) inquiry->mesh->shared.own_principals, inquiry->principal);
  commy_engine_ask (engine, &inquiry->request, FALSE, want_inquirer, inquiry, &answer);
  if (answer.state != COMMY_ENGINE_THINKS)
    inquiry_answer (inquiry, answer.why, NULL);
}

static char *
ask_running (CommyMesh *self, const CommyPolicyRequest *request, GError **error)
{
  Inquiry *inquiry = g_new0 (Inquiry, 1);
  CommyLatch *latch = commy_latch_new ();
  CommyEngineLimits limits;
  gpointer denial = NULL;

  inquiry->mesh = g_object_ref (self);
  inquiry->latch = latch;
  inquiry->request = *request;
  inquiry->request.attributes = NULL; /* engines are told nothing of them */
  inquiry->request.principal = inquiry->principal = g_strdup (request->principal);
  inquiry->request.resource = inquiry->service = g_strdup (request->resource);
  inquiry->request.method = inquiry->method = g_strdup (request->method);
  if (request->path != NULL)
    {
      inquiry->path = *request->path;
      inquiry->request.path = &inquiry->path;
    }
  commy_engine_limits_read (self->config, &limits);
  commy_mesh_invoke (self, ask_here, inquiry);
  commy_latch_wait (latch, g_get_monotonic_time () + limits.timeout_ns / 1000 + SPARE_US, NULL,
                    &denial, error);
  return denial;
}

char *
commy_mesh_ask_engine (CommyMesh *self, const CommyPolicyRequest *request, GError **error)
{
  return commy_mesh_check_joined (self, NULL) ? ask_running (self, request, error)
                                              : ask_own (self, request, error);
}
