/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing the audit trail of one process. Lines are made and hashed in memory and leave in
 * batches; a write that stops half way goes on at the same byte later.
 */
#include "config.h"

#include "security/commy-audit-chain-private.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "security/commy-audit-files.h"
#include "security/commy-audit-note.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void
fail (GError **error, const CommyAuditChain *self, const char *verb, int code)
{
  commy_set_error (error, COMMY_ERROR_AUDIT, "cannot %s the audit trail in %s: %s", verb,
                   self->setup.directory, g_strerror (code));
}

/* --- making and freeing --- */

gboolean
commy_audit_chain_open_directory (CommyAuditChain *self, GError **error)
{
  struct stat status;

  if (self->dir_fd >= 0)
    return TRUE;
  if (g_mkdir_with_parents (self->setup.directory, 0700) == 0)
    self->dir_fd = open (self->setup.directory,
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (self->dir_fd < 0 || fstat (self->dir_fd, &status) < 0)
    {
      fail (error, self, "open", errno);
      return FALSE;
    }
  if (status.st_uid == geteuid () && (status.st_mode & 077) == 0)
    return TRUE;
  close (self->dir_fd);
  self->dir_fd = -1;
  commy_set_error (error, COMMY_ERROR_AUDIT,
                   "the folder %s of the audit trail is open to others (owner %u, mode %04o): it "
                   "must be ours, and chmod 700",
                   self->setup.directory, status.st_uid, status.st_mode & 07777);
  return FALSE;
}

static char *
make_name (const CommyAuditChain *self, gint64 wall_us)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (wall_us / G_USEC_PER_SEC);
  g_autofree char *text = time != NULL ? g_date_time_format (time, "%Y%m%dT%H%M%SZ") : NULL;

  return g_strdup_printf ("%s-%d-%08x", text != NULL ? text : "0", (int) getpid (),
                          (guint) commy_env_random64 (self->setup.env));
}

CommyAuditChain *
commy_audit_chain_new (const CommyAuditChainSetup *setup, gint64 wall_us)
{
  CommyAuditChain *self = g_new0 (CommyAuditChain, 1);

  self->setup = *setup;
  self->setup.directory = g_strdup (setup->directory);
  self->setup.mesh = g_strdup (setup->mesh);
  self->setup.node = g_strdup (setup->node);
  self->dir_fd = self->fd = self->names_fd = self->head_fd = -1;
  self->tools = commy_audit_tools_new ();
  commy_audit_head_renew (&self->head, self->setup.env);
  commy_audit_head_commit (&self->head, self->tools, self->commitment);
  self->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->lines = g_string_new (NULL);
  self->name_lines = g_string_new (NULL);
  self->name = make_name (self, wall_us);
  return self;
}

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

void
commy_audit_chain_free (CommyAuditChain *self)
{
  if (self == NULL)
    return;
  close_fd (&self->fd);
  close_fd (&self->names_fd);
  close_fd (&self->head_fd);
  close_fd (&self->dir_fd);
  g_hash_table_unref (self->names);
  g_string_free (self->lines, TRUE);
  g_string_free (self->name_lines, TRUE);
  commy_audit_tools_free (self->tools);
  g_free ((char *) self->setup.directory);
  g_free ((char *) self->setup.mesh);
  g_free ((char *) self->setup.node);
  g_free (self->name);
  g_free (self->gap_stem);
  g_free (self);
}

/* --- making lines --- */

/* The commitment to a personal text: one for all its places in a file. */
static const char *
commit (CommyAuditChain *self, const char *text)
{
  g_autofree char *bounded = commy_audit_name_dup (text);
  const char *known = g_hash_table_lookup (self->names, bounded);
  guint8 salt[COMMY_AUDIT_SALT_SIZE];
  char line[COMMY_AUDIT_NAME_LINE_MAX];
  char *commitment;
  gsize size;

  if (known != NULL)
    return known;
  if (g_hash_table_size (self->names) >= COMMY_AUDIT_NAMES_MAX)
    g_hash_table_remove_all (self->names);
  self->setup.env->random (self->setup.env->data, salt, sizeof salt);
  commitment = g_malloc (COMMY_AUDIT_HEX_SIZE + 1);
  commy_audit_name_commit (self->tools, salt, bounded, commitment);
  size = commy_audit_name_write (commitment, salt, bounded, line);
  g_string_append_len (self->name_lines, line, (gssize) size);
  self->size += size;
  g_hash_table_insert (self->names, g_steal_pointer (&bounded), commitment);
  return commitment;
}

/* Chains it. A commitment may be forgotten by the next one of the same record: so they are copied.
 */
static void
add_line (CommyAuditChain *self, const CommyAuditRecord *record)
{
  char line[COMMY_AUDIT_LINE_MAX];
  char commitments[COMMY_AUDIT_N_TEXTS][COMMY_AUDIT_HEX_SIZE + 1];
  CommyAuditRecord copy = *record;
  gsize size;

  for (guint i = 0; i < COMMY_AUDIT_N_TEXTS; i++)
    if (commy_audit_text_is_personal (i) && copy.texts[i] != NULL && copy.texts[i][0] != '\0')
      {
        memcpy (commitments[i], commit (self, copy.texts[i]), sizeof commitments[i]);
        copy.texts[i] = commitments[i];
      }
  copy.sequence = ++self->sequence;
  size = commy_audit_record_write (&copy, line);
  commy_audit_chain (self->tools, self->hash, line, size, self->hash);
  size = commy_audit_record_end (line, size, self->hash);
  g_string_append_len (self->lines, line, (gssize) size);
  self->size += size;
  self->unsealed++;
  self->unsynced += MAX (record->count, 1);
}

static void
begin_file (CommyAuditChain *self, gint64 wall_us, gint64 boot_ns)
{
  const CommyAuditRules rules
      = { self->setup.retention_us, self->setup.max_total_size, self->was_sealed };
  g_autofree char *rules_text = commy_audit_rules_dup (&rules);
  char before[COMMY_AUDIT_HEX_SIZE + 1] = "";
  g_autofree char *details = g_strdup_printf ("mesh %s, node %s, pid %d, boot %s, host %s",
                                              self->setup.mesh, self->setup.node, (int) getpid (),
                                              commy_env_host_id (), g_get_host_name ());

  commy_audit_to_hex (self->hash, sizeof self->hash, before);
  self->number++;
  self->is_begun = TRUE;
  self->size = 0;
  self->is_sealed = FALSE;
  self->unsealed = 0;
  self->sealed_ns = boot_ns;
  memset (self->last_seal, 0, sizeof self->last_seal);
  g_hash_table_remove_all (self->names);
  add_line (self, &(CommyAuditRecord){ .wall_us = wall_us,
                                       .boot_ns = boot_ns,
                                       .texts = { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_TRAIL,
                                                  [COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_OPENED,
                                                  [COMMY_AUDIT_REASON] = rules_text,
                                                  [COMMY_AUDIT_DETAILS] = details,
                                                  [COMMY_AUDIT_BEFORE] = before,
                                                  [COMMY_AUDIT_HEAD] = self->commitment } });
}

/* With each there is another secret: who knows that one only cannot have the head fit what was
 * before it. FALSE: nobody can. */
static gboolean
add_seal (CommyAuditChain *self, gint64 wall_us, gint64 boot_ns)
{
  CommyAuditHead head = self->head;
  char commitment[sizeof self->commitment];
  guint8 bytes[COMMY_AUDIT_SEALED_SIZE];
  guint8 seal[COMMY_SEAL_MAX];
  char hex[2 * COMMY_SEAL_MAX + 1] = "";
  gsize size = sizeof seal;

  self->sealed_ns = boot_ns;
  commy_audit_head_renew (&head, self->setup.env);
  commy_audit_head_commit (&head, self->tools, commitment);
  commy_audit_sealed_bytes (self->tools, self->last_seal, self->sequence, self->hash, commitment,
                            COMMY_AUDIT_HEX_SIZE, bytes);
  if (self->setup.seal == NULL
      || !self->setup.seal (self->setup.seal_data, !self->is_sealed, bytes, sizeof bytes, seal,
                            &size)
      || size > sizeof seal)
    {
      self->unsealed = 0; /* is asked again after as many */
      return FALSE;
    }
  commy_audit_to_hex (seal, size, hex);
  add_line (self, &(CommyAuditRecord){ .wall_us = wall_us,
                                       .boot_ns = boot_ns,
                                       .texts = { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_TRAIL,
                                                  [COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_CHECKPOINT,
                                                  [COMMY_AUDIT_SEAL] = hex,
                                                  [COMMY_AUDIT_HEAD] = commitment } });
  self->head = head;
  memcpy (self->commitment, commitment, sizeof self->commitment);
  memcpy (self->last_seal, self->hash, sizeof self->last_seal);
  self->is_sealed = TRUE;
  self->unsealed = 0;
  return TRUE;
}

void
commy_audit_chain_add (CommyAuditChain *self, const CommyAuditRecord *record)
{
  if (!self->is_begun)
    begin_file (self, record->wall_us, record->boot_ns);
  add_line (self, record);
  if (self->unsealed >= COMMY_AUDIT_SEAL_EVERY)
    add_seal (self, record->wall_us, record->boot_ns);
}

gboolean
commy_audit_chain_seal (CommyAuditChain *self, gint64 wall_us, gint64 boot_ns)
{
  if (!self->is_begun)
    begin_file (self, wall_us, boot_ns);
  return add_seal (self, wall_us, boot_ns);
}

guint
commy_audit_chain_get_number (const CommyAuditChain *self)
{
  return self->number;
}

gsize
commy_audit_chain_get_pending (const CommyAuditChain *self)
{
  return self->lines->len - self->lines_done + self->name_lines->len - self->name_lines_done;
}

/* --- writing --- */

static gboolean
write_all (int fd, GString *text, gsize *done)
{
  while (*done < text->len)
    {
      gssize wrote = write (fd, text->str + *done, text->len - *done);

      if (wrote < 0 && errno == EINTR)
        continue;
      if (wrote < 0)
        return FALSE;
      *done += (gsize) wrote;
    }
  g_string_truncate (text, 0);
  *done = 0;
  return TRUE;
}

char *
commy_audit_chain_dup_file_name (const CommyAuditChain *self, const char *suffix)
{
  return g_strdup_printf ("%s-%06u%s", self->name, self->number, suffix);
}

static int
open_new (const CommyAuditChain *self, const char *suffix)
{
  g_autofree char *name = commy_audit_chain_dup_file_name (self, suffix);

  return openat (self->dir_fd, name,
                 O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* (transfer full) */
static char *
head_name (const CommyAuditChain *self)
{
  return g_strconcat (self->name, COMMY_AUDIT_HEAD_SUFFIX, NULL);
}

/* Before the first file, so that none is ever there without it; with the first secret. */
static gboolean
open_head (CommyAuditChain *self)
{
  g_autofree char *name = head_name (self);
  int code;

  if (self->head_fd >= 0)
    return TRUE;
  self->head_fd = commy_audit_head_open (self->dir_fd, name, &self->head);
  if (self->head_fd < 0 || commy_audit_chain_sync_fd (self, self->head_fd) == 0)
    return self->head_fd >= 0;
  code = errno;
  unlinkat (self->dir_fd, name, 0);
  close_fd (&self->head_fd);
  errno = code;
  return FALSE;
}

/* All that was made is on the disk: never before that, or else a crash would leave a head that is
 * ahead of its chain. */
static void
put_head (CommyAuditChain *self)
{
  self->head.sequence = self->sequence;
  memcpy (self->head.hash, self->hash, sizeof self->head.hash);
  errno = EIO;
  if (COMMY_FAILPOINT ("audit-synced") || !commy_audit_head_put (self->head_fd, &self->head))
    g_warning ("the head of the audit trail in %s stays behind: %s", self->setup.directory,
               g_strerror (errno));
}

/* The lock tells others that somebody still writes. That the folder has them is on the disk before
 * any record is: or else a crash would leave a head that is ahead of what is there. */
static gboolean
open_files (CommyAuditChain *self, GError **error)
{
  if (!commy_audit_chain_open_directory (self, error))
    return FALSE;
  errno = EIO;
  if (open_head (self) && self->names_fd < 0 && !COMMY_FAILPOINT ("audit-head-made"))
    self->names_fd = open_new (self, COMMY_AUDIT_NAMES_SUFFIX);
  if (self->names_fd >= 0 && self->fd < 0 && !COMMY_FAILPOINT ("audit-names-made"))
    self->fd = open_new (self, COMMY_AUDIT_LIVE_SUFFIX);
  if (self->fd >= 0)
    {
      (void) COMMY_FAILPOINT ("audit-file-made");
      commy_audit_chain_sync_fd (self, self->dir_fd); /* some file systems cannot */
      /* A reader that looks whether somebody writes has it for no longer than that. */
      while (flock (self->fd, LOCK_EX) < 0 && errno == EINTR)
        ;
      return TRUE;
    }
  fail (error, self, "begin a file of", errno);
  return FALSE;
}

int
commy_audit_chain_sync_fd (const CommyAuditChain *self, int fd)
{
  if (self->setup.sync != NULL)
    return self->setup.sync (self->setup.sync_data, fd);
  return fd == self->dir_fd ? fsync (fd) : fdatasync (fd);
}

/* All that was made has been written. A second attempt would succeed without anything reaching the
 * disk: what could not be written is forgotten by the system with the first. So nobody may ask
 * again. */
static gboolean
sync_both (CommyAuditChain *self, GError **error)
{
  int fds[] = { self->names_fd, self->fd };

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    if (commy_audit_chain_sync_fd (self, fds[i]) < 0)
      {
        self->is_doubtful = TRUE;
        fail (error, self, "sync", errno);
        return FALSE;
      }
  self->is_dirty = self->is_trial = FALSE;
  self->unsynced = 0;
  put_head (self);
  return TRUE;
}

static gboolean
end_file (CommyAuditChain *self, GError **error)
{
  g_autofree char *live = commy_audit_chain_dup_file_name (self, COMMY_AUDIT_LIVE_SUFFIX);
  g_autofree char *closed = commy_audit_chain_dup_file_name (self, COMMY_AUDIT_SUFFIX);

  if (!sync_both (self, error))
    return FALSE;
  /* It may be no further behind than that: what its secret belongs to goes with old files. */
  commy_audit_chain_sync_fd (self, self->head_fd);
  (void) COMMY_FAILPOINT ("audit-ended");
  if (renameat (self->dir_fd, live, self->dir_fd, closed) < 0 && errno != ENOENT)
    {
      fail (error, self, "close a file of", errno);
      return FALSE;
    }
  if (faccessat (self->dir_fd, closed, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
    g_warning ("somebody took the file %s of the audit trail away while it was written", live);
  (void) COMMY_FAILPOINT ("audit-closed");
  commy_audit_chain_sync_fd (self, self->dir_fd);
  close_fd (&self->fd);
  close_fd (&self->names_fd);
  self->was_sealed = self->is_sealed;
  self->is_begun = self->is_ending = FALSE;
  return TRUE;
}

static gboolean
write_pending (CommyAuditChain *self, GError **error)
{
  if (commy_audit_chain_get_pending (self) == 0)
    return TRUE;
  if (self->fd < 0 && !open_files (self, error))
    return FALSE;
  self->is_dirty = TRUE;
  errno = EIO;
  /* Names first: one that nobody uses does no harm, one that is missing would. */
  if (write_all (self->names_fd, self->name_lines, &self->name_lines_done)
      && !COMMY_FAILPOINT ("audit-names-written")
      && write_all (self->fd, self->lines, &self->lines_done) && !COMMY_FAILPOINT ("audit-written"))
    return TRUE;
  fail (error, self, "write", errno);
  return FALSE;
}

static gboolean
sync_files (CommyAuditChain *self, gint64 boot_ns, gboolean durable, GError **error)
{
  if (!self->is_dirty || (!durable && boot_ns - self->synced_ns < COMMY_AUDIT_SYNC_NS))
    return TRUE;
  if (!sync_both (self, error))
    return FALSE;
  self->synced_ns = boot_ns;
  return TRUE;
}

/* The file in the place of one that was given up has nothing yet but that: while the disk fails, no
 * file is left behind for each attempt. */
static void
take_back_trial (CommyAuditChain *self)
{
  g_autofree char *live = commy_audit_chain_dup_file_name (self, COMMY_AUDIT_LIVE_SUFFIX);
  g_autofree char *names = commy_audit_chain_dup_file_name (self, COMMY_AUDIT_NAMES_SUFFIX);
  gboolean removed = unlinkat (self->dir_fd, live, 0) == 0 || errno == ENOENT;

  (void) COMMY_FAILPOINT ("audit-trial-removed");
  if ((unlinkat (self->dir_fd, names, 0) == 0 || errno == ENOENT) && removed)
    self->number--; /* else the next one is another file again */
  self->sequence = self->gap_sequence;
  memcpy (self->hash, self->gap_hash, sizeof self->hash);
}

static void
note_doubt (CommyAuditChain *self)
{
  g_free (self->gap_stem);
  self->gap_stem = commy_audit_chain_dup_file_name (self, "");
  self->gap = self->unsynced;
  self->gap_sequence = self->sequence;
  memcpy (self->gap_hash, self->hash, sizeof self->gap_hash);
  g_warning ("the last %" G_GUINT64_FORMAT " records of %s may be lost: the audit trail goes on in "
             "another file",
             self->gap, self->gap_stem);
}

/* Goes on in another file, which is synced at once. Where the one that is left ends is noted as
 * that of a process that was killed, by tidying. */
static void
give_file_up (CommyAuditChain *self, gint64 wall_us, gint64 boot_ns)
{
  if (self->is_trial)
    take_back_trial (self);
  else
    note_doubt (self);
  close_fd (&self->fd);
  close_fd (&self->names_fd);
  self->is_begun = self->is_ending = self->is_dirty = self->is_doubtful = FALSE;
  self->was_sealed = FALSE; /* whether its last one is there nobody knows */
  self->is_trial = TRUE;
  self->synced_ns = boot_ns - COMMY_AUDIT_SYNC_NS;
  commy_audit_chain_add (
      self, &(CommyAuditRecord){ .wall_us = wall_us,
                                 .boot_ns = boot_ns,
                                 .count = self->gap,
                                 .texts = { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_TRAIL,
                                            [COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_GAP,
                                            [COMMY_AUDIT_REASON] = COMMY_AUDIT_NOT_SYNCED,
                                            [COMMY_AUDIT_DETAILS] = self->gap_stem } });
}

static gboolean
finish_file (CommyAuditChain *self, gint64 wall_us, gint64 boot_ns, GError **error)
{
  if (!self->is_begun)
    return TRUE;
  if (self->is_doubtful)
    give_file_up (self, wall_us, boot_ns);
  if (!self->is_ending)
    {
      /* Whether there is a seal behind it must stand in it: or else taking that off leaves a file
       * that nobody sealed, which is none the worse. */
      add_seal (self, wall_us, boot_ns);
      add_line (self, &(CommyAuditRecord){
                          .wall_us = wall_us,
                          .boot_ns = boot_ns,
                          .texts = { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_TRAIL,
                                     [COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_CLOSED,
                                     [COMMY_AUDIT_DETAILS]
                                     = self->is_sealed ? COMMY_AUDIT_SEAL_FOLLOWS : NULL } });
      if (self->is_sealed)
        add_seal (self, wall_us, boot_ns);
    }
  self->is_ending = TRUE;
  return write_pending (self, error) && end_file (self, error);
}

gboolean
commy_audit_chain_flush (
    CommyAuditChain *self, gint64 wall_us, gint64 boot_ns, gboolean durable, GError **error)
{
  if (self->is_doubtful)
    give_file_up (self, wall_us, boot_ns);
  if (self->is_ending)
    return finish_file (self, wall_us, boot_ns, error);
  if (self->is_begun && self->unsealed > 0 && boot_ns - self->sealed_ns >= COMMY_AUDIT_SEAL_NS)
    add_seal (self, wall_us, boot_ns);
  if (!write_pending (self, error))
    return FALSE;
  if (self->size >= self->setup.max_file_size)
    return finish_file (self, wall_us, boot_ns, error);
  return sync_files (self, boot_ns, durable, error);
}

gboolean
commy_audit_chain_close (CommyAuditChain *self, gint64 wall_us, gint64 boot_ns, GError **error)
{
  g_autofree char *name = head_name (self);
  g_autofree char *last = NULL;

  if (!finish_file (self, wall_us, boot_ns, error))
    return FALSE;
  if (self->head_fd < 0)
    return TRUE;
  close_fd (&self->head_fd);
  last = commy_audit_chain_dup_file_name (self, COMMY_AUDIT_SUFFIX);
  /* Its time was over while nothing happened, and somebody removed it: then there is no chain. */
  if (faccessat (self->dir_fd, last, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
    commy_audit_head_remove (self->dir_fd, name, G_MAXINT64);
  return TRUE;
}
