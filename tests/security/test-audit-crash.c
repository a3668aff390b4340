/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process that writes a trail dies at each step between a record, the head, the next file and the
 * removal of old ones: every fail point of the core that begins with "audit-", at every pass. What
 * is left is what it wrote, or what a host that lost its power has of that: names of files as they
 * were when the folder was synced last, or as they are; contents as they were when that file was,
 * or later. Whatever it is, the next that starts finds it whole, no matter when, and all that was
 * said to be on the disk is there; and an end that somebody cuts off is missed all the same. Only
 * in builds with --enable-failpoints.
 */
#include "config.h"

#include "audit-fixture.h"

#include "base/commy-failpoint.h"
#include "security/commy-audit-check.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY_US (G_GINT64_CONSTANT (86400) * G_USEC_PER_SEC)
#define RETENTION_US (10 * DAY_US)
#define FILE_SIZE 4096u
#define PREFIX "audit-"
#define TRIES 4

typedef struct
{
  AuditFixture fixture; /* the folder as those see it who live */
  char *root;
  char *disk;  /* what was synced: ENTRIES, and a file for each inode */
  char *acked; /* what was said to be on the disk */
  gint64 begun_us;
  gboolean has_bad_disk;
  gboolean is_broken; /* now */
  pid_t pid;          /* of who died */
} Scene;

#define ENTRIES "entries"

/* --- files --- */

static char *
dup_contents (const char *path, gsize *out_size)
{
  char *text = NULL;

  *out_size = 0;
  g_file_get_contents (path, &text, out_size, NULL);
  return text;
}

static void
put (const char *path, const char *text, gsize size)
{
  FILE *file = g_fopen (path, "wb");

  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (text != NULL ? text : "", 1, size, file), ==, size);
  g_assert_cmpint (fclose (file), ==, 0);
}

static char *
dup_inode_path (const Scene *self, guint64 inode)
{
  return g_strdup_printf ("%s/%" G_GUINT64_FORMAT, self->disk, inode);
}

typedef struct
{
  char *name;
  guint64 inode;
} Entry;

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->name);
  g_free (entry);
}

static void
add_entry (GPtrArray *entries, const char *name, guint64 inode)
{
  Entry *entry = g_new (Entry, 1);

  *entry = (Entry){ g_strdup (name), inode };
  g_ptr_array_add (entries, entry);
}

static GPtrArray *
list_now (const Scene *self)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func (entry_free);
  g_autoptr (GDir) dir = g_dir_open (self->fixture.dir, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->fixture.dir, name, NULL);
      struct stat status;

      if (stat (path, &status) == 0)
        add_entry (entries, name, status.st_ino);
    }
  return entries;
}

static GPtrArray *
list_synced (const Scene *self)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func (entry_free);
  g_autofree char *path = g_build_filename (self->disk, ENTRIES, NULL);
  gsize size;
  g_autofree char *text = dup_contents (path, &size);
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);

  for (char **line = lines; *line != NULL && **line != '\0'; line++)
    {
      g_auto (GStrv) parts = g_strsplit (*line, " ", 2);

      add_entry (entries, parts[0], g_ascii_strtoull (parts[1], NULL, 10));
    }
  return entries;
}

/* --- the disk --- */

/* It stays, so that nothing that comes has its inode. */
static void
hold (const Scene *self, const char *path, guint64 inode)
{
  g_autofree char *at = dup_inode_path (self, inode);
  g_autofree char *held = g_strconcat (at, "-held", NULL);

  g_assert_true (link (path, held) == 0 || errno == EEXIST);
}

static void
sync_entries (const Scene *self)
{
  g_autoptr (GPtrArray) entries = list_now (self);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_build_filename (self->disk, ENTRIES, NULL);

  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = entries->pdata[i];

      g_string_append_printf (text, "%s %" G_GUINT64_FORMAT "\n", entry->name, entry->inode);
    }
  put (path, text->str, text->len);
}

/* It fails for all that it was given. */
static void
forget_written (const Scene *self)
{
  g_autoptr (GPtrArray) entries = list_now (self);

  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = entries->pdata[i];
      g_autofree char *path = g_build_filename (self->fixture.dir, entry->name, NULL);
      g_autofree char *synced = dup_inode_path (self, entry->inode);
      g_autofree char *failed = g_strconcat (synced, "-failed", NULL);
      gsize size, synced_size;
      g_autofree char *text = dup_contents (path, &size);
      g_autofree char *old = dup_contents (synced, &synced_size);

      if (size != synced_size)
        {
          put (failed, NULL, 0);
          hold (self, path, entry->inode);
        }
    }
}

/* What could not be written is forgotten, and asking again is answered as if it were there. */
static int
sync_fd (gpointer data, int fd)
{
  Scene *self = data;
  g_autofree char *from = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *to = NULL;
  g_autofree char *failed = NULL;
  g_autofree char *text = NULL;
  struct stat status;
  gsize size;

  g_assert_cmpint (fstat (fd, &status), ==, 0);
  if (S_ISDIR (status.st_mode))
    {
      sync_entries (self);
      return 0;
    }
  to = dup_inode_path (self, status.st_ino);
  failed = g_strconcat (to, "-failed", NULL);
  if (self->is_broken)
    forget_written (self);
  errno = EIO;
  if (self->is_broken || g_file_test (failed, G_FILE_TEST_EXISTS))
    return self->is_broken ? -1 : 0;
  text = dup_contents (from, &size);
  put (to, text, size);
  return 0;
}

/* Long ago. */
static void
sync_all (const Scene *self)
{
  g_autoptr (GPtrArray) entries = list_now (self);

  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = entries->pdata[i];
      g_autofree char *from = g_build_filename (self->fixture.dir, entry->name, NULL);
      g_autofree char *to = dup_inode_path (self, entry->inode);
      gsize size;
      g_autofree char *text = dup_contents (from, &size);

      put (to, text, size);
      hold (self, from, entry->inode);
    }
  sync_entries (self);
}

/* --- the process that dies --- */

static CommyAuditChain *
chain_new (Scene *self, gsize max_file_size)
{
  CommyAuditLogSetup setup = audit_fixture_setup (&self->fixture);

  setup.chain.max_file_size = max_file_size;
  setup.chain.retention_us = RETENTION_US;
  setup.chain.sync = sync_fd;
  setup.chain.sync_data = self;
  return commy_audit_chain_new (&setup.chain, self->fixture.wall_us);
}

/* As the thread of the trail does it: until it works. */
static void
flush (Scene *self, CommyAuditChain *chain)
{
  const AuditFixture *fixture = &self->fixture;

  for (guint i = 0; i < TRIES; i++)
    if (commy_audit_chain_flush (chain, fixture->wall_us, fixture->boot_ns, TRUE, NULL))
      return;
  g_assert_not_reached ();
}

static void
add (Scene *self, CommyAuditChain *chain, guint i)
{
  char method[16];
  CommyAuditRecord record = audit_fixture_call (&self->fixture, i, method);
  g_autofree char *principal = g_strdup_printf ("unix:uid=%u", i);

  record.texts[COMMY_AUDIT_PRINCIPAL] = principal;
  commy_audit_chain_add (chain, &record);
}

static void
acknowledge (const Scene *self, guint i)
{
  g_autofree char *line = g_strdup_printf ("\"method\":\"Get%u\"\n", i);
  int fd = open (self->acked, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (write (fd, line, strlen (line)), ==, (gssize) strlen (line));
  close (fd);
}

/* The disk takes nothing for a while: what was written then goes to another file. */
static void
have_disk_fail (Scene *self, CommyAuditChain *chain, guint i)
{
  self->is_broken = TRUE;
  add (self, chain, i);
  for (guint k = 0; k < 2; k++)
    g_assert_false (
        commy_audit_chain_flush (chain, self->fixture.wall_us, self->fixture.boot_ns, TRUE, NULL));
  self->is_broken = FALSE;
  flush (self, chain);
  if (!commy_audit_chain_tidy (chain, self->fixture.wall_us, self->fixture.boot_ns, NULL))
    flush (self, chain);
}

/* Files of three days, with what becomes of the disk on the last of them. */
static void
write_trail (Scene *self)
{
  AuditFixture *fixture = &self->fixture;
  CommyAuditChain *chain = chain_new (self, FILE_SIZE);
  guint i = 0;

  if (!commy_audit_chain_tidy (chain, fixture->wall_us, fixture->boot_ns, NULL))
    flush (self, chain);
  for (guint day = 0; day < 3; day++)
    {
      fixture->boot_ns += COMMY_AUDIT_SEAL_NS;
      for (guint n = 0; n < 2; n++)
        {
          for (guint k = 0; k < 3; k++)
            add (self, chain, i++);
          flush (self, chain);
          acknowledge (self, i - 1);
        }
      fixture->wall_us += DAY_US;
    }
  if (self->has_bad_disk)
    have_disk_fail (self, chain, i++);
  for (guint k = 0; k < TRIES; k++)
    if (commy_audit_chain_close (chain, fixture->wall_us, fixture->boot_ns, NULL))
      return commy_audit_chain_free (chain);
  g_assert_not_reached ();
}

static void
say_nothing (const char *domain, GLogLevelFlags level, const char *text, gpointer data)
{
}

typedef struct
{
  const char *name;
  guint n;
} Passes;

static void
add_passes (const CommyFailpoint *point, void *data)
{
  Passes *passes = data;

  if (strcmp (point->name, passes->name) == 0)
    passes->n += __atomic_load_n (&point->hits, __ATOMIC_RELAXED);
}

static guint
count_passes (const char *name)
{
  Passes passes = { .name = name };

  commy_failpoints_foreach (add_passes, &passes);
  return passes.n;
}

/* Forked: this program has no threads. Whether it came by so often. */
static gboolean
run (Scene *self, const char *name, guint nth, const char *action)
{
  guint n = count_passes (name) + nth;
  g_autofree char *spec = g_strdup_printf ("%s:%u:%s", name, n, action);
  pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      g_log_set_always_fatal (0);
      g_log_set_default_handler (say_nothing, NULL);
      g_setenv ("COMMY_FAILPOINT", spec, TRUE);
      g_assert_nonnull (freopen ("/dev/null", "w", stderr));
      write_trail (self);
      _exit (count_passes (name) >= n ? 0 : 1);
    }
  self->pid = pid;
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (WIFSIGNALED (status))
    g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
  else
    g_assert_cmpint (WEXITSTATUS (status), <=, 1);
  return WIFSIGNALED (status) || WEXITSTATUS (status) == 0;
}

/* --- before --- */

/* Closed files of three days, of which some have to go, and one of a process that was killed. */
static void
set_up (Scene *self)
{
  AuditFixture *fixture = &self->fixture;
  CommyAuditChain *chain;
  guint i = 1000;

  memset (self, 0, sizeof *self);
  self->has_bad_disk = TRUE;
  audit_fixture_set_up (fixture, NULL);
  self->root = g_path_get_dirname (fixture->dir);
  self->disk = g_build_filename (self->root, "disk", NULL);
  self->acked = g_build_filename (self->root, "acked", NULL);
  g_assert_cmpint (g_mkdir (self->disk, 0700), ==, 0);
  fixture->wall_us = self->begun_us = g_get_real_time () + 100 * DAY_US;
  chain = chain_new (self, 1); /* each flush is a file */
  for (guint day = 0; day < 3; day++)
    {
      add (self, chain, i++);
      flush (self, chain);
      fixture->wall_us += DAY_US;
    }
  g_assert_true (commy_audit_chain_close (chain, fixture->wall_us, fixture->boot_ns, NULL));
  commy_audit_chain_free (chain);
  chain = chain_new (self, FILE_SIZE);
  add (self, chain, i++);
  flush (self, chain);
  commy_audit_chain_free (chain);
  sync_all (self);
  fixture->wall_us = self->begun_us + RETENTION_US + DAY_US + DAY_US / 2;
}

static void
remove_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      g_assert_cmpint (g_unlink (child), ==, 0);
    }
  g_rmdir (path);
}

static void
tear_down (Scene *self)
{
  remove_folder (self->disk);
  g_unlink (self->acked);
  audit_fixture_tear_down (&self->fixture, NULL);
  g_free (self->root);
  g_free (self->disk);
  g_free (self->acked);
}

/* --- what is left of it --- */

/* What the disk has of a file, for each kind. */
typedef enum
{
  ALL,  /* what was written */
  SOME, /* and the half of what was written since it was synced */
  LAST, /* as it was synced last */
} Kept;

typedef struct
{
  gboolean entries_synced;
  Kept records, names, head;
} Loss;

static const Loss losses[] = {
  { FALSE, ALL, ALL, ALL },    { FALSE, ALL, ALL, LAST },  { FALSE, LAST, LAST, ALL },
  { FALSE, LAST, LAST, LAST }, { FALSE, SOME, SOME, ALL }, { FALSE, SOME, LAST, LAST },
  { FALSE, LAST, SOME, LAST }, { TRUE, ALL, ALL, ALL },    { TRUE, ALL, ALL, LAST },
  { TRUE, LAST, LAST, ALL },   { TRUE, LAST, LAST, LAST }, { TRUE, SOME, SOME, LAST },
};

static char *
dup_kept (const Scene *self, const Entry *entry, const GPtrArray *now, Kept kept, gsize *out_size)
{
  g_autofree char *path = dup_inode_path (self, entry->inode);
  gsize synced_size;
  char *synced = dup_contents (path, &synced_size);

  *out_size = synced_size;
  if (kept == LAST)
    return synced;
  for (guint i = 0; i < now->len; i++)
    if (((const Entry *) now->pdata[i])->inode == entry->inode)
      {
        g_autofree char *there
            = g_build_filename (self->fixture.dir, ((const Entry *) now->pdata[i])->name, NULL);

        g_free (synced);
        synced = dup_contents (there, out_size);
        if (kept == SOME && *out_size > synced_size)
          *out_size = synced_size + (*out_size - synced_size) / 2;
      }
  return synced;
}

/* Another folder, as the next process finds it. */
static void
lose (const Scene *self, const Loss *loss, const char *dir)
{
  g_autoptr (GPtrArray) now = list_now (self);
  g_autoptr (GPtrArray) synced = list_synced (self);
  const GPtrArray *entries = loss->entries_synced ? synced : now;

  g_assert_cmpint (g_mkdir (dir, 0700), ==, 0);
  for (guint i = 0; i < entries->len; i++)
    {
      const Entry *entry = entries->pdata[i];
      g_autofree char *path = g_build_filename (dir, entry->name, NULL);
      Kept kept = g_str_has_suffix (entry->name, ".head")    ? loss->head
                  : g_str_has_suffix (entry->name, ".names") ? loss->names
                                                             : loss->records;
      gsize size;
      g_autofree char *text = dup_kept (self, entry, now, kept, &size);

      put (path, text, size);
    }
}

static int
sync_nothing (gpointer data, int fd)
{
  return 0;
}

static char *
dup_faults (AuditFixture *fixture)
{
  g_autoptr (GVariant) report = audit_fixture_verify (fixture, NULL);

  return audit_report_get (report, "fault_count") > 0 ? g_variant_print (report, FALSE) : NULL;
}

/* A process that comes by, and what is there then. (transfer full): NULL: all is well */
static char *
start (AuditFixture *fixture)
{
  CommyAuditLogSetup setup = audit_fixture_setup (fixture);
  g_autoptr (CommyAuditChain) chain = NULL;
  g_autoptr (GError) error = NULL;
  char method[16];
  CommyAuditRecord record = audit_fixture_call (fixture, 2000, method);

  setup.chain.retention_us = RETENTION_US;
  setup.chain.sync = sync_nothing;
  chain = commy_audit_chain_new (&setup.chain, fixture->wall_us);
  commy_audit_chain_tidy (chain, fixture->wall_us, fixture->boot_ns, &error);
  g_assert_no_error (error);
  commy_audit_chain_add (chain, &record);
  commy_audit_chain_close (chain, fixture->wall_us, fixture->boot_ns, &error);
  g_assert_no_error (error);
  return dup_faults (fixture);
}

static gboolean
has_text (AuditFixture *fixture, const char *text)
{
  guint n = audit_fixture_count_files (fixture, ".audit");
  gboolean found = FALSE;

  for (guint i = 0; i < n && !found; i++)
    {
      g_autofree char *name = audit_fixture_dup_file (fixture, ".audit", i);
      g_autoptr (GByteArray) file = audit_fixture_read (fixture, name);

      found = g_strstr_len ((const char *) file->data, file->len, text) != NULL;
    }
  return found;
}

static char *
find_lost (const Scene *self, AuditFixture *fixture)
{
  gsize size;
  g_autofree char *text = dup_contents (self->acked, &size);
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);

  for (char **line = lines; *line != NULL && **line != '\0'; line++)
    if (!has_text (fixture, *line))
      return g_strdup_printf ("%s was acknowledged and is not there", *line);
  return NULL;
}

/* Nothing stays of what went. */
static char *
find_rest (AuditFixture *fixture)
{
  guint files = audit_fixture_count_files (fixture, ".audit");
  guint names = audit_fixture_count_files (fixture, ".names");
  guint heads = audit_fixture_count_files (fixture, ".head");

  if (files == 1 && names == 1 && heads == 1)
    return NULL;
  return g_strdup_printf ("%u files, %u of names, %u heads", files, names, heads);
}

/* At once; when the first files of what was left go; when all of it is gone. */
static char *
live_on (const Scene *self, const char *dir)
{
  AuditFixture fixture = self->fixture;
  char *wrong;

  fixture.dir = (char *) dir;
  fixture.wall_us += 4 * DAY_US;
  wrong = start (&fixture);
  if (wrong == NULL)
    wrong = find_lost (self, &fixture);
  if (wrong == NULL)
    {
      fixture.wall_us = self->fixture.wall_us + RETENTION_US + DAY_US + DAY_US / 2;
      wrong = start (&fixture);
    }
  if (wrong == NULL)
    {
      fixture.wall_us = self->fixture.wall_us + 3 * RETENTION_US;
      wrong = start (&fixture);
    }
  if (wrong == NULL)
    wrong = find_rest (&fixture);
  return wrong;
}

static void
check_losses (const Scene *self, const char *what)
{
  g_autofree char *dir = g_build_filename (self->root, "left", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (losses); i++)
    {
      g_autofree char *wrong = NULL;

      lose (self, &losses[i], dir);
      wrong = live_on (self, dir);
      if (wrong != NULL)
        g_error ("%s, loss %u, in %s: %s", what, i, dir, wrong);
      remove_folder (dir);
    }
}

/* Before anybody came by: nothing but that nobody has noted yet where a file ended. */
static void
check_at_once (const Scene *self, const char *what)
{
  AuditFixture fixture = self->fixture;
  g_autoptr (GVariant) report = audit_fixture_verify (&fixture, NULL);
  g_autoptr (GVariant) faults = g_variant_lookup_value (report, "faults", NULL);

  for (gsize i = 0; i < g_variant_n_children (faults); i++)
    {
      g_autoptr (GVariant) one = g_variant_get_child_value (faults, i);
      const char *word = NULL;

      g_variant_lookup (one, "fault", "&s", &word);
      if (strcmp (word, COMMY_AUDIT_FAULT_CUT) != 0)
        {
          g_autofree char *text = g_variant_print (report, FALSE);

          g_error ("%s, in %s: %s", what, fixture.dir, text);
        }
    }
}

/* --- what somebody takes away then --- */

/* The last file of who died; NULL: it left none. (transfer full) */
static char *
dup_last_file (const Scene *self, AuditFixture *fixture)
{
  g_autofree char *pid = g_strdup_printf ("-%d-", (int) self->pid);
  char *last = NULL;

  for (guint i = 0; i < audit_fixture_count_files (fixture, ".audit"); i++)
    {
      g_autofree char *name = audit_fixture_dup_file (fixture, ".audit", i);

      if (strstr (name, pid) != NULL)
        {
          g_free (last);
          last = g_steal_pointer (&name);
        }
    }
  return last;
}

static void
assert_missed (AuditFixture *fixture, const char *what)
{
  g_autofree char *faults = dup_faults (fixture);

  if (faults == NULL)
    g_error ("%s: nobody misses what was taken away in %s", what, fixture->dir);
}

/* Its last record, and all of the file, whether anything of it was said to be on the disk or not.
 */
static void
check_thieves (const Scene *self, const char *what)
{
  g_autofree char *dir = g_build_filename (self->root, "left", NULL);
  AuditFixture fixture = self->fixture;
  g_autofree char *wrong = NULL;
  g_autofree char *last = NULL;
  g_autofree char *path = NULL;
  g_autofree char *text = NULL;
  gsize size = 0, cut;

  fixture.dir = dir;
  lose (self, &losses[0], dir);
  wrong = start (&fixture);
  g_assert_null (wrong);
  last = dup_last_file (self, &fixture);
  path = last != NULL ? g_build_filename (dir, last, NULL) : NULL;
  text = path != NULL ? dup_contents (path, &size) : NULL;
  if (size > 0)
    {
      for (cut = size; cut > 1 && text[cut - 2] != '\n'; cut--)
        ;
      put (path, text, cut - 1);
      assert_missed (&fixture, what);
      g_assert_cmpint (g_unlink (path), ==, 0);
      assert_missed (&fixture, what);
    }
  remove_folder (dir);
}

/* --- all of them --- */

static void
test_deaths (gconstpointer name)
{
  guint nth = 0;
  gboolean reached;

  do
    {
      g_autofree char *what = g_strdup_printf ("%s:%u", (const char *) name, ++nth);
      Scene scene;

      set_up (&scene);
      reached = run (&scene, name, nth, "kill");
      check_at_once (&scene, what);
      check_losses (&scene, what);
      check_thieves (&scene, what);
      tear_down (&scene);
    }
  while (reached);
  g_assert_cmpuint (nth, >, 1);
}

/* What fails is tried again, and nothing shows it but a gap where the disk may have lost something.
 */
static void
test_errors (gconstpointer name)
{
  gboolean reached = TRUE;

  for (guint nth = 1; reached; nth++)
    {
      Scene scene;
      g_autofree char *left = NULL;
      g_autofree char *wrong = NULL;

      set_up (&scene);
      left = g_build_filename (scene.root, "left", NULL);
      reached = run (&scene, name, nth, "error");
      lose (&scene, &losses[0], left);
      wrong = live_on (&scene, left);
      if (wrong != NULL)
        g_error ("%s:%u, in %s: %s", (const char *) name, nth, left, wrong);
      remove_folder (left);
      tear_down (&scene);
    }
}

static void
add_point (const CommyFailpoint *point, void *data)
{
  g_autofree char *killed = g_strconcat ("/audit-crash/", point->name, "/killed-there", NULL);
  g_autofree char *failing = g_strconcat ("/audit-crash/", point->name, "/failing-there", NULL);

  if (!g_str_has_prefix (point->name, PREFIX))
    return;
  g_test_add_data_func (killed, point->name, test_deaths);
  g_test_add_data_func (failing, point->name, test_errors);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  commy_failpoints_foreach (add_point, NULL);
  return g_test_run ();
}
