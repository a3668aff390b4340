/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all verbs share: exit codes, the options of every verb, how errors are told, and the mesh
 * that a verb looks at.
 */
#pragma once

#include <commy/commy.h>
#include <glib/gi18n.h>

typedef enum
{
  COMMY_EXIT_DONE = 0,
  COMMY_EXIT_FAILED = 1,
  COMMY_EXIT_USAGE = 2,     /* wrong usage, or a keyfile is wrong */
  COMMY_EXIT_NOT_FOUND = 3, /* nobody offers it, there is no such thing */
  COMMY_EXIT_DENIED = 4,    /* denied, refused, or no path is allowed */
  COMMY_EXIT_DEADLINE = 5,
  COMMY_EXIT_WARNED = 6,   /* doctor: works, but something is worth a look */
  COMMY_EXIT_UNWELL = 8,   /* health: an instance is not well */
  COMMY_EXIT_CRITICAL = 9, /* health: a service has none that is */
} CommyExit;

/* For the end of each verb's help. */
#define COMMY_CLI_EXIT_CODES                                                                       \
  N_ ("Exit codes: 0 done, 1 failed, 2 wrong usage or keyfile, 3 not found or nobody offers it,\n" \
      "4 denied, refused or no path allowed, 5 deadline passed.")

typedef struct
{
  char *mesh;   /* NULL: the default */
  char *format; /* as given */
  gboolean json;
  gboolean lines; /* JSON: one line a document */
} CommyCli;

/* What a verb says of itself. */
typedef struct
{
  const char *name;
  const char *usage;       /* behind "commy VERB [OPTION...] " */
  const char *summary;     /* the subcommands, or what it does */
  const char *description; /* behind the options: an example first */
  gboolean has_format;     /* takes -o table|json */
  const char *more_format; /* and this one; cli->format then says so */
} CommyCliVerb;

/* Takes the options out of @argv (argv[0] is the verb). --help prints and ends the process.
 * (transfer full): the verb and what is no option; NULL: told what is wrong, exit with
 * COMMY_EXIT_USAGE. */
char **
commy_cli_parse (CommyCli *cli, const CommyCliVerb *verb, const GOptionEntry *entries, char **argv);

/* Writes @value as JSON, the way the options say. Sinks it. */
void commy_cli_json (const CommyCli *cli, GVariant *value);

/* Prints "commy: MESSAGE"; returns the exit code that belongs to the error. */
CommyExit commy_cli_fail (const GError *error);
/* Prints "commy: VERB: why (see commy VERB --help)"; returns COMMY_EXIT_USAGE. */
CommyExit commy_cli_misuse (const CommyCliVerb *verb, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* A line to stderr: what a verb is doing, or did not find. */
void commy_cli_note (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* An error of the command itself, with its number in the text like those of the library. */
void commy_cli_set_error (GError **error, CommyError code, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* (transfer full): what is in a file, or "-": in the standard input */
GBytes *commy_cli_read_file (const char *path, GError **error);
/* (transfer full): a mesh that has joined; NULL with @error set */
CommyMesh *commy_cli_join (CommyCli *cli, GError **error);
/* The same for what must work although a rule in the keyfile is wrong: joins without policy then,
 * and says so. */
CommyMesh *commy_cli_join_anyway (CommyCli *cli, GError **error);
