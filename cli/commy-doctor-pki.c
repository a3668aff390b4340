/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The certificates that the transports between hosts would use, read as they would read them.
 */
#include "config.h"

#include "auth/common/commy-pki.h"
#include "cli/commy-doctor.h"

#define SOON_S (14 * COMMY_PKI_SECONDS_PER_DAY)

static char *
format_day (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return time == NULL ? g_strdup ("?") : g_date_time_format (time, "%Y-%m-%d %H:%M UTC");
}

static void
judge (const CommyPkiCredentials *credentials, const CommyPkiInfo *info, CommyFinding *finding)
{
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autofree char *from = format_day (info->not_before_s);
  g_autofree char *until = format_day (info->not_after_s);

  if (now > info->not_after_s)
    commy_finding_fail (finding, "%s expired on %s", credentials->id, until);
  else if (now < info->not_before_s)
    commy_finding_fail (finding, "%s is not valid before %s: is the clock right?", credentials->id,
                        from);
  else if (now > info->not_after_s - SOON_S)
    commy_finding_warn (finding, "%s expires on %s", credentials->id, until);
  else
    commy_finding_ok (finding, "%s, valid until %s", credentials->id, until);
  commy_finding_way_out (finding, "a new one: commy pki issue, where the authority is");
}

void
commy_doctor_check_certificates (CommyDoctor *doctor, CommyFinding *finding)
{
  const char *dir = doctor->mesh != NULL ? commy_mesh_get_credentials_dir (doctor->mesh) : NULL;
  g_autofree char *cert = dir != NULL ? g_build_filename (dir, COMMY_PKI_CERT_FILE, NULL) : NULL;
  g_autofree char *key = dir != NULL ? g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL) : NULL;
  g_autoptr (CommyPkiCredentials) credentials = NULL;
  g_autoptr (CommyPkiInfo) info = NULL;
  g_autoptr (GError) error = NULL;

  if (dir == NULL)
    {
      commy_finding_fail (finding, "unknown while the settings are wrong");
      return;
    }
  if (!g_file_test (cert, G_FILE_TEST_EXISTS) && !g_file_test (key, G_FILE_TEST_EXISTS))
    {
      commy_finding_ok (finding, "none in %s: this host only (commy pki init)", dir);
      return;
    }
  credentials = commy_pki_credentials_load (dir, &error);
  info = credentials != NULL ? commy_pki_info_new (credentials->cert_pem, &error) : NULL;
  if (info != NULL)
    {
      judge (credentials, info, finding);
      return;
    }
  commy_finding_fail (finding, "%s", error->message);
  commy_finding_way_out (finding, "commy pki show; chmod 600 the key; commy pki issue");
}
