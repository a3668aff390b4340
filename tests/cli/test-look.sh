#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Looking at running nodes: nodes, stats, drops, their --watch, doctor, and completion.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in transport/shm serializer/gvariant serializer/raw auth/peercred store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done

# --- nobody there ---
run nodes
ok alone/nodes-exits-0 exits 0
ok alone/nodes-says-so complains 'no other node is in the mesh "default"'
run nodes -o json
ok alone/nodes-json-is-empty json 'it == []'
for verb in stats drops; do
  run "$verb"
  ok "alone/$verb-exits-3" exits 3
  run "$verb" more
  ok "$verb/arguments-exit-2" exits 2
  run "$verb" --every 1s
  ok "$verb/every-without-watch-exits-2" exits 2
  for time in 5 1ms 2h soon; do
    run "$verb" --watch --every "$time"
    ok "$verb/every-$time-exits-2" exits 2
  done
done
run nodes frob
ok nodes/unknown-subcommand-exits-2 exits 2
run nodes info
ok nodes/info-without-a-node-exits-2 exits 2
run nodes info x --watch
ok nodes/info-cannot-be-watched exits 2
run nodes ls more
ok nodes/ls-takes-no-arguments exits 2

# --- one server ---
serve org.example.Echo --method 'Up=tr a-z A-Z' --echo
run nodes
ok nodes/ls-has-host-pid-and-services says " $server .*shm.*  org.example.Echo$"
run nodes ls -o json
ok nodes/json json "len(it) == 1 and it[0]['pid'] == $server and it[0]['services'] == ['org.example.Echo']"
node=$(sed -n 's/.*"node" : "\([0-9a-f]*\)".*/\1/p' "$out" | head -n 1)
run nodes info org.example.Echo
ok nodes/info-by-service says "^    pid  *$server$"
run nodes info "$node" -o json
ok nodes/info-json json "it['health'] == 'serving' and it['info']['node'] == '$node' and it['stats']['services'] == 2"
run nodes
ok nodes/ls-has-state-and-load says ' *up  *[0-9.]*/[0-9]* '
run nodes cordon org.example.Echo
ok nodes/cordon-says-so says '^node [0-9a-f]* is cordoned$'
run nodes ls -o json
ok nodes/cordoned-in-json json "it[0]['state'] == 'cordoned' and it[0]['cpus'] > 0"
run services ls -o json
ok nodes/cordoned-instance-drains json "it[0]['draining'] is True"
run nodes uncordon "$node" -o json
ok nodes/uncordon-json json "it == 'up'"
run nodes drain
ok nodes/drain-without-a-node-exits-2 exits 2
run nodes cordon x --timeout 2s
ok nodes/timeout-is-for-drain exits 2
run nodes drain x --timeout soon
ok nodes/drain-bad-time-exits-2 exits 2
run nodes drain zzzz
ok nodes/drain-of-nobody-exits-3 exits 3
run nodes info zzzz
ok nodes/unknown-exits-3 exits 3

echo_server=$server

# The server's side of a channel is listed while the channel is open: a slow call keeps it so.
mkfifo "$folder/started" "$folder/go"
serve org.example.Slow --method "Slow=echo > '$folder/started'; cat '$folder/go'; cat"
slow=$server
"$commy" call org.example.Slow Slow "'text'" --timeout 60s > "$folder/answer" 2>&1 &
caller=$!
servers="$servers $caller"
read -r _ < "$folder/started"
run stats --of org.example.Slow -o json
ok stats/exits-0 exits 0
ok stats/json-has-the-serving-side json \
  'any(f["side"] == "serves" and f["service"] == "org.example.Slow" and f["transport"] == "shm" and f["received"] >= 1 and f["unanswered"] == 1 for f in it[0]["flows"])'
ok stats/json-has-the-offer json \
  'any(o["service"] == "org.example.Slow" and o["in-flight"] == 1 and o["channels"] == 1 for o in it[0]["stats"]["offers"])'
ok stats/json-has-the-node json "len(it) == 1 and it[0]['pid'] == $slow"
run stats
ok stats/table-has-the-offer says '  org.example.Slow  .*  1  '
ok stats/table-has-the-flow says '  serves  *org.example.Slow  *shm  *unix:uid='
ok stats/table-hides-reserved-names lacks org.commy
run stats --all
ok stats/all-has-reserved-names says org.commy.Node1
ok stats/table-says-who-is-left-out says '^in the middle of a call, so not listed: 1 thread'
run stats -o json
ok stats/json-says-who-is-left-out json \
  "[n['stats']['busy-threads'] for n in it if n['pid'] == $caller] == [1]"
run stats --of zzzz
ok stats/unknown-exits-3 exits 3
echo > "$folder/go"
status=0
wait "$caller" || status=$?
ok stats/watched-call-ends-well exits 0
server=$slow
stop TERM
server=$echo_server

# --- what others send is no order to a terminal, in JSON either ---
run call org.example.Echo Echo "'a\\u007f\\u009b31m\\u00a0'" -o json
ok json/has-what-was-sent json "'a\\x7f\\x9b31m\\xa0' in json.dumps(it, ensure_ascii=False)"
ok json/control-characters-are-escaped says '\\u009b31m'

# --- drops ---
run drops
ok drops/none-says-so says '^nothing was dropped (nodes asked: 1)$'
run call org.example.Echo Nope
run drops
ok drops/table-has-reason-and-culprit says 'no-method  *1  *org.example.Echo has no method'
run drops -o json
ok drops/json json "it[0]['node'] == '$node' and ['no-method', 1] in [d[:2] for d in it[0]['drops']]"
run drops --of zzzz
ok drops/unknown-exits-3 exits 3

# --- watch: rounds come until an interrupt, which is no failure ---
watch () { # words of the command; the first two rounds are in $first and $second
  mkfifo "$folder/watched"
  "$commy" "$@" --watch --every 100ms -o json > "$folder/watched" 2> "$err" &
  watcher=$!
  servers="$servers $watcher"
  exec 8< "$folder/watched"
  rm "$folder/watched"
  read -r first <&8
  read -r second <&8
  kill "-$signal" "$watcher"
  cat <&8 > /dev/null
  exec 8<&-
  status=0
  wait "$watcher" || status=$?
}
signal=INT
for verb in stats drops nodes; do
  watch "$verb"
  ok "$verb/watch-ends-well-when-interrupted" exits 0
  ok "$verb/watch-complains-about-nothing" is_silent
  echo "$first" > "$out"
  ok "$verb/watch-first-line-is-json" json 'len(it) == 1'
  echo "$second" > "$out"
  ok "$verb/watch-second-line-is-json" json 'len(it) == 1'
  signal=TERM
done

status=0
timeout 60 "$commy" nodes --watch --every 1h > /dev/full 2> "$err" || status=$?
ok watch/first-round-that-nobody-reads-ends-it exits 1
ok watch/full-disk-is-told complains 'cannot write the output'

# --- doctor ---
run doctor -o json
ok doctor/json-has-each-code-once json \
  'len(it) == len({c["code"] for c in it}) and [c["code"] for c in it] == ["D%03d" % (i + 1) for i in range(len(it))]'
ok doctor/json-states json 'all(c["state"] in ("ok", "warn", "fail") and c["found"] for c in it)'
ok doctor/what-is-not-well-has-a-way-out json \
  'all(c["state"] == "ok" or c["way-out"] for c in it)'
ok doctor/nothing-fails-here json 'not [c for c in it if c["state"] == "fail"]'
ok doctor/called-itself-over-shm json 'any(c["name"] == "calls" and "shm " in c["found"] for c in it)'
ok doctor/leaves-nobody-behind test "$(find "$folder/run/default" -type s | wc -l)" -le 2
run doctor D006 d012
ok doctor/only-what-is-asked-for says '^1 ok\|^2 ok'
ok doctor/all-well-exits-0 exits 0
run doctor D999
ok doctor/unknown-code-exits-2 exits 2
printf '[selection]\nobjectiv=cpu\n' > "$folder/bad.conf"
usual=$COMMY_CONFIG
COMMY_CONFIG=$usual:$folder/bad.conf
run doctor -o json
ok doctor/bad-keyfile-exits-1 exits 1
ok doctor/bad-keyfile-names-file-line-and-nearest json \
  'any(c["code"] == "D003" and c["state"] == "fail" and "bad.conf:2" in c["found"] and "objective" in c["found"] for c in it)'
ok doctor/bad-keyfile-is-no-crash json 'len(it) >= 18'
COMMY_CONFIG=$usual
chmod 770 "$folder/run/default"
run doctor D001
ok doctor/open-folder-exits-1 exits 1
ok doctor/open-folder-says-mode-and-way-out says 'writable for others (mode 0770)'
ok doctor/open-folder-has-a-way-out says '-> chmod 700'
chmod 755 "$folder/run/default"
run doctor D001
ok doctor/folder-that-others-read-exits-6 exits 6
chmod 700 "$folder/run/default"
usual_dir=$COMMY_STATE_DIR
COMMY_STATE_DIR=/dev/null/state
run doctor D002 D005 D018 -o json
ok doctor/impossible-folder-exits-1 exits 1
ok doctor/impossible-folder-fails-folder-and-store json \
  '[c["state"] for c in it][:2] == ["fail", "fail"]'
COMMY_STATE_DIR=$usual_dir
mkdir -m 755 "$folder/plugins"
echo 'no plugin' > "$folder/plugins/libcommy-transport-text.so"
usual_path=$COMMY_PLUGIN_PATH
COMMY_PLUGIN_PATH=$usual_path:$folder/plugins
run doctor D004
ok doctor/bad-plugin-warns exits 6
ok doctor/bad-plugin-is-named says 'libcommy-transport-text.so'
COMMY_PLUGIN_PATH=$usual_path
prlimit --nofile=256:256 "$commy" doctor D010 > "$out" 2> "$err"
ok doctor/few-files-are-told says 'at most 256'
status=0
prlimit --nofile=20:20 "$commy" doctor -o json > "$out" 2> "$err" || status=$?
ok doctor/hardly-any-files-exit-1 exits 1
ok doctor/hardly-any-files-are-no-crash json 'any(c["code"] == "D017" and c["state"] == "fail" for c in it)'
run pki init --help
if exits 0; then
  run pki init --host here --user me
  run doctor D016 D017 D018 -o json
  ok doctor/certificate-is-dated json 'it[0]["state"] == "ok" and "valid until" in it[0]["found"]'
  chmod 644 "$folder/state/default/pki/key.pem"
  run doctor D016
  ok doctor/key-open-to-others-fails exits 1
  rm -r "$folder/state/default/pki"
fi

# --- completion: what the shell's file asks for ---
candidates () {
  run __complete "$@"
}
candidates ''
ok complete/verbs says '^introspect$'
ok complete/hides-itself lacks __complete
candidates int
ok complete/prefix is 'introspect
'
candidates services ''
ok complete/subcommands says '^ls$'
candidates services info org.ex
ok complete/services is 'org.example.Echo
'
candidates call org.example.Echo U
ok complete/methods is 'Up
'
candidates call org.example.Echo Up --tr
ok complete/options is '--transport
'
candidates call --transport s
ok complete/transports says '^shm$'
candidates introspect -o ''
ok complete/formats says '^xml$'
candidates stats --output = j
ok complete/words-cut-at-equals is 'json
'
candidates node flows --of "$(echo "$node" | cut -c1-4)"
ok complete/nodes says "^$(echo "$node" | cut -c1-8)$"
candidates plugin info transport/s
ok complete/plugins says '^transport/shm$'
candidates config check ''
ok complete/files is ':files
'
candidates config show sel
ok complete/groups is 'selection
'
candidates help CMY030
ok complete/error-numbers says '^CMY0301$'
candidates doctor D01
ok complete/checks says '^D010$'
candidates no-such ''
ok complete/unknown-verb-is-nothing test ! -s "$out"
candidates --mesh other services info org.
ok complete/another-mesh-has-none test ! -s "$out"
candidates pki ''
if says '^init$'; then
  ok complete/pki says '^show$'
fi
if command -v bash > /dev/null; then
  PATH=$COMMY_BUILD_DIR:$PATH COMMY_COMPLETION=$COMMY_SOURCE_DIR/cli/completion/commy.bash \
    bash --norc --noprofile -c '. "$COMMY_COMPLETION"
COMP_WORDS=(commy call org.exam) COMP_CWORD=2 && _commy commy && printf "%s\n" "${COMPREPLY[@]}"
COMP_WORDS=(commy ser) COMP_CWORD=1 && _commy commy && printf "%s\n" "${COMPREPLY[@]}"
complete -p commy' > "$out" 2> "$err"
  ok complete/in-bash is 'org.example.Echo
serve
services
complete -F _commy commy
'
fi
stop TERM
finish
