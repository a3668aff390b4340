# SPDX-License-Identifier: LGPL-2.1-or-later
"""The books of tests/integration/ledger.c: read while they grow, added up, and held against
each other. Memory does not grow with the calls but by some bytes each, so that an hour fits."""
import collections
import os

KINDS = {'sync-once': 0, 'sync-again': 1, 'async-once': 2, 'async-again': 3}
NONE, SENT, ANSWERED, FAILED = range(4)
AGAIN = {1, 3}

End = collections.namedtuple('End', 'sent ended kind by code text')


def percentile(values, share):
    """The value that so many are at most; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


class Caller:
    """What one name sent, in all its lives, and what became of it."""

    def __init__(self):
        self.state = bytearray()
        self.kind = bytearray()
        self.executed = bytearray()
        self.started = {}  # number -> time it was sent, of those under way
        self.unseen = set()  # answered, and not found in a service's book yet
        self.repeated = set()  # carried out more than once

    def slot(self, number):
        grow = number + 1 - len(self.state)
        if grow > 0:
            for array in (self.state, self.kind, self.executed):
                array.extend(bytes(max(grow, 4096)))
        return number


class Ledgers:
    """All books of a folder."""

    def __init__(self):
        self.books = {}  # path -> (file, rest of a line)
        self.callers = collections.defaultdict(Caller)
        self.ends = collections.deque()  # since forget()
        self.ready = collections.Counter()  # name -> lives that began
        self.left = collections.Counter()
        self.killed = set()  # callers that did not end by themselves: they leave calls open
        self.bad = []
        self.codes = collections.Counter()
        self.texts = {}
        self.heap = {}  # name -> KiB in use, as it said last

    def add(self, path, name):
        """A new book: of one life of one name."""
        self.books[path] = [open(path, 'a+b'), b'', name]
        self.books[path][0].seek(0)

    def read(self):
        """Takes what was written since."""
        for path, book in list(self.books.items()):
            text = book[1] + book[0].read()
            lines = text.split(b'\n')
            book[1] = lines.pop()
            for line in lines:
                self._take(book[2], line.decode('utf-8', 'replace'))

    def _take(self, name, line):
        what, _, rest = line.partition(' ')
        if what == 'x':
            caller, number = rest.split()
            self._executed(self.callers[caller], int(number))
        elif what == 's':
            number, kind, time = rest.split()
            caller = self.callers[name]
            slot = caller.slot(int(number))
            caller.state[slot] = SENT
            caller.kind[slot] = KINDS[kind]
            caller.started[slot] = int(time)
        elif what == 'a':
            number, time, by = rest.split()
            self._ended(name, int(number), ANSWERED, int(time), by, 0, '')
        elif what == 'f':
            number, time, code, text = rest.split(' ', 3)
            self._ended(name, int(number), FAILED, int(time), None, int(code), text)
        elif what == 'm':
            self.heap[name] = int(rest) // 1024
        elif what == 'ready':
            self.ready[name] += 1
        elif what == 'left':
            self.left[name] += 1
        else:
            self.bad.append(f'{name} wrote a line that is none: {line}')

    @staticmethod
    def _executed(caller, number):
        slot = caller.slot(number)
        caller.executed[slot] = min(caller.executed[slot] + 1, 255)
        caller.unseen.discard(slot)
        if caller.executed[slot] > 1:
            caller.repeated.add(slot)  # its kind is in another book, which may be read later

    def _ended(self, name, number, state, time, by, code, text):
        caller = self.callers[name]
        slot = caller.slot(number)
        if caller.state[slot] != SENT:
            self.bad.append(f'{name} {number} ended twice, or was never sent')
        caller.state[slot] = state
        if state == ANSWERED and caller.executed[slot] == 0:
            caller.unseen.add(slot)
        self.ends.append(End(caller.started.pop(slot, 0), time, (name, caller.kind[slot]), by,
                             code, text))
        if state == FAILED:
            self.codes[code] += 1
            self.texts.setdefault(code, text)
            if code <= 0 or not text.strip():
                self.bad.append(f'{name} {number} failed without a reason: {code} "{text}"')

    def forget(self):
        """The single ends are not needed any more; the sums stay."""
        self.ends.clear()

    def close(self, path):
        """A life is over and its book was read."""
        self.books.pop(path)[0].close()

    def check(self, is_over=False):
        """What must never be. It was written in a service's book before it was answered, so whoever
        reads an answer finds it there when all books are read once more."""
        self.read()
        answered = {name: set(caller.unseen) for name, caller in self.callers.items()}
        self.read()
        wrong = list(self.bad)
        for name, caller in self.callers.items():
            lost = caller.unseen & answered[name]
            twice = [n for n in caller.repeated
                     if caller.state[n] != NONE and caller.kind[n] not in AGAIN]
            if lost:
                wrong.append(f'{name}: {len(lost)} calls were acknowledged and not carried out')
            if twice:
                wrong.append(f'{name}: {len(twice)} calls that are not idempotent were carried out '
                             'twice')
            if is_over and caller.started and name not in self.killed:
                wrong.append(f'{name}: {len(caller.started)} calls never ended')
        return wrong

    def totals(self):
        """(sent, acknowledged, failed, open, carried out more than once)"""
        states = collections.Counter()
        repeated = 0
        for caller in self.callers.values():
            states.update(caller.state)
            repeated += len(caller.repeated)
        sent = states[SENT] + states[ANSWERED] + states[FAILED]
        return sent, states[ANSWERED], states[FAILED], states[SENT], repeated


class Phase:
    """What the calls came to from a fault on; times in seconds."""

    def __init__(self, ends, since, victim=None):
        since_us = since * 1e6
        later = [e for e in ends if e.ended >= since_us]
        self.answered = sum(1 for e in later if e.by)
        self.failed = collections.Counter(e.code for e in later if not e.by)
        self.longest = max((e.ended - e.sent for e in later), default=0) / 1e6
        # Of each load whose last answer was the victim's: until somebody else answers it.
        self.replaced = []
        # Of each load: until a call that was sent after the fault is answered.
        self.recovered = []
        for load in {e.kind for e in ends}:
            own = [e for e in ends if e.kind == load and e.by]
            before = [e for e in own if e.ended < since_us]
            after = sorted(e.ended for e in own if e.sent >= since_us)
            others = [e.ended for e in own if e.ended >= since_us and e.by != victim]
            if victim and before and max(before, key=lambda e: e.ended).by == victim and others:
                self.replaced.append(min(others) / 1e6 - since)
            if after:
                self.recovered.append(after[0] / 1e6 - since)


def remove_tree(path):
    """With all that is in it."""
    for root, folders, files in os.walk(path, topdown=False):
        for name in files:
            os.unlink(os.path.join(root, name))
        for name in folders:
            full = os.path.join(root, name)
            os.unlink(full) if os.path.islink(full) else os.rmdir(full)
    os.rmdir(path)
