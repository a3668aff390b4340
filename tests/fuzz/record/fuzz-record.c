/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of an instance, of a node and of a denial, as a store hands it over: anybody who may
 * write to the store may have written it. And a selector, held against what the instance says.
 */
#include "config.h"

#include "base/commy-selector.h"
#include "control/commy-instance.h"
#include "control/commy-node.h"
#include "security/commy-deny-list.h"
#include "security/commy-lock-out.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
try_node (const char *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyNode) node = commy_node_read ("0123", data, size, &error);
  g_autoptr (CommyNode) again = NULL;
  g_autofree char *text = NULL;

  if (node == NULL)
    {
      g_assert_nonnull (error);
      return;
    }
  text = commy_node_write (node);
  again = commy_node_read ("0123", text, strlen (text), &error);
  g_assert_no_error (error);
  g_assert_cmpint (again->state, ==, node->state);
  g_assert_cmpuint (g_strv_length (again->transports), ==, g_strv_length (node->transports));
  commy_node_resources_differ (&again->resources, &node->resources);
}

/* What cannot be read denies all the same. */
static void
try_denial (const char *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *key = g_strndup (data, size);
  g_autoptr (CommyDenial) denial
      = commy_denial_read (COMMY_DENIED_PREFIX "token:x", data, size, &error);
  g_autoptr (CommyDenial) other = commy_denial_read (key, data, size, NULL);
  g_autoptr (CommyDenial) again = NULL;
  g_autofree char *text = NULL;

  g_assert_nonnull (denial);
  g_assert_nonnull (denial->reason);
  g_assert_cmpint (denial->until_s, >=, 0);
  text = commy_denial_write (denial);
  again = commy_denial_read (COMMY_DENIED_PREFIX "token:x", text, strlen (text), &error);
  g_assert_cmpstr (again->reason, ==, denial->reason);
  g_assert_cmpint (again->until_s, ==, denial->until_s);
  g_assert_cmpuint (again->failures, ==, denial->failures);
  if (other != NULL)
    commy_lock_out_get_source (other->subject, "h");
}

static void
try_selector (const char *data, size_t size, const CommyInstance *instance)
{
  const CommyTraits traits
      = { instance->version, (const char *const *) instance->tags, instance->metadata };
  g_autofree char *text = g_strndup (data, size);
  g_autoptr (CommySelector) any = commy_selector_new (text, NULL);
  g_autoptr (CommySelector) selector = commy_selector_new (">=2.1 gpu rack:7", NULL);
  char wanted[64] = "", offered[160] = "";

  if (any != NULL)
    commy_selector_matches (any, &traits, wanted, sizeof wanted, offered, sizeof offered);
  commy_selector_matches (selector, &traits, wanted, sizeof wanted, offered, sizeof offered);
  g_assert_true (g_utf8_validate (wanted, -1, NULL) && g_utf8_validate (offered, -1, NULL));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyInstance) instance
      = commy_instance_read ("0123", "org.example.Fuzz", (const char *) data, size, &error);
  g_autoptr (CommyInstance) again = NULL;
  g_autofree char *text = NULL;

  try_denial ((const char *) data, size);
  try_node ((const char *) data, size);
  if (instance == NULL)
    {
      g_assert_nonnull (error);
      return 0;
    }
  try_selector ((const char *) data, size, instance);
  text = commy_instance_write (instance);
  again = commy_instance_read ("0123", "org.example.Fuzz", text, strlen (text), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (again->node, ==, instance->node);
  g_assert_cmpuint (again->n_endpoints, ==, instance->n_endpoints);
  return 0;
}
