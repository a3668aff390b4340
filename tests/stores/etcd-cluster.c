/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting and ending etcd: see the header. Elections are quick, so that what waits for one is.
 */
#include "config.h"

#include "etcd-cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <gnutls/x509.h>
#include <libsoup/soup.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBER_BYTES (G_GUINT64_CONSTANT (160) << 20) /* it makes its log of 61 MiB beforehand */

typedef struct
{
  EtcdCluster *cluster;
  guint index;
  GPid pid; /* 0: not running */
  char *client_uri;
  char *peer_uri;
  GThread *reader;
  int log;
  gboolean is_ready; /* under the cluster's lock, as that it ended */
  gboolean is_over;
} Member;

struct _EtcdCluster
{
  char *dir;
  GPid keeper;  /* removes the folder when this process is no more, however it ended */
  int lifeline; /* which it hears by the end of this */
  char *endpoints;
  gboolean is_secure;
  char *token;
  guint n_members;
  Member members[ETCD_MAX_MEMBERS];
  GMutex lock;
  GCond changed;
};

gboolean
etcd_is_there (void)
{
  g_autofree char *path = g_find_program_in_path ("etcd");

  return path != NULL;
}

/* --- certificates --- */

static gnutls_x509_privkey_t
new_key (void)
{
  gnutls_x509_privkey_t key;

  g_assert_cmpint (gnutls_x509_privkey_init (&key), >=, 0);
  g_assert_cmpint (gnutls_x509_privkey_generate (
                       key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS (GNUTLS_ECC_CURVE_SECP256R1), 0),
                   >=, 0);
  return key;
}

static gnutls_x509_crt_t
new_certificate (const char *name, gnutls_x509_privkey_t key, gboolean is_authority)
{
  const guint8 loopback[] = { 127, 0, 0, 1 };
  const guint8 serial[] = { 1, (guint8) name[2] };
  gnutls_x509_crt_t crt;

  g_assert_cmpint (gnutls_x509_crt_init (&crt), >=, 0);
  gnutls_x509_crt_set_version (crt, 3);
  gnutls_x509_crt_set_serial (crt, serial, sizeof serial);
  gnutls_x509_crt_set_activation_time (crt, time (NULL) - 3600);
  gnutls_x509_crt_set_expiration_time (crt, time (NULL) + 86400);
  gnutls_x509_crt_set_dn (crt, name, NULL);
  gnutls_x509_crt_set_key (crt, key);
  gnutls_x509_crt_set_basic_constraints (crt, is_authority, -1);
  gnutls_x509_crt_set_key_usage (crt, is_authority ? GNUTLS_KEY_KEY_CERT_SIGN
                                                   : GNUTLS_KEY_DIGITAL_SIGNATURE);
  if (is_authority)
    return crt;
  gnutls_x509_crt_set_subject_alt_name (crt, GNUTLS_SAN_IPADDRESS, loopback, sizeof loopback, 0);
  gnutls_x509_crt_set_key_purpose_oid (crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
  gnutls_x509_crt_set_key_purpose_oid (crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
  return crt;
}

static void
write_file (EtcdCluster *self, const char *name, const char *text, gsize size)
{
  g_autofree char *path = g_build_filename (self->dir, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents_full (path, text, (gssize) size, G_FILE_SET_CONTENTS_NONE, 0600, &error);
  g_assert_no_error (error);
}

/* Certificate and key in one file; an authority's without the key. */
static void
write_pair (EtcdCluster *self, const char *name, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
  gnutls_datum_t parts[2] = { { NULL, 0 }, { NULL, 0 } };
  g_autofree char *text = NULL;

  g_assert_cmpint (gnutls_x509_crt_export2 (crt, GNUTLS_X509_FMT_PEM, &parts[0]), >=, 0);
  if (key != NULL)
    g_assert_cmpint (gnutls_x509_privkey_export2 (key, GNUTLS_X509_FMT_PEM, &parts[1]), >=, 0);
  text = g_strdup_printf ("%.*s%.*s", (int) parts[0].size, (char *) parts[0].data,
                          (int) parts[1].size, key != NULL ? (char *) parts[1].data : "");
  write_file (self, name, text, strlen (text));
  gnutls_free (parts[0].data);
  gnutls_free (parts[1].data);
}

static void
issue (EtcdCluster *self,
       const char *file,
       const char *name,
       gnutls_x509_crt_t issuer,
       gnutls_x509_privkey_t issuer_key)
{
  gnutls_x509_privkey_t key = new_key ();
  gnutls_x509_crt_t crt = new_certificate (name, key, FALSE);

  g_assert_cmpint (gnutls_x509_crt_sign2 (crt, issuer, issuer_key, GNUTLS_DIG_SHA256, 0), >=, 0);
  write_pair (self, file, crt, key);
  gnutls_x509_crt_deinit (crt);
  gnutls_x509_privkey_deinit (key);
}

static void
make_certificates (EtcdCluster *self)
{
  gnutls_x509_privkey_t key = new_key ();
  gnutls_x509_crt_t crt = new_certificate ("O=authority", key, TRUE);
  gnutls_x509_privkey_t other_key = new_key ();
  gnutls_x509_crt_t other = new_certificate ("O=other", other_key, TRUE);

  g_assert_cmpint (gnutls_x509_crt_sign2 (crt, crt, key, GNUTLS_DIG_SHA256, 0), >=, 0);
  g_assert_cmpint (gnutls_x509_crt_sign2 (other, other, other_key, GNUTLS_DIG_SHA256, 0), >=, 0);
  write_pair (self, "ca.pem", crt, NULL);
  write_pair (self, "other.pem", other, NULL);
  issue (self, "server.pem", "O=server", crt, key);
  issue (self, "client.pem", "O=client", crt, key);
  gnutls_x509_crt_deinit (crt);
  gnutls_x509_crt_deinit (other);
  gnutls_x509_privkey_deinit (key);
  gnutls_x509_privkey_deinit (other_key);
}

/* --- processes --- */

/* etcd says so in its log once a leader is known. */
static gpointer
read_log (gpointer data)
{
  Member *self = data;
  EtcdCluster *cluster = self->cluster;
  FILE *stream = fdopen (self->log, "r");
  char line[4096];

  while (fgets (line, sizeof line, stream) != NULL)
    {
      g_mutex_lock (&cluster->lock);
      self->is_ready = self->is_ready || strstr (line, "ready to serve client requests") != NULL;
      g_cond_broadcast (&cluster->changed);
      g_mutex_unlock (&cluster->lock);
      if (g_test_verbose ())
        g_test_message ("etcd %u: %s", self->index, g_strchomp (line));
    }
  fclose (stream);
  g_mutex_lock (&cluster->lock);
  self->is_over = TRUE;
  g_cond_broadcast (&cluster->changed);
  g_mutex_unlock (&cluster->lock);
  return NULL;
}

/* In a session of its own, which the kernel gives a share of the processors of its own: in life it
 * has a host of its own, and here a hundred clients may be beside it. */
static void
end_with_the_test (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  setsid ();
}

static void
add_secure (EtcdCluster *self, GPtrArray *argv)
{
  char *server = g_build_filename (self->dir, "server.pem", NULL);

  g_ptr_array_add (argv, g_strdup ("--client-cert-auth"));
  g_ptr_array_add (argv, g_strdup_printf ("--trusted-ca-file=%s/ca.pem", self->dir));
  g_ptr_array_add (argv, g_strdup_printf ("--cert-file=%s", server));
  g_ptr_array_add (argv, g_strdup_printf ("--key-file=%s", server));
  g_ptr_array_add (argv, g_strdup ("--bcrypt-cost=4"));
  g_free (server);
}

static char *
list_peers (EtcdCluster *self)
{
  GString *list = g_string_new (NULL);

  for (guint i = 0; i < self->n_members; i++)
    g_string_append_printf (list, "%sm%u=%s", i > 0 ? "," : "", i, self->members[i].peer_uri);
  return g_string_free (list, FALSE);
}

void
etcd_cluster_start (EtcdCluster *self, guint index)
{
  Member *member = &self->members[index];
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *peers = list_peers (self);
  g_autoptr (GError) error = NULL;

  g_ptr_array_add (argv, g_strdup ("etcd"));
  g_ptr_array_add (argv, g_strdup_printf ("--name=m%u", index));
  g_ptr_array_add (argv, g_strdup_printf ("--data-dir=%s/m%u", self->dir, index));
  g_ptr_array_add (argv, g_strdup_printf ("--listen-client-urls=%s", member->client_uri));
  g_ptr_array_add (argv, g_strdup_printf ("--advertise-client-urls=%s", member->client_uri));
  g_ptr_array_add (argv, g_strdup_printf ("--listen-peer-urls=%s", member->peer_uri));
  g_ptr_array_add (argv, g_strdup_printf ("--initial-advertise-peer-urls=%s", member->peer_uri));
  g_ptr_array_add (argv, g_strdup_printf ("--initial-cluster=%s", peers));
  g_ptr_array_add (argv, g_strdup ("--heartbeat-interval=30"));
  g_ptr_array_add (argv, g_strdup ("--election-timeout=300"));
  if (self->is_secure)
    add_secure (self, argv);
  g_ptr_array_add (argv, NULL);
  member->is_ready = member->is_over = FALSE;
  g_spawn_async_with_pipes (
      NULL, (char **) argv->pdata, NULL,
      G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
      end_with_the_test, NULL, &member->pid, NULL, NULL, &member->log, &error);
  g_assert_no_error (error);
  member->reader = g_thread_new ("etcd", read_log, member);
}

void
etcd_cluster_wait (EtcdCluster *self, guint index)
{
  g_mutex_lock (&self->lock);
  while (!self->members[index].is_ready && !self->members[index].is_over)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
  if (!self->members[index].is_ready)
    g_error ("etcd %u ended before it was ready; run with --verbose to see why", index);
}

void
etcd_cluster_signal (EtcdCluster *self, guint index, int number)
{
  g_assert_cmpint (kill (self->members[index].pid, number), ==, 0);
}

void
etcd_cluster_kill (EtcdCluster *self, guint index)
{
  Member *member = &self->members[index];

  if (member->pid == 0)
    return;
  kill (member->pid, SIGKILL);
  while (waitpid (member->pid, NULL, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
  g_thread_join (member->reader);
  member->pid = 0;
}

/* --- requests of the test's own --- */

static SoupMessage *
new_message (EtcdCluster *self, SoupSession *session, const char *uri, const char *body)
{
  SoupMessage *message = soup_message_new (SOUP_METHOD_POST, uri);
  g_autoptr (GBytes) bytes = g_bytes_new (body, strlen (body));
  g_autofree char *ca = g_build_filename (self->dir, "ca.pem", NULL);
  g_autofree char *client = g_build_filename (self->dir, "client.pem", NULL);

  soup_message_set_request_body_from_bytes (message, "application/json", bytes);
  if (self->is_secure)
    {
      g_autoptr (GTlsDatabase) authorities = g_tls_file_database_new (ca, NULL);
      g_autoptr (GTlsCertificate) shown = g_tls_certificate_new_from_file (client, NULL);

      soup_session_set_tls_database (session, authorities);
      soup_message_set_tls_client_certificate (message, shown);
    }
  if (self->token != NULL)
    soup_message_headers_replace (soup_message_get_request_headers (message), "Authorization",
                                  self->token);
  return message;
}

char *
etcd_cluster_post (EtcdCluster *self, guint index, const char *path, const char *body)
{
  g_autoptr (SoupSession) session = soup_session_new_with_options ("proxy-resolver", NULL, NULL);
  g_autofree char *uri = g_strconcat (self->members[index].client_uri, path, NULL);
  g_autoptr (SoupMessage) message = new_message (self, session, uri, body);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) answer = soup_session_send_and_read (session, message, NULL, &error);

  g_assert_no_error (error);
  return g_strndup (g_bytes_get_data (answer, NULL), g_bytes_get_size (answer));
}

static void
post_well (EtcdCluster *self, const char *path, const char *body)
{
  g_autofree char *answer = etcd_cluster_post (self, 0, path, body);

  if (strstr (answer, "\"error\"") != NULL)
    g_error ("%s: %s", path, answer);
}

/* "NAME":"value" of an answer. (transfer full) */
static char *
find_text (const char *answer, const char *name)
{
  g_autofree char *start = g_strdup_printf ("\"%s\":\"", name);
  const char *at = strstr (answer, start);

  if (at == NULL)
    g_error ("no %s in %s", name, answer);
  at += strlen (start);
  return g_strndup (at, strcspn (at, "\""));
}

/* "commy/" to "commy0" for the user, everything for root, nothing for others. */
static void
enable_users (EtcdCluster *self)
{
  g_autofree char *login = NULL;

  post_well (self, "/v3/auth/user/add", "{\"name\":\"root\",\"password\":\"r\"}");
  post_well (self, "/v3/auth/role/add", "{\"name\":\"root\"}");
  post_well (self, "/v3/auth/user/grant", "{\"user\":\"root\",\"role\":\"root\"}");
  post_well (self, "/v3/auth/user/add",
             "{\"name\":\"" ETCD_USER "\",\"password\":\"" ETCD_PASSWORD "\"}");
  post_well (self, "/v3/auth/role/add", "{\"name\":\"commy\"}");
  post_well (self, "/v3/auth/role/grant",
             "{\"name\":\"commy\",\"perm\":{\"permType\":\"READWRITE\",\"key\":\"Y29tbXkv\","
             "\"range_end\":\"Y29tbXkw\"}}");
  post_well (self, "/v3/auth/user/grant", "{\"user\":\"" ETCD_USER "\",\"role\":\"commy\"}");
  post_well (self, "/v3/auth/enable", "{}");
  login = etcd_cluster_post (self, 0, "/v3/auth/authenticate",
                             "{\"name\":\"root\",\"password\":\"r\"}");
  self->token = find_text (login, "token");
  write_file (self, "password", ETCD_PASSWORD "\n", strlen (ETCD_PASSWORD) + 1);
}

guint
etcd_cluster_find_leader (EtcdCluster *self)
{
  for (guint i = 0; i < self->n_members; i++)
    {
      g_autofree char *answer = etcd_cluster_post (self, i, "/v3/maintenance/status", "{}");
      g_autofree char *own = find_text (answer, "member_id");
      g_autofree char *leader = find_text (answer, "leader");

      if (strcmp (own, leader) == 0)
        return i;
    }
  g_assert_not_reached ();
}

/* --- life --- */

const char *
etcd_cluster_get_endpoints (EtcdCluster *self)
{
  return self->endpoints;
}

const char *
etcd_cluster_get_member (EtcdCluster *self, guint index)
{
  return self->members[index].client_uri;
}

const char *
etcd_cluster_get_dir (EtcdCluster *self)
{
  return self->dir;
}

/* Ports that are free now, all taken before the first is given back. */
static void
choose_ports (EtcdCluster *self)
{
  GString *endpoints = g_string_new (NULL);
  int fds[2 * ETCD_MAX_MEMBERS];
  guint16 ports[2 * ETCD_MAX_MEMBERS];

  for (guint i = 0; i < 2 * self->n_members; i++)
    {
      struct sockaddr_in address
          = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
      socklen_t size = sizeof address;

      fds[i] = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      g_assert_cmpint (bind (fds[i], (struct sockaddr *) &address, size), ==, 0);
      g_assert_cmpint (getsockname (fds[i], (struct sockaddr *) &address, &size), ==, 0);
      ports[i] = ntohs (address.sin_port);
    }
  for (guint i = 0; i < self->n_members; i++)
    {
      Member *member = &self->members[i];

      member->cluster = self;
      member->index = i;
      member->client_uri
          = g_strdup_printf ("http%s://127.0.0.1:%u", self->is_secure ? "s" : "", ports[2 * i]);
      member->peer_uri = g_strdup_printf ("http://127.0.0.1:%u", ports[2 * i + 1]);
      g_string_append_printf (endpoints, "%s%s", i > 0 ? ";" : "", member->client_uri);
    }
  for (guint i = 0; i < 2 * self->n_members; i++)
    close (fds[i]);
  self->endpoints = g_string_free (endpoints, FALSE);
}

/* In memory where there is such a place: etcd waits for the disk at every change. */
static gboolean
has_room_in_memory (guint n_members)
{
  struct statvfs room;

  return statvfs ("/dev/shm", &room) == 0
         && (guint64) room.f_bavail * room.f_frsize > n_members * MEMBER_BYTES;
}

static char *
make_dir (guint n_members)
{
  g_autofree char *in_memory = g_strdup ("/dev/shm/commy-etcd-XXXXXX");
  g_autoptr (GError) error = NULL;
  char *dir;

  if (has_room_in_memory (n_members) && g_mkdtemp (in_memory) != NULL)
    return g_steal_pointer (&in_memory);
  dir = g_dir_make_tmp ("commy-etcd-XXXXXX", &error);
  g_assert_no_error (error);
  return dir;
}

/* In a session of its own: who kills the whole group of a test that hangs must not kill it, too. */
static void
leave_group (gpointer data)
{
  setsid ();
}

/* etcd dies with us and may still be writing when the removal begins. */
static void
start_keeper (EtcdCluster *self)
{
  char command[] = "read end; until rm -rf \"$0\"; do sleep 0.1; done";
  char shell[] = "sh";
  char option[] = "-c";
  char *argv[] = { shell, option, command, self->dir, NULL };
  g_autoptr (GError) error = NULL;

  g_spawn_async_with_pipes (NULL, argv, NULL,
                            G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD
                                | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                            leave_group, NULL, &self->keeper, &self->lifeline, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
end_keeper (EtcdCluster *self)
{
  close (self->lifeline);
  while (waitpid (self->keeper, NULL, 0) < 0)
    g_assert_cmpint (errno, ==, EINTR);
}

EtcdCluster *
etcd_cluster_new (guint n_members, gboolean is_secure)
{
  EtcdCluster *self = g_new0 (EtcdCluster, 1);

  self->dir = make_dir (n_members);
  start_keeper (self);
  self->n_members = n_members;
  self->is_secure = is_secure;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  choose_ports (self);
  if (is_secure)
    make_certificates (self);
  for (guint i = 0; i < n_members; i++)
    etcd_cluster_start (self, i);
  for (guint i = 0; i < n_members; i++)
    etcd_cluster_wait (self, i);
  if (is_secure)
    enable_users (self);
  return self;
}

void
etcd_cluster_free (EtcdCluster *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_members; i++)
    {
      etcd_cluster_kill (self, i);
      g_free (self->members[i].client_uri);
      g_free (self->members[i].peer_uri);
    }
  end_keeper (self);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self->dir);
  g_free (self->endpoints);
  g_free (self->token);
  g_free (self);
}
