#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a plugin file shows without being run: one symbol of ours, and its note.
set -u
set -- "$COMMY_BUILD_DIR"/modules/.libs/libcommy-*.so
echo "1..$(($# * 2))"
number=0
say () { # status, name
  number=$((number + 1))
  [ "$1" -eq 0 ] || printf 'not '
  echo "ok $number /plugin/file/$2"
}
for file; do
  name=${file##*/libcommy-}
  # Sanitizers and coverage add symbols of their own.
  symbols=$(nm -D --defined-only "$file" | awk '{ print $NF }' | grep -vE '^_|asan|ubsan|gcov' | tr '\n' ' ')
  [ "$symbols" = 'commy_plugin_query_v1 ' ]
  say $? "${name%.so}/exports-one-symbol"
  readelf -n "$file" 2>/dev/null | grep -q CommyPlugin
  say $? "${name%.so}/carries-its-note"
done
