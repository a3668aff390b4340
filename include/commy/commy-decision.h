/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of how a route was chosen, and questions of the kind "what if".
 */
#pragma once

#include <commy/commy-requirements.h>
#include <commy/commy-types.h>

G_BEGIN_DECLS

#define COMMY_TYPE_DECISION (commy_decision_get_type ())
/**
 * CommyDecision:
 *
 * The record of how a route was chosen: every candidate with what it claims, what was measured,
 * what is expected, and who or what refused it.
 *
 * It never changes and may be shared between threads.
 *
 * Since: 0.1
 */
COMMY_API GType commy_decision_get_type (void);

/**
 * commy_decision_ref:
 * @decision: a decision
 *
 * Decisions are immutable and can be shared between threads.
 *
 * Returns: (transfer full): the same decision
 *
 * Since: 0.1
 */
COMMY_API CommyDecision *commy_decision_ref (CommyDecision *decision);
/**
 * commy_decision_unref:
 * @decision: (nullable) (transfer full): a decision
 *
 * Gives a reference back.
 *
 * Since: 0.1
 */
COMMY_API void commy_decision_unref (CommyDecision *decision);
/**
 * commy_decision_get_transport:
 * @decision: a decision
 *
 * Which transport was chosen.
 *
 * Returns: (transfer none) (nullable): id of the chosen transport; %NULL if nothing was allowed
 *
 * Since: 0.1
 */
COMMY_API const char *commy_decision_get_transport (CommyDecision *decision);
/**
 * commy_decision_get_serializer:
 * @decision: a decision
 *
 * Which serializer was chosen.
 *
 * Returns: (transfer none) (nullable): id of the chosen serializer
 *
 * Since: 0.1
 */
COMMY_API const char *commy_decision_get_serializer (CommyDecision *decision);
/**
 * commy_decision_get_instance:
 * @decision: a decision
 *
 * Which instance was chosen.
 *
 * Returns: (transfer none) (nullable): id of the chosen instance
 *
 * Since: 0.1
 */
COMMY_API const char *commy_decision_get_instance (CommyDecision *decision);
/**
 * commy_decision_get_confidence:
 * @decision: a decision
 *
 * How sure the choice is.
 *
 * Returns: the probability, 0 to 1, that the chosen candidate is the fastest of those allowed
 *
 * Since: 0.1
 */
COMMY_API double commy_decision_get_confidence (CommyDecision *decision);
/**
 * commy_decision_to_string:
 * @decision: a decision
 *
 * The table that people read: candidates, claimed, measured, chosen, confidence, and why not
 * the others, with the keyfile line where one decided.
 *
 * Returns: (transfer full): lines, ending in a line feed
 *
 * Since: 0.1
 */
COMMY_API char *commy_decision_to_string (CommyDecision *decision);
/**
 * commy_decision_to_json:
 * @decision: a decision
 *
 * The record for programs.
 *
 * Returns: (transfer full): one JSON object with every field of the record
 *
 * Since: 0.1
 */
COMMY_API char *commy_decision_to_json (CommyDecision *decision);
/**
 * commy_decision_to_variant:
 * @decision: a decision
 *
 * The record as a value.
 *
 * Returns: (transfer full): the same as an `a{sv}`, not floating
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_decision_to_variant (CommyDecision *decision);

#define COMMY_TYPE_WHAT_IF (commy_what_if_get_type ())
/**
 * CommyWhatIf:
 *
 * A question for commy_client_explain(): what would be decided with other settings?
 *
 * Since: 0.1
 */
COMMY_API GType commy_what_if_get_type (void);

/**
 * commy_what_if_new:
 * @changes: (array zero-terminated=1) (nullable): `NAME=VALUE` with NAME one of `objective`,
 *   `min-security`, `preference`, `transports`, `max-latency`, `min-throughput`, `ordered`, and
 *   VALUE as in a keyfile
 * @error: return location
 *
 * A question: what would be decided with these settings instead?
 *
 * Returns: (transfer full): the question, or %NULL with @error naming the change that is wrong
 *
 * Since: 0.1
 */
COMMY_API CommyWhatIf *commy_what_if_new (const char *const *changes, GError **error);
/**
 * commy_what_if_copy:
 * @what_if: a question
 *
 * Copies a question.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 0.1
 */
COMMY_API CommyWhatIf *commy_what_if_copy (const CommyWhatIf *what_if);
/**
 * commy_what_if_free:
 * @what_if: (nullable) (transfer full): a question
 *
 * Frees it.
 *
 * Since: 0.1
 */
COMMY_API void commy_what_if_free (CommyWhatIf *what_if);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyDecision, commy_decision_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyWhatIf, commy_what_if_free)

G_END_DECLS
