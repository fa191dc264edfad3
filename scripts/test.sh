#!/usr/bin/env bash
# Installs what is missing, builds, and runs every check and test, then the kept fuzzing inputs, and searches over a
# fleet of workers, under sanitizers. Long fuzzing, soaks and benchmarks have scripts of their own. Options go to ctest, which then runs
# alone at the end: scripts/test.sh -R vflow
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/check_dependencies.py
scripts/check_format.sh
scripts/check_op_count.sh
scripts/check_threads.sh
scripts/build.sh
ctest --test-dir build/cuda --output-on-failure --no-tests=error --parallel 2 "$@"
[ $# -eq 0 ] || exit 0
scripts/replay_corpus.sh
scripts/sanitize.sh tsan '^fleet$'
