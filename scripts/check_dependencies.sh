#!/usr/bin/env bash
# Enforces the dependency rule of docs/architecture.md: which folder may include which, and where LibTorch may appear.
set -euo pipefail
cd "$(dirname "$0")/.."

# folder -> folders that it may include. The longest matching folder of a file decides.
declare -A allowed=(
  [kernels]="kernels"
  [core/base]="core/base"
  [core/vflow]="core/base core/vflow"
  [core/tensor]="core/base core/vflow core/tensor"
  [core/compile]="core/base core/vflow core/tensor core/compile kernels"
  [core/model]="core/base core/vflow core/model kernels"
  [core/engine]="core kernels"
  [evals]="core kernels evals"
  [sandbox]="core/base core/vflow core/model evals sandbox"
  [sandbox/worker]="core evals sandbox"
  [net]="core/base net"
  [fetch]="core/base net fetch"
  [agent]="core/base core/vflow core/model evals sandbox db net agent"
  [db]="core/base db"
  [web]="core/base db web"
  [cli]="core/base core/vflow core/compile core/model evals sandbox agent db net fetch web cli"
)
torch_folders="core/tensor core/compile/reference evals"

starts_with_any() {  # PATH FOLDER...
  local path=$1 folder
  shift
  for folder in "$@"; do
    [[ $path == "$folder"/* ]] && return 0
  done
  return 1
}

rule_of() {  # FILE -> the longest folder with a rule
  local folder
  folder=$(dirname "$1")
  while [ "$folder" != . ]; do
    [ -n "${allowed[$folder]:-}" ] && { echo "$folder"; return; }
    folder=$(dirname "$folder")
  done
}

failures=0
report() { echo "$1" >&2; failures=$((failures + 1)); }

while IFS=: read -r file line text; do
  rule=$(rule_of "$file")
  [ -n "$rule" ] || continue
  include=$(sed -E 's/^ *# *include *[<"]([^>"]*)[>"].*/\1/' <<<"$text")
  case $include in
    c10/cuda/*) report "$file:$line: c10/cuda is used nowhere: the CUDA path uses the CUDA runtime directly" ;;
    torch/* | ATen/* | c10/*)
      # shellcheck disable=SC2086
      starts_with_any "$file" $torch_folders || report "$file:$line: LibTorch ($include) stays inside: $torch_folders" ;;
    kernels/* | core/* | evals/* | sandbox/* | agent/* | db/* | net/* | fetch/* | web/* | cli/*)
      # shellcheck disable=SC2086
      starts_with_any "$include" ${allowed[$rule]} || report "$file:$line: $rule may not include $include (allowed: ${allowed[$rule]})" ;;
  esac
done < <(git grep -nE '^ *# *include' -- 'kernels' 'core' 'evals' 'sandbox' 'agent' 'db' 'net' 'fetch' 'web' 'cli')

if [ "$failures" -gt 0 ]; then
  echo "error: $failures include(s) break the dependency rule" >&2
  exit 1
fi
echo "dependency rule holds"
