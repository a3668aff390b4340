/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measurements that outlive a process: what probes found out about one transport to one place, and
 * how it is written into and read from a keyfile. Time and machine come in as arguments; the file
 * itself is somebody else's.
 */
#pragma once

#include "route/commy-route.h"

#define COMMY_MEASUREMENT_PLACE_MAX 64
#define COMMY_MEASUREMENT_BUILD_MAX 96
#define COMMY_MEASUREMENTS_MAX 128u             /* entries of a file */
#define COMMY_MEASUREMENT_TEXT_MAX (256 * 1024) /* bytes of a file */

typedef struct
{
  char transport[COMMY_ID_MAX];
  char place[COMMY_MEASUREMENT_PLACE_MAX]; /* "here" for this host, or the other host's id */
  char build[COMMY_MEASUREMENT_BUILD_MAX]; /* of the plugin: its version and a hash of its file */
  CommyCalibration calibration;
  gint64 measured_s; /* wall clock, seconds since 1970: the last probe */
  guint64 probes;    /* round trips in all */
} CommyMeasurement;

/* A keyfile. Entries without samples are left out; of more than COMMY_MEASUREMENTS_MAX the oldest.
 * Sorts @entries, youngest first. (transfer full) */
char *commy_measurement_write (CommyMeasurement *entries, guint n, const char *machine);

/* Appends what @text says to @entries (of CommyMeasurement), as it was written. FALSE, with nothing
 * appended: not such a file, of another machine, or a value that cannot be. */
gboolean commy_measurement_read (
    const char *text, gsize size, const char *machine, GArray *entries, GError **error);
/* Makes @entry, as it was read, what is still believed of it at @wall_s: as uncertain as it is old.
 * Its samples count from @now_ns. */
void commy_measurement_age (CommyMeasurement *entry, gint64 wall_s, gint64 now_ns);
/* The process has measured for itself: what the file said counts as one sample. */
void commy_measurement_refresh (CommyMeasurement *entry);
