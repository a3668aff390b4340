#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A guide, docs/guide/two-hosts.md if $page does not name another one, word for word: the blocks
# "sh host-a" and "sh host-b" run on two hosts (namespaces) that know each other by these names. A block "text" after one has lines that must
# be in its output, "..." standing for anything; "paste" means that the output of the block before
# is typed in. Nothing is replaced.
set -u
: "${COMMY_BUILD_DIR:?}" "${COMMY_SOURCE_DIR:?}"
page=${page-two-hosts}
guide=$COMMY_SOURCE_DIR/docs/guide/$page.md
hosts_library=$COMMY_SOURCE_DIR/examples/two-hosts/hosts.sh
# shellcheck source=/dev/null
. "$hosts_library"
if ! hosts_enter "$0" "$@"; then
  echo '1..0 # SKIP namespaces are refused here'
  exit 0
fi
PATH=$COMMY_BUILD_DIR:$PATH
export PATH
count=0
failed=0
said=/dev/null

# Each block is a file: 01.host-b.paste, and what it must say in 01.says.
# shellcheck disable=SC2154 # of hosts.sh
mkdir "$hosts/blocks"
awk -v folder="$hosts/blocks" '
  /^```sh host-/ { n++; file = sprintf ("%s/%02d.%s%s", folder, n, $2, $3 == "" ? "" : "." $3); next }
  /^```text$/ && n > told { told = n; file = sprintf ("%s/%02d.says", folder, n); next }
  /^```/ { close (file); file = ""; next }
  file != "" { print > file }' "$guide"

# Whether all lines of a file, as patterns, are in another.
all_said () { # wanted, output
  while IFS= read -r line; do
    pattern=$(printf '%s' "$line" | sed 's/[][\\.*^$]/\\&/g; s/\\\.\\\.\\\./.*/g')
    grep -q -e "^$pattern" "$2" || return 1
  done < "$1"
}

# A command in the background says it a little later.
await_said () {
  tries=0
  until all_said "$1" "$2"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || return 1
    sleep 0.1
  done
}

run_block () { # file
  name=$(basename "$1")
  number=${name%%.*}
  rest=${name#*.}
  out=$hosts/blocks/$number.out
  input=/dev/null
  [ "${rest%.paste}" = "$rest" ] || input=$said
  hosts_on "${rest%.paste}" sh -c "cd && $(cat "$1")" > "$out" 2> "$out.err" < "$input"
  status=$?
  wanted=$hosts/blocks/$number.says
  [ "$status" -ne 0 ] || [ ! -e "$wanted" ] || await_said "$wanted" "$out" || status=said
  count=$((count + 1))
  [ "$status" = 0 ] || { failed=$((failed + 1)); printf 'not '; }
  printf 'ok %s - /guide/%s/%s/%s\n' "$count" "$page" "${rest%.paste}" "$(head -n 1 "$1" | cut -c1-60)"
  [ "$status" = 0 ] || { printf '# status %s\n' "$status"; sed 's/^/# /' "$out" "$out.err"; }
  said=$out
}

for block in "$hosts"/blocks/[0-9]*.host-*; do
  run_block "$block"
done
count=$((count + 1))
if [ "$count" -eq 11 ]; then
  echo "ok $count - /guide/$page/has-ten-commands"
else
  echo "not ok $count - /guide/$page/has-ten-commands"
fi
echo "1..$count"
[ "$failed" -eq 0 ]
