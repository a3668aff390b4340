/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The catalog as a value, for reports: every plugin with its state, reason and profile.
 */
#include "config.h"

#include "plugin/commy-plugin-private.h"

static GVariant *
list_segments (const CommyProfile *profile)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));

  for (guint i = 0; i < profile->n_segments; i++)
    {
      const CommyProfileSegment *segment = &profile->segments[i];

      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&builder, "{sv}", "max-bytes",
                             g_variant_new_uint64 (segment->max_bytes));
      g_variant_builder_add (&builder, "{sv}", "latency-ns",
                             g_variant_new_double (segment->latency_ns));
      g_variant_builder_add (&builder, "{sv}", "wire-ns-per-byte",
                             g_variant_new_double (segment->wire_ns_per_byte));
      g_variant_builder_add (&builder, "{sv}", "send-cpu-ns",
                             g_variant_new_double (segment->send_cpu_ns));
      g_variant_builder_add (&builder, "{sv}", "send-cpu-ns-per-byte",
                             g_variant_new_double (segment->send_cpu_ns_per_byte));
      g_variant_builder_add (&builder, "{sv}", "recv-cpu-ns",
                             g_variant_new_double (segment->recv_cpu_ns));
      g_variant_builder_add (&builder, "{sv}", "recv-cpu-ns-per-byte",
                             g_variant_new_double (segment->recv_cpu_ns_per_byte));
      g_variant_builder_close (&builder);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
list_profile (const CommyPlugin *plugin)
{
  static const char *const provenances[]
      = { "guess", "derived", "measured-elsewhere", "measured-here", "operator" };
  const CommyProfile *profile = &plugin->profile;
  const char *contradiction = __atomic_load_n (&plugin->contradiction, __ATOMIC_ACQUIRE);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  if (profile->provenance < G_N_ELEMENTS (provenances))
    g_variant_dict_insert (&dict, "provenance", "s", provenances[profile->provenance]);
  if (plugin->profile_origin != NULL)
    g_variant_dict_insert (&dict, "origin", "s", plugin->profile_origin);
  g_variant_dict_insert (&dict, "security", "u", profile->security);
  g_variant_dict_insert (&dict, "reach", "u", profile->reach);
  g_variant_dict_insert (&dict, "delivery", "u", profile->delivery);
  g_variant_dict_insert (&dict, "ordering", "u", profile->ordering);
  g_variant_dict_insert (&dict, "header-bytes", "u", profile->header_bytes);
  g_variant_dict_insert (&dict, "capabilities", "t", profile->capabilities);
  g_variant_dict_insert (&dict, "max-message", "t", profile->max_message);
  g_variant_dict_insert (&dict, "max-inline", "t", profile->max_inline);
  g_variant_dict_insert (&dict, "connect-ns", "d", profile->connect_ns);
  g_variant_dict_insert (&dict, "sigma", "d", profile->sigma);
  g_variant_dict_insert (&dict, "loss", "d", profile->loss);
  g_variant_dict_insert (&dict, "size-factor", "d", profile->size_factor);
  g_variant_dict_insert (&dict, "bias", "d", plugin->bias);
  if (contradiction != NULL)
    g_variant_dict_insert (&dict, "contradiction", "s", contradiction);
  g_variant_dict_insert_value (&dict, "segments", list_segments (profile));
  return g_variant_dict_end (&dict);
}

/* Names of the plugins whose keyfile group puts this hook on them. */
static char **
list_wrapped (CommyCatalog *catalog, const CommyPlugin *hook)
{
  GPtrArray *names = g_ptr_array_new ();
  guint n = commy_catalog_get_n_plugins (catalog);

  for (guint i = 0; i < n; i++)
    {
      const CommyPlugin *plugin = commy_catalog_get_plugin (catalog, i);

      if (plugin->hooks != NULL && plugin->note.kind == hook->note.kind
          && g_strv_contains ((const char *const *) plugin->hooks, hook->note.id))
        g_ptr_array_add (names, g_strdup (plugin->name));
    }
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (names, FALSE);
}

static void
list_hooks (GVariantDict *dict, CommyCatalog *catalog, const CommyPlugin *plugin)
{
  if (plugin->hooks_origin != NULL)
    {
      g_variant_dict_insert (dict, "hooks", "^as", plugin->hooks);
      g_variant_dict_insert (dict, "hooks-origin", "s", plugin->hooks_origin);
    }
  if (commy_plugin_is_hook (plugin))
    {
      g_auto (GStrv) wrapped = list_wrapped (catalog, plugin);

      g_variant_dict_insert (dict, "wraps", "^as", wrapped);
    }
}

GVariant *
commy_plugin_list (const CommyPlugin *plugin, CommyCatalog *catalog)
{
  g_auto (GStrv) parts = g_strsplit (plugin->name, "/", 2);
  g_autofree char *path = g_filename_display_name (plugin->path);
  const char *reason = plugin->reason;
  g_autofree char *text = NULL;
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "kind", "s", parts[0]);
  g_variant_dict_insert (&dict, "id", "s", parts[1] != NULL ? parts[1] : "");
  g_variant_dict_insert (&dict, "state", "s", commy_plugin_state_to_string (plugin->state));
  if (reason == NULL)
    reason = __atomic_load_n (&plugin->contradiction, __ATOMIC_ACQUIRE);
  text = g_utf8_make_valid (reason != NULL ? reason : "", -1); /* there may be a path in it */
  g_variant_dict_insert (&dict, "reason", "s", text);
  g_variant_dict_insert (&dict, "origin", "s",
                         plugin->reason_origin != NULL ? plugin->reason_origin : "");
  g_variant_dict_insert (&dict, "path", "s", path);
  if (plugin->has_note)
    {
      g_autofree char *abi
          = g_strdup_printf ("%u.%u", plugin->note.abi_major, plugin->note.abi_minor);

      g_variant_dict_insert (&dict, "version", "s", plugin->note.version);
      g_variant_dict_insert (&dict, "licence", "s", plugin->note.licence);
      g_variant_dict_insert (&dict, "summary", "s", plugin->note.summary);
      g_variant_dict_insert (&dict, "abi", "s", abi);
      g_variant_dict_insert_value (&dict, "profile", list_profile (plugin));
      if (catalog != NULL)
        list_hooks (&dict, catalog, plugin);
    }
  return g_variant_dict_end (&dict);
}

GVariant *
commy_catalog_list (CommyCatalog *catalog)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  guint n_plugins = commy_catalog_get_n_plugins (catalog);

  for (guint i = 0; i < n_plugins; i++)
    g_variant_builder_add_value (
        &builder, commy_plugin_list (commy_catalog_get_plugin (catalog, i), catalog));
  return g_variant_builder_end (&builder);
}
