/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading every byte, as fast as this processor does it, so that a limit is one and what is read in
 * place is not held up by the reader.
 */
#include "config.h"

#include "bench.h"

/* Four sums at a time keep the loads apart from each other. */
#define SUM_BY(Lane, bytes, size)                             \
  Lane a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };            \
  guint64 rest = 0;                                           \
  gsize i = 0;                                                \
                                                              \
  for (; i + 4 * sizeof a <= size; i += 4 * sizeof a)         \
    {                                                         \
      const Lane *next = (const Lane *) (bytes + i);          \
                                                              \
      a += next[0];                                           \
      b += next[1];                                           \
      c += next[2];                                           \
      d += next[3];                                           \
    }                                                         \
  for (; i < size; i++)                                       \
    rest += bytes[i];                                         \
  a += b + c + d;                                             \
  for (guint lane = 0; lane < sizeof a / sizeof rest; lane++) \
    rest += a[lane];                                          \
  return rest

typedef guint64 Narrow __attribute__ ((vector_size (16), aligned (1), may_alias));

static guint64
sum_narrow (const guint8 *bytes, gsize size)
{
  SUM_BY (Narrow, bytes, size);
}

#if defined(__x86_64__)

typedef guint64 Wide __attribute__ ((vector_size (32), aligned (1), may_alias));

__attribute__ ((target ("avx2"))) static guint64
sum_wide (const guint8 *bytes, gsize size)
{
  SUM_BY (Wide, bytes, size);
}

guint64
bench_sum (const guint8 *bytes, gsize size)
{
  return size >= 128 && __builtin_cpu_supports ("avx2") ? sum_wide (bytes, size)
                                                        : sum_narrow (bytes, size);
}

#else

guint64
bench_sum (const guint8 *bytes, gsize size)
{
  return sum_narrow (bytes, size);
}

#endif
