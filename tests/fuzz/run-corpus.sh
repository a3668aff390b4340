#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs the corpus of one fuzzer once and speaks TAP: run-corpus.sh NAME
set -u
name=$1
fuzzer="$COMMY_BUILD_DIR/tests/fuzz/$name/fuzz-$name"
corpus="$COMMY_SOURCE_DIR/tests/fuzz/corpus/$name"
set -- "$corpus"/*
echo "1..$#"
number=0
failed=0
for input; do
  number=$((number + 1))
  if "$fuzzer" "$input" >/dev/null; then
    echo "ok $number /fuzz/$name/${input##*/}"
  else
    echo "not ok $number /fuzz/$name/${input##*/}"
    failed=1
  fi
done
exit "$failed"
