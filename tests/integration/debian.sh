#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The Debian packages that `make deb` left in deb/: what is in them, and, as root, how they install,
# work and go again. They are installed into a copy of the running system: /usr, /etc and /var get
# an overlay in a mount namespace, dpkg's database with them, so that nothing of it remains.
# shellcheck disable=SC1091,SC2317 # functions are run by name; the library is copied to the work folder
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C.UTF-8
export PATH LC_ALL
all='commy-tools commyd gir1.2-commy-1 libcommy-1-0 libcommy-common libcommy-dev libcommy-plugins'
number=0
failed=0

ok () { # name, command...
  name=$1
  shift
  number=$((number + 1))
  if "$@" >"$work/out" 2>&1; then
    echo "ok $number - /debian/$name"
  else
    failed=1
    echo "not ok $number - /debian/$name"
    head -n 60 "$work/out" | sed 's/^/# /'
  fi
}

# --- inside the namespace: from here on nothing is near but what Debian and the packages have ---

laid_over () { # folder
  upper=$work/layers$1/upper
  mkdir -p "$upper" "$work/layers$1/work" &&
    mount -t overlay overlay \
      -o "lowerdir=$1,upperdir=$upper,workdir=$work/layers$1/work" "$1"
}

enter () {
  mkdir "$work/layers" &&
    mount -t tmpfs -o mode=755 layers "$work/layers" &&
    laid_over /usr && laid_over /etc && laid_over /var &&
    hide /usr/local /etc/commy "$source_dir" "$build_dir" &&
    cd "$work/packages" || return 1
}

hide () { # folder...: an empty one over each
  for place; do
    [ ! -d "$place" ] || mount -t tmpfs -o mode=755 hidden "$place" || return 1
  done
}

installs () {
  # shellcheck disable=SC2046 # a list of names
  dpkg --install $(find . -name '*.deb' ! -name '*-dbgsym_*') && [ -z "$(dpkg --audit)" ]
}

is_as_packed () {
  # shellcheck disable=SC2086
  [ -z "$(dpkg --verify $all)" ] && [ "$(dpkg-query -W -f '${db:Status-Status} ' $all)" = \
    'installed installed installed installed installed installed installed ' ]
}

# Each case of the packages' own tests is a case here.
own_test () { # script, how many cases it has at least, who, command that runs it...
  script=$1
  least=$2
  who=$3
  shift 3
  "$@" "$work/$script" >"$work/$script.out" 2>"$work/$script.err"
  status=$?
  while read -r line; do
    case $line in
      'ok '* | 'not ok '*)
        number=$((number + 1))
        echo "${line%%ok *}ok $number - /debian/installed/$who${line#*/packages}"
        ;;
      '#'*) echo "$line" ;;
    esac
  done <"$work/$script.out"
  number=$((number + 1))
  if [ "$status" -eq 0 ] && [ "$(grep -c '^ok ' "$work/$script.out")" -ge "$least" ]; then
    echo "ok $number - /debian/installed/$who/all-of-$script-was-tried"
  else
    failed=1
    echo "not ok $number - /debian/installed/$who/all-of-$script-was-tried"
    sed 's/^/# /' "$work/$script.err"
  fi
}

# The tutorial for authors, word for word: the beginning, and the chapter about its own package.
author () {
  home=$work/author
  mkdir -p "$home" && mkdir -m 700 "$home/run" "$home/state" || return 1
  sed -n '/^## 1\. /,/^## 2\. /p; /^## 8\. /,$p' "$work/tutorial.md" >"$home/chapters.md"
  (. "$work/library.sh" && shell_blocks "$home/chapters.md" "$home/blocks")
}

block_of_author () { # file
  unset COMMY_CONFIG COMMY_SHIPPED_CONFIG COMMY_PLUGIN_PATH LD_LIBRARY_PATH PKG_CONFIG_PATH \
    MAKEFLAGS MFLAGS MAKELEVEL DEB_BUILD_OPTIONS
  (. "$work/library.sh" && HOME=$home COMMY_RUNTIME_DIR=$home/run COMMY_STATE_DIR=$home/state &&
    export HOME COMMY_RUNTIME_DIR COMMY_STATE_DIR && run_block "$1")
}

cannot_lose_the_library () {
  ! dpkg --remove libcommy-plugins && dpkg-query -W -f '${db:Status-Status}' libcommy-plugins |
    grep -qx installed
}

purges () {
  # shellcheck disable=SC2086
  dpkg --purge $all
}

# What is in the upper layers is what was changed; the books of dpkg, logs and caches may be.
nothing_is_left () {
  for place in usr etc var; do
    (cd "$work/layers/$place/upper" && find . ! -type d -o -name '*commy*' | sed "s|^\.|/$place|")
  done >"$work/changed"
  grep -vE '^/var/(lib/dpkg|lib/systemd|log|cache)/|^/etc/ld\.so\.cache$' "$work/changed" >"$work/left"
  grep commy "$work/changed" >>"$work/left"
  cat "$work/left"
  [ ! -s "$work/left" ]
}

if [ "${1-}" = --inside ]; then
  work=$2
  source_dir=$3
  build_dir=$4
  number=$5
  ok installed/a-system-without-them enter
  ok installed/dpkg-installs installs
  ok installed/all-is-as-packed is_as_packed
  ok installed/apt-finds-nothing-to-mend apt-get check
  ok installed/plugins-cannot-go-alone cannot_lose_the_library
  own_test smoke 12 root env
  # Whoever has no rights can use them, too.
  own_test smoke 12 user setpriv --reuid 4242 --regid 4242 --clear-groups env
  own_test users 11 root env
  ok installed/author/has-a-tutorial author
  for block in "$home"/blocks/*.sh; do
    ok "installed/author/$(basename "$block" .sh)" block_of_author "$block"
  done
  ok purged/dpkg-purges purges
  ok purged/nothing-is-left nothing_is_left
  echo "$number" >"$work/number"
  exit "$failed"
fi

# --- what is in the packages ---

field () { # package, field
  dpkg-deb -f "$packages/$1"_*.deb "$2"
}

all_are_there () {
  for package in $all; do
    [ "$(field "$package" Version)" = "$version-1" ] || echo "$package: $(field "$package" Version)"
  done >"$work/wrong"
  cat "$work/wrong"
  [ ! -s "$work/wrong" ]
}

# Each package has what its name says, and nothing besides.
pattern_of () { # package
  triplet='[a-z0-9_]*-linux-gnu[a-z0-9]*'
  case $1 in
    commy-tools) echo "bin/commy|libexec/commy/commy-(conformance|simulate)|share/(bash-completion|fish|zsh|man/man[157])/.*" ;;
    commyd) echo "sbin/commyd|share/man/man8/.*|\./lib/systemd/system/commyd(-look\.service|\.service|\.socket)" ;;
    gir1.2-commy-1) echo "lib/$triplet/girepository-1\.0/Commy-1\.typelib|.*/overrides/Commy\.(py|js)" ;;
    libcommy-1-0) echo "lib/$triplet/libcommy-1\.so\.0(\.[0-9.]*)?" ;;
    libcommy-common) echo "share/commy/commy\.conf|share/locale/[a-zA-Z_]*/LC_MESSAGES/commy-1\.mo" ;;
    libcommy-dev) echo "include/commy-1/commy(-conformance)?/.*\.h|\
lib/$triplet/pkgconfig/commy(-plugin|-conformance)?-1\.pc|\
lib/$triplet/libcommy-1\.so|lib/$triplet/libcommy-conformance-1\.a|share/gir-1\.0/Commy-1\.gir|share/vala/vapi/commy-1\..*" ;;
    libcommy-plugins) echo "lib/$triplet/commy/plugins-1/libcommy-[a-z0-9-]*\.so" ;;
  esac
}

files_are_in_the_right_package () {
  mkdir "$work/tree"
  for package in $all; do
    dpkg-deb -x "$packages/$package"_*.deb "$work/tree/$package"
    (cd "$work/tree/$package" && find . ! -type d | sed 's|^\./usr/||') >"$work/files"
    mine=$(pattern_of "$package")
    sed "s|^|$package: |" "$work/files" |
      grep -vE ": ($mine|share/doc/($package|commy)/.*|share/lintian/overrides/$package)$"
    grep -qE "^($mine)$" "$work/files" || echo "$package: has nothing of its own"
  done >"$work/wrong"
  cat "$work/wrong"
  [ ! -s "$work/wrong" ]
}

depends () { # package, pattern
  field "$1" Depends | tr ',' '\n' | sed 's/^ *//' | grep -qxE "$2" ||
    { echo "$1 lacks $2: $(field "$1" Depends)"; return 1; }
}

dependencies_are_right () {
  depends libcommy-1-0 "libcommy-plugins \(>= $version\)" &&
    depends libcommy-1-0 "libcommy-common \(>= $version\)" &&
    depends libcommy-1-0 'libglib2\.0-0 \(>= 2\.[0-9]+.*\)' &&
    depends libcommy-plugins 'libgnutls30 .*' &&
    depends libcommy-plugins 'libsqlite3-0 .*' &&
    depends libcommy-dev "libcommy-1-0 \(= $version-1\)" &&
    depends libcommy-dev "gir1\.2-commy-1 \(= $version-1\)" &&
    depends libcommy-dev 'libglib2\.0-dev .*' &&
    depends gir1.2-commy-1 'gir1\.2-glib-2\.0 .*' &&
    depends gir1.2-commy-1 'libcommy-1-0 .*' &&
    depends commy-tools "libcommy-1-0 \(>= .*\)" || return 1
  # Whoever links the library gets neither a TLS stack nor a database by it.
  ! field libcommy-1-0 Depends | grep -E 'gnutls|sqlite|json'
}

symbols_are_those_listed () {
  dpkg-deb -I "$packages"/libcommy-1-0_*.deb symbols |
    sed -n 's/^ \(commy_[a-z0-9_]*@COMMY_[0-9.]*\) [0-9.]*$/\1/p' | sort >"$work/symbols"
  awk '{ print $1 "@COMMY_" (NF > 1 ? $2 : "0.1.0") }' "$source_dir/tests/api/commy-1.symbols" |
    sort | diff - "$work/symbols"
}

# Full RELRO, no executable stack, position-independent, no path of the machine that built it.
binaries_are_hardened () {
  find "$work/tree" -type f \( -name '*.so' -o -name '*.so.*' -o -path '*/bin/*' \) >"$work/binaries"
  [ "$(wc -l <"$work/binaries")" -ge 12 ] || return 1
  while read -r binary; do
    readelf -W -h -l -d "$binary" >"$work/elf" || echo "$binary: readelf"
    grep -qE 'Type: +DYN' "$work/elf" || echo "$binary: not position-independent"
    grep -qE 'GNU_STACK.* RW ' "$work/elf" || echo "$binary: its stack"
    grep -q GNU_RELRO "$work/elf" || echo "$binary: no RELRO"
    grep -q BIND_NOW "$work/elf" || echo "$binary: not bound at the start"
    ! grep -qE 'RPATH|RUNPATH' "$work/elf" || echo "$binary: a path to libraries"
    ! strings -a "$binary" | grep -qF "$build_dir" || echo "$binary: names the build folder"
  done <"$work/binaries" >"$work/wrong"
  cat "$work/wrong"
  [ ! -s "$work/wrong" ]
}

# The tag left out tells of uploads to Debian's archive, which these are not.
lintian_is_content () {
  lintian --allow-root --no-cfg --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs \
    "$packages"/commy_*.changes
}

installed_already () {
  # shellcheck disable=SC2086
  dpkg-query -W -f '${db:Status-Status}\n' $all 2>/dev/null | grep -qx installed
}

can_lay_over () {
  # shellcheck disable=SC2016 # for the inner shell
  unshare --mount sh -c 'mkdir "$1/try" && mount -t tmpfs try "$1/try" &&
    mkdir "$1/try/upper" "$1/try/work" && mount -t overlay overlay \
      -o "lowerdir=/usr,upperdir=$1/try/upper,workdir=$1/try/work" /usr' sh "$work" 2>/dev/null
}

# Why they cannot be installed here; empty if they can.
obstacle () {
  if [ "$(id -u)" -ne 0 ]; then
    echo 'only root can install packages'
  elif installed_already; then
    echo 'packages of Commy are installed here already'
  elif ! can_lay_over; then
    echo 'the kernel lets no overlay be mounted here'
  fi
}

source_dir=${COMMY_SOURCE_DIR:?}
build_dir=${COMMY_BUILD_DIR:?}
packages=$build_dir/deb
version=$(sed -n 's/.*AC_INIT(\[commy\], \[\([^]]*\)\].*/\1/p' "$source_dir/configure.ac")
work=$(mktemp -d) || exit 1
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
if [ -z "$(find "$packages" -name '*.changes' 2>/dev/null)" ]; then
  echo 'Bail out! no packages in deb/: make check-deb makes them first'
  exit 1
fi

ok packages/all-are-there all_are_there
ok packages/files-are-in-the-right-package files_are_in_the_right_package
ok packages/dependencies-are-right dependencies_are_right
ok packages/symbols-are-those-listed symbols_are_those_listed
ok packages/binaries-are-hardened binaries_are_hardened
ok packages/lintian-is-content lintian_is_content

why=$(obstacle)
if [ -n "$why" ]; then
  number=$((number + 1))
  echo "ok $number - /debian/installed # SKIP $why"
else
  mkdir "$work/packages"
  cp "$packages"/*.deb "$work/packages"
  cp "$source_dir/deploy/debian/tests/smoke" "$source_dir/deploy/debian/tests/users" \
    "$source_dir/tests/integration/debian.sh" \
    "$source_dir/docs/plugin-author/tutorial.md" "$source_dir/tests/docs/library.sh" "$work"
  chmod 755 "$work/smoke" "$work/users"
  unshare --mount --propagation private sh "$work/debian.sh" --inside \
    "$work" "$source_dir" "$build_dir" "$number" || failed=1
  number=$(cat "$work/number") || number=0
fi
echo "1..$number"
exit "$failed"
