/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fixture of the tests of the audit trail. Its provider of seals "signs" with SHA-256.
 */
#include "config.h"

#include "audit-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

void
audit_fixture_set_up (AuditFixture *self, gconstpointer data)
{
  g_autofree char *root = g_dir_make_tmp ("commy-audit-XXXXXX", NULL);

  g_assert_nonnull (root);
  self->dir = g_build_filename (root, "audit", NULL);
  self->wall_us = G_GINT64_CONSTANT (1767225600000000); /* 2026-01-01 */
  self->boot_ns = G_GINT64_CONSTANT (5000000000);
}

void
audit_fixture_tear_down (AuditFixture *self, gconstpointer data)
{
  g_autofree char *root = g_path_get_dirname (self->dir);
  g_autoptr (GDir) dir = g_dir_open (self->dir, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->dir, name, NULL);

      g_unlink (path);
    }
  g_rmdir (self->dir);
  g_rmdir (root);
  g_free (self->dir);
}

static void
now (gpointer data, gint64 *out_wall_us, gint64 *out_boot_ns)
{
  AuditFixture *self = data;

  *out_wall_us = __atomic_load_n (&self->wall_us, __ATOMIC_RELAXED);
  *out_boot_ns = __atomic_load_n (&self->boot_ns, __ATOMIC_RELAXED);
}

static void
fake_seal (gboolean first, gconstpointer bytes, gsize size, guint8 out[33])
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize length = 32;

  out[0] = first ? 1 : 2;
  g_checksum_update (sum, (const guchar *) "fake", 4);
  g_checksum_update (sum, bytes, (gssize) size);
  g_checksum_get_digest (sum, out + 1, &length);
}

static gboolean
seal (gpointer data,
      gboolean first,
      gconstpointer bytes,
      gsize size,
      guint8 *out_seal,
      gsize *out_size)
{
  AuditFixture *self = data;

  if (self->is_dumb)
    return FALSE;
  fake_seal (first, bytes, size, out_seal);
  *out_size = 33;
  self->sealed++;
  return TRUE;
}

static gboolean
check_seal (gconstpointer before,
            gsize before_size,
            gconstpointer bytes,
            gsize size,
            gconstpointer given,
            gsize given_size,
            gpointer data,
            GError **error)
{
  guint8 wanted[33];

  fake_seal (before == NULL, bytes, size, wanted);
  if (given_size == sizeof wanted && memcmp (given, wanted, sizeof wanted) == 0)
    return TRUE;
  g_set_error (error, COMMY_ERROR, COMMY_ERROR_FAILED, "not sealed by the fake");
  return FALSE;
}

CommyAuditLogSetup
audit_fixture_setup (AuditFixture *self)
{
  return (CommyAuditLogSetup){ .chain = { .directory = self->dir,
                                          .mesh = "test",
                                          .node = "0123456789abcdef0123456789abcdef",
                                          .env = commy_env_system (),
                                          .max_file_size = (gsize) 64 << 20,
                                          .seal = seal,
                                          .seal_data = self },
                               .calls = COMMY_AUDIT_CALLS_ALL,
                               .queue_size = COMMY_AUDIT_QUEUE_SIZE,
                               .retry_us = 1000,
                               .now = now,
                               .now_data = self };
}

CommyAuditRecord
audit_fixture_call (AuditFixture *self, guint i, char method[16])
{
  g_snprintf (method, 16, "Get%u", i);
  return (CommyAuditRecord){ .wall_us = self->wall_us + i,
                             .boot_ns = self->boot_ns + i * 1000,
                             .count = i % 5,
                             .texts = { [COMMY_AUDIT_TYPE] = "call",
                                        [COMMY_AUDIT_OUTCOME] = i % 2 ? "denied" : "allowed",
                                        [COMMY_AUDIT_PRINCIPAL]
                                        = i % 3 ? "unix:uid=1000" : "spiffe://d/host/h/user/ann",
                                        [COMMY_AUDIT_TRANSPORT] = "local",
                                        [COMMY_AUDIT_SERVICE] = "org.example.A",
                                        [COMMY_AUDIT_METHOD] = method,
                                        [COMMY_AUDIT_ORIGIN] = "a \"line\"\n of \\ it" } };
}

void
audit_fixture_make (AuditFixture *self, guint n)
{
  CommyAuditLogSetup setup = audit_fixture_setup (self);
  g_autoptr (CommyAuditChain) chain = commy_audit_chain_new (&setup.chain, self->wall_us);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n; i++)
    {
      char method[16];
      CommyAuditRecord record = audit_fixture_call (self, i, method);

      commy_audit_chain_add (chain, &record);
    }
  self->wall_us += n;
  commy_audit_chain_close (chain, self->wall_us, self->boot_ns, &error);
  g_assert_no_error (error);
}

static GPtrArray *
list (AuditFixture *self, const char *suffix)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (self->dir, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, suffix))
      g_ptr_array_add (names, g_strdup (name));
  return names;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

char *
audit_fixture_dup_file (AuditFixture *self, const char *suffix, guint nth)
{
  g_autoptr (GPtrArray) names = list (self, suffix);

  g_ptr_array_sort (names, compare);
  g_assert_cmpuint (nth, <, names->len);
  return g_strdup (names->pdata[nth]);
}

guint
audit_fixture_count_files (AuditFixture *self, const char *suffix)
{
  g_autoptr (GPtrArray) names = list (self, suffix);

  return names->len;
}

GByteArray *
audit_fixture_read (AuditFixture *self, const char *name)
{
  g_autofree char *path = g_build_filename (self->dir, name, NULL);
  g_autoptr (GError) error = NULL;
  char *text;
  gsize size;

  g_file_get_contents (path, &text, &size, &error);
  g_assert_no_error (error);
  return g_byte_array_new_take ((guint8 *) text, size);
}

void
audit_fixture_write (AuditFixture *self, const char *name, gconstpointer data, gsize size)
{
  g_autofree char *path = g_build_filename (self->dir, name, NULL);
  FILE *file = g_fopen (path, "wb");

  g_assert_nonnull (file);
  g_assert_cmpuint (fwrite (data, 1, size, file), ==, size);
  fclose (file);
}

void
audit_fixture_put (AuditFixture *self, const char *name, gsize at, guint8 byte)
{
  g_autofree char *path = g_build_filename (self->dir, name, NULL);
  FILE *file = g_fopen (path, "r+b");

  g_assert_nonnull (file);
  g_assert_cmpint (fseek (file, (long) at, SEEK_SET), ==, 0);
  g_assert_cmpint (fputc (byte, file), ==, byte);
  g_assert_cmpint (fclose (file), ==, 0);
}

static void
hash (gconstpointer bytes, gsize size, guint8 *out_hash, gpointer data)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize length = 32;

  g_checksum_update (sum, bytes, (gssize) size);
  g_checksum_get_digest (sum, out_hash, &length);
}

GVariant *
audit_fixture_verify (AuditFixture *self, const char *expect)
{
  CommyAuditTools tools = { sizeof tools, hash, check_seal, NULL };
  g_autoptr (GError) error = NULL;
  GVariant *report = commy_audit_verify (self->dir, &tools, expect, &error);

  g_assert_no_error (error);
  return report;
}

guint64
audit_report_get (GVariant *report, const char *key)
{
  guint64 value = G_MAXUINT64;

  g_assert_true (g_variant_lookup (report, key, "t", &value));
  return value;
}

gboolean
audit_report_has (GVariant *report, const char *fault, guint64 record, guint64 offset)
{
  g_autoptr (GVariant) faults = g_variant_lookup_value (report, "faults", NULL);

  for (gsize i = 0; i < g_variant_n_children (faults); i++)
    {
      g_autoptr (GVariant) one = g_variant_get_child_value (faults, i);
      const char *word = NULL;

      g_variant_lookup (one, "fault", "&s", &word);
      if ((fault == NULL || strcmp (word, fault) == 0)
          && (record == G_MAXUINT64 || record == audit_report_get (one, "record"))
          && (offset == G_MAXUINT64 || offset == audit_report_get (one, "offset")))
        return TRUE;
    }
  return FALSE;
}

void
audit_assert_whole (AuditFixture *self)
{
  g_autoptr (GVariant) report = audit_fixture_verify (self, NULL);

  if (audit_report_get (report, "fault_count") > 0)
    {
      g_autofree char *text = g_variant_print (report, FALSE);

      g_error ("not whole: %s", text);
    }
}

char *
audit_report_dup_end (GVariant *report)
{
  g_autoptr (GVariant) chains = g_variant_lookup_value (report, "chains", NULL);
  g_autoptr (GVariant) chain = g_variant_get_child_value (chains, 0);
  const char *text = NULL;

  g_assert_true (g_variant_lookup (chain, "hash", "&s", &text));
  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%s", audit_report_get (chain, "last"), text);
}
