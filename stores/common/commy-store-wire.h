/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What commyd and its clients say to each other: frames, and what is in them. Pure: bytes in,
 * checked values out, and back. Sockets are in commy-store-stream. The format is described in
 * docs/formats/commyd.md.
 */
#pragma once

#include <commy/commy-plugin.h>

#define STORE_WIRE_VERSION 1u
#define STORE_WIRE_MAGIC 0x44594d43u /* "CMYD" */
#define STORE_WIRE_HEADER 16u
#define STORE_WIRE_MAX_REQUEST (24u << 20) /* payload of a frame to the daemon */
#define STORE_WIRE_MAX (32u << 20)         /* and of one from it */
#define STORE_WIRE_MAX_GREETING (4u << 10) /* and before the other side has greeted */
#define STORE_WIRE_PART (1u << 20)         /* entries of an answer are cut at about this size */
#define STORE_WIRE_MAX_PARTS 4096u         /* conditions of a transaction, and changes */
#define STORE_WIRE_MAX_VALUES (20u << 20)  /* bytes of keys and values in a transaction */
#define STORE_WIRE_MAX_TEXT 65535u         /* keys, words, messages */

typedef enum
{
  STORE_WIRE_HELLO = 1,
  STORE_WIRE_RANGE = 2,
  STORE_WIRE_TXN = 3,
  STORE_WIRE_GRANT = 4,
  STORE_WIRE_REVOKE = 5,
  STORE_WIRE_WATCH = 6,
  STORE_WIRE_UNWATCH = 7,
  STORE_WIRE_STATUS = 8,
  /* answers */
  STORE_WIRE_WELCOME = 64,
  STORE_WIRE_RESULT = 65,
  STORE_WIRE_EVENT = 66,
  STORE_WIRE_ERROR = 67,
  STORE_WIRE_REFUSED = 68,
  STORE_WIRE_REPORT = 69,
} StoreWireType;

#define STORE_WIRE_MORE 1u /* flag: the rest of this answer follows */

typedef struct
{
  guint32 size; /* of the payload */
  guint8 type;
  guint8 flags;
  guint64 id; /* of the request or the watch */
} StoreWireHeader;

/* FALSE with @error: not a frame. @data has STORE_WIRE_HEADER bytes. */
gboolean store_wire_read_header (const guint8 *data,
                                 gsize max_payload,
                                 StoreWireHeader *out_header,
                                 GError **error);

void store_wire_set_error (GError **error, int code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* --- what is in them --- */

typedef struct
{
  guint32 version;
  char *mesh;
} StoreWireHello;

typedef struct
{
  guint32 version;
  char *program; /* the daemon's version */
  char *host;    /* boot id */
  gint64 since;  /* seconds since 1970 */
} StoreWireWelcome;

typedef struct
{
  GArray *compares; /* of CommyStoreCompare, keys owned */
  GArray *ops;      /* of CommyStoreOp, keys and values owned */
} StoreWireTxn;

typedef struct
{
  gboolean succeeded;
  gint64 revision;
  gint64 lease;
  GArray *entries; /* of CommyStoreEntry, keys and values owned */
} StoreWireAnswer;

void store_wire_hello_clear (StoreWireHello *hello);
void store_wire_welcome_clear (StoreWireWelcome *welcome);
/* An empty one. */
void store_wire_txn_init (StoreWireTxn *out_txn);
void store_wire_txn_clear (StoreWireTxn *txn);
void store_wire_answer_clear (StoreWireAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StoreWireHello, store_wire_hello_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StoreWireWelcome, store_wire_welcome_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StoreWireTxn, store_wire_txn_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StoreWireAnswer, store_wire_answer_clear)

/* Whole frames, header included. (transfer full) */
GByteArray *store_wire_write_hello (const StoreWireHello *hello);
GByteArray *store_wire_write_welcome (const StoreWireWelcome *welcome);
/* RANGE, and WATCH with the revision after which. Keys are at most STORE_WIRE_MAX_TEXT long. */
GByteArray *
store_wire_write_prefix (StoreWireType type, guint64 id, const char *prefix, gint64 after);
GByteArray *store_wire_write_txn (guint64 id,
                                  const CommyStoreCompare *compares,
                                  gsize n_compares,
                                  const CommyStoreOp *ops,
                                  gsize n_ops);
/* GRANT (ns) and REVOKE (lease). */
GByteArray *store_wire_write_number (StoreWireType type, guint64 id, gint64 number);
/* UNWATCH and STATUS. */
GByteArray *store_wire_write_empty (StoreWireType type, guint64 id);
/* ERROR and REFUSED. */
GByteArray *store_wire_write_error (StoreWireType type, guint64 id, int code, const char *message);
GByteArray *store_wire_write_report (guint64 id, const char *text);
/* RESULT or EVENT with the entries from *@at on, as many as go into a frame; *@at is behind them
 * then, and the flag MORE says whether it is not the end. */
GByteArray *
store_wire_write_answer (StoreWireType type, guint64 id, const CommyStoreResult *result, gsize *at);

/* Payloads. FALSE with @error: nothing was set. */
gboolean
store_wire_read_hello (const guint8 *data, gsize size, StoreWireHello *out, GError **error);
gboolean
store_wire_read_welcome (const guint8 *data, gsize size, StoreWireWelcome *out, GError **error);
gboolean store_wire_read_prefix (StoreWireType type,
                                 const guint8 *data,
                                 gsize size,
                                 char **out_prefix,
                                 gint64 *out_after,
                                 GError **error);
gboolean store_wire_read_txn (const guint8 *data, gsize size, StoreWireTxn *out, GError **error);
gboolean
store_wire_read_number (const guint8 *data, gsize size, gint64 *out_number, GError **error);
gboolean store_wire_read_empty (gsize size, GError **error);
/* The error it carries, or one that says what is wrong with it: never NULL. (transfer full) */
GError *store_wire_read_error (const guint8 *data, gsize size);
char *store_wire_read_report (const guint8 *data, gsize size, GError **error);
/* Appends to @answer, which is empty before the first part. */
gboolean
store_wire_read_answer (const guint8 *data, gsize size, StoreWireAnswer *answer, GError **error);
