#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the sources mark as public is what tests/api/commy-1.symbols lists, what libcommy exports, in
# the node of the version that brought it, and what the public headers document. After a deliberate
# addition: symbols.sh --update, and read the difference. The second word of a line is that version,
# 0.1.0 where there is none; the linker's version script and Debian's list are made of it.
set -u
source_dir=${COMMY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build_dir=${COMMY_BUILD_DIR:-$source_dir/_build/default}
list=$source_dir/tests/api/commy-1.symbols
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL

# Sanitizers, coverage and fail points add symbols of their own.
ours () { grep -vE '^_|asan|ubsan|tsan|gcov|^mangle_path$|^commy_failpoint(_hit|s_add)(@|$)' | sort; }
# In the archive that becomes the library: there the list has not yet decided.
readelf -sW "$build_dir/core/.libs/libcore.a" |
  awk '$5 == "GLOBAL" && $6 == "DEFAULT" && $7 != "UND" { print $8 }' | ours >"$work/public"
if [ "${1-}" = --update ]; then
  version=$(sed -n 's/.*AC_INIT(\[commy\], \[\([^]]*\)\].*/\1/p' "$source_dir/configure.ac")
  awk -v version=" $version" '
    FNR == NR { since[$1] = NF > 1 ? " " $2 : ""; next }
    { print $1 ($1 in since ? since[$1] : version == " 0.1.0" ? "" : version) }' \
    "$list" "$work/public" >"$work/updated"
  cp "$work/updated" "$list"
  exit
fi
awk '{ print $1 }' "$list" >"$work/listed"
awk '{ print $1 "@@COMMY_" (NF > 1 ? $2 : "0.1.0") }' "$list" >"$work/wanted"
# The nodes themselves are there as well, as absolute symbols.
nm -D --defined-only --with-symbol-versions "$build_dir/.libs/libcommy-1.so" |
  awk '$2 != "A" { print $NF }' | ours >"$work/exported"

headers=$(find "$source_dir/include/commy" -name '*.h')
# Type functions are documented as their types.
# shellcheck disable=SC2086 # names of files without blanks
sed -n 's/^ \* \(commy_[a-z0-9_]*\):.*/\1/p' $headers | sort -u >"$work/documented"
grep -v '_get_type$' "$work/listed" >"$work/functions"

number=0
say () { # status, name, file with what differs
  number=$((number + 1))
  if [ "$1" -ne 0 ]; then
    printf 'not '
  fi
  echo "ok $number /api/symbols/$2"
  [ "$1" -eq 0 ] || sed 's/^/# /' "$3"
}

echo 1..6
[ "$(wc -l <"$work/public")" -gt 50 ] && diff "$work/listed" "$work/public" >"$work/difference"
say $? public-is-what-is-listed "$work/difference"
sed 's/@.*//' "$work/exported" | diff "$work/listed" - >"$work/difference"
say $? exported-is-what-is-listed "$work/difference"
if grep -q '^HAVE_VERSION_SCRIPT_TRUE = #' "$build_dir/Makefile"; then
  number=$((number + 1))
  echo "ok $number /api/symbols/each-has-the-version-that-brought-it # SKIP the linker takes no version script"
else
  diff "$work/wanted" "$work/exported" >"$work/difference"
  say $? each-has-the-version-that-brought-it "$work/difference"
fi
# What the next release adds: a node of its own, and the old one as it was.
{ cat "$list" && echo 'commy_added_later 0.9.0'; } >"$work/next"
for symbols in "$list" "$work/next"; do
  awk -f "$source_dir/tests/api/version-script.awk" "$symbols" >"$work/$(basename "$symbols").map"
done
printf 'COMMY_0.9.0 {\n  global:\n    commy_added_later;\n};\n' |
  cat "$work/$(basename "$list").map" - | diff - "$work/next.map" >"$work/difference"
say $? a-later-release-gets-a-node-of-its-own "$work/difference"
comm -23 "$work/functions" "$work/documented" >"$work/difference"
[ ! -s "$work/difference" ]
say $? each-exported-function-is-documented "$work/difference"
comm -13 "$work/functions" "$work/documented" >"$work/difference"
[ ! -s "$work/difference" ]
say $? each-documented-function-is-exported "$work/difference"
