/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The providers `peercred` and `mtls`: each evidence they accept, refuse, and leave to others.
 */
#include "config.h"

#include <commy/commy-plugin.h>

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#ifdef TEST_MTLS
#include "tests/pki/pki-fixture.h"
#endif

typedef struct
{
  const CommyAuthOps *ops;
  const CommyPluginDescriptor *descriptor;
  gpointer instance;
  CommyHost host;
  const char *dir; /* of credentials, or NULL */
  const char *own_user;
  char principal[COMMY_PRINCIPAL_MAX];
  char reason[256];
} Provider;

static const char *
host_param (CommyHost *host, const char *name)
{
  return strcmp (name, "own-user") == 0 ? ((Provider *) host->core)->own_user : "";
}

static const char *
host_info (CommyHost *host, CommyHostInfo what)
{
  return what == COMMY_HOST_CREDENTIALS_DIR ? ((Provider *) host->core)->dir : NULL;
}

static gboolean
provider_begin (Provider *self, const char *id, const char *own_user, GError **error)
{
  g_autofree char *name = g_strdup_printf ("libcommy-auth-%s.so", id);
  g_autofree char *path
      = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "modules", ".libs", name, NULL);
  void *module = dlopen (path, RTLD_NOW | RTLD_LOCAL);

  if (module == NULL)
    g_error ("%s", dlerror ());
  memset (self, 0, sizeof *self);
  self->descriptor = ((CommyPluginQueryFunc) dlsym (module, COMMY_QUERY_SYMBOL)) ();
  g_assert_cmpstr (self->descriptor->note->id, ==, id);
  self->ops = self->descriptor->ops;
  self->instance = g_aligned_alloc0 (1, self->descriptor->instance_size, 64);
  self->own_user = own_user;
  self->host.struct_size = sizeof self->host;
  self->host.core = self;
  self->host.param = host_param;
  self->host.info = host_info;
  return self->descriptor->init (self->instance, &self->host, error);
}

static void
provider_init (Provider *self, const char *id)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (provider_begin (self, id, "any-host", &error));
  g_assert_no_error (error);
}

static void
provider_clear (Provider *self)
{
  self->descriptor->fini (self->instance);
  g_aligned_free (self->instance);
}

static CommyAuthVerdict
judge (Provider *self, const CommyEvidence *evidence)
{
  self->principal[0] = self->reason[0] = '\0';
  return self->ops->judge (self->instance, evidence, self->principal, self->reason,
                           sizeof self->reason);
}

static void
test_peercred (void)
{
  Provider provider;
  CommyEvidence evidence = { .struct_size = sizeof evidence, .kind = COMMY_EVIDENCE_KERNEL };
  g_autofree char *self = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());

  provider_init (&provider, "peercred");
  g_assert_cmpuint (provider.descriptor->note->profile.security, ==, COMMY_SECURITY_AUTHENTICATED);
  evidence.uid = 4711;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_ACCEPTED);
  g_assert_cmpstr (provider.principal, ==, "unix:uid=4711");
  evidence.uid = 0;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_ACCEPTED);
  g_assert_cmpstr (provider.principal, ==, "unix:uid=0");
  evidence.uid = G_MAXUINT32;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_REFUSED);
  g_assert_cmpstr (provider.principal, ==, "");
  g_assert_cmpstr (provider.reason, !=, "");
  evidence.kind = COMMY_EVIDENCE_SELF;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_ACCEPTED);
  g_assert_cmpstr (provider.principal, ==, self);
  evidence.kind = COMMY_EVIDENCE_NONE;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_NOT_MINE);
  evidence.kind = COMMY_EVIDENCE_X509;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_NOT_MINE);
  provider_clear (&provider);
}

static void
test_overflow_user (void)
{
  Provider provider;
  CommyEvidence evidence = { .struct_size = sizeof evidence, .kind = COMMY_EVIDENCE_KERNEL };
  g_autofree char *text = NULL;

  if (!g_file_get_contents ("/proc/sys/kernel/overflowuid", &text, NULL, NULL))
    text = g_strdup ("65534");
  provider_init (&provider, "peercred");
  evidence.uid = (guint32) g_ascii_strtoull (text, NULL, 10);
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_REFUSED);
  g_assert_nonnull (strstr (provider.reason, "namespace"));
  provider_clear (&provider);
}

#ifdef TEST_MTLS
static void
test_mtls (void)
{
  Provider provider;
  CommyEvidence evidence = { .struct_size = sizeof evidence, .kind = COMMY_EVIDENCE_X509 };
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  g_autoptr (GBytes) good = fixture_der (dir);
  g_autoptr (GBytes) nonsense = g_bytes_new ("nonsense", 8);

  provider_init (&provider, "mtls");
  g_assert_cmpuint (provider.descriptor->note->profile.security, ==, COMMY_SECURITY_MUTUAL);
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_REFUSED); /* no chain */
  evidence.chain = &good;
  evidence.n_chain = 1;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_ACCEPTED);
  g_assert_true (g_str_has_prefix (provider.principal, "spiffe://test-"));
  g_assert_true (g_str_has_suffix (provider.principal, "/host/h1/user/u1"));
  evidence.chain = &nonsense;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_REFUSED);
  for (OddKind kind = ODD_TWO_URIS; kind <= ODD_NO_PATH; kind++)
    {
      g_autoptr (GBytes) odd = NULL;

      if (kind == ODD_NO_PURPOSE || kind == ODD_WRONG_PURPOSE || kind == ODD_OTHER_DOMAIN)
        continue; /* the transport's business: side and authority are not in the evidence */
      fixture_make_odd (authority_dir, dir, kind);
      odd = fixture_der (dir);
      evidence.chain = &odd;
      g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_REFUSED);
      g_assert_cmpstr (provider.reason, !=, "");
    }
  evidence.kind = COMMY_EVIDENCE_KERNEL;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_NOT_MINE);
  evidence.kind = COMMY_EVIDENCE_SELF;
  g_assert_cmpint (judge (&provider, &evidence), ==, COMMY_AUTH_NOT_MINE);
  provider_clear (&provider);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

static gboolean
is_same (Provider *provider, const char *format)
{
  g_autoptr (GString) name = g_string_new (format);
  char own[COMMY_PRINCIPAL_MAX] = "";
  g_autofree char *domain = NULL;

  if (provider->ops->self (provider->instance, own, sizeof own))
    domain = g_strndup (own, (gsize) (strstr (own, "/host/") - own));
  g_string_replace (name, "DOMAIN", domain != NULL ? domain : "spiffe://test-0", 0);
  return provider->ops->same_user (provider->instance, name->str);
}

static void
test_same_user (void)
{
  Provider provider;
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  const char *const others[] = {
    "DOMAIN/host/h2/user/u2",
    "DOMAIN/host/h2/user/u1/x",
    "DOMAIN/host/h2/user/u",
    "DOMAIN/host/a/host/b/user/u1",
    "DOMAIN/user/u1/host/h2",
    "DOMAIN/host/h2/user/U1",
    "DOMAINx/host/h2/user/u1",
    "spiffe://other/host/h2/user/u1",
    "DOMAIN/host//user/u1",
    "DOMAIN/host/h2/group/u1",
    "DOMAIN",
    "u1",
    "",
  };

  provider_init (&provider, "mtls");
  g_assert_false (is_same (&provider, "DOMAIN/host/h2/user/u1")); /* nobody ourselves */
  provider.dir = dir;
  g_assert_true (is_same (&provider, "DOMAIN/host/h1/user/u1"));
  g_assert_true (is_same (&provider, "DOMAIN/host/h2/user/u1"));
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++)
    if (is_same (&provider, others[i]))
      g_error ("%s counts as the own user", others[i]);
  provider_clear (&provider);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}

static void
test_this_host (void)
{
  Provider provider;
  char *authority_dir = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority_dir, -1, 1);
  g_autoptr (GError) error = NULL;

  g_assert_true (provider_begin (&provider, "mtls", "this-host", &error));
  g_assert_no_error (error);
  provider.dir = dir;
  g_assert_false (is_same (&provider, "DOMAIN/host/h2/user/u1"));
  provider_clear (&provider);
  g_assert_false (provider_begin (&provider, "mtls", "everybody", &error));
  g_assert_nonnull (strstr (error->message, "everybody"));
  g_aligned_free (provider.instance);
  fixture_remove (dir);
  fixture_remove (authority_dir);
}
#endif

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/auth/peercred/names-the-kernels-user", test_peercred);
  g_test_add_func ("/auth/peercred/refuses-users-without-a-number", test_overflow_user);
#ifdef TEST_MTLS
  g_test_add_func ("/auth/mtls/names-the-certificates-id", test_mtls);
  g_test_add_func ("/auth/mtls/knows-the-same-user-on-another-host", test_same_user);
  g_test_add_func ("/auth/mtls/may-be-told-that-a-user-is-of-one-host", test_this_host);
#endif
  return g_test_run ();
}
