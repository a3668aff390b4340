/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that is asked for: see the header. The address sanitizer tells by a hook; otherwise the
 * program's own malloc() stands in front of the C library's.
 */
#include "config.h"

#include "memory-count.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_HOOKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_HOOKS 1
#endif
#endif

static struct
{
  gboolean counting;
  gsize bytes;
} memory;

static void
count (gsize size)
{
  if (memory.counting)
    memory.bytes += size;
}

#ifdef WITH_HOOKS
/* As <sanitizer/allocator_interface.h> has it, which comes with clang only. */
extern int __sanitizer_install_malloc_and_free_hooks (void (*malloc_hook) (const volatile void *,
                                                                           size_t),
                                                      void (*free_hook) (const volatile void *));

static void
on_malloc (const volatile void *block, size_t size)
{
  count (size);
}

static void
on_free (const volatile void *block)
{
}

static void
install (void)
{
  static gsize done;

  if (g_once_init_enter (&done))
    {
      __sanitizer_install_malloc_and_free_hooks (on_malloc, on_free);
      g_once_init_leave (&done, 1);
    }
}
#else
/* The library's callers must see them. */
#define EXPORT __attribute__ ((visibility ("default")))

extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *block, size_t size);

EXPORT void *
malloc (size_t size)
{
  count (size);
  return __libc_malloc (size);
}

EXPORT void *
calloc (size_t n, size_t size)
{
  count (n * size);
  return __libc_calloc (n, size);
}

EXPORT void *
realloc (void *block, size_t size)
{
  count (size);
  return __libc_realloc (block, size);
}

static void
install (void)
{
}
#endif

void
memory_count_start (void)
{
  install ();
  memory.bytes = 0;
  memory.counting = TRUE;
}

gsize
memory_count_stop (void)
{
  memory.counting = FALSE;
  return memory.bytes;
}
