/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a service manager says in the environment, and what it is told: sockets that it opened,
 * readiness, status, the watchdog. Three variables and a datagram, as sd_listen_fds(3) and
 * sd_notify(3) describe them: no library is needed for that.
 */
#pragma once

#include <glib.h>

/* Descriptors that were handed over begin at 3; how many. Takes the variables away, so that
 * no child believes them. */
guint commyd_systemd_take_sockets (void);
/* Lines such as "READY=1\nSTATUS=fine"; nothing happens where nobody listens. */
void commyd_systemd_notify (const char *lines);
/* How often the watchdog wants to hear, in microseconds; 0: there is none. */
guint64 commyd_systemd_watchdog_us (void);
