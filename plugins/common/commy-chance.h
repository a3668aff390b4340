/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the hooks that do harm by chance share: one parameter, `per-million`, the dice, and the note
 * of a hook. With 0 such a hook changes nothing.
 */
#pragma once

#include <commy/commy-hook.h>
#include <commy/commy-plugin.h>

#define COMMY_CHANCE_MILLION 1000000

/* For a table of parameters. */
#define COMMY_CHANCE_PARAM(DEFAULT, HELP)                                                   \
  {                                                                                         \
    .struct_size = sizeof (CommyParamSpec), .type = COMMY_PARAM_INT, .name = "per-million", \
    .default_value = DEFAULT, .maximum = COMMY_CHANCE_MILLION, .help = HELP                 \
  }

/* A hook reaches and costs what it is put on: its own profile is empty. */
#define COMMY_CHANCE_NOTE(ID, SUMMARY)                                                           \
  COMMY_PLUGIN_NOTE (TRANSPORT, ID, PACKAGE_VERSION, "LGPL-2.1-or-later", SUMMARY, "",           \
                     COMMY_PLUGIN_FLAG_HOOK, .n_segments = 1,                                    \
                     .provenance = COMMY_PROVENANCE_GUESS, .security = COMMY_SECURITY_NONE,      \
                     .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,         \
                     .delivery = COMMY_DELIVERY_RELIABLE, .ordering = COMMY_ORDERING_CONNECTION, \
                     .size_factor = 1, .segments = { { .max_bytes = G_MAXUINT64 } })

static inline guint
commy_chance_param (CommyHost *host)
{
  return (guint) g_ascii_strtoull (host->param (host, "per-million"), NULL, 10);
}

/* A number below @n, which is not 0. */
static inline guint64
commy_chance_below (CommyHost *host, guint64 n)
{
  guint64 dice;

  host->random (host, &dice, sizeof dice);
  return dice % n;
}

static inline gboolean
commy_chance_falls (CommyHost *host, guint per_million)
{
  return per_million > 0 && commy_chance_below (host, COMMY_CHANCE_MILLION) < per_million;
}
