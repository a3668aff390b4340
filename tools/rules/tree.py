# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a rule looks at: the files of a source tree, with C comments and strings told apart."""

import os
import re
import subprocess
import sys

PLUGIN_FOLDERS = {
    "plugins": "transport",
    "serializers": "serializer",
    "auth": "auth",
    "balancers": "balancer",
    "stores": "store",
    "policies": "policy",
}
MADE = re.compile(r"(^|/)(_build|_inst|build-aux|autom4te\.cache|\.libs|\.deps|__pycache__|modules)(/|$)")
# Plugins and headers that stay as they were when their ABI was new, whatever the rules become.
KEPT = re.compile(r"^tests/api/abi-\d+/.*\.[ch]$")
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(found):
    """As many lines and columns, nothing to read."""
    return re.sub(r"[^\n]", " ", found)


def ask_git(root):
    command = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit("lint: this is a clone, and git is not installed: ./bootstrap deps check")
    if answer.returncode != 0:
        sys.exit("lint: git cannot list the files: " + answer.stderr.strip())
    return answer.stdout


class Tree:
    def __init__(self, root, paths):
        self.root = root
        self.paths = paths
        self._texts = {}

    @classmethod
    def of_project(cls, root):
        """The files under version control; without git, as from a release archive, all that are not made."""
        if os.path.exists(os.path.join(root, ".git")):
            listed = ask_git(root).split("\0")
        else:
            listed = [
                os.path.relpath(os.path.join(folder, file), root)
                for folder, _folders, files in os.walk(root)
                for file in files
            ]
            made = ("configure", "aclocal.m4", "Makefile.in", "config.h.in", "commy-version.h")
            listed = [p for p in listed if os.path.basename(p) not in made]
            listed = [p for p in listed if not re.match(r"m4/(?!commy-)|config\.|libtool$", p)]
        keep = [p for p in sorted(set(listed)) if p and not MADE.search(p) and not KEPT.search(p)]
        keep = [p for p in keep if os.path.isfile(os.path.join(root, p))]
        return cls(root, [p for p in keep if not p.startswith("tools/tests/")])

    def full(self, path):
        return os.path.join(self.root, path)

    def bytes(self, path):
        with open(self.full(path), "rb") as stream:
            return stream.read()

    def text(self, path):
        if path not in self._texts:
            self._texts[path] = self.bytes(path).decode("utf-8", errors="replace")
        return self._texts[path]

    def c_files(self):
        return [p for p in self.paths if p.endswith((".c", ".h", ".cc"))]

    def text_files(self):
        return [p for p in self.paths if "/corpus/" not in p and b"\0" not in self.bytes(p)[:4096]]

    def code(self, path):
        """The text without comments, of the same shape."""
        return TOKEN.sub(
            lambda m: m.group() if m.group()[0] in "\"'" else blank(m.group()), self.text(path)
        )

    def bare(self, path):
        """The text without comments and without what strings say, of the same shape."""
        return TOKEN.sub(
            lambda m: '"' + blank(m.group()[1:-1]) + '"'
            if m.group()[0] in "\"'"
            else blank(m.group()),
            self.text(path),
        )

    def strings(self, path):
        """(line, content) of each string literal."""
        text = self.text(path)
        for found in TOKEN.finditer(text):
            if found.group()[0] == '"':
                yield line_of(text, found.start()), found.group()[1:-1]

    def plugin_ids(self):
        """id -> kind, from the names of the folders."""
        ids = {}
        for path in self.paths:
            parts = path.split("/")
            if len(parts) > 2 and parts[0] in PLUGIN_FOLDERS and parts[1] != "common":
                ids[parts[1]] = PLUGIN_FOLDERS[parts[0]]
        return ids


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def read_sample(path):
    """A sample: '--- bad PATH' or '--- good PATH', then the file's text; up to the next mark."""
    files, bad, current = {}, set(), None
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            mark = re.match(r"^--- (bad|good) (\S+)$", line)
            if mark:
                current = mark.group(2)
                files[current] = ""
                if mark.group(1) == "bad":
                    bad.add(current)
            elif current:
                files[current] += line
    return files, bad
