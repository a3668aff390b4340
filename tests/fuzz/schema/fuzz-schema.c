/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzes the reader of introspection XML and the comparison of interfaces. Input: two texts with a
 * NUL between them (one text is compared with itself). What must hold for whatever is read:
 * differing means another hash, both directions agree on what differs, and what is written as XML
 * again is the same interface.
 */
#include "config.h"

#include <commy/commy.h>
#include <stdint.h>
#include <string.h>

#define MAX_INTERFACES 4u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static GDBusNodeInfo *
parse (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_memdup2 (data, size); /* of its own, so that a sanitizer sees its end */
  g_autoptr (GError) error = NULL;
  GDBusNodeInfo *node = commy_schema_parse (text, (gssize) size, &error);

  g_assert ((node == NULL) == (error != NULL));
  g_assert (error == NULL || error->domain == COMMY_ERROR);
  return node;
}

static void
check_again (GDBusInterfaceInfo *interface)
{
  g_autoptr (GString) xml = g_string_new ("<node>");
  g_autoptr (GDBusNodeInfo) node = NULL;

  g_dbus_interface_info_generate_xml (interface, 0, xml);
  g_string_append (xml, "</node>");
  node = commy_schema_parse (xml->str, (gssize) xml->len, NULL);
  /* Escaped text is longer, so the limit of the size may be met. */
  if (node != NULL)
    g_assert (commy_schema_compare (interface, node->interfaces[0], NULL)
              == COMMY_SCHEMA_VERDICT_COMPATIBLE);
}

static void
check_pair (GDBusInterfaceInfo *a, GDBusInterfaceInfo *b)
{
  g_autofree char *x = commy_schema_to_hash (a);
  g_autofree char *y = commy_schema_to_hash (b);
  g_autoptr (GVariant) there = NULL;
  g_autoptr (GVariant) back = NULL;
  CommySchemaVerdict verdict = commy_schema_compare (a, b, &there);
  gsize n = g_variant_n_children (there);

  commy_schema_compare (b, a, &back);
  g_assert (n == g_variant_n_children (back));
  g_assert ((n == 0) == (strcmp (x, y) == 0));
  g_assert (n > 0 || verdict == COMMY_SCHEMA_VERDICT_COMPATIBLE);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const uint8_t *end = size > 0 ? memchr (data, 0, size) : NULL;
  const size_t first = end != NULL ? (size_t) (end - data) : size;
  g_autoptr (GDBusNodeInfo) a = first > 0 ? parse (data, first) : NULL;
  g_autoptr (GDBusNodeInfo) b = NULL;

  if (end != NULL && size - first > 1)
    b = parse (end + 1, size - first - 1);
  if (a == NULL)
    return 0;
  if (b == NULL)
    b = g_dbus_node_info_ref (a);
  for (guint i = 0; i < MAX_INTERFACES && a->interfaces != NULL && a->interfaces[i] != NULL; i++)
    {
      check_again (a->interfaces[i]);
      for (guint k = 0; k < MAX_INTERFACES && b->interfaces != NULL && b->interfaces[k] != NULL;
           k++)
        check_pair (a->interfaces[i], b->interfaces[k]);
    }
  return 0;
}
