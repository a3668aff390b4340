/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeping the child: see the header.
 */
#include "config.h"

#include "daemon/commyd-looker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PAUSE_FIRST_MS 1000u
#define PAUSE_MOST_MS 60000u
#define LONG_LIFE_US (60 * G_USEC_PER_SEC)

struct _CommydLooker
{
  const char *mesh, *socket;
  gboolean is_wanted; /* there is something to look at */
  GPid pid;           /* 0: it does not run */
  guint child_watch;
  guint pause_timer;
  guint pause_ms;
  gint64 begun_us;
};

static gboolean
has_checks (CommyConfig *config)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "service ");

  for (guint i = 0; i < groups->len; i++)
    if (strcmp (commy_config_get (config, groups->pdata[i], "health-check"), "none") != 0)
      return TRUE;
  return FALSE;
}

/* It does not outlive the daemon. */
static void
in_child (gpointer unused)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static void start (CommydLooker *self);

static gboolean
on_pause (gpointer data)
{
  CommydLooker *self = data;

  self->pause_timer = 0;
  start (self);
  return G_SOURCE_REMOVE;
}

static void
start_later (CommydLooker *self)
{
  if (self->is_wanted && self->pause_timer == 0)
    self->pause_timer = g_timeout_add (self->pause_ms, on_pause, self);
  self->pause_ms = MIN (self->pause_ms * 2, PAUSE_MOST_MS);
}

static void
on_ended (GPid pid, int status, gpointer data)
{
  CommydLooker *self = data;

  self->pid = 0;
  self->child_watch = 0;
  if (g_get_monotonic_time () - self->begun_us > LONG_LIFE_US)
    self->pause_ms = PAUSE_FIRST_MS;
  if (self->is_wanted && status != 0)
    g_message ("who looks at instances ended with status %d: programs look for themselves, and it "
               "starts again in %u s",
               WIFEXITED (status) ? WEXITSTATUS (status) : -WTERMSIG (status),
               self->pause_ms / 1000);
  start_later (self);
}

static void
start (CommydLooker *self)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *mesh = g_strconcat ("--mesh=", self->mesh, NULL);
  g_autofree char *socket = g_strconcat ("--socket=", self->socket, NULL);
  /* The file itself: its name may be another program's by now. */
  char exe[] = "/proc/self/exe";
  char *argv[] = { exe, program != NULL ? program : exe, (char *) "--look", mesh, socket, NULL };
  g_autoptr (GError) error = NULL;

  if (!self->is_wanted || self->pid != 0)
    return;
  self->begun_us = g_get_monotonic_time ();
  if (g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_FILE_AND_ARGV_ZERO,
                     in_child, NULL, &self->pid, &error))
    {
      self->child_watch = g_child_watch_add (self->pid, on_ended, self);
      return;
    }
  self->pid = 0;
  g_warning ("nobody looks at instances for this host, which is tried again in %u s: %s",
             self->pause_ms / 1000, error->message);
  start_later (self);
}

static void
stop (CommydLooker *self)
{
  if (self->pause_timer != 0)
    g_source_remove (self->pause_timer);
  self->pause_timer = 0;
  if (self->child_watch != 0)
    g_source_remove (self->child_watch);
  self->child_watch = 0;
  if (self->pid == 0)
    return;
  /* It may wait for this very process. */
  kill (self->pid, SIGKILL);
  while (waitpid (self->pid, NULL, 0) < 0 && errno == EINTR)
    ;
  self->pid = 0;
}

CommydLooker *
commyd_looker_new (const char *mesh, const char *socket, CommyConfig *config)
{
  CommydLooker *self = g_new0 (CommydLooker, 1);

  self->mesh = mesh;
  self->socket = socket;
  commyd_looker_configure (self, config);
  return self;
}

void
commyd_looker_configure (CommydLooker *self, CommyConfig *config)
{
  stop (self);
  self->is_wanted = has_checks (config);
  self->pause_ms = PAUSE_FIRST_MS;
  start (self);
}

void
commyd_looker_free (CommydLooker *self)
{
  if (self == NULL)
    return;
  stop (self);
  g_free (self);
}
