#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two hosts that share nothing but a cable: one authority, a second host that joins it, calls over
# mutual TLS and over shared memory, why each, strangers that are refused, and a fallback from one
# host to the other. Everything shown was just done; ends with 0 only if all came out right.
# shellcheck disable=SC2016 # what is quoted is for shells on the hosts
set -u
: "${COMMY_BUILD_DIR:?}" "${COMMY_SOURCE_DIR:?}"
hosts_library=$COMMY_SOURCE_DIR/examples/two-hosts/hosts.sh
# shellcheck source=/dev/null
. "$hosts_library"

if ! hosts_enter "$0" "$@"; then
  echo 'This system refuses namespaces (or has no command ip), so there is no second host to show:'
  echo 'only instances of one host, one of which denies shared memory, as in examples/digest.'
  exit 0
fi

COMMY_SHIPPED_CONFIG=$COMMY_SOURCE_DIR/deploy/config/commy.conf
COMMY_CONFIG=$COMMY_SOURCE_DIR/tests/build-tree.conf
COMMY_PLUGIN_PATH=$COMMY_BUILD_DIR/modules/.libs
PATH=$COMMY_BUILD_DIR:$PATH
export COMMY_SHIPPED_CONFIG COMMY_CONFIG COMMY_PLUGIN_PATH PATH
service=org.example.Digest
# shellcheck disable=SC2154 # of hosts.sh
out=$hosts/out
wrong=0
bold='' dim='' bad='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
  bold=$(printf '\033[1m') dim=$(printf '\033[2m') bad=$(printf '\033[31m') plain=$(printf '\033[0m')
fi

title () {
  printf '\n%s== %s%s\n' "$bold" "$1" "$plain"
}

# run HOST COMMAND: shows and does it; its output and errors are in $out.
run () {
  where=$1
  shift
  printf '\n%s%s$%s %s\n' "$dim" "$where" "$plain" "$*"
  status=0
  hosts_on "$where" sh -c "cd; $*" > "$out" 2>&1 < /dev/null || status=$?
  show
}

show () {
  grep -v '^note: trust=any' "$out" | sed "s|$hosts/host-[ab]/home|~|g; s|$hosts/||g; s/^/  /"
}

# expect WHAT COMMAND: notes what did not come out right.
expect () {
  what=$1
  shift
  "$@" && return
  wrong=$((wrong + 1))
  printf '%s  NOT SO: %s%s\n' "$bad" "$what" "$plain"
}

done_well () { [ "$status" -eq 0 ]; }
refused () { [ "$status" -ne 0 ]; }
says () { grep -q -e "$1" "$out"; }

write () { # host, file below its home; text on standard input
  hosts_on "$1" sh -c "mkdir -p \"\$(dirname \"\$HOME/$2\")\" && cat > \"\$HOME/$2\""
  printf '\n%s%s%s ~/%s\n' "$dim" "$1" "$plain" "$2"
  hosts_on "$1" sh -c "sed 's/^/  /' \"\$HOME/$2\""
}

# background HOST COMMAND...: starts it; its process is in $server, its first line in $line.
background () {
  where=$1
  shift
  printf '\n%s%s$%s %s &\n' "$dim" "$where" "$plain" "$*"
  mkfifo "$hosts/ready"
  hosts_on "$where" sh -c 'echo $$ && exec "$@"' sh "$@" > "$hosts/ready" 2> "$hosts/$where.err" &
  exec 3< "$hosts/ready"
  { read -r server && read -r line; } <&3 || line='it did not start'
  exec 3<&-
  rm "$hosts/ready"
  printf '  %s\n' "$line"
}

serve () { # host
  background "$1" commy serve $service --method Host=hostname --method Sha256='sha256sum | cut -c1-64'
}

title 'two hosts: a network, a name and folders each, and a cable in between'
run host-a 'hostname; ip -brief address show cable-a'
run host-b 'hostname; ip -brief address show cable-b'
expect 'host-b has a name of its own' says '^host-b'

title 'host-a has the authority; host-b gets a certificate of it'
run host-a 'commy pki init'
expect 'the authority is there' done_well
background host-a commy pki serve --listen 10.77.0.1:7443
expect 'the authority listens' test "$line" = 'listening  10.77.0.1:7443'
joining=$server
printf '\n%shost-a$%s commy pki token create | %shost-b$%s commy join -\n' "$dim" "$plain" "$dim" "$plain"
status=0
hosts_on host-a commy pki token create 2>/dev/null |
  hosts_on host-b commy join - > "$out" 2>&1 || status=$?
show
expect 'host-b has joined' done_well
kill "$joining"

title 'host-b offers a service on a port that is known; host-a is told where'
write host-b .config/commy/commy.conf <<END
[plugin transport/tls]
param.bind=0.0.0.0
param.port=7001
END
serve host-b
expect 'host-b listens on the network' test "${line#*\(*tls}" != "$line"
write host-a .config/commy/commy.conf <<END
[service $service]
endpoints=tls://host-b:7001
END

title 'host-a calls host-b: over TLS, each side knows the other by its certificate'
run host-a "commy call $service Host --bytes ''"
expect 'host-b answered' says '^host-b'
run host-a "commy call $service Sha256 --bytes-file /etc/hosts; sha256sum < /etc/hosts"
expect 'the digest is right' test "$(cut -c1-64 "$out" | sort -u | wc -l)" -eq 1
run host-a "commy route explain $service --size 4k"
expect 'TLS was chosen' says '^\* tls'

title 'host-a offers it, too: by itself now, over shared memory'
serve host-a
here=$server
run host-a "commy call $service Host --bytes ''"
expect 'host-a answered' says '^host-a'
run host-a "commy route explain $service --size 4k"
expect 'shared memory was chosen' says '^\* shm'

title 'the one on host-a is killed; the next call goes to host-b'
printf '\n%shost-a$%s kill -KILL %s\n' "$dim" "$plain" "$here"
kill -KILL "$here"
run host-a "commy call $service Host --bytes ''"
expect 'host-b took over' says '^host-b'

title 'strangers: without a certificate, and with one of their own making'
hosts_on host-a sh -c 'mkdir -m 700 "$HOME/stranger"'
run host-a "COMMY_STATE_DIR=\$HOME/stranger commy call $service Host --bytes ''"
expect 'without a certificate there is no way' refused
run host-a "export COMMY_STATE_DIR=\$HOME/stranger; commy pki init > /dev/null
  commy call $service Host --bytes ''"
expect 'another authority is refused' refused

if [ "$wrong" -eq 0 ]; then
  title 'all right: two hosts, one mesh'
else
  title "NOT RIGHT: $wrong of what was shown came out otherwise"
fi
[ "$wrong" -eq 0 ]
