/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors: numbers in the text, taking them off, remote text, and the explanations.
 */
#include "config.h"

#include "base/commy-error-private.h"

#include <string.h>

static void
test_number (void)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_DEADLINE, "no answer in %d ms", 20);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_assert_cmpstr (error->message, ==, "CMY0302: no answer in 20 ms");
  g_assert_cmpstr (commy_error_bare (error), ==, "no answer in 20 ms");
  g_assert_null (commy_error_get_remote (error));
  g_assert_cmpstr (g_quark_to_string (COMMY_ERROR), ==, "commy-error-quark");
  commy_set_error (NULL, COMMY_ERROR_FAILED, "nobody listens");
}

/* Quoted by bytes, as formats cut: an error can be printed, sent and shown whatever it quotes. */
static void
test_quoted (void)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_INVALID_ARGUMENT, "\"%.3s\" is none", "ab\303\251");
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_assert_true (g_str_has_prefix (commy_error_bare (error), "\"ab"));
  g_assert_true (g_str_has_suffix (error->message, "\" is none"));
}

static void
test_bare_of_others (void)
{
  static const char *const texts[]
      = { "", "C", "CMY", "CMY03", "CMY0302", "CMY0302:", "CMY03x2: a" };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_FAILED, texts[i]);

      g_assert_true (commy_error_bare (error) == error->message);
    }
}

static void
test_remote (void)
{
  g_autoptr (GError) error = commy_error_new_from_wire (COMMY_ERROR_REMOTE, TRUE, "disk is full");
  g_autoptr (GError) silent = commy_error_new_from_wire (COMMY_ERROR_REMOTE, FALSE, NULL);

  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_REMOTE);
  g_assert_cmpstr (error->message, ==, "CMY0311: remote: disk is full");
  g_assert_cmpstr (commy_error_get_remote (error), ==, "disk is full");
  g_assert_null (commy_error_dup_remote_name (error));
  g_assert_cmpstr (commy_error_get_remote (silent), ==, "");
}

static void
test_remote_name (void)
{
  static const struct
  {
    const char *text, *name;
  } words[] = {
    { "org.example.Error.Full: no paper", "org.example.Error.Full" },
    { "a.Error.b: ", "a.Error.b" },
    { "org.example.Error.Full", NULL },
    { "org.example.Full: no paper", NULL },
    { "org..Error.Full: no paper", NULL },
    { "org.Error.9: no paper", NULL },
    { ".Error.: no paper", NULL },
    { "the file a.Error.b: no paper", NULL },
    { "Error: no paper", NULL },
    { "", NULL },
  };
  g_autoptr (GError) other = g_error_new_literal (COMMY_ERROR, COMMY_ERROR_TYPE, words[0].text);

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    {
      g_autoptr (GError) error
          = commy_error_new_from_wire (COMMY_ERROR_REMOTE, TRUE, words[i].text);
      g_autofree char *name = commy_error_dup_remote_name (error);

      g_assert_cmpstr (name, ==, words[i].name);
    }
  g_assert_null (commy_error_dup_remote_name (other));
}

static void
test_wire (void)
{
  g_autoptr (GError) known = commy_error_new_from_wire (COMMY_ERROR_DENIED, FALSE, "no");
  g_autoptr (GError) unknown = commy_error_new_from_wire (0xffffffff, FALSE, "a\xff\xfe");

  g_assert_error (known, COMMY_ERROR, COMMY_ERROR_DENIED);
  g_assert_cmpstr (known->message, ==, "CMY0402: no");
  g_assert_error (unknown, COMMY_ERROR, COMMY_ERROR_FAILED);
  g_assert_true (g_utf8_validate (unknown->message, -1, NULL));
}

static void
test_explain (void)
{
  static const int codes[]
      = { 1,   2,   101, 102, 103, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 301,
          302, 303, 304, 305, 306, 307, 308, 309, 310, 311, 312, 313, 314, 315, 316, 317,
          318, 401, 402, 403, 404, 405, 420, 501, 502, 503, 601, 602, 701, 702, 703 };
  guint found = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (codes); i++)
    g_assert_cmpuint (strlen (commy_error_explain (codes[i])), >, 40);
  for (int code = -10; code < 10000; code++)
    found += commy_error_explain (code) != NULL;
  g_assert_cmpuint (found, ==, G_N_ELEMENTS (codes));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/error/text-carries-the-number", test_number);
  g_test_add_func ("/error/text-is-utf-8-whatever-it-quotes", test_quoted);
  g_test_add_func ("/error/bare-leaves-other-texts-alone", test_bare_of_others);
  g_test_add_func ("/error/remote-text-can-be-taken-out", test_remote);
  g_test_add_func ("/error/names-of-remote-errors-are-found", test_remote_name);
  g_test_add_func ("/error/unknown-wire-code-becomes-failed", test_wire);
  g_test_add_func ("/error/every-code-is-explained", test_explain);
  return g_test_run ();
}
