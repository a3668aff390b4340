/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes an expectation of an interface: what calls look into is taken out of the annotations once.
 */
#include "config.h"

#include "mesh/commy-expectation.h"

#include "base/commy-units.h"
#include "schema/commy-schema-private.h"

#include <string.h>

/* A time without a unit would be nanoseconds, which nobody means. Minutes may be "m", as commands
 * have them. */
static gint64
read_deadline (GDBusMethodInfo *method)
{
  const char *text = g_dbus_annotation_info_lookup (method->annotations, "org.commy.Deadline");
  gsize length = text != NULL ? strlen (text) : 0;
  g_autofree char *in_full = NULL;
  gint64 ns;

  if (length == 0)
    return -1;
  if (text[length - 1] == 'm')
    in_full = g_strconcat (text, "in", NULL);
  if (!g_ascii_isdigit (text[length - 1])
      && commy_parse_duration (in_full != NULL ? in_full : text, &ns) && ns > 0)
    return ns;
  g_critical ("%s: org.commy.Deadline is a time with its unit, such as 250ms: not \"%s\"",
              method->name, text);
  return -1;
}

static GHashTable *
read_terms (GDBusInterfaceInfo *interface)
{
  GHashTable *terms = NULL;

  for (GDBusMethodInfo **at = interface->methods; at != NULL && *at != NULL; at++)
    {
      const CommyMethodTerms said
          = { read_deadline (*at), commy_schema_is_true (g_dbus_annotation_info_lookup (
                                       (*at)->annotations, "org.commy.Idempotent")) };

      if (said.timeout_ns < 0 && !said.idempotent)
        continue;
      if (terms == NULL)
        terms = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
      g_hash_table_insert (terms, (*at)->name, g_memdup2 (&said, sizeof said));
    }
  return terms;
}

CommyExpectation *
commy_expectation_new (GDBusInterfaceInfo *interface)
{
  CommyExpectation *self = g_new0 (CommyExpectation, 1);

  g_atomic_ref_count_init (&self->refs);
  self->interface = g_dbus_interface_info_ref (interface);
  self->hash = commy_schema_to_hash (interface);
  self->terms = read_terms (interface);
  return self;
}

CommyExpectation *
commy_expectation_ref (CommyExpectation *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
commy_expectation_unref (CommyExpectation *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  g_clear_pointer (&self->terms, g_hash_table_unref);
  g_free (self->hash);
  g_dbus_interface_info_unref (self->interface);
  g_free (self);
}

const CommyMethodTerms *
commy_expectation_get_terms (const CommyExpectation *self, const char *method)
{
  return self->terms != NULL ? g_hash_table_lookup (self->terms, method) : NULL;
}
