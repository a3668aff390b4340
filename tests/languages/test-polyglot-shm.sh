#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every language with every other over shm.
# shellcheck disable=SC1091,SC2034 # what is read uses the variable
transport=shm
. "$COMMY_SOURCE_DIR/tests/languages/polyglot.sh"
