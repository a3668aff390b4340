/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transactions without conditions that happen in one: each is a part, and a bundle takes those in
 * as far as etcd's limits allow and no key is in two of them. Pure, as the codec.
 */
#pragma once

#include <commy/commy-store.h>

typedef struct _CommyEtcdPart CommyEtcdPart;
typedef struct _CommyEtcdBundle CommyEtcdBundle;

/* @prefix is what every key begins with. NULL: it must be alone. */
CommyEtcdPart *commy_etcd_part_new (const char *prefix, const CommyStoreOp *ops, gsize n_ops);
void commy_etcd_part_free (CommyEtcdPart *self);

CommyEtcdBundle *commy_etcd_bundle_new (void);
/* @part stays the caller's and must last until the request is written. FALSE: it has to be another
 * bundle's. */
gboolean commy_etcd_bundle_add (CommyEtcdBundle *self, const CommyEtcdPart *part);
/* The request, and the end of the bundle. */
char *commy_etcd_bundle_write (CommyEtcdBundle *self);
