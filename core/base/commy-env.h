/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time, chance and faults as inputs: the only place of core that asks the system clock or
 * for random bytes. Tests put their own in.
 */
#pragma once

#include <glib.h>

typedef struct
{
  gint64 (*now_ns) (gpointer data); /* CLOCK_MONOTONIC unless injected */
  void (*random) (gpointer data, gpointer out, gsize size);
  gpointer data;
  gint64 (*wall_us) (gpointer data); /* since 1970; NULL: the system's */
} CommyEnv;

/* The real thing; never NULL, static. */
const CommyEnv *commy_env_system (void);

static inline gint64
commy_env_now (const CommyEnv *env)
{
  return env->now_ns (env->data);
}

/* What clocks on the wall show: they may be put forward and back. */
static inline gint64
commy_env_wall_us (const CommyEnv *env)
{
  return env->wall_us != NULL ? env->wall_us (env->data) : g_get_real_time ();
}

/* 32 hex digits and a NUL. */
void commy_env_new_id (const CommyEnv *env, char out[33]);
guint64 commy_env_random64 (const CommyEnv *env);

/* Boot id of the kernel, "" if unknown: a hint for "the same host". Static after the first call. */
const char *commy_env_host_id (void);
