#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the table of attacks into SECURITY.md, from the comments beside the tests."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from rules import attacks  # noqa: E402
from rules.tree import Tree  # noqa: E402


def main():
    tree = Tree.of_project(os.path.dirname(HERE))
    text = attacks.replace_table(tree.text(attacks.PLACE), attacks.make_table(tree))
    if text is None:
        sys.exit("attacks: %s has no place for the table" % attacks.PLACE)
    with open(tree.full(attacks.PLACE), "w", encoding="utf-8") as stream:
        stream.write(text)


if __name__ == "__main__":
    main()
