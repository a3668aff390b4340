/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commyd: serves a store to all users of a host. This file reads the command line, starts the
 * store below through the ordinary host of plugins, opens the door, and lives until it is told to
 * end. What is served is in commyd-server; no call of a mesh ever passes through here.
 */
#include "config.h"

#include "daemon/commyd-door.h"
#include "daemon/commyd-look.h"
#include "daemon/commyd-looker.h"
#include "daemon/commyd-server.h"
#include "daemon/commyd-socket.h"
#include "daemon/commyd-status.h"
#include "daemon/commyd-systemd.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define FIRST_SOCKET 3

typedef struct
{
  char *mesh;
  char *socket;
  char *state_dir;
  char *store;
  gboolean is_system;
  gboolean is_silent; /* about its host */
  gboolean looks;     /* this is who looks, not who serves */
  gboolean is_door;   /* and this who reads what a user's programs say */
  gboolean show_status;
  gboolean as_json;
  gboolean show_version;
} Options;

typedef struct
{
  Options options;
  CommyConfig *config;
  CommyCatalog *catalog;
  CommyPlugin *store;
  CommydServer *server;
  CommydLooker *looker;
  CommydLock socket_lock;
  CommydLock state_lock;
  int listener;
  gboolean is_own_socket; /* which we remove; the service manager's stays */
  GMainLoop *loop;
} Daemon;

/* --- settings --- */

static CommyConfig *
load_config (GError **error)
{
  CommyConfigSources sources;

  commy_config_sources_default (&sources);
  return commy_config_load (&sources, error);
}

/* What stands in the keyfile where the command line says nothing. (transfer full) */
static char *
choose (const char *option, CommyConfig *config, const char *key)
{
  return g_strdup (option != NULL ? option : commy_config_get (config, "daemon", key));
}

static char *
default_state_dir (const Options *options)
{
  const char *given = g_getenv ("STATE_DIRECTORY");
  const char *from_env = g_getenv ("COMMY_STATE_DIR");

  if (options->is_system && given != NULL && given[0] == '/')
    return g_build_filename (given, options->mesh, NULL);
  if (options->is_system)
    return g_build_filename (COMMY_LOCALSTATE_DIR, "lib", "commyd", options->mesh, NULL);
  if (from_env != NULL && from_env[0] != '\0')
    return g_build_filename (from_env, options->mesh, "commyd", NULL);
  return g_build_filename (g_get_user_state_dir (), "commy", options->mesh, "commyd", NULL);
}

static void
settle_options (Daemon *self)
{
  Options *options = &self->options;
  char *socket = choose (options->socket, self->config, "socket");
  char *state_dir = choose (options->state_dir, self->config, "state-dir");
  char *store = choose (options->store, self->config, "store");

  if (socket[0] == '\0')
    {
      g_free (socket);
      socket = commyd_socket_default (options->mesh, options->is_system);
    }
  if (state_dir[0] == '\0')
    {
      g_free (state_dir);
      state_dir = default_state_dir (options);
    }
  g_free (options->socket);
  g_free (options->state_dir);
  g_free (options->store);
  options->socket = socket;
  options->state_dir = state_dir;
  options->store = store;
}

static guint
socket_mode (Daemon *self)
{
  const char *mode = commy_config_get (self->config, "daemon", "mode");

  if (strcmp (mode, "auto") != 0)
    return (guint) g_ascii_strtoull (mode, NULL, 8);
  return self->options.is_system ? 0666 : 0600;
}

/* --- starting --- */

static gboolean
start_store (Daemon *self, GError **error)
{
  char node[33];
  g_autofree char *runtime = g_path_get_dirname (self->options.socket);
  CommyHostSetup setup = { .context = g_main_context_default (),
                           .mesh = self->options.mesh,
                           .node = node,
                           .runtime_dir = runtime,
                           .state_dir = self->options.state_dir,
                           .credentials_dir = self->options.state_dir,
                           .host_id = commy_env_host_id (),
                           .env = commy_env_system () };

  commy_env_new_id (setup.env, node);
  self->catalog = commy_catalog_new (self->config, self->options.state_dir, error);
  if (self->catalog == NULL)
    return FALSE;
  self->store = commy_catalog_find (self->catalog, COMMY_PLUGIN_STORE, self->options.store);
  if (self->store == NULL)
    {
      commy_set_error (
          error, COMMY_ERROR_PLUGIN_MISSING,
          "no usable plugin store/%s (store of [daemon], or --store): see commy plugin "
          "list",
          self->options.store);
      return FALSE;
    }
  return commy_plugin_load (self->store, self->config, error)
         && commy_plugin_start (self->store, self->config, &setup, error);
}

static gboolean
make_state_dir (Daemon *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->options.state_dir, "commyd.lock", NULL);

  if (g_mkdir_with_parents (self->options.state_dir, 0700) < 0)
    {
      commy_set_error (error, COMMY_ERROR_STATE_DIR,
                       "cannot make the folder %s: %s (state-dir of [daemon], or --state-dir)",
                       self->options.state_dir, g_strerror (errno));
      return FALSE;
    }
  return commyd_lock_take (&self->state_lock, path, self->options.state_dir, error);
}

static gboolean
open_door (Daemon *self, GError **error)
{
  guint n = commyd_systemd_take_sockets ();
  g_autofree char *lock = g_strconcat (self->options.socket, ".lock", NULL);
  g_autofree char *directory = g_path_get_dirname (self->options.socket);

  if (n > 1)
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                     "the service manager handed over %u sockets, and one is served", n);
  if (n > 0)
    {
      self->listener = FIRST_SOCKET;
      return n == 1 && commyd_socket_check (self->listener, error);
    }
  if (g_mkdir_with_parents (directory, self->options.is_system ? 0755 : 0700) < 0
      || !commyd_lock_take (&self->socket_lock, lock, self->options.socket, error))
    {
      if (error != NULL && *error == NULL)
        commy_set_error (error, COMMY_ERROR_STATE_DIR, "cannot make the folder %s: %s", directory,
                         g_strerror (errno));
      return FALSE;
    }
  self->listener = commyd_socket_listen (self->options.socket, socket_mode (self), error);
  self->is_own_socket = self->listener >= 0;
  return self->is_own_socket;
}

static gboolean
start (Daemon *self, GError **error)
{
  CommyAuditLog *audit = NULL;

  if (!make_state_dir (self, error) || !open_door (self, error) || !start_store (self, error))
    return FALSE;
  if (!commyd_audit_start (self->config, self->options.mesh, self->options.state_dir, &audit,
                           error))
    {
      if (audit != NULL)
        commyd_audit_stop (audit);
      return FALSE;
    }
  self->server
      = commyd_server_new (&self->store->ops.store, self->store->instance, self->store->note.id,
                           self->options.mesh, audit, self->config, error);
  if (self->server == NULL)
    return FALSE;
  if (!self->options.is_silent)
    commyd_host_start (self->server);
  commyd_server_listen (self->server, self->listener);
  return TRUE;
}

static void
stop (Daemon *self)
{
  g_clear_pointer (&self->looker, commyd_looker_free);
  /* First of all nobody finds us any more, then those who did are let go. */
  if (self->is_own_socket)
    g_unlink (self->options.socket);
  g_clear_pointer (&self->server, commyd_server_free);
  if (self->store != NULL && self->store->instance != NULL)
    {
      commy_plugin_quiesce (self->store);
      commy_plugin_stop (self->store);
    }
  g_clear_pointer (&self->catalog, commy_catalog_free);
  if (self->listener >= 0)
    close (self->listener);
  commyd_lock_release (&self->socket_lock);
  commyd_lock_release (&self->state_lock);
}

/* --- running --- */

static gboolean
on_end (gpointer data)
{
  Daemon *self = data;

  commyd_systemd_notify ("STOPPING=1\nSTATUS=ending");
  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

static void
say_ready (Daemon *self)
{
  g_autofree char *lines
      = g_strdup_printf ("READY=1\nSTATUS=mesh %s, store %s, at %s", self->options.mesh,
                         self->options.store, self->options.socket);

  commyd_systemd_notify (lines);
}

/* All of it or nothing: what is wrong with the new settings is said, and the old ones stay. */
static gboolean
on_reload (gpointer data)
{
  Daemon *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = NULL;
  struct timespec now;
  g_autofree char *lines = NULL;

  clock_gettime (CLOCK_MONOTONIC, &now);
  lines = g_strdup_printf ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT,
                           (gint64) now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000);
  commyd_systemd_notify (lines);
  config = load_config (&error);
  if (config != NULL && commyd_server_configure (self->server, config, &error))
    {
      commy_config_unref (self->config);
      self->config = g_steal_pointer (&config);
      if (self->looker != NULL)
        commyd_looker_configure (self->looker, self->config);
      g_message ("limits and policy were read again");
    }
  else
    {
      /* One that was compiled has been told of. */
      if (config == NULL)
        commyd_audit_policy (self->server->audit, NULL, error, NULL);
      g_warning ("the settings stay as they were: %s", error->message);
    }
  say_ready (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_watchdog (gpointer unused)
{
  commyd_systemd_notify ("WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

static void
run (Daemon *self)
{
  guint64 watchdog_us = commyd_systemd_watchdog_us ();
  guint sources[]
      = { g_unix_signal_add (SIGTERM, on_end, self), g_unix_signal_add (SIGINT, on_end, self),
          g_unix_signal_add (SIGHUP, on_reload, self),
          watchdog_us > 0
              ? g_timeout_add ((guint) CLAMP (watchdog_us / 2000, 1, G_MAXINT), on_watchdog, NULL)
              : 0 };

  self->loop = g_main_loop_new (NULL, FALSE);
  g_message ("serving the mesh \"%s\" at %s, store %s in %s", self->options.mesh,
             self->options.socket, self->options.store, self->options.state_dir);
  say_ready (self);
  /* The system's has no network: who looks is a unit of its own there. */
  if (!self->options.is_system)
    self->looker = commyd_looker_new (self->options.mesh, self->options.socket, self->config);
  g_main_loop_run (self->loop);
  for (gsize i = 0; i < G_N_ELEMENTS (sources); i++)
    if (sources[i] != 0)
      g_source_remove (sources[i]);
  g_main_loop_unref (self->loop);
}

/* A connection takes a descriptor, and one more until its door has taken it; the soft limit is for
 * programs that use select(). */
static void
raise_descriptors (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
    return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit (RLIMIT_NOFILE, &limit) < 0)
    g_debug ("the limit of descriptors stays at %lu", (unsigned long) limit.rlim_cur);
}

static int
serve (Daemon *self)
{
  g_autoptr (GError) error = NULL;
  int status = EXIT_SUCCESS;

  raise_descriptors ();
  signal (SIGCHLD, SIG_DFL); /* who started us may ignore it, and its children wait for nobody */
  signal (SIGXFSZ, SIG_IGN); /* a file that may not grow is an error to tell, not to die of */
  if (start (self, &error))
    run (self);
  else
    {
      g_printerr ("commyd: %s\n", error->message);
      commyd_systemd_notify ("STATUS=did not start\nSTOPPING=1");
      status = EXIT_FAILURE;
    }
  stop (self);
  return status;
}

/* --- the command line --- */

static const char *const description = N_ (
    "Several users of a host meet through commyd: it keeps who offers what, each user's entries\n"
    "apart, and gives it to all. Calls never pass through it, and go on when it ends.\n"
    "Programs use it with store=commyd in [mesh] of their keyfile; [daemon] has its own\n"
    "settings. One daemon serves one mesh.\n\n"
    "Signals: SIGTERM ends it, SIGHUP reads limits and policy again.\n"
    "Exit codes: 0 ended as told, 1 it could not start, 2 wrong usage; with --status: 0 it\n"
    "runs, 3 it does not.\n\n"
    "Example: a daemon of one's own, how it is, and a program that uses it\n"
    "  commyd &\n"
    "  commyd --status\n"
    "  printf '[mesh]\\nstore=commyd\\n' > commyd.conf\n"
    "  COMMY_CONFIG=commyd.conf commy services ls");

static gboolean
parse (Options *options, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "mesh", 'm', 0, G_OPTION_ARG_STRING, &options->mesh, N_ ("the mesh (default)"), N_ ("NAME") },
    { "system", 0, 0, G_OPTION_ARG_NONE, &options->is_system,
      N_ ("for all users: below /run/commyd and /var/lib/commyd"), NULL },
    { "socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, N_ ("where it listens"),
      N_ ("PATH") },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir, N_ ("where its store is"),
      N_ ("DIR") },
    { "store", 0, 0, G_OPTION_ARG_STRING, &options->store, N_ ("the store below"), N_ ("ID") },
    { "no-host-entry", 0, 0, G_OPTION_ARG_NONE, &options->is_silent,
      N_ ("say nothing of this host in the store"), NULL },
    { "look", 0, 0, G_OPTION_ARG_NONE, &options->looks,
      N_ ("look at instances for all programs of this host (commyd starts this itself, but with "
          "--system)"),
      NULL },
    { "door", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options->is_door, NULL, NULL },
    { "status", 's', 0, G_OPTION_ARG_NONE, &options->show_status,
      N_ ("ask a running daemon how it is, and end"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options->as_json, N_ ("with --status: as JSON"), NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->show_version, N_ ("print the version and end"),
      NULL },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_translation_domain (context, GETTEXT_PACKAGE);
  g_option_context_set_summary (context, N_ ("Serves a mesh's store to all users of a host."));
  g_option_context_set_description (context, description);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc > 1)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, _ ("\"%s\" is not expected"),
                 (*argv)[1]);
  if (options->mesh == NULL)
    options->mesh = g_strdup ("default");
  if (*argc <= 1
      && (options->mesh[0] == '\0' || options->mesh[0] == '.' || strchr (options->mesh, '/')))
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, _ ("\"%s\" is no name of a mesh"),
                 options->mesh);
  return *error == NULL;
}

static int
run_as_told (Daemon *self)
{
  g_autoptr (GError) error = NULL;

  if (self->options.show_version)
    {
      g_print ("commyd %s\n", PACKAGE_VERSION);
      return EXIT_SUCCESS;
    }
  if (self->options.is_door)
    commyd_door_main (self->options.mesh);
  self->config = load_config (&error);
  if (self->config == NULL)
    {
      g_printerr ("commyd: %s\n", error->message);
      return EXIT_FAILURE;
    }
  settle_options (self);
  if (self->options.show_status)
    return commyd_status_show (self->options.socket, self->options.as_json);
  if (self->options.looks)
    return commyd_look (self->options.mesh, self->options.socket,
                        self->options.is_system ? g_getenv ("STATE_DIRECTORY") : NULL);
  return serve (self);
}

int
main (int argc, char **argv)
{
  Daemon daemon = { .listener = -1, .socket_lock = COMMYD_NO_LOCK, .state_lock = COMMYD_NO_LOCK };
  g_autoptr (GError) error = NULL;
  int status;

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, COMMY_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  g_log_writer_default_set_use_stderr (TRUE);
  if (!parse (&daemon.options, &argc, &argv, &error))
    {
      g_printerr (_ ("commyd: %s; see commyd --help\n"), error->message);
      status = EXIT_USAGE;
    }
  else
    status = run_as_told (&daemon);
  g_clear_pointer (&daemon.config, commy_config_unref);
  g_free (daemon.options.mesh);
  g_free (daemon.options.socket);
  g_free (daemon.options.state_dir);
  g_free (daemon.options.store);
  return status;
}
