/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The libraries that serializers are made with, driven directly: straight loops over some kinds of
 * values, written by hand as a program would that has nothing else. Constants in memory stand for
 * the program's own data; scene-direct.c makes GVariants of them and the reverse.
 */
#pragma once

#include <glib.h>

typedef struct
{
  const char *text; /* not ended by a NUL */
  gsize size;
} DirectText;

/* As the sample "record": (tsdbunyms). */
typedef struct
{
  guint64 time;
  DirectText name;
  double reading;
  gboolean good;
  guint32 count;
  gint16 offset;
  guint8 level;
  DirectText note; /* no text: nothing */
  gpointer keep;   /* what the texts are in, if that is not the message */
  GDestroyNotify free_keep;
} DirectRecord;

/* Where a library writes to; there is room enough. */
typedef struct
{
  guint8 *data;
  gsize size;
} DirectOut;

/* What reads returns NULL or FALSE if the bytes are not what they should be; arrays are to be freed
 * with g_free(). */
typedef struct
{
  const char *format;
  void (*write_record) (DirectOut *out, const DirectRecord *record);
  void (*write_bytes) (DirectOut *out, const guint8 *bytes, gsize n);
  void (*write_doubles) (DirectOut *out, const double *doubles, gsize n);
  void (*write_integers) (DirectOut *out, const gint32 *integers, gsize n);
  gboolean (*read_record) (const guint8 *data, gsize size, DirectRecord *out);
  gpointer (*read_bytes) (const guint8 *data, gsize size, gsize *out_n);
  gpointer (*read_doubles) (const guint8 *data, gsize size, gsize *out_n);
  gpointer (*read_integers) (const guint8 *data, gsize size, gsize *out_n);
} DirectLibrary;

extern const DirectLibrary direct_json;
extern const DirectLibrary direct_msgpack;
extern const DirectLibrary direct_cbor;
