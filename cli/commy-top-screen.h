/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The screen of `commy top`. A build without ncurses has none.
 */
#pragma once

#include "cli/commy-top-model.h"

typedef struct
{
  CommyTopView view;
  CommyTopOrder order;
  const char *filter; /* or NULL */
  gint64 every_us;
} CommyTopSettings;

/* Until somebody ends it. FALSE with @error: there is no screen. */
gboolean commy_top_screen_run (CommyMesh *mesh, const CommyTopSettings *settings, GError **error);
