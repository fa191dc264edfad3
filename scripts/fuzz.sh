#!/bin/bash
# Fuzzes what reads foreign bytes (policies, configurations, schedules, answers, tokenizer and weight files, task files,
# replies, the workers' protocol) with libFuzzer, address, undefined-behaviour and leak sanitizers.
# usage: scripts/fuzz.sh [seconds a target, default 60; 3600: an hour each] [target...]     targets: those of tests/fuzz (default: all)
#        scripts/fuzz.sh keep [target...]   adds to tests/fuzz/corpus what build-fuzz/corpus covers and it does not
#        scripts/replay_corpus.sh           runs what is kept, without libFuzzer; part of scripts/test.sh
# Needs clang++. Interesting inputs are kept in build-fuzz/corpus; a finding is written to build-fuzz/ and ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(basename -a -s _fuzz.cpp tests/fuzz/*_fuzz.cpp)
build=build-fuzz
mkdir -p "$build"
flags=(-std=c++20 -O1 -g -I. -DVORTEX_BPE -fno-sanitize-recover=all "-fsanitize=fuzzer-no-link,address,undefined")

objects=()
for source in base/*.cpp job/*.cpp core/vflow/{*,*/*}.cpp core/model/{tokenizer,unicode,word_level,safetensors,bpe/*,jinja/*}.cpp evals/grading/*.cpp evals/tasks/task_file.cpp \
  study/prediction.cpp agent/llm/{markdown,reply,sse}.cpp; do
  object="$build/$(echo "$source" | tr / _).o"
  objects+=("$object")
  if [ "$source" -nt "$object" ] || [ -n "$(find base core evals job study agent/llm -name '*.h' -newer "$object" -print -quit 2>/dev/null)" ]; then
    clang++ "${flags[@]}" -c "$source" -o "$object"
  fi
done

# Words of the language and of tokenizer files, so that mutations make programs and not only noise.
grep -ohE '"[A-Za-z_0-9.@=<>*/ ]{2,24}"' core/vflow/{op_table,lexer,parser,modules,builtins,interp,trace,config,schedule}*.cpp \
  core/model/{word_level,bpe/*}.cpp | sort -u >"$build/words"

for target in "${targets[@]}"; do
  corpus="$build/corpus/$target"
  kept="tests/fuzz/corpus/$target"
  mkdir -p "$corpus" "$kept"
  case $target in
    check) for f in examples/policies/*.py tests/cases/check/modules/*.py; do
        { cat "$f"; printf '\0'; cat "${f%.py}.json"; } > "$corpus/$(basename "$f")"; done ;;
    config) cp examples/policies/*.json "$corpus/" ;;
    safetensors) head -c 6000 models/chain-4m/model.safetensors > "$corpus/cut" ;;
    tasks) for f in examples/tasks/*.json; do cp "$f" "$corpus/"; done ;;
    replies) cp examples/recorded-search/replies/*.md "$corpus/" ;;
    grading) printf '\\frac{1}{2}\0So \\boxed{x=\\frac12 \\text{ or } [0,1)\\cup\\{2^{3},\\sqrt3\\}}' > "$corpus/seed" ;;
    schedule) printf 'const int a = topk_val; if (a > 3) return max(a, int(cached_block_len * topk_ratio)); return 4;' > "$corpus/seed" ;;
  esac
  clang++ "${flags[@]}" -fsanitize=fuzzer,address,undefined "tests/fuzz/${target}_fuzz.cpp" "${objects[@]}" \
    -lcrypto -lpcre2-8 -lutf8proc -o "$build/${target}_fuzz"
  options=(-max_len=8192 -timeout=60 -rss_limit_mb=2048 "-artifact_prefix=$build/$target-")
  if [ "$seconds" = keep ]; then
    # A small set: one input for each branch reached, not for each count of it.
    "$build/${target}_fuzz" -set_cover_merge=1 -use_counters=0 "${options[@]}" -max_len=3000 "$kept" "$corpus"
  else
    "$build/${target}_fuzz" "-max_total_time=$seconds" -dict="$build/words" -print_final_stats=1 "${options[@]}" \
      "$corpus" "$kept"
  fi
done
