/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Renewal of the node's own certificate: a timer looks when it is due, a thread does it. All
 * processes of this host and user share the directory; one of them renews for all.
 */
#include "config.h"

#include "auth/mtls/commy-mtls.h"

#define LOOK_S 3600 /* at least this often: clocks are set, hosts sleep */
#define NOBODY_S 600
#define SETTLE_S 5 /* commands that end at once leave the work to nodes that stay */

static void look (gpointer data);

static gint64
now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static void
look_in (MtlsRenewal *self, gint64 seconds)
{
  self->timer
      = self->host->add_timer (self->host, CLAMP (seconds, 0, LOOK_S) * MTLS_SECOND, look, self);
}

static void tell (MtlsRenewal *self, guint level, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
tell (MtlsRenewal *self, guint level, const char *format, ...)
{
  g_autofree char *line = NULL;
  va_list args;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  self->host->log (self->host, level, line);
}

static CommyPkiInfo *
load_info (MtlsRenewal *self)
{
  g_autofree char *pem = commy_pki_read_file (self->dir, COMMY_PKI_CERT_FILE, FALSE, NULL);

  return pem != NULL ? commy_pki_info_new (pem, NULL) : NULL;
}

static void
audit (MtlsRenewal *self, const char *outcome, const char *details)
{
  if (self->host->struct_size > G_STRUCT_OFFSET (CommyHost, audit) && self->host->audit != NULL)
    self->host->audit (self->host, "certificate", outcome, details);
}

/* --- the work --- */

static void
on_done (gpointer data)
{
  MtlsRenewal *self = data;
  g_autoptr (CommyPkiInfo) info = NULL;
  g_autofree char *left_text = NULL;
  g_autofree char *wait_text = NULL;
  gint64 left, wait;

  g_thread_join (g_steal_pointer (&self->thread));
  if (self->error == NULL)
    {
      self->failures = 0;
      if (self->result != NULL)
        audit (self, "renewed",
               self->result->address != NULL ? self->result->address : "this host");
      if (self->result != NULL)
        tell (self, G_LOG_LEVEL_MESSAGE, "renewed the certificate of %s, at %s", self->result->id,
              self->result->address != NULL ? self->result->address : "this host");
      g_clear_pointer (&self->result, commy_pki_membership_free);
      look_in (self, 1); /* of several processes one renews, the others see it then */
      return;
    }
  info = load_info (self);
  left = info != NULL ? info->not_after_s - now_s () : 0;
  wait = commy_pki_renewal_backoff (++self->failures, left, self->random);
  left_text = commy_pki_format_span (left);
  wait_text = commy_pki_format_span (wait);
  tell (self, G_LOG_LEVEL_WARNING,
        "cannot renew the certificate, which %s%s (failure %u, again in %s): %s",
        left > 0 ? "ends in " : "has ended, by ", left_text, self->failures, wait_text,
        self->error->message);
  audit (self, "not renewed", self->error->message);
  g_clear_error (&self->error);
  look_in (self, wait);
}

static gpointer
work (gpointer data)
{
  MtlsRenewal *self = data;

  self->result = commy_pki_renew (self->dir, self->seen_not_after_s, now_s (), self->cancellable,
                                  &self->error);
  self->host->post (self->host, on_done, self);
  return NULL;
}

/* --- when --- */

static gboolean
has_issuer (MtlsRenewal *self)
{
  g_autofree char *key = g_build_filename (self->dir, COMMY_PKI_AUTHORITY_KEY_FILE, NULL);
  g_auto (GStrv) addresses = NULL;

  if (g_file_test (key, G_FILE_TEST_EXISTS))
    return TRUE;
  addresses = commy_pki_dup_issuer (self->dir);
  return addresses != NULL;
}

/* Made by hand, or by somebody else's authority: nothing is wrong with that, but it will end. */
static void
tell_orphan (MtlsRenewal *self, const CommyPkiInfo *info)
{
  g_autofree char *left = commy_pki_format_span (MAX (info->not_after_s - now_s (), 0));

  if (self->told_orphan_s == info->not_after_s)
    return;
  self->told_orphan_s = info->not_after_s;
  tell (self, G_LOG_LEVEL_WARNING,
        "the certificate ends in %s and no issuer is known: put a new one into %s (commy join, or "
        "commy pki issue)",
        left, self->dir);
}

static void
look (gpointer data)
{
  MtlsRenewal *self = data;
  g_autoptr (CommyPkiInfo) info = load_info (self);
  gint64 wait;

  self->timer = 0;
  if (info == NULL)
    {
      look_in (self, NOBODY_S);
      return;
    }
  wait = commy_pki_renewal_due (info->not_before_s, info->not_after_s, self->random) - now_s ();
  if (wait > 0)
    {
      look_in (self, wait);
      return;
    }
  if (!has_issuer (self))
    {
      tell_orphan (self, info);
      look_in (self, LOOK_S);
      return;
    }
  self->seen_not_after_s = info->not_after_s;
  self->thread = g_thread_new ("commy-renewal", work, self);
}

void
mtls_renewal_start (MtlsRenewal *self, CommyHost *host)
{
  g_autoptr (CommyPkiInfo) info = NULL;

  self->host = host;
  self->dir = host->info (host, COMMY_HOST_CREDENTIALS_DIR);
  if (self->dir == NULL || *self->dir == '\0')
    return;
  host->random (host, &self->random, sizeof self->random);
  self->cancellable = g_cancellable_new ();
  info = load_info (self);
  look_in (self, info == NULL ? NOBODY_S
                              : CLAMP ((info->not_after_s - info->not_before_s) / 60, 0, SETTLE_S));
}

void
mtls_renewal_stop (MtlsRenewal *self)
{
  if (self->timer != 0)
    self->host->remove (self->host, self->timer);
  self->timer = 0;
  if (self->thread != NULL)
    {
      g_cancellable_cancel (self->cancellable);
      g_thread_join (g_steal_pointer (&self->thread));
    }
  g_clear_pointer (&self->result, commy_pki_membership_free);
  g_clear_error (&self->error);
  g_clear_object (&self->cancellable);
}
