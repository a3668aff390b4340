/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer that need not behave: drives a transport plugin by its operations and writes frames,
 * or anything else, by hand.
 */
#pragma once

#include "channel/commy-hello.h"
#include "tests/conformance/commy-test-host.h"
#include "wire/commy-frame.h"

typedef struct _FakeClient FakeClient;

/* @credentials_dir: for TLS, or NULL. */
FakeClient *fake_client_new (const char *transport, const char *credentials_dir);
void fake_client_free (FakeClient *client);
/* FALSE with the transport's error. */
gboolean fake_client_connect (FakeClient *client, const char *address, GError **error);
/* Ends the connection without a word. */
void fake_client_hang_up (FakeClient *client);

void fake_client_send (FakeClient *client, gconstpointer data, gsize size);
void fake_client_send_frame (FakeClient *client,
                             const CommyFrameSpec *spec,
                             gconstpointer payload,
                             gsize size);
/* One message of two parts: @head, and @size zeros that lie in a pool. */
void fake_client_lend (FakeClient *client, gconstpointer head, gsize head_size, gsize size);
/* A right HELLO but for what the caller changed in @hello; NULL members are filled in. */
void fake_client_greet (FakeClient *client, CommyHello *hello);
/* Waits for a frame. FALSE: the path ended. @out_text: (transfer full): its payload. */
gboolean fake_client_receive (FakeClient *client, CommyFrame *out_frame, char **out_text);
/* The same with all bytes of the payload. */
gboolean
fake_client_receive_bytes (FakeClient *client, CommyFrame *out_frame, GBytes **out_payload);
/* What stands for it in frames, once the WELCOME was received. */
guint16 fake_client_wire_of (FakeClient *client, const char *serializer);
/* Waits for the CLOSE frame with this number and these words, and for the end of the path. What
 * only acknowledges may come before. */
void fake_client_expect_close (FakeClient *client, guint32 code, const char *words);
