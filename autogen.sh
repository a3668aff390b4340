#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Collects the make fragments of all folders, then makes configure.
# --if-needed: does nothing where configure is already newer than what it is made from.
set -eu
cd "$(dirname "$0")"
if_needed=
[ "${1-}" != --if-needed ] || { if_needed=yes; shift; }
mkdir -p build-aux
places=
for place in core plugins serializers auth balancers stores policies cli daemon bindings examples bench deploy \
  docs po simulate tests tools; do
  [ ! -d "$place" ] || places="$places $place"
done
# Every folder describes itself; the order does not matter, so it is the alphabet's.
{
  echo '# Made by autogen.sh from the Makefile.inc of every folder.'
  # shellcheck disable=SC2016,SC2086 # make's variable; a list of words
  find $places -name Makefile.inc | LC_ALL=C sort | sed 's|^|include $(top_srcdir)/|'
} >build-aux/fragments.am.new
if cmp -s build-aux/fragments.am.new build-aux/fragments.am; then
  rm build-aux/fragments.am.new
else
  mv build-aux/fragments.am.new build-aux/fragments.am
fi
if [ -n "$if_needed" ] && [ -e configure ] && [ -e Makefile.in ] &&
  [ -z "$(find configure.ac Makefile.am build-aux/fragments.am m4/commy-*.m4 -newer Makefile.in)" ]; then
  exit 0
fi
exec autoreconf -fi "$@"
