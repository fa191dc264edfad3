#!/usr/bin/env bash
# Configures and builds into build/<preset> (default: cuda, which falls back to CPU without a toolkit): everything, or the
# targets that VORTEX_TARGETS names.
# The first time for a build from scratch: files of a folder are compiled together, in two thirds of the time. Who changes
# files often configures with -DVORTEX_UNITY=OFF, which then stays.
# usage: scripts/build.sh [preset] [cmake options...]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-cuda}
shift || true
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ "$preset" != cuda ] || [ -f build/cuda/CMakeCache.txt ] || set -- -DVORTEX_UNITY=ON "$@"
cmake --preset "$preset" "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
# shellcheck disable=SC2086
cmake --build --preset "$preset" ${VORTEX_TARGETS:+--target $VORTEX_TARGETS}
