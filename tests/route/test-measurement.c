/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is kept of measurements: written and read it is the same, it grows uncertain with age, and
 * a file that is half, foreign or forged is refused as a whole.
 */
#include "config.h"

#include "route-fixture.h"
#include "route/commy-measurement.h"

#include <commy/commy-error.h>

#define MACHINE "A processor x2 01234567"
#define DAY 86400

static CommyMeasurement
measurement (const char *transport, gint64 measured_s)
{
  CommyMeasurement entry = { .place = "here", .build = "0.1 abc", .measured_s = measured_s };

  g_strlcpy (entry.transport, transport, sizeof entry.transport);
  entry.probes = 13;
  entry.calibration.bare = true;
  entry.calibration.classes[0]
      = (CommyCell){ .mu = -6.25, .var = 0.04, .n = 12.5, .claimed_ns = 1e6 };
  entry.calibration.classes[5]
      = (CommyCell){ .mu = 0.5, .var = 0.25, .n = 4, .claimed_ns = 123456.75 };
  return entry;
}

static gboolean
read_text (const char *text, const char *machine, GArray *entries, GError **error)
{
  return commy_measurement_read (text, strlen (text), machine, entries, error);
}

static void
what_is_written_is_read (void)
{
  CommyMeasurement entries[] = { measurement ("a", 100), measurement ("b", 300) };
  g_autofree char *text = commy_measurement_write (entries, G_N_ELEMENTS (entries), MACHINE);
  g_autoptr (GArray) read = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));
  g_autoptr (GError) error = NULL;

  g_assert_true (read_text (text, MACHINE, read, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (read->len, ==, 2);
  g_assert_cmpstr (g_array_index (read, CommyMeasurement, 0).transport, ==, "b");
  for (guint i = 0; i < read->len; i++)
    {
      const CommyMeasurement *a = &entries[i], *b = &g_array_index (read, CommyMeasurement, i);

      g_assert_cmpstr (a->transport, ==, b->transport);
      g_assert_cmpstr (a->place, ==, b->place);
      g_assert_cmpstr (a->build, ==, b->build);
      g_assert_cmpint (a->measured_s, ==, b->measured_s);
      g_assert_cmpuint (a->probes, ==, b->probes);
      g_assert_true (b->calibration.bare);
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        {
          const CommyCell *x = &a->calibration.classes[c], *y = &b->calibration.classes[c];

          g_assert_cmpfloat_with_epsilon (x->mu, y->mu, 1e-4);
          g_assert_cmpfloat_with_epsilon (x->var, y->var, 1e-4);
          g_assert_cmpfloat_with_epsilon (x->n, y->n, 1e-4);
          g_assert_cmpfloat_with_epsilon (x->claimed_ns, y->claimed_ns, 1);
        }
    }
}

static void
only_so_many_are_kept (void)
{
  g_autofree CommyMeasurement *entries = g_new0 (CommyMeasurement, 300);
  g_autoptr (GArray) read = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));
  g_autofree char *text = NULL;

  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *name = g_strdup_printf ("t%u", i);

      entries[i] = measurement (name, i);
    }
  memset (&entries[299].calibration, 0, sizeof entries[299].calibration);
  text = commy_measurement_write (entries, 300, MACHINE);
  g_assert_cmpuint (strlen (text), <, COMMY_MEASUREMENT_TEXT_MAX);
  g_assert_true (read_text (text, MACHINE, read, NULL));
  g_assert_cmpuint (read->len, ==, COMMY_MEASUREMENTS_MAX);
  /* The youngest; the very youngest had nothing to tell. */
  g_assert_cmpstr (g_array_index (read, CommyMeasurement, 0).transport, ==, "t298");
}

/* --- age --- */

static double
sd_after (gint64 days)
{
  CommyProfile profile = fixture_profile (1e6, 0, 0, 0);
  CommyMeasurement entry = measurement ("a", 1000);

  profile.provenance = COMMY_PROVENANCE_GUESS;
  commy_measurement_age (&entry, 1000 + days * DAY, 5);
  g_assert_cmpint (entry.calibration.classes[0].last_ns, ==, 5);
  return commy_calibration_get (&entry.calibration, &profile, 5, 5).sd;
}

static void
age_makes_uncertain (void)
{
  double last = 0;

  for (gint64 days = 0; days <= 81; days = days == 0 ? 1 : days * 3)
    {
      double sd = sd_after (days);

      g_assert_cmpfloat (sd, >, last);
      last = sd;
    }
  g_assert_cmpfloat (sd_after (0), <, 0.3);
  g_assert_cmpfloat (sd_after (100000), <=, 1.0); /* a year ago still says more than a guess */
  g_assert_cmpfloat_with_epsilon (sd_after (-5), sd_after (0), 1e-12); /* the clock was set back */
}

static void
a_liar_of_yesterday_is_still_one (void)
{
  CommyProfile profile = fixture_profile (1e6, 0, 0, 0);
  CommyMeasurement entry = measurement ("a", 1000);
  CommyPosterior posterior;

  commy_measurement_age (&entry, 1000 + DAY, 5);
  posterior = commy_calibration_get (&entry.calibration, &profile, 0, 5);
  g_assert_true (posterior.contradicted);
  g_assert_cmpfloat_with_epsilon (log (posterior.factor), -6.25, 1e-6);
}

static void
own_measurements_soon_outvote_the_file (void)
{
  CommyMeasurement entry = measurement ("a", 1000);
  const CommyCell *cell = &entry.calibration.classes[0];

  commy_measurement_age (&entry, 1000 + DAY, 5);
  commy_measurement_refresh (&entry);
  g_assert_cmpfloat (cell->n, ==, 1);
  for (guint i = 0; i < 9; i++)
    commy_calibration_add (&entry.calibration, 64, 1e6 * exp (-5.5), 1e6, 6);
  g_assert_cmpfloat_with_epsilon (cell->mu, -5.575, 0.01);
}

/* --- bad files --- */

#define HEAD "[calibration]\nformat=1\nmachine=" MACHINE "\n"
#define GROUP HEAD "[a@here]\nbuild=1\nmeasured=5\nprobes=3\n"

static void
bad_files_are_refused (void)
{
  static const char *const bad[] = {
    "",
    "nonsense",
    "[calibration]\nmachine=" MACHINE "\n",
    "[calibration]\nformat=2\nmachine=" MACHINE "\n",
    "[calibration]\nformat=1\n",
    "[calibration]\nformat=1\nmachine=another\n",
    GROUP, /* no samples */
    GROUP "class-0=1;0.1;4\n",
    GROUP "class-0=1;0.1;4;100;5\n",
    GROUP "class-0=nan;0.1;4;100\n",
    GROUP "class-0=1;inf;4;100\n",
    GROUP "class-0=1;-0.1;4;100\n",
    GROUP "class-0=1;0;4;100\n",
    GROUP "class-0=19;0.1;4;100\n",
    GROUP "class-0=1;0.1;65;100\n",
    GROUP "class-0=1;0.1;0;100\n",
    GROUP "class-0=1;0.1;4;0\n",
    GROUP "class-0=1;0.1;4;1e300\n",
    GROUP "class-0=a;b;c;d\n",
    GROUP "class-0=\n",
    HEAD "[a]\nbuild=1\nmeasured=5\nprobes=3\nclass-0=1;0.1;4;100\n",
    HEAD "[@here]\nbuild=1\nmeasured=5\nprobes=3\nclass-0=1;0.1;4;100\n",
    HEAD "[a@]\nbuild=1\nmeasured=5\nprobes=3\nclass-0=1;0.1;4;100\n",
    HEAD "[a@here]\nmeasured=5\nprobes=3\nclass-0=1;0.1;4;100\n",
    HEAD "[a@here]\nbuild=\nmeasured=5\nprobes=3\nclass-0=1;0.1;4;100\n",
    HEAD "[a@here]\nbuild=1\nmeasured=-5\nprobes=3\nclass-0=1;0.1;4;100\n",
    HEAD "[a@here]\nbuild=1\nmeasured=x\nprobes=3\nclass-0=1;0.1;4;100\n",
    HEAD "[a@here]\nbuild=1\nmeasured=5\nclass-0=1;0.1;4;100\n",
    HEAD "[a-name-that-is-longer-than-any-plugin-s@here]\nbuild=1\nmeasured=5\nprobes=3\n"
         "class-0=1;0.1;4;100\n",
  };
  g_autoptr (GArray) read = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));

  g_assert_true (read_text (GROUP "class-0=1;0.1;4;100\n", MACHINE, read, NULL));
  g_assert_cmpuint (read->len, ==, 1);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      if (read_text (bad[i], MACHINE, read, &error))
        g_error ("taken for good: %s", bad[i]);
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG);
      g_assert_cmpuint (read->len, ==, 1);
    }
}

static void
half_a_file_is_none (void)
{
  CommyMeasurement entries[] = { measurement ("a", 100), measurement ("b", 300) };
  g_autofree char *text = commy_measurement_write (entries, G_N_ELEMENTS (entries), MACHINE);
  g_autoptr (GArray) read = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));
  gsize size = strlen (text);

  /* Whatever is left, what comes out of it is sound. */
  for (gsize cut = 0; cut < size; cut++)
    {
      g_array_set_size (read, 0);
      commy_measurement_read (text, cut, MACHINE, read, NULL);
      for (guint i = 0; i < read->len; i++)
        for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
          {
            const CommyCell *cell
                = &g_array_index (read, CommyMeasurement, i).calibration.classes[c];

            g_assert_true (cell->n >= 0 && cell->n <= 64 && isfinite (cell->mu));
            g_assert_true (cell->n == 0 || cell->claimed_ns > 0);
          }
    }
  {
    g_autofree char *large = g_strnfill (COMMY_MEASUREMENT_TEXT_MAX, '#');
    g_autofree char *whole = g_strconcat (GROUP "class-0=1;0.1;4;100\n", large, NULL);

    g_assert_false (read_text (whole, MACHINE, read, NULL));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/route/measurement/what-is-written-is-read", what_is_written_is_read);
  g_test_add_func ("/route/measurement/only-so-many-are-kept", only_so_many_are_kept);
  g_test_add_func ("/route/measurement/age-makes-uncertain", age_makes_uncertain);
  g_test_add_func ("/route/measurement/a-liar-of-yesterday-is-still-one",
                   a_liar_of_yesterday_is_still_one);
  g_test_add_func ("/route/measurement/own-measurements-soon-outvote-the-file",
                   own_measurements_soon_outvote_the_file);
  g_test_add_func ("/route/measurement/bad-files-are-refused", bad_files_are_refused);
  g_test_add_func ("/route/measurement/half-a-file-is-none", half_a_file_is_none);
  return g_test_run ();
}
