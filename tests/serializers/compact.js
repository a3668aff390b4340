// SPDX-License-Identifier: LGPL-2.1-or-later
// The compact format a third time, from docs/formats/compact.md alone, for the tests. It is for
// reading, not for speed. A value of JavaScript is: for integers a BigInt; for `d` a number, of a
// NaN its bits as a BigInt; for a maybe null or { just }; for a variant { type, value }; for
// arrays, tuples and entries an array. compact.js FILE: carries every vector of FILE, refuses what
// it says, and prints how many.

"use strict";

const { readFileSync } = require("node:fs");

const CODES = ["b", "y", "n", "q", "i", "u", "x", "t", "d", "h", "s", "o", "g", "v", "as", "ay",
               "a{sv}", "av", "ai", "au", "ax", "at", "ad", "a{ss}"];
const SPELLED = 32n;
const LEVELS = 120;
const BITS = { n: 16n, q: 16n, i: 32n, u: 32n, h: 32n, x: 64n, t: 64n };
const SIGNED = "nix";
const BASIC = "bynqiuxthdsog";

// The bytes are not the one encoding of a value.
class Refused extends Error {}

function refuse(why) {
  throw new Refused(why);
}

// --- types: the letter that begins it, what is inside, how deep it is ---

function takeType(text, at) {
  const kind = text[at];
  const type = { kind, of: [], levels: 0 };
  let end = at + 1;

  if (kind === "a" || kind === "m") {
    type.of.push(takeType(text, end));
    end = type.of[0].end;
  } else if (kind === "(" || kind === "{") {
    const close = kind === "(" ? ")" : "}";
    while (text[end] !== close) {
      type.of.push(takeType(text, end));
      end = type.of[type.of.length - 1].end;
    }
    end++;
    if (kind === "{" && (type.of.length !== 2 || !BASIC.includes(type.of[0].kind)))
      refuse("no entry");
  } else if (kind === undefined || !(BASIC + "v").includes(kind)) {
    refuse("no type");
  }
  if ("am({".includes(kind)) type.levels = 1 + Math.max(0, ...type.of.map((inner) => inner.levels));
  if (type.levels > LEVELS) refuse("too deep");
  return Object.assign(type, { end, text: text.slice(at, end) });
}

function parseType(text) {
  const type = takeType(text, 0);
  return type.end === text.length ? type : refuse("more than one type");
}

function isSignature(text) {
  try {
    for (let at = 0; at < text.length; ) at = takeType(text, at).end;
  } catch (error) {
    return false;
  }
  return true;
}

function isBit(type) {
  return type.kind === "b" || type.kind === "m";
}

// --- numbers ---

function bytesOf(number, size) {
  const bytes = Buffer.alloc(size);
  for (let i = size - 1; i >= 0; i--, number >>= 8n) bytes[i] = Number(number & 0xffn);
  return bytes;
}

function numberOf(bytes) {
  return bytes.reduce((number, byte) => number << 8n | BigInt(byte), 0n);
}

function varint(number) {
  let size = 1;
  while (size < 9 && number >> BigInt(7 * size) !== 0n) size++;
  const ones = BigInt(0xff << (9 - size) & 0xff);
  return bytesOf(size === 9 ? 0xffn << 64n | number : ones << BigInt(8 * (size - 1)) | number, size);
}

// What of an integer goes into the bytes.
function plain(kind, number) {
  if (SIGNED.includes(kind)) return number >= 0n ? 2n * number : -2n * number - 1n;
  return BigInt.asUintN(64, kind === "h" ? BigInt.asUintN(32, number) : number);
}

function unplain(kind, number) {
  if (SIGNED.includes(kind)) return number & 1n ? -(number + 1n) / 2n : number / 2n;
  return kind === "h" ? BigInt.asIntN(32, number) : number;
}

// The form of an array of integers.
function formOf(kind, numbers) {
  if (numbers.length === 0) return 0;
  const signed = SIGNED.includes(kind);
  const raw = kind === "h" ? numbers.map((number) => BigInt.asUintN(32, number)) : numbers;
  const cut = signed ? BigInt.asIntN : BigInt.asUintN;
  const form = [1, 2, 3, 4].find((form) => raw.every((number) => cut(4 << form, number) === number));
  const alone = numbers.reduce((sum, number) => sum + varint(plain(kind, number)).length, 0);
  return numbers.length << form - 1 <= alone ? form : 0;
}

// --- writing ---

function bitmap(bits) {
  const out = Buffer.alloc((bits.length + 7) >> 3);
  bits.forEach((bit, i) => { out[i >> 3] |= Number(bit) << (i & 7); });
  return out;
}

function writeParts(types, values) {
  const bits = types.flatMap((type, i) =>
    !isBit(type) ? [] : [type.kind === "b" ? values[i] : values[i] !== null]);
  return Buffer.concat([bitmap(bits), ...types.flatMap((type, i) => {
    if (type.kind === "b" || (type.kind === "m" && values[i] === null)) return [];
    return [type.kind === "m" ? write(type.of[0], values[i].just) : write(type, values[i])];
  })]);
}

function writeIntegers(kind, numbers) {
  const form = formOf(kind, numbers);
  const size = 1 << form - 1;
  return Buffer.concat([varint(BigInt(8 * numbers.length + form)), ...numbers.map((number) =>
    form === 0 ? varint(plain(kind, number))
               : bytesOf(BigInt.asUintN(8 * size, number), size).reverse())]);
}

function writeReal(real) {
  const out = Buffer.alloc(8);
  if (typeof real === "bigint") out.writeBigUInt64LE(real);
  else out.writeDoubleLE(real);
  return out;
}

function writeVariant({ type, value }) {
  const code = CODES.indexOf(type.text);
  const letters = Buffer.from(code < 0 ? type.text : "");
  return Buffer.concat([varint(code < 0 ? SPELLED + BigInt(letters.length) : BigInt(code)), letters,
                        write(type, value)]);
}

function write(type, value) {
  const { kind } = type;
  if (kind in BITS) return varint(plain(kind, value));
  switch (kind) {
    case "b": return Buffer.from([Number(value)]);
    case "y": return Buffer.from([Number(value)]);
    case "d": return writeReal(value);
    case "v": return writeVariant(value);
    case "m":
      return value === null ? Buffer.from([0])
                            : Buffer.concat([Buffer.from([1]), write(type.of[0], value.just)]);
    case "a":
      if (type.of[0].kind in BITS) return writeIntegers(type.of[0].kind, value);
      return Buffer.concat([varint(BigInt(value.length)),
                            writeParts(value.map(() => type.of[0]), value)]);
    case "(":
    case "{": return type.of.length === 0 ? Buffer.from([0]) : writeParts(type.of, value);
    default: {
      const text = Buffer.from(value, "utf8");
      return Buffer.concat([varint(BigInt(text.length)), text]);
    }
  }
}

// --- reading ---

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get left() {
    return BigInt(this.bytes.length - this.at);
  }

  take(size) {
    if (BigInt(size) > this.left) refuse("more is announced than there is");
    this.at += Number(size);
    return this.bytes.subarray(this.at - Number(size), this.at);
  }

  varint(bits = 64n) {
    const start = this.at;
    const [first] = this.take(1);
    const size = Math.min(Math.clz32(~(first << 24)) + 1, 9);
    const head = BigInt(first & (0xff >> size));
    const rest = this.take(size - 1);
    const number = head << BigInt(8 * (size - 1)) | numberOf(rest);
    if (!varint(number).equals(this.bytes.subarray(start, this.at))) refuse("longer than needed");
    return number >> bits === 0n ? number : refuse("too large");
  }

  flag() {
    const [byte] = this.take(1);
    return byte <= 1 ? byte === 1 : refuse("neither 0 nor 1");
  }

  bitmap(count) {
    const bytes = this.take((count + 7) >> 3);
    const bits = Array.from({ length: 8 * bytes.length }, (_, i) => (bytes[i >> 3] >> (i & 7) & 1) === 1);
    return bits.slice(count).some((bit) => bit) ? refuse("a bit that means nothing")
                                                : bits.slice(0, count);
  }

  text(kind) {
    const bytes = this.take(this.varint());
    let text = "";
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (error) {
      refuse("no UTF-8");
    }
    const good = kind === "o" ? /^\/$|^(\/[A-Za-z0-9_]+)+$/.test(text)
               : kind === "g" ? isSignature(text) : true;
    return good && !text.includes("\0") ? text : refuse(`no ${kind}`);
  }

  real() {
    const bytes = this.take(8);
    const real = bytes.readDoubleLE();
    return Number.isNaN(real) ? bytes.readBigUInt64LE() : real;
  }

  integers(kind) {
    const header = this.varint();
    const count = header >> 3n;
    const form = Number(header & 7n);
    const size = form === 0 ? 1n : 1n << BigInt(form - 1);
    if (form > 4 || 8n * size > BITS[kind]) refuse("no such form");
    if (count * size > this.left) refuse("more elements than bytes");
    const cut = SIGNED.includes(kind) || (kind === "h" && form === 3) ? BigInt.asIntN : BigInt.asUintN;
    const numbers = Array.from({ length: Number(count) }, () =>
      form === 0 ? unplain(kind, this.varint(BITS[kind]))
                 : cut(Number(8n * size), numberOf(Buffer.from(this.take(size)).reverse())));
    return formOf(kind, numbers) === form ? numbers : refuse("another form is shorter");
  }

  parts(types, level) {
    const bits = this.bitmap(types.filter(isBit).length);
    return types.map((type) => {
      if (!isBit(type)) return this.value(type, level);
      const bit = bits.shift();
      if (type.kind === "b") return bit;
      return bit ? { just: this.value(type.of[0], level + 1) } : null;
    });
  }

  array(element, level) {
    if (element.kind in BITS) return this.integers(element.kind);
    const count = this.varint();
    if (count > this.left * (isBit(element) ? 8n : 1n)) refuse("more elements than bytes");
    return this.parts(Array(Number(count)).fill(element), level + 1);
  }

  variant(level) {
    const code = this.varint();
    if (code < SPELLED && code >= BigInt(CODES.length)) refuse("no such code");
    const text = code < SPELLED ? CODES[Number(code)] : this.take(code - SPELLED).toString("latin1");
    if (code >= SPELLED && CODES.includes(text)) refuse("it has a code");
    const type = parseType(text);
    if (level + 1 + type.levels > LEVELS) refuse("too deep");
    return { type, value: this.value(type, level + 1) };
  }

  value(type, level = 0) {
    const { kind } = type;
    if (kind in BITS) return unplain(kind, this.varint(BITS[kind]));
    switch (kind) {
      case "b": return this.flag();
      case "y": return this.take(1)[0];
      case "d": return this.real();
      case "v": return this.variant(level);
      case "m": return this.flag() ? { just: this.value(type.of[0], level + 1) } : null;
      case "a": return this.array(type.of[0], level);
      case "(":
      case "{":
        if (type.of.length === 0) return this.take(1)[0] === 0 ? [] : refuse("no 0");
        return this.parts(type.of, level + 1);
      default: return this.text(kind);
    }
  }
}

function decode(text, bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(parseType(text));
  return reader.at === bytes.length ? value : refuse("more than one value");
}

function encode(text, value) {
  return write(parseType(text), value);
}

// Every vector of the file that is named: what is carried, and what is refused.
function checkVectors(path) {
  const { vectors, refused } = JSON.parse(readFileSync(path, "utf8"));
  for (const { type, bytes } of vectors) {
    const written = encode(type, decode(type, Buffer.from(bytes, "hex"))).toString("hex");
    if (written !== bytes) throw new Error(`${type} ${bytes} is written as ${written}`);
  }
  for (const { type, bytes } of refused) {
    try {
      decode(type, Buffer.from(bytes, "hex"));
    } catch (error) {
      if (error instanceof Refused) continue;
      throw error;
    }
    throw new Error(`${type} ${bytes} was taken`);
  }
  console.log(vectors.length, refused.length);
}

if (require.main === module) checkVectors(process.argv[2]);

module.exports = { decode, encode, Refused };
