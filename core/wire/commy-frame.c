/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The codec of frames. The bytes may be hostile and may change while they are read: header
 * and extensions are taken over in one copy each, and only the copies are judged. What the
 * fields mean for a channel is not known here.
 *
 * Header: length u32, version u8, type u8, flags u16, serializer u16, ext_length u16,
 * stream u32, method u32, flow u32, sequence u32, ack u32; length counts the whole frame.
 * Extension: type u8, zero u8, size u16, the value, zeros up to a multiple of 8.
 */
#include "config.h"

#include "wire/commy-frame.h"

#include <string.h>

#define EXT_HEAD_SIZE 4u
#define EXT_CRITICAL 0x80u
#define EXT_TEXT_MAX 64u /* correlation id, idempotency key */
#define EXT_TRACE_SIZE 25u
#define EXT_TRAIN_SIZE 12u
#define NUMBER_SPACE 16u /* of an extension whose value is a u64 */

/* The compiler may not go back to the source of a copy made before this. */
#define COPY_IS_FINAL() __asm__ volatile("" ::: "memory")

static uint16_t
load16 (const uint8_t *p)
{
  return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t
load32 (const uint8_t *p)
{
  return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static uint64_t
load64 (const uint8_t *p)
{
  return (uint64_t) load32 (p) | (uint64_t) load32 (p + 4) << 32;
}

static inline void
store16 (uint8_t *p, uint16_t value)
{
  p[0] = (uint8_t) value;
  p[1] = (uint8_t) (value >> 8);
}

static void
store32 (uint8_t *p, uint32_t value)
{
  store16 (p, (uint16_t) value);
  store16 (p + 2, (uint16_t) (value >> 16));
}

static void
store64 (uint8_t *p, uint64_t value)
{
  store32 (p, (uint32_t) value);
  store32 (p + 4, (uint32_t) (value >> 32));
}

/* Bytes of an extension with a value of @size, padding included. */
static size_t
ext_space (size_t size)
{
  return (EXT_HEAD_SIZE + size + 7u) & ~(size_t) 7u;
}

static bool
take_number (const uint8_t *value, size_t size, uint64_t *out)
{
  if (size != 8)
    return false;
  *out = load64 (value);
  return true;
}

/* A train without an id, or one that its first piece fills, is none. */
static bool
take_train (const uint8_t *value, size_t size, CommyFrame *frame)
{
  if (size != EXT_TRAIN_SIZE)
    return false;
  frame->has_train = true;
  frame->train_size = load64 (value);
  frame->train = load32 (value + 8);
  return frame->train != 0 && frame->train_size > frame->payload_size;
}

/* Judges one extension's value; @offset is where it lies in the frame. */
static bool
take_extension (uint8_t type, const uint8_t *value, size_t size, size_t offset, CommyFrame *frame)
{
  uint64_t number;

  switch (type)
    {
    case COMMY_EXT_SIGNATURE:
      frame->signature_offset = (uint16_t) offset;
      frame->signature_size = (uint16_t) size;
      return size > 0;
    case COMMY_EXT_DWELL:
      frame->has_dwell = true;
      return take_number (value, size, &frame->dwell_ns);
    case COMMY_EXT_TRACE:
      frame->trace_offset = (uint16_t) offset;
      return size == EXT_TRACE_SIZE;
    case COMMY_EXT_PRIORITY:
      if (!take_number (value, size, &number) || number > COMMY_FRAME_PRIORITY_MAX)
        return false;
      frame->priority = (uint8_t) number;
      return true;
    case COMMY_EXT_DEADLINE:
      frame->has_deadline = true;
      return take_number (value, size, &frame->deadline_ns);
    case COMMY_EXT_SCHEMA:
      frame->has_schema = true;
      return take_number (value, size, &frame->schema);
    case COMMY_EXT_HANDLES:
      if (!take_number (value, size, &number) || number == 0 || number > COMMY_FRAME_HANDLES_MAX)
        return false;
      frame->n_handles = (uint32_t) number;
      return true;
    case COMMY_EXT_TRAIN:
      return take_train (value, size, frame);
    case COMMY_EXT_CORRELATION:
    case COMMY_EXT_IDEMPOTENCY:
      return size > 0 && size <= EXT_TEXT_MAX;
    default:
      return type != 0 && (type & EXT_CRITICAL) == 0;
    }
}

static bool
is_zero (const uint8_t *bytes, size_t size)
{
  uint8_t sum = 0;

  for (size_t i = 0; i < size; i++)
    sum |= bytes[i];
  return sum == 0;
}

/* What nearly every call has, and nothing else. Whether it is that. */
static inline bool
take_lone_deadline (const uint8_t *ext, CommyFrame *frame)
{
  uint8_t copy[NUMBER_SPACE];

  memcpy (copy, ext, sizeof copy);
  COPY_IS_FINAL ();
  if (load32 (copy) != (COMMY_EXT_DEADLINE | 8u << 16) || load32 (copy + EXT_HEAD_SIZE + 8) != 0)
    return false;
  frame->has_deadline = true;
  frame->deadline_ns = load64 (copy + EXT_HEAD_SIZE);
  return true;
}

static bool
parse_extensions (const uint8_t *ext, size_t ext_length, CommyFrame *frame)
{
  uint64_t seen[4] = { 0 };
  size_t at = 0;

  /* Every extension takes a multiple of 8, so what is left is never less than a head. */
  while (at < ext_length)
    {
      uint8_t type = ext[at];
      size_t size = load16 (ext + at + 2);
      size_t space = ext_space (size);
      uint64_t bit = UINT64_C (1) << (type & 63u);

      if (ext[at + 1] != 0 || space > ext_length - at || (seen[type >> 6] & bit) != 0)
        return false;
      seen[type >> 6] |= bit;
      if (!is_zero (ext + at + EXT_HEAD_SIZE + size, space - EXT_HEAD_SIZE - size))
        return false;
      if (!take_extension (type, ext + at + EXT_HEAD_SIZE, size,
                           COMMY_FRAME_HEADER_SIZE + at + EXT_HEAD_SIZE, frame))
        return false;
      at += space;
    }
  return true;
}

/* The slow way: any number of extensions. */
static CommyFrameStatus
take_extensions (const uint8_t *shared, size_t max_payload, CommyFrame *frame)
{
  uint8_t ext[COMMY_FRAME_EXT_MAX];

  memcpy (ext, shared, frame->ext_length);
  COPY_IS_FINAL ();
  if (!parse_extensions (ext, frame->ext_length, frame))
    return COMMY_FRAME_BAD_EXTENSION;
  return frame->has_train && frame->train_size > max_payload ? COMMY_FRAME_TOO_BIG : COMMY_FRAME_OK;
}

/* Equal messages of a stream that lie whole in one frame. */
static bool
is_good_run (const CommyFrame *frame)
{
  return frame->type == COMMY_FRAME_DATA && frame->method != 0 && frame->payload_size > 0
         && frame->payload_size % commy_frame_stride (frame->method) == 0 && frame->ext_length == 0;
}

static void
parse_header (const uint8_t *header, CommyFrame *frame)
{
  frame->length = load32 (header);
  frame->version = header[4];
  frame->type = header[5];
  frame->flags = load16 (header + 6);
  frame->serializer = load16 (header + 8);
  frame->ext_length = load16 (header + 10);
  frame->stream = load32 (header + 12);
  frame->method = load32 (header + 16);
  frame->flow = load32 (header + 20);
  frame->sequence = load32 (header + 24);
  frame->ack = load32 (header + 28);
}

CommyFrameStatus
commy_frame_parse (const uint8_t *data, size_t size, size_t max_payload, CommyFrame *out)
{
  return commy_frame_parse_head (data, size, size, max_payload, out);
}

CommyFrameStatus
commy_frame_parse_head (
    const uint8_t *data, size_t head_size, size_t size, size_t max_payload, CommyFrame *out)
{
  uint8_t header[COMMY_FRAME_HEADER_SIZE];
  CommyFrame frame = { .priority = COMMY_FRAME_PRIORITY_DEFAULT };

  if (head_size < COMMY_FRAME_HEADER_SIZE)
    return COMMY_FRAME_TRUNCATED;
  memcpy (header, data, sizeof header);
  COPY_IS_FINAL ();
  parse_header (header, &frame);

  if (frame.length != size)
    return COMMY_FRAME_BAD_LENGTH;
  if (frame.version < COMMY_FRAME_MIN_VERSION || frame.version > COMMY_FRAME_VERSION)
    return COMMY_FRAME_BAD_VERSION;
  if (frame.type == 0 || frame.type > COMMY_FRAME_TYPE_LAST)
    return COMMY_FRAME_BAD_TYPE;
  if ((frame.flags & ~COMMY_FRAME_FLAGS_KNOWN) != 0)
    return COMMY_FRAME_BAD_FLAGS;
  if (frame.ext_length % 8 != 0 || frame.ext_length > COMMY_FRAME_EXT_MAX
      || frame.ext_length > head_size - COMMY_FRAME_HEADER_SIZE)
    return COMMY_FRAME_BAD_EXTENSION;

  frame.payload_offset = COMMY_FRAME_HEADER_SIZE + frame.ext_length;
  frame.payload_size = frame.length - frame.payload_offset;
  if (frame.payload_size > max_payload)
    return COMMY_FRAME_TOO_BIG;
  if ((frame.flags & COMMY_FRAME_FLAG_RUN) != 0 && !is_good_run (&frame))
    return COMMY_FRAME_BAD_FLAGS;
  if (frame.ext_length > 0
      && !(frame.ext_length == NUMBER_SPACE
           && take_lone_deadline (data + COMMY_FRAME_HEADER_SIZE, &frame)))
    {
      CommyFrameStatus status
          = take_extensions (data + COMMY_FRAME_HEADER_SIZE, max_payload, &frame);

      if (status != COMMY_FRAME_OK)
        return status;
    }

  *out = frame;
  return COMMY_FRAME_OK;
}

const char *
commy_frame_status_to_string (CommyFrameStatus status)
{
  switch (status)
    {
    case COMMY_FRAME_OK:
      return "ok";
    case COMMY_FRAME_TRUNCATED:
      return "frame is shorter than its header";
    case COMMY_FRAME_BAD_LENGTH:
      return "frame's length field is not the message's size";
    case COMMY_FRAME_BAD_VERSION:
      return "frame version is not spoken here";
    case COMMY_FRAME_BAD_TYPE:
      return "frame type is unknown";
    case COMMY_FRAME_BAD_FLAGS:
      return "frame has unknown flags";
    case COMMY_FRAME_BAD_EXTENSION:
      return "frame has a malformed or unknown critical extension";
    case COMMY_FRAME_TOO_BIG:
      return "frame's payload is over the limit";
    default:
      return "unknown frame status";
    }
}

const char *
commy_frame_type_to_string (uint8_t type)
{
  static const char *const names[]
      = { "?",     "hello",    "welcome", "auth",   "method", "call", "reply",
          "error", "oneway",   "cancel",  "ping",   "pong",   "ack",  "goaway",
          "close", "fragment", "data",    "credit", "end" };

  _Static_assert(sizeof names / sizeof names[0] == COMMY_FRAME_TYPE_LAST + 1, "a name per type");
  return names[type <= COMMY_FRAME_TYPE_LAST ? type : 0];
}

static bool
has_signature (const CommyFrameSpec *spec)
{
  return spec->signature != NULL && spec->signature_size > 0;
}

size_t
commy_frame_prefix_size (const CommyFrameSpec *spec)
{
  size_t ext = 0;

  if (has_signature (spec))
    {
      if (spec->signature_size > COMMY_FRAME_EXT_MAX)
        return 0;
      ext += ext_space (spec->signature_size);
    }
  if (spec->dwell_ns != 0)
    ext += ext_space (8);
  if (spec->deadline_ns != 0)
    ext += ext_space (8);
  if (spec->priority != 0)
    ext += ext_space (8);
  if (spec->n_handles != 0)
    ext += ext_space (8);
  if (spec->train != 0)
    ext += ext_space (EXT_TRAIN_SIZE);
  return ext > COMMY_FRAME_EXT_MAX ? 0 : COMMY_FRAME_HEADER_SIZE + ext;
}

/* Returns where the next extension goes. */
static uint8_t *
write_extension (uint8_t *at, uint8_t type, const void *value, size_t size)
{
  size_t space = ext_space (size);

  at[0] = type;
  at[1] = 0;
  store16 (at + 2, (uint16_t) size);
  memcpy (at + EXT_HEAD_SIZE, value, size);
  memset (at + EXT_HEAD_SIZE + size, 0, space - EXT_HEAD_SIZE - size);
  return at + space;
}

static uint8_t *
write_number (uint8_t *at, uint8_t type, uint64_t number)
{
  store32 (at, type | 8u << 16);
  store64 (at + EXT_HEAD_SIZE, number);
  store32 (at + EXT_HEAD_SIZE + 8, 0);
  return at + NUMBER_SPACE;
}

void
commy_frame_restamp (uint8_t *frame, uint32_t flow, uint32_t sequence, uint32_t ack)
{
  store32 (frame + 20, flow);
  store32 (frame + 24, sequence);
  store32 (frame + 28, ack);
}

void
commy_frame_acknowledge (uint8_t *frame, uint32_t ack)
{
  store32 (frame + 28, ack);
}

size_t
commy_frame_write (uint8_t *out, const CommyFrameSpec *spec, size_t payload_size)
{
  size_t prefix = commy_frame_prefix_size (spec);
  uint8_t *at = out + COMMY_FRAME_HEADER_SIZE;

  if (prefix == 0 || payload_size > UINT32_MAX - prefix)
    return 0;

  store32 (out, (uint32_t) (prefix + payload_size));
  out[4] = COMMY_FRAME_VERSION;
  out[5] = spec->type;
  store16 (out + 6, spec->flags);
  store16 (out + 8, spec->serializer);
  store16 (out + 10, (uint16_t) (prefix - COMMY_FRAME_HEADER_SIZE));
  store32 (out + 12, spec->stream);
  store32 (out + 16, spec->method);
  store32 (out + 20, spec->flow);
  store32 (out + 24, spec->sequence);
  store32 (out + 28, spec->ack);

  if (has_signature (spec))
    at = write_extension (at, COMMY_EXT_SIGNATURE, spec->signature, spec->signature_size);
  if (spec->dwell_ns != 0)
    at = write_number (at, COMMY_EXT_DWELL, spec->dwell_ns);
  if (spec->deadline_ns != 0)
    at = write_number (at, COMMY_EXT_DEADLINE, spec->deadline_ns);
  if (spec->priority != 0)
    at = write_number (at, COMMY_EXT_PRIORITY, spec->priority - 1u);
  if (spec->n_handles != 0)
    at = write_number (at, COMMY_EXT_HANDLES, spec->n_handles);
  if (spec->train != 0)
    {
      uint8_t train[EXT_TRAIN_SIZE];

      store64 (train, spec->train_size);
      store32 (train + 8, spec->train);
      write_extension (at, COMMY_EXT_TRAIN, train, sizeof train);
    }
  return prefix;
}
