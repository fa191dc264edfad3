#!/usr/bin/env bash
# Fails when a C++ or CUDA file is not formatted as .clang-format says. `scripts/check_format.sh --fix` formats.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(--dry-run -Werror)
[ "${1:-}" = "--fix" ] && mode=(-i)
git ls-files -z -- '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 -r clang-format "${mode[@]}"
