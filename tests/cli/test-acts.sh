#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What an administrator does by hand is in the audit trail: who, what, on what, and what came of it.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in serializer/gvariant auth/peercred store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done
printf '[audit]\nenabled=true\n' > "$folder/audit.conf"
plain=$COMMY_CONFIG
COMMY_CONFIG=$plain:$folder/audit.conf
export COMMY_CONFIG
trail=$folder/state/default/audit
me=unix:uid=$(id -u)

# recorded ACT: what the trail has of it, as "outcome about details-or-reason" lines in $out.
recorded () {
  run audit query --type admin -o json
  /usr/bin/python3 -c "import json, sys
for r in json.load(open(sys.argv[1])):
  if r.get('method') == sys.argv[2] and r.get('principal', '').startswith(sys.argv[3]):
    print(' '.join(filter(None, (r['outcome'], r.get('peer'), r.get('details'), r.get('reason')))))
" "$out" "$1" "${2-$me}" > "$folder/lines"
  cp "$folder/lines" "$out"
}
begun_and () { printf '%s\n%s\n' "begun $1" "$2" | cmp -s - "$out"; }

# --- what is done over the mesh ---
serve org.example.Echo
run nodes cordon org.example.Echo
ok acts/cordon-exits-0 exits 0
node=$("$commy" nodes ls -o json | /usr/bin/python3 -c 'import json, sys
print([n["node"] for n in json.load(sys.stdin) if "org.example.Echo" in n["services"]][0])')
recorded 'nodes cordon'
ok acts/cordon-is-recorded begun_and "$node" "done $node"
run nodes cordon org.example.Nobody
ok acts/of-no-node-exits-3 exits 3
run nodes uncordon "$node"
recorded 'nodes uncordon'
ok acts/uncordon-is-recorded begun_and "$node" "done $node"
run node reload-policy --of org.example.Echo
recorded 'node reload-policy'
ok acts/reload-policy-is-recorded begun_and org.example.Echo 'done org.example.Echo'
run nodes drain "$node"
recorded 'nodes drain'
ok acts/drain-is-recorded begun_and "$node" "done $node"
wait "$server"

# --- tables and other forms ---
run audit tail --type admin --outcome begun
ok acts/table-names-act-and-node says "admin  *begun  *1  *$me .*nodes drain $node"
run audit export --csv --type admin
ok acts/csv-has-it says '"admin","done",.*"nodes drain"'

# --- erasing ---
run audit erase unix:uid=4242 --yes
ok acts/erasing-nobody-exits-3 exits 3
recorded 'audit erase'
ok acts/erasing-nobody-is-recorded is 'begun
failed not found
'
run audit erase "$me" --yes
ok acts/erasing-exits-0 exits 0
recorded 'audit erase' erased:
ok acts/erasing-is-recorded says '^done [1-9][0-9]* places$'
ok acts/who-was-erased-stands-nowhere sh -c "! grep -rq 'uid=4242\|$me' '$trail'"
run audit verify
ok acts/the-trail-is-whole says '^whole$'

# --- what cannot be recorded ---
refused=$plain:$folder/refuse.conf
printf '[audit]\nenabled=true\ndirectory=/proc/nothing\non-failure=refuse\n' > "$folder/refuse.conf"

run token --help
if exits 0; then
  # --- what needs no mesh ---
  run pki init --host here --user me
  ok acts/init-exits-0 exits 0
  recorded 'pki init'
  ok acts/init-is-recorded begun_and host/here/user/me 'done host/here/user/me'
  run pki init --host here --user me
  recorded 'pki init'
  ok acts/what-failed-is-recorded says '^failed host/here/user/me '
  run token create --name build -o json
  id=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' < "$out")
  recorded 'token create'
  ok acts/token-create-is-recorded begun_and build "done build id $id"
  run token revoke "$id"
  recorded 'token revoke'
  ok acts/token-revoke-is-recorded begun_and "$id" "done $id"
  run token rm "$id"
  recorded 'token rm'
  ok acts/token-rm-is-recorded begun_and "$id" "done $id"
  run totp enrol unix:uid=1000 -o json
  id=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' < "$out")
  recorded 'totp enrol'
  ok acts/totp-enrol-is-recorded begun_and unix:uid=1000 "done unix:uid=1000 id $id"
  run totp revoke "$id"
  recorded 'totp revoke'
  ok acts/totp-revoke-is-recorded begun_and "$id" "done $id"
  run totp rm "$id"
  recorded 'totp rm'
  ok acts/totp-rm-is-recorded begun_and "$id" "done $id"
  run session revoke --principal unix:uid=1000
  recorded 'session revoke'
  ok acts/session-revoke-is-recorded begun_and unix:uid=1000 'failed unix:uid=1000 not found'
  run cert deny token:build --for 24h
  recorded 'cert deny'
  ok acts/deny-is-recorded begun_and token:build 'done token:build for 24h'
  run cert allow token:build
  recorded 'cert allow'
  ok acts/allow-is-recorded begun_and token:build 'done token:build'
  run pki issue --host web2 --user www --out "$folder/web2"
  recorded 'pki issue'
  ok acts/issue-is-recorded begun_and host/web2/user/www 'done host/web2/user/www'
  run pki revoke host/web2/user/www
  recorded 'pki revoke'
  ok acts/pki-revoke-is-recorded begun_and host/web2/user/www 'done host/web2/user/www'
  run pki token create --address 192.0.2.7:7443 --host web3 --user www -o json
  id=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' < "$out")
  recorded 'pki token create'
  ok acts/pki-token-create-is-recorded begun_and host/web3/user/www "done host/web3/user/www id $id"
  run pki token revoke "$id"
  recorded 'pki token revoke'
  ok acts/pki-token-revoke-is-recorded begun_and "$id" "done $id"
  run pki rotate start
  recorded 'pki rotate'
  ok acts/rotate-is-recorded begun_and start 'done start'
  run pki rotate status
  recorded 'pki rotate'
  ok acts/to-look-is-no-act begun_and start 'done start'
  run pki renew
  recorded 'pki renew'
  ok acts/renew-is-recorded says '^done '

  # --- what the service of the authority does ---
  "$commy" pki serve --listen 127.0.0.1:0 --token-valid 5m \
    > "$folder/serve.out" 2> "$folder/serve.err" < /dev/null &
  server=$!
  servers="$servers $server"
  while kill -0 "$server" 2>/dev/null && ! grep -q '^token' "$folder/serve.out"; do sleep 0.02; done
  sed -n 's/^token *//p' "$folder/serve.out" > "$folder/token"
  run join --host there --dir "$folder/joined" --file "$folder/token"
  ok acts/serve/somebody-joins exits 0
  run join --host elsewhere --dir "$folder/refused" --file "$folder/token"
  ok acts/serve/with-a-used-token-nobody-does exits 4
  stop TERM
  recorded 'pki serve'
  ok acts/serve/is-recorded says '^begun '
  run audit query --type certificate -o json
  ok acts/serve/who-got-which-certificate json "any(r['outcome'] == 'issued' \
    and '/host/there/user/' in r['principal'] and r['address'].startswith('127.0.0.1') \
    and r['peer'].startswith('x509:') for r in it)"
  ok acts/serve/who-got-none json "any(r['outcome'] == 'refused' and 'used already' in r['peer'] \
    and 'principal' not in r and r['address'].startswith('127.0.0.1') for r in it)"

  # Without a mesh as well: by the key of this node's certificate.
  run audit verify -o json
  ok acts/they-are-whole-and-sealed json \
    "it['fault_count'] == 0 and it['seals_judged'] and all(c['seals'] > 0 for c in it['chains'][-3:])"

  COMMY_CONFIG=$refused
  run pki serve --listen 127.0.0.1:0
  ok acts/unrecorded/serves-nobody complains 'CMY0420: '
  run token create --name other
  # attack: do as an administrator what leaves no record; defence: it is recorded before it is done
  # (on-failure=refuse); program: tests/cli/test-acts.sh; test: /cli/acts/unrecorded/is-refused
  ok "acts/unrecorded/is-refused" exits 1
  ok acts/unrecorded/says-why complains 'CMY0420: .*on-failure=refuse'
  run cert deny token:build
  ok acts/unrecorded/over-the-mesh-too complains 'CMY0420: '
  sed 's/refuse/continue/' "$folder/refuse.conf" > "$folder/continue.conf"
  COMMY_CONFIG=$plain:$folder/continue.conf
  run token ls -o json
  ok acts/unrecorded/was-not-done json 'it == []'
  run token create --name other
  ok acts/unrecorded/continue-does-it exits 0
  ok acts/unrecorded/and-complains complains 'until it works again, what is to be recorded waits'
  printf '[audit]\nenabled=perhaps\n' > "$folder/broken.conf"
  COMMY_CONFIG=$plain:$folder/broken.conf
  run token create --name third
  ok acts/no-keyfile-no-act exits 2
else
  COMMY_CONFIG=$refused
  run audit erase unix:uid=1 --yes
  ok acts/unrecorded/is-refused complains 'CMY0420: .*on-failure=refuse'
fi
finish
