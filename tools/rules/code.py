# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the C looks: banners, sizes, state."""

import re

from rules.tree import PLUGIN_FOLDERS, line_of

FILE_LINES = 900
TEST_LINES = 1200
FUNCTION_LINES = 100
BANNER_LINES = 14
ALLOW_STATIC = re.compile(r"/\* lint: allow-static \S+")


def banner(tree):
    """a C file says behind its SPDX line what it is responsible for"""
    for path in tree.c_files():
        found = re.match(r"[^\n]*\n/\*(?!\*)(.*?)\*/", tree.text(path), re.S)
        words = re.findall(r"\w+", found.group(1)) if found else []
        if len(words) < 3:
            yield path, 2, "no banner: what is this file responsible for?"
        elif found.group(1).count("\n") > BANNER_LINES:
            yield path, 2, "the banner has more than %d lines" % BANNER_LINES


def no_goto(tree):
    """no goto"""
    for path in tree.c_files():
        bare = tree.bare(path)
        for found in re.finditer(r"\bgoto\b", bare):
            yield path, line_of(bare, found.start()), "goto"


def without_macros(bare):
    return re.sub(
        r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
        lambda m: re.sub(r"[^\n]", " ", m.group()),
        bare,
        flags=re.M,
    )


def is_constant(declaration):
    """Whether the variable itself, not only what it points to, is constant."""
    return "const" in declaration.rsplit("*", maxsplit=1)[-1].split()


def statics_of(bare):
    """(offset, declaration, name) of variables with static storage."""
    pattern = r"\bstatic\b([^;{}()=]*?)\b(\w+)\s*((?:\[[^\]]*\]\s*)*)[;=]"
    for found in re.finditer(pattern, bare):
        yield found.start(), found.group(1), found.group(2)
    for found in re.finditer(r"\bstatic\b[^;{}()=]*\(\s*\*([^;{}()=]*?)(\w+)[\[\]\w\s]*\)\s*\([^;{}=]*[;=]", bare):
        yield found.start(), "*" + found.group(1), found.group(2)
    depth_0 = re.sub(r"\{[^{}]*\}", lambda m: re.sub(r"[^\n]", " ", m.group()), bare)
    while re.search(r"\{[^{}]*\}", depth_0):
        depth_0 = re.sub(r"\{[^{}]*\}", lambda m: re.sub(r"[^\n]", " ", m.group()), depth_0)
    begin = r"^(?!typedef|extern|static|struct\s+\w+\s*;|union|enum|return|G_|COMMY_)"
    for found in re.finditer(
        begin + r"([A-Za-z_][\w \t*]*[ \t*])(\w+)[ \t]*(?:\[[^\]]*\][ \t]*)*(?:;|=[^=])", depth_0, re.M
    ):
        yield found.start(), found.group(1), found.group(2)


def no_statics(tree):
    """core and plugins keep no mutable variable of their own: state hangs off a mesh or an instance"""
    for path in tree.c_files():
        if path.split("/")[0] not in ("core",) + tuple(PLUGIN_FOLDERS):
            continue
        lines = tree.text(path).split("\n")
        bare = without_macros(tree.bare(path))
        for offset, declaration, name in statics_of(bare):
            line = line_of(bare, offset)
            once = re.search(r"g_once_init_enter(_pointer)?\s*\(\s*&%s\b" % re.escape(name), bare)
            allowed = any(ALLOW_STATIC.search(lines[i]) for i in (line - 2, line - 1) if i >= 0)
            if not is_constant(declaration + " ") and not once and not allowed:
                yield path, line, 'mutable variable "%s"' % name


def size(tree):
    """files and functions fit a reader: 900 lines (tests 1200), 100 lines"""
    for path in tree.c_files():
        lines = tree.bare(path).split("\n")
        limit = TEST_LINES if path.startswith("tests/") else FILE_LINES
        if len(lines) - 1 > limit:
            yield path, limit, "%d lines, more than %d" % (len(lines) - 1, limit)
        begin = None
        for number, line in enumerate(lines, 1):
            if line.startswith("{"):
                begin = number
            elif line.rstrip() == "}" and begin:
                if number - begin > FUNCTION_LINES:
                    yield path, begin, "function of %d lines, more than %d" % (
                        number - begin - 1,
                        FUNCTION_LINES,
                    )
                begin = None


def public_docs(tree):
    """each public function and callback has a documentation block that tells every parameter"""
    function = re.compile(r"^COMMY_API\s+(?!G_DECLARE)([^;{}]*?)\b(commy_\w+)\s*\(([^;]*?)\)\s*;", re.M)
    callback = re.compile(r"^typedef\s+([^;{}()]*?)\(\*\s*(Commy\w+)\)\s*\(([^;]*?)\)\s*;", re.M)
    for path in tree.c_files():
        if not path.startswith("include/commy/"):
            continue
        code, text = tree.code(path), tree.text(path)
        for found in list(function.finditer(code)) + list(callback.finditer(code)):
            name, line = found.group(2), line_of(code, found.start())
            if name.endswith("_get_type"):
                continue
            block = re.search(r"/\*\*\n \* %s:(?:[^*]|\*(?!/))*\*/" % name, text)
            if not block:
                yield path, line, "%s has no documentation block" % name
                continue
            for parameter in found.group(3).split(","):
                word = re.search(r"(\w+)\s*(\[[^\]]*\])?\s*$", parameter.strip())
                if word and word.group(1) not in ("void",) and "@%s:" % word.group(1) not in block.group():
                    yield path, line, "%s: parameter %s is not documented" % (name, word.group(1))
            if not re.match(r"(COMMY_API\s+)?void\s*$", found.group(1).strip()) and (
                "Returns:" not in block.group()
            ):
                yield path, line, "%s: what it returns is not documented" % name


RULES = {
    "banner": banner,
    "no-goto": no_goto,
    "no-statics": no_statics,
    "size": size,
    "public-docs": public_docs,
}
