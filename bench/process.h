/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel tells of another process: its memory and how often it was woken.
 */
#pragma once

#include <glib.h>

/* Bytes that are there because of this process alone: private pages that were written, and the
 * shared memory it made, with what is reserved of it. 0: it cannot be told. */
guint64 bench_process_get_own_memory (GPid pid);
/* Bytes of all its memory; what several share counts in shares. 0: it cannot be told. */
guint64 bench_process_get_shared_memory (GPid pid);
/* How often its threads went to sleep of themselves, which is how often they had been woken. */
guint64 bench_process_get_wakes (GPid pid);
