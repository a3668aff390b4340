#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# commy simulate: what policies come to in the shipped scenarios, runs that repeat, and scenarios
# that are wrong.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
scenarios=$COMMY_SOURCE_DIR/examples/scenarios

# --- what must hold ---
adds_up="it['calls'] == it['succeeded'] + it['failed'] + it['unfinished'] and it['failed'] == sum(it['reasons'].values()) and sum(i['attempts'] for i in it['instances']) == it['attempts'] and sum(t['calls'] for t in it['timeline']) == it['calls']"

run simulate "$scenarios/retry-storm.conf" -o json
ok simulate/a-storm-exits-0 exits 0
ok simulate/counts-add-up json "$adds_up"
ok simulate/amplification-stays-below-1.2 json "1 < it['amplification'] < 1.2"
ok simulate/in-any-ten-seconds-too json "all(
  sum(t['attempts'] for t in it['timeline'][i:i + 10]) < 1.2 * sum(t['attempts'] - t['retries'] - t['hedges'] for t in it['timeline'][i:i + 10])
  for i in range(51))"
ok simulate/while-the-storm-lasts-too json "sum(t['retries'] for t in it['timeline'][20:40]) < 0.2 * sum(t['calls'] for t in it['timeline'][20:40])"
ok simulate/goodput-at-half-capacity json "sum(t['succeeded'] for t in it['timeline'][20:40]) > 0.75 * 348 * 20"
ok simulate/after-the-storm-all-is-well json "sum(t['failed'] for t in it['timeline'][45:]) == 0"
run simulate "$scenarios/retry-storm.conf" -o json --set clients.retry-reserve=1000000 --set clients.shed=false
ok simulate/without-budget-the-storm-stays json "it['amplification'] > 2 and sum(t['succeeded'] for t in it['timeline'][50:]) == 0"

run simulate "$scenarios/overload.conf" -o json
ok simulate/shedding-keeps-goodput json "sum(t['succeeded'] for t in it['timeline'][15:]) > 0.8 * 400 * 45"
run simulate "$scenarios/overload.conf" -o json --set clients.shed=false
ok simulate/without-shedding-there-is-none json "sum(t['succeeded'] for t in it['timeline'][15:]) < 0.05 * 400 * 45"

run simulate "$scenarios/one-slow-one-failing.conf" -o json
ok simulate/few-calls-fail json "it['failed'] < 0.01 * it['calls'] and $adds_up"
ok simulate/all-clients-notice json "all(f['noticed'] == f['of'] for f in it['faults'])"
ok simulate/a-failing-one-is-left-out json "it['instances'][2]['failed'] < 50"
ok simulate/all-come-back json "it['timeline'][-1]['ejected'] == it['timeline'][-1]['open'] == 0"
run simulate "$scenarios/one-slow-one-failing.conf" -o json --set clients.breaker=false --set clients.ejection=false --set clients.retry-attempts=1
ok simulate/without-policies-many-fail json "it['failed'] > 0.1 * it['calls']"

# Near instances first, then in proportion, then the others.
run simulate "$scenarios/zones.conf" -o json --set arrivals.steps=19s:0
ok simulate/near-ones-get-all json "sum(i['attempts'] for i in it['instances'][4:]) == 0 and $adds_up"
run simulate "$scenarios/zones.conf" -o json
ok simulate/far-ones-stand-in json "it['failed'] < 0.001 * it['calls'] and 0.38 * it['attempts'] < sum(i['attempts'] for i in it['instances'][4:]) < 0.48 * it['attempts']"
ok simulate/equals-get-as-much json "max(i['attempts'] for i in it['instances'][4:]) < 1.1 * min(i['attempts'] for i in it['instances'][4:])"
run simulate "$scenarios/zones.conf" -o json --set clients.locality=off --set arrivals.steps=19s:0
ok simulate/without-levels-all-are-equal json "max(i['attempts'] for i in it['instances']) < 1.1 * min(i['attempts'] for i in it['instances'])"
# Three of four: those that are left in the zone are not flooded.
run simulate "$scenarios/zones.conf" -o json --set 'fault half.instances=near-1;near-2;near-3' --set arrivals.steps=49s:0
ok simulate/no-cliff json "it['failed'] < 0.002 * it['calls'] and it['instances'][3]['attempts'] < 0.5 * it['calls']"

# --- every kind of fault, alone and at once ---
cat > "$folder/faults.conf" <<'END'
[simulation]
duration=30s
[arrivals]
process=constant
rate=200
steps=5s:300;25s:0
[clients]
count=3
timeout=300ms
hedge-attempts=2
hedge-after=50ms
bulkhead=60
rate-limit=80
rate-burst=10
throttle=true
[instance a]
distribution=constant
service-time=5ms
[instance b]
count=2
distribution=lognormal
sigma=1
queue=3
[instance c]
workers=3
[fault one]
kind=stop
instances=a
at=3s
until=6s
[fault two]
kind=crash
instances=a;c
at=5s
until=8s
[fault three]
kind=partition
instances=b-*
at=7s
until=12s
[fault four]
kind=slow
at=10s
until=15s
factor=5
[fault five]
kind=fail
share=40%
at=14s
until=18s
[fault six]
kind=stop
at=20s
END
run simulate "$folder/faults.conf" -o json
ok simulate/all-faults-exit-0 exits 0
ok simulate/all-faults-add-up json "$adds_up and it['hedges'] > 0"
ok simulate/reasons-are-told json "{'deadline', 'throttled', 'rate-limit', 'no-instance'} <= set(it['reasons'])"
ok simulate/nobody-to-call-says-why json "it['first-refusal'].startswith('a: ') and 'b-2: ' in it['first-refusal']"
ok simulate/no-calls-after-the-last-step json "all(t['calls'] == 0 for t in it['timeline'][25:])"
cp "$out" "$folder/first"
run simulate "$folder/faults.conf" -o json
ok simulate/the-same-seed-gives-the-same-run cmp -s "$out" "$folder/first"
run simulate "$folder/faults.conf" -o json --seed 2
ok simulate/another-seed-gives-another-run json "it['seed'] == 2 and it != json.load(open('$folder/first'))"
run simulate "$folder/faults.conf"
ok simulate/table-has-a-time-line says '^FROM  *CALLS  *OK  *FAILED  *RETRIES  *P50  *P99  *EJECTED  *OPEN$'
ok simulate/table-has-instances says '^b-2  '
ok simulate/table-has-faults says '^three  *partition  *7 s  *12 s '
ok simulate/summary says '^balancer round-robin, seed 1$'

run simulate --keys
ok simulate/keys-are-listed says '^clients  *retry-budget  *18%  *retries and hedges'
run simulate --keys -o json
ok simulate/keys-as-json json "['fault NAME', 'kind', '', 'what goes wrong'] in it"
run simulate --keys "$folder/faults.conf"
ok simulate/keys-of-nothing-else exits 2

# --- the drawing ---
run simulate "$scenarios/overload.conf" --plot "$folder/plot.svg" --set simulation.duration=20s
ok simulate/plot-exits-0 exits 0
ok simulate/plot-is-xml /usr/bin/python3 -c "
import sys, xml.etree.ElementTree as tree
lines = tree.parse(sys.argv[1]).getroot().findall('.//{http://www.w3.org/2000/svg}polyline')
sys.exit(0 if len(lines) == 9 and all(len(l.get('points').split()) == 20 for l in lines) else 1)" "$folder/plot.svg"
run simulate "$scenarios/overload.conf" --plot "$folder/none/plot.svg" --set simulation.duration=1s
ok simulate/plot-without-a-folder-exits-1 exits 1

# --- what is wrong ---
wrong () { # NAME TEXT EXIT COMPLAINT
  printf %b "$2" > "$folder/wrong.conf"
  run simulate "$folder/wrong.conf"
  ok "simulate/$1-exits-$3" exits "$3"
  ok "simulate/$1-is-told" complains "$4"
}
wrong unknown-group '[arivals]\n' 2 'wrong.conf:1: unknown group .*"arrivals"'
wrong unknown-key '[clients]\n\nretry-atempts=3\n' 2 'wrong.conf:3: unknown key .*"retry-attempts"'
wrong bad-value '[clients]\ntimeout=soon\n' 2 'wrong.conf:2: .*"soon" is not a duration'
wrong nobody '[clients]\n' 2 'there is nobody to call; write a group \[instance NAME\]'
wrong bad-step '[arrivals]\nsteps=10s\n[instance a]\n' 2 'wrong.conf:2: "10s" is no step'
wrong steps-out-of-order '[arrivals]\nsteps=10s:1;5s:2\n[instance a]\n' 2 'wrong.conf:2: "5s:2" is no step'
wrong kindless-fault '[instance a]\n[fault x]\n' 2 'wrong.conf:2: \[fault x\] needs kind='
wrong unknown-kind '[instance a]\n[fault x]\nkind=slwo\n' 2 'wrong.conf:3: .*"slow"'
wrong fault-of-nobody '[instance a]\n[fault x]\nkind=slow\ninstances=b*\n' 2 'wrong.conf:4: no instance is called "b\*"'
wrong fault-after-the-end '[instance a]\n[fault x]\nkind=slow\nat=120s\n' 2 'wrong.conf:2: the fault "x" ends before it begins'
wrong too-many-calls '[arrivals]\nrate=1000000\n[instance a]\n' 2 'at most 10000000 are simulated'
wrong too-many-instances '[instance a]\ncount=9999\n[instance b]\ncount=2\n' 2 'wrong.conf:3: more than 10000 instances'
wrong contradiction '[clients]\nretry-backoff=5s\n[instance a]\n' 2 'wrong.conf:2: .*retry-backoff-max=1s (default)'
wrong unknown-balancer '[clients]\nbalancer=round-about\n[instance a]\n' 1 'there is no usable balancer "round-about"; there are: .*round-robin'
wrong bytes '\000\001\377' 2 'wrong.conf:1: '
run simulate "$folder/none.conf"
ok simulate/missing-file-exits-2 exits 2
run simulate
ok simulate/nothing-exits-2 exits 2
run simulate "$scenarios/overload.conf" --set nonsense
ok simulate/bad-setting-exits-2 exits 2
ok simulate/bad-setting-is-told complains '"nonsense" is no setting; write GROUP.KEY=VALUE'
run simulate "$scenarios/overload.conf" --seed x
ok simulate/bad-seed-exits-2 exits 2
finish
