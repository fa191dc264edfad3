#!/usr/bin/env bash
# What CMake and setup.sh decide without building anything: the LibTorch inside PyTorch is found, and what is to be installed is
# said beforehand. usage: packaging_test.sh SOURCE_DIR
set -euo pipefail
source_dir=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "FAILED: $1" >&2; exit 1; }

mkdir -p "$folder/bin" "$folder/torch/share/cmake"
printf '#!/bin/sh\necho %s\n' "$folder/torch/share/cmake" > "$folder/bin/python3"
chmod +x "$folder/bin/python3"
cat > "$folder/find.cmake" <<CMAKE
include($source_dir/cmake/torch.cmake)
vortex_python_torch(found)
message(STATUS "found: [\${found}]")
CMAKE
PATH=$folder/bin:$PATH cmake -P "$folder/find.cmake" | grep -qF "found: [$folder/torch/share/cmake]" ||
  fail "the LibTorch of python3's PyTorch is not found"
printf '#!/bin/sh\nexit 1\n' > "$folder/bin/python3"
PATH=$folder/bin:$PATH cmake -P "$folder/find.cmake" | grep -qF "found: []" || fail "no PyTorch, and yet one is found"

# Stand-ins for apt: one package is missing, and LibTorch is old.
cat > "$folder/bin/dpkg-query" <<'STUB'
#!/bin/sh
case "$*" in *ninja-build*|*libtorch-dev*) exit 1 ;; *) echo installed ;; esac
STUB
cat > "$folder/bin/apt-get" <<'STUB'
#!/bin/sh
case "$*" in *--assume-no*) echo "Need to get 118 kB of archives."; echo "After this operation, 418 kB of additional disk space will be used." ;; esac
STUB
printf '#!/bin/sh\necho "  Candidate: 1.8.1-1"\n' > "$folder/bin/apt-cache"
chmod +x "$folder/bin"/*
PATH=$folder/bin:$PATH "$source_dir/scripts/setup.sh" --dry-run 2> "$folder/said" || { cat "$folder/said" >&2; fail "setup.sh --dry-run"; }
grep -q "^installing: ninja-build$" "$folder/said" || { cat "$folder/said" >&2; fail "what is missing"; }
grep -q "^Need to get 118 kB" "$folder/said" && grep -q "^After this operation, 418 kB" "$folder/said" || fail "how large it is"
grep -q "no LibTorch 1.13 or later (it has: 1.8.1-1)" "$folder/said" || fail "an old LibTorch is told"
echo "LibTorch is found where it is, and setup says what it does"
