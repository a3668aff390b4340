# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# What the tests of documents share: a folder of their own, one TAP line a case. Source it; end with
# `finish`.
case_number=0
failed=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM HUP

# ok NAME COMMAND...: the case passes if the command does; what it writes is shown if not.
ok () {
  case_name=$1
  shift
  case_number=$((case_number + 1))
  if "$@" >"$folder/said" 2>&1; then
    printf 'ok %s - /docs/%s\n' "$case_number" "$case_name"
    return
  fi
  failed=$((failed + 1))
  printf 'not ok %s - /docs/%s\n' "$case_number" "$case_name"
  sed 's/^/# /' "$folder/said"
}

skip () { # name, reason
  case_number=$((case_number + 1))
  echo "ok $case_number - /docs/$1 # SKIP $2"
}

# The blocks of a language in a file, one file each: FOLDER/1.LANGUAGE ...
# usage: blocks FILE LANGUAGE FOLDER
blocks () {
  mkdir -p "$3"
  awk -v language="$2" -v folder="$3" '
    $0 ~ "^```" language "( |$)" { file = folder "/" ++n "." language; printf "" > file; next }
    /^```/ { file = "" }
    file { print > file }' "$1"
}

# 01.sh, what it must say in 01.says; usage: shell_blocks FILE FOLDER
shell_blocks () {
  mkdir -p "$2"
  awk -v folder="$2" '
    /^```sh$/ { file = sprintf ("%s/%02d.sh", folder, ++n); next }
    /^```text$/ && behind { file = sprintf ("%s/%02d.says", folder, n); behind = 0; next }
    /^```/ { behind = (file ~ /\.sh$/); close (file); file = ""; next }
    NF { behind = 0 }
    file != "" { print > file }' "$1"
}

# Whether every line of a file, "..." for anything, is in another.
all_said () { # wanted, output
  while IFS= read -r line; do
    pattern=$(printf '%s' "$line" | sed 's/[][\\.*^$]/\\&/g; s/\\\.\\\.\\\./.*/g; s/  */ */g')
    grep -q -e "^$pattern" "$2" || { echo "did not say: $line"; return 1; }
  done <"$1"
}

# Runs a block in $HOME; what it must say is beside it.
run_block () {
  (cd "$HOME" && sh -eu "$1") >"$1.out" 2>&1 </dev/null || { cat "$1.out"; return 1; }
  wanted=${1%.sh}.says
  [ ! -e "$wanted" ] || all_said "$wanted" "$1.out" || { cat "$1.out"; return 1; }
}

finish () {
  echo "1..$case_number"
  [ "$failed" -eq 0 ] || exit 1
  exit 0
}
