#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every order of what a writer and a sleeping reader do, and of when their stores are seen: nothing is
# torn, and nobody sleeps on what is there. Each thing that this rests on is taken away once, and must
# be missed. What the compiler makes of the fences is looked at in tests/shm/test-instructions.
set -u
source_dir=${COMMY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
model=$source_dir/tests/model/wake.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0 bad=0

# check NAME WANTED [-D...]: WANTED is what the search must end with.
check () {
  name=$1 wanted=$2
  shift 2
  n=$((n + 1))
  if (cd "$work" && spin "$@" -a "$model" && ${COMMY_CC:-cc} -O1 -w -DSAFETY -DMEMLIM=512 -o search pan.c &&
      timeout 120 ./search -m100000) >"$work/log" 2>&1 && grep -q "$wanted" "$work/log"; then
    echo "ok $n - $name"
  else
    sed 's/^/# /' "$work/log" | tail -n 30
    echo "not ok $n - $name"
    bad=$((bad + 1))
  fi
}

if ! command -v spin >/dev/null; then
  echo "1..0 # SKIP spin is not installed"
  exit 0
fi
echo "1..6"
check "nothing-is-torn-and-nobody-oversleeps" "errors: 0"
check "a-relaxed-mark-is-missed" "pan:1: assertion violated" -DNO_MARK_RELEASE
check "a-relaxed-tail-is-missed" "pan:1: invalid end state" -DNO_TAIL_RELEASE
check "a-fence-of-the-writer-is-missed" "pan:1: invalid end state" -DNO_WRITER_FENCE
check "a-fence-of-the-reader-is-missed" "pan:1: invalid end state" -DNO_READER_FENCE
check "a-wake-up-that-reached-nobody-is-missed" "pan:1: invalid end state" -DONCE
[ "$bad" -eq 0 ]
