/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frame codec: every field at its limits, every way to be malformed, and hostile bytes.
 * Frames end where a page that may not be touched begins, so reading one byte too many kills
 * the test in any build.
 */
#include "config.h"

#include "wire/commy-frame.h"

#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NO_LIMIT SIZE_MAX

typedef struct
{
  guint8 *pages;
  gsize size; /* usable */
} Guard;

static void
guard_init (Guard *guard)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE);

  guard->size = page;
  guard->pages = mmap (NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (guard->pages != MAP_FAILED);
  g_assert_cmpint (mprotect (guard->pages + page, page, PROT_NONE), ==, 0);
}

static void
guard_clear (Guard *guard)
{
  munmap (guard->pages, 2 * guard->size);
}

static CommyFrameStatus
parse_at_edge (Guard *guard, const guint8 *data, gsize size, CommyFrame *out)
{
  guint8 *at = guard->pages + guard->size - size;

  g_assert_cmpuint (size, <=, guard->size);
  if (size > 0)
    memcpy (at, data, size);
  return commy_frame_parse (at, size, NO_LIMIT, out);
}

static void
put16 (guint8 *at, guint16 value)
{
  at[0] = (guint8) value;
  at[1] = (guint8) (value >> 8);
}

static void
put32 (guint8 *at, guint32 value)
{
  put16 (at, (guint16) value);
  put16 (at + 2, (guint16) (value >> 16));
}

/* A frame by hand, so that the test does not believe the writer. Returns its size. */
static gsize
make_frame (guint8 *out, const guint8 *ext, gsize ext_length, gsize payload)
{
  gsize size = COMMY_FRAME_HEADER_SIZE + ext_length + payload;

  memset (out, 0, size);
  put32 (out, (guint32) size);
  out[4] = 1;
  out[5] = COMMY_FRAME_CALL;
  put16 (out + 10, (guint16) ext_length);
  if (ext_length > 0)
    memcpy (out + COMMY_FRAME_HEADER_SIZE, ext, ext_length);
  return size;
}

/* Appends an extension by hand. */
static gsize
add_ext (guint8 *ext, gsize at, guint8 type, const void *value, gsize size)
{
  gsize space = (4 + size + 7) / 8 * 8;

  memset (ext + at, 0, space);
  ext[at] = type;
  put16 (ext + at + 2, (guint16) size);
  if (size > 0)
    memcpy (ext + at + 4, value, size);
  return at + space;
}

static CommyFrameStatus
parse_ext (const guint8 *ext, gsize ext_length, CommyFrame *out)
{
  guint8 frame[4096];
  gsize size = make_frame (frame, ext, ext_length, 3);

  return commy_frame_parse (frame, size, NO_LIMIT, out);
}

static CommyFrameStatus
parse_one_ext (guint8 type, gsize size, CommyFrame *out)
{
  guint8 value[COMMY_FRAME_EXT_MAX] = { 0 };
  guint8 ext[2 * COMMY_FRAME_EXT_MAX];

  return parse_ext (ext, add_ext (ext, 0, type, value, size), out);
}

static void
test_layout (void)
{
  static const guint8 expected[] = {
    0x3b, 0,  0,   0,  1, 5,  3,  0,  0x02, 0x01, 24, 0,  4,  3, 2, 1, 8, 7,   6,
    5,    12, 11,  10, 9, 16, 15, 14, 13,   20,   19, 18, 17, 1, 0, 2, 0, 'a', 'y',
    0,    0,  129, 0,  8, 0,  8,  7,  6,    5,    4,  3,  2,  1, 0, 0, 0, 0,
  };
  const CommyFrameSpec spec = {
    .type = COMMY_FRAME_CALL,
    .flags = 3,
    .serializer = 0x0102,
    .stream = 0x01020304,
    .method = 0x05060708,
    .flow = 0x090a0b0c,
    .sequence = 0x0d0e0f10,
    .ack = 0x11121314,
    .deadline_ns = G_GUINT64_CONSTANT (0x0102030405060708),
    .signature = "ay",
    .signature_size = 2,
  };
  guint8 out[64];

  g_assert_cmpuint (commy_frame_prefix_size (&spec), ==, sizeof expected);
  memset (out, 0xaa, sizeof out);
  g_assert_cmpuint (commy_frame_write (out, &spec, 3), ==, sizeof expected);
  g_assert_cmpmem (out, sizeof expected, expected, sizeof expected);
  g_assert_cmpint (out[sizeof expected], ==, 0xaa);
}

static void
assert_same (const CommyFrameSpec *spec, const CommyFrame *frame, const guint8 *bytes)
{
  g_assert_cmpint (frame->version, ==, COMMY_FRAME_VERSION);
  g_assert_cmpint (frame->type, ==, spec->type);
  g_assert_cmpint (frame->flags, ==, spec->flags);
  g_assert_cmpint (frame->serializer, ==, spec->serializer);
  g_assert_cmpuint (frame->stream, ==, spec->stream);
  g_assert_cmpuint (frame->method, ==, spec->method);
  g_assert_cmpuint (frame->flow, ==, spec->flow);
  g_assert_cmpuint (frame->sequence, ==, spec->sequence);
  g_assert_cmpuint (frame->ack, ==, spec->ack);
  g_assert_cmpint (frame->has_deadline, ==, spec->deadline_ns != 0);
  g_assert_cmpuint (frame->deadline_ns, ==, spec->deadline_ns);
  g_assert_cmpint (frame->has_dwell, ==, spec->dwell_ns != 0);
  g_assert_cmpuint (frame->dwell_ns, ==, spec->dwell_ns);
  g_assert_cmpint (frame->priority, ==, spec->priority != 0 ? spec->priority - 1 : 4);
  g_assert_cmpint (frame->has_train, ==, spec->train != 0);
  g_assert_cmpuint (frame->train, ==, spec->train);
  g_assert_cmpuint (frame->train_size, ==, spec->train != 0 ? spec->train_size : 0);
  g_assert_cmpuint (frame->signature_size, ==, spec->signature_size);
  g_assert_cmpmem (bytes + frame->signature_offset, frame->signature_size, spec->signature,
                   spec->signature_size);
}

static guint32
random32 (void)
{
  /* Edges more often than chance would bring them. */
  switch (g_test_rand_int_range (0, 4))
    {
    case 0:
      return 0;
    case 1:
      return G_MAXUINT32;
    default:
      return (guint32) g_test_rand_int ();
    }
}

static void
random_spec (CommyFrameSpec *spec, char *signature)
{
  *spec = (CommyFrameSpec){
    .type = (guint8) g_test_rand_int_range (1, COMMY_FRAME_TYPE_LAST + 1),
    .flags = (guint16) g_test_rand_int_range (0, COMMY_FRAME_FLAG_RUN), /* runs: below */
    .serializer = (guint16) random32 (),
    .stream = random32 (),
    .method = random32 (),
    .flow = random32 (),
    .sequence = random32 (),
    .ack = random32 (),
    .deadline_ns = (guint64) random32 () << 32 | random32 (),
    .dwell_ns = (guint64) random32 () << 32 | random32 (),
    .signature_size = (gsize) g_test_rand_int_range (0, 300),
    .priority = (guint8) g_test_rand_int_range (0, 9),
    .train = random32 (),
    .train_size = 64 + (guint64) random32 (),
  };
  spec->signature = spec->signature_size > 0 ? signature : NULL;
  for (gsize i = 0; i < spec->signature_size; i++)
    signature[i] = (char) g_test_rand_int_range (1, 127);
}

static void
test_round_trip (void)
{
  Guard guard;

  guard_init (&guard);
  for (guint round = 0; round < 5000; round++)
    {
      char signature[300];
      guint8 bytes[2048];
      gsize payload = (gsize) g_test_rand_int_range (0, 64);
      CommyFrameSpec spec;
      CommyFrame frame;
      gsize prefix;

      random_spec (&spec, signature);
      prefix = commy_frame_prefix_size (&spec);
      g_assert_cmpuint (prefix % 8, ==, 0);
      g_assert_cmpuint (commy_frame_write (bytes, &spec, payload), ==, prefix);
      memset (bytes + prefix, 0x5a, payload);
      g_assert_cmpint (parse_at_edge (&guard, bytes, prefix + payload, &frame), ==, COMMY_FRAME_OK);
      assert_same (&spec, &frame, bytes);
      g_assert_cmpuint (frame.payload_offset, ==, prefix);
      g_assert_cmpuint (frame.payload_size, ==, payload);
    }
  guard_clear (&guard);
}

/* Only whole messages of one size, only of a stream, and with nothing else. */
static void
test_runs (void)
{
  static const struct
  {
    guint8 type;
    guint32 each;
    gsize payload;
    guint64 deadline_ns;
    CommyFrameStatus expected;
  } cases[] = {
    { COMMY_FRAME_DATA, 8, 64, 0, COMMY_FRAME_OK },
    { COMMY_FRAME_DATA, 64, 64, 0, COMMY_FRAME_OK },
    { COMMY_FRAME_DATA, 1, 64, 0, COMMY_FRAME_OK },
    { COMMY_FRAME_DATA, 7, 64, 0, COMMY_FRAME_OK },
    { COMMY_FRAME_DATA, 7, 63, 0, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_DATA, 17, 64, 0, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_DATA, 57, 64, 0, COMMY_FRAME_OK },
    { COMMY_FRAME_DATA, 65, 64, 0, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_DATA, G_MAXUINT32, 64, 0, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_DATA, 0, 64, 0, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_DATA, 8, 0, 0, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_DATA, 8, 64, 1, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_CALL, 8, 64, 0, COMMY_FRAME_BAD_FLAGS },
    { COMMY_FRAME_CREDIT, 8, 64, 0, COMMY_FRAME_BAD_FLAGS },
  };
  guint8 bytes[256] = { 0 };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      CommyFrameSpec spec = { .type = cases[i].type,
                              .flags = COMMY_FRAME_FLAG_RUN,
                              .method = cases[i].each,
                              .deadline_ns = cases[i].deadline_ns };
      gsize prefix = commy_frame_write (bytes, &spec, cases[i].payload);
      CommyFrame frame;

      g_test_message ("case %" G_GSIZE_FORMAT, i);
      g_assert_cmpint (commy_frame_parse (bytes, prefix + cases[i].payload, G_MAXUINT32, &frame),
                       ==, cases[i].expected);
    }
  g_assert_cmpuint (commy_frame_messages (COMMY_FRAME_FLAG_RUN, 8, 64), ==, 8);
  g_assert_cmpuint (commy_frame_messages (COMMY_FRAME_FLAG_RUN, 9, 64), ==, 4);
  g_assert_cmpuint (commy_frame_messages (0, 8, 64), ==, 1);
  g_assert_cmpuint (commy_frame_messages (COMMY_FRAME_FLAG_RUN, 0, 64), ==, 1);
}

/* The one extension that most calls have is read in a way of its own. */
static void
test_lone_extension (void)
{
  for (guint byte = 0; byte < 16; byte++)
    {
      guint8 bytes[COMMY_FRAME_HEADER_SIZE + 16];
      CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .deadline_ns = 0x0807060504030201 };
      CommyFrame frame;
      gboolean is_value = byte >= 4 && byte < 12;

      g_assert_cmpuint (commy_frame_write (bytes, &spec, 0), ==, sizeof bytes);
      g_assert_cmpint (commy_frame_parse (bytes, sizeof bytes, 0, &frame), ==, COMMY_FRAME_OK);
      g_assert_true (frame.has_deadline);
      g_assert_cmpuint (frame.deadline_ns, ==, spec.deadline_ns);
      bytes[COMMY_FRAME_HEADER_SIZE + byte] ^= 0x40;
      g_assert_cmpint (commy_frame_parse (bytes, sizeof bytes, 0, &frame), ==,
                       is_value ? COMMY_FRAME_OK : COMMY_FRAME_BAD_EXTENSION);
    }
}

static gsize
rich_frame (guint8 *out)
{
  guint8 ext[512];
  guint8 value[64] = { 7 };
  guint8 train[12] = { 22, 0, 0, 0, 0, 0, 0, 0, 9 };
  gsize at = 0;

  at = add_ext (ext, at, COMMY_EXT_SIGNATURE, "(sa{sv})", 8);
  at = add_ext (ext, at, COMMY_EXT_DWELL, value, 8);
  at = add_ext (ext, at, COMMY_EXT_TRACE, value, 25);
  at = add_ext (ext, at, COMMY_EXT_CORRELATION, value, 64);
  at = add_ext (ext, at, COMMY_EXT_PRIORITY, value, 8);
  at = add_ext (ext, at, COMMY_EXT_DEADLINE, value, 8);
  at = add_ext (ext, at, COMMY_EXT_IDEMPOTENCY, value, 1);
  at = add_ext (ext, at, COMMY_EXT_SCHEMA, value, 8);
  at = add_ext (ext, at, COMMY_EXT_HANDLES, value, 8);
  at = add_ext (ext, at, COMMY_EXT_TRAIN, train, 12);
  at = add_ext (ext, at, 100, value, 5);
  return make_frame (out, ext, at, 21);
}

static void
test_every_extension (void)
{
  guint8 bytes[1024];
  gsize size = rich_frame (bytes);
  CommyFrame frame;

  g_assert_cmpint (commy_frame_parse (bytes, size, 21, &frame), ==, COMMY_FRAME_TOO_BIG);
  g_assert_cmpint (commy_frame_parse (bytes, size, 22, &frame), ==, COMMY_FRAME_OK);
  g_assert_true (frame.has_train);
  g_assert_cmpuint (frame.train, ==, 9);
  g_assert_cmpuint (frame.train_size, ==, 22);
  g_assert_cmpmem (bytes + frame.signature_offset, frame.signature_size, "(sa{sv})", 8);
  g_assert_true (frame.has_deadline && frame.has_dwell && frame.has_schema);
  g_assert_cmpuint (frame.deadline_ns, ==, 7);
  g_assert_cmpuint (frame.dwell_ns, ==, 7);
  g_assert_cmpuint (frame.schema, ==, 7);
  g_assert_cmpint (frame.priority, ==, 7);
  g_assert_cmpuint (frame.n_handles, ==, 7);
  g_assert_cmpint (frame.trace_offset, ==, 32 + 16 + 16 + 4);
  g_assert_cmpuint (frame.payload_offset + frame.payload_size, ==, size);
  g_assert_cmpuint (frame.payload_size, ==, 21);
}

/* The whole of a train is more than its first piece, and it has a name. */
static void
test_trains (void)
{
  static const struct
  {
    guint8 value[13];
    gsize size;
    CommyFrameStatus status;
  } cases[] = {
    { { 4, 0, 0, 0, 0, 0, 0, 0, 1 }, 12, COMMY_FRAME_OK },
    { { 3, 0, 0, 0, 0, 0, 0, 0, 1 }, 12, COMMY_FRAME_BAD_EXTENSION },
    { { 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 12, COMMY_FRAME_BAD_EXTENSION },
    { { 4, 0, 0, 0, 0, 0, 0, 0, 0 }, 12, COMMY_FRAME_BAD_EXTENSION },
    { { 4, 0, 0, 0, 0, 0, 0, 0, 1 }, 11, COMMY_FRAME_BAD_EXTENSION },
    { { 4, 0, 0, 0, 0, 0, 0, 0, 1 }, 13, COMMY_FRAME_BAD_EXTENSION },
    { { 0, 0, 0, 0, 0, 0, 0, 0x80, 1 }, 12, COMMY_FRAME_OK },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint8 ext[32];
      CommyFrame frame;

      g_assert_cmpint (
          parse_ext (ext, add_ext (ext, 0, COMMY_EXT_TRAIN, cases[i].value, cases[i].size), &frame),
          ==, cases[i].status);
    }
}

/* As many descriptors as a message carries, and at least one. */
static void
test_handles (void)
{
  static const struct
  {
    guint8 value[8];
    CommyFrameStatus status;
  } cases[] = {
    { { 1 }, COMMY_FRAME_OK },
    { { COMMY_FRAME_HANDLES_MAX }, COMMY_FRAME_OK },
    { { 0 }, COMMY_FRAME_BAD_EXTENSION },
    { { COMMY_FRAME_HANDLES_MAX + 1 }, COMMY_FRAME_BAD_EXTENSION },
    { { 1, 0, 0, 0, 0, 0, 0, 0x80 }, COMMY_FRAME_BAD_EXTENSION },
  };
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .n_handles = 253 };
  guint8 bytes[64];
  CommyFrame frame;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint8 ext[32];

      g_assert_cmpint (
          parse_ext (ext, add_ext (ext, 0, COMMY_EXT_HANDLES, cases[i].value, 8), &frame), ==,
          cases[i].status);
    }
  g_assert_cmpuint (commy_frame_write (bytes, &spec, 0), ==, 48);
  g_assert_cmpint (commy_frame_parse (bytes, 48, 0, &frame), ==, COMMY_FRAME_OK);
  g_assert_cmpuint (frame.n_handles, ==, 253);
}

static void
test_truncation (void)
{
  guint8 bytes[1024];
  gsize size = rich_frame (bytes);
  Guard guard;
  CommyFrame frame;

  guard_init (&guard);
  for (gsize cut = 0; cut < size; cut++)
    {
      guint8 copy[1024];

      g_assert_cmpint (parse_at_edge (&guard, bytes, cut, &frame), ==,
                       cut < 32 ? COMMY_FRAME_TRUNCATED : COMMY_FRAME_BAD_LENGTH);
      /* With a length that fits, what is cut of the extensions must still be noticed. */
      if (cut < 32)
        continue;
      memcpy (copy, bytes, cut);
      put32 (copy, (guint32) cut);
      g_assert_cmpint (parse_at_edge (&guard, copy, cut, &frame), ==,
                       cut < size - 21 ? COMMY_FRAME_BAD_EXTENSION : COMMY_FRAME_OK);
    }
  guard_clear (&guard);
}

static void
test_corruption (void)
{
  guint8 bytes[1024];
  gsize size = rich_frame (bytes);
  Guard guard;

  guard_init (&guard);
  for (gsize i = 0; i < size; i++)
    for (guint value = 0; value < 256; value++)
      {
        guint8 copy[1024];
        CommyFrame frame;

        memcpy (copy, bytes, size);
        copy[i] = (guint8) value;
        if (parse_at_edge (&guard, copy, size, &frame) != COMMY_FRAME_OK)
          continue;
        g_assert_cmpuint ((guint64) frame.payload_offset + frame.payload_size, ==, size);
        g_assert_cmpuint (frame.payload_offset, ==, 32u + frame.ext_length);
        g_assert_cmpuint ((guint) frame.signature_offset + frame.signature_size, <=,
                          frame.payload_offset);
        if (frame.trace_offset != 0)
          g_assert_cmpuint (frame.trace_offset + 25u, <=, frame.payload_offset);
        g_assert_cmpint (frame.priority, <=, 7);
      }
  guard_clear (&guard);
}

static void
test_nothing_written_on_failure (void)
{
  guint8 bytes[64];
  gsize size = make_frame (bytes, NULL, 0, 8);
  CommyFrame frame, before;

  memset (&frame, 0x77, sizeof frame);
  before = frame;
  bytes[5] = 0;
  g_assert_cmpint (commy_frame_parse (bytes, size, NO_LIMIT, &frame), ==, COMMY_FRAME_BAD_TYPE);
  bytes[5] = COMMY_FRAME_CALL;
  g_assert_cmpint (commy_frame_parse (bytes, size, 7, &frame), ==, COMMY_FRAME_TOO_BIG);
  g_assert_cmpmem (&frame, sizeof frame, &before, sizeof before);
}

static void
test_length (void)
{
  guint8 bytes[64];
  gsize size = make_frame (bytes, NULL, 0, 8);
  const guint32 wrong[]
      = { 0, 1, 31, 32, 39, 41, 0x7fffffff, 0x80000000, 0xfffffffe, G_MAXUINT32, 40u << 24 };
  CommyFrame frame;

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      put32 (bytes, wrong[i]);
      g_assert_cmpint (commy_frame_parse (bytes, size, NO_LIMIT, &frame), ==,
                       COMMY_FRAME_BAD_LENGTH);
    }
#if GLIB_SIZEOF_SIZE_T > 4
  /* A size whose lower half equals the length is still another size. */
  put32 (bytes, (guint32) size);
  g_assert_cmpint (
      commy_frame_parse (bytes, size + (G_GUINT64_CONSTANT (1) << 32), NO_LIMIT, &frame), ==,
      COMMY_FRAME_BAD_LENGTH);
#endif
}

static void
test_version_type_flags (void)
{
  guint8 bytes[64];
  gsize size = make_frame (bytes, NULL, 0, 0);
  CommyFrame frame;

  for (guint i = 0; i < 256; i++)
    {
      bytes[4] = (guint8) i;
      g_assert_cmpint (commy_frame_parse (bytes, size, 0, &frame), ==,
                       i == 1 ? COMMY_FRAME_OK : COMMY_FRAME_BAD_VERSION);
    }
  bytes[4] = 1;
  for (guint i = 0; i < 256; i++)
    {
      bytes[5] = (guint8) i;
      g_assert_cmpint (commy_frame_parse (bytes, size, 0, &frame), ==,
                       i >= 1 && i <= 18 ? COMMY_FRAME_OK : COMMY_FRAME_BAD_TYPE);
    }
  bytes[5] = 1;
  for (guint i = 0; i < 65536; i++)
    {
      put16 (bytes + 6, (guint16) i);
      g_assert_cmpint (commy_frame_parse (bytes, size, 0, &frame), ==,
                       i <= 15 ? COMMY_FRAME_OK : COMMY_FRAME_BAD_FLAGS);
    }
}

static void
test_payload_limit (void)
{
  guint8 bytes[256];
  CommyFrame frame;
  guint8 ext[32];
  gsize ext_length = add_ext (ext, 0, COMMY_EXT_DWELL, "12345678", 8);
  gsize size = make_frame (bytes, ext, ext_length, 100);

  g_assert_cmpint (commy_frame_parse (bytes, size, 99, &frame), ==, COMMY_FRAME_TOO_BIG);
  g_assert_cmpint (commy_frame_parse (bytes, size, 100, &frame), ==, COMMY_FRAME_OK);
  g_assert_cmpint (commy_frame_parse (bytes, size, 101, &frame), ==, COMMY_FRAME_OK);
  size = make_frame (bytes, NULL, 0, 0);
  g_assert_cmpint (commy_frame_parse (bytes, size, 0, &frame), ==, COMMY_FRAME_OK);
  g_assert_cmpuint (frame.payload_size, ==, 0);
  g_assert_cmpuint (frame.payload_offset, ==, 32);
}

static void
test_ext_length (void)
{
  static guint8 bytes[65536 + 64];
  const gsize size = 32 + 2048;
  CommyFrame frame;

  /* Only skippable extensions: each takes 8 bytes, types 1.. would repeat, so one long one. */
  for (guint length = 0; length < 65536; length++)
    {
      gboolean fine = length % 8 == 0 && length <= COMMY_FRAME_EXT_MAX;

      make_frame (bytes, NULL, 0, 2048);
      put16 (bytes + 10, (guint16) length);
      bytes[32] = 100;
      put16 (bytes + 34, (guint16) (length >= 4 ? length - 4 : 0));
      g_assert_cmpint (commy_frame_parse (bytes, size, NO_LIMIT, &frame), ==,
                       fine ? COMMY_FRAME_OK : COMMY_FRAME_BAD_EXTENSION);
    }
  /* Right to the frame's end, and one step beyond. */
  make_frame (bytes, NULL, 0, 16);
  bytes[32] = 100;
  put16 (bytes + 10, 16);
  put16 (bytes + 34, 12);
  g_assert_cmpint (commy_frame_parse (bytes, 48, NO_LIMIT, &frame), ==, COMMY_FRAME_OK);
  g_assert_cmpuint (frame.payload_size, ==, 0);
  put16 (bytes + 10, 24);
  put16 (bytes + 34, 20);
  g_assert_cmpint (commy_frame_parse (bytes, 48, NO_LIMIT, &frame), ==, COMMY_FRAME_BAD_EXTENSION);
}

static void
test_ext_value_sizes (void)
{
  for (guint type = 0; type < 256; type++)
    for (gsize size = 0; size <= 80; size++)
      {
        CommyFrame frame;
        gboolean fine;

        switch (type)
          {
          case COMMY_EXT_SIGNATURE:
            fine = size > 0;
            break;
          case COMMY_EXT_DWELL:
          case COMMY_EXT_PRIORITY:
          case COMMY_EXT_DEADLINE:
          case COMMY_EXT_SCHEMA:
            fine = size == 8;
            break;
          case COMMY_EXT_HANDLES:
            fine = FALSE; /* zeros: "none" is no number of them */
            break;
          case COMMY_EXT_TRACE:
            fine = size == 25;
            break;
          case COMMY_EXT_CORRELATION:
          case COMMY_EXT_IDEMPOTENCY:
            fine = size >= 1 && size <= 64;
            break;
          default:
            fine = type > 0 && type < 128;
          }
        g_assert_cmpint (parse_one_ext ((guint8) type, size, &frame), ==,
                         fine ? COMMY_FRAME_OK : COMMY_FRAME_BAD_EXTENSION);
      }
}

static void
test_ext_size_field (void)
{
  guint8 ext[64];
  CommyFrame frame;

  /* 16 bytes of extensions: a value of 5 to 12 bytes fills them, nothing else does. */
  for (guint size = 0; size < 65536; size++)
    {
      memset (ext, 0, sizeof ext);
      ext[0] = 100;
      put16 (ext + 2, (guint16) size);
      g_assert_cmpint (parse_ext (ext, 16, &frame), ==,
                       size >= 5 && size <= 12 ? COMMY_FRAME_OK : COMMY_FRAME_BAD_EXTENSION);
    }
}

static void
test_ext_doubled (void)
{
  for (guint type = 1; type < 256; type++)
    {
      guint8 value[64] = { type == COMMY_EXT_HANDLES };
      guint8 ext[256];
      CommyFrame frame;
      gsize size = type == COMMY_EXT_TRACE ? 25 : 8;
      gboolean known = type < 128 || (type >= 129 && type <= 131);
      gsize once = add_ext (ext, 0, (guint8) type, value, size);
      gsize twice = add_ext (ext, once, (guint8) type, value, size);

      g_assert_cmpint (parse_ext (ext, once, &frame), ==,
                       known ? COMMY_FRAME_OK : COMMY_FRAME_BAD_EXTENSION);
      g_assert_cmpint (parse_ext (ext, twice, &frame), ==, COMMY_FRAME_BAD_EXTENSION);
      /* Types that share the lower bits are not doubles. */
      if (type >= 20 && type < 64)
        {
          add_ext (ext, once, (guint8) (type + 64), value, size);
          g_assert_cmpint (parse_ext (ext, twice, &frame), ==, COMMY_FRAME_OK);
        }
    }
}

static void
test_ext_padding (void)
{
  guint8 ext[64];
  gsize length = add_ext (ext, 0, COMMY_EXT_DWELL, "12345678", 8);
  CommyFrame frame;

  g_assert_cmpint (parse_ext (ext, length, &frame), ==, COMMY_FRAME_OK);
  for (gsize i = 12; i < length; i++)
    {
      ext[i] = 1;
      g_assert_cmpint (parse_ext (ext, length, &frame), ==, COMMY_FRAME_BAD_EXTENSION);
      ext[i] = 0;
    }
  ext[1] = 1;
  g_assert_cmpint (parse_ext (ext, length, &frame), ==, COMMY_FRAME_BAD_EXTENSION);
}

static void
test_ext_priority (void)
{
  for (guint byte = 0; byte < 8; byte++)
    for (guint value = 0; value < 256; value++)
      {
        guint8 number[8] = { 0 };
        guint8 ext[32];
        CommyFrame frame;
        gboolean fine = value == 0 || (byte == 0 && value <= 7);

        number[byte] = (guint8) value;
        g_assert_cmpint (parse_ext (ext, add_ext (ext, 0, COMMY_EXT_PRIORITY, number, 8), &frame),
                         ==, fine ? COMMY_FRAME_OK : COMMY_FRAME_BAD_EXTENSION);
      }
}

static void
test_unaligned (void)
{
  guint8 bytes[1024], room[1040];
  gsize size = rich_frame (bytes);
  CommyFrame expected, frame;

  g_assert_cmpint (commy_frame_parse (bytes, size, NO_LIMIT, &expected), ==, COMMY_FRAME_OK);
  for (gsize shift = 0; shift < 8; shift++)
    {
      memcpy (room + shift, bytes, size);
      g_assert_cmpint (commy_frame_parse (room + shift, size, NO_LIMIT, &frame), ==,
                       COMMY_FRAME_OK);
      g_assert_cmpuint (frame.deadline_ns, ==, expected.deadline_ns);
      g_assert_cmpuint (frame.payload_offset, ==, expected.payload_offset);
    }
}

static void
test_writer_limits (void)
{
  static char signature[COMMY_FRAME_EXT_MAX + 1];
  guint8 out[2048];
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL, .signature = signature };
  CommyFrame frame;

  memset (signature, 'y', sizeof signature);
  spec.signature_size = COMMY_FRAME_EXT_MAX - 4;
  g_assert_cmpuint (commy_frame_prefix_size (&spec), ==, 32 + COMMY_FRAME_EXT_MAX);
  g_assert_cmpuint (commy_frame_write (out, &spec, 0), ==, 32 + COMMY_FRAME_EXT_MAX);
  g_assert_cmpint (commy_frame_parse (out, 32 + COMMY_FRAME_EXT_MAX, 0, &frame), ==,
                   COMMY_FRAME_OK);
  g_assert_cmpuint (frame.signature_size, ==, COMMY_FRAME_EXT_MAX - 4);
  spec.signature_size++;
  g_assert_cmpuint (commy_frame_prefix_size (&spec), ==, 0);
  g_assert_cmpuint (commy_frame_write (out, &spec, 0), ==, 0);
  spec.signature_size = COMMY_FRAME_EXT_MAX - 4;
  spec.deadline_ns = 1;
  g_assert_cmpuint (commy_frame_prefix_size (&spec), ==, 0);
  spec.signature_size = SIZE_MAX;
  g_assert_cmpuint (commy_frame_prefix_size (&spec), ==, 0);

  spec.signature_size = 0;
  g_assert_cmpuint (commy_frame_prefix_size (&spec), ==, 48);
  spec.signature = NULL;
  g_assert_cmpuint (commy_frame_prefix_size (&spec), ==, 48);
#if GLIB_SIZEOF_SIZE_T > 4
  g_assert_cmpuint (commy_frame_write (out, &spec, G_MAXUINT32 - 48), ==, 48);
  g_assert_cmpuint (commy_frame_write (out, &spec, (gsize) G_MAXUINT32 - 47), ==, 0);
#endif
  g_assert_cmpuint (commy_frame_write (out, &spec, SIZE_MAX), ==, 0);
}

static void
test_texts (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i <= COMMY_FRAME_TOO_BIG; i++)
    g_assert_true (
        g_hash_table_add (seen, (gpointer) commy_frame_status_to_string ((CommyFrameStatus) i)));
  for (guint i = 1; i <= COMMY_FRAME_TYPE_LAST; i++)
    g_assert_true (g_hash_table_add (seen, (gpointer) commy_frame_type_to_string ((guint8) i)));
  g_assert_cmpstr (commy_frame_type_to_string (COMMY_FRAME_HELLO), ==, "hello");
  g_assert_cmpstr (commy_frame_type_to_string (COMMY_FRAME_CLOSE), ==, "close");
  g_assert_cmpstr (commy_frame_type_to_string (0), ==, "?");
  g_assert_cmpstr (commy_frame_type_to_string (COMMY_FRAME_TYPE_LAST + 1), ==, "?");
  g_assert_cmpstr (commy_frame_type_to_string (255), ==, "?");
  g_assert_nonnull (commy_frame_status_to_string ((CommyFrameStatus) 99));
}

/* The head alone may be there: nothing behind it is read, and less than it is refused. */
static void
test_head_alone (void)
{
  guint8 bytes[1024];
  gsize size = rich_frame (bytes);
  Guard guard;
  CommyFrame whole, frame;
  guint8 *at;

  guard_init (&guard);
  g_assert_cmpint (commy_frame_parse (bytes, size, NO_LIMIT, &whole), ==, COMMY_FRAME_OK);
  for (gsize head = 0; head <= whole.payload_offset; head++)
    {
      CommyFrameStatus wanted = head < COMMY_FRAME_HEADER_SIZE ? COMMY_FRAME_TRUNCATED
                                : head < whole.payload_offset  ? COMMY_FRAME_BAD_EXTENSION
                                                               : COMMY_FRAME_OK;

      at = guard.pages + guard.size - head;
      memcpy (at, bytes, head);
      g_assert_cmpint (commy_frame_parse_head (at, head, size, NO_LIMIT, &frame), ==, wanted);
    }
  g_assert_cmpuint (frame.payload_offset, ==, whole.payload_offset);
  g_assert_cmpuint (frame.payload_size, ==, whole.payload_size);
  g_assert_cmpuint (frame.train_size, ==, whole.train_size);
  at = guard.pages + guard.size - whole.payload_offset;
  g_assert_cmpint (commy_frame_parse_head (at, whole.payload_offset, size + 1, NO_LIMIT, &frame),
                   ==, COMMY_FRAME_BAD_LENGTH);
  guard_clear (&guard);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/wire/frame/layout-is-what-the-page-says", test_layout);
  g_test_add_func ("/wire/frame/what-is-written-is-read", test_round_trip);
  g_test_add_func ("/wire/frame/runs-are-whole-messages-of-a-stream", test_runs);
  g_test_add_func ("/wire/frame/lone-deadline-is-read-like-others", test_lone_extension);
  g_test_add_func ("/wire/frame/every-extension-is-read", test_every_extension);
  g_test_add_func ("/wire/frame/train-is-more-than-its-first-piece-and-has-a-name", test_trains);
  g_test_add_func ("/wire/frame/as-many-handles-as-a-message-carries", test_handles);
  g_test_add_func ("/wire/frame/cut-anywhere-is-refused", test_truncation);
  g_test_add_func ("/wire/frame/any-corrupt-byte-stays-inside", test_corruption);
  g_test_add_func ("/wire/frame/failure-writes-nothing", test_nothing_written_on_failure);
  g_test_add_func ("/wire/frame/length-must-be-the-size", test_length);
  g_test_add_func ("/wire/frame/version-type-flags-must-be-known", test_version_type_flags);
  g_test_add_func ("/wire/frame/payload-limit-is-exact", test_payload_limit);
  g_test_add_func ("/wire/extension/total-length-is-bounded", test_ext_length);
  g_test_add_func ("/wire/extension/value-size-is-its-type's", test_ext_value_sizes);
  g_test_add_func ("/wire/extension/size-field-must-fill-exactly", test_ext_size_field);
  g_test_add_func ("/wire/extension/doubled-is-refused", test_ext_doubled);
  g_test_add_func ("/wire/extension/padding-is-zero", test_ext_padding);
  g_test_add_func ("/wire/extension/priority-is-at-most-7", test_ext_priority);
  g_test_add_func ("/wire/frame/a-head-alone-is-enough", test_head_alone);
  g_test_add_func ("/wire/frame/alignment-does-not-matter", test_unaligned);
  g_test_add_func ("/wire/frame/writer-refuses-what-does-not-fit", test_writer_limits);
  g_test_add_func ("/wire/frame/every-status-and-type-has-its-text", test_texts);
  return g_test_run ();
}
