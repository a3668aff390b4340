/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers with units: what is one, what is none, and the way back.
 */
#include "config.h"

#include "base/commy-units.h"

static const char *const never_numbers[] = { "",
                                             " ",
                                             "-1",
                                             "+1",
                                             " 1",
                                             "0x10",
                                             "1e3",
                                             "inf",
                                             "nan",
                                             "1.",
                                             ".5",
                                             "1,5",
                                             "1 2",
                                             "ten",
                                             "1Q",
                                             "1 ks",
                                             "k",
                                             "1kk",
                                             "--1",
                                             "1..2",
                                             "1.2.3B",
                                             "1\t",
                                             "1%%",
                                             "9999999999999999999999999999999999"
                                             "9999999999999999999999999999999999x" };

static void
test_sizes (void)
{
  static const struct
  {
    const char *text;
    guint64 bytes;
  } cases[] = {
    { "0", 0 },
    { "64", 64 },
    { "64B", 64 },
    { "4k", 4096 },
    { "64KiB", 65536 },
    { "1.5MiB", 1572864 },
    { "2GiB", G_GUINT64_CONSTANT (2147483648) },
    { "1 MiB", 1048576 },
    { "1MB", 1000000 },
    { "18446744073709551615", G_MAXUINT64 },
    { "15EiB", G_GUINT64_CONSTANT (15) << 60 },
  };
  guint64 bytes;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_assert_true (commy_parse_size (cases[i].text, &bytes));
      g_assert_cmpuint (bytes, ==, cases[i].bytes);
    }
  g_assert_false (commy_parse_size ("18446744073709551616", &bytes));
  g_assert_false (commy_parse_size ("16EiB", &bytes));
  g_assert_false (commy_parse_size ("16.0EiB", &bytes));
  g_assert_false (commy_parse_size ("1s", &bytes));
  g_assert_false (commy_parse_size (NULL, &bytes));
}

static void
test_durations (void)
{
  gint64 ns;

  g_assert_true (commy_parse_duration ("250", &ns) && ns == 250);
  g_assert_true (commy_parse_duration ("120ns", &ns) && ns == 120);
  g_assert_true (commy_parse_duration ("1.5us", &ns) && ns == 1500);
  g_assert_true (commy_parse_duration ("20ms", &ns) && ns == 20000000);
  g_assert_true (commy_parse_duration ("2s", &ns) && ns == 2000000000);
  g_assert_true (commy_parse_duration ("9223372036854775807", &ns) && ns == G_MAXINT64);
  g_assert_false (commy_parse_duration ("9223372036854775808", &ns));
  g_assert_false (commy_parse_duration ("10000000000s", &ns));
  g_assert_false (commy_parse_duration ("1KiB", &ns));
}

static void
test_rates_and_shares (void)
{
  double value;

  g_assert_true (commy_parse_rate ("12GiB/s", &value));
  g_assert_cmpfloat (value, ==, 12.0 * 1073741824);
  g_assert_true (commy_parse_rate ("1000MB/s", &value));
  g_assert_cmpfloat (value, ==, 1e9);
  g_assert_true (commy_parse_rate ("5", &value));
  g_assert_cmpfloat (value, ==, 5);
  g_assert_false (commy_parse_rate ("5/s", &value));
  g_assert_false (commy_parse_rate ("5GiB/min", &value));
  g_assert_true (commy_parse_share ("10%", &value));
  g_assert_cmpfloat_with_epsilon (value, 0.1, 1e-12);
  g_assert_true (commy_parse_share ("0.25", &value));
  g_assert_cmpfloat (value, ==, 0.25);
  g_assert_false (commy_parse_share ("101%", &value));
  g_assert_false (commy_parse_share ("2", &value));
}

static void
test_refusals (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (never_numbers); i++)
    {
      guint64 size = 7;
      gint64 ns = 7;
      double real = 7;

      g_assert_false (commy_parse_size (never_numbers[i], &size));
      g_assert_false (commy_parse_duration (never_numbers[i], &ns));
      g_assert_false (commy_parse_rate (never_numbers[i], &real));
      g_assert_false (commy_parse_share (never_numbers[i], &real));
      g_assert_true (size == 7 && ns == 7 && real > 6.9);
    }
}

static void
test_format (void)
{
  static const struct
  {
    double ns;
    const char *text;
  } times[] = {
    { 0, "0 ns" },        { 278, "278 ns" },    { 999.6, "1 us" },
    { 14100, "14.1 us" }, { 2.6e6, "2.6 ms" },  { 3e9, "3 s" },
    { 3e12, "3000 s" },   { -1500, "-1.5 us" }, { G_MAXDOUBLE * 2, "never" },
  };
  static const struct
  {
    guint64 bytes;
    const char *text;
  } sizes[]
      = { { 0, "0 B" },           { 64, "64 B" },       { 1023, "1023 B" },       { 4096, "4 KiB" },
          { 1572864, "1.5 MiB" }, { 1048575, "1 MiB" }, { G_MAXUINT64, "16 EiB" } };

  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    {
      g_autofree char *text = commy_format_duration (times[i].ns);

      g_assert_cmpstr (text, ==, times[i].text);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *text = commy_format_size (sizes[i].bytes);

      g_assert_cmpstr (text, ==, sizes[i].text);
    }
}

static void
test_distance (void)
{
  g_assert_cmpuint (commy_edit_distance ("", "", 3), ==, 0);
  g_assert_cmpuint (commy_edit_distance ("trust", "trsut", 3), ==, 2);
  g_assert_cmpuint (commy_edit_distance ("kitten", "sitting", 3), ==, 3);
  g_assert_cmpuint (commy_edit_distance ("kitten", "sitting", 2), ==, 3);
  g_assert_cmpuint (commy_edit_distance ("abcdefgh", "stuvwxyz", 3), ==, 4);
  g_assert_cmpuint (commy_edit_distance ("a", "abcdefgh", 3), ==, 4);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/units/sizes-are-exact", test_sizes);
  g_test_add_func ("/units/durations-are-ns", test_durations);
  g_test_add_func ("/units/rates-and-shares", test_rates_and_shares);
  g_test_add_func ("/units/what-is-no-number-is-refused", test_refusals);
  g_test_add_func ("/units/formatted-short", test_format);
  g_test_add_func ("/units/edit-distance-stops-at-its-limit", test_distance);
  return g_test_run ();
}
