/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Types of values in keyfiles: whether a text is a value of a type, and what it is in base
 * units. Used for the core's own keys and for the parameters of plugins.
 */
#pragma once

#include <commy/commy-descriptor.h>
#include <glib.h>

typedef enum
{
  COMMY_VALUE_BOOL,
  COMMY_VALUE_INT,
  COMMY_VALUE_SIZE,
  COMMY_VALUE_DURATION,
  COMMY_VALUE_DOUBLE,
  COMMY_VALUE_SHARE,
  COMMY_VALUE_RATE,
  COMMY_VALUE_CHOICE,
  COMMY_VALUE_STRING,
  COMMY_VALUE_ID,     /* of a plugin, kind known: lower case letters, digits and '-' */
  COMMY_VALUE_PLUGIN, /* "kind/id" */
  COMMY_VALUE_PATH,   /* absolute */
  COMMY_VALUE_GLOB,
  COMMY_VALUE_SHA256,
  COMMY_VALUE_ENDPOINT,  /* as commy-config-endpoint.h says */
  COMMY_VALUE_VERSION,   /* as commy-semver.h says */
  COMMY_VALUE_TAG,       /* a word, such as a zone or a tag; commy-selector.h */
  COMMY_VALUE_PAIR,      /* "key:value" of the metadata */
  COMMY_VALUE_SELECTOR,  /* as commy-selector.h says */
  COMMY_VALUE_PRINCIPAL, /* a pattern of principals */
  COMMY_VALUE_OPERATION, /* a pattern of what a node is told to do */
} CommyValueType;

typedef struct
{
  CommyValueType type;
  gboolean is_list;    /* every item is of the type */
  const char *choices; /* ';'-separated */
  /* Inclusive; both 0: no limits. Whole numbers (int, size, duration) use the first pair. */
  gint64 minimum;
  gint64 maximum;
  double real_minimum;
  double real_maximum;
} CommyValueSpec;

/* Whether @text is a value. @out_why (transfer full) says why not and what to write. An empty
 * text means "none" for lists, strings, ids, paths and hashes. Lists are checked item by item
 * by the caller: this looks at one item. */
gboolean commy_value_check (const CommyValueSpec *spec, const char *text, char **out_why);

/* The same of two types of words in rules. */
gboolean commy_value_check_principal (const char *text, char **out_why);
gboolean commy_value_check_operation (const char *text, char **out_why);

/* A checked value in base units: bytes, ns, "true". (transfer full) */
char *commy_value_dup_base (const CommyValueSpec *spec, const char *text);

/* The numbers in a checked value. */
gint64 commy_value_get_whole (const CommyValueSpec *spec, const char *text);
double commy_value_get_real (const CommyValueSpec *spec, const char *text);

/* Whether @text is the name of one of the five kinds, a '/', and an id. */
gboolean commy_value_is_plugin (const char *text);
/* The kind as it stands in names, such as "transport"; NULL for an unknown one. */
const char *commy_value_kind_name (guint kind);

/* "; did you mean "x"?" or "; choose a, b or c"; @names NULL-terminated. (transfer full) */
char *commy_value_suggest (const char *wrong, const char *const *names);
