#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What gjs has beyond introspection, and that its programs end.
# shellcheck disable=SC1091,SC2154 # the library has the variables
. "$COMMY_SOURCE_DIR/tests/languages/library.sh"

ends () { # how, status
  ended=0
  gjs "$here/gjs.js" "$1" > "$folder/out" 2> "$folder/err" < /dev/null || ended=$?
  [ "$ended" -eq "$2" ] && ! grep -q CRITICAL "$folder/err"
  report $? "gjs/a-program-ends-$1"
  sed 's/^/# /' "$folder/err"
}

if there gjs; then
  cases gjs gjs "$here/gjs.js"
  ends without-leaving 0
  ends with-a-call-under-way 0
  ends by-an-exception 1
fi
finish
