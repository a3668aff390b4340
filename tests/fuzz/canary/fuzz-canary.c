/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fuzzer that must find something: a reader of records with one planted mistake, which only a
 * sanitizer sees and only an input that is led there by what was executed and compared reaches.
 * The stage fails if it is not found: then none of the other fuzzers is worth its seconds.
 */
#include "config.h"

#include "wire/commy-frame.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x594d4d43u /* "CMMY" */
#define HEADER_SIZE 8u

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Forgets that a name of the largest size has no room for its end. */
static size_t
length_of_name (const uint8_t *name, size_t size)
{
  size_t length = 0;

  while (length <= size && name[length] != '\0')
    length++;
  return length;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  uint32_t magic;
  uint8_t *name;
  size_t length;

  if (size < HEADER_SIZE)
    return 0;
  memcpy (&magic, data, sizeof magic);
  if (magic != MAGIC || data[4] != COMMY_FRAME_METHOD || data[5] != size - HEADER_SIZE
      || data[5] == 0)
    return 0;
  name = malloc (data[5]);
  if (name == NULL)
    abort ();
  memcpy (name, data + HEADER_SIZE, data[5]);
  length = length_of_name (name, data[5]);
  free (name);
  return length > COMMY_FRAME_NAME_MAX ? -1 : 0;
}
