/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of connections over TLS when what they were set up with is denied, revoked, or ends:
 * a service in a process of its own and a client here, each with its own certificate.
 */
#include "config.h"

#include "auth/common/commy-pki-admission.h"
#include "mesh-fixture.h"
#include "mesh-scene.h"

#include <commy/commy-audit.h>
#include <string.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC)
#define SETTINGS                                                                              \
  "credentials-dir=%s\n[selection]\npreference=pin\ntransports=tls\nmin-security=mutual\n"    \
  "[service " TEST_SERVICE "]\nbreaker=false\nejection=false\n[security]\nproof-check="       \
  "100ms\nproof-grace=%s\n[audit]\nenabled=true\ndirectory=%s-audit\n"                        \
  "[policy "                                                                                  \
  "whose-name-it-is-matters-not]\nprincipals=spiffe://*\nverbs=offer\nservices=" TEST_SERVICE \
  "\neffect=allow\n"

typedef struct
{
  MeshFixture *fixture;
  char *authority; /* its folder */
  char *server, *caller;
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
} Pair;

static gint64
now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static void
issue (Pair *self, const char *dir, const char *host, gint64 from_s, gint64 until_s)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (self->authority, &error);
  g_autoptr (CommyPkiPair) pair = NULL;

  g_assert_no_error (error);
  pair = commy_pki_issue (authority, host, "tester", from_s, until_s, &error);
  g_assert_no_error (error);
  g_assert_true (commy_pki_note_issued (self->authority, pair->cert_pem, now_s (), &error));
  g_assert_true (commy_pki_pair_save (pair, authority, dir, &error));
}

/* The caller's certificate is good from and until these seconds from now. */
static void
pair_init (Pair *self, MeshFixture *fixture, gint64 from_s, gint64 until_s, const char *grace)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_new ("test", now_s (), &error);
  g_autofree char *served = NULL;
  g_autofree char *calling = NULL;

  g_assert_no_error (error);
  self->fixture = fixture;
  self->authority = g_build_filename (fixture->dir, "authority", NULL);
  self->server = g_build_filename (fixture->dir, "server", NULL);
  self->caller = g_build_filename (fixture->dir, "caller", NULL);
  g_assert_true (commy_pki_authority_save (authority, self->authority, &error));
  issue (self, self->server, "testhost", now_s () - 60, now_s () + 86400);
  issue (self, self->caller, "callhost", now_s () + from_s, now_s () + until_s);
  served = g_strdup_printf (SETTINGS, self->server, grace, self->server);
  calling = g_strdup_printf (SETTINGS, self->caller, grace, self->caller);
  mesh_fixture_capture_log (fixture);
  self->child = service_child_start (fixture, served, 1);
  self->mesh = mesh_fixture_join (fixture, calling);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
}

static void
pair_clear (Pair *self)
{
  g_clear_object (&self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  if (self->child != NULL)
    service_child_free (self->child);
  g_free (self->authority);
  g_free (self->server);
  g_free (self->caller);
}

static gboolean
call (Pair *self, GError **error)
{
  g_autoptr (GVariant) answer
      = commy_client_call_sync (self->client, "Pid", NULL, NULL, NULL, error);

  return answer != NULL;
}

static void
call_well (Pair *self)
{
  g_autoptr (GError) error = NULL;

  call (self, &error);
  g_assert_no_error (error);
}

/* Calls until one fails with @code, or without one until it succeeds. */
static void
call_until (Pair *self, gint code, const char *words)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      gboolean done = call (self, &error);

      /* A call that is under way when its connection ends fails otherwise. */
      if (code == 0 ? done
                    : (!done && strstr (error->message, words) != NULL
                       && (code != COMMY_ERROR_REFUSED || error->code == code)))
        return;
      if (g_get_monotonic_time () > until)
        g_error ("it did not happen; last: %s", error != NULL ? error->message : "answered");
      g_main_context_iteration (NULL, FALSE);
    }
}

/* The one flow to the service: its certificate and how often it moved. */
static char *
dup_flow_proof (Pair *self, guint64 *out_moves)
{
  g_autoptr (GVariant) flows = mesh_ask_node (self->mesh, "Flows", NULL);
  char *proof = NULL;

  *out_moves = 0;
  for (gsize i = 0; i < g_variant_n_children (flows); i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *side = "", *service = "", *text = "";

      g_variant_lookup (flow, "side", "&s", &side);
      g_variant_lookup (flow, "service", "&s", &service);
      if (strcmp (side, "calls") != 0 || strcmp (service, TEST_SERVICE) != 0)
        continue;
      g_assert_null (proof);
      g_variant_lookup (flow, "proof", "&s", &text);
      g_variant_lookup (flow, "moves", "t", out_moves);
      proof = g_strdup (text);
    }
  return proof;
}

static char *
dup_caller_id (Pair *self, gboolean name)
{
  g_autofree char *pem = commy_pki_read_file (self->caller, COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_autoptr (CommyPkiInfo) info = commy_pki_info_new (pem, NULL);

  return g_strdup (name ? info->name : info->id);
}

static gboolean
look (GVariant *record, gpointer data)
{
  const char *type = "", *outcome = "", *reason = "";

  g_variant_lookup (record, "type", "&s", &type);
  g_variant_lookup (record, "outcome", "&s", &outcome);
  g_variant_lookup (record, "reason", "&s", &reason);
  if (strcmp (type, "peer") == 0 && strcmp (outcome, "ended") == 0 && strstr (reason, "CMY0401"))
    ++*(guint *) data;
  return TRUE;
}

static guint
count_endings (const char *dir)
{
  g_autofree char *audit = g_strconcat (dir, "-audit", NULL);
  guint n = 0;

  g_assert_true (commy_audit_read (audit, look, &n, NULL));
  return n;
}

/* Records of a refusal that have all of these words. */
typedef struct
{
  const char *words[4];
  guint n;
} Refusals;

static gboolean
look_refused (GVariant *record, gpointer data)
{
  Refusals *self = data;
  const char *type = "", *outcome = "", *peer = "", *reason = "";
  gboolean fits;

  g_variant_lookup (record, "type", "&s", &type);
  g_variant_lookup (record, "outcome", "&s", &outcome);
  g_variant_lookup (record, "reason", "&s", &reason);
  g_variant_lookup (record, "peer", "&s", &peer);
  fits = strcmp (type, "peer") == 0 && strcmp (outcome, "refused") == 0
         && strcmp (reason, "CMY0401") == 0;
  for (guint i = 0; fits && i < G_N_ELEMENTS (self->words); i++)
    fits = strstr (peer, self->words[i]) != NULL;
  self->n += fits;
  return TRUE;
}

/* Why, and which certificate it was: its name with the serial number, whose it said it was, and
 * who issued it. */
static void
check_refusal (const char *dir, const char *why, const char *name, const char *id)
{
  g_autofree char *audit = g_strconcat (dir, "-audit", NULL);
  Refusals refusals = { { why, name, id, ", issuer " }, 0 };

  g_assert_true (commy_audit_read (audit, look_refused, &refusals, NULL));
  g_assert_cmpuint (refusals.n, >=, 1);
}

/* --- denied --- */

static void
test_denied (MeshFixture *fixture, gconstpointer by_certificate)
{
  Pair pair;
  g_autofree char *subject = NULL;
  g_autofree char *told = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = NULL;
  guint endings;

  pair_init (&pair, fixture, -60, 86400, "1h");
  call_well (&pair);
  subject = dup_caller_id (&pair, by_certificate != NULL);
  g_assert_true (commy_mesh_deny (pair.mesh, subject, "leaked", 0, &error));
  g_assert_no_error (error);
  list = commy_mesh_list_denied (pair.mesh, &error);
  g_assert_cmpuint (g_variant_n_children (list), ==, 1);
  call_until (&pair, COMMY_ERROR_UNREACHABLE, "");
  told = g_strdup_printf ("closed a connection of %s over tls: %s is denied: leaked", TEST_SERVICE,
                          subject);
  mesh_fixture_await_log (fixture, told);
  /* New ones are refused, and the caller is told why. */
  call_until (&pair, COMMY_ERROR_REFUSED, "is denied: leaked");
  mesh_fixture_await_log (fixture, "refused a peer on tls: ");
  g_assert_true (commy_mesh_allow (pair.mesh, subject, &error));
  g_assert_false (commy_mesh_allow (pair.mesh, subject, &error));
  g_assert_no_error (error);
  call_until (&pair, 0, NULL);
  service_child_free (g_steal_pointer (&pair.child));
  endings = count_endings (pair.server);
  g_assert_cmpuint (endings, ==, 1);
  pair_clear (&pair);
}

/* The server is denied: it is the caller who closes. */
static void
test_denied_server (MeshFixture *fixture, gconstpointer data)
{
  Pair pair;
  g_autoptr (GError) error = NULL;
  g_autofree char *pem = NULL;
  g_autoptr (CommyPkiInfo) info = NULL;

  pair_init (&pair, fixture, -60, 86400, "1h");
  call_well (&pair);
  pem = commy_pki_read_file (pair.server, COMMY_PKI_CERT_FILE, FALSE, NULL);
  info = commy_pki_info_new (pem, NULL);
  g_assert_true (commy_mesh_deny (pair.mesh, info->name, "", 0, &error));
  call_until (&pair, COMMY_ERROR_REFUSED, "is denied: no reason given");
  pair_clear (&pair);
}

static void
test_bad_subjects (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  static const char *const bad[] = { "", "a b", "a\nb", "a\xff" };
  g_autofree char *reason = g_strnfill (257, 'x');

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (commy_mesh_deny (mesh, bad[i], "x", 0, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
    }
  g_assert_false (commy_mesh_deny (mesh, "token:x", reason, 0, NULL));
  g_assert_false (commy_mesh_deny (mesh, "token:x", "two\nlines", 0, NULL));
  g_assert_false (commy_mesh_deny (mesh, "token:x", "", -1, NULL));
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* --- revoked --- */

static void
test_revoked (MeshFixture *fixture, gconstpointer data)
{
  Pair pair;
  g_auto (CommyPkiRevocation) revocation = { NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *crl = NULL;
  g_autofree char *name = NULL;
  g_autofree char *id = NULL;

  pair_init (&pair, fixture, -60, 86400, "1h");
  call_well (&pair);
  name = dup_caller_id (&pair, TRUE);
  id = dup_caller_id (&pair, FALSE);
  g_assert_true (commy_pki_revoke (pair.authority, name, now_s (), &revocation, &error));
  g_assert_no_error (error);
  crl = commy_pki_read_file (pair.authority, COMMY_PKI_CRL_FILE, FALSE, &error);
  g_assert_true (commy_pki_write_file (pair.server, COMMY_PKI_CRL_FILE, crl, 0644, FALSE, &error));
  call_until (&pair, COMMY_ERROR_UNREACHABLE, "");
  mesh_fixture_await_log (fixture, "closed a connection of " TEST_SERVICE
                                   " over tls: the certificate was revoked");
  call_until (&pair, COMMY_ERROR_REFUSED, "Certificate was revoked");
  mesh_fixture_await_log (fixture, "the certificate was revoked at ");
  /* A new one of the same name is as good as any. */
  issue (&pair, pair.caller, "callhost", now_s () - 60, now_s () + 86400);
  call_until (&pair, 0, NULL);
  service_child_free (g_steal_pointer (&pair.child));
  check_refusal (pair.server, "the certificate was revoked at ", name, id);
  pair_clear (&pair);
}

/* --- of another authority --- */

static void
test_strange (MeshFixture *fixture, gconstpointer data)
{
  Pair pair;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) other = commy_pki_authority_new ("test", now_s (), &error);
  g_autoptr (CommyPkiPair) strange
      = commy_pki_issue (other, "callhost", "tester", now_s () - 60, now_s () + 86400, &error);
  g_autofree char *dir = NULL;
  g_autofree char *ours = NULL;
  g_autofree char *theirs = NULL;
  g_autofree char *both = NULL;
  g_autofree char *name = NULL;
  g_autofree char *id = NULL;

  g_assert_no_error (error);
  pair_init (&pair, fixture, -60, 86400, "1h");
  /* The caller believes both, so that it is the service that refuses. */
  dir = g_build_filename (fixture->dir, "other", NULL);
  g_assert_true (commy_pki_authority_save (other, dir, &error));
  ours = commy_pki_read_file (pair.caller, COMMY_PKI_CA_FILE, FALSE, &error);
  theirs = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, &error);
  both = g_strconcat (ours, theirs, NULL);
  g_assert_true (commy_pki_write_file (pair.caller, COMMY_PKI_CA_FILE, both, 0644, FALSE, &error));
  g_assert_true (commy_pki_write_file (pair.caller, COMMY_PKI_CERT_FILE, strange->cert_pem, 0644,
                                       FALSE, &error));
  g_assert_true (commy_pki_write_file (pair.caller, COMMY_PKI_KEY_FILE, strange->key_pem, 0600,
                                       FALSE, &error));
  name = dup_caller_id (&pair, TRUE);
  id = dup_caller_id (&pair, FALSE);
  call_until (&pair, COMMY_ERROR_REFUSED, "CA is unknown");
  service_child_free (g_steal_pointer (&pair.child));
  check_refusal (pair.server, "not signed by this mesh's authority", name, id);
  pair_clear (&pair);
}

/* --- time --- */

static void
test_end (MeshFixture *fixture, gconstpointer data)
{
  Pair pair;
  g_autofree char *name = NULL;
  g_autofree char *id = NULL;

  pair_init (&pair, fixture, -60, 3, "0s");
  call_well (&pair);
  name = dup_caller_id (&pair, TRUE);
  id = dup_caller_id (&pair, FALSE);
  mesh_fixture_await_log (fixture, "was let in with ended at ");
  call_until (&pair, COMMY_ERROR_REFUSED, "Certificate is expired");
  service_child_free (g_steal_pointer (&pair.child));
  check_refusal (pair.server, "the certificate expired at ", name, id);
  pair_clear (&pair);
}

static void
test_replaced (MeshFixture *fixture, gconstpointer data)
{
  Pair pair;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  guint64 moves = 0;
  gint64 ends = now_s () + 4;

  pair_init (&pair, fixture, -60, 4, "0s");
  call_well (&pair);
  before = dup_flow_proof (&pair, &moves);
  g_assert_cmpuint (moves, ==, 0);
  issue (&pair, pair.caller, "callhost", now_s () - 60, now_s () + 86400);
  while (moves == 0)
    {
      call_well (&pair);
      g_free (after);
      after = dup_flow_proof (&pair, &moves);
    }
  g_assert_cmpint (now_s (), <=, ends); /* before it ended */
  g_assert_cmpstr (before, ==, after);  /* the server's, which is the same */
  /* It goes on when the old one has ended, on the same flow. */
  while (now_s () <= ends + 1)
    {
      call_well (&pair);
      g_main_context_iteration (NULL,
                                FALSE); /* this node's connection to itself is replaced, too */
    }
  g_free (after);
  after = dup_flow_proof (&pair, &moves);
  g_assert_cmpuint (moves, ==, 1);
  pair_clear (&pair);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  /* That nobody renews the caller's certificate is what it is about. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
#define ADD(PATH, DATA, FUNC) \
  g_test_add (PATH, MeshFixture, DATA, mesh_fixture_set_up, FUNC, mesh_fixture_tear_down)
  /* attack: a peer that was shut out and is connected; defence: open connections are closed, on
   * both sides */
  ADD ("/mesh/proofs/who-is-denied-is-closed-and-refused-until-allowed", NULL, test_denied);
  ADD ("/mesh/proofs/a-certificate-that-is-denied-is-closed-and-refused", "certificate",
       test_denied);
  ADD ("/mesh/proofs/a-service-that-is-denied-is-left-by-its-callers", NULL, test_denied_server);
  ADD ("/mesh/proofs/nobody-is-denied-by-a-record-that-others-could-not-read", NULL,
       test_bad_subjects);
  /* attack: a revoked certificate; defence: refused, and open connections are closed */
  ADD ("/mesh/proofs/a-revoked-certificate-ends-connections-and-begins-none", NULL, test_revoked);
  ADD ("/mesh/proofs/a-certificate-of-a-strange-authority-is-named-in-the-trail", NULL,
       test_strange);
  /* attack: an expired certificate on an open connection; defence: it ends a grace after its
   * proof */
  ADD ("/mesh/proofs/a-connection-ends-with-its-certificate", NULL, test_end);
  ADD ("/mesh/proofs/a-renewed-certificate-replaces-the-connection-in-time", NULL, test_replaced);
  return g_test_run ();
}
