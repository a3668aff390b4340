# SPDX-License-Identifier: LGPL-2.1-or-later
"""One program, unchanged, on one host without a daemon and on three with an etcd of three members,
and what befalls hosts, instances, members and cables while it calls. TAP, and a table.

  three-hosts.py FOLDER [ROUNDS]    how often instances are killed and stopped (1)"""
import collections
import pathlib
import signal
import sys
import time

import hosts
import ledgers
from hosts import note, now

ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
HOLD = 1 if ROUNDS == 1 else 4  # seconds that a fault lasts


class Trial:
    """A world with its load: who calls and who answers, and rows of a table."""

    def __init__(self, directory, count):
        pathlib.Path(directory).mkdir()
        self.world = hosts.World(directory, count)
        self.rows = []
        self.instances = []
        self.callers = []
        self.replaced = []

    def begin(self, instances, callers):
        """The program here and there: the same words everywhere."""
        world = self.world
        if not world.is_alone:
            world.start_etcd(*world.numbers)
            hosts.await_event(world.etcd_is_well, 'etcd serves')
        self.instances = [(f'i-h{n}-{i}', n) for i, n in enumerate(instances)]
        self.callers = [(f'c-h{n}-{i}', n) for i, n in enumerate(callers)]
        for name, number in self.instances:
            world.start(name, number, '--offer')
        world.await_ready(*(n for n, _ in self.instances))
        for name, number in self.callers:
            world.start(name, number, '--call')
        world.await_ready(*(n for n, _ in self.callers))
        world.await_answers(now(), self.everybody())

    def everybody(self):
        """Who must be answered by whom when all is well: a caller by those of its own host, and
        by all where there are none."""
        wanted = {}
        for caller, number in self.callers:
            own = [i for i, n in self.instances if n == number]
            wanted[caller] = own or [i for i, _ in self.instances]
        return wanted

    def renew(self, *names):
        """Those that were killed live again, and take the place of the old."""
        fresh = {name: self.world.restart(name) for name in names}
        self.instances = [(fresh.get(i, i), n) for i, n in self.instances]
        self.callers = [(fresh.get(c, c), n) for c, n in self.callers]
        self.world.await_ready(*fresh.values())

    def fault(self, what, inject, mend=None, victim=None, hold=None):
        """Something happens while the load goes on, and ends; then all must come right."""
        world = self.world
        world.ledgers.read()
        at = inject() or now()
        time.sleep(HOLD if hold is None else hold)
        if mend is not None:
            mend()
        since = now()
        well = world.await_answers(since, self.everybody())
        world.ledgers.read()
        phase = ledgers.Phase(world.ledgers.ends, at, victim)
        self.replaced += phase.replaced
        self.rows.append((what, phase, well))
        world.ledgers.forget()
        world.await_answers(now(), self.everybody())  # what was before the next fault is known

    def instance_on(self, number):
        """The name of an instance there."""
        return next(i for i, n in self.instances if n == number)

    def report(self):
        """The table, one line for each kind of fault: sums, the longest, p99, the longest."""
        note(f'{"fault":<44}{"answered":>9}{"failed":>8}{"longest":>9}{"again":>8}{"all well":>9}'
             '  codes')
        for what in dict.fromkeys(what for what, _, _ in self.rows):
            phases = [phase for name, phase, _ in self.rows if name == what]
            well = max(well for name, _, well in self.rows if name == what)
            again = ledgers.percentile([r for p in phases for r in p.recovered], 0.99)
            failed = sum((p.failed for p in phases), collections.Counter())
            codes = ' '.join(f'{c}:{n}' for c, n in sorted(failed.items()))
            note(f'{what:<44}{sum(p.answered for p in phases):>9}{sum(failed.values()):>8}'
                 f'{max(p.longest for p in phases):>8.2f}s{again * 1e3:>6.0f}ms'
                 f'{well * 1e3:>7.0f}ms  {codes}')
        if self.replaced:
            note(f'first answer of the replacement after kill -9: {len(self.replaced)} loads, p50 '
                 f'{ledgers.percentile(self.replaced, 0.5) * 1e3:.1f} ms, p99 '
                 f'{ledgers.percentile(self.replaced, 0.99) * 1e3:.1f} ms')
        for code, text in sorted(self.world.ledgers.texts.items()):
            note(f'{code}: {text}')

    def end(self):
        """Everybody leaves; what was wrong."""
        wrong = self.world.finish()
        self.report()
        sent, answered, failed, left_open, repeated = self.world.ledgers.totals()
        note(f'{sent} calls: {answered} acknowledged, {failed} failed, {left_open} open when their '
             f'caller was killed, {repeated} carried out more than once (idempotent ones only)')
        if answered == 0:
            wrong.append('nothing was acknowledged')
        return wrong


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


def one_host(directory):
    """No store to set up, no daemon, no network."""
    trial = Trial(directory, 1)
    trial.begin([1, 1, 1], [1])
    trial.fault('nothing', lambda: None, hold=0.5)
    for _ in range(ROUNDS):
        kill_instance(trial, 1)
        stop_instance(trial, 1)
    return trial.end()


def kill_host(trial, number):
    """All that runs there, and all of it again."""
    world = trial.world
    names = [n for n, h in trial.instances + trial.callers if h == number]

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


def etcd_faults(trial):
    """Members go and come; calls do not ask them."""
    world = trial.world

    def kill_some(*numbers):
        for number in numbers:
            world.etcds[number].kill()

    def start_some(*numbers):
        world.start_etcd(*numbers)
        hosts.await_event(world.etcd_is_well, 'etcd serves')

    def compact_and_restart():
        answer = world.ask_etcd(world.leader(), '/v3/kv/range', key='YQ==')
        world.ask_etcd(world.leader(), '/v3/kv/compaction', revision=answer['header']['revision'])
        kill_some(*world.numbers)

    leader = world.leader()
    trial.fault('kill -9 of the etcd member that leads', lambda: kill_some(leader),
                lambda: start_some(leader))
    trial.fault('kill -9 of two etcd members of three', lambda: kill_some(1, 2),
                lambda: start_some(1, 2))
    trial.fault('all etcd members without network',
                lambda: [h.drop('tcp', w, '{ 2379, 2380 }') for h in world.hosts.values()
                         for w in ('dport', 'sport')] and None,
                lambda: [h.mend() for h in world.hosts.values()])
    trial.fault('etcd compacted, killed, started anew', compact_and_restart,
                lambda: start_some(*world.numbers))


def network_faults(trial, number):
    """The cable of one host; its instance is called from another and from itself."""
    host = trial.world.hosts[number]
    trial.fault(f'cable of h{number} cut', host.cut, host.mend)
    trial.fault(f'cable of h{number} swallows everything', host.black_hole, host.mend)
    trial.fault(f'cable of h{number} loses 1 %', lambda: host.lose(1), host.mend)
    trial.fault(f'cable of h{number} loses 10 %', lambda: host.lose(10), host.mend)
    trial.fault(f'cable of h{number} throttled to 1 Mbit/s', lambda: host.throttle('1mbit'),
                host.mend)


def delay_faults(trial, number):
    """What connects from one host from now on takes its time: instances that start afresh."""
    world = trial.world
    host = world.hosts[number]
    proxies = []
    name = trial.instance_on(3)

    def inject():
        proxies.append(host.delay(20, (2379, 2380)))
        world.kill(name)
        trial.renew(name)

    def mend():
        host.mend()
        proxies.pop().kill()
    trial.fault(f'20 ms each way from h{number}', inject, mend)


def three_hosts(directory):
    """Callers on h1, which has no instance, and on h2, which has one."""
    trial = Trial(directory, 3)
    trial.begin([2, 3], [1, 2])
    trial.fault('nothing', lambda: None, hold=0.5)
    for _ in range(ROUNDS):
        kill_instance(trial, 2)
        kill_instance(trial, 3)
        stop_instance(trial, 3)
    kill_host(trial, 3)
    etcd_faults(trial)
    network_faults(trial, 3)
    delay_faults(trial, 1)
    return trial.end()


def main():
    """Both, one after the other."""
    status = 0
    print('1..2')
    for number, (name, test) in enumerate((('one-host', one_host), ('three-hosts', three_hosts)),
                                          start=1):
        try:
            wrong = test(f'{sys.argv[1]}/{name}')
        except Exception as error:  # whatever it was, it is said in TAP
            wrong = [f'{type(error).__name__}: {error}']
            for log in pathlib.Path(sys.argv[1], name).glob('h*/[ic]*.log'):
                note(f'--- {log.name}\n{log.read_text(errors="replace")[-1500:]}')
        print(f'{"not " if wrong else ""}ok {number} /hosts/{name}', flush=True)
        for line in wrong:
            note(line)
        status |= bool(wrong)
    sys.exit(status)


main()
