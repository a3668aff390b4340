/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transport vtable: listeners and connections that carry whole messages in order.
 * A transport knows nothing of frames, calls or services.
 *
 * Threads. *Control slots* run on the mesh thread. *Data slots* run on the thread that owns
 * the connection: the mesh thread while it is set up, then one worker for the rest of its
 * life; the core hands it over exactly once and never uses one from two threads at a time.
 * No slot calls back into the core re-entrantly
 * except through the callbacks it was given.
 */
#pragma once

#include <commy/commy-descriptor.h>

G_BEGIN_DECLS

/**
 * CommyEndpoint:
 * @struct_size: `sizeof (CommyEndpoint)`
 * @transport: id of the transport
 * @address: as the listener gave it, without the scheme
 * @host_id: the host's id as it says itself; a hint, never a proof; %NULL where it is not known
 * @node: id of the node that listens; %NULL where it is not known
 *
 * Where an instance can be reached. All strings belong to the caller.
 */
typedef struct
{
  gsize struct_size;
  const char *transport;
  const char *address;
  const char *host_id;
  const char *node;
} CommyEndpoint;

/**
 * CommyIo:
 * @COMMY_IO_OK: done
 * @COMMY_IO_WOULD_BLOCK: nothing to read, or no room to write, at present
 * @COMMY_IO_CLOSED: the connection is at its end; ask `why`
 * @COMMY_IO_TOO_BIG: the message is larger than this connection can ever carry
 * @COMMY_IO_TIMEOUT: (`wait` only) the deadline passed
 * @COMMY_IO_KICKED: (`wait` only) the kick word moved
 * @COMMY_IO_UNSUPPORTED: the slot is not there
 *
 * Expected outcomes of data slots.
 */
typedef enum
{
  COMMY_IO_OK = 0,
  COMMY_IO_WOULD_BLOCK = 1,
  COMMY_IO_CLOSED = 2,
  COMMY_IO_TOO_BIG = 3,
  COMMY_IO_TIMEOUT = 4,
  COMMY_IO_KICKED = 5,
  COMMY_IO_UNSUPPORTED = 6,
} CommyIo;

/**
 * CommyInterest:
 * @COMMY_INTEREST_READ: a message has arrived, or the connection ended
 * @COMMY_INTEREST_WRITE: there is room again for the message that would not fit
 *
 * What a sleeper wants to be woken for. Bits.
 */
typedef enum
{
  COMMY_INTEREST_READ = 1 << 0,
  COMMY_INTEREST_WRITE = 1 << 1,
} CommyInterest;

/**
 * CommySpan:
 * @data: the first byte, aligned to 8
 * @size: how many
 *
 * Writable memory that belongs to a connection until it is committed.
 */
typedef struct
{
  guint8 *data;
  gsize size;
} CommySpan;

/**
 * CommyMessageFlags:
 * @COMMY_MESSAGE_STABLE: nobody can change the bytes any more. Without it the sender could:
 *   the core then copies before it parses, unless policy trusts the peer
 * @COMMY_MESSAGE_SPLIT: @data is only the first part of the message; `body` knows the second
 *
 * Flags of a received message.
 */
typedef enum
{
  COMMY_MESSAGE_STABLE = 1 << 0,
  COMMY_MESSAGE_SPLIT = 1 << 1,
} CommyMessageFlags;

/**
 * CommyMessage:
 * @data: the first byte, aligned to 8; read only
 * @size: how many bytes
 * @flags: #CommyMessageFlags
 * @reserved: zero
 * @token: the transport's own, for `release`
 *
 * One received message, borrowed until `release`.
 */
typedef struct
{
  const guint8 *data;
  gsize size;
  guint32 flags;
  guint32 reserved;
  guint64 token;
} CommyMessage;

/**
 * CommyBlock:
 * @data: the first byte, aligned to 64
 * @size: how many; at least what was asked for
 * @token: the transport's own
 *
 * Memory of a pool, which can be lent over several connections at a time.
 *
 * Since: 0.1
 */
typedef struct
{
  guint8 *data;
  gsize size;
  gpointer token;
} CommyBlock;

/**
 * CommyEvidenceKind:
 * @COMMY_EVIDENCE_NONE: the transport knows nothing of the peer
 * @COMMY_EVIDENCE_SELF: the peer is this very process
 * @COMMY_EVIDENCE_KERNEL: the kernel names the peer's user, group and process
 * @COMMY_EVIDENCE_X509: the peer proved that it holds the key of a certificate
 *
 * What a transport knows of the other side.
 */
typedef enum
{
  COMMY_EVIDENCE_NONE = 0,
  COMMY_EVIDENCE_SELF = 1,
  COMMY_EVIDENCE_KERNEL = 2,
  COMMY_EVIDENCE_X509 = 3,
} CommyEvidenceKind;

/**
 * CommyEvidence:
 * @struct_size: `sizeof (CommyEvidence)`; set by the core
 * @kind: a #CommyEvidenceKind
 * @security: a #CommySecurity the connection has by itself
 * @uid: user of the peer (kernel)
 * @gid: group of the peer (kernel)
 * @pid: process of the peer (kernel); 0 if not known
 * @pidfd: its pidfd, the connection's own, or -1
 * @chain: (array length=n_chain): certificates in DER, the peer's own first, already verified
 *   against the trusted authorities (x509); the connection's own
 * @n_chain: how many
 * @has_binding: whether @binding is set
 * @binding: channel binding: equal on both sides and only there
 * @principal: (nullable): set by the core where an auth provider begins its steps: what the first
 *   provider of the chain calls the peer, if that is known yet. Not a transport's to fill. Absent
 *   (see @struct_size) in older cores
 * @own_from_s: since when what this side showed is valid, seconds since 1970 (x509); 0: not known
 * @own_until_s: and until when; 0: for good. Both are absent (see @struct_size) in older cores
 *
 * What the transport knows of the peer. Whether that is enough is an auth provider's word.
 */
typedef struct
{
  gsize struct_size;
  guint32 kind;
  guint32 security;
  guint32 uid;
  guint32 gid;
  gint32 pid;
  gint32 pidfd;
  GBytes *const *chain;
  gsize n_chain;
  gboolean has_binding;
  guint8 binding[32];
  const char *principal;
  gint64 own_from_s;
  gint64 own_until_s;
} CommyEvidence;

/**
 * CommyAcceptor:
 * @struct_size: size of the struct the core hands over
 * @alloc: memory (zeroed, `connection_size`, 64-byte aligned) for one incoming connection, or
 *   %NULL where a limit is reached: then drop it. Mesh thread
 * @opened: set-up of that connection came to its end: with @error %NULL it is open and the
 *   transport has no watch or timer on it any more; with @error it failed, was cleaned up by
 *   the transport, and its memory is the core's again. Exactly once per `alloc`, unless the
 *   core called `close` first. Mesh thread
 * @user_data: for all
 * @alloc_for_user: like `alloc`, for who knows already which user of this host connects: limits
 *   are then shared between users, and none can take all. Absent (see @struct_size) or %NULL in
 *   older cores
 *
 * The core's side of a listener.
 */
typedef struct
{
  gsize struct_size;
  gpointer (*alloc) (gpointer user_data);
  void (*opened) (gpointer user_data, gpointer connection, const GError *error);
  gpointer user_data;
  gpointer (*alloc_for_user) (gpointer user_data, guint32 uid);
} CommyAcceptor;

/**
 * CommyTransportListenFunc:
 * @instance: the plugin's instance
 * @listener: zeroed memory of `listener_size`, the core's
 * @acceptor: (transfer none): valid until `unlisten`
 * @error: return location
 *
 * Starts to accept connections, at an address of the transport's choice and its parameters'.
 * Control slot; must not block. A transport that may not listen (no certificate, say) fails
 * with the reason and the way out; the node is then simply not reachable that way.
 *
 * Returns: success
 */
typedef gboolean (*CommyTransportListenFunc) (gpointer instance,
                                              gpointer listener,
                                              const CommyAcceptor *acceptor,
                                              GError **error);

/**
 * CommyTransportAddressFunc:
 * @instance: the plugin's instance
 * @listener: the listener
 *
 * Control slot.
 *
 * Returns: (transfer none): the address others can connect to, without the scheme, valid until
 *   `unlisten`
 */
typedef const char *(*CommyTransportAddressFunc) (gpointer instance, gpointer listener);

/**
 * CommyTransportUnlistenFunc:
 * @instance: the plugin's instance
 * @listener: the listener
 *
 * Stops accepting and removes what has a name in the file system. Connections that are being
 * set up are closed without a call of `opened`; open ones live on. Control slot.
 */
typedef void (*CommyTransportUnlistenFunc) (gpointer instance, gpointer listener);

/**
 * CommyConnectedFunc:
 * @user_data: as given
 * @connection: the connection
 * @error: (nullable): why it could not be opened
 *
 * The end of `connect`, on the mesh thread, never from inside it. With @error the transport
 * has cleaned up and the memory is the core's again. Without, the transport has no watch or
 * timer on the connection any more.
 */
typedef void (*CommyConnectedFunc) (gpointer user_data, gpointer connection, const GError *error);

/**
 * CommyTransportConnectFunc:
 * @instance: the plugin's instance
 * @connection: zeroed memory of `connection_size`, 64-byte aligned, the core's
 * @endpoint: (transfer none): where to; copy what is kept
 * @done: called exactly once, later, unless `close` comes first
 * @user_data: for @done
 *
 * Opens a connection. Control slot; must not block. The core sets the deadline and cancels by
 * calling `close`. A transport that claims to stay on one host must *prove* during set-up that
 * the other end is on this host, and fail otherwise.
 */
typedef void (*CommyTransportConnectFunc) (gpointer instance,
                                           gpointer connection,
                                           const CommyEndpoint *endpoint,
                                           CommyConnectedFunc done,
                                           gpointer user_data);

/**
 * CommyTransportReachableFunc:
 * @instance: the plugin's instance
 * @endpoint: where to
 * @reason: (out caller-allocates): why not, a sentence without a full stop
 * @reason_size: its room
 *
 * Whether connecting to @endpoint can make sense at all, by cheap and local means. Control slot;
 * must not block. A yes is a hint; the proof is the connection.
 *
 * Returns: %FALSE with @reason filled if it cannot
 */
typedef gboolean (*CommyTransportReachableFunc) (gpointer instance,
                                                 const CommyEndpoint *endpoint,
                                                 char *reason,
                                                 gsize reason_size);

/**
 * CommyTransportEstimateFunc:
 * @instance: the plugin's instance
 * @endpoint: where to
 * @profile: (inout): the note's profile, to be refined for this peer
 *
 * What the plugin claims for one peer. Pure: the same inputs give the same answer. Control
 * slot. Optional.
 */
typedef void (*CommyTransportEstimateFunc) (gpointer instance,
                                            const CommyEndpoint *endpoint,
                                            CommyProfile *profile);

/**
 * CommyTransportReserveFunc:
 * @connection: an open connection
 * @size: bytes wanted, at least 1
 * @out_span: (out): where to write them; at least @size, aligned to 8
 *
 * Room for one outgoing message. At most one reservation is open at a time; another `reserve`
 * gives the first one back. Data slot; never blocks. On shared memory this is where the
 * receiver will read.
 *
 * Returns: %COMMY_IO_OK, %COMMY_IO_WOULD_BLOCK, %COMMY_IO_TOO_BIG or %COMMY_IO_CLOSED
 */
typedef CommyIo (*CommyTransportReserveFunc) (gpointer connection, gsize size, CommySpan *out_span);

/**
 * CommyTransportCommitFunc:
 * @connection: an open connection with a reservation
 * @used: bytes that count, at most what was reserved; 0 gives the reservation back
 *
 * The message is complete. It may be held back for a batch until `flush`. Data slot; never
 * blocks.
 *
 * Returns: %COMMY_IO_OK or %COMMY_IO_CLOSED
 */
typedef CommyIo (*CommyTransportCommitFunc) (gpointer connection, gsize used);

/**
 * CommyTransportSendvFunc:
 * @connection: an open connection
 * @parts: (array length=n_parts): pieces of one message
 * @n_parts: how many
 *
 * Sends one message from foreign memory, copied before this returns. Optional: without it the
 * core reserves, copies and commits. Data slot; never blocks; all or nothing.
 *
 * Returns: as `reserve`
 */
typedef CommyIo (*CommyTransportSendvFunc) (gpointer connection,
                                            const GOutputVector *parts,
                                            gsize n_parts);

/**
 * CommyTransportFlushFunc:
 * @connection: an open connection
 *
 * Publishes what was committed and wakes the other side if it sleeps. Data slot; never blocks:
 * what the kernel will not take yet is sent on later calls (`arm` with
 * %COMMY_INTEREST_WRITE tells when).
 *
 * Returns: %COMMY_IO_OK, %COMMY_IO_WOULD_BLOCK if something is still held, or %COMMY_IO_CLOSED
 */
typedef CommyIo (*CommyTransportFlushFunc) (gpointer connection);

/**
 * CommyTransportPeekFunc:
 * @connection: a connection
 * @out_message: (out): the next message
 *
 * Takes the next message; it stays borrowed until `release`, and several may be borrowed at a
 * time. After the peer died this still gives everything it published, then
 * %COMMY_IO_CLOSED. Data slot; never blocks. With %COMMY_CAP_CHEAP_POLL it does no
 * system call where there is nothing. A message that comes in many pieces must not hold up the
 * others of the thread: after some 128 KiB this says would-block, `arm` that
 * %COMMY_INTEREST_READ is met, and the next `peek` goes on.
 *
 * Returns: %COMMY_IO_OK, %COMMY_IO_WOULD_BLOCK or %COMMY_IO_CLOSED
 */
typedef CommyIo (*CommyTransportPeekFunc) (gpointer connection, CommyMessage *out_message);

/**
 * CommyTransportReleaseFunc:
 * @connection: a connection, open or at its end, not yet closed
 * @message: as `peek` gave it
 *
 * Gives a message back, in any order. Data slot (the core brings late releases to the owner's
 * thread).
 */
typedef void (*CommyTransportReleaseFunc) (gpointer connection, const CommyMessage *message);

/**
 * CommyTransportFdFunc:
 * @connection: an open connection
 *
 * Data slot.
 *
 * Returns: the one descriptor to poll; it stays the connection's and never changes
 */
typedef int (*CommyTransportFdFunc) (gpointer connection);

/**
 * CommyTransportArmFunc:
 * @connection: an open connection
 * @interest: #CommyInterest bits
 * @out_events: (out): `POLLIN` / `POLLOUT` bits to poll the descriptor for
 *
 * Promise to make the descriptor ready when @interest is met. Answers at once with what is met
 * already; the caller polls only if that is nothing. Clears stale wake-ups, and finds out
 * whether the peer is gone (then %COMMY_INTEREST_READ is met and `peek` tells). Armed until
 * the next `peek`. Data slot; never blocks.
 *
 * Returns: #CommyInterest bits that are met already
 */
typedef guint (*CommyTransportArmFunc) (gpointer connection, guint interest, guint *out_events);

/**
 * CommyTransportWaitFunc:
 * @connection: an open connection
 * @kick_word: a word of the core's own
 * @kick_seen: its value when the caller last looked
 * @deadline_ns: CLOCK_MONOTONIC, ns; `G_MAXINT64` for never
 *
 * Parks the calling thread until a message is there, the connection ended, *@kick_word differs
 * from @kick_seen (somebody called `FUTEX_WAKE` on it), or the deadline passed. Does not spin:
 * the core did. Data slot; the only one that blocks. Optional: without it the core arms and
 * polls the descriptor.
 *
 * Returns: %COMMY_IO_OK, %COMMY_IO_CLOSED, %COMMY_IO_KICKED or %COMMY_IO_TIMEOUT
 */
typedef CommyIo (*CommyTransportWaitFunc) (gpointer connection,
                                           const guint32 *kick_word,
                                           guint32 kick_seen,
                                           gint64 deadline_ns);

/**
 * CommyTransportEvidenceFunc:
 * @connection: an open connection
 * @out_evidence: (inout): `struct_size` is set; pointers in it stay the connection's
 *
 * Who the other side is, as far as the transport knows. Data slot.
 */
typedef void (*CommyTransportEvidenceFunc) (gpointer connection, CommyEvidence *out_evidence);

/**
 * CommyTransportWhyFunc:
 * @connection: a connection
 *
 * Data slot.
 *
 * Returns: (transfer none) (nullable): why the connection is at its end, a phrase for logs and
 *   errors; %NULL while it is not
 */
typedef const char *(*CommyTransportWhyFunc) (gpointer connection);

/**
 * CommyTransportCloseFunc:
 * @connection: a connection, at any stage of its life
 *
 * Ends it and gives everything back. Nothing is called back afterwards, `done` and `opened`
 * included; the core frees the memory. What was flushed before stays readable for the peer.
 * The core releases borrowed messages first. Mesh thread during set-up, owner's thread later.
 */
typedef void (*CommyTransportCloseFunc) (gpointer connection);

/**
 * CommyTransportAttachFunc:
 * @connection: an open connection with a reservation
 * @fds: (array length=n_fds): open descriptors
 * @n_fds: how many, at least 1
 *
 * Lets descriptors travel with the message that is being written: with the reservation they are
 * sent, or closed if it is given back. On %COMMY_IO_OK they belong to the connection, else they
 * stay the caller's. At most once a reservation. Optional: a transport that has it claims
 * %COMMY_CAP_FD_PASSING. Data slot; never blocks.
 *
 * Returns: %COMMY_IO_OK; %COMMY_IO_WOULD_BLOCK while too many are on their way
 *   (%COMMY_INTEREST_WRITE tells when there is room again); %COMMY_IO_TOO_BIG if one message can
 *   never carry so many; %COMMY_IO_CLOSED; or %COMMY_IO_UNSUPPORTED without the slot
 */
typedef CommyIo (*CommyTransportAttachFunc) (gpointer connection, const int *fds, gsize n_fds);

/**
 * CommyTransportTakeFdsFunc:
 * @connection: a connection, open or at its end, not yet closed
 * @message: as `peek` gave it, still borrowed
 * @out_fds: (out) (array length=max): where they go
 * @max: room there
 *
 * Hands over the descriptors that came with a message, in the order they were attached: they
 * belong to the caller then and are closed on exec. What nobody took is closed by `release`.
 * Optional, together with `attach`. Data slot; never blocks.
 *
 * Returns: how many were handed over; 0 without the slot
 */
typedef gsize (*CommyTransportTakeFdsFunc) (gpointer connection,
                                            const CommyMessage *message,
                                            int *out_fds,
                                            gsize max);

/**
 * CommyUnsentFunc:
 * @user_data: as given to the slot
 * @data: a message, as it was committed; valid until the function returns
 * @size: its bytes
 *
 * One message of which the connection does not know that the other side has it.
 *
 * Since: 0.1
 */
typedef void (*CommyUnsentFunc) (gpointer user_data, const guint8 *data, gsize size);

/**
 * CommyTransportUnsentFunc:
 * @connection: a connection, open or at its end, not yet closed
 * @each: (nullable): called for each message, oldest first; %NULL only asks whether the
 *   connection can tell
 * @user_data: for @each
 *
 * Walks what was committed and what the other side may not have taken: rather too much than too
 * little, because the core knows which of them arrived. For transports whose messages stay in the
 * sender's own memory until the receiver is through with them; of any other one the core keeps
 * copies. Optional. Data slot; never blocks.
 *
 * Returns: %FALSE, with @each never called, if the connection cannot tell
 *
 * Since: 0.1
 */
typedef gboolean (*CommyTransportUnsentFunc) (gpointer connection,
                                              CommyUnsentFunc each,
                                              gpointer user_data);

/**
 * CommyTransportPoolNewFunc:
 * @instance: the plugin's instance
 * @limit: most bytes of all its blocks together
 *
 * A pool: memory for messages that go to several others, who then share it. Whoever is lent one of
 * its blocks may be able to read all of them from then on, as long as the pool lives, and can
 * write none: the core makes a pool for each set of principals. A pool and the connections that
 * its blocks are lent over belong to one thread. Optional, with all slots of pools and `body`:
 * all of them or none. Data slot.
 *
 * Returns: (nullable): the pool; %NULL if there is no memory for it, or without the slot
 *
 * Since: 0.1
 */
typedef gpointer (*CommyTransportPoolNewFunc) (gpointer instance, gsize limit);

/**
 * CommyTransportPoolFreeFunc:
 * @pool: a pool
 *
 * No more blocks are taken. Those that were not given back, and what was lent of them, stay as they
 * are until then. Data slot.
 *
 * Since: 0.1
 */
typedef void (*CommyTransportPoolFreeFunc) (gpointer pool);

/**
 * CommyTransportPoolTakeFunc:
 * @pool: a pool
 * @size: bytes wanted, at least 1
 * @out_block: (out): the block
 *
 * A block to write to. It stays the caller's until `pool_give`, and must not be written to once it
 * was lent. Data slot; never blocks.
 *
 * Returns: %COMMY_IO_OK; %COMMY_IO_WOULD_BLOCK while too much is on loan; %COMMY_IO_TOO_BIG if it
 *   can never be; or %COMMY_IO_UNSUPPORTED
 *
 * Since: 0.1
 */
typedef CommyIo (*CommyTransportPoolTakeFunc) (gpointer pool, gsize size, CommyBlock *out_block);

/**
 * CommyTransportPoolGiveFunc:
 * @block: as `pool_take` gave it
 *
 * Gives a block back: it is taken again when all that it was lent to gave it back, too, closed or
 * died. Any thread; at any time, after `pool_free` too.
 *
 * Since: 0.1
 */
typedef void (*CommyTransportPoolGiveFunc) (const CommyBlock *block);

/**
 * CommyTransportLendFunc:
 * @connection: an open connection without a reservation
 * @head: (array length=head_size): the first part of the message, copied
 * @head_size: at least 1
 * @block: the second part: its first @size bytes
 * @size: at least 1
 *
 * Sends one message of two parts, of which the second is not copied. Like a commit it may be held
 * back until `flush`; the receiver's `peek` says %COMMY_MESSAGE_SPLIT. What one connection keeps
 * of a pool is limited: then, or where the head is too large, the caller sends another way. Data
 * slot; never blocks; all or nothing.
 *
 * Returns: as `reserve`, or %COMMY_IO_UNSUPPORTED: not this way
 *
 * Since: 0.1
 */
typedef CommyIo (*CommyTransportLendFunc) (
    gpointer connection, gconstpointer head, gsize head_size, const CommyBlock *block, gsize size);

/**
 * CommyTransportBodyFunc:
 * @connection: a connection, open or at its end, not yet closed
 * @message: (nullable): as `peek` gave it, still borrowed; %NULL only asks whether the connection
 *   can send and receive messages of two parts
 * @out_data: (out): the second part, aligned to 64; read only, and borrowed with the message. As
 *   the first it may be changed by its sender, unless the message is %COMMY_MESSAGE_STABLE
 * @out_size: (out): how many bytes
 *
 * The second part of a message with %COMMY_MESSAGE_SPLIT. Data slot; never blocks.
 *
 * Returns: %FALSE if the message has none, or without the slot
 *
 * Since: 0.1
 */
typedef gboolean (*CommyTransportBodyFunc) (gpointer connection,
                                            const CommyMessage *message,
                                            const guint8 **out_data,
                                            gsize *out_size);

/**
 * CommyTransportLimitFunc:
 * @connection: an open connection
 * @max: bytes of the largest message that is received from now on; `G_MAXSIZE`: as many as the
 *   transport itself allows
 *
 * Limits what the other side can have this one keep. While a connection is set up nobody knows who
 * that is, and the core allows little; it lifts the limit when it knows. A larger message ends the
 * connection before memory is taken for it, if need be at the header that announces it. Optional,
 * for transports that put messages together before they give them out. Data slot; never blocks.
 *
 * Since: 0.1
 */
typedef void (*CommyTransportLimitFunc) (gpointer connection, gsize max);

/**
 * CommyTransportOps:
 * @struct_size: `sizeof (CommyTransportOps)`
 * @listener_size: bytes of one listener
 * @connection_size: bytes of one connection
 * @listen: required
 * @address: required
 * @unlisten: required
 * @connect: required
 * @reachable: required
 * @estimate: optional
 * @reserve: required
 * @commit: required
 * @sendv: optional
 * @flush: required
 * @peek: required
 * @release: required
 * @fd: required
 * @arm: required
 * @wait: optional
 * @evidence: required
 * @why: required
 * @close: required
 * @attach: optional
 * @take_fds: optional
 * @unsent: optional
 * @pool_new: optional, with all up to @body
 * @pool_free: optional
 * @pool_take: optional
 * @pool_give: optional
 * @lend: optional
 * @body: optional
 * @limit: optional
 *
 * The operations of a transport. New slots are appended.
 *
 * Since: 0.1
 */
struct _CommyTransportOps
{
  gsize struct_size;
  gsize listener_size;
  gsize connection_size;
  CommyTransportListenFunc listen;
  CommyTransportAddressFunc address;
  CommyTransportUnlistenFunc unlisten;
  CommyTransportConnectFunc connect;
  CommyTransportReachableFunc reachable;
  CommyTransportEstimateFunc estimate;
  CommyTransportReserveFunc reserve;
  CommyTransportCommitFunc commit;
  CommyTransportSendvFunc sendv;
  CommyTransportFlushFunc flush;
  CommyTransportPeekFunc peek;
  CommyTransportReleaseFunc release;
  CommyTransportFdFunc fd;
  CommyTransportArmFunc arm;
  CommyTransportWaitFunc wait;
  CommyTransportEvidenceFunc evidence;
  CommyTransportWhyFunc why;
  CommyTransportCloseFunc close;
  CommyTransportAttachFunc attach;
  CommyTransportTakeFdsFunc take_fds;
  CommyTransportUnsentFunc unsent;
  CommyTransportPoolNewFunc pool_new;
  CommyTransportPoolFreeFunc pool_free;
  CommyTransportPoolTakeFunc pool_take;
  CommyTransportPoolGiveFunc pool_give;
  CommyTransportLendFunc lend;
  CommyTransportBodyFunc body;
  CommyTransportLimitFunc limit;
};

G_END_DECLS
