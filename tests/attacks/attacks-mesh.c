/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attacks by another user on a whole node: arguments that change after they were delivered, and a
 * flood of connections while somebody else calls.
 */
#include "config.h"

#include "attack.h"
#include "channel/commy-hello.h"
#include "tests/mesh/mesh-fixture.h"
#include "wire/commy-frame.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL_ARE_GUESTS                                        \
  "[selection]\npreference=pin\ntransports=shm\n"             \
  "[policy guests]\nprincipals=unix:uid=54321;unix:uid=54322" \
  "\nservices=" TEST_SERVICE "\neffect=allow\n"

/* --- the node --- */

typedef struct
{
  MeshFixture fixture;
  CommyMesh *mesh;
  CommyService *service;
  char *door;
} Node;

/* The one door below the runtime directory, opened to all. */
static char *
open_door (MeshFixture *fixture)
{
  g_autofree char *above = g_build_filename (fixture->dir, "run", NULL);
  g_autofree char *run = g_build_filename (above, "test", NULL);
  g_autoptr (GDir) dir = g_dir_open (run, 0, NULL);
  const char *name;
  char *door = NULL;

  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, "shm-") && g_str_has_suffix (name, ".sock"))
      door = g_build_filename (run, name, NULL);
  g_assert_nonnull (door);
  g_assert_cmpint (g_chmod (fixture->dir, 0711), ==, 0);
  g_assert_cmpint (g_chmod (above, 0711), ==, 0);
  g_assert_cmpint (g_chmod (run, 0711), ==, 0);
  g_assert_cmpint (g_chmod (door, 0666), ==, 0);
  return door;
}

static void
node_start (Node *node, const char *settings, CommySpanFunc look, gpointer data)
{
  g_autoptr (GError) error = NULL;

  *node = (Node){ 0 };
  mesh_fixture_set_up (&node->fixture, NULL);
  node->mesh = mesh_fixture_join (&node->fixture, settings);
  node->service = test_service_new (node->mesh, 1);
  if (look != NULL)
    commy_service_handle_span (node->service, "Look", look, data, NULL);
  commy_service_start_sync (node->service, NULL, &error);
  g_assert_no_error (error);
  node->door = open_door (&node->fixture);
}

static void
node_stop (Node *node)
{
  g_clear_object (&node->service);
  commy_mesh_leave_sync (node->mesh, NULL, NULL);
  g_clear_object (&node->mesh);
  g_free (node->door);
  mesh_fixture_tear_down (&node->fixture, NULL);
}

static void
tell_door (const Hostile *hostile, const char *door)
{
  gsize size = strlen (door) + 1;

  g_assert_cmpint (send (hostile->control, door, size, MSG_NOSIGNAL), ==, (gssize) size);
}

static char *
hear_door (int control)
{
  GString *door = g_string_new (NULL);
  char letter;

  while ((letter = hostile_hear (control)) != '\0')
    g_string_append_c (door, letter);
  return g_string_free (door, FALSE);
}

/* --- a caller of another user, frame by frame --- */

typedef struct
{
  char *directory;
  ShmTestHost *host;
  gpointer connection;
  guint32 stream;
  guint16 raw; /* what stands for "raw" in frames: its place in the WELCOME */
} Caller;

static guint8 *
send_frame (Caller *self, const CommyFrameSpec *spec, gconstpointer payload, gsize size)
{
  const CommyTransportOps *ops = self->host->ops;
  gsize prefix = commy_frame_prefix_size (spec);
  CommySpan span;
  CommyIo io;

  while ((io = ops->reserve (self->connection, prefix + size, &span)) == COMMY_IO_WOULD_BLOCK)
    shm_test_sleep (self->host, self->connection, COMMY_INTEREST_WRITE);
  g_assert_cmpint (io, ==, COMMY_IO_OK);
  commy_frame_write (span.data, spec, size);
  if (size > 0)
    memcpy (span.data + prefix, payload, size);
  ops->commit (self->connection, prefix + size);
  ops->flush (self->connection);
  return span.data + prefix;
}

static void
find_raw (Caller *self, const guint8 *payload, gsize size)
{
  CommyHello hello;

  g_assert_true (commy_hello_read (payload, size, &hello, NULL));
  for (guint16 i = 0; hello.serializers[i] != NULL; i++)
    if (strcmp (hello.serializers[i], "raw") == 0)
      self->raw = i + 1;
  commy_hello_clear (&hello);
}

/* The type of the next frame; 0 if the path ended. */
static guint8
receive_frame (Caller *self, guint32 *out_stream)
{
  CommyMessage message;
  CommyFrame frame;

  if (!shm_test_receive (self->host, self->connection, &message))
    return 0;
  g_assert_cmpint (commy_frame_parse (message.data, message.size, 1 << 20, &frame), ==,
                   COMMY_FRAME_OK);
  if (frame.type == COMMY_FRAME_WELCOME)
    find_raw (self, (const guint8 *) message.data + frame.payload_offset, frame.payload_size);
  self->host->ops->release (self->connection, &message);
  *out_stream = frame.stream;
  return frame.type;
}

/* Connects, greets, and announces @method as the first. FALSE: it was not let in. */
static gboolean
caller_enter (Caller *self, const char *door, const char *method)
{
  char *serializers[] = { (char *) "gvariant", (char *) "raw", NULL };
  CommyHello hello = { .mesh = (char *) "test",
                       .node = (char *) "0123456789abcdef0123456789abcdef",
                       .service = (char *) TEST_SERVICE,
                       .instance = (char *) "",
                       .library = (char *) "stranger",
                       .serializers = serializers,
                       .min_version = COMMY_FRAME_VERSION,
                       .max_version = COMMY_FRAME_VERSION,
                       .cpu = -1 };
  const CommyFrameSpec greeting = { .type = COMMY_FRAME_HELLO };
  const CommyFrameSpec announcement = { .type = COMMY_FRAME_METHOD, .method = 1 };
  g_autoptr (GBytes) bytes = commy_hello_write (&hello);
  guint32 stream;

  self->connection = shm_test_host_connect (self->host, door, NULL);
  if (self->connection == NULL)
    return FALSE;
  send_frame (self, &greeting, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  if (receive_frame (self, &stream) != COMMY_FRAME_WELCOME)
    return FALSE;
  send_frame (self, &announcement, method, strlen (method));
  return TRUE;
}

static void
caller_leave (Caller *self)
{
  if (self->connection != NULL)
    shm_test_host_close (self->host, self->connection);
  self->connection = NULL;
}

static guint8 *
send_call (Caller *self, gconstpointer payload, gsize size)
{
  const CommyFrameSpec call = {
    .type = COMMY_FRAME_CALL, .serializer = self->raw, .method = 1, .stream = ++self->stream
  };

  return send_frame (self, &call, payload, size);
}

static gboolean
await_reply (Caller *self)
{
  guint32 stream = 0;
  guint8 type;

  do
    type = receive_frame (self, &stream);
  while (type == COMMY_FRAME_ACK);
  return type == COMMY_FRAME_REPLY && stream == self->stream;
}

static void
caller_init (Caller *self, uid_t user)
{
  *self = (Caller){ .directory = shm_test_directory_new () };
  self->host = shm_test_host_new (self->directory, NULL);
  shm_test_directory_free (self->directory); /* nothing is put up there */
  hostile_become (user);
}

/* --- 9: an argument that changes while its handler looks at it --- */

#define ARGUMENT 65536u

static void
play_later_changes (int control, gconstpointer data)
{
  g_autofree guint8 *argument = g_malloc (ARGUMENT);
  g_autofree char *door = NULL;
  Caller caller;
  guint8 *still_ours;

  memset (argument, 'a', ARGUMENT);
  caller_init (&caller, HOSTILE_USER);
  door = hear_door (control);
  g_assert_true (caller_enter (&caller, door, "Look"));
  still_ours = send_call (&caller, argument, ARGUMENT);
  hostile_hear (control);
  memset (still_ours, 'b', ARGUMENT);
  hostile_say (control, 's');
  pause ();
}

typedef struct
{
  int control;
  GAsyncQueue *ends;
} Look;

static void
on_look (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  Look *look = data;
  gboolean same = size == ARGUMENT && in[0] == 'a' && in[size - 1] == 'a';

  hostile_say (look->control, 'n');
  hostile_hear (look->control);
  for (gsize i = 0; i < size; i++)
    same = same && ((volatile const guint8 *) in)[i] == 'a';
  g_async_queue_push (look->ends, GINT_TO_POINTER (same ? ATTACK_REPELLED + 1 : ATTACK_WRONG + 1));
}

AttackEnd
attack_later_changes (void)
{
  Hostile hostile;
  Node node;
  Look look;
  int end;

  if (geteuid () != 0)
    return attack_not_here ("only root can act as another user");
  hostile = hostile_start (play_later_changes, NULL);
  look = (Look){ .control = hostile.control, .ends = g_async_queue_new () };
  node_start (&node, ALL_ARE_GUESTS, on_look, &look);
  tell_door (&hostile, node.door);
  end = GPOINTER_TO_INT (g_async_queue_pop (look.ends)) - 1;
  node_stop (&node);
  hostile_end (&hostile);
  g_async_queue_unref (look.ends);
  return (AttackEnd) end;
}

/* --- 16: everything that can be had, and somebody else --- */

#define SEATS 16
#define TRIES 64
#define CALLS 500u
#define ENTRIES 20u
#define ENTER_TRIES 200u

static const char flood_settings[]
    = ALL_ARE_GUESTS "[limits]\nhandshakes=16\nchannels=16\nhandshake-timeout=1h\n";

/* Begins set-ups and does not go on. How many were let in. */
static guint
begin_set_ups (const char *door, int *fds)
{
  guint n = 0;

  for (guint i = 0; i < TRIES; i++)
    {
      HostileHello hello;

      fds[i] = hostile_knock (door);
      n += recv (fds[i], &hello, sizeof hello, 0) == sizeof hello;
    }
  return n;
}

/* Goes all the way, again and again. */
static guint
open_channels (Caller *callers, const char *door)
{
  guint n = 0;

  for (guint i = 0; i < TRIES; i++)
    {
      callers[i] = callers[0];
      n += caller_enter (&callers[i], door, "Span");
    }
  return n;
}

static void
play_flood (int control, gconstpointer data)
{
  Caller callers[TRIES];
  int fds[TRIES];
  g_autofree char *door = NULL;

  caller_init (&callers[0], HOSTILE_USER);
  door = hear_door (control);
  hostile_say (control, (char) begin_set_ups (door, fds));
  hostile_hear (control);
  for (guint i = 0; i < TRIES; i++)
    close (fds[i]);
  hostile_say (control, (char) open_channels (callers, door));
  pause ();
}

static gboolean
call_often (Caller *caller)
{
  for (guint i = 0; i < CALLS; i++)
    {
      send_call (caller, "hello", 5);
      if (!await_reply (caller))
        return FALSE;
    }
  return TRUE;
}

/* Calls on the connection it has, then on new ones. */
/* The node may not have heard yet that this user's last connection ended; the flood's never do. */
static gboolean
caller_enters_at_last (Caller *self, const char *door)
{
  for (guint i = 0; i < ENTER_TRIES; i++)
    {
      if (caller_enter (self, door, "Span"))
        return TRUE;
      caller_leave (self);
      g_usleep (10000);
    }
  return FALSE;
}

static void
play_bystander (int control, gconstpointer data)
{
  g_autofree char *door = NULL;
  Caller caller;

  caller_init (&caller, BYSTANDER_USER);
  door = hear_door (control);
  g_assert_true (caller_enter (&caller, door, "Span") && call_often (&caller));
  for (;;)
    {
      gboolean served;
      guint entries = 0;

      hostile_say (control, 's');
      hostile_hear (control);
      served = call_often (&caller);
      while (served && entries < ENTRIES)
        {
          caller_leave (&caller);
          served = caller_enters_at_last (&caller, door);
          entries++;
        }
      hostile_say (control, served && call_often (&caller) ? 'y' : 'n');
    }
}

/* Whether the bystander is served while the flood holds all it can. */
static gboolean
is_served (const Hostile *flood, const Hostile *bystander, const char *what)
{
  guint held = (guint) hostile_hear (flood->control);
  gboolean served;

  hostile_say (bystander->control, 'n');
  served = hostile_hear (bystander->control) == 'y';
  g_print ("# the flood holds %u %s, the bystander is %s\n", held, what,
           served ? "served" : "turned away");
  return served;
}

AttackEnd
attack_flood (void)
{
  Hostile flood;
  Hostile bystander;
  Node node;
  gboolean served;

  if (geteuid () != 0)
    return attack_not_here ("only root can act as another user");
  flood = hostile_start (play_flood, NULL);
  bystander = hostile_start (play_bystander, NULL);
  node_start (&node, flood_settings, NULL, NULL);
  tell_door (&bystander, node.door);
  hostile_hear (bystander.control);
  tell_door (&flood, node.door);
  served = is_served (&flood, &bystander, "set-ups");
  if (served)
    {
      hostile_hear (bystander.control);
      hostile_say (flood.control, 'n');
      served = is_served (&flood, &bystander, "channels");
    }
  hostile_end (&flood);
  hostile_end (&bystander);
  node_stop (&node);
  return served ? ATTACK_REPELLED : ATTACK_DENIED;
}
