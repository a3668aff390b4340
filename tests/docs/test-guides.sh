#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The guides: blocks marked "sh" run word for word, in order, in an empty home folder with an Echo
# service beside them, and say what a block "text" right behind them says ("..." stands for
# anything); keyfiles are right, programs compile, and every key and command in the text exists.
# two-hosts.md and newcomer.md have tests of their own.
# shellcheck disable=SC1091,SC2154,SC2016 # the library has the variables; backticks are meant
set -u
. "$COMMY_SOURCE_DIR/tests/docs/library.sh"
guides=$COMMY_SOURCE_DIR/docs/guide
config_page=$COMMY_BUILD_DIR/docs/man/commy.conf.5
PATH=$COMMY_BUILD_DIR:$PATH
LC_ALL=C.UTF-8
LANGUAGE=
export PATH LC_ALL LANGUAGE
unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_RUNTIME_DIR NO_COLOR

# A home of its own for each guide, and somebody who echoes.
begin () { # guide
  HOME=$folder/$1/home
  COMMY_STATE_DIR=$folder/$1/state
  COMMY_RUNTIME_DIR=$folder/$1/run
  export HOME COMMY_STATE_DIR COMMY_RUNTIME_DIR
  mkdir -p "$HOME" && mkdir -m 700 "$COMMY_STATE_DIR" "$COMMY_RUNTIME_DIR"
  mkfifo "$folder/line"
  commy serve org.example.Echo >"$folder/line" 2>"$folder/$1/serve.err" &
  server=$!
  # Its first line says that others find it.
  exec 9<"$folder/line"
  rm "$folder/line"
  read -r serving <&9 || { sed 's/^/# /' "$folder/$1/serve.err"; serving=; }
}

end () {
  kill -TERM "$server" 2>/dev/null
  wait "$server" 2>/dev/null
  exec 9<&-
  server=
}
server=
trap '[ -z "$server" ] || kill -KILL "$server"; rm -rf "$folder"' EXIT

keyfiles () { # guide
  blocks "$guides/$1.md" ini "$folder/$1/keyfiles"
  for keyfile in "$folder/$1"/keyfiles/*.ini; do
    [ ! -e "$keyfile" ] || commy config check "$keyfile" || return 1
  done
}

programs () { # guide
  blocks "$guides/$1.md" c "$folder/$1/programs"
  for program in "$folder/$1"/programs/*.c; do
    [ -e "$program" ] || continue
    # shellcheck disable=SC2086 # a list of words
    cc -fsyntax-only -Wall -Wextra -Werror -Wmissing-prototypes -Wno-unused-parameter $flags \
      -I"$COMMY_BUILD_DIR/include" -I"$COMMY_SOURCE_DIR/include" "$program" || return 1
  done
}

# What stands between backticks outside of blocks. (A name of a host has a hyphen like a key.)
spans () {
  awk '/^```/ { inside = !inside; next } !inside' "$1" | grep -o -E '`[^`]+`' | tr -d '`' | sort -u
}

keys_exist () { # file
  sed 's/\\-/-/g; s/\\f[BIR]//g' "$config_page" >"$folder/keys"
  spans "$1" | sed -n -E 's/^([a-z][a-z0-9.-]*)=.*/\1/p; s/^\[([a-z]+)( [^]]*)?\]$/\[\1/p
    s/^([a-z]+(-[a-z]+)+)$/\1/p' | grep -v -e '^commy' -e '^host-[ab]$' | sort -u |
    while read -r name; do
      grep -q -F -w -e "$name" "$folder/keys" && continue
      commy config show -o json | grep -q -F -w -e "$name" && continue
      commy plugin list -o json | grep -q -F -e "\"id\" : \"$name\"" && continue
      [ "$1" = "$guides/simulate.md" ] && commy simulate --keys | grep -q -F -w -e "${name#\[}" && continue
      echo "$(basename "$1") speaks of $name, which commy.conf(5) does not have"
      exit 1
    done
}

commands_exist () { # file
  spans "$1" | grep -E '^commy (--mesh [A-Z]+ )?[a-z]' | sed -E 's/--mesh [A-Z]+ //' |
    while read -r _ verb word _; do
      commy "$verb" --help >"$folder/verb" 2>/dev/null || { echo "there is no commy $verb"; exit 1; }
      case $word in
        *[!a-z-]* | '' | -*) continue ;;
      esac
      [ "$verb" = help ] && commy help "$word" >/dev/null && continue
      grep -q -w -e "$word" "$folder/verb" || { echo "there is no commy $verb $word"; exit 1; }
    done
}

every_guide_is_listed () {
  for guide in "$guides"/*.md; do
    name=$(basename "$guide")
    [ "$name" = README.md ] || grep -q -F "($name)" "$guides/README.md" || {
      echo "README.md of the guides lacks $name"
      return 1
    }
  done
}

catches_a_wrong_key () {
  echo 'The key `tie-bend=2%`.' >"$folder/wrong.md"
  ! keys_exist "$folder/wrong.md"
}

catches_a_wrong_command () {
  echo 'Say `commy plugin liste`.' >"$folder/wrong.md"
  ! commands_exist "$folder/wrong.md"
}

if [ -n "$(pkg-config --cflags gio-unix-2.0 2>/dev/null)" ] && command -v cc >/dev/null; then
  flags=$(pkg-config --cflags gio-unix-2.0)
else
  flags=
fi
for guide in configuration health security tuning embedding dbus simulate; do
  begin "$guide"
  ok "$guide/a-service-runs-beside-it" test -n "$serving"
  shell_blocks "$guides/$guide.md" "$folder/$guide/blocks"
  for block in "$folder/$guide"/blocks/*.sh; do
    [ ! -e "$block" ] || ok "$guide/$(head -n 1 "$block" | cut -c 1-60 | tr '#' ' ')" run_block "$block"
  done
  ok "$guide/its-keyfiles-are-right" keyfiles "$guide"
  if [ -n "$flags" ]; then
    ok "$guide/its-programs-compile" programs "$guide"
  else
    skip "$guide/its-programs-compile" 'neither a compiler called cc nor pkg-config here'
  fi
  end
done
for file in "$guides"/*.md "$COMMY_SOURCE_DIR/README.md" "$COMMY_SOURCE_DIR/docs/plugin-author/README.md"; do
  name=$(echo "${file#"$COMMY_SOURCE_DIR"/}" | tr / -)
  ok "$name/every-key-exists" keys_exist "$file"
  ok "$name/every-command-exists" commands_exist "$file"
done
ok every-guide-is-listed every_guide_is_listed
ok a-key-that-does-not-exist-is-caught catches_a_wrong_key
ok a-command-that-does-not-exist-is-caught catches_a_wrong_command
finish
