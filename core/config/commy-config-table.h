/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a table of groups and keys is written: short words for types, limits and units. For the
 * files that have such a table, after commy-config-schema.h.
 */
#pragma once

#define US G_GINT64_CONSTANT (1000)
#define MS (1000 * US)
#define S (1000 * MS)
#define HOUR (3600 * S)
#define KIB G_GINT64_CONSTANT (1024)
#define GIB (KIB * KIB * KIB)

#define VALUE(TYPE, ...)                    \
  {                                         \
    .type = COMMY_VALUE_##TYPE, __VA_ARGS__ \
  }
#define PLAIN(TYPE)            \
  {                            \
    .type = COMMY_VALUE_##TYPE \
  }
#define LIST(TYPE) VALUE (TYPE, .is_list = TRUE)
#define WHOLE(TYPE, MIN_, MAX_) VALUE (TYPE, .minimum = (MIN_), .maximum = (MAX_))
#define REAL(TYPE, MIN_, MAX_) VALUE (TYPE, .real_minimum = (MIN_), .real_maximum = (MAX_))
#define CHOICE(TEXT) VALUE (CHOICE, .choices = TEXT)
#define GROUP(NAME, INSTANCE, KEYS)           \
  {                                           \
    NAME, INSTANCE, KEYS, G_N_ELEMENTS (KEYS) \
  }
