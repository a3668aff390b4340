/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A node that holds the authority and serves it, as `commy pki serve` does. On a thread with a
 * loop of its own, so that strangers' handshakes never take time from the mesh. Of several nodes
 * with the same keyfile one serves; when it ends another takes over.
 */
#include "config.h"

#include "auth/mtls/commy-mtls.h"

#include "plugins/common/commy-params.h"

#define AGAIN_S 5
#define WAITING_MAX 4096u /* certificates that are not recorded yet */
#define SETTLE_S 1        /* commands that end at once leave it to nodes that stay */

static void
on_log (gpointer data, GLogLevelFlags level, const char *line)
{
  MtlsAuthority *self = data;

  self->host->log (self->host, level, line);
}

/* Outcome and name of each, with a blank between. */
static void
on_handed_out (gpointer data)
{
  MtlsAuthority *self = data;
  g_autoptr (GPtrArray) lines = NULL;

  g_mutex_lock (&self->lock);
  lines = self->handed_out;
  self->handed_out = g_ptr_array_new_with_free_func (g_free);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < lines->len; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines->pdata[i], " ", 2);

      self->host->audit (self->host, "certificate", words[0], words[1]);
    }
}

/* The host's trail has no budget for plugins' strangers: who was refused is in the log alone. */
static gboolean
on_record (gpointer data, const CommyPkiEvent *event, GError **error)
{
  MtlsAuthority *self = data;
  gboolean has_room;

  if (event->certificate == NULL)
    return TRUE;
  g_mutex_lock (&self->lock);
  has_room = self->handed_out->len < WAITING_MAX;
  if (has_room)
    g_ptr_array_add (self->handed_out,
                     g_strdup_printf ("%s %s", event->outcome, event->certificate));
  g_mutex_unlock (&self->lock);
  if (!has_room)
    {
      g_set_error (error, MTLS_ERROR, COMMY_ERROR_BUSY,
                   "%u certificates wait to be recorded: the node is too busy", WAITING_MAX);
      return FALSE;
    }
  self->host->post (self->host, on_handed_out, self);
  return TRUE;
}

/* Said once, until there is something else to say. */
static void
tell_why (MtlsAuthority *self, const GError *why)
{
  gboolean expected = why->code == COMMY_ERROR_BUSY;
  g_autofree char *line = NULL;

  if (g_strcmp0 (self->told, why->message) == 0)
    return;
  g_free (self->told);
  self->told = g_strdup (why->message);
  line = g_strdup_printf ("does not serve the authority: %s", why->message);
  self->host->log (self->host, expected ? G_LOG_LEVEL_INFO : G_LOG_LEVEL_WARNING, line);
}

static gboolean try_to_serve (gpointer data);

static void
try_in (MtlsAuthority *self, guint seconds)
{
  GSource *source = g_timeout_source_new_seconds (seconds);

  g_source_set_callback (source, try_to_serve, self, NULL);
  g_source_attach (source, self->context);
  g_source_unref (source);
}

static gboolean
try_to_serve (gpointer data)
{
  MtlsAuthority *self = data;
  g_autoptr (GError) why = NULL;
  g_autofree char *line = NULL;

  self->server = commy_pki_server_new (&self->config, &why);
  if (self->server == NULL)
    {
      tell_why (self, why);
      try_in (self, AGAIN_S);
      return G_SOURCE_REMOVE;
    }
  line
      = g_strdup_printf ("serves the authority on %s", commy_pki_server_get_address (self->server));
  self->host->log (self->host, G_LOG_LEVEL_MESSAGE, line);
  return G_SOURCE_REMOVE;
}

static gpointer
work (gpointer data)
{
  MtlsAuthority *self = data;

  g_main_context_push_thread_default (self->context);
  try_in (self, SETTLE_S);
  while (!g_atomic_int_get (&self->stopping))
    g_main_context_iteration (self->context, TRUE);
  g_clear_pointer (&self->server, commy_pki_server_free);
  g_main_context_pop_thread_default (self->context);
  return NULL;
}

static gboolean
check_listen (const char *listen, GError **error)
{
  g_auto (GStrv) addresses = commy_pki_dup_public_addresses (listen);

  if (addresses[0] != NULL)
    return TRUE;
  return commy_params_refuse (
      error,
      "serve-authority is a numeric address and a port, as 0.0.0.0:%d or [::]:%d, not "
      "\"%s\"",
      COMMY_PKI_PORT, COMMY_PKI_PORT, listen);
}

gboolean
mtls_authority_start (MtlsAuthority *self, CommyHost *host, const char *listen, GError **error)
{
  const char *dir = host->info (host, COMMY_HOST_CREDENTIALS_DIR);

  const gboolean may_record = host->struct_size > G_STRUCT_OFFSET (CommyHost, audit);

  if (*listen == '\0' || dir == NULL || *dir == '\0')
    return TRUE;
  /* Nobody records here: this is no node, but a command that only seals its trail. */
  if (may_record && host->audit == NULL)
    return TRUE;
  if (!check_listen (listen, error))
    return FALSE;
  self->host = host;
  self->config.dir = dir;
  self->config.listen = listen;
  self->config.life_s
      = g_ascii_strtoll (host->param (host, "certificate-life"), NULL, 10) / MTLS_SECOND;
  self->config.log = on_log;
  self->config.log_data = self;
  if (may_record)
    self->config.record = on_record;
  self->config.record_data = self;
  g_mutex_init (&self->lock);
  self->handed_out = g_ptr_array_new_with_free_func (g_free);
  self->context = g_main_context_new ();
  self->thread = g_thread_new ("commy-authority", work, self);
  return TRUE;
}

void
mtls_authority_stop (MtlsAuthority *self)
{
  if (self->thread == NULL)
    return;
  g_atomic_int_set (&self->stopping, 1);
  g_main_context_wakeup (self->context);
  g_thread_join (g_steal_pointer (&self->thread));
  if (self->config.record != NULL)
    on_handed_out (self); /* a post that waits is not called any more */
  g_clear_pointer (&self->handed_out, g_ptr_array_unref);
  g_mutex_clear (&self->lock);
  g_clear_pointer (&self->context, g_main_context_unref);
  g_clear_pointer (&self->told, g_free);
}
