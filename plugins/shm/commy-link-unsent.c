/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was published and not taken: when the peer is gone, its writer sends it over another path.
 */
#include "config.h"

#include "commy-link.h"

bool
shm_link_unsent (ShmLink *self, uint64_t *position, ShmMessage *out_message)
{
  ShmRecord record;

  while (shm_producer_walk (&self->tx, position, &record))
    {
      *out_message = (ShmMessage){ .data = record.data, .size = record.size };
      if (shm_record_is_split (&record))
        {
          out_message->size -= sizeof record.loan;
          out_message->body = shm_lender_find (self->lender, &record.loan, record.start);
          out_message->body_size = record.loan.length;
          if (out_message->body == NULL)
            continue;
        }
      else if (record.is_loan)
        {
          out_message->data = shm_arena_find (&self->arena, &record.loan, record.start);
          out_message->size = record.loan.length;
        }
      if (out_message->data != NULL)
        return true;
    }
  return false;
}
