# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts that are namespaces: a bridge with a cable to each, an etcd-server on each, programs, and
what can befall them. Runs inside namespaces of its own (hosts.sh), so all of it goes with the
first process, and nothing outside is touched."""
import base64
import collections
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

import ledgers

BUILD = pathlib.Path(os.environ['COMMY_BUILD_DIR'])
HERE = pathlib.Path(__file__).resolve().parent
NETWORK = '10.78.0.'
MESH = 'default'
SCHEME = 'http'
LIMIT = 30  # seconds that anything may take to come right again; a bound, not a measure
# The same of being called by everybody again: who hangs for longer than a call waits, as a busy
# machine makes of less, is left out for ejection-time, 30 s, and the next time for twice that.
LEFT_OUT_LIMIT = 120


def now():
    """The clock that the books use."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def run(*command, **more):
    """A command that must succeed."""
    done = subprocess.run([str(c) for c in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(map(str, command))}: {done.stdout}')
    return done.stdout


def await_event(condition, what, limit=LIMIT):
    """Until it is so; says how many seconds it took."""
    begin = now()
    while not condition():
        if now() - begin > limit:
            raise RuntimeError(f'after {limit} s still not: {what}')
        time.sleep(0.01)
    return now() - begin


def die_with_parent():
    """In a child, before it becomes another program."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A program on a host, with a log."""

    def __init__(self, host, name, command, environment=None):
        self.host, self.name = host, name
        self.log = host.dir / f'{name}.log'
        with open(self.log, 'ab') as log:
            self.child = subprocess.Popen([*host.enter, *map(str, command)], stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
                                          env=environment or host.environment)

    @property
    def pid(self):
        """Of the program itself: nsenter becomes it."""
        return self.child.pid

    def kill(self, number=signal.SIGKILL):
        """Sends a signal, and after SIGKILL waits until it is gone."""
        at = now()
        self.child.send_signal(number)
        if number == signal.SIGKILL:
            self.child.wait()
        return at

    def is_alive(self):
        """Whether it runs (or is stopped)."""
        return self.child.poll() is None

    def port(self):
        """Where it listens to other hosts."""
        own = {os.readlink(f'/proc/{self.pid}/fd/{fd}')
               for fd in os.listdir(f'/proc/{self.pid}/fd')}
        for line in pathlib.Path(f'/proc/{self.pid}/net/tcp').read_text().splitlines()[1:]:
            fields = line.split()  # local address, state and inode are what counts
            if fields[3] == '0A' and f'socket:[{fields[9]}]' in own:
                return int(fields[1].split(':')[1], 16)
        raise RuntimeError(f'{self.name} does not listen')

    def descriptors(self):
        """How many it has."""
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def memory(self):
        """What is its own, in KiB: shared memory counts at who made it."""
        for line in pathlib.Path(f'/proc/{self.pid}/status').read_text().splitlines():
            if line.startswith('RssAnon:'):
                return int(line.split()[1])
        return 0


class Host:
    """A name, folders, and, but for the only host, namespaces of its own."""

    def __init__(self, world, number, is_alone):
        self.number, self.name = number, f'h{number}'
        self.address = '127.0.0.1' if is_alone else f'{NETWORK}{number}'
        self.dir = world.dir / self.name
        self.cable = f'cable{number}'
        self.n_proxies = 0
        self.enter = []
        for name in ('', 'run', 'state', 'home'):
            (self.dir / name).mkdir(mode=0o700)
        self.configure('')  # commands want to know whether to keep a trail
        keep = {k: v for k, v in os.environ.items() if not k.startswith('XDG_')}
        self.environment = {**keep, 'HOME': str(self.dir / 'home'),
                            'COMMY_RUNTIME_DIR': str(self.dir / 'run'),
                            'COMMY_STATE_DIR': str(self.dir / 'state'),
                            'COMMY_CONFIG': ':'.join(filter(None, [
                                os.environ.get('COMMY_CONFIG'), str(self.dir / 'commy.conf')]))}

    def make_namespaces(self, world):
        """When the folders of all are there: each sees its own."""
        keeper = subprocess.Popen(['unshare', '--net', '--mount', '--uts', 'sleep', 'infinity'],
                                  preexec_fn=die_with_parent)
        own = os.readlink('/proc/self/ns/uts')
        await_event(lambda: os.readlink(f'/proc/{keeper.pid}/ns/uts') != own, 'namespaces')
        self.enter = ['nsenter', '--target', str(keeper.pid), '--net', '--mount', '--uts', '--']
        run('ip', 'link', 'add', self.cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns',
            keeper.pid)
        run('ip', 'link', 'set', self.cable, 'master', 'bridge', 'up')
        others = ' '.join(str(world.dir / f'h{n}') for n in world.numbers if n != self.number)
        self.run('sh', '-ec', f'''
          hostname {self.name}
          ip link set lo up
          ip addr add {self.address}/24 dev eth0
          ip link set eth0 up
          mount --bind {world.dir}/names /etc/hosts
          nft add table inet faults
          nft add chain inet faults in '{{ type filter hook input priority 0; }}'
          nft add chain inet faults out '{{ type filter hook output priority 0; }}'
          for other in {others}; do mount -t tmpfs none $other; done''')

    def run(self, *command, **more):
        """A command there."""
        return run(*self.enter, *command, **{'env': self.environment, **more})

    def configure(self, text):
        """The keyfile of all its programs."""
        (self.dir / 'commy.conf').write_text(text)

    # --- faults ---

    def mend(self):
        """All that was done to its network is undone."""
        run('ip', 'link', 'set', self.cable, 'up')
        subprocess.run(['tc', 'qdisc', 'del', 'dev', self.cable, 'root'], check=False,
                       stderr=subprocess.DEVNULL)
        self.run('nft', 'flush', 'chain', 'inet', 'faults', 'in')
        self.run('nft', 'flush', 'chain', 'inet', 'faults', 'out')
        subprocess.run([*self.enter, 'nft', 'delete', 'table', 'ip', 'delay'], check=False,
                       stderr=subprocess.DEVNULL)

    def rule(self, *words):
        """The same for what comes in and what goes out."""
        for chain in ('in', 'out'):
            self.run('nft', 'add', 'rule', 'inet', 'faults', chain, *words)

    def drop(self, ports):
        """What is from or to these ports is lost, both ways, without a word."""
        for way in ('dport', 'sport'):
            self.rule('tcp', way, f'{{ {ports} }}', 'drop')

    def cut(self):
        """The cable has no carrier."""
        run('ip', 'link', 'set', self.cable, 'down')

    def black_hole(self):
        """The cable looks well, and nothing passes."""
        self.run('nft', 'add', 'rule', 'inet', 'faults', 'in', 'iifname', 'eth0', 'drop')
        self.run('nft', 'add', 'rule', 'inet', 'faults', 'out', 'oifname', 'eth0', 'drop')

    def lose(self, percent, *match):
        """So many packets of a hundred that come in are lost; of all, or of what matches."""
        self.run('nft', 'add', 'rule', 'inet', 'faults', 'in', 'iifname', 'eth0', *match, 'numgen',
                 'random', 'mod', '100', '<', percent, 'drop')

    def throttle(self, rate):
        """What goes to it."""
        run('tc', 'qdisc', 'add', 'dev', self.cable, 'root', 'tbf', 'rate', rate, 'burst', '16kb',
            'latency', '100ms')

    def throttle_ports(self, kilobytes, ports):
        """What comes in for these ports beyond so much a second is lost: tbf knows no ports."""
        self.run('nft', 'add', 'rule', 'inet', 'faults', 'in', 'iifname', 'eth0', 'tcp', 'dport',
                 f'{{ {ports} }}', 'limit', 'rate', 'over', kilobytes, 'kbytes/second', 'drop')

    def break_connections(self, ports):
        """All that it has to these ports of others end, and none begins until mend()."""
        self.run('nft', 'add', 'rule', 'inet', 'faults', 'out', 'oifname', 'eth0', 'tcp', 'dport',
                 f'{{ {ports} }}', 'reject', 'with', 'tcp', 'reset')
        some = ' or '.join(f'dport = :{port}' for port in ports.replace(' ', '').split(','))
        await_event(lambda: not self.run('ss', '-tnH', 'state', 'established',
                                         f'( {some} ) and ! dst {self.address}'),
                    f'no connections to {ports}')
        self.run('nft', 'flush', 'chain', 'inet', 'faults', 'out')

    def delay(self, milliseconds, ports):
        """What it begins with these ports of others ("!=" and ports: all but these) goes by a
        proxy of ours, which takes its time both ways."""
        proxy = Process(self, 'proxy', ['/usr/bin/python3', HERE / 'delay-proxy.py', milliseconds])
        port_file = self.dir / 'proxy.log'
        await_event(lambda: port_file.read_bytes().count(b'port ') > self.n_proxies, 'the proxy')
        self.n_proxies += 1
        port = port_file.read_text().split('port ')[-1].split()[0]
        self.run('sh', '-ec', f'''
          nft add table ip delay
          nft add chain ip delay out '{{ type nat hook output priority -100; }}'
          nft add rule ip delay out oifname eth0 meta mark != 7 tcp dport {ports} \\
            redirect to :{port}''')
        return proxy


class World:
    """Some hosts, or one alone."""

    def __init__(self, directory, count):
        self.dir = pathlib.Path(directory)
        self.numbers = range(1, count + 1)
        self.is_alone = count == 1
        self.ledgers = ledgers.Ledgers()
        self.programs = {}
        self.etcds = {}
        self.lives = 0
        names = [f'{NETWORK}{n} h{n}\n' for n in self.numbers]
        (self.dir / 'names').write_text('127.0.0.1 localhost\n' + ''.join(names))
        run('ip', 'link', 'set', 'lo', 'up')
        if not self.is_alone:
            run('ip', 'link', 'add', 'bridge', 'type', 'bridge')
            run('ip', 'addr', 'add', f'{NETWORK}254/24', 'dev', 'bridge')
            run('ip', 'link', 'set', 'bridge', 'up')
        self.hosts = {n: Host(self, n, self.is_alone) for n in self.numbers}
        for host in self.hosts.values() if not self.is_alone else ():
            host.make_namespaces(self)
        self._make_credentials()

    def _make_credentials(self):
        """One authority, on the first host; the others get what it made for them."""
        first = self.hosts[1]
        first.run(BUILD / 'commy', 'pki', 'init', '--mesh', MESH)
        for number in self.numbers:
            out = self.hosts[number].dir / 'state' / MESH / 'pki'
            if number > 1:
                first.run('sh', '-ec', f'"{BUILD}/commy" pki issue --mesh {MESH} --host h{number} '
                          f'--out {self.dir}/out{number} >/dev/null')
                out.parent.mkdir(mode=0o700)
                (self.dir / f'out{number}').rename(out)
        for host in self.hosts.values():
            text = f'[plugin transport/tls]\nparam.bind={host.address}\n'
            if not self.is_alone:
                text = ('[mesh]\nstore=etcd\n[plugin store/etcd]\nparam.endpoints='
                        + ';'.join(self.uri(n) for n in self.numbers) + '\n' + text)
            host.configure(text)

    # --- etcd ---

    def uri(self, number):
        """Where the member of a host is asked."""
        return f'{SCHEME}://{NETWORK}{number}:2379'

    def start_etcd(self, *numbers):
        """They find each other; some must be there before any of them is ready."""
        cluster = ','.join(f'm{n}={SCHEME}://{NETWORK}{n}:2380' for n in self.numbers)
        for number in numbers:
            host = self.hosts[number]
            peer = f'{SCHEME}://{host.address}:2380'
            self.etcds[number] = Process(host, 'etcd', [
                'etcd', f'--name=m{number}', f'--data-dir={host.dir}/etcd',
                f'--listen-client-urls={self.uri(number)}',
                f'--advertise-client-urls={self.uri(number)}', f'--listen-peer-urls={peer}',
                f'--initial-advertise-peer-urls={peer}', f'--initial-cluster={cluster}',
                '--heartbeat-interval=50', '--election-timeout=500'])

    def ask_etcd(self, number, path, **body):
        """An answer of a member, or None."""
        request = urllib.request.Request(self.uri(number) + path, json.dumps(body).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=1) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def leader(self):
        """The host whose member leads, or None."""
        for number in self.numbers:
            status = self.ask_etcd(number, '/v3/maintenance/status')
            if status and status['header']['member_id'] == status.get('leader'):
                return number
        return None

    def etcd_is_well(self):
        """Whether a member answers for the whole."""
        return any(self.ask_etcd(n, '/v3/kv/range', key='YQ==') for n in self.numbers)

    def count_stored(self, members=None, service='org.example.Ledger'):
        """How many instances of a service the store has; -1: it does not say."""
        for number in members or self.numbers:
            below = f'commy/default/services/{service}'
            answer = self.ask_etcd(number, '/v3/kv/range', count_only=True,
                                   key=base64_of(f'{below}/'), range_end=base64_of(f'{below}0'))
            if answer:
                return int(answer.get('count', 0))
        return -1

    # --- programs ---

    def start(self, name, number, *options):
        """A life of the program on a host, with a book of its own."""
        self.lives += 1
        host = self.hosts[number]
        book = host.dir / f'{name}.{self.lives}.book'
        self.ledgers.add(book, name)
        program = Process(host, name, [BUILD / 'tests/integration/ledger', book, name, *options])
        program.book = book
        program.options = options
        program.is_calling = '--call' in options
        self.programs[name] = program
        return program

    def await_ready(self, *names):
        """Until those that were started have joined; a life that failed is an error."""
        def is_ready():
            self.ledgers.read()
            for name in names:
                if not self.programs[name].is_alive():
                    raise RuntimeError(f'{name} ended: {self.tail(name)}')
            return all(self.ledgers.ready[n] > 0 for n in names)
        return await_event(is_ready, f'{", ".join(names)} joined')

    def restart(self, name):
        """Another life of one that was killed, under a name of its own: its numbers begin anew."""
        old = self.programs.pop(name)
        fresh = f'{name.split("~")[0]}~{self.lives + 1}'
        self.start(fresh, old.host.number, *old.options)
        return fresh

    def kill(self, name):
        """At once, as the kernel does; its calls stay open."""
        program = self.programs[name]
        self.ledgers.killed.add(name)
        return program.kill()

    def tail(self, name):
        """The end of its log."""
        path = next(self.dir.glob(f'h*/{name}.log'), None)
        return path.read_text(errors='replace')[-2000:] if path else ''

    def end(self, is_calling):
        """Ends the callers, or the instances; what was wrong."""
        wrong = []
        some = [p for p in self.programs.values() if p.is_calling == is_calling and p.is_alive()]
        for program in some:
            program.kill(signal.SIGTERM)
        for program in some:
            try:
                status = program.child.wait(LIMIT)
            except subprocess.TimeoutExpired:
                status = 'none: it hangs'
                program.kill()
            if status != 0:
                wrong.append(f'{program.name} ended with {status}: {self.tail(program.name)}')
        return wrong

    def finish(self):
        """Ends the callers first, then the instances; what must never be, was it?"""
        return self.end(True) + self.end(False) + self.ledgers.check(is_over=True)

    def await_callers(self, since, callers):
        """Until each has an answer of anybody to a call that was sent since then."""
        def is_answered():
            self.ledgers.read()
            seen = {e.kind[0] for e in self.ledgers.ends if e.by and e.sent >= since * 1e6}
            return seen >= set(callers)
        return await_event(is_answered, f'answers of {callers}')

    def await_answers(self, since, wanted):
        """Until each caller's calls, sent since then, were answered by each of its instances."""
        def is_answered():
            self.ledgers.read()
            seen = {(e.kind[0], e.by) for e in self.ledgers.ends if e.sent >= since * 1e6}
            return all((caller, by) in seen for caller, some in wanted.items() for by in some)
        try:
            return await_event(is_answered, f'answers {wanted}', LEFT_OUT_LIMIT)
        except RuntimeError as error:
            seen = collections.Counter((e.kind[0], e.by or e.code) for e in self.ledgers.ends)
            raise RuntimeError(f'{error}, but {dict(seen)}') from None


def base64_of(text):
    """As etcd's JSON wants it."""
    return base64.b64encode(text.encode()).decode()


def note(text):
    """For people, in TAP."""
    for line in text.splitlines():
        print(f'# {line}')
    sys.stdout.flush()
