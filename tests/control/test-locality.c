/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Levels and their shares: that they add up, that nobody drops off a cliff when instances fail one
 * after the other, when health is ignored, and who is left out of a pick.
 */
#include "config.h"

#include "control/commy-locality.h"
#include "tests/control/chance.h"

#include <string.h>

#define MOST 200u

static const CommyLocalityPolicy usual = { .overprovisioning = 1.4, .panic = 0.5 };

typedef struct
{
  CommyLocality locality;
  guint8 levels[MOST];
  guint n;
  guint64 blocked[(MOST + 63) / 64], barred[(MOST + 63) / 64];
} Scene;

static void
scene_clear (Scene *scene)
{
  commy_locality_clear (&scene->locality);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Scene, scene_clear)

/* So many members of each level. */
static void
scene_init (Scene *scene, const guint counts[COMMY_LEVELS])
{
  memset (scene, 0, sizeof *scene);
  for (guint l = 0; l < COMMY_LEVELS; l++)
    for (guint i = 0; i < counts[l]; i++)
      scene->levels[scene->n++] = (guint8) l;
  commy_locality_set_members (&scene->locality, scene->levels, scene->n, NULL);
}

static void
set (guint64 *bits, guint index)
{
  bits[index / 64] |= G_GUINT64_CONSTANT (1) << (index % 64);
}

static gboolean
has (const guint64 *bits, guint index)
{
  return bits != NULL && (bits[index / 64] >> (index % 64) & 1) != 0;
}

static const guint64 *
look (Scene *scene, guint64 random)
{
  return commy_locality_exclude (&scene->locality, &usual, scene->blocked, scene->barred, 0,
                                 random);
}

static double
share (const Scene *scene, guint level)
{
  return scene->locality.levels[level].share;
}

static char *
explain (Scene *scene)
{
  look (scene, 0);
  return commy_locality_explain (&scene->locality);
}

/* --- places --- */

static void
test_places (void)
{
  static const struct
  {
    CommyPlace there;
    CommyLevel level;
  } cases[] = {
    { { "n", "h", "z", "r" }, COMMY_LEVEL_PROCESS },
    { { "n", "x", "x", "x" }, COMMY_LEVEL_PROCESS },
    { { "m", "h", "z", "r" }, COMMY_LEVEL_HOST },
    { { "m", "h", "", "" }, COMMY_LEVEL_HOST },
    { { "m", "h", NULL, NULL }, COMMY_LEVEL_HOST },
    { { "m", "g", "z", "r" }, COMMY_LEVEL_ZONE },
    { { "m", "g", "z", "" }, COMMY_LEVEL_ZONE },
    { { "m", "g", "y", "r" }, COMMY_LEVEL_REGION },
    { { "m", "g", "", "r" }, COMMY_LEVEL_REGION },
    { { "m", "g", "", "" }, COMMY_LEVEL_ELSEWHERE },
    { { NULL, NULL, NULL, NULL }, COMMY_LEVEL_ELSEWHERE },
    /* What was said wins over the hint. */
    { { "m", "h", "y", "r" }, COMMY_LEVEL_REGION },
    { { "m", "h", "y", "" }, COMMY_LEVEL_ELSEWHERE },
    { { "m", "h", "z", "q" }, COMMY_LEVEL_ELSEWHERE },
    /* Zones of two regions may have the same name. */
    { { "m", "g", "z", "q" }, COMMY_LEVEL_ELSEWHERE },
  };
  const CommyPlace here = { "n", "h", "z", "r" };
  const CommyPlace nowhere = { "", "", "", "" };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_assert_cmpuint (commy_place_get_level (&here, &cases[i].there), ==, cases[i].level);
      g_assert_cmpuint (commy_place_get_level (&cases[i].there, &here), ==, cases[i].level);
    }
  g_assert_cmpuint (commy_place_get_level (&nowhere, &nowhere), ==, COMMY_LEVEL_ELSEWHERE);
}

/* --- shares --- */

static void
test_all_well (void)
{
  g_auto (Scene) scene = { 0 };
  g_autofree char *text = NULL;
  const guint64 *excluded;

  scene_init (&scene, (guint[]){ 0, 2, 3, 0, 1 });
  excluded = look (&scene, G_MAXUINT64);
  for (guint i = 0; i < scene.n; i++)
    g_assert_cmpint (has (excluded, i), ==, scene.levels[i] != COMMY_LEVEL_HOST);
  text = explain (&scene);
  g_assert_cmpstr (text, ==,
                   "host 100 % (2 of 2 well), zone 0 % (3 of 3 well), elsewhere 0 % (1 of 1 well)");
}

static void
test_one_level (void)
{
  g_auto (Scene) scene = { 0 };
  g_auto (Scene) none = { 0 };

  scene_init (&scene, (guint[]){ 0, 0, 0, 0, 100 });
  g_assert_null (look (&scene, 1));
  g_assert_null (commy_locality_exclude (&scene.locality, &usual, NULL, NULL, 7, 1));
  scene_init (&none, (guint[]){ 0, 0, 0, 0, 0 });
  g_assert_null (look (&none, 1));
  g_assert_null (commy_locality_explain (&none.locality));
}

/* 72 of 100 are enough for everything, as 72 * 1.4 is more than 100. */
static void
test_overprovisioning (void)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, (guint[]){ 0, 100, 50, 0, 0 });
  for (guint failed = 0; failed < 100; failed++)
    {
      const double expected = MIN (1, 1.4 * (100 - failed) / 100);

      look (&scene, 0);
      g_assert_cmpfloat_with_epsilon (share (&scene, COMMY_LEVEL_HOST), expected, 1e-9);
      g_assert_cmpfloat_with_epsilon (share (&scene, COMMY_LEVEL_ZONE), 1 - expected, 1e-9);
      g_assert_false (scene.locality.levels[COMMY_LEVEL_HOST].panic);
      set (scene.blocked, failed);
    }
  look (&scene, 0);
  g_assert_cmpfloat (share (&scene, COMMY_LEVEL_ZONE), ==, 1);
}

/* Whatever fails in whatever order: shares add up to one, no level gets more because one of its
 * own fails, and none loses more than what that one instance took. */
static void
test_no_cliff (void)
{
  CommySimRandom random = { 42 };

  for (guint round = 0; round < 300; round++)
    {
      g_auto (Scene) scene = { 0 };
      guint counts[COMMY_LEVELS];
      double before[COMMY_LEVELS];

      for (guint l = 0; l < COMMY_LEVELS; l++)
        counts[l] = commy_sim_random_below (&random, 20);
      scene_init (&scene, counts);
      for (guint n_left = scene.n; n_left > 0; n_left--)
        {
          guint victim = commy_sim_random_below (&random, scene.n);
          double sum = 0;

          look (&scene, 0);
          for (guint l = 0; l < COMMY_LEVELS; l++)
            sum += before[l] = share (&scene, l);
          g_assert_cmpfloat_with_epsilon (sum, 1, 1e-9);
          while (has (scene.blocked, victim))
            victim = (victim + 1) % scene.n;
          set (scene.blocked, victim);
          if (n_left == 1)
            break;
          look (&scene, 0);
          for (guint l = 0; l < COMMY_LEVELS; l++)
            {
              const CommyLocalityLevel *level = &scene.locality.levels[l];

              if (l == scene.levels[victim])
                g_assert_cmpfloat (level->share, <=, before[l] + 1e-9);
              else
                g_assert_cmpfloat (level->share, >=, before[l] - 1e-9);
              if (level->n_well > 0)
                g_assert_cmpfloat (before[l] - level->share, <=,
                                   MAX (1.4 / counts[l], before[l] / (level->n_well + 1)) + 1e-9);
            }
        }
    }
}

/* Half of the level cannot be reached: it is no member, and counts. */
static void
test_absent (void)
{
  g_auto (Scene) scene = { 0 };
  g_autofree char *text = NULL;
  const guint absent[COMMY_LEVELS] = { [COMMY_LEVEL_HOST] = 2 };

  scene_init (&scene, (guint[]){ 0, 2, 4, 0, 0 });
  commy_locality_set_members (&scene.locality, scene.levels, scene.n, absent);
  text = explain (&scene);
  g_assert_cmpstr (text, ==, "host 70 % (2 of 4 well), zone 30 % (4 of 4 well)");
}

/* --- panic --- */

static void
test_panic (void)
{
  g_auto (Scene) scene = { 0 };
  g_autofree char *text = NULL;
  const guint64 *excluded;

  scene_init (&scene, (guint[]){ 0, 10, 0, 0, 0 });
  for (guint i = 0; i < 5; i++)
    set (scene.blocked, i);
  excluded = look (&scene, 0);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (has (excluded, i), ==, i < 5);
  /* One more, and 4 of 10 would have to do the work of 10. */
  set (scene.blocked, 5);
  g_assert_null (look (&scene, 0));
  text = explain (&scene);
  g_assert_cmpstr (text, ==, "host 100 % (4 of 10 well); panic: health is ignored at host");
}

/* Another level can take it: nobody panics. */
static void
test_no_panic (void)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, (guint[]){ 0, 10, 10, 0, 0 });
  for (guint i = 0; i < 10; i++)
    set (scene.blocked, i);
  for (guint i = 0; i < 100; i++)
    {
      const guint64 *excluded = look (&scene, (guint64) i << 57);

      for (guint k = 0; k < 20; k++)
        g_assert_cmpint (has (excluded, k), ==, k < 10);
    }
}

static void
test_barred (void)
{
  g_auto (Scene) scene = { 0 };
  g_auto (Scene) none = { 0 };
  const guint64 *excluded;

  scene_init (&scene, (guint[]){ 0, 4, 2, 0, 0 });
  for (guint i = 0; i < scene.n; i++)
    set (scene.blocked, i);
  set (scene.barred, 0);
  for (guint i = 0; i < 3; i++)
    set (scene.barred, i + 3);
  /* Two of the host's are left, none of the zone's. */
  for (guint i = 0; i < 64; i++)
    {
      excluded = look (&scene, (guint64) i << 58);
      for (guint k = 0; k < scene.n; k++)
        g_assert_cmpint (has (excluded, k), ==, k != 1 && k != 2);
    }
  scene_init (&none, (guint[]){ 0, 0, 3, 0, 1 });
  memset (none.blocked, 0xff, sizeof none.blocked);
  memset (none.barred, 0xff, sizeof none.barred);
  excluded = look (&none, 5);
  for (guint k = 0; k < none.n; k++)
    g_assert_true (has (excluded, k));
}

/* --- picks --- */

/* As many picks come to a level as it has to get, and none to who is blocked. */
static void
test_picks (void)
{
  g_auto (Scene) scene = { 0 };
  CommySimRandom random = { 7 };
  guint hits[COMMY_LEVELS] = { 0 };

  scene_init (&scene, (guint[]){ 0, 60, 80, 0, 40 });
  for (guint i = 0; i < 40; i++)
    set (scene.blocked, i);
  for (guint i = 60; i < 100; i++)
    set (scene.blocked, i);
  for (guint i = 0; i < 100000; i++)
    {
      const guint64 *excluded = commy_locality_exclude (&scene.locality, &usual, scene.blocked,
                                                        NULL, 3, commy_sim_random_next (&random));
      guint level = COMMY_LEVELS;

      for (guint k = 0; k < scene.n; k += 19)
        if (!has (excluded, k))
          {
            g_assert_false (has (scene.blocked, k));
            level = scene.levels[k];
          }
      g_assert_cmpuint (level, <, COMMY_LEVELS);
      hits[level]++;
    }
  g_assert_cmpfloat_with_epsilon (hits[COMMY_LEVEL_HOST] / 1e5, 1.4 / 3, 0.01);
  g_assert_cmpfloat_with_epsilon (hits[COMMY_LEVEL_ZONE] / 1e5, 1 - 1.4 / 3, 0.01);
  g_assert_cmpuint (hits[COMMY_LEVEL_ELSEWHERE], ==, 0);
}

/* Only another serial makes it look again. */
static void
test_serial (void)
{
  g_auto (Scene) scene = { 0 };

  scene_init (&scene, (guint[]){ 0, 2, 2, 0, 0 });
  commy_locality_exclude (&scene.locality, &usual, scene.blocked, NULL, 1, 0);
  set (scene.blocked, 0);
  set (scene.blocked, 1);
  commy_locality_exclude (&scene.locality, &usual, scene.blocked, NULL, 1, 0);
  g_assert_cmpfloat (share (&scene, COMMY_LEVEL_HOST), ==, 1);
  commy_locality_exclude (&scene.locality, &usual, scene.blocked, NULL, 2, 0);
  g_assert_cmpfloat (share (&scene, COMMY_LEVEL_HOST), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/locality/place/what-is-said-wins-and-nothing-equals-nothing", test_places);
  g_test_add_func ("/locality/share/the-nearest-level-gets-all-while-it-is-well", test_all_well);
  g_test_add_func ("/locality/share/one-level-leaves-nobody-out", test_one_level);
  g_test_add_func ("/locality/share/a-level-can-take-more-than-its-own", test_overprovisioning);
  g_test_add_func ("/locality/share/nobody-drops-off-a-cliff", test_no_cliff);
  g_test_add_func ("/locality/share/who-cannot-be-reached-counts", test_absent);
  g_test_add_func ("/locality/panic/few-that-are-well-do-not-get-everything", test_panic);
  g_test_add_func ("/locality/panic/not-while-another-level-can-take-it", test_no_panic);
  g_test_add_func ("/locality/panic/some-are-not-even-picked-then", test_barred);
  g_test_add_func ("/locality/pick/levels-get-their-shares", test_picks);
  g_test_add_func ("/locality/pick/only-another-serial-is-looked-at", test_serial);
  return g_test_run ();
}
