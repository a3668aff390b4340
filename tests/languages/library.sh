# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034,SC2154 # the tests use the variables, and say the transport
# What the tests of languages share: folders of their own, what the interpreters need to find the
# build tree, services in the background, one TAP line a case.
case_number=0
failed=0
services=
folder=$(mktemp -d) || exit 1
mkdir -m 700 "$folder/run" "$folder/state"
COMMY_RUNTIME_DIR=$folder/run
COMMY_STATE_DIR=$folder/state
HOME=$folder
XDG_CONFIG_HOME=$folder/config
LC_ALL=C.UTF-8
unset LANGUAGE
GI_TYPELIB_PATH=$COMMY_BUILD_DIR
LD_LIBRARY_PATH=$COMMY_BUILD_DIR/.libs
PYTHONPATH=$COMMY_SOURCE_DIR/bindings/python
PYTHONDONTWRITEBYTECODE=1
GJS_PATH=$COMMY_SOURCE_DIR/bindings/gjs
export COMMY_RUNTIME_DIR COMMY_STATE_DIR HOME XDG_CONFIG_HOME LC_ALL GI_TYPELIB_PATH \
  LD_LIBRARY_PATH PYTHONPATH PYTHONDONTWRITEBYTECODE GJS_PATH
here=$COMMY_SOURCE_DIR/tests/languages
python=/usr/bin/python3

# Only those that were started here, each by its id.
clean_up () {
  for one in $services; do
    kill -KILL "$one" 2>/dev/null
    wait "$one" 2>/dev/null
  done
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

report () { # 0 or more, name, comment
  case_number=$((case_number + 1))
  if [ "$1" -eq 0 ]; then
    echo "ok $case_number - /languages/$2${3:+ # $3}"
  else
    failed=$((failed + 1))
    echo "not ok $case_number - /languages/$2${3:+ # $3}"
  fi
}

# cases PREFIX COMMAND...: each line "ok NAME" or "not ok NAME" of the command is a case; that it
# says at least one and ends well is another.
cases () {
  prefix=$1
  shift
  ended=0
  "$@" > "$folder/out" 2> "$folder/err" < /dev/null || ended=$?
  told=0
  while read -r word rest; do
    case $word in
      ok) report 0 "$prefix/$rest" ;;
      not) report 1 "$prefix/${rest#ok }" ;;
      *) continue ;;
    esac
    told=$((told + 1))
  done < "$folder/out"
  [ "$told" -gt 0 ] || ended=1
  report "$ended" "$prefix/ends-well"
  if [ "$ended" -ne 0 ] || grep -q '^not ok' "$folder/out"; then
    sed 's/^/# /' "$folder/err"
  fi
}

# Why a language cannot be tried here; nothing: it can.
why_not () {
  [ "$1" = c ] || [ "$1" = cli ] || [ "$1" = ctypes ] || [ -e "$COMMY_BUILD_DIR/Commy-1.typelib" ] || {
    echo 'built without introspection'
    return
  }
  case $1 in
    python) "$python" -c 'import gi' 2>/dev/null || echo 'PyGObject is missing' ;;
    ctypes)
      "$python" -c "import ctypes; ctypes.CDLL('$LD_LIBRARY_PATH/libcommy-1.so.0')" 2>/dev/null \
        || echo 'Python cannot load this build'
      ;;
    gjs) command -v gjs > /dev/null || echo 'gjs is missing' ;;
    vala) [ -e "$COMMY_BUILD_DIR/commy-1.vapi" ] || echo 'built without Vala' ;;
  esac
}

# there LANGUAGE: true if it can be tried; a case either way, so that a build that cannot try it is seen
# beside one that could.
there () {
  reason=$(why_not "$1")
  report 0 "${transport:+$transport/}$1-is-there" "${reason:+SKIP $reason}"
  [ -z "$reason" ]
}

# serve LANGUAGE: starts its service; done when the service says that it is ready.
serve () {
  case $1 in
    python) set -- python "$python" "$here/service.py" ;;
    gjs) set -- gjs gjs "$here/service.js" ;;
    c) set -- c "$COMMY_BUILD_DIR/tests/languages/polyglot-service" "$here/polyglot.xml" ;;
  esac
  mkfifo "$folder/line"
  language=$1
  shift
  "$@" > "$folder/line" 2> "$folder/service.err" < /dev/null &
  service=$!
  services="$services $service"
  exec 9< "$folder/line"
  rm "$folder/line"
  line=
  read -r line <&9
  [ "$line" = ready ]
  report $? "$transport/$language-service/starts"
  [ "$line" = ready ] || sed 's/^/# /' "$folder/service.err"
}

# Ends the last service; that it ends well by itself is a case.
end_service () {
  kill -TERM "$service"
  status=0
  wait "$service" || status=$?
  report "$status" "$transport/$language-service/ends-well"
  sed 's/^/# service: /' "$folder/service.err"
  services=$(echo "$services" | sed "s/ $service\\>//")
}

finish () {
  echo "1..$case_number"
  [ "$failed" -eq 0 ] || exit 1
  exit 0
}
