// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes FORMAT-node-LIBRARY.vectors in this folder: what libraries of npm write of the values that
// they read from FORMAT-layout.vectors, and a few more of JavaScript's own. Once, where they are:
//   npm install @msgpack/msgpack@3 msgpack-lite@0.2 msgpackr@2 cbor@10 cbor-x@1
//   node .../through-node.mjs

import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";

const require = createRequire(process.cwd() + "/");
const folder = new URL(".", import.meta.url);
const msgpack = require("@msgpack/msgpack");
const lite = require("msgpack-lite");
const msgpackr = require("msgpackr");
const cbor = require("cbor");
const cborx = require("cbor-x");

const liteCodec = lite.createCodec({ int64: true, usemap: true, binarraybuffer: false });
const packr = new msgpackr.Packr({ mapsAsObjects: false, useRecords: false, int64AsType: "auto" });
const cborxCodec = new cborx.Encoder({ mapsAsObjects: false, useRecords: false, tagUint8Array: false });

function version(name) {
  return JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;
}

// What a library's reader does not tell apart is left out: the sign of nothing, mostly.
const libraries = {
  "msgpack-node-msgpack": {
    version: version("@msgpack/msgpack"),
    read: (data) => msgpack.decode(data, { useBigInt64: true }),
    write: (value) => msgpack.encode(value, { useBigInt64: true }),
    lost: ["-0.0", "@a{ub} {7: true}", "@a{ds} {0.5: 'half'}"], // its maps are objects
  },
  "msgpack-node-msgpack-lite": {
    version: version("msgpack-lite"),
    read: (data) => lite.decode(data, { codec: liteCodec }),
    write: (value) => lite.encode(value, { codec: liteCodec }),
    lost: ["-0.0"],
  },
  "msgpack-node-msgpackr": {
    version: version("msgpackr"),
    read: (data) => packr.unpack(data),
    write: (value) => packr.pack(value),
    lost: ["-0.0"],
  },
  "cbor-node-cbor": {
    version: version("cbor"),
    read: (data) => cbor.decodeFirstSync(data, { preferMap: true }),
    write: (value) => cbor.encode(value),
    lost: [],
  },
  "cbor-node-cbor-x": {
    version: version("cbor-x"),
    read: (data) => cborxCodec.decode(data),
    write: (value) => cborxCodec.encode(value),
    lost: ["-0.0"],
  },
};

const more = [
  ["@a{sv} {'size': <uint32 7>, 'name': <'x'>}", { size: ["u", 7], name: ["s", "x"] }],
  ["int64 9007199254740991", Number.MAX_SAFE_INTEGER],
  ["int64 -9007199254740991", Number.MIN_SAFE_INTEGER],
  ["int64 5000000000", 5000000000],
  ["3.0", 3.0],
  ["(true, 'text \\u00fc \\U0001f600', [1.5, 2.0, -0.25])", [true, "text ü 😀", [1.5, 2.0, -0.25]]],
  ["@ay [0, 255]", Buffer.from([0, 255])],
];

function layout(format) {
  const text = readFileSync(new URL(`${format}-layout.vectors`, folder), "utf8");
  return text.split("\n").filter((line) => line.startsWith("=")).map((line) => line.split("\t"));
}

for (const [name, library] of Object.entries(libraries)) {
  const lines = [
    "# SPDX-License-Identifier: LGPL-2.1-or-later",
    `# Written by through-node.mjs, version ${library.version} of the library.`,
  ];
  for (const [, hex, value] of layout(name.split("-")[0])) {
    if (library.lost.includes(value)) continue;
    const written = library.write(library.read(Buffer.from(hex, "hex")));
    lines.push(["~", Buffer.from(written).toString("hex"), value].join("\t"));
  }
  for (const [value, plain] of more)
    lines.push(["~", Buffer.from(library.write(plain)).toString("hex"), value].join("\t"));
  writeFileSync(new URL(`${name}.vectors`, folder), lines.join("\n") + "\n");
}
