/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules of listening and connecting, and of what a transport says of itself and of its peers.
 */
#include "config.h"

#include "commy-transport-rules.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
listen_gives_an_address (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  char reason[256] = "";

  g_assert_nonnull (endpoint.address);
  g_assert_cmpuint (strlen (endpoint.address), >, 0);
  g_assert_true (g_str_is_ascii (endpoint.address));
  g_assert_null (strchr (endpoint.address, '\n'));
  g_assert_true (rig->ops->reachable (rig->instances[1], &endpoint, reason, sizeof reason));
}

static void
refused (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  g_autofree char *address = g_strdup (endpoint.address);
  RigAttempt *attempt;

  rig_unlisten (rig);
  endpoint.address = address;
  attempt = rig_connect (rig, &endpoint);
  rig_until (rig, attempt->n_done > 0);
  g_assert_nonnull (attempt->error);
  g_assert_cmpstr (g_quark_to_string (attempt->error->domain), ==, "commy-error-quark");
  g_assert_cmpuint (strlen (attempt->error->message), >, 0);
  g_assert_false (g_str_has_suffix (attempt->error->message, "."));
  rig_attempt_free (attempt);
}

static void
refused_by_a_full_listener (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *attempt;
  gboolean over = FALSE;

  rig->alloc_nothing = TRUE;
  attempt = rig_connect (rig, &endpoint);
  while (!over)
    {
      CommyMessage message;

      rig_pump (rig);
      over = attempt->error != NULL;
      /* Some only hear of it once they are connected. */
      if (attempt->n_done > 0 && attempt->error == NULL)
        over = rig->ops->peek (attempt->connection, &message) == COMMY_IO_CLOSED;
    }
  g_assert_cmpuint (rig->n_opened + rig->n_failed, ==, 0);
  rig_attempt_free (attempt);
}

static void
bad_addresses_are_refused (Rig *rig, const RuleCase *test)
{
  static const char *const addresses[] = { "",         "/",        "////",
                                           "0",        "-1/x/y",   "99999999999999999999/a/b",
                                           "nonsense", "\xff\xfe", "a b" };
  g_autofree char *giant = g_strnfill (70000, 'a');

  for (gsize i = 0; i <= G_N_ELEMENTS (addresses); i++)
    {
      CommyEndpoint endpoint = rig_endpoint (rig);
      RigAttempt *attempt;

      endpoint.address = i < G_N_ELEMENTS (addresses) ? addresses[i] : giant;
      attempt = rig_connect (rig, &endpoint);
      rig_until (rig, attempt->n_done > 0);
      g_assert_nonnull (attempt->error);
      rig_attempt_free (attempt);
    }
}

static void
unreachable_has_a_reason (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  char reason[200] = "";
  char tiny[4] = "xyz";

  endpoint.address = "nonsense";
  g_assert_false (rig->ops->reachable (rig->instances[1], &endpoint, reason, sizeof reason));
  g_assert_cmpuint (strlen (reason), >, 3);
  g_assert_false (g_str_has_suffix (reason, "."));
  g_assert_false (rig->ops->reachable (rig->instances[1], &endpoint, tiny, sizeof tiny));
  g_assert_cmpuint (strnlen (tiny, sizeof tiny), <, sizeof tiny);
}

static void
cancelled (Rig *rig, const RuleCase *test)
{
  for (guint turns = 0; turns < 8; turns++)
    {
      CommyEndpoint endpoint = rig_endpoint (rig);
      RigAttempt *attempt = rig_connect (rig, &endpoint);
      RigAttempt *marker;
      guint done;

      for (guint i = 0; i < turns && attempt->n_done == 0; i++)
        g_main_context_iteration (rig->contexts[1], FALSE);
      done = attempt->n_done;
      rig_attempt_close (attempt);
      /* When a later connection is through, the closed one would have called by now. */
      marker = rig_connect (rig, &endpoint);
      rig_until (rig, marker->n_done > 0);
      g_assert_cmpuint (attempt->n_done, ==, done);
      rig_attempt_free (marker);
      rig_attempt_free (attempt);
    }
}

static void
unlisten_during_set_up (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  g_autofree char *address = g_strdup (endpoint.address);
  RigAttempt *attempt;
  RigAttempt *marker;
  guint opened;

  endpoint.address = address;
  attempt = rig_connect (rig, &endpoint);
  rig_unlisten (rig);
  opened = rig->n_opened + rig->n_failed;
  marker = rig_connect (rig, &endpoint);
  rig_until (rig, marker->n_done > 0 && attempt->n_done > 0);
  g_assert_nonnull (marker->error);
  g_assert_cmpuint (rig->n_opened + rig->n_failed, ==, opened);
  rig_attempt_free (marker);
  rig_attempt_free (attempt);
}

static void
close_inside_done (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *attempt = rig_connect (rig, &endpoint);

  attempt->close_in_done = TRUE;
  rig_until (rig, attempt->n_done > 0);
  g_assert_no_error (attempt->error);
  g_assert_null (attempt->connection);
  rig_attempt_free (attempt);
}

static void
close_inside_opened (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *attempt = rig_connect (rig, &endpoint);
  CommyMessage message = { 0 };

  rig->close_in_opened = TRUE;
  rig_until (rig, attempt->n_done > 0 && rig->n_opened + rig->n_failed > 0);
  if (attempt->error == NULL)
    g_assert_cmpint (rig_receive (rig, attempt->connection, NULL, &message), ==, COMMY_IO_CLOSED);
  rig_attempt_free (attempt);
}

static void
many_connections (Rig *rig, const RuleCase *test)
{
  enum
  {
    N = 64
  };
  RigAttempt *attempts[N];
  CommyEndpoint endpoint = rig_endpoint (rig);

  for (guint i = 0; i < N; i++)
    attempts[i] = rig_connect (rig, &endpoint);
  for (guint i = 0; i < N; i++)
    {
      rig_until (rig, attempts[i]->n_done > 0);
      g_assert_no_error (attempts[i]->error);
    }
  rig_until (rig, rig->accepted->len == N);
  for (guint32 i = 0; i < N; i++)
    rig_send (rig, attempts[i]->connection, &i, sizeof i);
  for (guint i = 0; i < N; i++)
    {
      gpointer server = g_ptr_array_index (rig->accepted, i);
      CommyMessage message = { 0 };
      guint32 number = N;

      g_assert_cmpint (rig_receive (rig, server, NULL, &message), ==, COMMY_IO_OK);
      memcpy (&number, message.data, MIN (message.size, sizeof number));
      rig->ops->release (server, &message);
      number += 1000;
      rig_send (rig, server, &number, sizeof number);
    }
  for (guint32 i = 0; i < N; i++)
    rig_expect_number (rig, attempts[i]->connection, NULL, i + 1000);
  for (guint i = 0; i < N; i++)
    rig_attempt_free (attempts[i]);
}

static void
evidence_is_filled (Rig *rig, const RuleCase *test)
{
  gpointer ends[] = { rig->client, rig->server };
  CommyEvidence evidence[2] = { 0 };

  for (guint i = 0; i < 2; i++)
    {
      evidence[i].struct_size = sizeof (CommyEvidence);
      evidence[i].pidfd = -1;
      rig->ops->evidence (ends[i], &evidence[i]);
      g_assert_cmpuint (evidence[i].struct_size, ==, sizeof (CommyEvidence));
      g_assert_cmpuint (evidence[i].kind, <=, COMMY_EVIDENCE_X509);
      g_assert_cmpuint (evidence[i].security, ==, rig->descriptor->note->profile.security);
      if (evidence[i].kind == COMMY_EVIDENCE_KERNEL || evidence[i].kind == COMMY_EVIDENCE_SELF)
        {
          g_assert_cmpuint (evidence[i].uid, ==, geteuid ());
          g_assert_cmpint (evidence[i].pid, ==, getpid ());
        }
      if (evidence[i].kind == COMMY_EVIDENCE_X509)
        g_assert_cmpuint (evidence[i].n_chain, >, 0);
    }
  g_assert_cmpint (evidence[0].has_binding, ==, evidence[1].has_binding);
  if (evidence[0].has_binding)
    {
      static const guint8 zeros[32];

      g_assert_cmpmem (evidence[0].binding, 32, evidence[1].binding, 32);
      g_assert_cmpint (memcmp (evidence[0].binding, zeros, 32), !=, 0);
    }
}

static double
cost_at (const CommyProfileSegment *segment, double bytes)
{
  return segment->latency_ns + segment->send_cpu_ns + segment->recv_cpu_ns
         + bytes
               * (segment->wire_ns_per_byte + segment->send_cpu_ns_per_byte
                  + segment->recv_cpu_ns_per_byte);
}

static void
profile_is_sane (Rig *rig, const RuleCase *test)
{
  const CommyProfile *profile = &rig->descriptor->note->profile;

  g_assert_cmpuint (profile->n_segments, >=, 1);
  g_assert_cmpuint (profile->n_segments, <=, COMMY_PROFILE_SEGMENTS);
  g_assert_cmpuint (profile->provenance, <, COMMY_PROVENANCE_OPERATOR);
  g_assert_cmpuint (profile->security, <=, COMMY_SECURITY_MUTUAL);
  g_assert_cmpuint (profile->reach, !=, 0);
  g_assert_cmpuint (profile->reach, <=, 7);
  g_assert_cmpfloat (profile->size_factor, ==, 1.0);
  g_assert_true (isfinite (profile->connect_ns) && profile->connect_ns >= 0);
  g_assert_true (profile->loss >= 0 && profile->loss <= 1);
  for (guint i = 0; i < profile->n_segments; i++)
    {
      const CommyProfileSegment *segment = &profile->segments[i];

      g_assert_true (isfinite (cost_at (segment, 1)) && cost_at (segment, 0) >= 0);
      if (i == 0)
        continue;
      g_assert_cmpuint (segment->max_bytes, >, segment[-1].max_bytes);
      g_assert_cmpfloat (cost_at (segment, (double) segment[-1].max_bytes + 1), >=,
                         cost_at (&segment[-1], (double) segment[-1].max_bytes));
    }
  g_assert_cmpuint (profile->segments[profile->n_segments - 1].max_bytes, ==, G_MAXUINT64);
}

static void
estimate_is_pure (Rig *rig, const RuleCase *test)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  CommyProfile profiles[2];

  if (rig->ops->estimate == NULL)
    {
      g_test_skip ("the transport has no estimate");
      return;
    }
  for (guint i = 0; i < 2; i++)
    {
      profiles[i] = rig->descriptor->note->profile;
      rig->ops->estimate (rig->instances[1], &endpoint, &profiles[i]);
    }
  g_assert_cmpmem (&profiles[0], sizeof profiles[0], &profiles[1], sizeof profiles[1]);
}

/* Whether the other side ended this socket; what it said before does not matter. */
static gboolean
has_ended (int fd)
{
  char said[256];
  ssize_t got;

  do
    got = recv (fd, said, sizeof said, MSG_DONTWAIT);
  while (got > 0 || (got < 0 && errno == EINTR));
  return got == 0 || errno != EAGAIN;
}

static void
ask_and_answer (Rig *rig)
{
  rig_send (rig, rig->client, "question", 8);
  rig_expect (rig, rig->server, rig->client, "question", 8);
  rig_send (rig, rig->server, "answer", 6);
  rig_expect (rig, rig->client, rig->server, "answer", 6);
}

static void
half_open_peer (Rig *rig, const RuleCase *test)
{
  enum
  {
    N = 5
  };
  CommyEndpoint endpoint = rig_endpoint (rig);
  RigAttempt *later;
  int strangers[N];

  for (guint i = 0; i < N; i++)
    strangers[i] = rig_knock (rig);
  close (strangers[0]); /* one changes its mind */
  ask_and_answer (rig);
  later = rig_connect (rig, &endpoint); /* queues behind the strangers */
  rig_until (rig, later->n_done > 0);
  g_assert_no_error (later->error);
  rig_until (rig, rig->n_opened == 2);
  ask_and_answer (rig);
  rig_unlisten (rig);
  for (guint i = 1; i < N; i++)
    {
      rig_until (rig, has_ended (strangers[i]));
      close (strangers[i]);
    }
  ask_and_answer (rig);
  rig_attempt_free (later);
}

static const Rule rules[] = {
  { "profile-is-sane", profile_is_sane, 0 },
  { "listen-gives-an-address", listen_gives_an_address, 0 },
  { "refused", refused, 0 },
  { "refused-by-a-full-listener", refused_by_a_full_listener, 0 },
  { "bad-addresses-are-refused", bad_addresses_are_refused, 0 },
  { "unreachable-has-a-reason", unreachable_has_a_reason, 0 },
  { "cancelled", cancelled, 0 },
  { "unlisten-during-set-up", unlisten_during_set_up, 0 },
  { "close-inside-done", close_inside_done, 0 },
  { "close-inside-opened", close_inside_opened, 0 },
  { "many-connections", many_connections, 0 },
  { "estimate-is-pure", estimate_is_pure, 0 },
  { "evidence-is-filled", evidence_is_filled, NEEDS_PAIR },
  { "half-open-peer", half_open_peer, NEEDS_PAIR | NEEDS_PROCESSES },
};

const Rule *
commy_transport_rules_set_up (gsize *out_n)
{
  *out_n = G_N_ELEMENTS (rules);
  return rules;
}
