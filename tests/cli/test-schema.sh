#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# commy schema: the verdict as a table, as JSON and as the exit code; files and running services.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
interface () { # FILE BODY
  printf '<node><interface name="org.example.A">%s</interface></node>\n' "$2" > "$folder/$1"
}
add='<method name="Add"><arg name="a" type="i"/><arg name="sum" type="i" direction="out"/></method>'
renamed='<method name="Add"><arg name="b" type="i"/><arg name="sum" type="i" direction="out"/></method>'
changed='<method name="Add"><arg name="a" type="x"/><arg name="sum" type="i" direction="out"/></method>'
interface old.xml "$add"
interface same.xml "<!-- said otherwise -->$add"
interface more.xml "$add<method name=\"More\"/>"
interface renamed.xml "$renamed"
interface changed.xml "$changed"

run schema check "$folder/old.xml" "$folder/same.xml"
ok schema/same-exits-0 exits 0
ok schema/same-says-so says '^nothing differs$'
run schema check "$folder/old.xml" "$folder/more.xml"
ok schema/more-exits-0 exits 0
ok schema/more-names-the-member says '^method More  *member  *-  *there  *compatible  *incompatible'
ok schema/more-tells-both-directions says '^new clients with the old service: incompatible$'
run schema check "$folder/old.xml" "$folder/more.xml" --clients new
ok schema/the-other-direction-exits-1 exits 1
run schema check "$folder/more.xml" "$folder/old.xml" --clients old
ok schema/less-exits-1 exits 1
run schema check "$folder/old.xml" "$folder/more.xml" --clients both
ok schema/both-exits-by-the-worst exits 1
run schema check "$folder/old.xml" "$folder/renamed.xml"
ok schema/warnings-exit-6 exits 6
run schema check "$folder/old.xml" "$folder/changed.xml" -o json
ok schema/incompatible-exits-1 exits 1
ok schema/json json "it['old-clients'] == it['new-clients'] == 'incompatible' and it['interfaces'][0]['differences'] == [{
  'kind': 'method', 'name': 'Add', 'field': 'argument', 'index': 1, 'old': 'i', 'new': 'x',
  'old-clients': 'incompatible', 'new-clients': 'incompatible', 'why': 'the types do not fit'}]"
ok schema/json-has-hashes json "len(it['interfaces'][0]['old-hash']) == 32 != it['interfaces'][0]['new-hash']"

# Several interfaces: by name.
sed 's/org.example.A/org.example.B/' "$folder/old.xml" > "$folder/b.xml"
sed 's|<node>||; s|</node>||' "$folder/old.xml" "$folder/b.xml" > "$folder/inner"
{ echo '<node>'; cat "$folder/inner"; echo '</node>'; } > "$folder/two.xml"
run schema check "$folder/two.xml" "$folder/two.xml"
ok schema/several-exit-0 exits 0
run schema check "$folder/two.xml" "$folder/old.xml"
ok schema/one-gone-exits-1 exits 1
run schema check "$folder/two.xml" "$folder/old.xml" --interface org.example.A
ok schema/one-of-several-exits-0 exits 0
run schema check "$folder/two.xml" "$folder/old.xml" --interface org.example.B
ok schema/unknown-interface-exits-3 exits 3
run schema hash "$folder/two.xml" "$folder/same.xml" -o json
ok schema/hash-does-not-depend-on-comments json "len(it) == 3 and it[0]['hash'] == it[2]['hash'] != it[1]['hash']"
run schema hash "$folder/old.xml"
ok schema/hash-table says '^org.example.A  [0-9a-f]\{32\}  '

# --- what cannot be read ---
run schema check "$folder/none.xml" "$folder/old.xml"
ok schema/missing-file-exits-2 exits 2
run schema check /dev/zero "$folder/old.xml"
ok schema/endless-file-exits-1 exits 1
ok schema/endless-file-is-refused complains 'larger than 1048576 bytes'
printf '<node>' > "$folder/bad.xml"
run schema check "$folder/old.xml" "$folder/bad.xml"
ok schema/bad-file-exits-2 exits 2
ok schema/bad-file-is-named complains 'bad.xml: CMY0002: no introspection XML'
for words in '' check 'check a' 'check a b c' hash frob; do
  # shellcheck disable=SC2086 # words
  run schema $words
  ok "schema/$(echo "x $words" | tr ' ' -)-exits-2" exits 2
done
run schema check "$folder/old.xml" "$folder/old.xml" --clients some
ok schema/wrong-clients-exit-2 exits 2

# --- running services ---
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in transport/shm serializer/gvariant store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    skip schema/running-service "this build is without $needed"
    finish
  fi
done
serve org.example.Echo --echo
run schema check org.example.Echo org.example.Echo
ok schema/running-service-fits-itself exits 0
printf '<node><interface name="org.example.Echo"><method name="Echo"><arg type="s"/></method></interface></node>' \
  > "$folder/echo.xml"
run schema check "$folder/echo.xml" org.example.Echo
ok schema/what-is-unknown-is-a-warning exits 6
run schema check "$folder/echo.xml" org.example.Ecco
ok schema/unknown-service-exits-3 exits 3
ok schema/unknown-service-has-a-hint complains 'org.example.Echo'
run __complete schema check ''
ok schema/completion-has-services says '^org.example.Echo$'
ok schema/completion-has-files says '^:files$'
finish
