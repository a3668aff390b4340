#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Help: the overview and topics as they were reviewed, and a page for every number.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
golden=$COMMY_SOURCE_DIR/tests/cli/golden

# After a wanted change: run with COMMY_UPDATE_GOLDEN=1 and look at what git shows.
same () { # name
  if [ -n "${COMMY_UPDATE_GOLDEN-}" ]; then
    cp "$out" "$golden/$1"
  fi
  diff "$golden/$1" "$out" | sed 's/^/# /'
  cmp -s "$golden/$1" "$out"
}
narrow () { # no line is wider than a terminal of old
  ! awk 'length ($0) > 90 { print "# too wide: " $0; found = 1 } END { exit !found }' "$out"
}

run help
ok help/exits-0 exits 0
ok help/overview-is-the-reviewed-one same overview.txt
ok help/overview-is-narrow narrow
cp "$out" "$folder/overview"
run --help
ok help/option-and-verb-say-the-same cmp "$folder/overview" "$out"
run help words
ok help/topic-is-the-reviewed-one same words.txt
run help CMY0301
ok help/error-is-the-reviewed-one same CMY0301.txt
for form in cmy0301 301 0301; do
  run help "$form"
  ok "help/error-as-$form" cmp "$golden/CMY0301.txt" "$out"
done
for topic in words values keyfiles environment security json slow; do
  run help "$topic"
  ok "help/topic-$topic-exits-0" exits 0
  ok "help/topic-$topic-is-narrow" narrow
done

# Every number that the header has.
run help errors
cp "$out" "$folder/errors"
sed -n 's/^  COMMY_ERROR_[A-Z_]* = \([0-9]*\),$/\1/p' \
  "$COMMY_SOURCE_DIR/include/commy/commy-error.h" > "$folder/numbers"
ok help/the-header-has-numbers test "$(wc -l < "$folder/numbers")" -gt 30
while read -r code; do
  number=$(printf 'CMY%04d' "$code")
  run help "$number"
  ok "help/$number-exits-0" exits 0
  ok "help/$number-has-causes" says '^Common causes:$'
  ok "help/$number-has-an-example" says '^Example:$'
  ok "help/$number-is-narrow" narrow
  cp "$folder/errors" "$out"
  ok "help/$number-is-in-the-list" says "^$number  "
done < "$folder/numbers"

# Every verb and option that an example names exists.
sed -n '/^Example:$/,$s/^  commy \([a-z]*\).*/\1/p' "$golden/CMY0301.txt" > "$folder/verbs"
while read -r verb; do
  run "$verb" --help
  ok "help/example-names-the-verb-$verb" exits 0
done < "$folder/verbs"

# Every check of the doctor.
run help checks
ok help/checks-exits-0 exits 0
cut -c1-4 "$out" > "$folder/codes"
while read -r code; do
  run help "$code"
  ok "help/$code-exits-0" exits 0
  ok "help/$code-has-a-way-out" says 'Way out\|Way$'
  ok "help/$code-is-narrow" narrow
done < "$folder/codes"

# Verbs, and what there is no help on.
run help serve
ok help/verb-is-its-own-help says '^  commy serve '
run help srever
ok help/unknown-exits-3 exits 3
run help CMY9999
ok help/unknown-number-exits-3 exits 3
run help CMY0301x
ok help/number-with-a-tail-exits-3 exits 3
run help CMY-301
ok help/negative-number-exits-3 exits 3
run help 99999999999999999999
ok help/huge-number-exits-3 exits 3
run help valuez
ok help/slip-names-the-nearest complains 'did you mean "values"'
run help a b
ok help/two-names-exit-2 exits 2
run servicez
ok help/slip-in-a-verb-names-the-nearest complains 'did you mean "services"'
finish
