#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What libcommy exports is what tests/api/commy-1.symbols lists and what the public headers
# document. After a deliberate addition: symbols.sh --update, and read the difference. The second
# word of a line is the version that brought the symbol, 0.1.0 where there is none.
set -u
source_dir=${COMMY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build_dir=${COMMY_BUILD_DIR:-$source_dir/_build/default}
list=$source_dir/tests/api/commy-1.symbols
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL

# Sanitizers, coverage and fail points add symbols of their own.
nm -D --defined-only "$build_dir/.libs/libcommy-1.so" | awk '{ print $NF }' |
  grep -vE '^_|asan|ubsan|tsan|gcov|^mangle_path$|^commy_failpoint(_hit|s_add)$' | sort >"$work/exported"
if [ "${1-}" = --update ]; then
  version=$(sed -n 's/.*AC_INIT(\[commy\], \[\([^]]*\)\].*/\1/p' "$source_dir/configure.ac")
  awk -v version=" $version" '
    FNR == NR { since[$1] = NF > 1 ? " " $2 : ""; next }
    { print $1 ($1 in since ? since[$1] : version == " 0.1.0" ? "" : version) }' \
    "$list" "$work/exported" >"$work/updated"
  cp "$work/updated" "$list"
  exit
fi
awk '{ print $1 }' "$list" >"$work/listed"

headers=$(find "$source_dir/include/commy" -name '*.h')
# Type functions are documented as their types.
# shellcheck disable=SC2086 # names of files without blanks
sed -n 's/^ \* \(commy_[a-z0-9_]*\):.*/\1/p' $headers | sort -u >"$work/documented"
grep -v '_get_type$' "$work/exported" >"$work/functions"

number=0
say () { # status, name, file with what differs
  number=$((number + 1))
  if [ "$1" -ne 0 ]; then
    printf 'not '
  fi
  echo "ok $number /api/symbols/$2"
  [ "$1" -eq 0 ] || sed 's/^/# /' "$3"
}

echo 1..3
[ "$(wc -l <"$work/exported")" -gt 50 ] && diff "$work/listed" "$work/exported" >"$work/difference"
say $? exported-is-what-is-listed "$work/difference"
comm -23 "$work/functions" "$work/documented" >"$work/difference"
[ ! -s "$work/difference" ]
say $? each-exported-function-is-documented "$work/difference"
comm -13 "$work/functions" "$work/documented" >"$work/difference"
[ ! -s "$work/difference" ]
say $? each-documented-function-is-exported "$work/difference"
