#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# commy policy and authz: the rules, why one decides, and cases of a keyfile, with no mesh at all.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
TZ=UTC
export TZ

# --- no rule ---
run policy ls
ok policy/without-rules-says-so says '^no rule: one.s own user may all'
run authz can "unix:uid=$(id -u)" call org.example.Shop/Buy
ok authz/own-user-may exits 0
run authz can unix:uid=54321 call org.example.Shop/Buy
ok authz/others-may-not exits 1
ok authz/and-why says '^no  default: other principal$'

# --- rules ---
cat > "$folder/policy.conf" << 'RULES'
[role staff]
members=unix:uid=34
[role boss]
members=unix:uid=35
inherits=staff
[policy staff-reads]
roles=staff
services=org.example.Shop
methods=Get*
effect=allow
[policy by-day]
roles=boss
services=org.example.Shop
hours=08:00-18:00
from=10.0.0.0/8
effect=allow
[policy keys]
roles=staff
verbs=read
keys=shop/*
effect=allow
[policy maybe]
principals=unix:uid=34
methods=GetAll
effect=deny
mode=observe
RULES
printf '[role empty]\n[policy of-nobody]\nroles=empty\neffect=deny\n' > "$folder/idle.conf"
usual=$COMMY_CONFIG
COMMY_CONFIG=$usual:$folder/idle.conf
run policy ls
ok policy/ls-names-what-fits-nobody complains 'policy of-nobody. (.*idle.conf:4) fits nobody'
run doctor D003
ok policy/doctor-names-what-fits-nobody says 'of-nobody. fits nobody'
printf '[plugin auth/jwt]\nparam.jwks=/nonexistent\nparam.issuer=i\nparam.audience=a\n[auth-chain c]\nrequire=jwt\n' > "$folder/jwks.conf"
COMMY_CONFIG=$usual:$folder/jwks.conf
run doctor D003
ok policy/doctor-fails-without-the-key-set exits 1
ok policy/doctor-names-the-key-set says 'jwks.conf:2: the key set /nonexistent cannot be read'
run services ls
ok policy/join-warns-of-the-key-set complains 'the key set /nonexistent: '
COMMY_CONFIG=$usual
COMMY_CONFIG=$COMMY_CONFIG:$folder/policy.conf
run policy ls
ok policy/ls-exits-0 exits 0
ok policy/ls-has-the-rules says '^by-day  *allow  *enforce  *call  *roles boss  *services=org.example.Shop hours=08:00-18:00 from=10.0.0.0/8  *.*policy.conf:16'
ok policy/ls-shows-trials says '^maybe  *deny  *observe'
run policy ls -o json
ok policy/ls-json json "[r['rule'] for r in it] == ['staff-reads', 'by-day', 'keys', 'maybe']"

run authz can unix:uid=34 call org.example.Shop/GetOne
ok authz/by-a-role exits 0
ok authz/names-rule-and-line says '^yes  .policy staff-reads.  .*policy.conf:10$'
run authz can unix:uid=35 call org.example.Shop/GetOne
ok authz/inherited exits 0
run authz can unix:uid=35 call org.example.Shop/Buy --at 2026-11-23T12:00:00 --from 10.1.2.3
ok authz/conditions-hold exits 0
run authz can unix:uid=35 call org.example.Shop/Buy --at 2026-11-23T19:00:00 --from 10.1.2.3
ok authz/at-night-not exits 1
run authz can unix:uid=35 call org.example.Shop/Buy --at 2026-11-23T12:00:00
ok authz/from-nobody-knows-where-not exits 1
run authz can unix:uid=34 read key:shop/limit -o json
ok authz/json json "it['allowed'] and it['rule'] == 'keys'"
run authz can unix:uid=34 write key:shop/limit
ok authz/no-verb-means-another exits 1
run authz can unix:uid=34 call org.example.Shop/GetAll
ok authz/a-trial-allows exits 0
ok authz/and-says-what-it-would says '^on trial: it would be no (.*policy.conf:25)$'

run policy explain unix:uid=35 call org.example.Shop/Buy --at 2026-11-23T19:00:00 --from 10.1.2.3
ok policy/explain-exits-0 exits 0
ok policy/explain-answers-first says '^no  default: other principal$'
ok policy/explain-names-roles says '^member of boss$'
ok policy/explain-says-which-condition says '^by-day  *hours=08:00-18:00 does not hold'
ok policy/explain-says-what-else says '^staff-reads  *is about other methods'
ok policy/explain-looks-at-verbs says '^keys  *is about other verbs'
run policy explain unix:uid=35 call org.example.Shop/Get
ok policy/explain-ends-where-it-is-decided says '^staff-reads  *allows'

# --- cases ---
cat > "$folder/cases.conf" << 'CASES'
[case staff reads]
principal=unix:uid=34
verb=call
resource=org.example.Shop/GetOne
expect=allow
rule=staff-reads
[case boss by day]
principal=unix:uid=35
verb=call
resource=org.example.Shop/Buy
at=2026-11-23T12:00:00
from=10.1.2.3
expect=allow
CASES
run policy test "$folder/cases.conf"
ok policy/test-passes exits 0
ok policy/test-tells-each says '^ok 2 - boss by day$'
ok policy/test-counts says '^1\.\.2$'
sed 's/expect=allow/expect=deny/' "$folder/cases.conf" > "$folder/wrong.conf"
run policy test "$folder/wrong.conf"
ok policy/test-fails-with-1 exits 1
ok policy/test-says-what-came says '^# expected deny, got allow by staff-reads (.*policy.conf:10)$'
run policy test "$folder/wrong.conf" -o json
ok policy/test-json json "not it[0]['ok'] and it[1]['expect'] == 'deny'"
printf '[case x]\nprincipal=a\n' > "$folder/bad.conf"
run policy test "$folder/bad.conf"
ok policy/test-a-bad-file-exits-2 exits 2
ok policy/test-a-bad-file-is-named complains 'bad.conf: .*.case x. has no verb'

# --- mistakes ---
run authz can unix:uid=34 fly org.example.Shop
ok authz/unknown-verb complains 'no verb of policies; choose call, offer'
run authz can unix:uid=34 call org.example.Shop
ok authz/a-call-needs-a-method complains 'SERVICE/METHOD'
run authz can unix:uid=34
ok authz/too-few-words-exit-2 exits 2
run policy frob
ok policy/unknown-subcommand-exits-2 exits 2
printf '[role a]\ninherits=b\n[role b]\ninherits=a\n' > "$folder/policy.conf"
run policy ls
ok policy/a-circle-exits-2 exits 2
ok policy/a-circle-is-named complains 'policy.conf:4: .role b. roles inherit in a circle: a -> b -> a'

# --- a wrong rule of the caller's does not keep nodes from hearing him ---
COMMY_CONFIG=$usual
serve org.example.Echo
printf '[policy half]\nprincipals=*\n' > "$folder/half.conf"
COMMY_CONFIG=$usual:$folder/half.conf
run services ls
ok policy/a-wrong-rule-stops-others exits 2
run node reload-policy
ok policy/nodes-hear-in-spite-of-it exits 0
ok policy/and-the-rule-is-told complains 'half.conf:1: .*has no effect.*goes on without the rules'
run node flows -o json
ok policy/nodes-tell-in-spite-of-it json 'len(it) == 1'
# It fits the connection by which it is denied: that is counted, and closed.
COMMY_CONFIG=$usual
run cert deny "unix:uid=$(id -u)" --for 1m
ok policy/deny-counts-connections complains 'connections rest on it now'
stop KILL

# --- what would have allowed it ---
cat > "$folder/near.conf" << 'RULES'
[network-group office]
addresses=10.1.0.0/16
[role auditor]
members=unix:uid=990
[policy auditors]
roles=auditor
services=org.example.Ledger
methods=Get*
effect=allow
[policy tls-only]
principals=unix:uid=40
services=org.example.Ledger
groups=office
min-security=mutual
effect=allow
[policy write-only]
principals=unix:uid=40
verbs=offer
services=org.example.Ledger
effect=allow
[policy far]
principals=unix:uid=41
services=org.example.Other
methods=Put
effect=allow
[policy trial]
principals=unix:uid=40
services=org.example.Ledger
methods=Get
mode=observe
effect=allow
[policy early]
principals=unix:uid=42
services=org.example.Ledger
effect=allow
[policy nobody-late]
principals=unix:uid=42
services=org.example.Ledger
effect=deny
[policy listens]
principals=unix:uid=40
verbs=subscribe
topics=shop.*
effect=allow
RULES
COMMY_CONFIG=$usual:$folder/near.conf
run policy explain unix:uid=40 call org.example.Ledger/Get --from 192.0.2.1 --security kernel --why-not -o json
ok why-not/the-closest-first-and-none-that-is-far json "[(r['rule'], [m['condition'] for m in r['missing']]) for r in it['why_not']] == [('early', ['principal']), ('trial', ['mode']), ('write-only', ['verb']), ('auditors', ['role']), ('tls-only', ['network group', 'encryption floor'])]"
run policy explain unix:uid=40 call org.example.Ledger/Get --from 192.0.2.1 --security kernel --why-not
ok why-not/names-the-role says '^auditors  *role  *auditor  *make it a member of one of these: unix:uid=40 in members='
ok why-not/names-the-verb says '^write-only  *verb  *offer  *call in verbs='
ok why-not/names-the-trial says '^trial  *mode  *observe  *mode=enforce'
ok why-not/names-the-network-group says '^tls-only  *network group  *office  *its address in addresses= of one of these .network-group'
ok why-not/names-the-floor says '^tls-only  *encryption floor  *mutual  *a path of this level'
run authz can unix:uid=40 subscribe topic:stock.news --why-not
ok why-not/can-exits-1 exits 1
ok why-not/names-the-topic says '^listens  *topic  *shop\.\*  *stock.news in topics='
run authz can unix:uid=42 call org.example.Ledger/Get --why-not
ok why-not/names-who-denies-behind-it says '^early  *order  *nobody-late  *write it behind .policy nobody-late'
run authz can unix:uid=40 call org.example.Ledger/Get --security mutual --why-not
ok why-not/what-is-not-known-is-asked-for says '^tls-only  *network group  *office  *not known here: say --from'
run authz can unix:uid=7 read key:a --why-not
ok why-not/nothing-comes-close says '^no rule comes close: write a .policy NAME'
run authz can unix:uid=990 call org.example.Ledger/Get --why-not -o json
ok why-not/is-for-denials json "it['allowed'] and 'why_not' not in it"
run authz can unix:uid=40 call org.example.Ledger/Get -o json
ok why-not/only-if-it-is-wanted json "'why_not' not in it"
COMMY_CONFIG=$usual

# --- what somebody proved besides the name ---
cat > "$folder/scopes.conf" << 'RULES'
[policy deployers]
principals=token:*
services=org.example.Deploy
attributes=scope=deploy;claim:team=*
effect=allow
[policy suspended]
principals=*
services=org.example.Deploy
methods=Drop
attributes=claim:state=suspended
effect=deny
RULES
COMMY_CONFIG=$usual:$folder/scopes.conf
run authz can token:build call org.example.Deploy/Go --attribute scope=deploy --attribute claim:team=ops
ok attributes/all-are-there exits 0
run authz can token:build call org.example.Deploy/Go --attribute scope=deploy --why-not
ok attributes/one-is-not exits 1
ok attributes/says-which-one says '^deployers  *attribute  *scope=deploy;claim:team=\*  *a token, .* with claim:team=\*'
run authz can token:build call org.example.Deploy/Go --why-not
ok attributes/not-known-allows-nothing exits 1
ok attributes/asks-for-what-is-not-known says 'not known here: say --attribute'
run policy explain token:build call org.example.Deploy/Go --attribute ''
ok attributes/explained says '^deployers  *attributes=scope=deploy;claim:team=\* does not hold'
run policy ls
ok attributes/listed says '^suspended  *deny .* attributes=claim:state=suspended '
cat > "$folder/scopes-cases.conf" << 'CASES'
[case a deployer deploys]
principal=token:build
verb=call
resource=org.example.Deploy/Drop
attributes=scope=deploy;claim:team=ops
expect=allow
rule=deployers
[case but not while suspended]
principal=token:build
verb=call
resource=org.example.Deploy/Drop
attributes=scope=deploy;claim:team=ops;claim:state=suspended
expect=deny
rule=suspended
[case nor with nothing]
principal=token:build
verb=call
resource=org.example.Deploy/Go
attributes=
expect=deny
CASES
run policy test "$folder/scopes-cases.conf"
ok attributes/cases-pass exits 0
printf '[case x]\nprincipal=a\nverb=call\nresource=a/B\nexpect=deny\nattributes=\377\n' > "$folder/bad.conf"
run policy test "$folder/bad.conf"
ok attributes/no-text-is-a-mistake exits 2
finish
