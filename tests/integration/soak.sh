#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Faults by chance on one host and on three: soak.py. COMMY_SOAK_SECONDS is how long (60),
# COMMY_SEED repeats a run, COMMY_SOAK_PAUSE is how many microseconds are between two calls.
set -u
: "${COMMY_BUILD_DIR:?}" "${COMMY_SOURCE_DIR:?}"
# shellcheck source=/dev/null
. "$COMMY_SOURCE_DIR/tests/integration/hosts.sh"
seed=${COMMY_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
hosts_run soak.py "${COMMY_SOAK_SECONDS:-60}" "$seed" "${COMMY_SOAK_PAUSE:-5000}"
