#!/usr/bin/env bash
# `vortex serve` and curl: policies side by side, streams, refusals, hanging up, ending. usage: serve.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
server=
dense_server=
trap 'kill -KILL $server $dense_server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
model=$source_dir/models/chain-4m
cases=$source_dir/tests/cases/generate

fail() {
  echo "FAILED: $1" >&2
  tail -n 20 "$folder/err.txt" >&2 || true
  exit 1
}
policy() {  # NAME TOPK
  cp "$source_dir/examples/policies/block_topk.py" "$1.py"
  sed -e "s/\"vortex_topk_val\": 16/\"vortex_topk_val\": $2/" -e 's/\[3\]/[]/' \
    -e "s/block_topk.py/$1.py/" "$source_dir/examples/policies/block_topk.json" > "$1.json"
}
policy covering 64
policy starving 1

serve() {  # ARGUMENT...: starts it; sets url and server
  : > "$folder/url.txt"
  "$vortex" serve "$@" --port 0 > "$folder/url.txt" 2> "$folder/err.txt" &
  server=$!
  for _ in $(seq 600); do [ -s "$folder/url.txt" ] && break; kill -0 $server 2>/dev/null || break; sleep 0.1; done
  [ -s "$folder/url.txt" ] || fail "the server does not start"
  url=$(cat "$folder/url.txt")
}
ask() {  # PATH JSON ARGUMENT...
  local path=$1 body=$2
  shift 2
  curl --silent --show-error --max-time 120 -H 'Content-Type: application/json' -d "$body" "$@" "$url/$path"
}
body() {  # MODEL MORE: the chain problem
  python3 -c 'import json, sys
print(json.dumps({"model": sys.argv[1], "prompt": open(sys.argv[3]).read().strip(), "temperature": 0, "max_tokens": 120}
                 | json.loads(sys.argv[2])))' "$1" "$2" "$cases/chain_prompt.txt"
}
pick() { python3 -c 'import json, sys; print(eval("answer" + sys.argv[1], {"answer": json.load(sys.stdin)}))' "$1"; }

echo "dense attention and two policies are served side by side, and say what generate says"
serve "$model" --policy covering.py --policy starving.py --batch 4
curl -s "$url/models" | pick '["data"]' | grep -o "chain-4m[a-z:]*" | sort -u > names.txt
[ "$(tr '\n' ' ' < names.txt)" = "chain-4m chain-4m:covering chain-4m:dense chain-4m:starving " ] || fail "the models: $(cat names.txt)"
for name in covering dense starving; do ask completions "$(body chain-4m:$name '{}')" > answer.$name.json & done
wait $(jobs -p | grep -v "^$server$")
for name in covering dense; do
  [ "$(pick '["choices"][0]["text"].strip()' < answer.$name.json)" = "$(cat "$cases/chain_solution.txt")" ] || fail "$name: $(cat answer.$name.json)"
  [ "$(pick '["choices"][0]["finish_reason"]' < answer.$name.json)" = stop ] || fail "the reason of $name"
done
"$vortex" generate "$(cat "$cases/chain_prompt.txt")" --model "$model" --max-tokens 120 --policy starving.py 2> err.txt > starving.txt
[ "$(pick '["choices"][0]["text"].strip()' < answer.starving.json)" = "$(cat starving.txt)" ] || fail "the starving policy"

echo "a stream has the same text; a seed gives the same tokens again"
ask completions "$(body chain-4m '{"stream": true, "stream_options": {"include_usage": true}}')" > stream.txt
python3 - "$cases/chain_solution.txt" <<'CHECK' || fail "the stream"
import json, sys
lines = [line[6:] for line in open('stream.txt') if line.startswith('data: ')]
assert lines[-1].strip() == '[DONE]'
chunks = [json.loads(line) for line in lines[:-1]]
assert ''.join(c['choices'][0]['text'] for c in chunks if c['choices']).strip() == open(sys.argv[1]).read().strip()
assert chunks[-1]['choices'] == [] and chunks[-1]['usage']['completion_tokens'] == 105, chunks[-1]
assert [c['choices'][0]['finish_reason'] for c in chunks[:-1]] == [None] * (len(chunks) - 2) + ['stop']
CHECK
for seed in 1 1 2; do ask completions "$(body chain-4m "{\"temperature\": 2, \"seed\": $seed}")" | pick '["choices"][0]["text"]'; done > seeds.txt
[ "$(sort -u seeds.txt | wc -l)" = 2 ] && [ "$(sed -n 1p seeds.txt)" = "$(sed -n 2p seeds.txt)" ] || fail "seeds"

echo "log-probabilities of an echoed prompt are those that lm-eval adds up"
ask completions "$(body chain-4m '{"max_tokens": 1, "echo": true, "logprobs": 1}')" > echo.json
python3 - <<'CHECK' || fail "the echo"
import json
answer = json.load(open('echo.json'))
probs = answer['choices'][0]['logprobs']
prompt = answer['usage']['prompt_tokens']
assert len(probs['tokens']) == len(probs['token_logprobs']) == len(probs['top_logprobs']) == prompt + 1
assert probs['token_logprobs'][0] is None and all(p <= 0 for p in probs['token_logprobs'][1:])
top = probs['top_logprobs'][-1]
assert max(top, key=top.get) == probs['tokens'][-1]
CHECK

echo "who hangs up frees its pages"
pages() { curl -s "${url%/v1}/metrics" | sed -n "s/^vortex:kv_pages$1{model_name=\"chain-4m:covering\"} //p"; }
ask completions "$(body chain-4m '{"max_tokens": 5000, "ignore_eos": true}')" --max-time 0.3 > /dev/null 2>&1 && fail "it was to hang up"
for _ in $(seq 600); do [ "$(pages _free)" = "$(pages "")" ] && break; sleep 0.1; done
[ "$(pages _free)" = "$(pages "")" ] || fail "pages are left"

echo "a candidate of a workspace is served under its number, on the model of its search"
cp -r "$source_dir/tests/cases/web/recorded" workspace
dense_server=$server dense_url=$url
here=$PWD
cd "$source_dir"  # the recorded search names its model from here
serve --candidate 2 --workspace "$here/workspace" --name recorded
cd "$here"
[ "$(ask completions "$(body recorded:candidate-2 '{"max_tokens": 5}')" | pick '["usage"]["completion_tokens"]')" = 5 ] || fail "the candidate"
kill -TERM $server
wait $server || fail "the end of the second server"
server=$dense_server url=$dense_url

echo "what is wrong is said"
[ "$(ask completions "$(body none '{}')" -o refused.json -w '%{http_code}')" = 404 ] || fail "an unknown model"
grep -q chain-4m:starving refused.json || fail "the models that there are"
[ "$(ask chat/completions '{"messages": [{"role": "user", "content": "x"}]}' -o refused.json -w '%{http_code}')" = 400 ] || fail "no template"
refused() {  # TEXT ARGUMENT...
  local part=$1 code=0
  shift
  "$vortex" serve "$@" > /dev/null 2> err.txt || code=$?
  [ $code -eq 1 ] && grep -qi -- "$part" err.txt || fail "exit code $code instead of 1 with \"$part\": serve $*"
}
refused "which model"
refused "no-such-model" no-such-model
refused "VORTEX_API_KEY" "$model" --address 0.0.0.0 --port 0
refused "two policies would be called covering" "$model" --policy covering.py --policy ./covering.py
sed 's/Mean(/Meen(/' starving.py > misspelled.py; cp starving.json misspelled.json
refused "misspelled.py:" "$model" --policy misspelled.py
refused "8192 positions" "$model" --context 9000

echo "told to end, it lets requests end and takes no more"
ask completions "$(body chain-4m '{"max_tokens": 400, "ignore_eos": true, "stream": true}')" > last.txt &
last=$!
for _ in $(seq 600); do grep -q data: last.txt && break; sleep 0.05; done
kill -TERM $server
code=0
wait $server || code=$?
server=
[ $code -eq 0 ] || fail "exit code $code"
wait $last || fail "the last request"
grep -q '\[DONE\]' last.txt || fail "the end of the last stream"
