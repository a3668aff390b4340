/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who watches whom of those that share a store: however many leases each has, following the next
 * one leads to everybody, so that nobody dies unseen.
 */
#include "config.h"

#include "stores/sqlite/commy-sqlite-db.h"

#include <commy/commy-error.h>
#include <glib/gstdio.h>

typedef struct
{
  char *dir;
  CommySqliteDb *db;
} Fixture;

static void
fixture_set_up (Fixture *self, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;

  self->dir = g_dir_make_tmp ("commy-ring-XXXXXX", &error);
  g_assert_no_error (error);
  self->db = commy_sqlite_db_new (self->dir, 1000, FALSE, &error);
  g_assert_no_error (error);
}

static void
fixture_tear_down (Fixture *self, gconstpointer unused)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  commy_sqlite_db_free (self->db);
  dir = g_dir_open (self->dir, 0, NULL);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->dir, name, NULL);

      g_unlink (path);
    }
  g_rmdir (self->dir);
  g_free (self->dir);
}

/* As is told by one digit each: the owners of the leases 1, 2, 3... */
static void
lease_to (Fixture *self, const char *owners)
{
  g_autoptr (GString) sql = g_string_new ("DELETE FROM leases;");

  for (guint i = 0; owners[i] != '\0'; i++)
    g_string_append_printf (sql, "INSERT INTO leases VALUES (%u, %c, 1);", i + 1, owners[i]);
  g_assert_cmpint (sqlite3_exec (self->db->sql, sql->str, NULL, NULL, NULL), ==, SQLITE_OK);
}

/* The ring from owner @from on, as each of them finds the next. (transfer full) */
static char *
walk (Fixture *self, gint64 from)
{
  g_autoptr (GString) ring = g_string_new (NULL);
  gint64 pid = from;

  do
    {
      g_autofree char *select
          = g_strdup_printf ("SELECT MIN (id) FROM leases WHERE pid = %" G_GINT64_FORMAT, pid);
      g_autoptr (GError) error = NULL;
      CommySqliteLeaseRow next;
      sqlite3_stmt *statement;
      gint64 own;

      g_string_append_printf (ring, "%" G_GINT64_FORMAT, pid);
      g_assert_cmpint (sqlite3_prepare_v2 (self->db->sql, select, -1, &statement, NULL), ==,
                       SQLITE_OK);
      g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
      own = sqlite3_column_int64 (statement, 0);
      sqlite3_finalize (statement);
      g_assert_true (commy_sqlite_db_next_lease (self->db, own, pid, &next, &error));
      g_assert_no_error (error);
      if (next.id == 0)
        break;
      pid = next.pid;
    }
  while (pid != from && ring->len < 10);
  return g_string_free (g_steal_pointer (&ring), FALSE);
}

static void
test_ring (Fixture *self, gconstpointer unused)
{
  static const struct
  {
    const char *owners, *ring;
  } cases[] = {
    { "1", "1" },        { "11", "1" },        { "12", "12" },      { "123", "123" },
    { "12113", "123" },  { "1213", "123" },    { "12131", "123" },  { "1221", "12" },
    { "122331", "123" }, { "1321332", "132" }, { "111213", "123" }, { "1234321", "1234" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *ring = NULL;

      lease_to (self, cases[i].owners);
      ring = walk (self, 1);
      g_assert_cmpstr (ring, ==, cases[i].ring);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/store/sqlite/ring/has-everybody-in-it", Fixture, NULL, fixture_set_up, test_ring,
              fixture_tear_down);
  return g_test_run ();
}
