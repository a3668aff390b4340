/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking after the folder of a trail: files whose process did not close them are noted, and those
 * whose time is over, or that are too many, are noted and removed.
 */
#include "config.h"

#include "security/commy-audit-chain-private.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "security/commy-audit-files.h"
#include "security/commy-audit-heads.h"
#include "security/commy-audit-note.h"
#include "security/commy-audit-tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* An empty file may have been made a moment ago, and its lock be about to be taken. */
#define YOUNG_S 60
/* Of the time with which names begin, "20261123T024500Z". */
#define BEGUN_SIZE 16

/* Of the names in it: (transfer full) */
static char *
dup_names_of (const char *name)
{
  g_autofree char *stem = commy_audit_file_stem (name);

  return g_strconcat (stem, COMMY_AUDIT_NAMES_SUFFIX, NULL);
}

static int
open_to_look (const CommyAuditChain *self, const char *name)
{
  return openat (self->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static void
add_about (CommyAuditChain *self,
           const char *name,
           const CommyAuditTail *tail,
           CommyAuditCause cause,
           gint64 wall_us,
           gint64 boot_ns)
{
  g_autofree char *stem = commy_audit_file_stem (name);
  CommyAuditNote note = {
    .sequence = tail->sequence, .torn = tail->torn, .last_us = tail->wall_us, .cause = cause
  };
  g_autofree char *reason = NULL;
  CommyAuditRecord record = { .wall_us = wall_us,
                              .boot_ns = boot_ns,
                              .texts = { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_TRAIL,
                                         [COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_RECOVERED,
                                         [COMMY_AUDIT_DETAILS] = stem } };

  memcpy (note.hash, tail->hash, sizeof note.hash);
  record.texts[COMMY_AUDIT_REASON] = reason = commy_audit_note_dup (&note);
  if (commy_audit_note_is_removal (&note))
    record.texts[COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_REMOVED;
  commy_audit_chain_add (self, &record);
}

/* --- files that nobody closed --- */

/* A name that was being written is none: nobody could tell it, or erase it. It is not cut off,
 * because somebody may have it mapped. */
static gboolean
blot_torn_name (int fd)
{
  char text[COMMY_AUDIT_NAME_LINE_MAX];
  struct stat status;
  gssize size, whole, blot;
  off_t from;

  if (fstat (fd, &status) < 0)
    return FALSE;
  from = MAX (status.st_size - (off_t) sizeof text, 0);
  size = whole = pread (fd, text, sizeof text, from);
  while (whole > 0 && text[whole - 1] != '\n')
    whole--;
  if (whole == size || (whole == 0 && from > 0))
    return size >= 0;
  blot = (gssize) commy_audit_name_blot ((gsize) (size - whole), text);
  return pwrite (fd, text, (gsize) blot, from + whole) == blot;
}

static gboolean
keep_names (const CommyAuditChain *self, const char *name)
{
  g_autofree char *names = dup_names_of (name);
  int fd = openat (self->dir_fd, names, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  gboolean ok = fd < 0 || (blot_torn_name (fd) && commy_audit_chain_sync_fd (self, fd) == 0);

  if (fd >= 0)
    close (fd);
  return ok;
}

/* What its process wrote must not be lost after it was noted, or else losing power would look as if
 * somebody had taken the end away. */
static gboolean
keep (const CommyAuditChain *self, const char *name, int fd)
{
  return commy_audit_chain_sync_fd (self, fd) == 0 && keep_names (self, name);
}

/* One that nobody writes any more, and that was not closed. The lock keeps a second finder away
 * until its name tells that it was noted. */
static gboolean
recover (CommyAuditChain *self, const char *name, gint64 wall_us, gint64 boot_ns, GError **error)
{
  int fd = open_to_look (self, name);
  g_autofree char *closed = g_strndup (name, strlen (name) - strlen (".open"));
  CommyAuditTail tail;
  struct stat before, now;
  gboolean ok = TRUE;

  if (fd < 0)
    return TRUE;
  if (flock (fd, LOCK_EX | LOCK_NB) == 0 && fstat (fd, &before) == 0
      && (before.st_size > 0 || wall_us / G_USEC_PER_SEC - before.st_mtim.tv_sec > YOUNG_S)
      && fstatat (self->dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && before.st_ino == now.st_ino
      && keep (self, name, fd) && commy_audit_tail_read (fd, self->tools, &tail))
    {
      add_about (self, name, &tail, COMMY_AUDIT_STAYS, wall_us, boot_ns);
      ok = commy_audit_chain_flush (self, wall_us, boot_ns, TRUE, error);
      if (ok && !COMMY_FAILPOINT ("audit-end-noted"))
        renameat (self->dir_fd, name, self->dir_fd, closed);
    }
  close (fd);
  return ok;
}

/* --- files that have to go --- */

/* A closed file, as its own records tell: nobody asks when somebody touched it last. */
typedef struct
{
  const char *name;
  gsize size;      /* with its names */
  gint64 last_us;  /* of its last record, and of those before it in its chain */
  gsize chain;     /* how much of the name is its chain's */
  gboolean exists; /* and is closed */
  gboolean is_sealed;
} Held;

static gsize
size_of (const CommyAuditChain *self, const char *name)
{
  struct stat status;

  return fstatat (self->dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? (gsize) status.st_size
                                                                         : 0;
}

/* Whether it is gone, for whatever reason. */
static gboolean
is_gone (const CommyAuditChain *self, const char *name)
{
  return faccessat (self->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

/* Since it was listed it may have been closed, here or elsewhere, or noted. */
static void
follow_name (const CommyAuditChain *self, char *name)
{
  if (g_str_has_suffix (name, COMMY_AUDIT_LIVE_SUFFIX) && is_gone (self, name))
    name[strlen (name) - strlen (".open")] = '\0';
}

/* A file without a record loses none: it has been there since it was touched. */
static Held
look_at (const CommyAuditChain *self, const char *name)
{
  Held held = { .name = name, .exists = g_str_has_suffix (name, COMMY_AUDIT_SUFFIX) };
  g_autofree char *stem = commy_audit_file_stem (name);
  g_autofree char *names = dup_names_of (name);
  int fd = held.exists ? open_to_look (self, name) : -1;
  struct stat status;
  CommyAuditTail tail;

  commy_audit_file_number (stem, &held.chain);
  held.size = size_of (self, name) + size_of (self, names);
  if (fd < 0)
    return held;
  if (commy_audit_tail_read (fd, self->tools, &tail) && tail.sequence > 0)
    {
      held.last_us = tail.wall_us;
      held.is_sealed = tail.is_sealed;
    }
  else if (fstat (fd, &status) == 0)
    held.last_us = (gint64) status.st_mtim.tv_sec * G_USEC_PER_SEC;
  close (fd);
  return held;
}

static gboolean
is_same_chain (const Held *a, const Held *b)
{
  return a->chain == b->chain && strncmp (a->name, b->name, a->chain) == 0;
}

/* How the file behind it begins, closed or not; is_empty: it is the chain's last one with a record.
 * FALSE: that cannot be read. */
static gboolean
read_next (const CommyAuditChain *self, const char *stem, CommyAuditStart *out_start)
{
  gsize size;
  guint number = commy_audit_file_number (stem, &size);
  g_autofree char *next
      = g_strdup_printf ("%.*s-%06u" COMMY_AUDIT_LIVE_SUFFIX, (int) size, stem, number + 1);
  int fd = open_to_look (self, next);
  gboolean ok = TRUE;

  *out_start = (CommyAuditStart){ .is_empty = TRUE };
  next[strlen (next) - strlen (".open")] = '\0';
  if (fd < 0)
    fd = open_to_look (self, next);
  if (fd >= 0)
    {
      ok = commy_audit_start_read (fd, out_start);
      close (fd);
    }
  return ok;
}

/* Whether it ends where the rest of its chain says. What was changed, or cut off, is what a
 * verification is to find: it must not be gone before. */
static gboolean
is_as_it_was (const CommyAuditChain *self,
              const char *head_name,
              const CommyAuditStart *next,
              const CommyAuditTail *tail)
{
  char hash[COMMY_AUDIT_HEX_SIZE + 1] = "";
  CommyAuditHead head;

  if (tail->sequence > 0 && !tail->fits)
    return FALSE;
  if (!next->is_empty)
    return commy_audit_start_follows (next, tail->sequence, tail->hash);
  switch (commy_audit_head_read (self->setup.directory, head_name, &head, NULL))
    {
    case COMMY_AUDIT_HEAD_NONE:
      return TRUE; /* who removed it last died then */
    case COMMY_AUDIT_HEAD_GOOD:
      commy_audit_to_hex (head.hash, sizeof head.hash, hash);
      return head.sequence < tail->sequence
             || (head.sequence == tail->sequence
                 && (head.sequence == 0 || strcmp (hash, tail->hash) == 0));
    default:
      return FALSE;
    }
}

/* A note that excuses what is missing is sealed before anything is: and who cannot seal does not
 * remove what is. FALSE: it stays. */
static gboolean
note_removal (CommyAuditChain *self,
              const char *name,
              const CommyAuditTail *tail,
              CommyAuditCause cause,
              gint64 wall_us,
              gint64 boot_ns)
{
  gboolean is_sealed;

  if (tail->is_sealed && !self->is_sealed && !commy_audit_chain_seal (self, wall_us, boot_ns))
    {
      g_message ("%s of the audit trail stays: it is sealed, and nobody here can seal that it was "
                 "removed",
                 name);
      return FALSE;
    }
  add_about (self, name, tail, cause, wall_us, boot_ns);
  is_sealed = commy_audit_chain_seal (self, wall_us, boot_ns);
  return is_sealed || !tail->is_sealed;
}

/* With a chain's last file its @head has to go, before it: a head alone is one whose chain was
 * taken away. */
static void
take_away (const CommyAuditChain *self, const char *name, const char *names, const char *head)
{
  (void) COMMY_FAILPOINT ("audit-removal-noted");
  if (head != NULL)
    commy_audit_head_remove (self->dir_fd, head, G_MAXINT64);
  (void) COMMY_FAILPOINT ("audit-head-removed");
  if (unlinkat (self->dir_fd, name, 0) == 0 && !COMMY_FAILPOINT ("audit-file-removed"))
    unlinkat (self->dir_fd, names, 0);
}

/* Noted before; one that somebody reads stays until the next time. */
static gboolean
remove_closed (CommyAuditChain *self,
               const char *name,
               CommyAuditCause cause,
               gint64 wall_us,
               gint64 boot_ns,
               GError **error)
{
  g_autofree char *names = dup_names_of (name);
  g_autofree char *stem = commy_audit_file_stem (name);
  g_autofree char *head = NULL;
  CommyAuditStart next;
  int fd = read_next (self, stem, &next) ? open_to_look (self, name) : -1;
  CommyAuditTail tail;
  gboolean ok = TRUE;
  gsize size;

  commy_audit_file_number (stem, &size);
  head = g_strdup_printf ("%.*s" COMMY_AUDIT_HEAD_SUFFIX, (int) size, stem);
  if (fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) == 0
      && commy_audit_tail_read (fd, self->tools, &tail))
    {
      if (!is_as_it_was (self, head, &next, &tail))
        g_message ("%s of the audit trail stays though its time is over: it does not end where the "
                   "rest of its chain says; see commy audit verify",
                   name);
      else if (note_removal (self, name, &tail, cause, wall_us, boot_ns))
        {
          ok = commy_audit_chain_flush (self, wall_us, boot_ns, TRUE, error);
          if (ok)
            take_away (self, name, names, next.is_empty ? head : NULL);
        }
    }
  if (fd >= 0)
    close (fd);
  return ok;
}

/* Whether its chain began less than the retention ago, as its name says: nothing of it is looked at
 * then, because every program that runs for a moment leaves a chain. A wrong name only makes it
 * stay for longer. */
static gboolean
is_young (const CommyAuditChain *self, const char *stem, gint64 wall_us)
{
  g_autoptr (GDateTime) begun = NULL;
  gint64 begun_us = G_MININT64;

  if (strlen (stem) > BEGUN_SIZE && stem[BEGUN_SIZE] == '-')
    {
      g_autofree char *text = g_strndup (stem, BEGUN_SIZE);

      begun = g_date_time_new_from_iso8601 (text, NULL);
    }
  if (begun != NULL)
    begun_us = g_date_time_to_unix (begun) * G_USEC_PER_SEC;
  return begun_us > wall_us - self->setup.retention_us && begun_us <= wall_us;
}

/* Chains lose their files from the beginning: behind one that stays nothing goes, because a hole is
 * what somebody else leaves. */
static gboolean
remove_old (CommyAuditChain *self, GPtrArray *names, gint64 wall_us, gint64 boot_ns, GError **error)
{
  Held stays = { .name = "" };

  for (guint i = 0; self->setup.retention_us > 0 && i < names->len; i++)
    {
      Held held = { .name = names->pdata[i] };
      g_autofree char *stem = commy_audit_file_stem (held.name);

      commy_audit_file_number (stem, &held.chain);
      if (is_same_chain (&held, &stays) || is_young (self, stem, wall_us))
        continue;
      follow_name (self, names->pdata[i]);
      held = look_at (self, held.name);
      if (held.exists && wall_us - held.last_us > self->setup.retention_us
          && !remove_closed (self, held.name, COMMY_AUDIT_BY_AGE, wall_us, boot_ns, error))
        return FALSE;
      if (!is_gone (self, held.name))
        stays = held;
    }
  return TRUE;
}

static int
compare_ages (gconstpointer a, gconstpointer b)
{
  const Held *x = a, *y = b;

  if (x->last_us != y->last_us)
    return x->last_us < y->last_us ? -1 : 1;
  return strcmp (x->name, y->name);
}

/* All but the file that is written, whose place is kept, in the order in which they may go. */
static GArray *
list_by_age (CommyAuditChain *self, GPtrArray *names, gsize *out_total)
{
  GArray *all = g_array_new (FALSE, FALSE, sizeof (Held));

  for (guint i = 0; i < names->len; i++)
    {
      const Held *before = all->len > 0 ? &g_array_index (all, Held, all->len - 1) : NULL;
      Held held;

      follow_name (self, names->pdata[i]);
      held = look_at (self, names->pdata[i]);
      if (!held.exists && g_str_has_prefix (held.name, self->name))
        continue;
      if (before != NULL && is_same_chain (before, &held))
        held.last_us = MAX (held.last_us, before->last_us);
      *out_total += held.size;
      g_array_append_val (all, held);
    }
  g_array_sort (all, compare_ages);
  return all;
}

/* The oldest closed files, until there is room for one that is written. */
static gboolean
remove_excess (
    CommyAuditChain *self, GPtrArray *names, gint64 wall_us, gint64 boot_ns, GError **error)
{
  g_autoptr (GHashTable) stay = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GArray) all = NULL;
  const gsize whole = self->setup.max_total_size, file = self->setup.max_file_size;
  const gsize room = whole > file ? whole - file : 0;
  gsize total = 0;

  if (whole == 0)
    return TRUE;
  all = list_by_age (self, names, &total);
  for (guint i = 0; i < all->len && total > room; i++)
    {
      const Held *held = &g_array_index (all, Held, i);
      g_autofree char *chain = g_strndup (held->name, held->chain);

      if (!held->exists || g_hash_table_contains (stay, chain))
        continue;
      if (!remove_closed (self, held->name, COMMY_AUDIT_BY_SIZE, wall_us, boot_ns, error))
        return FALSE;
      if (is_gone (self, held->name))
        total -= held->size;
      else if (held->is_sealed && !self->is_sealed)
        break; /* its own time, when somebody is here who can seal that it went */
      else
        g_hash_table_add (stay, g_steal_pointer (&chain));
    }
  return TRUE;
}

/* --- heads and names of nothing --- */

/* Names of the chains that have files. (transfer full) */
static GHashTable *
list_chains (GPtrArray *files)
{
  GHashTable *chains = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < files->len; i++)
    {
      char *chain = commy_audit_file_stem (files->pdata[i]);
      gsize size;

      commy_audit_file_number (chain, &size);
      chain[size] = '\0';
      g_hash_table_add (chains, chain);
    }
  return chains;
}

/* Of processes that could not begin a file, or died before that: a full disk would keep one for
 * each. */
static void
remove_idle_heads (CommyAuditChain *self, GPtrArray *files, gint64 wall_us)
{
  g_autoptr (GPtrArray) heads
      = commy_audit_list_beside (self->setup.directory, COMMY_AUDIT_HEAD_SUFFIX);
  g_autoptr (GHashTable) chains = list_chains (files);

  for (guint i = 0; i < heads->len; i++)
    {
      const char *name = heads->pdata[i];
      g_autofree char *chain = g_strndup (name, strlen (name) - strlen (COMMY_AUDIT_HEAD_SUFFIX));
      CommyAuditHead head = { 0 };
      CommyAuditHeadState state;

      if (g_hash_table_contains (chains, chain))
        continue;
      state = commy_audit_head_read (self->setup.directory, name, &head, NULL);
      if (state == COMMY_AUDIT_HEAD_EMPTY || (state == COMMY_AUDIT_HEAD_GOOD && head.sequence == 0))
        commy_audit_head_remove (self->dir_fd, name, wall_us / G_USEC_PER_SEC - YOUNG_S);
    }
}

/* Whether its process may be about to make the file that they are of. */
static gboolean
is_being_made (const CommyAuditChain *self, const char *names, const char *stem, gint64 wall_us)
{
  struct stat status;
  CommyAuditHead head;
  gboolean is_live = FALSE;
  g_autofree char *name = NULL;
  gsize size;

  commy_audit_file_number (stem, &size);
  name = g_strdup_printf ("%.*s" COMMY_AUDIT_HEAD_SUFFIX, (int) size, stem);
  commy_audit_head_read (self->setup.directory, name, &head, &is_live);
  return is_live || fstatat (self->dir_fd, names, &status, AT_SYMLINK_NOFOLLOW) < 0
         || status.st_mtim.tv_sec > wall_us / G_USEC_PER_SEC - YOUNG_S;
}

/* Of files that were removed by who died before he had removed these, too, or that were never made.
 * Nobody needs to know any more whom records were about that are not there. */
static void
remove_idle_names (CommyAuditChain *self, gint64 wall_us)
{
  g_autoptr (GPtrArray) all
      = commy_audit_list_beside (self->setup.directory, COMMY_AUDIT_NAMES_SUFFIX);

  for (guint i = 0; i < all->len; i++)
    {
      const char *names = all->pdata[i];
      g_autofree char *stem = g_strndup (names, strlen (names) - strlen (COMMY_AUDIT_NAMES_SUFFIX));
      g_autofree char *live = g_strconcat (stem, COMMY_AUDIT_LIVE_SUFFIX, NULL);
      g_autofree char *closed = g_strconcat (stem, COMMY_AUDIT_SUFFIX, NULL);

      /* In this order: it may be closed between the two. */
      if (is_gone (self, live) && is_gone (self, closed)
          && !is_being_made (self, names, stem, wall_us))
        unlinkat (self->dir_fd, names, 0);
    }
}

/* --- all of it --- */

static gboolean
recover_all (
    CommyAuditChain *self, GPtrArray *names, gint64 wall_us, gint64 boot_ns, GError **error)
{
  g_autofree char *own = commy_audit_chain_dup_file_name (self, COMMY_AUDIT_LIVE_SUFFIX);

  for (guint i = 0; i < names->len; i++)
    if (g_str_has_suffix (names->pdata[i], COMMY_AUDIT_LIVE_SUFFIX)
        && strcmp (names->pdata[i], own) != 0
        && !recover (self, names->pdata[i], wall_us, boot_ns, error))
      return FALSE;
  return TRUE;
}

gboolean
commy_audit_chain_tidy (CommyAuditChain *self, gint64 wall_us, gint64 boot_ns, GError **error)
{
  g_autoptr (GPtrArray) names = NULL;

  if (!commy_audit_chain_open_directory (self, error))
    return FALSE;
  names = commy_audit_list_files (self->setup.directory, NULL);
  if (names == NULL)
    return TRUE; /* what is not known to be all of it is left alone */
  remove_idle_heads (self, names, wall_us);
  remove_idle_names (self, wall_us);
  return recover_all (self, names, wall_us, boot_ns, error)
         && remove_old (self, names, wall_us, boot_ns, error)
         && remove_excess (self, names, wall_us, boot_ns, error);
}
