/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The instances of the digest service: real processes, started, stopped and killed, and never
 * left behind.
 */
#include "config.h"

#include "demo.h"

#include <errno.h>
#include <gio/gunixinputstream.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_US (20 * G_USEC_PER_SEC)
#define STOP_US (5 * G_USEC_PER_SEC)
#define LINE_MAX_BYTES 128u

/* Waits until there is something to read: 1, or the end: also 1; 0: too late; -1: cancelled. */
static int
await_input (int fd, gint64 deadline_us, GCancellable *cancellable)
{
  GPollFD polled[2] = { { .fd = fd, .events = G_IO_IN } };
  guint n = 1 + (g_cancellable_make_pollfd (cancellable, &polled[1]) ? 1 : 0);
  int ready;

  do
    {
      gint64 left_us = MAX (deadline_us - g_get_monotonic_time (), 0);

      ready = g_poll (polled, n, (int) (left_us / 1000));
    }
  while (ready < 0 && errno == EINTR);
  if (n > 1)
    g_cancellable_release_fd (cancellable);
  if (g_cancellable_is_cancelled (cancellable))
    return -1;
  return ready > 0 ? 1 : 0;
}

/* The line "ready ID" of a child that offers its service. */
static gboolean
await_ready (DemoInstance *self, GCancellable *cancellable, GError **error)
{
  gint64 deadline_us = g_get_monotonic_time () + START_US;
  char line[LINE_MAX_BYTES + 1];
  gsize used = 0;

  for (;;)
    {
      int ready = await_input (self->output, deadline_us, cancellable);
      gssize got = ready > 0 ? read (self->output, line + used, 1) : 0;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      if (got < 0 && errno == EINTR)
        continue;
      if (got <= 0 || used == LINE_MAX_BYTES)
        break;
      if (line[used] != '\n')
        {
          used++;
          continue;
        }
      line[used] = '\0';
      if (!g_str_has_prefix (line, "ready "))
        break;
      self->id = g_strdup (line + strlen ("ready "));
      return TRUE;
    }
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "instance %s (process %d) did not get ready",
               self->label, self->pid);
  return FALSE;
}

gboolean
demo_instance_start (DemoInstance *self,
                     const DemoPlace *place,
                     int wrong_every,
                     GCancellable *cancellable,
                     GError **error)
{
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_autofree char *parent = g_strdup_printf ("%d", (int) getpid ());
  g_autofree char *wrong = g_strdup_printf ("%d", wrong_every);
  const char *arguments[] = { place->service, "--label",       self->label, "--follow",
                              parent,         "--wrong-every", wrong,       NULL };

  g_subprocess_launcher_setenv (launcher, "COMMY_CONFIG", self->keyfile, TRUE);
  self->process = g_subprocess_launcher_spawnv (launcher, arguments, error);
  if (self->process == NULL)
    return FALSE;
  self->pid = atoi (g_subprocess_get_identifier (self->process));
  self->output = g_unix_input_stream_get_fd (
      G_UNIX_INPUT_STREAM (g_subprocess_get_stdout_pipe (self->process)));
  return await_ready (self, cancellable, error);
}

gboolean
demo_instance_stop (DemoInstance *self, GError **error)
{
  /* Its input ends, so it leaves the mesh; its output ends when it is gone. */
  g_output_stream_close (g_subprocess_get_stdin_pipe (self->process), NULL, NULL);
  if (await_input (self->output, g_get_monotonic_time () + STOP_US, NULL) == 0)
    {
      demo_instance_kill (self);
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                   "instance %s (process %d) did not end by itself", self->label, self->pid);
      return FALSE;
    }
  return g_subprocess_wait_check (self->process, NULL, error);
}

void
demo_instance_kill (DemoInstance *self)
{
  g_subprocess_force_exit (self->process);
  g_subprocess_wait (self->process, NULL, NULL);
}

void
demo_instance_clear (DemoInstance *self)
{
  if (self->process != NULL)
    demo_instance_kill (self);
  g_clear_object (&self->process);
  g_clear_pointer (&self->id, g_free);
}
