#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# One program on one host and on three, and what befalls them: three-hosts.py. COMMY_TEST_ROUNDS
# is how often instances are killed and stopped.
set -u
: "${COMMY_BUILD_DIR:?}" "${COMMY_SOURCE_DIR:?}"
# shellcheck source=/dev/null
. "$COMMY_SOURCE_DIR/tests/integration/hosts.sh"
hosts_run three-hosts.py "${COMMY_TEST_ROUNDS:-1}"
