/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key sets, and the signatures of their keys. Each key has one algorithm, by which alone it is
 * used.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"
#include "auth/common/commy-jwt.h"

#include <commy/commy-error.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <string.h>

#define KEY_VALUES_MAX 4096u
#define ID_MAX 128u
#define RSA_BITS_MIN 2048u
#define RSA_BITS_MAX 4096u
#define SECRET_MIN 32u
#define COORDINATE_SIZE 32u
#define SIGNATURE_SIZE 64u /* of both kinds of curves */

typedef struct
{
  char *id; /* or NULL */
  JwtAlgorithm algorithm;
  gnutls_pubkey_t key; /* but for HS256: */
  GBytes *secret;
} Key;

struct _JwtKeys
{
  GPtrArray *keys; /* Key */
};

static const struct
{
  const char *name;
  JwtAlgorithm algorithm;
} algorithms[] = {
  { "EdDSA", JWT_EDDSA }, { "ES256", JWT_ES256 }, { "RS256", JWT_RS256 },
  { "PS256", JWT_PS256 }, { "HS256", JWT_HS256 },
};

JwtAlgorithm
jwt_algorithm_from_name (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (algorithms); i++)
    if (strcmp (algorithms[i].name, name) == 0)
      return algorithms[i].algorithm;
  return (JwtAlgorithm) 0;
}

guint
jwt_algorithms_parse (const char *names)
{
  g_auto (GStrv) words = g_strsplit_set (names, " ,", -1);
  guint found = 0;

  for (char **word = words; *word != NULL; word++)
    {
      JwtAlgorithm one = jwt_algorithm_from_name (*word);

      if (**word == '\0')
        continue;
      if (one == 0)
        return 0;
      found |= one;
    }
  return found;
}

static void
key_free (gpointer data)
{
  Key *key = data;

  g_free (key->id);
  if (key->key != NULL)
    gnutls_pubkey_deinit (key->key);
  if (key->secret != NULL)
    g_bytes_unref (key->secret);
  g_free (key);
}

void
jwt_keys_free (JwtKeys *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->keys);
  g_free (self);
}

guint
jwt_keys_get_n (const JwtKeys *self)
{
  return self->keys->len;
}

gboolean
jwt_keys_has_secret (const JwtKeys *self)
{
  for (guint i = 0; i < self->keys->len; i++)
    if (((const Key *) self->keys->pdata[i])->secret != NULL)
      return TRUE;
  return FALSE;
}

/* --- one key --- */

static GBytes *
take_bytes (const JwtJson *json, const char *name)
{
  const char *text = jwt_json_get_text (json, name);

  return text != NULL ? jwt_base64_decode (text, strlen (text)) : NULL;
}

static gnutls_datum_t
datum (GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  return (gnutls_datum_t){ (unsigned char *) data, (unsigned int) size };
}

static gboolean
is_text (const JwtJson *json, const char *name, const char *text)
{
  return g_strcmp0 (jwt_json_get_text (json, name), text) == 0;
}

/* A point, or with one coordinate an Edwards curve's. */
static gboolean
import_curve (Key *key, const JwtJson *json, gnutls_ecc_curve_t curve, gboolean has_y)
{
  g_autoptr (GBytes) x = take_bytes (json, "x");
  g_autoptr (GBytes) y = has_y ? take_bytes (json, "y") : NULL;
  gnutls_datum_t x_datum, y_datum;

  if (x == NULL || g_bytes_get_size (x) != COORDINATE_SIZE
      || (has_y && (y == NULL || g_bytes_get_size (y) != COORDINATE_SIZE)))
    return FALSE;
  x_datum = datum (x);
  if (has_y)
    y_datum = datum (y);
  return gnutls_pubkey_import_ecc_raw (key->key, curve, &x_datum, has_y ? &y_datum : NULL) >= 0
         && gnutls_pubkey_verify_params (key->key) >= 0; /* the point is on the curve */
}

static gboolean
import_rsa (Key *key, const JwtJson *json)
{
  g_autoptr (GBytes) n = take_bytes (json, "n");
  g_autoptr (GBytes) e = take_bytes (json, "e");
  gnutls_datum_t n_datum, e_datum;
  unsigned int bits = 0;

  if (n == NULL || e == NULL || g_bytes_get_size (n) > RSA_BITS_MAX / 8 || g_bytes_get_size (e) > 8)
    return FALSE;
  n_datum = datum (n);
  e_datum = datum (e);
  return gnutls_pubkey_import_rsa_raw (key->key, &n_datum, &e_datum) >= 0
         && gnutls_pubkey_get_pk_algorithm (key->key, &bits) == GNUTLS_PK_RSA
         && bits >= RSA_BITS_MIN;
}

static gboolean
import_secret (Key *key, const JwtJson *json)
{
  key->secret = take_bytes (json, "k");
  return key->secret != NULL && g_bytes_get_size (key->secret) >= SECRET_MIN;
}

/* The one algorithm of a key: by its kind, or where that leaves a choice by what it says. 0: none
 * that is known here. */
static JwtAlgorithm
algorithm_of (const JwtJson *json)
{
  const char *said = jwt_json_get_text (json, "alg");
  JwtAlgorithm algorithm = said != NULL ? jwt_algorithm_from_name (said) : (JwtAlgorithm) 0;
  guint possible = 0;

  if (is_text (json, "kty", "OKP") && is_text (json, "crv", "Ed25519"))
    possible = JWT_EDDSA;
  else if (is_text (json, "kty", "EC") && is_text (json, "crv", "P-256"))
    possible = JWT_ES256;
  else if (is_text (json, "kty", "RSA"))
    return (algorithm & (JWT_RS256 | JWT_PS256)) != 0 ? algorithm : (JwtAlgorithm) 0;
  else if (is_text (json, "kty", "oct"))
    return algorithm == JWT_HS256 ? algorithm : (JwtAlgorithm) 0;
  if (said == NULL)
    return (JwtAlgorithm) possible;
  return (JwtAlgorithm) (algorithm & possible);
}

static gboolean
is_for_verifying (const JwtJson *json)
{
  const JwtJson *operations = jwt_json_get (json, "key_ops");

  if (jwt_json_has (json, "use") && !is_text (json, "use", "sig"))
    return FALSE;
  if (operations == NULL)
    return TRUE;
  for (guint i = 0; operations->type == JWT_JSON_ARRAY && i < operations->items->len; i++)
    {
      const JwtJson *one = g_ptr_array_index (operations->items, i);

      if (one->type == JWT_JSON_STRING && strcmp (one->text, "verify") == 0)
        return TRUE;
    }
  return FALSE;
}

static gboolean
is_id (const char *text)
{
  gsize size = strlen (text);

  return size > 0 && size <= ID_MAX
         && strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
                == size;
}

static gboolean
import_key (Key *key, const JwtJson *json)
{
  const char *id = jwt_json_get_text (json, "kid");

  if (jwt_json_has (json, "kid") && (id == NULL || !is_id (id)))
    return FALSE;
  key->id = g_strdup (id);
  if (key->algorithm == JWT_HS256)
    return import_secret (key, json);
  if (jwt_json_has (json, "d") || gnutls_pubkey_init (&key->key) < 0)
    return FALSE; /* a private key has no place here */
  if (key->algorithm == JWT_EDDSA)
    return import_curve (key, json, GNUTLS_ECC_CURVE_ED25519, FALSE);
  if (key->algorithm == JWT_ES256)
    return import_curve (key, json, GNUTLS_ECC_CURVE_SECP256R1, TRUE);
  return import_rsa (key, json);
}

/* --- the set --- */

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_STATE_DIR, "%s",
               why);
  return FALSE;
}

static const Key *
find (const JwtKeys *self, const char *id)
{
  for (guint i = 0; i < self->keys->len; i++)
    {
      const Key *key = g_ptr_array_index (self->keys, i);

      if (g_strcmp0 (key->id, id) == 0)
        return key;
    }
  return NULL;
}

static gboolean
add_key (JwtKeys *self, const JwtJson *json, guint allowed, GError **error)
{
  JwtAlgorithm algorithm = json->type == JWT_JSON_OBJECT ? algorithm_of (json) : (JwtAlgorithm) 0;
  Key *key;

  if ((algorithm & allowed) == 0 || !is_for_verifying (json))
    return TRUE;
  if (self->keys->len == JWT_KEYS_MAX)
    return refuse (error, "there are more than 64 keys");
  key = g_new0 (Key, 1);
  key->algorithm = algorithm;
  if (!import_key (key, json))
    {
      key_free (key);
      return refuse (error, "a key is broken, too weak, or private");
    }
  if (find (self, key->id) != NULL)
    {
      key_free (key);
      return refuse (error, "two keys have the same id");
    }
  g_ptr_array_add (self->keys, key);
  return TRUE;
}

JwtKeys *
jwt_keys_parse (const char *text, gsize size, guint allowed, GError **error)
{
  g_autoptr (JwtJson) json
      = size <= JWT_KEYS_TEXT_MAX ? jwt_json_parse (text, size, KEY_VALUES_MAX) : NULL;
  const JwtJson *list = jwt_json_get (json, "keys");
  g_autoptr (JwtKeys) self = NULL;

  if (list == NULL || list->type != JWT_JSON_ARRAY)
    {
      refuse (error, "it is no JWK set (a JSON object with \"keys\")");
      return NULL;
    }
  self = g_new0 (JwtKeys, 1);
  self->keys = g_ptr_array_new_with_free_func (key_free);
  for (guint i = 0; i < list->items->len; i++)
    if (!add_key (self, g_ptr_array_index (list->items, i), allowed, error))
      return NULL;
  if (self->keys->len > 0)
    return g_steal_pointer (&self);
  refuse (error, "it has no key for an algorithm that is allowed (param.algorithms)");
  return NULL;
}

/* --- signatures --- */

static gboolean
is_zero (const guint8 *bytes, gsize size)
{
  guint8 any = 0;

  for (gsize i = 0; i < size; i++)
    any |= bytes[i];
  return any == 0;
}

static gboolean
verify (const Key *key,
        gnutls_sign_algorithm_t algorithm,
        const char *data,
        gsize size,
        const gnutls_datum_t *signature)
{
  gnutls_datum_t text = { (unsigned char *) data, (unsigned int) size };

  return gnutls_pubkey_verify_data2 (key->key, algorithm, 0, &text, signature) >= 0;
}

/* JOSE has r and s one behind the other, X.509 in DER. */
static gboolean
verify_es256 (
    const Key *key, const char *data, gsize size, const guint8 *signature, gsize signature_size)
{
  gnutls_datum_t r = { (unsigned char *) signature, COORDINATE_SIZE };
  gnutls_datum_t s = { (unsigned char *) signature + COORDINATE_SIZE, COORDINATE_SIZE };
  gnutls_datum_t der = { NULL, 0 };
  gboolean fits;

  if (signature_size != SIGNATURE_SIZE || is_zero (r.data, r.size) || is_zero (s.data, s.size)
      || gnutls_encode_rs_value (&der, &r, &s) < 0)
    return FALSE;
  fits = verify (key, GNUTLS_SIGN_ECDSA_SHA256, data, size, &der);
  gnutls_free (der.data);
  return fits;
}

static gboolean
verify_hs256 (
    const Key *key, const char *data, gsize size, const guint8 *signature, gsize signature_size)
{
  guint8 mac[32];
  gsize secret_size;
  gconstpointer secret = g_bytes_get_data (key->secret, &secret_size);

  return signature_size == sizeof mac
         && gnutls_hmac_fast (GNUTLS_MAC_SHA256, secret, secret_size, data, size, mac) >= 0
         && gnutls_memcmp (mac, signature, sizeof mac) == 0;
}

static gboolean
check_by (
    const Key *key, const char *data, gsize size, const guint8 *signature, gsize signature_size)
{
  gnutls_datum_t bytes = { (unsigned char *) signature, (unsigned int) signature_size };

  switch (key->algorithm)
    {
    case JWT_EDDSA:
      return signature_size == SIGNATURE_SIZE
             && verify (key, GNUTLS_SIGN_EDDSA_ED25519, data, size, &bytes);
    case JWT_ES256:
      return verify_es256 (key, data, size, signature, signature_size);
    case JWT_RS256:
      return verify (key, GNUTLS_SIGN_RSA_SHA256, data, size, &bytes);
    case JWT_PS256:
      return verify (key, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, data, size, &bytes);
    case JWT_HS256:
      return verify_hs256 (key, data, size, signature, signature_size);
    default:
      return FALSE;
    }
}

const char *
jwt_keys_check (JwtKeys *self,
                const char *id,
                JwtAlgorithm algorithm,
                const char *data,
                gsize data_size,
                const guint8 *signature,
                gsize signature_size)
{
  const Key *key = NULL;

  if (id != NULL)
    key = is_id (id) ? find (self, id) : NULL;
  else if (self->keys->len == 1)
    key = g_ptr_array_index (self->keys, 0);
  if (key == NULL)
    return id != NULL ? JWT_UNKNOWN_KEY : "it names no key, and the key set has several";
  if (key->algorithm != algorithm)
    return "its algorithm is not that of its key";
  if (!check_by (key, data, data_size, signature, signature_size))
    return "its signature is wrong";
  return NULL;
}
