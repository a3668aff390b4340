#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who knows gdbus-codegen is at home: for the same description both give the same names to calls,
# answers, signals and handlers. And what cannot be named is refused.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
data=$COMMY_SOURCE_DIR/tests/codegen

# functions FILE: what both have, without the accessors of properties and what belongs to a bus
functions () {
  grep -o '\b[a-z0-9_]*_\(call\|complete\|emit\)_[a-z0-9_]* (' "$1" | sort -u
}
handlers () {
  grep -o '(\*handle_[a-z0-9_]*)' "$1" | sort -u
}
number=0
for file in "$data"/interfaces/*.xml; do
  number=$((number + 1))
  theirs=$folder/theirs$number
  ours=$folder/ours$number
  # Of what D-Bus itself offers at every object we make nothing.
  if grep -q 'interface name="org.freedesktop.DBus.' "$file"; then
    sed '/interface name="org.freedesktop.DBus./,/<\/interface>/d' "$file" > "$folder/part.xml"
  else
    cp "$file" "$folder/part.xml"
  fi
  gdbus-codegen --interface-prefix org.freedesktop. --c-namespace Some --generate-c-code "$theirs" \
    "$folder/part.xml" || exit 1
  run codegen --interface-prefix org.freedesktop. --c-namespace Some --generate-c-code "$ours" "$file"
  name=$(basename "$file" .xml)
  ok "codegen/$name-exits-0" exits 0
  functions "$theirs.h" > "$folder/a"
  functions "$ours.h" > "$folder/b"
  ok "codegen/$name-has-functions" test -s "$folder/a"
  diff "$folder/a" "$folder/b" | sed 's/^/# /'
  ok "codegen/$name-has-the-functions-of-gdbus-codegen" cmp "$folder/a" "$folder/b"
  handlers "$theirs.h" > "$folder/a"
  handlers "$ours.h" | sort -u > "$folder/b"
  ok "codegen/$name-has-the-handlers-of-gdbus-codegen" cmp "$folder/a" "$folder/b"
done

# --- where it goes ---
run codegen --header --c-namespace Some "$data/everything.xml"
ok codegen/stdout-is-the-default says '^#define SOME_TYPE_ORG_EXAMPLE_EVERYTHING '
ok codegen/guard says '^#ifndef GENERATED_'
run codegen --header --pragma-once "$data/everything.xml"
ok codegen/pragma-once says '^#pragma once$'
ok codegen/documentation-of-the-xml says '^ \* Really\.$'
ok codegen/deprecated says '^G_GNUC_DEPRECATED gboolean org_example_everything_call_old_sync ($'
mkdir "$folder/made"
run codegen --generate-c-code pair --output-directory "$folder/made" "$data/everything.xml"
ok codegen/pair-in-a-folder test -s "$folder/made/pair.c" -a -s "$folder/made/pair.h"
ok codegen/body-includes-its-header grep -q '^#include "pair.h"$' "$folder/made/pair.c"
cp "$folder/made/pair.c" "$folder/first"
run codegen --generate-c-code pair --output-directory "$folder/made" "$data/everything.xml"
ok codegen/same-input-same-output cmp "$folder/first" "$folder/made/pair.c"

# --- refusals ---
run codegen --header
ok codegen/no-file-exits-2 exits 2
run codegen "$data/everything.xml"
ok codegen/no-kind-exits-2 exits 2
run codegen --header --body "$data/everything.xml"
ok codegen/two-kinds-exit-2 exits 2
run codegen --header --c-namespace 9a "$data/everything.xml"
ok codegen/bad-namespace-exits-2 exits 2
run codegen --header "$folder/none.xml"
ok codegen/missing-file-exits-2 exits 2
ok codegen/missing-file-is-named complains 'none.xml cannot be read'
run codegen --header "$data/everything.xml" "$data/everything.xml"
ok codegen/twice-exits-2 exits 2
refuse () { # NAME WORDS BODY
  printf '<node><interface name="a.b">%s</interface></node>\n' "$3" > "$folder/bad.xml"
  run codegen --header "$folder/bad.xml"
  ok "codegen/$1-exits-2" exits 2
  ok "codegen/$1-says-why" complains "$2"
}
refuse one-name-for-two 'would both be called handle-get-it in C' '<method name="GetIt"/><method name="get_it"/>'
refuse notify 'GObject::notify' '<signal name="Notify"/>'
refuse deadline 'org.commy.Deadline is a time' \
  '<method name="A"><annotation name="org.commy.Deadline" value="soon"/></method>'
for topic in '' 'a b' 'a..b' 'lab.*' '??/' 'a\b'; do
  refuse "topic-$topic" 'org.commy.Topic is the name of a topic' \
    "<signal name='A'><annotation name='org.commy.Topic' value='$topic'/></signal>"
done
printf '<node><interface name="a.b"><annotation name="c.d" value="??/"/></interface></node>' > "$folder/c.xml"
run codegen --body "$folder/c.xml"
ok codegen/no-trigraphs says 'value=.*\\?\\?/'
printf '<node/>\n' > "$folder/bad.xml"
run codegen --header "$folder/bad.xml"
ok codegen/no-interface-exits-2 exits 2
finish
