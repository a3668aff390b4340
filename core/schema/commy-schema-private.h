/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An interface taken apart: a sorted list of facts, each a field of a member and its value. The
 * canonical form prints them, the comparison merges two lists, and so they see the same.
 */
#pragma once

#include <commy/commy-schema.h>

/* In the order in which reports have them. */
typedef enum
{
  COMMY_SCHEMA_INTERFACE,
  COMMY_SCHEMA_METHOD,
  COMMY_SCHEMA_SIGNAL,
  COMMY_SCHEMA_PROPERTY,
} CommySchemaKind;

typedef enum
{
  COMMY_SCHEMA_FIELD_NAME,    /* of the interface */
  COMMY_SCHEMA_FIELD_PRESENT, /* each member has it; its value is empty */
  COMMY_SCHEMA_FIELD_UNTYPED, /* nothing more is known */
  COMMY_SCHEMA_FIELD_ARGUMENT,
  COMMY_SCHEMA_FIELD_ARGUMENT_NAME,
  COMMY_SCHEMA_FIELD_RESULT,
  COMMY_SCHEMA_FIELD_RESULT_NAME,
  COMMY_SCHEMA_FIELD_STREAM,
  COMMY_SCHEMA_FIELD_STREAM_IN,
  COMMY_SCHEMA_FIELD_STREAM_OUT,
  COMMY_SCHEMA_FIELD_ONE_WAY,
  COMMY_SCHEMA_FIELD_IDEMPOTENT,
  COMMY_SCHEMA_FIELD_DEADLINE,
  COMMY_SCHEMA_FIELD_TOPIC,
  COMMY_SCHEMA_FIELD_TYPE,
  COMMY_SCHEMA_FIELD_ACCESS,
  COMMY_SCHEMA_FIELD_CHANGES,
} CommySchemaField;

/* Borrows from the interface, which outlives it. */
typedef struct
{
  CommySchemaKind kind;
  const char *member; /* "" for the interface itself */
  CommySchemaField field;
  guint index;       /* of an argument, from 1; else 0 */
  const char *value; /* never NULL */
} CommySchemaFact;

/* (transfer full): of CommySchemaFact, sorted, none twice */
GArray *commy_schema_list_facts (GDBusInterfaceInfo *interface);
/* By kind, member, field, index; the value does not count. */
gint commy_schema_fact_compare (const CommySchemaFact *a, const CommySchemaFact *b);

const char *commy_schema_kind_word (CommySchemaKind kind);
const char *commy_schema_field_word (CommySchemaField field);

/* "true" in any case of letters */
gboolean commy_schema_is_true (const char *value);
