#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts what the stages of tools/check.sh did.

results.py collect BUILD-DIR STAGE FILE   the cases of every test that has a *.trs file
results.py failed BUILD-DIR               the tests that failed
results.py report DIR ALLOWED-SKIPS       every stage's outcome; the last line is the total

A line of a FILE: stage, result, program, case, reason; separated by tabs.
"""

import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOOD = ("PASS", "XFAIL")
BAD = ("FAIL", "ERROR", "XPASS")
# What the TAP driver adds to a log; the *.trs beside it holds the outcomes without their names.
LINE = re.compile(r"^(PASS|FAIL|SKIP|ERROR|XFAIL|XPASS): (\S+)(?: (.*))?$")


def split_case(text):
    """'3 /wire/short # SKIP no namespaces' -> name, reason. A case without a name keeps its number."""
    text = re.sub(r"^\d+\s+(- )?(?!#)|^- ", "", text.strip())
    name, _, reason = text.partition("# ")
    return name.strip(), re.sub(r"^(SKIP|TODO)\S*\s*", "", reason.strip(), flags=re.I)


def cases_of(program, text, stage):
    for line in text.splitlines():
        found = LINE.match(line)
        if found:
            name, reason = split_case(found.group(3) or "")
            if found.group(1) == "SKIP" and (found.group(3) or "").startswith("- "):
                name, reason = "", name  # the whole program
            yield [stage, found.group(1), program, name or program, reason]


def read_cases(build, stage):
    rows = []
    for folder, folders, files in os.walk(build):
        folders[:] = [f for f in folders if not f.startswith("commy-0")]
        for file in sorted(files):
            if file.endswith(".trs"):
                path = os.path.join(folder, file[: -len(".trs")] + ".log")
                program = os.path.relpath(path, build)[: -len(".log")]
                with open(path, encoding="utf-8", errors="replace") as stream:
                    rows += list(cases_of(program, stream.read(), stage)) or [
                        [stage, "ERROR", program, program, "ran no case"]
                    ]
    return rows


def failed(build):
    programs = sorted({row[2] for row in read_cases(build, "") if row[1] in BAD})
    scripts = [program + ".sh" for program in programs if os.path.exists(os.path.join(TOP, program + ".sh"))]
    print(" ".join(scripts + [program for program in programs if program + ".sh" not in scripts]))
    return 0


def collect(build, stage, out):
    rows = read_cases(build, stage)
    with open(out, "w", encoding="utf-8") as stream:
        stream.writelines("\t".join(row) + "\n" for row in rows)
    if not any(row[1] in GOOD + BAD for row in rows):
        print("no test ran")
        return 1
    return 0


def read_rows(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as stream:
        return [line.rstrip("\n").split("\t") for line in stream if line.strip()]


def allowed_reasons(path):
    with open(path, encoding="utf-8") as stream:
        return [line.strip() for line in stream if line.strip() and not line.startswith("#")]


def forbidden_skips(rows, allowed):
    """Skipped cases that passed in no stage and whose reason is not allowed."""
    passed = {(row[2], row[3]) for row in rows if row[1] in GOOD}
    for row in rows:
        if row[1] == "SKIP" and (row[2], row[3]) not in passed:
            if not any(row[4].startswith(reason) for reason in allowed):
                yield row


def print_conformance(rows):
    """Every conformance rule by name, for every plugin it was tried on."""
    seen = set()
    for stage, result, _program, name, reason in rows:
        if "/conformance/" not in name + "/" or stage != "check" or name in seen:
            continue
        if not seen:
            print("\n== conformance: rule by rule")
        seen.add(name)
        print("   %-5s %s%s" % (result, name, " (%s)" % reason if reason else ""))


def report(folder, allowed_path, strict):
    stages = read_rows(os.path.join(folder, "stages"))
    by_stage = {s[0]: read_rows(os.path.join(folder, s[0] + ".cases")) for s in stages}
    rows = [row for stage in stages for row in by_stage[stage[0]]]
    print_conformance(rows)
    skips = list(forbidden_skips(rows, allowed_reasons(allowed_path)))
    for title, bad in (
        ("failed", [r for r in rows if r[1] in BAD]),
        ("skipped without leave" if strict else "skipped", skips),
    ):
        if bad:
            print("\n== %s" % title)
            for stage, _result, program, name, reason in bad:
                print("   %s: %s %s %s" % (stage, program, name, reason))
    print_unsteady(os.path.join(folder, "unsteady"))
    n_passed, n_failed = print_table(stages, by_stage)
    n_failed += len(skips) if strict else 0
    if n_passed == 0:
        n_failed += 1
    print("\n%d passed, %d failed" % (n_passed, n_failed))
    return 1 if n_failed else 0


def print_unsteady(path):
    if os.path.exists(path):
        print("\n== failed beside others, then run once more, alone (its first log: first/STAGE)")
        with open(path, encoding="utf-8") as stream:
            print(stream.read(), end="")


def print_table(stages, by_stage):
    """A stage without cases of its own is one case; one that failed has at least one failure."""
    passed = failed = total = 0
    print("\n%-14s %8s %8s %8s %8s" % ("stage", "seconds", "passed", "failed", "skipped"))
    for stage, status, seconds in stages:
        cases = by_stage[stage]
        good = sum(1 for row in cases if row[1] in GOOD)
        bad = sum(1 for row in cases if row[1] in BAD)
        skipped = sum(1 for row in cases if row[1] == "SKIP")
        if status != "0":
            bad = max(bad, 1)
        elif not cases:
            good = 1
        passed, failed, total = passed + good, failed + bad, total + int(seconds)
        print("%-14s %8s %8d %8d %8d" % (stage, seconds, good, bad, skipped))
    print("%-14s %8d %8d %8d" % ("together", total, passed, failed))
    return passed, failed


def main(arguments):
    if len(arguments) == 4 and arguments[0] == "collect":
        return collect(*arguments[1:])
    if len(arguments) == 2 and arguments[0] == "failed":
        return failed(arguments[1])
    if len(arguments) == 3 and arguments[0] == "report":
        return report(arguments[1], arguments[2], os.environ.get("CI") == "true")
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
