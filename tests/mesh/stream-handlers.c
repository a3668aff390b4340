/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handlers. Their state belongs to the service's only thread.
 */
#include "config.h"

#include "stream-handlers.h"

typedef struct
{
  gatomicrefcount refs;
  GPtrArray *held;        /* CommyInvocation (ref) */
  CommyInvocation *asker; /* of "Fate" */
  GArray *fates;          /* gint32 */
  gboolean inside;        /* Gate waits */
} State;

static void
state_unref (gpointer data)
{
  State *state = data;

  if (!g_atomic_ref_count_dec (&state->refs))
    return;
  g_ptr_array_unref (state->held);
  g_array_unref (state->fates);
  g_free (state);
}

static State *
state_ref (State *state)
{
  g_atomic_ref_count_inc (&state->refs);
  return state;
}

static void
tell_fate (State *state, gint32 code)
{
  CommyInvocation *asker = g_steal_pointer (&state->asker);

  if (asker != NULL)
    commy_invocation_return_value (asker, g_variant_new ("(i)", code));
  else
    g_array_append_val (state->fates, code);
}

static void
on_fate (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  State *state = data;

  if (state->fates->len == 0)
    {
      state->asker = invocation;
      return;
    }
  commy_invocation_return_value (invocation,
                                 g_variant_new ("(i)", g_array_index (state->fates, gint32, 0)));
  g_array_remove_index (state->fates, 0);
}

/* --- that wait --- */

static void
on_sum (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  gint64 sum = 0;

  for (;;)
    {
      g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, &error);

      if (value == NULL)
        break;
      sum += g_variant_get_int32 (value);
    }
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(x)", sum));
}

static void
on_numbers (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  guint32 n;

  g_variant_get (commy_invocation_get_parameters (invocation), "(u)", &n);
  for (guint32 i = 0; i < n && error == NULL; i++)
    commy_stream_write_sync (stream, g_variant_new_uint32 (i), NULL, &error);
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(u)", n));
}

static void
on_blocks (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  static const guint8 zeros[1024];
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GBytes) block = g_bytes_new_static (zeros, sizeof zeros);
  g_autoptr (GError) error = NULL;
  guint32 n;

  g_variant_get (commy_invocation_get_parameters (invocation), "(u)", &n);
  for (guint32 i = 0; i < n && error == NULL; i++)
    commy_stream_write_bytes_sync (stream, block, NULL, &error);
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(u)", n));
}

static gboolean
mirror_one (CommyStream *stream, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) cause = NULL;

  value = commy_stream_read_sync (stream, NULL, &cause);
  if (value != NULL)
    return commy_stream_write_sync (stream, value, NULL, error);
  if (g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_TYPE))
    {
      bytes = commy_stream_read_bytes_sync (stream, NULL, error);
      return bytes != NULL && commy_stream_write_bytes_sync (stream, bytes, NULL, error);
    }
  if (cause != NULL)
    g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

static void
on_mirror (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  guint32 n = 0;

  while (mirror_one (stream, &error))
    n++;
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(u)", n));
}

static void
on_gate (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  State *state = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  state->inside = TRUE;
  value = commy_stream_read_sync (commy_invocation_get_stream (invocation), NULL, &error);
  state->inside = FALSE;
  commy_invocation_return_value (invocation, NULL);
}

static void
on_inside (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(b)", ((State *) data)->inside));
}

/* --- that work in the main context --- */

typedef struct
{
  CommyInvocation *invocation; /* its handler's reference */
  CommyStream *stream;         /* reference: the answer may be its last use */
  State *state;
  gboolean back; /* write what was read */
  guint32 n;
} Relay;

static void relay_next (Relay *relay);

static void
relay_end (Relay *relay, const GError *error)
{
  tell_fate (relay->state, error != NULL ? error->code : 0);
  if (error != NULL)
    commy_invocation_return_gerror (relay->invocation, error);
  else
    commy_invocation_return_value (relay->invocation, g_variant_new ("(u)", relay->n));
  g_object_unref (relay->stream);
  state_unref (relay->state);
  g_free (relay);
}

static void
on_relay_written (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  if (commy_stream_write_finish (COMMY_STREAM (source), result, &error))
    relay_next (data);
  else
    relay_end (data, error);
}

static void
on_relay_read (GObject *source, GAsyncResult *result, gpointer data)
{
  Relay *relay = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_stream_read_finish (COMMY_STREAM (source), result, &error);

  if (value == NULL)
    {
      relay_end (relay, error);
      return;
    }
  relay->n++;
  if (relay->back)
    commy_stream_write (relay->stream, value, NULL, on_relay_written, relay);
  else
    relay_next (relay);
}

static void
on_relay_read_bytes (GObject *source, GAsyncResult *result, gpointer data)
{
  Relay *relay = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = commy_stream_read_bytes_finish (COMMY_STREAM (source), result, &error);

  if (bytes == NULL)
    {
      relay_end (relay, error);
      return;
    }
  relay->n++;
  relay_next (relay);
}

static void
relay_next (Relay *relay)
{
  if (relay->back)
    commy_stream_read (relay->stream, NULL, on_relay_read, relay);
  else
    commy_stream_read_bytes (relay->stream, NULL, on_relay_read_bytes, relay);
}

static void
relay_begin (CommyInvocation *invocation, State *state, gboolean back)
{
  Relay *relay = g_new0 (Relay, 1);

  relay->invocation = invocation;
  relay->stream = g_object_ref (commy_invocation_get_stream (invocation));
  relay->state = state_ref (state);
  relay->back = back;
  relay_next (relay);
}

static void
on_relay (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  relay_begin (invocation, data, TRUE);
}

static void
on_hold (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_ptr_array_add (((State *) data)->held, invocation);
}

static void
on_unread (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  State *state = data;
  guint32 n = 0;

  for (guint i = 0; i < state->held->len; i++)
    n += commy_stream_get_unread (commy_invocation_get_stream (state->held->pdata[i]));
  commy_invocation_return_value (invocation, g_variant_new ("(u)", n));
}

static void
on_go (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  State *state = data;

  while (state->held->len > 0)
    relay_begin (g_ptr_array_steal_index (state->held, 0), state, FALSE);
  commy_invocation_return_value (invocation, NULL);
}

/* --- that misbehave --- */

static void
write_three (CommyStream *stream)
{
  for (guint32 i = 1; i <= 3; i++)
    commy_stream_write (stream, g_variant_new_uint32 (i), NULL, NULL, NULL);
}

static void
on_three (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  write_three (commy_invocation_get_stream (invocation));
  relay_begin (invocation, data, FALSE);
}

static void
on_burst (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  write_three (commy_invocation_get_stream (invocation));
  commy_invocation_return_value (invocation, g_variant_new ("(u)", 3));
}

static void
on_enough (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GVariant) value = commy_stream_read_sync (stream, NULL, NULL);

  commy_stream_cancel (stream, "enough");
  commy_invocation_return_value (invocation, NULL); /* goes nowhere */
}

static void
on_fail (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GVariant) value
      = commy_stream_read_sync (commy_invocation_get_stream (invocation), NULL, NULL);

  commy_invocation_return_error (invocation, "as you wished");
}

static void
on_drop (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_object_unref (invocation);
}

/* What was held until the end is held by nobody else, but holds the service. */
static void
let_go (gpointer data, GObject *service)
{
  State *state = data;

  while (state->held->len > 0)
    g_object_unref (g_ptr_array_steal_index (state->held, 0));
  state_unref (state);
}

void
stream_handlers_add (CommyService *service)
{
  static const struct
  {
    const char *name;
    CommyStreamKind kind;
    CommyCallFunc func;
  } methods[] = {
    { "Sum", COMMY_STREAM_KIND_CLIENT, on_sum },
    { "Numbers", COMMY_STREAM_KIND_SERVER, on_numbers },
    { "Blocks", COMMY_STREAM_KIND_SERVER, on_blocks },
    { "Mirror", COMMY_STREAM_KIND_BOTH, on_mirror },
    { "Relay", COMMY_STREAM_KIND_BOTH, on_relay },
    { "Hold", COMMY_STREAM_KIND_BOTH, on_hold },
    { "Three", COMMY_STREAM_KIND_BOTH, on_three },
    { "Burst", COMMY_STREAM_KIND_SERVER, on_burst },
    { "Enough", COMMY_STREAM_KIND_BOTH, on_enough },
    { "Fails", COMMY_STREAM_KIND_BOTH, on_fail },
    { "Drop", COMMY_STREAM_KIND_BOTH, on_drop },
    { "Gate", COMMY_STREAM_KIND_BOTH, on_gate },
  };
  static const struct
  {
    const char *name;
    CommyCallFunc func;
  } calls[] = {
    { "Unread", on_unread },
    { "Go", on_go },
    { "Inside", on_inside },
    { "Fate", on_fate },
  };
  State *state = g_new0 (State, 1);

  g_atomic_ref_count_init (&state->refs);
  state->held = g_ptr_array_new ();
  g_object_weak_ref (G_OBJECT (service), let_go, state_ref (state));
  state->fates = g_array_new (FALSE, FALSE, sizeof (gint32));
  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    commy_service_handle_stream (service, methods[i].name, methods[i].kind, methods[i].func,
                                 state_ref (state), state_unref);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    commy_service_handle (service, calls[i].name, calls[i].func, state_ref (state), state_unref);
  for (guint i = 0; i < STREAM_HANDLERS_RELAYS; i++)
    {
      g_autofree char *name = g_strdup_printf ("Relay%u", i);

      commy_service_handle_stream (service, name, COMMY_STREAM_KIND_BOTH, on_relay,
                                   state_ref (state), state_unref);
    }
  state_unref (state);
}
