/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the digest service and those who call it agree on.
 */
#pragma once

#define DIGEST_SERVICE "org.example.Digest"
/* Raw bytes in, the 32 bytes of their SHA-256 out. */
#define DIGEST_SHA256 "Sha256"
/* The same, and behind the digest who answered and over which transport, such as "A over shm". */
#define DIGEST_SHA256_BY "Sha256By"
/* () -> (s): who answers, in which process, how many digests so far. */
#define DIGEST_DESCRIBE "Describe"

#define DIGEST_SIZE 32u
#define DIGEST_BY_MAX 64u
