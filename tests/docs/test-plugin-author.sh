#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tutorial for authors of plugins: its blocks run word for word, in order, in an empty folder,
# against headers that lie as they are installed, and end with a plugin that passes. The last chapter,
# its Debian package, wants Commy's own packages: tests/integration/debian.sh runs it where they are.
# shellcheck disable=SC1091,SC2154 # the library has the variables
set -u
. "$COMMY_SOURCE_DIR/tests/docs/library.sh"
PATH=$COMMY_BUILD_DIR:$PATH
LC_ALL=C.UTF-8
LANGUAGE=
CC=${COMMY_CC:-cc}
CC=${CC#ccache }
HOME=$folder/home
COMMY_STATE_DIR=$folder/state
COMMY_RUNTIME_DIR=$folder/run
PKG_CONFIG_PATH=$folder/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PATH LC_ALL LANGUAGE CC HOME COMMY_STATE_DIR COMMY_RUNTIME_DIR PKG_CONFIG_PATH
unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_RUNTIME_DIR NO_COLOR MAKEFLAGS MFLAGS MAKELEVEL
mkdir -p "$HOME" "$folder/pkgconfig" "$folder/include/commy-1/commy"
mkdir -m 700 "$COMMY_STATE_DIR" "$COMMY_RUNTIME_DIR"
cp "$COMMY_SOURCE_DIR"/include/commy/*.h "$COMMY_BUILD_DIR"/include/commy/*.h \
  "$folder/include/commy-1/commy"
sed "s|^includedir=.*|includedir=$folder/include|; s|^plugindir=.*|plugindir=$folder/plugins|" \
  "$COMMY_BUILD_DIR/commy-plugin-1.pc" >"$folder/pkgconfig/commy-plugin-1.pc"

if ! pkg-config --exists commy-plugin-1 gio-2.0; then
  skip plugin-author/tutorial 'GLib cannot be found by pkg-config'
  finish
fi
sed '/^## 8\. /,$d' "$COMMY_SOURCE_DIR/docs/plugin-author/tutorial.md" >"$folder/tutorial.md"
shell_blocks "$folder/tutorial.md" "$folder/blocks"
for block in "$folder"/blocks/*.sh; do
  ok "plugin-author/tutorial/$(basename "$block" .sh)" run_block "$block"
done
finish
