/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon through which several users of a host meet, seen as a program sees it that is about to
 * use it: a socket, who is behind it, an answer, the store below, the version.
 */
#include "config.h"

#include "cli/commy-doctor.h"
#include "cli/commy-lookup.h"
#include "stores/common/commy-store-door.h"

#include <commy/commy-version.h>
#include <string.h>
#include <unistd.h>

#define STORE_ID "commyd"
#define SYSTEM_DIR "/run/commyd"
#define PATIENCE_US (2 * G_USEC_PER_SEC)

/* (transfer full): "" where nobody says anything */
static char *
dup_setting (CommyMesh *mesh, const char *group, const char *key)
{
  g_autoptr (GVariant) settings = commy_mesh_list_settings (mesh);
  const char *at_group, *at_key, *value;
  GVariantIter iter;

  g_variant_iter_init (&iter, settings);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &at_group, &at_key, &value, NULL))
    if (strcmp (at_group, group) == 0 && strcmp (at_key, key) == 0)
      return g_strdup (value);
  return g_strdup ("");
}

/* Where the store of that name looks: (transfer full) */
static char *
find_socket (CommyMesh *mesh)
{
  g_autofree char *given = dup_setting (mesh, "plugin store/" STORE_ID, "param.socket");
  g_autofree char *own = g_build_filename (commy_mesh_get_runtime_dir (mesh), "store.sock", NULL);

  if (given[0] != '\0')
    return g_steal_pointer (&given);
  if (access (own, F_OK) == 0)
    return g_steal_pointer (&own);
  return g_build_filename (SYSTEM_DIR, commy_mesh_get_name (mesh), "store.sock", NULL);
}

static void
tell_absent (const char *path, const GError *error, CommyFinding *finding)
{
  const gboolean is_there = access (path, F_OK) == 0;

  commy_finding_fail (finding, "%s", error->message);
  if (!is_there)
    commy_finding_way_out (finding,
                           "systemctl enable --now commyd.socket, or commyd for yourself alone");
  else if (access (path, W_OK) < 0)
    commy_finding_way_out (finding,
                           "it is not for this user: SocketMode= of commyd.socket, or mode "
                           "of [daemon], says for whom it is");
  else
    commy_finding_way_out (finding, "who made the socket is gone: systemctl restart commyd.socket, "
                                    "or start commyd again");
}

static void
tell_report (GVariant *report, const GError *store_error, const char *path, CommyFinding *finding)
{
  const guint pid = (guint) commy_record_get_uint (report, "pid");
  const guint user = (guint) commy_record_get_uint (report, "user");
  const char *version = commy_record_get_string (report, "version");
  const char *store = commy_record_get_string (report, "store");

  if (store_error != NULL)
    {
      commy_finding_fail (finding, "process %u of user %u at %s cannot read its store %s: %s", pid,
                          user, path, store, store_error->message);
      commy_finding_way_out (finding, "room on the disk of its state folder, and its owner: "
                                      "state-dir of [daemon]; journalctl -u commyd says more");
    }
  else if (strcmp (version, COMMY_VERSION) != 0)
    {
      commy_finding_warn (finding, "process %u of user %u at %s is of version %s, this is %s", pid,
                          user, path, version, COMMY_VERSION);
      commy_finding_way_out (finding, "install the same version of both and restart it (systemctl "
                                      "restart commyd): calls go on meanwhile");
    }
  else
    commy_finding_ok (finding, "process %u of user %u at %s, version %s, store %s with %u keys",
                      pid, user, path, version, store,
                      (guint) commy_record_get_uint (report, "keys"));
}

static void
look (CommyDoctor *doctor, const char *path, CommyFinding *finding)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) store_error = NULL;
  g_autoptr (GVariant) report = NULL;
  int fd = store_door_connect (path, &error);

  if (fd < 0)
    {
      tell_absent (path, error, finding);
      return;
    }
  if (!store_door_check (fd, path, &error))
    {
      close (fd);
      commy_finding_fail (finding, "%s", error->message);
      commy_finding_way_out (finding,
                             "chmod go-w its folder, and chown it to the daemon's user or root");
      return;
    }
  report
      = store_door_ask (fd, commy_mesh_get_name (doctor->mesh), PATIENCE_US, &store_error, &error);
  if (report != NULL)
    {
      tell_report (report, store_error, path, finding);
      return;
    }
  commy_finding_fail (finding, "%s: %s", path, error->message);
  commy_finding_way_out (finding, "journalctl -u commyd says why, first of all whether its store "
                                  "opens; then systemctl restart commyd");
}

void
commy_doctor_check_daemon (CommyDoctor *doctor, CommyFinding *finding)
{
  g_autofree char *store = NULL;
  g_autofree char *path = NULL;

  if (!commy_doctor_has_mesh (doctor, finding) || !commy_doctor_has_files (finding))
    return;
  store = dup_setting (doctor->mesh, "mesh", "store");
  path = find_socket (doctor->mesh);
  if (strcmp (store, STORE_ID) == 0)
    look (doctor, path, finding);
  else if (access (path, F_OK) < 0)
    commy_finding_ok (finding, "not needed: the store is %s", store);
  else
    {
      look (doctor, path, finding);
      /* Nothing of this user hangs on it. */
      finding->state = MIN (finding->state, COMMY_FINDING_WARN);
    }
}
