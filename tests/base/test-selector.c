/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Versions and selectors: the order that semver.org gives, as a table and as laws over versions
 * made by chance; which instances fit which words, and what one is told who asks for nonsense.
 */
#include "config.h"

#include "base/commy-selector.h"
#include "base/commy-semver.h"

#include <commy/commy-error.h>
#include <string.h>

#define ROUNDS 2000u

/* --- versions --- */

/* Each comes before the next. */
static const char *const ordered[] = {
  "0",
  "0.0.1-0",
  "0.0.1",
  "0.9",
  "1.0.0-1",
  "1.0.0-2",
  "1.0.0-10",
  "1.0.0-alpha",
  "1.0.0-alpha.1",
  "1.0.0-alpha.beta",
  "1.0.0-beta",
  "1.0.0-beta.2",
  "1.0.0-beta.11",
  "1.0.0-rc.1",
  "1",
  "1.0.1",
  "1.2",
  "1.10",
  "2.1.0",
  "2.1.1",
  "10.0.0",
  "99999999999999999999999999.0.0",
  "100000000000000000000000000",
};

static void
test_order (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (ordered); i++)
    for (guint k = 0; k < G_N_ELEMENTS (ordered); k++)
      {
        int order = commy_semver_compare (ordered[i], ordered[k]);

        g_test_message ("%s and %s", ordered[i], ordered[k]);
        g_assert_cmpint ((order > 0) - (order < 0), ==, (i > k) - (i < k));
      }
}

static void
test_equals (void)
{
  static const char *const pairs[][2] = {
    { "1", "1.0.0" },      { "2.1", "2.1.0" },          { "1.0.0+a", "1.0.0+b.7" },
    { "01.002.0", "1.2" }, { "1.0-rc.01", "1.0-rc.1" }, { "0", "0.0.0" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    g_assert_cmpint (commy_semver_compare (pairs[i][0], pairs[i][1]), ==, 0);
}

static void
test_no_versions (void)
{
  static const char *const bad[] = {
    "",        "v1",      ".",
    "1.",      "1..2",    "1.2.3.4",
    "-1",      "1-",      "1-a..b",
    "1+",      "1.0.0-ä", "1 ",
    " 1",      "1.x",     "1.0-rc/1",
    "1.0-rc.", "1+a..b",  "\n1",
    "1\n",     "1+a+b",   "1.0.0-0123456789012345678901234567890123456789012345678901234567890",
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_test_message ("\"%s\"", bad[i]);
      g_assert_false (commy_semver_is_valid (bad[i]));
    }
}

static char *
dup_any_version (void)
{
  static const char *const pre[] = { "", "", "-0", "-1", "-rc", "-rc.1", "-a.b.c", "-1a", "--" };
  guint n = (guint) g_test_rand_int_range (1, 4);
  GString *out = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (out, "%s%d", i > 0 ? "." : "", g_test_rand_int_range (0, 4));
  g_string_append (out, pre[g_test_rand_int_range (0, G_N_ELEMENTS (pre))]);
  return g_string_free (out, FALSE);
}

static int
sign (const char *a, const char *b)
{
  int order = commy_semver_compare (a, b);

  return (order > 0) - (order < 0);
}

static void
test_order_is_total (void)
{
  for (guint i = 0; i < ROUNDS; i++)
    {
      g_autofree char *a = dup_any_version (), *b = dup_any_version (), *c = dup_any_version ();

      g_assert_true (commy_semver_is_valid (a));
      g_assert_cmpint (sign (a, a), ==, 0);
      g_assert_cmpint (sign (a, b), ==, -sign (b, a));
      if (sign (a, b) <= 0 && sign (b, c) <= 0)
        g_assert_cmpint (sign (a, c), <=, 0);
    }
}

/* --- selectors --- */

static gboolean
selects (const char *text, const CommyTraits *traits, char **out_wanted, char **out_offered)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommySelector) selector = commy_selector_new (text, &error);
  char wanted[64] = "", offered[160] = "";
  gboolean fits;

  g_assert_no_error (error);
  fits = commy_selector_matches (selector, traits, wanted, sizeof wanted, offered, sizeof offered);
  g_assert_true (g_utf8_validate (wanted, -1, NULL) && g_utf8_validate (offered, -1, NULL));
  if (out_wanted != NULL)
    *out_wanted = g_strdup (wanted);
  if (out_offered != NULL)
    *out_offered = g_strdup (offered);
  return fits;
}

static GVariant *
metadata_of (const char *text)
{
  GVariant *metadata = g_variant_parse (G_VARIANT_TYPE ("a{ss}"), text, NULL, NULL, NULL);

  g_assert_nonnull (metadata);
  return metadata;
}

static void
test_fits (void)
{
  static const char *const tags[] = { "gpu", "canary", NULL };
  g_autoptr (GVariant) metadata = metadata_of ("{'rack': '7', 'empty': '', 'size/mem': 'big:er'}");
  const CommyTraits traits = { "2.1.4", tags, metadata };
  static const struct
  {
    const char *selector;
    gboolean fits;
    const char *wanted, *offered;
  } rows[] = {
    { ">=2.1", TRUE, NULL, NULL },
    { ">=2.1 <3", TRUE, NULL, NULL },
    { "  >=2.1   <3  ", TRUE, NULL, NULL },
    { "=2.1.4", TRUE, NULL, NULL },
    { "<=2.1.4 >=2.1.4", TRUE, NULL, NULL },
    { "gpu", TRUE, NULL, NULL },
    { "gpu canary rack:7 >2", TRUE, NULL, NULL },
    { "empty:", TRUE, NULL, NULL },
    { "size/mem:big:er", TRUE, NULL, NULL },
    { "=2.1", FALSE, "=2.1", "version 2.1.4" },
    { "<2", FALSE, "<2", "version 2.1.4" },
    { ">2.1.4", FALSE, ">2.1.4", "version 2.1.4" },
    { "gpu arm", FALSE, "arm", "tags gpu, canary" },
    { "GPU", FALSE, "GPU", "tags gpu, canary" },
    { "rack:8", FALSE, "rack:8", "rack:7" },
    { "rack:", FALSE, "rack:", "rack:7" },
    { "row:1", FALSE, "row:1", "no row" },
    { "row:", FALSE, "row:", "no row" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *wanted = NULL, *offered = NULL;

      g_test_message ("%s", rows[i].selector);
      g_assert_true (selects (rows[i].selector, &traits, &wanted, &offered) == rows[i].fits);
      if (rows[i].fits)
        continue;
      g_assert_cmpstr (wanted, ==, rows[i].wanted);
      g_assert_cmpstr (offered, ==, rows[i].offered);
    }
}

/* A store may say anything. */
static void
test_strange_instances (void)
{
  g_autofree char *long_version = g_strnfill (5000, '1');
  const char *tags[]
      = { "ä", "ä\nb", "öööööööööööööööööööööööööööööööööööööööööööööööööööööööööööööö",
          "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü", NULL };
  const CommyTraits silent = { "", NULL, NULL };
  const CommyTraits odd = { "not a version", tags, NULL };
  const CommyTraits large = { long_version, tags, NULL };
  g_autofree char *offered = NULL, *none = NULL;

  g_assert_false (selects (">=0", &silent, NULL, &none));
  g_assert_cmpstr (none, ==, "no version");
  g_assert_false (selects ("a", &silent, NULL, NULL));
  g_assert_false (selects ("a:b", &silent, NULL, NULL));
  g_assert_false (selects (">=0", &odd, NULL, &offered));
  g_assert_cmpstr (offered, ==, "version not a version, which is none");
  g_assert_false (selects ("a", &odd, NULL, NULL));
  g_assert_false (selects (">=0", &large, NULL, NULL));
}

static void
test_refused (void)
{
  g_autofree char *long_text = g_strnfill (COMMY_SELECTOR_MAX + 1, 'a');
  g_autofree char *long_tag = g_strnfill (COMMY_TRAIT_MAX + 1, 'a');
  const char *const bad[] = { "",     "   ",    ">=",       ">= 2", ">=x",  "=>2",     "==2",
                              "a,b",  "a;b",    ":b",       "ä",    "a\tb", "a\nb",    "rack:\x01",
                              "\xff", "a:\xff", "<1.2.3.4", ">>1",  "#gpu", long_text, long_tag };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_test_message ("\"%s\"", bad[i]);
      g_assert_null (commy_selector_new (bad[i], &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
    }
}

/* The version that is one of the ends decides; nothing else does. */
static void
test_ranges_follow_the_order (void)
{
  static const char *const operators[] = { "<", "<=", "=", ">=", ">" };
  static const gboolean fits[][3] = {
    { TRUE, FALSE, FALSE }, { TRUE, TRUE, FALSE },  { FALSE, TRUE, FALSE },
    { FALSE, TRUE, TRUE },  { FALSE, FALSE, TRUE },
  };

  for (guint i = 0; i < ROUNDS; i++)
    {
      g_autofree char *has = dup_any_version (), *end = dup_any_version ();
      const guint which = (guint) g_test_rand_int_range (0, G_N_ELEMENTS (operators));
      g_autofree char *text = g_strconcat (operators[which], end, NULL);
      const CommyTraits traits = { has, NULL, NULL };

      g_assert_true (selects (text, &traits, NULL, NULL) == fits[which][sign (has, end) + 1]);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/semver/order-is-that-of-semver-org", test_order);
  g_test_add_func ("/base/semver/what-is-missing-or-built-does-not-count", test_equals);
  g_test_add_func ("/base/semver/what-is-no-version", test_no_versions);
  g_test_add_func ("/base/semver/order-is-total", test_order_is_total);
  g_test_add_func ("/base/selector/all-words-fit-or-the-first-that-does-not-is-told", test_fits);
  g_test_add_func ("/base/selector/instances-that-say-strange-things", test_strange_instances);
  g_test_add_func ("/base/selector/nonsense-is-refused", test_refused);
  g_test_add_func ("/base/selector/ranges-follow-the-order", test_ranges_follow_the_order);
  return g_test_run ();
}
