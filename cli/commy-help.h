/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Help that is not a verb's own: the overview, topics, and a page for each error.
 */
#pragma once

#include <glib.h>

/* What "commy --help" and "commy help" write. */
void commy_help_print_overview (void);

typedef struct
{
  const char *name;
  const char *summary; /* to be translated */
  const char *text;    /* to be translated */
} CommyHelpTopic;

const CommyHelpTopic *commy_help_topics (guint *out_n);

/* What an error's page has besides the explanation of the library. */
typedef struct
{
  int code;
  const char *causes; /* to be translated */
  const char *example;
} CommyHelpError;

const CommyHelpError *commy_help_errors (guint *out_n);
