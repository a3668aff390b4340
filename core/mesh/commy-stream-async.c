/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams, asynchronously: operations queue up, each direction in order, and are served when
 * the pipe says that something changed. Completions wait while a synchronous call is under way.
 */
#include "config.h"

#include "mesh/commy-stream-private.h"

#include "base/commy-error-private.h"

typedef enum
{
  OP_READ,
  OP_READ_BYTES,
  OP_WRITE,
  OP_RESULT,
} OpKind;

struct _CommyStreamOp
{
  gatomicrefcount refs;
  OpKind kind;
  CommyStream *stream; /* reference */
  GTask *task;         /* NULL once it returned */
  guint began;         /* iteration of the worker's context */
  GQueue *queue;       /* where it waits; NULL: it is done */
  GVariant *value;     /* of a write */
  GBytes *bytes;
  gulong cancel_handler;
  gpointer result; /* (nullable) */
  GError *error;
};

static void
op_unref (gpointer data)
{
  CommyStreamOp *op = data;

  if (!g_atomic_ref_count_dec (&op->refs))
    return;
  g_clear_pointer (&op->value, g_variant_unref);
  g_clear_pointer (&op->bytes, g_bytes_unref);
  g_clear_error (&op->error);
  g_object_unref (op->stream);
  g_free (op);
}

static void
op_return (gpointer data)
{
  CommyStreamOp *op = data;
  g_autoptr (GTask) task = g_steal_pointer (&op->task);

  if (op->cancel_handler != 0)
    g_cancellable_disconnect (g_task_get_cancellable (task), op->cancel_handler);
  op->cancel_handler = 0;
  if (op->error != NULL)
    g_task_return_error (task, g_steal_pointer (&op->error));
  else if (op->kind == OP_WRITE)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_pointer (task, op->result,
                           op->kind == OP_READ_BYTES ? (GDestroyNotify) g_bytes_unref
                                                     : (GDestroyNotify) g_variant_unref);
  op_unref (op);
}

/* The operation has its result and is in no queue. */
static void
op_done (CommyStreamOp *op)
{
  CommyWorker *worker = commy_channel_get_worker (op->stream->pipe->channel);

  op->queue = NULL;
  commy_worker_complete (worker, op->began, op_return, op);
}

/* --- serving --- */

/* Whether the operation is over. */
static gboolean
op_try (CommyStreamOp *op)
{
  CommyStream *self = op->stream;
  gboolean room = FALSE;
  CommyIo io;

  switch (op->kind)
    {
    case OP_READ:
    case OP_READ_BYTES:
      return commy_stream_try_read (self, op->kind == OP_READ_BYTES, &op->result, &op->error);
    case OP_RESULT:
      return commy_stream_try_result (self, (GVariant **) &op->result, &op->error);
    case OP_WRITE:
    default:
      io = commy_stream_try_write (self, op->value, op->bytes, &room, &op->error);
      if (io == COMMY_IO_WOULD_BLOCK && room)
        commy_pipe_await_room (self->pipe);
      return io != COMMY_IO_WOULD_BLOCK;
    }
}

/* Taken out while it is tried: what it does may serve the queue again. */
static void
serve_queue (GQueue *queue)
{
  while (queue->length > 0)
    {
      CommyStreamOp *op = g_queue_pop_head (queue);

      if (!op_try (op))
        {
          g_queue_push_head (queue, op);
          return;
        }
      op_done (op);
    }
}

void
commy_stream_serve (CommyStream *self)
{
  g_object_ref (self);
  serve_queue (&self->writes);
  if (self->writes.length == 0 && self->closed_write)
    commy_pipe_end_write (self->pipe);
  serve_queue (&self->reads);
  serve_queue (&self->waits);
  if (self->writes.length == 0 && self->written != NULL)
    {
      CommyWorkFunc written = self->written;

      self->written = NULL;
      written (self->written_data);
    }
  g_object_unref (self);
}

/* --- beginning --- */

static void
op_cancelled (gpointer data)
{
  CommyStreamOp *op = data;

  if (op->queue != NULL && g_queue_remove (op->queue, op))
    {
      commy_set_error (&op->error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
      op_done (op);
      commy_stream_serve (op->stream); /* the end, or the answer, may have waited for it */
    }
  op_unref (op);
}

static void
on_cancel_post (GCancellable *cancellable, CommyStreamOp *op)
{
  g_atomic_ref_count_inc (&op->refs);
  commy_worker_post (commy_channel_get_worker (op->stream->pipe->channel), op_cancelled, op);
}

static gboolean
may_begin (CommyStream *self, OpKind kind, GError **error)
{
  if (!commy_stream_check (self, error))
    return FALSE;
  if (kind == OP_WRITE && self->closed_write)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "commy_stream_close_write() has ended the writing to %s", self->method);
      return FALSE;
    }
  if (commy_worker_is_attached (commy_channel_get_worker (self->pipe->channel)))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "this thread has no main context of its own: push one as thread default, or "
                   "use the synchronous calls");
  return FALSE;
}

/* @value, @bytes: (transfer none) (nullable): of a write. */
static void
begin (CommyStream *self, OpKind kind, GQueue *queue, GVariant *value, GBytes *bytes, GTask *task)
{
  CommyWorker *worker = commy_channel_get_worker (self->pipe->channel);
  GCancellable *cancellable = g_task_get_cancellable (task);
  GError *error = NULL;
  CommyStreamOp *op;

  g_task_set_check_cancellable (task, FALSE);
  if (!may_begin (self, kind, &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  op = g_new0 (CommyStreamOp, 1);
  g_atomic_ref_count_init (&op->refs);
  op->kind = kind;
  op->stream = g_object_ref (self);
  op->task = task;
  op->began = commy_worker_get_iteration (worker);
  op->queue = queue;
  op->value = value != NULL ? g_variant_ref (value) : NULL;
  op->bytes = bytes != NULL ? g_bytes_ref (bytes) : NULL;
  if (cancellable != NULL)
    op->cancel_handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancel_post), op, NULL);
  commy_worker_enter (worker);
  g_queue_push_tail (queue, op);
  commy_stream_serve (self);
  commy_worker_exit (worker);
}

void
commy_stream_write (CommyStream *self,
                    GVariant *message,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  g_autoptr (GVariant) sunk = NULL;

  g_return_if_fail (COMMY_IS_STREAM (self));
  g_return_if_fail (message != NULL);
  sunk = g_variant_ref_sink (message);
  begin (self, OP_WRITE, &self->writes, sunk, NULL,
         g_task_new (self, cancellable, callback, user_data));
}

gboolean
commy_stream_write_finish (CommyStream *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

void
commy_stream_write_bytes (CommyStream *self,
                          GBytes *bytes,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_return_if_fail (COMMY_IS_STREAM (self));
  g_return_if_fail (bytes != NULL);
  begin (self, OP_WRITE, &self->writes, NULL, bytes,
         g_task_new (self, cancellable, callback, user_data));
}

gboolean
commy_stream_write_bytes_finish (CommyStream *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

void
commy_stream_read (CommyStream *self,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer user_data)
{
  g_return_if_fail (COMMY_IS_STREAM (self));
  begin (self, OP_READ, &self->reads, NULL, NULL,
         g_task_new (self, cancellable, callback, user_data));
}

GVariant *
commy_stream_read_finish (CommyStream *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
commy_stream_read_bytes (CommyStream *self,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_return_if_fail (COMMY_IS_STREAM (self));
  begin (self, OP_READ_BYTES, &self->reads, NULL, NULL,
         g_task_new (self, cancellable, callback, user_data));
}

GBytes *
commy_stream_read_bytes_finish (CommyStream *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
commy_stream_wait_result (CommyStream *self,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_return_if_fail (COMMY_IS_STREAM (self));
  begin (self, OP_RESULT, &self->waits, NULL, NULL,
         g_task_new (self, cancellable, callback, user_data));
}

GVariant *
commy_stream_wait_result_finish (CommyStream *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
