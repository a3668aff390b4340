#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Collects what is to be translated from core/, cli/ and simulate/ into a template: extract.sh SOURCE OUT.
# Functions that take a format look it up themselves, so their callers mark nothing: they are
# keywords here, and everything else is marked with _ () or N_ ().
set -eu
LC_ALL=C.UTF-8
export LC_ALL
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$1"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
files=$(find core cli simulate -name '*.c' -o -path 'cli/*' -name '*.h' | LC_ALL=C sort)

# xgettext knows the C library's macros for formats, not GLib's.
for file in $files; do
  mkdir -p "$copy/$(dirname "$file")"
  sed 's/G_GUINT64_FORMAT/PRIu64/g; s/G_GINT64_FORMAT/PRId64/g; s/G_GSIZE_FORMAT/PRIuPTR/g
    s/G_GSSIZE_FORMAT/PRIdPTR/g' "$file" >"$copy/$file"
done
cd "$copy"
collect () {
  xgettext --from-code=UTF-8 --add-location=file --no-wrap --package-name=commy -o - "$@" |
    sed 's/charset=CHARSET/charset=UTF-8/'
}
keywords='--keyword=_ --keyword=N_ --keyword=ngettext:1,2'
for function in commy_set_error:3 commy_cli_set_error:3 commy_cli_note:1 commy_cli_misuse:2 \
  commy_finding_ok:2 commy_finding_warn:2 commy_finding_fail:2 commy_finding_way_out:2; do
  keywords="$keywords --keyword=$function --flag=$function:c-format"
done
# shellcheck disable=SC2086 # lists of words
collect $keywords $files >marked
# What numbers mean stands in a table: the long texts of that file are all of that kind.
collect --extract-all core/base/commy-error.c 2>/dev/null |
  msggrep --no-wrap --msgid -e '.\{45\}' - >meanings
# The titles of tables, without their indent.
for file in $files; do
  tr '\n' ' ' <"$file" | grep -o 'commy_table_new ([^;]*;' | grep -o '"[^"]*"' |
    sed "s|^\" *|\"|; s|.*|#: $file\nmsgid &\nmsgstr \"\"\n|" || true
done >rows
{
  printf 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n'
  cat rows
} | msguniq --no-wrap - >titles
# A text that is put together with other macros cannot be looked up: its pieces end in a blank.
msgcat --no-wrap --use-first marked meanings titles | msggrep --no-wrap -v --msgid -e ' $' - |
  sed '/^"POT-Creation-Date:/d; 1,/^msgid/{/^#/d;}' >"$out"
