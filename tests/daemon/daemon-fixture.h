/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real commyd of the build tree, in folders of its own, that can be killed, ended and started
 * again. The fixture is its service manager: it hears READY=1 before a start returns.
 */
#pragma once

#include <glib.h>

typedef struct
{
  char *dir;    /* removed in the end */
  char *socket; /* in it */
  char *state;
  GPid pid; /* 0: it does not run */
  int notify_fd;
  GString *heard; /* what it told the service manager */
  /* for the next start */
  const char *program;        /* NULL: commyd of the build tree */
  const char *const *options; /* (nullable) */
  const char *keyfile;        /* see test_daemon_write_keyfile() */
  int listener;               /* handed over as by a service manager; -1: none */
  guint64 file_limit;         /* bytes that a file may have; 0: as it is */
  guint64 watchdog_us;
  const char *activator; /* a program that listens in its place until somebody comes; NULL: none */
  int said_fd;           /* what it wrote to its standard error; or -1 */
} TestDaemon;

TestDaemon *test_daemon_new (void);
/* Ends it if it runs, and removes its folder. */
void test_daemon_free (TestDaemon *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestDaemon, test_daemon_free)

/* Its settings, over the harness's; a running one is told by SIGHUP. @text is kept. */
void test_daemon_write_keyfile (TestDaemon *self, const char *text);
/* Starts it and waits until it says that it is ready. */
void test_daemon_start (TestDaemon *self);
/* With an activator: waits until that listens. The daemon starts when somebody connects. */
void test_daemon_activate (TestDaemon *self);
/* Starts a second one that is to fail: its exit status, and what it said. (transfer full) */
char *test_daemon_fail (TestDaemon *self, int *out_status);
/* Waits until it said @words to the service manager. */
void test_daemon_await (TestDaemon *self, const char *words);
void test_daemon_kill (TestDaemon *self); /* SIGKILL */
void test_daemon_stop (TestDaemon *self); /* SIGTERM, and it ends well */
