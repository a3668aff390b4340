# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034 # the tests use the variables
# What the tests of the command share: folders of their own, running it, one TAP line a case.
# Source it, call it as `run ARGUMENT...`, then check; end with `finish`.
case_number=0
failed=0
servers=
folder=$(mktemp -d) || exit 1
mkdir -m 700 "$folder/run" "$folder/state"
COMMY_RUNTIME_DIR=$folder/run
COMMY_STATE_DIR=$folder/state
HOME=$folder
XDG_CONFIG_HOME=$folder/config
LC_ALL=C.UTF-8
# Which path is the fastest may turn out otherwise on a machine that is busy.
printf '[calibration]\nmode=off\n' > "$folder/as-claimed.conf"
COMMY_CONFIG=${COMMY_CONFIG:+$COMMY_CONFIG:}$folder/as-claimed.conf
export COMMY_RUNTIME_DIR COMMY_STATE_DIR COMMY_CONFIG HOME XDG_CONFIG_HOME LC_ALL
unset NO_COLOR
commy=$COMMY_BUILD_DIR/commy
out=$folder/out
err=$folder/err
status=

# Only those that were started here, each by its id.
clean_up () {
  for server in $servers; do
    kill -KILL "$server" 2>/dev/null
    wait "$server" 2>/dev/null
  done
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

run () {
  status=0
  "$commy" "$@" > "$out" 2> "$err" < /dev/null || status=$?
}

# ok NAME COMMAND...: the case passes if the command does.
ok () {
  case_name=$1
  shift
  case_number=$((case_number + 1))
  if "$@"; then
    echo "ok $case_number - /cli/$case_name"
    return
  fi
  failed=$((failed + 1))
  echo "not ok $case_number - /cli/$case_name"
  echo "# failed: $*; the command ended with $status"
  sed 's/^/# out: /' "$out"
  sed 's/^/# err: /' "$err"
}

# skip NAME REASON
skip () {
  case_number=$((case_number + 1))
  echo "ok $case_number - /cli/$1 # SKIP $2"
}

exits () { [ "$status" -eq "$1" ]; }
says () { grep -q -e "$1" "$out"; }
lacks () { ! grep -q -e "$1" "$out"; }
# The output is this text, without a line feed.
is () { printf %s "$1" | cmp -s - "$out"; }
complains () { grep -q -e "$1" "$err"; }
lacks_criticals () { ! grep -q CRITICAL "$err"; }
is_silent () { [ ! -s "$err" ]; }
# The output as JSON fulfils a Python expression about `it`.
json () { /usr/bin/python3 -c "import json, sys
it = json.load(open(sys.argv[1]))
sys.exit(0 if ($1) else 1)" "$out"; }

# serve NAME ARGUMENT...: starts a server; done when it says that others can find it. Waits on
# a pipe, so for the line and nothing else. Its id is in $server, its line in $serving.
serve () {
  mkfifo "$folder/line"
  "$commy" serve "$@" > "$folder/line" 2> "$folder/server-$1.err" &
  server=$!
  servers="$servers $server"
  exec 9< "$folder/line"
  rm "$folder/line"
  serving=
  read -r serving <&9 || sed 's/^/# server: /' "$folder/server-$1.err"
}

# stop SIGNAL: ends the last server; its exit code is in $status.
stop () {
  kill "-$1" "$server"
  status=0
  wait "$server" || status=$?
  servers=$(echo "$servers" | sed "s/ $server\\>//")
}

finish () {
  echo "1..$case_number"
  [ "$failed" -eq 0 ] || exit 1
  exit 0
}
