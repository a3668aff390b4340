/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sends all files once more, now to whichever instance the mesh picks, and kills one instance
 * with SIGKILL while a call is under way. Each answer says who gave it; from these comes
 * everything that is told about the fallback.
 */
#include "config.h"

#include "demo.h"

/* Of the file that is under way at the kill, if there is a choice. */
#define KILL_SIZE (1024u * 1024)
/* Further passes, where a small tree was through before the other instance had answered. */
#define MORE_US (10 * G_USEC_PER_SEC)

/* A thread that kills when it is told to: the caller's own thread is inside a call then. */
typedef struct
{
  GAsyncQueue *orders;
  DemoInstance *victim;
  gint64 killed_us; /* atomic; 0 before */
} Killer;

typedef struct
{
  DemoFallback *sums;
  Killer *killer;
  const DemoFile *moment;
  gboolean answered; /* by the victim, at least once */
  gboolean ordered;
} Run;

static gpointer
killer_main (gpointer data)
{
  Killer *self = data;

  if (g_async_queue_pop (self->orders) != self->victim)
    return NULL;
  __atomic_store_n (&self->killed_us, g_get_monotonic_time (), __ATOMIC_RELEASE);
  demo_instance_kill (self->victim);
  return NULL;
}

/* How far a size is from the wanted one: in factors, so that half and double are as good. */
static double
distance (const DemoFile *file)
{
  double size = (double) MAX (file->size, 1);

  return size >= KILL_SIZE ? size / KILL_SIZE : KILL_SIZE / size;
}

/* A file of the middle third whose call takes long enough that the kill falls into it, and not
 * so long that hashing it is all that the fallback's time would tell. */
static const DemoFile *
choose_moment (const DemoTree *tree)
{
  guint n = tree->files->len;
  const DemoFile *best = tree->files->pdata[n / 3];

  for (guint i = n / 3; i < n - n / 3; i++)
    if (distance (tree->files->pdata[i]) < distance (best))
      best = tree->files->pdata[i];
  return best;
}

/* The next thing this thread does is the call. */
static void
before_call (gpointer data, const DemoFile *file)
{
  Run *run = data;

  if (run->ordered || !run->answered || file != run->moment)
    return;
  run->ordered = TRUE;
  run->sums->under_way = demo_show_name (file->path);
  run->sums->under_way_size = file->size;
  g_async_queue_push (run->killer->orders, run->killer->victim);
}

/* Who answered, and what that says about the kill. */
static void
after_call (gpointer data, const char *by, gint64 began_us, gint64 ended_us)
{
  Run *run = data;
  DemoFallback *sums = run->sums;
  g_autofree char *victim = g_strconcat (run->killer->victim->label, " over ", NULL);
  gint64 killed_us = __atomic_load_n (&run->killer->killed_us, __ATOMIC_ACQUIRE);

  if (g_str_has_prefix (by, victim))
    {
      run->answered = TRUE;
      return;
    }
  if (killed_us == 0 || ended_us < killed_us)
    return;
  if (began_us <= killed_us)
    sums->retried++;
  if (sums->first_us < 0)
    sums->first_us = ended_us - killed_us;
}

static void
init_pass (DemoPass *pass, Run *run, CommyClient *client, GCancellable *cancellable)
{
  demo_pass_init (pass, client, cancellable);
  pass->before = before_call;
  pass->after = after_call;
  pass->hook_data = run;
}

gboolean
demo_fallback (DemoFallback *self,
               CommyClient *client,
               const DemoTree *tree,
               DemoInstance *victim,
               GCancellable *cancellable,
               GError **error)
{
  g_autoptr (GAsyncQueue) orders = g_async_queue_new ();
  Killer killer = { .orders = orders, .victim = victim };
  Run run = { .sums = self, .killer = &killer, .moment = choose_moment (tree) };
  GThread *thread = g_thread_new ("killer", killer_main, &killer);
  gint64 until_us;
  gboolean done;

  self->first_us = -1;
  init_pass (&self->pass, &run, client, cancellable);
  done = demo_pass_run (&self->pass, tree, "to any instance", error);
  until_us = g_get_monotonic_time () + MORE_US;
  while (done && self->first_us < 0 && self->pass.missing == 0
         && g_get_monotonic_time () < until_us)
    {
      DemoPass more;

      init_pass (&more, &run, client, cancellable);
      done = demo_pass_run (&more, tree, "once more", error);
      self->pass.wrong += more.wrong;
      self->pass.missing += more.missing;
      demo_pass_clear (&more);
    }
  if (!run.ordered)
    g_async_queue_push (orders, &run); /* not today */
  g_thread_join (thread);
  return done;
}
