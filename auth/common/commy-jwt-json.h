/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON as tokens and key sets have it (RFC 8259), read strictly: valid UTF-8, no name twice in an
 * object, nothing behind the value, bounded in depth and number. What is read is a tree.
 */
#pragma once

#include <glib.h>

#define JWT_JSON_DEPTH_MAX 8u
#define JWT_JSON_INTEGER_MAX ((gint64) 1 << 53)

typedef enum
{
  JWT_JSON_NULL,
  JWT_JSON_BOOLEAN,
  JWT_JSON_INTEGER, /* from 0 to JWT_JSON_INTEGER_MAX */
  JWT_JSON_NUMBER,  /* any other: nobody here has a use for its value */
  JWT_JSON_STRING,
  JWT_JSON_ARRAY,
  JWT_JSON_OBJECT,
} JwtJsonType;

typedef struct _JwtJson JwtJson;

struct _JwtJson
{
  JwtJsonType type;
  gint64 integer;   /* of booleans, too */
  char *text;       /* of strings; no NUL inside */
  GPtrArray *items; /* JwtJson; of arrays and objects */
  GPtrArray *names; /* texts; of objects, as many */
};

/* NULL: it is none, or has more than @max_values values. */
JwtJson *jwt_json_parse (const char *text, gsize size, guint max_values);
void jwt_json_free (JwtJson *value);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (JwtJson, jwt_json_free)

/* Of an object; NULL where it has no such member, or one of another type. */
const JwtJson *jwt_json_get (const JwtJson *object, const char *name);
const char *jwt_json_get_text (const JwtJson *object, const char *name);
gboolean jwt_json_has (const JwtJson *object, const char *name);
