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
import slopes
from hosts import note, now

SECONDS, SEED, PAUSE = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
IS_SHORT = SECONDS < 600  # as in CI
AT_REST = 6  # descriptors that may be open although nobody calls: to the store, to be closed soon


class Soak:
    """A world that is not left in peace. Those who are marked as elders are never killed: their
    memory is what is looked at."""

    def __init__(self, directory, count, chance):
        pathlib.Path(directory).mkdir()
        self.world = hosts.World(directory, count)
        self.chance = chance
        self.faults = collections.Counter()
        self.heap = collections.defaultdict(list)
        self.memory = collections.defaultdict(list)
        self.descriptors = collections.defaultdict(list)
        self.bare = {}  # descriptors of instances before anybody called
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
        self.bare = {n: p.descriptors() for n, p in world.programs.items() if 'elder' in n}
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
            host.drop('2379, 2380')
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
        return world.count_stored()

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
            self.heap[program.name].append(world.ledgers.heap.get(program.name, 0))
            self.memory[program.name].append(program.memory())
            self.descriptors[program.name].append(program.descriptors())
        world.ledgers.forget()

    def look_at_slopes(self):
        """Elders do not grow, where samples are many enough to say so."""
        for what, table, bound in (('heap in use, KiB', self.heap, slopes.HEAP_KIB),
                                   ('memory, KiB', self.memory, slopes.MEMORY_KIB),
                                   ('descriptors', self.descriptors, slopes.DESCRIPTORS)):
            for name, samples in sorted(table.items()):
                if 'elder' not in name:
                    continue
                least = slopes.least_slope(samples)
                course = ' '.join(str(samples[i * (len(samples) - 1) // 8]) for i in range(9))
                said = ('too few for a slope' if least is None
                        else f'at least {least:.2f} a fault more (leaks beyond {bound})')
                note(f'{name}: {what}: {course}; {len(samples)} samples, {said}')
                if least is not None and least > bound:
                    self.wrong.append(f'{name}: {what} grow by {least:.2f} a fault')

    def look_at_rest(self):
        """However few the faults were: nobody calls any more, so instances have open what they had
        before anybody did. What is lost stays open."""
        elders = {n: self.world.programs[n] for n in self.bare}
        open_now = {}

        def is_closed():
            open_now.update((n, p.descriptors()) for n, p in elders.items())
            return all(open_now[n] <= self.bare[n] + AT_REST for n in elders)
        try:
            hosts.await_event(is_closed, 'descriptors as before')
            note(f'descriptors before and after: {self.bare}, {open_now}')
        except (RuntimeError, OSError) as error:
            self.wrong.append(f'{error}: there are {open_now}, before there were {self.bare}')

    def go_on(self, seconds):
        """For so long; one fault of each kind, at least, would take longer than CI has."""
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
            pauses = [0.05, 0.05, 0.2, 0.2, 0.5, 3] if IS_SHORT else [0.05, 0.2, 0.5, 1, 3, 8]
            time.sleep(min(max(0, until - now()), self.chance.choice(pauses)))
            undo()
            self.look()

    def end(self):
        """Everybody leaves, and the sums."""
        self.look_at_slopes()
        self.wrong += self.world.end(True)
        if not self.wrong:
            self.look_at_rest()
        self.wrong += self.world.finish()
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
