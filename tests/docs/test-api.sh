#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The pages of the API are made without a warning, every symbol is described, every program in them
# compiles as it stands there.
# shellcheck disable=SC1091,SC2154 # the library has the variables
set -u
. "$COMMY_SOURCE_DIR/tests/docs/library.sh"
cd "$COMMY_BUILD_DIR" || exit 1
gir=Commy-1.gir
pages=$COMMY_SOURCE_DIR/docs/api

# The generator ends well although it warned; so what it says is what counts.
silent () {
  "$@" >"$folder/silent" 2>&1 || { cat "$folder/silent"; return 1; }
  ! grep -i -e warning -e error "$folder/silent"
}

generate () {
  silent gi-docgen generate --quiet --fatal-warnings --config=docs/api/commy.toml \
    --content-dir="$pages" --output-dir="$folder/pages" "$gir" || return 1
  for page in index class.Mesh class.Client class.Service class.Invocation error.Error \
    struct.Decision overview first-call threads errors plugins; do
    [ -s "$folder/pages/Commy-1/$page.html" ] || { echo "no page $page.html"; return 1; }
  done
}

# A link to what does not exist stays as it was written.
no_dead_links () {
  ! grep -rnoE '\[(class|struct|method|func|error|enum|ctor|callback)@[^]]*\]' "$folder/pages"
}

catches_an_undocumented_symbol () {
  awk '/c:identifier="commy_client_call_sync"/ { skip = 1 }
    skip && /<doc / { drop = 1 }
    !drop { print }
    /<\/doc>/ { if (drop) skip = 0; drop = 0 }' "$gir" >"$folder/$gir"
  ! silent gi-docgen check --quiet --config=docs/api/commy.toml "$folder/$gir"
}

compiles () {
  for program in "$folder/programs"/*.c; do
    # shellcheck disable=SC2086 # a list of words
    cc -fsyntax-only -Wall -Wextra -Werror -Wno-unused-parameter $flags \
      -I"$COMMY_BUILD_DIR/include" -I"$COMMY_SOURCE_DIR/include" "$program" || return 1
  done
  [ "$(find "$folder/programs" -name '*.c' | wc -l)" -eq 2 ]
}

if ! command -v gi-docgen >/dev/null; then
  skip pages-without-a-warning 'gi-docgen is not installed'
elif [ ! -e "$gir" ]; then
  skip pages-without-a-warning 'built without introspection'
else
  ok pages-without-a-warning generate
  ok every-link-leads-somewhere no_dead_links
  ok every-symbol-is-described silent gi-docgen check --quiet --config=docs/api/commy.toml "$gir"
  ok a-symbol-without-a-description-is-caught catches_an_undocumented_symbol
fi
flags=$(pkg-config --cflags gio-2.0 2>/dev/null) || flags=
if [ -n "$flags" ] && command -v cc >/dev/null; then
  blocks "$pages/first-call.md" c "$folder/programs"
  ok programs-in-the-pages-compile compiles
else
  skip programs-in-the-pages-compile 'neither a compiler called cc nor pkg-config here'
fi
finish
