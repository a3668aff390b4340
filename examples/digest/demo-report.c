/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the demo tells people, on standard output, and the one judgement: was all right?
 */
#include "config.h"

#include "demo.h"

#include <stdio.h>

#define NUMBER "%" G_GUINT64_FORMAT

static char *
show_bytes (guint64 bytes)
{
  return g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS);
}

static char *
show_rate (guint64 bytes, gint64 us)
{
  g_autofree char *rate
      = us > 0 ? show_bytes ((guint64) ((double) bytes * G_USEC_PER_SEC / (double) us)) : NULL;

  return rate != NULL ? g_strconcat (rate, "/s", NULL) : g_strdup ("-");
}

static double
ms (gint64 us)
{
  return (double) us / 1000;
}

/* --- the judgement --- */

/* What vanished while the demo ran was not lost by the mesh. */
static gboolean
pass_is_right (const DemoPass *pass, guint64 files)
{
  return pass->files + pass->vanished == files && pass->wrong == 0 && pass->missing == 0;
}

gboolean
demo_report_is_right (const DemoReport *self)
{
  guint64 files = self->tree->files->len;

  for (guint i = 0; i < DEMO_INSTANCES; i++)
    if (!pass_is_right (&self->passes[i], files))
      return FALSE;
  /* The denial was obeyed, and the fallback was one: from a local path to TLS. On a busy machine
   * the measured best of the local paths need not be shared memory. */
  return demo_tally_get (self->passes[1].tally, "B over tls") == self->passes[1].calls
         && pass_is_right (&self->fallback.pass, files)
         && demo_tally_get (self->fallback.pass.tally, "A over shm")
                    + demo_tally_get (self->fallback.pass.tally, "A over unix")
                > 0
         && self->fallback.first_us >= 0;
}

/* --- the parts --- */

static void
print_lines (const GPtrArray *lines, const char *indent)
{
  for (guint i = 0; lines != NULL && i < lines->len; i++)
    printf ("%s%s\n", indent, (const char *) lines->pdata[i]);
}

void
demo_report_begin (const DemoReport *self)
{
  g_autofree char *bytes = show_bytes (self->tree->bytes);

  printf ("%u files, %s\n", self->tree->files->len, bytes);
  if (self->tree->others > 0)
    printf (NUMBER " symbolic links, sockets and the like are no files and are left out\n",
            self->tree->others);
  for (guint i = 0; i < DEMO_INSTANCES; i++)
    printf ("instance %s: process %d, keyfile %s, id %s\n", self->instances[i].label,
            self->instances[i].pid, self->instances[i].keyfile, self->instances[i].id);
  fflush (stdout);
}

static void
print_changes (const DemoPass *pass)
{
  if (pass->changed + pass->vanished > 0)
    printf (NUMBER " files changed and " NUMBER " vanished since they were digested here\n",
            pass->changed, pass->vanished);
  print_lines (pass->complaints, "  WRONG ");
}

void
demo_report_sent (const DemoReport *self)
{
  g_autofree char *local = show_rate (self->tree->bytes, self->tree->hashed_us);

  printf ("\n== every file through both instances, one call at a time\n\n"
          "%-20s %8s %8s %11s %10s %13s %6s %8s\n",
          "answers", "files", "digests", "bytes", "time", "rate", "wrong", "missing");
  for (guint i = 0; i < DEMO_INSTANCES; i++)
    {
      const DemoPass *pass = &self->passes[i];
      g_autofree char *by = demo_tally_show (pass->tally);
      g_autofree char *bytes = show_bytes (pass->bytes);
      g_autofree char *rate = show_rate (pass->bytes, pass->spent_us);

      printf ("%-20s %8" G_GUINT64_FORMAT " %8" G_GUINT64_FORMAT
              " %11s %7.0f ms %13s %6" G_GUINT64_FORMAT " %8" G_GUINT64_FORMAT "\n",
              by, pass->files, pass->equal, bytes, ms (pass->spent_us), rate, pass->wrong,
              pass->missing);
    }
  printf (
      "\nThe time is that of the calls and has the hashing at the other end in it; hashing alone,\n"
      "here, took %.0f ms (%s).\n",
      ms (self->tree->hashed_us), local);
  if (self->tree->unreadable->len > 0)
    printf ("\n%u could not be read and were not sent:\n", self->tree->unreadable->len);
  print_lines (self->tree->unreadable, "  ");
  for (guint i = 0; i < DEMO_INSTANCES; i++)
    print_changes (&self->passes[i]);
  fflush (stdout);
}

static void
print_decision (CommyDecision *decision)
{
  g_autofree char *table = NULL;

  if (decision == NULL)
    return;
  table = commy_decision_to_string (decision);
  printf ("%s\n", table);
}

void
demo_report_why (const DemoReport *self)
{
  printf ("\n== why: the decision for 64 B, 4 KiB and 1 MiB\n");
  for (guint i = 0; i < G_N_ELEMENTS (self->why); i++)
    {
      printf ("\n-- %s\n", self->why[i].title);
      if (self->why[i].described != NULL)
        printf ("   It says: %s\n", self->why[i].described);
      printf ("\n");
      for (guint k = 0; k < DEMO_TABLES; k++)
        print_decision (self->why[i].decisions[k]);
    }
  fflush (stdout);
}

void
demo_report_fallback (const DemoReport *self)
{
  const DemoFallback *fallback = &self->fallback;
  const DemoPass *pass = &fallback->pass;
  const DemoInstance *victim = &self->instances[0], *other = &self->instances[1];
  g_autofree char *size = show_bytes (fallback->under_way_size);
  g_autofree char *by = demo_tally_show (pass->tally);

  printf ("\n== every file once more, to any instance, a local path preferred; %s is killed on the "
          "way\n\n",
          victim->label);
  printf ("SIGKILL to instance %s (process %d) while this file of %s was sent:\n  %s\n",
          victim->label, victim->pid, size,
          fallback->under_way != NULL ? fallback->under_way : "(it never came to that)");
  printf ("answers: %s; " NUMBER " calls were under way at the kill and retried\n", by,
          fallback->retried);
  if (fallback->first_us >= 0)
    printf ("first answer of %s %.2f ms after the kill; slowest call of all %.2f ms\n",
            other->label, ms (fallback->first_us), ms (pass->slowest_us));
  printf (NUMBER " files, " NUMBER " digests equal, " NUMBER " wrong, " NUMBER " missing\n",
          pass->files, pass->equal, pass->wrong, pass->missing);
  print_changes (pass);
  if (self->after != NULL)
    {
      printf ("\n-- the service after the kill, for 4 KiB\n\n");
      print_decision (self->after);
    }
  fflush (stdout);
}

static void
print_drops (GVariant *drops)
{
  GVariantIter iter;
  const char *reason, *culprit;
  guint64 count;

  if (drops == NULL)
    return;
  g_variant_iter_init (&iter, drops);
  while (g_variant_iter_next (&iter, "(&st&s)", &reason, &count, &culprit))
    if (count > 0)
      printf ("not delivered, and counted: " NUMBER " x %s (last: %s)\n", count, reason, culprit);
}

void
demo_report_end (const DemoReport *self)
{
  const DemoPass *last = &self->fallback.pass;
  guint64 equal = last->equal, missing = last->missing, wrong = last->wrong;

  for (guint i = 0; i < DEMO_INSTANCES; i++)
    {
      equal += self->passes[i].equal;
      missing += self->passes[i].missing;
      wrong += self->passes[i].wrong;
    }
  print_drops (self->drops);
  printf ("== %s: %u files, " NUMBER " digests equal, " NUMBER " wrong, " NUMBER " missing",
          demo_report_is_right (self) ? "all right" : "NOT RIGHT", self->tree->files->len, equal,
          wrong, missing);
  if (self->fallback.first_us >= 0)
    printf ("; fallback took %.2f ms", ms (self->fallback.first_us));
  printf ("; %.1f s in all\n", (double) self->took_us / G_USEC_PER_SEC);
  fflush (stdout);
}
