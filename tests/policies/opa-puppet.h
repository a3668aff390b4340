/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What answers like OPA, or like something else, and only when the test says so. Any thread.
 */
#pragma once

#include <gio/gio.h>

typedef struct _OpaPuppet OpaPuppet;

OpaPuppet *opa_puppet_new (void);
void opa_puppet_free (OpaPuppet *puppet);
/* "http://127.0.0.1:PORT" */
const char *opa_puppet_get_url (OpaPuppet *puppet);
/* From now on: a body with status 200 (repeated so often), or, with @head, all of it. NULL: hangs
 * up. */
void opa_puppet_answer (OpaPuppet *puppet, const char *head, const char *body, guint repeat);
/* Questions are read and not answered until it is let go. */
void opa_puppet_hold (OpaPuppet *puppet, gboolean hold);
/* Questions that came so far; waits until there were as many. */
guint opa_puppet_get_asked (OpaPuppet *puppet);
void opa_puppet_await (OpaPuppet *puppet, guint asked);
/* (transfer full): the last question: its path, a space, its body */
char *opa_puppet_dup_question (OpaPuppet *puppet);
