#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The sandbox of commyd's unit, as systemd judges it: an exposure of at most 0.5 of 10, and that
# the judge can say no.
set -u
unit=$COMMY_BUILD_DIR/deploy/systemd/commyd.service
ceiling=5 # in tenths
if ! systemd-analyze security --help 2>/dev/null | grep -q offline; then
  echo '1..0 # SKIP systemd-analyze does not judge files here'
  exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

judge () { # unit
  systemd-analyze security --no-pager --offline=true --threshold=$ceiling "$1" >"$work/said" 2>&1
}

echo 1..2
cp "$unit" "$work/commyd.service"
# It looks whether there is such a program.
sed -i 's|^ExecStart=.*|ExecStart=/bin/true|' "$work/commyd.service"
if judge "$work/commyd.service"; then
  echo 'ok 1 - /daemon/unit/exposure-is-at-most-half-a-point'
else
  echo 'not ok 1 - /daemon/unit/exposure-is-at-most-half-a-point'
  sed 's/^/# /' "$work/said"
fi
grep -v '^ProtectSystem\|^CapabilityBoundingSet' "$work/commyd.service" >"$work/open.service"
if judge "$work/open.service"; then
  echo 'not ok 2 - /daemon/unit/an-open-one-is-told'
else
  echo 'ok 2 - /daemon/unit/an-open-one-is-told'
fi
