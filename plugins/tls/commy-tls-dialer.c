/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connecting: from an address to a connected socket, one candidate after the other. Numbers are
 * taken as they are; names are resolved by GLib in the background, since nothing here may block.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CANDIDATES_MAX 8

/* Outlives a connection that is closed while its name is being looked up. */
typedef struct
{
  TlsConnection *connection; /* NULL once nobody waits */
  GCancellable *cancellable;
} Lookup;

struct _TlsDialer
{
  CommyConnectedFunc done;
  gpointer user_data;
  char *host;
  guint16 port;
  Lookup *lookup;
  TlsAddress candidates[CANDIDATES_MAX];
  guint n_candidates;
  guint at;
  int fd;
  GError *last; /* why the candidate before did not work */
};

static void try_next (TlsConnection *self);

void
tls_dialer_free (TlsDialer *dialer)
{
  if (dialer == NULL)
    return;
  if (dialer->lookup != NULL)
    {
      dialer->lookup->connection = NULL;
      g_cancellable_cancel (dialer->lookup->cancellable);
    }
  if (dialer->fd >= 0)
    close (dialer->fd);
  g_clear_error (&dialer->last);
  g_free (dialer->host);
  g_free (dialer);
}

void
tls_dialer_settle (TlsDialer *dialer, TlsConnection *connection, const GError *error)
{
  dialer->done (dialer->user_data, connection, error);
}

static void
note_failure (TlsConnection *self, int code)
{
  TlsDialer *dialer = self->dialer;

  if (dialer->fd >= 0)
    close (dialer->fd);
  dialer->fd = -1;
  g_clear_error (&dialer->last);
  g_set_error (&dialer->last, TLS_ERROR, COMMY_ERROR_UNREACHABLE, "cannot connect to %s: %s",
               self->peer, g_strerror (code));
}

static void
on_connected (gpointer user_data, int fd, guint condition)
{
  TlsConnection *self = user_data;
  TlsDialer *dialer = self->dialer;
  CommyHost *host = self->instance->host;
  socklen_t size = sizeof (int);
  int code = 0;

  host->remove (host, self->watch);
  self->watch = 0;
  if (getsockopt (fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0)
    code = errno;
  if (code != 0)
    {
      note_failure (self, code);
      try_next (self);
      return;
    }
  dialer->fd = -1;
  tls_handshake_start (self, fd);
}

static gboolean
try_one (TlsConnection *self, const TlsAddress *address)
{
  TlsDialer *dialer = self->dialer;

  g_free (self->peer);
  self->peer = tls_address_to_string (address);
  dialer->fd = socket (address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (dialer->fd >= 0
      && (connect (dialer->fd, (const struct sockaddr *) &address->storage, address->size) == 0
          || errno == EINPROGRESS))
    {
      tls_connection_watch (self, dialer->fd, G_IO_OUT, on_connected);
      return TRUE;
    }
  note_failure (self, errno);
  return FALSE;
}

static void
try_next (TlsConnection *self)
{
  TlsDialer *dialer = self->dialer;

  while (dialer->at < dialer->n_candidates)
    if (try_one (self, &dialer->candidates[dialer->at++]))
      return;
  tls_connection_fail_later (self, g_steal_pointer (&dialer->last));
}

static void
add_candidate (TlsDialer *dialer, GInetAddress *address)
{
  g_autoptr (GSocketAddress) socket_address = g_inet_socket_address_new (address, dialer->port);
  TlsAddress *candidate = &dialer->candidates[dialer->n_candidates];
  gssize size = g_socket_address_get_native_size (socket_address);

  if (dialer->n_candidates == CANDIDATES_MAX || size < 0 || (gsize) size > sizeof candidate->storage
      || !g_socket_address_to_native (socket_address, &candidate->storage,
                                      sizeof candidate->storage, NULL))
    return;
  candidate->size = (socklen_t) size;
  dialer->n_candidates++;
}

static void
on_resolved (GObject *resolver, GAsyncResult *result, gpointer user_data)
{
  Lookup *lookup = user_data;
  TlsConnection *self = lookup->connection;
  g_autoptr (GError) error = NULL;
  GList *found = g_resolver_lookup_by_name_finish (G_RESOLVER (resolver), result, &error);

  if (self != NULL)
    {
      self->dialer->lookup = NULL;
      for (GList *at = found; at != NULL; at = at->next)
        add_candidate (self->dialer, at->data);
      if (error != NULL)
        g_set_error (&self->dialer->last, TLS_ERROR, COMMY_ERROR_UNREACHABLE,
                     "cannot resolve %s: %s", self->dialer->host, error->message);
      else if (self->dialer->n_candidates == 0)
        g_set_error (&self->dialer->last, TLS_ERROR, COMMY_ERROR_UNREACHABLE, "%s has no address",
                     self->dialer->host);
      try_next (self);
    }
  g_resolver_free_addresses (found);
  g_object_unref (lookup->cancellable);
  g_free (lookup);
}

static void
resolve (TlsConnection *self)
{
  g_autoptr (GResolver) resolver = g_resolver_get_default ();
  Lookup *lookup = g_new0 (Lookup, 1);

  lookup->connection = self;
  lookup->cancellable = g_cancellable_new ();
  self->dialer->lookup = lookup;
  g_resolver_lookup_by_name_async (resolver, self->dialer->host, lookup->cancellable, on_resolved,
                                   lookup);
}

void
tls_connect (gpointer instance,
             gpointer connection,
             const CommyEndpoint *endpoint,
             CommyConnectedFunc done,
             gpointer user_data)
{
  TlsConnection *self = connection;
  TlsDialer *dialer = g_new0 (TlsDialer, 1);
  GError *error = NULL;

  dialer->done = done;
  dialer->user_data = user_data;
  dialer->fd = -1;
  self->instance = instance;
  self->stage = TLS_STAGE_DIALING;
  self->dialer = dialer;
  self->peer = g_strdup (endpoint->address);
  if (!tls_address_split (endpoint->address, &dialer->host, &dialer->port, &error))
    {
      tls_connection_fail_later (self, error);
      return;
    }
  if (!tls_address_from_numeric (dialer->host, dialer->port, &dialer->candidates[0]))
    {
      resolve (self);
      return;
    }
  dialer->n_candidates = 1;
  try_next (self);
}

gboolean
tls_reachable (gpointer instance_data,
               const CommyEndpoint *endpoint,
               char *reason,
               gsize reason_size)
{
  TlsInstance *instance = instance_data;
  const char *here = instance->host->info (instance->host, COMMY_HOST_HOST_ID);
  g_autoptr (GError) error = NULL;
  g_autofree char *host = NULL;
  TlsCredentials *credentials;
  TlsAddress address;
  guint16 port;

  if (!tls_address_split (endpoint->address, &host, &port, &error))
    {
      g_strlcpy (reason, error->message, reason_size);
      return FALSE;
    }
  if (here != NULL && *here != '\0' && endpoint->host_id != NULL && *endpoint->host_id != '\0'
      && strcmp (here, endpoint->host_id) != 0
      && (strcmp (host, "localhost") == 0
          || (tls_address_from_numeric (host, port, &address)
              && tls_address_is_loopback (&address))))
    {
      g_snprintf (reason, reason_size,
                  "%s is a loopback address of another host (its keyfile can set param.bind of "
                  "transport/tls)",
                  endpoint->address);
      return FALSE;
    }
  credentials = tls_credentials_get (instance, &error);
  if (credentials == NULL)
    {
      g_strlcpy (reason, error->message, reason_size);
      return FALSE;
    }
  tls_credentials_unref (credentials);
  return TRUE;
}
