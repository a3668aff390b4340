/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time lines of a simulation as a drawing: SVG that stands alone, no script.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* (transfer full): @result as commy-simulate gives it */
char *commy_simulate_plot (GVariant *result, const char *title);

G_END_DECLS
