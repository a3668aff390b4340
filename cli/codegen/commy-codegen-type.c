/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which C type, GType and format each type has: the table of gdbus-codegen. What is not in it is
 * passed as a GVariant, and so is whatever the annotation org.gtk.GDBus.C.ForceGVariant asks for.
 */
#include "config.h"

#include "cli/codegen/commy-codegen.h"

#include <string.h>

#define PLAIN(signature, c, signal_c, g, extent)                                                 \
  {                                                                                              \
    .type = signature, .c_in = c " ", .c_out = c " *", .c_dup = c " ", .c_signal = signal_c " ", \
    .gtype = g, .format = signature, .spec = extent, .notes = ""                                 \
  }
#define TEXT(signature, form)                                                              \
  {                                                                                        \
    .type = signature, .c_in = "const gchar *", .c_out = "gchar **", .c_dup = "gchar *",   \
    .c_signal = "const gchar *", .gtype = "G_TYPE_STRING", .format = form, .spec = "NULL", \
    .is_pointer = TRUE, .notes = " (transfer full)"                                        \
  }
#define TEXTS(signature)                                                                          \
  {                                                                                               \
    .type = signature, .c_in = "const gchar *const *", .c_out = "gchar ***", .c_dup = "gchar **", \
    .c_signal = "const gchar *const *", .gtype = "G_TYPE_STRV", .format = "^" signature,          \
    .spec = "G_TYPE_STRV", .is_pointer = TRUE,                                                    \
    .notes = " (transfer full) (array zero-terminated=1)"                                         \
  }

static const CommyCodegenType types[] = {
  PLAIN ("b", "gboolean", "gboolean", "G_TYPE_BOOLEAN", "FALSE"),
  PLAIN ("y", "guchar", "guchar", "G_TYPE_UCHAR", "0, 255, 0"),
  PLAIN ("n", "gint16", "gint", "G_TYPE_INT", "G_MININT16, G_MAXINT16, 0"),
  PLAIN ("q", "guint16", "guint", "G_TYPE_UINT", "0, G_MAXUINT16, 0"),
  PLAIN ("i", "gint", "gint", "G_TYPE_INT", "G_MININT32, G_MAXINT32, 0"),
  PLAIN ("u", "guint", "guint", "G_TYPE_UINT", "0, G_MAXUINT32, 0"),
  PLAIN ("x", "gint64", "gint64", "G_TYPE_INT64", "G_MININT64, G_MAXINT64, 0"),
  PLAIN ("t", "guint64", "guint64", "G_TYPE_UINT64", "0, G_MAXUINT64, 0"),
  PLAIN ("d", "gdouble", "gdouble", "G_TYPE_DOUBLE", "-G_MAXDOUBLE, G_MAXDOUBLE, 0"),
  TEXT ("s", "s"),
  TEXT ("o", "o"),
  TEXT ("g", "g"),
  TEXT ("ay", "^ay"),
  TEXTS ("as"),
  TEXTS ("ao"),
  TEXTS ("aay"),
};

static const CommyCodegenType variant = {
  .type = "",
  .c_in = "GVariant *",
  .c_out = "GVariant **",
  .c_dup = "GVariant *",
  .c_signal = "GVariant *",
  .gtype = "G_TYPE_VARIANT",
  .is_pointer = TRUE,
  .is_variant = TRUE,
  .notes = " (transfer full)",
};

const CommyCodegenType *
commy_codegen_find_type (const char *signature, GDBusAnnotationInfo **annotations)
{
  const char *force = g_dbus_annotation_info_lookup (annotations, "org.gtk.GDBus.C.ForceGVariant");

  for (guint i = 0; force == NULL && i < G_N_ELEMENTS (types); i++)
    if (strcmp (types[i].type, signature) == 0)
      return &types[i];
  return &variant;
}
