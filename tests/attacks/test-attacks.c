/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each attack on shared memory, twice: as it is, where it must be repelled, and without the one
 * defence that stands against it, where it must succeed; a test that cannot fail would show
 * nothing. The second half needs a build with fail points. Each runs in a process of its own.
 *
 * "--attack NAME" is one attack in this process, "--matrix" a table of all.
 */
#include "config.h"

#include "attack.h"

#include <ftw.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Watchdogs; nothing that works takes as long. */
#define PATIENCE "120"
#define SHORT_PATIENCE "3"
/* What a sanitizer ends with; the tree's own options decide the rest. */
#define SANITIZER_STATUS 99

static const Attack attacks[] = {
  /* attack: shrink memory under its reader; defence: only memory that is sealed against it is
     mapped; test: /attacks/01-truncated-memory/is-repelled */
  { 1, "truncated-memory", attack_truncation, ATTACK_CRASH },
  /* attack: pass a file, a pipe, a device as memory; defence: kind, file system and size are
     checked before it is mapped; test: /attacks/02-no-memory/is-repelled */
  { 2, "no-memory", attack_no_memory, ATTACK_CRASH },
  /* attack: write to what was given for reading; defence: sealed against every later writer; test:
     /attacks/03-writing-to-what-was-lent/is-repelled */
  { 3, "writing-to-what-was-lent", attack_writing, ATTACK_WRONG },
  /* attack: punch holes under a reader; defence: the same seal, demanded of the peer's memory;
     test: /attacks/04-holes-under-a-reader/is-repelled */
  { 4, "holes-under-a-reader", attack_holes, ATTACK_WRONG },
  /* attack: pass memory without pages, for the reader to pay; defence: all pages must be there;
     test: /attacks/05-sparse-memory/is-repelled */
  { 5, "sparse-memory", attack_sparse, ATTACK_LEAK },
  /* attack: change a word between check and use; defence: each word is read once, the copy is
     checked and used; test: /attacks/06-double-fetch/is-repelled */
  { 6, "double-fetch", attack_double_fetch, ATTACK_WRONG },
  /* attack: offsets, lengths, slots that lead elsewhere; defence: checked against what was agreed
     at set-up and is kept in private; test: /attacks/07-records-that-point-elsewhere/is-repelled */
  { 7, "records-that-point-elsewhere", attack_records, ATTACK_CRASH },
  /* attack: positions that jump, records that come again; defence: a position only goes on, a
     record has a sequence; test: /attacks/08-positions-that-jump/is-repelled */
  { 8, "positions-that-jump", attack_positions, ATTACK_WRONG },
  /* attack: change an argument while it is handled; defence: bytes of another user are copied
     first; test: /attacks/09-changes-after-delivery/is-repelled */
  { 9, "changes-after-delivery", attack_later_changes, ATTACK_WRONG },
  /* attack: write what a neighbour reads; defence: one writer to a segment, everybody else has it
     read-only; test: /attacks/10-neighbours-memory/is-repelled */
  { 10, "neighbours-memory", attack_neighbours, ATTACK_WRONG },
  /* attack: have a wake-up block; defence: wake-ups are never waited for; test:
     /attacks/11-doorbell-that-blocks/is-repelled */
  { 11, "doorbell-that-blocks", attack_doorbell, ATTACK_HANG },
  /* attack: pass descriptors until none is left; defence: counted and closed at once; test:
     /attacks/12-descriptors-nobody-asked-for/is-repelled */
  { 12, "descriptors-nobody-asked-for", attack_descriptors, ATTACK_LEAK },
  /* attack: pass a descriptor whose close waits; defence: closed with lingering off; test:
     /attacks/12-descriptor-that-lingers/is-repelled */
  { 12, "descriptor-that-lingers", attack_lingering, ATTACK_HANG },
  /* attack: die and leave a child or a zombie in one's place; defence: death is known from the
     pidfd and the threads; test: /attacks/13-zombies/is-repelled */
  { 13, "zombies", attack_zombie, ATTACK_HANG },
  /* attack: be first at the name in the runtime folder, a link or a socket; move the folder;
     defence: only a folder of one's own that nobody else can write; what stands there is not
     touched; test: /attacks/14-squatters/is-repelled */
  { 14, "squatters", attack_squatting, ATTACK_WRONG },
  /* attack: get at memory and descriptors through a child; defence: neither is inherited; test:
     /attacks/15-inheritance/is-repelled */
  { 15, "inheritance", attack_inheritance, ATTACK_LEAK },
  /* attack: connect until nobody else can; defence: shares: with n users a newcomer always finds
     something; test: /attacks/16-flood/is-repelled */
  { 16, "flood", attack_flood, ATTACK_DENIED },
  /* attack: announce memory until no more can be mapped, or for as long as it takes; defence: one
     map a turn, a limit for the process, shared between users; test:
     /attacks/18-memory-without-end/is-repelled */
  { 18, "memory-without-end", attack_maps, ATTACK_LEAK },
};

static const Attack mutator = { 0, "mutator", attack_mutator, ATTACK_REPELLED };

AttackEnd
attack_not_here (const char *why)
{
  g_print ("not here: %s\n", why);
  return ATTACK_NOT_HERE;
}

guint
attack_count (guint usual)
{
  const char *count = g_getenv ("COMMY_TEST_COUNT");

  return count != NULL ? (guint) strtoul (count, NULL, 10) : usual;
}

static const char *
end_to_string (AttackEnd end)
{
  switch (end)
    {
    case ATTACK_REPELLED:
      return "repelled";
    case ATTACK_WRONG:
      return "wrong bytes";
    case ATTACK_LEAK:
      return "leak";
    case ATTACK_DENIED:
      return "others are not served";
    case ATTACK_CRASH:
      return "crash";
    case ATTACK_HANG:
      return "hang";
    case ATTACK_NOT_HERE:
      return "not possible here";
    default:
      return "broken test";
    }
}

static AttackEnd
end_of (int status)
{
  if (WIFEXITED (status) && WEXITSTATUS (status) == SANITIZER_STATUS)
    return ATTACK_CRASH;
  if (WIFEXITED (status))
    return (AttackEnd) WEXITSTATUS (status);
  return WTERMSIG (status) == SIGALRM ? ATTACK_HANG : ATTACK_CRASH;
}

static int
remove_entry (const char *path, const struct stat *status, int kind, struct FTW *where)
{
  return g_remove (path);
}

/* @directory: for its files, which a victim that dies leaves behind. */
static char **
make_environment (const Attack *attack, gboolean without, const char *directory)
{
  char **env = g_get_environ ();
  g_autofree char *number = g_strdup_printf ("%d", attack->number);
  const char *options = g_environ_getenv (env, "ASAN_OPTIONS");
  g_autofree char *asan = g_strdup_printf ("%s:exitcode=%d:handle_segv=0:handle_sigbus=0%s",
                                           options != NULL ? options : "", SANITIZER_STATUS,
                                           without ? ":detect_leaks=0" : "");

  env = g_environ_setenv (env, "ASAN_OPTIONS", asan, TRUE);
  if (without)
    env = g_environ_setenv (env, "COMMY_WITHOUT_DEFENCE", number, TRUE);
  env = g_environ_setenv (env, "TMPDIR", directory, TRUE);
  return g_environ_setenv (env, "COMMY_ATTACK_PATIENCE",
                           without && attack->without == ATTACK_HANG ? SHORT_PATIENCE : PATIENCE,
                           TRUE);
}

/* *@out_text is what it said. */
static AttackEnd
run_attack (const Attack *attack, gboolean without, char **out_text)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  char *argv[] = { self, (char *) "--attack", (char *) attack->name, NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *directory = g_dir_make_tmp ("attack-XXXXXX", &error);
  g_auto (GStrv) env = NULL;
  int status = 0;

  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (directory, 0711), ==, 0); /* for the other users */
  env = make_environment (attack, without, directory);

  g_spawn_sync (NULL, argv, env, G_SPAWN_DEFAULT, NULL, NULL, out_text, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (nftw (directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS), ==, 0);
  return end_of (status);
}

static void
expect (const Attack *attack, gboolean without, AttackEnd wanted)
{
  g_autofree char *text = NULL;
  AttackEnd end = run_attack (attack, without, &text);

  g_test_message ("%s%s: %s\n%s", attack->name, without ? " without its defence" : "",
                  end_to_string (end), text);
  if (end == ATTACK_NOT_HERE)
    {
      const char *why = strstr (text, "not here: ");

      g_strchomp (text);
      g_test_skip (why != NULL ? why + strlen ("not here: ") : "no reason given");
      return;
    }
  g_assert_cmpstr (end_to_string (end), ==, end_to_string (wanted));
}

static void
test_repelled (gconstpointer attack)
{
  expect (attack, FALSE, ATTACK_REPELLED);
}

#ifdef COMMY_ENABLE_FAILPOINTS
static void
test_without (gconstpointer attack)
{
  expect (attack, TRUE, ((const Attack *) attack)->without);
}
#endif

/* --- one attack, and the table --- */

static int
run_here (const char *name)
{
  const char *patience = g_getenv ("COMMY_ATTACK_PATIENCE");

  alarm (patience != NULL ? (guint) atoi (patience) : 0);
  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    if (strcmp (attacks[i].name, name) == 0)
      return attacks[i].run ();
  alarm (0);
  return strcmp (mutator.name, name) == 0 ? mutator.run () : EXIT_FAILURE;
}

static int
print_matrix (void)
{
  int status = EXIT_SUCCESS;

  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      const Attack *attack = &attacks[i];
      g_autofree char *text = NULL;
      AttackEnd with = run_attack (attack, FALSE, &text);
      AttackEnd without = ATTACK_NOT_HERE;
      g_autofree char *other = NULL;

#ifdef COMMY_ENABLE_FAILPOINTS
      without = run_attack (attack, TRUE, &other);
#endif
      g_print ("%2d  %-30s %-18s without defence: %s\n", attack->number, attack->name,
               end_to_string (with), end_to_string (without));
      if (with != ATTACK_REPELLED || without == ATTACK_REPELLED)
        status = EXIT_FAILURE;
    }
  return status;
}

static int
count_descriptors (void)
{
  return (int) shm_test_count_fds ();
}

static void
add (const Attack *attack, const char *what, GTestDataFunc test)
{
  g_autofree char *path
      = attack->number > 0
            ? g_strdup_printf ("/attacks/%02d-%s/%s", attack->number, attack->name, what)
            : g_strdup_printf ("/attacks/%s/%s", attack->name, what);

  g_test_add_data_func (path, attack, test);
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "--count-descriptors") == 0)
    return count_descriptors ();
  if (argc == 2 && strcmp (argv[1], "--matrix") == 0)
    return print_matrix ();
  if (argc == 3 && strcmp (argv[1], "--attack") == 0)
    return run_here (argv[2]);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      add (&attacks[i], "is-repelled", test_repelled);
#ifdef COMMY_ENABLE_FAILPOINTS
      add (&attacks[i], "succeeds-without-its-defence", test_without);
#endif
    }
  add (&mutator, "a-peer-that-changes-bytes-at-random", test_repelled);
  return g_test_run ();
}
