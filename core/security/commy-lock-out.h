/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lock-outs are called in the deny list: an instance writes there whom it has wait after
 * failed attempts, and the others have him wait, too. Such a record is no denial: it says nothing
 * of connections that are open, nor of who proves at once who he is.
 *
 *   lock-out/mesh/SOURCE        the same to all hosts, as what a certificate says
 *   lock-out/host/HOST/SOURCE   known by the kernel of one host, where user 1000 is somebody else
 *
 * A SOURCE that many may share is an address: address/203.0.113.7, address/2001:db8:1:2::/64.
 */
#pragma once

#include <glib.h>

#define COMMY_LOCK_OUT "lock-out/"

gboolean commy_lock_out_is_subject (const char *subject);
/* @host: the id of the host that @source belongs to; NULL: to none. NULL: it cannot be a subject.
 * (transfer full) */
char *commy_lock_out_dup_subject (const char *source, const char *host);
/* Of whom it is, inside @subject; NULL: of nobody whom an instance on @host could know. */
const char *commy_lock_out_get_source (const char *subject, const char *host);

/* (transfer full): the source that an address is, IPv4 as ::ffff:a.b.c.d; NULL: of this host
 * itself.
 * *@out_of_link: hosts on another link mean somebody else by it. */
char *commy_lock_out_dup_address (const guint8 address[16], gboolean *out_of_link);
gboolean commy_lock_out_is_address (const char *source);
