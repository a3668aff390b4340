#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program that was linked to the library of yesterday runs with the one of today: what it can call
# and see is compared with tests/api/libcommy-1.abi, and a library that broke the promise is shown
# to be caught. After a deliberate addition: abi.sh --update, and read the difference.
set -u
source_dir=${COMMY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build_dir=${COMMY_BUILD_DIR:-$source_dir/_build/default}
record=$source_dir/tests/api/libcommy-1.abi
library=$build_dir/.libs/libcommy-1.so

skip () {
  echo "1..0 # SKIP $1"
  exit 0
}
command -v abidiff >/dev/null || skip 'abidiff is not installed (package abigail-tools)'
# Sanitizers, coverage and fail points add symbols of their own.
if nm -D "$library" | grep -qE 'asan|ubsan|tsan|gcov|commy_failpoint'; then
  skip 'this build exports what a released library does not'
fi
[ "$(uname -m)" = x86_64 ] || skip 'the ABI is recorded for x86-64'
readelf -S "$library" | grep -q ' \.debug_info' || skip 'the library has no debug information'

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# Of the public headers, without what depends on the machine it was built on.
write_record () { # library, file
  abidw --headers-dir "$source_dir/include/commy" --drop-private-types --drop-undefined-syms \
    --exported-interfaces-only --no-corpus-path --no-comp-dir-path --no-show-locs --no-elf-needed \
    --no-parameter-names --type-id-style hash "$1" |
    sed "s# path='[^']*/core/# path='core/#" >"$2"
}
write_record "$library" "$work/today.abi" || exit 1
if [ "${1-}" = --update ]; then
  cp "$work/today.abi" "$record"
  exit
fi

number=0
say () { # status, name, file with what differs
  number=$((number + 1))
  [ "$1" -eq 0 ] || printf 'not '
  echo "ok $number /api/abi/$2"
  [ "$1" -eq 0 ] || sed 's/^/# /' "$3"
}

# Additions are no break, but belong into the record as well: symbols.sh tells of new functions.
echo 1..3
abidiff --no-added-syms "$record" "$work/today.abi" >"$work/difference" 2>&1
say $? programs-of-yesterday-run "$work/difference"

# What would be a break: a function that is gone, and a number that is another.
caught () { # name, sed command that breaks it
  sed "$2" "$work/today.abi" >"$work/broken.abi"
  ! cmp -s "$work/today.abi" "$work/broken.abi" &&
    ! abidiff "$record" "$work/broken.abi" >"$work/difference" 2>&1 &&
    grep -qi 'changed\|removed' "$work/difference"
  say $? "$1" "$work/difference"
}
caught a-function-that-is-gone-is-caught "/<elf-symbol name='commy_mesh_join_sync'/d"
caught a-number-that-changed-is-caught "s/\(<enumerator name='COMMY_SLOW_ERROR' value='\)4/\19/"
