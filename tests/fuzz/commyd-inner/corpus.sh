#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
exec "${SHELL:-/bin/sh}" "$COMMY_SOURCE_DIR/tests/fuzz/run-corpus.sh" commyd-inner
