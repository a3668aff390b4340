/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes and reads the payloads of HELLO and WELCOME.
 */
#include "config.h"

#include "channel/commy-hello.h"

#include "base/commy-error-private.h"
#include "control/commy-instance.h"

#include <string.h>

#define HELLO_MAX 8192u
#define TEXT_MAX 255u
#define AUTH_MAX 16u /* providers in one list */

static GVariant *
little_endian (GVariant *value)
{
  return G_BYTE_ORDER == G_LITTLE_ENDIAN ? g_variant_ref (value) : g_variant_byteswap (value);
}

static void
add_flow (GVariantBuilder *builder, const char *key, const CommyFlowName *flow)
{
  g_variant_builder_add (
      builder, "{sv}", key,
      g_variant_new (
          "(t@ay)", flow->id,
          g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, flow->secret, sizeof flow->secret, 1)));
}

/* FALSE: it is there and wrong. */
static gboolean
take_flow (GVariant *dict, const char *key, CommyFlowName *out_flow)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (dict, key, NULL);
  g_autoptr (GVariant) secret = NULL;
  gconstpointer bytes;
  gsize n;

  if (value == NULL)
    return TRUE;
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE ("(tay)")))
    return FALSE;
  g_variant_get (value, "(t@ay)", &out_flow->id, &secret);
  bytes = g_variant_get_fixed_array (secret, &n, 1);
  if (out_flow->id == 0 || n != sizeof out_flow->secret)
    return FALSE;
  memcpy (out_flow->secret, bytes, n);
  return TRUE;
}

static void
add_resume (GVariantBuilder *builder, const CommyHello *hello)
{
  if (hello->features != 0)
    g_variant_builder_add (builder, "{sv}", "features", g_variant_new_uint32 (hello->features));
  if (hello->flow.id != 0)
    add_flow (builder, "flow", &hello->flow);
  if (!hello->has_resume)
    return;
  if (hello->resume.id != 0)
    add_flow (builder, "resume-flow", &hello->resume);
  g_variant_builder_add (builder, "{sv}", "resume",
                         g_variant_new ("(uu)", hello->resume_number, hello->resume_received));
}

static gboolean
take_resume (GVariant *dict, CommyHello *hello)
{
  g_variant_lookup (dict, "features", "u", &hello->features);
  hello->has_resume
      = g_variant_lookup (dict, "resume", "(uu)", &hello->resume_number, &hello->resume_received);
  return take_flow (dict, "flow", &hello->flow) && take_flow (dict, "resume-flow", &hello->resume);
}

static void
add_list (GVariantBuilder *builder, const char *key, char *const *list)
{
  if (list != NULL)
    g_variant_builder_add (builder, "{sv}", key,
                           g_variant_new_strv ((const char *const *) list, -1));
}

/* Absent is no list; one that is too long is an error. */
static gboolean
take_list (GVariant *dict, const char *key, char ***out_list)
{
  if (!g_variant_lookup (dict, key, "^as", out_list))
    return TRUE;
  if (g_strv_length (*out_list) > AUTH_MAX)
    return FALSE;
  for (char **item = *out_list; *item != NULL; item++)
    if (strlen (*item) > TEXT_MAX)
      return FALSE;
  return TRUE;
}

GBytes *
commy_hello_write (const CommyHello *hello)
{
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) wire = NULL;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "mesh", g_variant_new_string (hello->mesh));
  g_variant_builder_add (&builder, "{sv}", "node", g_variant_new_string (hello->node));
  g_variant_builder_add (&builder, "{sv}", "service", g_variant_new_string (hello->service));
  g_variant_builder_add (&builder, "{sv}", "instance", g_variant_new_string (hello->instance));
  g_variant_builder_add (&builder, "{sv}", "library", g_variant_new_string (hello->library));
  g_variant_builder_add (&builder, "{sv}", "serializers",
                         g_variant_new_strv ((const char *const *) hello->serializers, -1));
  g_variant_builder_add (&builder, "{sv}", "min-version",
                         g_variant_new_uint32 (hello->min_version));
  g_variant_builder_add (&builder, "{sv}", "max-version",
                         g_variant_new_uint32 (hello->max_version));
  g_variant_builder_add (&builder, "{sv}", "cpu", g_variant_new_int32 (hello->cpu));
  if (hello->interface_hash != NULL)
    {
      g_variant_builder_add (&builder, "{sv}", "interface",
                             g_variant_new_string (hello->interface_name));
      g_variant_builder_add (&builder, "{sv}", "interface-hash",
                             g_variant_new_string (hello->interface_hash));
    }
  add_resume (&builder, hello);
  add_list (&builder, "auth", hello->auth);
  add_list (&builder, "auth-wants", hello->auth_wants);
  value = g_variant_ref_sink (g_variant_builder_end (&builder));
  wire = little_endian (value);
  return g_variant_get_data_as_bytes (wire);
}

static gboolean
take_text (GVariant *dict, const char *key, char **out_text)
{
  if (!g_variant_lookup (dict, key, "s", out_text))
    return FALSE;
  return strlen (*out_text) <= TEXT_MAX;
}

/* Both, or nothing is known. */
static void
take_interface (GVariant *dict, CommyHello *hello)
{
  if (take_text (dict, "interface", &hello->interface_name)
      && take_text (dict, "interface-hash", &hello->interface_hash)
      && commy_interface_hash_is_valid (hello->interface_hash))
    return;
  g_clear_pointer (&hello->interface_name, g_free);
  g_clear_pointer (&hello->interface_hash, g_free);
}

gboolean
commy_hello_read (const guint8 *data, gsize size, CommyHello *out_hello, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) wire = NULL;
  g_autoptr (GVariant) dict = NULL;
  CommyHello hello = { .cpu = -1 };

  if (size > HELLO_MAX)
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "a hello of %" G_GSIZE_FORMAT " bytes", size);
      return FALSE;
    }
  bytes = g_bytes_new (data, size);
  wire = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARDICT, bytes, FALSE));
  if (!g_variant_is_normal_form (wire))
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "a hello that is not in normal form");
      return FALSE;
    }
  dict = little_endian (wire);
  if (!take_text (dict, "mesh", &hello.mesh) || !take_text (dict, "node", &hello.node)
      || !take_text (dict, "service", &hello.service)
      || !take_text (dict, "instance", &hello.instance)
      || !take_text (dict, "library", &hello.library)
      || !g_variant_lookup (dict, "serializers", "^as", &hello.serializers)
      || !g_variant_lookup (dict, "min-version", "u", &hello.min_version)
      || !g_variant_lookup (dict, "max-version", "u", &hello.max_version))
    {
      commy_hello_clear (&hello);
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "a hello in which a field is missing");
      return FALSE;
    }
  g_variant_lookup (dict, "cpu", "i", &hello.cpu);
  take_interface (dict, &hello);
  if (!take_resume (dict, &hello))
    {
      commy_hello_clear (&hello);
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "a hello with a flow that is none");
      return FALSE;
    }
  if (!take_list (dict, "auth", &hello.auth) || !take_list (dict, "auth-wants", &hello.auth_wants))
    {
      commy_hello_clear (&hello);
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "a hello with too many auth providers");
      return FALSE;
    }
  *out_hello = hello;
  return TRUE;
}

void
commy_hello_clear (CommyHello *hello)
{
  g_clear_pointer (&hello->mesh, g_free);
  g_clear_pointer (&hello->node, g_free);
  g_clear_pointer (&hello->service, g_free);
  g_clear_pointer (&hello->instance, g_free);
  g_clear_pointer (&hello->library, g_free);
  g_clear_pointer (&hello->interface_name, g_free);
  g_clear_pointer (&hello->interface_hash, g_free);
  g_clear_pointer (&hello->serializers, g_strfreev);
  g_clear_pointer (&hello->auth, g_strfreev);
  g_clear_pointer (&hello->auth_wants, g_strfreev);
}
