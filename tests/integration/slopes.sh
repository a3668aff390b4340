#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the soak calls a leak, tried with leaks and noise that are planted: slopes.py.
set -u
: "${COMMY_SOURCE_DIR:?}"
command -v /usr/bin/python3 >/dev/null || { echo '1..0 # SKIP python3 is not installed'; exit 0; }
exec /usr/bin/python3 "$COMMY_SOURCE_DIR/tests/integration/slopes.py"
