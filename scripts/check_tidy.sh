#!/usr/bin/env bash
# Runs clang-tidy (.clang-tidy) over our C++: everything, which takes about an hour on two cores and is therefore no part
# of scripts/test.sh; or the folders and files named; or, with --changed, what differs from a commit.
# Left out: what is written in LibTorch, whose headers alone take half a minute a file; tests; device code.
# usage: scripts/check_tidy.sh [--changed [COMMIT] | PATH...]     COMMIT: main unless said otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-tidy >/dev/null || { echo "error: clang-tidy is missing: scripts/setup.sh installs it" >&2; exit 1; }
if [ "${1:-}" = --changed ]; then
  listed=$(git diff --name-only --diff-filter=d "${2:-main}"; git ls-files -o --exclude-standard)
else
  [ $# -gt 0 ] || set -- agent base cli core db evals fetch job kernels net sandbox study web
  listed=$(git ls-files -co --exclude-standard -- "$@")
fi
sources=$(grep '\.cpp$' <<<"$listed" | grep -vE '^tests/|^core/tensor/|^core/compile/reference/' | sort -u || true)
flags=(-std=c++20 -I. '-DVORTEX_VERSION=""')
if [ -f /usr/local/cuda/include/cuda_runtime_api.h ]; then
  flags+=(-isystem /usr/local/cuda/include)
else
  sources=$(grep -v '/cuda/' <<<"$sources" || true)
fi
[ -n "$sources" ] || { echo "clang-tidy: no sources"; exit 0; }

# tidy PATTERN FLAG...: the sources whose names match; clang-tidy counts on standard error what it does not show.
tidy() {
  local some
  some=$(grep -E "$1" <<<"$sources") || return 0
  xargs -P "$(nproc)" -I '{}' clang-tidy --quiet '{}' -- "${flags[@]}" "${@:2}" <<<"$some" 2>/dev/null
}
failed=0
tidy '_avx2\.cpp$' -mavx2 -mfma -mf16c || failed=1
tidy '_avx512\.cpp$' -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma || failed=1
tidy '^([^_]|_[^a]|_a[^v])*\.cpp$' || failed=1
[ $failed -eq 0 ] || { echo "error: clang-tidy has something to say" >&2; exit 1; }
echo "clang-tidy: $(wc -l <<<"$sources") sources are clean"
