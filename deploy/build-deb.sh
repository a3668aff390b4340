#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the Debian packages of a release archive, source and binary, as whoever runs it.
# usage: build-deb.sh commy-VERSION.tar.xz OUT
#
# OUT must not be there yet. DEB_BUILD_OPTIONS (nocheck): as Debian Policy 4.9.1 says.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
DEB_BUILD_OPTIONS=${DEB_BUILD_OPTIONS-nocheck}
export PATH DEB_BUILD_OPTIONS
archive=$1
out=$2

fail () {
  printf 'build-deb: %s\n' "$*" >&2
  exit 1
}

command -v dpkg-buildpackage >/dev/null || fail "dpkg-buildpackage is missing: ./bootstrap deps check"
command -v dh >/dev/null || fail "debhelper is missing: ./bootstrap deps check"
name=$(basename "$archive" .tar.xz)
version=${name#commy-}
mkdir "$out"
tar -C "$out" -xJf "$archive"
cp "$archive" "$out/commy_$version.orig.tar.xz"
tree=$out/$name
cp -R "$tree/deploy/debian" "$tree/debian"
packaged=$(dpkg-parsechangelog -l "$tree/debian/changelog" -S Version)
[ "${packaged%-*}" = "$version" ] ||
  fail "the archive is $version, but deploy/debian/changelog begins with $packaged: add an entry"
(cd "$tree" && dpkg-buildpackage --no-sign -j"$(nproc)")
rm -rf "$tree"
