#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says which files of the repository the release archive lacks.

dist_complete.py SOURCE-DIR ARCHIVE
"""

import subprocess
import sys
import tarfile

# Only of use in a clone.
LEFT_OUT = (".gitignore", ".gitattributes", ".ci/", ".github/", ".git-blame-ignore-revs")


def main(source, archive):
    tracked = subprocess.run(
        ["git", "-C", source, "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout.split("\0")
    with tarfile.open(archive) as tar:
        packed = {member.name.partition("/")[2] for member in tar.getmembers()}
    lacking = [f for f in tracked if f and f not in packed and not f.startswith(LEFT_OUT)]
    for path in lacking:
        print("not in the archive (EXTRA_DIST in its folder's Makefile.inc?): " + path)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
