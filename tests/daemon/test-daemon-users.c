/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users of a host at commyd: each keeps to what is its own, and who did not is in the audit trail.
 */
#include "config.h"

#include "daemon-talk.h"

#include "../conformance/commy-store-conformance.h"
#include "../fixtures/test-child.h"

#include <commy/commy-audit.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER_A 54321
#define USER_B 54322

static void
set_up (TestDaemon **daemon, gconstpointer unused)
{
  *daemon = test_daemon_new ();
}

static void
tear_down (TestDaemon **daemon, gconstpointer unused)
{
  test_daemon_free (*daemon);
}

/* In a child of another user: a put's error code, 0 for none. */
static int
put_bytes_as (
    TestDaemon *daemon, uid_t uid, CommyStoreOpKind kind, const char *key, gsize value_size)
{
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (value_size), value_size);
  const CommyStoreOp op = { kind, key, kind == COMMY_STORE_PUT ? value : NULL, 0 };
  StoreStream stream;
  StoreWireHeader header;
  const guint8 *payload;
  int status = -1;
  pid_t pid = fork ();

  if (pid == 0)
    {
      int code = 0;

      if (setgroups (0, NULL) < 0 || setresgid (uid, uid, uid) < 0 || setresuid (uid, uid, uid) < 0)
        test_child_exit (250);
      greet (daemon, &stream);
      store_stream_send (&stream, store_wire_write_txn (1, NULL, 0, &op, 1), NULL);
      if (!await_frame (&stream, &header, &payload))
        test_child_exit (251);
      if (header.type == STORE_WIRE_ERROR)
        {
          g_autoptr (GError) error = store_wire_read_error (payload, header.size);

          g_test_message ("%s", error->message);
          code = error->code == COMMY_ERROR_DENIED ? 1 : error->code == COMMY_ERROR_BUSY ? 2 : 3;
        }
      store_stream_close (&stream);
      test_child_exit (code);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

static int
put_as (TestDaemon *daemon, uid_t uid, CommyStoreOpKind kind, const char *key)
{
  return put_bytes_as (daemon, uid, kind, key, 1);
}

/* In a child of another user: how many keys below a prefix it is shown. */
static int
count_as (TestDaemon *daemon, uid_t uid, const char *prefix)
{
  StoreStream stream;
  StoreWireHeader header;
  const guint8 *payload;
  int status = -1;
  pid_t pid = fork ();

  if (pid == 0)
    {
      g_auto (StoreWireAnswer) answer = { 0 };

      if (setgroups (0, NULL) < 0 || setresgid (uid, uid, uid) < 0 || setresuid (uid, uid, uid) < 0)
        test_child_exit (250);
      greet (daemon, &stream);
      store_stream_send (&stream, store_wire_write_prefix (STORE_WIRE_RANGE, 1, prefix, 0), NULL);
      if (!await_frame (&stream, &header, &payload)
          || !store_wire_read_answer (payload, header.size, &answer, NULL))
        test_child_exit (251);
      store_stream_close (&stream);
      test_child_exit ((int) answer.entries->len);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

#define DENIED 1
#define NO_ROOM 2

static void
open_to_all (TestDaemon *daemon)
{
  g_autofree char *folder = g_path_get_dirname (daemon->socket);

  test_daemon_write_keyfile (daemon,
                             "[daemon]\nmode=0666\nkeys=3\nbytes=1KiB\n"
                             "[policy reserved]\nprincipals=*\nservices=org.example.Reserved\n"
                             "verbs=offer\neffect=deny\n"
                             "[policy but-for-a]\nprincipals=unix:uid=54321\n"
                             "services=org.example.Reserved\nverbs=offer\neffect=allow\n"
                             "[policy unknown]\nprincipals=*\nkeys=denied/*\n"
                             "verbs=read\neffect=deny\n"
                             "[policy private]\nprincipals=*\nkeys=secret/*\n"
                             "verbs=read;write\neffect=deny\n"
                             "[policy but-a]\nprincipals=unix:uid=54321\nkeys=secret/*\n"
                             "verbs=read;write\neffect=allow\n");
  g_assert_cmpint (g_chmod (daemon->dir, 0755), ==, 0);
  g_mkdir_with_parents (folder, 0755);
  test_daemon_start (daemon);
}

static void
test_users (TestDaemon **daemon, gconstpointer unused)
{
  TestDaemon *self = *daemon;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can act as another user");
      return;
    }
  open_to_all (self);
  g_assert_cmpint (put_as (self, USER_A, COMMY_STORE_PUT, "services/org.example.X/1"), ==, 0);
  g_assert_cmpint (put_as (self, USER_A, COMMY_STORE_PUT, "services/org.example.X/1"), ==, 0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "services/org.example.X/1"), ==, DENIED);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_DELETE, "services/org.example.X/1"), ==,
                   DENIED);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_DELETE_PREFIX, ""), ==, DENIED);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "services/org.example.X/2"), ==, 0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "hosts/mine"), ==, DENIED);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "denied/token:x"), ==, DENIED);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_DELETE, "denied/token:x"), ==, DENIED);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "services/loose"), ==, DENIED);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "services/org.example.Reserved/1"), ==,
                   DENIED);
  g_assert_cmpint (put_as (self, USER_A, COMMY_STORE_PUT, "services/org.example.Reserved/1"), ==,
                   0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "b/1"), ==, 0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "b/2"), ==, 0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "b/3"), ==, NO_ROOM);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_DELETE_PREFIX, "b/"), ==, 0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "b/3"), ==, 0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_DELETE_PREFIX, "b/"), ==, 0);
  /* Keys and values are bytes, too; what a key had is given back when it is written anew. */
  g_assert_cmpint (put_bytes_as (self, USER_B, COMMY_STORE_PUT, "b/1", 1024), ==, NO_ROOM);
  g_assert_cmpint (put_bytes_as (self, USER_B, COMMY_STORE_PUT, "b/1", 500), ==, 0);
  g_assert_cmpint (put_bytes_as (self, USER_B, COMMY_STORE_PUT, "b/2", 500), ==, NO_ROOM);
  g_assert_cmpint (put_bytes_as (self, USER_B, COMMY_STORE_PUT, "b/1", 500), ==, 0);
  /* What a rule denies of keys comes on top; who may not read it is not shown it. */
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_DELETE_PREFIX, "b/"), ==, 0);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_PUT, "secret/b"), ==, DENIED);
  g_assert_cmpint (put_as (self, USER_A, COMMY_STORE_PUT, "secret/a"), ==, 0);
  g_assert_cmpint (count_as (self, USER_A, "secret/"), ==, 1);
  g_assert_cmpint (count_as (self, USER_B, "secret/"), ==, 0);
  g_assert_cmpint (count_as (self, USER_B, "services/org.example.X/"), ==, 2);
  g_assert_cmpint (count_as (self, 0, "secret/"), ==, 1);
  /* Who is denied all have to know. */
  g_assert_cmpint (put_as (self, 0, COMMY_STORE_PUT, "denied/token:x"), ==, 0);
  g_assert_cmpint (count_as (self, USER_B, "denied/"), ==, 1);
  /* Whose they are is still known to the next daemon; root may all. */
  test_daemon_kill (self);
  open_to_all (self);
  g_assert_cmpint (put_as (self, USER_B, COMMY_STORE_DELETE, "services/org.example.X/1"), ==,
                   DENIED);
  g_assert_cmpint (put_as (self, 0, COMMY_STORE_DELETE, "services/org.example.X/1"), ==, 0);
}

/* --- its audit trail --- */

static gboolean
note_record (GVariant *record, gpointer data)
{
  static const char *const members[]
      = { "type", "outcome", "principal", "service", "method", "reason", "details", "peer" };
  GString *text = data;

  for (guint i = 0; i < G_N_ELEMENTS (members); i++)
    {
      const char *word = "-";

      g_variant_lookup (record, members[i], "&s", &word);
      g_string_append_printf (text, "%s%s", i > 0 ? "|" : "", word);
    }
  g_string_append_c (text, '\n');
  return TRUE;
}

/* What its trail says, which is whole. (transfer full) */
static char *
read_trail (TestDaemon *daemon)
{
  g_autofree char *dir = g_build_filename (daemon->state, "audit", NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GVariant) report = NULL;
  g_autoptr (GError) error = NULL;
  guint64 n_faults = 1;

  report = commy_audit_verify (dir, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_lookup (report, "fault_count", "t", &n_faults));
  g_assert_cmpuint (n_faults, ==, 0);
  commy_audit_read (dir, note_record, text, &error);
  g_assert_no_error (error);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
assert_told (const char *trail, const char *pattern)
{
  if (!g_regex_match_simple (pattern, trail, G_REGEX_MULTILINE, 0))
    g_error ("no \"%s\" in\n%s", pattern, trail);
}

#define AUDITED                                                                                  \
  "[daemon]\nmode=0666\nconnections=2\n[audit]\nenabled=true\n[policy reserved]\nprincipals=*\n" \
  "services=org.example.Reserved\nverbs=offer\neffect=deny\n"

static void
test_trail (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname ((*daemon)->socket);
  g_autofree char *trail = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can act as another user");
      return;
    }
  test_daemon_write_keyfile (*daemon, AUDITED);
  g_assert_cmpint (g_chmod ((*daemon)->dir, 0755), ==, 0);
  g_mkdir_with_parents (folder, 0755);
  test_daemon_start (*daemon);
  g_assert_cmpint (put_as (*daemon, USER_A, COMMY_STORE_PUT, "services/org.example.Reserved/1"), ==,
                   DENIED);
  g_assert_cmpint (put_as (*daemon, USER_A, COMMY_STORE_PUT, "services/org.example.X/1"), ==, 0);
  g_assert_cmpint (put_as (*daemon, USER_B, COMMY_STORE_DELETE, "services/org.example.X/1"), ==,
                   DENIED);
  g_assert_cmpint (put_as (*daemon, USER_B, COMMY_STORE_PUT, "denied/token:x"), ==, DENIED);
  g_assert_cmpint (put_as (*daemon, 0, COMMY_STORE_PUT, "denied/token:y"), ==, 0);
  reload (*daemon, AUDITED "[policy wrong]\neffect=perhaps\n");
  reload (*daemon, AUDITED "[policy more]\nprincipals=*\nkeys=x/*\nverbs=write\neffect=deny\n");
  test_daemon_stop (*daemon);
  trail = read_trail (*daemon);
  g_test_message ("%s", trail);
  assert_told (trail, "^node\\|joined\\|.*commyd");
  assert_told (trail, "^config\\|loaded\\|.*sha256:");
  assert_told (trail, "^policy\\|loaded\\|.*rules reserved");
  assert_told (trail,
               "^store\\|denied\\|unix:uid=54321\\|org.example.Reserved\\|offer\\|CMY0402\\|");
  assert_told (trail, "^store\\|denied\\|unix:uid=54322\\|org.example.X\\|remove\\|CMY0402\\|");
  assert_told (trail,
               "^store\\|denied\\|unix:uid=54322\\|-\\|write\\|CMY0402\\|-\\|.*denied/token:x");
  assert_told (trail, "^store\\|allowed\\|unix:uid=0\\|-\\|write\\|-\\|-\\|denied/token:y");
  assert_told (trail, "^policy\\|refused\\|.*perhaps");
  assert_told (trail, "^policy\\|loaded\\|.*rules reserved more");
  assert_told (trail, "^node\\|left\\|");
}

/* What users of the host are denied has the budget of strangers. */
static void
test_trail_budget (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname ((*daemon)->socket);
  g_autofree char *trail = NULL;
  int status = -1;
  pid_t pid;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can act as another user");
      return;
    }
  test_daemon_write_keyfile (*daemon, AUDITED);
  g_assert_cmpint (g_chmod ((*daemon)->dir, 0755), ==, 0);
  g_mkdir_with_parents (folder, 0755);
  test_daemon_start (*daemon);
  pid = fork ();
  if (pid == 0)
    {
      StoreStream stream;
      StoreWireHeader header;
      const guint8 *payload;

      if (setgroups (0, NULL) < 0 || setresgid (USER_B, USER_B, USER_B) < 0
          || setresuid (USER_B, USER_B, USER_B) < 0)
        test_child_exit (250);
      greet (*daemon, &stream);
      for (guint i = 0; i < 500; i++)
        {
          g_autofree char *key = g_strdup_printf ("hosts/%u", i);
          const CommyStoreOp op = { COMMY_STORE_DELETE, key, NULL, 0 };

          store_stream_send (&stream, store_wire_write_txn (i + 1, NULL, 0, &op, 1), NULL);
          if (!await_frame (&stream, &header, &payload) || header.type != STORE_WIRE_ERROR)
            test_child_exit (251);
        }
      store_stream_close (&stream);
      test_child_exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  test_daemon_stop (*daemon);
  trail = read_trail (*daemon);
  {
    g_auto (GStrv) parts = g_strsplit (trail, "hosts/", -1);

    /* A minute's worth, and what the test itself took in seconds. */
    g_assert_cmpuint (g_strv_length (parts), <, 400);
  }
  assert_told (trail, "strangers beyond strangers-per-second");
}

#define ADD(path, test) g_test_add ("/daemon/" path, TestDaemon *, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* attack: write, remove or offer what is another user's at commyd; defence: the kernel says
   * who writes; keys have owners, names have policies; test:
   * /daemon/users/keep-to-what-is-theirs */
  ADD ("users/keep-to-what-is-theirs", test_users);
  ADD ("trail/denials-policies-and-who-is-shut-out", test_trail);
  /* attack: fill the disk with what commyd denies one; defence: users of the host have the budget
   * of strangers; test: /daemon/trail/users-have-a-budget */
  ADD ("trail/users-have-a-budget", test_trail_budget);
  return g_test_run ();
}
