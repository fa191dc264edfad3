#!/bin/bash
# Runs the fuzz targets beside it, each for so many seconds of wall time, JOBS at once, and prints a table. What ended a
# target early (a crash, an input that takes a minute, a leak) is in crashes/TARGET-*, its report in logs/TARGET; what took
# over ten seconds of wall time and ended is there as TARGET-slow-unit-*.
# Made by scripts/fuzz.sh, which copies it into the folder that it builds; needs nothing but that folder.
# usage: run.sh SECONDS JOBS [target...]     exit code 1: something was found
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: run.sh SECONDS JOBS [target...]}
jobs=${2:?usage: run.sh SECONDS JOBS [target...]}
shift 2
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls bin)
mkdir -p logs crashes

one() {
  local target=$1 fixed=()
  # Older sanitizers do not start where the kernel places programs with 32 random bits.
  setarch "$(uname -m)" -R true 2>/dev/null && fixed=(setarch "$(uname -m)" -R)
  mkdir -p "corpus/$target" "kept/$target"
  "${fixed[@]}" "bin/$target" "-max_total_time=$2" -dict=words -print_final_stats=1 -max_len=8192 -timeout=60 \
    -rss_limit_mb=2048 "-artifact_prefix=crashes/$target-" "corpus/$target" "kept/$target" >"logs/$target" 2>&1 ||
    echo "ended early with exit code $?" >>"logs/$target"
}
export -f one
rm -f "${targets[@]/#/logs/}"
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'one "$1" "$2"' one {} "$seconds"

found=0
echo "| target | executions | seconds | inputs kept | slow | crashes |"
echo "|---|---|---|---|---|---|"
for target in "${targets[@]}"; do
  log=logs/$target
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  # The last line of progress says how many inputs the corpus has; libFuzzer says its seconds only when it ends in time.
  took=$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) second.*/\1/p' "$log")
  kept=$(sed -n 's/^#[0-9]*.* corp: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  crashes=$(find crashes -maxdepth 1 -name "$target-*" ! -name '*-slow-unit-*' | wc -l)
  slow=$(find crashes -maxdepth 1 -name "$target-slow-unit-*" | wc -l)
  if grep -q '^ended early' "$log" && [ "$crashes" -eq 0 ]; then crashes="no input: see logs/$target"; fi
  [ "$crashes" = 0 ] || found=1
  echo "| $target | ${executions:-?} | ${took:-ended early} | ${kept:-?} | $slow | $crashes |"
done
exit "$found"
