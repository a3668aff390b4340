/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that carry descriptors: there and back, to another process and inside one, at their
 * limits, over paths that cannot, and without leaving one behind.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ONLY(T) "[selection]\npreference=pin\ntransports=" T "\n"
#define MOST 253

/* --- the service --- */

static GVariant *
read_all (int fd)
{
  char text[256];
  ssize_t got = read (fd, text, sizeof text - 1);

  text[MAX (got, 0)] = '\0';
  return g_variant_new ("(s)", text);
}

/* (h) to (s): what is in it */
static void
on_read (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GUnixFDList *list = commy_invocation_get_unix_fd_list (invocation);
  gint32 index;
  int fd;

  if (list == NULL)
    {
      commy_invocation_return_error (invocation, "nothing came");
      return;
    }
  g_variant_get (commy_invocation_get_parameters (invocation), "(h)", &index);
  fd = g_unix_fd_list_get (list, index, NULL);
  commy_invocation_return_value (invocation, read_all (fd));
  close (fd);
}

/* () to (h): a file with words in it */
static void
on_open (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  int fd = memfd_create ("words", MFD_CLOEXEC);

  g_assert_cmpint (write (fd, "from there", 10), ==, 10);
  g_assert_cmpint (lseek (fd, 0, SEEK_SET), ==, 0);
  g_unix_fd_list_append (list, fd, NULL);
  close (fd);
  commy_invocation_return_value_with_unix_fd_list (invocation, g_variant_new ("(h)", 0), list);
}

/* () to (ub): how many, and whether all are closed on exec; they come back too */
static void
on_mirror (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GUnixFDList *list = commy_invocation_get_unix_fd_list (invocation);
  gint n = 0;
  const int *fds = list != NULL ? g_unix_fd_list_peek_fds (list, &n) : NULL;
  gboolean cloexec = TRUE;

  for (gint i = 0; i < n; i++)
    cloexec = cloexec && (fcntl (fds[i], F_GETFD) & FD_CLOEXEC) != 0;
  commy_invocation_return_value_with_unix_fd_list (
      invocation, g_variant_new ("(ub)", (guint) n, cloexec), list);
}

/* () to (h) without the descriptor */
static void
on_forget (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(h)", 0));
}

/* () to (u): descriptors of the service's process */
static void
on_count (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(u)", count_fds ()));
}

static void
add_methods (CommyService *service)
{
  commy_service_handle (service, "Read", on_read, NULL, NULL);
  commy_service_handle (service, "Open", on_open, NULL, NULL);
  commy_service_handle (service, "Mirror", on_mirror, NULL, NULL);
  commy_service_handle (service, "Forget", on_forget, NULL, NULL);
  commy_service_handle (service, "Fds", on_count, NULL, NULL);
}

/* --- the caller --- */

typedef struct
{
  CommyMesh *mesh;
  CommyService *service; /* in process, or NULL */
  ServiceChild *child;   /* or NULL */
  CommyClient *client;
} Pair;

/* @where: "inproc" for this process; else another, over that transport; NULL: over any. */
static Pair *
pair_new (MeshFixture *fixture, const char *where)
{
  g_autofree char *settings = where != NULL ? g_strdup_printf (ONLY ("%s"), where) : NULL;
  Pair *pair = g_new0 (Pair, 1);
  g_autoptr (GError) error = NULL;

  mesh_fixture_make_credentials (fixture);
  if (g_strcmp0 (where, "inproc") != 0)
    pair->child = service_child_start (fixture, NULL, 1);
  pair->mesh = mesh_fixture_join (fixture, settings);
  if (pair->child == NULL)
    {
      pair->service = test_service_new (pair->mesh, 1);
      add_methods (pair->service);
      commy_service_start_sync (pair->service, NULL, &error);
      g_assert_no_error (error);
    }
  pair->client = commy_client_new (pair->mesh, TEST_SERVICE);
  return pair;
}

static void
pair_free (Pair *pair)
{
  g_object_unref (pair->client);
  commy_mesh_leave_sync (pair->mesh, NULL, NULL);
  g_clear_object (&pair->service);
  g_object_unref (pair->mesh);
  g_clear_pointer (&pair->child, service_child_free);
  g_free (pair);
}

static GUnixFDList *
list_of_words (const char *words)
{
  GUnixFDList *list = g_unix_fd_list_new ();
  int fds[2];

  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_cmpint (write (fds[1], words, strlen (words)), ==, (int) strlen (words));
  close (fds[1]);
  g_unix_fd_list_append (list, fds[0], NULL);
  close (fds[0]);
  return list;
}

static GUnixFDList *
list_of (guint n)
{
  GUnixFDList *list = g_unix_fd_list_new ();
  int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);

  for (guint i = 0; i < n; i++)
    g_assert_cmpint (g_unix_fd_list_append (list, fd, NULL), ==, (int) i);
  close (fd);
  return list;
}

static GVariant *
call (Pair *pair,
      const char *method,
      GVariant *parameters,
      GUnixFDList *list,
      GUnixFDList **out_list,
      GError **error)
{
  return commy_client_call_with_unix_fd_list_sync (pair->client, method, parameters, list, NULL,
                                                   out_list, NULL, error);
}

static void
assert_words (GVariant *answer, const char *words)
{
  const char *text;

  g_assert_nonnull (answer);
  g_variant_get (answer, "(&s)", &text);
  g_assert_cmpstr (text, ==, words);
}

static void
test_there (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GUnixFDList) list = list_of_words ("through a pipe");
  g_autoptr (GUnixFDList) back = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = call (pair, "Read", g_variant_new ("(h)", 0), list, &back, &error);

  g_assert_no_error (error);
  assert_words (answer, "through a pipe");
  g_assert_null (back);
  g_assert_cmpint (g_unix_fd_list_get_length (list), ==, 1); /* still the caller's */
  pair_free (pair);
}

static void
test_back (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GUnixFDList) back = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = call (pair, "Open", NULL, NULL, &back, &error);
  g_autoptr (GVariant) words = NULL;
  int fd;

  g_assert_no_error (error);
  g_assert_nonnull (back);
  g_assert_cmpint (g_unix_fd_list_get_length (back), ==, 1);
  fd = g_unix_fd_list_peek_fds (back, NULL)[0];
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  words = g_variant_ref_sink (read_all (fd));
  assert_words (words, "from there");
  pair_free (pair);
}

static void
test_most (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GUnixFDList) list = list_of (MOST);

  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GUnixFDList) back = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer = call (pair, "Mirror", NULL, list, &back, &error);
      gboolean cloexec;
      guint n;

      g_assert_no_error (error);
      g_variant_get (answer, "(ub)", &n, &cloexec);
      g_assert_true (cloexec);
      g_assert_cmpuint (n, ==, MOST);
      g_assert_cmpint (g_unix_fd_list_get_length (back), ==, MOST);
    }
  pair_free (pair);
}

static void
test_too_many (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GUnixFDList) list = list_of (MOST + 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = call (pair, "Mirror", NULL, list, NULL, &error);

  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TOO_BIG);
  g_assert_null (answer);
  pair_free (pair);
}

static void
test_handles_without_list (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GError) plain = NULL;
  g_autoptr (GError) empty = NULL;

  g_assert_null (
      commy_client_call_sync (pair->client, "Read", g_variant_new ("(h)", 0), NULL, NULL, &plain));
  g_assert_error (plain, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_assert_nonnull (strstr (plain->message, "commy_client_call_with_unix_fd_list"));
  g_assert_null (call (pair, "Read", g_variant_new ("(h)", 0), NULL, NULL, &empty));
  g_assert_error (empty, COMMY_ERROR, COMMY_ERROR_TYPE);
  pair_free (pair);
}

static void
test_answer_without_list (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GError) error = NULL;

  g_assert_null (call (pair, "Forget", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "commy_invocation_return_value_with_unix_fd_list"));
  pair_free (pair);
}

/* Without a pin the fastest path is taken, which carries none; with descriptors another one. */
static void
test_path_is_chosen (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, NULL);
  g_autoptr (GUnixFDList) list = list_of_words ("words");
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) plain
      = commy_client_call_sync (pair->client, "Who", NULL, NULL, NULL, &error);
  g_autoptr (GVariant) with = NULL;
  g_autoptr (GVariant) read = NULL;
  const char *transport;

  g_assert_no_error (error);
  g_variant_get (plain, "(&s&s)", NULL, &transport);
  g_assert_cmpstr (transport, ==, "shm");
  with = call (pair, "Who", NULL, list, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (with, "(&s&s)", NULL, &transport);
  g_assert_cmpstr (transport, ==, "unix");
  read = call (pair, "Read", g_variant_new ("(h)", 0), list, NULL, &error);
  g_assert_no_error (error);
  assert_words (read, "words");
  pair_free (pair);
}

static void
test_no_path (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GUnixFDList) list = list_of (1);
  g_autoptr (GError) error = NULL;

  g_assert_null (call (pair, "Read", g_variant_new ("(h)", 0), list, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_nonnull (strstr (error->message, "file descriptor passing"));
  pair_free (pair);
}

static void
test_answer_over_wrong_path (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_client_call_sync (pair->client, "Open", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "carries no descriptors"));
  pair_free (pair);
}

static guint
count_there (Pair *pair)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = call (pair, "Fds", NULL, NULL, NULL, &error);
  guint n;

  g_assert_no_error (error);
  g_variant_get (answer, "(u)", &n);
  return n;
}

/* Descriptors of a peer's threads, which who watches for its death opens when it gets to that; a
 * leak is one in each round at least. */
#define WITNESSES 4u

/* Taken, ignored, sent back and ignored again, refused: nothing stays open on either side. */
static void
test_nothing_leaks (MeshFixture *fixture, gconstpointer data)
{
  Pair *pair = pair_new (fixture, data);
  g_autoptr (GUnixFDList) list = list_of (17);
  guint there = count_there (pair);
  guint here = count_fds ();

  for (guint i = 0; i < 100; i++)
    {
      g_autoptr (GVariant) ignored = call (pair, "Pid", NULL, list, NULL, NULL);
      g_autoptr (GVariant) mirrored = call (pair, "Mirror", NULL, list, NULL, NULL);
      g_autoptr (GUnixFDList) back = NULL;
      g_autoptr (GVariant) kept = call (pair, "Mirror", NULL, list, &back, NULL);
      g_autoptr (GVariant) refused
          = call (pair, "Add", g_variant_new ("(s)", "x"), list, NULL, NULL);

      g_assert_nonnull (ignored);
      g_assert_nonnull (mirrored);
      g_assert_nonnull (kept);
      g_assert_null (refused);
    }
  g_assert_cmpuint (count_there (pair), <=, there + WITNESSES);
  g_assert_cmpuint (count_fds (), <=, here + WITNESSES);
  pair_free (pair);
}

typedef struct
{
  guint n_done;
  GUnixFDList *back;
} Answers;

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Answers *answers = data;
  g_autoptr (GUnixFDList) back = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_with_unix_fd_list_finish (COMMY_CLIENT (source), &back, result, &error);
  guint n;

  g_assert_no_error (error);
  g_variant_get (answer, "(ub)", &n, NULL);
  g_assert_cmpint (back != NULL ? g_unix_fd_list_get_length (back) : 0, ==, (int) n);
  answers->n_done++;
}

static void
test_many_at_once (MeshFixture *fixture, gconstpointer data)
{
  enum
  {
    N = 64
  };
  Pair *pair = pair_new (fixture, data);
  Answers answers = { 0 };

  for (guint i = 0; i < N; i++)
    {
      g_autoptr (GUnixFDList) list = list_of (1 + i % 5);

      commy_client_call_with_unix_fd_list (pair->client, "Mirror", NULL, list, NULL, NULL,
                                           on_answer, &answers);
    }
  while (answers.n_done < N)
    g_main_context_iteration (NULL, TRUE);
  pair_free (pair);
}

/* More than the path takes at once: calls wait with their descriptors, and each keeps its own. */
static void
test_wait_for_room (MeshFixture *fixture, gconstpointer data)
{
  enum
  {
    N = 100,
    SIZE = 64 * 1024
  };
  g_autofree char *settings = g_strdup_printf (ONLY ("%s") "[plugin transport/unix]\n"
                                                           "param.send-buffer=16KiB\n",
                                               (const char *) data);
  g_autofree guint8 *bytes = g_malloc0 (SIZE);
  Pair *pair = g_new0 (Pair, 1);
  Answers answers = { 0 };

  pair->child = service_child_start (fixture, NULL, 1);
  pair->mesh = mesh_fixture_join (fixture, settings);
  pair->client = commy_client_new (pair->mesh, TEST_SERVICE);
  for (guint i = 0; i < N; i++)
    {
      g_autoptr (GUnixFDList) list = list_of (i % 4);
      GVariant *value = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, SIZE, 1);

      commy_client_call_with_unix_fd_list (pair->client, "Mirror", g_variant_new_tuple (&value, 1),
                                           list, NULL, NULL, on_answer, &answers);
    }
  while (answers.n_done < N)
    g_main_context_iteration (NULL, TRUE);
  pair_free (pair);
}

/* As a large message goes alone, so does one with many descriptors, whole or in pieces. */
static void
test_many_go_alone (MeshFixture *fixture, gconstpointer data)
{
  static const gsize sizes[] = { 10, 500000 };
  const char *limit = "[plugin transport/unix]\nparam.handles-max=2\n";
  g_autofree char *settings = g_strdup_printf (ONLY ("%s") "%s", (const char *) data, limit);
  Pair *pair = g_new0 (Pair, 1);
  g_autoptr (GUnixFDList) list = list_of (5);

  pair->child = service_child_start (fixture, limit, 1);
  pair->mesh = mesh_fixture_join (fixture, settings);
  pair->client = commy_client_new (pair->mesh, TEST_SERVICE);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree guint8 *bytes = g_malloc0 (sizes[i]);
      GVariant *value = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, sizes[i], 1);
      g_autoptr (GUnixFDList) back = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer
          = call (pair, "Mirror", g_variant_new_tuple (&value, 1), list, &back, &error);

      g_assert_no_error (error);
      g_assert_nonnull (answer);
      g_assert_cmpint (g_unix_fd_list_get_length (back), ==, 5);
    }
  pair_free (pair);
}

/* The path has room for a message, but not for its descriptors: it waits with them. */
static void
test_wait_for_handles (MeshFixture *fixture, gconstpointer data)
{
  enum
  {
    N = 10,
    SIZE = 60000
  };
  g_autofree char *settings = g_strdup_printf (ONLY ("%s") "[plugin transport/unix]\n"
                                                           "param.send-buffer=16MiB\n"
                                                           "param.handles-max=1\n",
                                               (const char *) data);
  g_autofree guint8 *bytes = g_malloc0 (SIZE);
  Pair *pair = g_new0 (Pair, 1);
  g_autoptr (GUnixFDList) one = list_of (1);
  g_autoptr (GVariant) answer = NULL;
  Answers answers = { 0 };

  pair->child = service_child_start (fixture, NULL, 1);
  pair->mesh = mesh_fixture_join (fixture, settings);
  pair->client = commy_client_new (pair->mesh, TEST_SERVICE);
  answer = call (pair, "Pid", NULL, one, NULL, NULL);
  g_assert_nonnull (answer);
  kill (pair->child->pid, SIGSTOP);
  for (guint i = 0; i < 2 * N; i++)
    {
      gsize size = i < N ? SIZE : 8;
      GVariant *value = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1);

      commy_client_call_with_unix_fd_list (pair->client, "Mirror", g_variant_new_tuple (&value, 1),
                                           i < N ? NULL : one, NULL, NULL, on_answer, &answers);
    }
  kill (pair->child->pid, SIGCONT);
  while (answers.n_done < 2 * N)
    g_main_context_iteration (NULL, TRUE);
  pair_free (pair);
}

static void
add (const char *rule, const char *transport, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/handles/%s/%s", transport, rule);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  static const char *const able[] = { "inproc", "unix" };
  int status;

  if (service_child_main_with (argc, argv, add_methods, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (able); i++)
    {
      add ("there", able[i], test_there);
      add ("back", able[i], test_back);
      add ("as-many-as-a-message-carries", able[i], test_most);
      add ("too-many-are-refused", able[i], test_too_many);
      add ("handles-without-descriptors-are-refused", able[i], test_handles_without_list);
      add ("answer-without-descriptors-is-refused", able[i], test_answer_without_list);
      add ("many-at-once", able[i], test_many_at_once);
      add ("nothing-leaks", able[i], test_nothing_leaks);
    }
  add ("wait-for-room-with-their-call", "unix", test_wait_for_room);
  add ("more-than-usual-go-alone", "unix", test_many_go_alone);
  add ("wait-for-room-for-descriptors", "unix", test_wait_for_handles);
  add ("is-refused", "shm", test_no_path);
  add ("answer-is-refused", "shm", test_answer_over_wrong_path);
#ifdef HAVE_GNUTLS
  add ("is-refused", "tls", test_no_path);
#endif
  add ("path-is-chosen", "any", test_path_is_chosen);
  return g_test_run ();
}
