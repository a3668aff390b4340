/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the library of the TLS transport does by itself: TLS 1.3 with AES-128-GCM over TCP on
 * loopback, both sides with certificates, records written and read by a plain loop that sleeps in
 * the kernel, or asks it again and again.
 */
#include "config.h"

#include "limit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#ifdef WITH_TLS

#include <gnutls/gnutls.h>
#include <sys/socket.h>

#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM"
#define RECORD (16u << 10)

typedef struct
{
  const BenchRun *run;
  int fds[2];
  gsize size;
  gboolean spins;
  guint8 *bytes;
  gnutls_session_t session; /* of the caller */
} Tls;

static gboolean
make_credentials (const BenchRun *run, gnutls_certificate_credentials_t *out)
{
  g_autofree char *ca = g_build_filename (run->dir, "pki", "ca.pem", NULL);
  g_autofree char *cert = g_build_filename (run->dir, "pki", "cert.pem", NULL);
  g_autofree char *key = g_build_filename (run->dir, "pki", "key.pem", NULL);

  if (gnutls_certificate_allocate_credentials (out) < 0)
    return FALSE;
  return gnutls_certificate_set_x509_trust_file (*out, ca, GNUTLS_X509_FMT_PEM) > 0
         && gnutls_certificate_set_x509_key_file (*out, cert, key, GNUTLS_X509_FMT_PEM) == 0;
}

/* NULL: it could not be made, or the other side did not agree. */
static gnutls_session_t
shake_hands (const Tls *self, int fd, guint role)
{
  gnutls_certificate_credentials_t credentials = NULL;
  gnutls_session_t session = NULL;
  int code;

  if (!make_credentials (self->run, &credentials) || gnutls_init (&session, role) < 0
      || gnutls_priority_set_direct (session, PRIORITY, NULL) < 0
      || gnutls_credentials_set (session, GNUTLS_CRD_CERTIFICATE, credentials) < 0)
    return NULL;
  if (role & GNUTLS_SERVER)
    gnutls_certificate_server_set_request (session, GNUTLS_CERT_REQUIRE);
  gnutls_transport_set_int (session, fd);
  gnutls_handshake_set_timeout (session, GNUTLS_DEFAULT_HANDSHAKE_TIMEOUT);
  do
    code = gnutls_handshake (session);
  while (code < 0 && !gnutls_error_is_fatal (code));
  if (code >= 0 && self->spins)
    code = fcntl (fd, F_SETFL, O_NONBLOCK);
  /* Credentials stay as long as this process, which is no longer than the row. */
  return code < 0 ? NULL : session;
}

static gboolean
move (gnutls_session_t session, guint8 *bytes, gsize size, gboolean out)
{
  while (size > 0)
    {
      ssize_t moved = out ? gnutls_record_send (session, bytes, MIN (size, RECORD))
                          : gnutls_record_recv (session, bytes, size);

      if (moved == GNUTLS_E_AGAIN || moved == GNUTLS_E_INTERRUPTED)
        continue;
      if (moved <= 0)
        return FALSE;
      bytes += moved;
      size -= (gsize) moved;
    }
  return TRUE;
}

static void
answer (gpointer data)
{
  const Tls *self = data;
  gnutls_session_t session;

  close (self->fds[0]);
  session = shake_hands (self, self->fds[1], GNUTLS_SERVER);
  while (session != NULL && move (session, self->bytes, self->size, FALSE)
         && move (session, self->bytes, self->size, TRUE))
    continue;
}

static gboolean
exchange (gpointer data, GError **error)
{
  const Tls *self = data;

  return (move (self->session, self->bytes, self->size, TRUE)
          && move (self->session, self->bytes, self->size, FALSE))
         || bench_fail (error, "the TLS connection broke");
}

/* Reads until nothing more comes, and says how much it was. */
static void
drain (gpointer data)
{
  const Tls *self = data;
  gnutls_session_t session;
  guint64 total = 0;
  ssize_t got = 0;

  close (self->fds[0]);
  session = shake_hands (self, self->fds[1], GNUTLS_SERVER);
  if (session == NULL)
    return;
  do
    {
      got = gnutls_record_recv (session, self->bytes, BENCH_LARGEST);
      total += got > 0 ? (guint64) got : 0;
    }
  while (got > 0 || got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
  gnutls_record_send (session, &total, sizeof total);
}

static gboolean
round_trips (BenchRun *run, const char *id, Tls *self, GError **error)
{
  return bench_time_each (run, id, self->size, exchange, self, error);
}

static gboolean
stream (BenchRun *run, const char *id, Tls *self, GError **error)
{
  gint64 budget = bench_get_budget (run);
  gint64 start = bench_now ();
  guint64 total = 0;
  guint64 n = 0;

  do
    for (guint i = 0; i < 16; i++, n++)
      if (!move (self->session, self->bytes, self->size, TRUE))
        return bench_fail (error, "the TLS connection broke");
  while (bench_now () < start + budget);
  if (gnutls_bye (self->session, GNUTLS_SHUT_WR) < 0
      || !move (self->session, (guint8 *) &total, sizeof total, FALSE) || total != n * self->size)
    return bench_fail (error, "not everything arrived");
  bench_tell (run, id, BENCH_RATE, self->size, n,
              (double) n * 1e9 / (double) (bench_now () - start));
  return TRUE;
}

static gboolean
measure (BenchRun *run,
         const BenchScene *scene,
         gsize size,
         LimitPartner partner_func,
         gboolean (*func) (BenchRun *, const char *, Tls *, GError **),
         GError **error)
{
  Tls self = { .run = run, .size = size, .spins = strcmp (scene->wait, "spin") == 0 };
  char id[BENCH_ID_MAX];
  GPid partner;
  gboolean ok;

  bench_id (id, scene, "tls/%" G_GSIZE_FORMAT, size);
  if (!limit_make_tcp_pair (self.fds, error))
    return FALSE;
  self.bytes = g_malloc0 (BENCH_LARGEST);
  bench_placement_check (run);
  ok = limit_partner_start (run, partner_func, &self, &partner, error);
  if (ok)
    {
      close (self.fds[1]);
      self.session = shake_hands (&self, self.fds[0], GNUTLS_CLIENT);
      ok = self.session != NULL ? func (run, id, &self, error)
                                : bench_fail (error, "no TLS 1.3 with AES-128-GCM here");
      if (self.session != NULL)
        gnutls_deinit (self.session);
      limit_partner_stop (run, partner);
    }
  else
    close (self.fds[1]);
  close (self.fds[0]);
  g_free (self.bytes);
  return ok;
}

gboolean
limit_tls (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_round_trip_sizes (run);

  for (gsize i = 0; sizes[i] != 0; i++)
    if (!measure (run, scene, sizes[i], answer, round_trips, error))
      return FALSE;
  return TRUE;
}

gboolean
limit_tls_streams (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_stream_sizes (run);

  for (gsize i = 0; sizes[i] != 0; i++)
    if (!measure (run, scene, sizes[i], drain, stream, error))
      return FALSE;
  return TRUE;
}

#else

gboolean
limit_tls (BenchRun *run, const BenchScene *scene, GError **error)
{
  bench_tell_missing (run, scene->name, "built without TLS");
  return TRUE;
}

gboolean
limit_tls_streams (BenchRun *run, const BenchScene *scene, GError **error)
{
  return limit_tls (run, scene, error);
}

#endif
