/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lists of revoked certificates. The first byte says what the rest is: p lists as they lie in a
 * file (PEM); r rows, of which a list is signed here, that must read the same; and else a list
 * (DER), which is signed here by the authority that is trusted, so that what stands behind the
 * signature is reached, too.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NOW G_GINT64_CONSTANT (1000000000)
#define ROWS_MAX 64u
#define SERIAL_MAX 64u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static CommyPkiAuthority *
get_authority (void)
{
  static CommyPkiAuthority *authority;

  if (authority == NULL)
    authority = commy_pki_authority_new ("fuzz", NOW, NULL);
  g_assert_nonnull (authority);
  return authority;
}

/* How many names are revoked then; -1: the lists are not taken. */
static int
take (const char *pem, CommyPkiTrust **out_trust)
{
  CommyPkiTrust *trust = commy_pki_trust_new (get_authority ()->pem, NULL);
  g_autoptr (GError) error = NULL;
  gboolean taken;

  g_assert_nonnull (trust);
  taken = commy_pki_trust_add_crls (trust, pem, &error);
  g_assert_true (taken == (error == NULL));
  g_assert_true (taken == (trust->revoked != NULL));
  *out_trust = trust;
  return taken ? (int) g_hash_table_size (trust->revoked) : -1;
}

static void
try_file (const char *pem)
{
  g_autoptr (CommyPkiTrust) trust = NULL;

  /* None of them can be signed by an authority that was made just now. */
  g_assert_cmpint (take (pem, &trust), <=, 0);
  g_assert_cmpint (commy_pki_crl_get_number (pem), >=, -1);
}

/* --- a list of anything, signed --- */

static char *
sign_list (const uint8_t *data, size_t size)
{
  CommyPkiAuthority *authority = get_authority ();
  gnutls_datum_t der = { (unsigned char *) data, (unsigned) size };
  gnutls_datum_t pem = { NULL, 0 };
  gnutls_x509_crl_t crl;
  char *text = NULL;

  g_assert_cmpint (gnutls_x509_crl_init (&crl), >=, 0);
  if (gnutls_x509_crl_import (crl, &der, GNUTLS_X509_FMT_DER) >= 0
      && gnutls_x509_crl_sign2 (crl, authority->crt, authority->key, GNUTLS_DIG_SHA256, 0) >= 0
      && gnutls_x509_crl_export2 (crl, GNUTLS_X509_FMT_PEM, &pem) >= 0)
    text = g_strndup ((const char *) pem.data, pem.size);
  gnutls_free (pem.data);
  gnutls_x509_crl_deinit (crl);
  return text;
}

static void
try_list (const uint8_t *data, size_t size)
{
  g_autofree char *pem = sign_list (data, size);
  g_autoptr (CommyPkiTrust) trust = NULL;

  if (pem != NULL)
    g_assert_cmpint (take (pem, &trust), <=, COMMY_PKI_REVOKED_MAX);
}

/* --- rows: a size, a serial number, and a time in four bytes --- */

static char *
name_of (const uint8_t *serial, gsize size)
{
  g_autofree char *id = commy_pki_authority_dup_id (get_authority ());
  g_autofree char *hex = commy_pki_hex (serial, size);

  return g_strconcat (COMMY_PKI_NAME_SCHEME, id, ":", hex, NULL);
}

static gboolean
is_shortest (const uint8_t *serial, gsize size)
{
  return size == 1
         || !((serial[0] == 0 && serial[1] < 0x80) || (serial[0] == 0xff && serial[1] >= 0x80));
}

static void
try_rows (const uint8_t *data, size_t size)
{
  g_autoptr (GByteArray) rows = g_byte_array_new ();
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (CommyPkiTrust) trust = NULL;
  g_autofree char *pem = NULL;

  for (guint n = 0; n < ROWS_MAX && size > 0; n++)
    {
      gsize serial = 1 + data[0] % SERIAL_MAX;
      guint32 when;

      if (size < 1 + serial + sizeof when)
        break;
      memcpy (&when, data + 1 + serial, sizeof when);
      commy_pki_crl_append (rows, data + 1, serial, (gint64) when * 2 - NOW);
      if (is_shortest (data + 1, serial))
        g_ptr_array_add (names, name_of (data + 1, serial));
      data += 1 + serial + sizeof when;
      size -= 1 + serial + sizeof when;
    }
  pem = commy_pki_crl_sign (get_authority (), rows, 7, NOW, NULL);
  g_assert_nonnull (pem);
  g_assert_cmpint (commy_pki_crl_get_number (pem), ==, 7);
  g_assert_cmpint (take (pem, &trust), >=, 0);
  for (guint i = 0; i < names->len; i++)
    g_assert_cmpint (commy_pki_trust_judge_names (trust, names->pdata[i]), ==,
                     COMMY_PKI_NAMES_REVOKED);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = NULL;

  if (size == 0)
    return 0;
  if (*data == 'p')
    {
      text = g_strndup ((const char *) data + 1, size - 1);
      try_file (text);
    }
  else if (*data == 'r')
    try_rows (data + 1, size - 1);
  else
    try_list (data + 1, size - 1);
  return 0;
}
