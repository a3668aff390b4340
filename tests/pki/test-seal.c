/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seals of the audit trail: keys that evolve, several processes beside each other, and every byte
 * of a seal and of the list of keys.
 */
#include "config.h"

#include "pki-fixture.h"

#include "auth/common/commy-pki-seal.h"

#include <commy/commy-error.h>
#include <string.h>

typedef struct
{
  char *authority;
  char *dir;
} Scene;

static void
set_up (Scene *scene, gconstpointer data)
{
  scene->authority = fixture_authority_dir ();
  scene->dir = fixture_credentials_dir (scene->authority, 0, 1);
}

static void
tear_down (Scene *scene, gconstpointer data)
{
  fixture_remove (scene->dir);
  fixture_remove (scene->authority);
}

static void
seal (CommyPkiSealer *sealer, gboolean first, const char *text, guint8 out[COMMY_PKI_SEAL_SIZE])
{
  g_autoptr (GError) error = NULL;
  gboolean told;

  g_assert_true (commy_pki_seal (sealer, first, text, strlen (text), out, &told, &error));
  g_assert_no_error (error);
}

static gboolean
is_good (CommyPkiSealJudge *judge, const guint8 *before, const char *text, const guint8 *given)
{
  return commy_pki_seal_check (before, before != NULL ? COMMY_PKI_SEAL_SIZE : 0, text,
                               strlen (text), given, COMMY_PKI_SEAL_SIZE, judge, NULL);
}

static CommyPkiSealJudge *
judge_new (Scene *scene)
{
  g_autoptr (GError) error = NULL;
  CommyPkiSealJudge *judge = commy_pki_seal_judge_new (scene->dir, &error);

  g_assert_no_error (error);
  return judge;
}

/* Two nodes of one folder, each with two files of two seals. */
static void
test_chain (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyPkiSealer) one = commy_pki_sealer_new (scene->dir);
  g_autoptr (CommyPkiSealer) other = commy_pki_sealer_new (scene->dir);
  CommyPkiSealer *sealers[] = { one, other, one, other };
  guint8 first[4][COMMY_PKI_SEAL_SIZE], second[4][COMMY_PKI_SEAL_SIZE];
  g_autoptr (CommyPkiSealJudge) judge = NULL;
  g_autoptr (CommyPkiSealJudge) later = NULL;
  guint8 more[COMMY_PKI_SEAL_SIZE];

  for (guint i = 0; i < 4; i++)
    {
      seal (sealers[i], TRUE, "a", first[i]);
      seal (sealers[i], FALSE, "b", second[i]);
    }
  judge = judge_new (scene);
  g_assert_cmpuint (strlen (commy_pki_seal_judge_get_anchor (judge)), ==, 64);
  for (guint i = 0; i < 4; i++)
    {
      g_assert_true (is_good (judge, NULL, "a", first[i]));
      g_assert_true (is_good (judge, first[i], "b", second[i]));
      g_assert_false (is_good (judge, NULL, "b", second[i])); /* its key is on no list */
      g_assert_false (is_good (judge, first[(i + 1) % 4], "b", second[i])); /* of another file */
      g_assert_false (is_good (judge, NULL, "b", first[i]));
    }
  seal (one, TRUE, "c", more);
  g_assert_false (is_good (judge, NULL, "c", more));
  later = judge_new (scene);
  g_assert_true (is_good (later, NULL, "c", more));
  g_assert_cmpstr (commy_pki_seal_judge_get_anchor (judge), ==,
                   commy_pki_seal_judge_get_anchor (later));
}

/* Whoever has the key of now cannot make one more of the seals that were made before: no key that
 * made one is there any more. */
static void
test_forgotten (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyPkiSealer) sealer = commy_pki_sealer_new (scene->dir);
  g_autofree char *path = g_build_filename (scene->dir, COMMY_PKI_SEAL_KEY_FILE, NULL);
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  guint8 seals[2][COMMY_PKI_SEAL_SIZE];

  seal (sealer, TRUE, "a", seals[0]);
  g_assert_true (g_file_get_contents (path, &before, NULL, NULL));
  seal (sealer, TRUE, "b", seals[1]);
  g_assert_true (g_file_get_contents (path, &after, NULL, NULL));
  g_assert_cmpstr (before, !=, after);
  g_assert_cmpint (memcmp (seals[0], seals[1], COMMY_PKI_SEAL_KEY_SIZE), !=, 0);
}

static void
test_flipped (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyPkiSealer) sealer = commy_pki_sealer_new (scene->dir);
  g_autofree char *path = g_build_filename (scene->dir, COMMY_PKI_SEAL_KEYS_FILE, NULL);
  g_autofree char *list = NULL;
  g_autoptr (CommyPkiSealJudge) judge = NULL;
  guint8 given[COMMY_PKI_SEAL_SIZE];
  gsize size;

  seal (sealer, TRUE, "a", given);
  judge = judge_new (scene);
  for (gsize i = 0; i < sizeof given; i++)
    {
      given[i] ^= 4;
      g_assert_false (is_good (judge, NULL, "a", given));
      given[i] ^= 4;
    }
  g_assert_true (is_good (judge, NULL, "a", given));
  seal (sealer, TRUE, "b", given);
  g_assert_true (g_file_get_contents (path, &list, &size, NULL));
  for (gsize i = 0; i < size; i++)
    {
      g_autoptr (CommyPkiSealJudge) none = NULL;

      list[i] ^= 1;
      g_assert_true (g_file_set_contents (path, list, (gssize) size, NULL));
      none = commy_pki_seal_judge_new (scene->dir, NULL);
      g_assert_null (none);
      list[i] ^= 1;
    }
}

/* Power was lost while a key was written to the list: at each byte of it. */
static void
test_torn (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyPkiSealer) sealer = commy_pki_sealer_new (scene->dir);
  g_autofree char *path = g_build_filename (scene->dir, COMMY_PKI_SEAL_KEYS_FILE, NULL);
  guint8 first[COMMY_PKI_SEAL_SIZE], last[COMMY_PKI_SEAL_SIZE];
  g_autofree char *list = NULL;
  gsize size;

  seal (sealer, TRUE, "a", first);
  g_assert_true (g_file_get_contents (path, &list, &size, NULL));
  for (gsize n = 1; n < size; n += 13)
    {
      g_autofree char *whole = NULL;
      g_autofree char *torn = NULL;
      g_autoptr (CommyPkiSealJudge) meanwhile = NULL;
      g_autoptr (CommyPkiSealJudge) judge = NULL;

      g_assert_true (g_file_get_contents (path, &whole, NULL, NULL));
      torn = g_strdup_printf ("%s%.*s", whole, (int) n, whole);
      g_assert_true (g_file_set_contents (path, torn, -1, NULL));
      meanwhile = judge_new (scene);
      g_assert_true (is_good (meanwhile, NULL, "a", first));
      seal (sealer, TRUE, "b", last);
      judge = judge_new (scene);
      g_assert_true (is_good (judge, NULL, "a", first));
      g_assert_true (is_good (judge, NULL, "b", last));
    }
}

static void
test_nobody (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyPkiSealer) without = commy_pki_sealer_new (scene->authority);
  g_autoptr (CommyPkiSealer) nowhere = commy_pki_sealer_new (NULL);
  g_autoptr (GError) error = NULL;
  guint8 given[COMMY_PKI_SEAL_SIZE];
  gboolean told;

  g_assert_false (commy_pki_seal (without, TRUE, "a", 1, given, &told, &error));
  g_assert_no_error (error);
  g_assert_false (commy_pki_seal (nowhere, TRUE, "a", 1, given, &told, &error));
  g_assert_no_error (error);
  g_assert_null (commy_pki_seal_judge_new (scene->authority, &error));
  g_assert_nonnull (error);
}

static void
test_bad_key (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyPkiSealer) sealer = commy_pki_sealer_new (scene->dir);
  g_autofree char *path = g_build_filename (scene->dir, COMMY_PKI_SEAL_KEY_FILE, NULL);
  guint8 given[COMMY_PKI_SEAL_SIZE];
  gboolean told;

  g_assert_true (g_file_set_contents_full (path, "rubbish\n", -1, 0, 0600, NULL));
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (commy_pki_seal (sealer, TRUE, "a", 1, given, &told, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CERTIFICATE);
      g_assert_cmpint (told, ==, i > 0);
    }
}

#define ADD(PATH, FUNC) g_test_add (PATH, Scene, NULL, set_up, FUNC, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/seal/keys-vouch-for-keys", test_chain);
  ADD ("/seal/keys-are-forgotten", test_forgotten);
  ADD ("/seal/every-flipped-byte", test_flipped);
  ADD ("/seal/torn-list", test_torn);
  ADD ("/seal/no-certificate-no-seal", test_nobody);
  ADD ("/seal/rubbish-for-a-key", test_bad_key);
  return g_test_run ();
}
