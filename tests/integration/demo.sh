#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The examples as a newcomer meets them: hello, and the demo with odd files, a lying service, an
# interruption and a death of its own.
set -u
: "${COMMY_BUILD_DIR:?}" "${COMMY_SOURCE_DIR:?}"
demo=$COMMY_BUILD_DIR/examples/digest/commy-demo
work=$(mktemp -d "${TMPDIR:-/tmp}/commy-test.XXXXXX") || exit 99
mkdir "$work/tmp" "$work/run" "$work/state"
TMPDIR=$work/tmp
COMMY_RUNTIME_DIR=$work/run
COMMY_STATE_DIR=$work/state
export TMPDIR COMMY_RUNTIME_DIR COMMY_STATE_DIR
started=
count=0

finish () {
  [ -z "$started" ] || kill "$started" 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT

check () { # description, status
  count=$((count + 1))
  if [ "$2" -eq 0 ]; then
    echo "ok $count - $1"
  else
    echo "not ok $count - $1"
    sed 's/^/# /' "$work/out" "$work/err" 2>/dev/null
  fi
}

is () { # description, wanted, got
  [ "$2" = "$3" ]
  check "$1" $?
  [ "$2" = "$3" ] || printf '# wanted: %s\n# got: %s\n' "$2" "$3"
}

# until COMMAND...: waits for an event, for at most a minute.
until_true () {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || return 1
    sleep 0.1
  done
}

run_demo () { # arguments
  "$demo" "$@" >"$work/out" 2>"$work/err"
}

# field EXPRESSION: of the JSON object in $work/out, as d.
field () {
  /usr/bin/python3 -c 'import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"))
print(eval(sys.argv[2]))' "$work/out" "$1" 2>&1
}

nothing_left () {
  [ -z "$(ls -A "$TMPDIR")" ]
}

gone () { # processes
  for process; do
    # A zombie without a parent that asks is gone, too.
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$process/status" 2>/dev/null)
    [ -z "$state" ] || [ "$state" = Z ] || return 1
  done
}

instances () {
  sed -n 's/^instance [AB]: process \([0-9]*\),.*/\1/p' "$work/out"
}

both_started () {
  [ "$(instances | wc -l)" -eq 2 ]
}

# --- hello ---

for side in service client; do
  file=$COMMY_SOURCE_DIR/examples/hello/hello-$side.c
  [ "$(wc -l <"$file")" -le 40 ]
  check "/hello/$side-is-at-most-40-lines" $?
  is "/hello/$side-includes-the-public-header-only" '#include <commy/commy.h>' "$(grep '#include' "$file")"
done

"$COMMY_BUILD_DIR/examples/hello/hello-client" 2>"$work/err" >"$work/out"
is "/hello/client-without-service-fails" 1 $?
grep -q CMY0301 "$work/err"
check "/hello/client-without-service-names-the-error" $?
"$COMMY_BUILD_DIR/examples/hello/hello-service" 2>"$work/err" &
started=$!
greeted () {
  "$COMMY_BUILD_DIR/examples/hello/hello-client" tester >"$work/out" 2>/dev/null
}
until_true greeted
is "/hello/service-greets" 'Hello, tester!' "$(cat "$work/out")"
kill "$started"
wait "$started" 2>/dev/null
started=

# --- the demo ---

tree=$work/tree
mkdir -p "$tree/sub/deep" "$tree/empty folder"
: >"$tree/empty"
printf 'x' >"$tree/one byte"
head -c 5242880 /dev/urandom >"$tree/five"
head -c 17825792 /dev/zero >"$tree/seventeen"
printf 'a' >"$tree/$(printf 'new\nline')"
printf 'b' >"$tree/$(printf 'not\377utf\2008')"
printf 'c' >"$tree/sub/deep/-o"
ln -s ../five "$tree/sub/link"
mkfifo "$tree/sub/pipe"

run_demo "$tree"
is "/demo/odd-files-are-all-right" 0 $?
grep -q '^== all right: 7 files, .* 0 wrong, 0 missing; fallback took ' "$work/out"
check "/demo/summary-says-so" $?
grep -q 'denied there: .*tls-only.conf:[0-9]' "$work/out"
check "/demo/decision-names-the-line-that-denied" $?
nothing_left
check "/demo/leaves-no-file" $?
# shellcheck disable=SC2046 # a list of numbers
gone $(instances)
check "/demo/leaves-no-process" $?

run_demo -o json "$tree" /proc/self/mem
is "/demo/json-exit-status" 0 $?
is "/demo/json-right" True "$(field 'd["right"]')"
is "/demo/json-files" 7 "$(field 'd["files"]')"
is "/demo/json-links-and-pipes-are-counted" 2 "$(field 'd["left_out"]')"
is "/demo/json-unreadable-is-reported" True "$(field 'd["unreadable"][0].startswith("/proc/self/mem: ")')"
is "/demo/json-pieces-of-16-MiB" '[8, 8]' "$(field '[i["equal"] for i in d["instances"]]')"
is "/demo/json-B-over-TLS-alone" "{'B over tls': 8}" "$(field 'd["instances"][1]["answers"]')"
is "/demo/json-A-was-used-before-the-kill" True \
  "$(field 'any(k.startswith("A over ") for k in d["fallback"]["answers"])')"
is "/demo/json-B-took-over" True "$(field 'd["fallback"]["first_answer_us"] >= 0')"
is "/demo/json-nothing-missing" '(0, 0, 8)' \
  "$(field 'd["fallback"]["missing"], d["fallback"]["wrong"], d["fallback"]["equal"]')"
is "/demo/json-decisions" '[3, 3, 3]' "$(field '[len(w["decisions"]) for w in d["why"]]')"

run_demo -o json "$tree/empty"
is "/demo/one-empty-file-is-enough" 0 $?

run_demo -o json --wrong-every 3 "$tree"
is "/demo/wrong-digests-are-noticed" 1 $?
is "/demo/wrong-digests-are-counted" '[False, 0, 2]' \
  "$(field '[d["right"]] + [i["wrong"] for i in d["instances"]]')"

# --- wrong use ---

run_demo --no-such-option
is "/demo/unknown-option" 2 $?
run_demo -o xml "$tree"
is "/demo/unknown-format" 2 $?
run_demo "$work/no such path"
is "/demo/no-such-path" 2 $?
grep -q 'no such path: No such file' "$work/err"
check "/demo/no-such-path-is-named" $?
run_demo --help
check "/demo/help" $?
grep -q 'Exit codes' "$work/out"
check "/demo/help-tells-exit-codes" $?

# --- interrupted, and killed ---

mkdir "$work/large"
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
  truncate -s 33554432 "$work/large/$number"
done
for signal in TERM KILL; do
  "$demo" "$work/large" >"$work/out" 2>"$work/err" &
  started=$!
  until_true both_started
  kill "-$signal" "$started"
  wait "$started" 2>/dev/null
  status=$?
  started=
  # shellcheck disable=SC2046
  until_true gone $(instances)
  check "/demo/$signal/takes-the-instances-along" $?
  [ "$signal" = TERM ] || continue
  is "/demo/TERM/exit-status" 130 "$status"
  nothing_left
  check "/demo/TERM/leaves-no-file" $?
done

# --- two hosts, and an ordinary user ---

skip () { # description, reason
  count=$((count + 1))
  echo "ok $count - $1 # SKIP $2"
}

two_hosts () { # who, the command that becomes them
  who=$1
  shift
  NO_COLOR=1 "$@" sh "$COMMY_SOURCE_DIR/examples/two-hosts/demo.sh" >"$work/out" 2>"$work/err"
  status=$?
  if grep -q '^This system refuses namespaces' "$work/out"; then
    skip "/two-hosts/$who" 'namespaces are refused here'
    return
  fi
  is "/two-hosts/$who/all-right" 0 "$status"
  grep -q '^== all right: two hosts, one mesh' "$work/out"
  check "/two-hosts/$who/says-so" $?
  is "/two-hosts/$who/TLS-to-the-other-host-shm-to-the-own" 'tls shm' \
    "$(sed -n 's/^  \* \([a-z]*\)+.*/\1/p' "$work/out" | xargs)"
  is "/two-hosts/$who/host-b-host-a-and-host-b-again" 'host-b host-a host-b' \
    "$(sed -n '/commy call .* Host/{n;s/^  \(host-[ab]\)$/\1/p}' "$work/out" | xargs)"
  grep -q "not signed by this mesh's authority" "$work/out"
  check "/two-hosts/$who/a-stranger-is-refused" $?
}

user='setpriv --reuid 12345 --regid 12345 --clear-groups'
mkdir "$work/place"
if [ "$(id -u)" -ne 0 ]; then
  two_hosts user env TMPDIR="$work/place"
else
  two_hosts root env TMPDIR="$work/place"
  is "/two-hosts/root/leaves-no-file" '' "$(ls "$work/place")"
  if $user test -r "$COMMY_SOURCE_DIR/bootstrap" -a -x "$demo"; then
    chmod 711 "$work"
    mkdir "$work/open" "$work/place/run" "$work/place/state"
    # Where a build that counts executed lines writes what it may not write into its tree.
    mkdir -m 1777 "$work/counts"
    GCOV_PREFIX=$work/counts
    export GCOV_PREFIX
    cp "$tree/five" "$work/open"
    chown -R 12345:12345 "$work/place"
    # shellcheck disable=SC2086 # words
    two_hosts user $user env TMPDIR="$work/place"
    $user env -u XDG_CONFIG_HOME HOME="$work/place" TMPDIR="$work/place" "$demo" "$work/open" \
      >"$work/out" 2>"$work/err"
    is "/demo/ordinary-user" 0 $?
    is "/two-hosts/user/leaves-no-file" 'run state' "$(cd "$work/place" && echo *)"
  else
    skip "/two-hosts/user" 'the build tree is not open to other users'
  fi
fi

echo "1..$count"
