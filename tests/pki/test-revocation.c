/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates that are taken back, and an authority that changes while it is served: what nodes
 * hold after each step, who is refused from then on, and what a step does not do.
 */
#include "config.h"

#include "tests/pki/join-fixture.h"

#include <glib/gstdio.h>
#include <gnutls/x509.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

/* --- lists --- */

static CommyPkiTrust *
load_trust (const char *dir)
{
  g_autofree char *ca = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, NULL);

  return commy_pki_trust_new (ca, NULL);
}

static char *
dup_crl (const char *dir)
{
  g_autoptr (GError) error = NULL;
  char *pem = commy_pki_read_file (dir, COMMY_PKI_CRL_FILE, FALSE, &error);

  g_assert_no_error (error);
  return pem;
}

static char *
dup_name (const char *dir)
{
  g_autofree char *pem = commy_pki_read_file (dir, COMMY_PKI_CERT_FILE, FALSE, NULL);
  g_autoptr (CommyPkiInfo) info = commy_pki_info_new (pem, NULL);

  return g_strdup (info->name);
}

/* A node whose certificate the register knows. */
static char *
new_node (const char *authority_dir, const char *host)
{
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (authority_dir, NULL);
  g_autoptr (CommyPkiPair) pair
      = commy_pki_issue (authority, host, "u1", fixture_now () - 60, fixture_now () + DAY, NULL);
  char *dir = join_new_dir ();

  g_assert_true (commy_pki_note_issued (authority_dir, pair->cert_pem, fixture_now (), NULL));
  g_assert_true (commy_pki_pair_save (pair, authority, dir, NULL));
  return dir;
}

static void
take_back (const char *dir, const char *what, guint n_names)
{
  g_auto (CommyPkiRevocation) revocation = { NULL };
  g_autoptr (GError) error = NULL;

  commy_pki_revoke (dir, what, fixture_now (), &revocation, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (revocation.names->len, ==, n_names);
}

static CommyPkiFault
judge (CommyPkiTrust *trust, const char *dir)
{
  g_autoptr (GBytes) der = fixture_der (dir);
  CommyPkiFault fault = COMMY_PKI_FAULT_NONE;
  g_autofree char *id
      = commy_pki_trust_verify (trust, &der, 1, COMMY_PKI_CLIENT, fixture_now (), &fault, NULL);

  g_assert_cmpint (id == NULL, ==, fault != COMMY_PKI_FAULT_NONE);
  return fault;
}

static void
test_revoke_node (void)
{
  char *authority = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  char *two = new_node (authority, "h2");
  g_autofree char *name = dup_name (one);
  g_autofree char *other = dup_name (two);
  g_autoptr (CommyPkiTrust) trust = load_trust (authority);
  g_autofree char *crl = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (judge (trust, one), ==, COMMY_PKI_FAULT_NONE);
  g_assert_cmpint (commy_pki_trust_judge_names (trust, name), ==, COMMY_PKI_NAMES_GOOD);
  take_back (authority, "host/h1/user/u1", 1);
  crl = dup_crl (authority);
  g_assert_true (commy_pki_trust_add_crls (trust, crl, &error));
  g_assert_cmpint (judge (trust, one), ==, COMMY_PKI_FAULT_REVOKED);
  g_assert_cmpint (commy_pki_trust_judge_names (trust, name), ==, COMMY_PKI_NAMES_REVOKED);
  g_assert_cmpint (judge (trust, two), ==, COMMY_PKI_FAULT_NONE);
  g_assert_cmpint (commy_pki_trust_judge_names (trust, other), ==, COMMY_PKI_NAMES_GOOD);
  g_assert_cmpint (commy_pki_crl_get_number (crl), ==, 1);
  fixture_remove (two);
  fixture_remove (one);
  fixture_remove (authority);
}

/* By whole id, name and serial number; what is none of these names nobody. */
static void
test_ways_to_say_it (void)
{
  static const char *const bad[]
      = { "host/h9/user/u1", "spiffe://other/host/h1/user/u1", "xyz", "", "x509:aa:zz", "abc",
          "spiffe://" };
  char *authority = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  g_autofree char *name = dup_name (one);
  g_autofree char *id = NULL;
  g_autoptr (CommyPkiAuthority) loaded = commy_pki_authority_load (authority, NULL);
  g_autoptr (CommyPkiTrust) trust = load_trust (authority);
  g_autofree char *crl = NULL;

  id = g_strdup_printf ("spiffe://%s/host/h1/user/u1", commy_pki_authority_get_domain (loaded));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_auto (CommyPkiRevocation) revocation = { NULL };

      g_assert_false (commy_pki_revoke (authority, bad[i], fixture_now (), &revocation, NULL));
    }
  take_back (authority, id, 1);
  take_back (authority, name, 1);
  take_back (authority, strrchr (name, ':') + 1, 1);
  take_back (authority, "0a0b0c", 1); /* unknown to the register, and taken as said */
  crl = dup_crl (authority);
  g_assert_true (commy_pki_trust_add_crls (trust, crl, NULL));
  g_assert_cmpint (judge (trust, one), ==, COMMY_PKI_FAULT_REVOKED);
  g_assert_cmpint (commy_pki_crl_get_number (crl), ==, 4);
  fixture_remove (one);
  fixture_remove (authority);
}

static void
assert_revoked (const char *dir, const char *name)
{
  g_autoptr (CommyPkiTrust) trust = load_trust (dir);
  g_autofree char *crl = dup_crl (dir);
  g_autoptr (GError) error = NULL;

  commy_pki_trust_add_crls (trust, crl, &error);
  g_assert_no_error (error);
  g_assert_cmpint (commy_pki_trust_judge_names (trust, name), ==, COMMY_PKI_NAMES_REVOKED);
}

/* As other tools print numbers: upper case, and colons between bytes. All of it is listed, or
 * nothing is said to be. */
static void
test_notations (void)
{
  static const char *const bad[] = { "0:1",          "0a:",   ":0a",     "0a::0b", "0a:0",
                                     "x509:aa:0a0b", "x509:", "x509:aa", "0a0",    "0a:0g" };
  char *authority = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  g_autofree char *known = dup_name (one);
  g_autofree char *prefix = g_strndup (known, (gsize) (strrchr (known, ':') + 1 - known));
  g_autoptr (GString) colons = g_string_new (NULL);
  g_autofree char *upper = NULL;
  g_autofree char *named = g_strconcat (prefix, "0A:1B:1c", NULL);
  g_autofree char *other = g_strconcat (prefix, "0a1b1c", NULL);

  for (const char *at = strrchr (known, ':') + 1; *at != '\0'; at += 2)
    g_string_append_printf (colons, "%s%.2s", colons->len > 0 ? ":" : "", at);
  upper = g_ascii_strup (colons->str, -1);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_auto (CommyPkiRevocation) revocation = { NULL };
      g_autoptr (GError) error = NULL;

      g_assert_false (commy_pki_revoke (authority, bad[i], fixture_now (), &revocation, &error));
      g_assert_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
    }
  take_back (authority, upper, 1);
  assert_revoked (authority, known);
  take_back (authority, named, 1);
  assert_revoked (authority, other);
  fixture_remove (one);
  fixture_remove (authority);
}

/* Who renews without end would push what is good out of the register, past any revocation. */
static void
test_as_many_as_are_known (void)
{
  char *authority = fixture_authority_dir ();
  g_autoptr (CommyPkiAuthority) loaded = commy_pki_authority_load (authority, NULL);
  gint64 now_s = fixture_now ();

  for (guint i = 0; i <= 16; i++)
    {
      g_autoptr (CommyPkiPair) pair
          = commy_pki_issue (loaded, "h1", "u1", now_s - 60, now_s + DAY + i, NULL);
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (commy_pki_note_issued (authority, pair->cert_pem, now_s, &error), ==,
                       i < 16);
      if (i < 16)
        continue;
      g_assert_error (error, COMMY_PKI_ERROR, COMMY_ERROR_BUSY);
      g_assert_nonnull (strstr (error->message, "host/h1/user/u1 has 16 certificates"));
      /* Others are not kept from anything, and the first one that ends makes room. */
      fixture_remove (new_node (authority, "h2"));
      g_assert_false (commy_pki_note_issued (authority, pair->cert_pem, now_s + DAY, NULL));
      g_assert_true (commy_pki_note_issued (authority, pair->cert_pem, now_s + DAY + 1, NULL));
    }
  take_back (authority, "host/h1/user/u1", 16); /* the first one went when it ended */
  fixture_remove (new_node (authority, "h1"));  /* what is revoked takes no room */
  fixture_remove (authority);
}

/* A list that cannot be read is none that names nobody. */
static void
test_large_lists (void)
{
  char *authority = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  g_autofree char *path = g_build_filename (one, COMMY_PKI_CRL_FILE, NULL);
  g_autofree char *padding = g_strnfill (300 * 1024, '\n');
  g_autofree char *more = g_strnfill (COMMY_PKI_CRL_TEXT_MAX + 1, '\n');
  g_autofree char *crl = NULL;
  g_autofree char *large = NULL;
  g_autofree char *back = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (commy_pki_read_crl (path, &back, &error));
  g_assert_null (back);
  take_back (authority, "0a0b", 1);
  crl = dup_crl (authority);
  large = g_strconcat (crl, padding, NULL);
  g_assert_true (commy_pki_write_file (one, COMMY_PKI_CRL_FILE, large, 0644, FALSE, NULL));
  g_assert_true (commy_pki_read_crl (path, &back, &error));
  g_assert_cmpstr (back, ==, large);
  g_clear_pointer (&back, g_free);
  g_assert_true (commy_pki_write_file (one, COMMY_PKI_CRL_FILE, more, 0644, FALSE, NULL));
  g_assert_false (commy_pki_read_crl (path, &back, &error));
  g_assert_nonnull (strstr (error->message, "at most 4096 KiB"));
  g_assert_null (commy_pki_credentials_load (one, NULL));
  fixture_remove (one);
  fixture_remove (authority);
}

/* Credentials with a list that is not of their authority, or none at all, are not taken. */
static void
test_foreign_lists (void)
{
  char *authority = fixture_authority_dir ();
  char *stranger = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  char *other = new_node (stranger, "h1");
  g_autoptr (CommyPkiTrust) trust = load_trust (authority);
  g_autoptr (CommyPkiCredentials) good = commy_pki_credentials_load (one, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *crl = NULL;

  g_assert_nonnull (good);
  take_back (stranger, "host/h1/user/u1", 1);
  crl = dup_crl (stranger);
  g_assert_false (commy_pki_trust_add_crls (trust, crl, &error));
  g_assert_nonnull (strstr (error->message, "is not signed by an authority of ca.pem"));
  g_assert_false (commy_pki_trust_add_crls (trust, "no list", NULL));
  g_assert_cmpint (judge (trust, one), ==, COMMY_PKI_FAULT_NONE);
  g_assert_true (commy_pki_write_file (one, COMMY_PKI_CRL_FILE, crl, 0644, FALSE, NULL));
  g_assert_null (commy_pki_credentials_load (one, NULL));
  fixture_remove (other);
  fixture_remove (one);
  fixture_remove (stranger);
  fixture_remove (authority);
}

/* A flipped bit anywhere in a list is found. */
static void
test_damaged_lists (void)
{
  char *authority = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  g_autoptr (CommyPkiTrust) trust = load_trust (authority);
  g_autofree char *crl = NULL;
  const char *body;
  gsize size;

  take_back (authority, "host/h1/user/u1", 1);
  crl = dup_crl (authority);
  body = strchr (crl, '\n') + 1;
  size = (gsize) (strstr (body, "-----END") - body);
  for (gsize i = 0; i + 8 < size; i++)
    {
      g_autofree char *changed = g_strdup (crl);
      char *at = changed + (body - crl) + i;

      if (*at == '\n')
        continue;
      *at = *at == 'A' ? 'B' : 'A';
      g_assert_false (commy_pki_trust_add_crls (trust, changed, NULL));
    }
  g_assert_true (commy_pki_trust_add_crls (trust, crl, NULL));
  fixture_remove (one);
  fixture_remove (authority);
}

/* --- chains --- */

static GBytes *
der_of (gnutls_x509_crt_t crt)
{
  gnutls_datum_t der = { NULL, 0 };

  g_assert_cmpint (gnutls_x509_crt_export2 (crt, GNUTLS_X509_FMT_DER, &der), >=, 0);
  return g_bytes_new_with_free_func (der.data, der.size, gnutls_free, der.data);
}

static GBytes *
leaf_of (CommyPkiAuthority *authority)
{
  g_autoptr (CommyPkiPair) pair
      = commy_pki_issue (authority, "h1", "u1", fixture_now () - 60, fixture_now () + DAY, NULL);
  gnutls_datum_t pem = { (guint8 *) pair->cert_pem, (unsigned) strlen (pair->cert_pem) };
  g_auto (gnutls_x509_crt_t) crt = NULL;

  g_assert_cmpint (gnutls_x509_crt_init (&crt), >=, 0);
  g_assert_cmpint (gnutls_x509_crt_import (crt, &pem, GNUTLS_X509_FMT_PEM), >=, 0);
  return der_of (crt);
}

static void
say_issuer (gnutls_x509_crt_t crt, CommyPkiAuthority *issuer)
{
  guint8 id[64];
  gsize size = sizeof id;

  g_assert_cmpint (gnutls_x509_crt_get_subject_key_id (issuer->crt, id, &size, NULL), >=, 0);
  g_assert_cmpint (gnutls_x509_crt_set_authority_key_id (crt, id, size), >=, 0);
}

/* An authority of the test; @above: (nullable): who signed it, instead of itself. */
static CommyPkiAuthority *
make_authority (CommyPkiAuthority *above)
{
  CommyPkiAuthority *self = commy_pki_authority_new ("test", fixture_now () - DAY, NULL);

  if (above == NULL)
    return self;
  say_issuer (self->crt, above);
  g_assert_cmpint (gnutls_x509_crt_sign2 (self->crt, above->crt, above->key, GNUTLS_DIG_SHA256, 0),
                   >=, 0);
  g_free (self->pem);
  self->pem = commy_pki_export_crt (self->crt, NULL);
  return self;
}

/* What bears @old's name and key, says that @issuer signed it, and is signed by nobody. */
static GBytes *
make_bridge (CommyPkiAuthority *old, CommyPkiAuthority *issuer)
{
  g_autoptr (CommyPkiAuthority) junk = make_authority (NULL);

  say_issuer (old->crt, issuer);
  g_assert_cmpint (gnutls_x509_crt_sign2 (old->crt, issuer->crt, junk->key, GNUTLS_DIG_SHA256, 0),
                   >=, 0);
  return der_of (old->crt);
}

static guint
count_names (CommyPkiTrust *trust, GBytes **chain, guint n, char **out_names)
{
  gint64 from_s, until_s;
  g_auto (GStrv) words = NULL;

  g_free (*out_names);
  *out_names = commy_pki_chain_dup_names (trust, chain, n, &from_s, &until_s);
  g_assert_cmpint (from_s, <=, fixture_now ());
  g_assert_cmpint (until_s, >, fixture_now ());
  words = g_strsplit (*out_names, " ", -1);
  return g_strv_length (words);
}

/* The authority that is trusted may be one in the middle. */
static void
test_chain_to_the_middle (void)
{
  g_autoptr (CommyPkiAuthority) root = make_authority (NULL);
  g_autoptr (CommyPkiAuthority) middle = make_authority (root);
  g_autoptr (CommyPkiAuthority) other = make_authority (NULL);
  g_autoptr (CommyPkiTrust) by_root = commy_pki_trust_new (root->pem, NULL);
  g_autoptr (CommyPkiTrust) by_middle = commy_pki_trust_new (middle->pem, NULL);
  g_autoptr (CommyPkiTrust) by_other = commy_pki_trust_new (other->pem, NULL);
  g_autoptr (GBytes) leaf = leaf_of (middle);
  g_autoptr (GBytes) above = der_of (middle->crt);
  g_autoptr (GBytes) top = der_of (root->crt);
  GBytes *chain[] = { leaf, above, top };
  g_autofree char *names = NULL;

  g_assert_cmpuint (count_names (by_middle, chain, 3, &names), ==, 1);
  g_assert_cmpint (commy_pki_trust_judge_names (by_middle, names), ==, COMMY_PKI_NAMES_GOOD);
  g_assert_cmpuint (count_names (by_other, chain, 3, &names), ==, 1);
  g_assert_cmpuint (count_names (NULL, chain, 3, &names), ==, 2);
  g_assert_cmpuint (count_names (by_root, chain, 3, &names), ==, 2);
  g_assert_cmpint (commy_pki_trust_judge_names (by_root, names), ==, COMMY_PKI_NAMES_GOOD);
  g_assert_cmpint (commy_pki_trust_judge_names (by_middle, names), ==, COMMY_PKI_NAMES_GOOD);
  g_assert_cmpint (commy_pki_trust_judge_names (by_other, names), ==, COMMY_PKI_NAMES_STRANGE);
}

/* What is only shown with a chain does not carry it over the end of its authority. */
static void
test_chain_with_more (void)
{
  g_autoptr (CommyPkiAuthority) old = make_authority (NULL);
  g_autoptr (CommyPkiAuthority) new = make_authority (NULL);
  g_autofree char *pems = g_strconcat (old->pem, new->pem, NULL);
  g_autoptr (CommyPkiTrust) both = commy_pki_trust_new (pems, NULL);
  g_autoptr (CommyPkiTrust) by_new = commy_pki_trust_new (new->pem, NULL);
  g_autoptr (GBytes) leaf = leaf_of (old);
  g_autoptr (GBytes) foreign = leaf_of (new);
  g_autoptr (GBytes) bridge = make_bridge (old, new);
  GBytes *unlinked[] = { leaf, foreign };
  GBytes *forged[] = { leaf, bridge };
  g_autofree char *names = NULL;

  g_assert_cmpuint (count_names (NULL, unlinked, 2, &names), ==, 1);
  g_assert_cmpint (commy_pki_trust_judge_names (by_new, names), ==, COMMY_PKI_NAMES_STRANGE);
  g_assert_cmpuint (count_names (NULL, forged, 2, &names), ==, 2); /* it did sign the first */
  g_assert_cmpuint (count_names (both, forged, 2, &names), ==, 1);
  g_assert_cmpint (commy_pki_trust_judge_names (both, names), ==, COMMY_PKI_NAMES_GOOD);
  g_assert_cmpint (commy_pki_trust_judge_names (by_new, names), ==, COMMY_PKI_NAMES_STRANGE);
  g_assert_cmpuint (count_names (by_new, forged, 2, &names), ==, 1);
  g_assert_cmpint (commy_pki_trust_judge_names (by_new, names), ==, COMMY_PKI_NAMES_STRANGE);
}

/* --- with the service --- */

static char *
join (JoinAuthority *authority, const char *host)
{
  g_autofree char *token = join_token_for (authority->dir, authority->address, host, "u");
  g_auto (JoinRun) run = { 0 };
  char *dir = join_new_dir ();

  join_with (&run, token, dir, host);
  join_assert_done (&run);
  return dir;
}

static gboolean
renew (const char *dir, GError **error)
{
  g_autoptr (CommyPkiMembership) membership = commy_pki_renew (dir, 0, fixture_now (), NULL, error);

  return membership != NULL;
}

static void
renew_well (const char *dir)
{
  g_autoptr (GError) error = NULL;

  renew (dir, &error);
  g_assert_no_error (error);
}

static void
test_not_renewed (void)
{
  JoinAuthority authority;
  char *one, *two;
  g_autofree char *token = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (JoinRun) run = { 0 };

  join_authority_init (&authority);
  one = join (&authority, "one");
  two = join (&authority, "two");
  renew_well (one);
  take_back (authority.dir, "host/one/user/u", 2); /* the one before is good still */
  g_assert_false (renew (one, &error));
  g_assert_nonnull (strstr (error->message, "revoked"));
  /* The list comes along with a renewal, and an older one does not replace it. */
  renew_well (two);
  first = dup_crl (two);
  g_assert_cmpint (commy_pki_crl_get_number (first), ==, 1);
  take_back (authority.dir, "0a0b", 1);
  renew_well (two);
  second = dup_crl (two);
  g_assert_cmpint (commy_pki_crl_get_number (second), ==, 2);
  g_assert_true (
      commy_pki_write_file (authority.dir, COMMY_PKI_CRL_FILE, first, 0644, FALSE, NULL));
  renew_well (two);
  g_free (first);
  first = dup_crl (two);
  g_assert_cmpstr (first, ==, second);
  path = g_build_filename (authority.dir, COMMY_PKI_CRL_FILE, NULL);
  g_assert_cmpint (g_unlink (path), ==, 0);
  renew_well (two);
  g_free (first);
  first = dup_crl (two);
  g_assert_cmpstr (first, ==, second);
  /* The name is refused without a list, too. */
  g_clear_error (&error);
  g_assert_false (renew (one, &error));
  g_assert_nonnull (strstr (error->message, "this name was revoked"));
  /* A token for exactly this name lets it in again. */
  token = join_token_for (authority.dir, authority.address, "one", "u");
  join_with (&run, token, one, "one");
  join_assert_done (&run);
  renew_well (one);
  fixture_remove (two);
  fixture_remove (one);
  join_authority_clear (&authority);
}

/* Ten refusals at once, then one each six seconds: so many do not take a minute. */
static void
test_refusals_wait (void)
{
  JoinAuthority authority;
  char *old, *present, *other;
  g_autofree char *used = NULL;
  gboolean waits = FALSE;

  join_authority_init (&authority);
  old = join (&authority, "one");
  present = join (&authority, "one"); /* the same name, with another key */
  other = join (&authority, "two");
  for (guint i = 0; i < 20 && !waits; i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (renew (old, &error));
      waits = strstr (error->message, "refused many times") != NULL;
      g_assert_true (i >= 10 || !waits);
      g_assert_true (waits || strstr (error->message, "given to another key") != NULL);
    }
  g_assert_true (waits);
  renew_well (present);
  renew_well (other);
  /* The same for a token that is good no more. */
  used = join_token_for (authority.dir, authority.address, "three", "u");
  waits = FALSE;
  for (guint i = 0; i < 20 && !waits; i++)
    {
      char *dir = join_new_dir ();
      g_auto (JoinRun) run = { 0 };

      join_with (&run, used, dir, "three");
      if (i == 0)
        join_assert_done (&run);
      waits = strstr (run.err, "refused many times") != NULL;
      g_assert_true (i == 0 || waits || strstr (run.err, "used already") != NULL);
      fixture_remove (dir);
    }
  g_assert_true (waits);
  renew_well (other); /* nor does that count against the address */
  fixture_remove (other);
  fixture_remove (present);
  fixture_remove (old);
  join_authority_clear (&authority);
}

static guint
count_authorities (const char *dir)
{
  g_autofree char *ca = commy_pki_read_file (dir, COMMY_PKI_CA_FILE, FALSE, NULL);
  guint n = 0;

  for (const char *at = ca; (at = strstr (at, "-----BEGIN")) != NULL; at++)
    n++;
  return n;
}

static void
go (const char *dir, CommyPkiRotationStage to)
{
  g_autoptr (GError) error = NULL;

  commy_pki_rotation_go (dir, to, FALSE, fixture_now (), &error);
  g_assert_no_error (error);
}

static void
assert_stays (const char *dir, CommyPkiRotationStage to, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (commy_pki_rotation_go (dir, to, FALSE, fixture_now (), &error));
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static CommyPkiFault
judge_each (const char *by, const char *whom)
{
  g_autoptr (CommyPkiTrust) trust = load_trust (by);

  return judge (trust, whom);
}

/* At each moment each two of the nodes trust each other, whichever was renewed. */
static void
test_rotation (void)
{
  JoinAuthority authority;
  char *nodes[3];
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autoptr (CommyPkiCredentials) old = NULL;
  g_autoptr (CommyPkiCredentials) new = NULL;

  static const CommyPkiRotationStage steps[]
      = { COMMY_PKI_ROTATION_STARTED, COMMY_PKI_ROTATION_SWITCHED, COMMY_PKI_ROTATION_NONE };

  join_authority_init (&authority);
  nodes[0] = join (&authority, "n0");
  nodes[1] = join (&authority, "n1");
  nodes[2] = join (&authority, "n2");
  take_back (authority.dir, "0a0b", 1);
  before = dup_name (nodes[0]);
  old = commy_pki_credentials_load (nodes[0], NULL);
  assert_stays (authority.dir, COMMY_PKI_ROTATION_SWITCHED, "has not begun");
  for (guint step = 0; step < G_N_ELEMENTS (steps); step++)
    {
      if (step > 0)
        assert_stays (authority.dir, steps[(step + 1) % 3], "its steps are start, switch, finish");
      go (authority.dir, steps[step]);
      for (guint i = 0; i < G_N_ELEMENTS (nodes); i++)
        {
          if (step < 2)
            assert_stays (authority.dir, steps[step + 1], "have not been renewed since");
          renew_well (nodes[i]);
          for (guint k = 0; k < G_N_ELEMENTS (nodes) * G_N_ELEMENTS (nodes); k++)
            g_assert_cmpint (judge_each (nodes[k / 3], nodes[k % 3]), ==, COMMY_PKI_FAULT_NONE);
        }
      g_assert_cmpuint (count_authorities (nodes[0]), ==, step < 2 ? 2 : 1);
    }
  after = dup_name (nodes[0]);
  new = commy_pki_credentials_load (nodes[0], NULL);
  g_assert_cmpstr (old->id, ==, new->id);
  g_assert_cmpuint (strcspn (before + 5, ":"), ==, strcspn (after + 5, ":"));
  g_assert_cmpint (strncmp (before, after, 5 + strcspn (before + 5, ":")), !=, 0);
  /* What the old authority signed is worth nothing now. */
  g_assert_cmpint (commy_pki_trust_judge_names (new->trust, before), ==, COMMY_PKI_NAMES_STRANGE);
  g_assert_cmpint (commy_pki_trust_judge_names (new->trust, after), ==, COMMY_PKI_NAMES_GOOD);
  /* The next newcomer meets the new one. */
  fixture_remove (nodes[2]);
  nodes[2] = join (&authority, "n3");
  for (guint i = 0; i < G_N_ELEMENTS (nodes); i++)
    fixture_remove (nodes[i]);
  join_authority_clear (&authority);
}

/* Lists follow: what was revoked before the change stays so, with either authority trusted. */
static void
test_rotation_keeps_lists (void)
{
  char *authority = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  g_autofree char *name = dup_name (one);

  take_back (authority, "host/h1/user/u1", 1);
  for (guint i = 0; i < 3; i++)
    {
      static const CommyPkiRotationStage steps[]
          = { COMMY_PKI_ROTATION_STARTED, COMMY_PKI_ROTATION_SWITCHED, COMMY_PKI_ROTATION_NONE };
      g_autoptr (CommyPkiTrust) trust = NULL;
      g_autofree char *crl = NULL;
      g_autoptr (GError) error = NULL;

      go (authority, steps[i]);
      trust = load_trust (authority);
      crl = dup_crl (authority);
      g_assert_true (commy_pki_trust_add_crls (trust, crl, &error));
      g_assert_cmpint (commy_pki_trust_judge_names (trust, name), ==,
                       i < 2 ? COMMY_PKI_NAMES_REVOKED : COMMY_PKI_NAMES_STRANGE);
    }
  fixture_remove (one);
  fixture_remove (authority);
}

/* While both authorities sign, a number that the register does not know may be of either. */
static void
test_revoke_of_either (void)
{
  char *authority = fixture_authority_dir ();
  char *one = new_node (authority, "h1");
  char *two;
  g_autofree char *old = dup_name (one);
  g_autofree char *new = NULL;
  g_auto (CommyPkiRevocation) revocation = { NULL };

  commy_pki_rotation_go (authority, COMMY_PKI_ROTATION_STARTED, TRUE, fixture_now (), NULL);
  commy_pki_rotation_go (authority, COMMY_PKI_ROTATION_SWITCHED, TRUE, fixture_now (), NULL);
  two = new_node (authority, "h2");
  new = dup_name (two);
  take_back (authority, "0a0b", 2);
  for (guint i = 0; i < 2; i++)
    {
      const char *of = i == 0 ? old : new;
      g_autofree char *name = g_strdup_printf ("%.*s:0a0b", (int) (strrchr (of, ':') - of), of);

      assert_revoked (authority, name);
      take_back (authority, of, 1);
      assert_revoked (authority, of);
    }
  /* Afterwards the old one's key is gone, and nothing can be said of what it signed. */
  commy_pki_rotation_go (authority, COMMY_PKI_ROTATION_NONE, TRUE, fixture_now (), NULL);
  take_back (authority, "0a0c", 1);
  g_assert_false (commy_pki_revoke (authority, old, fixture_now (), &revocation, NULL));
  fixture_remove (two);
  fixture_remove (one);
  fixture_remove (authority);
}

/* Writes fail for what is larger than a key or a certificate: the register's. */
static void
limit_files (gboolean limited)
{
  struct rlimit limit;

  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  limit.rlim_cur = limited ? 3072 : limit.rlim_max;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
}

static void
assert_stage (const char *dir, CommyPkiRotationStage stage, guint n_behind)
{
  g_auto (CommyPkiRotation) rotation = { 0 };

  g_assert_true (commy_pki_rotation_get (dir, fixture_now (), &rotation, NULL));
  g_assert_cmpint (rotation.stage, ==, stage);
  g_assert_cmpuint (rotation.behind->len, ==, n_behind);
}

/* A step that the register does not hold would have nobody be behind at the next one. */
static void
test_step_that_is_not_noted (void)
{
  char *authority = fixture_authority_dir ();

  signal (SIGXFSZ, SIG_IGN);
  for (guint i = 0; i < 16; i++)
    {
      g_autofree char *host = g_strdup_printf ("h%u", i);

      fixture_remove (new_node (authority, host));
    }
  limit_files (TRUE);
  g_assert_false (
      commy_pki_rotation_go (authority, COMMY_PKI_ROTATION_STARTED, FALSE, fixture_now (), NULL));
  limit_files (FALSE);
  assert_stage (authority, COMMY_PKI_ROTATION_NONE, 0);
  go (authority, COMMY_PKI_ROTATION_STARTED);
  assert_stage (authority, COMMY_PKI_ROTATION_STARTED, 16);
  limit_files (TRUE);
  g_assert_false (
      commy_pki_rotation_go (authority, COMMY_PKI_ROTATION_SWITCHED, TRUE, fixture_now (), NULL));
  limit_files (FALSE);
  assert_stage (authority, COMMY_PKI_ROTATION_STARTED, 16);
  fixture_remove (authority);
}

/* A step that was noted and not taken asks nothing new of nodes; once it is taken it does. */
static void
test_step_that_is_not_taken (void)
{
  char *authority = fixture_authority_dir ();
  g_autofree char *in_the_way
      = g_build_filename (authority, COMMY_PKI_AUTHORITY_OLD_KEY_FILE, NULL);

  fixture_remove (new_node (authority, "h1"));
  go (authority, COMMY_PKI_ROTATION_STARTED);
  assert_stage (authority, COMMY_PKI_ROTATION_STARTED, 1);
  fixture_remove (new_node (authority, "h1"));
  assert_stage (authority, COMMY_PKI_ROTATION_STARTED, 0);
  g_assert_cmpint (g_mkdir (in_the_way, 0700), ==, 0);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_false (commy_pki_rotation_go (authority, COMMY_PKI_ROTATION_SWITCHED, FALSE,
                                             fixture_now (), NULL));
      assert_stage (authority, COMMY_PKI_ROTATION_STARTED, 0);
    }
  g_assert_cmpint (g_rmdir (in_the_way), ==, 0);
  go (authority, COMMY_PKI_ROTATION_SWITCHED);
  assert_stage (authority, COMMY_PKI_ROTATION_SWITCHED, 1);
  assert_stays (authority, COMMY_PKI_ROTATION_NONE, "have not been renewed since");
  fixture_remove (authority);
}

/* --- hostile newcomers --- */

/* An answer's header promises more than a request may have: it is no way past the service's room.
 */
static void
test_large_request (void)
{
  JoinAuthority authority;
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  gnutls_certificate_credentials_t none;
  gnutls_priority_t priority;
  gnutls_session_t tls;
  g_autofree guint8 *message = g_malloc0 (COMMY_PKI_MESSAGE_HEADER + 200000);
  guint32 big = GUINT32_TO_BE (200000);
  guint8 rest[4096];
  gssize got;
  char *node;

  join_authority_init (&authority);
  connection = g_socket_client_connect_to_host (client, authority.address, 1, NULL, NULL);
  g_assert_nonnull (connection);
  memcpy (message, "CMYJ\x01\x04\0\0", 8);
  memcpy (message + 8, &big, 4);
  memset (message + COMMY_PKI_MESSAGE_HEADER, 'x', 200000);
  g_assert_cmpint (gnutls_certificate_allocate_credentials (&none), >=, 0);
  g_assert_cmpint (commy_pki_tls_priority (&priority), >=, 0);
  g_assert_cmpint (
      commy_pki_tls_session (&tls, GNUTLS_CLIENT, priority, none,
                             g_socket_get_fd (g_socket_connection_get_socket (connection))),
      >=, 0);
  g_socket_set_blocking (g_socket_connection_get_socket (connection), TRUE);
  do
    got = gnutls_handshake (tls);
  while (got < 0 && gnutls_error_is_fatal ((int) got) == 0);
  g_assert_cmpint (got, ==, 0);
  for (gsize at = 0; at < COMMY_PKI_MESSAGE_HEADER + 200000 && got >= 0;)
    {
      got = gnutls_record_send (tls, message + at, COMMY_PKI_MESSAGE_HEADER + 200000 - at);
      if (got > 0)
        at += (gsize) got;
      else if (gnutls_error_is_fatal ((int) got) == 0)
        got = 0;
    }
  do
    got = gnutls_record_recv (tls, rest, sizeof rest);
  while (got > 0 || (got < 0 && gnutls_error_is_fatal ((int) got) == 0));
  gnutls_deinit (tls);
  gnutls_priority_deinit (priority);
  gnutls_certificate_free_credentials (none);
  node = join (&authority, "later"); /* it lives */
  fixture_remove (node);
  join_authority_clear (&authority);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pki/revocation/a-node-with-all-it-has-and-nobody-else", test_revoke_node);
  g_test_add_func ("/pki/revocation/by-id-name-or-number", test_ways_to_say_it);
  g_test_add_func ("/pki/revocation/in-any-notation-or-not-at-all", test_notations);
  /* attack: a thief renews until the register forgets; defence: no more than it keeps */
  g_test_add_func ("/pki/revocation/a-node-has-no-more-than-are-known", test_as_many_as_are_known);
  g_test_add_func ("/pki/revocation/a-list-that-cannot-be-read-is-an-error", test_large_lists);
  g_test_add_func ("/pki/revocation/lists-of-others-are-not-taken", test_foreign_lists);
  g_test_add_func ("/pki/chains/the-trusted-one-may-be-in-the-middle", test_chain_to_the_middle);
  g_test_add_func ("/pki/chains/what-is-only-shown-does-not-count", test_chain_with_more);
  /* attack: a list of revocations with a bit turned; defence: nothing of it counts */
  g_test_add_func ("/pki/revocation/no-bit-of-a-list-can-be-changed", test_damaged_lists);
  /* attack: an older list of revocations; defence: a list has a number, and only grows */
  g_test_add_func ("/pki/revocation/who-is-revoked-is-not-renewed-and-lists-only-grow",
                   test_not_renewed);
  /* attack: a member has its renewal refused again and again, to keep the authority busy; defence:
   * a limit for each certificate and token, before anything is read */
  g_test_add_func ("/pki/revocation/who-is-refused-again-and-again-waits", test_refusals_wait);
  g_test_add_func ("/pki/rotation/everybody-trusts-everybody-at-each-step", test_rotation);
  g_test_add_func ("/pki/rotation/what-was-revoked-stays-revoked", test_rotation_keeps_lists);
  g_test_add_func ("/pki/rotation/a-number-may-be-of-either-authority", test_revoke_of_either);
  g_test_add_func ("/pki/rotation/a-step-that-cannot-be-noted-is-not-taken",
                   test_step_that_is_not_noted);
  g_test_add_func ("/pki/rotation/a-step-that-was-cut-off-can-be-taken-again",
                   test_step_that_is_not_taken);
  g_test_add_func ("/pki/admission/no-request-is-larger-than-there-is-room", test_large_request);
  return g_test_run ();
}
