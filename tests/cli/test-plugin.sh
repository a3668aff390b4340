#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command and plugins that take it down: the first run dies, the second knows; release; pinned
# hashes, printed and put to use.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
# shellcheck disable=SC3045 # dash and bash have it
ulimit -c 0
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in transport/shm auth/peercred store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done
bad=libcommy-transport-crash-init.so
usual=$COMMY_CONFIG
usual_path=$COMMY_PLUGIN_PATH
COMMY_FIXTURE_MARKER=$folder/marker
export COMMY_FIXTURE_MARKER
mkdir -m 755 "$folder/plugins"
cp "$COMMY_BUILD_DIR/tests/fixtures/plugins/.libs/$bad" "$folder/plugins/$bad"
COMMY_PLUGIN_PATH=$usual_path:$folder/plugins

quarantined='any(p["id"] == "crash-init" and p["state"] == "quarantined" for p in it)'
found='any(p["id"] == "crash-init" and p["state"] == "found" for p in it)'
dies () { [ "$status" -ne 0 ] && grep -q 'crash;' "$folder/marker"; }

# --- quarantine ---
run plugin list -o json
ok quarantine/found-before json "$found"
ok quarantine/listing-runs-nothing test ! -e "$folder/marker"
run plugin release crash-init
ok quarantine/nothing-to-release-exits-3 exits 3
ok quarantine/nothing-to-release-says-so complains 'crash-init is quarantined'
run plugin release --all
ok quarantine/nothing-at-all-exits-0 exits 0
run services ls
ok quarantine/first-start-dies dies
rm "$folder/marker"
run services ls
ok quarantine/second-start-goes-on exits 0
ok quarantine/second-start-says-so complains 'transport/crash-init is quarantined'
ok quarantine/second-start-runs-nothing-of-it test ! -e "$folder/marker"
run services ls
ok quarantine/third-start-has-nothing-to-judge exits 0
run plugin list
ok quarantine/is-listed-with-the-way-out \
  says 'crash-init .* quarantined .*when its init ran, .*commy plugin release transport/crash-init'
run plugin list -o json
ok quarantine/is-listed-for-programs json "$quarantined"
printf '[plugins]\nrequire=transport/crash-init\n' > "$folder/require.conf"
COMMY_CONFIG=$usual:$folder/require.conf
run services ls
ok quarantine/required-fails test "$status" -ne 0
ok quarantine/required-names-the-way-out \
  complains 'CMY0210: .*require.conf:2.* quarantined: .*commy plugin release'
COMMY_CONFIG=$usual

# --- release ---
run plugin release
ok release/without-a-name-exits-2 exits 2
run plugin release --all crash-init
ok release/all-and-a-name-exits-2 exits 2
run plugin release transport/other
ok release/of-another-exits-3 exits 3
run plugin release transport/crash-init
ok release/exits-0 exits 0
ok release/names-it says "^released transport/crash-init ($folder/plugins/$bad)$"
run plugin list -o json
ok release/is-found-again json "$found"
run services ls
ok release/dies-again dies
run plugin release --all -o json
ok release/json json 'it == [{"kind": "transport", "id": "crash-init", "path": it[0]["path"]}]'
run services ls
ok release/dies-a-third-time dies
printf 'another build' >> "$folder/plugins/$bad"
run plugin list -o json
ok quarantine/new-build-is-released-by-itself json "$found"

# --- pin ---
COMMY_PLUGIN_PATH=$usual_path
run plugin pin
ok pin/exits-0 exits 0
ok pin/is-a-keyfile says '^trust=hash$'
cp "$out" "$folder/pinned.conf"
run config check "$folder/pinned.conf"
ok pin/keyfile-is-right exits 0
COMMY_CONFIG=$usual:$folder/pinned.conf
run plugin list -o json
ok pin/pinned-are-found json 'any(p["id"] == "shm" and p["state"] == "found" for p in it)'
run services ls
ok pin/pinned-work exits 0
COMMY_PLUGIN_PATH=$usual_path:$folder/plugins
run plugin list
ok pin/not-pinned-is-rejected says 'crash-init .* rejected .*no pinned SHA-256.*commy plugin pin'
COMMY_CONFIG=$usual
run plugin pin crash-init transport/shm -o json
ok pin/json json '[p["id"] for p in it] == ["crash-init", "shm"] and len(it[0]["sha256"]) == 64'
run plugin pin crash-init
cp "$out" "$folder/pin-bad.conf"
printf 'one more' >> "$folder/plugins/$bad"
COMMY_CONFIG=$usual:$folder/pin-bad.conf
run plugin list
ok pin/other-bytes-are-rejected says 'crash-init .* rejected .*pinned is'
run plugin pin no-such-plugin
ok pin/unknown-exits-3 exits 3
run plugin pin --of org.example.Echo
ok pin/of-a-node-exits-2 exits 2
finish
