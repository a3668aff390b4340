# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tree as a whole: folders, fragments, and documents that must stay true."""

import re

from rules.tree import PLUGIN_FOLDERS

ELSEWHERE = ("include", "m4", ".ci", ".github")


def folders(tree):
    """each folder at the top has a README.md and a line in README.md or docs/ARCHITECTURE.md"""
    told = "".join(
        tree.text(p) for p in ("README.md", "docs/ARCHITECTURE.md") if p in tree.paths
    )
    for top in sorted({p.split("/")[0] for p in tree.paths if "/" in p}):
        first = next(p for p in tree.paths if p.startswith(top + "/"))
        if top not in ELSEWHERE + ("docs",) and top + "/README.md" not in tree.paths:
            yield first, 1, "%s/ has no README.md" % top
        if not top.startswith(".") and not re.search(r"(^|[^\w-])%s/" % top, told):
            yield first, 1, "neither README.md nor docs/ARCHITECTURE.md tells of %s/" % top


def plugin_shape(tree):
    """one folder a plugin: README.md, Makefile.inc, commy-KIND-ID.c"""
    ids = {}
    for path in tree.paths:
        parts = path.split("/")
        if len(parts) > 2 and parts[0] in PLUGIN_FOLDERS:
            ids.setdefault((parts[0], parts[1]), path)
    for (top, plugin_id), first in sorted(ids.items()):
        needed = ["README.md", "Makefile.inc"]
        if plugin_id != "common":
            needed.append("commy-%s-%s.c" % (PLUGIN_FOLDERS[top], plugin_id))
        for name in needed:
            if "%s/%s/%s" % (top, plugin_id, name) not in tree.paths:
                yield first, 1, "%s/%s has no %s" % (top, plugin_id, name)


def fragments(tree):
    """every C file is named in a make fragment, so that it is built and released"""
    told = "\n".join(tree.text(p) for p in tree.paths if p.endswith((".am", ".inc")))
    words = set(re.findall(r"[\w./+-]+", told))
    for path in tree.c_files():
        if path not in words and "$(top_srcdir)/" + path not in words:
            yield path, 1, "no Makefile.inc names this file"


def documents(tree):
    """file names in the documents exist"""
    name = re.compile(r"`((?:[\w.-]+/)+[\w.-]*[\w](?:\.\w+)?/?)`|\]\(((?!https?:)[^)#\s]+)[^)]*\)")
    known = set(tree.paths)
    known |= {p.rsplit("/", n)[0] for p in tree.paths for n in range(1, p.count("/") + 1)}
    known.add("tools/tests")  # the tree leaves the samples out
    tops = {p.split("/")[0] for p in tree.paths}
    made = re.compile(r"^_build|\.la$|(^|/)[A-Z]+(/|$)|/NAME\b")  # what is built, and NAMEs to fill in
    for path in tree.paths:
        if not path.endswith(".md"):
            continue
        folder = path.rpartition("/")[0]
        for number, line in enumerate(tree.text(path).split("\n"), 1):
            for found in name.finditer(line):
                told = (found.group(1) or found.group(2)).rstrip("/")
                beside = ("%s/%s" % (folder, told)).lstrip("/")
                while re.search(r"(^|/)(?!\.\./)[^/]+/\.\./", beside):
                    beside = re.sub(r"(^|/)(?!\.\./)[^/]+/\.\./", r"\1", beside, count=1)
                if found.group(1) and (made.search(told) or told.split("/")[0] not in tops):
                    continue
                # A page of the API is made from the text of the same name.
                if not {told, beside, told + ".c", re.sub(r"\.html$", ".md", beside)} & known:
                    yield path, number, "there is no %s" % told


RULES = {
    "folders": folders,
    "plugin-shape": plugin_shape,
    "fragments": fragments,
    "documents": documents,
}
