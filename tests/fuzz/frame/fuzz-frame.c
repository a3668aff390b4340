/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a frame: what is accepted must describe places inside the bytes, and must be
 * found the same when the frame is written again.
 */
#include "config.h"

#include "wire/commy-frame.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PAYLOAD 4096

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (bool ok)
{
  if (!ok)
    abort ();
}

static void
write_again (const uint8_t *data, const CommyFrame *frame)
{
  uint8_t out[COMMY_FRAME_HEADER_SIZE + COMMY_FRAME_EXT_MAX + MAX_PAYLOAD] = { 0 };
  CommyFrameSpec spec = {
    .type = frame->type,
    .flags = frame->flags,
    .serializer = frame->serializer,
    .stream = frame->stream,
    .method = frame->method,
    .flow = frame->flow,
    .sequence = frame->sequence,
    .ack = frame->ack,
    .deadline_ns = frame->deadline_ns,
    .dwell_ns = frame->dwell_ns,
    .signature = (const char *) data + frame->signature_offset,
    .signature_size = frame->signature_size,
  };
  CommyFrame again;
  size_t payload = frame->payload_size;
  size_t prefix = commy_frame_write (out, &spec, payload);

  check (prefix != 0 && prefix <= frame->payload_offset);
  check (commy_frame_parse (out, prefix + payload, MAX_PAYLOAD, &again) == COMMY_FRAME_OK);
  check (again.stream == frame->stream && again.sequence == frame->sequence);
  check (again.deadline_ns == frame->deadline_ns && again.dwell_ns == frame->dwell_ns);
  check (again.signature_size == frame->signature_size);
  check (
      memcmp (out + again.signature_offset, data + frame->signature_offset, frame->signature_size)
      == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  CommyFrame frame;
  CommyFrameStatus status = commy_frame_parse (data, size, MAX_PAYLOAD, &frame);

  check (commy_frame_status_to_string (status) != NULL);
  if (status != COMMY_FRAME_OK)
    return 0;
  check (frame.length == size && frame.payload_size <= MAX_PAYLOAD);
  check ((size_t) frame.payload_offset + frame.payload_size == size);
  check ((size_t) frame.signature_offset + frame.signature_size <= frame.payload_offset);
  check (frame.trace_offset == 0 || frame.trace_offset + 25u <= frame.payload_offset);
  check (frame.type >= 1 && frame.type <= COMMY_FRAME_TYPE_LAST);
  check (frame.priority <= 7);
  write_again (data, &frame);
  return 0;
}
