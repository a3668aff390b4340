/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of an open channel when its proof does: while it fades the side that connected
 * replaces the path, and nobody notices; when it is over either side closes.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "channel/commy-audit-events.h"
#include "channel/commy-channel-move.h"

static void
close_over (CommyChannel *self)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_REFUSED, "%s", commy_standing_get_reason (self->standing));
  g_message ("closed a connection of %s over %s: %s", self->service,
             commy_channel_get_transport (self), commy_error_bare (error));
  commy_audit_ended (self, error);
  commy_channel_close (self, error);
}

static void
look (gpointer unused, CommyChannel *self)
{
  if (self->closed || self->standing == NULL)
    return;
  switch (commy_standing_get_state (self->standing))
    {
    case COMMY_STANDING_OVER:
      close_over (self);
      break;
    case COMMY_STANDING_FADING:
      if (!self->accepting && self->moves.on_fading != NULL && !self->moves.adrift)
        self->moves.on_fading (self->on_closed_data, self);
      break;
    case COMMY_STANDING_GOOD:
    default:
      break;
    }
}

/* --- being told --- */

static void
hold (gpointer data)
{
  commy_channel_ref (data);
}

/* On the mesh thread. */
static void
tell (gpointer data)
{
  CommyChannel *self = data;

  commy_channel_visit (self, look, NULL);
  commy_channel_unref (self);
}

void
commy_channel_watch_standing (CommyChannel *self)
{
  if (self->closed || self->standing == NULL)
    return;
  commy_standing_watch (self->standing, hold, tell, self);
  /* It may have changed before there was anybody to tell. */
  if (commy_standing_get_state (self->standing) == COMMY_STANDING_OVER)
    close_over (self);
}

void
commy_channel_describe_standing (CommyChannel *self, GVariantBuilder *record)
{
  const char *ids = self->standing != NULL ? commy_standing_get_ids (self->standing) : "";
  gint64 until_s = self->standing != NULL ? commy_standing_get_until_s (self->standing) : 0;

  if (ids[0] != '\0')
    g_variant_builder_add (record, "{sv}", "proof", g_variant_new_string (ids));
  if (until_s != 0)
    g_variant_builder_add (record, "{sv}", "proof-until", g_variant_new_int64 (until_s));
}
