/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of fuzz-frame-stream: a channel under attack, paths it goes over, of which the other
 * ends are the input's, and an application that does with messages what applications do.
 */
#pragma once

#include "channel/commy-channel-private.h"
#include "plugins/common/commy-inbox.h"

#define FUZZ_PAYLOAD_MAX (96u << 10)
#define FUZZ_STREAMS_SEEN 8u

/* The fuzzer's bytes; at their end everything is zero. */
typedef struct
{
  const guint8 *at;
  gsize left;
} FuzzInput;

guint64 fuzz_take (FuzzInput *self, guint bytes);

void fuzz_check (gboolean ok, const char *what);
#define FUZZ_CHECK(condition) fuzz_check (condition, #condition)

/* --- stream-path.c: where the bytes of one connection are --- */

typedef struct
{
  int fd;
  GByteArray *wire; /* sent by the peer */
  gsize read;       /* of it */
  gsize arrived;    /* and may be read */
  Inbox inbox;      /* what was read and not taken */
  GQueue out;       /* GBytes: frames of the channel that the peer did not take yet */
  gsize out_bytes;
  gsize room; /* for them */
  guint8 *span;
  gboolean keeps; /* can tell what the peer did not take */
  gboolean ended;
  gboolean deaf; /* takes nothing any more, and may still bring something */
  gboolean closed;
  guint n_lent;
} FuzzPath;

FuzzPath *fuzz_path_new (gboolean keeps);
void fuzz_path_free (gpointer path);
/* What a channel takes as its connection; refers to @path. */
gpointer fuzz_path_connect (FuzzPath *path);
/* The peer sends a message; the next @size bytes of what it sent arrive. */
void fuzz_path_put (FuzzPath *path, gconstpointer frame, gsize size);
void fuzz_path_arrive (FuzzPath *path, gsize size);
/* Not told by whoever keeps frames, and told by him. */
void fuzz_transport_init (CommyPlugin *transport, gboolean zero_copy);

/* --- stream-app.c: who uses the channel --- */

typedef struct
{
  CommyChannel *channel; /* reference */
  GPtrArray *calls;      /* CommyIncoming: taken over, not answered */
  GPtrArray *payloads;   /* GBytes */
  GPtrArray *pipes;      /* CommyPipe */
  gboolean want_paths;   /* looks for another one when one is lost */
  CommyFrameSpec built;  /* what is being written, if anything is */
  gsize building;        /* its room */
  guint n_expected, n_ended;
  guint64 n_delivered;
  guint n_closed;
} FuzzApp;

extern const CommyChannelHandler fuzz_handler;

void fuzz_app_init (FuzzApp *self, CommyChannel *channel);
void fuzz_app_clear (FuzzApp *self);
/* One of the things an application does, in one of eight ways; the input says what with. */
void fuzz_app_act (FuzzApp *self, guint what, guint how, FuzzInput *input);
gboolean fuzz_app_on_adrift (gpointer data, CommyChannel *channel, const GError *error);
void fuzz_app_on_closed (gpointer data, CommyChannel *channel);
