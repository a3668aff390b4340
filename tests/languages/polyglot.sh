# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC1091,SC2154,SC2317 # the library has the variables and the calls
# Services of every language called by every language, over the one transport $transport.
. "$COMMY_SOURCE_DIR/tests/languages/library.sh"
commy=$COMMY_BUILD_DIR/commy

"$commy" plugin list > "$folder/plugins" 2>&1
for needed in "transport *$transport" 'auth *mtls'; do
  [ "$transport" = tls ] || [ "$needed" != 'auth *mtls' ] || continue
  if ! grep -q "$needed " "$folder/plugins"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done
cat > "$folder/pin.conf" <<EOF
[selection]
preference=pin
transports=$transport
[mesh]
credentials-dir=$folder/pki
EOF
COMMY_CONFIG=$COMMY_CONFIG:$folder/pin.conf
export COMMY_CONFIG
if [ "$transport" = tls ]; then
  "$commy" pki init --mesh test --dir "$folder/pki" > "$folder/out" 2>&1
  report $? "$transport/authority-is-made"
fi

compile_vala () {
  valac=${COMMY_VALAC:-valac}
  "$valac" -q --ccode --vapidir="$COMMY_BUILD_DIR" --pkg commy-1 --pkg gio-2.0 -d "$folder" \
    "$here/client.vala" || return 1
  # What valac writes is not what our warnings are for.
  # shellcheck disable=SC2046,SC2086 # lists of words
  ${COMMY_CC:-cc} -w -o "$folder/client-vala" $(find "$folder" -name client.c) \
    -I"$COMMY_BUILD_DIR/include" -I"$COMMY_SOURCE_DIR/include" \
    -L"$COMMY_BUILD_DIR/.libs" -lcommy-1 $(pkg-config --cflags --libs gio-2.0)
}

judge () { # name, command: a line as the other clients write
  judged=$1
  shift
  if "$@"; then
    echo "ok $judged"
  else
    echo "not ok $judged"
  fi
}

# The command line.
call_from_cli () {
  "$commy" --mesh test call org.example.Polyglot Greet "'Ada'" > "$folder/answer" 2>&1
  judge a-call-is-answered grep -qxF "('hello, Ada',)" "$folder/answer"
  printf 'raw\001bytes' > "$folder/raw"
  "$commy" --mesh test call org.example.Polyglot Raw --bytes-file "$folder/raw" > "$folder/answer"
  judge raw-bytes-come-back cmp -s "$folder/raw" "$folder/answer"
  "$commy" --mesh test call org.example.Polyglot Fail "'as asked'" > "$folder/answer" 2>&1
  judge an-error-arrives grep -q 'CMY0311.*as asked' "$folder/answer"
  "$commy" --mesh test route explain org.example.Polyglot > "$folder/answer"
  judge the-decision-names-the-path grep -q "$transport" "$folder/answer"
}

call_from () { # language, service's language
  case $1 in
    c) set -- "$1" "$2" "$COMMY_BUILD_DIR/tests/languages/polyglot-client" "$transport" ;;
    cli) set -- "$1" "$2" call_from_cli ;;
    python) set -- "$1" "$2" "$python" "$here/client.py" "$transport" ;;
    ctypes) set -- "$1" "$2" "$python" "$here/client-ctypes.py" "$transport" ;;
    gjs) set -- "$1" "$2" gjs "$here/client.js" "$transport" ;;
    vala) set -- "$1" "$2" "$folder/client-vala" "$transport" ;;
  esac
  name="$transport/$2-called-from-$1"
  shift 2
  cases "$name" "$@"
}

clients=
for client in c cli python ctypes gjs vala; do
  there "$client" && clients="$clients $client"
done
case $clients in
  *vala*)
    compile_vala > "$folder/vala.log" 2>&1
    compiled=$?
    report "$compiled" "$transport/vala-compiles"
    if [ "$compiled" -ne 0 ]; then
      sed 's/^/# /' "$folder/vala.log"
      clients=$(echo "$clients" | sed 's/ vala//')
    fi
    ;;
esac
for server in python gjs c; do
  case " $clients " in *" $server "*) ;; *) continue ;; esac
  serve "$server"
  for client in $clients; do
    call_from "$client" "$server"
  done
  end_service
done
finish
