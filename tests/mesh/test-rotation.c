/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates of six seconds and an authority that changes three times, while two services are
 * called over TLS all the time by processes of their own: no call fails, and at the end nothing
 * rests on an earlier authority. Seconds are real here: certificates end by the clock of the host.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "tests/pki/join-fixture.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIFE "6s"
#define CHANGES 3
#define PATIENCE_US (60 * G_USEC_PER_SEC)
#define NODE "org.commy.Node1"
#define IN_FLIGHT 8
#define SERVICES 2
#define CALLERS 2
#define SETTINGS                                                                           \
  "credentials-dir=%s\n[selection]\npreference=pin\ntransports=tls\nmin-security=mutual\n" \
  "[security]\nproof-check=200ms\nproof-grace=2s\n"

/* --- a caller, in its own process --- */

typedef struct
{
  CommyClient *client;
  GMainLoop *loop;
  guint under_way;
  guint64 n_calls, n_failed;
  char *first_error;
  gboolean stopping;
} Caller;

static void ask (Caller *self);

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Caller *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (self->client, result, &error);
  gint32 sum = 0;

  if (answer != NULL)
    g_variant_get (answer, "(i)", &sum);
  self->n_calls++;
  self->under_way--;
  if (sum != 42 && self->n_failed++ == 0)
    self->first_error = g_strdup (error != NULL ? error->message : "another sum");
  if (!self->stopping)
    ask (self);
  else if (self->under_way == 0)
    g_main_loop_quit (self->loop);
}

static void
ask (Caller *self)
{
  self->under_way++;
  commy_client_call (self->client, "Add", g_variant_new ("(ii)", 40, 2), NULL, NULL, on_answer,
                     self);
}

static gboolean
on_stop (int fd, GIOCondition condition, gpointer data)
{
  ((Caller *) data)->stopping = TRUE;
  return G_SOURCE_REMOVE;
}

/* The other caller never iterates a loop: all that happens to its connection happens in a call. */
static void
call_in_turn (Caller *self, int stop_fd)
{
  char byte;

  while (recv (stop_fd, &byte, 1, MSG_DONTWAIT) < 0)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer = commy_client_call_sync (
          self->client, "Add", g_variant_new ("(ii)", 40, 2), NULL, NULL, &error);

      self->n_calls++;
      if (answer == NULL && self->n_failed++ == 0)
        self->first_error = g_strdup (error->message);
    }
}

static void
call_at_once (Caller *self, int stop_fd)
{
  self->loop = g_main_loop_new (NULL, FALSE);
  g_unix_fd_add (stop_fd, G_IO_IN | G_IO_HUP, on_stop, self);
  for (guint i = 0; i < IN_FLIGHT; i++)
    ask (self);
  g_main_loop_run (self->loop);
  g_main_loop_unref (self->loop);
}

static gboolean
caller_main (int argc, char **argv, int *out_status)
{
  Caller self = { NULL };
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL;

  if (argc < 4 || strcmp (argv[1], "--caller-child") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  *out_status = 1;
  mesh = commy_mesh_new_with_settings ("test", argv[2], &error);
  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    {
      g_printerr ("caller: %s\n", error->message);
      return TRUE;
    }
  self.client = commy_client_new (mesh, TEST_SERVICE);
  if (strcmp (argv[3], "0") == 0)
    call_at_once (&self, 3);
  else
    call_in_turn (&self, 3);
  line = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %s", self.n_calls,
                          self.n_failed, self.first_error != NULL ? self.first_error : "");
  *out_status = send (3, line, strlen (line), MSG_NOSIGNAL) < 0;
  g_free (self.first_error);
  g_object_unref (self.client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return TRUE;
}

typedef struct
{
  GPid pid;
  int fd;
} CallerChild;

static void
child_setup (gpointer data)
{
  dup2 (GPOINTER_TO_INT (data), 3);
}

static void
caller_start (CallerChild *self, MeshFixture *fixture, const char *settings, guint i)
{
  g_autofree char *text = g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n%s",
                                           fixture->dir, fixture->dir, settings);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *number = g_strdup_printf ("%u", i);
  char *argv[] = { program, (char *) "--caller-child", text, number, NULL };
  g_autoptr (GError) error = NULL;
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                 child_setup, GINT_TO_POINTER (pair[1]), &self->pid, &error);
  g_assert_no_error (error);
  close (pair[1]);
  self->fd = pair[0];
}

static guint64
caller_stop (CallerChild *self)
{
  char line[1024] = "";
  gssize got;
  int status;
  guint64 n_calls, n_failed;
  char *rest;

  g_assert_cmpint (shutdown (self->fd, SHUT_WR), ==, 0);
  got = read (self->fd, line, sizeof line - 1);
  g_assert_cmpint (got, >, 0);
  close (self->fd);
  waitpid (self->pid, &status, 0);
  g_assert_cmpint (status, ==, 0);
  n_calls = g_ascii_strtoull (line, &rest, 10);
  n_failed = g_ascii_strtoull (rest, &rest, 10);
  if (n_failed != 0)
    g_error ("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " calls failed:%s", n_failed, n_calls,
             rest);
  return n_calls;
}

/* --- the scene --- */

typedef struct
{
  MeshFixture *fixture;
  JoinAuthority authority;
  char *dirs[SERVICES + CALLERS];
  ServiceChild *services[SERVICES];
  CallerChild callers[CALLERS];
  CommyMesh *mesh; /* that only looks, and not over TLS */
} Load;

static char *
join (Load *self, guint i)
{
  g_autofree char *host = g_strdup_printf ("n%u", i);
  g_autofree char *token
      = join_token_for (self->authority.dir, self->authority.address, host, "tester");
  g_auto (JoinRun) run = { 0 };
  char *dir = g_build_filename (self->fixture->dir, host, NULL);

  join_run (&run, token, "join", "-", "--dir", dir, "--host", host, "--user", "tester", NULL);
  join_assert_done (&run);
  return dir;
}

static void
load_init (Load *self, MeshFixture *fixture)
{
  self->fixture = fixture;
  self->authority.dir = fixture_authority_dir ();
  join_authority_start (&self->authority, LIFE);
  for (guint i = 0; i < SERVICES + CALLERS; i++)
    {
      g_autofree char *settings = NULL;

      self->dirs[i] = join (self, i);
      settings = g_strdup_printf (SETTINGS, self->dirs[i]);
      if (i < SERVICES)
        self->services[i] = service_child_start (fixture, settings, 1);
      else
        caller_start (&self->callers[i - SERVICES], fixture, settings, i - SERVICES);
    }
  self->mesh = mesh_fixture_join (fixture, "[selection]\npreference=pin\ntransports=unix\n");
}

static void
load_clear (Load *self)
{
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  for (guint i = 0; i < SERVICES; i++)
    service_child_free (self->services[i]);
  for (guint i = 0; i < SERVICES + CALLERS; i++)
    g_free (self->dirs[i]);
  join_authority_clear (&self->authority);
}

static void
pause_until (gint64 until_us, const char *what)
{
  if (g_get_monotonic_time () > until_us)
    g_error ("waited too long for %s", what);
  g_usleep (20000);
}

/* Until all nodes have been renewed since the last step. */
static void
await_nodes (Load *self)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_auto (CommyPkiRotation) rotation = { 0 };

      g_assert_true (commy_pki_rotation_get (self->authority.dir, fixture_now (), &rotation, NULL));
      g_assert_cmpuint (rotation.n_nodes, ==, SERVICES + CALLERS);
      if (rotation.behind->len == 0)
        return;
      pause_until (until, rotation.behind->pdata[0]);
    }
}

static void
step (Load *self, const char *word)
{
  g_auto (JoinRun) run = { 0 };

  join_run (&run, NULL, "pki", "rotate", word, "--dir", self->authority.dir, NULL);
  join_assert_done (&run);
}

/* --- what connections rest on --- */

typedef struct
{
  guint n;              /* over TLS */
  guint n_other;        /* of another authority than the present one */
  guint64 fewest_moves; /* of those to the services */
} Census;

static void
count_flows (GVariant *flows, const char *present, Census *census)
{
  for (gsize i = 0; i < g_variant_n_children (flows); i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *proof = "", *service = "", *transport = "";
      guint64 moves = 0;

      g_variant_lookup (flow, "proof", "&s", &proof);
      g_variant_lookup (flow, "service", "&s", &service);
      g_variant_lookup (flow, "transport", "&s", &transport);
      g_variant_lookup (flow, "moves", "t", &moves);
      if (strcmp (transport, "tls") != 0 || strcmp (service, TEST_SERVICE) != 0)
        continue;
      census->n++;
      census->n_other += !g_str_has_prefix (proof, present);
      census->fewest_moves = MIN (census->fewest_moves, moves);
    }
}

static void
take_census (Load *self, const char *present, Census *census)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (self->mesh, NODE, NULL, &error);

  *census = (Census){ .fewest_moves = G_MAXUINT64 };
  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (all, i);
      g_autoptr (CommyClient) client = commy_client_new (self->mesh, NODE);
      g_autoptr (GVariant) answer = NULL;
      g_autoptr (GVariant) flows = NULL;
      const char *id = "", *node = "";

      g_variant_lookup (record, "instance", "&s", &id);
      g_variant_lookup (record, "node", "&s", &node);
      if (strcmp (node, commy_mesh_get_node_id (self->mesh)) == 0)
        continue;
      commy_client_set_instance (client, id);
      answer = commy_client_call_sync (client, "Flows", NULL, NULL, NULL, &error);
      g_assert_no_error (error);
      flows = g_variant_get_child_value (answer, 0);
      count_flows (flows, present, census);
    }
}

/* "x509:AUTHORITY:" of what the authority signs with now. */
static char *
dup_present (Load *self)
{
  g_autofree char *pem = commy_pki_read_file (self->authority.dir, COMMY_PKI_CA_FILE, FALSE, NULL);
  gnutls_datum_t text = { (guint8 *) pem, (unsigned) strlen (pem) };
  g_auto (gnutls_x509_crt_t) crt = NULL;
  g_autofree char *by_key = NULL;
  g_autofree char *by_name = NULL;

  g_assert_cmpint (gnutls_x509_crt_init (&crt), >=, 0);
  g_assert_cmpint (gnutls_x509_crt_import (crt, &text, GNUTLS_X509_FMT_PEM), >=, 0);
  commy_pki_crt_issuer_names (crt, &by_key, &by_name);
  return g_strdup_printf ("x509:%s:", by_key);
}

static void
test_load (MeshFixture *fixture, gconstpointer data)
{
  Load load = { NULL };
  Census census;
  g_autofree char *first = NULL;
  g_autofree char *last = NULL;
  gint64 until;
  gint64 began = g_get_monotonic_time ();

  load_init (&load, fixture);
  first = dup_present (&load);
  for (guint i = 0; i < CHANGES; i++)
    {
      step (&load, "start");
      await_nodes (&load);
      step (&load, "switch");
      await_nodes (&load);
      step (&load, "finish");
    }
  last = dup_present (&load);
  g_assert_cmpstr (first, !=, last);
  until = g_get_monotonic_time () + PATIENCE_US;
  do
    {
      pause_until (until, "connections of earlier authorities to go");
      take_census (&load, last, &census);
    }
  while (census.n_other > 0);
  /* Both sides of what each caller has to at least one of the services, replaced each time. */
  g_assert_cmpuint (census.n, >=, 2 * CALLERS);
  g_assert_cmpuint (census.fewest_moves, >=, CHANGES);
  for (guint i = 0; i < CALLERS; i++)
    g_test_message ("caller %u: %" G_GUINT64_FORMAT " calls, none failed", i,
                    caller_stop (&load.callers[i]));
  g_test_message ("%u flows, each moved at least %" G_GUINT64_FORMAT " times, in %.1f s", census.n,
                  census.fewest_moves, (double) (g_get_monotonic_time () - began) / 1e6);
  load_clear (&load);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status) || caller_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/mesh/rotation/no-call-fails-while-the-authority-changes-three-times", MeshFixture,
              NULL, mesh_fixture_set_up, test_load, mesh_fixture_tear_down);
  return g_test_run ();
}
