/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the verbs about policy share: the circumstances of a question, and asking it.
 */
#pragma once

#include "cli/commy-cli.h"

typedef struct
{
  char *at;
  char *from;
  char *security;
  char **attributes;       /* NULL: not known; an empty one among them: there are no others */
  gboolean why_not;        /* what would have allowed it is wanted */
  gboolean without_engine; /* what the keyfiles alone say */
} CommyPolicyQuestion;

void commy_policy_question_clear (CommyPolicyQuestion *question);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyPolicyQuestion, commy_policy_question_clear)

/* clang-format off */
#define COMMY_POLICY_OPTIONS(Q) \
  { "at", 0, 0, G_OPTION_ARG_STRING, &(Q).at, N_ ("When, as 2026-12-31T12:00:00 in local time"), N_ ("TIME") }, \
  { "from", 0, 0, G_OPTION_ARG_STRING, &(Q).from, N_ ("Address of the other side, or local"), N_ ("ADDRESS") }, \
  { "security", 0, 0, G_OPTION_ARG_STRING, &(Q).security, N_ ("Level of the path"), N_ ("LEVEL") }, \
  { "attribute", 0, 0, G_OPTION_ARG_STRING_ARRAY, &(Q).attributes, N_ ("What it proved besides, as scope=deploy; as often as need be; \"\": nothing"), N_ ("TEXT") }, \
  { "why-not", 0, 0, G_OPTION_ARG_NONE, &(Q).why_not, N_ ("If it is denied: which rules come close, and what to add"), NULL }
/* clang-format on */

/* (transfer full): as commy_mesh_explain_policy() */
GVariant *commy_policy_ask (CommyMesh *mesh,
                            const char *principal,
                            const char *verb,
                            const char *resource,
                            const CommyPolicyQuestion *question,
                            GError **error);

/* commy-policy-test.c: the cases of keyfiles */
CommyExit commy_policy_test (CommyCli *cli, CommyMesh *mesh, char **files);
