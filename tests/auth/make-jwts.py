#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Key sets and tokens for test-jwt, made by libraries that are not ours (PyJWT, cryptography).

make-jwts.py DIR NOW writes DIR/all.json, DIR/curves.json, DIR/*.bad.json and DIR/tokens: lines of a name, what a
refusal must say ("-": it counts), and the token in base64, for tokens that have blanks or bytes.
"""

import base64
import hashlib
import hmac
import json
import os
import sys

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

FOLDER, NOW = sys.argv[1], int(sys.argv[2])
ISSUER, AUDIENCE = "https://issuer.example.org", "commy"
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW - 10, "exp": NOW + 600}

ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RS = rsa.generate_private_key(65537, 2048)
PS = rsa.generate_private_key(65537, 2048)
OCT = os.urandom(32)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size):
    return b64(value.to_bytes(size, "big"))


def public_bytes(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def jwk_ed(key, kid="ed"):
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": b64(public_bytes(key))}


def jwk_ec(key, kid="ec"):
    point = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": number(point.x, 32), "y": number(point.y, 32)}


def jwk_rsa(key, kid, alg, size=256):
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "alg": alg, "n": number(numbers.n, size), "e": number(numbers.e, 3)}


def jwk_oct(secret, kid="hs"):
    return {"kty": "oct", "kid": kid, "alg": "HS256", "k": b64(secret)}


def write_keys(name, keys):
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as file:
        file.write(keys if isinstance(keys, str) else json.dumps({"keys": keys}))


def sign(alg, data):
    """What a JWS library does for a valid token, for texts that it would not sign."""
    if alg == "EdDSA":
        return ED.sign(data)
    if alg == "ES256":
        r, s = utils.decode_dss_signature(EC.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if alg == "RS256":
        return RS.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return hmac.new(OCT, data, hashlib.sha256).digest()


def raw(header, claims, alg="EdDSA", signature=None):
    """header and claims: texts or what JSON makes of them."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    data = (b64(parts[0]) + "." + b64(parts[1])).encode()
    return data.decode() + "." + b64(sign(alg, data) if signature is None else signature)


def with_claims(**changes):
    claims = {**CLAIMS, **changes}
    return {name: value for name, value in claims.items() if value is not None}


HEAD = {"alg": "EdDSA", "typ": "at+jwt", "kid": "ed"}


def head(**changes):
    header = {**HEAD, **changes}
    return {name: value for name, value in header.items() if value is not None}


def pyjwt(alg, key, kid, **changes):
    return jwt.encode(with_claims(**changes), key, algorithm=alg, headers={"typ": "at+jwt", "kid": kid})


def tokens():
    ed = pyjwt("EdDSA", ED, "ed")
    es = pyjwt("ES256", EC, "ec")
    yield "valid-eddsa", "-", ed
    yield "valid-es256", "-", es
    yield "valid-rs256", "-", pyjwt("RS256", RS, "rs")
    yield "valid-ps256", "-", pyjwt("PS256", PS, "ps")
    yield "valid-hs256", "-", pyjwt("HS256", OCT, "hs")
    yield "valid-audience-in-a-list", "-", pyjwt("EdDSA", ED, "ed", aud=["other", AUDIENCE])
    yield "valid-scopes", "-", pyjwt("EdDSA", ED, "ed", scope="read write")
    yield "valid-type-with-application", "-", raw(head(typ="application/AT+JWT"), CLAIMS)
    yield "valid-skew", "-", pyjwt("EdDSA", ED, "ed", exp=NOW - 59, iat=NOW - 100)
    yield "valid-clock-behind", "-", pyjwt("EdDSA", ED, "ed", nbf=NOW + 59, iat=NOW + 59)

    # Algorithms that are none, or another one than the key's.
    # attack: a JWT with the algorithm "none", in any spelling; defence: only algorithms of the list; program: tests/auth/test-jwt; test: /auth/jwt/token/alg-none
    for name in ("none", "None", "nOnE", "NONE", ""):
        yield f"alg-{name or 'empty'}", "not known", raw(head(alg=name), CLAIMS, signature=b"")
        yield f"alg-{name or 'empty'}-without-kid", "not known", raw(head(alg=name, kid=None), CLAIMS, signature=b"")
    yield "alg-missing", "not known", raw(head(alg=None), CLAIMS)
    yield "alg-number", "not known", raw(head(alg=1), CLAIMS)
    yield "alg-hs384", "not known", raw(head(alg="HS384"), CLAIMS)
    publics = {
        "rsa-pem": ("rs", RS.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)),
        "ec-pem": ("ec", EC.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)),
        "ed-raw": ("ed", public_bytes(ED)),
        "empty": ("ec", b""),
    }
    for name, (kid, secret) in publics.items():
        header = head(alg="HS256", kid=kid)
        data = b64(json.dumps(header).encode()) + "." + b64(json.dumps(CLAIMS).encode())
        signature = hmac.new(secret, data.encode(), hashlib.sha256).digest()
        # attack: a JWT signed by HMAC with a public key as the secret; defence: a key has one algorithm, its own; program: tests/auth/test-jwt; test: /auth/jwt/token/confusion-hmac-by-rsa-pem
        yield f"confusion-hmac-by-{name}", "not that of its key", data + "." + b64(signature)
    # attack: a JWT with another algorithm of the same kind of key; defence: a key has one algorithm, its own; program: tests/auth/test-jwt; test: /auth/jwt/token/confusion-rs256-for-ps256
    yield "confusion-rs256-for-ps256", "not that of its key", raw(head(alg="RS256", kid="ps"), CLAIMS, "RS256")
    yield "confusion-es256-for-eddsa", "not that of its key", raw(head(alg="ES256", kid="ed"), CLAIMS, "ES256")
    yield "confusion-eddsa-for-es256", "not that of its key", raw(head(kid="ec"), CLAIMS)

    # Ids of keys that want to be something else.
    # attack: a key id that is a path, a query, a command; defence: an id is compared with those of the set and
    # used for nothing else; program: tests/auth/test-jwt; test: /auth/jwt/token/kid-path
    for name, kid in {
        "path": "../../../../dev/null", "sql": "x' UNION SELECT 'secret", "format": "%s%n", "shell": "|/usr/bin/id",
        "url": "https://evil.example.org/keys", "long": "k" * 129, "empty": "", "unknown": "other", "nul-escape": "ed ",
    }.items():
        yield f"kid-{name}", "not in the key set", raw(head(kid=kid), CLAIMS)
    yield "kid-missing-with-several-keys", "names no key", raw(head(kid=None), CLAIMS)
    yield "kid-number", "kid is no text", raw(head(kid=7), CLAIMS)

    # Headers that name a key of their own, or ask for what is not done.
    evil = ed25519.Ed25519PrivateKey.generate()
    data = b64(json.dumps(head(jwk=jwk_ed(evil))).encode()) + "." + b64(json.dumps(CLAIMS).encode())
    # attack: a JWT that brings its own key along; defence: keys come from the set alone; program: tests/auth/test-jwt; test: /auth/jwt/token/header-jwk
    yield "header-jwk", "not taken", data + "." + b64(evil.sign(data.encode()))
    # attack: a JWT that says where its key is to be found; defence: such headers are refused; program: tests/auth/test-jwt; test: /auth/jwt/token/header-jku
    for name, value in {
        "jku": "https://evil.example.org/jwks", "x5u": "https://evil.example.org/x5u", "x5c": ["MIIB"], "crit": ["exp"],
        "b64": False, "zip": "DEF", "enc": "A256GCM",
    }.items():
        yield f"header-{name}", "not taken", raw(head(**{name: value}), CLAIMS)

    # Tokens for another purpose.
    # attack: an identity or logout token in the place of an access token; defence: the type is checked; program: tests/auth/test-jwt; test: /auth/jwt/token/typ-id-token
    yield "typ-id-token", "another type", raw(head(typ="JWT"), CLAIMS)
    yield "typ-missing", "another type", raw(head(typ=None), CLAIMS)
    yield "typ-logout", "another type", raw(head(typ="logout+jwt"), CLAIMS)
    # attack: a JWT of another issuer; defence: compared byte by byte; program: tests/auth/test-jwt; test: /auth/jwt/token/iss-other
    yield "iss-other", "another issuer", pyjwt("EdDSA", ED, "ed", iss="https://evil.example.org")
    yield "iss-prefix", "another issuer", pyjwt("EdDSA", ED, "ed", iss=ISSUER + "/")
    yield "iss-case", "another issuer", pyjwt("EdDSA", ED, "ed", iss=ISSUER.upper())
    yield "iss-missing", "another issuer", pyjwt("EdDSA", ED, "ed", iss=None)
    yield "iss-list", "another issuer", raw(HEAD, with_claims(iss=[ISSUER]))
    # attack: a JWT for another audience; defence: one of the audiences must be ours, whole; program: tests/auth/test-jwt; test: /auth/jwt/token/aud-other
    yield "aud-other", "somebody else", pyjwt("EdDSA", ED, "ed", aud="other")
    yield "aud-missing", "somebody else", pyjwt("EdDSA", ED, "ed", aud=None)
    yield "aud-empty-list", "somebody else", raw(HEAD, with_claims(aud=[]))
    yield "aud-nested-list", "somebody else", raw(HEAD, with_claims(aud=[[AUDIENCE]]))
    yield "aud-part", "somebody else", pyjwt("EdDSA", ED, "ed", aud=AUDIENCE + "x")
    for name, value in {
        "missing": None, "empty": "", "number": 1, "blank": "a b", "newline": "alice\nscope=admin", "long": "a" * 256,
    }.items():
        yield f"sub-{name}", "no subject", raw(HEAD, with_claims(sub=value))
    yield "scope-newline", "scopes", raw(HEAD, with_claims(scope="a\nscope=b"))
    yield "scope-many", "scopes", raw(HEAD, with_claims(scope=" ".join("s%d" % i for i in range(40))))
    yield "scope-list", "scopes", raw(HEAD, with_claims(scope=["a"]))

    # Tokens that are no bearer's.
    # attack: a JWT that is bound to somebody else's key; defence: what is bound to a key (cnf) is refused; program: tests/auth/test-jwt; test: /auth/jwt/token/cnf-certificate
    for name, value in {
        "certificate": {"x5t#S256": "A" * 43}, "dpop": {"jkt": "A" * 43}, "key": {"jwk": jwk_ed(ED)}, "empty": {}, "text": "x",
    }.items():
        yield f"cnf-{name}", "bound to a key", raw(HEAD, with_claims(cnf=value))
    yield "cnf-null", "bound to a key", raw(HEAD, json.dumps({**CLAIMS, "cnf": None}).encode())

    # Times.
    yield "exp-missing", "no end", pyjwt("EdDSA", ED, "ed", exp=None)
    # attack: a JWT whose time is over; defence: exp is required, with at most a minute of skew; program: tests/auth/test-jwt; test: /auth/jwt/token/exp-past
    yield "exp-past", "expired", pyjwt("EdDSA", ED, "ed", exp=NOW - 60, iat=NOW - 600)
    yield "exp-long-past", "expired", pyjwt("EdDSA", ED, "ed", exp=0, iat=0)
    yield "exp-text", "is none", raw(HEAD, with_claims(exp=str(NOW + 600)))
    yield "exp-fraction", "is none", raw(HEAD, with_claims(exp=NOW + 600.5))
    yield "exp-negative", "is none", raw(HEAD, with_claims(exp=-1))
    yield "exp-huge", "is none", raw(HEAD, with_claims(exp=2**53 + 1))
    yield "exp-larger-than-64-bits", "is none", raw(HEAD, with_claims(exp=2**70))
    yield "exp-null", "is none", raw(HEAD, json.dumps({**CLAIMS, "exp": None}).encode())
    # attack: a JWT that never ends; defence: a longest life; program: tests/auth/test-jwt; test: /auth/jwt/token/exp-far
    yield "exp-far", "for longer", pyjwt("EdDSA", ED, "ed", exp=NOW + 90000)
    yield "exp-far-without-iat", "for longer", pyjwt("EdDSA", ED, "ed", exp=NOW + 90000, iat=None)
    # attack: a JWT of the future; defence: nbf and iat are checked; program: tests/auth/test-jwt; test: /auth/jwt/token/nbf-future
    yield "nbf-future", "not valid yet", pyjwt("EdDSA", ED, "ed", nbf=NOW + 61)
    yield "iat-future", "in the future", pyjwt("EdDSA", ED, "ed", iat=NOW + 61)
    yield "nbf-text", "is none", raw(HEAD, with_claims(nbf="0"))

    # JSON that two readers may read in two ways.
    good = json.dumps(CLAIMS)
    # attack: a claim twice, for two readers to read differently; defence: JSON is read strictly; program: tests/auth/test-jwt; test: /auth/jwt/token/json-claim-twice
    yield "json-claim-twice", "claims are no", raw(HEAD, (good[:-1] + ', "sub": "root"}').encode())
    yield "json-claim-twice-by-escape", "claims are no", raw(HEAD, (good[:-1] + ', "s\\u0075b": "root"}').encode())
    yield "json-header-twice", "header is no", raw(b'{"alg":"EdDSA","typ":"at+jwt","kid":"ed","alg":"none"}', CLAIMS)
    yield "json-behind", "claims are no", raw(HEAD, (good + "{}").encode())
    yield "json-comment", "claims are no", raw(HEAD, (good[:-1] + "/**/}").encode())
    yield "json-comma", "claims are no", raw(HEAD, (good[:-1] + ",}").encode())
    yield "json-nul", "claims are no", raw(HEAD, good.replace("alice", "alice\\u0000x").encode())
    yield "json-nul-byte", "claims are no", raw(HEAD, good.encode() + b"\0")
    yield "json-bad-utf8", "claims are no", raw(HEAD, good.encode().replace(b"alice", b"al\xff\xfece"))
    yield "json-half-pair", "claims are no", raw(HEAD, good.replace("alice", "\\ud800x").encode())
    yield "json-deep", "claims are no", raw(HEAD, (good[:-1] + ', "x": ' + "[" * 9 + "]" * 9 + "}").encode())
    yield "json-many", "claims are no", raw(HEAD, (good[:-1] + ', "x": [' + ",".join("1" * 600) + "]}").encode())
    yield "json-list", "claims are no", raw(HEAD, b"[]")
    yield "json-empty", "claims are no", raw(HEAD, b"")
    yield "json-leading-zero", "claims are no", raw(HEAD, good.replace(str(NOW + 600), "0" + str(NOW + 600)).encode())

    # Other texts for the same bytes, and other numbers of parts.
    start, claims, signature = ed.split(".")
    left = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    yield "base64-padding", "no base64url", ed + "=="
    yield "base64-blank", "no base64url", ed + " "
    yield "base64-newline", "no base64url", ed + "\n"
    yield "base64-bits-left-over", "no base64url", ed[:-1] + left[left.index(ed[-1]) ^ 1]
    yield "base64-plain-alphabet", "header is no", "+/+/." + claims + "." + signature
    yield "parts-one", "three parts", start
    yield "parts-two", "three parts", start + "." + claims
    yield "parts-four", "three parts", ed + "." + signature
    yield "parts-jwe", "three parts", ed + ".." + signature
    yield "parts-none", "three parts", ""
    yield "parts-empty", "header is no", ".."
    yield "large", "three parts", raw(HEAD, with_claims(x="x" * 8192))

    # Signatures.
    der = EC.sign((es.rsplit(".", 1)[0]).encode(), ec.ECDSA(hashes.SHA256()))
    base = es.rsplit(".", 1)[0] + "."
    right = base64.urlsafe_b64decode(es.rsplit(".", 1)[1] + "==")
    yield "es256-der", "signature is wrong", base + b64(der)
    yield "es256-zero", "signature is wrong", base + b64(bytes(64))
    yield "es256-zero-s", "signature is wrong", base + b64(right[:32] + bytes(32))
    yield "es256-short", "signature is wrong", base + b64(right[:63])
    yield "es256-long", "signature is wrong", base + b64(right + b"\0")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    yield "es256-r-is-the-order", "signature is wrong", base + b64(order.to_bytes(32, "big") + right[32:])
    yield "es256-empty", "signature is wrong", base
    yield "eddsa-short", "signature is wrong", ed.rsplit(".", 1)[0] + "." + b64(bytes(63))
    yield "eddsa-other-claims", "signature is wrong", start + "." + b64(json.dumps(with_claims(sub="root")).encode()) + "." + signature
    yield "rs256-short", "signature is wrong", raw(head(alg="RS256", kid="rs"), CLAIMS, signature=b"\1")
    yield "hs256-cut", "signature is wrong", raw(head(alg="HS256", kid="hs"), CLAIMS, signature=bytes(16))


def write_all():
    curves = [jwk_ed(ED), jwk_ec(EC)]
    write_keys("curves.json", curves)
    write_keys("all.json", curves + [jwk_rsa(RS, "rs", "RS256"), jwk_rsa(PS, "ps", "PS256"), jwk_oct(OCT)])
    weak = rsa.generate_private_key(65537, 1024)
    write_keys("weak-rsa.bad.json", curves + [jwk_rsa(weak, "weak", "RS256", 128)])
    write_keys("short-secret.bad.json", [jwk_oct(os.urandom(31))])
    write_keys("same-id.bad.json", [jwk_ed(ED, "x"), jwk_ec(EC, "x")])
    write_keys("private.bad.json", [{**jwk_ed(ED), "d": b64(bytes(32))}])
    write_keys("off-curve.bad.json", [{**jwk_ec(EC), "y": number(1, 32)}])
    write_keys("short-point.bad.json", [{**jwk_ec(EC), "x": b64(bytes(31))}])
    write_keys("odd-id.bad.json", [jwk_ed(ED, "../x")])
    write_keys("no-use.bad.json", [{**jwk_ed(ED), "use": "enc"}])
    write_keys("no-algorithm.bad.json", [{**jwk_rsa(RS, "rs", "RS256"), "alg": "none"}])
    write_keys("many.bad.json", [jwk_ed(ED, f"k{i}") for i in range(65)])
    write_keys("empty.bad.json", [])
    write_keys("no-set.bad.json", json.dumps(jwk_ed(ED)))
    write_keys("no-json.bad.json", '{"keys": [')
    write_keys("twice.bad.json", '{"keys": [], "keys": [' + json.dumps(jwk_ed(ED)) + "]}")
    with open(os.path.join(FOLDER, "tokens"), "w", encoding="utf-8") as file:
        for name, why, token in tokens():
            file.write(f"{name}\t{why}\t{base64.b64encode(token.encode()).decode()}\n")


write_all()
