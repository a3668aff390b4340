#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the example against the installed headers only, in a folder of its own; then, if the
# command is installed, lets it be found and chosen. Environment: DESTDIR, bindir, libdir,
# plugindir, CC, PKG_CONFIG.
set -eu
: "${bindir:?}" "${libdir:?}" "${plugindir:?}"

source=$(cd "$(dirname "$0")" && pwd)
DESTDIR=${DESTDIR:-}
PKG_CONFIG=${PKG_CONFIG:-pkg-config}
dir=$(mktemp -d)
server=
finish () {
  if test -n "$server"; then
    kill "$server" 2>/dev/null || :
    wait "$server" 2>/dev/null || :
  fi
  rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
fail () {
  echo "installcheck: $*" >&2
  exit 1
}

# 1. It builds with pkg-config alone, from a copy, so that nothing of the tree is near.
cp "$source/Makefile" "$source/commy-transport-seqpacket.c" "$dir/"
PKG_CONFIG_PATH=$DESTDIR$libdir/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
if test -n "$DESTDIR"; then
  # A sysroot would also move the folders of GLib: move only those of Commy.
  mkdir "$dir/pkgconfig"
  for name in commy-plugin-1.pc commy-conformance-1.pc; do
    sed "s|^prefix=|prefix=$DESTDIR|; s|^\(exec_prefix\|libdir\|includedir\)=/|\1=$DESTDIR/|" \
      "$DESTDIR$libdir/pkgconfig/$name" >"$dir/pkgconfig/$name"
  done
  PKG_CONFIG_PATH=$dir/pkgconfig:$PKG_CONFIG_PATH
fi
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$dir" ${CC:+CC="$CC"} PKG_CONFIG="$PKG_CONFIG" \
  DESTDIR= CFLAGS="-O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers"
module=$dir/libcommy-transport-seqpacket.so

# 2. It exports one symbol, and carries its note.
symbols=$(nm -D --defined-only "$module" | awk '{ print $NF }')
test "$symbols" = commy_plugin_query_v1 || fail "the plugin exports: $symbols"
readelf -n "$module" | grep -q CommyPlugin || fail "the plugin has no note"
if readelf -d "$module" | grep NEEDED | grep -q libcommy; then
  fail "the plugin links libcommy"
fi

# 3. The installed suite is a library, and a test of one's own with it passes.
cat >"$dir/own-test.c" <<'EOF'
#include <commy-conformance/commy-conformance.h>

int
main (int argc, char **argv)
{
  const CommyConformanceOptions options = { .path = argv[1] };
  const CommyPluginDescriptor *descriptor;

  g_test_init (&argc, &argv, NULL);
  descriptor = commy_test_load ("transport", options.path, NULL);
  g_assert_nonnull (descriptor);
  commy_conformance_add (descriptor, &options);
  return g_test_run ();
}
EOF
# shellcheck disable=SC2046 # lists of words
${CC:-cc} -o "$dir/own-test" "$dir/own-test.c" \
  $("$PKG_CONFIG" --cflags --libs commy-conformance-1)
"$dir/own-test" "$module" -p "/plugin/seqpacket" >"$dir/own-test.log" ||
  fail "a test of one's own fails: $(cat "$dir/own-test.log")"

# 4. The command finds it through a keyfile, and the scorer chooses it for what it claims.
commy=$DESTDIR$bindir/commy
if ! test -x "$commy"; then
  echo "installcheck: the example builds; $commy is not installed, so nothing can find it"
  exit 0
fi
mkdir -m 700 "$dir/run" "$dir/state"
path=$dir
test -z "$DESTDIR" || path="$dir;$DESTDIR$plugindir"
printf '[plugins]\npath=%s\ntrust=any\n' "$path" >"$dir/own.conf"
COMMY_CONFIG=$dir/own.conf
COMMY_RUNTIME_DIR=$dir/run
COMMY_STATE_DIR=$dir/state
LD_LIBRARY_PATH=$DESTDIR$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export COMMY_CONFIG COMMY_RUNTIME_DIR COMMY_STATE_DIR LD_LIBRARY_PATH
"$commy" plugin list -o json >"$dir/list.json" || fail "commy plugin list failed"
grep -q '"seqpacket"' "$dir/list.json" || fail "commy plugin list does not show seqpacket"

"$commy" serve org.example.Custom >"$dir/serve.log" 2>&1 &
server=$!
tries=0
until "$commy" route explain org.example.Custom -o json >"$dir/explain.json" 2>"$dir/explain.log"; do
  kill -0 "$server" 2>/dev/null || fail "commy serve ended: $(cat "$dir/serve.log")"
  tries=$((tries + 1))
  test "$tries" -lt 100 || fail "the service was never found: $(cat "$dir/explain.log")"
  sleep 0.1
done
tr -d ' \n' <"$dir/explain.json" | grep -q '"transport":"seqpacket"' \
  || fail "seqpacket was not chosen: $(cat "$dir/explain.json")"
echo "installcheck: the example was built, found and chosen"
