#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rules of the house.

Each rule is first shown its sample (tools/tests/RULE.sample): what is marked bad must be found, what
is marked good must not. Only then is it believed about the tree.

lint.py [--rule NAME]... [--cases FILE] [--list-sources] [--list-rules]
"""

import argparse
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from rules import attacks, code, external, layers, text, whole  # noqa: E402
from rules.tree import Tree, read_sample  # noqa: E402

RULES = {}
for module in (layers, code, text, whole, attacks, external):
    RULES.update(module.RULES)


def check_sample(name, rule):
    """What the rule got wrong about its own sample."""
    path = os.path.join(HERE, "tests", name + ".sample")
    if not os.path.exists(path):
        return ["the rule has no sample tools/tests/%s.sample" % name]
    files, bad = read_sample(path)
    with tempfile.TemporaryDirectory() as folder:
        for relative, content in files.items():
            where = os.path.join(folder, relative)
            os.makedirs(os.path.dirname(where), exist_ok=True)
            with open(where, "w", encoding="utf-8") as stream:
                stream.write(content)
        found = {finding[0] for finding in rule(Tree(folder, sorted(files)))}
    wrong = ["does not catch %s of its sample" % path for path in sorted(bad - found)]
    wrong += ["wrongly complains about %s of its sample" % p for p in sorted(found - bad)]
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rule", action="append", choices=sorted(RULES), help="only this rule")
    parser.add_argument("--cases", help="write one line a case for tools/results.py")
    parser.add_argument("--list-sources", action="store_true", help="what clang-format looks after")
    parser.add_argument("--list-rules", action="store_true")
    options = parser.parse_args()
    tree = Tree.of_project(os.path.dirname(HERE))
    if options.list_sources:
        print("\n".join(tree.c_files()))
        return 0
    if options.list_rules:
        for name, rule in RULES.items():
            print("%-14s %s" % (name, rule.__doc__.split("\n", maxsplit=1)[0]))
        return 0
    cases = []
    for name in options.rule or RULES:
        rule = RULES[name]
        skip = external.why_not(name)
        if skip:
            print("SKIP %-14s %s" % (name, skip))
            cases.append(("SKIP", "/lint/" + name, skip))
            continue
        wrong = check_sample(name, rule)
        findings = list(rule(tree))
        for line in wrong:
            print("tools/tests/%s.sample: %s: %s" % (name, name, line))
        for path, line, message in findings:
            print("%s:%d: %s: %s" % (path, line, name, message))
        print("%s %-14s" % ("FAIL" if findings or wrong else "ok  ", name))
        cases.append(("FAIL" if wrong else "PASS", "/lint/%s/catches-its-sample" % name, ""))
        cases.append(("FAIL" if findings else "PASS", "/lint/%s/tree" % name, ""))
    if options.cases:
        with open(options.cases, "w", encoding="utf-8") as stream:
            for result, name, reason in cases:
                stream.write("lint\t%s\ttools/lint.py\t%s\t%s\n" % (result, name, reason))
    return 1 if any(case[0] == "FAIL" for case in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
