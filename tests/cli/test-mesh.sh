#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command in a mesh: a server, calls, and what can be seen of both.
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
run services ls
ok alone/ls-exits-0 exits 0
ok alone/ls-says-so complains 'nobody offers'
run services ls -o json
ok alone/ls-json-is-empty json 'it == []'
run services info org.example.Echo
ok alone/info-exits-3 exits 3
run call org.example.Echo Echo
ok alone/call-exits-3 exits 3
ok alone/call-has-its-number complains '^commy: CMY0301: '
ok alone/call-names-mesh-and-folder complains "mesh \"default\", whose folder is $folder/state/default"
run route explain org.example.Echo
ok alone/explain-exits-3 exits 3
run node info
ok alone/node-exits-3 exits 3

# --- echo ---
serve org.example.Echo
id=$(echo "$serving" | sed -n 's/^serving org.example.Echo as \([0-9a-f]*\) (transports .*/\1/p')
ok serve/says-when-it-can-be-found test "${#id}" -eq 32
run call org.example.Echo Echo "'hello'" 5 '[1, 2]' "{'key': <true>}"
ok call/values-come-back says "^('hello', 5, \[1, 2\], {'key': <true>})$"
run call org.example.Echo Echo
ok call/no-argument-comes-back says '^()$'
run call org.example.Echo Echo -- -5
ok call/negative-numbers-behind-dashes says '^(-5,)$'
run call org.example.Echo Echo "uint64 18446744073709551615" "<nan>" "'\\u20ac'" -o json
ok call/json-stays-json json 'it[0] > 1.8e19 and it[1] is None and it[2] == "\u20ac"'
run call org.example.Echo Echo --bytes text
ok call/bytes-come-back is text
head -c 300000 /dev/urandom > "$folder/random"
run call org.example.Echo Echo --bytes-file "$folder/random"
ok call/a-file-comes-back cmp "$folder/random" "$out"
status=0
"$commy" call org.example.Echo Echo --bytes-file - < "$folder/random" > "$out" 2> "$err" || status=$?
ok call/stdin-comes-back cmp "$folder/random" "$out"
: > "$folder/empty"
run call org.example.Echo Echo --bytes-file "$folder/empty"
ok call/nothing-comes-back test ! -s "$out"
ok call/nothing-exits-0 exits 0
run call org.example.Echo Echo "'x'" --sticky somebody
ok call/sticky-comes-back says "^('x',)$"
run call org.example.Echo Echo "'x'" --one-way
ok call/one-way-exits-0 exits 0
run call org.example.Echo Echo --bytes x --count 20 -o json
ok call/count-json json \
  'it["calls"] == 20 and 0 < it["min-ns"] <= it["median-ns"] <= it["p99-ns"]'
run call org.example.Echo Echo --count 1000
ok call/count-table says '^1000 calls: first .*, min .*, median .*, p99 '
run call org.example.Echo Echo --transport shm
ok call/pinned-to-shm exits 0
run call org.example.Echo Echo --transport smh
ok call/unknown-transport-exits-2 exits 2
ok call/unknown-transport-names-the-nearest complains '"smh" (did you mean "shm"?); there are '
printf '[plugins]\ndeny=transport/shm\n' > "$folder/deny.conf"
usual=$COMMY_CONFIG
COMMY_CONFIG=$usual:$folder/deny.conf
run call org.example.Echo Echo --transport shm
ok call/pinned-to-nothing-exits-4 exits 4
ok call/pinned-to-nothing-has-its-number complains 'CMY0305'
COMMY_CONFIG=$usual
run call org.example.Echo Nope
ok call/unknown-method-exits-3 exits 3
ok call/unknown-method-has-its-number complains 'CMY0304: .*Nope'
ok call/unknown-method-lists-the-methods complains 'the methods of org.example.Echo are Echo'
run call org.example.Echo Ecoh
ok call/slip-in-a-method-names-the-nearest complains 'did you mean "Echo"'
run call org.example.Echo Echo '[]'
ok call/type-that-cannot-be-told-exits-2 exits 2
ok call/type-that-cannot-be-told-shows-how complains '"@as \[\]"'
run call org.example.Echo Echo '@as []'
ok call/written-type-comes-back says '^(@as \[\],)$'

# --- looking ---
run services ls
ok services/ls-has-the-service says "^org.example.Echo  *$(echo "$id" | cut -c1-8) .* $server .*shm"
ok services/ls-hides-reserved-names lacks org.commy
run services ls 'org.example.*' -o json
ok services/ls-json json "len(it) == 1 and it[0]['instance'] == '$id' and it[0]['pid'] == $server"
run services ls 'org.other.*' -o json
ok services/ls-pattern json 'it == []'
run services ls --all -o json
ok services/ls-all-without-itself json \
  "sorted(i['service'] for i in it) == ['org.commy.Node1', 'org.example.Echo']"
run services info org.example.Echo
ok services/info-has-the-instance says "^  instance  *$id$"
run node info -o json
ok node/info json "len(it) == 1 and it[0]['info']['pid'] == $server"
node=$(sed -n 's/.*"node" : "\([0-9a-f]*\)".*/\1/p' "$out" | head -n 1)
for topic in flows decisions drops stats health; do
  run node "$topic" --of org.example.Echo
  ok "node/$topic-by-service-exits-0" exits 0
  ok "node/$topic-names-the-node" says "^node $(echo "$node" | cut -c1-8)  .*pid $server$"
  run node "$topic" --of "$(echo "$node" | cut -c1-12)" -o json
  ok "node/$topic-json-by-id" json "it[0]['node'] == '$node' and '$topic' in it[0]"
done
run node drops --of "$id"
ok node/drops-has-the-unknown-method says '^  no-method  *2 '
run node info --of zzzz
ok node/unknown-exits-3 exits 3
run plugin list --of org.example.Echo
ok plugin/of-a-node-is-active says '^transport  *shm .* active '

# --- explaining ---
run route explain org.example.Echo --size 64,4k,1M -o json
ok route/json-has-each-size json '[d["size"] for d in it] == [64, 4096, 1048576]'
ok route/json-has-candidates-and-rejections json \
  'all(d["transport"] == "shm" and d["candidates"] and "rejections" in d for d in it)'
ok route/json-rejections-are-complete json \
  'all(r[k] for d in it for r in d["rejections"] for k in ("field", "required", "offered", "origin"))'
run route explain org.example.Echo --size 64
ok route/table-has-the-choice says '^\* shm+.* chosen'
run route explain org.example.Echo --size 64 --what-if objective=cpu
ok route/what-if-changes-the-question says 'objective cpu'
run route explain org.example.Echo --size 64 --why-not shm
ok route/why-not-the-chosen says '^shm+.* is chosen'
run route explain org.example.Echo --why-not no-such
ok route/why-not-unknown-exits-3 exits 3
run route explain org.example.Echo --select gpu --size 64
ok route/select-that-nobody-fits-exits-4 exits 4
ok route/select-says-what-is-wanted says 'selector.*gpu'
run route explain org.example.Echo --select '>=' --size 64
ok route/select-that-is-none-exits-2 exits 2
run route explain org.example.Echo --select gpu --of org.example.Echo
ok route/select-goes-not-with-of exits 2
run route explain org.example.Echo --what-if preference=network-only --size 64
ok route/nothing-allowed-exits-4 exits 4
run route explain org.example.Echo --of org.example.Echo --size 64
ok route/of-a-node-exits-0 exits 0
ok route/of-a-node-has-a-choice says ' chosen$'
run route explain org.example.Echo --of "$node" --size 64,4k -o json
ok route/of-a-node-json json '[d["size"] for d in it] == [64, 4096] and it[0]["candidates"]'
printf '[plugins]\ndeny=transport/shm\n' > "$folder/deny.conf"
usual=$COMMY_CONFIG
COMMY_CONFIG=$usual:$folder/deny.conf
run route explain org.example.Echo --size 64 --why-not shm
ok route/why-not-names-the-keyfile-line says '^shm.* is refused (enabled): .*deny.conf:2'
COMMY_CONFIG=$usual

# --- another mesh ---
run --mesh other services ls -o json
ok mesh/another-has-none-of-it json 'it == []'
run call --mesh other org.example.Echo Echo
ok mesh/option-behind-the-verb-counts-too exits 3

# --- the end of a server ---
stop TERM
ok serve/sigterm-exits-0 exits 0
run services ls -o json
ok serve/nothing-is-left-after-it json 'it == []'
run call org.example.Echo Echo
ok serve/call-after-it-exits-3 exits 3

# --- commands and an interface ---
serve org.example.Commands --method 'Up=tr a-z A-Z' --method 'Fail=echo because >&2; exit 7' \
  --method 'Slow=exec sleep 1000' --method 'Size=wc -c' --method 'Ignore=true' \
  --method "Env=echo \$COMMY_SERVICE \$COMMY_METHOD \$COMMY_CALLER" \
  --method "Binary=printf '\\377'" --method "Evil=printf '\\033[31mred' >&2; exit 1" --echo \
  --workers 2
run call org.example.Commands Up "'abc'"
ok commands/string-gives-string says "^('ABC',)$"
run call org.example.Commands Up "b'abc'"
ok commands/array-gives-array says "^(b'ABC',)$"
run call org.example.Commands Up --bytes abc
ok commands/bytes-give-bytes is ABC
run call org.example.Commands Up 5
ok commands/a-number-is-refused complains 'CMY0311: .*takes raw bytes'
run call org.example.Commands Fail "''"
ok commands/failure-exits-1 exits 1
ok commands/failure-has-status-and-stderr complains 'exit status 7: because$'
run call org.example.Commands Evil "''"
ok commands/errors-of-others-cannot-steer-the-terminal complains 'exit status 1: ?\[31mred$'
run call org.example.Commands Size --bytes-file "$folder/random"
ok commands/all-input-arrives says '^300000$'
run call org.example.Commands Ignore --bytes-file "$folder/random"
ok commands/input-need-not-be-read exits 0
run call org.example.Commands Env
ok commands/environment says 'org.example.Commands Env unix:uid='
run call org.example.Commands Binary
ok commands/binary-is-no-string complains 'no UTF-8 text'
run call org.example.Commands Binary --bytes ''
ok commands/binary-is-bytes is "$(printf '\377')"
run call org.example.Commands Slow "''" --timeout 200ms
ok commands/deadline-exits-5 exits 5
run call org.example.Commands Echo 1
ok commands/echo-beside-them says '^(1,)$'
stop INT
ok serve/sigint-exits-0 exits 0

# --- the end of a server with a call under way ---
mkfifo "$folder/started"
printf '[mesh]\ndrain-timeout=2s\n' > "$folder/drain.conf"
before=$COMMY_CONFIG
export COMMY_CONFIG="$COMMY_CONFIG:$folder/drain.conf"
serve org.example.Slow --method "Slow=echo > '$folder/started'; exec sleep 1000"
"$commy" call org.example.Slow Slow --timeout 60s > "$out" 2> "$err" &
caller=$!
servers="$servers $caller"
COMMY_CONFIG=$before
read -r _ < "$folder/started"
stop TERM
ok drain/server-exits-0 exits 0
status=0
wait "$caller" || status=$?
ok drain/caller-exits-1 exits 1
ok drain/caller-is-told-why complains 'CMY0311: .*because the service ends'

cat > "$folder/typed.xml" <<'XML'
<node><interface name='org.example.Typed'>
<method name='Same'><arg name='in' type='i' direction='in'/><arg name='out' type='i' direction='out'/></method>
<method name='List'><arg type='as' direction='in'/><arg type='as' direction='out'/></method>
<method name='Small'><arg type='y' direction='in'/><arg type='y' direction='out'/></method>
</interface></node>
XML
serve org.example.Typed --xml "$folder/typed.xml"
run call org.example.Typed Same 1
ok typed/right-type says '^(1,)$'
run call org.example.Typed Same "'text'"
ok typed/wrong-type-exits-1 exits 1
ok typed/wrong-type-has-its-number complains 'CMY0310'
ok typed/wrong-type-shows-the-method complains 'the method is Same (i in) -> (i out)'
run call org.example.Typed List '[]'
ok typed/empty-array-needs-no-type says '^(@as \[\],)$'
run call org.example.Typed Small 7
ok typed/number-becomes-what-is-wanted says '^(byte 0x07,)$'
run call org.example.Typed Small 256
ok typed/number-out-of-range-is-refused complains 'CMY0310: argument 1 '
run call org.example.Typed Same 1 2
ok typed/too-many-arguments-exits-1 exits 1
ok typed/too-many-arguments-shows-the-method complains '2 arguments were given, but the method is Same'
run call org.example.Typed Same 1 --count 3
ok typed/often exits 0
run introspect org.example.Typed
ok introspect/table-has-the-types says '^Same  *i in  *i out  *ready$'
run introspect org.example.Typed -o xml
ok introspect/xml-is-xml /usr/bin/python3 -c 'import sys, xml.dom.minidom
d = xml.dom.minidom.parse(sys.argv[1])
assert [m.getAttribute("name") for m in d.getElementsByTagName("method")] == ["Same", "List", "Small"]' "$out"
cp "$out" "$folder/told.xml"
run introspect org.example.Typed -o json
ok introspect/json json \
  'it[0]["interface"] == "org.example.Typed" and it[0]["methods"][0]["in"] == [["in", "i"]]'
run introspect org.example.Typed -o yaml
ok introspect/unknown-format-exits-2 exits 2
run introspect org.example.Typde
ok introspect/unknown-service-exits-3 exits 3
ok introspect/unknown-service-names-the-nearest complains 'did you mean "org.example.Typed"'
run introspect org.example.Typed --of zzzz
ok introspect/unknown-instance-exits-3 exits 3
run introspect org.commy.Node1
ok introspect/the-reserved-service-too says '^Introspect  *s service, s instance  *aa{sv} interfaces'
run introspect org.example.Typed --bad
ok introspect/unknown-option-exits-2 exits 2
first=$server
serve org.example.Typed --xml "$folder/told.xml" --method Same=cat
run introspect org.example.Typed
ok introspect/instances-that-differ-exit-2 exits 2
ok introspect/instances-that-differ-say-which complains 'say which with --of'
run introspect org.example.Typed -o json
ok introspect/json-has-all-instances json 'len(it) == 2'
run introspect org.example.Typed \
  --of "$(echo "$serving" | sed 's/.* as \([0-9a-f]*\) .*/\1/')"
ok introspect/method-without-handler-is-told says '^List .* no handler$'
stop TERM
server=$first
stop TERM
ok typed/sigterm-exits-0 exits 0

# --- refused for its certificate ---
run pki --help
if exits 0; then
  run pki init --host here --user me
  run pki init --dir "$folder/strange" --host there --user me
  # The caller believes both authorities, so that it is the service that refuses.
  cat "$folder/state/default/pki/ca.pem" >> "$folder/strange/ca.pem"
  cat > "$folder/strange.conf" << END
[mesh]
credentials-dir=$folder/strange
[selection]
preference=pin
transports=tls
min-security=mutual
[policy whose-name-it-is-matters-not]
principals=spiffe://*
verbs=offer
services=*
effect=allow
END
  serve org.example.Strict
  usual=$COMMY_CONFIG
  COMMY_CONFIG=$usual:$folder/strange.conf
  run call org.example.Strict Reverse "'a'"
  ok call/refused-for-its-certificate-exits-4 exits 4
  ok call/refused-for-its-certificate-says-so complains 'CMY0401: .*refused this node.s certificate'
  COMMY_CONFIG=$usual
  stop TERM
fi
finish
