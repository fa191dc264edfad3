#!/usr/bin/env bash
# What a search costs that runs on 1 to 512 workers elsewhere (they dial in from another process and make their results
# up), and how busy it keeps them. A line of JSON each: CPU time a candidate of the orchestrator's process, its memory, how
# busy the workers were. The search keeps to one core, its workers to the others: taskset -c 0-1 scripts/bench_scale.sh cost
# usage: scripts/bench_scale.sh cost [CANDIDATES (100000)]       tasks that take no time
#        scripts/bench_scale.sh efficiency [SECONDS (60)]        256 workers on a made-up clock, climbs of so many seconds
#        scripts/bench_scale.sh night [HOURS (8)]                the same for as many candidates as they climb in a night
#        scripts/bench_scale.sh pack FILE.tgz                    the programs with their libraries, for another machine
# BENCH=FOLDER: takes the programs from there (a pack that was taken apart), and builds nothing.
set -euo pipefail
bin=${BENCH:+$(realpath "$BENCH")}
cd "$(dirname "$0")/.."
part=${1:-cost}
ulimit -n 4096
if [ -n "$bin" ]; then
  export LD_LIBRARY_PATH=$bin/lib
else
  bin=build/cuda/bin
  cmake --build build/cuda --target scale_bench overlap_bench > /dev/null
fi
case $part in
  cost)
    candidates=${2:-100000}
    echo "# by the number of workers, whose batches are as large"
    for workers in 1 8 64 256 512; do
      "$bin/scale_bench" "$workers" $((workers < 64 ? 500 : 2048)) 0 "$workers"
    done
    echo "# all candidates, 512 workers"
    "$bin/scale_bench" 512 "$candidates" 0 512 0.5 2
    ;;
  efficiency)
    seconds=${2:-60}
    echo "# without and with overlapping batches; climbs that all take as long, or up to half more or less"
    "$bin/overlap_bench" 256 4096 "$seconds" 256 0 0
    "$bin/overlap_bench" 256 4096 "$seconds" 256 0 0.5
    "$bin/overlap_bench" 256 6144 "$seconds" 256 1 0
    "$bin/overlap_bench" 256 8192 "$seconds" 256 1 0.5
    "$bin/overlap_bench" 256 8192 "$seconds" 256 2 0.5
    ;;
  night)
    # As many candidates as 256 workers climb in that time, a minute each.
    "$bin/overlap_bench" 256 $((${2:-8} * 60 * 256)) 60 256 2 0.5
    ;;
  pack)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir "$folder/lib"
    strip -o "$folder/scale_bench" "$bin/scale_bench"
    strip -o "$folder/overlap_bench" "$bin/overlap_bench"
    # All but the loader's own, which another machine has.
    ldd "$bin/scale_bench" "$bin/overlap_bench" | awk '$3 ~ /^\// { print $3 }' | sort -u |
      grep -vE '/(libc|libm|libpthread|libdl|librt|libresolv)\.so' | xargs -I{} cp -L {} "$folder/lib/"
    tar -C "$folder" -czf "$2" .
    ;;
  *) echo "usage: scripts/bench_scale.sh cost|efficiency|night|pack [...]" >&2; exit 1 ;;
esac
