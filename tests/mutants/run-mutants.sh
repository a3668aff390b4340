#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Plants faults and demands that tests notice. Usage: run-mutants.sh LIST...
#
# A list has comments (#), settings and mutants, one a line:
#   sources: GLOB...     what is linked with the tests from here on, below the source tree
#   flags: FLAG...       more flags for the compiler from here on
#   NAME :: FILE :: SED-EXPRESSION :: TEST-SOURCE
# FILE must be one of the sources, a header in a folder of one, or what the test includes. The expression must change
# it. The test must pass without the fault and fail with it: killed by an assertion, a
# signal or, after a minute, by the clock. A mutant that does not compile, or that the test does
# not notice, fails the run.
#
# From the environment: CC, CFLAGS, LIBS, SRCDIR, BUILDDIR (for config.h and generated headers).
set -u
: "${CC:=cc}" "${CFLAGS:=}" "${LIBS:=}" "${SRCDIR:=.}" "${BUILDDIR:=.}"

work=$(mktemp -d "${TMPDIR:-/tmp}/commy-mutants.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
sources='' flags='' killed=0 bad=0

complain () {
  echo "not ok - $1"
  bad=$((bad + 1))
}

# Splits LINE at " :: " into name, file, expression, test.
split () {
  name=${1%% :: *} rest=${1#* :: }
  file=${rest%% :: *} rest=${rest#* :: }
  expression=${rest%% :: *} test=${rest#* :: }
}

# build TREE TEST OUTPUT: what TREE has (the mutant, $changed) goes before the real one. Objects
# without the fault are made once.
build () {
  tree=$1 objects=''
  shift
  # The list of sources is meant to be split into words.
  # shellcheck disable=SC2086
  for source in $(cd "$SRCDIR" && echo $sources) "$1"; do
    object=$work/objects/$(echo "$source" | tr / _).o
    from=$SRCDIR/$source
    if [ "$tree" != "$SRCDIR" ]; then
      case $changed in
        *.h) object=$work/mutant-$(echo "$source" | tr / _).o; rm -f "$object" ;;
        # A test may include what it tests.
        *) if [ "$source" = "$changed" ] || [ "$source" = "$test" ]; then
             object=$work/mutant-$(echo "$source" | tr / _).o; rm -f "$object"
           fi ;;
      esac
      if [ "$source" = "$changed" ]; then from=$tree/$source; fi
    fi
    if [ ! -f "$object" ]; then
      # shellcheck disable=SC2086
      $CC -g -O1 -w -DG_LOG_DOMAIN='"Commy"' -DCOMMY_LOCALE_DIR='""' -I"$tree/core" -I"$tree/include" \
        -I"$BUILDDIR" -I"$BUILDDIR/include" -I"$SRCDIR/include" -I"$SRCDIR/core" \
        -I"$tree" -I"$SRCDIR" -iquote "$(dirname "$SRCDIR/$source")" -iquote "$(dirname "$SRCDIR/${changed:-$source}")" $CFLAGS $flags \
        -c -o "$object" "$from" || return 1
    fi
    objects="$objects $object"
  done
  # shellcheck disable=SC2086
  $CC $flags -o "$2" $objects $LIBS
}

run () {
  # What a fault meets by chance must not be chance.
  timeout 60 "$1" --tap --seed R02S00112233445566778899aabbccddeeff >"$work/log" 2>&1
}

# The test itself must be good before a fault proves anything; asked once for each test.
check_baseline () {
  stamp=$work/good-$(echo "$sources$flags$test" | cksum | tr ' ' -)
  if [ -f "$stamp" ]; then return 0; fi
  : >"$work/log"
  build "$SRCDIR" "$test" "$work/baseline" 2>"$work/errors" && run "$work/baseline" && : >"$stamp"
}

mutate () {
  split "$1"
  if ! check_baseline; then
    complain "$name: $test does not build or pass without the fault"
    cat "$work/errors" "$work/log" | tail -n 20 | sed 's/^/# /'
    return
  fi
  rm -rf "$work/tree"
  mkdir -p "$work/tree/$(dirname "$file")"
  changed=$file
  sed "$expression" "$SRCDIR/$file" >"$work/tree/$file" || { complain "$name: bad expression"; return; }
  if cmp -s "$SRCDIR/$file" "$work/tree/$file"; then
    complain "$name: the expression changes nothing in $file"
  elif ! build "$work/tree" "$test" "$work/mutant" 2>"$work/errors"; then
    complain "$name: does not compile"
    sed 's/^/# /' "$work/errors"
  elif run "$work/mutant"; then
    complain "$name: $test does not notice it"
  else
    echo "ok - $name: noticed by $test"
    killed=$((killed + 1))
  fi
}

for list do
  sources='' flags=''
  rm -rf "$work/objects"
  mkdir -p "$work/objects"
  while IFS= read -r line <&3; do
    case $line in
      '' | '#'*) ;;
      sources:*) sources=${line#sources:} ;;
      flags:*) flags=${line#flags:}; rm -rf "$work/objects"; mkdir -p "$work/objects" ;;
      *' :: '*' :: '*' :: '*) mutate "$line" ;;
      *) complain "$list: not a mutant: $line" ;;
    esac
  done 3<"$list"
done
echo "# $killed noticed, $bad failed"
[ "$bad" -eq 0 ] && [ "$killed" -gt 0 ]
