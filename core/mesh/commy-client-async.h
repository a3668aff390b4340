/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two files of asynchronous calls share: a call (commy-client-async.c), and each instance
 * that it is sent to (commy-client-attempt.c). The client's worker only.
 */
#pragma once

#include "mesh/commy-stream-private.h"

typedef struct _CommyAsyncCall CommyAsyncCall;

/* One instance that the call is sent to. Belongs to the call's list until it is closed. */
typedef struct
{
  gatomicrefcount refs;
  CommyAsyncCall *call; /* reference */
  CommyGuarded guarded;
  CommyTurn turn;
  CommyStack stack;
  CommyChannel *channel; /* while sent */
  guint32 stream;
  gboolean sampled;
  gboolean pending; /* the channel expects the answer */
} CommyAsyncAttempt;

struct _CommyAsyncCall
{
  gatomicrefcount refs;
  CommyClient *client; /* reference: keeps the worker */
  GTask *task;         /* NULL once it returned */
  CommyRequest request;
  gboolean refreshed;
  gboolean ensured;          /* it went to the registry, and so did all that were begun before it */
  gboolean awaits;           /* it goes to see what an instance says of its interface, */
  CommyExpectation *awaited; /* which is held against this */
  GError *last;
  GError *refusal;                                  /* the first; or NULL */
  CommyAsyncAttempt *open[COMMY_CLIENT_MAX_COPIES]; /* more than one where it is hedged */
  guint n_open;
  gboolean finished; /* the result is set */
  guint began;       /* iteration of the worker's context */
  gulong cancel_handler;
  GSource *deadline; /* while no channel watches it; NULL: none */
  GSource *timer;    /* of the next attempt, or the next copy; NULL: none */
  gpointer result;
  GDestroyNotify result_free;
  GUnixFDList *result_handles; /* of the answer, or NULL */
  GError *result_error;
  GError *ensure_error;
};

/* --- commy-client-async.c --- */

CommyAsyncCall *commy_async_call_ref (CommyAsyncCall *call);
void commy_async_call_unref (gpointer call);
/* Takes @result or @error; the caller of the call hears of it in the order of beginning. */
void commy_async_call_finish (CommyAsyncCall *call,
                              gpointer result,
                              GDestroyNotify result_free,
                              GError *error);
/* An attempt that is closed, or never was open, failed: another one, later, or the end. */
void commy_async_call_failed (CommyAsyncCall *call, const GError *error, gboolean sent);
/* Looks for a way, and sends. */
void commy_async_call_step (CommyAsyncCall *call);
/* One attempt is sent: when there is to be a copy. */
void commy_async_call_plan_hedge (CommyAsyncCall *call);

/* --- commy-client-attempt.c --- */

/* Open, and in the call's list. */
CommyAsyncAttempt *commy_async_attempt_new (CommyAsyncCall *call, const CommyPick *picked);
/* Nobody waits for it any more. Drops the list's reference. */
void commy_async_attempt_close (CommyAsyncAttempt *attempt, CommyOutcome outcome);
/* Its path is up. */
void commy_async_attempt_send (CommyAsyncAttempt *attempt);
/* Its path is not: sends once it is. */
void commy_async_attempt_connect (CommyAsyncAttempt *attempt);
