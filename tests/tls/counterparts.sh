#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The TLS transport of a node that runs, met by the tools of others: openssl and gnutls-cli, honest with
# a good certificate of the mesh, and hostile in one way each.
set -u
commy=$COMMY_BUILD_DIR/commy
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait; rm -rf "$folder"' EXIT
for tool in openssl gnutls-cli; do
  command -v $tool >/dev/null || { echo "1..0 # SKIP there is no $tool"; exit 0; }
done
mkdir -m 700 "$folder/run" "$folder/state"
cat >"$folder/commy.conf" <<END
[plugins]
trust=any
user-plugins=true
[mesh]
runtime-dir=$folder/run
state-dir=$folder/state
credentials-dir=$folder/pki
END
COMMY_CONFIG=$folder/commy.conf
export COMMY_CONFIG
{
  "$commy" pki init --dir "$folder/pki" --host here --user me
  "$commy" pki issue --dir "$folder/pki" --host there --user me --out "$folder/good"
  "$commy" pki issue --dir "$folder/pki" --host gone --user me --out "$folder/gone"
  "$commy" pki init --dir "$folder/strange" --host there --user me
  "$commy" pki revoke --dir "$folder/pki" host/gone/user/me
} >"$folder/log" 2>&1
# What our own commands do not make.
cat >"$folder/ext" <<END
basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=serverAuth,clientAuth
END
domain=$(openssl x509 -in "$folder/pki/ca.pem" -noout -ext subjectAltName | sed -n 's/.*URI://p')
sign () { # folder, names, more options
  mkdir -p "$folder/$1"
  openssl ecparam -name prime256v1 -genkey -noout -out "$folder/$1/key.pem" 2>>"$folder/log"
  openssl req -new -key "$folder/$1/key.pem" -subj /CN=x -out "$folder/csr" 2>>"$folder/log"
  { cat "$folder/ext"; echo "subjectAltName=$2"; } >"$folder/ext-$1"
  signed=$1
  shift 2
  openssl x509 -req -in "$folder/csr" -CA "$folder/pki/ca.pem" -CAkey "$folder/pki/authority-key.pem" \
    -CAcreateserial -CAserial "$folder/serial" -extfile "$folder/ext-$signed" "$@" \
    -out "$folder/$signed/cert.pem" >>"$folder/log" 2>&1
}
sign two "URI:$domain/host/a/user/me,URI:$domain/host/b/user/me" -days 1
sign trick "URI:$domain/host/a/../user/me" -days 1
# Ends before it begins to count.
sign ended "URI:$domain/host/a/user/me" -days -1
sign honest "URI:$domain/host/other/user/me" -days 1

timeout 120 "$commy" serve org.example.Echo 2>"$folder/node.log" >"$folder/node.out" &
server=$!
port=
tries=0
while [ -z "$port" ] && [ $tries -lt 200 ]; do
  port=$("$commy" services info org.example.Echo -o json 2>/dev/null | sed -n 's/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' | head -n 1)
  tries=$((tries + 1))
done

number=0
ok () { # name, command...
  number=$((number + 1))
  name=$1
  shift
  if "$@"; then
    echo "ok $number /tls/counterparts/$name"
  else
    sed 's/^/# /' "$folder/said"
    tail -n 3 "$folder/node.log" | sed 's/^/# /'
    echo "not ok $number /tls/counterparts/$name"
  fi
}
said () { grep -qi "$1" "$folder/said"; }
logged () { # the node tells it before or soon after the peer hears of it
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    grep -q "$1" "$folder/node.log" && return
    "$commy" services ls >/dev/null 2>&1
  done
  return 1
}
by_openssl () { # folder, options
  who=$1
  shift
  timeout 20 openssl s_client -connect "127.0.0.1:$port" -CAfile "$folder/pki/ca.pem" \
    -cert "$folder/$who/cert.pem" -key "$folder/$who/key.pem" -alpn commy/1 "$@" \
    </dev/null >"$folder/said" 2>&1
}
by_gnutls () { # folder, priority
  timeout 20 gnutls-cli --port "$port" --x509cafile "$folder/pki/ca.pem" --no-ca-verification \
    --x509certfile "$folder/$1/cert.pem" --x509keyfile "$folder/$1/key.pem" --alpn commy/1 \
    --priority "$2" 127.0.0.1 </dev/null >"$folder/said" 2>&1
}

echo 1..13
ok the-node-listens test -n "$port"
by_openssl good -tls1_3
ok openssl-with-a-good-certificate-is-welcome said 'Verify return code: 0'
by_openssl honest -tls1_3
ok a-certificate-that-openssl-made-is-as-good said 'ALPN protocol: commy/1'
by_gnutls good NORMAL
ok gnutls-cli-with-a-good-certificate-is-welcome said 'Handshake was completed'
by_openssl good -tls1_2
# attack: downgrade to TLS 1.2, by another implementation; defence: 1.3 or nothing; program: tests/tls/counterparts.sh; test: /tls/counterparts/openssl-cannot-downgrade-to-tls-1.2
ok "openssl-cannot-downgrade-to-tls-1.2" said 'alert handshake failure\|alert protocol version'
by_gnutls good NORMAL:-VERS-ALL:+VERS-TLS1.2
ok gnutls-cli-cannot-downgrade-to-tls-1.2 said 'fatal alert\|Handshake failed\|handshake.*fail'
by_openssl ended -tls1_3
# attack: an expired certificate, shown by another implementation; defence: refused; program: tests/tls/counterparts.sh; test: /tls/counterparts/an-expired-certificate-is-refused
ok "an-expired-certificate-is-refused" logged 'the certificate expired at'
by_openssl gone -tls1_3
# attack: a revoked certificate, shown by another implementation; defence: refused; program: tests/tls/counterparts.sh; test: /tls/counterparts/a-revoked-certificate-is-refused
ok "a-revoked-certificate-is-refused" logged 'the certificate was revoked at'
by_openssl two -tls1_3
ok a-certificate-with-two-names-is-refused logged 'has more than one URI name'
by_openssl trick -tls1_3
ok a-name-with-tricks-is-refused logged 'refused the peer .*segment\|refused the peer.*path'
by_openssl strange -tls1_3
ok a-certificate-of-another-authority-is-refused logged 'not signed by this mesh'
timeout 20 openssl s_client -connect "127.0.0.1:$port" -alpn commy/1 -tls1_3 </dev/null >"$folder/said" 2>&1
ok nobody-is-anonymous logged 'it showed no certificate'
by_openssl good -tls1_3 -alpn h2
ok other-protocols-are-refused said 'no application protocol'
