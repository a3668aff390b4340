#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The units of commyd, as systemd judges them without running: that it understands every line, an
# exposure of at most 0.5 of 10 for the store and 1.4 for who looks over the network; and that the
# judge can say no.
set -u
units=$COMMY_BUILD_DIR/deploy/systemd
if ! systemd-analyze security --help 2>/dev/null | grep -q offline; then
  echo '1..0 # SKIP systemd-analyze does not judge files here'
  exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
number=0

judge () { # CEILING UNIT; the ceiling in tenths
  systemd-analyze security --no-pager --offline=true --threshold="$1" "$work/$2" >"$work/said" 2>&1
}

# It warns of what it does not know and ends well; about other units of this host it may say anything.
understands () { # UNIT
  systemd-analyze verify --no-pager --man=no "$work/$1" >"$work/said" 2>&1 \
    && ! grep -q "$work\|commyd" "$work/said"
}

ok () { # NAME COMMAND...
  name=$1
  shift
  number=$((number + 1))
  if "$@"; then
    echo "ok $number - /daemon/unit/$name"
    return
  fi
  echo "not ok $number - /daemon/unit/$name"
  sed 's/^/# /' "$work/said"
}

refuses () { ! "$@"; }

# It looks whether there is such a program.
for unit in commyd.service commyd-look.service; do
  sed 's|^ExecStart=.*|ExecStart=/bin/true|' "$units/$unit" >"$work/$unit"
done
cp "$COMMY_SOURCE_DIR/deploy/systemd/commyd.socket" "$work/commyd.socket"
sed 's|^WatchdogSec|WatchdogSeconds|' "$work/commyd.service" >"$work/misspelt.service"
grep -v '^ProtectSystem\|^CapabilityBoundingSet' "$work/commyd.service" >"$work/open.service"
grep -v '^PrivateMounts' "$work/commyd-look.service" >"$work/open-look.service"

echo 1..9
ok every-line-of-the-service-is-understood understands commyd.service
ok every-line-of-the-looking-one-is-understood understands commyd-look.service
ok every-line-of-the-socket-is-understood understands commyd.socket
ok a-misspelt-one-is-told refuses understands misspelt.service
# Else whoever lets his own door take all memory ends the daemon.
ok the-kernel-may-end-a-process-of-it-without-the-others grep -qx OOMPolicy=continue "$work/commyd.service"
ok exposure-is-at-most-half-a-point judge 5 commyd.service
ok an-open-one-is-told refuses judge 5 open.service
ok exposure-of-the-looking-one-is-at-most-1.4-points judge 14 commyd-look.service
ok an-open-looking-one-is-told refuses judge 14 open-look.service
