#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docs/guide/newcomer.md, word for word, as two-hosts.sh does it with its page.
# shellcheck disable=SC2034 # what is sourced reads it
page=newcomer
# shellcheck source=/dev/null
. "${COMMY_SOURCE_DIR:?}/tests/integration/two-hosts.sh"
