/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The auth vtable: who the other side *proved* to be. Always asked on both sides.
 * All slots but `seal` run on the mesh thread and must not block.
 */
#pragma once

#include <commy/commy-descriptor.h>
#include <commy/commy-transport.h>

G_BEGIN_DECLS

/**
 * CommyAuthVerdict:
 * @COMMY_AUTH_ACCEPTED: the principal is proved
 * @COMMY_AUTH_REFUSED: the evidence is of the right kind and not good enough
 * @COMMY_AUTH_NOT_MINE: not the kind of evidence this provider judges
 * @COMMY_AUTH_CONTINUE: (steps only) send the bytes and call again with the answer
 * @COMMY_AUTH_UNABLE: the evidence cannot be judged now, and not for a fault of the peer's: a file
 *   cannot be read, an issuer does not answer, too much is under way. Nobody is let in, and the
 *   peer need not wait longer for another attempt, as it must after %COMMY_AUTH_REFUSED
 *
 * A provider's word.
 */
typedef enum
{
  COMMY_AUTH_ACCEPTED = 0,
  COMMY_AUTH_REFUSED = 1,
  COMMY_AUTH_NOT_MINE = 2,
  COMMY_AUTH_CONTINUE = 3,
  COMMY_AUTH_UNABLE = 4,
} CommyAuthVerdict;

/**
 * COMMY_PRINCIPAL_MAX:
 *
 * Room for a principal's name, its NUL included.
 */
#define COMMY_PRINCIPAL_MAX 512

/**
 * CommyAuthJudgeFunc:
 * @instance: the plugin's instance
 * @evidence: what the transport knows
 * @principal: (out caller-allocates): %COMMY_PRINCIPAL_MAX bytes: the proved name, such as
 *   `unix:uid=1000` or `spiffe://domain/host/h/user/u`
 * @reason: (out caller-allocates): when refused or unable: why, a phrase; may be sent to the peer,
 * so without secrets
 * @reason_size: room of @reason
 *
 * Decides from the transport's evidence alone.
 *
 * Returns: accepted, refused, not-mine or unable
 */
typedef CommyAuthVerdict (*CommyAuthJudgeFunc) (gpointer instance,
                                                const CommyEvidence *evidence,
                                                char *principal,
                                                char *reason,
                                                gsize reason_size);

/**
 * COMMY_AUTH_STEP_MAX:
 *
 * Most bytes that one step sends.
 */
#define COMMY_AUTH_STEP_MAX 8192

/**
 * COMMY_AUTH_ROUNDS_MAX:
 *
 * Most steps that each side takes with one provider.
 */
#define COMMY_AUTH_ROUNDS_MAX 8

/**
 * CommyAuthStepDoneFunc:
 * @user_data: as given
 * @verdict: the provider's word
 * @bytes: (nullable) (transfer none): for the peer, at most %COMMY_AUTH_STEP_MAX
 * @text: (nullable): the principal, or the reason of a refusal or inability
 *
 * The end of a step; may come at once or later, on the mesh thread. If later, the session may be
 * gone when this returns.
 *
 * %COMMY_AUTH_CONTINUE sends @bytes and waits for the answer. %COMMY_AUTH_ACCEPTED is this side's
 * last word: the peer proved to be @text; attributes may follow the principal, a line each (at most
 * 32 of 255 bytes, without spaces). The attribute `for=PRINCIPAL` says that the proof counts only
 * beside a proof of being that principal, which a chain can demand (`same-principal`).
 * %COMMY_AUTH_NOT_MINE is a last word, too: this side did its part and learned nothing of the peer,
 * as when only the other side has to prove something. The bytes of a last word are sent.
 * %COMMY_AUTH_REFUSED ends the set-up, and counts as a failed attempt of the peer's;
 * %COMMY_AUTH_UNABLE ends it without that. @text goes to the log of this side only.
 */
typedef void (*CommyAuthStepDoneFunc) (gpointer user_data,
                                       CommyAuthVerdict verdict,
                                       GBytes *bytes,
                                       const char *text);

/**
 * CommyAuthBeginFunc:
 * @instance: the plugin's instance
 * @session: zeroed memory of `session_size`
 * @evidence: what the transport knows; its `binding` ties the proof to this channel, and its
 *   `principal` is who the peer is already known to be. Valid during the call; `binding` must be
 *   copied
 * @accepting: %TRUE on the side that accepted the connection
 *
 * Starts an exchange of steps. It is for both directions: either side's chain may have asked for
 * it, and each side says in its last word what the other one proved to it.
 */
typedef void (*CommyAuthBeginFunc) (gpointer instance,
                                    gpointer session,
                                    const CommyEvidence *evidence,
                                    gboolean accepting);

/**
 * CommyAuthStepFunc:
 * @session: the session
 * @bytes: (nullable): what the peer sent; %NULL for the first step of the side that begins
 * @done: called exactly once
 * @user_data: for @done
 *
 * One step. The connecting side takes the first, with %NULL; then both take turns until each has
 * had its last word. A provider that needs more than the peer has to say is refused, as is one that
 * takes more than %COMMY_AUTH_ROUNDS_MAX. Input is hostile, and may be empty.
 */
typedef void (*CommyAuthStepFunc) (gpointer session,
                                   GBytes *bytes,
                                   CommyAuthStepDoneFunc done,
                                   gpointer user_data);

/**
 * CommyAuthEndFunc:
 * @session: the session
 *
 * Ends an exchange; a step under way is not answered any more.
 */
typedef void (*CommyAuthEndFunc) (gpointer session);

/**
 * CommyAuthSelfFunc:
 * @instance: the plugin's instance
 * @principal: (out caller-allocates): the name that this node's own credentials prove to others
 * @size: its room
 *
 * Peers that prove one of these names count as the own user.
 *
 * Returns: whether this node has such a name
 */
typedef gboolean (*CommyAuthSelfFunc) (gpointer instance, char *principal, gsize size);

/**
 * CommyAuthSameUserFunc:
 * @instance: the plugin's instance
 * @principal: a name that this provider accepted just now
 *
 * Whether @principal is the user of this node under another name, such as on another host: such
 * a peer counts as the own user, too. Mesh thread.
 *
 * Returns: whether it is
 */
typedef gboolean (*CommyAuthSameUserFunc) (gpointer instance, const char *principal);

/**
 * COMMY_SEAL_MAX:
 *
 * The most bytes that a seal has.
 *
 * Since: 0.1
 */
#define COMMY_SEAL_MAX 240

/**
 * CommyAuthSealFunc:
 * @instance: the plugin's instance
 * @first: nothing that was sealed before is referred to: the seal is to be judged by what the
 *   node's credentials folder keeps; otherwise by the seal before it
 * @bytes: what is to be signed
 * @size: how many
 * @seal: (out caller-allocates): %COMMY_SEAL_MAX bytes
 * @seal_size: (out): how many were used
 *
 * Signs a checkpoint of the audit trail with a key of this node's own. A key that was used is to be
 * forgotten when the next one is in place, so that who takes over the node later cannot sign
 * anew what was signed before. Unlike the other slots it runs on a thread of the audit trail's, one
 * call at a time, and may block for as long as a file takes; it may run beside the other slots.
 *
 * Returns: whether there is a seal; %FALSE: this node has no key
 *
 * Since: 0.1
 */
typedef gboolean (*CommyAuthSealFunc) (gpointer instance,
                                       gboolean first,
                                       gconstpointer bytes,
                                       gsize size,
                                       guint8 *seal,
                                       gsize *seal_size);

/**
 * COMMY_PROOF_ID_MAX:
 *
 * Room for the names of a proof, their NUL included.
 *
 * Since: 0.1
 */
#define COMMY_PROOF_ID_MAX 1024

/**
 * CommyProof:
 * @struct_size: `sizeof (CommyProof)`; set by the core
 * @id: what the peer's proof is called, such as `x509:AUTHORITY:SERIAL`: words with a space
 *   between, of each certificate of a chain one, the peer's own first. Who denies a proof writes
 * one of them. Empty: it has no name
 * @from_s: since when it holds, seconds since 1970; 0: not known
 * @until_s: how long it holds; 0: for good. Where both sides showed something that ends, the
 * earlier end
 *
 * How long what was proved holds, and under which name it can be taken back.
 *
 * Since: 0.1
 */
typedef struct
{
  gsize struct_size;
  char id[COMMY_PROOF_ID_MAX];
  gint64 from_s;
  gint64 until_s;
} CommyProof;

/**
 * CommyAuthProofFunc:
 * @instance: the plugin's instance
 * @evidence: what the transport knows, that this provider accepted just now
 * @session: (nullable): the exchange of steps in which it accepted; %NULL where it judged alone
 * @proof: (out caller-allocates): zeroed but for its size
 *
 * Describes the proof that the provider accepted. Also asked where the provider only made a proof
 * itself (%COMMY_AUTH_NOT_MINE as its last word): that may end, too. Mesh thread.
 *
 * Returns: whether there is something to say
 *
 * Since: 0.1
 */
typedef gboolean (*CommyAuthProofFunc) (gpointer instance,
                                        const CommyEvidence *evidence,
                                        gpointer session,
                                        CommyProof *proof);

/**
 * CommyProofState:
 * @COMMY_PROOF_GOOD: it holds
 * @COMMY_PROOF_STALE: it is to be made anew: connections that rest on it are replaced, and closed
 * if that does not happen
 * @COMMY_PROOF_REVOKED: it holds no more: connections that rest on it are closed
 *
 * What became of a proof.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_PROOF_GOOD = 0,
  COMMY_PROOF_STALE = 1,
  COMMY_PROOF_REVOKED = 2,
} CommyProofState;

/**
 * CommyAuthStandsFunc:
 * @instance: the plugin's instance
 * @id: as the provider named it
 * @reason: (out caller-allocates): if it does not hold: why, a phrase without secrets
 * @reason_size: room of @reason
 *
 * Whether a proof that was accepted before holds still. Asked of every open connection every few
 * seconds: what it takes is to be kept, and read again only where files changed. Mesh thread.
 *
 * Returns: a #CommyProofState
 *
 * Since: 0.1
 */
typedef CommyProofState (*CommyAuthStandsFunc) (gpointer instance,
                                                const char *id,
                                                char *reason,
                                                gsize reason_size);

/**
 * CommyAuthOps:
 * @struct_size: `sizeof (CommyAuthOps)`
 * @session_size: bytes of one exchange of steps; 0 for providers that judge alone
 * @judge: required
 * @begin: optional; with `step` and `end`, or none of them
 * @step: optional
 * @end: optional
 * @self: optional
 * @same_user: optional
 * @seal: optional
 * @proof: optional
 * @stands: optional
 *
 * The operations of an auth provider.
 *
 * Since: 0.1
 */
struct _CommyAuthOps
{
  gsize struct_size;
  gsize session_size;
  CommyAuthJudgeFunc judge;
  CommyAuthBeginFunc begin;
  CommyAuthStepFunc step;
  CommyAuthEndFunc end;
  CommyAuthSelfFunc self;
  CommyAuthSameUserFunc same_user;
  CommyAuthSealFunc seal;
  CommyAuthProofFunc proof;
  CommyAuthStandsFunc stands;
};

G_END_DECLS
