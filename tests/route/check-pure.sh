#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The deciding files of route/ ask nobody: no clock, no environment, no allocation, no variable
# data of their own. Their object files show it: what they call, and that they keep nothing.
set -u
objects=$COMMY_BUILD_DIR/core/route
pure='calibration confidence cost crossover decide filter judge switch words'
allowed='^(commy_.*|__.*|_GLOBAL_OFFSET_TABLE_|erfc|exp|exp2|fmax|fmin|log|log1p|expm1|hypot|sqrt|floor|ceil|strcmp|mem(set|cpy|move)|g_snprintf|g_strcmp0|g_strlcat|g_strlcpy|isfinite|finite)$'

echo 1..18
n=0
report () { # TEXT, what is wrong
  n=$((n + 1))
  if [ -z "$2" ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; echo "# $2"; fi
}

for name in $pure; do
  object=$objects/.libs/libcore_la-commy-$name.o
  [ -f "$object" ] || object=$objects/core_libcore_la-commy-$name.o
  if [ ! -f "$object" ]; then
    report "$name calls nobody" "no object file in $objects"
    report "$name keeps nothing" "no object file in $objects"
    continue
  fi
  foreign=$(nm -u "$object" | awk '{ print $2 }' | grep -Ev "$allowed" | tr '\n' ' ')
  report "$name calls nobody" "$foreign"
  # Variable data; constant tables lie in .data.rel.ro. Sanitizers and coverage have their own.
  kept=$(objdump -t "$object" | grep -E ' O \.(data|bss)[[:space:]]' | awk '{ print $NF }' |
    grep -Ev '^(_|\.L)' | tr '\n' ' ')
  report "$name keeps nothing" "$kept"
done
