#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds the programs that measure peers into BUILDDIR/bench/peers. What cannot be built here is left
# out with its reason and spoils nothing else; logs and objects are in BUILDDIR/bench/peers-made.
#   build.sh BUILDDIR [PEER...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
all='ucx nng zeromq nanomsg gdbus nats grpc iceoryx2'

if [ $# -eq 0 ]; then
  printf 'usage: %s BUILDDIR [PEER...]\npeers: %s\n' "$0" "$all" >&2
  exit 2
fi
mkdir -p "$1/bench/peers" "$1/bench/peers-made"
bin=$(cd "$1/bench/peers" && pwd)
made=$(cd "$1/bench/peers-made" && pwd)
shift
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- $all
: "${CC:=gcc}" "${CXX:=g++}"
flags='-O3 -g -Wall -Wextra -D_GNU_SOURCE'

left_out () { # peer reason
  printf 'peer %s: left out: %s\n' "$1" "$2"
  rm -f "$bin/$1"
}

# Runs a command into the log; says why it failed.
try () { # peer command...
  peer=$1
  shift
  if "$@" >> "$made/$peer.log" 2>&1; then
    return 0
  fi
  left_out "$peer" "$(grep -m 1 -E 'error|not found|No such' "$made/$peer.log" || echo "$1 failed") ($made/$peer.log)"
  return 1
}

has_modules () { # peer module...
  peer=$1
  shift
  for module; do
    if ! pkg-config --exists "$module"; then
      left_out "$peer" "pkg-config knows no $module"
      return 1
    fi
  done
}

has_header () { # peer header
  if ! printf '#include <%s>\n' "$2" | $CC -E - > /dev/null 2>&1; then
    left_out "$1" "there is no <$2>"
    return 1
  fi
}

has_command () { # peer command
  if ! command -v "$2" > /dev/null; then
    left_out "$1" "there is no $2"
    return 1
  fi
}

c_peer () { # peer flag...
  peer=$1
  shift
  # shellcheck disable=SC2086 # lists of words
  try "$peer" $CC -std=gnu11 $flags -o "$bin/$peer" "$here/peer-$peer.c" "$here/peer.c" "$@"
}

flags_of () { # module...
  pkg-config --cflags --libs "$@"
}

build_ucx () {
  # shellcheck disable=SC2046
  has_modules ucx ucx && c_peer ucx $(flags_of ucx)
}

build_nng () {
  # No module file in Debian 12.
  has_header nng nng/nng.h && c_peer nng -lnng
}

build_zeromq () {
  # shellcheck disable=SC2046
  has_modules zeromq libzmq && c_peer zeromq $(flags_of libzmq)
}

build_nanomsg () {
  # The library does not tell its version.
  # shellcheck disable=SC2046
  has_modules nanomsg nanomsg &&
    c_peer nanomsg "-DNANOMSG_VERSION=\"$(pkg-config --modversion nanomsg)\"" $(flags_of nanomsg)
}

build_gdbus () {
  # shellcheck disable=SC2046
  has_modules gdbus gio-2.0 && c_peer gdbus $(flags_of gio-2.0)
}

build_nats () {
  # shellcheck disable=SC2046
  has_modules nats libnats && c_peer nats $(flags_of libnats)
}

build_grpc () {
  has_modules grpc grpc++ protobuf && has_command grpc protoc && has_command grpc grpc_cpp_plugin ||
    return 0
  generated=$made/grpc
  mkdir -p "$generated"
  # shellcheck disable=SC2046,SC2086
  try grpc protoc -I "$here" --cpp_out="$generated" --grpc_out="$generated" \
    --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" peer-grpc.proto &&
    try grpc $CC -std=gnu11 $flags -c -o "$generated/peer.o" "$here/peer.c" &&
    try grpc $CXX -std=gnu++17 $flags -I "$here" -I "$generated" -o "$bin/grpc" \
      "$here/peer-grpc.cc" "$generated/peer-grpc.pb.cc" "$generated/peer-grpc.grpc.pb.cc" \
      "$generated/peer.o" $(flags_of grpc++ protobuf)
}

build_iceoryx2 () {
  has_command iceoryx2 cargo || return 0
  # Its version is what Cargo.lock says. A tree that may not be written to is copied.
  rm -rf "$made/source"
  mkdir -p "$made/source/iceoryx2/src"
  cp -p "$here/peer.c" "$here"/*.h "$made/source"
  cp -p "$here"/iceoryx2/Cargo.* "$here/iceoryx2/build.rs" "$made/source/iceoryx2"
  cp -p "$here"/iceoryx2/src/*.rs "$made/source/iceoryx2/src"
  try iceoryx2 cargo build --release --locked --manifest-path "$made/source/iceoryx2/Cargo.toml" \
    --target-dir "$made/iceoryx2" &&
    try iceoryx2 cp "$made/iceoryx2/release/iceoryx2" "$bin/iceoryx2"
}

for name; do
  case " $all " in
    *" $name "*) ;;
    *)
      printf 'build.sh: no peer %s; there are: %s\n' "$name" "$all" >&2
      exit 2
      ;;
  esac
  : > "$made/$name.log"
  if "build_$name" && [ -x "$bin/$name" ]; then
    printf 'peer %s: built\n' "$name"
  fi
done
