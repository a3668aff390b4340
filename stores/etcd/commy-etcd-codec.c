/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading answers and writing requests of etcd's JSON: bytes are base64, 64-bit numbers are
 * strings, and what is zero, false or empty is left out. See the header.
 */
#include "config.h"

#include "commy-etcd-codec.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* The deepest true answer has six levels; the parser recurses on what it is given. */
#define SOME 16u
/* The answer to a transaction has three short objects for each of its operations. */
#define SOME_OF_TXN 4096u
#define MAX_DEPTH 16
#define MAX_MESSAGE 300
#define MAX_TOKEN 4096

typedef struct
{
  CommyEtcdAnswerKind kind;
  const char *prefix;
  CommyEtcdAnswer *out;
} Reader;

/* --- answers --- */

static void
entry_clear (gpointer data)
{
  CommyStoreEntry *entry = data;

  g_free ((char *) entry->key);
  g_clear_pointer (&entry->value, g_bytes_unref);
}

void
commy_etcd_answer_clear (CommyEtcdAnswer *answer)
{
  g_clear_pointer (&answer->entries, g_array_unref);
  g_clear_pointer (&answer->token, g_free);
  g_clear_pointer (&answer->message, g_free);
}

char *
commy_etcd_one_line (const char *text, gssize size)
{
  gsize length = size < 0 ? strlen (text) : (gsize) size;
  g_autofree char *valid = g_utf8_make_valid (text, (gssize) MIN (length, MAX_MESSAGE));

  for (char *at = valid; *at != '\0'; at++)
    if (g_ascii_iscntrl (*at))
      *at = ' ';
  return g_steal_pointer (&valid);
}

static gboolean
refuse (GError **error, const char *name, const char *why)
{
  g_set_error (error, COMMY_ETCD_ERROR, COMMY_ERROR_PROTOCOL, "etcd's answer is malformed: %s %s",
               name, why);
  return FALSE;
}

static gboolean
read_bool (JsonObject *object, const char *name, gboolean *out, GError **error)
{
  JsonNode *node = json_object_get_member (object, name);

  *out = FALSE;
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return refuse (error, name, "is not true or false");
  *out = json_node_get_boolean (node);
  return TRUE;
}

static gboolean
read_number (JsonObject *object, const char *name, gint64 minimum, gint64 *out, GError **error)
{
  JsonNode *node = json_object_get_member (object, name);

  *out = 0;
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_VALUE (node))
    return refuse (error, name, "is no number");
  if (json_node_get_value_type (node) == G_TYPE_INT64)
    *out = json_node_get_int (node);
  else if (json_node_get_value_type (node) != G_TYPE_STRING
           || !g_ascii_string_to_signed (json_node_get_string (node), 10, G_MININT64, G_MAXINT64,
                                         out, NULL))
    return refuse (error, name, "is no number");
  return *out >= minimum ? TRUE : refuse (error, name, "is too small");
}

static gboolean
read_text (JsonObject *object, const char *name, const char **out, GError **error)
{
  JsonNode *node = json_object_get_member (object, name);

  *out = NULL;
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return refuse (error, name, "is no string");
  *out = json_node_get_string (node);
  return TRUE;
}

static gboolean
read_object (JsonObject *object, const char *name, JsonObject **out, GError **error)
{
  JsonNode *node = json_object_get_member (object, name);

  *out = NULL;
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return refuse (error, name, "is no object");
  *out = json_node_get_object (node);
  return TRUE;
}

static gboolean
is_base64 (const char *text, gsize length)
{
  gsize body = length;

  if (length % 4 != 0)
    return FALSE;
  while (body > 0 && length - body < 2 && text[body - 1] == '=')
    body--;
  for (gsize i = 0; i < body; i++)
    if (!g_ascii_isalnum (text[i]) && text[i] != '+' && text[i] != '/')
      return FALSE;
  return TRUE;
}

/* GLib's decoder passes over what is no base64, so that is looked for first. */
static gboolean
read_bytes (JsonObject *object, const char *name, GBytes **out, GError **error)
{
  const char *text;
  guchar *data;
  gsize size = 0;

  if (!read_text (object, name, &text, error))
    return FALSE;
  if (text == NULL)
    text = "";
  if (!is_base64 (text, strlen (text)))
    return refuse (error, name, "is not base64");
  data = g_base64_decode (text, &size);
  *out = g_bytes_new_take (data, size);
  return TRUE;
}

/* The key without the prefix; NULL without error for one that nobody can have meant for us. */
static gboolean
read_key (Reader *self, JsonObject *object, char **out, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  gsize length = strlen (self->prefix);
  const char *data;
  gsize size;

  *out = NULL;
  if (!read_bytes (object, "key", &bytes, error))
    return FALSE;
  data = g_bytes_get_data (bytes, &size);
  if (size < length || memcmp (data, self->prefix, length) != 0)
    return refuse (error, "key", "was not asked for");
  if (size == length || memchr (data, '\0', size) != NULL)
    self->out->n_foreign++;
  else
    *out = g_strndup (data + length, size - length);
  return TRUE;
}

static gboolean
read_entry (Reader *self, JsonObject *object, gboolean is_deletion, GError **error)
{
  CommyStoreEntry entry = { 0 };
  g_autofree char *key = NULL;
  g_autoptr (GBytes) value = NULL;

  if (!read_key (self, object, &key, error)
      || !read_number (object, "create_revision", 0, &entry.create_revision, error)
      || !read_number (object, "mod_revision", 0, &entry.mod_revision, error)
      || !read_number (object, "lease", G_MININT64, &entry.lease, error)
      || !read_bytes (object, "value", &value, error))
    return FALSE;
  if (entry.mod_revision == 0 || entry.create_revision > entry.mod_revision
      || (!is_deletion && entry.create_revision == 0))
    return refuse (error, "mod_revision", "does not fit the key");
  if (key == NULL)
    return TRUE;
  entry.key = g_steal_pointer (&key);
  if (!is_deletion)
    entry.value = g_steal_pointer (&value);
  g_array_append_val (self->out->entries, entry);
  return TRUE;
}

static gboolean
read_event (Reader *self, JsonObject *event, GError **error)
{
  JsonObject *entry;
  const char *type;

  if (!read_object (event, "kv", &entry, error) || !read_text (event, "type", &type, error))
    return FALSE;
  if (entry == NULL)
    return refuse (error, "kv", "is missing");
  if (type != NULL && strcmp (type, "PUT") != 0 && strcmp (type, "DELETE") != 0)
    return refuse (error, "type", "is neither PUT nor DELETE");
  return read_entry (self, entry, g_strcmp0 (type, "DELETE") == 0, error);
}

static gboolean
read_list (Reader *self, JsonObject *object, const char *name, GError **error)
{
  JsonNode *node = json_object_get_member (object, name);
  JsonArray *list;
  gboolean ok = TRUE;

  self->out->entries = g_array_new (FALSE, FALSE, sizeof (CommyStoreEntry));
  g_array_set_clear_func (self->out->entries, entry_clear);
  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_ARRAY (node))
    return refuse (error, name, "is no list");
  list = json_node_get_array (node);
  for (guint i = 0; ok && i < json_array_get_length (list); i++)
    {
      JsonNode *item = json_array_get_element (list, i);

      if (!JSON_NODE_HOLDS_OBJECT (item))
        return refuse (error, name, "has a member that is no object");
      ok = self->kind == COMMY_ETCD_WATCH
               ? read_event (self, json_node_get_object (item), error)
               : read_entry (self, json_node_get_object (item), FALSE, error);
    }
  return ok;
}

static gboolean
read_header (Reader *self, JsonObject *object, GError **error)
{
  JsonObject *header;

  if (!read_object (object, "header", &header, error))
    return FALSE;
  if (header == NULL)
    return refuse (error, "header", "is missing");
  return read_number (header, "revision", 0, &self->out->revision, error);
}

static gboolean
read_lease (Reader *self, JsonObject *object, GError **error)
{
  return read_number (object, "ID", G_MININT64, &self->out->lease, error)
         && read_number (object, "TTL", G_MININT64, &self->out->ttl, error);
}

static gboolean
read_token (Reader *self, JsonObject *object, GError **error)
{
  const char *token;

  if (!read_text (object, "token", &token, error))
    return FALSE;
  if (token == NULL || token[0] == '\0' || strlen (token) > MAX_TOKEN)
    return refuse (error, "token", "is missing or too long");
  for (const char *at = token; *at != '\0'; at++)
    if (!g_ascii_isgraph (*at))
      return refuse (error, "token", "has what no header may have");
  self->out->token = g_strdup (token);
  return TRUE;
}

static gboolean
read_message (Reader *self, JsonObject *object, const char *name, GError **error)
{
  const char *text;

  if (!read_text (object, name, &text, error))
    return FALSE;
  if (text != NULL && self->out->message == NULL)
    self->out->message = commy_etcd_one_line (text, -1);
  return TRUE;
}

static gboolean
read_failure (Reader *self, JsonObject *object, const char *code, GError **error)
{
  gint64 number;

  if (!read_number (object, code, 0, &number, error)
      || !read_message (self, object, "message", error))
    return FALSE;
  if (number == 0 || number > G_MAXINT)
    return refuse (error, code, "is no error's number");
  self->out->code = (int) number;
  if (self->out->message == NULL)
    self->out->message = g_strdup ("no reason given");
  return TRUE;
}

static gboolean
read_watch (Reader *self, JsonObject *object, GError **error)
{
  CommyEtcdAnswer *out = self->out;

  return read_number (object, "watch_id", -1, &out->watch, error)
         && read_bool (object, "created", &out->created, error)
         && read_bool (object, "canceled", &out->cancelled, error)
         && read_bool (object, "fragment", &out->fragment, error)
         && read_number (object, "compact_revision", 0, &out->compacted, error)
         && read_message (self, object, "cancel_reason", error)
         && read_list (self, object, "events", error);
}

static gboolean
read_body (Reader *self, JsonObject *object, GError **error)
{
  CommyEtcdAnswer *out = self->out;

  switch (self->kind)
    {
    case COMMY_ETCD_RANGE:
      return read_header (self, object, error) && read_bool (object, "more", &out->more, error)
             && read_list (self, object, "kvs", error);
    case COMMY_ETCD_TXN:
      return read_header (self, object, error)
             && read_bool (object, "succeeded", &out->succeeded, error);
    case COMMY_ETCD_LEASE:
    case COMMY_ETCD_KEEPALIVE:
      return read_header (self, object, error) && read_lease (self, object, error);
    case COMMY_ETCD_TOKEN:
      return read_token (self, object, error);
    case COMMY_ETCD_WATCH:
      return read_header (self, object, error) && read_watch (self, object, error);
    case COMMY_ETCD_FAILURE:
      return read_failure (self, object, "code", error);
    case COMMY_ETCD_N_ANSWERS:
      break;
    }
  return refuse (error, "it", "was not asked for");
}

/* A line of a stream wraps the answer, or says why the stream ends. */
static gboolean
read_line (Reader *self, JsonObject *object, GError **error)
{
  JsonObject *result;
  JsonObject *failure;

  if (!read_object (object, "result", &result, error)
      || !read_object (object, "error", &failure, error))
    return FALSE;
  if (failure != NULL)
    return read_failure (self, failure, "grpc_code", error);
  return result != NULL ? read_body (self, result, error) : refuse (error, "result", "is missing");
}

/* The parser recurses, so how deep is known before it begins; and it would take comments and other
 * quotes, in which that cannot be counted. */
static gboolean
is_plain (const char *data, gsize size, gsize some)
{
  gboolean in_string = FALSE;
  guint depth = 0;
  gsize n_open = 0, n_commas = 0;

  for (gsize i = 0; i < size; i++)
    {
      char c = data[i];

      if (c == '"')
        in_string = !in_string;
      else if (in_string)
        i += c == '\\';
      else if ((c == '{' || c == '[') && (++depth > MAX_DEPTH || ++n_open > some + size / 32))
        return FALSE; /* a true entry is longer: no memory for a multitude of empty ones */
      else if (c == ',' && ++n_commas > some + size / 8)
        return FALSE;
      else if (c == '}' || c == ']')
        depth -= depth > 0;
      else if (!g_ascii_isalnum (c) && (c == '\0' || strchr ("{[:,+-. \t\r\n", c) == NULL))
        return FALSE;
    }
  return !in_string;
}

gboolean
commy_etcd_read (CommyEtcdAnswerKind kind,
                 const char *prefix,
                 const char *data,
                 gsize size,
                 CommyEtcdAnswer *out,
                 GError **error)
{
  g_autoptr (JsonParser) parser = NULL;
  Reader self = { kind, prefix, out };
  JsonObject *object;
  JsonNode *root;

  if (size == 0 || !is_plain (data, size, kind == COMMY_ETCD_TXN ? SOME_OF_TXN : SOME))
    return refuse (error, "it", "is not the JSON that etcd writes");
  if (size > G_MAXSSIZE || !g_utf8_validate (data, (gssize) size, NULL))
    return refuse (error, "it", "is not text");
  parser = json_parser_new_immutable ();
  if (!json_parser_load_from_data (parser, data, (gssize) size, NULL))
    return refuse (error, "it", "is no JSON");
  root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    return refuse (error, "it", "is no object");
  object = json_node_get_object (root);
  if (kind == COMMY_ETCD_WATCH || kind == COMMY_ETCD_KEEPALIVE)
    return read_line (&self, object, error);
  return read_body (&self, object, error);
}

/* --- requests --- */

static void
append_bytes (GString *request, const char *name, gconstpointer data, gsize size)
{
  g_autofree char *text = g_base64_encode (data, size);

  g_string_append_printf (request, "\"%s\":\"%s\"", name, text);
}

static void
append_key (GString *request, const char *name, const char *prefix, const char *key)
{
  g_autofree char *whole = g_strconcat (prefix, key, NULL);

  append_bytes (request, name, whole, strlen (whole));
}

/* All keys that begin with it end before it with its last byte one higher. */
static void
append_end (GString *request, const char *prefix, const char *below)
{
  g_autofree char *end = g_strconcat (prefix, below, NULL);
  gsize length = strlen (end);

  while (length > 0 && (guchar) end[length - 1] == 0xff)
    length--;
  if (length > 0)
    end[length - 1]++;
  /* Nothing is beyond a prefix of highest bytes: a single NUL says "to the end". */
  append_bytes (request, "range_end", length > 0 ? end : "", length > 0 ? length : 1);
}

char *
commy_etcd_write_range (
    const char *prefix, const char *below, const char *after, gint64 revision, guint limit)
{
  GString *request = g_string_new ("{");

  if (after != NULL)
    {
      g_autofree char *whole = g_strconcat (prefix, after, NULL);

      /* The next key there can be: the same with a NUL behind it. */
      append_bytes (request, "key", whole, strlen (whole) + 1);
    }
  else
    append_key (request, "key", prefix, below);
  g_string_append_c (request, ',');
  append_end (request, prefix, below);
  g_string_append_printf (request, ",\"revision\":\"%" G_GINT64_FORMAT "\",\"limit\":\"%u\"}",
                          revision, limit);
  return g_string_free (request, FALSE);
}

char *
commy_etcd_write_probe (const char *prefix)
{
  GString *request = g_string_new ("{");

  append_key (request, "key", prefix, "");
  g_string_append (request, ",\"count_only\":true}");
  return g_string_free (request, FALSE);
}

static void
append_op (GString *request, const char *prefix, const CommyStoreOp *op)
{
  if (op->kind == COMMY_STORE_PUT)
    {
      g_string_append (request, "{\"request_put\":{");
      append_key (request, "key", prefix, op->key);
      g_string_append_c (request, ',');
      append_bytes (request, "value", g_bytes_get_data (op->value, NULL),
                    g_bytes_get_size (op->value));
      g_string_append_printf (request, ",\"lease\":\"%" G_GINT64_FORMAT "\"}}", op->lease);
      return;
    }
  g_string_append (request, "{\"request_delete_range\":{");
  append_key (request, "key", prefix, op->key);
  if (op->kind == COMMY_STORE_DELETE_PREFIX)
    {
      g_string_append_c (request, ',');
      append_end (request, prefix, op->key);
    }
  g_string_append (request, "}}");
}

static void
append_ops (GString *request, const char *prefix, const CommyStoreOp *ops, gsize n_ops)
{
  for (gsize i = 0; i < n_ops; i++)
    {
      if (i > 0)
        g_string_append_c (request, ',');
      append_op (request, prefix, &ops[i]);
    }
}

char *
commy_etcd_write_ops (const char *prefix, const CommyStoreOp *ops, gsize n_ops)
{
  GString *text = g_string_new (NULL);

  append_ops (text, prefix, ops, n_ops);
  return g_string_free (text, FALSE);
}

char *
commy_etcd_write_txn (const char *prefix,
                      const CommyStoreCompare *compares,
                      gsize n_compares,
                      const CommyStoreOp *ops,
                      gsize n_ops)
{
  GString *request = g_string_new ("{\"compare\":[");

  for (gsize i = 0; i < n_compares; i++)
    {
      g_string_append (request, i > 0 ? ",{" : "{");
      append_key (request, "key", prefix, compares[i].key);
      g_string_append_printf (
          request,
          ",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"%" G_GINT64_FORMAT "\"}",
          compares[i].mod_revision);
    }
  g_string_append (request, "],\"success\":[");
  append_ops (request, prefix, ops, n_ops);
  g_string_append (request, "]}");
  return g_string_free (request, FALSE);
}

char *
commy_etcd_write_grant (gint64 lease, gint64 ttl)
{
  return g_strdup_printf ("{\"ID\":\"%" G_GINT64_FORMAT "\",\"TTL\":\"%" G_GINT64_FORMAT "\"}",
                          lease, ttl);
}

char *
commy_etcd_write_lease (gint64 lease)
{
  return g_strdup_printf ("{\"ID\":\"%" G_GINT64_FORMAT "\"}", lease);
}

static void
append_text (GString *text, const char *name, const char *value)
{
  g_string_append_printf (text, "\"%s\":\"", name);
  for (const char *at = value; *at != '\0'; at++)
    if (*at == '"' || *at == '\\')
      {
        g_string_append_c (text, '\\');
        g_string_append_c (text, *at);
      }
    else if ((guint8) *at < 0x20)
      {
        g_string_append (text, "\\u00");
        g_string_append_c (text, "01"[*at >> 4]);
        g_string_append_c (text, "0123456789abcdef"[*at & 15]);
      }
    else
      g_string_append_c (text, *at);
  g_string_append_c (text, '"');
}

/* By hand, and with room for all of it from the start: what the library would copy, and what grows,
 * leaves the password behind in memory. */
char *
commy_etcd_write_login (const char *user, const char *password)
{
  GString *text = g_string_sized_new (64 + 6 * (strlen (user) + strlen (password)));

  g_string_append_c (text, '{');
  append_text (text, "name", user);
  g_string_append_c (text, ',');
  append_text (text, "password", password);
  g_string_append_c (text, '}');
  return g_string_free (text, FALSE);
}

void
commy_etcd_write_watch (
    GString *request, const char *prefix, const char *below, gint64 first_revision, gint64 watch)
{
  g_string_append (request, "{\"create_request\":{");
  append_key (request, "key", prefix, below);
  g_string_append_c (request, ',');
  append_end (request, prefix, below);
  g_string_append_printf (
      request,
      ",\"start_revision\":\"%" G_GINT64_FORMAT
      "\",\"progress_notify\":true,\"fragment\":true,\"watch_id\":\"%" G_GINT64_FORMAT "\"}}\n",
      first_revision, watch);
}
