# SPDX-License-Identifier: LGPL-2.1-or-later
"""Faults by chance, for as long as is wanted, on one host and then on three; what must hold is
looked at after each of them. Prints its seed, with which it does the same again.

  soak.py FOLDER SECONDS SEED PAUSE    PAUSE: microseconds between calls of a load"""
import collections
import json
import pathlib
import random
import signal
import sys
import time

import hosts
from hosts import note, now

SECONDS, SEED, PAUSE = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
SAMPLES = 30  # fewer say nothing about a slope
BLOCKS = 8
# What a process may gain in the second half of its life, by the line through the least of each of
# its parts: arenas and pools have grown by then, and what is open for a while, such as connections
# to who came back, is not what a leak keeps. One of 100 bytes a call, or of a descriptor in ten
# faults, is beyond.
MEMORY_KIB = 2048
MEMORY_SHARE = 0.10
DESCRIPTORS = 6


def gain(samples):
    """What the line of least squares through the floors gains, the warm-up left out."""
    kept = samples[len(samples) // 2:]
    if len(kept) < SAMPLES:
        return 0
    edges = [i * len(kept) // BLOCKS for i in range(BLOCKS + 1)]
    floors = [min(v for _, v in kept[a:b]) for a, b in zip(edges, edges[1:])]
    middle = (BLOCKS - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(BLOCKS))
    return BLOCKS * sum((i - middle) * v for i, v in enumerate(floors)) / spread


class Soak:
    """A world that is not left in peace. Those who are marked as elders are never killed: their
    memory is what is looked at."""

    def __init__(self, directory, count, chance):
        pathlib.Path(directory).mkdir()
        self.world = hosts.World(directory, count)
        self.chance = chance
        self.faults = collections.Counter()
        self.memory = collections.defaultdict(list)
        self.descriptors = collections.defaultdict(list)
        self.slowest = collections.Counter()
        self.wrong = []

    def begin(self):
        """Two instances on each host, and a caller; the first of each is an elder."""
        world = self.world
        # A caller that went farther while its neighbours were away keeps no way there.
        for host in world.hosts.values():
            host.configure((host.dir / 'commy.conf').read_text()
                           + '[service org.example.Ledger]\nidle-timeout=20s\n')
        if not world.is_alone:
            world.start_etcd(*world.numbers)
            hosts.await_event(world.etcd_is_well, 'etcd serves')
        for number in world.numbers:
            world.start(f'i-elder-{number}', number, '--offer')
            world.start(f'i-h{number}', number, '--offer')
        world.await_ready(*world.programs)
        callers = [f'c-elder-{n}' for n in world.numbers] + ['c-h1']
        for name in callers:
            world.start(name, int(name[-1]), '--call', f'--pause={PAUSE}')
        world.await_ready(*callers)

    # --- what can happen; each says what undoes it ---

    def victim(self):
        """Somebody who may be killed."""
        return self.chance.choice([n for n in self.world.programs if 'elder' not in n])

    def kill(self):
        """A caller or an instance, which comes back."""
        name = self.victim()
        self.world.kill(name)
        return lambda: self.world.await_ready(self.world.restart(name))

    def stop(self):
        """Anybody, who goes on later."""
        program = self.world.programs[self.chance.choice(list(self.world.programs))]
        program.kill(signal.SIGSTOP)
        return lambda: program.kill(signal.SIGCONT)

    def host(self):
        """Any of them."""
        return self.chance.choice(list(self.world.hosts.values()))

    def network(self):
        """Something befalls a cable."""
        host = self.host()
        what = self.chance.choice([host.cut, host.black_hole, lambda: host.lose(1),
                                   lambda: host.lose(10), lambda: host.throttle('1mbit')])
        what()
        return host.mend

    def kill_members(self):
        """One of etcd's, or two, or all."""
        world = self.world
        numbers = self.chance.sample(list(world.numbers), self.chance.randint(1, 3))
        for number in numbers:
            world.etcds[number].kill()
        return lambda: self.start_members(numbers)

    def start_members(self, numbers):
        """Until the cluster serves."""
        self.world.start_etcd(*numbers)
        hosts.await_event(self.world.etcd_is_well, 'etcd serves')

    def stop_member(self):
        """One of etcd's is silent."""
        member = self.chance.choice(list(self.world.etcds.values()))
        member.kill(signal.SIGSTOP)
        return lambda: member.kill(signal.SIGCONT)

    def split_members(self):
        """etcd has no network at all."""
        for host in self.world.hosts.values():
            for way in ('dport', 'sport'):
                host.drop('tcp', way, '{ 2379, 2380 }')
        return lambda: [host.mend() for host in self.world.hosts.values()]

    def compact(self):
        """Who is behind must read anew."""
        world = self.world
        leader = hosts.await_event(world.leader, 'a leader') and None or world.leader()
        answer = leader and world.ask_etcd(leader, '/v3/kv/range', key='YQ==')
        if answer:
            world.ask_etcd(leader, '/v3/kv/compaction', revision=answer['header']['revision'])
        return lambda: None

    # --- what must hold ---

    def count_stored(self):
        """How many instances the store has."""
        world = self.world
        if world.is_alone:
            text = world.hosts[1].run(hosts.BUILD / 'commy', 'services', 'ls', 'org.example.Ledger',
                                      '-o', 'json')
            return text.count('"instance"')
        for number in world.numbers:
            answer = world.ask_etcd(number, '/v3/kv/range', count_only=True,
                                    key=hosts.base64_of('commy/default/services/org.example.Ledger/'),
                                    range_end=hosts.base64_of(
                                        'commy/default/services/org.example.Ledger0'))
            if answer:
                return int(answer.get('count', 0))
        return -1

    def look(self):
        """After a fault: calls are answered, books agree, the store knows who lives."""
        world = self.world
        living = [p for p in world.programs.values() if p.is_alive()]
        if len(living) < len(world.programs):
            self.wrong.append('somebody ended whom nobody killed: '
                              + str(set(world.programs) - {p.name for p in living}))
        since = now()
        world.await_callers(since, [p.name for p in living if p.is_calling])
        n_instances = sum(1 for p in living if not p.is_calling)
        hosts.await_event(lambda: self.count_stored() == n_instances,
                          f'the store has the {n_instances} instances that live')
        self.wrong += world.ledgers.check()
        self.slowest['well again'] = max(self.slowest['well again'], now() - since)
        for program in living:
            self.memory[program.name].append((now(), program.memory()))
            self.descriptors[program.name].append((now(), program.descriptors()))
        world.ledgers.forget()

    def look_at_slopes(self):
        """Elders do not grow."""
        rows = [('memory', self.memory, 'KiB'), ('descriptors', self.descriptors, '')]
        for what, table, unit in rows:
            for name, samples in sorted(table.items()):
                if 'elder' not in name:
                    continue
                more, last = gain(samples), samples[-1][1]
                bound = max(MEMORY_KIB, MEMORY_SHARE * last) if unit else DESCRIPTORS
                course = ' '.join(str(samples[i * (len(samples) - 1) // 8][1]) for i in range(9))
                note(f'{name}: {what} {course} {unit}, the line gains {more:.0f} '
                     f'(at most {bound:.0f}) in {len(samples)} samples')
                if more > bound:
                    self.wrong.append(f'{name}: {what} grow by {more:.0f} {unit}')

    def go_on(self, seconds):
        """For so long, but at least one fault of each kind would take longer than CI has."""
        until = now() + seconds
        kinds = [self.kill, self.stop]
        if not self.world.is_alone:
            kinds += [self.network, self.network, self.kill_members, self.stop_member,
                      self.split_members, self.compact]
        while now() < until and not self.wrong:
            fault = self.chance.choice(kinds)
            undo = fault()
            self.faults[fault.__name__] += 1
            # Mostly short, at times long enough for leases to end and calls to give up.
            time.sleep(min(max(0, until - now()), self.chance.choice([0.05, 0.2, 0.5, 1, 3, 8])))
            undo()
            self.look()

    def end(self):
        """Everybody leaves, and the sums."""
        self.wrong += self.world.finish()
        self.look_at_slopes()
        sent, answered, failed, left_open, repeated = self.world.ledgers.totals()
        note('faults: ' + ', '.join(f'{k} {n}' for k, n in sorted(self.faults.items())))
        note(f'{sent} calls = {answered} acknowledged + {failed} failed + {left_open} open when '
             f'their caller was killed; {repeated} carried out more than once (idempotent ones)')
        note('failed by code: ' + json.dumps(self.world.ledgers.codes, sort_keys=True))
        note(f'longest until all was well again: {self.slowest["well again"]:.1f} s')
        if sent != answered + failed + left_open or answered == 0:
            self.wrong.append('the sums do not agree')
        return self.wrong


def soak(directory, count, seconds):
    """One of the two; what was wrong."""
    trial = Soak(directory, count, random.Random(f'{SEED}/{count}'))
    try:
        trial.begin()
        trial.go_on(seconds)
    except (RuntimeError, OSError) as error:
        trial.wrong.append(str(error))
        note(f'faults: {dict(trial.faults)}')
        for log in pathlib.Path(directory).glob('h*/[ic]*.log'):
            note(f'--- {log.name}\n{log.read_text(errors="replace")[-1500:]}')
    return trial.end()


def main():
    """A third of the time on one host, the rest on three."""
    # What would be told of a descriptor that is lost in every tenth fault, beside others that
    # come and go.
    assert gain([(t, 60 + t * 7 % 20 + t // 10) for t in range(200)]) > DESCRIPTORS
    status = 0
    print(f'1..2\n# seed {SEED}, {SECONDS} s')
    for number, (name, count, share) in enumerate((('one-host', 1, 1 / 3),
                                                   ('three-hosts', 3, 2 / 3)), start=1):
        wrong = soak(f'{sys.argv[1]}/{name}', count, SECONDS * share)
        print(f'{"not " if wrong else ""}ok {number} /soak/{name}', flush=True)
        for line in wrong:
            note(line)
        status |= bool(wrong)
    sys.exit(status)


main()
