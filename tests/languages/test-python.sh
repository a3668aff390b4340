#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What Python has beyond introspection, and the example of its README.
# shellcheck disable=SC1091,SC2154 # the library has the variables
. "$COMMY_SOURCE_DIR/tests/languages/library.sh"
if there python; then
  cases python "$python" "$here/python.py"
  # The example that people see first.
  awk '/^```/ { inside = /python/; next } inside' "$COMMY_SOURCE_DIR/bindings/README.md" > "$folder/example.py"
  "$python" "$folder/example.py" > "$folder/out" 2> "$folder/err"
  grep -q '^hello, world$' "$folder/out" && grep -q '^2$' "$folder/out" && grep -q inproc "$folder/out"
  report $? python/the-example-of-the-readme-runs
  sed 's/^/# /' "$folder/err"
fi
finish
