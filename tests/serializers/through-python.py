#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads lines of a type, a tab and hexadecimal digits, each one value in the format that the
argument names. Writes the name of Python's library for it, and then what that makes of each value
and writes again. Ends with 77 if there is none, and says so."""

import os
import sys
from importlib import metadata


def open_json():
    import json

    def through(_, data):
        return json.dumps(json.loads(data), ensure_ascii=False).encode()

    return "its own json", through


def open_msgpack():
    import msgpack

    def through(_, data):
        return msgpack.packb(msgpack.unpackb(data, strict_map_key=False))

    return "msgpack " + metadata.version("msgpack"), through


def open_cbor():
    import cbor2

    return "cbor2 " + metadata.version("cbor2"), lambda _, data: cbor2.dumps(cbor2.loads(data))


def open_compact():
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.dont_write_bytecode = True
    import compact

    return "compact.py", lambda kind, data: compact.encode(compact.decode(kind, data))


def open_gvariant(swap=sys.byteorder == "big"):
    import gi
    from gi.repository import GLib

    def through(kind, data):
        kind = GLib.VariantType.new(kind)
        value = GLib.Variant.new_from_bytes(kind, GLib.Bytes.new(data), False)
        value = value.byteswap() if swap else value
        # Taken apart and made again: by way of its text.
        value = GLib.Variant.parse(kind, value.print_(True), None, None)
        value = value.byteswap() if swap else value
        return value.get_data_as_bytes().get_data() or b""

    return "PyGObject " + gi.__version__, through


OPEN = {"json": open_json, "msgpack": open_msgpack, "cbor": open_cbor, "compact": open_compact,
        "gvariant": open_gvariant, "raw": lambda: open_gvariant(False)}


def main():
    lines = sys.stdin.read().splitlines()
    try:
        name, through = OPEN[sys.argv[1]]()
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    print(name)
    for line in lines:
        kind, data = line.split("\t")
        print(through(kind, bytes.fromhex(data)).hex())


main()
