#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs one test so that it speaks TAP and ends: a GTest program is told to, a script does anyway.
# COMMY_TEST_TIMEOUT: seconds until it is stopped. COMMY_TEST_WRAPPER: a command that runs it.
limit=${COMMY_TEST_TIMEOUT:-300}
case $1 in
  *.sh) set -- /bin/sh "$@" ;;
  *) set -- "$@" --tap -k ;;
esac
begin=$(date +%s)
# shellcheck disable=SC2086 # a command with its words
timeout -k 10 "$limit" ${COMMY_TEST_WRAPPER-} "$@"
status=$?
echo "# took $(($(date +%s) - begin)) s"
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
  echo "# stopped: not done within $limit s (COMMY_TEST_TIMEOUT)"
  echo "Bail out! timed out after $limit s"
  status=1
fi
exit "$status"
