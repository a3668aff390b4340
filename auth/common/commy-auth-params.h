/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of a provider's table of parameters, each kind with what it needs.
 */
#pragma once

#include <commy/commy-descriptor.h>

#define COMMY_AUTH_STRING(NAME, DEFAULT, HELP)                                        \
  {                                                                                   \
    .struct_size = sizeof (CommyParamSpec), .type = COMMY_PARAM_STRING, .name = NAME, \
    .default_value = DEFAULT, .help = HELP                                            \
  }

#define COMMY_AUTH_BOOL(NAME, DEFAULT, HELP)                                        \
  {                                                                                 \
    .struct_size = sizeof (CommyParamSpec), .type = COMMY_PARAM_BOOL, .name = NAME, \
    .default_value = DEFAULT, .help = HELP                                          \
  }

/* @MINIMUM, @MAXIMUM: ns */
#define COMMY_AUTH_DURATION(NAME, DEFAULT, MINIMUM, MAXIMUM, HELP)                      \
  {                                                                                     \
    .struct_size = sizeof (CommyParamSpec), .type = COMMY_PARAM_DURATION, .name = NAME, \
    .default_value = DEFAULT, .minimum = MINIMUM, .maximum = MAXIMUM, .help = HELP      \
  }
