/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Digests every file here first; then, in a pass, sends every piece of every file to the service
 * in a tight loop and compares what comes back.
 */
#include "config.h"

#include "demo.h"

#include <string.h>

#define CALL_TIMEOUT_US (10 * G_USEC_PER_SEC)

/* --- here --- */

static void
digest_here (GBytes *bytes, guint8 out[DIGEST_SIZE])
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize size, digest_size = DIGEST_SIZE;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  g_checksum_update (checksum, data, (gssize) size);
  g_checksum_get_digest (checksum, out, &digest_size);
}

static gboolean
hash_file (DemoTree *tree, DemoFile *file, GError **error)
{
  g_autoptr (GError) cause = NULL;
  DemoReader reader;
  GBytes *piece;

  if (!demo_reader_open (&reader, file->path, error))
    return FALSE;
  file->size = 0;
  file->digests = g_byte_array_new ();
  while ((piece = demo_reader_next (&reader, &cause)) != NULL)
    {
      guint8 digest[DIGEST_SIZE];
      gint64 began_us = g_get_monotonic_time ();

      digest_here (piece, digest);
      tree->hashed_us += g_get_monotonic_time () - began_us;
      file->size += g_bytes_get_size (piece);
      g_byte_array_append (file->digests, digest, DIGEST_SIZE);
      g_bytes_unref (piece);
    }
  demo_reader_close (&reader);
  if (cause == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

gboolean
demo_hash (DemoTree *tree, GCancellable *cancellable, GError **error)
{
  DemoProgress progress;
  guint done = 0;

  tree->bytes = 0;
  demo_progress_start (&progress, "digesting here", tree->files->len);
  while (done < tree->files->len && !g_cancellable_is_cancelled (cancellable))
    {
      DemoFile *file = tree->files->pdata[done];
      g_autoptr (GError) cause = NULL;

      if (hash_file (tree, file, &cause))
        {
          tree->bytes += file->size;
          demo_progress_tick (&progress, ++done, tree->bytes);
          continue;
        }
      demo_tree_add_unreadable (tree, file->path, cause->message);
      g_ptr_array_remove_index (tree->files, done);
    }
  demo_progress_end (&progress);
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/* --- who answered --- */

static void
tally_add (DemoTally *tally, const char *by)
{
  guint i = 0;

  while (i < DEMO_TALLY_MAX - 1 && tally[i].n > 0 && strcmp (tally[i].by, by) != 0)
    i++;
  g_strlcpy (tally[i].by, by, sizeof tally[i].by);
  tally[i].n++;
}

guint64
demo_tally_get (const DemoTally *tally, const char *by)
{
  for (guint i = 0; i < DEMO_TALLY_MAX; i++)
    if (strcmp (tally[i].by, by) == 0)
      return tally[i].n;
  return 0;
}

char *
demo_tally_show (const DemoTally *tally)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < DEMO_TALLY_MAX && tally[i].n > 0; i++)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT " %s", i > 0 ? ", " : "", tally[i].n,
                            tally[i].by);
  return g_string_free (text, FALSE);
}

/* What stands behind the digest. */
static char *
dup_by (GBytes *answer)
{
  gsize size;
  const char *data = g_bytes_get_data (answer, &size);
  g_autofree char *by = size > DIGEST_SIZE ? g_strndup (data + DIGEST_SIZE,
                                                        MIN (size - DIGEST_SIZE, DIGEST_BY_MAX - 1))
                                           : NULL;

  return demo_show_name (by != NULL ? by : "unnamed");
}

/* --- there --- */

static void
complain (DemoPass *self, const DemoFile *file, const char *what)
{
  g_autofree char *name = demo_show_name (file->path);

  g_ptr_array_add (self->complaints, g_strdup_printf ("%s: %s", name, what));
}

static gboolean
matches (DemoPass *self, GBytes *answer, GBytes *piece, const guint8 *expected, gboolean *changed)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (answer, &size);
  guint8 now[DIGEST_SIZE];

  if (size < DIGEST_SIZE)
    return FALSE;
  if (expected != NULL && memcmp (data, expected, DIGEST_SIZE) == 0)
    return TRUE;
  /* Not what it was at first: either the file changed since, or the digest is wrong. */
  digest_here (piece, now);
  *changed |= expected == NULL || memcmp (now, expected, DIGEST_SIZE) != 0;
  return memcmp (data, now, DIGEST_SIZE) == 0;
}

/* Whether the right digest came back. */
static gboolean
send_piece (
    DemoPass *self, const DemoFile *file, GBytes *piece, const guint8 *expected, gboolean *changed)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) answer = NULL;
  g_autofree char *by = NULL;
  gint64 began_us, took_us;

  if (self->before != NULL)
    self->before (self->hook_data, file);
  began_us = g_get_monotonic_time ();
  answer = commy_client_call_bytes_sync (self->client, DIGEST_SHA256_BY, piece, self->options,
                                         self->cancellable, &error);
  took_us = g_get_monotonic_time () - began_us;
  self->calls++;
  self->spent_us += took_us;
  self->slowest_us = MAX (self->slowest_us, took_us);
  if (answer == NULL)
    {
      self->missing++;
      complain (self, file, error->message);
      return FALSE;
    }
  by = dup_by (answer);
  tally_add (self->tally, by);
  if (self->after != NULL)
    self->after (self->hook_data, by, began_us, began_us + took_us);
  if (!matches (self, answer, piece, expected, changed))
    {
      self->wrong++;
      complain (self, file, "another digest came back");
      return FALSE;
    }
  self->equal++;
  self->bytes += g_bytes_get_size (piece);
  return TRUE;
}

static void
send_file (DemoPass *self, const DemoFile *file)
{
  g_autoptr (GError) error = NULL;
  gboolean right = TRUE, changed = FALSE;
  DemoReader reader;
  GBytes *piece;

  if (!demo_reader_open (&reader, file->path, &error))
    {
      self->vanished++;
      return;
    }
  while ((piece = demo_reader_next (&reader, &error)) != NULL)
    {
      gsize at = (gsize) (reader.pieces - 1) * DIGEST_SIZE;
      gboolean known = at + DIGEST_SIZE <= file->digests->len;

      right &= send_piece (self, file, piece, known ? file->digests->data + at : NULL, &changed);
      g_bytes_unref (piece);
      if (!right)
        break;
    }
  demo_reader_close (&reader);
  self->vanished += error != NULL ? 1 : 0;
  self->files += error == NULL && right ? 1 : 0;
  self->changed += changed ? 1 : 0;
}

void
demo_pass_init (DemoPass *self, CommyClient *client, GCancellable *cancellable)
{
  *self = (DemoPass){ .client = g_object_ref (client),
                      .cancellable = cancellable,
                      .options = commy_call_options_new (),
                      .complaints = g_ptr_array_new_with_free_func (g_free) };
  commy_call_options_set_timeout (self->options, CALL_TIMEOUT_US);
  commy_call_options_set_idempotent (self->options, TRUE); /* a digest may be computed twice */
}

gboolean
demo_pass_run (DemoPass *self, const DemoTree *tree, const char *what, GError **error)
{
  DemoProgress progress;

  demo_progress_start (&progress, what, tree->files->len);
  for (guint i = 0; i < tree->files->len && self->complaints->len < DEMO_COMPLAINTS_MAX; i++)
    {
      if (g_cancellable_is_cancelled (self->cancellable))
        break;
      send_file (self, tree->files->pdata[i]);
      demo_progress_tick (&progress, i + 1, self->bytes);
    }
  demo_progress_end (&progress);
  return !g_cancellable_set_error_if_cancelled (self->cancellable, error);
}

void
demo_pass_clear (DemoPass *self)
{
  g_clear_object (&self->client);
  g_clear_pointer (&self->options, commy_call_options_free);
  g_clear_pointer (&self->complaints, g_ptr_array_unref);
}
