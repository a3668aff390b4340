/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The published set of values that encodings are compared on. Every run has the same ones.
 */
#pragma once

#include <glib.h>

typedef struct
{
  const char *name;
  const char *what;         /* for people */
  GVariant *(*make) (void); /* in normal form, as a value is that was sent before; not floating */
} BenchSampleValue;

/* Ends with one without a name. */
const BenchSampleValue *bench_samples (void);
