#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the fuzzers of a build folder.

fuzz.py check BUILD-DIR RESULTS    each from a copy of its corpus, FUZZ_SECONDS (5) each, with the
                                   same seed every time; the canary's planted mistake must be found
fuzz.py resume BUILD-DIR RESULTS   each from where the last run ended, FUZZ_SECONDS (300) each, or
                                   those that FUZZERS names, until nothing is owed; what is new
                                   comes into the tree
fuzz.py owed                       what the ledger says is still to be done

As many at a time as there are processors.

tests/fuzz/corpus/NAME/ holds inputs that somebody named, and `found.pack`: those that were found,
each behind its length in four bytes, little-endian. tests/fuzz/ledger.tsv adds up what was done.
"""

import concurrent.futures
import contextlib
import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORPUS = os.path.join(TOP, "tests", "fuzz", "corpus")
LEDGER = os.path.join(TOP, "tests", "fuzz", "ledger.tsv")
PACK = "found.pack"
PACK_BYTES = 300 * 1024
MAX_INPUT = 4096
SLICE = 60
CANARY_SECONDS = 60
# Without a new edge: so many executions, or so much of a processor's time.
GOAL_EXECUTIONS = 10**8
GOAL_SECONDS = 7200
COLUMNS = ("fuzzer", "executions", "cpu-seconds", "quiet-executions", "quiet-cpu-seconds", "edges")
FLAGS = ["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-use_value_profile=0"]


# --- corpora ---


def unpack(path, folder):
    with open(path, "rb") as stream:
        data = stream.read()
    at = 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        with open(os.path.join(folder, f"found-{at:08d}"), "wb") as stream:
            stream.write(data[at : at + size])
        at += size


def copy_corpus(name, folder):
    """The named inputs of a fuzzer and those that were found, as files. How many."""
    source = os.path.join(CORPUS, name)
    for entry in sorted(os.listdir(source) if os.path.isdir(source) else []):
        path = os.path.join(source, entry)
        if entry == PACK:
            unpack(path, folder)
        else:
            shutil.copy(path, os.path.join(folder, entry))
    return len(os.listdir(folder))


def write_pack(name, needed, others):
    """What is needed, then the smallest first, as many as there is room for."""
    size = 0
    kept = []
    for inputs in (needed, others):
        for data in sorted(inputs, key=lambda data: (len(data), data)):
            if size + 4 + len(data) > PACK_BYTES:
                break
            size += 4 + len(data)
            kept.append(data)
    path = os.path.join(CORPUS, name, PACK)
    if kept:
        with open(path, "wb") as stream:
            stream.writelines(struct.pack("<I", len(data)) + data for data in kept)
    return len(kept), len(needed) + len(others) - len(kept)


def merge(program, folder, known, grown, *flags):
    """Adds to @folder what of @grown adds something to it: its bytes; None: merging failed."""
    done = run([program, "-merge=1", f"-max_len={MAX_INPUT}", *flags, *FLAGS, folder, grown])
    if done.status != 0:
        print(f"  the corpus stays as it was: merging ended with {done.status}")
        return None
    found = {}
    for entry in set(os.listdir(folder)) - known:
        with open(os.path.join(folder, entry), "rb") as stream:
            found[entry] = stream.read()
    return found


def minimise(program, name, grown):
    """Replaces the pack by what of @grown adds something to the named inputs: edges first, then
    how often they are taken."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(CORPUS, name)
        named = set(os.listdir(source)) - {PACK}
        for entry in named:
            shutil.copy(os.path.join(source, entry), os.path.join(folder, entry))
        edges = merge(program, folder, named, grown, "-use_counters=0")
        if edges is None:
            return
        counts = merge(program, folder, named | set(edges), grown)
        if counts is None:
            return
    kept, left_out = write_pack(name, edges.values(), counts.values())
    print(f"  {kept} inputs were found so far" + (f", {left_out} more had no room" * (left_out > 0)))


# --- running ---


class Run:
    def __init__(self, status, text, cpu):
        self.status = status
        self.text = text
        self.cpu = cpu

    def number(self, pattern):
        found = re.findall(pattern, self.text)
        return int(found[-1]) if found else 0

    def executions(self):
        return self.number(r"stat::number_of_executed_units:\s+(\d+)")

    def first_edges(self):
        found = re.search(r"INITED\s+cov: (\d+)", self.text)
        return int(found.group(1)) if found else 0

    def edges(self):
        return self.number(r"\bcov: (\d+)")


def run(command, env=None):
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Run(process.returncode, text, usage.ru_utime + usage.ru_stime)


def side_by_side(func, items):
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(func, items))


def fuzz(program, corpus, seconds, artifacts, seed=0):
    return run(
        [
            program,
            f"-seed={seed}",  # 0: another each time
            f"-max_total_time={max(int(seconds), 1)}",
            f"-max_len={MAX_INPUT}",
            f"-artifact_prefix={artifacts}",
            *FLAGS,
            corpus,
        ]
    )


def show(done):
    telling = r"ERROR|SUMMARY|runtime error|not true|Test unit|stat::number|^ +#\d+ .*(core|plugins|tests)/"
    for line in done.text.splitlines():
        if re.search(telling, line):
            print("  " + line.strip())


def programs(build, variable):
    text = subprocess.run(
        ["make", "-s", "-C", build, "--no-print-directory", f"print-{variable}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return [os.path.join(build, program) for program in text.split()]


def name_of(program):
    return os.path.basename(program)[len("fuzz-") :]


# --- for a change ---


def leaks_alone(program, done):
    """Whether the input that is said to leak does so by itself, many times over: what is on its way
    while the sanitizer looks can seem lost, once in millions of runs."""
    found = re.search(r"Test unit written to (\S+)", done.text)
    return found is None or run([program, *FLAGS, "-runs=100", found.group(1)]).status != 0


def check_one(program, seconds, crashes):
    name = name_of(program)
    with tempfile.TemporaryDirectory() as folder:
        inputs = copy_corpus(name, folder)
        if inputs == 0:
            print(f"{name}: no corpus in tests/fuzz/corpus/{name}")
            return False
        artifacts = os.path.join(crashes, name + "-")
        done = fuzz(program, folder, seconds, artifacts, seed=1)
        if done.status != 0 and "LeakSanitizer" in done.text and not leaks_alone(program, done):
            show(done)
            print(f"# {name}: no leak of that input alone; once more")
            done = fuzz(program, folder, seconds, artifacts, seed=1)
    print(f"# {name}: {inputs} inputs, {done.executions()} executions, {done.edges()} edges")
    if done.status != 0:
        show(done)
    return done.status == 0


def check_canary(program):
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        done = fuzz(program, folder, CANARY_SECONDS, os.path.join(folder, "found-"))
    found = done.status != 0 and "heap-buffer-overflow" in done.text
    seconds = time.monotonic() - begin
    print(
        f"# {name_of(program)}: "
        + (f"found in {seconds:.1f} s" if found else "the planted mistake was NOT found")
    )
    return found


def check(build, results):
    seconds = float(os.environ.get("FUZZ_SECONDS", "5"))
    crashes = os.path.join(results, "crashes")
    os.makedirs(crashes, exist_ok=True)
    canaries = programs(build, "fuzz-canary")
    rows = [(program, check_canary(program)) for program in canaries]
    fuzzers = programs(build, "fuzzers")
    rows += zip(fuzzers, side_by_side(lambda program: check_one(program, seconds, crashes), fuzzers))
    with open(os.path.join(results, "fuzz.cases"), "w", encoding="utf-8") as stream:
        for program, good in rows:
            result = "PASS" if good else "FAIL"
            path = os.path.relpath(program, build)
            stream.write(f"fuzz\t{result}\t{path}\t/fuzz/{name_of(program)}\t\n")
    if not canaries or len(rows) == len(canaries):
        print("fuzz: there is no fuzzer, or no canary")
        return 1
    return 0 if all(good for _, good in rows) else 1


# --- without end ---


@contextlib.contextmanager
def locked():
    """The ledger, against other threads and other runs."""
    folder = os.open(os.path.dirname(LEDGER), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def read_ledger():
    rows = {}
    if os.path.exists(LEDGER):
        with open(LEDGER, encoding="utf-8") as stream:
            for line in stream.read().splitlines()[1:]:
                name, *numbers = line.split("\t")
                rows[name] = [int(number) for number in numbers]
    return rows


def write_ledger(rows):
    with open(LEDGER + ".new", "w", encoding="utf-8") as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        for name in sorted(rows):
            stream.write("\t".join([name, *map(str, rows[name])]) + "\n")
    os.replace(LEDGER + ".new", LEDGER)


def note(name, done, cpu):
    """Adds a slice to the ledger; what was quiet before counts only if this one was, too."""
    with locked():
        rows = read_ledger()
        executions, seconds, quiet, quiet_seconds, edges = rows.get(name, [0, 0, 0, 0, 0])
        new = done.status != 0 or done.edges() > max(done.first_edges(), edges)
        rows[name] = [
            executions + done.executions(),
            seconds + round(cpu),
            0 if new else quiet + done.executions(),
            0 if new else quiet_seconds + round(cpu),
            max(edges, done.edges()),
        ]
        write_ledger(rows)


def is_owed(name):
    with locked():
        _, _, quiet, seconds, _ = read_ledger().get(name, [0, 0, 0, 0, 0])
    return quiet < GOAL_EXECUTIONS and seconds < GOAL_SECONDS


def resume_one(program, seconds, crashes):
    name = name_of(program)
    end = time.monotonic() + seconds
    good = True
    with tempfile.TemporaryDirectory() as folder:
        copy_corpus(name, folder)
        while good and time.monotonic() < end and is_owed(name):
            left = min(SLICE, end - time.monotonic())
            done = fuzz(program, folder, left, os.path.join(crashes, name + "-"))
            note(name, done, done.cpu)
            good = done.status == 0
            print(f"{name}: {done.executions()} executions, {done.edges()} edges", flush=True)
            if not good:
                show(done)
        minimise(program, name, folder)
    return good


def owed():
    for name, (_, _, quiet, seconds, edges) in sorted(read_ledger().items()):
        if is_owed(name):
            print(
                f"{name:16} {GOAL_EXECUTIONS - quiet} executions or {GOAL_SECONDS - seconds} s of a"
                f" processor without a new edge ({edges}) are owed"
            )
        else:
            print(f"{name:16} done: {quiet} executions, {seconds} s without a new edge ({edges})")
    return 0


def resume(build, results):
    seconds = float(os.environ.get("FUZZ_SECONDS", "300"))
    wanted = os.environ.get("FUZZERS", "").split()
    crashes = os.path.join(results, "crashes")
    os.makedirs(crashes, exist_ok=True)
    os.nice(19)
    chosen = [p for p in programs(build, "fuzzers") if not wanted or name_of(p) in wanted]
    good = side_by_side(lambda program: resume_one(program, seconds, crashes), chosen)
    bad = [name_of(program) for program, fine in zip(chosen, good) if not fine]
    owed()
    if bad:
        print(f"found something: {' '.join(bad)}; the inputs are in {crashes}")
    return 1 if bad else 0


def main(arguments):
    if arguments == ["owed"]:
        return owed()
    if len(arguments) == 3 and arguments[0] in ("check", "resume"):
        return (check if arguments[0] == "check" else resume)(*arguments[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
