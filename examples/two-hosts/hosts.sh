# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Two hosts on one machine, for scripts that source this file: two sets of namespaces with a
# cable between them, each with a network, a host's name, mounts and folders of its own. Nothing
# outlives the script; nothing outside is touched. An ordinary user gets a user namespace.
#
#   hosts_library=PATH        of this file, before it is sourced
#   hosts_enter "$0" "$@"     at the very beginning: runs the script again inside, where it returns;
#                             fails where namespaces are refused
#   hosts_on host-b COMMAND   runs a command there; "on host-a" is where the script itself is
#   $hosts                    the folder with host-a/ and host-b/ in it

hosts_a=10.77.0.1
hosts_b=10.77.0.2

# The whole of it goes with its first process: --kill-child, and a process namespace.
hosts_unshare () {
  as=--map-root-user
  [ "$(id -u)" -ne 0 ] || as=
  # shellcheck disable=SC2086 # nothing, for root
  exec unshare $as --net --mount --uts --pid --fork --kill-child --mount-proc "$@"
}

hosts_leave () {
  [ -z "$hosts_child" ] || kill -KILL "$hosts_child" 2>/dev/null
  rm -rf "$hosts"
}

hosts_enter () {
  if [ -n "${COMMY_HOSTS-}" ]; then
    hosts=$COMMY_HOSTS
    unset COMMY_HOSTS
    hosts_set_up
    return
  fi
  command -v ip >/dev/null && (hosts_unshare true) 2>/dev/null || return 1
  hosts=$(mktemp -d "${TMPDIR:-/tmp}/commy-hosts.XXXXXX") || return 1
  hosts_child=
  trap hosts_leave EXIT
  trap 'exit 130' INT TERM HUP
  (COMMY_HOSTS=$hosts && export COMMY_HOSTS && hosts_unshare sh "$@") &
  hosts_child=$!
  status=0
  wait "$hosts_child" || status=$?
  hosts_child=
  exit "$status"
}

# In either host: its name, its addresses, and nothing of the other's folders.
hosts_begin () { # name, address, device, other
  hostname "$1"
  ip link set lo up
  ip addr add "$2/24" dev "$3"
  ip link set "$3" up
  mount --bind "$hosts/names" /etc/hosts
  mount -t tmpfs none "$hosts/$4"
}

hosts_set_up () {
  printf '127.0.0.1 localhost\n%s host-a\n%s host-b\n' $hosts_a $hosts_b > "$hosts/names"
  for host in host-a host-b; do
    mkdir -m 700 "$hosts/$host" "$hosts/$host/run" "$hosts/$host/state" "$hosts/$host/home"
  done
  ip link add cable-a type veth peer name cable-b || return 1
  unshare --net --mount --uts sleep infinity &
  hosts_peer=$!
  while [ "$(readlink /proc/$hosts_peer/ns/uts)" = "$(readlink /proc/self/ns/uts)" ]; do
    sleep 0.02
  done
  ip link set cable-b netns $hosts_peer || return 1
  # A shell over there, with the functions and the folder of this one.
  # shellcheck disable=SC2154 # the script's
  hosts_there sh -c ". '$hosts_library'; hosts='$hosts'
    hosts_begin host-b $hosts_b cable-b host-a" &&
    hosts_begin host-a $hosts_a cable-a host-b
}

hosts_there () {
  nsenter --target "$hosts_peer" --net --mount --uts -- "$@"
}

hosts_on () { # host, command
  host=$1
  shift
  set -- env -u XDG_CONFIG_HOME -u XDG_STATE_HOME -u XDG_RUNTIME_DIR -u XDG_CACHE_HOME \
    HOME="$hosts/$host/home" COMMY_RUNTIME_DIR="$hosts/$host/run" \
    COMMY_STATE_DIR="$hosts/$host/state" "$@"
  if [ "$host" = host-a ]; then
    "$@"
  else
    hosts_there "$@"
  fi
}
