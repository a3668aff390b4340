/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What OPA is asked, and what it answers: the data API of its REST interface. Pure.
 */
#pragma once

#include <commy/commy-policy-engine.h>

#define OPA_ANSWER_MAX (16u * 1024u)
#define OPA_PATH_MAX 255u

/* Why that is no path of a document, a phrase; NULL: it is one. */
const char *opa_path_why_not (const char *path);
/* {"input": {...}}. (transfer full) */
char *opa_write (const CommyPolicyQuery *query);
/* @out_reason: (transfer full) (nullable): in its own words, or why that is no decision. */
CommyPolicyAnswer opa_read (const char *text, gsize size, char **out_reason);
