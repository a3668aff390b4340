/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Administrative acts for the audit trail.
 */
#include "config.h"

#include "cli/commy-act.h"

static void
act_clear (CommyAct *act)
{
  g_clear_object (&act->mesh);
  g_clear_pointer (&act->about, g_free);
  g_clear_pointer (&act->details, g_free);
}

/* A rule that is wrong keeps nobody from shutting somebody out. */
CommyMesh *
commy_act_dup_mesh (const CommyCli *cli, GError **error)
{
  g_autoptr (GError) cause = NULL;
  CommyMesh *mesh = commy_mesh_new (cli->mesh, &cause);

  if (mesh == NULL)
    mesh = commy_mesh_new_without_policy (cli->mesh, NULL);
  if (mesh == NULL)
    g_propagate_error (error, g_steal_pointer (&cause));
  return mesh;
}

gboolean
commy_act_begin (
    CommyAct *act, const CommyCli *cli, CommyMesh *mesh, const char *what, const char *about)
{
  g_autoptr (GError) error = NULL;

  *act = (CommyAct){ .mesh = mesh != NULL ? g_object_ref (mesh) : commy_act_dup_mesh (cli, &error),
                     .what = what,
                     .about = g_strdup (about) };
  if (act->mesh != NULL
      && commy_mesh_record_act (act->mesh, what, act->about, "begun", NULL, &error))
    return TRUE;
  act->status = commy_cli_fail (error);
  act_clear (act);
  return FALSE;
}

static const char *
reason_of (CommyExit status)
{
  switch (status)
    {
    case COMMY_EXIT_USAGE:
      return "wrong usage or keyfile";
    case COMMY_EXIT_NOT_FOUND:
      return "not found";
    case COMMY_EXIT_DENIED:
      return "denied";
    case COMMY_EXIT_DEADLINE:
      return "deadline passed";
    default:
      return "failed";
    }
}

CommyExit
commy_act_end (CommyAct *act, CommyExit status)
{
  gboolean done = status == COMMY_EXIT_DONE;
  g_autoptr (GError) error = NULL;

  if (!commy_mesh_record_act (act->mesh, act->what, act->about, done ? "done" : "failed",
                              done ? act->details : reason_of (status), &error))
    {
      commy_cli_note ("that \"%s\" %s is not recorded: %s", act->what, done ? "was done" : "failed",
                      error->message);
      status = done ? COMMY_EXIT_FAILED : status;
    }
  act_clear (act);
  return status;
}
