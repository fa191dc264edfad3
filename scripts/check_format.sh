#!/usr/bin/env bash
# Fails when a C++ or CUDA file is not formatted as .clang-format says. `scripts/check_format.sh --fix` formats.
# Formatters differ between versions, so one version is the judge: 16, the first of Debian 12 that inserts braces.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(--dry-run -Werror)
[ "${1:-}" = "--fix" ] && mode=(-i)
git ls-files -z -- '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 -r -P "$(nproc)" -n 50 clang-format-16 "${mode[@]}"
