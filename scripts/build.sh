#!/usr/bin/env bash
# Configures and builds everything into build/<preset> (default: cuda, which falls back to CPU without a toolkit).
# usage: scripts/build.sh [preset] [cmake options...]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-cuda}
shift || true
cmake --preset "$preset" "$@" >"/tmp/vortex-configure.$$" 2>&1 || { cat "/tmp/vortex-configure.$$" >&2; rm -f "/tmp/vortex-configure.$$"; exit 1; }
rm -f "/tmp/vortex-configure.$$"
cmake --build --preset "$preset"
