/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages of an admission: framed, of bounded size, checked whole before anything is used.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

static gsize
size_max (guint8 type)
{
  return type == COMMY_PKI_MESSAGE_ADMITTED ? COMMY_PKI_ANSWER_MAX : COMMY_PKI_MESSAGE_MAX;
}

static const guint8 magic[4] = { 'C', 'M', 'Y', 'J' };

void
commy_pki_message_clear (CommyPkiMessage *message)
{
  g_clear_pointer (&message->fields, g_variant_unref);
}

GBytes *
commy_pki_message_write (CommyPkiMessageType type, GVariant *fields)
{
  g_autoptr (GVariant) given = g_variant_ref_sink (fields);
#if G_BYTE_ORDER == G_BIG_ENDIAN
  g_autoptr (GVariant) body = g_variant_byteswap (given);
#else
  g_autoptr (GVariant) body = g_variant_get_normal_form (given);
#endif
  gsize size = g_variant_get_size (body);
  guint32 big = GUINT32_TO_BE ((guint32) size);
  const void *text = g_variant_get_data (body);
  guint8 *data;

  if (size > size_max ((guint8) type))
    return NULL;
  data = g_malloc0 (COMMY_PKI_MESSAGE_HEADER + size);
  memcpy (data, magic, sizeof magic);
  data[4] = COMMY_PKI_MESSAGE_VERSION;
  data[5] = (guint8) type;
  memcpy (data + 8, &big, sizeof big);
  if (size > 0) /* without a field there is no text either */
    memcpy (data + COMMY_PKI_MESSAGE_HEADER, text, size);
  return g_bytes_new_take (data, COMMY_PKI_MESSAGE_HEADER + size);
}

static gssize
refuse (GError **error, CommyError code, const char *why)
{
  g_set_error_literal (error, COMMY_PKI_ERROR, code, why);
  return -1;
}

gssize
commy_pki_message_measure (const guint8 *data, gsize size, GError **error)
{
  guint32 big;

  if (size > 0 && memcmp (data, magic, MIN (size, sizeof magic)) != 0)
    return refuse (error, COMMY_ERROR_PROTOCOL, "what came is no message of a Commy authority");
  if (size < COMMY_PKI_MESSAGE_HEADER)
    return 0;
  if (data[4] != COMMY_PKI_MESSAGE_VERSION)
    return refuse (error, COMMY_ERROR_VERSION,
                   "the other side speaks another version of the admission protocol");
  if (data[5] < COMMY_PKI_MESSAGE_GREETING || data[5] > COMMY_PKI_MESSAGE_REFUSED || data[6] != 0
      || data[7] != 0)
    return refuse (error, COMMY_ERROR_PROTOCOL, "the message is of no known type");
  memcpy (&big, data + 8, sizeof big);
  if (GUINT32_FROM_BE (big) > size_max (data[5]))
    return refuse (error, COMMY_ERROR_TOO_BIG, "the message is larger than one of its type may be");
  return COMMY_PKI_MESSAGE_HEADER + (gssize) GUINT32_FROM_BE (big);
}

gboolean
commy_pki_message_read (const guint8 *data, gsize size, CommyPkiMessage *out, GError **error)
{
  gssize whole = commy_pki_message_measure (data, size, error);
  g_autoptr (GBytes) body = NULL;
  g_autoptr (GVariant) fields = NULL;

  if (whole < 0)
    return FALSE;
  if (whole == 0 || (gsize) whole != size)
    return refuse (error, COMMY_ERROR_PROTOCOL, "the message is not whole") > 0;
  body = g_bytes_new (data + COMMY_PKI_MESSAGE_HEADER, size - COMMY_PKI_MESSAGE_HEADER);
  fields = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARDICT, body, FALSE));
  if (!g_variant_is_normal_form (fields))
    return refuse (error, COMMY_ERROR_PROTOCOL, "the message is not in normal form") > 0;
#if G_BYTE_ORDER == G_BIG_ENDIAN
  {
    GVariant *swapped = g_variant_byteswap (fields);

    g_variant_unref (fields);
    fields = swapped;
  }
#endif
  out->type = (CommyPkiMessageType) data[5];
  out->fields = g_steal_pointer (&fields);
  return TRUE;
}

static gboolean
is_plain (const char *text)
{
  for (; *text != '\0'; text++)
    if (g_ascii_iscntrl (*text) && *text != '\n')
      return FALSE;
  return TRUE;
}

char *
commy_pki_message_dup_text (const CommyPkiMessage *message, const char *name, gsize max)
{
  g_autoptr (GVariant) value
      = g_variant_lookup_value (message->fields, name, G_VARIANT_TYPE_STRING);
  gsize size = 0;
  const char *text = value != NULL ? g_variant_get_string (value, &size) : NULL;

  return text != NULL && size > 0 && size <= max && is_plain (text) ? g_strdup (text) : NULL;
}

GBytes *
commy_pki_message_dup_bytes (const CommyPkiMessage *message, const char *name)
{
  g_autoptr (GVariant) value
      = g_variant_lookup_value (message->fields, name, G_VARIANT_TYPE_BYTESTRING);

  return value != NULL ? g_variant_get_data_as_bytes (value) : NULL;
}

gint64
commy_pki_message_get_time (const CommyPkiMessage *message)
{
  gint64 time_s = 0;

  return g_variant_lookup (message->fields, "time", "x", &time_s) ? time_s : 0;
}
