#!/usr/bin/env bash
# Installs what is missing, builds, and runs every check and test. Long fuzzing, soaks and benchmarks have scripts of
# their own. Options go to ctest: scripts/test.sh -R vflow
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/check_dependencies.sh
scripts/check_format.sh
scripts/build.sh
exec ctest --test-dir build/cuda --output-on-failure --no-tests=error --parallel 2 "$@"
