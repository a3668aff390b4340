/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formats of this build, for tests that go through all of them: a new serializer is added to
 * the list in formats.c, and its condition to Makefile.inc.
 */
#pragma once

#include "../conformance/commy-test-host.h"

G_BEGIN_DECLS

typedef struct
{
  const char *id;
  CommyTestHost *host;
  const CommySerializerOps *ops;
  gpointer instance;
} Format;

/* Ended by NULL. */
extern const char *const formats_names[];

/* @id is the serializer's. */
Format *format_start (const char *id);
void format_stop (Format *format);

/* Adds "/serializer/ID/NAME". */
void formats_add_case (const char *id, const char *name, void (*test) (Format *format));

GBytes *format_encode (Format *format, GVariant *value);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Format, format_stop)

G_END_DECLS
