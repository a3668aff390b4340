/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mesh and its policy: made when it is joined, read again from the keyfiles when somebody says
 * so, told to people. What it decides is channels' business.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel-rights.h"
#include "mesh/commy-mesh-private.h"
#include "route/commy-route.h"

/* Either way it is recorded. */
static CommyPolicy *
compile (CommyMesh *self, CommyConfig *config, GError **error)
{
  GError *cause = NULL;
  CommyPolicy *policy
      = commy_policy_compile (config, (const char *const *) self->shared.own_principals, &cause);

  if (!commy_mesh_audit_policy (self, config, cause, error))
    g_clear_pointer (&policy, commy_policy_unref);
  if (cause != NULL)
    g_propagate_error (error, cause);
  return policy;
}

gboolean
commy_mesh_make_policy (CommyMesh *self, GError **error)
{
  CommyPolicy *policy = compile (self, self->config, error);

  if (policy == NULL)
    return FALSE;
  self->policy = commy_policy_current_new (policy);
  self->shared.policy = self->policy;
  return TRUE;
}

/* --- reading it again --- */

/* On the worker: what is closed meanwhile changes the worker's list. */
static void
renew_channels (gpointer data)
{
  CommyWorker *worker = data;
  g_autoptr (GPtrArray) channels
      = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_channel_unref);

  commy_worker_foreach_channel (worker, commy_channel_collect, channels);
  g_ptr_array_foreach (channels, commy_channel_rights_visit, NULL);
  g_ptr_array_set_size (channels, 0);
  commy_worker_release (worker);
}

gboolean
commy_mesh_reload_policy_here (CommyMesh *self, GError **error)
{
  g_autoptr (CommyConfig) config = NULL;
  g_autoptr (GPtrArray) workers = NULL;
  CommyConfigSources sources;
  CommyPolicy *policy;

  if (self->policy == NULL)
    {
      commy_set_error (error, COMMY_ERROR_LEAVING, "the mesh is being left");
      return FALSE;
    }
  commy_config_sources_default (&sources);
  sources.program = self->settings;
  config = commy_config_load (&sources, error);
  if (config == NULL || !commy_mesh_check_engine (self, config, error))
    return FALSE;
  policy = compile (self, config, error);
  if (policy == NULL)
    return FALSE;
  commy_mesh_renew_engine (self, config); /* before anybody asks it for the new one */
  commy_policy_current_replace (self->policy, policy);
  workers = commy_mesh_dup_workers (self);
  for (guint i = 0; i < workers->len; i++)
    {
      CommyWorker *worker = ((CommyMeshWorker *) workers->pdata[i])->worker;

      commy_worker_post (worker, renew_channels, commy_worker_hold (worker));
    }
  return TRUE;
}

typedef struct
{
  CommyMesh *mesh;
  CommyLatch *latch;
} Reload;

static void
reload_here (gpointer data)
{
  Reload *reload = data;
  CommyLatch *latch = reload->latch;
  g_autoptr (GError) error = NULL;

  commy_mesh_reload_policy_here (reload->mesh, &error);
  /* The waiter may drop the mesh at once: ours must not be the last reference. */
  g_object_unref (reload->mesh);
  g_free (reload);
  commy_latch_answer (latch, NULL, NULL, error);
}

gboolean
commy_mesh_reload_policy (CommyMesh *self, GError **error)
{
  CommyLatch *latch;
  Reload *reload;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  if (!commy_mesh_check_joined (self, error))
    return FALSE;
  latch = commy_latch_new ();
  reload = g_new0 (Reload, 1);
  reload->mesh = g_object_ref (self);
  reload->latch = latch;
  commy_mesh_invoke (self, reload_here, reload);
  return commy_latch_wait (latch, g_get_monotonic_time () + 10 * G_USEC_PER_SEC, NULL, NULL, error);
}

/* --- for people --- */

static CommyPolicy *
dup_policy (CommyMesh *self, GError **error)
{
  static const char *const nobody[] = { NULL };
  CommyPolicy *policy = NULL;

  g_mutex_lock (&self->lock);
  if (self->state == COMMY_MESH_JOINED)
    policy = commy_policy_current_dup (self->policy, NULL);
  g_mutex_unlock (&self->lock);
  return policy != NULL ? policy : commy_policy_compile (self->config, nobody, error);
}

GVariant *
commy_mesh_list_policy (CommyMesh *self, GError **error)
{
  g_autoptr (CommyPolicy) policy = NULL;

  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  policy = dup_policy (self, error);
  return policy != NULL ? g_variant_ref_sink (commy_policy_list (policy)) : NULL;
}

static gboolean
read_time (GVariant *circumstances, CommyPolicyRequest *request, GError **error)
{
  g_autoptr (GTimeZone) zone = g_time_zone_new_local ();
  g_autoptr (GDateTime) at = NULL;
  const char *text = NULL;

  request->wall_us = g_get_real_time ();
  if (circumstances == NULL || !g_variant_lookup (circumstances, "at", "&s", &text))
    return TRUE;
  at = g_date_time_new_from_iso8601 (text, zone);
  if (at != NULL)
    request->wall_us = g_date_time_to_unix (at) * G_USEC_PER_SEC + g_date_time_get_microsecond (at);
  else
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                     "\"%.64s\" is no time: write 2026-12-31T12:00:00", text);
  return at != NULL;
}

/* Over the network there is nothing but mutual certificates, unless somebody says so. */
static gboolean
read_path (GVariant *circumstances,
           CommyPolicyRequest *request,
           CommyPolicyPath *path,
           GError **error)
{
  const char *from = NULL;
  const char *security = NULL;

  *path = (CommyPolicyPath){ .where = COMMY_WHERE_UNKNOWN, .security = COMMY_SECURITY_KERNEL };
  if (circumstances == NULL)
    return TRUE;
  g_variant_lookup (circumstances, "from", "&s", &from);
  g_variant_lookup (circumstances, "security", "&s", &security);
  if (from == NULL && security == NULL)
    return TRUE;
  request->path = path;
  if (g_strcmp0 (from, "local") == 0)
    path->where = COMMY_WHERE_LOCAL;
  else if (from != NULL)
    {
      path->where = COMMY_WHERE_ADDRESS;
      path->security = COMMY_SECURITY_MUTUAL;
      if (!commy_network_parse_address (from, path->address))
        {
          commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                           "\"%.64s\" is no address: write 10.1.2.3, fd00::1 or local", from);
          return FALSE;
        }
    }
  if (security == NULL || commy_security_parse (security, &path->security))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "\"%.64s\" is no level of security: choose none, kernel, authenticated, "
                   "confidential or mutual",
                   security);
  return FALSE;
}

/* What a call would tell it of its path, and of who makes it, and nobody has said here. */
static void
find_untold (CommyMesh *self, const CommyPolicyRequest *request, const char *out_names[4])
{
  guint n = 0;

  if (request->path == NULL || request->path->where == COMMY_WHERE_UNKNOWN)
    out_names[n++] = "from";
  if (request->path == NULL)
    out_names[n++] = "security";
  /* The provider tells whether another name is one's own user's: that takes a mesh. */
  if (!request->own && !g_str_has_prefix (request->principal, "unix:")
      && !commy_mesh_check_joined (self, NULL))
    out_names[n++] = "own";
  out_names[n] = NULL;
}

/* With what the engine says, where a rule asks it; without an answer it is denied, too. */
static GVariant *
explain (CommyMesh *self, CommyPolicy *policy, const CommyPolicyRequest *request, GVariant *given)
{
  CommyPolicyVerdict verdict = commy_policy_judge (policy, request);
  g_autofree char *denial = NULL;
  g_autoptr (GError) error = NULL;
  CommyPolicyWanted wanted = { NULL };
  const char *untold[4];
  gboolean asks = TRUE;

  if (given != NULL)
    {
      g_variant_lookup (given, "engine", "b", &asks);
      g_variant_lookup (given, "why-not", "b", &wanted.why_not);
    }
  if (!verdict.asks || !asks)
    return commy_policy_explain (policy, request, &wanted);
  denial = commy_mesh_ask_engine (self, request, &error);
  if (error != NULL)
    denial = g_strdup (commy_error_bare (error));
  find_untold (self, request, untold);
  wanted.engine = denial != NULL ? denial : "";
  wanted.not_told = untold;
  return commy_policy_explain (policy, request, &wanted);
}

GVariant *
commy_mesh_explain_policy (CommyMesh *self,
                           const char *principal,
                           const char *verb,
                           const char *resource,
                           GVariant *circumstances,
                           GError **error)
{
  g_autoptr (GVariant) given = circumstances != NULL ? g_variant_ref_sink (circumstances) : NULL;
  g_autoptr (CommyPolicy) policy = NULL;
  g_autofree char *service = NULL;
  g_autofree const char **attributes = NULL;
  CommyPolicyRequest request = { .principal = principal };
  CommyPolicyPath path;

  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  g_return_val_if_fail (principal != NULL && verb != NULL && resource != NULL, NULL);
  g_return_val_if_fail (given == NULL || g_variant_is_of_type (given, G_VARIANT_TYPE_VARDICT),
                        NULL);
  if (given != NULL)
    {
      g_variant_lookup (given, "own", "b", &request.own);
      g_variant_lookup (given, "attributes", "^a&s", &attributes);
    }
  request.attributes = attributes;
  if (!commy_policy_request_read (verb, resource, &request, &service, error)
      || !read_time (given, &request, error) || !read_path (given, &request, &path, error))
    return NULL;
  policy = dup_policy (self, error);
  if (policy == NULL)
    return NULL;
  return g_variant_ref_sink (explain (self, policy, &request, given));
}
