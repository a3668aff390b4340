/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it costs the processor to check a token: one that was seen before, a new one by ES256, and
 * GnuTLS alone for the same signature. bench-jwt DIR, as make-jwts.py DIR NOW made it.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"
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

static char *
read_file (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    g_error ("%s is not there: make-jwts.py %s %" G_GINT64_FORMAT, path, dir, NOW);
  return text;
}

static gnutls_datum_t
decode (const char *text, gsize size)
{
  g_autoptr (GBytes) bytes = jwt_base64_decode (text, size);
  gsize length;
  gconstpointer data = g_bytes_get_data (bytes, &length);

  return (gnutls_datum_t){ g_memdup2 (data, length), (unsigned int) length };
}

static gnutls_datum_t
coordinate (const JwtJson *key, const char *name)
{
  const char *text = jwt_json_get_text (key, name);

  return decode (text, strlen (text));
}

static void
prepare (Bench *self, const char *dir)
{
  g_autofree char *tokens = read_file (dir, "tokens");
  g_autofree char *set = read_file (dir, "curves.json");
  g_autoptr (JwtJson) json = jwt_json_parse (set, strlen (set), 1000);
  const JwtJson *key = jwt_json_get (json, "keys")->items->pdata[1];
  const char *line = strstr (tokens, "valid-es256\t-\t") + strlen ("valid-es256\t-\t");
  g_autofree char *base64 = g_strndup (line, strcspn (line, "\n"));
  gnutls_datum_t x = coordinate (key, "x"), y = coordinate (key, "y");
  gnutls_datum_t raw, r, s;

  self->token = (char *) g_base64_decode (base64, &self->size);
  self->keys = jwt_keys_parse (set, strlen (set), JWT_EDDSA | JWT_ES256, NULL);
  self->cache = jwt_cache_new ();
  gnutls_pubkey_init (&self->key);
  gnutls_pubkey_import_ecc_raw (self->key, GNUTLS_ECC_CURVE_SECP256R1, &x, &y);
  raw = decode (
      g_strrstr_len (self->token, (gssize) self->size, ".") + 1,
      self->size
          - (gsize) (g_strrstr_len (self->token, (gssize) self->size, ".") + 1 - self->token));
  r = (gnutls_datum_t){ raw.data, 32 };
  s = (gnutls_datum_t){ raw.data + 32, 32 };
  gnutls_encode_rs_value (&self->signature, &r, &s);
}

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
  double cached = 1e9, fresh = 1e9, raw = 1e9;
  Bench bench = { 0 };
  JwtVerdict verdict;

  if (argc != 2)
    g_error ("bench-jwt DIR");
  prepare (&bench, argv[1]);
  g_assert_null (jwt_check (bench.keys, &rules, bench.token, bench.size, NOW, &verdict));
  jwt_cache_add (bench.cache, bench.token, bench.size, NOW, &verdict);
  for (int i = 0; i < ROUNDS; i++)
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
