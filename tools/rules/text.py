# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every text file owes its reader."""

import re

LICENCE = "SPDX-License-Identifier: LGPL-2.1-or-later"
CODE = (
    ".c", ".h", ".h.in", ".am", ".inc", ".ac", ".m4", ".sh", ".py", ".cc", ".rs", ".proto", ".toml"
)
HOSTS = re.compile(
    r"^(localhost|127\.|\[|%|\$|([\w-]+\.)*(example\.(org|com|net)|gnu\.org|gtk\.org|gnome\.org|debian\.org"
    r"|freedesktop\.org|kernel\.org|ietf\.org|rfc-editor\.org|w3\.org|spiffe\.io|sqlite\.org"
    r"|gnutls\.org|llvm\.org|man7\.org|openpolicyagent\.org|wikipedia\.org|doi\.org|github\.com|testanything\.org))"
)


def scripts(tree):
    for path in tree.text_files():
        if path.endswith(CODE) or tree.text(path).startswith("#!"):
            yield path


def spdx(tree):
    """the licence stands in the first line, or behind the interpreter's"""
    for path in scripts(tree):
        lines = tree.text(path).split("\n")
        at = 1 if lines[0].startswith("#!") else 0
        if len(lines) <= at or LICENCE not in lines[at]:
            yield path, at + 1, "no " + LICENCE


def white_space(tree):
    """no trailing blanks, no tab in C and Python, one newline at the end"""
    for path in tree.text_files():
        if path == "COPYING" or path.endswith((".patch", ".diff")) or not tree.text(path):
            continue
        text = tree.text(path)
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield path, number, "trailing blank"
            elif "\t" in line and path.endswith((".c", ".h", ".py", ".md", ".sh", ".cc", ".rs")):
                yield path, number, "tab"
        if not text.endswith("\n") or text.endswith("\n\n"):
            yield path, text.count("\n"), "does not end with one newline"


def machine_paths(tree):
    """nothing of one person's machine: home and work folders, hosts that others do not have"""
    folder = re.compile(r"(?<![\w.*)}>$-])/(work|home|farm|Users)/\w|(?<![\w.*)}>$-])/tmp/bash_")
    address = re.compile(r"https?://([^\s/\"'<>)`]+)")
    private = re.compile(r"\b[\w-]+\.(internal|intranet|corp)\b")
    for path in tree.text_files():
        if path == "COPYING" or path.startswith("tools/rules/"):
            continue
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            for found in folder.finditer(line):
                yield path, number, "path of one machine: " + found.group()
            for found in address.finditer(line):
                if not HOSTS.match(found.group(1)) and not re.match(r"tests/.*\.c$", path):
                    yield path, number, "host that is not on the list: " + found.group(1)
            for found in private.finditer(line):
                if not path.endswith((".c", ".h")):
                    yield path, number, "private host: " + found.group()


def unfinished(tree):
    """nothing half done is left behind"""
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bnot implemented\b", re.I)
    case = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|[Nn]ot implemented\b")
    for path in tree.text_files():
        if path == "COPYING" or path.startswith("tools/"):
            continue
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            if words.search(line) and case.search(line):
                yield path, number, "unfinished: " + case.search(line).group()


RULES = {
    "spdx": spdx,
    "white-space": white_space,
    "machine-paths": machine_paths,
    "unfinished": unfinished,
}
