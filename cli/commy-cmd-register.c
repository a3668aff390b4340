/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listing a register's entries, and revoking or forgetting one.
 */
#include "config.h"

#include "cli/commy-cmd-register.h"

#include "cli/commy-cmd-pki.h"
#include "cli/commy-output.h"

CommyExit
commy_cmd_register_list (const CommyCli *cli,
                         CommyRegister *reg,
                         const GError *error,
                         GVariant *(*to_variant) (gconstpointer entry),
                         void (*print_entries) (GPtrArray *entries))
{
  g_autoptr (GPtrArray) entries = NULL;
  GVariantBuilder builder;

  if (reg == NULL)
    return commy_cmd_pki_fail (error);
  entries = commy_register_list (reg);
  if (!cli->json)
    {
      print_entries (entries);
      return COMMY_EXIT_DONE;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < entries->len; i++)
    g_variant_builder_add_value (&builder, to_variant (entries->pdata[i]));
  commy_output_json (g_variant_builder_end (&builder));
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_register_change (CommyRegister *reg,
                           const GError *error,
                           const char *id,
                           gboolean (*change) (CommyRegister *reg, const char *id, GError **error))
{
  g_autoptr (GError) why = NULL;

  if (reg == NULL)
    return commy_cmd_pki_fail (error);
  if (commy_register_find (reg, id) == NULL)
    return COMMY_EXIT_NOT_FOUND;
  if (!change (reg, id, &why) || !commy_register_save (reg, &why))
    return commy_cmd_pki_fail (why);
  return COMMY_EXIT_DONE;
}
