/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joining in tests: the command as a process, an authority that it serves, tokens.
 */
#pragma once

#include "auth/common/commy-pki-wire.h"
#include "tests/pki/pki-fixture.h"

#include <gio/gio.h>

typedef struct
{
  GSubprocess *process;
  gboolean done;
  char *out;
  char *err;
  int status;
} JoinRun;

const char *join_command (void);
/* Words up to NULL; @input goes to its standard input. */
void join_run_start (JoinRun *run, const char *input, const char *const *words);
/* Serves our own context meanwhile: the other side may live in it. */
void join_run_wait (JoinRun *run);
void join_run_clear (JoinRun *run);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (JoinRun, join_run_clear)
/* From start to end. */
void join_run (JoinRun *run, const char *input, const char *first, ...) G_GNUC_NULL_TERMINATED;
/* It ended with @status and said @words to stderr. */
void join_assert_told (const JoinRun *run, int status, const char *words);
void join_assert_done (const JoinRun *run);

/* `commy pki serve` of a new authority. */
typedef struct
{
  char *dir;
  GSubprocess *process;
  GDataInputStream *out;
  char *address;
} JoinAuthority;

void join_authority_init (JoinAuthority *self);
void join_authority_start (JoinAuthority *self, const char *life);
void join_authority_stop (JoinAuthority *self);
void join_authority_clear (JoinAuthority *self);

/* `commy pki token create` for one host and user. (transfer full) */
char *join_token_for (const char *dir, const char *address, const char *host, const char *user);
/* A token straight from the register, for times and addresses that the command does not make. */
char *join_make_token (const char *dir, const char *address, gint64 expires_s);
char *join_new_dir (void);
/* `commy join - --dir DIR --host HOST --user u`, with the token as input. */
void join_with (JoinRun *run, const char *token, const char *dir, const char *host);
gboolean join_is_empty (const char *dir); /* nothing was written that could be used */
