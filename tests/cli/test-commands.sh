#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command without a mesh: help, wrong usage, keyfiles, the catalog.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"

# --- help ---
run --help
ok help/exits-0 exits 0
ok help/is-silent-on-stderr is_silent
ok help/has-exit-codes says 'Exit codes: 0 done'
run --version
ok version/names-the-release says '^commy [0-9]'
for verb in serve call introspect services plugin route node config; do
  run --help
  ok "help/lists-$verb" says "^  $verb "
  run "$verb" --help
  ok "$verb/help-exits-0" exits 0
  ok "$verb/help-has-an-example" says "^  commy $verb "
  ok "$verb/help-has-exit-codes" says 'Exit codes: 0 done'
  run "$verb"
  ok "$verb/without-arguments-exits-2" exits 2
  ok "$verb/without-arguments-points-to-its-help" complains "^commy: $verb: .*commy $verb --help"
  run "$verb" --no-such-option
  ok "$verb/unknown-option-exits-2" exits 2
done

# Without GnuTLS the verb is there all the same and says what is missing.
run pki --help
if exits 0; then
  ok pki/help-has-an-example says '^  commy pki '
  run pki frob
  ok pki/unknown-subcommand-exits-2 exits 2
  for subcommand in init issue show token serve renew revoke rotate; do
    run pki "$subcommand" --help
    ok "pki/$subcommand/help-exits-0" exits 0
    ok "pki/$subcommand/help-has-an-example" says "^  commy pki $subcommand"
    run pki "$subcommand" --no-such-option
    ok "pki/$subcommand/unknown-option-exits-2" exits 2
    ok "pki/$subcommand/unknown-option-points-to-its-help" \
      complains "^commy: pki $subcommand: .*commy pki $subcommand --help"
  done
  run join --help
  ok join/help-has-an-example says '^  commy join'
  run join
  ok join/without-a-token-exits-4 exits 4
  ok join/without-a-token-says-where-one-is-made complains 'CMY0405: .*commy pki token create'
  for key in C D; do
    status=0
    timeout 60 /usr/bin/python3 "$COMMY_SOURCE_DIR/tests/cli/ask-at-terminal.py" $key paste \
      "$commy" join --dir "$folder/asked" > "$out" 2> "$err" || status=$?
    ok "join/ctrl-$key-at-the-question-leaves-the-terminal-well" exits 0
  done
  run join a b
  ok join/two-tokens-exit-2 exits 2
  run --mesh test pki init --host here --user me
  ok pki/init-exits-0 exits 0
  run pki show --mesh test -o json
  ok pki/show-json json 'it["has_authority_key"] and "here" in it["certificate"]["id"]'
  ok pki/show-json-tells-who-renews json 'it["renewed_by"] == "this host"'
  run pki init --dir "$folder/$(printf 'pki\377')"
  run pki show --dir "$folder/$(printf 'pki\377')" -o json
  ok pki/show-json-of-a-directory-that-is-no-text json '"pki" in it["directory"]'
  run pki token create --mesh test --address 192.0.2.7:7443 --valid 5m -o json
  ok pki/token/create-json json 'it["token"].startswith("cmyjoin1") and it["addresses"] == ["192.0.2.7:7443"]'
  ok pki/token/create-says-that-nobody-serves complains 'commy pki serve'
  run pki token ls --mesh test -o json
  ok pki/token/ls-json json 'len(it) == 1 and it[0]["state"] == "open" and "token" not in it[0]'
  for subcommand in ls expiry deny allow denied; do
    run cert "$subcommand" --help
    ok "cert/$subcommand/help-exits-0" exits 0
    ok "cert/$subcommand/help-has-an-example" says "^  commy cert $subcommand"
    run cert "$subcommand" --no-such-option
    ok "cert/$subcommand/unknown-option-exits-2" exits 2
  done
  run cert frob
  ok cert/unknown-subcommand-exits-2 exits 2
  run cert ls --local --mesh test -o json
  ok cert/ls-json json '[c["what"] for c in it] == ["authority", "own"] and it[1]["certificate"].startswith("x509:")'
  id=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[1]["certificate"])' < "$out")
  run cert expiry --mesh test
  ok cert/expiry-of-ninety-days-exits-0 exits 0
  run cert expiry --mesh test --warn 91 -o json
  ok cert/expiry-warns-with-8 exits 8
  ok cert/expiry-json json 'it["verdict"] == "warn" and len(it["certificates"]) == 2'
  run cert expiry --mesh test --critical 91 --nagios
  ok cert/expiry-for-supervision-exits-2 exits 2
  ok cert/expiry-for-supervision-is-one-line says '^COMMY CRITICAL - own of spiffe://test-'
  run cert expiry --mesh test --warn 3 --critical 14
  ok cert/expiry-that-would-never-warn-exits-2 exits 2
  ok cert/expiry-that-would-never-warn-says-so complains 'not fewer days than --critical'
  run cert expiry --dir "$folder/nowhere" --nagios
  ok cert/expiry-of-nothing-is-unknown exits 3
  run --mesh test cert denied -o json
  ok cert/nobody-is-denied json 'it == []'
  run --mesh test cert deny token:build --reason leaked --for 2h
  ok cert/deny-exits-0 exits 0
  run --mesh test cert denied -o json
  ok cert/denied-json json 'it[0]["subject"] == "token:build" and it[0]["reason"] == "leaked" and it[0]["until"] - it[0]["since"] in (7199, 7200, 7201)'
  run --mesh test cert denied
  ok cert/denied-is-shown says '^token:build .*leaked'
  run --mesh test cert allow token:build
  ok cert/allow-exits-0 exits 0
  run --mesh test cert allow token:build
  ok cert/allow-of-nobody-exits-3 exits 3
  printf '[policy p]\nprincipals=*\neffect=allows\n' > "$folder/bad-rule.conf"
  printf '[policy p]\nprincipals=*\n' > "$folder/half-rule.conf"
  usual=$COMMY_CONFIG
  for rule in bad half; do
    COMMY_CONFIG=$usual:$folder/$rule-rule.conf
    run --mesh test cert deny token:build
    ok "cert/deny-in-spite-of-a-$rule-rule" exits 0
    ok "cert/the-$rule-rule-is-told" complains "$rule-rule.conf:.*goes on without the rules"
    run --mesh test cert allow token:build
    ok "cert/allow-in-spite-of-a-$rule-rule" exits 0
  done
  COMMY_CONFIG=$usual
  run --mesh test cert deny foo
  ok cert/deny-of-no-form-exits-2 exits 2
  ok cert/deny-of-no-form-shows-the-forms complains '"foo" is no principal .*token:NAME.*x509:'
  run --mesh test cert deny .../user/geust
  ok cert/deny-of-a-part-exits-2 exits 2
  run --mesh test cert denied -o json
  ok cert/and-nobody-is-denied-by-it json 'it == []'
  run --mesh test cert deny spiffe://test/host/here/user/geust --for 1s
  ok cert/deny-of-nobody-says-so complains 'fits nobody who is connected now'
  run --mesh test cert allow spiffe://test/host/here/user/geust
  run --mesh test cert deny 'token:a b'
  ok cert/who-is-no-name-is-refused complains 'without spaces'
  run --mesh test cert deny token:x --for ever
  ok cert/a-time-that-is-none-exits-2 exits 2
  run pki rotate --mesh test status -o json
  ok pki/rotate/status-json json 'it["stage"] == "none" and it["next"] == "start" and it["nodes"] == 1'
  run pki rotate --mesh test switch
  ok pki/rotate/steps-have-an-order complains 'start, switch, finish'
  run pki rotate --mesh test start
  ok pki/rotate/start-renews-here says '0 were issued no certificate since'
  run pki revoke --mesh test host/here/user/me -o json
  ok pki/revoke/json json 'it["node"] == "host/here/user/me" and len(it["certificates"]) == 2'
  run pki revoke --mesh test "$id"
  ok pki/revoke/once-more-is-no-failure exits 0
  run pki revoke --mesh test host/nobody/user/me
  ok pki/revoke/of-nobody-says-what-to-say complains 'host/HOST/user/USER'
  run token --help
  ok token/help-has-an-example says 'commy token create --name'
  run token
  ok token/without-arguments-exits-2 exits 2
  run --mesh test token create --name build --scope deploy --scope read
  ok token/create-prints-the-token-alone says '^cmy_[0-9a-f]\{12\}_[0-9a-f]\{64\}_[0-9a-f]\{8\}$'
  ok token/create-says-that-it-is-not-shown-again complains 'not shown again'
  run --mesh test token ls -o json
  ok token/ls-json json 'len(it) == 1 and it[0]["principal"] == "token:build" and it[0]["state"] == "good"'
  ok token/ls-shows-the-scopes-and-no-secret \
    json 'it[0]["scopes"] == ["deploy", "read"] and "cmy_" not in str(it)'
  id=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])' < "$out")
  run --mesh test token revoke "$id"
  ok token/revoke-exits-0 exits 0
  run --mesh test token ls -o json
  ok token/revoked-is-shown json 'it[0]["state"] == "revoked"'
  run --mesh test token rm "$id"
  run --mesh test token ls -o json
  ok token/rm-forgets-it json 'it == []'
  run --mesh test token revoke "$id"
  ok token/revoke-of-none-exits-3 exits 3
  run --mesh test token create --name second --for unix:uid=1000
  run --mesh test token ls -o json
  ok token/for-is-shown json 'it[0]["for"] == "unix:uid=1000" and it[0]["state"] == "good"'
  run --mesh test token create --name 'a b'
  ok token/a-name-that-is-none-is-refused complains 'letters, digits'
  run --mesh test token create --valid forever
  ok token/a-time-that-is-none-exits-2 exits 2
  run totp
  ok totp/without-arguments-exits-2 exits 2
  run --mesh test totp enrol unix:uid=1000
  ok totp/enrol-prints-an-address says '^otpauth://totp/commy%20test:unix'
  ok totp/enrol-prints-backup-codes says '^[a-z2-7]\{4\}-[a-z2-7]\{4\}-[a-z2-7]\{4\}-[a-z2-7]\{4\}$'
  ok totp/enrol-says-that-it-is-not-shown-again complains 'not shown again'
  run --mesh test totp enrol unix:uid=1000
  ok totp/a-second-secret-is-refused complains 'has a secret already'
  run --mesh test totp enrol unix:uid=1001 --file "$folder/ann.otpauth" --algorithm sha256 --digits 8 -o json
  ok totp/with-a-file-the-address-is-not-printed json '"uri" not in it and len(it["backup-codes"]) == 10'
  is_private () { [ "$(stat -c %a "$folder/ann.otpauth")" = 600 ] && grep -q '^otpauth:.*SHA256&digits=8' "$folder/ann.otpauth"; }
  ok totp/the-file-is-its-owners is_private
  run --mesh test totp enrol unix:uid=1002 --file "$folder/ann.otpauth"
  ok totp/a-file-is-not-overwritten complains 'File exists'
  run --mesh test totp ls -o json
  ok totp/ls-json json 'sorted(one["principal"] for one in it) == ["unix:uid=1000", "unix:uid=1001"]'
  ok totp/ls-shows-no-secret json '"uri" not in it[0] and it[0]["backup-codes"] == 10 and it[0]["used"] == "never"'
  id=$(grep -o '^\[[0-9a-f]*\]' "$folder/state/test/totp" | head -n 1 | tr -d '[]')
  run --mesh test totp rm "$id"
  ok totp/what-counts-is-not-forgotten complains 'revoke it first'
  for session in "0123456789ad $id" '0123456789ae 000000000000'; do
    printf 'commy session 1\n%s\nunix:uid=1000\n%s\n1\n9000000000\n9000000000\n%032d\n%064d\n%064d\n%064d\n' \
      "${session% *}" "${session#* }" 0 0 0 0 > "$folder/session"
    run --mesh test store put "sessions/${session% *}" "@$folder/session" --force
  done
  run --mesh test totp revoke "$id"
  ok totp/revoke-exits-0 exits 0
  run --mesh test session ls -o json
  ok totp/revoke-ends-its-sessions json 'len(it) == 1 and it[0]["id"] == "0123456789ae"'
  run --mesh test session revoke 0123456789ae
  run --mesh test totp ls
  ok totp/revoked-is-shown says "$id .*revoked"
  run --mesh test totp rm "$id"
  ok totp/rm-exits-0 exits 0
  run --mesh test totp revoke "$id"
  ok totp/revoke-of-none-exits-3 exits 3
  run --mesh test totp enrol ann
  ok totp/a-name-that-is-none-is-refused complains 'is no principal'
  run --mesh test totp enrol unix:uid=7 --digits 5
  ok totp/digits-that-are-none-exit-2 exits 2
  run --mesh test totp enrol unix:uid=7 --algorithm md5
  ok totp/an-algorithm-that-is-none-exits-2 exits 2
  run session
  ok session/without-arguments-exits-2 exits 2
  run --mesh test session ls -o json
  ok session/ls-of-none json 'it == []'
  printf '[0123456789ab]\nprincipal=unix:uid=7\nscopes=ba9876543210;\ncreated=1\nexpires=9000000000\npepper=%032d\nstored=%064d\nserver=%064d\n' \
    0 0 0 > "$folder/state/test/sessions"
  chmod 600 "$folder/state/test/sessions"
  run --mesh test session ls -o json
  ok session/ls-json json 'len(it) == 1 and it[0]["principal"] == "unix:uid=7" and it[0]["state"] == "good"'
  run --mesh test session ls --principal unix:uid=8 -o json
  ok session/ls-of-somebody-else json 'it == []'
  run --mesh test session revoke --principal unix:uid=8
  ok session/revoke-of-none-exits-3 exits 3
  run --mesh test session revoke 0123456789ab
  ok session/revoke-exits-0 exits 0
  run --mesh test session ls
  ok session/revoked-is-shown says '0123456789ab *unix:uid=7 *revoked'
  printf 'commy session 1\n0123456789ac\nunix:uid=7\nba9876543210\n1\n9000000000\n9000000000\n%032d\n%064d\n%064d\n%064d\n' \
    0 0 0 0 > "$folder/session"
  run --mesh test store put sessions/0123456789ac "@$folder/session"
  ok session/programs-do-not-write-there complains 'sessions/'
  run --mesh test store put sessions/0123456789ac "@$folder/session" --force
  run --mesh test session ls -o json
  ok session/ls-of-the-store json \
    'len(it) == 2 and it[1]["id"] == "0123456789ac" and it[1]["where"] == "store"'
  run --mesh test session ls --dir "$folder/state/test" -o json
  ok session/ls-of-one-folder json 'len(it) == 1 and it[0]["where"] == "host"'
  run --mesh test session revoke 0123456789ac
  ok session/revoke-in-the-store-exits-0 exits 0
  run --mesh test session ls -o json
  ok session/revoked-in-the-store-is-gone json 'len(it) == 1'
  # A store that cannot be had is no reason to leave what is here.
  sed -i '/^revoked/d' "$folder/state/test/sessions"
  printf '[mesh]\nstore=none-such\n' > "$folder/no-store.conf"
  status=0
  COMMY_CONFIG="$COMMY_CONFIG:$folder/no-store.conf" "$commy" --mesh test session revoke \
    0123456789ab > "$out" 2> "$err" < /dev/null || status=$?
  ok session/revoke-without-the-store-says-so complains 'none-such'
  ok session/and-fails [ "$status" -ne 0 ]
  run --mesh test session ls --dir "$folder/state/test"
  ok session/and-revokes-what-is-here says '0123456789ab *unix:uid=7 *revoked'
  # Nor is a rule of a keyfile that is wrong.
  printf '[policy x]\nverbs=nonsense\n' > "$folder/wrong.conf"
  status=0
  COMMY_CONFIG="$COMMY_CONFIG:$folder/wrong.conf" "$commy" --mesh test session revoke \
    0123456789ab > "$out" 2> "$err" < /dev/null || status=$?
  ok session/revoke-goes-on-without-the-rules complains 'without the rules'
  ok session/and-revokes exits 0
  # All who have no name would be one user, if they were called alike.
  if unshare --user --map-user=12345 true 2> "$err"; then
    status=0
    unshare --user --map-user=12345 "$commy" pki init --dir "$folder/nameless" --host here \
      > "$out" 2> "$err" < /dev/null || status=$?
    ok pki/user-without-a-name-is-called-by-number says '/host/here/user/uid-12345$'
    ok pki/user-without-a-name-is-no-complaint is_silent
  else
    skip pki/user-without-a-name-is-called-by-number 'namespaces are refused here'
  fi
  # A file that is opened where the output was closed must not take what is printed.
  "$commy" pki serve --mesh test --listen 127.0.0.1:0 --token-valid 5m <&- >&- 2>&- &
  server=$!
  servers="$servers $server"
  # Its token is noted after signals are heeded, and before it is printed.
  while kill -0 "$server" 2>/dev/null \
    && [ "$(grep -c '^\[token ' "$folder/state/test/pki/register.ini")" -lt 2 ]; do
    sleep 0.02
  done
  stop TERM
  holds_no_token () { ! grep -rq cmyjoin1 "$folder/state"; }
  ok pki/serve/secret-of-a-closed-output-is-in-no-file holds_no_token
  run pki token create --mesh test --valid never
  ok pki/token/bad-time-exits-2 exits 2
  run pki token create --mesh test --address nowhere
  ok pki/token/bad-address-exits-2 exits 2
  run pki token revoke --mesh test 00000000
  ok pki/token/unknown-id-is-told complains 'there is no token 00000000'
else
  ok pki/without-gnutls-exits-1 exits 1
  ok pki/without-gnutls-says-so complains 'GnuTLS'
fi

# --- closed descriptors ---
status=0
"$commy" --version >&- 2> "$err" < /dev/null || status=$?
ok closed/output-exits-1 exits 1
ok closed/output-is-told complains 'cannot write the output: Bad file descriptor'

# --- wrong usage ---
run
ok usage/no-verb-exits-2 exits 2
run frobnicate
ok usage/unknown-verb-exits-2 exits 2
ok usage/unknown-verb-lists-the-verbs complains 'the verbs are serve, call, '
run services ls -o yaml
ok usage/unknown-format-exits-2 exits 2
ok usage/unknown-format-names-it complains '"yaml"'
run services frob
ok usage/unknown-subcommand-exits-2 exits 2
run services info
ok usage/services-info-without-name-exits-2 exits 2
run call org.example.Echo
ok usage/call-without-method-exits-2 exits 2
run call org.example.Echo Echo hello
ok usage/call-with-bare-word-exits-2 exits 2
ok usage/call-with-bare-word-shows-how-to-quote complains "a string is written \"'text'\""
run call org.example.Echo Echo --bytes a 5
ok usage/bytes-and-values-exits-2 exits 2
run call org.example.Echo Echo --timeout soon
ok usage/bad-timeout-exits-2 exits 2
run call org.example.Echo Echo --timeout 5
ok usage/timeout-without-unit-exits-2 exits 2
ok usage/timeout-without-unit-asks-for-it complains '"5" is no time with its unit'
run call org.example.Echo Echo --timeout 0s
ok usage/no-timeout-exits-2 exits 2
run call org.example.Echo Echo --count 0
ok usage/count-0-exits-2 exits 2
run call org.example.Echo Echo --bytes-file "$folder/missing"
ok usage/missing-input-exits-1 exits 1
run route explain org.example.Echo --size 64,4x
ok usage/bad-size-exits-2 exits 2
ok usage/bad-size-names-it complains '"64,4x"'
run route explain org.example.Echo --size -1
ok usage/negative-size-exits-2 exits 2
run route explain org.example.Echo --what-if objectiv=cpu
ok usage/bad-what-if-exits-2 exits 2
ok usage/bad-what-if-names-it complains 'CMY0002.*objectiv'
run serve org.example.Echo --method Up
ok usage/method-without-command-exits-2 exits 2
run serve org.example.Echo --workers 65
ok usage/too-many-workers-exits-2 exits 2
run serve org.example.Echo --xml "$folder/missing.xml"
ok usage/missing-xml-exits-2 exits 2
echo '<node>' > "$folder/bad.xml"
run serve org.example.Echo --xml "$folder/bad.xml"
ok usage/bad-xml-exits-2 exits 2
ok usage/bad-xml-names-the-file complains 'bad.xml'

# --- keyfiles ---
printf '[selection]\nobjective=cpu\n' > "$folder/good.conf"
printf '# a comment\n[selection]\nobjectiv=cpu\n' > "$folder/key.conf"
printf '[selection]\nobjective=fastest\n' > "$folder/value.conf"
printf '\n[selektion]\nobjective=cpu\n' > "$folder/group.conf"
run config check "$folder/good.conf"
ok config/good-keyfile-exits-0 exits 0
ok config/good-keyfile-is-named says 'good.conf: ok'
run config check "$folder/key.conf"
ok config/unknown-key-exits-2 exits 2
ok config/unknown-key-names-file-line-and-nearest complains \
  'CMY0102: .*key.conf:3: .*"objectiv".*did you mean "objective"'
run config check "$folder/value.conf"
ok config/bad-value-exits-2 exits 2
ok config/bad-value-names-file-and-line complains 'CMY0103: .*value.conf:2:'
run config check "$folder/group.conf"
ok config/unknown-group-names-line-and-nearest complains 'group.conf:2: .*did you mean "selection"'
run config check "$folder/missing.conf"
ok config/missing-keyfile-exits-2 exits 2
odd=$folder/$(printf 'odd\377')
run config check "$odd" -o json
ok config/name-that-is-no-text-is-told json '"odd" in it[0]["error"]'
ok config/name-that-is-no-text-is-no-other-complaint lacks_criticals
run config check "$folder/good.conf" "$folder/key.conf" -o json
ok config/one-bad-of-two-exits-2 exits 2
ok config/json-tells-which json '[f["ok"] for f in it] == [True, False]'
# refuses NAME TEXT PATTERN: what programs would refuse to start with is wrong, with its line
refuses () {
  printf %b "$2" > "$folder/refused.conf"
  run config check "$folder/refused.conf"
  ok "config/check-refuses-$1" exits 2
  ok "config/check-tells-why-of-$1" complains "$3"
}
refuses no-effect '[policy p]\nprincipals=*\n' 'refused.conf:1: .*has no effect'
refuses no-principals '[policy p]\neffect=deny\n' 'has no principals'
refuses unknown-role '[policy p]\nroles=nosuch\neffect=deny\n' 'refused.conf:2: .*is no role'
refuses circle '[role a]\ninherits=b\n[role b]\ninherits=a\n' 'in a circle: a -> b -> a'
refuses hours '[policy p]\nprincipals=*\neffect=deny\nhours=8-18\n' 'refused.conf:4: .*08:00-18:00'
refuses network-group '[policy p]\nprincipals=*\neffect=deny\ngroups=nosuch\n' 'no group of networks'
refuses chain '[mesh]\nauth-chain=nosuch\n' 'refused.conf:2: there is no .auth-chain nosuch'
refuses chain-of-nobody '[auth-chain c]\nrequire=nosuch\n' 'there is no auth "nosuch"'
refuses store '[mesh]\nstore=ectd\n' 'refused.conf:2: .*there is no store "ectd"; did you mean "etcd"'
refuses balancer '[mesh]\nbalancer=roundrobin\n' 'refused.conf:2: .*there is no balancer "roundrobin"'
refuses requirement '[plugins]\nrequire=transport/nosuch\n' 'transport/nosuch'
refuses parameter-value '[plugin transport/unix]\nparam.send-buffer=-1\n' 'refused.conf:2: .*param'
refuses parameter-name '[plugin transport/unix]\nparam.prot=1\n' 'refused.conf:2: .*unknown parameter "prot"'
refuses operation '[policy p]\nprincipals=*\nverbs=control\noperations=drian\neffect=allow\n' 'CMY0103: .*refused.conf:4: .*did you mean "drain"'
refuses principal-without-colon '[policy p]\nprincipals=spiffe//*\neffect=deny\n' 'CMY0103: .*refused.conf:2: .*did you mean "spiffe://'
refuses principal-with-a-slip '[policy p]\nprincipals=spife://*\neffect=deny\n' 'did you mean "spiffe://'
refuses member '[role r]\nmembers=uid=1000\n' 'refused.conf:2: .*did you mean "unix:uid=1000"'
refuses plugin '[plugin transport/uinx]\nbias=2\n' 'refused.conf:1: .*did you mean "transport/unix"'
refuses denied-plugin '[plugins]\ndeny=transport/uinx\n' 'refused.conf:2: .*did you mean "transport/unix"'
refuses policy-engine '[security]\npolicy-engine=oap\n' 'refused.conf:2: .*there is no policy "oap"'
printf '[plugin transport/of-elsewhere]\nparam.x=1\n' > "$folder/elsewhere.conf"
run config check "$folder/elsewhere.conf"
ok config/check-tells-what-it-did-not-check complains 'elsewhere.conf:1: .*not checked'
ok config/what-is-not-here-is-not-wrong exits 0
printf '[role staff]\nmembers=unix:uid=34\n' > "$folder/base.conf"
printf '[policy p]\nroles=staff\neffect=allow\n' > "$folder/over.conf"
"$COMMY_BUILD_DIR/commyd" --help > "$out"
ok config/commyd-shows-the-line-that-programs-need says 'store=commyd.n. > commyd.conf'
usual=$COMMY_CONFIG
COMMY_CONFIG=$usual:$folder/base.conf
run config check "$folder/over.conf"
ok config/check-knows-what-other-keyfiles-say exits 0
COMMY_CONFIG=$usual:$folder/key.conf
run config check "$folder/good.conf"
ok config/mistakes-of-others-are-not-this-ones exits 0
ok config/and-that-not-all-was-checked-is-told complains 'good.conf was checked by itself'
run config check "$folder/over.conf"
ok config/what-others-may-have-is-not-wrong exits 0
ok config/but-told complains 'by itself it is not whole.*over.conf:2: .*is no role'
# A file that is read anyway is to blame for its own mistakes.
printf '[mesh]\nstore=ectd\n' > "$folder/used.conf"
COMMY_CONFIG=$usual:$folder/used.conf
run config check "$folder/used.conf"
ok config/check-refuses-a-file-in-use exits 2
ok config/check-tells-why-of-a-file-in-use complains 'used.conf:2: .*there is no store "ectd"'
run config check "$folder/good.conf"
ok config/mistakes-of-a-file-in-use-are-its-own exits 0
# Whichever files a mistake speaks of, and where both are in use.
printf '[mesh]\nstore=%s:ectd\n' "$folder/good.conf" > "$folder/names.conf"
COMMY_CONFIG=$usual:$folder/good.conf:$folder/names.conf
run config check "$folder/good.conf"
ok config/who-is-spoken-of-is-not-to-blame exits 0
ok config/who-is-to-blame-is-told complains 'good.conf was checked by itself.*names.conf:2: '
run config check "$folder/names.conf"
ok config/but-who-speaks-of-it exits 2
COMMY_CONFIG=$usual
mkdir -p "$XDG_CONFIG_HOME/commy"
mv "$folder/used.conf" "$XDG_CONFIG_HOME/commy/commy.conf"
run config check "$XDG_CONFIG_HOME/commy/commy.conf"
ok config/check-refuses-the-users-own exits 2
ok config/check-tells-why-of-the-users-own complains 'commy.conf:2: .*there is no store "ectd"'
cp "$folder/good.conf" "$XDG_CONFIG_HOME/commy/commy.conf"
chmod o+w "$XDG_CONFIG_HOME/commy/commy.conf"
run config check "$XDG_CONFIG_HOME/commy/commy.conf"
ok config/check-refuses-what-everybody-could-write exits 2
ok config/check-tells-how-to-mend-that complains 'everybody could write .*chmod o-w'
rm "$XDG_CONFIG_HOME/commy/commy.conf"
# Code that a file brings is not run to look at it.
mkdir "$folder/brought"
cp "$COMMY_BUILD_DIR/modules/.libs/libcommy-transport-unix.so" "$folder/brought"
printf '[plugins]\npath=%s\n[plugin transport/unix]\nparam.prot=1\n' "$folder/brought" > "$folder/brings.conf"
run config check "$folder/brings.conf"
ok config/check-runs-no-code-that-a-file-brings complains 'brings.conf:3: .*brought/libcommy-transport-unix.so was not loaded'
ok config/what-was-not-loaded-is-not-wrong exits 0
COMMY_CONFIG=$usual:$folder/brings.conf
run config check "$folder/brings.conf"
ok config/what-programs-load-is-checked complains 'brings.conf:4: .*unknown parameter "prot"'
COMMY_CONFIG=$usual
usual=$COMMY_CONFIG
COMMY_CONFIG=$usual:$folder/key.conf
run plugin list
ok config/bad-keyfile-in-use-exits-2 exits 2
ok config/bad-keyfile-in-use-names-line complains 'key.conf:3'
COMMY_CONFIG=$usual:$folder/good.conf
run config show selection
ok config/show-has-value-and-origin says "objective  *cpu  *.*good.conf:2"
ok config/show-has-defaults says 'min-security .* default$'
run config show selection -o json
ok config/show-json json 'any(s["key"] == "objective" and s["value"] == "cpu" for s in it)'
run config show nothing
ok config/unknown-group-exits-3 exits 3

# --- the catalog ---
COMMY_CONFIG=$usual
# A folder of its own, with a plugin from the build if there is one, and files that are none.
run plugin list -o json
ok plugin/list-exits-0 exits 0
ok plugin/list-json json 'all(p["kind"] and p["id"] and p["state"] and p["path"] for p in it)'
ok plugin/none-is-rejected json 'all(p["state"] != "rejected" for p in it)'
mkdir -m 755 "$folder/plugins"
echo 'no plugin' > "$folder/plugins/libcommy-transport-text.so"
usual_path=$COMMY_PLUGIN_PATH
COMMY_PLUGIN_PATH=$usual_path:$folder/plugins
run plugin list
ok plugin/bad-file-is-listed-as-rejected says '^transport  *text .* rejected .*not an ELF file'
ok plugin/list-exits-0-all-the-same exits 0
mkdir -m 755 "$odd"
cp "$COMMY_BUILD_DIR/modules/.libs/libcommy-serializer-gvariant.so" "$odd"
COMMY_PLUGIN_PATH=$odd:$usual_path
run plugin list -o json
ok plugin/folder-whose-name-is-no-text-is-told json 'any("odd" in p["reason"] for p in it)'
ok plugin/folder-whose-name-is-no-text-is-no-complaint lacks_criticals
COMMY_PLUGIN_PATH=$usual_path:$folder/plugins
run plugin list -v
ok plugin/verbose-has-the-path says "$folder/plugins/libcommy-transport-text.so"
run plugin list -o json
ok plugin/bad-file-has-a-reason json \
  'any(p["state"] == "rejected" and p["reason"] and "text.so" in p["path"] for p in it)'
ok plugin/others-are-unharmed json 'any(p["state"] == "found" for p in it)'
COMMY_PLUGIN_PATH=$usual_path
"$commy" plugin list -o json > "$folder/plugins.json" 2> /dev/null
some=$(/usr/bin/python3 -c 'import json, sys
it = json.load(open(sys.argv[1]))
print(it[0]["kind"] + "/" + it[0]["id"])' "$folder/plugins.json")
printf '[plugins]\ndeny=%s\n' "$some" > "$folder/deny.conf"
COMMY_CONFIG=$usual:$folder/deny.conf
run plugin list
ok plugin/denied-is-listed-as-disabled says "disabled .*deny.conf:2"
printf '[plugins]\ndeny=%s-slip;store/*-slip\n' "$some" > "$folder/slip.conf"
COMMY_CONFIG=$usual:$folder/slip.conf
run plugin list
ok plugin/denial-of-nothing-is-told complains "deny=$some-slip of .plugins. .*slip.conf:2.* fits no"
COMMY_CONFIG=$usual
mkdir "$folder/empty"
COMMY_PLUGIN_PATH=$folder/empty
run plugin list
COMMY_PLUGIN_PATH=$usual_path
if says '^transport '; then
  echo '# plugins are installed too: an empty search path cannot be tried'
else
  ok plugin/empty-search-path-is-told complains "there is no plugin in $folder/empty"
fi
run plugin info "$some"
ok plugin/info-exits-0 exits 0
ok plugin/info-has-the-note says '^  licence '
ok plugin/info-has-the-profile says '^profile'
run plugin info "$some" -o json
ok plugin/info-json json 'len(it) == 1 and it[0]["profile"]["segments"]'
run plugin info no-such-plugin
ok plugin/unknown-exits-3 exits 3

# --- output ---
run plugin list
ok output/no-colours-in-a-pipe lacks "$(printf '\033')"
if [ -w /dev/full ]; then
  status=0
  "$commy" --help > /dev/full 2> "$err" || status=$?
  ok output/full-disk-exits-1 exits 1
fi

# --- faults of the surroundings ---
COMMY_STATE_DIR=/dev/null/state
run services ls
ok faults/unusable-state-directory-exits-1 exits 1
ok faults/unusable-state-directory-is-named complains 'CMY0602: .*/dev/null/state'
finish
