#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs the Python test against the library of the build tree.
set -u
if ! [ -e "$COMMY_BUILD_DIR/Commy-1.typelib" ]; then
  echo '1..1'
  echo 'ok 1 /introspection/python # SKIP built without introspection'
  exit 0
fi
if ! /usr/bin/python3 -c 'import gi' 2>/dev/null; then
  echo '1..1'
  echo 'ok 1 /introspection/python # SKIP PyGObject is missing'
  exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
COMMY_RUNTIME_DIR=$dir/run COMMY_STATE_DIR=$dir/state
GI_TYPELIB_PATH=$COMMY_BUILD_DIR LD_LIBRARY_PATH=$COMMY_BUILD_DIR/.libs
PYTHONDONTWRITEBYTECODE=1
export COMMY_RUNTIME_DIR COMMY_STATE_DIR GI_TYPELIB_PATH LD_LIBRARY_PATH PYTHONDONTWRITEBYTECODE
/usr/bin/python3 "$COMMY_SOURCE_DIR/tests/integration/introspection.py"
