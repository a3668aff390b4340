/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What reading costs in memory: six hostile bytes less than a kilobyte in every format, and a
 * message in proportion to its size, whatever it says.
 */
#include "config.h"

#include "formats.h"
#include "memory-count.h"

#include <string.h>

#define SIX_BYTES_MOST 1024
#define LARGE 8192
/* Asked for in all, what grew and was given back included; compact has eight maybes in one. */
#define MOST_FOR_A_BYTE 128

static const char *const types[] = { "ay", "as", "av",  "ax",     "aas", "a{sv}",      "a{uv}",
                                     "s",  "v",  "mms", "a(yst)", "amt", "(asa{sv}av)" };

/* What decoding asks for, of which the bytes themselves are no part. */
static gsize
cost_of (Format *format, gconstpointer data, gsize size, const char *type)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  memory_count_start ();
  value = format->ops->decode (format->instance, bytes, G_VARIANT_TYPE (type), &error);
  return memory_count_stop ();
}

static void
test_six_bytes (Format *format)
{
  static const guint8 tails[][5]
      = { { 0xff, 0xff, 0xff, 0xff, 0x01 }, { 0x7f, 0xff, 0xff, 0xff, 0x01 },
          { 0x0f, 0xff, 0xff, 0xff, 0x01 }, { 0x00, 0x00, 0xff, 0xff, 0xff },
          { 0xff, 0xff, 0xff, 0xff, 0xff }, { 0x80, 0x80, 0x80, 0x80, 0x08 } };
  gsize most = 0;

  cost_of (format, "123456", 6, "v");                          /* what is allocated once */
  g_assert_cmpuint (cost_of (format, "123456", 6, "v"), >, 0); /* it is counted */
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    for (guint head = 0; head < 256; head++)
      for (gsize j = 0; j < G_N_ELEMENTS (tails); j++)
        {
          guint8 message[6] = { (guint8) head };
          gsize cost;

          memcpy (message + 1, tails[j], sizeof tails[j]);
          cost = cost_of (format, message, sizeof message, types[i]);
          if (cost >= SIX_BYTES_MOST)
            g_error ("%s: %02x %02x... as %s asks for %" G_GSIZE_FORMAT " bytes", format->id, head,
                     tails[j][0], types[i], cost);
          most = MAX (most, cost);
        }
  g_test_message ("%s: at most %" G_GSIZE_FORMAT " bytes", format->id, most);
}

/* One head that claims much, and then the same byte again and again: what a reader that goes on
 * for as long as it understands makes most of. */
static void
test_proportion (Format *format)
{
  g_autofree guint8 *message = g_malloc (LARGE);
  gsize most = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    for (guint head = 0; head < 256; head++)
      for (guint fill = 0; fill < 256; fill += fill % 16 == 0 ? 1 : 15)
        {
          const guint8 count[] = { (guint8) head, 0, 0, 0xff, 0xfb };
          gsize cost;

          memset (message, (int) fill, LARGE);
          memcpy (message, count, sizeof count);
          cost = cost_of (format, message, LARGE, types[i]);
          if (cost > MOST_FOR_A_BYTE * (gsize) LARGE)
            g_error ("%s: %02x and %02x... as %s ask for %" G_GSIZE_FORMAT " bytes", format->id,
                     head, fill, types[i], cost);
          most = MAX (most, cost);
        }
  g_test_message ("%s: at most %.1f bytes for each", format->id, (double) most / LARGE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; formats_names[i] != NULL; i++)
    {
      formats_add_case (formats_names[i], "cost/six-bytes-below-a-kilobyte", test_six_bytes);
      formats_add_case (formats_names[i], "cost/in-proportion-to-the-message", test_proportion);
    }
  return g_test_run ();
}
