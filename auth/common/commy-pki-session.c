/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection of the admission service: handshake, greeting, one request, one answer, end.
 * Nothing blocks, and all of it together has one deadline.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

typedef enum
{
  STAGE_SILENT, /* there is nothing to answer */
  STAGE_HANDSHAKE,
  STAGE_GREET,
  STAGE_READ,
  STAGE_ANSWER,
  STAGE_GOODBYE, /* the other side reads, then closes; closing first could take its answer away */
} Stage;

struct _CommyPkiSession
{
  const CommyPkiSessionShared *shared;
  gnutls_session_t tls;
  int fd;
  Stage stage;
  gsize awaited;   /* bytes without which it stays silent */
  gint64 since_us; /* when it came, or was answered */
  char *from;
  GSource *watch;
  GIOCondition condition;
  GSource *deadline;
  GBytes *out;
  gsize out_at;
  gsize in_size;
  guint8 in[COMMY_PKI_MESSAGE_HEADER + COMMY_PKI_MESSAGE_MAX];
};

static gboolean on_ready (int fd, GIOCondition condition, gpointer data);

static void
drop_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

void
commy_pki_session_free (CommyPkiSession *self)
{
  drop_source (&self->watch);
  drop_source (&self->deadline);
  if (self->tls != NULL)
    gnutls_deinit (self->tls);
  close (self->fd);
  g_clear_pointer (&self->out, g_bytes_unref);
  gnutls_memset (self->in, 0, self->in_size); /* there was a secret in it */
  g_free (self->from);
  g_free (self);
}

static void
end (CommyPkiSession *self)
{
  self->shared->ended (self->shared->owner, self);
}

static gboolean
on_deadline (gpointer data)
{
  end (data);
  return G_SOURCE_REMOVE;
}

/* Waits until the socket can do what GnuTLS needs next. */
static void
wait_for (CommyPkiSession *self, GIOCondition condition)
{
  if (self->watch != NULL && self->condition == condition)
    return;
  drop_source (&self->watch);
  self->condition = condition;
  self->watch = g_unix_fd_source_new (self->fd, condition);
  g_source_set_callback (self->watch, G_SOURCE_FUNC (on_ready), self, NULL);
  g_source_attach (self->watch, g_main_context_get_thread_default ());
}

/* TRUE: done with it; FALSE: later (*out_broken unset), or never. */
static gboolean
progress (CommyPkiSession *self, gssize code, gboolean *out_broken)
{
  if (code >= 0)
    return TRUE;
  *out_broken = gnutls_error_is_fatal ((int) code) != 0;
  if (!*out_broken)
    wait_for (self, gnutls_record_get_direction (self->tls) == 1 ? G_IO_OUT : G_IO_IN);
  return FALSE;
}

static void
say (CommyPkiSession *self, GBytes *message, Stage stage)
{
  self->out = message;
  self->out_at = 0;
  self->stage = stage;
}

static GBytes *
make_greeting (CommyPkiSession *self)
{
  GVariantDict fields;

  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert (&fields, "time", "x", self->shared->now_s (self->shared->owner));
  g_variant_dict_insert (&fields, "domain", "s", self->shared->admission.authority->domain);
  return commy_pki_message_write (COMMY_PKI_MESSAGE_GREETING, g_variant_dict_end (&fields));
}

static gboolean
push (CommyPkiSession *self, gboolean *out_broken)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (self->out, &size);

  while (self->out_at < size)
    {
      gssize sent = gnutls_record_send (self->tls, data + self->out_at, size - self->out_at);

      if (!progress (self, sent, out_broken))
        return FALSE;
      self->out_at += (gsize) sent;
    }
  g_clear_pointer (&self->out, g_bytes_unref);
  return TRUE;
}

static void
settle (CommyPkiSession *self)
{
  g_auto (CommyPkiMessage) request = { 0 };
  g_autoptr (GPtrArray) chain = commy_pki_tls_dup_chain (self->tls);
  CommyPkiOutcome outcome = { FALSE };
  GBytes *answer = NULL;

  self->shared->refresh (self->shared->owner);
  if (commy_pki_message_read (self->in, self->in_size, &request, NULL))
    answer = commy_pki_admission_decide (
        &self->shared->admission, &request, chain->len > 0 ? chain->pdata[0] : NULL, self->from,
        self->shared->now_s (self->shared->owner), g_get_monotonic_time (), &outcome);
  else
    {
      outcome.suspicious = TRUE;
      outcome.line = g_strdup ("refused: what came was no request");
    }
  gnutls_memset (self->in, 0, self->in_size);
  self->shared->settled (self->shared->owner, self, &outcome);
  commy_pki_outcome_clear (&outcome);
  if (answer == NULL)
    return;
  self->since_us = g_get_monotonic_time ();
  say (self, answer, STAGE_ANSWER);
}

/* FALSE: more is needed. A message that is none ends the connection. */
static gboolean
pull (CommyPkiSession *self, gboolean *out_broken)
{
  for (;;)
    {
      gssize whole = commy_pki_message_measure (self->in, self->in_size, NULL);
      gsize wanted = whole > 0 ? (gsize) whole : COMMY_PKI_MESSAGE_HEADER;
      gssize got;

      if (whole > 0 && self->in_size == wanted)
        return TRUE;
      /* Answers may be larger than what this side ever reads. */
      if (whole < 0 || (gsize) whole > sizeof self->in)
        {
          *out_broken = TRUE;
          return FALSE;
        }
      got = gnutls_record_recv (self->tls, self->in + self->in_size, wanted - self->in_size);
      if (got == 0)
        *out_broken = TRUE;
      if (got == 0 || !progress (self, got, out_broken))
        return FALSE;
      self->in_size += (gsize) got;
    }
}

/* Goes on as far as it can. FALSE: it waits, or is over. */
static gboolean
step (CommyPkiSession *self, gboolean *out_broken)
{
  guint8 rest[64];

  switch (self->stage)
    {
    case STAGE_SILENT:
      if (commy_pki_hello_await (self->fd, &self->awaited))
        return FALSE;
      self->stage = STAGE_HANDSHAKE;
      return TRUE;
    case STAGE_HANDSHAKE:
      if (!progress (self, gnutls_handshake (self->tls), out_broken))
        return FALSE;
      say (self, make_greeting (self), STAGE_GREET);
      return TRUE;
    case STAGE_GREET:
      if (!push (self, out_broken))
        return FALSE;
      self->stage = STAGE_READ;
      return TRUE;
    case STAGE_READ:
      if (!pull (self, out_broken))
        return FALSE;
      settle (self);
      *out_broken = self->stage != STAGE_ANSWER;
      return !*out_broken;
    case STAGE_ANSWER:
      if (!push (self, out_broken))
        return FALSE;
      (void) gnutls_bye (self->tls, GNUTLS_SHUT_WR);
      self->stage = STAGE_GOODBYE;
      return TRUE;
    case STAGE_GOODBYE:
    default:
      if (progress (self, gnutls_record_recv (self->tls, rest, sizeof rest), out_broken))
        *out_broken = TRUE; /* its end, or bytes that nobody asked for */
      return FALSE;
    }
}

static gboolean
on_ready (int fd, GIOCondition condition, gpointer data)
{
  CommyPkiSession *self = data;
  gboolean broken = FALSE;

  while (step (self, &broken))
    ;
  if (broken)
    end (self);
  return G_SOURCE_CONTINUE; /* a destroyed source stays so */
}

CommyPkiSession *
commy_pki_session_new (const CommyPkiSessionShared *shared, int fd, const char *from)
{
  CommyPkiSession *self = g_new0 (CommyPkiSession, 1);

  self->shared = shared;
  self->fd = fd;
  self->from = g_strdup (from);
  self->since_us = g_get_monotonic_time ();
  if (commy_pki_tls_session (&self->tls, GNUTLS_SERVER, shared->priority, shared->credentials, fd)
      < 0)
    {
      commy_pki_session_free (self);
      return NULL;
    }
  /* A member shows its certificate; a newcomer has none yet. */
  gnutls_certificate_server_set_request (self->tls, GNUTLS_CERT_REQUEST);
  self->deadline = g_timeout_source_new ((guint) (shared->deadline_us / 1000));
  g_source_set_callback (self->deadline, on_deadline, self, NULL);
  g_source_attach (self->deadline, g_main_context_get_thread_default ());
  wait_for (self, G_IO_IN);
  return self;
}

const char *
commy_pki_session_get_from (CommyPkiSession *self)
{
  return self->from;
}

gboolean
commy_pki_session_has_asked (CommyPkiSession *self)
{
  return self->stage > STAGE_READ;
}

gboolean
commy_pki_session_has_spoken (CommyPkiSession *self)
{
  return self->stage > STAGE_SILENT || commy_pki_hello_is_there (self->fd);
}

gint64
commy_pki_session_get_since (CommyPkiSession *self)
{
  return self->since_us;
}
