/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs commy-conformance, which loads plugins in a process of its own, and says how that process
 * ended: well, badly, by a signal, or not at all until its time was over.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  gboolean ok;   /* it exited with 0 */
  char *failure; /* how it ended if not by an exit: a phrase, or NULL */
  char *output;  /* valid UTF-8, at most some MiB */
  char *errors;
} CommyToolRun;

void commy_tool_run_clear (CommyToolRun *run);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyToolRun, commy_tool_run_clear)

/* (transfer full): where a program of ours is that only this command starts: beside it in the tree
 * where it was built, else where it was installed */
char *commy_tool_dup_path (const char *name);

/* @arguments up to NULL, without the program. It is given @seconds and ends with this process.
 * What it started ends with it: all of it where the kernel grants the tool a namespace of
 * processes, else what stayed in the tool's process group. It is never waited for. FALSE with
 * @error set if the tool cannot be started. */
gboolean
commy_tool_run (const char *const *arguments, guint seconds, CommyToolRun *out_run, GError **error);

/* (transfer full) (nullable): what stands behind the first line that begins with @prefix: for what
 * the tool says before it runs code of a plugin, which could say the same again */
char *commy_tool_dup_first (const char *text, const char *prefix);

/* (transfer full) (nullable): what stands behind the last line that begins with @prefix */
char *commy_tool_dup_last (const char *text, const char *prefix);

G_END_DECLS
