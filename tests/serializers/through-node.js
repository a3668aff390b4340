// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads lines of a type, a tab and hexadecimal digits, each one value in the format that the
// argument names. Writes the name of Node's library for it, and then what that makes of each value
// and writes again. Ends with 77 if there is none, and says so.

"use strict";

const { existsSync, readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");

// Packages need not say their version to who asks by require().
function version(library) {
  let folder = dirname(require.resolve(library));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return `${library} ${JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version}`;
}

const FORMATS = {
  json: () => ({
    name: "its own JSON",
    through: (type, data) => Buffer.from(JSON.stringify(JSON.parse(data.toString("utf8"))), "utf8"),
  }),
  msgpack: () => {
    const { Packr } = require("msgpackr");
    const packr = new Packr({ mapsAsObjects: false, useRecords: false, int64AsType: "auto" });
    return { name: version("msgpackr"), through: (type, data) => packr.pack(packr.unpack(data)) };
  },
  cbor: () => {
    const cbor = require("cbor");
    return {
      name: version("cbor"),
      through: (type, data) => cbor.encode(cbor.decodeFirstSync(data, { preferMap: true })),
    };
  },
  compact: () => {
    const compact = require(join(__dirname, "compact.js"));
    return {
      name: "compact.js",
      through: (type, data) => compact.encode(type, compact.decode(type, data)),
    };
  },
};

function open(format) {
  try {
    return FORMATS[format]();
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    console.error(error.message.split("\n")[0]);
    return process.exit(77);
  }
}

const lines = readFileSync(0, "latin1").split("\n").filter((line) => line !== "");
const library = open(process.argv[2]);
const written = lines.map((line) => {
  const [type, hex] = line.split("\t");
  return Buffer.from(library.through(type, Buffer.from(hex, "hex"))).toString("hex");
});
process.stdout.write([library.name, ...written, ""].join("\n"));
