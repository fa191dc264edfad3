#!/usr/bin/env bash
# Installs the .deb in a bare Debian 12, made with debootstrap in a folder, and uses it there as somebody would who has no
# compiler: the manual page, completions, a check, a search of one candidate, its front. Then the .tar.gz beside it. Needs root,
# debootstrap and a mirror (the one of apt's configuration, or MIRROR=URL); takes some minutes.
# usage: scripts/try_package.sh PACKAGE.deb [PACKAGE.tar.gz]
set -euo pipefail
deb=$(realpath "$1")
tarball=${2:+$(realpath "$2")}
command -v debootstrap >/dev/null || { echo "error: debootstrap is not installed" >&2; exit 3; }
[ "$(id -u)" -eq 0 ] || { echo "error: needs root, for debootstrap and chroot" >&2; exit 3; }
mirror=${MIRROR:-$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb *\(\[[^]]*\] *\)\{0,1\}\(http[^ ]*\).*/\2/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1 || true)}  # not all of these files need be there
mirror=${mirror:-http://deb.debian.org/debian}
root=$(mktemp -d)
leave() {
  umount "$root/proc" "$root/dev" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap leave EXIT

echo "== a bare Debian 12 from $mirror"
debootstrap --variant=minbase bookworm "$root" "$mirror" > "$root.log" 2>&1 || { tail -n 5 "$root.log" >&2; exit 3; }
rm -f "$root.log"
mount -t proc proc "$root/proc" 2>/dev/null || true
mount --bind /dev "$root/dev" 2>/dev/null || true
cp /etc/resolv.conf "$root/etc/resolv.conf"
[ ! -e /etc/apt/apt.conf.d ] || cp -rn /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 COLUMNS=80 "$@"; }

echo "== apt install of the package with what it declares"
cp "$deb" "$root/root/vortex.deb"
inside apt-get update -qq
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends /root/vortex.deb >/dev/null
for file in /usr/bin/vortex /usr/share/man/man1/vortex.1 /usr/share/bash-completion/completions/vortex \
  /usr/share/zsh/vendor-completions/_vortex /usr/share/fish/vendor_completions.d/vortex.fish \
  /usr/share/vortex/models/chain-4m/config.json /usr/share/vortex/examples/policies/quest.py; do
  [ -s "$root$file" ] || { echo "FAILED: $file is not there" >&2; exit 1; }
done

use() {  # FOLDER: a search of one candidate, with the programs that PATH has
  inside sh -ec "mkdir -p $1; cd $1
    vortex --version
    vortex check /usr/share/vortex/examples/policies/quest.py
    vortex search --definitions 96 --chain 10 --problems 4 --max-evals 1 --for 10m --no-confirm --speed-seconds 0 2> log ||
      { cat log >&2; exit 1; }
    vortex list
    vortex show 2 | sed -n 1,12p"
}
echo "== a search of one candidate"
use /root/deb
inside sh -ec 'for program in vortex vortex-worker vortex-keeper vortex-bench vortex-serve vortex-oracle.so; do
  ! ldd /usr/bin/$program | grep "not found" || exit 1; done'

if [ -n "$tarball" ]; then
  echo "== the same from the archive, with the libraries that the package declares"
  inside dpkg --remove vortex >/dev/null
  cp "$tarball" "$root/root/vortex.tar.gz"
  inside sh -ec 'mkdir /opt/vortex; tar -C /opt/vortex --strip-components 1 -xf /root/vortex.tar.gz; ls /opt/vortex'
  inside sh -ec 'cd /root; bin=$(dirname "$(find /opt/vortex -name vortex -path "*bin*")"); mkdir t; cd t
    $bin/vortex check quest.py 2>/dev/null || true
    $bin/vortex search --definitions 96 --chain 10 --problems 4 --max-evals 1 --for 10m --no-confirm --speed-seconds 0 2> log ||
      { cat log >&2; exit 1; }
    $bin/vortex front'
fi
echo "the package runs on a bare Debian 12"
