# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table of attacks in SECURITY.md, which is made from the tests so that it cannot drift.

Beside a test stands a comment, in C or behind "#":

    /* attack: what is tried; defence: what stands against it */
    g_test_add_func ("/the/name/of-the-test", test_it);

The name is that of the next string. Where a program puts names together, "; test: /the/name" says
the whole of it, and the next string must be a part of that; "; program: tests/x/test-y" says whose
test it is, where that is not the file itself. The program must be there and run ("TESTS +=" of a
Makefile.inc), and a script must have a test of that name.
"""

import re

PLACE = "SECURITY.md"
BEGIN = "<!-- The table is made from the tests: make update-security -->"
END = "<!-- The end of it -->"
COMMENT = re.compile(r"/\*\s*attack: .*?\*/|(?:^[ \t]*# attack: [^\n]*\n)(?:^[ \t]*# [^\n]*\n)*", re.S | re.M)
STRING = re.compile(r'"((?:\\.|[^"\\\n])*)"')
REACH = 400  # characters behind a comment in which its test has to come


def fields(comment):
    """What a comment says, by the words before the colons."""
    text = re.sub(r"^\s*(/\*|\*/|\*|#)|\*/\s*$", " ", comment, flags=re.M)
    parts = re.split(r"(?:^|; )(attack|defence|test|program): ", re.sub(r"\s+", " ", text).strip())
    return {key: value.strip() for key, value in zip(parts[1::2], parts[2::2])}


def programs(tree):
    """What is run: the words of TESTS in all fragments, and of the lists it is made of."""
    run = set()
    for path in tree.paths:
        if not path.endswith("Makefile.inc"):
            continue
        text = tree.text(path).replace("\\\n", " ")
        lists = {}
        for name, words in re.findall(r"^(\w+) *\+?= *(.*)$", text, re.M):
            lists.setdefault(name, []).extend(words.split())
        for word in lists.get("TESTS", []):
            run.update(lists.get(word[2:-1], []) if word.startswith("$(") else [word])
    return run


def why_not_run(tree, run, program, name):
    """What is wrong with a program and its test, or None."""
    source = program if program.endswith((".sh", ".py")) else program + ".c"
    if source not in tree.paths:
        return "there is no program %s" % program
    if program not in run:
        return "%s is not run: it is in TESTS of no Makefile.inc" % program
    if program.endswith(".sh"):
        names = re.findall(r"^\s*ok [\"']?([^\s\"']+)", tree.text(program), re.M)
        if not any(name.endswith("/" + n.lstrip("/")) for n in names):
            return "%s has no test %s" % (program, name)
    return None


def read(tree, path, run):
    """(line, row or None, what is wrong or None) of each comment in a file."""
    text = tree.text(path)
    for found in COMMENT.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        said = fields(found.group())
        string = STRING.search(text, found.end(), found.end() + REACH)
        literal = string.group(1) if string else ""
        name = said.get("test", literal)
        program = said.get("program", path.rpartition(".")[0])
        if not said.get("attack") or not said.get("defence"):
            yield line, None, "the comment lacks \"attack: \" or \"; defence: \""
        elif not name.startswith("/"):
            yield line, None, "no name of a test follows; \"; test: /the/name\" says it"
        elif not literal.partition("{")[0] or literal.partition("{")[0] not in name:
            yield line, None, "the next string, \"%s\", is no part of %s" % (literal, name)
        elif "|" in said["attack"] + said["defence"]:
            yield line, None, "a table cannot have \"|\" in it"
        else:
            row = (said["attack"], said["defence"], program, name)
            yield line, row, why_not_run(tree, run, program, name)


def sources(tree):
    return [p for p in tree.paths if p.startswith("tests/") and p.endswith((".c", ".py", ".sh"))]


def make_table(tree):
    rows = ["| attack | defence | test |", "|---|---|---|"]
    run = programs(tree)
    for path in sources(tree):
        for _line, row, _wrong in read(tree, path, run):
            if row:
                rows.append("| %s | %s | `%s`: `%s` |" % row)
    return "\n".join([BEGIN, *rows, END]) + "\n"


def replace_table(text, table):
    """The document with its table replaced; None if it has no place for one."""
    start, end = text.find(BEGIN), text.find(END)
    if start < 0 or end < start:
        return None
    return text[:start] + table + text[end + len(END) :].lstrip("\n")


def attacks(tree):
    """the table of attacks in SECURITY.md is what the tests say (make update-security)"""
    run = programs(tree)
    for path in sources(tree):
        for line, _row, wrong in read(tree, path, run):
            if wrong:
                yield path, line, wrong
    if PLACE not in tree.paths:
        return
    text = tree.text(PLACE)
    if replace_table(text, make_table(tree)) != text:
        yield PLACE, 1, "its table is not what the tests say: make update-security"


RULES = {"attacks": attacks}
