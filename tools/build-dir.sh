#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes DIR a build folder with these flags, or leaves it alone where it already is one.
# usage: build-dir.sh DIR [CONFIGURE-ARGUMENT...]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
dir=$1
shift
if [ -e "$top/config.status" ]; then
  echo "build-dir: the source folder itself was configured; run 'make distclean' there first" >&2
  exit 1
fi
"$top/autogen.sh" --if-needed
mkdir -p "$dir"
if [ -e "$dir/Makefile" ] && [ "$(cat "$dir/.flags" 2>/dev/null)" = "$*" ]; then
  exit 0
fi
echo "== configuring $(basename "$dir"): ${*:-no options}"
rm -f "$dir/.flags"
(cd "$dir" && "$top/configure" -q "$@")
# Other flags may mean other objects; make cannot see that.
[ ! -e "$dir/.built" ] || make -C "$dir" -s clean
touch "$dir/.built"
printf '%s' "$*" >"$dir/.flags"
