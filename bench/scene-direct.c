/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What serializers cost beside the libraries they are made with. Three things in turns, each way:
 * ours; the library driven directly, which is given the same GVariant and gives an equal one
 * (direct); and the library alone, between constants in memory and bytes (library). The values are
 * a small record and a mebibyte of each: bytes, doubles, integers.
 */
#include "config.h"

#include "direct.h"
#include "formats.h"
#include "node.h"
#include "samples.h"

#include <malloc.h>
#include <string.h>

#define MEBIBYTE ((gsize) 1 << 20)

typedef enum
{
  RECORD,
  BYTES,
  DOUBLES,
  INTEGERS,
} Kind;

/* One value by one format and its library. */
typedef struct
{
  const DirectLibrary *library;
  const BenchFormat *format;
  Kind kind;
  GVariant *value;
  DirectRecord record;    /* the value as the program's own data */
  gconstpointer elements; /* the same of an array */
  gsize n;
  guint8 *out;
  gsize room;
  GBytes *message; /* by our format; read by both */
} Duel;

/* --- the library --- */

/* What is in a value, without a copy. */
static void
take_apart (GVariant *value, Kind kind, DirectRecord *record, gconstpointer *elements, gsize *n)
{
  static const gsize sizes[] = { 0, 1, sizeof (double), sizeof (gint32) };

  if (kind != RECORD)
    {
      *elements = g_variant_get_fixed_array (value, n, sizes[kind]);
      return;
    }
  g_variant_get (value, "(t&sdbunym&s)", &record->time, &record->name.text, &record->reading,
                 &record->good, &record->count, &record->offset, &record->level,
                 &record->note.text);
  record->name.size = strlen (record->name.text);
  record->note.size = record->note.text != NULL ? strlen (record->note.text) : 0;
}

static gsize
write_with (const Duel *self, const DirectRecord *record, gconstpointer elements, gsize n)
{
  DirectOut out = { .data = self->out };

  switch (self->kind)
    {
    case RECORD:
      self->library->write_record (&out, record);
      break;
    case BYTES:
      self->library->write_bytes (&out, elements, n);
      break;
    case DOUBLES:
      self->library->write_doubles (&out, elements, n);
      break;
    case INTEGERS:
    default:
      self->library->write_integers (&out, elements, n);
    }
  return out.size;
}

static void
clear_record (DirectRecord *record)
{
  if (record->keep != NULL)
    record->free_keep (record->keep);
  record->keep = NULL;
}

static gpointer
read_elements (const Duel *self, gsize *out_n)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (self->message, &size);

  if (self->kind == BYTES)
    return self->library->read_bytes (data, size, out_n);
  if (self->kind == DOUBLES)
    return self->library->read_doubles (data, size, out_n);
  return self->library->read_integers (data, size, out_n);
}

static gboolean
read_record (const Duel *self, DirectRecord *record)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (self->message, &size);

  return self->library->read_record (data, size, record);
}

static GVariant *
build_record (const DirectRecord *record)
{
  char *name = g_strndup (record->name.text, record->name.size);
  GVariant *note = NULL;

  if (record->note.text != NULL)
    note = g_variant_new_take_string (g_strndup (record->note.text, record->note.size));
  return g_variant_ref_sink (
      g_variant_new ("(t@sdbuny@ms)", record->time, g_variant_new_take_string (name),
                     record->reading, record->good, record->count, record->offset, record->level,
                     g_variant_new_maybe (G_VARIANT_TYPE_STRING, note)));
}

/* NULL: the library could not. */
static GVariant *
read_directly (const Duel *self)
{
  g_autoptr (GBytes) bytes = NULL;
  DirectRecord record = { 0 };
  GVariant *value = NULL;
  gpointer elements;
  gsize n = 0;

  if (self->kind == RECORD)
    {
      if (read_record (self, &record))
        value = build_record (&record);
      clear_record (&record);
      return value;
    }
  elements = read_elements (self, &n);
  if (elements == NULL || n != self->n)
    {
      g_free (elements);
      return NULL;
    }
  bytes = g_bytes_new_take (elements, g_variant_get_size (self->value));
  return g_variant_ref_sink (
      g_variant_new_from_bytes (g_variant_get_type (self->value), bytes, TRUE));
}

/* --- what is timed --- */

static gboolean
encode_ours (gpointer data, GError **error)
{
  const Duel *self = data;
  const BenchFormat *format = self->format;
  gsize bound = format->ops->bound (format->instance, self->value);

  return format->ops->encode (format->instance, self->value, self->out, bound, error) >= 0;
}

static gboolean
encode_directly (gpointer data, GError **error)
{
  const Duel *self = data;
  DirectRecord record = { 0 };
  gconstpointer elements = NULL;
  gsize n = 0;

  take_apart (self->value, self->kind, &record, &elements, &n);
  return write_with (self, &record, elements, n) > 0;
}

static gboolean
encode_constants (gpointer data, GError **error)
{
  const Duel *self = data;

  return write_with (self, &self->record, self->elements, self->n) > 0;
}

static gboolean
decode_ours (gpointer data, GError **error)
{
  const Duel *self = data;
  g_autoptr (GVariant) value = self->format->ops->decode (self->format->instance, self->message,
                                                          g_variant_get_type (self->value), error);

  return value != NULL;
}

static gboolean
decode_directly (gpointer data, GError **error)
{
  g_autoptr (GVariant) value = read_directly (data);

  return value != NULL || bench_fail (error, "the library does not read this");
}

static gboolean
decode_constants (gpointer data, GError **error)
{
  const Duel *self = data;
  DirectRecord record = { 0 };
  gboolean done = FALSE;
  gsize n = 0;

  if (self->kind == RECORD)
    {
      done = read_record (self, &record);
      clear_record (&record);
    }
  else
    {
      g_autofree gpointer elements = read_elements (self, &n);

      done = n == self->n;
    }
  return done || bench_fail (error, "the library does not read this");
}

/* --- a value by a format --- */

static void
duel_free (Duel *self)
{
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_pointer (&self->message, g_bytes_unref);
  g_free (self->out);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Duel, duel_free)

/* Both are right: each reads what the other wrote, and makes the same value of it. */
static gboolean
check (Duel *self, GError **error)
{
  const GVariantType *type = g_variant_get_type (self->value);
  gsize size = write_with (self, &self->record, self->elements, self->n);
  g_autoptr (GBytes) theirs = g_bytes_new (self->out, size);
  g_autoptr (GVariant) ours
      = self->format->ops->decode (self->format->instance, theirs, type, error);
  g_autoptr (GVariant) direct = read_directly (self);

  if (ours == NULL)
    return FALSE;
  if (direct == NULL || !g_variant_equal (ours, self->value)
      || !g_variant_equal (direct, self->value))
    return bench_fail (error, "%s carries something else than its library", self->library->format);
  return TRUE;
}

static Duel *
duel_new (const DirectLibrary *library,
          const BenchFormat *format,
          Kind kind,
          GVariant *value,
          GError **error)
{
  g_autoptr (Duel) self = g_new0 (Duel, 1);
  gssize size;

  self->library = library;
  self->format = format;
  self->kind = kind;
  self->value = g_variant_ref (value);
  self->room = 8 * format->ops->bound (format->instance, value); /* a library's forms are longer */
  self->out = g_malloc (self->room);
  take_apart (value, kind, &self->record, &self->elements, &self->n);
  size = format->ops->encode (format->instance, value, self->out, self->room, error);
  if (size < 0)
    return NULL;
  self->message = g_bytes_new (self->out, (gsize) size);
  return check (self, error) ? g_steal_pointer (&self) : NULL;
}

/* --- measuring --- */

/* The worst ratios of ours to the library driven directly. */
typedef struct
{
  double record, large;
} Worst;

static gboolean
measure_way (BenchRun *run,
             const BenchScene *scene,
             const char *way,
             const char *sample,
             Duel *duel,
             const BenchOnce ways[3],
             Worst *worst,
             GError **error)
{
  static const char *const who[] = { "ours", "direct", "library" };
  g_autoptr (GPtrArray) turns = g_ptr_array_new_with_free_func ((GDestroyNotify) bench_turn_free);
  double times[3];
  char id[BENCH_ID_MAX];
  double ratio;
  double *most = duel->kind == RECORD ? &worst->record : &worst->large;

  for (guint i = 0; i < G_N_ELEMENTS (who); i++)
    g_ptr_array_add (turns, bench_turn_new (ways[i], duel));
  if (!bench_time_in_turns (run, turns, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (who); i++)
    {
      const BenchTurn *turn = turns->pdata[i];

      bench_id (id, scene, "%s/%s/%s/%s", way, duel->library->format, who[i], sample);
      bench_tell_times (run, id, g_bytes_get_size (duel->message), turn->histogram, -1, -1);
      times[i] = bench_histogram_get (turn->histogram, 0.5);
    }
  ratio = times[0] / times[1];
  bench_id (id, scene, "%s/%s/times-direct/%s", way, duel->library->format, sample);
  bench_tell (run, id, BENCH_RATIO, 0, 1, ratio);
  *most = MAX (*most, ratio);
  return TRUE;
}

static gboolean
measure (BenchRun *run,
         const BenchScene *scene,
         const char *sample,
         Duel *duel,
         Worst *worst,
         GError **error)
{
  static const BenchOnce encodes[] = { encode_ours, encode_directly, encode_constants };
  static const BenchOnce decodes[] = { decode_ours, decode_directly, decode_constants };

  return measure_way (run, scene, "encode", sample, duel, encodes, worst, error)
         && measure_way (run, scene, "decode", sample, duel, decodes, worst, error);
}

static GVariant *
find_sample (const char *name)
{
  for (const BenchSampleValue *sample = bench_samples (); sample->name != NULL; sample++)
    if (g_str_equal (sample->name, name))
      return sample->make ();
  g_assert_not_reached ();
}

/* Of every length, of both signs; most are small. */
static GVariant *
make_integers (void)
{
  const gsize n = MEBIBYTE / sizeof (gint32);
  g_autofree gint32 *integers = g_new (gint32, n);
  guint32 state = 6;

  for (gsize i = 0; i < n; i++)
    {
      state = state * 1664525u + 1013904223u;
      integers[i] = (gint32) state >> (state >> 3) % 29;
    }
  return g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, integers, n, sizeof (gint32)));
}

static gboolean
measure_format (BenchRun *run,
                const BenchScene *scene,
                const DirectLibrary *library,
                const BenchFormat *format,
                Worst *worst,
                GError **error)
{
  static const char *const samples[] = { "record", "bytes", "doubles", "integers" };

  for (Kind kind = RECORD; kind <= INTEGERS; kind++)
    {
      g_autoptr (GVariant) value
          = kind == INTEGERS ? make_integers () : find_sample (samples[kind]);
      g_autoptr (Duel) duel = duel_new (library, format, kind, value, error);

      if (duel == NULL || !measure (run, scene, samples[kind], duel, worst, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
scene_direct (BenchRun *run, const BenchScene *scene, GError **error)
{
  static const DirectLibrary *const libraries[] = {
#ifdef WITH_MSGPACK
    &direct_msgpack,
#endif
#ifdef WITH_CBOR
    &direct_cbor,
#endif
    &direct_json,
  };
  Worst worst = { 0, 0 };
  char id[BENCH_ID_MAX];

  bench_pin (bench_cpu_of (run, scene->pins, 0));
  /* Memory stays in the process: new pages would be paid for by whose turn it is. */
  mallopt (M_MMAP_MAX, 0);
  mallopt (M_TRIM_THRESHOLD, G_MAXINT);
  for (gsize i = 0; i < G_N_ELEMENTS (libraries); i++)
    {
      GError *cause = NULL;
      g_autoptr (BenchFormat) format = bench_format_load (libraries[i]->format, &cause);

      if (cause != NULL)
        {
          g_propagate_error (error, cause);
          return FALSE;
        }
      if (format != NULL && !measure_format (run, scene, libraries[i], format, &worst, error))
        return FALSE;
    }
  bench_id (id, scene, "times-direct/worst-record");
  bench_tell (run, id, BENCH_RATIO, 0, 1, worst.record);
  bench_id (id, scene, "times-direct/worst-mebibyte");
  bench_tell (run, id, BENCH_RATIO, 0, 1, worst.large);
  return TRUE;
}
