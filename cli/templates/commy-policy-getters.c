/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A policy engine outside of Commy's tree: methods may be called whose name begins with one of the
 * words of a parameter, and no others. Written against the installed headers only; read it from the
 * bottom up. A rule asks it by `ask=engine`, once [security] has policy-engine=getters.
 */
#include <commy/commy-plugin.h>

typedef struct
{
  CommyHost *host;
  char **beginnings;
} Instance;

/* One that is under way; the core's memory, gone with the answer. */
typedef struct
{
  Instance *instance;
  guint timer;
  gboolean allows;
  CommyPolicyDoneFunc done;
  gpointer user_data;
} Decision;

static gboolean
is_allowed (const Instance *self, const char *method)
{
  for (char **beginning = self->beginnings; *beginning != NULL; beginning++)
    if (**beginning != '\0' && g_str_has_prefix (method, *beginning))
      return TRUE;
  return FALSE;
}

static void
on_answer (gpointer data)
{
  Decision *self = data;

  if (self->allows)
    self->done (self->user_data, COMMY_POLICY_ALLOWED, NULL);
  else
    self->done (self->user_data, COMMY_POLICY_DENIED, "it begins with none of the words");
}

/* Most engines have to ask somebody, and answer when that has come back: this one answers in the
 * next turn of the mesh thread, as they do. Who knows at once may say so at once. Who cannot tell
 * says COMMY_POLICY_UNABLE, never what it guesses. */
static void
getters_decide (gpointer instance,
                gpointer decision,
                const CommyPolicyQuery *query,
                CommyPolicyDoneFunc done,
                gpointer user_data)
{
  Instance *self = instance;
  Decision *it = decision;

  /* The query is gone when this returns: what is needed of it is taken now. */
  it->instance = self;
  it->allows = is_allowed (self, query->method);
  it->done = done;
  it->user_data = user_data;
  it->timer = self->host->add_timer (self->host, 0, on_answer, it);
}

static void
getters_cancel (gpointer decision)
{
  Decision *self = decision;
  CommyHost *host = self->instance->host;

  host->remove (host, self->timer);
}

/* --- the plugin --- */

static const CommyParamSpec getters_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_STRING,
    .name = "beginnings",
    .default_value = "Get List Read",
    .help = "What the names of methods begin with that may be called, with spaces between" },
};

static gboolean
getters_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;

  self->host = host;
  self->beginnings = g_strsplit (host->param (host, "beginnings"), " ", -1);
  return TRUE;
}

static void
getters_fini (gpointer instance)
{
  g_strfreev (((Instance *) instance)->beginnings);
}

static const CommyPolicyEngineOps getters_ops = {
  .struct_size = sizeof (CommyPolicyEngineOps),
  .decision_size = sizeof (Decision),
  .decide = getters_decide,
  .cancel = getters_cancel,
};

COMMY_PLUGIN_NOTE (POLICY,
                   "getters",
                   "1.0",
                   "LGPL-2.1-or-later",
                   "Methods that only read, by their names",
                   "",
                   COMMY_PLUGIN_FLAG_EXPERIMENTAL,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .size_factor = 1,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (Instance,
                     getters_init,
                     NULL,
                     getters_fini,
                     getters_params,
                     G_N_ELEMENTS (getters_params),
                     &getters_ops);
