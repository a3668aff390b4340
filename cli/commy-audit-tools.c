/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GnuTLS for the verification of an audit trail: a faster hash function, and a judge of seals. A
 * build without it leaves this file out.
 */
#include "config.h"

#include "cli/commy-cmd-audit.h"
#include "cli/commy-cmd-pki.h"

#include "auth/common/commy-pki-seal.h"

gboolean
commy_audit_seals_init (CommyAuditSeals *seals,
                        const CommyCli *cli,
                        const char *keys,
                        GError **error)
{
  g_autofree char *dir = commy_cmd_pki_dup_dir (cli, keys);
  g_autofree char *list = g_build_filename (dir, COMMY_PKI_SEAL_KEYS_FILE, NULL);

  seals->tools.struct_size = sizeof seals->tools;
  seals->tools.hash = commy_pki_seal_hash;
  if (keys == NULL && !g_file_test (list, G_FILE_TEST_EXISTS))
    {
      seals->why_not = g_strdup_printf ("there is no list of keys %s", list);
      return TRUE;
    }
  seals->judge = commy_pki_seal_judge_new (dir, error);
  if (seals->judge == NULL)
    return FALSE;
  seals->anchor = g_strdup (commy_pki_seal_judge_get_anchor (seals->judge));
  seals->tools.check_seal = commy_pki_seal_check;
  seals->tools.user_data = seals->judge;
  return TRUE;
}

void
commy_audit_seals_clear (CommyAuditSeals *seals)
{
  commy_pki_seal_judge_free (seals->judge);
  g_free (seals->anchor);
  g_free (seals->why_not);
}
