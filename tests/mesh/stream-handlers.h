/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Methods that stream, for tests: some wait synchronously, some work in the main context, some
 * misbehave.
 */
#pragma once

#include <commy/commy.h>

#define STREAM_HANDLERS_RELAYS 40u

/*
 * Sum     client   reads (i), waiting; result (x)
 * Numbers server   (u): writes as many numbers, waiting; result (u)
 * Blocks  server   (u): writes as many KiB of raw bytes, waiting; result (u)
 * Mirror  both     writes what it reads, values and bytes, waiting; result (u): how many
 * Relay   both     the same in the main context; result (u); as Relay0, Relay1 and so on, too
 * Hold    both     reads nothing until "Go"; then reads all; result (u)
 * Three   both     writes 1, 2, 3 and stays; result (u)
 * Burst   server   writes 1, 2, 3 without waiting and answers at once
 * Enough  both     cancels at the first message: "enough"
 * Fails   both     fails at the first message: "as you wished"
 * Drop    both     gives the call up
 * Gate    both     waits for one message; meanwhile "Inside" must not run
 *
 * and calls: Unread ()->(u) of what is held, Go (), Inside ()->(b): whether Gate waits,
 * Fate ()->(i): code with which a Relay, Hold or Three ended, once one has (0: well).
 */
void stream_handlers_add (CommyService *service);
