#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `commy bridge dbus` as its users see it: a bus of the test's own, busctl and gdbus on one side, and
# services that others wrote on the other.
# shellcheck disable=SC1091,SC2154,SC2034 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"

# background NAME COMMAND...: done when it wrote its first line, which is in $line.
background () {
  name=$1
  shift
  mkfifo "$folder/line"
  "$@" > "$folder/line" 2> "$folder/$name.err" &
  server=$!
  servers="$servers $server"
  exec 9< "$folder/line"
  rm "$folder/line"
  line=
  read -r line <&9 || sed 's/^/# started: /' "$folder/$name.err"
}
with () { # any other program
  status=0
  "$@" > "$out" 2> "$err" < /dev/null || status=$?
}

# --- usage ---
run bridge --help
ok bridge/help-exits-0 exits 0
ok bridge/help-has-an-example says '^  commy bridge dbus import '
run bridge
ok bridge/without-words-exits-2 exits 2
run bridge dbus frob org.example.Echo
ok bridge/unknown-direction-exits-2 exits 2
run bridge dbus export Echo
ok bridge/a-name-that-no-bus-has complains 'give one with --name'
run bridge dbus import org.example.Echo --name org.example.Other
ok bridge/options-of-the-other-direction complains '^commy: bridge: --name and --xml are for'
run bridge dbus import org.example.Echo --path nowhere
ok bridge/path-that-is-none complains '^commy: bridge: --path is'
run bridge dbus import org.example.Echo --bus "unix:path=$folder/nobody"
ok bridge/no-bus-exits-1 exits 1
ok bridge/no-bus-is-told complains 'CMY0312: .*the bus cannot be reached'
run bridge dbus import org.example.Echo --bus nonsense
ok bridge/an-address-that-is-none-exits-1 exits 1

# --- a bus that finds what Debian ships ---
mkdir "$folder/services"
cp /usr/share/dbus-1/services/ca.desrt.dconf.service "$folder/services" 2> /dev/null
cat > "$folder/bus.conf" <<END
<busconfig>
  <type>session</type>
  <listen>unix:path=$folder/bus</listen>
  <servicedir>$folder/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
END
XDG_CACHE_HOME=$folder/cache
XDG_RUNTIME_DIR=$folder/run
export XDG_CACHE_HOME XDG_RUNTIME_DIR
background bus dbus-daemon --config-file="$folder/bus.conf" --nofork --nopidfile --print-address=1
DBUS_SESSION_BUS_ADDRESS=$line
export DBUS_SESSION_BUS_ADDRESS

# --- a service of the mesh, called by others' programs ---
cat > "$folder/echo.xml" <<END
<node><interface name="org.example.Echo">
  <method name="Echo"><arg type="s" direction="in"/><arg type="s" direction="out"/></method>
  <signal name="Changed"><arg type="s"/></signal>
</interface></node>
END
serve org.example.Echo --xml "$folder/echo.xml"
background export "$commy" bridge dbus export org.example.Echo
ok bridge/export/says-when-it-is-there \
  test "$line" = 'exporting org.example.Echo as org.example.Echo /org/example/Echo org.example.Echo'
with busctl --address="$DBUS_SESSION_BUS_ADDRESS" call org.example.Echo /org/example/Echo \
  org.example.Echo Echo s hallo
ok bridge/export/busctl-calls says '^s "hallo"$'
with gdbus call --session -d org.example.Echo -o /org/example/Echo -m org.example.Echo.Echo hallo
ok bridge/export/gdbus-calls says "^('hallo',)$"
with dbus-send --session --print-reply --dest=org.example.Echo /org/example/Echo \
  org.example.Echo.Echo string:hallo
ok bridge/export/dbus-send-calls says 'string "hallo"'
with gdbus introspect --session -d org.example.Echo -o /org/example/Echo
ok bridge/export/gdbus-introspects says 'Changed(s '
with busctl --address="$DBUS_SESSION_BUS_ADDRESS" call org.example.Echo /org/example/Echo \
  org.example.Echo Echo i 5
ok bridge/export/wrong-types-are-refused test "$status" -ne 0

# --- services of others, called through the mesh ---
background daemon "$commy" bridge dbus import org.freedesktop.DBus
ok bridge/import/the-daemon-itself test "$line" = \
  'importing org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus as org.freedesktop.DBus'
run call org.freedesktop.DBus GetNameOwner "'org.example.Echo'"
ok bridge/import/the-daemon-answers says "^(':1\.[0-9]*',)$"
run call org.freedesktop.DBus GetNameOwner "'org.example.Nobody'"
ok bridge/import/the-daemon-refuses complains 'CMY0311: .*org.freedesktop.DBus.Error.NameHasNoOwner: '
run call org.freedesktop.DBus org.freedesktop.DBus.Properties.Get "'org.freedesktop.DBus'" "'Interfaces'"
ok bridge/import/properties-of-the-daemon says Monitoring
run introspect org.freedesktop.DBus -o xml
ok bridge/import/its-interface-is-known says 'signal name="NameOwnerChanged"'

if [ -e "$folder/services/ca.desrt.dconf.service" ]; then
  background dconf "$commy" bridge dbus import ca.desrt.dconf --path /ca/desrt/dconf/Writer/user \
    --as org.example.Settings
  ok bridge/import/another-name test "$line" = \
    'importing ca.desrt.dconf /ca/desrt/dconf/Writer/user ca.desrt.dconf.Writer as org.example.Settings'
  run call org.example.Settings Init
  ok bridge/import/dconf-answers says '^()$'
  "$commy" subscribe org.example.Settings.Notify --count 1 --timeout 60s \
    > "$folder/changes" 2> "$folder/changes.err" &
  changes=$!
  servers="$servers $changes"
  # What dconf stores: {'/commy': <N>} as a{smv}. Another N until the subscription had one.
  number=0
  while kill -0 "$changes" 2> /dev/null; do
    number=$(((number + 1) % 256))
    run call org.example.Settings Change \
      "[byte 47, 99, 111, 109, 109, 121, 0, 0, $number, 0, 0, 0, 0, 105, 0, 7, 16]"
    exits 0 || break
  done
  ok bridge/import/dconf-stores exits 0
  wait "$changes"
  cp "$folder/changes" "$out"
  ok bridge/import/a-signal-of-dconf-is-a-publication says "^org.example.Settings.Notify #[0-9]* ('/commy', "
else
  skip bridge/import/another-name 'dconf-service is not installed'
fi
finish
