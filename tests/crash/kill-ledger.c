/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger. A message's sender, number and size stand at its front with the sum of all its
 * bytes, so that a torn or foreign one is noticed wherever it arrives.
 */
#include "config.h"

#include "kill-ledger.h"

#include <commy/commy.h>
#include <string.h>
#include <sys/mman.h>

typedef struct
{
  guint16 sender;
  guint16 round;
  guint32 number;
  guint64 sum;
} Head;

KillLedger *
kill_ledger_new (void)
{
  KillLedger *self
      = mmap (NULL, sizeof *self, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  g_assert (self != MAP_FAILED);
  return self;
}

void
kill_ledger_clear (KillLedger *self)
{
  __atomic_add_fetch (&self->round, 1, __ATOMIC_SEQ_CST);
  for (guint i = 0; i < KILL_NODES; i++)
    {
      memset (self->seen[i], 0, sizeof self->seen[i][0] * self->sent[i]);
      memset (self->outcome[i], 0, self->sent[i]);
    }
  memset (self->sent, 0, sizeof self->sent);
  memset (self->answered, 0, sizeof self->answered);
  memset (self->next, 0, sizeof self->next);
}

void
kill_ledger_fail (KillLedger *self, const char *format, ...)
{
  va_list args;

  if (self->fault[0] != '\0')
    return;
  va_start (args, format);
  g_vsnprintf (self->fault, sizeof self->fault, format, args);
  va_end (args);
}

/* --- messages --- */

static guint64
sum_of (const guint8 *bytes, gsize size, const Head *head)
{
  guint64 sum = 0xcbf29ce484222325u ^ head->number ^ (guint64) head->round << 32
                ^ (guint64) head->sender << 48;

  for (gsize i = sizeof (Head); i < size; i++)
    sum = (sum ^ bytes[i]) * 0x100000001b3u;
  return sum;
}

/* Mostly small, some as large as only a loan can take. */
static gsize
size_of (guint number)
{
  return sizeof (Head) + (number % 16 == 15 ? 20000 + number % 1000 : number * 37 % 900);
}

GBytes *
kill_ledger_write (KillLedger *self, guint sender, guint *out_number)
{
  guint number = self->sent[sender];
  gsize size = size_of (number);
  guint8 *bytes = g_malloc (size);
  Head head = { .sender = (guint16) sender, .round = (guint16) self->round, .number = number };

  g_assert (number < KILL_MESSAGES);
  for (gsize i = sizeof head; i < size; i++)
    bytes[i] = (guint8) (i * 7 + number);
  head.sum = sum_of (bytes, size, &head);
  memcpy (bytes, &head, sizeof head);
  *out_number = number;
  __atomic_store_n (&self->sent[sender], number + 1, __ATOMIC_SEQ_CST);
  return g_bytes_new_take (bytes, size);
}

void
kill_ledger_have (KillLedger *self)
{
  __atomic_add_fetch (&self->had, 1, __ATOMIC_SEQ_CST);
}

gboolean
kill_ledger_note (KillLedger *self, guint server, GBytes *message)
{
  gsize size;
  const guint8 *bytes = g_bytes_get_data (message, &size);
  Head head;

  if (size >= sizeof head)
    memcpy (&head, bytes, sizeof head);
  if (size < sizeof head || head.sender >= KILL_NODES || head.number >= KILL_MESSAGES
      || size != size_of (head.number) || head.sum != sum_of (bytes, size, &head))
    {
      kill_ledger_fail (self, "node %u got a torn message of %" G_GSIZE_FORMAT " bytes", server,
                        size);
      return FALSE;
    }
  if (head.sender == KILL_PARENT)
    kill_ledger_have (self);
  if (head.round != (guint16) self->round)
    {
      __atomic_add_fetch (&self->late, 1, __ATOMIC_SEQ_CST);
      return TRUE;
    }
  if (__atomic_fetch_add (&self->seen[head.sender][head.number], 1, __ATOMIC_SEQ_CST) != 0)
    kill_ledger_fail (self, "message %u of node %u came twice", head.number, head.sender);
  if (head.number < self->next[server][head.sender])
    kill_ledger_fail (self, "message %u of node %u came late", head.number, head.sender);
  self->next[server][head.sender] = head.number + 1;
  return TRUE;
}

void
kill_ledger_end (KillLedger *self, guint sender, guint number, const GError *error)
{
  KillOutcome outcome = KILL_NOT_SENT;

  if (error == NULL)
    outcome = KILL_DELIVERED;
  else if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN))
    outcome = KILL_UNKNOWN;
  else if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DEADLINE))
    kill_ledger_fail (self, "message %u of node %u hung: %s", number, sender, error->message);
  self->outcome[sender][number] = (guint8) outcome;
  if (outcome == KILL_DELIVERED)
    __atomic_add_fetch (&self->answered[sender], 1, __ATOMIC_SEQ_CST);
}

/* --- the sum --- */

static void
check_message (KillLedger *self, guint sender, guint number)
{
  guint seen = self->seen[sender][number];

  switch (self->outcome[sender][number])
    {
    case KILL_DELIVERED:
      if (seen != 1)
        kill_ledger_fail (self, "message %u of node %u was answered and seen %u times", number,
                          sender, seen);
      break;
    case KILL_NOT_SENT:
      if (seen != 0)
        kill_ledger_fail (self, "message %u of node %u was refused and arrived", number, sender);
      break;
    default:
      if (seen > 1)
        kill_ledger_fail (self, "message %u of node %u was seen %u times", number, sender, seen);
      break;
    }
}

void
kill_ledger_check (KillLedger *self, KillSum *sum)
{
  for (guint sender = 0; sender < KILL_NODES; sender++)
    {
      sum->sent += self->sent[sender];
      for (guint number = 0; number < self->sent[sender]; number++)
        {
          check_message (self, sender, number);
          sum->outcomes[self->outcome[sender][number]]++;
        }
    }
}
