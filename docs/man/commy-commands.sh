#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The section COMMANDS of commy(1), made from what the program says of itself: every verb of
# "commy --help", and every subcommand that has a help of its own.
# usage: commy-commands.sh COMMY
set -eu
commy=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM HUP
# Messages as the sources have them, in an encoding that has all their letters; a leak that only a
# sanitizer sees must not stop a build.
LC_ALL=C.UTF-8
LANGUAGE=
ASAN_OPTIONS=detect_leaks=0
export LC_ALL LANGUAGE ASAN_OPTIONS

# Words that begin a line of a list: verbs of the overview, subcommands of a verb.
list_verbs () {
  awk '/^Usage:/ || /^Topics/ || /^Options:/ { inside = 0; next }
    /^[A-Z].*:$/ { inside = 1; next }
    inside && /^  [a-z][a-z-]*  +[^ ]/ { print $1 }' "$1"
}

list_subcommands () {
  awk '/^Help Options:/ { exit } NR > 2 && /^  [a-z][a-z-]*  +[^ ]/ { print $1 }' "$1"
}

# From the help of a verb to man: synopsis, paragraphs, options, examples.
to_man () { # title, summary
  awk -v title="$1" -v summary="$2" '
    function escape (text) {
      gsub (/…/, "...", text)
      gsub (/\\/, "\\e", text)
      gsub (/-/, "\\-", text)
      gsub (/'\''/, "\\(aq", text)
      gsub (/"/, "\\(dq", text)
      gsub (/`/, "\\(ga", text)
      gsub (/\^/, "\\(ha", text)
      gsub (/~/, "\\(ti", text)
      sub (/^\./, "\\\\\\&.", text)
      return text
    }
    function example (on) {
      if (on && !shown)
        print ".PP\n.RS 4\n.nf"
      if (!on && shown)
        print ".fi\n.RE"
      shown = on
    }
    BEGIN { print ".SS \"" escape (title) "\"" }
    NR == 1 && /^Usage:/ { next }
    /^Exit codes: 0 done/ { exit_codes = 1 }
    exit_codes && /^$/ { exit_codes = 0 }
    exit_codes { next }
    /^  commy / && !synopsis {
      synopsis = 1
      sub (/^  /, "")
      rest = ""
      if (match ($0, / - [^|\]]*$/)) {
        rest = substr ($0, RSTART + 3)
        $0 = substr ($0, 1, RSTART - 1)
      }
      print ".PP\n.B \"" escape ($0) "\""
      pending = (rest == "")
      if (rest != "")
        print ".PP\n" escape (toupper (substr (rest, 1, 1)) substr (rest, 2)) "."
      next
    }
    # What a verb with subcommands is about stands in the overview only.
    pending && !/^$/ {
      if (/^  /)
        print ".PP\n" escape (toupper (substr (summary, 1, 1)) substr (summary, 2)) "."
      pending = 0
    }
    /^(Help|Application) Options:$/ { example (0); options = 1; next }
    # What every verb has stands once, under OPTIONS.
    options && /^  (-h, --help|--mesh=NAME) / { common = 1; next }
    options && /^  -/ {
      common = 0
      line = substr ($0, 3)
      split_at = match (line, /  +/)
      print ".TP"
      if (split_at == 0) {
        print ".B \"" escape (line) "\""
        next
      }
      print ".B \"" escape (substr (line, 1, split_at - 1)) "\""
      print escape (substr (line, split_at + RLENGTH))
      next
    }
    options && common && /^   / { next }
    options && /^   / { sub (/^ +/, ""); print escape ($0); next }
    /^$/ { example (0); blank = 1; next }
    { options = 0 }
    /^  / { example (1); print escape (substr ($0, 3)); blank = 0; next }
    {
      if (shown) { example (0); blank = 1 }
      if (blank) print ".PP"
      blank = 0
      print escape ($0)
    }
    END { example (0) }'
}

# Of "commy WORDS": its page, then those of its subcommands.
tell () { # words
  help=$folder/help.$(echo "$*" | tr ' ' -)
  "$commy" "$@" --help >"$help" 2>/dev/null || :
  if [ ! -s "$help" ]; then
    printf '.SS %s\n.PP\nNot in this build.\n' "$*"
    return
  fi
  summary=$(awk -v verb="$*" '$1 == verb && /^  [a-z]/ {
    sub (/^  [a-z-]+ +/, ""); print; exit }' "$folder/overview")
  to_man "$*" "$summary" <"$help"
  for word in $(list_subcommands "$help"); do
    [ $# -lt 3 ] || continue
    "$commy" "$@" "$word" --help >"$folder/sub" 2>/dev/null || continue
    # Otherwise it was the same help again.
    if sed -n 2p "$folder/sub" | grep -q "^  commy $* $word "; then
      (tell "$@" "$word")
    fi
  done
}

"$commy" --help >"$folder/overview"
verbs=$(list_verbs "$folder/overview")
[ -n "$verbs" ] || { echo 'commy-commands: commy --help lists no verb' >&2 && exit 1; }
for verb in $verbs; do
  tell "$verb"
done
