/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a channel, for the files of this folder.
 */
#pragma once

#include "channel/commy-channel-move.h"
#include "channel/commy-channel-stream.h"
#include "channel/commy-keep.h"
#include "channel/commy-spin.h"
#include "channel/commy-train.h"

typedef struct
{
  CommyPendingFunc func; /* NULL: free */
  gpointer data;
  gint64 deadline_ns;
  guint16 generation;
  gboolean sent;
  guint32 next_free;
} CommyPendingSlot;

typedef struct
{
  CommyPendingSlot *slots;
  guint32 n_slots;
  guint32 n_used;
  guint32 first_free; /* index + 1; 0: none */
} CommyPendingTable;

typedef struct _CommyHandles CommyHandles;

typedef struct
{
  char *name;
  gpointer method; /* the handler's; NULL: none such */
  gboolean allowed;
  const char *origin; /* of the policy's answer, as is the rest */
  const char *rule;   /* that gave it, or NULL */
  const char *trial;
  gboolean by_first_name;
  gint64 until_us, judged_us;
  gint64 table_us; /* until when the policy's own part holds */
  gboolean asks;   /* the rule allows what an engine allows */
  gboolean lifts;  /* what that denies is on trial */
  gboolean waits;  /* for the engine: not allowed yet, and not denied */
  char *why;       /* of the engine's denial, or NULL */
  gint64 due_ns;   /* when the engine is to be asked again */
  gint64 told_ns;  /* when the log heard last of a trial */
} CommyIncomingMethod;

/* Whom the policy was asked about; commy-channel-rights.c. */
typedef struct
{
  CommyPolicy *policy; /* the channel's, of which methods have the answers */
  guint32 epoch;       /* that it belongs to; 0: the path has changed since */
  CommyPolicyPath path;
  gint64 look_ns; /* when the answer for an open stream, or the offer, ends; G_MAXINT64: never */
  gint64 due_ns;  /* when one that an engine gave does; calls need not look at the clock */
} CommyRights;

/* What lets the flow outlive its path; commy-channel-move.c. */
typedef struct
{
  gboolean agreed;  /* both sides can */
  gboolean doubted; /* the path takes nothing: what it brought is read, then it is lost */
  gboolean endless; /* and has no end that shows: it is over when nothing is there */
  gboolean adrift;  /* there is no path at present */
  CommyFlowName flow;
  guint32 number;       /* of the last move */
  CommyPrincipal *peer; /* its name on a path taken since, or NULL */
  gboolean (*on_adrift) (gpointer data, CommyChannel *channel, const GError *error);
  void (*on_fading) (gpointer data, CommyChannel *channel);
  GQueue undelivered; /* while adrift: what was sent before and may not have arrived */
  GQueue handles;     /* copies of descriptors that went with frames of `keep` */
  GSList *old;        /* paths of which messages are borrowed */
  guint8 *lost_span;  /* an open reservation in the path that went */
  int pidfd;          /* of the peer, while adrift; or -1 */
  gint64 since_ns, give_up_ns;
  guint64 n_moves, n_replayed, n_duplicates, largest_gap_ns; /* atomic; one writer */
  GMutex lock;                                               /* of visits */
  GQueue visits;
  guint32 n_visits; /* atomic: a hint that saves the lock */
} CommyMoves;

/* Whether the peer serves, looked at while it owes something; commy-vigil.c. */
typedef struct
{
  gint64 look_ns; /* when to look; G_MAXINT64: nothing is owed */
  guint64 heard;  /* messages that had come when it was looked last */
  gboolean asked; /* a PING went, and nothing came since */
  gboolean is_hung;
  gboolean told;   /* the log knows */
  gint64 heard_ns; /* hung: when something came last, or later */
  guint64 n_hung;  /* how often it was */
} CommyVigil;

/* Whether it is closed when nobody needs it; commy-rest.c. */
typedef struct
{
  gint64 idle_ns; /* 0: never */
  CommyMayRestFunc may_rest;
  gint64 look_ns;
  guint64 heard; /* what it was when it was looked at last */
  guint32 sent;
  gint64 since_ns; /* nothing has changed */
  gboolean is_resting;
} CommyRest;

struct _CommyChannel
{
  gatomicrefcount refs;
  guint64 serial;
  CommyWorker *worker; /* held: outlives its last user if need be */
  const CommyChannelShared *shared;
  CommyPlugin *transport;
  const CommyTransportOps *ops;
  gpointer connection;
  gboolean accepting;
  gboolean trusted;
  gboolean passes_handles;
  gboolean same_core;
  gboolean takes_runs; /* the peer does */
  char *peer_node;
  char *service;
  char *instance;
  char *interface_name; /* what the instance said it offers, or NULL */
  char *interface_hash;
  CommyPrincipal *peer;
  CommyStanding *standing; /* what the present path, or the last one, rests on; or NULL */
  CommySeat *seat;         /* accepting side: among the open ones, moving or not */
  CommyPlugin *serializers[COMMY_CHANNEL_SERIALIZERS]; /* by wire index; 0 is unused */

  const CommyChannelHandler *handler; /* accepting side */
  gpointer handler_data;
  gpointer note;                                            /* the handler's, of this channel */
  void (*on_closed) (gpointer data, CommyChannel *channel); /* connecting side */
  gpointer on_closed_data;

  /* worker's own */
  gboolean watched; /* for the death of the peer */
  gboolean hot;
  guint epoll_events;

  gboolean closed;
  gboolean closing; /* close has begun: no callbacks start over */
  gboolean draining;
  gboolean all_answered; /* the peer closed with the promise of commy_channel_part() */
  gboolean peer_closed;  /* it said so, and that nothing after `last_ack` was taken */
  guint32 last_ack;
  guint32 goodbye; /* the PING that went with our GOAWAY */
  GError *close_error;

  guint32 flow;
  guint32 tx_sequence;
  guint32 rx_sequence;
  CommyPendingTable pending;
  GArray *methods_in;      /* CommyIncomingMethod; index is id - 1 */
  GHashTable *methods_out; /* name -> id */
  const char *last_method; /* the table's; of the last lookup */
  guint32 last_method_id;
  gpointer span; /* start of the open reservation; NULL: none */
  gsize span_size;
  gsize wanted;                             /* bytes, of the last reservation that found no room */
  gboolean (*end_loan) (gpointer borrower); /* ends the reservation; NULL: only its owner does */
  gpointer borrower;
  GThread *borrowers_thread;
  GQueue backlog;           /* GBytes: frames that found no room */
  gsize backlog_bytes;      /* commy_channel_backlog_cost() of all of them */
  guint64 n_departed;       /* from the backlog; less those that came back into it */
  GQueue departures;        /* Departure: who waits for that */
  CommyHandles *handles;    /* for the next frame, or NULL */
  GHashTable *held_handles; /* of frames in the backlog; NULL until there are some */
  guint8 *scratch;          /* a block: frames of peers that are not trusted are copied to it */
  gsize scratch_size;
  guint32 borrowed;           /* messages not released yet */
  guint32 pins;               /* who writes to or reads from the connection's memory */
  guint32 path_number;        /* of the connection, which borrowed messages are marked with */
  CommyKeep *keep;            /* copies of what has not arrived; NULL: the path keeps it */
  gboolean peer_keeps;        /* and waits for acknowledgements */
  gboolean borrows;           /* both sides take messages in two parts over this path */
  guint64 n_lent;             /* atomic: messages that lay in a pool; one writer */
  gsize cut_above;            /* larger payloads go in pieces; G_MAXSIZE: none does */
  CommyTrainsOut *trains_out; /* NULL before the first */
  CommyTrainsIn trains_in;
  gsize unacked;   /* bytes that arrived since the peer, who sends trains, was told anything */
  gsize ack_after; /* then it is told by a frame of its own */
  gboolean unacked_pieces;
  gsize alone; /* bytes of pieces that arrived since any other message */
  guint empty_polls;
  CommySpinner spinner;
  guint32 unanswered;  /* atomic: calls that handlers have not answered yet */
  guint32 answer_lost; /* atomic: one that was taken gets no answer any more */
  GHashTable *pipes;   /* stream -> CommyPipe (ref); NULL: there was none yet */
  GQueue room_waiters; /* CommyPipe (ref): have something to send when there is room */
  GQueue holders;      /* CommyPipe: hold memory of the path that nobody looks at just now */
  GQueue deferred;     /* DeferredCall: arrived while a handler waited synchronously */
  gsize deferred_bytes;
  guint deferred_handles;
  guint32 last_ping, last_pong;
  gboolean pong_waits; /* in the backlog, where there is never more than one */
  gboolean pong_owed;  /* another one when that has left, for the last PING that came: */
  guint32 pong_stream;
  guint64 heard;     /* messages that came, of whatever kind */
  guint32 n_starved; /* streams that wait for credit */
  CommyVigil vigil;
  CommyRest rest;
  CommyRights rights;

  CommyCounters counters;
  CommyMoves moves;
};

/* What set-up found out; takes over the connection. */
typedef struct
{
  CommyPlugin *transport;
  gpointer connection;
  gboolean accepting;
  const char *peer_node, *service, *instance;
  const char *interface_name, *interface_hash;
  CommyPrincipal *peer;     /* (transfer none) */
  char *const *serializers; /* acceptor's list, in wire order from 1 */
  int peer_cpu;
  gboolean borrows;
  gboolean takes_runs;
  CommySeat *seat;         /* (transfer full), or NULL */
  CommyStanding *standing; /* (transfer full), or NULL */
} CommyChannelSetup;

CommyChannel *commy_channel_new (CommyWorker *worker,
                                 const CommyChannelShared *shared,
                                 const CommyChannelSetup *setup);

int commy_channel_get_fd (CommyChannel *channel);
/* Serves up to a budget of messages and the backlog; whether there was anything. */
gboolean commy_channel_serve (CommyChannel *channel);
/* Before sleeping: TRUE if something is there already. */
gboolean commy_channel_arm (CommyChannel *channel, guint *out_events);
/* Fails calls whose deadline passed; the next deadline. */
gint64 commy_channel_expire (CommyChannel *channel, gint64 now_ns);

/* commy-pending.c */
guint32 commy_pending_add (CommyPendingTable *table,
                           guint32 limit,
                           gint64 deadline_ns,
                           CommyPendingFunc func,
                           gpointer data);
/* The slot of a stream, or NULL if it is not (any more) expected. */
CommyPendingSlot *commy_pending_find (CommyPendingTable *table, guint32 stream);
void commy_pending_remove (CommyPendingTable *table, CommyPendingSlot *slot);
guint32 commy_pending_stream (CommyPendingTable *table, const CommyPendingSlot *slot);
void commy_pending_clear (CommyPendingTable *table);

/* commy-channel-handles.c */
void commy_handles_free (gpointer handles);
/* On success they are the transport's, and go with the open reservation. */
CommyIo commy_channel_attach (CommyChannel *channel, CommyHandles *handles);
/* Lets the waiting handles go with the open reservation. */
CommyIo commy_channel_attach_handles (CommyChannel *channel);
/* Lets them wait with a frame (any pointer that stands for it), and go with it. */
void commy_channel_hold_handles (CommyChannel *channel, gpointer frame);
CommyIo commy_channel_attach_held (CommyChannel *channel, gpointer frame);
void commy_channel_clear_handles (CommyChannel *channel);
/* (transfer full): what came with a message; NULL: nothing */
GUnixFDList *commy_channel_take_handles (CommyChannel *channel, const CommyMessage *message);
/* Whether as many came as the frame says. */
gboolean commy_channel_handles_match (const CommyIncoming *incoming);

/* commy-channel-receive.c */
void commy_channel_dispatch (CommyChannel *channel, CommyIncoming *incoming);
/* Takes one message from the path; sends nothing by itself. */
gboolean commy_channel_take (CommyChannel *channel);
void commy_channel_refuse_call (
    CommyChannel *channel, CommyIncoming *incoming, CommyDrop drop, guint32 code, const char *why);
/* commy-channel-deferred.c */
/* Gives a call to its handler, now or when no handler of this worker waits any more. */
void commy_channel_take_call (CommyChannel *channel, gpointer method, CommyIncoming *incoming);
/* The policy engine has not said yet whether the method may be called: the call waits in its place,
 * and those that come behind it behind it. */
void commy_channel_await_call (CommyChannel *channel, CommyIncoming *incoming);
/* Counts and records a call of a method that was decided about; FALSE: it was refused. */
gboolean
commy_channel_admit (CommyChannel *channel, CommyIncomingMethod *method, CommyIncoming *incoming);
/* Whether there were calls that had to wait and need not any more. */
gboolean commy_channel_run_deferred (CommyChannel *channel, guint budget);
gboolean commy_channel_has_deferred (CommyChannel *channel);
void commy_channel_clear_deferred (CommyChannel *channel);
/* commy-channel-stream.c */
/* The accepting side of a CALL that opens a stream. NULL: it was refused. (transfer none) */
CommyPipe *commy_channel_accept_pipe (CommyChannel *channel, CommyIncoming *incoming);
/* DATA, CREDIT and END. */
void commy_channel_on_stream (CommyChannel *channel, CommyIncoming *incoming);
/* Whether the CANCEL was for a stream that is open. */
gboolean commy_channel_cancel_stream (CommyChannel *channel, CommyIncoming *incoming);
/* There may be room: who waits for it goes on. */
void commy_channel_serve_pipes (CommyChannel *channel);
/* Ends the streams whose deadline passed; the next deadline. */
gint64 commy_channel_expire_pipes (CommyChannel *channel, gint64 now_ns);
/* (transfer full) (element-type CommyPipe): those that are open */
GPtrArray *commy_channel_dup_pipes (CommyChannel *channel);
/* The path is gone: ends what has no caller's slot. */
void commy_channel_fail_pipes (CommyChannel *channel);
/* Nothing came: perhaps because the path's memory is held. */
void commy_channel_free_held (CommyChannel *channel);
/* commy-channel-send.c */
void commy_channel_acknowledge (CommyChannel *channel);
/* Nothing more is there to read at present: what arrived is acknowledged before it is usual. */
void commy_channel_acknowledge_rest (CommyChannel *channel);
gboolean commy_channel_flush_backlog (CommyChannel *channel);
/* Has a frame wait for room, behind all that does; WOULD_BLOCK: too much waits. */
CommyIo commy_channel_enqueue (CommyChannel *channel,
                               CommyFrameSpec *spec,
                               gconstpointer payload,
                               gsize size);
/* What a frame costs while it waits: a small one takes less room than what keeps it. */
static inline gsize
commy_channel_backlog_cost (gsize frame)
{
  return frame + 128; /* a link, a GBytes, and the allocator's part of three blocks */
}
/* Has @done called when what is in the backlog now has left, or never will; FALSE: it is empty. */
gboolean commy_channel_on_departed (CommyChannel *channel, void (*done) (gpointer), gpointer data);
/* @all: whether they left or not. */
void commy_channel_tell_departed (CommyChannel *channel, gboolean all);
void commy_channel_count_sent (CommyChannel *channel, const CommyFrameSpec *spec, gsize payload);
/* The reservation may be one that can be ended now. */
void commy_channel_end_loan (CommyChannel *channel);

static inline void
commy_channel_settle (CommyChannel *channel)
{
  if (G_UNLIKELY (channel->end_loan != NULL))
    commy_channel_end_loan (channel);
}

void commy_channel_protocol_error (CommyChannel *channel, guint32 code, const char *why);

/* Whether this node itself goes by that name. */
static inline gboolean
commy_channel_is_own_name (const CommyChannel *channel, const char *name)
{
  return g_strv_contains ((const char *const *) channel->shared->own_principals, name);
}

static inline gboolean
commy_channel_is_message (guint8 type)
{
  return type == COMMY_FRAME_CALL || type == COMMY_FRAME_REPLY || type == COMMY_FRAME_ERROR
         || type == COMMY_FRAME_ONEWAY || type == COMMY_FRAME_DATA;
}

/* Frames that have a place in the flow: all but those that are about the path. */
static inline gboolean
commy_channel_is_ordered (guint8 type)
{
  switch (type)
    {
    case COMMY_FRAME_METHOD:
    case COMMY_FRAME_CALL:
    case COMMY_FRAME_REPLY:
    case COMMY_FRAME_ERROR:
    case COMMY_FRAME_ONEWAY:
    case COMMY_FRAME_CANCEL:
    case COMMY_FRAME_GOAWAY:
    case COMMY_FRAME_FRAGMENT:
    case COMMY_FRAME_DATA:
    case COMMY_FRAME_CREDIT:
    case COMMY_FRAME_END:
      return TRUE;
    default:
      return FALSE;
    }
}

/* No more is sent before the peer has acknowledged some: room on the path is of no use. */
static inline gboolean
commy_channel_awaits_ack (const CommyChannel *channel)
{
  return G_UNLIKELY (channel->keep != NULL) && !commy_keep_has_room (channel->keep);
}

/* So much arrived that the peer is to be told, if nothing else goes its way. */
static inline gboolean
commy_channel_owes_ack (const CommyChannel *channel)
{
  return G_UNLIKELY (channel->unacked > 0 && channel->unacked >= channel->ack_after)
         && channel->span == NULL;
}

/* The frame that is sent now says so. */
static inline void
commy_channel_acked_all (CommyChannel *channel)
{
  channel->unacked = 0;
  channel->unacked_pieces = FALSE;
}

static inline gboolean
commy_channel_has_visits (const CommyChannel *channel)
{
  return G_UNLIKELY (__atomic_load_n (&channel->moves.n_visits, __ATOMIC_ACQUIRE) > 0);
}

/* commy-channel-shared.c */
/* Whether messages in two parts can go over a path. */
gboolean commy_path_has_bodies (const CommyPlugin *transport, gpointer connection);
/* The second part of a message that says it has one. */
void commy_channel_find_body (CommyChannel *channel, CommyIncoming *incoming);
/* Whether a frame that was parsed may have come in two parts. */
CommyFrameStatus commy_channel_check_body (const CommyIncoming *incoming);

/* Whether something waits here that a turn would look after, beside messages that come. */
static inline gboolean
commy_channel_has_waiting (const CommyChannel *channel)
{
  return channel->backlog.length + channel->room_waiters.length + channel->deferred.length > 0
         || channel->trains_out != NULL || commy_channel_owes_ack (channel);
}

/* commy-no-path.c; its connection is the channel */
extern const CommyTransportOps commy_no_path;

/* commy-channel-move.c */
void commy_moves_init (CommyChannel *channel);
void commy_moves_clear (CommyChannel *channel);
gboolean commy_path_can_tell (const CommyPlugin *transport, gpointer connection);
gboolean commy_path_needs_copies (const CommyPlugin *transport, gpointer connection);
void commy_channel_use_path (CommyChannel *channel, CommyPlugin *transport, gpointer connection);
void commy_channel_agree_on_moves (CommyChannel *channel,
                                   const CommyFlowName *flow,
                                   gboolean peer_keeps);
/* Accepting side: FALSE if a later move than @number was heard of. */
gboolean commy_channel_begin_move (CommyChannel *channel, guint32 number);
gboolean commy_channel_doubt_path (CommyChannel *channel);
gboolean commy_channel_lose_path (CommyChannel *channel);
void commy_channel_run_visits (CommyChannel *channel);
void commy_channel_acked (CommyChannel *channel, guint32 ack);
void commy_channel_keep_handles (CommyChannel *channel, CommyHandles *copies);
void commy_channel_release_old (CommyChannel *channel, const CommyMessage *message);
void commy_channel_sweep_paths (CommyChannel *channel);
gint64 commy_channel_expire_adrift (CommyChannel *channel, gint64 now_ns);
/* While adrift: frames that had left, oldest first. */
void commy_channel_foreach_undelivered (CommyChannel *channel, CommyKeepFunc func, gpointer data);

/* commy-channel-account.c */
/* Of a frame that was counted as sent and is dropped for @reason. */
void commy_channel_charge (CommyChannel *channel, CommyDrop reason, guint64 messages);
/* At the end: every message that was sent and not delivered is counted, once. */
void commy_channel_settle_account (CommyChannel *channel);
/* commy-channel.c */
void commy_channel_watch_death (CommyChannel *channel);
void commy_channel_unwatch_death (CommyChannel *channel);

/* commy-vigil.c */
/* When to look after the peer, from now on if it owes something; G_MAXINT64: it does not. */
gint64 commy_channel_vigil_from (CommyChannel *channel, gint64 now_ns);
/* Before sleeping: has the worker look when it is time. */
void commy_channel_keep_vigil (CommyChannel *channel);
/* Looks if it is time; may close the channel. */
void commy_channel_look_after (CommyChannel *channel, gint64 now_ns);
/* commy-channel.c, commy-channel-stream.c: what a hung peer owes ends with @error. */
void commy_channel_fail_calls (CommyChannel *channel, const GError *error);
void commy_channel_abort_waiting_pipes (CommyChannel *channel, const GError *error);

/* commy-rest.c: closes a channel that was idle for long enough; when to look again. */
gint64 commy_channel_expire_rest (CommyChannel *channel, gint64 now_ns);
/* commy-channel-standing.c */
/* From now on the channel looks when its standing changes: it closes when that is over, and has the
 * path replaced while it fades. Once it is the worker's, until it closes. */
void commy_channel_watch_standing (CommyChannel *channel);
/* Members "proof" and "proof-until" of the channel's record. */
void commy_channel_describe_standing (CommyChannel *channel, GVariantBuilder *record);

/* commy-channel-probe.c */
void commy_channel_on_ping (CommyChannel *channel, const CommyFrame *frame);
/* The PONG that was in the backlog. */
void commy_channel_on_pong_left (CommyChannel *channel);
void commy_channel_on_pong (CommyChannel *channel, const CommyFrame *frame);
