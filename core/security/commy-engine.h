/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an external policy engine said, and asking it. Rules with ask=engine only allow what it
 * allows, too. A decision is about (principal, verb, service, method, path), is kept for a time,
 * and is asked for again before that is over by who still needs it; so calls wait for the first one
 * only. Without a decision there is no permission. Bounded in decisions, in questions under way,
 * and in those of one principal; questions beyond that wait, principals take turns, and share the
 * room in which to wait (commy-quota.h).
 */
#pragma once

#include "base/commy-env.h"
#include "plugin/commy-catalog.h"
#include "security/commy-policy.h"

#define COMMY_ENGINE_DECISIONS_MAX 4096u
#define COMMY_ENGINE_QUESTIONS_MAX 256u                      /* under way */
#define COMMY_ENGINE_QUESTIONS_EACH 32u                      /* of one principal */
#define COMMY_ENGINE_WAITERS_MAX 1024u                       /* for one decision */
#define COMMY_ENGINE_RETRY_NS G_GINT64_CONSTANT (1000000000) /* after no decision */

typedef struct _CommyEngine CommyEngine;

typedef struct
{
  gint64 timeout_ns; /* of one question, from when it is wanted */
  gint64 cache_ns;   /* how long a decision counts */
  gint64 keep_ns;    /* and how much longer while the engine gives none */
} CommyEngineLimits;

typedef enum
{
  COMMY_ENGINE_ALLOWS,
  COMMY_ENGINE_DENIES,
  COMMY_ENGINE_THINKS, /* whoever asked is told when there is an answer */
} CommyEngineState;

typedef struct
{
  CommyEngineState state;
  char *why;       /* of a denial, or NULL. (transfer full) */
  gint64 until_ns; /* ask again then; of env's clock */
} CommyEngineAnswer;

/* Who waits. @ready is called once, on the mesh thread, and owns @data from then on. */
typedef struct
{
  void (*ready) (gpointer data);
  gpointer data;
} CommyEngineWaiter;

void commy_engine_limits_read (CommyConfig *config, CommyEngineLimits *out_limits);

/* @plugin is active; @context is its thread's. */
CommyEngine *commy_engine_new (CommyPlugin *plugin,
                               GMainContext *context,
                               const CommyEnv *env,
                               const CommyEngineLimits *limits);
/* Mesh thread, and nobody asks any more: who waits is told. */
void commy_engine_free (CommyEngine *engine);
const char *commy_engine_get_id (CommyEngine *engine);

/* Any thread; does not block. @want_waiter: makes one if the engine thinks, or, with @wants_news,
 * if an answer that still counts is asked for again; under the engine's lock. The time of a request
 * does not matter. */
void commy_engine_ask (CommyEngine *engine,
                       const CommyPolicyRequest *request,
                       gboolean wants_news,
                       CommyEngineWaiter (*want_waiter) (gpointer data),
                       gpointer data,
                       CommyEngineAnswer *out_answer);

/* Mesh thread: nothing of what was said counts any more, and what is under way is asked again; what
 * still waits to be asked keeps its time. */
void commy_engine_forget (CommyEngine *engine, const CommyEngineLimits *limits);
