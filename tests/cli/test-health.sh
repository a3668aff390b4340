#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# How instances are, and alerts: tables, JSON, exit codes, and one line for supervision.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in serializer/gvariant auth/peercred store/sqlite; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done

# Until the command fulfils a condition; the last run is what is judged.
await () { # arguments of commy, then -- and the condition
  arguments=
  while [ "$1" != -- ]; do
    arguments="$arguments $1"
    shift
  done
  shift
  tries=0
  # shellcheck disable=SC2086 # words
  until run $arguments && "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || return 1
  done
}

# --- nobody there ---
run health
ok health/nothing-exits-0 exits 0
ok health/nothing-says-so says '^nothing is offered$'
run health org.example.Echo
ok health/nobody-offers-it-exits-9 exits 9
ok health/nobody-offers-it-says-so says '^nobody offers org.example.Echo$'
run health org.example.Echo --nagios
ok health/nagios-nobody-exits-2 exits 2
ok health/nagios-nobody-says-so is 'COMMY CRITICAL - 0 of 0 instances are well | well=0 unwell=0 draining=0 unknown=0
'
run health org.example.Echo -o json
ok health/json-nobody json "it == {'verdict': 'critical', 'instances': []}"
run health one two
ok health/two-services-exit-2 exits 2
run health --nagios --watch
ok health/nagios-cannot-be-watched exits 2
run health --nagios -o json
ok health/nagios-is-no-json exits 2
run health --every 1s
ok health/every-without-watch-exits-2 exits 2
run --mesh 'no name' health --nagios
ok health/nagios-that-cannot-join-exits-3 exits 3
ok health/nagios-that-cannot-join-says-so says '^COMMY UNKNOWN - CMY0002'
run alerts
ok alerts/nobody-exits-3 exits 3
run alerts frob
ok alerts/unknown-subcommand-exits-2 exits 2
run alerts ls more
ok alerts/ls-takes-no-arguments exits 2

# --- one that is well, and one that looks at it ---
serve org.example.Echo
echo_server=$server
run health
ok health/well-exits-0 exits 0
ok health/well-says-so says '^org.example.Echo  .*  well  '
run alerts ls
ok alerts/none-exits-0 exits 0
ok alerts/none-says-so says '^no node has an alert'

flag=$folder/well
: > "$flag"
cat > "$folder/look.conf" <<END
[service org.example.Echo]
health-check=command
health-interval=50ms
health-fall=2
health-target=test -e $flag

[alert sick]
when=unwell
service=org.example.Echo
for=0
cool-down=0
severity=critical
END
own_config=$COMMY_CONFIG
COMMY_CONFIG=$COMMY_CONFIG:$folder/look.conf
serve org.example.Looker
COMMY_CONFIG=$own_config
ok health/seen-well await health org.example.Echo -- says '  well  *1 well, 0 unwell'
run health org.example.Echo --nagios
ok health/nagios-well-exits-0 exits 0
ok health/nagios-well-says-so is 'COMMY OK - 1 of 1 instances are well | well=1 unwell=0 draining=0 unknown=0
'
rm "$flag"
run_until_unwell () {
  tries=0
  until run health -o json; json "it['verdict'] == 'critical'"; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || return 1
  done
}
ok health/becomes-unwell run_until_unwell
ok health/critical-exits-9 exits 9
ok health/json-has-the-finding json "[i for i in it['instances'] if i['service'] == 'org.example.Echo'][0] == \
  dict([i for i in it['instances'] if i['service'] == 'org.example.Echo'][0], state='unwell', \
  check='command', reason='test ended with status 1', **{'seen-unwell': 1, 'seen-well': 0})"
ok health/json-has-the-others json "any(i['service'] == 'org.example.Looker' and i['state'] == 'well' for i in it['instances'])"
run health org.example.Echo
ok health/unwell-says-why says '  unwell  *0 well, 1 unwell  *test ended with status 1'
run health org.example.Echo --nagios
ok health/nagios-critical-exits-2 exits 2
ok health/nagios-critical-says-why says '^COMMY CRITICAL - 0 of 1 instances are well: test ended with status 1 | well=0 unwell=1 draining=0 unknown=0$'
ok alerts/fires await alerts ls -- says '  sick  *firing  *critical  *unwell of org.example.Echo: 1'
run alerts ls -o json
ok alerts/json json "len(it) == 1 and it[0]['name'] == 'sick' and it[0]['state'] == 'firing' and it[0]['value'] == 1.0 and len(it[0]['node']) == 32"
run alerts ls --of org.example.Echo
ok alerts/of-another-node-has-none says '^no node has an alert'

# --- a second one, so that one of two is well ---
: > "$flag"
ok alerts/ends await alerts ls -- says '  sick  *quiet  '
ok health/is-well-again await health org.example.Echo -- says '  well  '
serve org.example.Echo
second=$server
kill -STOP "$second"
run health org.example.Echo -o json
ok health/one-of-two-exits-8 exits 8
ok health/one-of-two-is-a-warning json "it['verdict'] == 'warn' and sorted(i['state'] for i in it['instances']) == ['unwell', 'well']"
ok health/a-hung-process-is-told json "any('does not answer' in i['reason'] for i in it['instances'])"
kill -CONT "$second"

# --- who is taken out on purpose is not ill ---
run nodes ls -o json
node=$(python3 -c "import json, sys
print(next(n['node'] for n in json.load(open(sys.argv[1])) if n['pid'] == int(sys.argv[2])))" "$out" "$second")
ok health/both-are-well await health org.example.Echo --nagios -- says 'well=2 unwell=0 draining=0 unknown=0$'
run nodes cordon "$node"
ok health/draining-is-told await health org.example.Echo --nagios -- says '^COMMY OK - 1 of 2 instances are well | well=1 unwell=0 draining=1 unknown=0$'
ok health/draining-exits-0 exits 0
run health org.example.Echo
ok health/draining-is-well-enough exits 0
run health org.example.Echo -o json
first_node=$(python3 -c "import json, sys
print(next(i['node'] for i in json.load(open(sys.argv[1]))['instances'] if i['state'] == 'well'))" "$out")
run nodes cordon "$first_node"
ok health/all-draining-is-a-warning await health org.example.Echo --nagios -- says '^COMMY WARNING - 0 of 2 instances are well: all are draining | well=0 unwell=0 draining=2 unknown=0$'
ok health/all-draining-exits-1 exits 1
run nodes uncordon "$first_node"
run nodes uncordon "$node"

# --- watching ---
mkfifo "$folder/rounds"
"$commy" alerts ls --watch --every 100ms -o json > "$folder/rounds" 2> "$err" &
servers="$servers $!"
watcher=$!
exec 8< "$folder/rounds"
read -r first <&8
read -r second_round <&8
kill -INT "$watcher"
cat <&8 > /dev/null
exec 8<&-
status=0
wait "$watcher" || status=$?
ok alerts/watched-ends-with-0 exits 0
echo "$second_round" > "$out"
ok alerts/watched-json-is-a-line-a-round json "it[0]['name'] == 'sick'"
# --- one that no store lists: nothing is known of it but what looks find ---
cat > "$folder/fixed.conf" <<END
[service org.example.Fixed]
endpoints=tls://127.0.0.1:1
health-check=command
health-interval=50ms
health-fall=2
health-target=test -e $flag

[alert fixed]
when=unwell
service=org.example.Fixed
for=0
END
: > "$flag"
COMMY_CONFIG=$own_config:$folder/fixed.conf
run services info org.example.Fixed
ok fixed/version-is-unknown says '^  version  *unknown$'
ok fixed/health-is-unknown says '^  health  *unknown: no node '
run health org.example.Fixed
ok fixed/nobody-has-looked says '^org.example.Fixed  .*  unknown  *-'
ok fixed/what-is-not-known-exits-8 exits 8
run health org.example.Fixed -o json
ok fixed/json-says-that-it-is-not-known json "it['verdict'] == 'warn' and [i['state'] for i in it['instances']] == ['unknown']"
run health org.example.Fixed --nagios
ok fixed/nagios-says-that-it-is-not-known is 'COMMY WARNING - 0 of 1 instances are well: nobody has looked at them | well=0 unwell=0 draining=0 unknown=1
'
serve org.example.FixedLooker
ok fixed/what-looks-found await services info org.example.Fixed -- says '^  health  *well: 1 nodes found it well, 0 unwell (command)$'
ok fixed/is-well-when-somebody-looked await health org.example.Fixed --nagios -- says '^COMMY OK - 1 of 1 instances are well | well=1 unwell=0 draining=0 unknown=0$'
ok fixed/exits-0-then exits 0
rm "$flag"
ok fixed/what-they-found-is-bad await services info org.example.Fixed -- says '^  health  *unwell: 0 nodes found it well, 1 unwell (command): test ended with status 1$'
COMMY_CONFIG=$own_config
finish
