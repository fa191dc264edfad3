#!/usr/bin/env bash
# From nothing but git to a search: installs what is missing, builds, and searches on the shipped model (contexts of
# about 1.6K tokens; leave out --definitions and --chain for 4K) for five
# minutes with the built-in evolver. Options are passed on: scripts/run.sh --for 30m
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh
exec build/cuda/bin/vortex search --model models/chain-4m --definitions 300 --chain 12 --for 5m "$@"
