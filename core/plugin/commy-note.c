/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds the plugin's note in an ELF image without running or mapping any of it. The image is
 * hostile: every offset is checked against its size, structs are copied out before they are
 * read. Whether the note's content makes sense is commy-note-check.c's question.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <elf.h>
#include <link.h>
#include <string.h>

#define MAX_SEGMENTS 128u /* linkers make about ten */

#if __SIZEOF_POINTER__ == 8
#define OUR_CLASS ELFCLASS64
#define OUR_BITS 64
#else
#define OUR_CLASS ELFCLASS32
#define OUR_BITS 32
#endif

#if G_BYTE_ORDER == G_LITTLE_ENDIAN
#define OUR_DATA ELFDATA2LSB
#define OUR_ORDER "little-endian"
#define OTHER_ORDER "big-endian"
#else
#define OUR_DATA ELFDATA2MSB
#define OUR_ORDER "big-endian"
#define OTHER_ORDER "little-endian"
#endif

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__i386__)
#define OUR_MACHINE EM_386
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#elif defined(__arm__)
#define OUR_MACHINE EM_ARM
#elif defined(__riscv)
#define OUR_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define OUR_MACHINE EM_PPC64
#elif defined(__powerpc__)
#define OUR_MACHINE EM_PPC
#elif defined(__s390__)
#define OUR_MACHINE EM_S390
#elif defined(__mips__)
#define OUR_MACHINE EM_MIPS
#elif defined(__loongarch__)
#define OUR_MACHINE 258
#else
#error "name this machine's ELF number"
#endif

typedef struct
{
  const guint8 *image;
  gsize size;
  guint n_found;
  gsize desc; /* offset of the note's body */
  guint32 desc_size;
} Search;

static const char *
machine_to_string (guint machine)
{
  switch (machine)
    {
    case EM_X86_64:
      return "x86-64";
    case EM_386:
      return "i386";
    case EM_AARCH64:
      return "aarch64";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_PPC:
      return "ppc";
    case EM_S390:
      return "s390";
    case EM_MIPS:
      return "mips";
    case 258:
      return "loongarch";
    default:
      return NULL;
    }
}

static gboolean
fits (gsize size, guint64 offset, guint64 length)
{
  return offset <= size && length <= size - offset;
}

static gboolean
fail_truncated (gsize size, GError **error)
{
  commy_set_error (error, COMMY_ERROR_PLUGIN_FILE,
                   "truncated: the file ends after %" G_GSIZE_FORMAT " bytes, before what its "
                   "ELF headers promise; install it again",
                   size);
  return FALSE;
}

static gboolean
fail_damaged (const char *what, GError **error)
{
  commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "damaged: %s; build or install it again", what);
  return FALSE;
}

static gboolean
check_machine (guint machine, GError **error)
{
  const char *theirs = machine_to_string (machine);

  if (machine == OUR_MACHINE)
    return TRUE;
  if (theirs != NULL)
    commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "built for %s, this process is %s", theirs,
                     machine_to_string (OUR_MACHINE));
  else
    commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "built for ELF machine %u, this process is %s",
                     machine, machine_to_string (OUR_MACHINE));
  return FALSE;
}

/* What the first 16 bytes tell; they mean the same in every ELF file. */
static gboolean
check_ident (const guint8 *ident, GError **error)
{
  if (ident[EI_CLASS] == ELFCLASSNONE || ident[EI_CLASS] >= ELFCLASSNUM)
    return fail_damaged ("its ELF class is unknown", error);
  if (ident[EI_DATA] == ELFDATANONE || ident[EI_DATA] >= ELFDATANUM)
    return fail_damaged ("its ELF byte order is unknown", error);
  if (ident[EI_CLASS] != OUR_CLASS)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "%d-bit plugin in a %d-bit process",
                       ident[EI_CLASS] == ELFCLASS64 ? 64 : 32, OUR_BITS);
      return FALSE;
    }
  if (ident[EI_DATA] != OUR_DATA)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE,
                       OTHER_ORDER " plugin in a " OUR_ORDER " process");
      return FALSE;
    }
  if (ident[EI_VERSION] != EV_CURRENT)
    return fail_damaged ("its ELF version is unknown", error);
  return TRUE;
}

static gboolean
check_header (const guint8 *image, gsize size, ElfW (Ehdr) * out_header, GError **error)
{
  if (size < SELFMAG || memcmp (image, ELFMAG, SELFMAG) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE, "not an ELF file");
      return FALSE;
    }
  if (size < EI_NIDENT)
    return fail_truncated (size, error);
  if (!check_ident (image, error))
    return FALSE;
  if (size < sizeof *out_header)
    return fail_truncated (size, error);
  memcpy (out_header, image, sizeof *out_header);
  if (!check_machine (out_header->e_machine, error))
    return FALSE;
  if (out_header->e_type != ET_DYN)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE,
                       "not a shared object (ELF type %u); link it with -shared",
                       (guint) out_header->e_type);
      return FALSE;
    }
  if (out_header->e_phnum == 0 || out_header->e_phnum > MAX_SEGMENTS
      || out_header->e_phentsize != sizeof (ElfW (Phdr)))
    return fail_damaged ("its ELF program headers make no sense", error);
  if (!fits (size, out_header->e_phoff, (guint64) out_header->e_phnum * sizeof (ElfW (Phdr))))
    return fail_truncated (size, error);
  return TRUE;
}

/* Nothing here needs the sections, but they lie at the end: a file cut anywhere is noticed. */
static gboolean
check_end (const ElfW (Ehdr) * header, gsize size, GError **error)
{
  return header->e_shoff == 0
         || fits (size, header->e_shoff, (guint64) header->e_shnum * header->e_shentsize)
         || fail_truncated (size, error);
}

static guint64
align_up (guint64 value, guint64 alignment)
{
  return (value + alignment - 1) & ~(alignment - 1);
}

/* Walks the notes of one segment, which lies within the image. */
static gboolean
search_segment (Search *search, gsize offset, gsize length, guint64 alignment, GError **error)
{
  guint64 at = 0;

  alignment = alignment <= 1 ? 4 : alignment;
  if (alignment != 4 && alignment != 8)
    return fail_damaged ("its notes have an impossible alignment", error);

  while (at < length)
    {
      const guint8 *note = search->image + offset + at;
      guint32 head[3];
      guint64 desc, end;

      if (length - at < sizeof head)
        return fail_damaged ("an ELF note runs over its segment", error);
      memcpy (head, note, sizeof head);
      desc = align_up (sizeof head + (guint64) head[0], alignment);
      end = desc + head[1];
      if (end > length - at)
        return fail_damaged ("an ELF note runs over its segment", error);

      if (head[0] == sizeof COMMY_NOTE_OWNER && head[2] == COMMY_NOTE_TYPE
          && memcmp (note + sizeof head, COMMY_NOTE_OWNER, sizeof COMMY_NOTE_OWNER) == 0)
        {
          search->n_found++;
          search->desc = offset + (gsize) (at + desc);
          search->desc_size = head[1];
        }
      at += align_up (end, alignment);
    }
  return TRUE;
}

static gboolean
search_image (Search *search, const ElfW (Ehdr) * header, GError **error)
{
  for (guint i = 0; i < header->e_phnum; i++)
    {
      ElfW (Phdr) segment;

      memcpy (&segment, search->image + header->e_phoff + i * sizeof segment, sizeof segment);
      if (segment.p_type != PT_LOAD && segment.p_type != PT_NOTE && segment.p_type != PT_DYNAMIC)
        continue;
      /* Mapping a segment that the file does not hold would end in SIGBUS. */
      if (!fits (search->size, segment.p_offset, segment.p_filesz))
        return fail_truncated (search->size, error);
      if (segment.p_type == PT_NOTE
          && !search_segment (search, segment.p_offset, segment.p_filesz, segment.p_align, error))
        return FALSE;
    }
  return TRUE;
}

gsize
commy_note_get_extent (const guint8 *head, gsize length, gsize size)
{
  ElfW (Ehdr) header;
  guint64 extent = 0;

  if (!check_header (head, length, &header, NULL))
    return size;
  for (guint i = 0; i < header.e_phnum; i++)
    {
      ElfW (Phdr) segment;

      memcpy (&segment, head + header.e_phoff + i * sizeof segment, sizeof segment);
      if (segment.p_type != PT_NOTE)
        continue;
      if (!fits (size, segment.p_offset, segment.p_filesz))
        return size;
      extent = MAX (extent, segment.p_offset + segment.p_filesz);
    }
  return (gsize) extent;
}

/* A note of another size is of another ABI; say which, if it can be seen. */
static gboolean
fail_size (const Search *search, GError **error)
{
  guint32 head[2];

  if (search->desc_size >= sizeof head)
    {
      memcpy (head, search->image + search->desc, sizeof head);
      if (head[1] != COMMY_ABI_MAJOR)
        {
          commy_set_error (error, COMMY_ERROR_PLUGIN_ABI,
                           "built for plugin ABI %u, this is ABI %u; build it again", head[1],
                           COMMY_ABI_MAJOR);
          return FALSE;
        }
    }
  commy_set_error (error, COMMY_ERROR_PLUGIN_ABI,
                   "its note has %u bytes instead of %u; build it against these headers again",
                   search->desc_size, (guint) sizeof (CommyPluginNote));
  return FALSE;
}

gboolean
commy_note_parse (const guint8 *image, gsize size, CommyPluginNote *out_note, GError **error)
{
  ElfW (Ehdr) header;
  Search search = { .image = image, .size = size };

  if (!check_header (image, size, &header, error) || !check_end (&header, size, error)
      || !search_image (&search, &header, error))
    return FALSE;
  if (search.n_found == 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE,
                       "no Commy note: not a plugin, or built without COMMY_PLUGIN_NOTE");
      return FALSE;
    }
  if (search.n_found > 1)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_FILE,
                       "%u Commy notes instead of one; build one plugin a file", search.n_found);
      return FALSE;
    }
  if (search.desc_size != sizeof *out_note)
    return fail_size (&search, error);
  memcpy (out_note, image + search.desc, sizeof *out_note);
  return TRUE;
}
