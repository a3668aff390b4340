#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The audit trail as an operator sees it: tables, JSON, CSV, verification, erasure, exit codes.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in serializer/gvariant auth/peercred store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done

# --- usage, and nothing there ---
run audit
ok audit/needs-a-subcommand exits 2
run audit frob
ok audit/unknown-subcommand-exits-2 exits 2
for subcommand in tail query verify export erase; do
  run audit $subcommand --help
  ok audit/$subcommand-has-help exits 0
done
run audit tail
ok audit/no-trail-exits-1 exits 1
ok audit/no-trail-says-so complains 'CMY0420: there is no audit trail to read'
run audit query --since nonsense
ok audit/no-time-exits-2 exits 2
run audit verify --expect 12
ok audit/bad-expectation-fails exits 1

# --- a trail: one call that is denied ---
cat > "$folder/audit.conf" <<END
[audit]
enabled=true
[policy nobody-reverses]
principals=*
services=org.example.Echo
methods=Reverse
effect=deny
END
COMMY_CONFIG=$COMMY_CONFIG:$folder/audit.conf
export COMMY_CONFIG
serve org.example.Echo
run call org.example.Echo Reverse "'hello'"
ok audit/call-is-denied exits 4
stop TERM
trail=$folder/state/default/audit

run audit tail --outcome denied
ok audit/tail-exits-0 exits 0
run audit tail --outcome refused,denied
ok audit/several-outcomes-are-looked-for says 'call  *denied  *1  *unix:uid='
run audit tail --outcome deneid
ok audit/unknown-outcome-exits-2 exits 2
ok audit/unknown-outcome-names-the-nearest complains 'did you mean "denied"'
run audit tail --type contxol
ok audit/unknown-type-exits-2 exits 2
ok audit/unknown-type-names-the-nearest complains 'did you mean "control"'
run audit tail --outcome 'deneid*'
ok audit/a-pattern-may-fit-nothing says 'no record fits'
run audit tail --outcome denied
ok audit/tail-has-the-call says 'call  *denied  *1  *unix:uid=.*org.example.Echo.Reverse  *nobody-reverses (.*audit.conf:7)'
ok audit/tail-has-one-line test "$(wc -l < "$out")" -eq 2
run audit query --type call --service 'org.example.*' --since 1h -o json
ok audit/query-finds-it json "[(r['method'], r['rule'], r['count']) for r in it] == [('Reverse', 'nobody-reverses', 1)]"
run audit query --until 2020-01-01T00:00:00Z
ok audit/nothing-fits says '^no record fits$'
run audit export --type 'node'
ok audit/export-is-a-line-a-record /usr/bin/python3 -c "import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
sys.exit(0 if len(lines) >= 2 and {l['outcome'] for l in lines} == {'joined', 'left'} else 1)" "$out"
run audit export --csv --type call
ok audit/csv-has-a-head says '^"time","type","outcome","principal"'
ok audit/csv-has-the-call says '"Reverse"'
run audit verify
ok audit/verify-exits-0 exits 0
ok audit/verify-says-whole says '^whole$'
ok audit/verify-says-that-nobody-signed says '^no seals: nobody signed'
run audit verify -o json
ok audit/verify-json json "it['fault_count'] == 0 and it['records'] > 10 and it['seals_judged'] is False and it['removals'] == it['removals_claimed'] == 0 and all(c['state'] == 'closed' for c in it['chains'])"
expect=$(/usr/bin/python3 -c "import json, sys
c = json.load(open(sys.argv[1]))['chains'][0]
print('%d:%s' % (c['last'], c['hash']))" "$out")
run audit verify --expect "$expect"
ok audit/what-was-expected-is-there exits 0
run audit verify --anchor 00
ok audit/another-anchor-fails exits 1

# --- a trail that nobody seals only claims what it removed ---
cat > "$folder/short.conf" <<END
[audit]
retention=1ms
END
before=$COMMY_CONFIG
COMMY_CONFIG=$COMMY_CONFIG:$folder/short.conf
cp -r "$trail" "$folder/kept"
run call org.example.Echo Reverse "'hello'"
run audit verify
ok audit/removed-without-seals-exits-0 exits 0
ok audit/removed-without-seals-is-a-claim says '^[1-9][0-9]* of [1-9][0-9]* removals are only claimed'
run audit verify -o json
ok audit/removed-without-seals-is-told json "it['removals'] > 0 and it['removals_claimed'] == it['removals']"
rm -r "$trail"
mv "$folder/kept" "$trail"
COMMY_CONFIG=$before

# --- a name is erased ---
who=unix:uid=$(id -u)
run audit erase "$who"
ok audit/erase-wants-to-be-sure exits 2
run audit erase "$who" --yes
ok audit/erase-exits-0 exits 0
run audit erase unix:uid=4242 --yes
ok audit/a-name-that-is-not-there-exits-3 exits 3
run audit tail --outcome denied
ok audit/the-call-is-there-without-the-name says 'denied  *1  *erased:[0-9a-f]* .*org.example.Echo.Reverse'
run audit verify
ok audit/erased-and-whole says '^whole$'
ok audit/erased-is-counted says ' names, [1-9][0-9]* of them erased$'

# --- and a byte is changed ---
file=$(grep -l Reverse "$trail"/*.audit)
sed 's/"denied"/"Denied"/' "$file" > "$folder/changed"
cp "$folder/changed" "$file"
run audit verify
ok audit/changed-exits-1 exits 1
ok audit/changed-is-named says "^${file##*/}: changed, record [0-9]*, byte [0-9]*: record [0-9]* does not fit its hash"
rm "$(echo "$trail"/*.audit | cut -d' ' -f1)"
run audit verify --expect "$expect"
ok audit/a-removed-file-shows-against-what-was-expected says 'expected, record'
finish
