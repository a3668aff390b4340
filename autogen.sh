#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Collects the make fragments of all folders, then makes configure.
set -eu
cd "$(dirname "$0")"
mkdir -p build-aux
# Every folder describes itself; the order does not matter, so it is the alphabet's.
{
  echo '# Made by autogen.sh from the Makefile.inc of every folder.'
  find core plugins serializers auth balancers stores cli daemon bindings examples bench deploy docs \
    tests tools -name Makefile.inc | LC_ALL=C sort | sed 's|^|include $(top_srcdir)/|'
} >build-aux/fragments.am.new
if cmp -s build-aux/fragments.am.new build-aux/fragments.am; then
  rm build-aux/fragments.am.new
else
  mv build-aux/fragments.am.new build-aux/fragments.am
fi
exec autoreconf -fi "$@"
