/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A channel: one live connection between two nodes, over one transport, for one instance of a
 * service. The side that connected calls; the side that accepted answers. Everything here runs
 * on the thread of the channel's worker unless it says otherwise.
 */
#pragma once

#include "base/commy-stock.h"
#include "channel/commy-worker.h"
#include "observe/commy-counters.h"
#include "plugin/commy-catalog.h"
#include "security/commy-audit-log.h"
#include "security/commy-policy-current.h"
#include "security/commy-quota.h"
#include "wire/commy-frame.h"

#include <commy/commy-hot.h>
#include <gio/gunixfdlist.h>

#define COMMY_CHANNEL_SERIALIZERS 16u /* indices on the wire; 0 is unused */

/* How a caller waits. */
typedef enum
{
  COMMY_WAIT_ADAPTIVE,
  COMMY_WAIT_SPIN,
  COMMY_WAIT_BLOCK,
} CommyWaitMode;

/* What becomes of what a peer owes that lives and does not serve. */
typedef enum
{
  COMMY_HUNG_WARN,
  COMMY_HUNG_DROP,
  COMMY_HUNG_DISCONNECT,
} CommyHungPolicy;

/* What all channels of a mesh share; immutable but for the atomics inside. */
typedef struct
{
  GObject *owner; /* the mesh, which all of this is part of */
  const CommyEnv *env;
  CommyLedger *ledger;
  CommyPolicyCurrent *policy;
  struct _CommyEngine *engine; /* NULL: no rule asks one */
  CommyAuditLog *audit;        /* NULL: nothing is recorded */
  CommyCatalog *catalog;
  struct _CommyDeathWatch *deaths;
  char **own_principals; /* names that are "us" */
  gsize max_payload;
  guint max_methods;
  guint max_pending;
  guint max_streams;
  gint64 stream_window;          /* bytes of one stream that the application has not read yet */
  gsize max_backlog;             /* bytes that wait in memory for room on the path */
  gsize max_kept;                /* bytes kept until they have arrived, over paths that copy */
  gint64 resume_ns;              /* how long a flow waits for another path */
  struct _CommyFlowTable *flows; /* accepted here that may move */
  CommyStock *stock;             /* of memory for large messages */
  CommyWaitMode wait_mode;
  gint64 spin_max_ns;
  gint64 hung_after_ns; /* of silence of a peer that owes something; 0: nobody asks */
  CommyHungPolicy hung_policy;
  int single_cpu; /* the only processor this process may use, or -1 */
} CommyChannelShared;

/* One message on its way to a handler or a caller. */
typedef struct
{
  CommyFrame frame;
  const guint8 *bytes; /* the frame; what offsets count from */
  CommyMessage message;
  const guint8 *body; /* the payload, where it does not lie behind the rest of the frame; or NULL */
  gsize body_size;
  gboolean borrowed; /* @bytes lie in @message, which must be released */
  guint8 *copy;      /* or here, a block: of a peer that is not trusted, or put together */
  gboolean is_exact; /* @copy holds this message and nothing else */
  gint64 received_ns;
  GUnixFDList *handles; /* descriptors that came with it, or NULL */
} CommyIncoming;

/* What the accepting side does with calls; handed down by the service. */
typedef struct
{
  /* Name to a method of the handler's own; NULL: there is none. */
  gpointer (*resolve) (gpointer data, const char *method);
  /* A call (or one-way message: frame.type says). May take the message: commy_incoming_steal(). */
  void (*call) (gpointer data, CommyChannel *channel, gpointer method, CommyIncoming *incoming);
  void (*cancelled) (gpointer data, CommyChannel *channel, guint32 stream);
  void (*closed) (gpointer data, CommyChannel *channel);
} CommyChannelHandler;

/* The end of a call: an answer (@incoming) or @error. @sent: the request had been published. */
typedef void (*CommyPendingFunc) (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent);

CommyChannel *commy_channel_ref (CommyChannel *channel); /* any thread */
void commy_channel_unref (CommyChannel *channel);        /* any thread */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyChannel, commy_channel_unref)

/* --- facts; any thread, immutable once set up --- */
CommyWorker *commy_channel_get_worker (CommyChannel *channel);
const char *commy_channel_get_transport (CommyChannel *channel);
CommyPrincipal *commy_channel_get_peer (CommyChannel *channel);
const char *commy_channel_get_peer_node (CommyChannel *channel);
/* What the instance said that it offers; both NULL: nothing. */
const char *commy_channel_get_interface (CommyChannel *channel, const char **out_hash);
const char *commy_channel_get_service (CommyChannel *channel);
const char *commy_channel_get_instance (CommyChannel *channel); /* its id on the accepting side */
gboolean commy_channel_is_accepting (CommyChannel *channel);
guint64 commy_channel_get_serial (CommyChannel *channel);
/* Channel's worker: what the handler keeps of the channel, until it is told that it closed. */
gpointer commy_channel_get_note (CommyChannel *channel);
void commy_channel_set_note (CommyChannel *channel, gpointer note);
/* Channel's worker: what is known of the present path. (transfer none) */
const CommyPolicyPath *commy_channel_get_path (CommyChannel *channel);
/* The peer may have died: what is served next says so. */
void commy_channel_find_end (CommyChannel *channel);
CommyCounters *commy_channel_get_counters (CommyChannel *channel);
const CommyChannelShared *commy_channel_get_shared (CommyChannel *channel);
/* Serializer the peer means by an index of the wire; NULL: none such. */
CommyPlugin *commy_channel_get_serializer (CommyChannel *channel, guint16 wire);
/* Ids of those that both sides know. (transfer full) */
char **commy_channel_dup_serializers (CommyChannel *channel);
/* The index for a serializer of this side's catalog; 0: the peer does not know it. */
guint16 commy_channel_wire_of (CommyChannel *channel, const CommyPlugin *serializer);
/* The peer understands several messages of a stream in one frame. */
gboolean commy_channel_takes_runs (CommyChannel *channel);
gboolean commy_channel_is_open (CommyChannel *channel);
/* It lives, owes something and is silent; commy_channel_hung_error() says so. Worker's thread. */
gboolean commy_channel_is_hung (const CommyChannel *channel);
void commy_channel_hung_error (const CommyChannel *channel, GError **error);
/* The peer said that it takes nothing new. */
gboolean commy_channel_is_draining (CommyChannel *channel);

/* Whether calls on it go to the handler with this data. */
gboolean commy_channel_serves (CommyChannel *channel, gconstpointer handler_data);
/* A GFunc: appends a reference of the channel to a GPtrArray. */
void commy_channel_collect (gpointer channel, gpointer array);

/* Appends the channel as a record (a{sv}); inside its worker. */
void commy_channel_describe (CommyChannel *channel, GVariantBuilder *flows);
/* Adds the members that any counters have. */
void commy_counters_describe (const CommyCounters *counters, GVariantBuilder *record);

/* --- sending --- */

/* Room for a frame with @payload bytes behind the prefix of @spec; *@out_span is the payload's.
 * Must be committed with an equal @spec (its sizes) or given back with commy_channel_abandon(). */
CommyIo commy_channel_reserve (CommyChannel *channel,
                               const CommyFrameSpec *spec,
                               gsize payload,
                               CommySpan *out_span);
CommyIo commy_channel_commit (CommyChannel *channel, CommyFrameSpec *spec, gsize used);
void commy_channel_abandon (CommyChannel *channel);
gboolean commy_channel_is_reserved (CommyChannel *channel);
/* An open reservation that is filled bit by bit: @end is to commit what is there (TRUE), or says
 * that it is being written to, when this thread wants to send something else, to flush or to close.
 * The next commit or abandon ends that. */
void
commy_channel_lend (CommyChannel *channel, gboolean (*end) (gpointer borrower), gpointer borrower);
CommyIo commy_channel_flush (CommyChannel *channel);
/* Copies and publishes one frame. Where the path has no room it waits in memory up to
 * max_backlog if @queue, else WOULD_BLOCK. Over paths that copy, large payloads always wait in
 * memory and leave in pieces (commy-train.h), up to two of the largest. */
CommyIo commy_channel_send (
    CommyChannel *channel, CommyFrameSpec *spec, gconstpointer payload, gsize size, gboolean queue);
/* The same; what has to wait keeps a reference instead of a copy. */
CommyIo commy_channel_send_bytes (CommyChannel *channel,
                                  CommyFrameSpec *spec,
                                  GBytes *bytes,
                                  gboolean queue);
/* Whether a frame that was sent is still leaving piece by piece; @stream 0: any of that type. */
gboolean commy_channel_is_leaving (CommyChannel *channel, CommyFrameType type, guint32 stream);
/* Has @done called when that frame has left or is lost. FALSE, and not called: it is not leaving.
 */
gboolean commy_channel_on_left (CommyChannel *channel,
                                CommyFrameType type,
                                guint32 stream,
                                void (*done) (gpointer),
                                gpointer data);
/* Takes back what is still leaving on @stream, but one-way messages. How many messages. */
guint commy_channel_drop_stream (CommyChannel *channel, guint32 stream);
/* The next frame that takes its place carries duplicates of these descriptors (NULL: none); its
 * spec says how many. Error: too many, or a transport that carries none. */
gboolean commy_channel_set_handles (CommyChannel *channel, GUnixFDList *handles, GError **error);
/* No frame took them. */
void commy_channel_drop_handles (CommyChannel *channel);
/* Answers a call. Anything but COMMY_IO_OK: the answer will not leave. */
CommyIo commy_channel_send_error (
    CommyChannel *channel, guint32 stream, guint32 code, gboolean remote, const char *text);
/* What would be said if @io came from sending; sets COMMY_ERROR_BUSY, TOO_BIG, OUTCOME... */
void commy_channel_io_error (CommyChannel *channel, CommyIo io, GError **error);

/* One more call that the handler has not answered. FALSE: the limit "pending-calls" is reached. Any
 * thread may end one. */
gboolean commy_channel_begin_answer (CommyChannel *channel);
void commy_channel_end_answer (CommyChannel *channel);
/* A call that was taken gets no answer: from now on commy_channel_part() promises nothing. Any
 * thread, before the call ends. */
void commy_channel_lose_answer (CommyChannel *channel);

/* --- calling --- */

/* Id of @method on this channel; announces it to the peer once. 0: no room for the announcement
 * or too many methods (error set). */
guint32 commy_channel_method (CommyChannel *channel, const char *method, GError **error);
/* A stream id for a call whose end is told to @func (exactly once). 0: too many pending. */
guint32 commy_channel_expect (CommyChannel *channel,
                              gint64 deadline_ns,
                              CommyPendingFunc func,
                              gpointer data);
/* The request of @stream was published: from now on its outcome is unknown if the path dies. One
 * that is still leaving in pieces is marked with the last of them. */
void commy_channel_mark_sent (CommyChannel *channel, guint32 stream);
/* Ends a wait from this side; @func is not called. Tells the peer if it was sent. */
void commy_channel_forget (CommyChannel *channel, guint32 stream);

/* For who waits synchronously: sends what found no room before. Whether something is left. */
gboolean commy_channel_push (CommyChannel *channel);
/* Says that a call was not answered in time, and what is known of the reason; counts it. */
void commy_channel_deadline_error (CommyChannel *channel, GError **error);
/* Takes one message from the path and deals with it. Whether there was one. */
gboolean commy_channel_poll (CommyChannel *channel);
/* Spins and parks until a message may be there, the channel closed, @deadline_ns passed or the
 * worker was kicked since @kick_seen was read, which comes before the caller's own conditions are
 * looked at. @write: also wake when there is room. */
void
commy_channel_wait (CommyChannel *channel, gint64 deadline_ns, gboolean write, guint32 kick_seen);
guint32 commy_channel_kick_seen (CommyChannel *channel);

/* Sends a PING of @size bytes; the peer answers with an empty PONG. One at a time: a new one makes
 * the last one's PONG late. */
CommyIo
commy_channel_ping (CommyChannel *channel, gconstpointer payload, gsize size, guint32 *out_ping);
gboolean commy_channel_has_pong (CommyChannel *channel, guint32 ping);

/* --- received messages --- */

/* The caller owns the message now and gives it back with commy_incoming_release(). */
void
commy_incoming_steal (CommyChannel *channel, CommyIncoming *incoming, CommyIncoming *out_owned);
void commy_incoming_release (CommyChannel *channel, CommyIncoming *incoming);
/* The payload as bytes: a copy if small; else, where allowed, the message itself, given back
 * (from any thread) when the bytes are freed. */
GBytes *commy_incoming_dup_payload (CommyChannel *channel, CommyIncoming *incoming);

static inline const guint8 *
commy_incoming_payload (const CommyIncoming *incoming)
{
  return incoming->body != NULL ? incoming->body : incoming->bytes + incoming->frame.payload_offset;
}

/* A pinned channel keeps its connection's memory after it closed. Owner's thread. */
void commy_channel_pin (CommyChannel *channel);
void commy_channel_unpin (CommyChannel *channel);

/* --- the end --- */

/* Whether its owner can do without it; @data as told of its end, NULL if nobody is to be told. */
typedef gboolean (*CommyMayRestFunc) (gpointer data);

/* Connecting side: it is closed, by the loop of its worker, when nothing happened on it for
 * @idle_ns and up to a quarter more, and nothing of it is held or open. 0: never. */
void commy_channel_rest_after (CommyChannel *channel, gint64 idle_ns, CommyMayRestFunc may_rest);
/* Since when nothing happened on it and nothing of it was held or open, as far as was looked; this
 * looks, too. On the thread of its worker, as the next one. */
gint64 commy_channel_look_idle (CommyChannel *channel, gint64 now_ns);
/* Closes it unless its owner cannot do without it. */
gboolean commy_channel_rest (CommyChannel *channel);
/* That is why it closed. */
gboolean commy_channel_is_resting (const CommyChannel *channel);

/* Says GOAWAY: nothing new, please; and asks whether that was heard. */
void commy_channel_drain (CommyChannel *channel);
/* Closes it with a promise: whatever the caller has no answer to was not looked at, so it may go
 * elsewhere. Where an answer was lost it closes without. FALSE: calls are not answered yet, or an
 * answer has not left; or, if @patient, the caller has not said that it heard GOAWAY, so that more
 * may be on its way. */
gboolean commy_channel_part (CommyChannel *channel, gboolean patient);
/* @error: (transfer none) (nullable): why; tells the peer if the path still works. Pending
 * calls fail. Legal from inside any callback of the channel. */
void commy_channel_close (CommyChannel *channel, const GError *error);
