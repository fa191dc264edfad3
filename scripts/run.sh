#!/usr/bin/env bash
# From nothing but git to a search: installs what is missing, builds, and searches on the shipped model for five
# minutes with the built-in evolver. Options are passed on: scripts/run.sh --for 30m
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh
exec build/cuda/bin/vortex search --model models/chain-4m --for 5m "$@"
