#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is behind a service: info, stats, ping, deps, endpoints, and top.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in transport/shm serializer/gvariant serializer/raw auth/peercred store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done

# --- usage ---
for misuse in 'info' 'stats' 'ping' 'ls a b' 'deps a b' 'frob' 'ls --dot' 'info a --watch' \
  'ping a --watch' 'ls --count 3' 'ping a --count -3' 'ping a --count 1000001' 'ls --watch=soon'; do
  # shellcheck disable=SC2086 # words
  run services $misuse
  ok "services/$(echo "$misuse" | tr ' ' -)-exits-2" exits 2
done
run endpoints
ok endpoints/without-a-service-exits-2 exits 2
for what in 'services stats' 'services ping' 'services deps' 'services info' endpoints; do
  # shellcheck disable=SC2086 # words
  run $what org.example.Shop
  ok "alone/$(echo "$what" | tr ' ' -)-exits-3" exits 3
done
run top --once
ok alone/top-exits-3 exits 3

# --- a shop that calls the echo server, and needs somebody who is not there ---
cat > "$folder/shop.conf" <<'CONF'
[service org.example.Shop]
depends=org.example.Echo;org.example.Bank
version=2.1.0
tags=blue
CONF
serve org.example.Echo --echo --method 'Up=tr a-z A-Z'
echo_server=$server
usual=$COMMY_CONFIG
COMMY_CONFIG=$usual:$folder/shop.conf
serve org.example.Shop --echo
COMMY_CONFIG=$usual
shop_server=$server
run services info org.example.Shop
ok info/has-what-the-keyfile-says says '^  version  *2.1.0$'
ok info/has-tags says '^  tags  *blue$'
ok info/asks-the-node says '^  its node is  *serving$'
run services info org.example.Shpo
ok info/slip-exits-3 exits 3
ok info/slip-names-the-nearest complains 'did you mean "org.example.Shop"'
run services ping org.example.Echo --count 3 -o json
ok ping/json json \
  'it[0]["sent"] == 3 and it[0]["answered"] == 3 and 0 < it[0]["min-ns"] <= it[0]["avg-ns"] <= it[0]["max-ns"]'
run services ping org.example.Echo -n 2
ok ping/table says '^[0-9a-f]\{8\}  *[0-9a-f]\{8\} .*  2  *2  .*s$'
kill -STOP "$echo_server"
run services ping org.example.Echo -n 1
# Connecting or calling takes too long, whichever is noticed first.
ok ping/who-does-not-answer-fails test "$status" -ne 0
ok ping/who-does-not-answer-is-told complains 'CMY0302\|CMY0503'
kill -CONT "$echo_server"

# A caller that stays connected: it calls until its standard output is closed.
mkfifo "$folder/called"
printf '[mesh]\nnode-refresh=100ms\n' > "$folder/often.conf"
COMMY_CONFIG=$usual:$folder/often.conf "$commy" call org.example.Echo Echo "'x'" --count 10000000 > "$folder/called" 2>&1 &
caller=$!
servers="$servers $caller"
exec 7< "$folder/called"
# Its thread is in the middle of a call, most of the time.
seen_calls () {
  tries=0
  until run services stats org.example.Echo -o json && json 'it[0]["received"] > 100 and 0 < it[0]["served"] <= it[0]["received"] and it[0]["served-failed"] == 0'; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
  done
}
ok stats/json-has-what-the-node-counts seen_calls
run services stats org.example.Echo
ok stats/table-has-titles says '^INSTANCE  *NODE  *HOST  *CALLS  *FAILED  *IN FLIGHT  *SERVED  *ERRORS  *RECEIVED'
# A caller in the middle of a call is left out, so it is asked until it is not.
seen_endpoint () {
  tries=0
  until run endpoints org.example.Echo -o json && json 'it != []'; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
  done
}
ok endpoints/json-has-the-caller-s-view seen_endpoint
ok endpoints/json-has-the-instance json \
  'any(e["state"] == "closed" and e["transport"] == "shm" and e["why"] == "" for n in it for e in n["endpoints"])'
ok endpoints/json-has-health-and-version json \
  'all(e["listed"] and e["health"] == "well" and e["version"] == "" for n in it for e in n["endpoints"])'
seen_in_a_table () {
  tries=0
  until run endpoints org.example.Echo && says '^CALLER '; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
  done
}
ok endpoints/table-has-the-caller-s-view seen_in_a_table
ok endpoints/table-has-health-and-version says '^CALLER  .*  TRANSPORT  *VERSION  *HEALTH  *STATE  '
ok endpoints/health-is-told says '  shm  *-  *well  *closed  '
run endpoints org.example.Shop
ok endpoints/nobody-calls-is-told complains 'no node says that it calls org.example.Shop now'
run endpoints org.example.Ehco
ok endpoints/slip-names-the-nearest complains 'did you mean "org.example.Echo"'
run endpoints org.example.Echo --of zzzz
ok endpoints/unknown-node-exits-3 exits 3
# It tells what it calls in the record of its node, also while it is too busy to be asked.
seen_dependency () {
  tries=0
  until run services deps -o json && json 'any(e["from"].startswith("node ") and e["to"] == "org.example.Echo" and e["observed"] and e["seen"] > 0 for e in it)'; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || return 1
  done
}
ok deps/who-calls-is-recorded seen_dependency
run services deps -o json
ok deps/declared-ones json \
  '[(e["to"], e["there"]) for e in it if e["from"] == "org.example.Shop" and e["declared"]] == [("org.example.Bank", False), ("org.example.Echo", True)]'
ok deps/who-is-not-there-is-told complains 'org.example.Shop needs org.example.Bank, which nobody offers'
run services deps org.example.Bank
ok deps/of-an-unknown-exits-3 exits 3
run services deps org.example.Shop
ok deps/table says '^org.example.Shop  *org.example.Echo  *declared '
run services deps --dot
ok deps/dot-is-a-graph says '^digraph commy {$'
ok deps/dot-has-the-edge says '"org.example.Shop" -> "org.example.Echo" \[style=dashed'
run top --once --every 100ms -o json
ok top/json-has-the-views json 'sorted(it) == ["flows", "nodes", "services"]'
ok top/json-has-the-services json \
  'sorted(s["name"] for s in it["services"]) == ["org.example.Echo", "org.example.Shop"]'
ok top/json-has-rates json 'any(n["calls-per-second"] > 0 for n in it["nodes"])'
run top --once --every 100ms --view services --filter Shop --sort name
ok top/table-is-filtered says '^org.example.Shop  *1 instance'
ok top/table-lacks-the-others lacks Echo
run top --view noeds
ok top/unknown-view-exits-2 exits 2
ok top/unknown-view-names-the-nearest complains 'did you mean "nodes"'
run top --every 1h
ok top/every-has-bounds exits 2
run top -o json
ok top/json-belongs-to-once exits 2
run top
ok top/without-a-terminal-exits-2 exits 2
ok top/without-a-terminal-says-once complains -- '--once'
kill -TERM "$caller"
exec 7<&-
wait "$caller" 2> /dev/null

# --- a node that is stuck holds up nobody, and is told ---
kill -STOP "$echo_server"
run top --once --every 100ms -o json
ok top/goes-on-beside-a-node-that-is-stuck exits 0
ok top/tells-which-node-is-stuck json \
  'sorted((n["stale-ns"] > 0, n["where"].startswith("stale ")) for n in it["nodes"]) == [(False, False), (True, True)]'
ok top/has-the-place-of-a-node-that-is-stuck json \
  "[n['where'].endswith(' $echo_server') for n in it['nodes'] if n['stale-ns'] > 0] == [True]"
ok top/says-how-many-are-stuck complains 'nodes that did not answer: 1'
run top --once --every 100ms --view nodes
ok top/table-has-since-when says " stale [0-9]* s: "
kill -CONT "$echo_server"
run top --once --every 100ms -o json
ok top/a-node-that-is-back-is-not-stale json '[n["stale-ns"] for n in it["nodes"]] == [0, 0]'

# --- watched ---
for what in 'services ls' 'services deps' 'services stats org.example.Echo'; do
  mkfifo "$folder/watched"
  # shellcheck disable=SC2086 # words
  "$commy" $what --watch=100ms -o json > "$folder/watched" 2> "$err" &
  watcher=$!
  servers="$servers $watcher"
  exec 8< "$folder/watched"
  rm "$folder/watched"
  read -r line <&8
  read -r line <&8
  kill -INT "$watcher"
  cat <&8 > /dev/null
  exec 8<&-
  status=0
  wait "$watcher" || status=$?
  echo "$line" > "$out"
  name=$(echo "$what" | tr ' ' -)
  ok "watch/$name-ends-well" exits 0
  ok "watch/$name-is-a-line-of-json" json 'len(it) >= 1'
done

# --- the screen ---
if "$commy" top < /dev/null 2>&1 | grep -q ncurses; then
  skip top/screen 'this build is without ncurses'
else
  status=0
  timeout 240 /usr/bin/python3 "$COMMY_SOURCE_DIR/tests/cli/top-at-terminal.py" "$commy" \
    > "$out" 2> "$err" || status=$?
  ok top/screen-shows-sorts-filters-pauses-resizes-and-restores exits 0
fi
server=$shop_server
stop TERM
server=$echo_server
stop TERM
finish
