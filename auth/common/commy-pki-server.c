/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The admission service: a socket, the sessions on it and how many there may be, and a lock that
 * keeps it the only one of its authority. What a request deserves is decided elsewhere.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "serve.lock"
#define INFO_NAME "serve.conf"
#define BACKLOG 128
#define ACCEPTS_A_TURN 16
#define PAUSE_MS 100

/* An authority that was replaced by the next one, and what it showed. */
typedef struct
{
  CommyPkiAuthority *authority;
  gnutls_certificate_credentials_t credentials;
} Former;

struct _CommyPkiServer
{
  char *dir;
  char *address;
  int lock;
  int fd;
  GSource *watch;
  GSource *pause;
  CommyPkiClock clock;
  gpointer clock_data;
  CommyPkiLog log;
  gpointer log_data;
  CommyPkiAuthority *authority;
  struct stat stamps[2]; /* of its key and certificate, when they were read */
  GPtrArray *before;     /* Former: what sessions that are open may still look at */
  CommyPkiSessionShared shared;
  CommyPkiLimiter *limiter; /* of addresses */
  CommyPkiLimiter *known; /* of certificates and tokens, so that none is washed out by the other */
  GQueue sessions;        /* oldest first */
};

static void tell (CommyPkiServer *self, GLogLevelFlags level, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static void
tell (CommyPkiServer *self, GLogLevelFlags level, const char *format, ...)
{
  g_autofree char *line = NULL;
  va_list args;

  if (self->log == NULL)
    return;
  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  self->log (self->log_data, level, line);
}

char *
commy_pki_server_find (const char *dir)
{
  g_autofree char *text = NULL;

  if (!commy_pki_is_locked (dir, LOCK_NAME))
    return NULL;
  text = commy_pki_read_file (dir, INFO_NAME, FALSE, NULL);
  return text != NULL ? g_strdup (g_strstrip (text)) : NULL;
}

static void refresh (CommyPkiServer *self);

/* --- sessions --- */

static gint64
session_now (gpointer owner)
{
  CommyPkiServer *self = owner;

  return self->clock (self->clock_data);
}

static void
session_refresh (gpointer owner)
{
  refresh (owner);
}

static void
session_settled (gpointer owner, CommyPkiSession *session, const CommyPkiOutcome *outcome)
{
  CommyPkiServer *self = owner;
  const char *from = commy_pki_session_get_from (session);

  tell (self, outcome->admitted ? G_LOG_LEVEL_MESSAGE : G_LOG_LEVEL_WARNING, "%s (from %s)",
        outcome->line, from);
  if (!outcome->admitted && outcome->who != NULL)
    commy_pki_limiter_add_failure (self->known, outcome->who, g_get_monotonic_time ());
  if (!outcome->admitted && self->shared.admission.record != NULL)
    self->shared.admission.record (
        self->shared.admission.record_data,
        &(CommyPkiEvent){ .outcome = "refused", .from = from, .line = outcome->line }, NULL);
  if (!outcome->suspicious)
    return;
  commy_pki_limiter_add_failure (self->limiter, from, g_get_monotonic_time ());
  if (!commy_pki_limiter_allows (self->limiter, from, g_get_monotonic_time ()))
    tell (self, G_LOG_LEVEL_WARNING, "too many failures from %s: it is not listened to for a while",
          from);
}

static void
session_ended (gpointer owner, CommyPkiSession *session)
{
  CommyPkiServer *self = owner;

  g_queue_remove (&self->sessions, session);
  commy_pki_session_free (session);
}

static gboolean
make_room (CommyPkiServer *self, const char *source)
{
  CommyPkiSession *victim = NULL;

  if (!commy_pki_crowd_choose (&self->sessions, source, g_get_monotonic_time (), &victim))
    return FALSE;
  if (victim != NULL)
    session_ended (self, victim);
  return TRUE;
}

static void
take (CommyPkiServer *self, int fd, const struct sockaddr_storage *from)
{
  g_autofree char *source = commy_pki_source_name (from);
  CommyPkiSession *session;

  if (!commy_pki_limiter_allows (self->limiter, source, g_get_monotonic_time ())
      || !make_room (self, source))
    {
      close (fd);
      return;
    }
  session = commy_pki_session_new (&self->shared, fd, source);
  if (session != NULL)
    g_queue_push_tail (&self->sessions, session);
}

/* --- the socket --- */

static gboolean on_incoming (int fd, GIOCondition condition, gpointer data);

static void
attach (GSource *source)
{
  g_source_attach (source, g_main_context_get_thread_default ());
}

static void
start_accepting (CommyPkiServer *self)
{
  self->watch = g_unix_fd_source_new (self->fd, G_IO_IN);
  g_source_set_callback (self->watch, G_SOURCE_FUNC (on_incoming), self, NULL);
  attach (self->watch);
}

static void
drop_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static gboolean
on_pause_over (gpointer data)
{
  CommyPkiServer *self = data;

  drop_source (&self->pause);
  start_accepting (self);
  return G_SOURCE_REMOVE;
}

/* Without descriptors the socket stays readable: looking away is all there is to do. */
static void
pause_accepting (CommyPkiServer *self)
{
  tell (self, G_LOG_LEVEL_WARNING, "cannot accept: no descriptor or memory left, waiting");
  drop_source (&self->watch);
  self->pause = g_timeout_source_new (PAUSE_MS);
  g_source_set_callback (self->pause, on_pause_over, self, NULL);
  attach (self->pause);
}

static gboolean
on_incoming (int listener, GIOCondition condition, gpointer data)
{
  CommyPkiServer *self = data;

  refresh (self);
  for (guint i = 0; i < ACCEPTS_A_TURN; i++)
    {
      struct sockaddr_storage from;
      socklen_t size = sizeof from;
      int fd = accept4 (self->fd, (struct sockaddr *) &from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

      if (fd >= 0)
        take (self, fd, &from);
      else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        {
          pause_accepting (self);
          return G_SOURCE_CONTINUE;
        }
      else if (errno == EAGAIN)
        return G_SOURCE_CONTINUE;
      /* All else is the fate of one connection that ended before it was accepted. */
    }
  return G_SOURCE_CONTINUE;
}

static char *
dup_bound (int fd)
{
  struct sockaddr_storage bound;
  socklen_t size = sizeof bound;
  g_autoptr (GSocketAddress) address = NULL;

  if (getsockname (fd, (struct sockaddr *) &bound, &size) == 0)
    address = g_socket_address_new_from_native (&bound, size);
  return address == NULL ? g_strdup ("?")
                         : commy_pki_format_listen (
                             g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)),
                             g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address)));
}

static gboolean
open_socket (CommyPkiServer *self, const char *text, GError **error)
{
  g_autoptr (GSocketAddress) address = commy_pki_parse_listen (text, error);
  struct sockaddr_storage native;
  int on = 1;

  if (address == NULL || !g_socket_address_to_native (address, &native, sizeof native, error))
    return FALSE;
  self->fd = socket (native.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (self->fd >= 0)
    (void) setsockopt (self->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (self->fd < 0
      || bind (self->fd, (struct sockaddr *) &native,
               (socklen_t) g_socket_address_get_native_size (address))
             != 0
      || listen (self->fd, BACKLOG) != 0)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_UNREACHABLE, "cannot listen on %s: %s", text,
                   g_strerror (errno));
      return FALSE;
    }
  self->address = dup_bound (self->fd);
  return TRUE;
}

/* --- the server --- */

/* The service has a certificate of its own, with a name that no node ever gets, and a key that
 * is in memory only: a node of the mesh cannot pose as its authority. */
static gboolean
make_credentials (CommyPkiServer *self, GError **error)
{
  gint64 now = self->clock (self->clock_data);
  g_autoptr (CommyPkiPair) pair = commy_pki_issue_path (
      self->authority, COMMY_PKI_AUTHORITY_PATH, now - COMMY_PKI_BACKDATE_S,
      now + COMMY_PKI_AUTHORITY_LIFE_DAYS * COMMY_PKI_SECONDS_PER_DAY, error);
  g_autofree char *chain = NULL;

  if (pair == NULL)
    return FALSE;
  chain = g_strconcat (pair->cert_pem, self->authority->own_pem, NULL);
  return commy_pki_check (
             commy_pki_tls_credentials (&self->shared.credentials, chain, pair->key_pem),
             "GnuTLS does not take the authority's certificate", error)
         && (self->shared.priority != NULL
             || commy_pki_check (commy_pki_tls_priority (&self->shared.priority),
                                 "GnuTLS does not offer what Commy needs", error));
}

/* --- an authority that changes --- */

static void
former_free (gpointer data)
{
  Former *former = data;

  if (former->credentials != NULL)
    gnutls_certificate_free_credentials (former->credentials);
  commy_pki_authority_free (former->authority);
  g_free (former);
}

static void
take_stamps (CommyPkiServer *self, struct stat stamps[2])
{
  static const char *const names[2] = { COMMY_PKI_AUTHORITY_KEY_FILE, COMMY_PKI_CA_FILE };

  memset (stamps, 0, 2 * sizeof *stamps);
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *path = g_build_filename (self->dir, names[i], NULL);
      struct stat about;

      if (stat (path, &about) != 0)
        continue;
      stamps[i].st_ino = about.st_ino;
      stamps[i].st_size = about.st_size;
      stamps[i].st_ctim = about.st_ctim;
    }
}

/* Takes up a change of the authority; what cannot be read leaves it as it was. */
static void
refresh (CommyPkiServer *self)
{
  struct stat stamps[2];
  Former *former;
  g_autoptr (GError) why = NULL;

  if (g_queue_is_empty (&self->sessions))
    g_ptr_array_set_size (self->before, 0);
  take_stamps (self, stamps);
  if (memcmp (stamps, self->stamps, sizeof stamps) == 0)
    return;
  memcpy (self->stamps, stamps, sizeof stamps);
  former = g_new0 (Former, 1);
  former->authority = self->authority;
  former->credentials = g_steal_pointer (&self->shared.credentials);
  self->authority = commy_pki_authority_load (self->dir, &why);
  if (self->authority != NULL && make_credentials (self, &why))
    {
      g_ptr_array_add (self->before, former);
      self->shared.admission.authority = self->authority;
      tell (self, G_LOG_LEVEL_MESSAGE, "took up the authority's new files");
      return;
    }
  tell (self, G_LOG_LEVEL_WARNING, "the authority's changed files are not taken: %s", why->message);
  if (self->shared.credentials != NULL)
    gnutls_certificate_free_credentials (self->shared.credentials);
  commy_pki_authority_free (self->authority);
  self->authority = former->authority;
  self->shared.credentials = former->credentials;
  g_free (former);
}

static gboolean
take_lock (CommyPkiServer *self, GError **error)
{
  g_autofree char *other = NULL;
  GError *why = NULL;

  self->lock = commy_pki_lock (self->dir, LOCK_NAME, FALSE, &why);
  if (self->lock >= 0)
    return TRUE;
  if (why != NULL)
    {
      g_propagate_error (error, why);
      return FALSE;
    }
  other = commy_pki_server_find (self->dir);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_BUSY,
               "another process serves this authority already%s%s", other != NULL ? ", on " : "",
               other != NULL ? other : "");
  return FALSE;
}

static gint64
host_clock (gpointer data)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

CommyPkiServer *
commy_pki_server_new (const CommyPkiServerConfig *config, GError **error)
{
  g_autoptr (CommyPkiServer) self = g_new0 (CommyPkiServer, 1);

  self->fd = self->lock = -1;
  self->dir = g_strdup (config->dir);
  self->clock = config->clock != NULL ? config->clock : host_clock;
  self->clock_data = config->clock_data;
  self->log = config->log;
  self->log_data = config->log_data;
  self->limiter = commy_pki_limiter_new ();
  self->known = commy_pki_limiter_new ();
  g_queue_init (&self->sessions);
  self->before = g_ptr_array_new_with_free_func (former_free);
  take_stamps (self, self->stamps);
  self->authority = commy_pki_authority_load (self->dir, error);
  if (self->authority == NULL || !take_lock (self, error) || !make_credentials (self, error)
      || !open_socket (self, config->listen, error)
      || !commy_pki_write_file (self->dir, INFO_NAME, self->address, 0600, FALSE, error))
    return NULL;
  self->shared.admission = (CommyPkiAdmission){
    .authority = self->authority,
    .dir = self->dir,
    .life_s = config->life_s > 0 ? config->life_s : COMMY_PKI_JOINED_LIFE_S,
    .known = self->known,
    .record = config->record,
    .record_data = config->record_data,
  };
  self->shared.deadline_us = config->deadline_us > 0 ? config->deadline_us : COMMY_PKI_TIMEOUT_US;
  self->shared.now_s = session_now;
  self->shared.refresh = session_refresh;
  self->shared.settled = session_settled;
  self->shared.ended = session_ended;
  self->shared.owner = self;
  start_accepting (self);
  return g_steal_pointer (&self);
}

void
commy_pki_server_free (CommyPkiServer *self)
{
  if (self == NULL)
    return;
  drop_source (&self->watch);
  drop_source (&self->pause);
  while (!g_queue_is_empty (&self->sessions))
    session_ended (self, self->sessions.head->data);
  if (self->fd >= 0)
    close (self->fd);
  if (self->lock >= 0)
    close (self->lock);
  if (self->shared.credentials != NULL)
    gnutls_certificate_free_credentials (self->shared.credentials);
  if (self->shared.priority != NULL)
    gnutls_priority_deinit (self->shared.priority);
  g_ptr_array_unref (self->before);
  commy_pki_authority_free (self->authority);
  commy_pki_limiter_free (self->limiter);
  commy_pki_limiter_free (self->known);
  g_free (self->address);
  g_free (self->dir);
  g_free (self);
}

const char *
commy_pki_server_get_address (CommyPkiServer *self)
{
  return self->address;
}

guint
commy_pki_server_get_n_connections (CommyPkiServer *self)
{
  return g_queue_get_length (&self->sessions);
}
