#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The whole verification, stage by stage. A stage that fails does not hide what the others say.
# usage: check.sh [STAGE...]     stages: see all_stages
#
# CHECK_MINUTES (75): after this time everything is stopped; it should take half of it. FUZZ_SECONDS (5): for each fuzzer.
# CI=true: a skipped test is a failure, unless tests/allowed-skips has its reason or it passed in
# another stage of the same run.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export PATH
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
out=$top/_build/results
jobs=$(nproc)
test_jobs=$((jobs * 2)) # tests wait for about half of their time
all_stages='build lint check clang installcheck asan tsan fuzz bench mutants coverage valgrind distcheck deb'

results () {
  /usr/bin/python3 "$top/tools/results.py" "$@"
}

configured () { # name, flags: a build folder of its own
  name=$1
  shift
  # shellcheck disable=SC2086
  "$top/tools/build-dir.sh" "$top/_build/$name" "$@" ${COMMY_CONFIGURE_FLAGS-}
}

run_make () { # name, arguments
  name=$1
  shift
  make -C "$top/_build/$name" -j"$jobs" --no-print-directory "$@" # the last -j counts
}

run_tests () { # name, stage, arguments: make's status counts, and so does what the tests wrote
  name=$1
  stage=$2
  shift 2
  # Results of an earlier run must not count.
  find "$top/_build/$name" -name '*.trs' -exec rm -f {} +
  status=0
  run_make "$name" -j"$test_jobs" -k "$@" || status=$?
  if [ "$status" -ne 0 ] && try_again "$@"; then
    status=0
  fi
  results collect "$top/_build/$name" "$stage" "$out/$stage.cases" || status=1
  return "$status"
}

# Tests run side by side on processors that others use, too, and one may come too late for what it
# waits for. Three at most that failed run once more, alone; the report names them, to be mended.
try_again () { # arguments; of run_tests: name, stage
  failed=$(results failed "$top/_build/$name")
  [ -n "$failed" ] && [ "$(echo "$failed" | wc -w)" -le 3 ] || return 1
  for test in $failed; do
    echo "   $stage: $test" >>"$out/unsteady"
    mkdir -p "$out/first/$stage"
    cp "$top/_build/$name/${test%.sh}.log" "$out/first/$stage/$(basename "$test").log"
  done
  echo "== once more, alone: $failed"
  # What this target stands for names its tests itself.
  [ "$stage" != tsan ] || set -- "$@" tsan_tests="$failed"
  run_make "$name" -j1 -k "$@" TESTS="$failed"
}

stage_build () {
  configured default --enable-werror
  run_make default all
  run_make default check TESTS=
}

stage_lint () {
  configured default --enable-werror
  COMMY_BUILD_DIR=$top/_build/default /usr/bin/python3 "$top/tools/lint.py" \
    --cases "$out/lint.cases"
}

stage_check () {
  configured default --enable-werror
  run_tests default check check
}

stage_clang () {
  # What only frees at the end of a scope is used, which gcc knows; texts joined over two lines and
  # callbacks of tests that only fail are meant.
  configured clang --enable-werror --disable-introspection --prefix="$top/_build/clang/inst" CC=clang \
    CFLAGS='-O0 -U_FORTIFY_SOURCE -Wno-unused-variable -Wno-string-concatenation -Wno-missing-noreturn'
  run_make clang all
  run_make clang check TESTS= LINK=: # nobody runs these tests: their sources are compiled, that is all
}

stage_installcheck () {
  stage_clang
  rm -rf "$top/_build/clang/inst"
  make -C "$top/_build/clang" --no-print-directory install
  make -C "$top/_build/clang" --no-print-directory installcheck
}

stage_asan () { # counts lines too: see coverage
  configured asan --enable-werror --enable-failpoints --enable-coverage --disable-introspection \
    --with-sanitizer=address,undefined CFLAGS='-g1 -O1'
  find "$top/_build/asan" -name '*.gcda' -exec rm -f {} +
  run_tests asan asan check-short
}

stage_tsan () {
  configured tsan --enable-werror --disable-introspection --with-sanitizer=thread
  run_tests tsan tsan check-tsan-run
}

stage_fuzz () {
  configured fuzz --enable-fuzzing --disable-introspection --with-sanitizer=address,undefined CC=clang
  run_make fuzz fuzzers
  /usr/bin/python3 "$top/tools/fuzz.py" check "$top/_build/fuzz" "$out"
}

stage_bench () {
  configured default --enable-werror
  run_make default -j1 bench-smoke
}

stage_mutants () {
  configured default --enable-werror
  if grep -q '^check-mutants:' "$top/_build/default/Makefile"; then
    run_make default -k check-mutants
  else
    echo 'no target check-mutants'
  fi
}

stage_distcheck () {
  configured default --enable-werror
  # An archive made without git and without tools of the maintainer: everything must be in it.
  XZ_OPT=-1 # it is packed twice, for nobody
  export XZ_OPT
  tests=$(make -s -C "$top/_build/default" --no-print-directory print-dist-tests)
  programs=$(make -s -C "$top/_build/default" --no-print-directory print-dist-programs)
  make -C "$top/_build/default" --no-print-directory -j"$jobs" distcheck \
    TESTS="$tests" check_PROGRAMS="$programs" check_LTLIBRARIES= \
    DISTCHECK_CONFIGURE_FLAGS="CFLAGS='-O0 -U_FORTIFY_SOURCE' ${COMMY_CONFIGURE_FLAGS-}"
  archive=$(find "$top/_build/default" -maxdepth 1 -name 'commy-*.tar.xz')
  if [ -e "$top/.git" ]; then
    /usr/bin/python3 "$top/tools/dist_complete.py" "$top" "$archive"
  fi
}

stage_deb () {
  configured default --enable-werror
  # What is optimized was tested; here it is about what is in the packages.
  DEB_BUILD_OPTIONS='nocheck noopt'
  export DEB_BUILD_OPTIONS
  # The archive that was looked at in this run is the one to pack.
  ! awk '$1 == "distcheck" && $2 == 0 { passed = 1 } END { exit !passed }' "$out/stages" 2>/dev/null || set -- -o dist
  run_tests default deb "$@" check-deb
}

stage_coverage () { # of the run under the sanitizers, which goes everywhere
  [ -e "$out/asan.cases" ] || stage_asan
  # What only a mistake of the calling program or a planted fault would take is no branch of ours. A
  # count that threads spoiled for each other may be below zero; its line is left out, and told.
  (cd "$top/_build/asan" && \
    gcovr -r "$top" --object-directory . -f "$top/core" --branches --print-summary \
      --gcov-ignore-parse-errors \
      --exclude-branches-by-pattern '.*(g_return_(val_)?if_fail|g_assert|COMMY_FAILPOINT) .*' \
      --fail-under-line 90 --fail-under-branch 80 .)
}

stage_valgrind () {
  configured default --enable-werror
  run_tests default valgrind check-valgrind
}

# --- running them ---

run_stage () { # stage, seconds left
  stage=$1
  begin=$(date +%s)
  rm -f "$out/$stage.cases"
  printf '== %s\n' "$stage"
  timeout -k 10 "$2" "$0" --inside "$stage" >"$out/$stage.log" 2>&1 &
  running=$!
  trap 'kill "$running" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$running" 2>/dev/null; do
    sleep 1
    now=$(date +%s)
    if [ $(((now - begin) % 30)) -eq 29 ]; then
      printf '   %4d s  %.80s\n' $((now - begin)) "$(tail -n 1 "$out/$stage.log")"
    fi
  done
  status=0
  wait "$running" || status=$?
  trap - INT TERM
  seconds=$(($(date +%s) - begin))
  if [ "$status" -ne 0 ]; then
    grep -a -E '^(FAIL|ERROR|XPASS): |^not ok|^make.*\*\*\* ' "$out/$stage.log" | head -n 20 | sed 's/^/   /' || true
    echo "   failed; the end of _build/results/$stage.log:"
    tail -n "${CHECK_TAIL:-60}" "$out/$stage.log" | sed 's/^/   | /'
    [ "$status" -ne 124 ] || echo "   stopped: the time for everything was used up (CHECK_MINUTES)"
  fi
  printf '%s\t%s\t%s\n' "$stage" "$status" "$seconds" >>"$out/stages"
}

if [ "${1-}" = --inside ]; then
  "stage_$2"
  exit
fi

# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $all_stages
for stage; do
  case " $all_stages " in
    *" $stage "*) ;;
    *) echo "check: no stage '$stage'; there are: $all_stages" >&2 && exit 2 ;;
  esac
done
mkdir -p "$out"
rm -rf "$out"/stages "$out"/unsteady "$out"/first "$out"/*.cases "$out"/*.log
end=$(($(date +%s) + ${CHECK_MINUTES:-75} * 60))
for stage; do
  left=$((end - $(date +%s)))
  [ "$left" -gt 0 ] || left=1
  run_stage "$stage" "$left"
done
results report "$out" "$top/tests/allowed-skips"
