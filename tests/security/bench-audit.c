/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many records a second the audit trail takes, all different, and how fast it is verified with
 * the hash function of GLib and with that of GnuTLS. Usage: bench-audit [RECORDS [THREADS]], or
 * --smoke
 */
#include "config.h"

#include "audit-fixture.h"

#ifdef HAVE_GNUTLS
#include "auth/common/commy-pki-seal.h"
#endif

#include <stdlib.h>

#define STEP 2000u

typedef struct
{
  CommyAuditLog *log;
  guint n;
} Adder;

static gpointer
add_many (gpointer data)
{
  Adder *self = data;
  char method[24];

  for (guint i = 0; i < self->n; i++)
    {
      CommyAuditEvent event = { {
          [COMMY_AUDIT_TYPE] = "call",
          [COMMY_AUDIT_OUTCOME] = "denied",
          [COMMY_AUDIT_PRINCIPAL] = i % 3 ? "unix:uid=1000" : "spiffe://d/host/h/user/ann",
          [COMMY_AUDIT_TRANSPORT] = "local",
          [COMMY_AUDIT_SERVICE] = "org.example.Ledger",
          [COMMY_AUDIT_METHOD] = method,
          [COMMY_AUDIT_RULE] = "nobody-deletes",
          [COMMY_AUDIT_ORIGIN] = "system:/etc/commy/commy.conf:17",
      } };

      g_snprintf (method, sizeof method, "Delete%u", i);
      commy_audit_log_add (self->log, &event);
      /* No faster than the disk: what is measured is what can go on for ever. */
      if (i % STEP == STEP - 1)
        commy_audit_log_sync (self->log);
    }
  return NULL;
}

static double
now_s (void)
{
  return (double) g_get_monotonic_time () / G_USEC_PER_SEC;
}

static void
measure_write (AuditFixture *fixture, guint n, guint n_threads)
{
  CommyAuditLogSetup setup = audit_fixture_setup (fixture);
  g_autofree GThread **threads = g_new0 (GThread *, n_threads);
  g_autofree Adder *adders = g_new0 (Adder, n_threads);
  double begin = now_s ();

  setup.now = NULL;
  for (guint i = 0; i < n_threads; i++)
    adders[i] = (Adder){ .n = n / n_threads };
  adders[0].log = commy_audit_log_new (&setup);
  for (guint i = 0; i < n_threads; i++)
    {
      adders[i].log = adders[0].log;
      threads[i] = g_thread_new ("adder", add_many, &adders[i]);
    }
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (commy_audit_log_get_lost (adders[0].log), ==, 0);
  commy_audit_log_free (adders[0].log);
  g_print ("write: %u threads, %.0f records/s until all are on the disk\n", n_threads,
           n / (now_s () - begin));
}

static void
measure_verify (AuditFixture *fixture, const char *name, const CommyAuditTools *tools)
{
  double best = 0;

  for (guint i = 0; i < 3; i++)
    {
      double begin = now_s ();
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) report = commy_audit_verify (fixture->dir, tools, NULL, &error);
      double took = now_s () - begin;

      g_assert_no_error (error);
      g_assert_cmpuint (audit_report_get (report, "fault_count"), ==, 0);
      best = MAX (best, (double) audit_report_get (report, "bytes") / took / 1e6);
      if (i == 2)
        g_print ("verify with %s: %.0f MB/s, %.0f records/s (%.0f bytes a record)\n", name, best,
                 best * 1e6 * (double) audit_report_get (report, "records")
                     / (double) audit_report_get (report, "bytes"),
                 (double) audit_report_get (report, "bytes")
                     / (double) audit_report_get (report, "records"));
    }
}

int
main (int argc, char **argv)
{
  const gboolean is_smoke = argc > 1 && g_str_equal (argv[1], "--smoke");
  guint n = is_smoke ? 2 * STEP : argc > 1 ? (guint) atoi (argv[1]) : 400000;
  guint n_threads = argc > 2 ? (guint) atoi (argv[2]) : 2;
  AuditFixture fixture = { 0 };
#ifdef HAVE_GNUTLS
  CommyAuditTools tools = { sizeof tools, commy_pki_seal_hash, NULL, NULL };
#endif

  audit_fixture_set_up (&fixture, NULL);
  measure_write (&fixture, MAX (n, 1), CLAMP (n_threads, 1, 64));
  measure_verify (&fixture, "GLib", NULL);
#ifdef HAVE_GNUTLS
  measure_verify (&fixture, "GnuTLS", &tools);
#endif
  audit_fixture_tear_down (&fixture, NULL);
  return 0;
}
