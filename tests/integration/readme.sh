#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The programs in README.md compile as they stand there, without a warning.
set -u
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM HUP
flags=$(pkg-config --cflags gio-2.0) || flags=
if [ -z "$flags" ] || ! command -v cc >/dev/null; then
  echo '1..0 # SKIP neither a compiler called cc nor pkg-config here'
  exit 0
fi
awk -v folder="$folder" '
  /^```c$/ { file = folder "/" ++n ".c"; next }
  /^```/ { file = "" }
  file { print > file }' "$COMMY_SOURCE_DIR/README.md"
number=0
for program in "$folder"/*.c; do
  number=$((number + 1))
  # shellcheck disable=SC2086 # a list of words
  if cc -fsyntax-only -Wall -Wextra -Werror -Wno-unused-parameter $flags \
    -I"$COMMY_BUILD_DIR/include" -I"$COMMY_SOURCE_DIR/include" "$program" 2>"$folder/err"; then
    echo "ok $number - /readme/program-$number-compiles"
  else
    sed 's/^/# /' "$folder/err"
    echo "not ok $number - /readme/program-$number-compiles"
  fi
done
[ "$number" -eq 2 ] || echo "not ok $((number + 1)) - /readme/has-two-programs"
echo "1..$number"
