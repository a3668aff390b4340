/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text made from a template and a tree of scopes.
 *
 * A template is lines. {{name}} stands for a value of the scope or of one around it. A line
 * "%for LIST" repeats what follows up to its "%end" for each scope of the list; "%if NAME" and
 * "%if !NAME" keep it if the value or list is there and not empty, with "%else" for the other case.
 * {{,}} is a comma but in the last turn of a list, {{,LIST}} one where the list is not empty.
 */
#pragma once

#include <glib.h>

typedef struct _CommyScope CommyScope;

/* (transfer full) */
CommyScope *commy_scope_new (void);
void commy_scope_free (CommyScope *scope);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyScope, commy_scope_free)

/* @value is copied; NULL is "" */
void commy_scope_set (CommyScope *scope, const char *name, const char *value);
void commy_scope_take (CommyScope *scope, const char *name, char *value);
/* "yes" or "" */
void commy_scope_flag (CommyScope *scope, const char *name, gboolean on);
/* (transfer none): a scope within @scope, at the end of this list */
CommyScope *commy_scope_append (CommyScope *scope, const char *list);

/* @lines: up to NULL, without line feeds. A name that no scope has is a mistake of the template. */
void commy_template_expand (const char *const *lines, CommyScope *scope, GString *out);
