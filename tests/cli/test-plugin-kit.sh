#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The kit for authors: what `new` writes builds and passes `verify`; our own plugins pass; every bad
# fixture is judged for what is bad in it, whatever it does to its process; `bench` writes a keyfile.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
# shellcheck disable=SC3045 # dash and bash have it
ulimit -c 0
fixtures=$COMMY_BUILD_DIR/tests/fixtures/plugins/.libs
modules=$COMMY_BUILD_DIR/modules/.libs
unset COMMY_FIXTURE_MARKER

# --- usage ---
run plugin new
ok kit/new-without-words-exits-2 exits 2
run plugin new teapot mine
ok kit/new-of-no-kind-exits-2 exits 2
ok kit/new-of-no-kind-names-the-kinds complains 'say transport, hook, serializer, auth, balancer, store or policy'
for name in '' Mine 9th ../mine mine- a_b 0123456789012345678901234567890123456789; do
  run plugin new transport "$name"
  ok "kit/new-with-the-name-($name)-exits-2" exits 2
done
run plugin verify
ok kit/verify-without-a-path-exits-2 exits 2
run plugin verify "$folder/nothing.so"
ok kit/verify-of-nothing-exits-3 exits 3
run plugin verify --timeout 0 "$folder/nothing.so"
ok kit/a-timeout-of-nothing-exits-2 exits 2

# --- bad files: CHECK is what has to fail, and nothing before it ---
judged () { json "[c['name'] for c in it['checks'] if c['result'] == 'failed'] == ['$1']" && exits 1; }
judge () { # fixture, check, option...
  fixture=$1
  check=$2
  shift 2
  run plugin verify --rule starts "$@" -o json "$fixtures/libcommy-$fixture.so"
  ok "kit/verify/$fixture-fails-at-$check" judged "$check"
}
judge transport-wrong-major note
judge transport-two-notes note
judge transport-profile-descending profile
judge transport-profile-nan profile
judge transport-profile-negative profile
judge transport-no-query load
judge transport-borrowed-query load
judge transport-crash-constructor load
judge transport-crash-query load
judge transport-note-differs descriptor
judge transport-missing-slot descriptor
judge transport-half-pools descriptor
run plugin verify --rule starts -o json "$fixtures/libcommy-auth-short-ops.so"
ok kit/verify/short-ops-is-an-older-minor-and-fine exits 0
judge transport-extra-export symbols
judge transport-fail-init starts-and-stops
judge transport-crash-init starts-and-stops
judge transport-exit-init starts-and-stops
COMMY_FIXTURE_HANG=yes
export COMMY_FIXTURE_HANG
judge transport-hang-init starts-and-stops --timeout 5
unset COMMY_FIXTURE_HANG
judge transport-boaster claim --rule claim
run plugin verify --rule starts -o json "$fixtures/libcommy-transport-good.so"
ok kit/verify/good-starts exits 0
run plugin verify --rule claim -o json "$fixtures/libcommy-transport-honest.so"
ok kit/verify/honest-claims-what-it-takes exits 0
echo 'no plugin' > "$folder/libcommy-transport-text.so"
run plugin verify -o json "$folder/libcommy-transport-text.so"
ok kit/verify/text-fails-at-note judged note
head -c 3000 "$fixtures/libcommy-transport-good.so" > "$folder/libcommy-transport-short.so"
run plugin verify -o json "$folder/libcommy-transport-short.so"
ok kit/verify/a-truncated-file-fails-at-note judged note

# --- what ends the process in good order has not passed ---
for where in inspect suite measure; do
  COMMY_FIXTURE_EXIT_IN=$where
  export COMMY_FIXTURE_EXIT_IN
  case $where in
    inspect) judge transport-exit-constructor load ;;
    suite) judge transport-exit-constructor rules ;;
    measure) judge transport-exit-constructor claim --rule claim ;;
  esac
done
unset COMMY_FIXTURE_EXIT_IN
run plugin verify --rule starts "$fixtures/libcommy-transport-exit-constructor.so"
ok kit/verify/exit-constructor-that-stays-passes exits 0

# --- what it says of itself, what it reaches for, what it takes ---
run plugin verify --rule starts -o json "$fixtures/libcommy-transport-pretends.so"
ok kit/verify/pretends-is-known-by-its-note \
  json "[it[k] for k in ('kind', 'id', 'version')] == ['transport', 'pretends', '1.2.3']"
run plugin verify --rule starts "$fixtures/libcommy-transport-pretends.so"
ok kit/verify/pretends-does-not-colour-the-terminal lacks "$(printf '\033')"
judge transport-reaches-by-signal load
judge transport-reaches-by-limit load
judge transport-floods load
ok kit/verify/floods-is-cut-off says 'more than 8 MiB'
# Behind libtool's script, where there is one.
if [ "$(nm "$COMMY_BUILD_DIR/commy-conformance" "$COMMY_BUILD_DIR/.libs/commy-conformance" 2>/dev/null |
    grep -c "__[at]san_init")" -gt 0 ]; then
  skip kit/verify/hungry-does-not-get-it 'sanitizers need more memory than a limit allows'
else
  run plugin verify --rule starts -o json "$fixtures/libcommy-transport-hungry.so"
  ok kit/verify/hungry-does-not-get-it exits 0
fi

# --- nothing is waited for that a plugin leaves behind, and nothing stays ---
let_go () { timeout 60 flock -x "$COMMY_FIXTURE_HOLD" true; }
held_and_let_go () { [ -s "$COMMY_FIXTURE_HOLD" ] && let_go; }
COMMY_FIXTURE_HOLD=$folder/hold
export COMMY_FIXTURE_HOLD
: > "$COMMY_FIXTURE_HOLD"
lingers=$fixtures/libcommy-transport-lingers.so
status=0
timeout -k 1 60 "$commy" plugin verify --rule starts -o json "$lingers" > "$out" 2> "$err" || status=$?
ok kit/verify/lingers-is-not-waited-for exits 0
if json "it['confined']"; then
  ok kit/verify/lingers-ends-with-its-rule held_and_let_go
  : > "$COMMY_FIXTURE_HOLD"
  COMMY_FIXTURE_HANG=yes "$commy" plugin verify --rule starts "$lingers" > "$out" 2>&1 &
  server=$!
  servers="$servers $server"
  while [ ! -s "$COMMY_FIXTURE_HOLD" ] && kill -0 "$server" 2>/dev/null; do :; done
  stop KILL
  ok kit/verify/lingers-ends-with-the-command held_and_let_go
else
  skip kit/verify/lingers-ends-with-its-rule 'the kernel refuses namespaces'
  skip kit/verify/lingers-ends-with-the-command 'the kernel refuses namespaces'
fi
unset COMMY_FIXTURE_HOLD

# --- our own ---
for plugin in serializer-gvariant auth-peercred balancer-round-robin; do
  if [ -e "$modules/libcommy-$plugin.so" ]; then
    run plugin verify -o json "$modules/libcommy-$plugin.so"
    ok "kit/verify/$plugin-passes" exits 0
  else
    skip "kit/verify/$plugin-passes" 'this build is without it'
  fi
done

# --- from nothing to a plugin that passes ---
cc=${COMMY_CC:-cc}
if [ -z "$(pkg-config --cflags gio-unix-2.0 2>/dev/null)" ]; then
  skip kit/new 'no compiler or no pkg-config'
  finish
fi
# As installed: one folder with the headers, and a file for pkg-config.
mkdir -p "$folder/include/commy-1/commy"
cp "$COMMY_SOURCE_DIR"/include/commy/*.h "$COMMY_BUILD_DIR"/include/commy/*.h \
  "$folder/include/commy-1/commy"
sed "s|^includedir=.*|includedir=$folder/include|; s|^plugindir=.*|plugindir=$folder/plugins|" \
  "$COMMY_BUILD_DIR/commy-plugin-1.pc" > "$folder/commy-plugin-1.pc"
PKG_CONFIG_PATH=$folder${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
cd "$folder" || exit 1
builds () {
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "my-$1" CC="${cc#ccache }" COMMY="$commy" \
    CFLAGS='-O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers' \
    all install > "$out" 2>&1
}
for kind in transport hook serializer auth balancer store policy; do
  run plugin new "$kind" "my-$kind"
  ok "kit/new/$kind-is-written" exits 0
  ok "kit/new/$kind-builds" builds "$kind"
  plugin=$(echo "$folder"/plugins/libcommy-*-my-"$kind".so)
  run plugin verify -o json "$plugin"
  ok "kit/new/$kind-passes" exits 0
  ok "kit/new/$kind-is-what-it-says" json "it['id'] == 'my-$kind' and it['passed'] > 10"
done
run plugin new transport my-transport
ok kit/new-over-a-folder-exits-2 exits 2
run plugin new hook zebra
for name in tally-fast my-tally a-tally-of-tally; do
  run plugin new hook "$name"
  sed "s/zebra_/$(echo "$name" | tr - _)_/g; s/zebra/$name/g" zebra/commy-transport-zebra.c > "$folder/expected.c"
  ok "kit/new/$name-keeps-its-name" cmp "$folder/expected.c" "$name/commy-transport-$name.c"
done

# --- a mesh keeps its services in a store that was written anew; they go with who offers them ---
printf '[plugins]\npath=%s\n[mesh]\nstore=my-store\n' "$folder/plugins" > "$folder/store.conf"
kept_config=$COMMY_CONFIG
COMMY_CONFIG=$COMMY_CONFIG:$folder/store.conf
serve org.example.Kept
run services ls
ok kit/new/store-lists-a-service says org.example.Kept
ok kit/new/store-has-its-own-folder test -s "$(find "$COMMY_STATE_DIR" -path '*/my-store/state')"
stop KILL
gone () { run services ls && lacks org.example.Kept; }
while ! gone; do :; done
ok kit/new/store-forgets-the-killed gone
COMMY_CONFIG=$kept_config

# --- and asks an engine that was written anew ---
cat > "$folder/policy.conf" <<END
[plugins]
path=$folder/plugins
[security]
policy-engine=my-policy
[policy asked]
principals=*
services=org.example.Asked
effect=allow
ask=engine
END
COMMY_CONFIG=$COMMY_CONFIG:$folder/policy.conf
run plugin list
ok kit/new/policy-is-found says 'policy  *my-policy .* found'
serve org.example.Asked --method 'GetName=echo it' --method 'SetName=echo it'
run call org.example.Asked GetName "''"
ok kit/new/policy-allows exits 0
run call org.example.Asked SetName "''"
ok kit/new/policy-denies exits 4
ok kit/new/policy-says-why complains 'it begins with none of the words'
stop TERM
COMMY_CONFIG=$kept_config

# --- bench ---
run plugin bench "$folder/plugins/libcommy-transport-my-transport.so"
ok kit/bench/exits-0 exits 0
cp "$out" "$folder/measured.conf"
run config check "$folder/measured.conf"
ok kit/bench/writes-a-keyfile exits 0
run plugin bench -o json "$folder/plugins/libcommy-serializer-my-serializer.so"
ok kit/bench/json json "it['kind'] == 'serializer' and len (it['sizes']) >= 1"
run plugin bench "$folder/plugins/libcommy-balancer-my-balancer.so"
ok kit/bench/of-a-balancer-says-why complains 'only transports and serializers'
finish
