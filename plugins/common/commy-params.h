/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a plugin of any kind says of parameters that it cannot take. That they are of the right type
 * and in range the core has seen before.
 */
#pragma once

#include <commy/commy-error.h>
#include <glib.h>

/* FALSE, with @error for who wrote the keyfile. */
static inline gboolean G_GNUC_PRINTF (2, 3)
    commy_params_refuse (GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, g_quark_from_static_string ("commy-error-quark"),
                       COMMY_ERROR_PLUGIN_PARAM, text);
  return FALSE;
}
