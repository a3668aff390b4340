/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Admission without a network: tokens as text, messages, the register, what is decided about a
 * request, limits and the times of renewal. Clock and chance are arguments throughout.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"
#include "tests/pki/pki-fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define NOW G_GINT64_CONSTANT (2000000000)

static const char *const addresses[]
    = { "192.0.2.7:7443", "[2001:db8::1]:1", "host.example:65535", NULL };

static CommyPkiToken *
make_token (gint64 expires_s)
{
  guint8 fingerprint[COMMY_PKI_FINGERPRINT_SIZE];
  g_autoptr (GError) error = NULL;
  CommyPkiToken *token;

  memset (fingerprint, 0xa5, sizeof fingerprint);
  token = commy_pki_token_new (fingerprint, addresses, expires_s, &error);
  g_assert_no_error (error);
  return token;
}

/* --- tokens --- */

static void
assert_no_token (const char *text, int code, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiToken) token = commy_pki_token_parse (text, &error);

  g_assert_null (token);
  g_assert_cmpint (error->code, ==, code);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
  /* What may hold a secret is never repeated. */
  if (strlen (text) > 40)
    g_assert_null (strstr (error->message, text + 20));
}

static void
test_token_round_trip (void)
{
  g_autoptr (CommyPkiToken) token = make_token (NOW);
  g_autofree char *text = commy_pki_token_to_text (token);
  GString *folded = g_string_new ("  ");
  g_autoptr (CommyPkiToken) read = NULL;
  g_autofree char *upper = g_ascii_strup (text, -1);
  g_autoptr (CommyPkiToken) shouted = commy_pki_token_parse (upper, NULL);

  g_assert_true (g_str_has_prefix (text, "cmyjoin1"));
  for (const char *at = text; *at != '\0'; at++)
    {
      g_assert_true (g_ascii_isalnum (*at)); /* one word, whatever it is pasted into */
      g_string_append_c (folded, *at);
      if ((at - text) % 60 == 59)
        g_string_append (folded, "\r\n");
    }
  read = commy_pki_token_parse (folded->str, NULL);
  g_string_free (folded, TRUE);
  g_assert_nonnull (read);
  g_assert_nonnull (shouted);
  g_assert_cmpstr (read->id, ==, token->id);
  g_assert_cmpint (read->expires_s, ==, NOW);
  g_assert_true (memcmp (read->secret, token->secret, sizeof read->secret) == 0);
  g_assert_true (memcmp (read->fingerprint, token->fingerprint, sizeof read->fingerprint) == 0);
  g_assert_true (g_strv_equal ((const char *const *) read->addresses, addresses));
}

static void
test_token_damage (void)
{
  g_autoptr (CommyPkiToken) token = make_token (NOW);
  g_autofree char *text = commy_pki_token_to_text (token);
  gsize size = strlen (text);

  for (gsize i = 0; i < size; i++)
    {
      g_autofree char *changed = g_strdup (text);
      g_autofree char *cut = g_strndup (text, i);

      changed[i] = text[i] == 'b' ? 'c' : 'b';
      g_assert_null (commy_pki_token_parse (changed, NULL));
      g_assert_null (commy_pki_token_parse (cut, NULL));
    }
  text[size - 20] = text[size - 20] == 'b' ? 'c' : 'b';
  assert_no_token (text, COMMY_ERROR_JOIN, "checksum");
  text[size - 20] = '!';
  assert_no_token (text, COMMY_ERROR_JOIN, "does not belong there");
  text[7] = '9';
  assert_no_token (text, COMMY_ERROR_VERSION, "another version");
  assert_no_token ("", COMMY_ERROR_JOIN, "no join token");
  assert_no_token ("cmyjoin1", COMMY_ERROR_JOIN, "cut off");
  assert_no_token ("hello", COMMY_ERROR_JOIN, "commy pki token create");
}

static void
test_token_limits (void)
{
  static const char *const five[] = { "a:1", "b:1", "c:1", "d:1", "e:1", NULL };
  static const char *const none[] = { NULL };
  static const char *const bad[]
      = { "",         "a",    ":1",    "a:0",   "a:65536", "a:x",  "a:",   "a b:1",
          "::1:7443", "[]:1", "[::1]", "a/b:1", "a:1 ",    "\n:1", "a:+1", "[a:1" };
  const guint8 fingerprint[COMMY_PKI_FINGERPRINT_SIZE] = { 0 };
  g_autofree char *huge = g_strnfill (COMMY_PKI_TOKEN_TEXT_MAX + 1, 'a');

  g_assert_null (commy_pki_token_new (fingerprint, five, NOW, NULL));
  g_assert_null (commy_pki_token_new (fingerprint, none, NOW, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    if (commy_pki_check_address (bad[i], NULL))
      g_error ("\"%s\" was taken for an address", bad[i]);
  assert_no_token (huge, COMMY_ERROR_JOIN, "too long");
}

/* --- messages --- */

static void
test_message_damage (void)
{
  GVariantDict fields;
  g_autoptr (GBytes) bytes = NULL;
  g_auto (CommyPkiMessage) whole = { 0 };
  gsize size;
  const guint8 *data;

  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert (&fields, "text", "s", "no\033[31m");
  g_variant_dict_insert (&fields, "time", "x", NOW);
  bytes = commy_pki_message_write (COMMY_PKI_MESSAGE_REFUSED, g_variant_dict_end (&fields));
  data = g_bytes_get_data (bytes, &size);
  g_assert_true (commy_pki_message_read (data, size, &whole, NULL));
  g_assert_cmpint (commy_pki_message_get_time (&whole), ==, NOW);
  g_assert_null (commy_pki_message_dup_text (&whole, "text", 100)); /* control characters */
  g_assert_null (commy_pki_message_dup_text (&whole, "time", 100)); /* another type */
  for (gsize i = 0; i < size; i++)
    {
      g_auto (CommyPkiMessage) part = { 0 };

      g_assert_false (commy_pki_message_read (data, i, &part, NULL));
    }
  for (gsize i = 0; i < COMMY_PKI_MESSAGE_HEADER; i++)
    {
      g_autofree guint8 *bad = g_memdup2 (data, size);
      g_auto (CommyPkiMessage) message = { 0 };

      bad[i] ^= 0x80;
      g_assert_false (commy_pki_message_read (bad, size, &message, NULL));
    }
}

static void
test_message_limit (void)
{
  g_autofree char *long_text = g_strnfill (COMMY_PKI_MESSAGE_MAX, 'x');
  const guint8 huge[] = { 'C', 'M', 'Y', 'J', 1, 2, 0, 0, 0x7f, 0xff, 0xff, 0xff };
  g_autoptr (GError) error = NULL;
  GVariantDict fields;

  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert (&fields, "text", "s", long_text);
  g_assert_null (commy_pki_message_write (COMMY_PKI_MESSAGE_REFUSED, g_variant_dict_end (&fields)));
  g_assert_cmpint (commy_pki_message_measure (huge, sizeof huge, &error), <, 0);
  g_assert_error (error, COMMY_PKI_ERROR, COMMY_ERROR_TOO_BIG);
}

/* --- deciding --- */

typedef struct
{
  char *dir;
  CommyPkiAuthority *authority;
  CommyPkiAdmission admission;
} Scene;

static void
scene_init (Scene *self)
{
  self->dir = fixture_authority_dir ();
  self->authority = commy_pki_authority_load (self->dir, NULL);
  self->admission = (CommyPkiAdmission){ .authority = self->authority,
                                         .dir = self->dir,
                                         .life_s = COMMY_PKI_JOINED_LIFE_S };
}

static void
scene_clear (Scene *self)
{
  commy_pki_authority_free (self->authority);
  fixture_remove (self->dir);
}

static CommyPkiToken *
scene_add_token (Scene *self, gint64 expires_s, const char *host, const char *user)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (self->dir, &error);
  CommyPkiToken *token = make_token (expires_s);

  g_assert_no_error (error);
  commy_pki_register_add_token (reg, token, host, user, fixture_now (), &error);
  g_assert_no_error (error);
  commy_pki_register_save (reg, fixture_now (), &error);
  g_assert_no_error (error);
  return token;
}

static GVariantDict *
join_fields (const CommyPkiToken *token, const char *host, const char *user)
{
  GVariantDict *fields = g_variant_dict_new (NULL);
  g_autoptr (GBytes) csr = NULL;
  g_autofree char *key = NULL;

  g_assert_true (commy_pki_request_new (&key, &csr, NULL));
  g_variant_dict_insert (fields, "token", "s", token->id);
  g_variant_dict_insert (fields, "host", "s", host);
  g_variant_dict_insert (fields, "user", "s", user);
  g_variant_dict_insert_value (
      fields, "secret",
      g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, token->secret, sizeof token->secret, 1));
  g_variant_dict_insert_value (fields, "request",
                               g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, csr, TRUE));
  return fields;
}

/* Sends the fields and returns what the refusal says, or NULL. Takes @fields. */
static char *
decide (Scene *self,
        CommyPkiMessageType type,
        GVariantDict *fields,
        gint64 now_s,
        gboolean *out_suspicious)
{
  g_auto (CommyPkiMessage) request = { type, g_variant_ref_sink (g_variant_dict_end (fields)) };
  g_auto (CommyPkiMessage) answer = { 0 };
  CommyPkiOutcome outcome = { FALSE };
  g_autoptr (GBytes) bytes = commy_pki_admission_decide (&self->admission, &request, NULL,
                                                         "192.0.2.1", now_s, 0, &outcome);
  char *text = NULL;

  g_variant_dict_unref (fields);
  g_assert_nonnull (outcome.line); /* everything is told */
  for (const char *at = outcome.line; *at != '\0'; at = g_utf8_next_char (at))
    g_assert_false (g_unichar_iscntrl (g_utf8_get_char (at))); /* on a line of its own */
  commy_pki_outcome_clear (&outcome);
  g_assert_true (commy_pki_message_read (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes),
                                         &answer, NULL));
  g_assert_true (outcome.admitted == (answer.type == COMMY_PKI_MESSAGE_ADMITTED));
  if (!outcome.admitted)
    {
      text = commy_pki_message_dup_text (&answer, "text", 1024);
      g_assert_nonnull (text);
    }
  if (out_suspicious != NULL)
    *out_suspicious = outcome.suspicious;
  return text;
}

static void
assert_refused (Scene *self,
                const CommyPkiToken *token,
                const char *host,
                const char *user,
                gint64 now_s,
                const char *words)
{
  g_autofree char *text
      = decide (self, COMMY_PKI_MESSAGE_JOIN, join_fields (token, host, user), now_s, NULL);

  if (text == NULL || strstr (text, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", text, words);
}

static void
assert_admitted (Scene *self, const CommyPkiToken *token, const char *host, const char *user)
{
  g_autofree char *text = decide (self, COMMY_PKI_MESSAGE_JOIN, join_fields (token, host, user),
                                  fixture_now (), NULL);

  g_assert_cmpstr (text, ==, NULL);
}

static void
test_token_states (void)
{
  Scene scene;
  gint64 now = fixture_now ();
  g_autoptr (CommyPkiToken) once = NULL;
  g_autoptr (CommyPkiToken) late = NULL;
  g_autoptr (CommyPkiToken) revoked = NULL;

  scene_init (&scene);
  once = scene_add_token (&scene, now + 60, NULL, NULL);
  late = scene_add_token (&scene, now + 60, NULL, NULL);
  revoked = scene_add_token (&scene, now + 60, NULL, NULL);
  assert_admitted (&scene, once, "h", "u");
  assert_refused (&scene, once, "h", "u", now, "used already");
  assert_refused (&scene, late, "h", "u2", now + 60, "the authority's clock says");
  {
    g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (scene.dir, NULL);

    g_assert_true (commy_pki_register_revoke_token (reg, revoked->id, NULL));
    g_assert_false (commy_pki_register_revoke_token (reg, once->id, NULL));
    g_assert_false (commy_pki_register_revoke_token (reg, "00000000", NULL));
    g_assert_true (commy_pki_register_save (reg, now, NULL));
  }
  assert_refused (&scene, revoked, "h", "u3", now, "was revoked");
  scene_clear (&scene);
}

static void
test_wrong_secret (void)
{
  Scene scene;
  gint64 now = fixture_now ();
  g_autoptr (CommyPkiToken) token = NULL;
  gboolean suspicious = FALSE;
  g_autofree char *wrong = NULL;
  g_autofree char *unknown = NULL;
  g_autofree char *file = NULL;
  g_autofree char *text = NULL;
  g_autofree char *hash = NULL;
  struct stat about;

  scene_init (&scene);
  token = scene_add_token (&scene, now + 60, NULL, NULL);
  hash = g_compute_checksum_for_data (G_CHECKSUM_SHA256, token->secret, sizeof token->secret);
  token->secret[19] ^= 1;
  wrong = decide (&scene, COMMY_PKI_MESSAGE_JOIN, join_fields (token, "h", "u"), now, &suspicious);
  g_assert_true (suspicious);
  token->secret[19] ^= 1;
  token->id[0] = token->id[0] == 'a' ? 'b' : 'a';
  unknown = decide (&scene, COMMY_PKI_MESSAGE_JOIN, join_fields (token, "h", "u"), now, NULL);
  g_assert_cmpstr (wrong, ==, unknown); /* nobody learns which ids there are */
  file = g_build_filename (scene.dir, "register.ini", NULL);
  g_assert_true (g_file_get_contents (file, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, hash));
  g_assert_cmpint (stat (file, &about), ==, 0);
  g_assert_cmpuint (about.st_mode & 07777, ==, 0600);
  scene_clear (&scene);
}

static void
test_names (void)
{
  Scene scene;
  gint64 now = fixture_now ();
  g_autoptr (CommyPkiToken) first = NULL;
  g_autoptr (CommyPkiToken) open_token = NULL;
  g_autoptr (CommyPkiToken) host_only = NULL;
  g_autoptr (CommyPkiToken) exact = NULL;

  scene_init (&scene);
  first = scene_add_token (&scene, now + 60, NULL, NULL);
  open_token = scene_add_token (&scene, now + 60, NULL, NULL);
  host_only = scene_add_token (&scene, now + 60, "h", NULL);
  exact = scene_add_token (&scene, now + 60, "h", "u");
  assert_admitted (&scene, first, "h", "u");
  assert_refused (&scene, open_token, "h", "u", now, "given out to another key");
  assert_refused (&scene, host_only, "h", "u", now, "given out to another key");
  assert_refused (&scene, host_only, "other", "u2", now, "--host h");
  assert_refused (&scene, exact, "h", "u2", now, "--user u");
  assert_refused (&scene, open_token, "h/user/x", "u", now, "cannot stand in a certificate");
  assert_refused (&scene, open_token, "..", "u", now, "cannot stand in a certificate");
  assert_refused (&scene, open_token, "x\nadmitted spiffe://d/host/h/user/root", "u", now,
                  "cannot stand in a certificate");
  assert_refused (&scene, exact, "h",
                  "u\xc2\x9b"
                  "31m\nrenewed",
                  now, "cannot stand in a certificate");
  assert_admitted (&scene, exact, "h", "u");      /* the token says so */
  assert_admitted (&scene, host_only, "h", "u2"); /* refusals did not use it up */
  assert_admitted (&scene, open_token, "h3", "u");
  scene_clear (&scene);
}

static void
test_requests_that_lack_something (void)
{
  static const char *const names[] = { "token", "secret", "host", "user", "request" };
  Scene scene;
  g_autoptr (CommyPkiToken) token = NULL;
  gint64 now = fixture_now ();

  scene_init (&scene);
  token = scene_add_token (&scene, now + 60, NULL, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      GVariantDict *fields = join_fields (token, "h", "u");
      g_autofree char *text = NULL;

      g_variant_dict_remove (fields, names[i]);
      text = decide (&scene, COMMY_PKI_MESSAGE_JOIN, fields, now, NULL);
      g_assert_nonnull (text);
    }
  for (guint i = 0; i < 3; i++) /* a signing request that is none */
    {
      GVariantDict *fields = join_fields (token, "h", "u");
      g_autofree guint8 *junk = g_malloc0 (COMMY_PKI_REQUEST_MAX + 1);
      const gsize sizes[] = { 0, 100, COMMY_PKI_REQUEST_MAX + 1 };
      g_autofree char *text = NULL;

      g_variant_dict_insert_value (
          fields, "request", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, junk, sizes[i], 1));
      text = decide (&scene, COMMY_PKI_MESSAGE_JOIN, fields, now, NULL);
      g_assert_nonnull (strstr (text, "signing request"));
    }
  g_free (decide (&scene, COMMY_PKI_MESSAGE_GREETING, join_fields (token, "h", "u"), now, NULL));
  g_free (decide (&scene, COMMY_PKI_MESSAGE_RENEW, join_fields (token, "h", "u"), now, NULL));
  assert_admitted (&scene, token, "h", "u"); /* none of that used the token up */
  scene_clear (&scene);
}

#define SERVICES 8

/* A service of its own for the same authority: locks hold between threads as between processes. */
static gpointer
race (gpointer data)
{
  const Scene *shared = data;
  Scene own = { .dir = shared->dir };
  g_autofree char *text = commy_pki_read_file (own.dir, "token", FALSE, NULL);
  g_autoptr (CommyPkiToken) token = commy_pki_token_parse (text, NULL);
  g_autofree char *refusal = NULL;

  own.authority = commy_pki_authority_load (own.dir, NULL);
  own.admission = shared->admission;
  own.admission.authority = own.authority;
  refusal
      = decide (&own, COMMY_PKI_MESSAGE_JOIN, join_fields (token, "h", "u"), fixture_now (), NULL);
  commy_pki_authority_free (own.authority);
  if (refusal == NULL)
    return GUINT_TO_POINTER (1);
  g_assert_nonnull (strstr (refusal, "used already"));
  return NULL;
}

static void
test_services_that_race (void)
{
  Scene scene;

  scene_init (&scene);
  for (guint round = 0; round < 10; round++)
    {
      g_autoptr (CommyPkiToken) token = scene_add_token (&scene, fixture_now () + 600, "h", "u");
      g_autofree char *text = commy_pki_token_to_text (token);
      GThread *threads[SERVICES];
      guint winners = 0;

      g_assert_true (commy_pki_write_file (scene.dir, "token", text, 0600, FALSE, NULL));
      for (guint i = 0; i < SERVICES; i++)
        threads[i] = g_thread_new ("service", race, &scene);
      for (guint i = 0; i < SERVICES; i++)
        winners += GPOINTER_TO_UINT (g_thread_join (threads[i]));
      g_assert_cmpuint (winners, ==, 1);
    }
  scene_clear (&scene);
}

static void
test_register_limit (void)
{
  Scene scene;
  gint64 now = fixture_now ();
  guint added = 0;

  scene_init (&scene);
  {
    g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (scene.dir, NULL);
    g_autoptr (GPtrArray) list = NULL;

    for (;;)
      {
        g_autoptr (CommyPkiToken) token = make_token (now + 60);

        if (!commy_pki_register_add_token (reg, token, NULL, NULL, now, NULL))
          break;
        added++;
      }
    g_assert_cmpuint (added, ==, 256);
    list = commy_pki_register_list_tokens (reg, now);
    g_assert_cmpuint (list->len, ==, 256);
    /* A week after their end they make room. */
    g_assert_true (commy_pki_register_save (reg, now + 60 + 8 * DAY, NULL));
  }
  {
    g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (scene.dir, NULL);
    g_autoptr (GPtrArray) list = commy_pki_register_list_tokens (reg, now);

    g_assert_cmpuint (list->len, ==, 0);
  }
  scene_clear (&scene);
}

#define NAMES 16384

/* A register with @n names of which each has @rest, and those before @odd something else. */
static void
write_names (Scene *self, guint n, guint odd, const char *other, const char *rest)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "[identity /host/h%u/user/u]\nkey=00\n%s\n", i,
                            i < odd ? other : rest);
  g_assert_true (commy_pki_write_file (self->dir, "register.ini", text->str, 0600, FALSE, NULL));
  g_string_free (text, TRUE);
}

static gboolean
set_name (Scene *self, const char *path, gint64 now_s, GError **error)
{
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (self->dir, NULL);

  return commy_pki_register_set_identity (reg, path, "01", NULL, now_s + DAY, now_s, error)
         && commy_pki_register_save (reg, now_s, error);
}

static guint
count_names (Scene *self)
{
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (self->dir, NULL);
  g_auto (GStrv) groups = g_key_file_get_groups (commy_pki_register_get_file (reg), NULL);
  guint n = 0;

  for (char **group = groups; *group != NULL; group++)
    n += g_str_has_prefix (*group, "identity ") ? 1 : 0;
  return n;
}

/* Nobody new gets in; who is in is renewed, gets a new key, and can be revoked. */
static void
check_full (Scene *self, gint64 now_s)
{
  g_auto (CommyPkiRevocation) revocation = { NULL };
  g_autoptr (CommyPkiToken) anybody = scene_add_token (self, now_s + 600, NULL, NULL);
  g_autoptr (CommyPkiToken) again = scene_add_token (self, now_s + 600, "h7", "u");
  g_autoptr (GError) error = NULL;

  g_assert_false (set_name (self, "/host/new/user/u", now_s, &error));
  g_assert_nonnull (strstr (error->message, "commy pki token create --host"));
  assert_refused (self, anybody, "new", "u", now_s, "a problem of its own");
  assert_admitted (self, again, "h7", "u");
  g_clear_error (&error);
  set_name (self, "/host/h8/user/u", now_s, &error);
  g_assert_no_error (error);
  commy_pki_revoke (self->dir, "host/h7/user/u", now_s, &revocation, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (revocation.names->len, ==, 1);
}

static void
test_register_full_of_names (void)
{
  Scene scene;
  gint64 now = fixture_now ();
  g_autofree char *good = g_strdup_printf ("until=%" G_GINT64_FORMAT, now + DAY);

  scene_init (&scene);
  write_names (&scene, NAMES, 0, NULL, good);
  check_full (&scene, now);
  g_assert_cmpuint (count_names (&scene), ==, NAMES);
  scene_clear (&scene);
}

static void
test_register_full_of_bytes (void)
{
  Scene scene;
  gint64 now = fixture_now ();
  g_autofree char *much = g_strnfill (2200, 'x');
  g_autofree char *good = g_strdup_printf ("until=%" G_GINT64_FORMAT "\nnote=%s", now + DAY, much);

  scene_init (&scene);
  write_names (&scene, 4000, 0, NULL, good);
  check_full (&scene, now);
  scene_clear (&scene);
}

/* Ninety days after its end a name goes; not if it was revoked, nor while any certificate is good.
 */
static void
test_register_forgets_names (void)
{
  gint64 now = fixture_now ();
  gint64 until = now - 90 * DAY;
  g_autofree char *over = g_strdup_printf ("until=%" G_GINT64_FORMAT, until - 1);
  Scene scene;

  scene_init (&scene);
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *stays
          = i == 0 ? g_strdup_printf ("until=%" G_GINT64_FORMAT "\nrevoked=true", until - 1)
                   : g_strdup_printf ("until=5\ncertificates=x509:a:01 %" G_GINT64_FORMAT, until);
      g_autoptr (GError) error = NULL;

      write_names (&scene, NAMES, 3, stays, over);
      set_name (&scene, "/host/new/user/u", now, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (count_names (&scene), ==, 4);
    }
  scene_clear (&scene);
}

/* --- limits, renewal --- */

static void
test_limiter (void)
{
  g_autoptr (CommyPkiLimiter) limiter = commy_pki_limiter_new ();
  gint64 now = 1000;

  for (guint i = 0; i < COMMY_PKI_LIMITER_FAILURES; i++)
    {
      g_assert_true (commy_pki_limiter_allows (limiter, "a", now));
      commy_pki_limiter_add_failure (limiter, "a", now);
    }
  g_assert_false (commy_pki_limiter_allows (limiter, "a", now));
  g_assert_true (commy_pki_limiter_allows (limiter, "b", now));
  g_assert_true (commy_pki_limiter_allows (limiter, "a", now + COMMY_PKI_LIMITER_REFILL_US));
  for (guint i = 0; i < 3 * COMMY_PKI_LIMITER_ADDRESSES; i++)
    {
      g_autofree char *name = g_strdup_printf ("n%u", i);

      commy_pki_limiter_add_failure (limiter, name, now);
      g_assert_cmpuint (commy_pki_limiter_get_n_addresses (limiter), <=,
                        COMMY_PKI_LIMITER_ADDRESSES);
    }
  g_assert_false (commy_pki_limiter_allows (limiter, "a", now)); /* the worst is kept longest */
}

static void
test_renewal_times (void)
{
  gint64 day = DAY;

  g_assert_cmpint (commy_pki_renewal_due (0, 3 * day, 0), ==, 2 * day);
  for (guint32 random = 0; random < 100; random++)
    {
      gint64 due = commy_pki_renewal_due (0, 3 * day, random * 2654435761u);

      g_assert_cmpint (due, >=, 2 * day);
      g_assert_cmpint (due, <, 2 * day + 3 * day / 20);
      for (guint failures = 1; failures < 40; failures++)
        {
          gint64 wait = commy_pki_renewal_backoff (failures, day, random * 2654435761u);

          g_assert_cmpint (wait, >=, 15);
          g_assert_cmpint (wait, <=, 3600);
          g_assert_cmpint (commy_pki_renewal_backoff (failures, 80, random), <=, 10);
          g_assert_cmpint (commy_pki_renewal_backoff (failures, 3, random), ==, 1);
          g_assert_cmpint (commy_pki_renewal_backoff (failures, -5, random), >=, 15);
        }
    }
  g_assert_cmpint (commy_pki_renewal_due (5, 5, 7), ==, 5);
}

/* A crash between any two steps of replacing leaves a pair that fits. */
static void
test_every_step_of_a_save (void)
{
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  char *fresh = fixture_credentials_dir (authority_dir, -1, 2);
  g_autofree char *ca = commy_pki_read_file (fresh, COMMY_PKI_CA_FILE, FALSE, NULL);
  g_autofree char *cert = commy_pki_read_file (fresh, COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_autofree char *key = commy_pki_read_file (fresh, COMMY_PKI_KEY_FILE, TRUE, NULL);
  g_autofree char *next = g_build_filename (dir, COMMY_PKI_NEXT_KEY_FILE, NULL);

  commy_pki_write_file (dir, COMMY_PKI_NEXT_KEY_FILE, key, 0600, FALSE, NULL);
  {
    g_autoptr (CommyPkiCredentials) old = commy_pki_credentials_load (dir, NULL);

    g_assert_cmpint (old->not_after_s, <, fixture_now () + DAY + 60);
  }
  commy_pki_write_file (dir, COMMY_PKI_CERT_FILE, cert, 0644, FALSE, NULL);
  {
    g_autoptr (CommyPkiCredentials) new_one = commy_pki_credentials_load (dir, NULL);

    g_assert_cmpint (new_one->not_after_s, >, fixture_now () + DAY + 60);
  }
  /* The next save ends what the crash cut off, and does not lose the key that is in use. */
  fixture_issue (authority_dir, fresh, -1, 3);
  g_free (g_steal_pointer (&cert));
  g_free (g_steal_pointer (&key));
  cert = commy_pki_read_file (fresh, COMMY_PKI_CERT_FILE, FALSE, NULL);
  key = commy_pki_read_file (fresh, COMMY_PKI_KEY_FILE, TRUE, NULL);
  g_assert_true (commy_pki_credentials_save (dir, ca, cert, key, NULL));
  {
    g_autoptr (CommyPkiCredentials) last = commy_pki_credentials_load (dir, NULL);

    g_assert_cmpint (last->not_after_s, >, fixture_now () + 2 * DAY + 60);
  }
  g_assert_false (g_file_test (next, G_FILE_TEST_EXISTS));
  fixture_remove (fresh);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/admission/token/survives-copying", test_token_round_trip);
  g_test_add_func ("/admission/token/each-changed-and-cut-character-is-seen", test_token_damage);
  g_test_add_func ("/admission/token/limits", test_token_limits);
  g_test_add_func ("/admission/message/damage-is-seen", test_message_damage);
  g_test_add_func ("/admission/message/size-is-bounded", test_message_limit);
  g_test_add_func ("/admission/decides/used-expired-and-revoked-tokens", test_token_states);
  g_test_add_func ("/admission/decides/a-wrong-secret-is-like-no-token", test_wrong_secret);
  g_test_add_func ("/admission/decides/names-are-never-taken-from-another", test_names);
  g_test_add_func ("/admission/decides/incomplete-requests-use-nothing-up",
                   test_requests_that_lack_something);
  g_test_add_func ("/admission/register/of-eight-services-one-takes-a-token",
                   test_services_that_race);
  g_test_add_func ("/admission/register/is-bounded-and-forgets", test_register_limit);
  g_test_add_func ("/admission/register/full-of-names-it-renews-and-revokes",
                   test_register_full_of_names);
  g_test_add_func ("/admission/register/full-of-bytes-it-renews-and-revokes",
                   test_register_full_of_bytes);
  g_test_add_func ("/admission/register/names-that-ended-long-ago-go", test_register_forgets_names);
  g_test_add_func ("/admission/limiter/by-address-in-bounded-room", test_limiter);
  g_test_add_func ("/admission/renewal/times", test_renewal_times);
  g_test_add_func ("/admission/credentials/fit-after-every-step-of-a-save",
                   test_every_step_of_a_save);
  return g_test_run ();
}
