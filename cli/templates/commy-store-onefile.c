/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A store outside of Commy's tree: all keys in one file that every change writes anew, for the
 * processes of one user on one host. In its folder are `state`, replaced as a whole; `lock`, held
 * by whoever changes it; and owner-PID-NUMBER for each process, locked as long as it lives. Written
 * against the installed headers only; read it from the bottom up.
 */
#include <commy/commy-error.h>
#include <commy/commy-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#define ERROR_DOMAIN (g_quark_from_static_string ("commy-error-quark"))
#define FORMAT 1
#define KEY_MAX 1024
#define VALUE_MAX (16 * 1024 * 1024)
#define HISTORY 1000 /* deletions that are remembered for watches that are behind */
#define NS_PER_MS 1000000
#define MODE_DIR 0700
#define MODE_FILE 0600

typedef struct
{
  CommyHost *host;
  char *folder;
  char *owner; /* the name of our own file there */
  int owner_fd;
  int lock_fd;
  int inotify_fd;
  guint inotify_watch;
  GHashTable *watches; /* of Watch, by id */
  guint last_watch;
} Store;

typedef struct
{
  char *prefix;
  gint64 after; /* the revision up to which it was told */
  CommyStoreWatchEventFunc event;
  gpointer user_data;
} Watch;

/* What is in the file. */
typedef struct
{
  gint64 revision;  /* of the last change */
  gint64 forgotten; /* deletions up to this revision are not known any more */
  gint64 last_lease;
  GTree *entries;     /* of CommyStoreEntry, by key; one without a value is a deletion */
  GHashTable *leases; /* names of owners' files, by id */
} State;

static void fail (GError **error, CommyError code, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
fail (GError **error, CommyError code, const char *format, ...)
{
  va_list arguments;

  va_start (arguments, format);
  g_clear_error (error);
  g_propagate_error (error, g_error_new_valist (ERROR_DOMAIN, (int) code, format, arguments));
  va_end (arguments);
}

/* --- the state and its file --- */

static void
entry_free (gpointer data)
{
  CommyStoreEntry *entry = data;

  g_free ((char *) entry->key);
  g_bytes_unref (entry->value);
  g_free (entry);
}

static int
compare_keys (gconstpointer a, gconstpointer b, gpointer unused)
{
  return strcmp (a, b);
}

static void
state_init (State *state)
{
  *state = (State){ 0 };
  state->entries = g_tree_new_full (compare_keys, NULL, NULL, entry_free);
  state->leases = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
}

static void
state_clear (State *state)
{
  g_clear_pointer (&state->entries, g_tree_unref);
  g_clear_pointer (&state->leases, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (State, state_clear)

static CommyStoreEntry *
state_add (State *state, const char *key)
{
  CommyStoreEntry *entry = g_new0 (CommyStoreEntry, 1);

  entry->key = g_strdup (key);
  g_tree_replace (state->entries, (gpointer) entry->key, entry);
  return entry;
}

/* The first entry whose key begins with @prefix, and those after it. */
static CommyStoreEntry *
step (GTreeNode **node, const char *prefix)
{
  CommyStoreEntry *entry = *node != NULL ? g_tree_node_value (*node) : NULL;

  if (entry == NULL || !g_str_has_prefix (entry->key, prefix))
    return NULL;
  *node = g_tree_node_next (*node);
  return entry;
}

static void
state_parse (State *state, GVariant *file)
{
  g_autoptr (GVariantIter) entries = NULL;
  g_autoptr (GVariantIter) leases = NULL;
  CommyStoreEntry found;
  GVariant *value;
  char *text;
  gint64 id;

  g_variant_get (file, "(uxxxa(aymayxxx)a{xs})", NULL, &state->revision, &state->forgotten,
                 &state->last_lease, &entries, &leases);
  while (g_variant_iter_next (entries, "(^aym@ayxxx)", &text, &value, &found.create_revision,
                              &found.mod_revision, &found.lease))
    {
      CommyStoreEntry *entry = state_add (state, text);

      found.key = entry->key;
      found.value = value != NULL ? g_variant_get_data_as_bytes (value) : NULL;
      *entry = found;
      g_clear_pointer (&value, g_variant_unref);
      g_free (text);
    }
  while (g_variant_iter_next (leases, "{xs}", &id, &text))
    g_hash_table_replace (state->leases, g_memdup2 (&id, sizeof id), text);
}

/* The file is replaced as a whole, so it can be read at any time. */
static gboolean
state_read (State *state, Store *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->folder, "state", NULL);
  g_autoptr (GError) why = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) file = NULL;
  guint32 format = 0;
  char *data;
  gsize size;

  if (!g_file_get_contents (path, &data, &size, &why))
    {
      if (g_error_matches (why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return TRUE;
      fail (error, COMMY_ERROR_STORE, "cannot read the store: %s", why->message);
      return FALSE;
    }
  bytes = g_bytes_new_take (data, size);
  if (size == 0) /* what a power failure can leave */
    return TRUE;
  file = g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE ("(uxxxa(aymayxxx)a{xs})"), bytes, FALSE));
  if (g_variant_is_normal_form (file))
    g_variant_get_child (file, 0, "u", &format);
  if (format != FORMAT)
    {
      fail (error, COMMY_ERROR_STORE, "%s is damaged or of another version: move it away", path);
      return FALSE;
    }
  state_parse (state, file);
  return TRUE;
}

static guint
count_deletions (State *state)
{
  GTreeNode *node = g_tree_node_first (state->entries);
  CommyStoreEntry *entry;
  guint n = 0;

  while ((entry = step (&node, "")) != NULL)
    n += entry->value == NULL;
  return n;
}

/* (transfer floating) */
static GVariant *
pack (const CommyStoreEntry *entry)
{
  GVariant *value = NULL;

  if (entry->value != NULL)
    value = g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, entry->value, TRUE);
  return g_variant_new ("(@ay@mayxxx)", g_variant_new_bytestring (entry->key),
                        g_variant_new_maybe (G_VARIANT_TYPE_BYTESTRING, value),
                        entry->create_revision, entry->mod_revision, entry->lease);
}

static gboolean
state_write (State *state, Store *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->folder, "state", NULL);
  g_autofree char *written = g_strconcat (path, ".new", NULL);
  g_auto (GVariantBuilder) entries = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(aymayxxx)"));
  g_auto (GVariantBuilder) leases = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{xs}"));
  GTreeNode *node = g_tree_node_first (state->entries);
  g_autoptr (GError) why = NULL;
  g_autoptr (GVariant) file = NULL;
  CommyStoreEntry *entry;
  GHashTableIter iter;
  gpointer id, owner;

  if (count_deletions (state) > HISTORY)
    state->forgotten = state->revision - 1;
  while ((entry = step (&node, "")) != NULL)
    if (entry->value != NULL || entry->mod_revision > state->forgotten)
      g_variant_builder_add_value (&entries, pack (entry));
  g_hash_table_iter_init (&iter, state->leases);
  while (g_hash_table_iter_next (&iter, &id, &owner))
    g_variant_builder_add (&leases, "{xs}", *(gint64 *) id, owner);
  file
      = g_variant_ref_sink (g_variant_new ("(uxxxa(aymayxxx)a{xs})", FORMAT, state->revision,
                                           state->forgotten, state->last_lease, &entries, &leases));
  /* What somebody left who died before the rename may be longer, and would not be cut off. */
  g_unlink (written);
  /* Nothing waits for the disk: after a power failure nobody is left who had a lease. */
  if (!g_file_set_contents_full (written, g_variant_get_data (file),
                                 (gssize) g_variant_get_size (file), G_FILE_SET_CONTENTS_NONE,
                                 MODE_FILE, &why))
    fail (error, COMMY_ERROR_STORE, "cannot write the store: %s", why->message);
  else if (g_rename (written, path) != 0)
    fail (error, COMMY_ERROR_STORE, "cannot replace %s: %s", path, g_strerror (errno));
  else
    return TRUE;
  return FALSE;
}

/* --- changes: one process at a time reads the state, changes it, and writes it --- */

static gboolean
change_begin (Store *self, State *state, GError **error)
{
  gint64 tries = g_ascii_strtoll (self->host->param (self->host, "lock-timeout"), NULL, 10);

  state_init (state);
  for (tries /= NS_PER_MS; flock (self->lock_fd, LOCK_EX | LOCK_NB) != 0; tries--)
    {
      if (tries <= 0 || (errno != EWOULDBLOCK && errno != EINTR))
        {
          fail (error, COMMY_ERROR_STORE, "another process holds %s/lock: %s", self->folder,
                g_strerror (errno));
          return FALSE;
        }
      g_usleep (1000);
    }
  if (state_read (state, self, error))
    return TRUE;
  flock (self->lock_fd, LOCK_UN);
  return FALSE;
}

/* The new file tells everybody, our own watches as well. */
static gboolean
change_end (Store *self, State *state, gboolean changed, GError **error)
{
  gboolean ok = !changed || state_write (state, self, error);

  flock (self->lock_fd, LOCK_UN);
  return ok;
}

static void
delete_entry (State *state, CommyStoreEntry *entry)
{
  if (entry == NULL || entry->value == NULL)
    return;
  g_clear_pointer (&entry->value, g_bytes_unref);
  entry->mod_revision = state->revision;
  entry->lease = 0;
}

/* Ends the leases of an owner, or one with @lease; at a revision of their own, if there were any.
 */
static guint
end_leases (State *state, const char *owner, gint64 lease)
{
  GHashTableIter iter;
  gpointer id, name;
  guint ended = 0;

  g_hash_table_iter_init (&iter, state->leases);
  while (g_hash_table_iter_next (&iter, &id, &name))
    {
      GTreeNode *node = g_tree_node_first (state->entries);
      CommyStoreEntry *entry;

      if (owner != NULL ? strcmp (name, owner) != 0 : *(gint64 *) id != lease)
        continue;
      if (ended++ == 0)
        state->revision++;
      while ((entry = step (&node, "")) != NULL)
        if (entry->lease == *(gint64 *) id)
          delete_entry (state, entry);
      g_hash_table_iter_remove (&iter);
    }
  return ended;
}

/* --- owners: the kernel ends a process's lock with it, and a forked child does not get it --- */

static gboolean
is_alive (Store *self, const char *name)
{
  struct flock wanted = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  g_autofree char *path = g_build_filename (self->folder, name, NULL);
  gboolean locked;
  int fd, pid;

  /* Our own locks do not stand in our way, and to close the file would give them up. */
  if (sscanf (name, "owner-%d-", &pid) == 1 && pid == getpid ())
    return TRUE;
  fd = open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return errno != ENOENT;
  locked = fcntl (fd, F_GETLK, &wanted) != 0 || wanted.l_type != F_UNLCK;
  close (fd);
  return locked;
}

/* Removes the files of the dead. A lease whose owner has no file is a dead one's, too. */
static void
sweep (Store *self)
{
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, "owner-") && !is_alive (self, name))
      {
        g_autofree char *path = g_build_filename (self->folder, name, NULL);

        g_unlink (path);
      }
}

static gboolean
reap (Store *self, GError **error)
{
  g_auto (State) state = { 0 };
  g_autoptr (GHashTable) owners = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  GHashTableIter iter;
  gpointer owner;
  guint ended = 0;

  if (!change_begin (self, &state, error))
    return FALSE;
  g_hash_table_iter_init (&iter, state.leases);
  while (g_hash_table_iter_next (&iter, NULL, &owner))
    g_hash_table_add (owners, g_strdup (owner));
  g_hash_table_iter_init (&iter, owners);
  while (g_hash_table_iter_next (&iter, &owner, NULL))
    if (!is_alive (self, owner))
      ended += end_leases (&state, owner, 0);
  sweep (self);
  return change_end (self, &state, ended > 0, error);
}

static gboolean
become_owner (Store *self, GError **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  g_autofree char *path = NULL;
  guint32 number;

  self->host->random (self->host, &number, sizeof number);
  self->owner = g_strdup_printf ("owner-%d-%08x", (int) getpid (), number);
  path = g_build_filename (self->folder, self->owner, NULL);
  self->owner_fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, MODE_FILE);
  if (self->owner_fd >= 0 && fcntl (self->owner_fd, F_SETLK, &lock) == 0)
    return TRUE;
  fail (error, COMMY_ERROR_STORE, "cannot make and lock %s: %s", path, g_strerror (errno));
  return FALSE;
}

/* --- watches --- */

static void
watch_free (gpointer data)
{
  Watch *watch = data;

  g_free (watch->prefix);
  g_free (watch);
}

static int
compare_revisions (gconstpointer a, gconstpointer b)
{
  gint64 one = ((const CommyStoreEntry *) a)->mod_revision;
  gint64 other = ((const CommyStoreEntry *) b)->mod_revision;

  return (one > other) - (one < other);
}

/* The callback may end any watch, this one as well: it is not touched behind it. */
static void
serve (Store *self, gpointer id, State *state, const GError *broken)
{
  g_autoptr (GArray) news = g_array_new (FALSE, FALSE, sizeof (CommyStoreEntry));
  g_autoptr (GError) error = broken != NULL ? g_error_copy (broken) : NULL;
  Watch *watch = g_hash_table_lookup (self->watches, id);
  CommyStoreWatchEventFunc event = watch->event;
  gpointer user_data = watch->user_data;
  GTreeNode *node = g_tree_lower_bound (state->entries, watch->prefix);
  CommyStoreEntry *entry;

  if (error == NULL && (watch->after > state->revision || watch->after < state->forgotten))
    fail (&error, COMMY_ERROR_STORE, "changes after revision %" G_GINT64_FORMAT " are not known",
          watch->after);
  if (error != NULL)
    {
      g_hash_table_remove (self->watches, id);
      event (user_data, NULL, 0, state->revision, error);
      return;
    }
  while ((entry = step (&node, watch->prefix)) != NULL)
    if (entry->mod_revision > watch->after)
      g_array_append_val (news, *entry);
  g_array_sort (news, compare_revisions);
  watch->after = state->revision;
  if (news->len > 0)
    event (user_data, (const CommyStoreEntry *) (gpointer) news->data, news->len, state->revision,
           NULL);
}

static void
deliver (gpointer user_data)
{
  Store *self = user_data;
  g_autoptr (GList) ids = g_hash_table_get_keys (self->watches);
  g_autoptr (GError) error = NULL;
  g_auto (State) state = { 0 };

  state_init (&state);
  if (ids != NULL)
    state_read (&state, self, &error);
  for (GList *id = ids; id != NULL; id = id->next)
    if (g_hash_table_contains (self->watches, id->data))
      serve (self, id->data, &state, error);
}

/* A file came into the folder, or somebody who could write one closed it, perhaps by dying. */
static void
on_folder (gpointer user_data, int fd, guint condition)
{
  Store *self = user_data;
  char buffer[4096] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  g_autoptr (GError) error = NULL;
  gboolean left = FALSE;
  ssize_t size;

  while ((size = read (fd, buffer, sizeof buffer)) > 0)
    for (ssize_t at = 0; at < size;)
      {
        const struct inotify_event *event = (const struct inotify_event *) (gpointer) (buffer + at);

        left = left || (event->mask & IN_Q_OVERFLOW) != 0
               || (event->len > 0 && g_str_has_prefix (event->name, "owner-"));
        at += (ssize_t) (sizeof *event + event->len);
      }
  if (left && !reap (self, &error))
    self->host->log (self->host, G_LOG_LEVEL_WARNING, error->message);
  deliver (self);
}

/* --- operations: each is through when it returns, and answers at once --- */

static void
answer (CommyStoreDoneFunc done, gpointer user_data, CommyStoreResult *result, const GError *error)
{
  result->struct_size = sizeof *result;
  done (user_data, error == NULL ? result : NULL, error);
}

static void
onefile_range (gpointer instance, const char *prefix, CommyStoreDoneFunc done, gpointer user_data)
{
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (CommyStoreEntry));
  CommyStoreResult result = { .succeeded = TRUE };
  g_autoptr (GError) error = NULL;
  g_auto (State) state = { 0 };
  CommyStoreEntry *entry;
  GTreeNode *node;

  state_init (&state);
  state_read (&state, instance, &error);
  node = g_tree_lower_bound (state.entries, prefix);
  while ((entry = step (&node, prefix)) != NULL)
    if (entry->value != NULL)
      g_array_append_val (found, *entry);
  result.revision = state.revision;
  result.entries = (const CommyStoreEntry *) (gpointer) found->data;
  result.n_entries = found->len;
  answer (done, user_data, &result, error);
}

static gboolean
all_hold (State *state, const CommyStoreCompare *compares, gsize n_compares)
{
  for (gsize i = 0; i < n_compares; i++)
    {
      const CommyStoreEntry *entry = g_tree_lookup (state->entries, compares[i].key);
      gint64 revision = entry != NULL && entry->value != NULL ? entry->mod_revision : 0;

      if (revision != compares[i].mod_revision)
        return FALSE;
    }
  return TRUE;
}

static gboolean
put (State *state, const CommyStoreOp *op, GError **error)
{
  CommyStoreEntry *entry = g_tree_lookup (state->entries, op->key);
  gsize length = strlen (op->key);

  if (length == 0 || length > KEY_MAX || g_bytes_get_size (op->value) > VALUE_MAX)
    fail (error, COMMY_ERROR_INVALID_ARGUMENT, "a key has 1 to %d bytes, a value at most %d",
          KEY_MAX, VALUE_MAX);
  else if (op->lease != 0 && !g_hash_table_contains (state->leases, &op->lease))
    fail (error, COMMY_ERROR_STORE, "there is no lease %" G_GINT64_FORMAT, op->lease);
  else
    {
      if (entry == NULL)
        entry = state_add (state, op->key);
      if (entry->value == NULL)
        entry->create_revision = state->revision;
      g_bytes_unref (entry->value);
      entry->value = g_bytes_ref (op->value);
      entry->mod_revision = state->revision;
      entry->lease = op->lease;
      return TRUE;
    }
  return FALSE;
}

static gboolean
apply (State *state, const CommyStoreOp *op, GError **error)
{
  CommyStoreEntry *entry;
  GTreeNode *node;

  switch (op->kind)
    {
    case COMMY_STORE_PUT:
      return put (state, op, error);
    case COMMY_STORE_DELETE:
      delete_entry (state, g_tree_lookup (state->entries, op->key));
      return TRUE;
    case COMMY_STORE_DELETE_PREFIX:
      node = g_tree_lower_bound (state->entries, op->key);
      while ((entry = step (&node, op->key)) != NULL)
        delete_entry (state, entry);
      return TRUE;
    default:
      fail (error, COMMY_ERROR_INVALID_ARGUMENT, "no operation has the number %d", (int) op->kind);
      return FALSE;
    }
}

/* What fails in the middle has changed nothing, because it is not written. */
static void
onefile_txn (gpointer instance,
             const CommyStoreCompare *compares,
             gsize n_compares,
             const CommyStoreOp *ops,
             gsize n_ops,
             CommyStoreDoneFunc done,
             gpointer user_data)
{
  CommyStoreResult result = { 0 };
  g_autoptr (GError) error = NULL;
  g_auto (State) state = { 0 };

  if (change_begin (instance, &state, &error))
    {
      gboolean changes;

      result.succeeded = all_hold (&state, compares, n_compares);
      changes = result.succeeded && n_ops > 0;
      if (changes)
        state.revision++;
      for (gsize i = 0; changes && i < n_ops; i++)
        changes = apply (&state, &ops[i], &error);
      change_end (instance, &state, changes, &error);
    }
  result.revision = state.revision;
  answer (done, user_data, &result, error);
}

/* It ends with the process, which the kernel tells at once: nothing has to be kept alive. */
static void
onefile_grant (gpointer instance, gint64 ttl_ns, CommyStoreDoneFunc done, gpointer user_data)
{
  Store *self = instance;
  CommyStoreResult result = { .succeeded = TRUE };
  g_autoptr (GError) error = NULL;
  g_auto (State) state = { 0 };

  if (change_begin (self, &state, &error))
    {
      result.lease = ++state.last_lease;
      g_hash_table_replace (state.leases, g_memdup2 (&result.lease, sizeof result.lease),
                            g_strdup (self->owner));
      change_end (self, &state, TRUE, &error);
    }
  result.revision = state.revision;
  answer (done, user_data, &result, error);
}

static void
onefile_revoke (gpointer instance, gint64 lease, CommyStoreDoneFunc done, gpointer user_data)
{
  CommyStoreResult result = { .succeeded = TRUE, .lease = lease };
  g_autoptr (GError) error = NULL;
  g_auto (State) state = { 0 };

  if (change_begin (instance, &state, &error))
    {
      guint ended = end_leases (&state, NULL, lease);

      if (change_end (instance, &state, ended > 0, &error) && ended == 0)
        fail (&error, COMMY_ERROR_STORE, "there is no lease %" G_GINT64_FORMAT, lease);
    }
  result.revision = state.revision;
  answer (done, user_data, &result, error);
}

static guint
onefile_watch (gpointer instance,
               const char *prefix,
               gint64 from_revision,
               CommyStoreWatchEventFunc event,
               gpointer user_data)
{
  Store *self = instance;
  Watch *watch = g_new0 (Watch, 1);

  *watch = (Watch){ g_strdup (prefix), from_revision, event, user_data };
  self->last_watch = MAX (self->last_watch + 1, 1);
  g_hash_table_insert (self->watches, GUINT_TO_POINTER (self->last_watch), watch);
  self->host->post (self->host, deliver, self);
  return self->last_watch;
}

static void
onefile_unwatch (gpointer instance, guint watch)
{
  g_hash_table_remove (((Store *) instance)->watches, GUINT_TO_POINTER (watch));
}

/* A child that its owner forked keeps the owner's file open: of that death nobody is told. */
static void
onefile_suspect (gpointer instance, gint64 lease)
{
  reap (instance, NULL);
}

/* --- the plugin --- */

static void
close_all (Store *self)
{
  if (self->inotify_watch != 0)
    self->host->remove (self->host, self->inotify_watch);
  if (self->inotify_fd >= 0)
    close (self->inotify_fd);
  if (self->lock_fd >= 0)
    close (self->lock_fd);
  if (self->owner_fd >= 0)
    close (self->owner_fd);
  g_clear_pointer (&self->watches, g_hash_table_unref);
  g_clear_pointer (&self->owner, g_free);
  g_clear_pointer (&self->folder, g_free);
}

static gboolean
open_folder (Store *self, GError **error)
{
  g_autofree char *lock = g_build_filename (self->folder, "lock", NULL);

  if (g_mkdir_with_parents (self->folder, MODE_DIR) == 0)
    self->lock_fd = open (lock, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, MODE_FILE);
  if (self->lock_fd >= 0)
    self->inotify_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  if (self->inotify_fd >= 0
      && inotify_add_watch (self->inotify_fd, self->folder, IN_MOVED_TO | IN_CLOSE_WRITE) >= 0)
    return TRUE;
  fail (error, COMMY_ERROR_STATE_DIR, "cannot use the folder %s: %s", self->folder,
        g_strerror (errno));
  return FALSE;
}

/* Under the lock, or a file that was just made would be taken for a dead one's. */
static gboolean
enter (Store *self, GError **error)
{
  g_auto (State) state = { 0 };
  gboolean ok;

  if (!change_begin (self, &state, error))
    return FALSE;
  ok = become_owner (self, error);
  return change_end (self, &state, FALSE, error) && ok && reap (self, error);
}

static gboolean
onefile_init (gpointer instance, CommyHost *host, GError **error)
{
  Store *self = instance;

  *self = (Store){ .host = host, .owner_fd = -1, .lock_fd = -1, .inotify_fd = -1 };
  self->folder = g_build_filename (host->info (host, COMMY_HOST_STATE_DIR), "onefile", NULL);
  self->watches = g_hash_table_new_full (NULL, NULL, NULL, watch_free);
  if (!open_folder (self, error) || !enter (self, error))
    {
      close_all (self);
      return FALSE;
    }
  self->inotify_watch = host->watch_fd (host, self->inotify_fd, G_IO_IN, on_folder, self);
  return TRUE;
}

/* What cannot be ended here is ended by others, who see the lock go. */
static void
onefile_fini (gpointer instance)
{
  Store *self = instance;
  g_autofree char *path = g_build_filename (self->folder, self->owner, NULL);
  g_auto (State) state = { 0 };
  g_autoptr (GError) error = NULL;

  if (change_begin (self, &state, &error)
      && change_end (self, &state, end_leases (&state, self->owner, 0) > 0, &error))
    g_unlink (path);
  else
    self->host->log (self->host, G_LOG_LEVEL_WARNING, error->message);
  close_all (self);
}

static const CommyParamSpec onefile_params[] = {
  {
      .struct_size = sizeof (CommyParamSpec),
      .type = COMMY_PARAM_DURATION,
      .name = "lock-timeout",
      .default_value = "2s",
      .minimum = NS_PER_MS,
      .maximum = G_GINT64_CONSTANT (60000000000),
      .help = "How long a change waits for another process that is changing the file",
  },
};

static const CommyStoreOps onefile_ops = {
  .struct_size = sizeof (CommyStoreOps),
  .range = onefile_range,
  .txn = onefile_txn,
  .grant = onefile_grant,
  .revoke = onefile_revoke,
  .watch = onefile_watch,
  .unwatch = onefile_unwatch,
  .suspect = onefile_suspect,
};

COMMY_PLUGIN_NOTE (STORE,
                   "onefile",
                   "1.0",
                   "LGPL-2.1-or-later",
                   "One file for the processes of one user on one host",
                   "",
                   COMMY_PLUGIN_FLAG_EXPERIMENTAL,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST,
                   .size_factor = 1,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64, .send_cpu_ns = 100000 } });

COMMY_PLUGIN_DEFINE (Store,
                     onefile_init,
                     NULL,
                     onefile_fini,
                     onefile_params,
                     G_N_ELEMENTS (onefile_params),
                     &onefile_ops);
