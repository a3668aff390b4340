/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every serializer of this build alone, on the published set of values: the time to write a value
 * from memory and to make one of the bytes, and how many there are.
 */
#include "config.h"

#include "formats.h"
#include "node.h"
#include "samples.h"

#include <malloc.h>
#include <string.h>

/* One value by one format. */
typedef struct
{
  const BenchFormat *format;
  GVariant *value; /* this and the room for bytes are the same for all formats */
  guint8 *out;
  gsize room;
  GBytes *message;
  double time; /* of both ways, medians */
} Codec;

/* --- what is timed --- */

static gboolean
encode (gpointer data, GError **error)
{
  Codec *self = data;
  gsize bound = self->format->ops->bound (self->format->instance, self->value);

  if (bound == 0 || bound > self->room)
    return bench_fail (error, "the bound of a value changes");
  return self->format->ops->encode (self->format->instance, self->value, self->out, bound, error)
         >= 0;
}

static gboolean
decode (gpointer data, GError **error)
{
  Codec *self = data;
  g_autoptr (GVariant) value = self->format->ops->decode (self->format->instance, self->message,
                                                          g_variant_get_type (self->value), error);

  return value != NULL;
}

/* One way of all formats in turns, because a processor's speed changes. */
static gboolean
measure_way (BenchRun *run,
             const BenchScene *scene,
             const char *way,
             const char *sample,
             GPtrArray *codecs,
             BenchOnce once,
             GError **error)
{
  g_autoptr (GPtrArray) turns = g_ptr_array_new_with_free_func ((GDestroyNotify) bench_turn_free);

  for (guint i = 0; i < codecs->len; i++)
    g_ptr_array_add (turns, bench_turn_new (once, codecs->pdata[i]));
  if (!bench_time_in_turns (run, turns, error))
    return FALSE;
  for (guint i = 0; i < codecs->len; i++)
    {
      Codec *codec = codecs->pdata[i];
      const BenchTurn *turn = turns->pdata[i];
      char id[BENCH_ID_MAX];

      bench_id (id, scene, "%s/%s/%s", way, codec->format->descriptor->note->id, sample);
      bench_tell_times (run, id, g_bytes_get_size (codec->message), turn->histogram, -1, -1);
      codec->time += bench_histogram_get (turn->histogram, 0.5);
    }
  return TRUE;
}

/* --- one value --- */

static void
codec_free (Codec *self)
{
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_pointer (&self->message, g_bytes_unref);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Codec, codec_free)

static Codec *
codec_new (const BenchFormat *format, GVariant *value, guint8 *out, gsize room, GError **error)
{
  g_autoptr (Codec) self = g_new0 (Codec, 1);
  gssize size = format->ops->encode (format->instance, value, out, room, error);

  if (size < 0)
    return NULL;
  self->format = format;
  self->value = g_variant_ref (value);
  self->out = out;
  self->room = room;
  self->message = g_bytes_new (out, (gsize) size);
  return g_steal_pointer (&self);
}

/* Room for a value by any of the formats. */
static gsize
get_room (const GPtrArray *formats, GVariant *value)
{
  gsize most = 1;

  for (guint i = 0; i < formats->len; i++)
    {
      const BenchFormat *format = formats->pdata[i];
      gsize bound = format->ops->bound (format->instance, value);

      most = MAX (most, bound);
    }
  return most;
}

static gboolean
measure (BenchRun *run,
         const BenchScene *scene,
         const BenchSampleValue *sample,
         const GPtrArray *formats,
         GPtrArray *codecs,
         GError **error)
{
  g_autoptr (GVariant) value = sample->make ();
  gsize room = get_room (formats, value);
  g_autofree guint8 *out = g_malloc (room);

  for (guint i = 0; i < formats->len; i++)
    {
      const BenchFormat *format = formats->pdata[i];
      Codec *codec = codec_new (format, value, out, room, error);
      char id[BENCH_ID_MAX];

      if (codec == NULL)
        return FALSE;
      g_ptr_array_add (codecs, codec);
      bench_id (id, scene, "size/%s/%s", format->descriptor->note->id, sample->name);
      bench_tell (run, id, BENCH_BYTES, g_bytes_get_size (codec->message), 1,
                  (double) g_bytes_get_size (codec->message));
    }
  return measure_way (run, scene, "encode", sample->name, codecs, encode, error)
         && measure_way (run, scene, "decode", sample->name, codecs, decode, error);
}

static gboolean
is (const Codec *codec, const char *id)
{
  return strcmp (codec->format->descriptor->note->id, id) == 0;
}

/* Ratios of one value, or of the worst. */
typedef struct
{
  double time, size;
} Ratios;

static void
tell_one_ratio (
    BenchRun *run, const BenchScene *scene, const char *to, const char *sample, double ratio)
{
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "compact-to-%s/%s", to, sample);
  if (ratio > 0)
    bench_tell (run, id, BENCH_RATIO, 0, 1, ratio);
}

static void
tell_ratios (BenchRun *run, const BenchScene *scene, const char *sample, const Ratios *ratios)
{
  tell_one_ratio (run, scene, "fastest", sample, ratios->time);
  tell_one_ratio (run, scene, "msgpack", sample, ratios->size);
}

/* What compact takes beside the fastest of the others that are not raw, and its size beside that
 * of msgpack; 0 where one of them is missing. */
static Ratios
compare (const GPtrArray *codecs)
{
  double ours = 0, best = 0;
  gsize our_size = 0, their_size = 0;

  for (guint i = 0; i < codecs->len; i++)
    {
      const Codec *codec = codecs->pdata[i];
      gsize size = g_bytes_get_size (codec->message);

      if (is (codec, "compact"))
        {
          ours = codec->time;
          our_size = size;
        }
      else if (!is (codec, "raw"))
        {
          best = best > 0 ? MIN (best, codec->time) : codec->time;
          their_size = is (codec, "msgpack") ? size : their_size;
        }
    }
  return (Ratios){ best > 0 ? ours / best : 0,
                   their_size > 0 ? (double) our_size / (double) their_size : 0 };
}

gboolean
scene_encoding (BenchRun *run, const BenchScene *scene, GError **error)
{
  g_autoptr (GPtrArray) formats = bench_formats_load (error);
  Ratios worst = { 0, 0 };

  if (formats == NULL)
    return FALSE;
  bench_pin (bench_cpu_of (run, scene->pins, 0));
  /* Memory stays in the process: new pages would be paid for by whose turn it is. */
  mallopt (M_MMAP_MAX, 0);
  mallopt (M_TRIM_THRESHOLD, G_MAXINT);
  for (const BenchSampleValue *sample = bench_samples (); sample->name != NULL; sample++)
    {
      g_autoptr (GPtrArray) codecs = g_ptr_array_new_with_free_func ((GDestroyNotify) codec_free);
      Ratios ratios;

      if (!measure (run, scene, sample, formats, codecs, error))
        return FALSE;
      ratios = compare (codecs);
      tell_ratios (run, scene, sample->name, &ratios);
      worst.time = MAX (worst.time, ratios.time);
      worst.size = MAX (worst.size, ratios.size);
    }
  tell_ratios (run, scene, "worst", &worst);
  return TRUE;
}
