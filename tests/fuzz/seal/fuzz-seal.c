/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The judge of seals of an audit trail: a list of keys, which is text, and behind a NUL a seal and
 * the one before it. Whatever they are, a list that is taken is vouched for line by line, a seal
 * that is good is so for one form of its bytes, and nothing is read behind an end. The first byte
 * says which: 'f' the first of a file, 'n' one that another names; else the list alone.
 */
#include "config.h"

#include "auth/common/commy-pki-seal.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* What the seals of the corpus are about. */
static const char sealed[] = "what is sealed";

static void
try_seal (CommyPkiSealJudge *judge, const guint8 *bytes, gsize size, gboolean is_first)
{
  const gsize before_size = is_first ? 0 : MIN (size, COMMY_PKI_SEAL_SIZE);
  g_autofree guint8 *before = is_first ? NULL : g_memdup2 (bytes, before_size);
  g_autofree guint8 *seal = g_memdup2 (bytes + before_size, size - before_size);
  const gsize seal_size = size - before_size;
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) again = NULL;
  gboolean good = commy_pki_seal_check (before, before_size, sealed, sizeof sealed, seal, seal_size,
                                        judge, &error);

  g_assert_true (good == (error == NULL));
  if (!good)
    return;
  g_assert_cmpuint (seal_size, ==, COMMY_PKI_SEAL_SIZE);
  g_assert_false (commy_pki_seal_check (before, before_size, sealed, sizeof sealed - 1, seal,
                                        seal_size, judge, NULL));
  seal[seal_size - 1] ^= 1;
  g_assert_false (commy_pki_seal_check (before, before_size, sealed, sizeof sealed, seal, seal_size,
                                        judge, &again));
  g_assert_nonnull (again);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = NULL;
  g_autoptr (CommyPkiSealJudge) judge = NULL;
  g_autoptr (GError) error = NULL;
  gsize length;

  if (size == 0)
    return 0;
  text = g_strndup ((const char *) data + 1, size - 1);
  length = strlen (text);
  judge = commy_pki_seal_judge_parse (text, "it", &error);
  g_assert_true ((judge == NULL) == (error != NULL));
  if (judge == NULL)
    return 0;
  /* Its first key is the anchor, and each line is as long as every other. */
  g_assert_true (
      strncmp (commy_pki_seal_judge_get_anchor (judge), text, 2 * COMMY_PKI_SEAL_KEY_SIZE) == 0);
  if (length + 2 <= size - 1 && (data[0] == 'f' || data[0] == 'n'))
    try_seal (judge, data + length + 2, size - length - 2, data[0] == 'f');
  return 0;
}
