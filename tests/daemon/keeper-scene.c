/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scene of a keeper: see the header.
 */
#include "config.h"

#include "keeper-scene.h"

#include "daemon/commyd-value.h"

#include "../conformance/commy-test-host.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AN_HOUR_MS 3600000u

typedef struct
{
  CommyStoreDoneFunc done;
  gpointer data;
  gboolean is_range;
} Asked;

/* --- the store --- */

static void
answer (KeeperScene *self, const Asked *asked)
{
  const CommyStoreEntry entry
      = { .key = "key", .create_revision = 1, .mod_revision = 1, .value = self->value };
  const CommyStoreResult result = { .struct_size = sizeof result,
                                    .succeeded = TRUE,
                                    .revision = 1,
                                    .entries = &entry,
                                    .n_entries = asked->is_range && self->value != NULL ? 1 : 0 };

  asked->done (asked->data, &result, NULL);
}

static void
ask (KeeperScene *self, const Asked *asked)
{
  if (self->holds)
    g_queue_push_tail (&self->asked, g_memdup2 (asked, sizeof *asked));
  else
    answer (self, asked);
}

static void
on_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer data)
{
  ask (instance, &(Asked){ done, data, TRUE });
}

static void
on_txn (gpointer instance,
        const CommyStoreCompare *compares,
        gsize n_compares,
        const CommyStoreOp *ops,
        gsize n_ops,
        CommyStoreDoneFunc done,
        gpointer data)
{
  KeeperScene *self = instance;

  self->n_written += (guint) n_ops;
  ask (self, &(Asked){ done, data, FALSE });
}

static guint
on_watch (gpointer instance,
          const char *prefix,
          gint64 from,
          CommyStoreWatchEventFunc event,
          gpointer data)
{
  KeeperScene *self = instance;

  self->on_event = event;
  self->watcher = data;
  return 1;
}

static void
on_unwatch (gpointer instance, guint watch)
{
  ((KeeperScene *) instance)->on_event = NULL;
}

static const CommyStoreOps ops = { .struct_size = sizeof ops,
                                   .range = on_range,
                                   .txn = on_txn,
                                   .watch = on_watch,
                                   .unwatch = on_unwatch };

void
keeper_scene_answer_all (KeeperScene *self)
{
  Asked *asked;

  while ((asked = g_queue_pop_head (&self->asked)) != NULL)
    {
      answer (self, asked);
      g_free (asked);
    }
}

static GBytes *
stamp (GBytes *value)
{
  const CommydStamp stamp = { .uid = USER_B };

  return commyd_value_wrap (value, &stamp);
}

void
keeper_scene_change (KeeperScene *self, GBytes *value)
{
  g_autoptr (GBytes) stored = stamp (value);
  const CommyStoreEntry entry = { .key = "key", .mod_revision = 2, .value = stored };

  if (self->on_event != NULL)
    self->on_event (self->watcher, &entry, 1, 2, NULL);
}

/* --- life --- */

static gboolean
on_spawn (CommydServer *server, GPid *out_pid, int *out_fd, GError **error)
{
  KeeperScene *self = server->store;
  int fds[2];

  g_assert_cmpuint (self->n_doors, <, MOST_DOORS);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==,
                   0);
  self->ends[self->n_doors] = fds[0];
  self->doors[self->n_doors++] = fds[1];
  *out_fd = fds[0];
  *out_pid = 0;
  return TRUE;
}

KeeperScene *
keeper_scene_new (const char *keyfile)
{
  KeeperScene *self = g_new0 (KeeperScene, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autoptr (CommyConfig) config = NULL;

  self->dir = g_dir_make_tmp ("keeper-XXXXXX", &error);
  g_assert_no_error (error);
  text = g_strdup_printf ("[audit]\nenabled=true\ndirectory=%s\n%s", self->dir, keyfile);
  config = commy_config_load_text (text, strlen (text), "test", &error);
  g_assert_no_error (error);
  g_queue_init (&self->asked);
  self->clients = g_array_new (FALSE, FALSE, sizeof (int));
  commyd_audit_start (config, "test", self->dir, &self->audit, &error);
  g_assert_no_error (error);
  self->server = commyd_server_new (&ops, self, "test", "test", self->audit, config, &error);
  g_assert_no_error (error);
  self->server->spawn = on_spawn;
  self->server->stall_ms = AN_HOUR_MS; /* however slow the host is: who is about it says less */
  return self;
}

void
keeper_scene_free (KeeperScene *self)
{
  keeper_scene_answer_all (self);
  g_clear_pointer (&self->server, commyd_server_free);
  for (guint i = 0; i < self->n_doors; i++)
    close (self->doors[i]);
  for (guint i = 0; i < self->clients->len; i++)
    close (g_array_index (self->clients, int, i));
  g_array_unref (self->clients);
  g_clear_pointer (&self->value, g_bytes_unref);
  commy_test_remove_tree (self->dir);
  g_free (self->dir);
  g_free (self);
}

gboolean
keeper_scene_connect (KeeperScene *self, guint32 uid)
{
  const CommydPeer peer = { .uid = uid, .pid = 1, .pidfd = -1 };
  gboolean is_in;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
  g_array_append_val (self->clients, fds[0]);
  is_in = commyd_server_admit (self->server, fds[1], &peer, NULL);
  keeper_scene_run (self);
  if (is_in && !self->takes_late)
    keeper_scene_take (self, uid, self->server->last_connection);
  return is_in;
}

CommydUser *
keeper_scene_find (KeeperScene *self, guint32 uid)
{
  return g_hash_table_lookup (self->server->users, GUINT_TO_POINTER (uid));
}

void
keeper_scene_take (KeeperScene *self, guint32 uid, guint64 connection)
{
  const CommydInnerHead opened = { .type = COMMYD_INNER_OPENED, .connection = connection };
  const CommydUser *user = keeper_scene_find (self, uid);

  for (guint i = self->n_doors; i > 0 && user->link.fd >= 0; i--)
    if (self->ends[i - 1] == user->link.fd)
      {
        door_say (self->doors[i - 1], &opened, NULL);
        break;
      }
  keeper_scene_run (self);
}

void
keeper_scene_run (KeeperScene *self)
{
  while (g_main_context_iteration (NULL, FALSE))
    continue;
}

guint
keeper_scene_count (KeeperScene *self, guint32 uid)
{
  CommydUser *user = keeper_scene_find (self, uid);

  return user != NULL ? g_hash_table_size (user->sessions) : 0;
}

/* --- doors --- */

static void
say (int door, GBytes *record)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (record, &size);

  g_assert_cmpint (send (door, data, size, MSG_NOSIGNAL), ==, (ssize_t) size);
  g_bytes_unref (record);
}

void
door_say (int door, const CommydInnerHead *head, const char *key)
{
  say (door, commyd_inner_write (head, key, NULL, 0));
}

void
door_say_piece (int door, const CommydInnerHead *head, gsize size)
{
  g_autofree guint8 *piece = g_malloc0 (size);

  say (door, commyd_inner_write (head, NULL, piece, size));
}

gboolean
door_hear (int door, CommydInnerHead *out_head, GByteArray *out_bytes)
{
  g_autofree guint8 *data = g_malloc (COMMYD_INNER_MAX + 1);
  CommydInner record;
  ssize_t n = recv (door, data, COMMYD_INNER_MAX + 1, MSG_DONTWAIT);

  if (n <= 0)
    return FALSE;
  g_assert_cmpstr (commyd_inner_read (data, (gsize) n, &record), ==, NULL);
  *out_head = record.head;
  if (out_bytes != NULL)
    g_byte_array_append (out_bytes, record.piece, record.head.piece_size);
  return TRUE;
}

gboolean
door_ask (KeeperScene *scene, int door, const CommydInnerHead *head, const char *key)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  CommydInnerHead heard = { 0 };
  StoreWireHeader header;

  door_say (door, head, key);
  keeper_scene_run (scene);
  while (heard.type != COMMYD_INNER_ANSWER || heard.connection != head->connection)
    if (!door_hear (door, &heard, bytes))
      g_error ("it is not answered");
  g_assert_cmpuint (heard.id, ==, head->id);
  g_assert_true (store_wire_read_header (bytes->data, STORE_WIRE_MAX, &header, NULL));
  g_assert_cmpuint (header.id, ==, head->id);
  return header.type != STORE_WIRE_ERROR;
}

CommydInnerHead
door_head (CommydInnerType type, guint64 connection, guint64 id)
{
  return (CommydInnerHead){ .type = type, .connection = connection, .id = id };
}

/* --- two users --- */

KeeperScene *
keeper_scene_two (const char *keyfile)
{
  KeeperScene *scene = keeper_scene_new (keyfile);

  g_assert_true (keeper_scene_connect (scene, USER_A));
  g_assert_true (keeper_scene_connect (scene, USER_B));
  g_assert_cmpuint (scene->n_doors, ==, 2);
  return scene;
}

gboolean
door_serves (KeeperScene *scene, guint door, guint64 connection)
{
  const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, connection, 77);

  return door_ask (scene, scene->doors[door], &range, "");
}

gint64
door_grant (KeeperScene *scene, guint door, guint64 connection)
{
  const CommydInnerHead ask = door_head (COMMYD_INNER_GRANT, connection, 5);
  CommydSession *session;
  GHashTableIter iter;
  gpointer lease;
  CommydUser *user
      = g_hash_table_lookup (scene->server->users, GUINT_TO_POINTER (door == A ? USER_A : USER_B));

  g_assert_true (door_ask (scene, scene->doors[door], &ask, NULL));
  session = g_hash_table_lookup (user->sessions, &connection);
  g_hash_table_iter_init (&iter, session->leases);
  g_assert_true (g_hash_table_iter_next (&iter, &lease, NULL));
  return *(const gint64 *) lease;
}

gboolean
door_put (KeeperScene *scene, guint door, guint64 connection, const char *key, gint64 lease)
{
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, connection, 6);
  const CommydInnerHead commit = door_head (COMMYD_INNER_COMMIT, connection, 6);
  CommydInnerHead part = door_head (COMMYD_INNER_PUT, connection, 6);

  part.number = lease;
  door_say (scene->doors[door], &begin, NULL);
  door_say (scene->doors[door], &part, key);
  return door_ask (scene, scene->doors[door], &commit, NULL);
}
