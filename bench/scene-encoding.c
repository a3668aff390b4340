/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every serializer of this build alone, on the published set of values: the time to write a value
 * from memory and to make one of the bytes, and how many there are. The plugins are started with a
 * host that knows their parameters and nothing else, because a serializer asks for no more.
 */
#include "config.h"

#include "node.h"
#include "samples.h"

#include <commy/commy-plugin.h>
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_NS 20000 /* what is timed at once takes about as long */

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  const CommySerializerOps *ops;
  CommyHost host;
  gpointer instance;
} Format;

typedef struct _Codec Codec;
typedef gboolean (*CodecOnce) (Codec *codec, GError **error);

/* One value by one format. */
struct _Codec
{
  const Format *format;
  GVariant *value; /* this and the room for bytes are the same for all formats */
  guint8 *out;
  gsize room;
  GBytes *message;
  gsize batch;               /* so many at once, so that reading the clock does not count */
  BenchHistogram *histogram; /* of one way */
  double time;               /* of both ways, medians */
};

/* --- plugins --- */

/* Defaults as the core gives them: bytes without a unit. */
static const char *
get_param (CommyHost *host, const char *name)
{
  const CommyPluginDescriptor *descriptor = host->core;

  for (guint i = 0; i < descriptor->n_params; i++)
    if (strcmp (descriptor->params[i].name, name) == 0)
      return descriptor->params[i].type == COMMY_PARAM_SIZE ? "1073741824"
                                                            : descriptor->params[i].default_value;
  return NULL;
}

static void
format_free (Format *self)
{
  if (self->instance != NULL)
    self->descriptor->fini (self->instance);
  free (self->instance);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Format, format_free)

/* NULL without @error if this build has none. */
static Format *
format_load (const char *id, GError **error)
{
  g_autofree char *path
      = g_strdup_printf ("%s/modules/.libs/libcommy-serializer-%s.so", BENCH_BUILD_DIR, id);
  g_autoptr (Format) self = g_new0 (Format, 1);
  gpointer module = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  CommyPluginQueryFunc query = NULL;
  gpointer memory;

  if (module == NULL)
    return NULL;
  *(void **) &query = dlsym (module, COMMY_QUERY_SYMBOL);
  dlclose (module);
  if (query == NULL)
    {
      bench_fail (error, "%s is no plugin", path);
      return NULL;
    }
  self->descriptor = query ();
  self->ops = self->descriptor->ops;
  self->host = (CommyHost){ .struct_size = sizeof (CommyHost),
                            .core = (gpointer) self->descriptor,
                            .param = get_param };
  if (posix_memalign (&memory, 64, self->descriptor->instance_size) != 0)
    {
      bench_fail (error, "no memory for %s", id);
      return NULL;
    }
  memset (memory, 0, self->descriptor->instance_size);
  if (!self->descriptor->init (memory, &self->host, error))
    {
      free (memory);
      return NULL;
    }
  self->instance = memory;
  return g_steal_pointer (&self);
}

static GPtrArray *
load_formats (GError **error)
{
  static const char *const ids[] = { "json", "msgpack", "cbor", "gvariant", "compact", "raw" };
  g_autoptr (GPtrArray) formats = g_ptr_array_new_with_free_func ((GDestroyNotify) format_free);

  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      g_autoptr (GError) cause = NULL;
      Format *format = format_load (ids[i], &cause);

      if (cause != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return NULL;
        }
      if (format != NULL)
        g_ptr_array_add (formats, format);
    }
  return g_steal_pointer (&formats);
}

/* --- what is timed --- */

static gboolean
encode (Codec *self, GError **error)
{
  gsize bound = self->format->ops->bound (self->format->instance, self->value);

  if (bound == 0 || bound > self->room)
    return bench_fail (error, "the bound of a value changes");
  return self->format->ops->encode (self->format->instance, self->value, self->out, bound, error)
         >= 0;
}

static gboolean
decode (Codec *self, GError **error)
{
  g_autoptr (GVariant) value = self->format->ops->decode (self->format->instance, self->message,
                                                          g_variant_get_type (self->value), error);

  return value != NULL;
}

static gboolean
time_batch (Codec *codec, CodecOnce once, gint64 *out_ns, GError **error)
{
  gint64 before = bench_now ();

  for (gsize i = 0; i < codec->batch; i++)
    if (!once (codec, error))
      return FALSE;
  *out_ns = bench_now () - before;
  return TRUE;
}

/* Also warms up. */
static gboolean
find_batch (Codec *codec, CodecOnce once, GError **error)
{
  gint64 took = 0;

  for (codec->batch = 1; codec->batch < 1024; codec->batch *= 2)
    {
      if (!time_batch (codec, once, &took, error))
        return FALSE;
      if (took >= BATCH_NS)
        break;
    }
  return TRUE;
}

/* One way of all formats in turns, because a processor's speed changes. */
static gboolean
measure_way (BenchRun *run,
             const BenchScene *scene,
             const char *way,
             const char *sample,
             GPtrArray *codecs,
             CodecOnce once,
             GError **error)
{
  gint64 end = bench_now () + bench_get_budget (run) * codecs->len / 2;

  for (guint i = 0; i < codecs->len; i++)
    {
      Codec *codec = codecs->pdata[i];

      if (!find_batch (codec, once, error))
        return FALSE;
      codec->histogram = bench_histogram_new ();
    }
  for (guint turn = 0; turn < 3 || bench_now () < end; turn++)
    for (guint i = 0; i < codecs->len; i++)
      {
        Codec *codec = codecs->pdata[i];
        gint64 took;

        if (!time_batch (codec, once, &took, error))
          return FALSE;
        bench_histogram_add (codec->histogram, took / (gint64) codec->batch);
      }
  for (guint i = 0; i < codecs->len; i++)
    {
      Codec *codec = codecs->pdata[i];
      char id[BENCH_ID_MAX];

      bench_id (id, scene, "%s/%s/%s", way, codec->format->descriptor->note->id, sample);
      bench_tell_times (run, id, g_bytes_get_size (codec->message), codec->histogram, -1, -1);
      codec->time += bench_histogram_get (codec->histogram, 0.5);
      g_clear_pointer (&codec->histogram, bench_histogram_free);
    }
  return TRUE;
}

/* --- one value --- */

static void
codec_free (Codec *self)
{
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_pointer (&self->message, g_bytes_unref);
  g_clear_pointer (&self->histogram, bench_histogram_free);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Codec, codec_free)

static Codec *
codec_new (const Format *format, GVariant *value, guint8 *out, gsize room, GError **error)
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
      const Format *format = formats->pdata[i];
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
      const Format *format = formats->pdata[i];
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
  g_autoptr (GPtrArray) formats = load_formats (error);
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
