/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each principal may have recorded by being denied, and what becomes of the rest.
 */
#include "config.h"

#include "audit-fixture.h"

#include "security/commy-audit-budget.h"

#include <string.h>

static void
add_denial (CommyAuditLog *log, const char *who, guint i)
{
  char method[24];

  g_snprintf (method, sizeof method, "Get%u", i);
  g_assert_true (commy_audit_log_add (log, &(CommyAuditEvent){ {
                                               [COMMY_AUDIT_TYPE] = "call",
                                               [COMMY_AUDIT_OUTCOME] = "denied",
                                               [COMMY_AUDIT_PRINCIPAL] = who,
                                               [COMMY_AUDIT_METHOD] = method,
                                           } }));
}

typedef struct
{
  const char *who;
  guint records; /* of him, and what they stand for */
  guint64 events;
  guint told;
} Denials;

static gboolean
count_denials (GVariant *record, gpointer data)
{
  Denials *self = data;
  const char *who = NULL, *details = NULL;

  g_variant_lookup (record, "principal", "&s", &who);
  g_variant_lookup (record, "details", "&s", &details);
  if (g_strcmp0 (who, self->who) != 0)
    return TRUE;
  self->records++;
  self->events += audit_report_get (record, "count");
  self->told += g_strcmp0 (details, COMMY_AUDIT_WITHHELD_DENIALS) == 0;
  return TRUE;
}

/* One who is denied by the thousand has his own share; what another is denied is all there, and so
 * is how much of his is not. */
static void
test_denials (AuditFixture *self, gconstpointer data)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  Denials loud = { .who = "unix:uid=1" }, quiet = { .who = "unix:uid=2" };
  CommyAuditLog *log;

  setup.denied_per_second = 2;
  log = commy_audit_log_new (&setup);
  for (guint i = 0; i < 3000; i++)
    add_denial (log, loud.who, i);
  for (guint i = 0; i < 100; i++)
    add_denial (log, quiet.who, i);
  commy_audit_log_free (log);
  audit_assert_whole (self);
  g_assert_true (commy_audit_read (self->dir, count_denials, &loud, NULL));
  g_assert_true (commy_audit_read (self->dir, count_denials, &quiet, NULL));
  g_assert_cmpuint (loud.records, ==, 2 * 60 + 1);
  g_assert_cmpuint (loud.events, ==, 3000);
  g_assert_cmpuint (loud.told, ==, 1);
  g_assert_cmpuint (quiet.records, ==, 100);
  g_assert_cmpuint (quiet.told, ==, 0);
}

/* What is allowed is never withheld. */
static void
test_allowed (void)
{
  g_autoptr (CommyAuditBudget) budget = commy_audit_budget_new (1, 1);
  const CommyAuditRecord record
      = { .texts = { [COMMY_AUDIT_OUTCOME] = "allowed", [COMMY_AUDIT_PRINCIPAL] = "unix:uid=1" } };

  for (guint i = 0; i < 1000; i++)
    g_assert_true (commy_audit_budget_take (budget, &record));
}

static void
count_told (gpointer data, const CommyAuditRecord *record)
{
  *(guint64 *) data += record->count;
}

/* As many principals as have a place: the next ones share one, nobody who has one loses it, and
 * there is room again when some rested. */
static void
test_many_principals (void)
{
  g_autoptr (CommyAuditBudget) budget = commy_audit_budget_new (1, 1);
  CommyAuditRecord record = { .boot_ns = 1, .texts = { [COMMY_AUDIT_OUTCOME] = "denied" } };
  guint64 told = 0, withheld = 0;

  for (guint i = 0; i < COMMY_AUDIT_BUDGET_PRINCIPALS + 100; i++)
    {
      g_autofree char *name = g_strdup_printf ("unix:uid=%u", i);

      record.texts[COMMY_AUDIT_PRINCIPAL] = name;
      withheld += !commy_audit_budget_take (budget, &record);
    }
  g_assert_cmpuint (withheld, ==, 100 - COMMY_AUDIT_BUDGET_S); /* of all newcomers together */
  record.texts[COMMY_AUDIT_PRINCIPAL] = "unix:uid=7";
  g_assert_true (commy_audit_budget_take (budget, &record));
  commy_audit_budget_collect (budget, 0, 2, FALSE, count_told, &told);
  g_assert_cmpuint (told, ==, 0);
  record.boot_ns += COMMY_AUDIT_BUDGET_TELL_NS;
  commy_audit_budget_collect (budget, 0, record.boot_ns, FALSE, count_told, &told);
  g_assert_cmpuint (told, ==, withheld);
  record.texts[COMMY_AUDIT_PRINCIPAL] = "unix:uid=99999";
  for (guint i = 0; i < COMMY_AUDIT_BUDGET_S; i++)
    g_assert_true (commy_audit_budget_take (budget, &record));
  g_assert_false (commy_audit_budget_take (budget, &record));
}

#define ADD(PATH, FUNC) \
  g_test_add (PATH, AuditFixture, NULL, audit_fixture_set_up, FUNC, audit_fixture_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* attack: be denied by the thousand, so that what others do is not recorded; defence: each
   * principal has a share of records, beyond which its denials are counted */
  ADD ("/audit-budget/each-principal-has-a-share", test_denials);
  g_test_add_func ("/audit-budget/what-is-allowed-is-recorded", test_allowed);
  g_test_add_func ("/audit-budget/of-so-many-principals", test_many_principals);
  return g_test_run ();
}
