/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Discovery with many instances and many who watch them: processes that register, processes with
 * many meshes that watch, and a store. All of them must know every change, and what is asked of the
 * store and told by it is counted: it must grow as the instances do. Small here;
 * COMMY_TEST_INSTANCES (several sizes, with commas) and COMMY_TEST_WATCHERS make it large
 * (docs/TESTING.md). What it took is printed only: times say nothing on a machine that others use.
 */
#include "config.h"

#include "control/commy-registry.h"
#include "counted-store.h"
#include "mesh-fixture.h"
#include "mesh/commy-mesh-private.h"

#ifdef HAVE_ETCD_TESTS
#include "tests/stores/etcd-cluster.h"
#endif

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INSTANCES "40,80,160"
#define WATCHERS 6u
#define PROCESSES 2u    /* of watchers, at least */
#define MESHES_MOST 10u /* of a process of watchers */
#define REGISTRARS 2u
#define UNDER_WAY 64u /* registrations of a process at a time */
#define CHANGES 4u    /* instances that go and come again */
#define FEW 5u        /* instances of a name, where there are many names */
#define NAMES_WATCHED 20u

#define SETTINGS "[calibration]\nmode=off\n[log]\nlevel=warning\n"
/* What a process that offers much asks beside its puts: it has that many watches, and then a few
 * of whole folders. */
#define ASKED_MOST 48u
#define OWN_MOST 4u       /* puts and watches of what every process offers */
#define RECORD_MOST 2048u /* bytes of an instance */

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What a process is told: instances of @first to @first + @n go or come, or so many of the first
 * name are expected; or what was counted is asked for. */
typedef struct
{
  char what; /* '+', '-', '=' or '#' */
  guint32 first, n;
} Order;

static gboolean
read_all (int fd, gpointer bytes, gsize size)
{
  gsize got = 0;

  while (got < size)
    {
      ssize_t n = read (fd, (char *) bytes + got, size - got);

      if (n <= 0)
        return FALSE;
      got += (gsize) n;
    }
  return TRUE;
}

static void
write_all (int fd, gconstpointer bytes, gsize size)
{
  g_assert_cmpint (write (fd, bytes, size), ==, (gssize) size);
}

static char *
name_of (guint32 index, guint per_name)
{
  return g_strdup_printf ("org.example.Growth.N%u", index / per_name);
}

static void
tell_counts (void)
{
  StoreCounts counts;

  counted_store_get (&counts);
  write_all (3, &counts, sizeof counts);
}

static void
begin_to_count (gpointer mesh)
{
  counted_store_begin (mesh);
}

/* --- who registers --- */

typedef struct
{
  CommyMesh *mesh;
  guint per_name;
  guint32 next, end;
  guint under_way;
  gboolean is_adding; /* answers that come at once must not recur */
} Registrar;

/* As a service of this host would be, whose transports every watcher has to look at. */
static CommyInstance *
make_instance (Registrar *self, guint32 index)
{
  g_autofree char *service = name_of (index, self->per_name);
  g_autofree char *number = g_strdup_printf ("instance %u", index);
  g_autofree char *id = g_compute_checksum_for_string (G_CHECKSUM_SHA256, number, -1);
  g_autofree char *address = NULL;
  CommyInstance *instance;

  id[32] = '\0';
  address = g_strdup_printf ("%s/run/test/%s", self->mesh->runtime_dir, id);
  instance = commy_instance_new (id, service);
  instance->node = g_strdup (self->mesh->node);
  instance->host = g_strdup ("host");
  instance->host_id = g_strdup ("an-id-of-the-boot-of-another-host-0123456789");
  instance->interface_name = g_strdup (service);
  instance->serializers = g_strsplit ("gvariant,json,cbor,msgpack,compact", ",", -1);
  instance->pid = (gint32) getpid ();
  commy_instance_add_endpoint (instance, "shm", address);
  commy_instance_add_endpoint (instance, "unix", address);
  commy_instance_add_endpoint (instance, "tls", "127.0.0.1:12345");
  return instance;
}

static void add_more (gpointer data);

/* One that is being registered. */
typedef struct
{
  Registrar *registrar;
  guint32 index;
} Adding;

static void on_added (gpointer data, const GError *error);

static gboolean
add_one (gpointer data)
{
  const Adding *adding = data;
  g_autoptr (CommyInstance) instance = make_instance (adding->registrar, adding->index);

  commy_registry_add (adding->registrar->mesh->registry, instance, on_added, data);
  return G_SOURCE_REMOVE;
}

static void
again_later (CommyMesh *mesh, const GError *error, GSourceFunc func, gpointer data)
{
  g_autoptr (GSource) again = g_timeout_source_new_seconds (1);

  g_message ("%s: asked again", error->message);
  g_source_set_callback (again, func, data, NULL);
  g_source_attach (again, mesh->context);
}

/* A store that is slow is asked again, as whoever offers something would. */
static void
on_added (gpointer data, const GError *error)
{
  Adding *adding = data;
  Registrar *self = adding->registrar;

  if (error != NULL)
    {
      again_later (self->mesh, error, add_one, adding);
      return;
    }
  g_free (adding);
  self->under_way--;
  if (!self->is_adding)
    add_more (self);
}

static void
add_more (gpointer data)
{
  Registrar *self = data;

  self->is_adding = TRUE;
  while (self->next < self->end && self->under_way < UNDER_WAY)
    {
      Adding *adding = g_new (Adding, 1);

      *adding = (Adding){ self, self->next++ };
      self->under_way++;
      add_one (adding);
    }
  self->is_adding = FALSE;
  if (self->next == self->end && self->under_way == 0)
    write_all (3, "d", 1);
}

static void
on_removed (gpointer data, const GError *error)
{
  g_assert_no_error (error);
  write_all (3, "d", 1);
}

static void
remove_one (gpointer data)
{
  Registrar *self = data;
  g_autoptr (CommyInstance) instance = make_instance (self, self->next);

  commy_registry_remove (self->mesh->registry, instance, on_removed, self);
}

static void
be_registrar (CommyMesh *mesh, guint per_name)
{
  Registrar self = { .mesh = mesh, .per_name = per_name };
  Order order;

  commy_mesh_post (mesh, begin_to_count, mesh);
  write_all (3, "r", 1);
  while (read_all (3, &order, sizeof order))
    {
      if (order.what == '#')
        {
          tell_counts ();
          continue;
        }
      self.next = order.first;
      self.end = order.first + order.n;
      commy_mesh_post (mesh, order.what == '+' ? add_more : remove_one, &self);
    }
}

/* --- who watches --- */

typedef struct _Crowd Crowd;

typedef struct
{
  Crowd *crowd;
  CommyMesh *mesh;
  guint n;           /* instances of the first name that it knows */
  gint64 reached_ns; /* when these were as many as expected; 0: not yet */
  guint snapshots;
} Watcher;

struct _Crowd
{
  GMutex lock;
  GCond changed;
  guint expected;
  guint missing; /* names that have not been read yet */
  guint n_watchers;
  Watcher watchers[MESHES_MOST];
};

static void
on_snapshot (gpointer data, CommySnapshot *snapshot)
{
  Watcher *self = data;
  Crowd *crowd = self->crowd;

  g_mutex_lock (&crowd->lock);
  self->snapshots++;
  if (g_str_has_suffix (snapshot->service, ".N0"))
    self->n = snapshot->instances->len;
  if (self->reached_ns == 0 && self->n == crowd->expected)
    self->reached_ns = now_ns ();
  g_cond_signal (&crowd->changed);
  g_mutex_unlock (&crowd->lock);
}

/* A name that is to be watched. */
typedef struct
{
  Watcher *watcher;
  guint number;
} Name;

static void on_watching (gpointer data, const GError *error);

static gboolean
begin_to_watch_name (gpointer data)
{
  Name *self = data;
  g_autofree char *name = name_of (self->number, 1);

  commy_registry_ensure (self->watcher->mesh->registry, name, FALSE, on_watching, self);
  return G_SOURCE_REMOVE;
}

/* A store that is slow is asked again, as whoever needs the name would. */
static void
on_watching (gpointer data, const GError *error)
{
  Name *self = data;
  Crowd *crowd = self->watcher->crowd;

  if (error != NULL)
    {
      again_later (self->watcher->mesh, error, begin_to_watch_name, self);
      return;
    }
  g_free (self);
  g_mutex_lock (&crowd->lock);
  crowd->missing--;
  g_cond_signal (&crowd->changed);
  g_mutex_unlock (&crowd->lock);
}

static void
begin_to_watch (gpointer data)
{
  Watcher *self = data;

  begin_to_count (self->mesh);
  commy_registry_set_listener (self->mesh->registry, on_snapshot, self);
  for (guint i = 0; i < NAMES_WATCHED; i++)
    {
      Name *name = g_new (Name, 1);

      *name = (Name){ self, i };
      begin_to_watch_name (name);
    }
}

static gboolean
have_all_reached (const Crowd *crowd)
{
  for (guint i = 0; i < crowd->n_watchers; i++)
    if (crowd->watchers[i].reached_ns == 0)
      return FALSE;
  return TRUE;
}

/* Says when each of them knew. */
static void
await (Crowd *crowd, guint expected)
{
  g_mutex_lock (&crowd->lock);
  crowd->expected = expected;
  for (guint i = 0; i < crowd->n_watchers; i++)
    crowd->watchers[i].reached_ns = crowd->watchers[i].n == expected ? now_ns () : 0;
  write_all (3, "a", 1);
  while (!have_all_reached (crowd))
    g_cond_wait (&crowd->changed, &crowd->lock);
  for (guint i = 0; i < crowd->n_watchers; i++)
    {
      write_all (3, &crowd->watchers[i].reached_ns, sizeof (gint64));
      write_all (3, &crowd->watchers[i].snapshots, sizeof (guint));
    }
  g_mutex_unlock (&crowd->lock);
}

static CommyMesh *
try_to_join (const char *keyfile, GError **error)
{
  g_autoptr (GError) bad = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new_with_settings ("test", keyfile, &bad);

  g_assert_no_error (bad);
  return commy_mesh_join_sync (mesh, NULL, error) ? g_steal_pointer (&mesh) : NULL;
}

/* A store that is slow is asked again. */
static CommyMesh *
join (const char *keyfile)
{
  for (;;)
    {
      g_autoptr (GError) error = NULL;
      CommyMesh *mesh = try_to_join (keyfile, &error);

      if (mesh != NULL)
        return mesh;
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_STORE);
      g_message ("%s: joined again", error->message);
    }
}

#define LATER 10 /* more of nice() */

/* In life each would be on a host of its own: what is beside them, such as a store's server, goes
 * first. */
static void
be_watchers (const char *keyfile, guint n)
{
  Crowd *crowd = g_new0 (Crowd, 1); /* as long as the process */
  Order order;

  setpriority (PRIO_PROCESS, 0, getpriority (PRIO_PROCESS, 0) + LATER);
  crowd->n_watchers = n;
  crowd->missing = n * NAMES_WATCHED;
  for (guint i = 0; i < n; i++)
    {
      crowd->watchers[i].crowd = crowd;
      crowd->watchers[i].mesh = join (keyfile);
      commy_mesh_post (crowd->watchers[i].mesh, begin_to_watch, &crowd->watchers[i]);
    }
  g_mutex_lock (&crowd->lock);
  while (crowd->missing > 0)
    g_cond_wait (&crowd->changed, &crowd->lock);
  g_mutex_unlock (&crowd->lock);
  write_all (3, "r", 1);
  while (read_all (3, &order, sizeof order))
    if (order.what == '#')
      tell_counts ();
    else
      await (crowd, order.n);
  for (guint i = 0; i < n; i++)
    {
      commy_mesh_leave_sync (crowd->watchers[i].mesh, NULL, NULL);
      g_object_unref (crowd->watchers[i].mesh);
    }
  g_free (crowd);
}

static gboolean
child_main (int argc, char **argv)
{
  if (argc != 4)
    return FALSE;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (strcmp (argv[1], "--watch") == 0)
    be_watchers (argv[2], (guint) atoi (argv[3]));
  else if (strcmp (argv[1], "--register") == 0)
    {
      g_autoptr (CommyMesh) mesh = join (argv[2]);

      be_registrar (mesh, (guint) atoi (argv[3]));
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  else
    return FALSE;
  return TRUE;
}

/* --- the scene --- */

typedef struct
{
  GPid pid;
  int fd;
  guint n; /* watchers in it */
} Process;

typedef struct
{
  Process watching[100];
  guint n_watching;
  Process registering[REGISTRARS];
  guint n_watchers;
  GArray *delays; /* gint64: of each change and watcher */
  guint64 snapshots;
  gint64 last_ns; /* when the last watcher knew */
} Scene;

/* What came out for one size. */
typedef struct
{
  double register_s, known_s, p50_ns, p99_ns, max_ns, memory;
  double register_cpu_ns, change_cpu_ns; /* of a watcher, for one instance */
  guint64 snapshots;                     /* that were made while all of them registered */
  StoreCounts watching, registering;
} Figures;

static void
on_child (gpointer fd)
{
  dup2 (*(int *) fd, 3);
}

static void
start (Process *out, const char *role, const char *keyfile, guint n)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *number = g_strdup_printf ("%u", n);
  char *argv[] = { self, (char *) role, (char *) keyfile, number, NULL };
  g_autoptr (GError) error = NULL;
  int pair[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  g_spawn_async (NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                 on_child, &pair[1], &out->pid, &error);
  g_assert_no_error (error);
  close (pair[1]);
  out->fd = pair[0];
  out->n = n;
}

static void
hear (const Process *process, char what)
{
  char byte = 0;

  if (!read_all (process->fd, &byte, 1) || byte != what)
    g_error ("expected '%c' from process %d, got '%c'", what, (int) process->pid, byte);
}

static void
end (Process *process)
{
  int status = 0;

  close (process->fd);
  g_assert_cmpint (waitpid (process->pid, &status, 0), ==, process->pid);
  g_assert_cmpint (status, ==, 0);
}

static void
order (const Process *process, char what, guint32 first, guint32 n)
{
  const Order text = { what, first, n };

  write_all (process->fd, &text, sizeof text);
}

static void
expect (Scene *scene, guint n)
{
  for (guint i = 0; i < scene->n_watching; i++)
    order (&scene->watching[i], '=', 0, n);
  for (guint i = 0; i < scene->n_watching; i++)
    hear (&scene->watching[i], 'a');
}

/* Of what was begun at @from_ns. */
static void
gather (Scene *scene, gint64 from_ns)
{
  scene->snapshots = 0;
  for (guint i = 0; i < scene->n_watching; i++)
    for (guint k = 0; k < scene->watching[i].n; k++)
      {
        gint64 at_ns;
        gint64 delay;
        guint snapshots;

        g_assert_true (read_all (scene->watching[i].fd, &at_ns, sizeof at_ns));
        g_assert_true (read_all (scene->watching[i].fd, &snapshots, sizeof snapshots));
        delay = at_ns - from_ns;
        g_array_append_val (scene->delays, delay);
        scene->snapshots += snapshots;
        scene->last_ns = MAX (scene->last_ns, at_ns);
      }
}

static double
measure_cpu (const Scene *scene)
{
  double sum = 0;

  for (guint i = 0; i < scene->n_watching; i++)
    {
      struct timespec time;
      clockid_t clock;

      g_assert_cmpint (clock_getcpuclockid (scene->watching[i].pid, &clock), ==, 0);
      g_assert_cmpint (clock_gettime (clock, &time), ==, 0);
      sum += (double) time.tv_sec * 1e9 + (double) time.tv_nsec;
    }
  return sum;
}

static double
measure_memory (const Scene *scene)
{
  double sum = 0;

  for (guint i = 0; i < scene->n_watching; i++)
    {
      g_autofree char *path
          = g_strdup_printf ("/proc/%d/smaps_rollup", (int) scene->watching[i].pid);
      g_autofree char *text = NULL;
      const char *at;

      if (g_file_get_contents (path, &text, NULL, NULL)
          && (at = strstr (text, "Private_Dirty:")) != NULL)
        sum += g_ascii_strtod (at + strlen ("Private_Dirty:"), NULL) * 1024;
    }
  return sum;
}

static int
compare_ns (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

static void
register_all (Scene *scene, guint n, guint of_first, Figures *out)
{
  guint32 share = n / REGISTRARS;
  double cpu_ns;
  gint64 from_ns;

  expect (scene, of_first);
  cpu_ns = measure_cpu (scene);
  from_ns = now_ns ();
  for (guint i = 0; i < REGISTRARS; i++)
    order (&scene->registering[i], '+', i * share, i + 1 < REGISTRARS ? share : n - i * share);
  for (guint i = 0; i < REGISTRARS; i++)
    hear (&scene->registering[i], 'd');
  out->register_s = (double) (now_ns () - from_ns) / 1e9;
  gather (scene, from_ns);
  out->known_s = (double) (scene->last_ns - from_ns) / 1e9;
  out->register_cpu_ns = (measure_cpu (scene) - cpu_ns) / ((double) n * scene->n_watchers);
  out->snapshots = scene->snapshots;
}

static void
change (Scene *scene, char what, guint32 index, guint expected)
{
  gint64 from_ns;

  expect (scene, expected);
  from_ns = now_ns ();
  order (&scene->registering[0], what, index, 1);
  gather (scene, from_ns);
  hear (&scene->registering[0], 'd');
}

static void
change_some (Scene *scene, guint n_changes, guint of_first, Figures *out)
{
  double cpu_ns = measure_cpu (scene);

  g_array_set_size (scene->delays, 0);
  for (guint32 i = 0; i < n_changes; i++)
    {
      change (scene, '-', i % of_first, of_first - 1);
      change (scene, '+', i % of_first, of_first);
    }
  out->change_cpu_ns = (measure_cpu (scene) - cpu_ns) / (2.0 * n_changes * scene->n_watchers);
  g_array_sort (scene->delays, compare_ns);
  out->p50_ns = (double) g_array_index (scene->delays, gint64, scene->delays->len / 2);
  out->p99_ns = (double) g_array_index (scene->delays, gint64, scene->delays->len * 99 / 100);
  out->max_ns = (double) g_array_index (scene->delays, gint64, scene->delays->len - 1);
}

static void
add_counts (const Process *process, StoreCounts *sum)
{
  StoreCounts its;

  order (process, '#', 0, 0);
  g_assert_true (read_all (process->fd, &its, sizeof its));
  sum->asked += its.asked;
  sum->puts += its.puts;
  sum->told += its.told;
  sum->listed += its.listed;
  sum->bytes += its.bytes;
  sum->ended += its.ended;
  sum->failed += its.failed;
}

/* Each instance is put once and told once to each who watches it, and nobody reads all of them
 * anew for one that changed, unless the store ended a watch, or did not acknowledge a change. */
static void
check_counts (const Scene *scene, guint n, guint n_watched, guint n_changes, const Figures *f)
{
  const StoreCounts *watching = &f->watching, *registering = &f->registering;
  const guint64 n_told
      = (n_watched + 2 * n_changes + registering->failed) * (guint64) scene->n_watchers;

  g_test_message (
      "%u instances: watchers asked %" G_GUINT64_FORMAT " times and were told %" G_GUINT64_FORMAT
      " changes, %" G_GUINT64_FORMAT " bytes; who registers put %" G_GUINT64_FORMAT
      " times, asked %" G_GUINT64_FORMAT " times and was told %" G_GUINT64_FORMAT
      " changes; the store ended %" G_GUINT64_FORMAT
      " watches and did not acknowledge %" G_GUINT64_FORMAT " changes",
      n, watching->asked, watching->told, watching->bytes, registering->puts, registering->asked,
      registering->told, watching->ended + registering->ended, registering->failed);
  g_assert_cmpuint (registering->puts, >=, n + 2 * n_changes);
  g_assert_cmpuint (registering->puts, <=, n + 2 * n_changes + REGISTRARS * OWN_MOST);
  g_assert_cmpuint (registering->asked, <=, REGISTRARS * ASKED_MOST + 2 * registering->ended);
  g_assert_cmpuint (registering->told, <=,
                    REGISTRARS * 2 * (n + 2 * n_changes + registering->failed));
  g_assert_cmpuint (watching->told, <=, n_told);
  g_assert_cmpuint (watching->asked, <=,
                    2 * ((NAMES_WATCHED + OWN_MOST) * scene->n_watchers + watching->ended));
  g_assert_cmpuint (watching->listed, <=, watching->ended * n);
  g_assert_cmpuint (watching->bytes, <=, (n_told + watching->listed) * RECORD_MOST);
  if (n_watched == n && watching->ended == 0 && registering->failed == 0)
    g_assert_cmpuint (watching->told, ==, n_told);
}

static void
measure (MeshFixture *fixture, const char *store, guint n, guint per_name, Figures *out)
{
  g_autofree char *keyfile = g_strdup_printf (
      "[mesh]\nnode-refresh=0\nruntime-dir=%s/%u-%u/run\nstate-dir=%s/%u-%u/state\n%s%s",
      fixture->dir, n, per_name, fixture->dir, n, per_name, store, SETTINGS);
  const char *asked = g_getenv ("COMMY_TEST_WATCHERS");
  guint left = asked != NULL ? (guint) atoi (asked) : WATCHERS;
  guint each = MIN (MESHES_MOST, MAX (left / PROCESSES, 1));
  guint of_first = MIN (n, per_name);
  guint n_changes = asked != NULL ? 5 * CHANGES : CHANGES;
  Scene scene = { .n_watchers = left, .delays = g_array_new (FALSE, FALSE, sizeof (gint64)) };
  double memory;

  for (; left > 0; left -= MIN (left, each))
    start (&scene.watching[scene.n_watching++], "--watch", keyfile, MIN (left, each));
  for (guint i = 0; i < REGISTRARS; i++)
    start (&scene.registering[i], "--register", keyfile, per_name);
  for (guint i = 0; i < scene.n_watching; i++)
    hear (&scene.watching[i], 'r');
  for (guint i = 0; i < REGISTRARS; i++)
    hear (&scene.registering[i], 'r');
  memory = measure_memory (&scene);
  register_all (&scene, n, of_first, out);
  out->memory = (measure_memory (&scene) - memory) / scene.n_watchers;
  change_some (&scene, n_changes, of_first, out);
  for (guint i = 0; i < scene.n_watching; i++)
    add_counts (&scene.watching[i], &out->watching);
  for (guint i = 0; i < REGISTRARS; i++)
    add_counts (&scene.registering[i], &out->registering);
  check_counts (&scene, n, MIN (n, NAMES_WATCHED * per_name), n_changes, out);
  for (guint i = 0; i < REGISTRARS; i++)
    end (&scene.registering[i]);
  for (guint i = 0; i < scene.n_watching; i++)
    end (&scene.watching[i]);
  g_array_unref (scene.delays);
}

/* How something grows between two sizes: with the n-th power of it. */
static double
exponent (double a, double b, double ratio)
{
  return a > 0 && b > 0 ? log (b / a) / log (ratio) : 0;
}

static void
run_sizes (MeshFixture *fixture, const char *store, gboolean one_name)
{
  const char *asked = g_getenv ("COMMY_TEST_INSTANCES");
  g_auto (GStrv) sizes = g_strsplit (asked != NULL ? asked : INSTANCES, ",", -1);
  Figures before = { 0 };
  guint n_before = 0;

  for (guint i = 0; sizes[i] != NULL; i++)
    {
      guint n = (guint) atoi (sizes[i]);
      Figures f = { 0 };

      measure (fixture, store, n, one_name ? n : FEW, &f);
      g_test_message (
          "%u instances: %.0f registrations/s, all known %.3f s after the first began "
          "(%.1f snapshots a watcher, %.1f us of its processor an instance); a change is known "
          "after p50 %.2f ms, p99 %.2f ms, max %.2f ms, and costs a watcher %.0f us; "
          "%.0f KiB a watcher",
          n, n / f.register_s, f.known_s,
          (double) f.snapshots
              / (asked != NULL ? atof (g_getenv ("COMMY_TEST_WATCHERS")) : WATCHERS),
          f.register_cpu_ns / 1e3, f.p50_ns / 1e6, f.p99_ns / 1e6, f.max_ns / 1e6,
          f.change_cpu_ns / 1e3, f.memory / 1024);
      if (n_before > 0)
        g_test_message ("  from %u on they grow with n to the power of: registration %.2f, all "
                        "known %.2f, p50 %.2f, p99 %.2f, processor %.2f, memory %.2f",
                        n_before, exponent (before.register_s, f.register_s, (double) n / n_before),
                        exponent (before.known_s, f.known_s, (double) n / n_before),
                        exponent (before.p50_ns, f.p50_ns, (double) n / n_before),
                        exponent (before.p99_ns, f.p99_ns, (double) n / n_before),
                        exponent (before.change_cpu_ns, f.change_cpu_ns, (double) n / n_before),
                        exponent (before.memory, f.memory, (double) n / n_before));
      before = f;
      n_before = n;
    }
}

static void
test_sqlite (MeshFixture *fixture, gconstpointer one_name)
{
  run_sizes (fixture, "", one_name != NULL);
}

#ifdef HAVE_ETCD_TESTS
static void
test_etcd (MeshFixture *fixture, gconstpointer one_name)
{
  g_autoptr (EtcdCluster) cluster = NULL;
  g_autofree char *store = NULL;

  if (!etcd_is_there ())
    {
      g_test_skip ("etcd-server is not installed");
      return;
    }
  cluster = etcd_cluster_new (1, FALSE);
  /* One member for all of them, beside them on the same processors, is silent for seconds: longer
   * than a lease lasts that has to be kept alive there. */
  store = g_strdup_printf ("store=etcd\n[plugin store/etcd]\nparam.endpoints=%s\n"
                           "param.attempt=30s\nparam.timeout=60s\nparam.lease-ttl=120s\n",
                           etcd_cluster_get_endpoints (cluster));
  run_sizes (fixture, store, one_name != NULL);
}
#endif

#define ADD(path, data, test)                                                     \
  g_test_add ("/mesh/growth/" path, MeshFixture, data, mesh_fixture_set_up, test, \
              mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  if (child_main (argc, argv))
    return 0;
  g_test_init (&argc, &argv, NULL);
  ADD ("sqlite/one-name-with-all-instances", "", test_sqlite);
  ADD ("sqlite/many-names-with-few-instances", NULL, test_sqlite);
#ifdef HAVE_ETCD_TESTS
  ADD ("etcd/one-name-with-all-instances", "", test_etcd);
  ADD ("etcd/many-names-with-few-instances", NULL, test_etcd);
#endif
  return g_test_run ();
}
