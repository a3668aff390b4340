#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Plants faults and demands that tests notice. Usage: run-mutants.sh LIST...
#
# A list has comments (#), settings and mutants, one a line:
#   sources: GLOB...     what is linked with the tests from here on, below the source tree
#   flags: FLAG...       more flags for the compiler from here on
#   built: FILE...       what is linked behind them from here on, below the build tree, or -lNAME:
#                        archives of the build, whose member with the fault is not taken
#   module: NAME FILE... a plugin from here on that tests load: its objects and archives, as above
#   NAME :: FILE :: SED-EXPRESSION :: TEST-SOURCE [ARGUMENT...]
# FILE must be one of the sources, a header in a folder of one, a source of what is built, or what the test includes.
# The expression must change it. The test must pass without the fault and fail with it: killed by an assertion, a
# signal or, after a minute, by the clock. A mutant that does not compile, or that the test does
# not notice, fails the run.
#
# From the environment: CC, CFLAGS, LIBS, SRCDIR, BUILDDIR (for config.h and generated headers).
set -u
: "${CC:=cc}" "${CFLAGS:=}" "${LIBS:=}" "${SRCDIR:=.}" "${BUILDDIR:=.}"

work=$(mktemp -d "${TMPDIR:-/tmp}/commy-mutants.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
sources='' flags='' built='' module='' killed=0 bad=0

COMMY_SOURCE_DIR=$SRCDIR COMMY_BUILD_DIR=$BUILDDIR COMMY_PLUGIN_PATH=$BUILDDIR/modules/.libs
COMMY_CONFIG=$SRCDIR/tests/build-tree.conf COMMY_SHIPPED_CONFIG=$SRCDIR/deploy/config/commy.conf
G_TEST_SRCDIR=$SRCDIR/tests G_TEST_BUILDDIR=$BUILDDIR/tests
export COMMY_SOURCE_DIR COMMY_BUILD_DIR COMMY_PLUGIN_PATH COMMY_CONFIG COMMY_SHIPPED_CONFIG \
  G_TEST_SRCDIR G_TEST_BUILDDIR

complain () {
  echo "not ok - $1"
  bad=$((bad + 1))
}

# Splits LINE at " :: " into name, file, expression, test.
split () {
  name=${1%% :: *} rest=${1#* :: }
  file=${rest%% :: *} rest=${rest#* :: }
  expression=${rest%% :: *} rest=${rest#* :: }
  test=${rest%% *} arguments=${rest#"$test"}
}

# compile FILE TREE OBJECT SOURCE: FILE, which is SOURCE of the tree, or the mutant of it.
compile () {
  # shellcheck disable=SC2086
  $CC -g -O1 -w ${module:+-fPIC} -DG_LOG_DOMAIN='"Commy"' -DCOMMY_LOCALE_DIR='""' -I"$2/core" -I"$2/include" \
    -I"$BUILDDIR" -I"$BUILDDIR/include" -I"$SRCDIR/include" -I"$SRCDIR/core" \
    -I"$2" -I"$SRCDIR" -iquote "$(dirname "$SRCDIR/$4")" -iquote "$(dirname "$SRCDIR/${changed:-$4}")" $CFLAGS $flags \
    -c -o "$3" "$1"
}

# Files of the build, but for OBJECT (or none), by their names and what they are.
find_built () {
  without=$1
  shift
  for item do
    case $item in
      -*) echo "$item" ;;
      *) for file in "$BUILDDIR"/$item; do
           case $file in *[-/]"$without") ;; *) echo "$file" ;; esac
         done ;;
    esac
  done
}

# The plugin with the fault in it, where tests find it first.
build_module () {
  object=$(basename "$changed" .c).o
  mkdir -p "$work/modules"
  # shellcheck disable=SC2046,SC2086
  $CC -shared -Wl,-Bsymbolic $flags -o "$work/modules/${module%% *}" "$work/mutant.o" \
    $(find_built "$object" ${module#* }) $LIBS
}

# A test may include what it tests.
includes_changed () {
  [ "$1" = "$test" ] && grep -q "^#include \".*$(basename "$changed")\"" "$SRCDIR/$1"
}

# build TREE TEST OUTPUT: what TREE has (the mutant, $changed) goes before the real one. Objects
# without the fault are made once.
build () {
  tree=$1 objects='' is_linked=false
  shift
  # The list of sources is meant to be split into words.
  # shellcheck disable=SC2086
  for source in $(cd "$SRCDIR" && echo $sources) "$1"; do
    object=$work/objects/$(echo "$source" | tr / _).o
    from=$SRCDIR/$source
    if [ "$tree" != "$SRCDIR" ]; then
      case $changed in
        *.h) object=$work/mutant-$(echo "$source" | tr / _).o; rm -f "$object"
          # Who stands beside it would find the one without the fault.
          if [ "$(dirname "$source")" = "$(dirname "$changed")" ]; then
            cp "$SRCDIR/$source" "$tree/$source" && from=$tree/$source
          fi ;;
        *) if [ "$source" = "$changed" ] || includes_changed "$source"; then
             object=$work/mutant-$(echo "$source" | tr / _).o; rm -f "$object"
           fi ;;
      esac
      if [ "$source" = "$changed" ]; then from=$tree/$source is_linked=true; fi
    fi
    if [ ! -f "$object" ]; then
      compile "$from" "$tree" "$object" "$source" || return 1
    fi
    objects="$objects $object"
  done
  if [ "$tree" != "$SRCDIR" ] && [ -n "$built$module" ] && [ "${changed%.c}" != "$changed" ] && ! $is_linked; then
    compile "$tree/$changed" "$tree" "$work/mutant.o" "$changed" || return 1
    if [ -n "$module" ]; then
      build_module
      return
    fi
    objects="$objects $work/mutant.o"
  fi
  # shellcheck disable=SC2046,SC2086
  $CC $flags -o "$2" $objects $(find_built '' $built) $LIBS
}

run () {
  # What a fault meets by chance must not be chance.
  # shellcheck disable=SC2086
  timeout 60 "$1" --tap --seed R02S00112233445566778899aabbccddeeff $arguments >"$work/log" 2>&1
}

# Where the fault is in a plugin the test is as it was.
run_mutant () {
  if [ -z "$module" ]; then
    run "$work/mutant"
  else
    COMMY_PLUGIN_PATH=$work/modules run "$stamp.test"
  fi
}

# The test itself must be good before a fault proves anything; asked once for each test.
check_baseline () {
  stamp=$work/good-$(echo "$sources$flags$built$test$arguments" | cksum | tr ' ' -)
  if [ -f "$stamp" ]; then return 0; fi
  : >"$work/log"
  build "$SRCDIR" "$test" "$stamp.test" 2>"$work/errors" && run "$stamp.test" && : >"$stamp"
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
  # Another header beside it, which includes it, would find the one without the fault.
  case $file in *.h) cp "$SRCDIR/$(dirname "$file")"/*.h "$work/tree/$(dirname "$file")/" ;; esac
  sed "$expression" "$SRCDIR/$file" >"$work/tree/$file" || { complain "$name: bad expression"; return; }
  if cmp -s "$SRCDIR/$file" "$work/tree/$file"; then
    complain "$name: the expression changes nothing in $file"
  elif ! build "$work/tree" "$test" "$work/mutant" 2>"$work/errors"; then
    complain "$name: does not compile"
    sed 's/^/# /' "$work/errors"
  elif run_mutant; then
    complain "$name: $test does not notice it"
  else
    echo "ok - $name: noticed by $test"
    killed=$((killed + 1))
  fi
}

for list do
  sources='' flags='' built='' module=''
  rm -rf "$work/objects"
  mkdir -p "$work/objects"
  while IFS= read -r line <&3; do
    case $line in
      '' | '#'*) ;;
      sources:*) sources=${line#sources:} ;;
      built:*) built=${line#built:} ;;
      module:*) module=${line#module: } ;;
      flags:*) flags=${line#flags:}; rm -rf "$work/objects"; mkdir -p "$work/objects" ;;
      *' :: '*' :: '*' :: '*) mutate "$line" ;;
      *) complain "$list: not a mutant: $line" ;;
    esac
  done 3<"$list"
done
echo "# $killed noticed, $bad failed"
[ "$bad" -eq 0 ] && [ "$killed" -gt 0 ]
