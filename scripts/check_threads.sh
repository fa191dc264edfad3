#!/usr/bin/env bash
# Has clang check that what a lock guards is touched under it alone: in every source that includes
# base/thread_annotations.h, itself or through a header that does. Only reads: it needs no build.
# usage: scripts/check_threads.sh
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang++ >/dev/null || { echo "error: clang++ is missing: scripts/setup.sh installs it" >&2; exit 1; }
rooms=(agent base cli core db evals fetch fleet job net sandbox study web)
annotated=$(git grep --untracked -l '#include "base/thread_annotations.h"' -- "${rooms[@]}")
includes=$(grep '\.h$' <<<"$annotated" | sed 's/.*/#include "&"/')
sources=$({ grep '\.cpp$' <<<"$annotated"; git grep --untracked -lF "$includes" -- "${rooms[@]}" | grep '\.cpp$'; } | sort -u)

# What costs most to read, once for all of them.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
flags=(-std=c++20 -I. '-DVORTEX_VERSION=""' -Wthread-safety -Werror)
printf '#include <%s>\n' filesystem functional map set unordered_map nlohmann/json.hpp >"$scratch/common.h"
clang++ "${flags[@]}" -x c++-header "$scratch/common.h" -o "$scratch/common.h.pch"
xargs -P "$(nproc)" -n 4 clang++ "${flags[@]}" -include "$scratch/common.h" -fsyntax-only <<<"$sources"
echo "locks are held where they must be: $(wc -l <<<"$sources") sources"
