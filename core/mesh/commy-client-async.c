/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asynchronous calls: the same steps as a synchronous call, each begun where the one before it
 * ended, on the client's worker.
 */
#include "config.h"

#include "mesh/commy-client-async.h"

#include "base/commy-error-private.h"
#include "mesh/commy-interface-check.h"

#include <string.h>

CommyAsyncCall *
commy_async_call_ref (CommyAsyncCall *call)
{
  g_atomic_ref_count_inc (&call->refs);
  return call;
}

void
commy_async_call_unref (gpointer data)
{
  CommyAsyncCall *call = data;

  if (!g_atomic_ref_count_dec (&call->refs))
    return;
  commy_request_clear (&call->request);
  g_clear_error (&call->last);
  g_clear_error (&call->refusal);
  g_clear_error (&call->result_error);
  g_clear_error (&call->ensure_error);
  g_clear_object (&call->result_handles);
  g_clear_pointer (&call->awaited, commy_expectation_unref);
  g_clear_object (&call->client);
  g_free (call);
}

static void
drop_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static gboolean
is_pending (const CommyAsyncCall *call)
{
  for (guint i = 0; i < call->n_open; i++)
    if (call->open[i]->pending)
      return TRUE;
  return FALSE;
}

/* --- the end --- */

static void
async_return (gpointer data)
{
  CommyAsyncCall *call = data;
  g_autoptr (GTask) task = g_steal_pointer (&call->task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  if (call->cancel_handler != 0)
    g_cancellable_disconnect (cancellable, call->cancel_handler);
  call->cancel_handler = 0;
  drop_source (&call->deadline);
  if (call->result_handles != NULL)
    g_task_set_task_data (task, g_steal_pointer (&call->result_handles), g_object_unref);
  if (call->result_error != NULL)
    g_task_return_error (task, g_steal_pointer (&call->result_error));
  else
    g_task_return_pointer (task, call->result, call->result_free);
  commy_async_call_unref (call);
}

/* Ends the call; the callback may have to wait. */
void
commy_async_call_finish (CommyAsyncCall *call,
                         gpointer result,
                         GDestroyNotify result_free,
                         GError *error)
{
  CommyWorker *worker = call->client->worker->worker;

  if (call->finished)
    {
      g_clear_error (&error);
      if (result != NULL)
        result_free (result);
      return;
    }
  call->finished = TRUE;
  while (call->n_open > 0)
    commy_async_attempt_close (call->open[0], COMMY_OUTCOME_ABANDONED);
  drop_source (&call->timer);
  commy_client_dismiss (call->client, &call->request.admitted, commy_outcome_judge (error, TRUE));
  commy_client_tell_age (call->client, error);
  call->result = result;
  call->result_free = result_free;
  call->result_error = error;
  commy_worker_complete (worker, call->began, async_return, call);
}

static gboolean
on_async_deadline (gpointer data)
{
  CommyAsyncCall *call = data;
  CommyWorker *worker = commy_worker_ref (call->client->worker->worker);
  GError *error = NULL;

  commy_worker_enter (worker);
  if (!call->finished && !is_pending (call))
    {
      while (call->n_open > 0)
        commy_async_attempt_close (call->open[0], COMMY_OUTCOME_NOT_SENT);
      commy_set_error (&error, COMMY_ERROR_DEADLINE,
                       "%s.%s: the deadline passed before it was sent", call->client->service,
                       call->request.method);
      commy_async_call_finish (call, NULL, NULL, error);
    }
  commy_worker_exit (worker);
  commy_worker_unref (worker);
  return G_SOURCE_REMOVE;
}

/* The store or a connection is waited for: neither knows of this call's deadline. */
static void
async_watch_deadline (CommyAsyncCall *call)
{
  if (call->deadline != NULL)
    return;
  call->deadline = g_timeout_source_new (0);
  g_source_set_ready_time (call->deadline, call->request.call_deadline_ns / 1000 + 1);
  g_source_set_callback (call->deadline, on_async_deadline, commy_async_call_ref (call),
                         commy_async_call_unref);
  g_source_attach (call->deadline, commy_worker_get_context (call->client->worker->worker));
}

/* --- again --- */

static void
async_at (CommyAsyncCall *call, gint64 at_ns, GSourceFunc func)
{
  drop_source (&call->timer);
  call->timer = g_timeout_source_new (0);
  g_source_set_ready_time (call->timer, at_ns / 1000 + 1);
  g_source_set_callback (call->timer, func, commy_async_call_ref (call), commy_async_call_unref);
  g_source_attach (call->timer, commy_worker_get_context (call->client->worker->worker));
}

static gboolean
on_retry (gpointer data)
{
  CommyAsyncCall *call = data;
  CommyWorker *worker = commy_worker_ref (call->client->worker->worker);

  commy_worker_enter (worker);
  commy_async_call_step (call);
  commy_worker_exit (worker);
  commy_worker_unref (worker);
  return G_SOURCE_REMOVE;
}

/* It takes longer than usual: another instance may be faster. */
static gboolean
on_hedge (gpointer data)
{
  CommyAsyncCall *call = data;
  CommyClient *client = call->client;
  CommyWorker *worker = commy_worker_ref (client->worker->worker);

  commy_worker_enter (worker);
  if (!call->finished && call->n_open > 0 && call->n_open < COMMY_CLIENT_MAX_COPIES
      && commy_guard_take_hedge (call->request.guard, commy_env_now (client->mesh->env)))
    commy_async_call_step (call);
  commy_worker_exit (worker);
  commy_worker_unref (worker);
  return G_SOURCE_REMOVE;
}

void
commy_async_call_plan_hedge (CommyAsyncCall *call)
{
  const gint64 due_ns = commy_guard_get_hedge_due (call->request.guard, call->n_open,
                                                   call->request.idempotent, call->request.now_ns);

  if (due_ns < call->request.call_deadline_ns)
    async_at (call, due_ns, on_hedge);
}

static void
async_fail (CommyAsyncCall *call)
{
  commy_async_call_finish (call, NULL, NULL,
                           g_error_copy (commy_client_weigh (call->refusal, call->last)));
}

void
commy_async_call_failed (CommyAsyncCall *call, const GError *error, gboolean sent)
{
  gint64 at_ns;

  if (call->finished)
    return;
  /* With no path left, the reason the last one failed says more than "no route". */
  if (call->last != NULL
      && (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE)
          || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_UNAVAILABLE)))
    {
      if (call->n_open == 0)
        async_fail (call);
      return;
    }
  g_clear_error (&call->last);
  call->last = g_error_copy (error);
  if (call->refusal == NULL && commy_client_is_refusal (error))
    call->refusal = g_error_copy (error);
  if (call->n_open > 0)
    {
      call->request.n_sent += sent;
      /* A copy may still be answered; where none is sent, nobody else looks at the deadline. */
      if (!is_pending (call)
          && commy_env_now (call->client->mesh->env) >= call->request.call_deadline_ns)
        async_fail (call);
      return;
    }
  if (!commy_client_retries (call->client, &call->request, call->last, sent, &at_ns))
    async_fail (call);
  else if (at_ns > call->request.now_ns)
    async_at (call, at_ns, on_retry);
  else
    commy_async_call_step (call);
}

/* --- finding the way --- */

static void
async_after_ensure (gpointer data)
{
  CommyAsyncCall *call = data;

  call->client->n_ensuring--;
  call->ensured = TRUE;
  if (call->ensure_error != NULL && !call->finished)
    {
      g_autoptr (GError) error = g_steal_pointer (&call->ensure_error);

      commy_async_call_failed (call, error, FALSE);
    }
  else
    commy_async_call_step (call);
  commy_async_call_unref (call);
}

static void
async_ensured (gpointer data, const GError *error)
{
  CommyAsyncCall *call = data;

  g_clear_error (&call->ensure_error);
  call->ensure_error = error != NULL ? g_error_copy (error) : NULL;
  commy_worker_post (call->client->worker->worker, async_after_ensure, call);
}

static void
async_ensure (gpointer data)
{
  CommyAsyncCall *call = data;
  CommyClient *client = call->client;

  if (client->mesh->registry == NULL)
    {
      g_autoptr (GError) error = NULL;

      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      async_ensured (call, error);
      return;
    }
  if (call->awaited != NULL)
    commy_interface_checks_wait (client->mesh->interface_checks, call->awaited, async_ensured,
                                 call);
  else
    commy_registry_ensure (client->mesh->registry, client->service,
                           client->fresh || call->refreshed, async_ensured, call);
}

/* Whether the route is there; else something is under way or the call ended. */
static gboolean
async_route (CommyAsyncCall *call)
{
  CommyClient *client = call->client;
  CommyRoute *route = &client->routes[call->request.flavour];
  g_autoptr (CommySnapshot) snapshot = NULL;
  g_autoptr (GError) error = NULL;
  /* Earlier ones are on their way back from the registry: this one goes behind them. */
  gboolean behind = client->n_ensuring > 0 && !call->ensured;
  gboolean missing;
  CommyRouteKey key;

  commy_client_key (client, &key);
  if (G_LIKELY (!behind) && (!client->fresh || call->refreshed)
      && commy_route_is_fresh (route, &key))
    return TRUE;
  snapshot = commy_registry_lookup (client->mesh->registry, client->service);
  missing = behind || snapshot == NULL || (client->fresh && !call->refreshed);
  call->awaits = FALSE;
  g_clear_pointer (&call->awaited, commy_expectation_unref);
  if (!missing)
    {
      if (commy_client_decide (client, call->request.flavour, call->request.size, &error))
        return TRUE;
      call->awaits = route->awaits;
      if (call->awaits && client->expectation != NULL)
        call->awaited = commy_expectation_ref (client->expectation);
      missing = g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE) && !call->refreshed;
    }
  if (missing || call->awaits)
    {
      if (missing && !behind)
        call->refreshed = snapshot != NULL || client->fresh;
      client->n_ensuring++;
      async_watch_deadline (call);
      commy_mesh_invoke (client->mesh, async_ensure, commy_async_call_ref (call));
    }
  else
    commy_async_call_failed (call, error, FALSE);
  return FALSE;
}

void
commy_async_call_step (CommyAsyncCall *call)
{
  CommyClient *client = call->client;
  GError *error = NULL;
  CommyAsyncAttempt *attempt;
  CommyPick picked;

  if (call->finished || call->n_open == COMMY_CLIENT_MAX_COPIES)
    return;
  call->request.now_ns = commy_env_now (client->mesh->env);
  call->request.deadline_ns = call->request.call_deadline_ns;
  if (commy_client_give_up (client, &call->request, g_task_get_cancellable (call->task), &error))
    {
      commy_async_call_finish (call, NULL, NULL, error);
      return;
    }
  if (!commy_mesh_check_joined (client->mesh, &error))
    {
      commy_async_call_finish (call, NULL, NULL, error);
      return;
    }
  if (!async_route (call))
    return;
  if (!commy_client_pick (client, &call->request, &picked, &error))
    {
      commy_async_call_failed (call, error, FALSE);
      g_error_free (error);
      return;
    }
  /* A copy for who has it already helps nobody. */
  if (call->n_open > 0 && commy_tries_has (&call->request.tries, 0, picked.member->peer))
    return;
  attempt = commy_async_attempt_new (call, &picked);
  if (commy_path_is_up (attempt->stack.path))
    {
      commy_async_attempt_send (attempt);
      return;
    }
  async_watch_deadline (call);
  commy_async_attempt_connect (attempt);
}

static void
async_cancelled (gpointer data)
{
  CommyAsyncCall *call = data;
  GError *error = NULL;

  if (!call->finished)
    {
      commy_set_error (&error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
      commy_async_call_finish (call, NULL, NULL, error);
    }
  commy_async_call_unref (call);
}

static void
on_cancel_post (GCancellable *cancellable, CommyAsyncCall *call)
{
  commy_worker_post (call->client->worker->worker, async_cancelled, commy_async_call_ref (call));
}

static void
async_start (CommyAsyncCall *call)
{
  GError *error = NULL;

  if (commy_client_admit (call->client, &call->request, &error))
    commy_async_call_step (call);
  else
    commy_async_call_finish (call, NULL, NULL, error);
}

/* (transfer full) @task; @request is taken over, or empty where there is an @error (full). */
static void
start_call (CommyClient *self, GTask *task, const CommyRequest *request, GError *error)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  CommyAsyncCall *call;
  CommyWorker *worker;

  g_task_set_check_cancellable (task, FALSE);
  if (error != NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  if (!commy_worker_is_attached (self->worker->worker))
    {
      CommyRequest unused = *request;

      commy_request_clear (&unused);
      g_task_return_new_error (task, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                               "CMY0002: this thread has no main context of its own: push one as "
                               "thread default, or call synchronously");
      g_object_unref (task);
      return;
    }
  call = g_new0 (CommyAsyncCall, 1);
  g_atomic_ref_count_init (&call->refs);
  call->client = g_object_ref (self);
  call->task = task;
  call->request = *request;
  call->began = commy_worker_get_iteration (self->worker->worker);
  commy_request_keep (&call->request);
  if (cancellable != NULL)
    call->cancel_handler
        = g_cancellable_connect (cancellable, G_CALLBACK (on_cancel_post), call, NULL);
  worker = commy_worker_ref (self->worker->worker);
  commy_async_call_ref (call);
  commy_worker_enter (worker);
  async_start (call);
  commy_worker_exit (worker);
  commy_async_call_unref (call);
  commy_worker_unref (worker);
}

static void
call_async (CommyClient *self,
            const char *method,
            GVariant *parameters,
            GBytes *bytes,
            gboolean streams,
            const CommyCallOptions *options,
            GCancellable *cancellable,
            GAsyncReadyCallback callback,
            gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  GError *error = NULL;
  CommyRequest request;

  if (commy_client_check (self, &error)
      && commy_client_init_request (self, &request, method, sunk, bytes, options, &error)
      && streams)
    commy_request_open_stream (&request, commy_client_get_timeout (self, request.guard));
  start_call (self, task, &request, error);
}

void
commy_client_call (CommyClient *self,
                   const char *method,
                   GVariant *parameters,
                   const CommyCallOptions *options,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL);
  call_async (self, method, parameters, NULL, FALSE, options, cancellable, callback, user_data);
}

GVariant *
commy_client_call_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
commy_client_call_with_unix_fd_list (CommyClient *self,
                                     const char *method,
                                     GVariant *parameters,
                                     GUnixFDList *fd_list,
                                     const CommyCallOptions *options,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data)
{
  g_autoptr (GVariant) sunk = parameters != NULL ? g_variant_ref_sink (parameters) : NULL;
  GError *error = NULL;
  CommyRequest request;
  GTask *task;

  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL);
  g_return_if_fail (fd_list == NULL || G_IS_UNIX_FD_LIST (fd_list));
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, commy_client_call_with_unix_fd_list);
  if (commy_client_check (self, &error))
    commy_client_init_request_with_handles (self, &request, method, sunk, fd_list, options, &error);
  start_call (self, task, &request, error);
}

GVariant *
commy_client_call_with_unix_fd_list_finish (CommyClient *self,
                                            GUnixFDList **out_fd_list,
                                            GAsyncResult *result,
                                            GError **error)
{
  GUnixFDList *handles;
  GVariant *value;

  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, commy_client_call_with_unix_fd_list),
                        NULL);
  handles = g_task_get_task_data (G_TASK (result));
  value = g_task_propagate_pointer (G_TASK (result), error);
  if (value != NULL && out_fd_list != NULL)
    *out_fd_list = handles != NULL ? g_object_ref (handles) : NULL;
  return value;
}

void
commy_client_call_bytes (CommyClient *self,
                         const char *method,
                         GBytes *bytes,
                         const CommyCallOptions *options,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL && bytes != NULL);
  call_async (self, method, NULL, bytes, FALSE, options, cancellable, callback, user_data);
}

GBytes *
commy_client_call_bytes_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
commy_client_open_stream (CommyClient *self,
                          const char *method,
                          GVariant *parameters,
                          const CommyCallOptions *options,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (method != NULL);
  call_async (self, method, parameters, NULL, TRUE, options, cancellable, callback, user_data);
}

CommyStream *
commy_client_open_stream_finish (CommyClient *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
