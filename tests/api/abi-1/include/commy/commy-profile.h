/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The performance profile: what a plugin claims about its own cost, in ns and
 * bytes. The struct has no pointer and no padding, because it lies inside the
 * ELF note of a plugin file and is read without running the plugin.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * COMMY_PROFILE_SEGMENTS:
 *
 * How many affine segments a profile can have.
 */
#define COMMY_PROFILE_SEGMENTS 6

/**
 * CommyProfileSegment:
 * @max_bytes: the last message size the segment is valid for; `G_MAXUINT64` for the rest
 * @latency_ns: propagation and wake-up, neither processor time nor per byte
 * @wire_ns_per_byte: 1e9 divided by the bandwidth; 0 where there is no medium
 * @send_cpu_ns: processor time of the sender per message (a serializer: of encoding)
 * @send_cpu_ns_per_byte: and per byte
 * @recv_cpu_ns: processor time of the receiver per message (a serializer: of decoding)
 * @recv_cpu_ns_per_byte: and per byte
 *
 * Costs of messages in (previous segment's @max_bytes, @max_bytes]; each is fixed + slope x bytes.
 */
typedef struct
{
  guint64 max_bytes;
  double latency_ns;
  double wire_ns_per_byte;
  double send_cpu_ns;
  double send_cpu_ns_per_byte;
  double recv_cpu_ns;
  double recv_cpu_ns_per_byte;
} CommyProfileSegment;

/**
 * CommyProvenance:
 * @COMMY_PROVENANCE_GUESS: thought up; true cost within a factor of 4 (one sigma)
 * @COMMY_PROVENANCE_DERIVED: from the parts' known costs; within a factor of 2
 * @COMMY_PROVENANCE_MEASURED_ELSEWHERE: measured on another machine; within a factor of 1.5
 * @COMMY_PROVENANCE_MEASURED_HERE: measured on this machine; within 10 %
 * @COMMY_PROVENANCE_OPERATOR: set in a keyfile; taken as given
 *
 * Where a profile's numbers come from, and so how uncertain they are.
 */
typedef enum
{
  COMMY_PROVENANCE_GUESS = 0,
  COMMY_PROVENANCE_DERIVED = 1,
  COMMY_PROVENANCE_MEASURED_ELSEWHERE = 2,
  COMMY_PROVENANCE_MEASURED_HERE = 3,
  COMMY_PROVENANCE_OPERATOR = 4,
} CommyProvenance;

/**
 * CommySecurity:
 * @COMMY_SECURITY_NONE: nothing is known of the other side
 * @COMMY_SECURITY_KERNEL: the kernel keeps others out and names the user
 * @COMMY_SECURITY_AUTHENTICATED: both sides proved who they are
 * @COMMY_SECURITY_CONFIDENTIAL: authenticated, and nobody between can read or change the bytes
 * @COMMY_SECURITY_MUTUAL: confidential with mutual certificates and forward secrecy
 *
 * Security levels, ordered: a requirement names the lowest one that is allowed. Memory
 * and sockets that never leave the kernel count as confidential once both sides are
 * authenticated, because there is no "between".
 */
typedef enum
{
  COMMY_SECURITY_NONE = 0,
  COMMY_SECURITY_KERNEL = 1,
  COMMY_SECURITY_AUTHENTICATED = 2,
  COMMY_SECURITY_CONFIDENTIAL = 3,
  COMMY_SECURITY_MUTUAL = 4,
} CommySecurity;

/**
 * CommyReach:
 * @COMMY_REACH_SELF: the same process
 * @COMMY_REACH_HOST: another process on this host
 * @COMMY_REACH_NETWORK: another host
 *
 * Bits: what a transport *may* reach. Whether it does is proved, not claimed.
 */
typedef enum
{
  COMMY_REACH_SELF = 1 << 0,
  COMMY_REACH_HOST = 1 << 1,
  COMMY_REACH_NETWORK = 1 << 2,
} CommyReach;

/**
 * CommyDelivery:
 * @COMMY_DELIVERY_BEST_EFFORT: messages may be lost or repeated
 * @COMMY_DELIVERY_AT_MOST_ONCE: messages may be lost, never repeated
 * @COMMY_DELIVERY_RELIABLE: neither, while the connection lives
 *
 * Ordered: compared with "at least".
 */
typedef enum
{
  COMMY_DELIVERY_BEST_EFFORT = 0,
  COMMY_DELIVERY_AT_MOST_ONCE = 1,
  COMMY_DELIVERY_RELIABLE = 2,
} CommyDelivery;

/**
 * CommyOrdering:
 * @COMMY_ORDERING_NONE: messages may overtake each other
 * @COMMY_ORDERING_CONNECTION: messages of one connection arrive in order
 *
 * Ordered: compared with "at least".
 */
typedef enum
{
  COMMY_ORDERING_NONE = 0,
  COMMY_ORDERING_CONNECTION = 1,
} CommyOrdering;

/**
 * CommyCapability:
 * @COMMY_CAP_ZERO_COPY: what is reserved is where the receiver reads
 * @COMMY_CAP_FD_PASSING: carries file descriptors
 * @COMMY_CAP_CHEAP_POLL: asking for a message costs no system call
 * @COMMY_CAP_VALUES: serializers only; carries every GVariant
 * @COMMY_CAP_BYTES: serializers only; carries opaque bytes unchanged
 * @COMMY_CAP_SELF_DESCRIBING: serializers only; needs no type to decode
 * @COMMY_CAP_TEXT: serializers only; people can read it
 * @COMMY_CAP_NATIVE_ENDIAN: serializers only; both sides need the same byte order
 * @COMMY_CAP_IN_PLACE: serializers only; a decoded value points into the message; only for peers
 *   that are trusted not to change bytes after sending, and only on @COMMY_CAP_ZERO_COPY
 *
 * Capability bits of a profile.
 */
typedef enum
{
  COMMY_CAP_ZERO_COPY = 1 << 0,
  COMMY_CAP_FD_PASSING = 1 << 1,
  COMMY_CAP_CHEAP_POLL = 1 << 2,
  COMMY_CAP_VALUES = 1 << 8,
  COMMY_CAP_BYTES = 1 << 9,
  COMMY_CAP_SELF_DESCRIBING = 1 << 10,
  COMMY_CAP_TEXT = 1 << 11,
  COMMY_CAP_NATIVE_ENDIAN = 1 << 12,
  COMMY_CAP_IN_PLACE = 1 << 13,
} CommyCapability;

/**
 * CommyProfile:
 * @struct_size: `sizeof (CommyProfile)` when the plugin was built
 * @n_segments: how many of @segments are used, 1 to %COMMY_PROFILE_SEGMENTS
 * @provenance: a #CommyProvenance
 * @security: a #CommySecurity; what a transport gives by itself, or an auth provider adds
 * @reach: #CommyReach bits
 * @delivery: a #CommyDelivery
 * @ordering: a #CommyOrdering
 * @header_bytes: what is added to each message
 * @capabilities: #CommyCapability bits
 * @max_message: largest message in bytes; 0 for no limit
 * @max_inline: largest message that needs no loan or allocation; 0 if that says nothing
 * @connect_ns: cost of the first use: connection set-up, a handshake, opening a store
 * @sigma: one sigma of ln(true / claimed); 0 for the default of @provenance
 * @loss: share of messages lost, 0 to 1
 * @size_factor: serializers only; encoded size / plain size; 1 for everything else
 * @reserved: zero
 * @segments: costs by message size, ascending
 *
 * What a plugin claims about itself. Auth providers, balancers and stores use the same
 * struct: a balancer's send cost is one pick, a store's send and receive costs are one
 * write and one read, an auth provider's `connect_ns` is its handshake.
 *
 * Since: 0.1
 */
typedef struct
{
  guint32 struct_size;
  guint32 n_segments;
  guint32 provenance;
  guint32 security;
  guint32 reach;
  guint32 delivery;
  guint32 ordering;
  guint32 header_bytes;
  guint64 capabilities;
  guint64 max_message;
  guint64 max_inline;
  double connect_ns;
  double sigma;
  double loss;
  double size_factor;
  guint64 reserved[5];
  CommyProfileSegment segments[COMMY_PROFILE_SEGMENTS];
} CommyProfile;

#ifndef __GI_SCANNER__
G_STATIC_ASSERT (sizeof (CommyProfileSegment) == 56);
G_STATIC_ASSERT (sizeof (CommyProfile) == 32 + 7 * 8 + 40 + 6 * 56);
#endif

G_END_DECLS
