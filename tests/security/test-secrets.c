/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets that were used are nowhere: a caller proves itself by a certificate, a token and a JWT to
 * a service that has a certificate of its own, by a one-time code to one that gives sessions, and a
 * program by a password to its store; then all are looked into, in their memory and in real core
 * dumps of them, and so is all that they wrote. A private key and the key of sessions are in memory
 * while they are used, as SECURITY.md says, and in no log or trail.
 */
#include "config.h"

#include "mesh-fixture.h"

#include "auth/common/commy-api-key.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki.h"
#include "auth/common/commy-totp.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MAPPING (G_GUINT64_CONSTANT (1) << 28) /* a sanitizer's own are larger */
#define BLOCK (1u << 20)
#define MAX_SECRETS 8

typedef struct
{
  const char *name;
  GBytes *bytes;
} Secret;

typedef struct
{
  Secret secrets[MAX_SECRETS];
  guint n_secrets;
  GString *found; /* what is where it must not be */
} Search;

static void
search_for (Search *self, const char *name, gconstpointer data, gsize size)
{
  g_assert_cmpuint (self->n_secrets, <, MAX_SECRETS);
  self->secrets[self->n_secrets++] = (Secret){ name, g_bytes_new (data, size) };
}

static void
search_clear (Search *self)
{
  for (guint i = 0; i < self->n_secrets; i++)
    g_bytes_unref (self->secrets[i].bytes);
  g_string_free (self->found, TRUE);
}

static void
look_at (Search *self, const char *where, const char *what, const guint8 *data, gsize size)
{
  for (guint i = 0; i < self->n_secrets; i++)
    {
      gsize wanted;
      const guint8 *secret = g_bytes_get_data (self->secrets[i].bytes, &wanted);

      if (memmem (data, size, secret, wanted) != NULL)
        g_string_append_printf (self->found, "%s: %s has the %s\n", where, what,
                                self->secrets[i].name);
    }
}

/* --- memory, as a core dump has it --- */

static void
look_at_mapping (Search *self, const char *who, const char *line, int memory)
{
  guint64 start = 0, end = 0;
  /* Blocks overlap, so that nothing is cut in two. */
  g_autofree guint8 *block = g_malloc (BLOCK + 4096);

  g_assert_cmpint (sscanf (line, "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x", &start, &end),
                   ==, 2);
  if (end - start > MAX_MAPPING)
    return;
  for (guint64 at = start; at < end; at += BLOCK)
    {
      ssize_t got = pread (memory, block, MIN (BLOCK + 4096, end - at), (off_t) at);

      if (got > 0)
        look_at (self, who, line, block, (gsize) got);
    }
}

/* Mappings that can be read and are not kept out of dumps ("dd"). */
static void
look_into (Search *self, const char *who, GPid pid)
{
  g_autofree char *maps = g_strdup_printf ("/proc/%d/smaps", pid);
  g_autofree char *mem = g_strdup_printf ("/proc/%d/mem", pid);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  const char *mapping = NULL;
  guint n = 0;
  int memory = open (mem, O_RDONLY | O_CLOEXEC);

  g_assert_cmpint (memory, >=, 0);
  g_assert_true (g_file_get_contents (maps, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      const char *blank = strchr (*line, ' ');

      if (blank != NULL && memchr (*line, '-', (gsize) (blank - *line)) != NULL && blank[1] != 0
          && strchr ("r-", blank[1]) != NULL)
        mapping = blank[1] == 'r' ? *line : NULL;
      else if (g_str_has_prefix (*line, "VmFlags:") && mapping != NULL
               && strstr (*line, " dd") == NULL)
        {
          look_at_mapping (self, who, mapping, memory);
          n++;
        }
    }
  close (memory);
  g_assert_cmpuint (n, >, 10);
}

/* What a debugger or the kernel writes of it. Where there is no gcore, the memory was read. */
static void
look_into_dump (Search *self, const char *who, MeshFixture *fixture, GPid pid)
{
  g_autofree char *gcore = g_find_program_in_path ("gcore");
  g_autofree char *prefix = g_build_filename (fixture->dir, "core", NULL);
  g_autofree char *path = g_strdup_printf ("%s.%d", prefix, (int) pid);
  g_autofree char *number = g_strdup_printf ("%d", (int) pid);
  char *argv[] = { gcore, (char *) "-o", prefix, number, NULL };
  g_autoptr (GMappedFile) dump = NULL;
  g_autoptr (GError) error = NULL;
  int status = -1;

#ifdef __SANITIZE_ADDRESS__
  g_test_message ("what a sanitizer maps would make a dump of terabytes: none of %s", who);
  return;
#endif
  if (gcore == NULL)
    {
      g_test_message ("there is no gcore: no dump was made of %s", who);
      return;
    }
  g_spawn_sync (NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_test_message ("gcore may not look into %s here (status %d)", who, status);
      return;
    }
  dump = g_mapped_file_new (path, FALSE, &error);
  g_assert_no_error (error);
  /* It is one. */
  g_assert_nonnull (memmem (g_mapped_file_get_contents (dump), g_mapped_file_get_length (dump),
                            TEST_SERVICE, strlen (TEST_SERVICE)));
  look_at (self, who, "a core dump", (const guint8 *) g_mapped_file_get_contents (dump),
           g_mapped_file_get_length (dump));
  g_assert_cmpint (g_unlink (path), ==, 0);
}

/* --- files --- */

static void
look_through (Search *self, const char *path)
{
  g_autofree char *data = NULL;
  gsize size = 0;

  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      while ((name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);

          look_through (self, child);
        }
    }
  else if (g_file_test (path, G_FILE_TEST_IS_REGULAR) && g_str_has_suffix (path, "key.pem") == FALSE
           && g_file_get_contents (path, &data, &size, NULL))
    look_at (self, "a file", path, (const guint8 *) data, size);
}

/* --- what is planted --- */

static void
write_secret (MeshFixture *fixture, const char *name, const char *text)
{
  g_autofree char *folder = g_build_filename (fixture->dir, "secrets", NULL);
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
}

static void
plant_token (MeshFixture *fixture, Search *search)
{
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyApiKeyRegister) reg = NULL;
  CommyApiKey key;
  char *text;

  reg = commy_api_key_register_open (dir, &error);
  g_assert_no_error (error);
  commy_api_key_new (&key, &error);
  g_assert_no_error (error);
  commy_api_key_register_add (reg, &key, "build", NULL, 1, 0, &error);
  g_assert_no_error (error);
  commy_api_key_register_save (reg, &error);
  g_assert_no_error (error);
  text = commy_api_key_to_text (&key);
  write_secret (fixture, "token", text);
  /* Its id is no secret and stands in the register. */
  search_for (search, "token's text", text + strlen (text) - 24, 24);
  search_for (search, "token's bytes", key.secret, sizeof key.secret);
  commy_credential_free (text);
}

static char *
base64url (gconstpointer data, gsize size)
{
  char *text = g_base64_encode (data, size);

  for (char *at = text; *at != '\0'; at++)
    *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
  *strchrnul (text, '=') = '\0';
  return text;
}

/* Signed by a secret of issuer and service, which is the simplest issuer there is. */
static void
plant_jwt (MeshFixture *fixture, Search *search)
{
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  const char *header = "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"one\"}";
  g_autofree char *claims = g_strdup_printf (
      "{\"iss\":\"https://issuer.example.org\",\"aud\":\"commy\",\"sub\":\"ann\","
      "\"iat\":%" G_GINT64_FORMAT ",\"exp\":%" G_GINT64_FORMAT "}",
      now - 5, now + 600);
  guint8 secret[32], signature[32];
  gsize size = sizeof signature;
  g_autofree char *first = base64url (header, strlen (header));
  g_autofree char *second = base64url (claims, strlen (claims));
  g_autofree char *signed_part = g_strdup_printf ("%s.%s", first, second);
  g_autofree char *third = NULL;
  g_autofree char *key = NULL;
  g_autofree char *token = NULL;
  g_autofree char *set = NULL;
  GHmac *hmac;

  for (guint i = 0; i < sizeof secret; i++)
    secret[i] = (guint8) g_random_int ();
  hmac = g_hmac_new (G_CHECKSUM_SHA256, secret, sizeof secret);
  g_hmac_update (hmac, (const guchar *) signed_part, -1);
  g_hmac_get_digest (hmac, signature, &size);
  g_hmac_unref (hmac);
  third = base64url (signature, size);
  token = g_strdup_printf ("%s.%s", signed_part, third);
  key = base64url (secret, sizeof secret);
  set = g_strdup_printf (
      "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"one\",\"alg\":\"HS256\",\"k\":\"%s\"}]}", key);
  write_secret (fixture, "jwt", token);
  write_secret (fixture, "jwks", set);
  search_for (search, "JWT's signature", third, strlen (third));
  search_for (search, "JWT's claims", second + 40, strlen (second) - 60);
}

/* The caller's second factor. (transfer full): its settings */
static char *
plant_totp (MeshFixture *fixture, Search *search)
{
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", NULL);
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (dir, NULL, NULL);
  g_autoptr (GPtrArray) codes = NULL;
  g_autoptr (GError) error = NULL;
  CommyTotpKey key;
  char *uri;
  const char *secret;

  g_assert_true (commy_totp_key_new (COMMY_TOTP_SHA1, 6, &key, NULL));
  commy_totp_register_add (reg, own, &key, 1, &codes, &error);
  g_assert_no_error (error);
  g_assert_true (commy_totp_register_save (reg, NULL));
  uri = commy_totp_key_to_uri (&key, "commy", own);
  write_secret (fixture, "totp", uri);
  secret = strstr (uri, "secret=");
  g_assert_nonnull (secret);
  search_for (search, "one-time seed's text", secret + strlen ("secret="), 24);
  search_for (search, "one-time seed's bytes", key.secret, key.secret_size);
  commy_credential_free (uri);
  return g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\nauth=peercred;totp\n"
                          "[plugin auth/totp]\nparam.credential=%s/secrets/totp\n"
                          "[selection]\npreference=pin\ntransports=unix\n"
                          "[audit]\nenabled=true\ncalls=all\n",
                          fixture->dir, fixture->dir, fixture->dir);
}

#define LETTERS "0123456789abcdef"

/* Of letters and digits, as people make them. */
static void
plant_text (MeshFixture *fixture, Search *search, const char *name, const char *what)
{
  char text[65] = "";

  for (guint i = 0; i < sizeof text - 1; i++)
    text[i] = LETTERS[g_random_int_range (0, sizeof LETTERS - 1)];
  write_secret (fixture, name, text);
  search_for (search, what, text, sizeof text - 1);
}

/* A line out of the middle of its file, and the bytes that it stands for. */
static void
note_private_key (MeshFixture *fixture, Search *search)
{
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", "pki", NULL);
  g_autofree char *pem = commy_pki_read_file (dir, COMMY_PKI_KEY_FILE, TRUE, NULL);
  g_auto (GStrv) lines = g_strsplit (pem, "\n", -1);

  g_assert_cmpuint (strlen (lines[1]), ==, 64);
  search_for (search, "private key as text", lines[1] + 32, 32);
}

/* --- the caller: a process of its own --- */

/* One whose store wants a password, and cannot be reached. */
static gboolean
storer_main (int argc, char **argv)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  char word = '!';

  if (argc < 3 || strcmp (argv[1], "--storer") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  g_test_message ("%s", TEST_SERVICE);
  mesh = commy_mesh_new_with_settings ("test", argv[2], &error);
  g_assert_no_error (error);
  g_assert_false (commy_mesh_join_sync (mesh, NULL, &error));
  g_printerr ("storer: %s\n", error->message);
  g_assert_cmpint (write (STDOUT_FILENO, &word, 1), ==, 1);
  while (read (STDIN_FILENO, &word, 1) > 0)
    ;
  return TRUE;
}

static gboolean
caller_main (int argc, char **argv)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GVariant) who = NULL;
  g_autoptr (GError) error = NULL;
  const char *name;
  char word = '!';

  if (argc < 3 || strcmp (argv[1], "--caller") != 0)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  mesh = commy_mesh_new_with_settings ("test", argv[2], &error);
  g_assert_no_error (error);
  commy_mesh_join_sync (mesh, NULL, &error);
  g_assert_no_error (error);
  client = commy_client_new (mesh, TEST_SERVICE);
  who = commy_client_call_sync (client, "Who", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get_child (who, 0, "&s", &name);
  g_assert_true (g_str_has_prefix (name, argc > 3 ? argv[3] : "token:build"));
  g_assert_cmpint (write (STDOUT_FILENO, &word, 1), ==, 1);
  while (read (STDIN_FILENO, &word, 1) > 0)
    ;
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return TRUE;
}

typedef struct
{
  GPid pid;
  int in, out;
} Caller;

static void
process_start (Caller *self, const char *role, const char *settings, const char *who)
{
  g_autofree char *exe = g_file_read_link ("/proc/self/exe", NULL);
  char *argv[] = { exe, (char *) role, (char *) settings, (char *) who, NULL };
  g_autoptr (GError) error = NULL;
  char word;

  g_spawn_async_with_pipes (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &self->pid,
                            &self->in, &self->out, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (read (self->out, &word, 1), ==, 1);
}

static void
caller_start (Caller *self, MeshFixture *fixture)
{
  g_autofree char *settings = g_strdup_printf (
      "[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\nauth=peercred;mtls;token;jwt\n"
      "[plugin auth/token]\nparam.credential=%s/secrets/token\n"
      "[plugin auth/jwt]\nparam.credential=%s/secrets/jwt\nparam.show-to=spiffe://*\n"
      "[selection]\npreference=pin\ntransports=tls\n[audit]\nenabled=true\ncalls=all\n",
      fixture->dir, fixture->dir, fixture->dir, fixture->dir);

  process_start (self, "--caller", settings, NULL);
}

static void
caller_stop (Caller *self)
{
  int status = -1;

  close (self->in);
  g_assert_cmpint (waitpid (self->pid, &status, 0), ==, self->pid);
  g_assert_cmpint (status, ==, 0);
  close (self->out);
}

static void
test_nowhere (MeshFixture *fixture, gconstpointer data)
{
#ifdef __SANITIZE_ADDRESS__
  /* It keeps what GnuTLS gave back, which is overwritten otherwise. */
  g_test_skip ("a sanitizer stands before the allocator already");
  return;
#endif
  Search search = { .found = g_string_new (NULL) };
  g_autofree char *state = g_build_filename (fixture->dir, "state", NULL);
  g_autofree char *settings = NULL;
  ServiceChild *child;
  Caller caller;

  mesh_fixture_make_credentials (fixture);
  mesh_fixture_capture_log (fixture);
  plant_token (fixture, &search);
  plant_jwt (fixture, &search);
  settings = g_strdup_printf (
      "auth=peercred;mtls;token;jwt\n[auth-chain c]\nrequire=token;jwt\n"
      "[service " TEST_SERVICE "]\nauth-chain=c\n[plugin auth/jwt]\nparam.jwks=%s/secrets/jwks\n"
      "param.issuer=https://issuer.example.org\nparam.audience=commy\nparam.algorithms=HS256\n"
      "[policy callers]\nprincipals=token:*\nverbs=call\neffect=allow\n"
      "[log]\nlevel=debug\n[audit]\nenabled=true\ncalls=all\n",
      fixture->dir);
  child = service_child_start (fixture, settings, 0);
  caller_start (&caller, fixture);
  look_into (&search, "the caller", caller.pid);
  look_into (&search, "the service", child->pid);
  look_into_dump (&search, "the caller", fixture, caller.pid);
  look_into_dump (&search, "the service", fixture, child->pid);
  caller_stop (&caller);
  service_child_free (child);
  note_private_key (fixture, &search); /* of which GnuTLS leaves something in memory */
  look_through (&search, state);
  look_through (&search, fixture->log);
  if (search.found->len > 0)
    g_error ("%s", search.found->str);
  search_clear (&search);
}

/* The seed is nowhere when a code was made or checked with it. The key of sessions is the service's
 * as long as it gives any: looked for where it has no business to be. */
static void
test_second_factor (MeshFixture *fixture, gconstpointer data)
{
#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("a sanitizer stands before the allocator already");
  return;
#endif
  Search search = { .found = g_string_new (NULL) };
  Search kept = { .found = g_string_new (NULL) };
  g_autofree char *state = g_build_filename (fixture->dir, "state", NULL);
  g_autofree char *calling = NULL;
  g_autofree char *settings = NULL;
  ServiceChild *child;
  Caller caller;

  mesh_fixture_capture_log (fixture);
  calling = plant_totp (fixture, &search);
  plant_text (fixture, &kept, "session-key", "key of sessions");
  settings = g_strdup_printf (
      "auth=peercred;totp\n[auth-chain c]\nrequire=peercred;totp\nsame-principal=true\n"
      "[service " TEST_SERVICE "]\nauth-chain=c\n[plugin auth/totp]\nparam.session-life=1h\n"
      "param.session-key=%s/secrets/session-key\n[policy all]\nprincipals=*\n"
      "services=" TEST_SERVICE "\nverbs=call;offer\neffect=allow\n"
      "[log]\nlevel=debug\n[audit]\nenabled=true\ncalls=all\n",
      fixture->dir);
  child = service_child_start (fixture, settings, 0);
  process_start (&caller, "--caller", calling, "unix:uid=");
  look_into (&search, "the caller", caller.pid);
  look_into (&search, "the service", child->pid);
  look_into (&kept, "the caller", caller.pid);
  look_into_dump (&search, "the caller", fixture, caller.pid);
  look_into_dump (&search, "the service", fixture, child->pid);
  caller_stop (&caller);
  service_child_free (child);
  look_through (&search, state);
  look_through (&search, fixture->log);
  look_through (&kept, state);
  look_through (&kept, fixture->log);
  if (search.found->len > 0 || kept.found->len > 0)
    g_error ("%s%s", search.found->str, kept.found->str);
  search_clear (&search);
  search_clear (&kept);
}

static void
test_store_password (MeshFixture *fixture, gconstpointer data)
{
#ifdef __SANITIZE_ADDRESS__
  g_test_skip ("a sanitizer stands before the allocator already");
  return;
#endif
  Search search = { .found = g_string_new (NULL) };
  g_autofree char *state = g_build_filename (fixture->dir, "state", NULL);
  g_autofree char *settings = NULL;
  Caller storer;

  plant_text (fixture, &search, "password", "password of the store");
  settings = g_strdup_printf (
      "[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\nstore=etcd\n[plugin store/etcd]\n"
      "param.endpoints=http://127.0.0.1:1\nparam.user=me\nparam.password-file=%s/secrets/password\n"
      "[log]\nlevel=debug\n[audit]\nenabled=true\n",
      fixture->dir, fixture->dir, fixture->dir);
  process_start (&storer, "--storer", settings, NULL);
  look_into (&search, "who has a store", storer.pid);
  look_into_dump (&search, "who has a store", fixture, storer.pid);
  caller_stop (&storer);
  look_through (&search, state);
  if (search.found->len > 0)
    g_error ("%s", search.found->str);
  search_clear (&search);
}

/* That it is found where it is. */
static void
test_finds (MeshFixture *fixture, gconstpointer data)
{
  Search search = { .found = g_string_new (NULL) };
  ServiceChild *child;

  child = service_child_start (fixture, NULL, 0);
  search_for (&search, "name", TEST_SERVICE, strlen (TEST_SERVICE));
  look_into (&search, "the service", child->pid);
  g_assert_nonnull (strstr (search.found->str, "the service: "));
  look_into_dump (&search, "the service", fixture, child->pid);
  service_child_free (child);
  search_clear (&search);
}

int
main (int argc, char **argv)
{
  int status;

  if (caller_main (argc, argv) || storer_main (argc, argv))
    return 0;
  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  /* attack: read secrets out of a core dump or a log; defence: wiped after use, and never written
   */
  g_test_add ("/security/secrets/are-in-no-dump-log-or-trail", MeshFixture, NULL,
              mesh_fixture_set_up, test_nowhere, mesh_fixture_tear_down);
  /* attack: read the seed of one-time codes out of a core dump, or the key of sessions; defence:
   * the seed is wiped after each use, the key is with the service alone */
  g_test_add ("/security/secrets/second-factor-and-sessions", MeshFixture, NULL,
              mesh_fixture_set_up, test_second_factor, mesh_fixture_tear_down);
  g_test_add ("/security/secrets/password-of-a-store", MeshFixture, NULL, mesh_fixture_set_up,
              test_store_password, mesh_fixture_tear_down);
  g_test_add ("/security/secrets/what-is-there-is-found", MeshFixture, NULL, mesh_fixture_set_up,
              test_finds, mesh_fixture_tear_down);
  return g_test_run ();
}
