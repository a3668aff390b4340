/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set: what messages are made of, from a record of some fields to a mebibyte of numbers.
 * Numbers that stand for measurements are decimal, as sensors and people write them.
 */
#include "config.h"

#include "samples.h"

#define MEBIBYTE ((gsize) 1 << 20)

/* The same sequence in every run. */
static guint32
next (guint32 *state)
{
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* Around 20, with two decimals. */
static double
next_reading (guint32 *state)
{
  return (double) (1500 + next (state) % 1000) / 100;
}

/* Lets go of the parts a builder keeps. */
static GVariant *
settle (GVariant *floating)
{
  g_autoptr (GVariant) value = g_variant_ref_sink (floating);
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (value);

  return g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, TRUE));
}

static GVariant *
make_record (void)
{
  return settle (g_variant_new_parsed (
      "(uint64 1700000000123456789, 'sensor-17', 21.37, true, uint32 4711, int16 -40, "
      "byte 3, @ms 'calibrated')"));
}

static GVariant *
make_telemetry (void)
{
  guint32 state = 1;
  double readings[24];
  guint32 buckets[32];
  gint64 offsets[16];

  for (gsize i = 0; i < G_N_ELEMENTS (readings); i++)
    readings[i] = next_reading (&state);
  for (gsize i = 0; i < G_N_ELEMENTS (buckets); i++)
    buckets[i] = i % 8 == 5 ? next (&state) % 100000 : next (&state) % 90;
  for (gsize i = 0; i < G_N_ELEMENTS (offsets); i++)
    offsets[i] = (gint64) (next (&state) % 60000) - 30000;
  return settle (g_variant_new (
      "(tsuix@ad@au@ax)", G_GUINT64_CONSTANT (1700000000123456789), "rack-3/node-17", 86400, -273,
      G_GINT64_CONSTANT (-7200000),
      g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, readings, G_N_ELEMENTS (readings), 8),
      g_variant_new_fixed_array (G_VARIANT_TYPE_UINT32, buckets, G_N_ELEMENTS (buckets), 4),
      g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, offsets, G_N_ELEMENTS (offsets), 8)));
}

static GVariant *
make_dictionary (void)
{
  return settle (g_variant_new_parsed (
      "{'name': <'org.example.Calculator'>, 'version': <uint32 3>, 'active': <true>, "
      "'weight': <0.75>, 'started': <int64 1700000000>, 'tags': <['production', 'eu-west']>, "
      "'limits': <{'calls': <uint32 1024>, 'bytes': <uint64 67108864>, 'timeout': <25.5>, "
      "'retry': <{'times': <3>, 'wait': <0.25>, 'jitter': <true>}>}>, "
      "'address': <('host-17', uint16 7000)>, 'owner': <''>}"));
}

static GVariant *
make_strings (void)
{
  GVariantBuilder builder;
  guint32 state = 2;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (int i = 0; i < 200; i++)
    g_variant_builder_add (&builder, "s",
                           i % 10 == 0 ? "/srv/commy/a/longer/path/of/which/there/are/some.log"
                                       : (const char *[]){ "alpha", "gateway-eu-west-1", "b",
                                                           "service \xc3\xbc" }[next (&state) % 4]);
  return settle (g_variant_builder_end (&builder));
}

static GVariant *
make_records (void)
{
  GVariantBuilder builder;
  guint32 state = 3;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(tsdubmi)"));
  for (guint i = 0; i < 500; i++)
    {
      char name[16];

      g_snprintf (name, sizeof name, "sensor-%u", next (&state) % 100);
      g_variant_builder_add (
          &builder, "(tsdub@mi)", G_GUINT64_CONSTANT (1700000000000) + 100 * i, name,
          next_reading (&state), next (&state) % 5000, next (&state) % 2,
          g_variant_new_maybe (G_VARIANT_TYPE_INT32, next (&state) % 3 == 0
                                                         ? g_variant_new_int32 (-1 * (gint32) i)
                                                         : NULL));
    }
  return settle (g_variant_builder_end (&builder));
}

static GVariant *
make_bytes (void)
{
  g_autofree guint8 *bytes = g_malloc (MEBIBYTE);
  guint32 state = 4;

  for (gsize i = 0; i < MEBIBYTE; i++)
    bytes[i] = (guint8) next (&state);
  return settle (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, MEBIBYTE, 1));
}

static GVariant *
make_doubles (void)
{
  g_autofree double *doubles = g_new (double, MEBIBYTE / sizeof (double));
  guint32 state = 5;

  for (gsize i = 0; i < MEBIBYTE / sizeof (double); i++)
    doubles[i] = next_reading (&state);
  return settle (g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, doubles,
                                            MEBIBYTE / sizeof (double), sizeof (double)));
}

const BenchSampleValue *
bench_samples (void)
{
  static const BenchSampleValue samples[] = {
    { "record", "a record of eight fields", make_record },
    { "telemetry", "numbers, alone and in arrays", make_telemetry },
    { "dictionary", "dictionaries of variants in each other", make_dictionary },
    { "strings", "200 strings", make_strings },
    { "records", "500 records", make_records },
    { "bytes", "1 MiB of bytes", make_bytes },
    { "doubles", "1 MiB of doubles", make_doubles },
    { NULL, NULL, NULL },
  };

  return samples;
}
