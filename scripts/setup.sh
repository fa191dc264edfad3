#!/usr/bin/env bash
# Installs what building and running vortex needs on Debian 12 or Ubuntu 24.04, skipping what is there already.
# CUDA is used when a toolkit is found; it is never installed and never needed.
set -euo pipefail

packages=(
  cmake ninja-build g++ ccache mold clang clang-format-16 clang-tidy git python3 python3-numpy
  libtorch-dev libopenblas0-pthread
  nlohmann-json3-dev libcli11-dev libboost-dev libboost-filesystem-dev libseccomp-dev bubblewrap
  libsqlite3-dev sqlite3 procps libcurl4-openssl-dev libssl-dev libpcre2-dev libutf8proc-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  chromium fonts-dejavu-core
)
# The dashboard's page is kept built; Node is for its tests and for building it anew. One that is there already is used.
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "error: need root (or sudo) to install: ${missing[*]}" >&2; exit 3; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
