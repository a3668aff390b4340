// SPDX-License-Identifier: LGPL-2.1-or-later
// A real OpenID Connect provider on loopback, for tests/auth/test-oauth2.c:
//
//   node provider.mjs FOLDER-OF-MODULES [CERTIFICATE KEY]
//
// It prints its issuer; then each line on its input is a command, which it answers by one line.

import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// The library's warnings must not come between the answers.
console.info = console.error;
const say = (line) => process.stdout.write(`${line}\n`);

const [modules, certificate, key] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`).href);

const counts = { discovery: 0, jwks: 0, token: 0, introspection: 0 };
const stored = new Map();
let mode = "well";
let generation = 0;
let handler;
let issuer;

// What the provider keeps, so that it can be made to forget it.
class Adapter {
  constructor(name) {
    this.name = name;
  }
  async upsert(id, payload) {
    stored.set(`${this.name}:${id}`, payload);
  }
  async find(id) {
    return stored.get(`${this.name}:${id}`);
  }
  async destroy(id) {
    stored.delete(`${this.name}:${id}`);
  }
  async consume() {}
  async findByUid() {}
  async findByUserCode() {}
  async revokeByGrantId() {}
}

const client = (id, secret) => ({
  client_id: id,
  client_secret: secret,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: "ES256",
});

function resource(name) {
  return {
    scope: "deploy read",
    audience: name === "urn:commy:other" ? "other" : "commy",
    accessTokenTTL: name === "urn:commy:long" ? 10 * 86400 : 3600,
    accessTokenFormat: name === "urn:commy:opaque" ? "opaque" : "jwt",
    jwt: { sign: { alg: "ES256" } },
  };
}

function begin() {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = pair.privateKey.export({ format: "jwk" });

  generation++;
  handler = new Provider(issuer, {
    adapter: Adapter,
    clients: [client("build", "s e:c%ret"), client("service", "another")],
    cookies: { keys: ["for nobody"] },
    jwks: { keys: [{ ...jwk, kid: `key-${generation}`, use: "sig", alg: "ES256" }] },
    scopes: ["deploy", "read"],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:commy:default",
        getResourceServerInfo: (context, name) => resource(name),
      },
    },
  }).callback();
}

function endpoint(url) {
  if (url.startsWith("/.well-known/")) return "discovery";
  if (url.startsWith("/jwks")) return "jwks";
  return url.startsWith("/token/introspection") ? "introspection" : "token";
}

// What a provider should not answer.
const odd = {
  garbage: (response) => response.end('{"keys":[{"kty":"EC","crv":"P-256","x":"AA","alg":"ES256"}]}'),
  empty: (response) => response.end('{"keys":[]}'),
  much: (response) => response.end("x".repeat(1024 * 1024)),
  broken: (response) => response.writeHead(500).end("no"),
  elsewhere: (response) => response.writeHead(302, { location: `${issuer}/jwks?again` }).end(),
  silent: () => {},
};

function serve(request, response) {
  counts[endpoint(request.url)]++;
  if (odd[mode]) odd[mode](response);
  else handler(request, response);
}

const commands = {
  counts: () => Object.entries(counts).map((pair) => pair.join("=")).join(" "),
  rotate: () => begin(),
  forget: () => stored.clear(),
};

const server = certificate
  ? https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, serve)
  : http.createServer(serve);
server.listen(0, "127.0.0.1", () => {
  issuer = `${certificate ? "https" : "http"}://127.0.0.1:${server.address().port}`;
  begin();
  say(issuer);
});

createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (line.startsWith("mode ")) mode = line.slice(5);
    say((commands[line] ?? (() => ""))() ?? "");
  })
  .on("close", () => process.exit(0));
