/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The note of a plugin file: found in a good file, and a sentence for every file that is cut,
 * foreign, damaged or lying. Images end at a page that may not be touched.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <elf.h>
#include <link.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* An image whose end is the end of what may be read. */
typedef struct
{
  guint8 *map;
  gsize map_size;
  guint8 *bytes;
  gsize size;
} Image;

static void
image_init (Image *image, const void *bytes, gsize size)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  gsize room = (size + page - 1) / page * page;

  image->map_size = room + page;
  image->map
      = mmap (NULL, image->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (image->map != MAP_FAILED);
  g_assert_cmpint (mprotect (image->map + room, page, PROT_NONE), ==, 0);
  image->bytes = image->map + room - size;
  image->size = size;
  if (size > 0)
    memcpy (image->bytes, bytes, size);
}

static void
image_clear (Image *image)
{
  munmap (image->map, image->map_size);
}

static char *
fixture_path (const char *file)
{
  return g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "tests", "fixtures", "plugins", ".libs",
                           file, NULL);
}

static guint8 *
read_fixture (const char *file, gsize *out_size)
{
  g_autofree char *path = fixture_path (file);
  g_autoptr (GError) error = NULL;
  char *bytes = NULL;

  g_file_get_contents (path, &bytes, out_size, &error);
  g_assert_no_error (error);
  return (guint8 *) bytes;
}

static void
assert_refused (const guint8 *bytes, gsize size, CommyError code, const char *sentence)
{
  g_autoptr (GError) error = NULL;
  CommyPluginNote note, before;
  Image image;

  memset (&note, 0x5a, sizeof note);
  before = note;
  image_init (&image, bytes, size);
  g_assert_false (commy_note_parse (image.bytes, image.size, &note, &error));
  g_assert_error (error, COMMY_ERROR, (gint) code);
  if (strstr (error->message, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, sentence);
  g_assert_cmpmem (&note, sizeof note, &before, sizeof before);
  image_clear (&image);
}

static void
test_good (void)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);
  g_autoptr (GError) error = NULL;
  CommyPluginNote note;

  g_assert_true (commy_note_parse (bytes, size, &note, &error));
  g_assert_no_error (error);
  g_assert_true (commy_note_check (&note, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (note.id, ==, "good");
  g_assert_cmpstr (note.version, ==, "1.2.3");
  g_assert_cmpstr (note.licence, ==, "LGPL-2.1-or-later");
  g_assert_cmpstr (note.scheme, ==, "fixture");
  g_assert_cmpuint (note.kind, ==, COMMY_PLUGIN_TRANSPORT);
  g_assert_cmpuint (note.profile.n_segments, ==, 2);
  g_assert_cmpfloat (note.profile.segments[1].latency_ns, ==, 200);
}

/* Whatever of its beginning is read first, what lies behind what is asked for is not looked at. */
static void
test_extent (void)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);

  for (gsize head = 0; head < 4096; head += 16)
    {
      const gsize extent = commy_note_get_extent (bytes, head, size);
      g_autofree guint8 *part = g_malloc0 (size);
      g_autoptr (GError) error = NULL;
      CommyPluginNote note;

      g_assert_cmpuint (extent, <=, size);
      if (head < sizeof (ElfW (Ehdr)))
        g_assert_cmpuint (extent, ==, size);
      memcpy (part, bytes, MAX (head, extent));
      g_assert_true (commy_note_parse (part, size, &note, &error));
      g_assert_no_error (error);
      g_assert_cmpstr (note.id, ==, "good");
    }
  g_assert_cmpuint (commy_note_get_extent (bytes, 4096, size), <, 16384);
}

static void
test_truncated (void)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);
  CommyPluginNote note;

  for (gsize cut = 0; cut < size; cut += cut < 1024 || cut + 1024 > size ? 1 : 97)
    {
      g_autoptr (GError) error = NULL;
      Image image;

      image_init (&image, bytes, cut);
      g_assert_false (commy_note_parse (image.bytes, cut, &note, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_FILE);
      if (cut >= SELFMAG)
        g_assert_nonnull (strstr (error->message, "truncated: the file ends after"));
      else
        g_assert_nonnull (strstr (error->message, "not an ELF file"));
      image_clear (&image);
    }
}

static void
test_foreign (void)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);
  ElfW (Ehdr) header;

  assert_refused (
      (const guint8 *) "#!/bin/sh\necho no plugin at all, sixty-four bytes or more\n\n\n\n", 60,
      COMMY_ERROR_PLUGIN_FILE, "not an ELF file");

  memcpy (&header, bytes, sizeof header);
#if defined(__x86_64__)
  header.e_machine = EM_AARCH64;
  memcpy (bytes, &header, sizeof header);
  assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE,
                  "built for aarch64, this process is x86-64");
  header.e_machine = EM_X86_64;
#endif
  {
    ElfW (Ehdr) other = header;

    other.e_machine = 4242;
    memcpy (bytes, &other, sizeof other);
    assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE, "built for ELF machine 4242");
    other = header;
    other.e_type = ET_EXEC;
    memcpy (bytes, &other, sizeof other);
    assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE, "not a shared object");
    memcpy (bytes, &header, sizeof header);
  }
#if GLIB_SIZEOF_VOID_P == 8
  bytes[EI_CLASS] = ELFCLASS32;
  assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE, "32-bit plugin in a 64-bit process");
  /* A small 32-bit file is still told from a truncated one. */
  assert_refused (bytes, sizeof (Elf32_Ehdr), COMMY_ERROR_PLUGIN_FILE,
                  "32-bit plugin in a 64-bit process");
  bytes[EI_CLASS] = ELFCLASS64;
#endif
#if G_BYTE_ORDER == G_LITTLE_ENDIAN
  bytes[EI_DATA] = ELFDATA2MSB;
  assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE,
                  "big-endian plugin in a little-endian process");
  bytes[EI_DATA] = ELFDATA2LSB;
#endif
  for (guint order = 0; order <= 3; order += 3)
    {
      const guint8 before = bytes[EI_DATA];

      bytes[EI_DATA] = (guint8) order;
      assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE, "ELF byte order is unknown");
      bytes[EI_DATA] = before;
    }
  bytes[EI_CLASS] = 3;
  assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE, "ELF class is unknown");
  bytes[EI_CLASS] = 0;
  assert_refused (bytes, size, COMMY_ERROR_PLUGIN_FILE, "ELF class is unknown");
}

static void
test_counted (void)
{
  gsize size;
  g_autofree guint8 *two = read_fixture ("libcommy-transport-two-notes.so", &size);

  assert_refused (two, size, COMMY_ERROR_PLUGIN_FILE, "2 Commy notes instead of one");
}

/* A file of our own making: header, one PT_NOTE, and notes of any shape. */
typedef struct
{
  ElfW (Ehdr) header;
  ElfW (Phdr) segment;
  guint8 notes[2048];
} Crafted;

static void
craft (Crafted *crafted, gsize notes_size)
{
  gsize size;
  g_autofree guint8 *good = read_fixture ("libcommy-transport-good.so", &size);

  memset (crafted, 0, sizeof *crafted);
  memcpy (&crafted->header, good, sizeof crafted->header);
  crafted->header.e_phoff = G_STRUCT_OFFSET (Crafted, segment);
  crafted->header.e_phnum = 1;
  crafted->header.e_phentsize = sizeof crafted->segment;
  crafted->header.e_shoff = 0;
  crafted->segment.p_type = PT_NOTE;
  crafted->segment.p_offset = G_STRUCT_OFFSET (Crafted, notes);
  crafted->segment.p_filesz = notes_size;
  crafted->segment.p_align = 8;
}

static gsize
put_note (
    guint8 *at, guint32 namesz, guint32 descsz, guint32 type, const void *desc, gsize desc_size)
{
  const guint32 head[3] = { namesz, descsz, type };

  memcpy (at, head, sizeof head);
  memcpy (at + sizeof head, COMMY_NOTE_OWNER, sizeof COMMY_NOTE_OWNER);
  memcpy (at + 24, desc, desc_size);
  return 24 + desc_size;
}

static gboolean
parse_crafted (const Crafted *crafted, gsize notes_size, GError **error)
{
  CommyPluginNote note;
  gboolean ok;
  Image image;

  image_init (&image, crafted, G_STRUCT_OFFSET (Crafted, notes) + notes_size);
  ok = commy_note_parse (image.bytes, image.size, &note, error);
  image_clear (&image);
  return ok;
}

static void
assert_crafted (const Crafted *crafted, gsize notes_size, const char *sentence)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = parse_crafted (crafted, notes_size, &error);

  if (sentence == NULL)
    {
      g_assert_no_error (error);
      g_assert_true (ok);
      return;
    }
  g_assert_false (ok);
  if (strstr (error->message, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, sentence);
}

static void
good_note (CommyPluginNote *note)
{
  gsize size;
  g_autofree guint8 *bytes = read_fixture ("libcommy-transport-good.so", &size);

  g_assert_true (commy_note_parse (bytes, size, note, NULL));
}

static void
test_note_lengths (void)
{
  const guint32 whole = sizeof (CommyPluginNote);
  const guint32 extremes[] = { 0, 1, 11, 13, 0x7fffffff, 0xfffffff0, 0xfffffff8, G_MAXUINT32 };
  CommyPluginNote note;
  Crafted crafted;
  gsize n;

  good_note (&note);
  craft (&crafted, 0);
  n = put_note (crafted.notes, 12, whole, COMMY_NOTE_TYPE, &note, sizeof note);
  crafted.segment.p_filesz = n;
  assert_crafted (&crafted, n, NULL);
  assert_crafted (&crafted, n - 1, "truncated");

  crafted.segment.p_filesz = n - 1;
  assert_crafted (&crafted, n, "runs over its segment");
  crafted.segment.p_filesz = 24;
  assert_crafted (&crafted, n, "runs over its segment");
  for (gsize cut = 1; cut < 12; cut++)
    {
      crafted.segment.p_filesz = cut;
      assert_crafted (&crafted, n, "runs over its segment");
    }
  crafted.segment.p_filesz = 0;
  assert_crafted (&crafted, n, "no Commy note");
  crafted.segment.p_filesz = n;

  for (gsize i = 0; i < G_N_ELEMENTS (extremes); i++)
    {
      g_autoptr (GError) error = NULL;

      put_note (crafted.notes, extremes[i], whole, COMMY_NOTE_TYPE, &note, sizeof note);
      g_assert_false (parse_crafted (&crafted, n, &error));
      put_note (crafted.notes, 12, extremes[i], COMMY_NOTE_TYPE, &note, sizeof note);
      g_clear_error (&error);
      g_assert_false (parse_crafted (&crafted, n, &error));
    }
}

static void
test_note_sizes (void)
{
  const guint32 whole = sizeof (CommyPluginNote);
  CommyPluginNote note;
  Crafted crafted;
  guint8 body[sizeof note + 8] = { 0 };

  good_note (&note);
  craft (&crafted, 24 + whole + 8);
  memcpy (body, &note, sizeof note);
  put_note (crafted.notes, 12, whole + 8, COMMY_NOTE_TYPE, body, sizeof body);
  assert_crafted (&crafted, 24 + whole + 8, "bytes instead of");
  crafted.segment.p_filesz = 24 + whole - 8;
  put_note (crafted.notes, 12, whole - 8, COMMY_NOTE_TYPE, body, whole - 8);
  assert_crafted (&crafted, 24 + whole + 8, "bytes instead of");

  /* Another major is named even if its note has another size. */
  note.abi_major = 7;
  put_note (crafted.notes, 12, whole - 8, COMMY_NOTE_TYPE, &note, whole - 8);
  assert_crafted (&crafted, 24 + whole + 8, "built for plugin ABI 7, this is ABI 1");
  crafted.segment.p_filesz = 24 + 8;
  put_note (crafted.notes, 12, 8, COMMY_NOTE_TYPE, &note, 8);
  assert_crafted (&crafted, 24 + 8, "built for plugin ABI 7, this is ABI 1");
  crafted.segment.p_filesz = 24 + 7;
  put_note (crafted.notes, 12, 7, COMMY_NOTE_TYPE, &note, 7);
  assert_crafted (&crafted, 24 + 7, "its note has 7 bytes");
  crafted.segment.p_filesz = 24;
  put_note (crafted.notes, 12, 0, COMMY_NOTE_TYPE, body, 0);
  assert_crafted (&crafted, 24, "its note has 0 bytes");
}

static void
test_note_owner (void)
{
  CommyPluginNote note;
  Crafted crafted;
  gsize n;

  good_note (&note);
  craft (&crafted, 0);
  n = put_note (crafted.notes, 12, sizeof note, COMMY_NOTE_TYPE, &note, sizeof note);
  crafted.segment.p_filesz = n;
  for (gsize i = 12; i < 24; i++)
    {
      crafted.notes[i] ^= 1;
      assert_crafted (&crafted, n, "no Commy note");
      crafted.notes[i] ^= 1;
    }
  put_note (crafted.notes, 12, sizeof note, COMMY_NOTE_TYPE + 1, &note, sizeof note);
  assert_crafted (&crafted, n, "no Commy note");

  /* Behind somebody else's note, with both alignments that exist. */
  for (gsize alignment = 0; alignment <= 32; alignment++)
    {
      gboolean fine = alignment <= 1 || alignment == 4 || alignment == 8;
      const guint32 other[4] = { 4, 0, 3, 0x554e47 };
      gsize at = sizeof other;

      memcpy (crafted.notes, other, sizeof other);
      n = at + put_note (crafted.notes + at, 12, sizeof note, COMMY_NOTE_TYPE, &note, sizeof note);
      crafted.segment.p_filesz = n;
      crafted.segment.p_align = alignment;
      assert_crafted (&crafted, n, fine ? NULL : "impossible alignment");
    }
}

/* A second note is measured from where it lies, not from the segment's beginning. */
static void
test_last_note (void)
{
  const guint32 empty[3] = { 0, 0, 1 };
  CommyPluginNote note;
  Crafted crafted;
  gsize n;

  good_note (&note);
  craft (&crafted, 0);
  crafted.segment.p_align = 4;
  n = put_note (crafted.notes, 12, sizeof note, COMMY_NOTE_TYPE, &note, sizeof note);
  memcpy (crafted.notes + n, empty, sizeof empty);
  crafted.segment.p_filesz = n + sizeof empty;
  assert_crafted (&crafted, n + sizeof empty, NULL);
  crafted.segment.p_filesz--;
  assert_crafted (&crafted, n + sizeof empty, "runs over its segment");

  memcpy (crafted.notes, empty, sizeof empty);
  n = 12 + put_note (crafted.notes + 12, 12, sizeof note, COMMY_NOTE_TYPE, &note, sizeof note);
  crafted.segment.p_filesz = n;
  assert_crafted (&crafted, n, NULL);
  crafted.segment.p_filesz = n - 8;
  assert_crafted (&crafted, n, "runs over its segment");
  crafted.segment.p_filesz = 0;
  crafted.segment.p_offset = G_STRUCT_OFFSET (Crafted, notes) + n;
  assert_crafted (&crafted, n, "no Commy note");
  crafted.segment.p_offset++;
  assert_crafted (&crafted, n, "truncated");
}

static void
test_segments (void)
{
  const guint64 wild[] = { 1 << 20, G_MAXUINT32, G_GUINT64_CONSTANT (0x8000000000000000),
                           G_MAXUINT64 - 7, G_MAXUINT64 };
  CommyPluginNote note;
  Crafted crafted, broken;
  gsize n;

  good_note (&note);
  craft (&crafted, 0);
  n = put_note (crafted.notes, 12, sizeof note, COMMY_NOTE_TYPE, &note, sizeof note);
  crafted.segment.p_filesz = n;
  for (gsize i = 0; i < G_N_ELEMENTS (wild); i++)
    {
      broken = crafted;
      broken.segment.p_offset = wild[i];
      assert_crafted (&broken, n, "truncated");
      broken = crafted;
      broken.segment.p_filesz = wild[i];
      assert_crafted (&broken, n, "truncated");
      broken = crafted;
      broken.header.e_phoff = wild[i];
      assert_crafted (&broken, n, "truncated");
      broken = crafted;
      broken.header.e_shoff = wild[i];
      assert_crafted (&broken, n, "truncated");
      /* What would be mapped must be there as well. */
      broken = crafted;
      broken.segment.p_type = PT_LOAD;
      broken.segment.p_filesz = wild[i];
      assert_crafted (&broken, n, "truncated");
      broken.segment.p_type = PT_DYNAMIC;
      assert_crafted (&broken, n, "truncated");
      broken.segment.p_type = PT_GNU_STACK;
      assert_crafted (&broken, n, "no Commy note");
    }
  broken = crafted;
  broken.header.e_phnum = 0;
  assert_crafted (&broken, n, "make no sense");
  broken.header.e_phnum = 129;
  assert_crafted (&broken, n, "make no sense");
  broken.header.e_phnum = 128;
  assert_crafted (&broken, n, "truncated");
  broken = crafted;
  broken.header.e_phentsize--;
  assert_crafted (&broken, n, "make no sense");
}

static void
test_corruption (void)
{
  CommyPluginNote note;
  Crafted crafted;
  gsize n;

  good_note (&note);
  craft (&crafted, 0);
  n = put_note (crafted.notes, 12, sizeof note, COMMY_NOTE_TYPE, &note, sizeof note);
  crafted.segment.p_filesz = n;
  for (gsize i = 0; i < G_STRUCT_OFFSET (Crafted, notes) + n; i++)
    for (guint bit = 0; bit < 8; bit++)
      {
        Crafted copy = crafted;
        g_autoptr (GError) error = NULL;
        gboolean ok;

        ((guint8 *) &copy)[i] ^= (guint8) (1u << bit);
        ok = parse_crafted (&copy, n, &error);
        g_assert_cmpint (ok, ==, error == NULL);
      }
}

static void
assert_check (const CommyPluginNote *note, int code, const char *sentence)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = commy_note_check (note, &error);

  if (sentence == NULL)
    {
      g_assert_no_error (error);
      g_assert_true (ok);
      return;
    }
  g_assert_false (ok);
  g_assert_error (error, COMMY_ERROR, code);
  if (strstr (error->message, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, sentence);
}

static void
test_check_fields (void)
{
  CommyPluginNote good, note;

  good_note (&good);
  assert_check (&good, 0, NULL);
  note = good;
  note.abi_major++;
  assert_check (&note, COMMY_ERROR_PLUGIN_ABI, "built for plugin ABI 2, this is ABI 1");
  note = good;
  note.abi_minor = 99;
  assert_check (&note, 0, NULL);
  note = good;
  note.struct_size--;
  assert_check (&note, COMMY_ERROR_PLUGIN_ABI, "its note says it has");
  note = good;
  note.kind = 0;
  assert_check (&note, COMMY_ERROR_PLUGIN_ABI, "kind 0 is unknown");
  note.kind = 7;
  assert_check (&note, COMMY_ERROR_PLUGIN_ABI, "kind 7 is unknown");
  note = good;
  note.reserved = 1;
  assert_check (&note, COMMY_ERROR_PLUGIN_ABI, "reserved");
  note = good;
  note.profile.provenance = COMMY_PROVENANCE_OPERATOR;
  assert_check (&note, COMMY_ERROR_PLUGIN_PROFILE, "claims to be the operator's");
}

static void
test_check_texts (void)
{
  CommyPluginNote good, note;

  good_note (&good);
  note = good;
  memset (note.id, 'a', sizeof note.id);
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "id is not terminated");
  note.id[sizeof note.id - 1] = '\0';
  assert_check (&note, 0, NULL);
  note = good;
  note.id[6] = 'x';
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "id is not padded");
  note = good;
  note.id[0] = '\0';
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "id is not padded");
  memset (note.id, 0, sizeof note.id);
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "lower case");
  for (const char *bad = "A/._ %*-"; *bad != '\0'; bad++)
    {
      note = good;
      note.id[0] = *bad;
      assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "lower case");
    }
  note = good;
  memset (note.summary, 's', sizeof note.summary);
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "summary is not terminated");
  note = good;
  note.summary[0] = '\033';
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "cannot be printed");
  note.summary[0] = '\n';
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "cannot be printed");
  note.summary[0] = (char) 0xff;
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "not UTF-8");
  note = good;
  memset (note.version, '1', sizeof note.version);
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "version is not terminated");
  note = good;
  memset (note.licence, 'L', sizeof note.licence);
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "licence is not terminated");
  note = good;
  memset (note.scheme, 0, sizeof note.scheme);
  assert_check (&note, COMMY_ERROR_PLUGIN_FILE, "scheme");
  note.kind = COMMY_PLUGIN_STORE;
  assert_check (&note, 0, NULL);
}

static void
assert_profile (const CommyProfile *profile, const char *sentence)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = commy_profile_check (profile, &error);

  if (sentence == NULL)
    {
      g_assert_no_error (error);
      g_assert_true (ok);
      return;
    }
  g_assert_false (ok);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_PROFILE);
  if (strstr (error->message, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, sentence);
}

static void
test_profile_numbers (void)
{
  const gsize fields[] = {
    G_STRUCT_OFFSET (CommyProfile, connect_ns),
    G_STRUCT_OFFSET (CommyProfile, sigma),
    G_STRUCT_OFFSET (CommyProfile, loss),
    G_STRUCT_OFFSET (CommyProfile, size_factor),
    G_STRUCT_OFFSET (CommyProfile, segments[1].latency_ns),
    G_STRUCT_OFFSET (CommyProfile, segments[1].wire_ns_per_byte),
    G_STRUCT_OFFSET (CommyProfile, segments[1].send_cpu_ns),
    G_STRUCT_OFFSET (CommyProfile, segments[1].send_cpu_ns_per_byte),
    G_STRUCT_OFFSET (CommyProfile, segments[1].recv_cpu_ns),
    G_STRUCT_OFFSET (CommyProfile, segments[1].recv_cpu_ns_per_byte),
  };
  const double bad[] = { NAN, INFINITY, -INFINITY, -1e-300, -1, 1e16, 1e300 };
  CommyPluginNote note;

  good_note (&note);
  assert_profile (&note.profile, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (fields); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (bad); j++)
      {
        CommyProfile profile = note.profile;

        G_STRUCT_MEMBER (double, &profile, fields[i]) = bad[j];
        assert_profile (&profile, "not a number from 0");
      }
}

static void
test_profile_shape (void)
{
  CommyPluginNote note;
  CommyProfile good, profile;

  good_note (&note);
  good = profile = note.profile;
  profile.segments[0].max_bytes = G_MAXUINT64;
  assert_profile (&profile, "do not ascend");
  profile.segments[1].max_bytes = profile.segments[0].max_bytes = 4096;
  assert_profile (&profile, "do not ascend");

  /* 120 + 2048 at the join; 20 % less is the limit. */
  profile = good;
  profile.segments[1].latency_ns = 0;
  profile.segments[1].wire_ns_per_byte = (0.801 * 2168 - 20) / 4096;
  assert_profile (&profile, NULL);
  profile.segments[1].wire_ns_per_byte = (0.799 * 2168 - 20) / 4096;
  assert_profile (&profile, "falls by more than 20%");

  profile = good;
  profile.n_segments = 0;
  assert_profile (&profile, "0 segments");
  profile.n_segments = 7;
  assert_profile (&profile, "7 segments");
  profile.n_segments = G_MAXUINT32;
  assert_profile (&profile, "segments, not 1 to 6");

  profile = good;
  profile.segments[1].max_bytes = 8192;
  assert_profile (&profile, "end before its largest message");
  profile.max_message = 8193;
  assert_profile (&profile, "end before its largest message");
  profile.max_message = 8192;
  assert_profile (&profile, NULL);
}

static void
test_profile_claims (void)
{
  CommyPluginNote note;
  CommyProfile good, profile;

  good_note (&note);
  good = profile = note.profile;
  profile.struct_size--;
  assert_profile (&profile, "bytes instead of");
  profile = good;
  profile.loss = 1;
  assert_profile (&profile, "loss is 1");
  profile.loss = 0.999;
  assert_profile (&profile, NULL);
  profile.size_factor = 0;
  assert_profile (&profile, "size_factor is 0");
  profile = good;
  profile.security = 5;
  assert_profile (&profile, "security");
  profile = good;
  profile.reach = 8;
  assert_profile (&profile, "reach");
  profile = good;
  profile.delivery = 3;
  assert_profile (&profile, "delivery");
  profile = good;
  profile.ordering = 2;
  assert_profile (&profile, "ordering");
  profile = good;
  profile.provenance = 5;
  assert_profile (&profile, "provenance");
  profile = good;
  profile.header_bytes = (1 << 20) + 1;
  assert_profile (&profile, "header_bytes");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plugin/note/good-file-is-read", test_good);
  g_test_add_func ("/plugin/note/what-is-not-asked-for-is-not-looked-at", test_extent);
  g_test_add_func ("/plugin/note/cut-anywhere-is-refused", test_truncated);
  g_test_add_func ("/plugin/note/foreign-file-gets-a-sentence", test_foreign);
  g_test_add_func ("/plugin/note/several-are-refused", test_counted);
  g_test_add_func ("/plugin/note/lengths-are-bounded", test_note_lengths);
  g_test_add_func ("/plugin/note/size-is-exact", test_note_sizes);
  g_test_add_func ("/plugin/note/owner-and-type-are-exact", test_note_owner);
  g_test_add_func ("/plugin/note/last-of-several-is-bounded", test_last_note);
  g_test_add_func ("/plugin/note/segments-are-bounded", test_segments);
  g_test_add_func ("/plugin/note/any-corrupt-bit-stays-inside", test_corruption);
  g_test_add_func ("/plugin/note-check/fields", test_check_fields);
  g_test_add_func ("/plugin/note-check/texts", test_check_texts);
  g_test_add_func ("/plugin/profile-check/numbers", test_profile_numbers);
  g_test_add_func ("/plugin/profile-check/shape", test_profile_shape);
  g_test_add_func ("/plugin/profile-check/claims", test_profile_claims);
  return g_test_run ();
}
