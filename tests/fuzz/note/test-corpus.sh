#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Gives every file of the corpus to the fuzzer once.
corpus=$COMMY_SOURCE_DIR/tests/fuzz/note/corpus
n=$(ls "$corpus" | wc -l)
echo 1..2
[ "$n" -ge 10 ] || printf 'not '
echo "ok 1 - the corpus has at least 10 files"
"$COMMY_BUILD_DIR/tests/fuzz/note/fuzz-note" "$corpus"/* >/dev/null || printf 'not '
echo "ok 2 - every file of the corpus is survived"
