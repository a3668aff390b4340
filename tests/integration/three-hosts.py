# SPDX-License-Identifier: LGPL-2.1-or-later
"""One program, unchanged, on one host without a daemon and on three with an etcd of three members,
and what befalls hosts, instances, members and cables while it calls. TAP, and a table.

  three-hosts.py FOLDER [ROUNDS]    how often instances are killed and stopped (1); with more than
                                    one every fault befalls each of instance, host and member

COMMY_TEST_FAULTS: a pattern; only the faults that it fits, "host cut" or "member .*", are tried.
COMMY_FAULT_TABLE: a document; what came out is written into it (faulttable.py)."""
import collections
import os
import pathlib
import re
import signal
import sys
import time

import faulttable
import hosts
import ledgers
from hosts import note, now

ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
HOLD = 1 if ROUNDS == 1 else 4  # seconds that a fault lasts
ONLY = re.compile(os.environ.get('COMMY_TEST_FAULTS', ''))
ETCD = '2379, 2380'
DELAY_MS = 20
OLD = re.compile(r'the store is away; the last it said is [\d.]+ \w+ old')

# A program of the world: its kind is "offers", "calls", or "far": it calls a service of its own,
# which only one host offers.
Member = collections.namedtuple('Member', 'name number kind service')
LEDGER, FAR = 'org.example.Ledger', 'org.example.Far'


class Trial:
    """A world with its load: who calls and who answers, and rows of a table."""

    def __init__(self, directory, count):
        pathlib.Path(directory).mkdir()
        self.world = hosts.World(directory, count)
        self.rows = []
        self.members = []
        self.replaced = []
        self.wrong = []

    def begin(self, instances, callers, far=None):
        """The program here and there: the same words everywhere. far: the host that offers what
        the other one of the pair calls."""
        world = self.world
        if not world.is_alone:
            world.start_etcd(*world.numbers)
            hosts.await_event(world.etcd_is_well, 'etcd serves')
        offering = [Member(f'i-h{n}-{i}', n, 'offers', LEDGER) for i, n in enumerate(instances)]
        calling = [Member(f'c-h{n}-{i}', n, 'calls', LEDGER) for i, n in enumerate(callers)]
        if far:
            offering.append(Member(f'i-far-h{far[0]}', far[0], 'offers', FAR))
            calling.append(Member(f'c-far-h{far[1]}', far[1], 'far', FAR))
        for member in offering:
            world.start(member.name, member.number, '--offer', f'--service={member.service}')
        world.await_ready(*(m.name for m in offering))
        for member in calling:
            # Who calls what is far away fails while it cannot: its calls are few and short.
            some = ['--pause=20000', '--timeout=500'] if member.kind == 'far' else []
            world.start(member.name, member.number, '--call', f'--service={member.service}', *some)
        world.await_ready(*(m.name for m in calling))
        self.members = offering + calling
        world.await_answers(now(), self.everybody())

    def who(self, kind, service=LEDGER, number=None):
        """Names of those that do so, on a host or anywhere."""
        return [m.name for m in self.members if m.kind == kind and m.service == service
                and number in (None, m.number)]

    def everybody(self):
        """Who must be answered by whom when all is well: a caller by those of its own host, and
        by all where there are none."""
        return {m.name: self.who('offers', m.service, m.number) or self.who('offers', m.service)
                for m in self.members if m.kind != 'offers'}

    def renew(self, *names):
        """Those that were killed live again, and take the place of the old."""
        fresh = {name: self.world.restart(name) for name in names}
        self.members = [m._replace(name=fresh.get(m.name, m.name)) for m in self.members]
        self.world.await_ready(*fresh.values())

    def fault(self, what, inject, mend=None, victim=None, hold=None, meanwhile=None, apart=None):
        """Something happens while the load goes on, and ends; then all must come right, and the
        books agree. meanwhile: what must come about while it lasts, and after which time. apart:
        a host whose callers have a row of their own, because they are on the other side."""
        world = self.world
        world.ledgers.read()
        at = inject() or now()
        time.sleep(HOLD if hold is None else hold)
        if meanwhile is not None:
            meanwhile(at)
        if mend is not None:
            mend()
        since = now()
        well = world.await_answers(since, self.everybody())
        world.ledgers.read()
        far = set(self.who('far', FAR))
        ends = [e for e in world.ledgers.ends if e.kind[0] not in far]
        there = set(programs_of(self, apart)) if apart else set()
        for row, some in ((f'{what}: callers on it', [e for e in ends if e.kind[0] in there]),
                          (f'{what}: callers on the others' if apart else what,
                           [e for e in ends if e.kind[0] not in there])):
            if not some:
                continue
            phase = ledgers.Phase(some, at, victim)
            self.replaced += phase.replaced
            self.rows.append((row, phase, well))
        self.wrong += [f'{what}: {line}' for line in world.ledgers.check()]
        if not world.is_alone:
            for service in (LEDGER, FAR):
                self.await_stored(service, len(self.who('offers', service)))
        world.ledgers.forget()
        world.await_answers(now(), self.everybody())  # what was before the next fault is known

    def await_stored(self, service, count, members=None):
        """Until the store has so many."""
        hosts.await_event(lambda: self.world.count_stored(members, service) == count,
                          f'the store has {count} of {service}')

    def instance_on(self, number):
        """The name of an instance there."""
        return self.who('offers', LEDGER, number)[0]

    def sums(self):
        """One row for each kind of fault: sums, the longest, p99, the longest; in seconds."""
        for what in dict.fromkeys(what for what, _, _ in self.rows):
            phases = [phase for name, phase, _ in self.rows if name == what]
            yield (what, sum(p.answered for p in phases),
                   sum((p.failed for p in phases), collections.Counter()),
                   max(p.longest for p in phases),
                   ledgers.percentile([r for p in phases for r in p.recovered], 0.99),
                   max(well for name, _, well in self.rows if name == what))

    def report(self):
        """The table."""
        note(f'{"fault":<56}{"answered":>9}{"failed":>8}{"longest":>9}{"again":>8}{"all well":>9}'
             '  codes')
        for what, answered, failed, longest, again, well in self.sums():
            codes = ' '.join(f'{c}:{n}' for c, n in sorted(failed.items()))
            note(f'{what:<56}{answered:>9}{sum(failed.values()):>8}{longest:>8.2f}s'
                 f'{again * 1e3:>6.0f}ms{well * 1e3:>7.0f}ms  {codes}')
        if self.replaced:
            note(self.replacement())
        for code, text in sorted(self.world.ledgers.texts.items()):
            note(f'{code}: {text}')

    def replacement(self):
        """How long it took where an instance was killed."""
        return (f'first answer of the replacement after kill -9: {len(self.replaced)} loads, p50 '
                f'{ledgers.percentile(self.replaced, 0.5) * 1e3:.1f} ms, p99 '
                f'{ledgers.percentile(self.replaced, 0.99) * 1e3:.1f} ms')

    def totals(self):
        """All calls."""
        sent, answered, failed, left_open, repeated = self.world.ledgers.totals()
        return (f'{sent} calls: {answered} acknowledged, {failed} failed, {left_open} open when '
                f'their caller was killed, {repeated} carried out more than once (idempotent ones '
                'only)')

    def end(self):
        """Everybody leaves; what was wrong."""
        wrong = self.wrong + self.world.finish()
        self.report()
        note(self.totals())
        if self.world.ledgers.totals()[1] == 0:
            wrong.append('nothing was acknowledged')
        return wrong

    def write_table(self, path, rounds):
        """Into a document, if all was well."""
        sentences = [f'Kills and stops of an instance: each {rounds} times. {self.totals()}.']
        if self.replaced:
            sentences.append(f'Across hosts, {self.replacement()}.')
        faulttable.write(path, self.sums(), sentences)


# --- an instance ---


def kill_instance(trial, number):
    """An instance dies while it is called, and another takes its place."""
    name = trial.instance_on(number)
    trial.fault(f'kill -9 of an instance on h{number}', lambda: trial.world.kill(name),
                lambda: trial.renew(name), victim=name, hold=0.5)


def stop_instance(trial, number):
    """It is there, and silent."""
    program = trial.world.programs[trial.instance_on(number)]
    trial.fault(f'SIGSTOP of an instance on h{number}', lambda: program.kill(signal.SIGSTOP),
                lambda: program.kill(signal.SIGCONT))


def port_fault(trial, number, what, begin):
    """Something befalls the port of an instance; its host is well."""
    host = trial.world.hosts[number]
    port = trial.world.programs[trial.instance_on(number)].port()
    trial.fault(f'{what} of an instance on h{number}', lambda: begin(host, port), host.mend)


def cut_instance(trial, number):
    """Others do not reach it; its neighbour does, and others reach its neighbour."""
    own = trial.instance_on(number)
    host = trial.world.hosts[number]
    rest = {caller: [own] if number == at else others
            for at in trial.world.numbers for caller in trial.who('calls', LEDGER, at)
            if (others := [i for i in trial.who('offers') if i != own])}
    port = trial.world.programs[own].port()
    trial.fault(f'nothing passes to the port of an instance on h{number}',
                lambda: host.drop(port), host.mend,
                meanwhile=lambda at: trial.world.await_answers(at, rest))


def lossy_instance(trial, number):
    """A tenth of what comes for it is lost."""
    port_fault(trial, number, '10 % lost', lambda h, p: h.lose(10, 'tcp', 'dport', p))


def throttle_instance(trial, number):
    """Of what comes for it."""
    port_fault(trial, number, '64 kB/s to the port', lambda h, p: h.throttle_ports(64, p))


def delay_instance(trial, number):
    """All that h1 says to it, and hears of it, takes its time."""
    name = trial.instance_on(number)
    delay(trial, f'{DELAY_MS} ms each way from h1 to an instance on h{number}',
          str(trial.world.programs[name].port()), name)


def delay(trial, what, ports, slow):
    """Calls of h1 to somebody must show it, or there was no delay."""
    world = trial.world
    host = world.hosts[1]
    proxies = []

    def inject():
        host.break_connections(ports)
        proxies.append(host.delay(DELAY_MS, f'{{ {ports} }}'))

    def mend():
        proxies.pop().kill()
        host.mend()
    trial.fault(what, inject, mend,
                meanwhile=lambda at: slow and expect_slow(trial, trial.who('calls', LEDGER, 1),
                                                          slow, now()))


def expect_slow(trial, callers, by, since):
    """What these callers sent since then was answered by it, and not sooner than it could be."""
    world = trial.world
    world.await_answers(since, {caller: [by] for caller in callers})
    took = [e.ended - e.sent for e in world.ledgers.ends
            if e.by == by and e.kind[0] in callers and e.sent >= since * 1e6]
    if min(took) < 2 * DELAY_MS * 1000:
        trial.wrong.append(f'a call took {min(took)} us although {DELAY_MS} ms each way lie between')


# --- a host ---


def programs_of(trial, number):
    """All that run there."""
    return [m.name for m in trial.members if m.number == number]


def kill_host(trial, number):
    """All that runs there, and all of it again."""
    world = trial.world
    names = programs_of(trial, number)

    def inject():
        at = now()
        world.etcds[number].kill()
        for name in names:
            world.kill(name)
        return at

    def mend():
        world.start_etcd(number)
        trial.renew(*names)
    trial.fault(f'kill -9 of all processes of h{number}', inject, mend)


def stop_host(trial, number):
    """All that runs there stands still; the others go on."""
    world = trial.world
    programs = [world.etcds[number], *(world.programs[n] for n in programs_of(trial, number))]

    def send(what):
        for program in programs:
            program.kill(what)
    trial.fault(f'SIGSTOP of all processes of h{number}', lambda: send(signal.SIGSTOP),
                lambda: send(signal.SIGCONT), meanwhile=lambda at: expect_others(trial, number, at))


def expect_others(trial, number, at):
    """Those on other hosts go on among themselves, and the store forgets who is away."""
    world = trial.world
    others = [n for n in world.numbers if n != number]
    there = [i for n in others for i in trial.who('offers', LEDGER, n)]
    world.await_answers(at, {c: there for n in others for c in trial.who('calls', LEDGER, n)})
    trial.await_stored(LEDGER, len(there), others)


def expect_both_sides(trial, number, at):
    """A host is cut off, with an instance and with callers: all go on where they are, and who
    calls what is on the other side is told how old that is which it knows."""
    expect_others(trial, number, at)
    own = trial.who('offers', LEDGER, number)
    trial.world.await_answers(at, {c: own for c in trial.who('calls', LEDGER, number)})
    for caller in trial.who('far', FAR, number):
        def is_told(caller=caller):
            trial.world.ledgers.read()
            return any(e.kind[0] == caller and not e.by and OLD.search(e.text)
                       for e in trial.world.ledgers.ends if e.sent >= at * 1e6)
        hosts.await_event(is_told, f'{caller} is told how old it is what it knows')
        note(f'h{number} was told after {now() - at:.1f} s how old it is what it knows')


def cut_host(trial, number, what='cut'):
    """The network falls apart, and both parts live."""
    host = trial.world.hosts[number]
    begin = {'cut': host.cut, 'swallows everything': host.black_hole}[what]
    trial.fault(f'cable of h{number} {what}', begin, host.mend,
                meanwhile=lambda at: expect_both_sides(trial, number, at), apart=number)


def lossy_host(trial, number):
    """Little, and much."""
    host = trial.world.hosts[number]
    trial.fault(f'cable of h{number} loses 1 %', lambda: host.lose(1), host.mend)
    trial.fault(f'cable of h{number} loses 10 %', lambda: host.lose(10), host.mend)


def throttle_host(trial, number):
    """What goes to it."""
    host = trial.world.hosts[number]
    trial.fault(f'cable of h{number} throttled to 1 Mbit/s', lambda: host.throttle('1mbit'),
                host.mend)


def delay_host(trial, number):
    """What h1 begins with others from now on takes its time: with an instance that starts afresh,
    too."""
    world = trial.world
    host = world.hosts[1]
    proxies = []
    name = trial.instance_on(number)

    def inject():
        proxies.append(host.delay(DELAY_MS, f'!= {{ {ETCD} }}'))
        world.kill(name)
        trial.renew(name)

    def mend():
        host.mend()
        proxies.pop().kill()
    trial.fault(f'{DELAY_MS} ms each way from h1', inject, mend,
                meanwhile=lambda at: expect_slow(trial, trial.who('calls', LEDGER, 1),
                                                 trial.instance_on(number), now()))


# --- etcd: members go and come; calls do not ask them ---


def start_members(world, *numbers):
    """Until they serve."""
    world.start_etcd(*numbers)
    hosts.await_event(world.etcd_is_well, 'etcd serves')


def kill_members(trial):
    """The one that leads; then a majority."""
    world = trial.world
    leader = world.leader()
    trial.fault('kill -9 of the etcd member that leads', world.etcds[leader].kill,
                lambda: start_members(world, leader))
    trial.fault('kill -9 of two etcd members of three',
                lambda: [world.etcds[n].kill() for n in (1, 2)] and None,
                lambda: start_members(world, 1, 2))


def compact_members(trial):
    """History is gone, and so are all members, for a while."""
    world = trial.world

    def inject():
        answer = world.ask_etcd(world.leader(), '/v3/kv/range', key='YQ==')
        world.ask_etcd(world.leader(), '/v3/kv/compaction', revision=answer['header']['revision'])
        for number in world.numbers:
            world.etcds[number].kill()
    trial.fault('etcd compacted, killed, started anew', inject,
                lambda: start_members(world, *world.numbers))


def stop_member(trial):
    """It takes connections, and is silent."""
    member = trial.world.etcds[trial.world.leader()]
    trial.fault('SIGSTOP of the etcd member that leads', lambda: member.kill(signal.SIGSTOP),
                lambda: member.kill(signal.SIGCONT))


def cut_members(trial):
    """One of them, and all."""
    some = trial.world.hosts
    leader = some[trial.world.leader()]
    trial.fault('the etcd member that leads without network', lambda: leader.drop(ETCD),
                leader.mend)
    trial.fault('all etcd members without network', lambda: [h.drop(ETCD) for h in some.values()]
                and None, lambda: [h.mend() for h in some.values()])


def member_fault(trial, what, begin):
    """Something befalls the ports of the member that leads."""
    host = trial.world.hosts[trial.world.leader()]
    trial.fault(f'{what} of the etcd member that leads', lambda: begin(host), host.mend)


def lossy_member(trial):
    """Of what comes for it."""
    member_fault(trial, '10 % lost',
                 lambda h: h.lose(10, 'tcp', 'dport', f'{{ {ETCD} }}'))


def throttle_member(trial):
    """Of what comes for it."""
    member_fault(trial, '64 kB/s to the ports', lambda h: h.throttle_ports(64, ETCD))


def delay_member(trial):
    """What h1's says to the others, and what programs of h1 ask them."""
    delay(trial, f'{DELAY_MS} ms each way from h1 to etcd members', ETCD, None)


# --- all of it ---

# Each fault befalls each of the three; those that are marked do in CI, too.
MATRIX = [
    ('instance', 'kill', True, lambda t: (kill_instance(t, 2), kill_instance(t, 3))),
    ('instance', 'stop', True, lambda t: stop_instance(t, 3)),
    ('instance', 'cut', True, lambda t: cut_instance(t, 3)),
    ('instance', 'lossy', False, lambda t: lossy_instance(t, 3)),
    ('instance', 'throttle', False, lambda t: throttle_instance(t, 3)),
    ('instance', 'delay', False, lambda t: delay_instance(t, 3)),
    ('host', 'kill', True, lambda t: kill_host(t, 3)),
    ('host', 'stop', True, lambda t: stop_host(t, 3)),
    ('host', 'cut', True, lambda t: cut_host(t, 3)),
    ('host', 'cut, in silence', True, lambda t: cut_host(t, 3, 'swallows everything')),
    ('host', 'lossy', False, lambda t: lossy_host(t, 3)),
    ('host', 'throttle', True, lambda t: throttle_host(t, 3)),
    ('host', 'delay', True, lambda t: delay_host(t, 3)),
    ('member', 'kill', True, kill_members),
    ('member', 'stop', True, stop_member),
    ('member', 'cut', True, cut_members),
    ('member', 'lossy', False, lossy_member),
    ('member', 'throttle', False, throttle_member),
    ('member', 'delay', False, delay_member),
    ('member', 'compact', True, compact_members),
]
OFTEN = {('instance', 'kill'), ('instance', 'stop')}


def one_host(directory):
    """No store to set up, no daemon, no network."""
    trial = Trial(directory, 1)
    trial.begin([1, 1, 1], [1])
    trial.fault('nothing', lambda: None, hold=0.5)
    for _ in range(ROUNDS):
        for what, row in (('kill', kill_instance), ('stop', stop_instance)):
            if ONLY.search(f'instance {what}'):
                row(trial, 1)
    return trial.end()


def three_hosts(directory):
    """Callers on h1, which has no instance, and on h2 and h3, which have one; another one on h3
    needs h2."""
    trial = Trial(directory, 3)
    trial.begin([2, 3], [1, 2, 3], far=(2, 3))
    trial.fault('nothing', lambda: None, hold=0.5)
    for victim, what, is_cheap, row in MATRIX:
        chosen = ONLY.search(f'{victim} {what}') if ONLY.pattern else is_cheap or ROUNDS > 1
        if chosen:
            for _ in range(ROUNDS if (victim, what) in OFTEN else 1):
                row(trial)
    left_out = [f'{victim} {what}' for victim, what, is_cheap, _ in MATRIX if not is_cheap]
    if ROUNDS == 1:
        note(f'only with more rounds: {", ".join(left_out)}')
    wrong = trial.end()
    document = os.environ.get('COMMY_FAULT_TABLE')
    if document and not wrong:
        trial.write_table(document, ROUNDS)
    return wrong


def main():
    """Both, one after the other."""
    status = 0
    print('1..2')
    for number, (name, test) in enumerate((('one-host', one_host), ('three-hosts', three_hosts)),
                                          start=1):
        begin = now()
        try:
            wrong = test(f'{sys.argv[1]}/{name}')
        except Exception as error:  # whatever it was, it is said in TAP
            wrong = [f'{type(error).__name__}: {error}']
            for log in pathlib.Path(sys.argv[1], name).glob('h*/[ic]*.log'):
                note(f'--- {log.name}\n{log.read_text(errors="replace")[-1500:]}')
        print(f'{"not " if wrong else ""}ok {number} /hosts/{name}', flush=True)
        note(f'{now() - begin:.0f} s')
        for line in wrong:
            note(line)
        status |= bool(wrong)
    sys.exit(status)


main()
