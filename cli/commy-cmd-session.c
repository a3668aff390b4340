/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy session ls | revoke`: who need not show a second factor for now. What sessions are is in
 * auth/common.
 */
#include "config.h"

#include "auth/common/commy-session-record.h"
#include "cli/commy-act.h"
#include "cli/commy-cmd-pki.h"
#include "cli/commy-output.h"

#include <commy/commy-mesh-store.h>
#include <string.h>

typedef struct
{
  char *dir;
  char *principal;
  const char *factor; /* only those that stand for that second factor; NULL: for any */
  CommyMesh *mesh;    /* whose store may have some, too; NULL: it is not asked */
} Options;

static void
options_clear (Options *options)
{
  g_clear_object (&options->mesh);
  g_free (options->dir);
  g_free (options->principal);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static const CommyCliVerb verb = {
  .name = "session",
  .usage = "ls|revoke [ID] - sessions of those who have shown a second factor",
  .summary = "  ls      whose they are, and until when they count if nobody uses them\n"
             "  revoke  end one, or with --principal all of one principal, for connections from\n"
             "          now on; a code is asked for again",
  .description
  = "The nodes of this mesh and user on this host grant sessions, once session-life of\n"
    "[plugin auth/totp] is set: who has shown a one-time code need not show another one.\n\n"
    "Example:\n"
    "  commy session ls\n"
    "  commy session revoke --principal unix:uid=1000\n\n"
    "Without --dir the directory is that of the mesh: $COMMY_STATE_DIR/MESH, else\n"
    "/var/lib/commy/MESH for root and ~/.local/state/commy/MESH for others; and sessions\n"
    "in the mesh's store, which session-key has all instances honour, are among them. Who\n"
    "revokes one of these closes the connections that rest on it, too.",
  .has_format = TRUE,
};

/* A session, wherever it is. */
typedef struct
{
  char *id;
  char *principal;
  const char *state;
  const char *where;
  gint64 created_s, expires_s;
} Shown;

static void
shown_free (gpointer data)
{
  Shown *self = data;

  g_free (self->id);
  g_free (self->principal);
  g_free (self);
}

static const char *
state_of (const CommyApiKeyEntry *entry)
{
  if (entry->is_revoked)
    return "revoked";
  return commy_api_key_entry_why_not (entry, entry->principal, commy_cmd_pki_now ()) != NULL
             ? "ended"
             : "good";
}

static void
add (const Options *options, GPtrArray *all, const Shown *one)
{
  Shown *copy;

  if (options->principal != NULL && g_strcmp0 (one->principal, options->principal) != 0)
    return;
  copy = g_memdup2 (one, sizeof *one);
  copy->id = g_strdup (one->id);
  copy->principal = g_strdup (one->principal);
  g_ptr_array_add (all, copy);
}

/* --- in the store --- */

static void
add_record (const Options *options, GPtrArray *all, GVariant *entry)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
  g_autoptr (CommySessionRecord) record = NULL;
  const char *key = NULL;
  gsize size = 0;
  gconstpointer bytes = value != NULL ? g_variant_get_fixed_array (value, &size, 1) : NULL;

  if (!g_variant_lookup (entry, "key", "^&ay", &key))
    return;
  record = commy_session_record_read (key, bytes, size, NULL, NULL);
  if (record == NULL
      || (options->factor != NULL && g_strcmp0 (record->factor, options->factor) != 0))
    return;
  add (options, all,
       &(Shown){ .id = record->id,
                 .principal = record->principal,
                 .state = commy_cmd_pki_now () < record->expires_s ? "good" : "ended",
                 .where = "store",
                 .created_s = record->created_s,
                 .expires_s = record->expires_s });
}

static gboolean
add_from_store (const Options *options, GPtrArray *all, GError **error)
{
  g_autoptr (GVariant) found = NULL;
  g_autoptr (GVariant) entries = NULL;

  if (options->mesh == NULL)
    return TRUE;
  found = commy_mesh_store_list_sync (options->mesh, COMMY_SESSIONS_PREFIX, NULL, error);
  if (found == NULL)
    return FALSE;
  entries = g_variant_get_child_value (found, 1);
  for (gsize i = 0; i < g_variant_n_children (entries); i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (entries, i);

      add_record (options, all, entry);
    }
  return TRUE;
}

/* FALSE with the first error, after which it goes on; *@n: how many more were revoked. */
static gboolean
revoke_in_store (const Options *options, const char *id, guint *n, GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (shown_free);
  GError *first = NULL;

  if (!add_from_store (options, all, error))
    return FALSE;
  for (guint i = 0; i < all->len; i++)
    {
      const Shown *one = all->pdata[i];
      g_autofree char *key = commy_session_record_dup_key (one->id);

      if (id != NULL && strcmp (one->id, id) != 0)
        continue;
      if (commy_mesh_store_delete_sync (options->mesh, key, COMMY_STORE_ANY_REVISION,
                                        COMMY_STORE_WRITE_RESERVED, NULL,
                                        first == NULL ? &first : NULL)
          > 0)
        ++*n;
    }
  if (first == NULL)
    return TRUE;
  g_propagate_error (error, first);
  return FALSE;
}

CommyExit
commy_cmd_session_end_factor (CommyCli *cli, const char *factor)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_cli_join_anyway (cli, &error);
  const Options options = { .factor = factor, .mesh = mesh };
  guint n = 0;

  if (mesh != NULL && revoke_in_store (&options, NULL, &n, &error))
    return COMMY_EXIT_DONE;
  commy_cli_note ("sessions that stand for %s may go on in the mesh's store; see commy session ls",
                  factor);
  return commy_cli_fail (error);
}

/* --- ls --- */

static GVariant *
shown_to_variant (const Shown *one)
{
  g_autofree char *created = commy_cmd_pki_format_time (one->created_s);
  g_autofree char *expires = commy_cmd_pki_format_time (one->expires_s);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", one->id);
  g_variant_dict_insert (&dict, "principal", "s", one->principal);
  g_variant_dict_insert (&dict, "state", "s", one->state);
  g_variant_dict_insert (&dict, "where", "s", one->where);
  g_variant_dict_insert (&dict, "created", "s", created);
  g_variant_dict_insert (&dict, "expires", "s", expires);
  return g_variant_dict_end (&dict);
}

static void
print_all (GPtrArray *all)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("ID", "PRINCIPAL", "STATE", "WHERE", "CREATED", "EXPIRES", NULL);

  for (guint i = 0; i < all->len; i++)
    {
      const Shown *one = all->pdata[i];

      commy_table_add (table, one->id);
      commy_table_add (table, one->principal);
      commy_table_add_toned (table, one->state,
                             strcmp (one->state, "good") == 0 ? COMMY_TONE_GOOD : COMMY_TONE_FAINT);
      commy_table_add (table, one->where);
      commy_table_take (table, commy_cmd_pki_format_time (one->created_s));
      commy_table_take (table, commy_cmd_pki_format_time (one->expires_s));
    }
  commy_table_print (table);
}

static gboolean
add_from_file (const Options *options, GPtrArray *all, GError **error)
{
  g_autoptr (CommyApiKeyRegister) reg
      = commy_api_key_register_load_file (options->dir, COMMY_SESSIONS_FILE, error);
  g_autoptr (GPtrArray) entries = NULL;

  if (reg == NULL)
    return FALSE;
  entries = commy_api_key_register_list (reg);
  for (guint i = 0; i < entries->len; i++)
    {
      const CommyApiKeyEntry *entry = entries->pdata[i];

      add (options, all,
           &(Shown){ .id = entry->id,
                     .principal = entry->principal,
                     .state = state_of (entry),
                     .where = "host",
                     .created_s = entry->created_s,
                     .expires_s = entry->expires_s });
    }
  return TRUE;
}

static CommyExit
run_ls (const CommyCli *cli, const Options *options)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (shown_free);
  g_autoptr (GError) error = NULL;
  GVariantBuilder builder;

  if (!add_from_file (options, all, &error))
    return commy_cmd_pki_fail (error);
  if (!add_from_store (options, all, &error))
    return commy_cli_fail (error);
  if (!cli->json)
    {
      print_all (all);
      return COMMY_EXIT_DONE;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < all->len; i++)
    g_variant_builder_add_value (&builder, shown_to_variant (all->pdata[i]));
  commy_output_json (g_variant_builder_end (&builder));
  return COMMY_EXIT_DONE;
}

/* --- revoke --- */

/* @id: NULL: all that are asked for. */
static gboolean
revoke_in_file (const Options *options, const char *id, guint *n, GError **error)
{
  g_autoptr (CommyApiKeyRegister) reg
      = commy_api_key_register_open_file (options->dir, COMMY_SESSIONS_FILE, error);
  g_autoptr (GPtrArray) entries = NULL;

  if (reg == NULL)
    return FALSE;
  entries = commy_api_key_register_list (reg);
  for (guint i = 0; i < entries->len; i++)
    {
      const CommyApiKeyEntry *entry = entries->pdata[i];

      if ((options->principal != NULL && g_strcmp0 (entry->principal, options->principal) != 0)
          || (id != NULL && strcmp (entry->id, id) != 0))
        continue;
      commy_api_key_register_revoke (reg, entry->id, NULL);
      ++*n;
    }
  return *n == 0 || commy_api_key_register_save (reg, error);
}

/* @away: why the store cannot be asked; or NULL. What can be revoked is, and what cannot is told.
 */
static CommyExit
revoke_both (const Options *options, const char *id, const GError *away)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) of_store = NULL;
  CommyExit code = COMMY_EXIT_DONE;
  guint n = 0;

  if (!revoke_in_file (options, id, &n, &error))
    code = commy_cmd_pki_fail (error);
  if (away != NULL || !revoke_in_store (options, id, &n, &of_store))
    code = commy_cli_fail (away != NULL ? away : of_store);
  if (n > 0 || code != COMMY_EXIT_DONE)
    return code;
  commy_cli_note ("there is no such session in %s%s; see commy session ls", options->dir,
                  options->mesh != NULL ? " or the store" : "");
  return COMMY_EXIT_NOT_FOUND;
}

static CommyExit
run_revoke (const CommyCli *cli, const Options *options, const char *id, const GError *away)
{
  CommyAct act;

  if (!commy_act_begin (&act, cli, options->mesh, "session revoke",
                        id != NULL ? id : options->principal))
    return act.status;
  return commy_act_end (&act, revoke_both (options, id, away));
}

CommyExit
commy_cmd_session (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, "The node's state directory", "DIR" },
    { "principal", 0, 0, G_OPTION_ARG_STRING, &options.principal, "Only those of one principal",
      "PRINCIPAL" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;
  gboolean lists = n == 2 && strcmp (arguments[1], "ls") == 0;
  gboolean revokes
      = (n == 3 || (n == 2 && options.principal != NULL)) && strcmp (arguments[1], "revoke") == 0;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (options.dir == NULL && (lists || revokes))
    {
      options.mesh = commy_cli_join_anyway (cli, &error);
      if (options.mesh == NULL && lists)
        return commy_cli_fail (error);
    }
  if (options.dir == NULL)
    options.dir = commy_cmd_pki_dup_state_dir (cli);
  if (lists)
    return run_ls (cli, &options);
  if (revokes)
    return run_revoke (cli, &options, arguments[2], error);
  return commy_cli_misuse (&verb, "say one of ls, revoke ID, revoke --principal PRINCIPAL");
}
