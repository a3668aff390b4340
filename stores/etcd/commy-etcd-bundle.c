/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parts and bundles: see the header.
 */
#include "config.h"

#include "commy-etcd-bundle.h"

#include "commy-etcd-codec.h"

#include <string.h>

/* etcd takes 128 operations (--max-txn-ops) and a request of 1.5 MiB (--max-request-bytes), which
 * has its bytes as they are: it is shorter than the JSON that is counted here. */
#define MAX_OPS 128u
#define MAX_BYTES (1024u * 1024u)

struct _CommyEtcdPart
{
  char *text; /* its operations as JSON, with commas between them */
  gsize size;
  GPtrArray *keys;
};

struct _CommyEtcdBundle
{
  GString *text;
  GHashTable *keys; /* of the parts */
};

/* What removes a whole prefix may be at odds with any other. */
CommyEtcdPart *
commy_etcd_part_new (const char *prefix, const CommyStoreOp *ops, gsize n_ops)
{
  CommyEtcdPart *self;

  for (gsize i = 0; i < n_ops; i++)
    if (ops[i].kind == COMMY_STORE_DELETE_PREFIX)
      return NULL;
  if (n_ops == 0)
    return NULL;
  self = g_new0 (CommyEtcdPart, 1);
  self->text = commy_etcd_write_ops (prefix, ops, n_ops);
  self->size = strlen (self->text);
  self->keys = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < n_ops; i++)
    g_ptr_array_add (self->keys, g_strdup (ops[i].key));
  return self;
}

void
commy_etcd_part_free (CommyEtcdPart *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->keys);
  g_free (self->text);
  g_free (self);
}

CommyEtcdBundle *
commy_etcd_bundle_new (void)
{
  CommyEtcdBundle *self = g_new0 (CommyEtcdBundle, 1);

  self->text = g_string_new (NULL);
  self->keys = g_hash_table_new (g_str_hash, g_str_equal);
  return self;
}

static gboolean
has_room (const CommyEtcdBundle *self, const CommyEtcdPart *part)
{
  if (self->text->len == 0)
    return TRUE; /* alone it is etcd's to refuse */
  if (g_hash_table_size (self->keys) + part->keys->len > MAX_OPS
      || self->text->len + part->size > MAX_BYTES)
    return FALSE;
  for (guint i = 0; i < part->keys->len; i++)
    if (g_hash_table_contains (self->keys, part->keys->pdata[i]))
      return FALSE;
  return TRUE;
}

gboolean
commy_etcd_bundle_add (CommyEtcdBundle *self, const CommyEtcdPart *part)
{
  if (!has_room (self, part))
    return FALSE;
  if (self->text->len > 0)
    g_string_append_c (self->text, ',');
  g_string_append (self->text, part->text);
  for (guint i = 0; i < part->keys->len; i++)
    g_hash_table_add (self->keys, part->keys->pdata[i]);
  return TRUE;
}

char *
commy_etcd_bundle_write (CommyEtcdBundle *self)
{
  char *request = g_strconcat ("{\"compare\":[],\"success\":[", self->text->str, "]}", NULL);

  g_string_free (self->text, TRUE);
  g_hash_table_unref (self->keys);
  g_free (self);
  return request;
}
