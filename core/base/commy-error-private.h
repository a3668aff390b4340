/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making errors of the public domain with their number in the text.
 */
#pragma once

#include <commy/commy-error.h>

/* Sets "CMY0nnn: <text>". Takes no newline, no full stop. The format is looked up in the catalog
 * of translations, so callers write it in English and mark nothing. */
void commy_set_error (GError **error, CommyError code, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* New error with a code that came over the wire; unknown numbers become COMMY_ERROR_FAILED.
 * @remote puts "remote: " before the text, always so for COMMY_ERROR_REMOTE. */
GError *commy_error_new_from_wire (guint32 code, gboolean remote, const char *text);

/* The message without "CMY0nnn: ", for sending and for joining into other messages. */
const char *commy_error_bare (const GError *error);
