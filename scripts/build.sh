#!/usr/bin/env bash
# Configures and builds into build/<preset> (default: cuda, which falls back to CPU without a toolkit): everything, or the
# targets that VORTEX_TARGETS names.
# usage: scripts/build.sh [preset] [cmake options...]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-cuda}
shift || true
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset "$preset" "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
# shellcheck disable=SC2086
cmake --build --preset "$preset" ${VORTEX_TARGETS:+--target $VORTEX_TARGETS}
