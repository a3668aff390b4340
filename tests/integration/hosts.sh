# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# For the scripts that source this file: runs a Python program of this folder as the first process
# of namespaces of its own, with a folder that goes with it. What is missing here is said in TAP.
#
#   hosts_run PROGRAM ARGUMENTS    the program gets the folder and these

as=--map-root-user
[ "$(id -u)" -ne 0 ] || as=

hosts_missing () {
  for tool in etcd ip tc nft nsenter /usr/bin/python3; do
    command -v $tool >/dev/null || { echo "$tool is not installed"; return; }
  done
  # shellcheck disable=SC2086 # nothing, for root
  unshare $as --net --mount --uts --pid --fork sh -c \
    'nft add table inet t && nft add chain inet t c "{ type filter hook input priority 0; }" &&
     ip link add bridge type bridge' >/dev/null 2>&1 || echo 'namespaces are refused here'
}

# In memory where there is room: etcd waits for the disk at every change.
hosts_folder () {
  room=$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)
  if [ "${room:-0}" -gt 1000000 ]; then
    mktemp -d /dev/shm/commy-hosts.XXXXXX
  else
    mktemp -d "${TMPDIR:-/tmp}/commy-hosts.XXXXXX"
  fi
}

hosts_leave () {
  [ -z "$hosts_child" ] || kill -KILL "$hosts_child" 2>/dev/null
  wait
  rm -rf "$hosts_dir"
}

hosts_run () {
  PATH=$PATH:/usr/sbin:/sbin PYTHONDONTWRITEBYTECODE=1
  export PATH PYTHONDONTWRITEBYTECODE
  missing=$(hosts_missing)
  if [ -n "$missing" ]; then
    echo "1..0 # SKIP $missing"
    exit 0
  fi
  hosts_dir=$(hosts_folder) || exit 99
  hosts_child=
  trap hosts_leave EXIT
  trap 'exit 130' INT TERM HUP
  program=$COMMY_SOURCE_DIR/tests/integration/$1
  shift
  # shellcheck disable=SC2086 # nothing, for root
  unshare $as --net --mount --uts --pid --fork --kill-child --mount-proc \
    /usr/bin/python3 "$program" "$hosts_dir" "$@" &
  hosts_child=$!
  status=0
  wait "$hosts_child" || status=$?
  hosts_child=
  exit "$status"
}
