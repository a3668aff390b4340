/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames: what one message of a transport contains. Plain C without GLib, pure, so that
 * it is fuzzed, checked and compiled for other targets alone.
 *
 * A frame is a fixed little-endian header, extensions (type-length-value, each padded to 8),
 * and the payload; so the payload is 8-aligned if the frame is. The parser takes hostile
 * bytes: it reads each field once, checks it, and never looks at the bytes again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMMY_FRAME_HEADER_SIZE 32u
#define COMMY_FRAME_TYPE_OFFSET 5u /* of the type in a header */
#define COMMY_FRAME_VERSION 1u
#define COMMY_FRAME_MIN_VERSION 1u        /* N talks to N-1; there is no version 0 */
#define COMMY_FRAME_EXT_MAX 1024u         /* bytes of all extensions of one frame */
#define COMMY_FRAME_NAME_MAX 255u         /* bytes of a method's or service's name */
#define COMMY_FRAME_STREAM_WINDOW 262144u /* credit of each side when a stream is opened */
#define COMMY_FRAME_STREAM_COST 64u       /* credit that a message takes beside its payload */
#define COMMY_FRAME_HANDLES_MAX 253u      /* descriptors of one message: what the kernel carries */
#define COMMY_FRAME_PRIORITY_MAX 7u
#define COMMY_FRAME_PRIORITY_DEFAULT 4u /* where the extension is absent */

typedef enum
{
  COMMY_FRAME_HELLO = 1,   /* initiator: who I am, which service I want (payload: see setup) */
  COMMY_FRAME_WELCOME = 2, /* acceptor: who I am, what I speak */
  COMMY_FRAME_AUTH = 3,    /* bytes of an auth step */
  COMMY_FRAME_METHOD = 4,  /* initiator: method id := name (payload: the name) */
  COMMY_FRAME_CALL = 5,    /* a call; stream is its id on this channel */
  COMMY_FRAME_REPLY = 6,   /* its answer */
  COMMY_FRAME_ERROR = 7,   /* or the error (method holds the number, payload the text) */
  COMMY_FRAME_ONEWAY = 8,  /* a message that wants no answer */
  COMMY_FRAME_CANCEL = 9,  /* the caller of stream does not wait any more (method: why, or 0) */
  COMMY_FRAME_PING = 10,   /* wants a PONG with the same stream */
  COMMY_FRAME_PONG = 11,
  COMMY_FRAME_ACK = 12,      /* flow's last delivered sequence is in ack */
  COMMY_FRAME_GOAWAY = 13,   /* start nothing new here; what is under way is finished */
  COMMY_FRAME_CLOSE = 14,    /* the channel ends (method holds the number, payload the reason) */
  COMMY_FRAME_FRAGMENT = 15, /* the next piece of the train in stream; empty: the rest is dropped */
  COMMY_FRAME_DATA = 16,     /* a message of the stream that a CALL opened; either side */
  COMMY_FRAME_CREDIT = 17,   /* the other side may send method more bytes on stream */
  COMMY_FRAME_END = 18,      /* this side sends no more messages on stream */
  COMMY_FRAME_TYPE_LAST = 18,
} CommyFrameType;

typedef enum
{
  COMMY_FRAME_FLAG_SAMPLED = 1 << 0, /* please answer with COMMY_EXT_DWELL */
  COMMY_FRAME_FLAG_ORDERED = 1 << 1, /* flow and sequence are set */
  COMMY_FRAME_FLAG_REMOTE = 1 << 2,  /* ERROR: the handler's own error, not the mesh's */
  COMMY_FRAME_FLAG_STREAM = 1 << 3,  /* CALL: opens a stream; REPLY or ERROR ends it */
  COMMY_FRAME_FLAG_RUN = 1 << 4,     /* DATA: messages of `method` bytes, one after another */
  COMMY_FRAME_FLAGS_KNOWN = (1 << 5) - 1,
} CommyFrameFlags;

/* `stream` of a CLOSE: every call that arrived was answered before. What the other side sent and
 * has no answer to was never looked at. Who does not know it reads "outcome unknown", as of any
 * end. */
#define COMMY_FRAME_CLOSE_ALL_ANSWERED 1u

/* Extension types. Unknown ones with bit 7 clear are skipped; with bit 7 set they are an error. */
typedef enum
{
  COMMY_EXT_SIGNATURE = 1,     /* GVariant type string of the payload, no NUL */
  COMMY_EXT_DWELL = 2,         /* u64 ns the request spent on the answering side */
  COMMY_EXT_TRACE = 3,         /* W3C trace context: 16 + 8 + 1 bytes */
  COMMY_EXT_CORRELATION = 4,   /* up to 64 bytes */
  COMMY_EXT_PRIORITY = 5,      /* u64 0..7 */
  COMMY_EXT_HANDLES = 6,       /* u64 1..253: so many descriptors came with the message */
  COMMY_EXT_DEADLINE = 129,    /* u64 ns of remaining time; must be understood */
  COMMY_EXT_IDEMPOTENCY = 130, /* up to 64 bytes */
  COMMY_EXT_SCHEMA = 131,      /* u64 hash of the interface */
  COMMY_EXT_TRAIN = 132,       /* u64 bytes of the whole message, u32 train: FRAGMENTs follow */
} CommyExtType;

/* Outcomes of parsing. Each but OK closes the channel, with the number in the CLOSE frame. */
typedef enum
{
  COMMY_FRAME_OK = 0,
  COMMY_FRAME_TRUNCATED = 1,  /* shorter than a header */
  COMMY_FRAME_BAD_LENGTH = 2, /* length field is not the message's size */
  COMMY_FRAME_BAD_VERSION = 3,
  COMMY_FRAME_BAD_TYPE = 4,
  COMMY_FRAME_BAD_FLAGS = 5,
  COMMY_FRAME_BAD_EXTENSION
  = 6,                     /* beyond the frame, unaligned, doubled, wrong size, unknown critical */
  COMMY_FRAME_TOO_BIG = 7, /* payload over the limit */
} CommyFrameStatus;

/* A parsed header; offsets instead of pointers, so that it stays valid for a copy of the bytes. */
typedef struct
{
  uint32_t length;
  uint8_t version;
  uint8_t type;
  uint16_t flags;
  uint16_t
      serializer; /* index into the acceptor's list of WELCOME; 0 where there is no payload value */
  uint16_t ext_length;
  uint32_t stream;
  uint32_t method;
  uint32_t flow;
  uint32_t sequence;
  uint32_t ack; /* last delivered sequence of the other direction */
  uint32_t payload_offset;
  uint32_t payload_size;
  /* from extensions; zero where absent */
  uint64_t deadline_ns;
  uint64_t dwell_ns;
  uint64_t schema;
  uint16_t signature_offset;
  uint16_t signature_size;
  uint16_t trace_offset; /* 25 bytes there, or 0 */
  bool has_deadline;
  bool has_dwell;
  bool has_schema;
  bool has_train;
  uint8_t priority;
  uint64_t train_size; /* of the whole message, of which this payload is the beginning */
  uint32_t train;
  uint32_t n_handles; /* descriptors that came with it, as its sender says */
} CommyFrame;

/* Parses @size bytes at @data. @max_payload: limit; writes *@out only on COMMY_FRAME_OK. */
CommyFrameStatus
commy_frame_parse (const uint8_t *data, size_t size, size_t max_payload, CommyFrame *out);

/* The same for a frame of which @data holds only the first @head_size bytes, header and extensions
 * at least; @size is that of all. */
CommyFrameStatus commy_frame_parse_head (
    const uint8_t *data, size_t head_size, size_t size, size_t max_payload, CommyFrame *out);

/* From one message of a run to the next: each begins where one of its own frame would, at a
 * multiple of 8. */
static inline size_t
commy_frame_stride (size_t size)
{
  return (size + 7) & ~(size_t) 7;
}

/* Messages of the application in a frame with that header and payload. */
static inline uint32_t
commy_frame_messages (uint16_t flags, uint32_t method, size_t payload)
{
  return (flags & COMMY_FRAME_FLAG_RUN) != 0 && method != 0
             ? (uint32_t) (payload / commy_frame_stride (method))
             : 1;
}

/* A phrase for logs and the CLOSE frame; never NULL. */
const char *commy_frame_status_to_string (CommyFrameStatus status);
const char *commy_frame_type_to_string (uint8_t type);

/* What a writer wants to send. */
typedef struct
{
  uint8_t type;
  uint16_t flags;
  uint16_t serializer;
  uint32_t stream;
  uint32_t method;
  uint32_t flow;
  uint32_t sequence;
  uint32_t ack;
  uint64_t deadline_ns;  /* 0: none */
  uint64_t dwell_ns;     /* 0: none */
  const char *signature; /* NULL: none */
  size_t signature_size;
  uint8_t priority;    /* 0: the default; else 1 + what goes over the wire */
  uint32_t train;      /* 0: the message is whole */
  uint64_t train_size; /* with @train: bytes of the whole message */
  uint32_t n_handles;  /* 0: none */
} CommyFrameSpec;

/* Bytes before the payload for @spec: header and extensions; a multiple of 8. 0 if the
 * extensions would exceed COMMY_FRAME_EXT_MAX. */
size_t commy_frame_prefix_size (const CommyFrameSpec *spec);

/* Writes flow, sequence and acknowledgement into a frame that was written before: they are given
 * when it takes its place, not when it is made. */
void commy_frame_restamp (uint8_t *frame, uint32_t flow, uint32_t sequence, uint32_t ack);
/* The acknowledgement only, for a frame outside of the flow. */
void commy_frame_acknowledge (uint8_t *frame, uint32_t ack);

/* Writes header and extensions at @out, which has room for commy_frame_prefix_size(). Returns
 * that size. @payload_size goes into the length field. 0, with nothing written, if the frame
 * would exceed 4 GiB - 1 or its extensions their limit. */
size_t commy_frame_write (uint8_t *out, const CommyFrameSpec *spec, size_t payload_size);
