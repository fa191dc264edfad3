#!/usr/bin/env bash
# Installs what building and running vortex needs on Debian 12 or Ubuntu 24.04, skipping what is there already.
# Says first what it installs and how large that is; with --dry-run it says only that.
# CUDA is used when a toolkit is found; it is never installed and never needed.
set -euo pipefail

packages=(
  cmake ninja-build g++ ccache mold clang clang-format-16 clang-tidy git python3 python3-numpy
  libtorch-dev libopenblas0-pthread
  nlohmann-json3-dev libcli11-dev libboost-dev libboost-filesystem-dev libseccomp-dev bubblewrap
  libsqlite3-dev sqlite3 procps curl libcurl4-openssl-dev libssl-dev libpcre2-dev libutf8proc-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  chromium fonts-dejavu-core
  slurmctld slurmd slurm-client munge  # for tests/e2e/slurm.sh, which starts its own; no service is set up
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
"${as_root[@]}" apt-get update -qq
# Where apt has no LibTorch, or none that is new enough, CMake looks for the one inside python3's PyTorch.
torch=$(apt-cache policy libtorch-dev 2>/dev/null | sed -n 's/ *Candidate: //p')
if [ -z "$torch" ] || [ "$torch" = "(none)" ] || dpkg --compare-versions "$torch" lt 1.13; then
  kept=()
  for package in "${missing[@]}"; do [ "$package" = libtorch-dev ] || kept+=("$package"); done
  missing=("${kept[@]}")
  echo "apt has no LibTorch 1.13 or later (it has: ${torch:-none}): PyTorch for python3 does as well (its CPU build)" >&2
fi
echo "installing: ${missing[*]}" >&2
# What apt would do, with what comes along: "Need to get 812 MB of archives", "3,214 MB ... will be used".
LC_ALL=C "${as_root[@]}" apt-get install --assume-no --no-install-recommends "${missing[@]}" 2>/dev/null |
  grep -E '^(Need to get|After this operation)' >&2 || true
if [ "${1:-}" = --dry-run ]; then
  exit 0
fi
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
