/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue of the audit trail and the thread behind it. Events lie packed in one of two buffers:
 * one is filled, the other written.
 */
#include "config.h"

#include "security/commy-audit-log.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-budget.h"
#include "security/commy-audit-repeats.h"

#include <string.h>
#include <time.h>

#define REFUSED "CMY0420"
#define BATCH ((gsize) 256 << 10) /* bytes of records that are written at a time */

struct _CommyAuditLog
{
  gatomicrefcount refs;
  CommyAuditLogSetup setup;
  GThread *thread;

  GMutex lock; /* of what follows */
  GCond wake;  /* the thread: there is something to do */
  GCond done;  /* who waits for a sync */
  guint8 *filled;
  gsize fill;
  guint64 lost; /* not told yet */
  guint64 lost_in_all;
  guint syncs_wanted;
  guint syncs_done;
  gboolean synced; /* how the last one went */
  gboolean waits;  /* the thread does */
  gboolean stops;
  gint failing; /* atomic */

  /* the thread's */
  guint8 *written;
  CommyAuditChain *chain;
  CommyAuditRepeats *repeats;
  CommyAuditBudget *budget;
  guint tidied; /* number of the file with which that was done last */
};

static void
system_now (gpointer data, gint64 *out_wall_us, gint64 *out_boot_ns)
{
  struct timespec wall, boot;

  clock_gettime (CLOCK_REALTIME, &wall);
  clock_gettime (CLOCK_BOOTTIME, &boot);
  *out_wall_us = (gint64) wall.tv_sec * G_USEC_PER_SEC + wall.tv_nsec / 1000;
  *out_boot_ns = (gint64) boot.tv_sec * G_GINT64_CONSTANT (1000000000) + boot.tv_nsec;
}

/* --- handing over --- */

gboolean
commy_audit_log_wants_calls (const CommyAuditLog *self, gboolean allowed)
{
  return self != NULL
         && self->setup.calls >= (allowed ? COMMY_AUDIT_CALLS_ALL : COMMY_AUDIT_CALLS_DENIED);
}

gboolean
commy_audit_log_add (CommyAuditLog *self, const CommyAuditEvent *event)
{
  gboolean fits, wakes;
  gint64 wall_us, boot_ns;
  gsize size;

  if (self == NULL)
    return TRUE;
  g_mutex_lock (&self->lock);
  self->setup.now (self->setup.now_data, &wall_us, &boot_ns);
  size = commy_audit_event_pack (event, wall_us, boot_ns, self->filled + self->fill,
                                 self->setup.queue_size - self->fill);
  fits = size > 0;
  self->fill += size;
  if (!fits)
    {
      self->lost++;
      self->lost_in_all++;
    }
  wakes = self->waits && fits;
  g_mutex_unlock (&self->lock);
  if (wakes)
    g_cond_signal (&self->wake);
  return !self->setup.refuses || (fits && !g_atomic_int_get (&self->failing));
}

static gboolean
refuse (GError **error)
{
  commy_set_error (error, COMMY_ERROR_AUDIT,
                   "refused: it cannot be recorded, and on-failure=refuse stands in [audit]");
  return FALSE;
}

/* What waits to be recorded must not say that it happened. */
static gboolean
add_or_refused (CommyAuditLog *self, const CommyAuditEvent *event)
{
  CommyAuditEvent copy = *event;

  if (self != NULL && self->setup.refuses && g_atomic_int_get (&self->failing))
    {
      copy.texts[COMMY_AUDIT_OUTCOME] = "refused";
      copy.texts[COMMY_AUDIT_REASON] = REFUSED;
    }
  return commy_audit_log_add (self, &copy);
}

gboolean
commy_audit_log_check (CommyAuditLog *self, const CommyAuditEvent *event, GError **error)
{
  return add_or_refused (self, event) || refuse (error);
}

gboolean
commy_audit_log_check_rare (CommyAuditLog *self, const CommyAuditEvent *event, GError **error)
{
  return self != NULL && self->setup.refuses ? commy_audit_log_check_written (self, event, error)
                                             : commy_audit_log_check (self, event, error);
}

gboolean
commy_audit_log_check_written (CommyAuditLog *self, const CommyAuditEvent *event, GError **error)
{
  gboolean added = add_or_refused (self, event);
  gboolean written = commy_audit_log_sync (self);

  return (added && written) || self == NULL || !self->setup.refuses || refuse (error);
}

gboolean
commy_audit_log_sync (CommyAuditLog *self)
{
  gboolean synced;
  guint ticket;

  if (self == NULL)
    return TRUE;
  g_mutex_lock (&self->lock);
  ticket = ++self->syncs_wanted;
  g_cond_signal (&self->wake);
  while (self->syncs_done < ticket)
    g_cond_wait (&self->done, &self->lock);
  synced = self->synced;
  g_mutex_unlock (&self->lock);
  return synced;
}

guint64
commy_audit_log_get_lost (CommyAuditLog *self)
{
  guint64 lost;

  g_mutex_lock (&self->lock);
  lost = self->lost_in_all;
  g_mutex_unlock (&self->lock);
  return lost;
}

/* --- the thread --- */

static void
answer_syncs (CommyAuditLog *self, guint ticket, gboolean synced)
{
  g_mutex_lock (&self->lock);
  self->syncs_done = MAX (self->syncs_done, ticket);
  self->synced = synced;
  g_cond_broadcast (&self->done);
  g_mutex_unlock (&self->lock);
}

/* Something to do, or time for a look; what is to be done. FALSE: the end. */
static void
wait_for_work (CommyAuditLog *self, gint64 until_us, gboolean even_events)
{
  self->waits = even_events;
  while ((self->fill == 0 || !even_events) && !self->stops
         && self->syncs_wanted == self->syncs_done)
    if (!g_cond_wait_until (&self->wake, &self->lock, until_us))
      break;
  self->waits = FALSE;
}

/* Until the disk takes what waits, or there is no time left for that. @durable: and has it. */
static gboolean
flush (CommyAuditLog *self, gboolean durable)
{
  gboolean stops = FALSE;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      gint64 wall_us, boot_ns;
      guint ticket;

      self->setup.now (self->setup.now_data, &wall_us, &boot_ns);
      if (commy_audit_chain_flush (self->chain, wall_us, boot_ns, durable, &error))
        break;
      if (!g_atomic_int_get (&self->failing))
        g_warning ("%s; until it works again, what is to be recorded %s", error->message,
                   self->setup.refuses ? "is refused" : "waits, and is lost when too much does");
      g_atomic_int_set (&self->failing, 1);
      if (stops)
        return FALSE;
      g_mutex_lock (&self->lock);
      ticket = self->syncs_wanted;
      g_mutex_unlock (&self->lock);
      answer_syncs (self, ticket, FALSE);
      g_mutex_lock (&self->lock);
      wait_for_work (self, g_get_monotonic_time () + self->setup.retry_us, FALSE);
      stops = self->stops;
      g_mutex_unlock (&self->lock);
    }
  if (g_atomic_int_get (&self->failing))
    g_message ("the audit trail is written again");
  g_atomic_int_set (&self->failing, 0);
  return TRUE;
}

static void
add_gap (CommyAuditLog *self, guint64 lost)
{
  gint64 wall_us, boot_ns;

  if (lost == 0)
    return;
  g_warning ("%" G_GUINT64_FORMAT " events are not in the audit trail: there was no room for them",
             lost);
  self->setup.now (self->setup.now_data, &wall_us, &boot_ns);
  commy_audit_chain_add (
      self->chain,
      &(CommyAuditRecord){
          .wall_us = wall_us,
          .boot_ns = boot_ns,
          .count = lost,
          .texts
          = { [COMMY_AUDIT_TYPE] = COMMY_AUDIT_TRAIL, [COMMY_AUDIT_OUTCOME] = COMMY_AUDIT_GAP } });
}

static void
add_record (gpointer data, const CommyAuditRecord *record)
{
  CommyAuditLog *self = data;

  if (commy_audit_budget_take (self->budget, record))
    commy_audit_chain_add (self->chain, record);
}

static void
add_withheld (gpointer data, const CommyAuditRecord *record)
{
  CommyAuditLog *self = data;

  commy_audit_chain_add (self->chain, record);
}

/* Makes records of packed events. @all: of those, too, that wait for others like them. */
static gboolean
take_events (CommyAuditLog *self, gsize size, gboolean all, gboolean durable)
{
  gint64 wall_us, boot_ns;
  gsize at = 0;

  while (at < size)
    {
      at += commy_audit_repeats_take (self->repeats, self->written + at, add_record, self);
      if (commy_audit_chain_get_pending (self->chain) >= BATCH && !flush (self, FALSE))
        return FALSE;
    }
  self->setup.now (self->setup.now_data, &wall_us, &boot_ns);
  commy_audit_repeats_flush (self->repeats, all ? G_MAXINT64 : boot_ns, add_record, self);
  commy_audit_budget_collect (self->budget, wall_us, boot_ns, all, add_withheld, self);
  return flush (self, durable);
}

/* One turn: what was handed over until now. FALSE: the end. */
static gboolean
turn (CommyAuditLog *self)
{
  guint8 *swap = self->written;
  gsize size;
  guint64 lost;
  guint ticket;
  gboolean stops, asked, ok;

  g_mutex_lock (&self->lock);
  wait_for_work (self, g_get_monotonic_time () + G_USEC_PER_SEC, TRUE);
  self->written = self->filled;
  self->filled = swap;
  size = self->fill;
  self->fill = 0;
  lost = self->lost;
  self->lost = 0;
  ticket = self->syncs_wanted;
  stops = self->stops;
  asked = ticket != self->syncs_done;
  g_mutex_unlock (&self->lock);

  /* One sync for all that came meanwhile. Where nothing may happen that is not recorded, no record
   * waits for one: so whether the disk works is known as early as can be. */
  ok = take_events (self, size, stops || asked, asked || self->setup.refuses);
  if (ok && lost > 0)
    {
      add_gap (self, lost);
      ok = flush (self, asked || self->setup.refuses);
    }
  answer_syncs (self, ticket, ok);
  return !stops && ok;
}

static void
end (CommyAuditLog *self)
{
  g_autoptr (GError) error = NULL;
  gint64 wall_us, boot_ns;

  self->setup.now (self->setup.now_data, &wall_us, &boot_ns);
  if (!commy_audit_chain_close (self->chain, wall_us, boot_ns, &error))
    g_warning ("the end of the audit trail is lost: %s", error->message);
  answer_syncs (self, G_MAXUINT, FALSE);
}

/* At the start, and with every file: what others left, and what is too old. */
static gboolean
tidy (CommyAuditLog *self)
{
  gint64 wall_us, boot_ns;
  gboolean ok;

  if (self->tidied > 0 && commy_audit_chain_get_number (self->chain) <= self->tidied)
    return TRUE;
  self->setup.now (self->setup.now_data, &wall_us, &boot_ns);
  /* If it fails, the flush tells why, and nothing may be added before that succeeds. */
  ok = commy_audit_chain_tidy (self->chain, wall_us, boot_ns, NULL) || flush (self, FALSE);
  self->tidied = MAX (commy_audit_chain_get_number (self->chain), 1);
  return ok;
}

static gpointer
work (gpointer data)
{
  CommyAuditLog *self = data;

  while (tidy (self) && turn (self))
    ;
  end (self);
  return NULL;
}

/* --- life --- */

CommyAuditLog *
commy_audit_log_new (const CommyAuditLogSetup *setup)
{
  CommyAuditLog *self = g_new0 (CommyAuditLog, 1);
  gint64 wall_us, boot_ns;

  g_atomic_ref_count_init (&self->refs);
  self->setup = *setup;
  if (self->setup.now == NULL)
    self->setup.now = system_now;
  self->setup.now (self->setup.now_data, &wall_us, &boot_ns);
  g_mutex_init (&self->lock);
  g_cond_init (&self->wake);
  g_cond_init (&self->done);
  self->filled = g_malloc (self->setup.queue_size);
  self->written = g_malloc (self->setup.queue_size);
  self->chain = commy_audit_chain_new (&setup->chain, wall_us);
  memset (&self->setup.chain, 0, sizeof self->setup.chain); /* its texts are the caller's */
  self->repeats = commy_audit_repeats_new ();
  self->budget = commy_audit_budget_new (setup->strangers_per_second, setup->denied_per_second);
  self->thread = g_thread_new ("commy-audit", work, self);
  return self;
}

void
commy_audit_log_free (CommyAuditLog *self)
{
  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  self->stops = TRUE;
  g_cond_signal (&self->wake);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->thread);
  commy_audit_log_unref (self);
}

CommyAuditLog *
commy_audit_log_ref (CommyAuditLog *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
commy_audit_log_unref (CommyAuditLog *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  commy_audit_repeats_free (self->repeats);
  commy_audit_budget_free (self->budget);
  commy_audit_chain_free (self->chain);
  g_free (self->filled);
  g_free (self->written);
  g_cond_clear (&self->wake);
  g_cond_clear (&self->done);
  g_mutex_clear (&self->lock);
  g_free (self);
}
