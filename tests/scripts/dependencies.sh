#!/usr/bin/env bash
# The dependency script takes a downward include and refuses each kind of upward one, in a small tree of its own.
# usage: dependencies.sh SOURCE_DIR
set -euo pipefail
check=$1/scripts/check_dependencies.py
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git init -q "$tree"

write() {  # FILE INCLUDE
  mkdir -p "$tree/$(dirname "$1")"
  printf '#include %s\n' "$2" >"$tree/$1"
}
refused() {  # FILE INCLUDE WHAT_THE_MESSAGE_SAYS
  write "$1" "$2"
  if message=$("$check" "$tree" 2>&1); then
    echo "not refused: $1 includes $2" >&2
    exit 1
  fi
  grep -qF "$1:1: $3" <<<"$message" || { echo "another message for $1: $message" >&2; exit 1; }
  rm "$tree/$1"
}

write study/front.h '"db/store.h"'
write agent/loop/search.cpp '"agent/session/hooks.h"'
write core/vflow/policy.h '"core/vflow/check/check.h"'
"$check" "$tree"
refused db/store.cpp '"study/front.h"' 'db may not include study/front.h'
refused study/front.cpp '"agent/loop/search.h"' 'study may not include agent/loop/search.h'
refused kernels/cpu/norm.cpp '"base/result.h"' 'kernels may not include base/result.h'
refused agent/session/budget.cpp '"agent/loop/search.h"' 'room session of agent may not include agent/loop/search.h'
refused agent/other/thing.cpp '"agent/session/budget.h"' 'agent/other is no room of agent'
refused cli/main2.cpp '<torch/torch.h>' 'LibTorch (torch/torch.h) stays inside'
refused core/engine/cuda/x.cpp '<c10/cuda/CUDAStream.h>' 'c10/cuda is used nowhere'
echo "7 upward includes refused"
