/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs the processor to check a token: one that was seen before, a new one by ES256, and
 * GnuTLS alone for the same signature.
 */
#include "config.h"

#include "auth/common/commy-jwt.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NOW G_GINT64_CONSTANT (2000000000)
#define ROUNDS 50
#define CACHED 2000
#define VERIFIED 20

static const JwtRules rules = {
  .issuer = "https://issuer.example.org", .audience = "commy", .type = "at+jwt", .max_life_s = 86400
};

typedef struct
{
  char *token;
  gsize size;
  JwtKeys *keys;
  JwtCache *cache;
  gnutls_pubkey_t key;
  gnutls_datum_t signature; /* DER */
} Bench;

/* --- a token, and the set with its key --- */

static char *
encode (gconstpointer data, gsize size)
{
  char *text = g_base64_encode (data, size);

  text[strcspn (text, "=")] = '\0';
  for (char *c = text; *c != '\0'; c++)
    *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
  return text;
}

/* A number of the curve has 32 bytes, however small it is. */
static char *
encode_number (const gnutls_datum_t *number)
{
  guint8 bytes[32] = { 0 };
  const guint skip = number->size > sizeof bytes ? number->size - sizeof bytes : 0;
  const guint n = number->size - skip;

  memcpy (bytes + sizeof bytes - n, number->data + skip, n);
  return encode (bytes, sizeof bytes);
}

/* @out_signature: (transfer full): DER, as GnuTLS wants it. */
static char *
make_token (gnutls_privkey_t key, gnutls_datum_t *out_signature)
{
  static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"ec\",\"typ\":\"at+jwt\"}";
  g_autofree char *claims
      = g_strdup_printf ("{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"alice\",\"jti\":\"1\","
                         "\"iat\":%" G_GINT64_FORMAT ",\"exp\":%" G_GINT64_FORMAT "}",
                         rules.issuer, rules.audience, NOW - 10, NOW + 600);
  g_autofree char *first = encode (header, strlen (header));
  g_autofree char *second = encode (claims, strlen (claims));
  g_autofree char *text = g_strconcat (first, ".", second, NULL);
  gnutls_datum_t data = { (unsigned char *) text, (unsigned int) strlen (text) }, r, s;
  g_autofree char *high = NULL;
  g_autofree char *low = NULL;
  g_autofree guint8 *raw = g_malloc0 (64);
  g_autofree char *third = NULL;

  g_assert_cmpint (
      gnutls_privkey_sign_data2 (key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, out_signature), ==, 0);
  g_assert_cmpint (gnutls_decode_rs_value (out_signature, &r, &s), ==, 0);
  high = encode_number (&r);
  low = encode_number (&s);
  for (guint i = 0; i < 2; i++)
    {
      const char *number = i == 0 ? high : low;
      g_autoptr (GBytes) bytes = jwt_base64_decode (number, strlen (number));

      memcpy (raw + 32 * i, g_bytes_get_data (bytes, NULL), 32);
    }
  third = encode (raw, 64);
  gnutls_free (r.data);
  gnutls_free (s.data);
  return g_strconcat (text, ".", third, NULL);
}

static void
prepare (Bench *self)
{
  gnutls_privkey_t key;
  gnutls_datum_t x, y;
  g_autofree char *x_text = NULL;
  g_autofree char *y_text = NULL;
  g_autofree char *set = NULL;
  g_autoptr (GError) error = NULL;

  gnutls_privkey_init (&key);
  g_assert_cmpint (gnutls_privkey_generate (key, GNUTLS_PK_ECDSA,
                                            GNUTLS_CURVE_TO_BITS (GNUTLS_ECC_CURVE_SECP256R1), 0),
                   ==, 0);
  gnutls_pubkey_init (&self->key);
  g_assert_cmpint (gnutls_pubkey_import_privkey (self->key, key, 0, 0), ==, 0);
  g_assert_cmpint (gnutls_pubkey_export_ecc_raw2 (self->key, NULL, &x, &y, 0), ==, 0);
  x_text = encode_number (&x);
  y_text = encode_number (&y);
  set = g_strdup_printf ("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\","
                         "\"alg\":\"ES256\",\"x\":\"%s\",\"y\":\"%s\"}]}",
                         x_text, y_text);
  self->token = make_token (key, &self->signature);
  self->size = strlen (self->token);
  self->keys = jwt_keys_parse (set, strlen (set), JWT_ES256, &error);
  g_assert_no_error (error);
  self->cache = jwt_cache_new ();
  gnutls_free (x.data);
  gnutls_free (y.data);
  gnutls_privkey_deinit (key);
}

/* --- checking it --- */

static void
check_cached (Bench *self)
{
  g_assert_nonnull (jwt_cache_find (self->cache, self->token, self->size, NOW));
}

static void
check_new (Bench *self)
{
  JwtVerdict verdict;

  g_assert_null (jwt_check (self->keys, &rules, self->token, self->size, NOW, &verdict));
  jwt_verdict_clear (&verdict);
}

static void
check_raw (Bench *self)
{
  const char *end = g_strrstr_len (self->token, (gssize) self->size, ".");
  gnutls_datum_t data = { (unsigned char *) self->token, (unsigned int) (end - self->token) };

  g_assert_cmpint (
      gnutls_pubkey_verify_data2 (self->key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &self->signature),
      >=, 0);
}

static double
cpu_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

/* Nanoseconds of the processor each. */
static double
measure (Bench *self, void (*check) (Bench *), guint n)
{
  double begin = cpu_ns ();

  for (guint i = 0; i < n; i++)
    check (self);
  return (cpu_ns () - begin) / n;
}

int
main (int argc, char **argv)
{
  const guint rounds = argc > 1 && strcmp (argv[1], "--smoke") == 0 ? 1 : ROUNDS;
  double cached = 1e9, fresh = 1e9, raw = 1e9;
  Bench bench = { 0 };
  JwtVerdict verdict;

  prepare (&bench);
  g_assert_null (jwt_check (bench.keys, &rules, bench.token, bench.size, NOW, &verdict));
  jwt_cache_add (bench.cache, bench.token, bench.size, NOW, &verdict);
  for (guint i = 0; i < rounds; i++)
    {
      cached = MIN (cached, measure (&bench, check_cached, CACHED));
      fresh = MIN (fresh, measure (&bench, check_new, VERIFIED));
      raw = MIN (raw, measure (&bench, check_raw, VERIFIED));
    }
  printf ("token of %u bytes: seen before %.0f ns, new by ES256 %.0f ns, GnuTLS alone %.0f ns, "
          "new/GnuTLS %.3f\n",
          (guint) bench.size, cached, fresh, raw, fresh / raw);
  return 0;
}
