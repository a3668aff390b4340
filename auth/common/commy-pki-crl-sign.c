/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signs one list of revoked certificates (RFC 5280, section 5.1). GnuTLS makes and signs a list
 * without rows; they are put into its DER here, and what came of it is read and signed again.
 * GnuTLS adds a row by walking over all before it, which takes half a minute for 32,000.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

#define TAG_INTEGER 0x02
#define TAG_UTC_TIME 0x17
#define TAG_GENERALIZED_TIME 0x18
#define TAG_SEQUENCE 0x30
/* Behind them the rows, which are optional: version, signature, issuer, this update and next. */
#define FIELDS_BEFORE_ROWS 5
#define LAST_SECOND G_GINT64_CONSTANT (253402300799) /* of the year 9999 */
#define YEAR_OF_GENERALIZED_TIME 2050

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (gnutls_x509_crl_t, gnutls_x509_crl_deinit, NULL)

/* --- writing DER --- */

static void
append (GByteArray *out, guint8 tag, gconstpointer bytes, gsize size)
{
  guint8 head[2 + sizeof (guint32)] = { tag, (guint8) size };
  guint n = 0;

  if (size >= 0x80)
    {
      for (gsize left = size; left > 0; left >>= 8)
        n++;
      head[1] = (guint8) (0x80 | n);
      for (guint i = 0; i < n; i++)
        head[2 + i] = (guint8) (size >> 8 * (n - 1 - i));
    }
  g_byte_array_append (out, head, 2 + n);
  g_byte_array_append (out, bytes, (guint) size);
}

static void
append_time (GByteArray *out, gint64 when_s)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (CLAMP (when_s, 0, LAST_SECOND));
  gboolean is_late = g_date_time_get_year (time) >= YEAR_OF_GENERALIZED_TIME;
  g_autofree char *text = g_date_time_format (time, is_late ? "%Y%m%d%H%M%SZ" : "%y%m%d%H%M%SZ");

  append (out, is_late ? TAG_GENERALIZED_TIME : TAG_UTC_TIME, text, strlen (text));
}

void
commy_pki_crl_append (GByteArray *rows, const guint8 *serial, gsize size, gint64 when_s)
{
  g_autoptr (GByteArray) row = g_byte_array_new ();

  /* As short as the number can be: what goes without saying is left out. */
  while (size > 1
         && ((serial[0] == 0 && serial[1] < 0x80) || (serial[0] == 0xff && serial[1] >= 0x80)))
    {
      serial++;
      size--;
    }
  append (row, TAG_INTEGER, serial, size);
  append_time (row, when_s);
  append (rows, TAG_SEQUENCE, row->data, row->len);
}

/* --- reading it --- */

typedef struct
{
  const guint8 *at, *end;
} Span;

/* The next element of @span: what is in it, and the rest in @span. FALSE: it is none. */
static gboolean
take (Span *span, guint8 *out_tag, Span *out_inner)
{
  gsize left = (gsize) (span->end - span->at);
  gsize size, n;

  if (left < 2)
    return FALSE;
  *out_tag = span->at[0];
  size = span->at[1];
  n = size & 0x7f;
  span->at += 2;
  left -= 2;
  if (size >= 0x80)
    {
      if (n > sizeof (guint32) || n > left)
        return FALSE;
      for (size = 0; n > 0; n--, left--)
        size = size << 8 | *span->at++;
    }
  if (size > left)
    return FALSE;
  *out_inner = (Span){ span->at, span->at + size };
  span->at += size;
  return TRUE;
}

static gboolean
take_sequence (Span *span, Span *out_inner)
{
  guint8 tag = 0;

  return take (span, &tag, out_inner) && tag == TAG_SEQUENCE;
}

/* --- the list --- */

/* The list in @der with @rows in it. Its signature does not fit any more. */
static gboolean
put_in (const gnutls_datum_t *der, const GByteArray *rows, GByteArray *out)
{
  g_autoptr (GByteArray) fields = g_byte_array_new ();
  g_autoptr (GByteArray) whole = g_byte_array_new ();
  Span all = { der->data, der->data + der->size };
  Span list, inner, field, rest;
  guint8 tag;

  if (!take_sequence (&all, &list) || !take_sequence (&list, &inner))
    return FALSE;
  rest = inner;
  for (guint i = 0; i < FIELDS_BEFORE_ROWS; i++)
    if (!take (&rest, &tag, &field))
      return FALSE;
  g_byte_array_append (fields, inner.at, (guint) (rest.at - inner.at));
  append (fields, TAG_SEQUENCE, rows->data, rows->len);
  if (rest.at < rest.end && *rest.at == TAG_SEQUENCE && !take (&rest, &tag, &field))
    return FALSE; /* rows that were there: none */
  g_byte_array_append (fields, rest.at, (guint) (rest.end - rest.at));
  append (whole, TAG_SEQUENCE, fields->data, fields->len);
  g_byte_array_append (whole, list.at, (guint) (list.end - list.at));
  append (out, TAG_SEQUENCE, whole->data, whole->len);
  return TRUE;
}

/* GnuTLS forgets the extensions of what it read unless one is set. */
static int
sign (gnutls_x509_crl_t crl, CommyPkiAuthority *authority, gint64 number)
{
  guint64 big = GUINT64_TO_BE ((guint64) number);
  guint8 key[64];
  gsize size = sizeof key;
  int code = gnutls_x509_crl_set_number (crl, &big, sizeof big);

  if (code >= 0 && gnutls_x509_crt_get_subject_key_id (authority->crt, key, &size, NULL) >= 0)
    code = gnutls_x509_crl_set_authority_key_id (crl, key, size);
  return code < 0
             ? code
             : gnutls_x509_crl_sign2 (crl, authority->crt, authority->key, GNUTLS_DIG_SHA256, 0);
}

static int
make_empty (gnutls_x509_crl_t crl, CommyPkiAuthority *authority, gint64 number, gint64 now_s)
{
  int code = gnutls_x509_crl_set_version (crl, 2);

  if (code >= 0)
    code = gnutls_x509_crl_set_this_update (crl, (time_t) now_s);
  /* A list is good until there is another one: it comes with each renewal. */
  if (code >= 0)
    code = gnutls_x509_crl_set_next_update (crl,
                                            gnutls_x509_crt_get_expiration_time (authority->crt));
  return code < 0 ? code : sign (crl, authority, number);
}

/* @empty, with @rows in it, and signed. */
static int
make_full (gnutls_x509_crl_t crl,
           gnutls_x509_crl_t empty,
           CommyPkiAuthority *authority,
           const GByteArray *rows,
           gint64 number)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gnutls_datum_t der = { NULL, 0 };
  int code = gnutls_x509_crl_export2 (empty, GNUTLS_X509_FMT_DER, &der);
  gboolean fits = code >= 0 && put_in (&der, rows, bytes);

  gnutls_free (der.data);
  if (code < 0 || !fits)
    return code < 0 ? code : GNUTLS_E_INTERNAL_ERROR;
  der = (gnutls_datum_t){ bytes->data, bytes->len };
  code = gnutls_x509_crl_import (crl, &der, GNUTLS_X509_FMT_DER);
  return code < 0 ? code : sign (crl, authority, number);
}

char *
commy_pki_crl_sign (
    CommyPkiAuthority *authority, GByteArray *rows, gint64 number, gint64 now_s, GError **error)
{
  g_auto (gnutls_x509_crl_t) empty = NULL;
  g_auto (gnutls_x509_crl_t) full = NULL;
  gnutls_datum_t pem = { NULL, 0 };
  int code = gnutls_x509_crl_init (&empty);
  char *text = NULL;

  if (code >= 0)
    code = gnutls_x509_crl_init (&full);
  if (code >= 0)
    code = make_empty (empty, authority, number, now_s);
  if (code >= 0 && rows->len > 0)
    code = make_full (full, empty, authority, rows, number);
  if (code >= 0)
    code = gnutls_x509_crl_export2 (rows->len > 0 ? full : empty, GNUTLS_X509_FMT_PEM, &pem);
  if (commy_pki_check (code, "cannot sign a list of revoked certificates", error))
    text = g_strndup ((const char *) pem.data, pem.size);
  gnutls_free (pem.data);
  return text;
}
