/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a policy engine may answer, and what it is asked about peers that are called anything. The
 * first byte says what the rest is: p the path of a document, q a question, its texts on a line
 * each, and else an answer.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"
#include "policies/opa/commy-opa-codec.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TEXTS 6 /* of a question */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_path (const char *text, gsize size)
{
  g_autofree char *path = g_strndup (text, size);

  if (opa_path_why_not (path) == NULL)
    g_assert_null (strpbrk (path, ".?#%\\ \n"));
}

/* No name of a peer's makes another question of it. */
static void
check_question (const char *text, gsize size)
{
  g_autofree char *copy = g_strndup (text, size);
  g_auto (GStrv) lines = g_strsplit (copy, "\n", TEXTS);
  CommyPolicyQuery query = { .struct_size = sizeof query, .security = (guint32) size % 64 };
  g_autofree char *json = NULL;
  g_autoptr (JwtJson) read = NULL;
  const JwtJson *input;

  if (g_strv_length (lines) < TEXTS || !g_utf8_validate (copy, -1, NULL))
    return;
  query.principal = lines[0];
  query.verb = lines[1];
  query.service = lines[2];
  query.method = lines[3];
  query.where = lines[4];
  query.address = lines[5][0] != '\0' ? lines[5] : NULL;
  json = opa_write (&query);
  read = jwt_json_parse (json, strlen (json), 32);
  g_assert_nonnull (read);
  g_assert_cmpuint (read->items->len, ==, 1);
  input = jwt_json_get (read, "input");
  g_assert_nonnull (input);
  g_assert_cmpuint (input->items->len, ==, query.address != NULL ? 9 : 8);
  g_assert_cmpstr (jwt_json_get_text (input, "principal"), ==, query.principal);
  g_assert_cmpstr (jwt_json_get_text (input, "verb"), ==, query.verb);
  g_assert_cmpstr (jwt_json_get_text (input, "service"), ==, query.service);
  g_assert_cmpstr (jwt_json_get_text (input, "method"), ==, query.method);
  g_assert_cmpstr (jwt_json_get_text (input, "where"), ==, query.where);
  g_assert_cmpstr (jwt_json_get_text (input, "address"), ==, query.address);
}

/* Nothing is allowed but by the word, and of an answer that has a piece cut off nothing is. */
static void
check_answer (const char *text, gsize size)
{
  g_autofree char *reason = NULL;
  g_autofree char *other = NULL;
  CommyPolicyAnswer answer = opa_read (text, size, &reason);

  g_assert_true (reason == NULL || g_utf8_validate (reason, -1, NULL));
  if (answer != COMMY_POLICY_ALLOWED)
    {
      g_assert_true (answer == COMMY_POLICY_DENIED
                     || (answer == COMMY_POLICY_UNABLE && reason != NULL));
      return;
    }
  g_assert_cmpuint (size, <=, OPA_ANSWER_MAX);
  g_assert_nonnull (g_strstr_len (text, (gssize) size, "true"));
  size = (gsize) ((const char *) memrchr (text, '}', size) - text);
  g_assert_cmpint (opa_read (text, size, &other), ==, COMMY_POLICY_UNABLE);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *rest = (const char *) data + 1;

  if (size == 0)
    return 0;
  size--;
  if (*data == 'p')
    check_path (rest, size);
  else if (*data == 'q')
    check_question (rest, size);
  else
    check_answer (rest, size);
  return 0;
}
