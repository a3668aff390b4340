# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules that ask other programs: compilers, clang-format, codespell, shellcheck."""

import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

NEEDS = {
    "headers": ("gcc", "g++", "pkg-config"),
    "format": ("clang-format-14",),
    "spelling": ("codespell",),
    "scripts": ("shellcheck",),
}
# Words of the trade that a spelling list takes for mistakes, and mistakes that tests make on purpose.
KNOWN_WORDS = "gir,ot,selecton,te,nd,fo,ba,ser,inout,unx,ans,fpr,mis"


def why_not(name):
    lacking = [tool for tool in NEEDS.get(name, ()) if not shutil.which(tool)]
    return "needs %s" % ", ".join(lacking) if lacking else None


def compile_alone(tree, flags, path, compiler):
    language = "c++" if compiler == "g++" else "c"
    standard = "-std=c++14" if compiler == "g++" else "-std=gnu11"
    run = subprocess.run(
        [compiler, standard, "-fsyntax-only", "-Wall", "-Werror", *flags, "-x", language, "-"],
        input='#include "%s"\n' % os.path.basename(path),
        capture_output=True,
        text=True,
        cwd=os.path.dirname(tree.full(path)),
    )
    if run.returncode != 0:
        first = next((x for x in run.stderr.split("\n") if "error" in x), "failed")
        return path, 1, "does not compile alone with %s: %s" % (compiler, first.strip())
    return None


def headers(tree):
    """each header compiles alone: public ones as C and as C++, the others as C"""
    modules = ["glib-2.0", "gobject-2.0", "gio-2.0", "gio-unix-2.0"]
    for extra in ("gnutls", "sqlite3", "json-glib-1.0", "libsoup-3.0"):
        if subprocess.run(["pkg-config", "--exists", extra], check=False).returncode == 0:
            modules.append(extra)
    flags = subprocess.run(
        ["pkg-config", "--cflags", *modules], capture_output=True, text=True, check=True
    ).stdout.split()
    flags = [flag.replace("-I", "-isystem", 1) if flag.startswith("-I") else flag for flag in flags]
    with tempfile.TemporaryDirectory() as made:
        # The one header that configure makes.
        source = "include/commy/commy-version.h.in"
        if source in tree.paths:
            os.makedirs(made + "/commy")
            with open(made + "/commy/commy-version.h", "w", encoding="utf-8") as stream:
                stream.write(tree.text(source).replace("@PACKAGE_VERSION@", "0"))
        places = ["-I" + tree.full(p) for p in ("include", "core", "")] + ["-I" + made, "-I."]
        jobs = []
        for path in tree.c_files():
            if path.endswith(".h"):
                jobs.append((path, "gcc"))
                if path.startswith("include/"):
                    jobs.append((path, "g++"))
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            answers = pool.map(lambda job: compile_alone(tree, places + flags, *job), jobs)
            yield from [answer for answer in answers if answer]


def clang_format(tree):
    """clang-format 14 changes nothing"""
    style = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".clang-format")
    for start in range(0, len(tree.c_files()), 40):
        run = subprocess.run(
            ["clang-format-14", "--style=file:" + style, "--dry-run"]
            + [tree.full(path) for path in tree.c_files()[start : start + 40]],
            capture_output=True,
            text=True,
            check=False,
        )
        seen = set()
        for found in re.finditer(r"^(\S+?):(\d+):\d+: (?:warning|error)", run.stderr, re.M):
            path = os.path.relpath(found.group(1), tree.root)
            if path not in seen:
                seen.add(path)
                yield path, int(found.group(2)), "not as clang-format says (make format)"


def spelling(tree):
    """codespell knows no better"""
    paths = [p for p in tree.text_files() if p != "COPYING" and not p.startswith("po/")]
    run = subprocess.run(
        ["codespell", "-L", KNOWN_WORDS, *paths],
        capture_output=True,
        text=True,
        cwd=tree.root,
        check=False,
    )
    for found in re.finditer(r"^(?:\./)?([^:\n]+):(\d+): (.*)$", run.stdout, re.M):
        yield found.group(1), int(found.group(2)), found.group(3)


def shell(tree):
    """shellcheck has nothing to say about the scripts"""
    for path in tree.text_files():
        if path.endswith(".sh") or re.match(r"#!\s*\S*/(env )?(ba|da)?sh\b", tree.text(path)):
            run = subprocess.run(
                ["shellcheck", "-f", "gcc", tree.full(path)],
                capture_output=True,
                text=True,
                check=False,
            )
            for found in re.finditer(r"^[^:]+:(\d+):\d+: (.*)$", run.stdout, re.M):
                yield path, int(found.group(1)), found.group(2)


RULES = {"headers": headers, "format": clang_format, "spelling": spelling, "scripts": shell}
