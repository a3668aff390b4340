/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What "touched" means wherever it is measured: the sender writes every byte, the receiver reads
 * every byte, both as fast as this processor can, so that a figure is that of what carries the
 * message and not that of a slow reader. (A plain loop of the baseline reads 5 to 30 GB/s here,
 * vectors 120.)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void
touch_fill (void *bytes, size_t size, uint8_t value)
{
  memset (bytes, value, size);
}

/* A reader with vectors of @width bytes and as many sums as hide an addition's latency. */
#define TOUCH_DEFINE_SUM(name, width)                                                     \
  static inline uint64_t name (const uint8_t *bytes, size_t size)                         \
  {                                                                                       \
    typedef uint64_t Lanes __attribute__ ((vector_size (width), aligned (1), may_alias)); \
    Lanes a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };                                     \
    uint64_t sum = 0;                                                                     \
    size_t i = 0;                                                                         \
    for (; i + 4 * width <= size; i += 4 * width)                                         \
      {                                                                                   \
        a += *(const Lanes *) (bytes + i);                                                \
        b += *(const Lanes *) (bytes + i + width);                                        \
        c += *(const Lanes *) (bytes + i + 2 * width);                                    \
        d += *(const Lanes *) (bytes + i + 3 * width);                                    \
      }                                                                                   \
    for (; i + width <= size; i += width)                                                 \
      a += *(const Lanes *) (bytes + i);                                                  \
    a += b + c + d;                                                                       \
    for (size_t lane = 0; lane < width / sizeof sum; lane++)                              \
      sum += a[lane];                                                                     \
    for (uint64_t word; i + sizeof word <= size; i += sizeof word)                        \
      {                                                                                   \
        memcpy (&word, bytes + i, sizeof word);                                           \
        sum += word;                                                                      \
      }                                                                                   \
    for (; i < size; i++)                                                                 \
      sum += bytes[i];                                                                    \
    return sum;                                                                           \
  }

TOUCH_DEFINE_SUM (touch_sum_plain, 16)
#if defined(__x86_64__)
__attribute__ ((target ("avx2"))) TOUCH_DEFINE_SUM (touch_sum_avx2, 32)
    __attribute__ ((target ("avx512f"))) TOUCH_DEFINE_SUM (touch_sum_avx512, 64)
#endif

    /* Reads every byte: the sum of all whole 64-bit words and of the bytes after them. */
    static inline uint64_t touch_sum (const void *message, size_t size)
{
  const uint8_t *bytes = (const uint8_t *) message;
#if defined(__x86_64__)
  if (__builtin_cpu_supports ("avx512f"))
    return touch_sum_avx512 (bytes, size);
  if (__builtin_cpu_supports ("avx2"))
    return touch_sum_avx2 (bytes, size);
#endif
  return touch_sum_plain (bytes, size);
}

/* What touch_sum() gives where every byte is @value. */
static inline uint64_t
touch_sum_of (size_t size, uint8_t value)
{
  return size / 8 * (value * UINT64_C (0x0101010101010101)) + size % 8 * value;
}
