#!/usr/bin/env bash
# From nothing but git to a search: installs what is missing, builds the program, and searches on the shipped model
# (contexts of 4K tokens) for five minutes with the built-in evolver. Options are passed on: scripts/run.sh --for 30m
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
VORTEX_TARGETS=programs scripts/build.sh
time=(--for 5m)
for word in "$@"; do
  case $word in --for | --for=*) time=() ;; esac
done
exec build/cuda/bin/vortex search --model models/chain-4m --problems 16 "${time[@]}" "$@"
