#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `commy doctor` finds of commyd: none, a good one, and one that is bad in each way; and of a
# store with more denials than count.
# shellcheck disable=SC1091,SC2034,SC2154 # the library has and uses the variables
. "$COMMY_SOURCE_DIR/tests/cli/library.sh"
"$commy" plugin list -o json > "$out" 2> "$err"
for needed in store/sqlite store/commyd; do
  if ! json "any(p['kind'] + '/' + p['id'] == '$needed' for p in it)"; then
    echo "1..0 # SKIP this build is without $needed"
    exit 0
  fi
done
usual=$COMMY_CONFIG
mkdir -m 700 "$folder/run/default"
printf '[mesh]\nstore=commyd\n' > "$folder/used.conf"

doctor () { # keyfile to add, or nothing
  COMMY_CONFIG=$usual${1:+:$folder/$1}
  run doctor D019 -o json
  COMMY_CONFIG=$usual
}
is_in_state () { # state, words that it found, way out
  json "len(it) == 1 and it[0]['name'] == 'daemon' and it[0]['state'] == '$1' and '$2' in it[0]['found'] and '${3-}' in it[0].get('way-out', '')"
}

# What listens at a socket of its own and says what it is told to: VERSION, and whether its store is
# broken. It serves one connection after the other.
cat > "$folder/imitation.py" << 'END'
import socket, struct, sys
path, version, broken = sys.argv[1], sys.argv[2], sys.argv[3] == "broken"
def frame(kind, number, payload):
    return struct.pack("<IBBHQ", len(payload), kind, 0, 0, number) + payload
def text(words):
    return struct.pack("<H", len(words)) + words.encode()
def read(peer, size):
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(8)
print("listening", flush=True)
while True:
    peer = server.accept()[0]
    try:
        while True:
            size, kind, _, _, number = struct.unpack("<IBBHQ", read(peer, 16))
            read(peer, size)
            if kind == 1:
                peer.sendall(frame(64, number, b"CMYD" + struct.pack("<I", 1) + text(version) + text("b") + bytes(8)))
            elif kind == 8:
                report = "{'version': <'%s'>, 'pid': <uint32 7>, 'user': <uint32 0>, 'store': <'sqlite'>}" % version
                peer.sendall(frame(69, number, text(report)))
            elif broken:
                peer.sendall(frame(67, number, struct.pack("<I", 601) + text("the disk is full")))
            else:
                peer.sendall(frame(65, number, b"\1" + bytes(20)))
    except EOFError:
        peer.close()
END
imitate () { # version, "broken" or "well"
  rm -f "$folder/run/default/store.sock"
  mkfifo "$folder/line"
  /usr/bin/python3 "$folder/imitation.py" "$folder/run/default/store.sock" "$1" "$2" > "$folder/line" &
  server=$!
  servers="$servers $server"
  read -r _ < "$folder/line"
  rm "$folder/line"
}

# --- none ---
doctor
ok doctor/daemon/none-is-needed is_in_state ok 'not needed: the store is sqlite'
doctor used.conf
ok doctor/daemon/none-is-there is_in_state fail 'no commyd listens at' 'systemctl enable --now commyd.socket'
ok doctor/daemon/none-is-there-exits-1 exits 1

# --- a real one ---
"$COMMY_BUILD_DIR/commyd" > "$folder/commyd.out" 2>&1 &
server=$!
servers="$servers $server"
until "$COMMY_BUILD_DIR/commyd" --status > /dev/null 2>&1; do
  kill -0 "$server" 2>/dev/null || break
done
doctor used.conf
ok doctor/daemon/a-good-one is_in_state ok "process $server of user $(id -u)"
ok doctor/daemon/a-good-one-has-a-store json "', store sqlite with ' in it[0]['found']"
ok doctor/daemon/a-good-one-exits-0 exits 0
doctor
ok doctor/daemon/one-that-is-not-needed-is-told is_in_state ok 'store sqlite with '
chmod 777 "$folder/run/default"
doctor used.conf
ok doctor/daemon/a-folder-that-others-write is_in_state fail 'cannot be trusted' 'chmod go-w'
doctor
ok doctor/daemon/what-is-not-needed-only-warns is_in_state warn 'cannot be trusted' 'chmod go-w'
chmod 700 "$folder/run/default"
kill -STOP "$server"
doctor used.conf
kill -CONT "$server"
ok doctor/daemon/one-that-is-stuck is_in_state fail 'the daemon does not answer' 'journalctl -u commyd'
stop KILL
doctor used.conf
ok doctor/daemon/a-dead-one is_in_state fail 'Connection refused' 'who made the socket is gone'

# --- imitations ---
imitate 9.9.9 well
doctor used.conf
ok doctor/daemon/of-another-version is_in_state warn 'is of version 9.9.9' 'install the same version'
ok doctor/daemon/of-another-version-exits-6 exits 6
stop KILL
imitate 9.9.9 broken
doctor used.conf
ok doctor/daemon/a-store-that-cannot-be-read is_in_state fail 'cannot read its store sqlite: the disk is full' 'room on the disk'
stop KILL

# --- denials ---
fill_denials () { # as many as these and one that is there
  /usr/bin/python3 - "$COMMY_STATE_DIR/default/store-1.db" "$1" << 'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
row = db.execute("SELECT value, create_revision, mod_revision, lease FROM entries WHERE key = ?",
                 (b"denied/token:first",)).fetchone()
db.execute("DELETE FROM entries WHERE key LIKE 'denied/token:more-%'")
db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)",
               ((b"denied/token:more-%d" % i,) + row for i in range(int(sys.argv[2]))))
db.commit()
END
}
of_the_store () { # state, words
  json "it[0]['name'] == 'store' and it[0]['state'] == '$1' and '$2' in it[0]['found']"
}
run cert deny token:first
run doctor D005 -o json
ok doctor/store/one-denial-is-well of_the_store ok 'opens and answers'
fill_denials 16000
run doctor D005 -o json
ok doctor/store/many-denials of_the_store warn '16001 are denied, of 16384 that count'
fill_denials 16384
run doctor D005 -o json
ok doctor/store/more-denials-than-count of_the_store fail '16385 are denied, and 16384 count'
finish
