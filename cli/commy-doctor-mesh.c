/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Commy finds for itself on this machine: folders, keyfiles, plugins, and the store.
 */
#include "config.h"

#include "cli/commy-doctor.h"
#include "cli/commy-lookup.h"
#include "cli/commy-quantity.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LONG_PATH 60u /* beyond, the names of sockets in it may not fit 107 bytes */
#define LITTLE_ROOM (G_GUINT64_CONSTANT (16) << 20)

gboolean
commy_doctor_has_mesh (CommyDoctor *doctor, CommyFinding *finding)
{
  if (doctor->mesh != NULL)
    return TRUE;
  commy_finding_fail (finding, "unknown while the settings are wrong: %s", doctor->error->message);
  commy_finding_way_out (finding, "see D003");
  return FALSE;
}

/* --- folders --- */

/* The folder, or the closest one above it that is there. (transfer full) */
static char *
find_existing (const char *path)
{
  char *at = g_strdup (path);

  while (!g_file_test (at, G_FILE_TEST_EXISTS) && strchr (at, G_DIR_SEPARATOR) != NULL
         && strcmp (at, "/") != 0)
    {
      char *above = g_path_get_dirname (at);

      g_free (at);
      at = above;
    }
  return at;
}

static void
check_dir (const char *path, const char *setting, CommyFinding *finding)
{
  g_autofree char *there = find_existing (path);
  gboolean exists = strcmp (there, path) == 0;
  struct stat status;

  if (lstat (path, &status) < 0 && errno != ENOENT)
    commy_finding_fail (finding, "%s: %s", path, g_strerror (errno));
  else if (!exists && access (there, W_OK | X_OK) < 0)
    commy_finding_fail (finding, "%s cannot be made: %s is not writable", path, there);
  else if (!exists)
    {
      commy_finding_ok (finding, "%s will be made", path);
      return;
    }
  else if (lstat (path, &status) < 0 || !S_ISDIR (status.st_mode))
    commy_finding_fail (finding, "%s is no folder", path);
  else if (status.st_uid != geteuid ())
    commy_finding_fail (finding, "%s belongs to the user with number %u", path, status.st_uid);
  else if ((status.st_mode & 022) != 0)
    commy_finding_fail (finding, "%s is writable for others (mode %04o)", path,
                        status.st_mode & 07777);
  else if (access (path, W_OK | X_OK) < 0)
    commy_finding_fail (finding, "%s is not writable: %s", path, g_strerror (errno));
  else if ((status.st_mode & 077) != 0)
    commy_finding_warn (finding, "%s can be read by others (mode %04o)", path,
                        status.st_mode & 07777);
  else
    commy_finding_ok (finding, "%s", path);
  commy_finding_way_out (finding, "chmod 700 or chown it, or set %s in [mesh]", setting);
}

void
commy_doctor_check_runtime_dir (CommyDoctor *doctor, CommyFinding *finding)
{
  const char *path;

  if (!commy_doctor_has_mesh (doctor, finding))
    return;
  path = commy_mesh_get_runtime_dir (doctor->mesh);
  check_dir (path, "runtime-dir", finding);
  if (finding->state == COMMY_FINDING_OK && strlen (path) > LONG_PATH)
    {
      commy_finding_warn (finding, "%s is long: names of sockets in it may not fit", path);
      commy_finding_way_out (finding, "a shorter runtime-dir in [mesh], such as /run/user/NUMBER");
    }
}

void
commy_doctor_check_state_dir (CommyDoctor *doctor, CommyFinding *finding)
{
  g_autofree char *there = NULL;
  const char *path;
  struct statvfs room;
  guint64 left;

  if (!commy_doctor_has_mesh (doctor, finding))
    return;
  path = commy_mesh_get_state_dir (doctor->mesh);
  check_dir (path, "state-dir", finding);
  there = find_existing (path);
  if (finding->state != COMMY_FINDING_OK || statvfs (there, &room) < 0)
    return;
  left = (guint64) room.f_bavail * room.f_frsize;
  if (left < LITTLE_ROOM)
    {
      g_autofree char *size = commy_quantity_format_size (left);

      commy_finding_warn (finding, "%s: only %s left on its disk", path, size);
      commy_finding_way_out (finding, "make room, or set state-dir in [mesh]");
    }
}

/* --- keyfiles --- */

/* Files that settings name, without which nobody is let in. */
static gboolean
are_named_files_there (CommyMesh *mesh, CommyFinding *finding)
{
  g_autoptr (GVariant) settings = commy_mesh_list_settings (mesh);
  GVariantIter iter;
  const char *group, *key, *value, *origin;

  g_variant_iter_init (&iter, settings);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, &key, &value, &origin))
    if (strcmp (group, "plugin auth/jwt") == 0 && strcmp (key, "param.jwks") == 0
        && value[0] != '\0' && access (value, R_OK) < 0)
      {
        commy_finding_fail (finding, "%s: the key set %s cannot be read: %s; no token is accepted",
                            origin, value, g_strerror (errno));
        commy_finding_way_out (finding, "put it there, readable for you");
        return FALSE;
      }
  return TRUE;
}

/* Rules that are right and speak of nobody. */
static gboolean
do_rules_fit (CommyMesh *mesh, CommyFinding *finding)
{
  g_autoptr (GVariant) rules = commy_mesh_list_policy (mesh, NULL);

  for (gsize i = 0; rules != NULL && i < g_variant_n_children (rules); i++)
    {
      g_autoptr (GVariant) rule = g_variant_get_child_value (rules, i);
      const char *idle = commy_record_get_string (rule, "idle");

      if (idle[0] == '\0')
        continue;
      commy_finding_warn (finding, "%s: [policy %s] %s", commy_record_get_string (rule, "origin"),
                          commy_record_get_string (rule, "rule"), idle);
      commy_finding_way_out (finding, "add members= to a role, or principals= to the rule");
      return FALSE;
    }
  return TRUE;
}

void
commy_doctor_check_keyfiles (CommyDoctor *doctor, CommyFinding *finding)
{
  g_autoptr (GVariant) files = commy_mesh_list_keyfiles ();
  g_autoptr (GString) read = g_string_new (NULL);
  GVariantIter iter;
  const char *layer, *path;

  g_variant_iter_init (&iter, files);
  while (g_variant_iter_next (&iter, "(&s&s)", &layer, &path))
    {
      g_autoptr (GError) error = NULL;

      if (!g_file_test (path, G_FILE_TEST_EXISTS) && strcmp (layer, "environment") != 0)
        continue;
      if (!commy_mesh_check_keyfile (path, &error))
        {
          commy_finding_fail (finding, "%s: %s", layer, error->message);
          commy_finding_way_out (finding, "correct it; commy config show lists what there is");
          return;
        }
      g_string_append_printf (read, "%s%s", read->len > 0 ? ", " : "", path);
    }
  if (doctor->mesh == NULL)
    commy_finding_fail (finding, "%s", doctor->error->message);
  else if (read->len == 0)
    {
      commy_finding_warn (finding, "none is there, not even the shipped one");
      commy_finding_way_out (finding,
                             "install again: the shipped keyfile names the default plugins");
    }
  else if (are_named_files_there (doctor->mesh, finding) && do_rules_fit (doctor->mesh, finding))
    commy_finding_ok (finding, "%s", read->str);
}

/* --- plugins --- */

void
commy_doctor_check_plugins (CommyDoctor *doctor, CommyFinding *finding)
{
  g_autoptr (GVariant) plugins = NULL;
  g_autofree char *bad_name = NULL;
  const char *bad_reason = "";
  guint usable = 0, off = 0, bad = 0;
  gsize n;

  if (!commy_doctor_has_mesh (doctor, finding))
    return;
  plugins = commy_mesh_list_plugins (doctor->mesh);
  n = g_variant_n_children (plugins);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      const char *state = commy_record_get_string (plugin, "state");

      if (strcmp (state, "found") == 0)
        usable++;
      else if (strcmp (state, "hidden") == 0 || strcmp (state, "disabled") == 0)
        off++;
      else if (bad++ == 0)
        {
          bad_name = g_path_get_basename (commy_record_get_string (plugin, "path"));
          bad_reason = commy_record_get_string (plugin, "reason");
        }
    }
  if (usable == 0)
    commy_finding_fail (finding, "none can be used: nothing can be called");
  else if (bad > 0)
    commy_finding_warn (finding, "%u usable, %u switched off, %u not: %s: %s", usable, off, bad,
                        bad_name, bad_reason);
  else
    commy_finding_ok (finding, "%u usable, %u switched off", usable, off);
  commy_finding_way_out (finding, "commy plugin list -v shows where they are and why");
}

/* --- the store --- */

/* Lock-outs and what has ended left out. */
static guint
count_denials (GVariant *list)
{
  gint64 now_s = g_get_real_time () / G_USEC_PER_SEC;
  guint n = 0;

  for (gsize i = 0; i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (list, i);
      gint64 until_s = 0;

      g_variant_lookup (record, "until", "x", &until_s);
      if (!g_str_has_prefix (commy_record_get_string (record, "subject"), "lock-out/")
          && (until_s == 0 || until_s > now_s))
        n++;
    }
  return n;
}

/* Whether all who are denied are. */
static gboolean
do_denials_count (CommyMesh *mesh, CommyFinding *finding)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = commy_mesh_list_denied (mesh, &error);
  guint n = list != NULL ? count_denials (list) : 0;

  if (list == NULL)
    commy_finding_warn (finding, "who is denied cannot be read: %s", error->message);
  else if (n > COMMY_DENIED_MAX)
    commy_finding_fail (finding, "%u are denied, and %u count: not those that end soonest", n,
                        COMMY_DENIED_MAX);
  else if (n > COMMY_DENIED_MAX / 10 * 9)
    commy_finding_warn (finding, "%u are denied, of %u that count", n, COMMY_DENIED_MAX);
  else
    return TRUE;
  commy_finding_way_out (finding, "commy cert denied lists them; commy cert allow, or commy pki "
                                  "revoke in its place");
  return FALSE;
}

void
commy_doctor_check_store (CommyDoctor *doctor, CommyFinding *finding)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = NULL;

  if (!commy_doctor_has_mesh (doctor, finding) || !commy_doctor_has_files (finding))
    return;
  mesh = commy_cli_join (doctor->cli, &error);
  instances = mesh != NULL ? commy_lookup_instances (mesh, NULL, FALSE, &error) : NULL;
  if (instances == NULL)
    {
      commy_finding_fail (finding, "%s", error->message);
      commy_finding_way_out (finding, "commy help %.7s", error->message);
    }
  else if (do_denials_count (mesh, finding))
    commy_finding_ok (finding, "opens and answers; instances of services: %u", instances->len);
}
