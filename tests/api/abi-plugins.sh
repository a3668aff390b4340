#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A plugin that was compiled when ABI 1.0 was new works with the Commy of today. tests/api/abi-1 keeps
# one of each kind and the headers they were compiled with; here they are judged, and make up a mesh.
# shellcheck disable=SC1091,SC2154 # the library has the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
kept=$COMMY_SOURCE_DIR/tests/api/abi-1
built=$COMMY_BUILD_DIR/tests/api/abi-1/.libs
unset COMMY_PLUGIN_PATH

is_as_it_was () { (cd "$kept" && sha256sum --quiet --check SHA256SUMS) >"$out" 2>"$err"; }
ok abi-1/nothing-of-it-was-changed is_as_it_was

# The kinds whose rules take no time; of the others the mesh below asks more than most rules do.
for plugin in serializer-abi-1 auth-abi-1 balancer-abi-1; do
  run plugin verify "$built/libcommy-$plugin.so"
  ok "abi-1/$plugin-passes" exits 0
done
for plugin in store-abi-1 transport-abi-1 transport-abi-1-hook; do
  run plugin verify --rule describes --rule starts --rule several "$built/libcommy-$plugin.so"
  ok "abi-1/$plugin-passes" exits 0
done
run plugin info serializer/abi-1
ok abi-1/is-not-found-by-chance exits 3

mkdir "$folder/plugins"
cp "$built"/libcommy-*-abi-1.so "$built/libcommy-transport-abi-1-hook.so" \
  "$COMMY_BUILD_DIR/modules/.libs/libcommy-serializer-gvariant.so" \
  "$COMMY_BUILD_DIR/modules/.libs/libcommy-serializer-raw.so" "$folder/plugins"
cat >"$folder/abi-1.conf" <<CONF
[plugins]
path=$folder/plugins
allow=*/abi-1;transport/abi-1-hook;serializer/gvariant;serializer/raw
[mesh]
store=abi-1
balancer=abi-1
auth=abi-1
[plugin transport/abi-1]
hooks=abi-1-hook
CONF
COMMY_CONFIG=$COMMY_CONFIG:$folder/abi-1.conf
serve org.example.Abi
run services ls
ok abi-1/store-finds-the-service says org.example.Abi
run call org.example.Abi Echo "'as ever'"
ok abi-1/transport-carries-a-call says "'as ever'"
head -c 3000000 /dev/zero >"$folder/large"
run call org.example.Abi Echo --bytes-file "$folder/large"
ok abi-1/transport-carries-what-is-large cmp "$folder/large" "$out"
run plugin list --of org.example.Abi -o json
in_use='sorted(p["kind"] for p in it if p["id"].startswith("abi-1") and p["state"] == "active")'
ok abi-1/each-kind-is-in-use \
  json "$in_use == ['auth', 'balancer', 'serializer', 'store', 'transport', 'transport']"
stop TERM
ok abi-1/service-ends-in-good-order exits 0
finish
