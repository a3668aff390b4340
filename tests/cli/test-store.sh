#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The store by hand: get, put, rm, watch, status, and what is refused.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in auth/peercred store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done

# --- put, get, rm ---
run store get shop/limit
ok get/missing-exits-3 exits 3
ok get/missing-names-key-and-mesh complains 'no key "shop/limit" in the store of the mesh "default"'
run store put shop/limit 20 --if-revision 0 -o json
ok put/exits-0 exits 0
ok put/json-has-the-revision json 'it["revision"] > 0'
revision=$(sed -n 's/.*"revision" : \([0-9]*\).*/\1/p' "$out")
run store get shop/limit
ok get/value-as-text says '^20$'
run store put shop/limit 30 --if-revision 0
ok put/another-revision-exits-1 exits 1
ok put/another-revision-is-named complains "has revision $revision, not 0"
run store put shop/limit 30 --if-revision "$revision"
ok put/expected-revision-exits-0 exits 0
printf '\377\001raw\000end' > "$folder/bytes"
run store put shop/bytes "@$folder/bytes"
ok put/from-a-file exits 0
run store get shop/bytes
ok get/what-is-no-text-is-not-printed complains 'no text; -r prints'
run store get shop/bytes -r
ok get/raw-bytes-come-back cmp "$folder/bytes" "$out"
status=0
"$commy" store put shop/stdin - < "$folder/bytes" > "$out" 2> "$err" || status=$?
ok put/from-standard-input exits 0
run store get shop/stdin -r
ok get/what-came-from-standard-input cmp "$folder/bytes" "$out"
run store put shop/none "@$folder/no-such-file"
ok put/missing-file-exits-1 exits 1
odd=$(printf 'shop/\377\033[31m')
run store put "$odd" "$(printf 'a\033[31mb')"
run store get shop/
ok get/prefix-is-a-table says '^shop/limit  *[0-9]*  *-  *2 B  *30$'
ok get/no-key-steers-the-terminal lacks "$(printf '\033')"
ok get/odd-key-is-escaped says 'shop/\\377\\033'
run store get shop/ -o json
ok get/prefix-json json '[e["value"] for e in it if e.get("key") == "shop/limit"] == ["30"]'
ok get/what-is-no-text-is-base64 json \
  'len([e for e in it if "key-bytes" in e]) == 1 and any("value-bytes" in e for e in it)'
run store get ''
ok get/everything-has-the-mesh-s-own says '^services/org.commy.Node1/'
run store get nothing/
ok get/empty-prefix-exits-0 exits 0
run store rm shop/bytes
ok rm/exits-0 exits 0
run store rm shop/bytes
ok rm/again-exits-3 exits 3

# --- what is refused ---
run store put services/x y
ok reserved/put-exits-2 exits 2
ok reserved/put-says-how complains 'CMY0002: .*services/.*--force'
run store put nodes/x y --force
ok reserved/forced-exits-0 exits 0
run store rm nodes/x
ok reserved/rm-exits-2 exits 2
run store rm nodes/x --force
ok reserved/rm-forced-exits-0 exits 0
run store put "$(head -c 1025 /dev/zero | tr '\0' k)" v
ok bounds/long-key-exits-2 exits 2
ok bounds/long-key-names-the-bound complains '1024'
for misuse in '' frob 'get' 'put a' 'rm' 'watch' 'status x' 'get a b' 'get a --force' 'put a b -r' \
  'put a b --from 3' 'put a b --if-revision many' 'put a b --if-revision -1' 'get shop/ -r'; do
  # shellcheck disable=SC2086 # words
  run store $misuse
  ok "usage/store-$(echo "$misuse" | tr ' ' -)-exits-2" exits 2
done

# --- status ---
run store status
ok status/names-the-plugin says '^plugin  *sqlite$'
ok status/answers says '^revision  *[0-9]'
run store status -o json
ok status/json json 'it["reachable"] and it["plugin"] == "sqlite" and it["revision"] > 0'

# --- watch ---
mkfifo "$folder/watched"
"$commy" store watch shop/ --from "$revision" -o json > "$folder/watched" 2> "$err" &
watcher=$!
servers="$servers $watcher"
exec 8< "$folder/watched"
rm "$folder/watched"
read -r line <&8
echo "$line" > "$out"
ok watch/begins-after-the-revision json "it['revision'] > $revision"
"$commy" store put shop/late now > /dev/null
while read -r line <&8; do
  case $line in *shop/late*) break ;; esac
done
echo "$line" > "$out"
ok watch/sees-what-another-process-writes json 'it["value"] == "now" and not it["deleted"]'
"$commy" store rm shop/late > /dev/null
read -r line <&8
echo "$line" > "$out"
ok watch/sees-what-is-deleted json 'it["key"] == "shop/late" and it["deleted"]'
kill -INT "$watcher"
cat <&8 > /dev/null
exec 8<&-
status=0
wait "$watcher" || status=$?
ok watch/ends-well-when-interrupted exits 0
ok watch/complains-about-nothing is_silent
finish
