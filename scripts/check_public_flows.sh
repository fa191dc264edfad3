#!/usr/bin/env bash
# Runs every vFlow policy below a folder (a checkout of vortex_torch, a set of submissions) through check, print and
# read back, and execution on the CPU beside the oracle; prints a row a policy, then the counts.
# usage: scripts/check_public_flows.sh FOLDER
set -euo pipefail
[ $# -eq 1 ] && [ -d "$1" ] || { echo "usage: scripts/check_public_flows.sh FOLDER" >&2; exit 1; }
folder=$(realpath "$1")
cd "$(dirname "$0")/.."
[ -d build/cuda ] || cmake --preset cuda >/dev/null
cmake --build build/cuda --target flow_check >&2
exec env OMP_NUM_THREADS=1 build/cuda/bin/flow_check "$folder"
