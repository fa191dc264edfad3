#!/usr/bin/env bash
# Many simulated nights, each with other faults: kills, crashes of workers, outages, full disks, jumping clocks.
# usage: scripts/soak.sh [nights, 50] [build folder, build/cuda]
set -euo pipefail
cd "$(dirname "$0")/.."
nights=${1:-50}
build=${2:-build/cuda}
cmake --build "$build" --target agent_tests
VORTEX_NIGHTS=$nights "$build/bin/agent_tests" --gtest_filter='Seeds/NightTest.*' --gtest_brief=1
