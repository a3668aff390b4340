/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two files about who the other side is share: commy-setup-auth.c judges, and says whose
 * steps it takes; commy-setup-steps.c takes them. Mesh thread only.
 */
#pragma once

#include "channel/commy-hello.h"
#include "channel/commy-setup-private.h"

#define COMMY_EXCHANGE_SLOTS (1 + COMMY_AUTH_CHAIN_MAX) /* one of any=, and all of require= */
#define COMMY_EXCHANGE_PLAN \
  (COMMY_EXCHANGE_SLOTS + COMMY_EXCHANGE_SLOTS) /* what either side wants */

/* A provider of the chain, and what it found out. */
typedef struct
{
  CommyPlugin *provider;
  char *text; /* the principal, and attributes in lines of their own; NULL: not yet accepted */
} CommySlot;

typedef struct _CommyExchange
{
  const CommyAuthChain *chain;
  CommySlot slots[COMMY_EXCHANGE_SLOTS]; /* in the order of the chain; the first one names the
                                            principal */
  guint n_slots;
  CommyPlugin *plan[COMMY_EXCHANGE_PLAN]; /* whose steps are taken, in this order */
  guint n_plan;
  guint at;                             /* in the plan */
  gboolean proved[COMMY_EXCHANGE_PLAN]; /* of each of the plan: the other side something to it */
  gpointer session;                     /* of plan[at], between its begin and end; or NULL */
  guint rounds;                         /* frames of the other side in it */
  gboolean own_done;                    /* this side's session has had its last word */
  gboolean peer_done;
  gboolean is_thinking; /* a step is not answered yet */
  gboolean is_inside;   /* its function has not come back */
  CommyAuthVerdict verdict;
  GBytes *bytes;
  char *text;
  CommyHello hello; /* accepting side: what waits for the end of it */
  char *source;     /* and whom it is counted for while it is under way; NULL: nobody */
} CommyExchange;

/* --- commy-setup-auth.c --- */

CommyExchange *commy_exchange_new (CommySetup *self, const CommyAuthChain *chain);
CommyEvidence commy_exchange_take_evidence (CommySetup *self);
/* Whether a provider is among @ids, which may be NULL. */
gboolean commy_exchange_has (char *const *ids, const CommyPlugin *provider);
/* Up to NULL. (transfer container) */
const char **commy_exchange_list_ids (CommyPlugin *const *providers);
/* Whether all of the chain have accepted. */
gboolean commy_exchange_is_proved (const CommyExchange *exchange);
/* Whether that is of one peer, where the chain wants to know; else @error. All have accepted. */
gboolean commy_exchange_is_one_peer (const CommyExchange *exchange, GError **error);
CommySlot *commy_exchange_find_slot (CommyExchange *exchange, const CommyPlugin *provider);
/* Whether a provider's words are a principal, and attributes. */
gboolean commy_exchange_is_principal (const char *text);
/* All have accepted: who the peer is from now on. */
void commy_exchange_take_peer (CommySetup *self, const CommyExchange *exchange);
/* What a provider says of the proof that it accepted just now; @session: NULL where it judged
 * alone.
 */
void commy_exchange_note_proof (CommySetup *self, CommyPlugin *provider, gpointer session);
/* Whom failures are counted for. */
char *commy_exchange_dup_source (CommySetup *self);
/* (transfer full): and, whoever it was, the address that it comes from; NULL: this host, or it is
 * not counted. *@out_of_link as in commy_lock_out_dup_address(). */
char *commy_exchange_dup_address (CommySetup *self, gboolean *out_of_link);

/* --- commy-setup-steps.c --- */

/* Accepting side: tells the other one the plan. */
void commy_exchange_start (CommySetup *self);
/* All of the plan are done: goes on with the set-up. */
void commy_exchange_complete (CommySetup *self);
