#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Translations: the template is as the sources are, German is complete, and is what a German sees.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
for tool in xgettext msgmerge msgattrib msgfmt; do
  if ! command -v "$tool" > /dev/null; then
    echo "1..0 # SKIP gettext is not installed"
    exit 0
  fi
done
po=$COMMY_SOURCE_DIR/po
status=0

# --- the catalogs ---
sh "$po/extract.sh" "$COMMY_SOURCE_DIR" "$folder/fresh.pot" > "$out" 2> "$err" || status=$?
ok translations/texts-can-be-collected exits 0
diff "$po/commy-1.pot" "$folder/fresh.pot" > "$out" 2>&1
ok translations/template-is-as-the-sources-are cmp -s "$po/commy-1.pot" "$folder/fresh.pot"
count () { # attribute: texts of $language that have it
  msgmerge --quiet --no-fuzzy-matching "$po/$language.po" "$folder/fresh.pot" 2> "$err" |
    msgattrib "$1" --no-obsolete --no-wrap > "$out" 2>> "$err"
  [ ! -s "$out" ]
}
for file in "$po"/*.po; do
  language=$(basename "$file" .po)
  ok "translations/$language-lacks-nothing" count --untranslated
  ok "translations/$language-guesses-nothing" count --only-fuzzy
  status=0
  msgfmt --check -o /dev/null "$file" > "$out" 2> "$err" || status=$?
  ok "translations/$language-is-well-formed" exits 0
  grep -q "^po_languages =.*\\<$language\\>" "$po/Makefile.inc"
  status=$?
  ok "translations/$language-is-installed" exits 0
done

# --- what a German sees: gettext does nothing in C and C.UTF-8, so there must be a locale ---
if ! localedef -i de_DE -f UTF-8 --no-archive "$folder/de_DE.UTF-8" > "$out" 2> "$err"; then
  echo "# SKIP the German cases: localedef cannot make de_DE.UTF-8 (package locales)"
  echo "ok $((case_number + 1)) - /cli/translations/german # SKIP no locale can be made"
  echo "1..$((case_number + 1))"
  [ "$failed" -eq 0 ]
  exit
fi
LOCPATH=$folder
COMMY_LOCALE_DIR=$COMMY_BUILD_DIR/po/locale
export LOCPATH COMMY_LOCALE_DIR
unset LANGUAGE
LC_ALL=de_DE.UTF-8
run help
ok translations/overview-is-german says '^Anbieten und aufrufen:$'
run serve --help
ok translations/help-of-a-verb-is-german says 'Bietet einen Dienst an'
ok translations/options-are-german says 'neben --method'
run help CMY0301
ok translations/number-stays says '^CMY0301$'
ok translations/meaning-is-german says 'bietet niemand den Dienst an'
ok translations/causes-are-german says '^Häufige Ursachen:$'
run call --timeout 5 a.b C
ok translations/misuse-is-german complains 'keine Zeit mit Einheit'
run config check "$folder/missing.conf"
ok translations/error-of-the-library-is-german complains '^commy: CMY0101: .*missing.conf lässt sich nicht lesen'
run plugin list
ok translations/titles-are-german says '^ART  *KENNUNG  *VERSION  *ZUSTAND'
run doctor D006 D011
ok translations/findings-are-german says 'gut  *gesperrter Speicher'
run doctor D006 -o json
ok translations/json-keys-and-states-stay json \
  'it[0]["code"] == "D006" and it[0]["state"] == "ok" and it[0]["name"] == "seals"'
run plugin list -o json
ok translations/json-of-plugins-stays json 'all(p["state"] for p in it)'
run services ls -o json
ok translations/empty-json-stays json 'it == []'
run __complete services ''
ok translations/completion-works-all-the-same says '^ls$'

# Every meaning of a number, and every cause, in both languages.
run help errors
sed -n 's/^\(CMY[0-9]*\) .*/\1/p' "$out" > "$folder/numbers"
ok translations/there-are-numbers test "$(wc -l < "$folder/numbers")" -gt 30
while read -r number; do
  LC_ALL=de_DE.UTF-8
  run help "$number"
  grep -v '^  commy\|^CMY\|^ *$' "$out" > "$folder/german"
  LC_ALL=C.UTF-8
  run help "$number"
  ok "translations/$number-has-no-line-in-common" test -z \
    "$(grep -v '^  commy\|^  chmod\|^CMY\|^ *$' "$out" | grep -Fxf "$folder/german")"
done < "$folder/numbers"

# --- and who does not ---
LC_ALL=C.UTF-8
run help
ok translations/c-is-english says '^Offer and call:$'
LC_ALL=de_DE.UTF-8
LANGUAGE=en
export LANGUAGE
run help
ok translations/language-goes-first says '^Offer and call:$'
LANGUAGE=de
run help
ok translations/language-is-german says '^Anbieten und aufrufen:$'
finish
