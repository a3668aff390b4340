#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The compact format a second time, from docs/formats/compact.md alone, against the serializer.

Where the two differ the document decides; this one is for reading, not for speed.

compact.py vectors FILE: encodes and decodes every vector of FILE, and refuses what it says.
compact.py lines: does the same with lines of TYPE COMPACT NORMAL, the last two in hex; NORMAL is
GVariant's normal form in this machine's byte order. Prints what it did; ends with 1 at the first
difference.
compact.py write FILE: prints FILE with the bytes that this encoder gives.
"""

import json
import struct
import sys

from gi.repository import GLib

CODES = ["b", "y", "n", "q", "i", "u", "x", "t", "d", "h", "s", "o", "g", "v", "as", "ay",
         "a{sv}", "av", "ai", "au", "ax", "at", "ad", "a{ss}"]
SPELLED = 32
LEVELS = 120
INTEGERS = {"n": 16, "q": 16, "i": 32, "u": 32, "h": 32, "x": 64, "t": 64}
SIGNED = "nix"
MAKE = {"b": GLib.Variant.new_boolean, "y": GLib.Variant.new_byte, "n": GLib.Variant.new_int16,
        "q": GLib.Variant.new_uint16, "i": GLib.Variant.new_int32, "u": GLib.Variant.new_uint32,
        "x": GLib.Variant.new_int64, "t": GLib.Variant.new_uint64, "h": GLib.Variant.new_handle,
        "s": GLib.Variant.new_string, "o": GLib.Variant.new_object_path,
        "g": GLib.Variant.new_signature}


class Refused(Exception):
    """The bytes are not the one encoding of a value."""


# --- types ---

def take_type(text, at=0):
    """Where the type that begins at `at` ends."""
    if at >= len(text):
        raise Refused("a type that is cut off")
    if text[at] in "am":
        return take_type(text, at + 1)
    if text[at] in "({":
        close = ")" if text[at] == "(" else "}"
        at += 1
        while at < len(text) and text[at] != close:
            at = take_type(text, at)
        if at == len(text):
            raise Refused("a type that does not end")
        return at + 1
    return at + 1


def members_of(text):
    members, at = [], 1
    while at < len(text) - 1:
        end = take_type(text, at)
        members.append(text[at:end])
        at = end
    return members


def nesting(text):
    if text[0] in "am":
        return 1 + nesting(text[1:])
    if text[0] in "({":
        return 1 + max([0] + [nesting(member) for member in members_of(text)])
    return 0


def is_bit(text):
    return text == "b" or text[0] == "m"


# --- numbers ---

def varint(number):
    size = next(n for n in range(1, 10) if n == 9 or number < 1 << 7 * n)
    if size == 9:
        return b"\xff" + number.to_bytes(8, "big")
    prefix = (0xFF << (9 - size) & 0xFF) << 8 * (size - 1)
    return (prefix | number).to_bytes(size, "big")


def zigzag(number):
    return 2 * number if number >= 0 else -2 * number - 1


def unzigzag(number):
    return number // 2 if number % 2 == 0 else -(number + 1) // 2


def as_varint(letter, number):
    if letter in SIGNED:
        return varint(zigzag(number))
    return varint(number & 0xFFFFFFFF if letter == "h" else number)


def form_of(letter, numbers):
    """The form of an array of integers."""
    if not numbers:
        return 0
    for form in (1, 2, 3, 4):
        bits = 8 << form - 1
        low, high = (-1 << bits - 1, 1 << bits - 1) if letter in SIGNED else (0, 1 << bits)
        if all(low <= number < high for number in numbers):
            alone = sum(len(as_varint(letter, number)) for number in numbers)
            return form if len(numbers) * (bits // 8) <= alone else 0
    raise ValueError(numbers)


def number_of(value):
    letter = value.get_type_string()
    number = value.unpack()
    return number & 0xFFFFFFFF if letter == "h" else number


# --- writing ---

def bitmap(bits):
    out = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        out[i // 8] |= bit << i % 8
    return bytes(out)


def children_of(value):
    return [value.get_child_value(i) for i in range(value.n_children())]


def encode_parts(parts):
    bits = [part.n_children() if part.get_type_string()[0] == "m" else part.get_boolean()
            for part in parts if is_bit(part.get_type_string())]
    out = bitmap(bits)
    for part in parts:
        kind = part.get_type_string()
        if kind[0] == "m":
            out += b"".join(encode(just) for just in children_of(part))
        elif kind != "b":
            out += encode(part)
    return out


def encode_integers(letter, numbers):
    form = form_of(letter, numbers)
    out = varint(8 * len(numbers) + form)
    if form == 0:
        return out + b"".join(as_varint(letter, number) for number in numbers)
    size = 1 << form - 1
    return out + b"".join(number.to_bytes(size, "little", signed=letter in SIGNED)
                          for number in numbers)


def encode(value):
    kind = value.get_type_string()
    if kind == "b":
        return bytes([value.get_boolean()])
    if kind == "y":
        return bytes([value.get_byte()])
    if kind in INTEGERS:
        return as_varint(kind, value.unpack())
    if kind == "d":
        bits = struct.unpack("=Q", value.get_data_as_bytes().get_data())[0]
        return bits.to_bytes(8, "little")
    if kind in ("s", "o", "g"):
        text = value.get_string().encode()
        return varint(len(text)) + text
    if kind == "v":
        inner = value.get_variant()
        signature = inner.get_type_string()
        if signature in CODES:
            return varint(CODES.index(signature)) + encode(inner)
        return varint(SPELLED + len(signature)) + signature.encode() + encode(inner)
    parts = children_of(value)
    if kind[0] == "m":
        return b"\1" + encode(parts[0]) if parts else b"\0"
    if kind == "()":
        return b"\0"
    if kind[0] == "a":
        if kind[1] in INTEGERS:
            return encode_integers(kind[1], [number_of(part) for part in parts])
        return varint(len(parts)) + encode_parts(parts)
    return encode_parts(parts)


# --- reading ---

class Decoder:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        if size > len(self.data) - self.at:
            raise Refused("more is announced than there is")
        self.at += size
        return self.data[self.at - size:self.at]

    def varint(self, bits=64):
        first = self.take(1)[0]
        size = next((n for n in range(1, 9) if not first & 1 << 8 - n), 9)
        rest = int.from_bytes(self.take(size - 1), "big")
        kept = first & (1 << max(8 - size, 0)) - 1
        number = kept << 8 * (size - 1) | rest
        if varint(number) != self.data[self.at - size:self.at]:
            raise Refused("longer than needed")
        if number >= 1 << bits:
            raise Refused("too large")
        return number

    def flag(self):
        byte = self.take(1)[0]
        if byte > 1:
            raise Refused("neither 0 nor 1")
        return byte

    def bits(self, count):
        data = self.take((count + 7) // 8)
        bits = [data[i // 8] >> i % 8 & 1 for i in range(8 * len(data))]
        if any(bits[count:]):
            raise Refused("a bit that means nothing")
        return bits[:count]

    def text(self, letter):
        data = self.take(self.varint())
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise Refused("no UTF-8") from error
        if "\0" in text or (letter == "o" and not GLib.Variant.is_object_path(text)) \
                or (letter == "g" and not GLib.Variant.is_signature(text)):
            raise Refused("no " + letter)
        return MAKE[letter](text)

    def integer(self, letter):
        number = self.varint(INTEGERS[letter])
        if letter in SIGNED:
            return unzigzag(number)
        return number - (1 << 32) if letter == "h" and number >> 31 else number

    def integers(self, letter):
        header = self.varint()
        count, form = divmod(header, 8)
        if form == 0:
            if count > len(self.data) - self.at:
                raise Refused("more elements than bytes")
            numbers = [self.integer(letter) for _ in range(count)]
        else:
            size = 1 << form - 1
            if form > 4 or 8 * size > INTEGERS[letter]:
                raise Refused("no such form")
            data = self.take(count * size)
            numbers = [int.from_bytes(data[i:i + size], "little", signed=letter in SIGNED)
                       for i in range(0, len(data), size)]
            if letter == "h":
                numbers = [n - (1 << 32) if n >> 31 else n for n in numbers]
        plain = [n & 0xFFFFFFFF for n in numbers] if letter == "h" else numbers
        if form_of(letter, plain) != form:
            raise Refused("another form is shorter")
        return [MAKE[letter](number) for number in numbers]

    def double(self):
        bits = int.from_bytes(self.take(8), "little")
        return GLib.Variant.new_from_bytes(GLib.VariantType.new("d"),
                                           GLib.Bytes.new(struct.pack("=Q", bits)), True)

    def parts(self, kinds, level):
        """Members or elements behind their bitmap."""
        bits = iter(self.bits(sum(map(is_bit, kinds))))
        out = []
        for kind in kinds:
            if kind == "b":
                out.append(MAKE["b"](bool(next(bits))))
            elif kind[0] == "m":
                just = self.value(kind[1:], level + 1) if next(bits) else None
                out.append(GLib.Variant.new_maybe(GLib.VariantType.new(kind[1:]), just))
            else:
                out.append(self.value(kind, level))
        return out

    def variant(self, level):
        code = self.varint()
        if code < SPELLED:
            if code >= len(CODES):
                raise Refused("no such code")
            signature = CODES[code]
        else:
            try:
                signature = self.take(code - SPELLED).decode("ascii")
            except UnicodeDecodeError as error:
                raise Refused("no type") from error
            if not GLib.VariantType.string_is_valid(signature) or "\0" in signature \
                    or any(letter in signature for letter in "*?r"):
                raise Refused("no type")
            if signature in CODES:
                raise Refused("it has a code")
        if level + 1 + nesting(signature) > LEVELS:
            raise Refused("too deep")
        return GLib.Variant.new_variant(self.value(signature, level + 1))

    def array(self, kind, level):
        element = kind[1:]
        if element in INTEGERS:
            parts = self.integers(element)
        else:
            count = self.varint()
            if count > (len(self.data) - self.at) * (8 if is_bit(element) else 1):
                raise Refused("more elements than bytes")
            parts = self.parts([element] * count, level + 1)
        return GLib.Variant.new_array(GLib.VariantType.new(element), parts)

    def value(self, kind, level=0):
        if kind == "b":
            return MAKE["b"](bool(self.flag()))
        if kind == "y":
            return MAKE["y"](self.take(1)[0])
        if kind in INTEGERS:
            return MAKE[kind](self.integer(kind))
        if kind == "d":
            return self.double()
        if kind in ("s", "o", "g"):
            return self.text(kind)
        if kind == "v":
            return self.variant(level)
        if kind[0] == "m":
            just = self.value(kind[1:], level + 1) if self.flag() else None
            return GLib.Variant.new_maybe(GLib.VariantType.new(kind[1:]), just)
        if kind == "()":
            if self.take(1) != b"\0":
                raise Refused("no 0 for an empty tuple")
            return GLib.Variant.new_tuple()
        if kind[0] == "a":
            return self.array(kind, level)
        parts = self.parts(members_of(kind), level + 1)
        if kind[0] == "{":
            return GLib.Variant.new_dict_entry(*parts)
        return GLib.Variant.new_tuple(*parts)


def decode(kind, data):
    if nesting(kind) > LEVELS:
        raise Refused("too deep")
    decoder = Decoder(data)
    value = decoder.value(kind)
    if decoder.at != len(data):
        raise Refused("more than one value")
    return value


# --- comparing ---

def check(kind, value, data):
    """Both directions; a double that is no number equals itself bit by bit."""
    written = encode(value)
    if written != data:
        sys.exit(f"{kind} {value.print_(True)}: {written.hex()} here, {data.hex()} there")
    read = decode(kind, data)
    if read.get_data_as_bytes().get_data() != value.get_normal_form().get_data_as_bytes().get_data():
        sys.exit(f"{kind} {data.hex()}: {read.print_(True)} here, {value.print_(True)} there")


def parse(vector):
    return GLib.Variant.parse(GLib.VariantType.new(vector["type"]), vector["value"], None, None)


def check_vectors(path):
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    for vector in content["vectors"]:
        check(vector["type"], parse(vector), bytes.fromhex(vector["bytes"]))
    for vector in content["refused"]:
        try:
            value = decode(vector["type"], bytes.fromhex(vector["bytes"]))
        except Refused:
            continue
        sys.exit(f"{vector['type']} {vector['bytes']} was taken for {value.print_(True)}")
    print(len(content["vectors"]), len(content["refused"]))


def check_lines():
    count = 0
    for line in sys.stdin:
        kind, data, normal = line.rstrip("\n").split(" ")
        # Trusted: it comes from the serializer's own side, and GLib asks for alignment otherwise.
        value = GLib.Variant.new_from_bytes(GLib.VariantType.new(kind),
                                            GLib.Bytes.new(bytes.fromhex(normal)), True)
        check(kind, value, bytes.fromhex(data))
        count += 1
    print(count)


def write_vectors(path):
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    for vector in content["vectors"]:
        vector["bytes"] = encode(parse(vector)).hex()
    print("{")
    for name in ("vectors", "refused"):
        rows = ",\n".join("    " + json.dumps(vector) for vector in content[name])
        print(f'  "{name}": [\n{rows}\n  ]' + ("," if name == "vectors" else ""))
    print("}")


def main(arguments):
    if arguments[:1] == ["vectors"]:
        check_vectors(arguments[1])
    elif arguments[:1] == ["lines"]:
        check_lines()
    elif arguments[:1] == ["write"]:
        write_vectors(arguments[1])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
