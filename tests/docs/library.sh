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

finish () {
  echo "1..$case_number"
  [ "$failed" -eq 0 ] || exit 1
  exit 0
}
