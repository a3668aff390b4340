/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is there: instances and nodes, as the store says, and questions to a node.
 */
#include "config.h"

#include "cli/commy-lookup.h"

#include "cli/commy-nearest.h"

#include <string.h>

#define RESERVED "org.commy."
#define SIDE_BY_SIDE 64u                    /* nodes that are asked at a time */
#define ASK_TIMEOUT_US (5 * G_USEC_PER_SEC) /* a node that is stuck must not hold up the others */

/* --- records --- */

const char *
commy_record_get_string (GVariant *record, const char *key)
{
  const char *text = "";

  /* The text lies in the record, which outlives this look at it. */
  g_variant_lookup (record, key, "&s", &text);
  return text;
}

double
commy_record_get_double (GVariant *record, const char *key)
{
  double value = 0;

  g_variant_lookup (record, key, "d", &value);
  return value;
}

guint64
commy_record_get_uint (GVariant *record, const char *key)
{
  guint64 value = 0;
  guint32 narrow = 0;
  gint32 number = 0;

  if (g_variant_lookup (record, key, "t", &value))
    return value;
  if (g_variant_lookup (record, key, "u", &narrow))
    return narrow;
  g_variant_lookup (record, key, "i", &number);
  return (guint64) MAX (number, 0);
}

gboolean
commy_record_get_boolean (GVariant *record, const char *key)
{
  gboolean value = FALSE;

  g_variant_lookup (record, key, "b", &value);
  return value;
}

char *
commy_record_dup_transports (GVariant *instance)
{
  g_autoptr (GVariant) endpoints
      = g_variant_lookup_value (instance, "endpoints", G_VARIANT_TYPE ("a(ss)"));
  GString *out = g_string_new (NULL);
  GVariantIter iter;
  const char *transport, *address;

  if (endpoints != NULL)
    {
      g_variant_iter_init (&iter, endpoints);
      while (g_variant_iter_next (&iter, "(&s&s)", &transport, &address))
        g_string_append_printf (out, "%s%s", out->len > 0 ? ", " : "", transport);
    }
  return g_string_free (out, FALSE);
}

char *
commy_lookup_dup_short (const char *id)
{
  return g_strndup (id, COMMY_LOOKUP_SHORT);
}

/* --- instances --- */

static gint
compare (gconstpointer a, gconstpointer b)
{
  GVariant *x = *(GVariant *const *) a, *y = *(GVariant *const *) b;
  gint order
      = strcmp (commy_record_get_string (x, "service"), commy_record_get_string (y, "service"));

  if (order != 0)
    return order;
  return strcmp (commy_record_get_string (x, "instance"), commy_record_get_string (y, "instance"));
}

GPtrArray *
commy_lookup_instances (CommyMesh *mesh, const char *pattern, gboolean all, GError **error)
{
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, pattern, NULL, error);
  GPtrArray *found;
  gsize n;

  if (list == NULL)
    return NULL;
  found = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  n = g_variant_n_children (list);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (list, i);
      const char *service = commy_record_get_string (instance, "service");
      const char *node = commy_record_get_string (instance, "node");

      if (strcmp (node, commy_mesh_get_node_id (mesh)) != 0
          && (all || !g_str_has_prefix (service, RESERVED)))
        g_ptr_array_add (found, g_steal_pointer (&instance));
    }
  g_ptr_array_sort (found, compare);
  return found;
}

void
commy_lookup_set_missing (CommyMesh *mesh, const char *service, GError **error)
{
  g_autoptr (GPtrArray) others = commy_lookup_instances (mesh, NULL, TRUE, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *hint = NULL;

  for (guint i = 0; others != NULL && i < others->len; i++)
    g_ptr_array_add (names, (gpointer) commy_record_get_string (others->pdata[i], "service"));
  g_ptr_array_add (names, NULL);
  hint = commy_nearest_dup_hint (service, (const char *const *) names->pdata);
  commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE, "nobody offers %s in the mesh \"%s\"%s",
                       service, commy_mesh_get_name (mesh), hint);
}

GPtrArray *
commy_lookup_service (CommyMesh *mesh, const char *service, GError **error)
{
  g_autoptr (GPtrArray) all = commy_lookup_instances (mesh, service, TRUE, error);

  if (all == NULL)
    return NULL;
  /* The name was taken for a pattern. */
  for (guint i = all->len; i-- > 0;)
    if (strcmp (commy_record_get_string (all->pdata[i], "service"), service) != 0)
      g_ptr_array_remove_index (all, i);
  if (all->len > 0)
    return g_steal_pointer (&all);
  commy_lookup_set_missing (mesh, service, error);
  return NULL;
}

/* --- nodes --- */

static gboolean
fits (GVariant *instance, const char *of)
{
  return g_str_has_prefix (commy_record_get_string (instance, "node"), of)
         || g_str_has_prefix (commy_record_get_string (instance, "instance"), of)
         || strcmp (commy_record_get_string (instance, "service"), of) == 0;
}

static GHashTable *
find_ids (GPtrArray *instances, const char *of)
{
  GHashTable *ids = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < instances->len; i++)
    if (of == NULL || fits (instances->pdata[i], of))
      g_hash_table_add (ids, (gpointer) commy_record_get_string (instances->pdata[i], "node"));
  return ids;
}

static gboolean
check_found (guint n, const char *of, GError **error)
{
  if (n == 0 && of == NULL)
    commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE,
                         "no other node is in this mesh (as this user; see --mesh)");
  else if (n == 0)
    commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE,
                         "no node fits \"%s\": say the beginning of a node's or an instance's id, "
                         "or a service's name (commy services ls --all)",
                         of);
  else if (n > 1 && of != NULL)
    commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                         "%u nodes fit \"%s\": say more digits (commy services ls --all)", n, of);
  else
    return TRUE;
  return FALSE;
}

static GPtrArray *
find_nodes (CommyMesh *mesh, const char *of, gboolean many, GError **error)
{
  g_autoptr (GPtrArray) instances = commy_lookup_instances (mesh, NULL, TRUE, error);
  g_autoptr (GPtrArray) nodes = NULL;
  g_autoptr (GHashTable) ids = NULL;

  if (instances == NULL)
    return NULL;
  ids = find_ids (instances, of);
  nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  for (guint i = 0; i < instances->len; i++)
    {
      GVariant *instance = instances->pdata[i];

      if (strcmp (commy_record_get_string (instance, "service"), COMMY_NODE_SERVICE) == 0
          && g_hash_table_contains (ids, commy_record_get_string (instance, "node")))
        g_ptr_array_add (nodes, g_variant_ref (instance));
    }
  if (!check_found (many ? MIN (nodes->len, 1) : nodes->len, of, error))
    return NULL;
  return g_steal_pointer (&nodes);
}

GPtrArray *
commy_lookup_nodes (CommyMesh *mesh, const char *of, GError **error)
{
  return find_nodes (mesh, of, FALSE, error);
}

GPtrArray *
commy_lookup_all_nodes (CommyMesh *mesh, const char *of, GError **error)
{
  return find_nodes (mesh, of, TRUE, error);
}

/* @value: (transfer full) (nullable): NULL with @error: not of the type */
static GVariant *
check_type (GVariant *value, const char *method, const char *type, GError **error)
{
  g_autoptr (GVariant) owned = value;

  if (value == NULL || g_variant_is_of_type (value, G_VARIANT_TYPE (type)))
    return g_steal_pointer (&owned);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "%s of a node answered %s, not %s", method,
                       g_variant_get_type_string (value), type);
  return NULL;
}

/* @result: (transfer full) (nullable): of a call */
static GVariant *
take_single (GVariant *result, const char *method, GError **error)
{
  g_autoptr (GVariant) owned = result;

  if (result == NULL)
    return NULL;
  if (g_variant_n_children (result) == 1)
    return g_variant_get_child_value (result, 0);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "%s of a node answered %s, not one value", method,
                       g_variant_get_type_string (result));
  return NULL;
}

GVariant *
commy_lookup_ask_for (CommyMesh *mesh,
                      GVariant *node,
                      const char *method,
                      GVariant *parameters,
                      const char *type,
                      GError **error)
{
  return check_type (commy_lookup_ask (mesh, node, method, parameters, error), method, type, error);
}

static CommyClient *
make_client (CommyMesh *mesh, GVariant *node)
{
  CommyClient *client = commy_client_new (mesh, COMMY_NODE_SERVICE);

  commy_client_set_instance (client, commy_record_get_string (node, "instance"));
  return client;
}

static CommyCallOptions *
make_options (gint64 timeout_us)
{
  CommyCallOptions *options = commy_call_options_new ();

  commy_call_options_set_idempotent (options, TRUE);
  commy_call_options_set_timeout (options, timeout_us);
  return options;
}

GVariant *
commy_lookup_ask (
    CommyMesh *mesh, GVariant *node, const char *method, GVariant *parameters, GError **error)
{
  g_autoptr (CommyClient) client = make_client (mesh, node);
  g_autoptr (CommyCallOptions) options = make_options (ASK_TIMEOUT_US);

  return take_single (commy_client_call_sync (client, method, parameters, options, NULL, error),
                      method, error);
}

/* --- many nodes --- */

typedef struct
{
  CommyMesh *mesh;
  GPtrArray *nodes;
  const char *method;
  const char *type;
  CommyCallOptions *options;
  GPtrArray *answers;
  guint n_begun;
  guint n_ended;
} Round;

typedef struct
{
  Round *round;
  CommyClient *client;
  guint index;
} Question;

static void ask_next (Round *round);

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Question *question = data;
  Round *round = question->round;
  GVariant *value = take_single (commy_client_call_finish (question->client, result, NULL),
                                 round->method, NULL);

  round->answers->pdata[question->index] = check_type (value, round->method, round->type, NULL);
  round->n_ended++;
  g_object_unref (question->client);
  ask_next (round);
}

static void
ask_next (Round *round)
{
  Question *question;

  if (round->n_begun == round->nodes->len)
    return;
  question = g_new (Question, 1);
  question->round = round;
  question->index = round->n_begun++;
  question->client = make_client (round->mesh, round->nodes->pdata[question->index]);
  commy_client_call (question->client, round->method, NULL, round->options, NULL, on_answer,
                     question);
}

static void
clear_answer (gpointer value)
{
  if (value != NULL)
    g_variant_unref (value);
}

GPtrArray *
commy_lookup_ask_all (CommyMesh *mesh,
                      GMainContext *context,
                      GPtrArray *nodes,
                      const char *method,
                      const char *type,
                      gint64 timeout_us)
{
  g_autoptr (CommyCallOptions) options = make_options (timeout_us);
  GPtrArray *answers = g_ptr_array_new_with_free_func (clear_answer);
  Round round = { .mesh = mesh,
                  .nodes = nodes,
                  .method = method,
                  .type = type,
                  .options = options,
                  .answers = answers };

  g_ptr_array_set_size (answers, (gint) nodes->len);
  g_main_context_push_thread_default (context);
  for (guint i = 0; i < SIDE_BY_SIDE; i++)
    ask_next (&round);
  while (round.n_ended < nodes->len)
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  return answers;
}
