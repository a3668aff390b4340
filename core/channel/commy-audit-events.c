/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events of channels for the audit trail. The same event is the same record over every path, but
 * for the transport and what that transport's peers are called.
 */
#include "config.h"

#include "channel/commy-audit-events.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-alike.h"

#include <string.h>

/* By the name on the path it is on now, which is the record's transport; where that is another one
 * than the flow was set up with, that one is there, too. */
static void
name_peer (CommyChannel *self, CommyPrincipal *present, CommyAuditEvent *event)
{
  const char *first = commy_principal_get_name (self->peer);
  const char *name = present != NULL ? commy_principal_get_name (present) : first;

  event->texts[COMMY_AUDIT_PRINCIPAL] = name;
  if (event->texts[COMMY_AUDIT_PEER] == NULL && strcmp (name, first) != 0)
    event->texts[COMMY_AUDIT_PEER] = first;
}

gboolean
commy_audit_call (CommyChannel *self, const CommyIncomingMethod *method, CommyIncoming *incoming)
{
  CommyAuditEvent event = { {
      [COMMY_AUDIT_TYPE] = "call",
      [COMMY_AUDIT_OUTCOME] = method->allowed ? "allowed" : "denied",
      [COMMY_AUDIT_TRANSPORT] = commy_channel_get_transport (self),
      [COMMY_AUDIT_SERVICE] = self->service,
      [COMMY_AUDIT_METHOD] = method->name,
      [COMMY_AUDIT_RULE] = method->rule,
      [COMMY_AUDIT_ORIGIN] = method->origin,
  } };
  g_autoptr (GError) error = NULL;

  name_peer (self, self->moves.peer, &event);
  /* What is denied anyway is denied with that reason. */
  if (!method->allowed)
    commy_audit_log_add (self->shared->audit, &event);
  else if (!commy_audit_log_check (self->shared->audit, &event, &error))
    {
      commy_channel_refuse_call (self, incoming, COMMY_DROP_DENIED, (guint32) error->code,
                                 commy_error_bare (error));
      return FALSE;
    }
  return TRUE;
}

gboolean
commy_audit_control (CommyChannel *self,
                     CommyPrincipal *present,
                     const char *operation,
                     const CommyPolicyVerdict *verdict,
                     GError **error)
{
  CommyAuditEvent event = { {
      [COMMY_AUDIT_TYPE] = "control",
      [COMMY_AUDIT_OUTCOME] = verdict->allowed ? "allowed" : "denied",
      [COMMY_AUDIT_TRANSPORT] = commy_channel_get_transport (self),
      [COMMY_AUDIT_METHOD] = operation,
      [COMMY_AUDIT_RULE] = verdict->rule,
      [COMMY_AUDIT_ORIGIN] = verdict->origin,
  } };

  name_peer (self, present, &event);
  if (verdict->allowed)
    return commy_audit_log_check_rare (self->shared->audit, &event, error);
  commy_audit_log_add (self->shared->audit, &event);
  return TRUE;
}

/* Which proofs it was: one who reads it may want to deny one of them. (transfer full) */
static char *
dup_with_proofs (const char *text, const char *ids)
{
  return ids[0] != '\0' ? g_strdup_printf ("%s; it showed %s", text, ids) : g_strdup (text);
}

/* Their names with a space between. (transfer full) */
static char *
dup_proofs (const CommySetup *self)
{
  g_autoptr (GString) ids = g_string_new (NULL);

  for (guint i = 0; self->proofs != NULL && i < self->proofs->len; i++)
    {
      const CommyProof *proof = &g_array_index (self->proofs, CommyStandingProof, i).proof;
      const gsize size = strnlen (proof->id, sizeof proof->id);

      if (size > 0)
        g_string_append_printf (ids, "%s%.*s", ids->len > 0 ? " " : "", (int) size, proof->id);
    }
  return g_string_free (g_steal_pointer (&ids), FALSE);
}

void
commy_audit_ended (CommyChannel *self, const GError *error)
{
  const char *ids = self->standing != NULL ? commy_standing_get_ids (self->standing) : "";
  g_autofree char *text = dup_with_proofs (commy_error_bare (error), ids);
  char number[16];
  CommyAuditEvent event = { {
      [COMMY_AUDIT_TYPE] = "peer",
      [COMMY_AUDIT_OUTCOME] = "ended",
      [COMMY_AUDIT_PEER] = text,
      [COMMY_AUDIT_TRANSPORT] = commy_channel_get_transport (self),
      [COMMY_AUDIT_SERVICE] = self->service,
      [COMMY_AUDIT_REASON] = number,
  } };

  name_peer (self, self->moves.peer, &event);
  g_snprintf (number, sizeof number, "CMY%04d", CLAMP (error->code, 0, 9999));
  commy_audit_log_add (self->shared->audit, &event);
}

gboolean
commy_audit_accepted (CommySetup *self, GError **error)
{
  g_autofree char *ids = dup_proofs (self);
  CommyAuditEvent event = { {
      [COMMY_AUDIT_TYPE] = "peer",
      [COMMY_AUDIT_OUTCOME] = "accepted",
      [COMMY_AUDIT_PRINCIPAL] = commy_principal_get_name (self->peer),
      [COMMY_AUDIT_PEER] = ids[0] != '\0' ? ids : NULL,
      [COMMY_AUDIT_TRANSPORT] = self->transport->note.id,
      [COMMY_AUDIT_SERVICE] = self->service,
      [COMMY_AUDIT_DETAILS] = commy_principal_get_provider (self->peer),
  } };

  return commy_audit_log_check_rare (self->shared->channel->audit, &event, error);
}

/* The error's text may have names in it, of which nobody knows whether they are the peer's own: all
 * of it is a personal text. Of who has proved nothing it may have another address each time. */
void
commy_audit_refused (CommySetup *self, const GError *error)
{
  g_autofree char *ids = dup_proofs (self);
  g_autofree char *text = dup_with_proofs (commy_error_bare (error), ids);
  gboolean is_stranger = self->listener != NULL && self->peer == NULL;
  g_autofree char *alike = is_stranger ? commy_audit_dup_alike (commy_error_bare (error)) : NULL;
  char number[16];
  CommyAuditEvent event = { .texts = {
      [COMMY_AUDIT_TYPE] = "peer",
      [COMMY_AUDIT_OUTCOME] = "refused",
      [COMMY_AUDIT_PRINCIPAL] = self->peer != NULL ? commy_principal_get_name (self->peer) : NULL,
      [COMMY_AUDIT_PEER] = text,
      [COMMY_AUDIT_TRANSPORT] = self->transport->note.id,
      [COMMY_AUDIT_SERVICE] = self->service,
      [COMMY_AUDIT_REASON] = number,
  }, .is_stranger = is_stranger, .alike = alike };

  g_snprintf (number, sizeof number, "CMY%04d", CLAMP (error->code, 0, 9999));
  commy_audit_log_add (self->shared->channel->audit, &event);
}

/* Whoever it is, for the budget he is a stranger: who he is was not asked. */
void
commy_audit_turned_away (CommySetupShared *shared, const char *transport, const char *who)
{
  char number[16];
  g_autofree char *text
      = g_strdup_printf ("too many set-ups of %s were under way (limit \"handshakes\")", who);
  CommyAuditEvent event = { .texts = {
      [COMMY_AUDIT_TYPE] = "peer",
      [COMMY_AUDIT_OUTCOME] = "refused",
      [COMMY_AUDIT_PEER] = text,
      [COMMY_AUDIT_TRANSPORT] = transport,
      [COMMY_AUDIT_REASON] = number,
  }, .is_stranger = TRUE };

  g_snprintf (number, sizeof number, "CMY%04d", COMMY_ERROR_BUSY);
  commy_audit_log_add (shared->channel->audit, &event);
}
