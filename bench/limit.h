/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limits of this machine: what bare mechanisms do without Commy, between two processes.
 */
#pragma once

#include "bench.h"

/* --- the other side (limit-partner.c) --- */

typedef void (*LimitPartner) (gpointer data);

/* Runs @func in a process of its own, which ends with limit_partner_stop() at the latest. What both
 * sides write lies in limit_share(). */
gboolean limit_partner_start (
    BenchRun *run, LimitPartner func, gpointer data, GPid *out_pid, GError **error);
void limit_partner_stop (BenchRun *run, GPid pid);
/* Memory that both sides see, touched already; NULL with @error. */
gpointer limit_share (gsize size, GError **error);
void limit_unshare (gpointer memory, gsize size);

/* --- sockets, also used by TLS (limit-socket.c) --- */

gboolean limit_make_tcp_pair (int fds[2], GError **error);
gboolean limit_make_unix_pair (int fds[2], GError **error);
/* All of it; @spins: asks again and again instead of sleeping. */
gboolean limit_move (int fd, guint8 *bytes, gsize size, gboolean out, gboolean spins);

/* --- scenarios --- */

gboolean limit_memory (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_wake (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_sockets (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_rings (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_copy (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_socket_streams (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_tls (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_tls_streams (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_death (BenchRun *run, const BenchScene *scene, GError **error);
gboolean limit_values (BenchRun *run, const BenchScene *scene, GError **error);
