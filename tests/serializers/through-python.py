#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads lines of hexadecimal digits, each one value in the format that the argument names; writes
what Python's library for it makes of the value and writes again."""

import sys


def through_msgpack(data):
    import msgpack

    return msgpack.packb(msgpack.unpackb(data, strict_map_key=False))


def through_cbor(data):
    import cbor2

    return cbor2.dumps(cbor2.loads(data))


THROUGH = {"msgpack": through_msgpack, "cbor": through_cbor}

for line in sys.stdin:
    print(THROUGH[sys.argv[1]](bytes.fromhex(line)).hex())
