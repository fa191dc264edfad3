#!/usr/bin/env bash
# `vortex generate`: text, streams, comparisons, records, refusals, interruption. usage: generate.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
model=$source_dir/models/chain-4m
cases=$source_dir/tests/cases/generate

fail() {
  echo "FAILED: $1" >&2
  tail -n 20 err.txt >&2 || true
  exit 1
}
generate() { "$vortex" generate "$@" 2> err.txt; }
policy() {  # NAME TOPK
  cp "$source_dir/examples/policies/block_topk.py" "$1.py"
  sed -e "s/\"vortex_topk_val\": 16/\"vortex_topk_val\": $2/" -e 's/\[3\]/[]/' \
    -e "s/block_topk.py/$1.py/" "$source_dir/examples/policies/block_topk.json" > "$1.json"
}
policy covering 64
policy starving 1

echo "a chain problem is solved, from an argument, standard input and a file"
generate "$(cat "$cases/chain_prompt.txt")" --model "$model" --max-tokens 120 > text.txt || fail "an argument"
diff text.txt "$cases/chain_solution.txt" || fail "the solution"
grep -q "dense: 484 tokens read in .* 105 written" err.txt || fail "the summary"
mark=$'\xef\xbb\xbf'  # as Windows puts it before a text
{ printf %s "$mark"; cat "$cases/chain_prompt.txt"; } > marked.txt
generate - --model "$model" --max-tokens 120 < marked.txt > text.txt || fail "standard input"
diff text.txt "$cases/chain_solution.txt" || fail "the solution of standard input"
generate --prompts marked.txt --model "$model" --max-tokens 120 > text.txt || fail "a text behind a byte order mark"
grep -qxFf "$cases/chain_solution.txt" text.txt || fail "the solution of a text behind a byte order mark"
python3 -c 'import json, sys; p = open(sys.argv[1]).read().strip()
print(json.dumps({"id": 1, "problem": p})); print(); print(json.dumps({"prompt": "? v5 ?"}))' "$cases/chain_prompt.txt" > prompts.jsonl
generate --prompts prompts.jsonl --model "$model" --max-tokens 120 > text.txt || fail "a file"
[ "$(sed -n 2p text.txt)" = "$(cat "$cases/chain_solution.txt")" ] || fail "the first of two solutions"
grep -q '^== 1: <s> v' text.txt && grep -q '^== 2: ? v5 ?$' text.txt || fail "the headings"

generate --prompts prompts.jsonl --model "$model" --max-tokens 120 --format jsonl > order.jsonl || fail "records"
[ "$(grep -o '"index":[0-9]*' order.jsonl | tr '\n' ' ')" = '"index":0 "index":1 ' ] || fail "answers in the order of the prompts"

echo "a budget that covers every page gives dense attention's tokens; one that starves does not"
prompt=("$(cat "$cases/chain_prompt.txt")" --model "$model" --max-tokens 120)
generate "${prompt[@]}" --policy covering.py > text.txt || fail "a policy"
diff text.txt "$cases/chain_solution.txt" || fail "the policy's solution"
grep -q "block_topk: .*attended 100.0 % of the pages" err.txt || fail "the share of pages"
generate "${prompt[@]}" --policy covering.py --compare > text.txt || fail "a comparison"
grep -q "^no difference in 105 tokens" text.txt || fail "no difference"
generate "${prompt[@]}" --policy starving.py --compare > text.txt || fail "a comparison that differs"
grep -q "^first difference at token " text.txt && grep -q "».*«" text.txt || fail "the mark"
grep -qE '^ +block_topk: ".*" \([0-9]+\)$' text.txt || fail "the differing token"
generate "${prompt[@]}" --policy starving.py --compare --format json > compare.json || fail "JSON"
generate "${prompt[@]}" --policy starving.py --format jsonl > sparse.jsonl || fail "JSON lines"
python3 - "$cases/chain_solution.txt" <<'CHECK' || fail "the records"
import json, sys
solution = open(sys.argv[1]).read().strip()
document = json.load(open('compare.json'))
assert document['schema'] == 1 and document['kind'] == 'generation', document
[item] = document['items']
dense, sparse, at = item['dense'], item['policy'], item['first_difference']
assert dense['text'] == solution and dense['end'] == 'stop' and len(dense['tokens']) == 105
assert not item['same'] and item['policy_name'] == 'block_topk'
where = at['position']
assert dense['tokens'][:where] == sparse['tokens'][:where]
assert dense['tokens'][where] == at['dense']['id'] != at['policy']['id'] == sparse['tokens'][where]
assert solution.startswith(at['before'] + at['dense']['text']) or at['before'] + at['dense']['text'] in solution
alone = json.loads(open('sparse.jsonl').read())
assert alone['policy'] == sparse and 'dense' not in alone and alone['kind'] == 'generation'
CHECK

echo "sampling depends on the seed alone"
sampled=("? v5 ?" --model "$model" --max-tokens 20 --temperature 1.5 --top-k 50 --format jsonl)
generate "${sampled[@]}" --seed 1 > one.txt; generate "${sampled[@]}" --seed 1 > two.txt; generate "${sampled[@]}" --seed 2 > other.txt
cmp -s one.txt two.txt || fail "the same seed"
! cmp -s one.txt other.txt || fail "another seed"

echo "a character whose bytes are several tokens is never cut"
text='aé日😀b'
python3 "$source_dir/tests/e2e/successor_model.py" "$source_dir/tests/cases/model/tiny_bpe/tokenizer.json" bytes "$text"
generate a --model bytes > text.txt || fail "the byte model"
[ "$(cat text.txt)" = "${text#a}" ] || fail "its text: $(cat text.txt)"
python3 - "$vortex" "${text#a}" <<'CHECK' || fail "a stream"
import os, subprocess, sys
process = subprocess.Popen([sys.argv[1], 'generate', 'a', '--model', 'bytes'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
chunks = []
while chunk := os.read(process.stdout.fileno(), 65536):
    chunks.append(chunk.decode())  # raises within a character
assert process.wait() == 0 and ''.join(chunks).strip() == sys.argv[2], chunks
CHECK

echo "a chat template is put around the prompt"
python3 "$source_dir/tests/e2e/successor_model.py" "$source_dir/tests/cases/model/tiny_bpe/tokenizer.json" chat $'\n'"$text"
cat > chat/tokenizer_config.json <<'CONFIG'
{"chat_template": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"}
CONFIG
generate "Hi." --model chat --chat > text.txt || fail "a chat"  # the template ends with a line break, which the text follows
[ "$(cat text.txt)" = "$text" ] || fail "the answer: $(cat text.txt)"
read_tokens() { sed -nE 's/^dense: ([0-9]+) tokens read.*/\1/p' err.txt; }
thinking=$(read_tokens)
generate "Hi." --model chat --chat --no-think --max-tokens 1 > text.txt || fail "a chat without thinking"
[ "$(read_tokens)" -gt "$thinking" ] || fail "no closed thoughts in the prompt"

echo "an interruption ends it, with whole characters and without a worker left"
python3 "$source_dir/tests/e2e/successor_model.py" "$source_dir/tests/cases/model/tiny_bpe/tokenizer.json" endless "$text" cycle
python3 - "$vortex" <<'CHECK' || fail "an interruption"
import os, signal, subprocess, sys, time
process = subprocess.Popen([sys.argv[1], 'generate', 'a', '--model', 'endless', '--max-tokens', '300000'],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
first = b''
while len(first) < 100:
    first += os.read(process.stdout.fileno(), 1 << 16)
process.send_signal(signal.SIGINT)
out, err = process.communicate(timeout=30)
assert process.returncode == 130, process.returncode
assert 'interrupted' in err.decode(), err
assert '日😀ba' in (first + out).decode() and (first + out).endswith(b'\n')
CHECK

echo "what is wrong is said"
refused() {  # TEXT ARGUMENT...
  local part=$1 code=0
  shift
  generate "$@" > text.txt || code=$?
  [ $code -eq 1 ] && grep -qi -- "$part" err.txt || fail "exit code $code instead of 1 with \"$part\": generate $*"
}
sed 's/Mean(/Meen(/' starving.py > misspelled.py; cp starving.json misspelled.json
refused "misspelled.py:" "? v5 ?" --model "$model" --policy misspelled.py
refused "no-such-model" "? v5 ?" --model no-such-model
refused "which model" "? v5 ?"
refused "which prompt" --model "$model"
refused "compare dense attention with what" "? v5 ?" --model "$model" --compare
refused "hello.*vocabulary" "hello" --model "$model"
refused "8192 positions" "? v5 ?" --model "$model" --max-tokens 8192
refused "none.txt" --prompts none.txt --model "$model"
refused "chat template" "? v5 ?" --model "$model" --chat
printf '{"prompt": "? v5 ?"}\n{"question": "? v5 ?"}\n' > wrong.jsonl
refused "wrong.jsonl:2" --prompts wrong.jsonl --model "$model"
refused "did you mean --temperature" "? v5 ?" --model "$model" --temprature 1
