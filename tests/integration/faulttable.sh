#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The table of faults that a run of three-hosts writes, tried with rows that are made up: faulttable.py.
set -u
: "${COMMY_SOURCE_DIR:?}"
command -v /usr/bin/python3 >/dev/null || { echo '1..0 # SKIP python3 is not installed'; exit 0; }
exec /usr/bin/python3 "$COMMY_SOURCE_DIR/tests/integration/faulttable.py"
