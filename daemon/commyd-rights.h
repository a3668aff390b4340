/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may write what. A user writes keys that are its own or that nobody has, and offers the
 * names that no [policy] of the daemon's keyfile denies it; only root and the daemon's own user
 * touch what others wrote. What a [policy] denies of reading and writing keys comes on top. Decides
 * and explains; nothing is changed here.
 */
#pragma once

#include "daemon/commyd-ledger.h"

#include "security/commy-policy.h"

#include <commy/commy-store.h>

/* What the daemon says of its host: its own keys alone. */
#define COMMYD_HOSTS "hosts/"

/* What the limits of a user are; see [daemon] in commy.conf(5). */
typedef struct
{
  guint users; /* of all together: that many may be connected at a time */
  guint connections;
  guint watches;
  guint leases;
  guint keys;
  guint64 bytes;   /* stored */
  guint64 waiting; /* in memory, to be read or to be sent */
} CommydLimits;

typedef struct
{
  CommydLedger *ledger;
  CommyPolicy *policy;
  CommydLimits limits;
  guint32 own_uid;
} CommydRights;

/* Whether it is about somebody who is denied, or locked out. */
gboolean commyd_rights_is_denial (const char *key);
/* Whether @op may change what is said there. */
gboolean commyd_rights_touches_denials (const CommyStoreOp *op);
/* What a rule denies it to read is not shown to it; but for who is denied, which all have to know:
 * without it they would let in whoever it is about. */
gboolean commyd_rights_may_read (const CommydRights *self, guint32 uid, const char *key);

/* Error: DENIED or BUSY, with who, what and the way out. @out_op: which of them it is about; NULL:
 * all. */
gboolean commyd_rights_check (const CommydRights *self,
                              guint32 uid,
                              const CommyStoreOp *ops,
                              gsize n_ops,
                              const CommyStoreOp **out_op,
                              GError **error);
