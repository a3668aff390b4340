/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tests with DNS share: a network and an /etc/resolv.conf of the test's own, and dnsmasq in
 * it. As an ordinary user it is in a user namespace.
 */
#pragma once

#include <gio/gio.h>

/* For the rest of this process: a network with a loopback device only, and DNS at 127.0.0.1.
 * NULL, or why there is none. Before there is a second thread. */
const char *dns_fixture_enter (void);

typedef struct
{
  GSubprocess *process;
  char *config;
} DnsServer;

/* @records: lines of dnsmasq's configuration. Returns when it listens. */
void dns_server_start (DnsServer *self, const char *records);
void dns_server_stop (DnsServer *self);
