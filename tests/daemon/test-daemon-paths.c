/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One policy on every path, for a caller who is another user than the service: both meet through
 * commyd, and the same table of cases goes over each transport in turn. What the caller is told and
 * what both trails say has to be the same, but for the names that paths give the two users.
 */
#include "config.h"

#include "trail-tally.h"
#include "users-scene.h"

#include <commy/commy.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NODE "org.commy.Node1"
#define CALLER_OPTION "--caller"

typedef struct
{
  const char *name;
  const char *service;
  const char *method;
  int code; /* 0: allowed */
} Case;

static const Case cases[] = {
  { "named by a rule", TEST_SERVICE, "Pid", 0 },
  { "a denial that is over, or of others", TEST_SERVICE, "Who", 0 },
  { "a role by inheritance", TEST_SERVICE, "Counted", 0 },
  { "a role of others", TEST_SERVICE, "Inside", COMMY_ERROR_DENIED },
  { "above the floor", TEST_SERVICE, "Add", 0 },
  { "no rule but the last", TEST_SERVICE, "Go", COMMY_ERROR_DENIED },
  { "a later rule wins", TEST_SERVICE, "Slow", COMMY_ERROR_DENIED },
  { "an unknown method that is allowed", TEST_SERVICE, "Nothing", COMMY_ERROR_NO_METHOD },
  { "an unknown method that is denied", TEST_SERVICE, "Nowhere", COMMY_ERROR_DENIED },
  { "an error of the service's own", TEST_SERVICE, "Fail", COMMY_ERROR_REMOTE },
  { "an operation", NODE, "Cordon", COMMY_ERROR_DENIED },
};

/* Of the service: user B under each of his names, and another user who is nobody here. */
#define OF_A                                                                                  \
  "[audit]\nenabled=true\ncalls=all\n"                                                        \
  "[role b]\nmembers=unix:uid=54322;spiffe://*/user/b\ninherits=base\n"                       \
  "[role base]\nmembers=unix:uid=4242\n"                                                      \
  "[role others]\nmembers=unix:uid=54321;unix:uid=4242;spiffe://*/user/a;spiffe://*/user/c\n" \
  "[policy none]\nprincipals=*\nservices=" TEST_SERVICE "\neffect=deny\n"                     \
  "[policy named]\nroles=b\nservices=" TEST_SERVICE                                           \
  "\nmethods=Pid;Who;Slow;Nothing;Fail\neffect=allow\n"                                       \
  "[policy inherited]\nroles=base\nmethods=Counted\neffect=allow\n"                           \
  "[policy others]\nroles=others\nmethods=Inside\neffect=allow\n"                             \
  "[policy not-b]\nroles=others\nmethods=Who\neffect=deny\n"                                  \
  "[policy past]\nroles=b\nmethods=Who\nuntil=2001-01-01\neffect=deny\n"                      \
  "[policy later]\nroles=b\nmethods=Slow\neffect=deny\n"                                      \
  "[policy floor]\nroles=b\nmethods=Add\nmin-security=kernel\neffect=allow\n"                 \
  "[policy enter]\nroles=b\nservices=" NODE "\nmethods=*\neffect=allow\n"                     \
  "[policy hands-off]\nprincipals=*\nverbs=control\noperations=cordon\neffect=deny\n"

/* Of the caller: whom he believes. */
#define OF_B                                                                       \
  "[audit]\nenabled=true\ncalls=all\n[selection]\npreference=pin\ntransports=%s\n" \
  "[policy believe]\nprincipals=unix:uid=54321;spiffe://*/user/a\n"                \
  "services=" TEST_SERVICE ";" NODE "\nverbs=offer\neffect=allow\n"

/* --- user B --- */

/* The one node that is not this one. */
static void
choose_other (CommyMesh *mesh, CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, NODE, NULL, &error);

  g_assert_no_error (error);
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (all, i);
      const char *node = "", *id = "";

      g_variant_lookup (instance, "node", "&s", &node);
      g_variant_lookup (instance, "instance", "&s", &id);
      if (strcmp (node, commy_mesh_get_node_id (mesh)) != 0)
        commy_client_set_instance (client, id);
    }
}

static void
try_case (CommyMesh *mesh, const Case *one, GString *out)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, one->service);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  GVariant *arguments = NULL;

  if (strcmp (one->service, NODE) == 0)
    {
      choose_other (mesh, client);
      arguments = g_variant_new ("(b)", TRUE);
    }
  else if (strcmp (one->method, "Add") == 0)
    arguments = g_variant_new ("(ii)", 1, 2);
  answer = commy_client_call_sync (client, one->method, arguments, NULL, NULL, &error);
  g_string_append_printf (out, "%s: %d %s\n", one->name, error != NULL ? error->code : 0,
                          error != NULL ? error->message : "");
}

/* Tells through descriptor 3 what it was told. */
static int
caller_main (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("test", text, &error);
  g_autoptr (GString) out = g_string_new (NULL);

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, &error))
    {
      g_printerr ("caller: %s\n", error->message);
      return 1;
    }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    try_case (mesh, &cases[i], out);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return write (3, out->str, out->len) == (ssize_t) out->len ? 0 : 2;
}

/* --- both --- */

#ifdef HAVE_GNUTLS

/* The file system keeps other users from the doors of one: who wants them has to open them. */
static void
open_doors (const char *home)
{
  g_autofree char *run = g_build_filename (home, "run", NULL);
  g_autofree char *doors = g_build_filename (run, "test", NULL);
  g_autoptr (GDir) dir = NULL;
  const char *name;
  guint n = 0;

  g_assert_cmpint (g_chmod (home, 0711), ==, 0);
  g_assert_cmpint (g_chmod (run, 0711), ==, 0);
  g_assert_cmpint (g_chmod (doors, 0711), ==, 0);
  dir = g_dir_open (doors, 0, NULL);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (doors, name, NULL);

      if (g_str_has_suffix (name, ".sock") && g_chmod (path, 0666) == 0)
        n++;
    }
  g_assert_cmpuint (n, >=, 2);
}

static void
read_all (int fd, GString *out)
{
  char block[4096];
  ssize_t n;

  while ((n = read (fd, block, sizeof block)) > 0)
    g_string_append_len (out, block, n);
  close (fd);
}

static void
append_trail (const char *home, GString *out)
{
  g_autofree char *dir = g_build_filename (home, "state", "test", "audit", NULL);

  g_string_append (out, "--\n");
  trail_tally_append (dir, out);
}

static void
assert_cases (const char *transport, const char *told)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *line = g_strdup_printf ("%s: %d ", cases[i].name, cases[i].code);

      if (strstr (told, line) == NULL)
        g_error ("over %s: no \"%s\" in\n%s", transport, line, told);
    }
}

/* What B was told, and what both recorded, in words of no path; NULL: cannot be tried here.
 * (transfer full) */
static char *
run (HostFixture *fixture, CommyPkiAuthority *authority, const char *transport)
{
  g_autofree char *home_a = host_make_home (fixture, authority, "a", USER_A);
  g_autofree char *home_b = host_make_home (fixture, authority, "b", USER_B);
  g_autofree char *text_a = host_dup_keyfile (fixture, home_a, OF_A);
  g_autofree char *policy_b = g_strdup_printf (OF_B, transport);
  g_autofree char *text_b = host_dup_keyfile (fixture, home_b, policy_b);
  g_autofree char *over = g_strdup_printf ("\\bover %s\\b", transport);
  g_autofree char *folder = g_regex_escape_string (fixture->daemon->dir, -1);
  const TrailWords words[] = { { "unix:uid=54321\\b", "A" },
                               { "unix:uid=54322\\b", "B" },
                               { "spiffe://[^ /]*/host/[^ /]*/user/a\\b", "A" },
                               { "spiffe://[^ /]*/host/[^ /]*/user/b\\b", "B" },
                               { over, "over IT" },
                               { folder, "DIR" } };
  g_autoptr (GString) out = g_string_new (NULL);
  char id[32];
  int door[2], told[2];
  pid_t service, caller;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, door), ==, 0);
  service = host_start_as (USER_A, home_a, "--service-child", text_a, door[1]);
  close (door[1]);
  if (read (door[0], id, sizeof id) != (ssize_t) sizeof id)
    {
      g_assert_cmpint (host_wait_for (service), ==, 77);
      g_test_skip ("the build tree is not open to other users");
      close (door[0]);
      return NULL;
    }
  open_doors (home_a);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, told), ==, 0);
  caller = host_start_as (USER_B, home_b, CALLER_OPTION, text_b, told[1]);
  close (told[1]);
  read_all (told[0], out);
  g_assert_cmpint (host_wait_for (caller), ==, 0);
  close (door[0]);
  g_assert_cmpint (host_wait_for (service), ==, 0);
  assert_cases (transport, out->str);
  append_trail (home_a, out);
  append_trail (home_b, out);
  return trail_dup_replaced (out->str, words, G_N_ELEMENTS (words));
}

/* Each over a daemon and homes of its own: a trail is of one path. */
static char *
run_alone (CommyPkiAuthority *authority, const char *transport)
{
  HostFixture fixture = { 0 };
  char *text;

  host_fixture_set_up (&fixture, NULL);
  host_open_to_all (fixture.daemon);
  text = run (&fixture, authority, transport);
  host_fixture_tear_down (&fixture, NULL);
  return text;
}

static void
test_paths (void)
{
  static const char *const transports[] = { "tls", "unix", "shm" };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autofree char *first = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can act as another user");
      return;
    }
  authority = commy_pki_authority_new ("test", g_get_real_time () / G_USEC_PER_SEC, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autofree char *text = run_alone (authority, transports[i]);

      if (text == NULL)
        return;
      g_test_message ("over %s:\n%s", transports[i], text);
      if (first == NULL)
        first = g_steal_pointer (&text);
      else if (strcmp (first, text) != 0)
        g_error ("over %s:\n%s\nover %s:\n%s", transports[0], first, transports[i], text);
    }
  g_assert_nonnull (strstr (first, "B may not call " TEST_SERVICE ".Go"));
  g_assert_nonnull (strstr (first, "[B]"));
}

#endif

int
main (int argc, char **argv)
{
  int status;

  if (argc > 2 && strcmp (argv[1], CALLER_OPTION) == 0)
    return caller_main (argv[2]);
  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#ifdef HAVE_GNUTLS
  /* attack: come as another user over the path on which less is asked; defence: one policy and one
   * trail for all of them, whoever it is */
  g_test_add_func ("/daemon/paths/another-user-is-judged-alike-on-each", test_paths);
#endif
  return g_test_run ();
}
