/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The peer that need not behave.
 */
#include "config.h"

#include "fake-client.h"

#include "base/commy-env.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US (10 * G_USEC_PER_SEC)
#define FRAME_MAX_BYTES (64u << 20)

struct _FakeClient
{
  GMainContext *context;
  CommyTestHost *host;
  const CommyTransportOps *ops;
  gpointer instance;
  gpointer connection;
  gboolean answered;
  GError *error;
  guint32 sequence;
  char **serializers; /* of the WELCOME, or NULL */
};

FakeClient *
fake_client_new (const char *transport, const char *credentials_dir)
{
  FakeClient *self = g_new0 (FakeClient, 1);
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("transport", transport, &error);

  g_assert_no_error (error);
  self->context = g_main_context_new ();
  self->ops = descriptor->ops;
  self->host = commy_test_host_new (self->context, descriptor);
  commy_test_host_set_info (self->host, COMMY_HOST_HOST_ID, commy_env_host_id ());
  if (credentials_dir != NULL)
    commy_test_host_set_info (self->host, COMMY_HOST_CREDENTIALS_DIR, credentials_dir);
  self->instance = commy_test_host_start (self->host, &error);
  g_assert_no_error (error);
  return self;
}

void
fake_client_hang_up (FakeClient *self)
{
  if (self->connection == NULL)
    return;
  self->ops->close (self->connection);
  g_clear_pointer (&self->connection, free);
}

void
fake_client_free (FakeClient *self)
{
  fake_client_hang_up (self);
  commy_test_host_free (self->host);
  g_main_context_unref (self->context);
  g_clear_error (&self->error);
  g_strfreev (self->serializers);
  g_free (self);
}

static void
on_connected (gpointer data, gpointer connection, const GError *error)
{
  FakeClient *self = data;

  self->answered = TRUE;
  if (error != NULL)
    self->error = g_error_copy (error);
}

gboolean
fake_client_connect (FakeClient *self, const char *address, GError **error)
{
  CommyEndpoint endpoint
      = { .struct_size = sizeof endpoint, .address = address, .host_id = commy_env_host_id () };
  gsize size = (MAX (self->ops->connection_size, 1) + 63) & ~(gsize) 63;

  self->connection = aligned_alloc (64, size);
  memset (self->connection, 0, size);
  self->ops->connect (self->instance, self->connection, &endpoint, on_connected, self);
  commy_test_run_until (self->context, self->answered);
  if (self->error == NULL)
    return TRUE;
  g_clear_pointer (&self->connection, free);
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

/* Sleeps until there may be something; aborts when that takes too long. */
static void
await (FakeClient *self, guint interest, gint64 until_us)
{
  guint events = 0;

  while (g_main_context_iteration (self->context, FALSE))
    ;
  if (self->ops->arm (self->connection, interest, &events) == 0)
    {
      struct pollfd fd = { .fd = self->ops->fd (self->connection), .events = (short) events };

      poll (&fd, 1, 20);
    }
  g_assert_cmpint (g_get_monotonic_time (), <, until_us);
}

void
fake_client_send (FakeClient *self, gconstpointer data, gsize size)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;
  CommySpan span;
  CommyIo io;

  while ((io = self->ops->reserve (self->connection, MAX (size, 1), &span)) == COMMY_IO_WOULD_BLOCK)
    await (self, COMMY_INTEREST_WRITE, until);
  if (io == COMMY_IO_CLOSED)
    return; /* the other side was quicker: what it said is still there to be read */
  g_assert_cmpint (io, ==, COMMY_IO_OK);
  memcpy (span.data, data, size);
  self->ops->commit (self->connection, size);
  while (self->ops->flush (self->connection) == COMMY_IO_WOULD_BLOCK)
    await (self, COMMY_INTEREST_WRITE, until);
}

void
fake_client_lend (FakeClient *self, gconstpointer head, gsize head_size, gsize size)
{
  gpointer pool = self->ops->pool_new (self->instance, 1 << 20);
  CommyBlock block;

  g_assert_cmpint (self->ops->pool_take (pool, size, &block), ==, COMMY_IO_OK);
  memset (block.data, 0, size);
  g_assert_cmpint (self->ops->lend (self->connection, head, head_size, &block, size), ==,
                   COMMY_IO_OK);
  self->ops->flush (self->connection);
  self->ops->pool_give (&block);
  self->ops->pool_free (pool);
}

void
fake_client_send_frame (FakeClient *self,
                        const CommyFrameSpec *spec,
                        gconstpointer payload,
                        gsize size)
{
  gsize prefix = commy_frame_prefix_size (spec);
  g_autofree guint8 *frame = g_malloc (prefix + size);

  g_assert_cmpuint (commy_frame_write (frame, spec, size), ==, prefix);
  if (size > 0)
    memcpy (frame + prefix, payload, size);
  fake_client_send (self, frame, prefix + size);
}

void
fake_client_greet (FakeClient *self, CommyHello *hello)
{
  char *serializers[] = { (char *) "gvariant", (char *) "raw", NULL };
  CommyFrameSpec spec = { .type = COMMY_FRAME_HELLO };
  g_autoptr (GBytes) payload = NULL;
  gconstpointer data;
  gsize size;

  hello->mesh = hello->mesh != NULL ? hello->mesh : (char *) "test";
  hello->node = hello->node != NULL ? hello->node : (char *) "0123456789abcdef0123456789abcdef";
  hello->library = hello->library != NULL ? hello->library : (char *) "fake";
  hello->serializers = serializers;
  if (hello->max_version == 0)
    hello->min_version = hello->max_version = COMMY_FRAME_VERSION;
  hello->cpu = -1;
  payload = commy_hello_write (hello);
  data = g_bytes_get_data (payload, &size);
  fake_client_send_frame (self, &spec, data, size);
}

/* Frames name them by their place in the list of who welcomes. */
static void
learn_serializers (FakeClient *self, GBytes *welcome)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (welcome, &size);
  CommyHello hello;

  if (!commy_hello_read (data, size, &hello, NULL))
    return;
  g_strfreev (self->serializers);
  self->serializers = g_steal_pointer (&hello.serializers);
  commy_hello_clear (&hello);
}

gboolean
fake_client_receive_bytes (FakeClient *self, CommyFrame *out_frame, GBytes **out_payload)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;
  CommyMessage message;
  CommyIo io;

  *out_payload = NULL;
  while ((io = self->ops->peek (self->connection, &message)) == COMMY_IO_WOULD_BLOCK)
    await (self, COMMY_INTEREST_READ, until);
  if (io != COMMY_IO_OK)
    return FALSE;
  g_assert_cmpint (commy_frame_parse (message.data, message.size, FRAME_MAX_BYTES, out_frame), ==,
                   COMMY_FRAME_OK);
  *out_payload = g_bytes_new (message.data + out_frame->payload_offset, out_frame->payload_size);
  self->ops->release (self->connection, &message);
  if (out_frame->type == COMMY_FRAME_WELCOME)
    learn_serializers (self, *out_payload);
  return TRUE;
}

guint16
fake_client_wire_of (FakeClient *self, const char *serializer)
{
  for (guint16 i = 0; self->serializers != NULL && self->serializers[i] != NULL; i++)
    if (strcmp (self->serializers[i], serializer) == 0)
      return i + 1;
  g_assert_not_reached ();
}

gboolean
fake_client_receive (FakeClient *self, CommyFrame *out_frame, char **out_text)
{
  g_autoptr (GBytes) payload = NULL;
  gconstpointer data;
  gsize size;

  *out_text = NULL;
  if (!fake_client_receive_bytes (self, out_frame, &payload))
    return FALSE;
  data = g_bytes_get_data (payload, &size);
  *out_text = g_strndup (data, size);
  return TRUE;
}

void
fake_client_expect_close (FakeClient *self, guint32 code, const char *words)
{
  g_autofree char *text = NULL;
  g_autofree char *rest = NULL;
  CommyFrame frame;

  do
    {
      g_clear_pointer (&text, g_free);
      g_assert_true (fake_client_receive (self, &frame, &text));
    }
  while (frame.type == COMMY_FRAME_ACK);
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_CLOSE);
  g_test_message ("closed with %u: %s", frame.method, text);
  g_assert_cmpuint (frame.method, ==, code);
  g_assert_nonnull (strstr (text, words));
  g_assert_false (fake_client_receive (self, &frame, &rest));
}
