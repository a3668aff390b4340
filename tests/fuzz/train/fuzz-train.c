/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any frames as pieces of trains: what becomes whole is as long as its first piece said, and
 * what lies here unfinished stays within its limit. The input is frames, each behind two bytes
 * with its length.
 */
#include "config.h"

#include "channel/commy-train.h"

#include <stdlib.h>

#define LIMIT 4096u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (gboolean ok)
{
  if (!ok)
    abort ();
}

/* Reads every byte, so that a sanitizer sees what was never written. */
static void
look_at (const CommyIncoming *whole)
{
  const guint8 *payload = commy_incoming_payload (whole);
  volatile guint sum = 0;

  check (whole->frame.payload_size > 0 && whole->frame.payload_size <= LIMIT);
  check (((gsize) payload & 7) == 0);
  check (!whole->frame.has_train && whole->frame.type != COMMY_FRAME_FRAGMENT);
  for (guint32 i = 0; i < whole->frame.payload_size; i++)
    sum += payload[i];
  (void) sum;
}

/* Whether the channel would go on. */
static gboolean
take (CommyTrainsIn *trains, const guint8 *data, gsize size)
{
  CommyFrame frame;
  CommyIncoming whole;
  const char *why = NULL;

  if (commy_frame_parse (data, size, LIMIT, &frame) != COMMY_FRAME_OK)
    return FALSE;
  if (!commy_train_is_piece (&frame))
    return TRUE;
  switch (commy_trains_in_take (trains, &frame, data, LIMIT, &whole, &why))
    {
    case COMMY_TRAIN_WRONG:
      check (why != NULL && why[0] != '\0');
      return FALSE;
    case COMMY_TRAIN_WHOLE:
      look_at (&whole);
      commy_block_free (whole.copy);
      break;
    case COMMY_TRAIN_MORE:
    case COMMY_TRAIN_END:
      break;
    }
  check (trains->n <= COMMY_TRAINS_OPEN_MAX);
  check (trains->bytes <= 2 * (LIMIT + COMMY_FRAME_EXT_MAX) + COMMY_FRAME_EXT_MAX * trains->n
                              + COMMY_FRAME_HEADER_SIZE * trains->n);
  check ((trains->n == 0) == (trains->bytes == 0));
  return TRUE;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  CommyTrainsIn trains = { 0 };
  size_t at = 0;

  while (size - at >= 2)
    {
      gsize length = data[at] | (gsize) data[at + 1] << 8;
      g_autofree guint8 *exact = NULL;
      gboolean on;

      at += 2;
      length = MIN (length, size - at);
      exact = g_memdup2 (data + at, MAX (length, 1) <= size - at ? MAX (length, 1) : 0);
      if (exact == NULL)
        break;
      on = take (&trains, exact, length);
      at += length;
      if (!on)
        break;
    }
  commy_trains_in_clear (&trains);
  return 0;
}
