/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is said to etcd and what it answers, as JSON: requests are written, answers are read
 * strictly and within limits. Pure: it knows no connection, no clock and no host.
 */
#pragma once

#include <commy/commy-error.h>
#include <commy/commy-store.h>

/* The error domain of plugins, without linking the core. */
#define COMMY_ETCD_ERROR (g_quark_from_static_string ("commy-error-quark"))
/* What etcd's errors are numbered by (gRPC's status codes). */
#define COMMY_ETCD_CODE_NOT_FOUND 5
#define COMMY_ETCD_CODE_DENIED 7
#define COMMY_ETCD_CODE_EXHAUSTED 8
#define COMMY_ETCD_CODE_PRECONDITION 9
#define COMMY_ETCD_CODE_OUT_OF_RANGE 11
#define COMMY_ETCD_CODE_UNAVAILABLE 14
#define COMMY_ETCD_CODE_UNAUTHENTICATED 16

/* Which answer is read. */
typedef enum
{
  COMMY_ETCD_RANGE,
  COMMY_ETCD_TXN,
  COMMY_ETCD_LEASE,     /* of a grant or a revoke */
  COMMY_ETCD_KEEPALIVE, /* one line */
  COMMY_ETCD_TOKEN,
  COMMY_ETCD_WATCH,   /* one line */
  COMMY_ETCD_FAILURE, /* the body of any status but 200 */
  COMMY_ETCD_N_ANSWERS,
} CommyEtcdAnswerKind;

typedef struct
{
  gint64 revision; /* of the header; 0 if it has none */
  gboolean more;   /* RANGE: there are further keys */
  gboolean succeeded;
  gint64 lease;
  gint64 ttl;      /* LEASE, KEEPALIVE: seconds; 0: the lease has ended */
  GArray *entries; /* RANGE, WATCH: of CommyStoreEntry, owned, keys without the prefix */
  guint n_foreign; /* keys that no store of ours writes: with a NUL in them */
  char *token;
  gint64 watch;
  gboolean created;
  gboolean cancelled;
  gboolean fragment; /* WATCH: the rest of these changes is in the next line */
  gint64 compacted;  /* WATCH: what is older is not remembered */
  int code;          /* FAILURE, WATCH: etcd's number; 0: none */
  char *message;     /* FAILURE, WATCH: one line of printable text */
} CommyEtcdAnswer;

void commy_etcd_answer_clear (CommyEtcdAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyEtcdAnswer, commy_etcd_answer_clear)

/* @prefix is what every key begins with and what is taken off. */
gboolean commy_etcd_read (CommyEtcdAnswerKind kind,
                          const char *prefix,
                          const char *data,
                          gsize size,
                          CommyEtcdAnswer *out,
                          GError **error);

/* A copy of what a stranger wrote that fits into one line of a log. */
char *commy_etcd_one_line (const char *text, gssize size);

/* Requests; keys are without @prefix. */

/* From @after (exclusive, NULL: the beginning) at @revision (0: the newest). */
char *commy_etcd_write_range (
    const char *prefix, const char *below, const char *after, gint64 revision, guint limit);
/* Whether the cluster answers, and its revision. */
char *commy_etcd_write_probe (const char *prefix);
char *commy_etcd_write_txn (const char *prefix,
                            const CommyStoreCompare *compares,
                            gsize n_compares,
                            const CommyStoreOp *ops,
                            gsize n_ops);
/* A part of such a request: what is done, with commas between. */
char *commy_etcd_write_ops (const char *prefix, const CommyStoreOp *ops, gsize n_ops);
char *commy_etcd_write_grant (gint64 lease, gint64 ttl);
char *commy_etcd_write_lease (gint64 lease);
char *commy_etcd_write_login (const char *user, const char *password);
/* Appended to others: one request begins any number of watches. */
void commy_etcd_write_watch (
    GString *request, const char *prefix, const char *below, gint64 first_revision, gint64 watch);
