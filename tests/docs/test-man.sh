#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual pages: without a warning of groff, with every verb, option, key, parameter type and
# state that there is.
# shellcheck disable=SC1091,SC2154 # the library has the variables
set -u
. "$COMMY_SOURCE_DIR/tests/docs/library.sh"
COMMY_STATE_DIR=$folder/state
COMMY_RUNTIME_DIR=$folder/run
LC_ALL=C.UTF-8
LANGUAGE=
export COMMY_STATE_DIR COMMY_RUNTIME_DIR LC_ALL LANGUAGE
mkdir -m 700 "$folder/state" "$folder/run"
commy=$COMMY_BUILD_DIR/commy
command_page=$COMMY_BUILD_DIR/docs/man/commy.1
config_page=$COMMY_BUILD_DIR/docs/man/commy.conf.5
plugin_page=$COMMY_SOURCE_DIR/docs/man/commy-plugin.5

# As a reader sees it, without bold and without broken lines.
rendered () {
  groff -man -t -P-cbou -Tutf8 -rLL=1000n "$1" 2>/dev/null | sed 's/‐/-/g; s/−/-/g'
}

clean () {
  # Wide: how long the places are on this machine is no fault of the page.
  groff -man -t -ww -z -Tutf8 -rLL=400n "$1" >"$folder/warnings" 2>&1
  cat "$folder/warnings"
  [ ! -s "$folder/warnings" ] && ! grep -n '@[A-Za-z][A-Za-z ]*@' "$1"
}

has () { # text, in a file
  grep -q -F -e "$1" "$2" || { echo "lacks $1"; return 1; }
}

# From the end of one heading to the next: `section TITLE FILE`.
section () {
  awk -v title="   $1" '$0 == title { inside = 1; next } /^( {3})?[^ ]/ { inside = 0 } inside' "$2"
}

has_every_verb () {
  "$commy" --help | awk '/^Usage:/ || /^Topics/ || /^Options:/ { inside = 0; next }
    /^[A-Z].*:$/ { inside = 1; next } inside && /^  [a-z]/ { print $1 }' >"$folder/verbs"
  [ "$(wc -l <"$folder/verbs")" -ge 9 ] || { echo 'too few verbs'; return 1; }
  while read -r verb; do
    section "$verb" "$folder/commy.1" >"$folder/section"
    has "commy $verb" "$folder/section" || return 1
    "$commy" "$verb" --help 2>/dev/null </dev/null | grep -o -E -e '--[a-z][a-z-]*' |
      sort -u >"$folder/options" || return 1
    while read -r option; do
      case $option in
        --help | --mesh) has "$option" "$folder/commy.1" || return 1 ;;
        *) has "$option" "$folder/section" || { echo "in the section of $verb"; return 1; } ;;
      esac
    done <"$folder/options"
  done <"$folder/verbs"
}

has_every_subcommand () {
  "$commy" pki --help | awk '/^Help Options:/ { exit } NR > 2 && /^  [a-z]+  +[^ ]/ { print $1 }' \
    >"$folder/subcommands"
  [ -s "$folder/subcommands" ] || { echo 'pki has no subcommands'; return 1; }
  while read -r word; do
    section "pki $word" "$folder/commy.1" >"$folder/section"
    has "commy pki $word" "$folder/section" || return 1
  done <"$folder/subcommands"
}

has_every_exit_code () {
  "$commy" call --help | sed -n '/^Exit codes:/,$p' | grep -o -E '[0-9]+ ' >"$folder/codes"
  [ "$(wc -l <"$folder/codes")" -ge 6 ] || { echo 'too few exit codes'; return 1; }
  sed -n '/^EXIT STATUS/,/^ENVIRONMENT/p' "$folder/commy.1" >"$folder/section"
  while read -r code; do
    grep -q "^ *$code  " "$folder/section" || { echo "lacks exit code $code"; return 1; }
  done <"$folder/codes"
}

has_every_variable () {
  grep -r -o -h -E 'g_getenv \("[A-Z_]+"\)' "$COMMY_SOURCE_DIR/core" "$COMMY_SOURCE_DIR/cli" \
    "$COMMY_SOURCE_DIR/auth" | cut -d '"' -f 2 | sort -u >"$folder/variables"
  [ -s "$folder/variables" ] || { echo 'no variable was found'; return 1; }
  while read -r variable; do
    case $variable in
      # What a terminal is, and what only tests set.
      TERM | COMMY_FAILPOINTS | COMMY_LOCALE_DIR | G_TEST_* | SHELL | LANGUAGE | PATH) ;;
      *) has "$variable" "$folder/commy.1" || return 1 ;;
    esac
  done <"$folder/variables"
}

# The program tells each key that has a default, and the page its default.
has_every_key () {
  "$commy" config show -o json >"$folder/settings" || return 1
  /usr/bin/python3 - "$folder/settings" "$folder/commy.conf.5" <<'END'
import json, re, sys
settings = json.load(open(sys.argv[1]))
page = open(sys.argv[2]).read()
groups = dict()
for title, body in re.findall(r"^   \[([^\]]+)\]\n(.*?)(?=^   \[|^[A-Z])", page, re.M | re.S):
    groups[title.split()[0]] = body
wrong = 0
for line in settings:
    group, key = line["group"].split()[0], line["key"]
    entry = re.search(r"^ {7}%s\s(.*?)\n\n" % re.escape(key), groups.get(group, ""), re.M | re.S)
    if key.startswith("param."):
        continue
    if not entry:
        wrong += 1
        print("lacks %s of [%s]" % (key, group))
    elif line["origin"] == "default" and line["value"] and "default: " + line["value"] not in entry.group(1):
        wrong += 1
        print("%s of [%s] does not say default: %s" % (key, group, line["value"]))
sys.exit(1 if wrong or len(settings) < 20 else 0)
END
}

# And the shipped keyfile speaks of no key that the page lacks.
has_every_shipped_key () {
  sed -n -E 's/^#?[ ]?([a-z][a-z0-9.-]*|param\.NAME)=.*/\1/p' \
    "$COMMY_SOURCE_DIR/deploy/config/commy.conf" | sort -u >"$folder/shipped"
  [ "$(wc -l <"$folder/shipped")" -ge 20 ] || { echo 'too few keys'; return 1; }
  while read -r key; do
    grep -q -E "^ {7}$key(\$| )" "$folder/commy.conf.5" || { echo "lacks $key"; return 1; }
  done <"$folder/shipped"
}

examples_are_right () {
  awk '/^\.nf$/ { text = ""; inside = 1; next } /^\.fi$/ { inside = 0; if (text ~ /^(#.*\n)?\[/)
    printf "%s", text > (folder "/example" ++n ".conf"); next }
    inside { text = text $0 "\n" }' folder="$folder" "$config_page"
  set -- "$folder"/example*.conf
  [ $# -ge 4 ] || { echo "only $# examples"; return 1; }
  sed -i 's/\\-/-/g' "$@"
  "$commy" config check "$@"
}

has_every_state () {
  sed -n -E 's/^.*States: (.*)$/\1/p; /States:/,/Since:/p' \
    "$COMMY_SOURCE_DIR/include/commy/commy-mesh.h" | grep -o -w -E \
    'found|rejected|hidden|disabled|quarantined|loaded|active|quiesced|failed' | sort -u >"$folder/states"
  sed -n -E 's/^ *\[?COMMY_PLUGIN_STATE_([A-Z]+)[,=] .*/\1/p; s/^ *COMMY_PLUGIN_STATE_([A-Z]+),.*/\1/p' \
    "$COMMY_SOURCE_DIR/core/plugin/commy-catalog.h" | tr '[:upper:]' '[:lower:]' | sort -u >>"$folder/states"
  [ "$(sort -u "$folder/states" | wc -l)" -ge 9 ] || { echo 'too few states'; return 1; }
  sed -n '/^   States/,/^FILES/p' "$folder/commy-plugin.5" >"$folder/section"
  while read -r state; do
    grep -q "^ *$state" "$folder/section" || { echo "lacks $state"; return 1; }
  done <"$folder/states"
}

has_what_the_header_says () {
  for name in COMMY_NOTE_OWNER COMMY_NOTE_TYPE COMMY_NOTE_SECTION COMMY_QUERY_SYMBOL; do
    value=$(sed -n -E "s/^#define $name \"?([^\" ]*[^\" u])u?\"?( .*)?\$/\\1/p" \
      "$COMMY_SOURCE_DIR/include/commy/commy-descriptor.h")
    [ -n "$value" ] || { echo "the header lacks $name"; return 1; }
    has "$value" "$folder/commy-plugin.5" || return 1
  done
}

catches () { # a page that lacks what it must have: sed script, page, test
  cp "$folder/$2" "$folder/kept"
  sed -i "$1" "$folder/$2"
  ! "$3"
  status=$?
  mv "$folder/kept" "$folder/$2"
  return "$status"
}

if ! command -v groff >/dev/null; then
  skip pages 'groff is not installed'
  finish
fi
for page in "$command_page" "$config_page" "$plugin_page"; do
  name=$(basename "$page")
  rendered "$page" >"$folder/$name"
  ok "$name/has-no-warning" clean "$page"
done
ok commy.1/has-every-verb-and-option has_every_verb
ok commy.1/has-every-subcommand-with-a-help-of-its-own has_every_subcommand
ok commy.1/has-every-exit-code has_every_exit_code
ok commy.1/has-every-variable-of-the-environment has_every_variable
ok commy.1/an-option-that-is-missing-is-caught catches 's/--why-not/--why/' commy.1 has_every_verb
ok commy.conf.5/has-every-key-with-its-default has_every_key
ok commy.conf.5/has-every-key-of-the-shipped-file has_every_shipped_key
ok commy.conf.5/a-key-that-is-missing-is-caught \
  catches 's/^       tie-band/       tie-bend/' commy.conf.5 has_every_key
ok commy.conf.5/its-examples-are-right examples_are_right
ok commy-plugin.5/has-every-state has_every_state
ok commy-plugin.5/has-what-the-header-says has_what_the_header_says
finish
