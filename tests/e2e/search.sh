#!/usr/bin/env bash
# A short search on the shipped model, killed with kill -9 half-way and resumed; then its front is replayed, exported
# and checked. usage: search.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "FAILED: $1" >&2; exit 1; }
search=("$vortex" search --model "$source_dir/models/chain-4m" --definitions 96 --chain 10 --problems 8 --speed-seconds 1
  --confirm-problems 4 --max-evals 4 --for 10m --seed 3 --rank-speed modelled --format json)

echo "an interrupted search, resumed, makes the decisions of an uninterrupted one"
"${search[@]}" --workspace clean > clean.json 2> clean.log || { cat clean.log >&2; fail "the search"; }
"${search[@]}" --workspace killed > killed.json 2> killed.log &
pid=$!
sleep 6
kill -9 "$pid" 2>/dev/null || true
wait "$pid" 2>/dev/null || true
run=$("$vortex" status --workspace killed --format json | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' | head -n 1)
"$vortex" search --resume "$run" --workspace killed --format json > killed.json 2>> killed.log ||
  { cat killed.log >&2; fail "resuming"; }
# What was decided and what it scored; measured speeds differ between any two searches.
decided() { grep -oE '"(candidate|origin|rationale)": *("[^"]*"|[0-9]+)' "$1"; }
diff <(decided clean.json) <(decided killed.json) || fail "the resumed search decided otherwise"
grep -q '"origin"' clean.json || fail "the front is empty"

echo "every member of the front reproduces its tokens"
"$vortex" replay front --workspace clean >&2 || fail "replay"

echo "a stored candidate exports to a pair that checks"
member=$(grep -oE '"candidate": *[0-9]+' clean.json | grep -oE '[0-9]+' | tail -n 1)
[ "$member" -gt 1 ] || member=2
"$vortex" export "$member" --to vortex-torch --out exported --unconfirmed --workspace clean >&2 || fail "export"
module=$(ls exported/*.py)
"$vortex" check "$module" "${module%.py}.json" --model "$source_dir/models/chain-4m" >&2 || fail "check of the export"

echo "its kernels compile by the command of their README"
if "$vortex" export "$member" --to cuda --out kernels --workspace clean >&2; then
  ! grep -q "NOT CONFIRMED" kernels/policy.cu || fail "a confirmed candidate that says it was not"
else
  "$vortex" export "$member" --to cuda --out kernels --unconfirmed --workspace clean >&2 || fail "export of kernels"
  grep -q "NOT CONFIRMED" kernels/policy.cu || fail "an unconfirmed candidate that does not say so"
fi
PATH=$PATH:/usr/local/cuda/bin
if command -v nvcc > /dev/null; then
  (cd kernels && bash -c "$(sed -n 's/^    \(nvcc .*\)/\1/p' README.md)") >&2 || fail "nvcc"
  [ -x kernels/run ] || fail "no program"
else
  echo "SKIPPED: compiling exported kernels needs nvcc"
fi

echo "a bundle carries its task and verifies itself"
"$vortex" export "$member" --to bundle --out bundle --unconfirmed --workspace clean >&2 || fail "export of a bundle"
verify() {  # FOLDER: its verify.sh with the model, which must say all it checks and run the search's own task
  PATH=$(dirname "$vortex"):$PATH "$1/verify.sh" "$source_dir/models/chain-4m" > verify.txt 2>&1 ||
    { cat verify.txt >&2; fail "$1/verify.sh"; }
  grep -q "files: as they were exported" verify.txt || fail "$1: the sums"
  grep -q "claims: every accuracy follows from its answers" verify.txt || fail "$1: the claims"
}
verify bundle
grep -qE '^\| *race|^race ' verify.txt || { cat verify.txt >&2; fail "the bundle's race did not run"; }
sed -i 's/"definitions": 96/"definitions": 97/' bundle/task.json
! bundle/verify.sh > /dev/null 2>&1 || fail "a bundle whose task was changed verifies"

echo "a bundle of a search on a file of questions runs those questions"
printf '{"id": "a", "problem": "1 2 3 4", "answer": "5"}\n{"id": "b", "problem": "5 6 7 8", "answer": "9"}\n' > own.jsonl
cp -r "$source_dir/models/chain-4m" model
cat > own.json <<'TASK'
{"kind": "questions", "data": "own.jsonl", "prompt": "{problem}", "max_new_tokens": 24}
TASK
"$vortex" search --model model --task own.json --max-evals 1 --for 5m --seed 3 --no-confirm --accept-baseline \
  --speed-seconds 1 --rank-speed modelled --format jsonl --workspace questions > questions.jsonl 2> questions.log ||
  { cat questions.log >&2; fail "the search on questions"; }
python3 - <<'CHECK' || fail "the search as lines"
import json
lines = [json.loads(line) for line in open("questions.jsonl")]
assert all(line["schema"] == 1 for line in lines)
kinds = [line["kind"] for line in lines]
assert {"stage", "candidate", "event", "front"} <= set(kinds), kinds
assert kinds.index("stage") < kinds.index("candidate") < kinds.index("front"), kinds
race = next(line for line in lines if line["kind"] == "stage" and line["stage"] == "race")
assert race["verdict"] == "pass" and race["metrics"]["accuracy"]["lo"] <= race["metrics"]["accuracy"]["value"], race
assert [line["event"] for line in lines if line["kind"] == "event"][0] == "started"
CHECK
"$vortex" export 2 --to bundle --out questions_bundle --unconfirmed --workspace questions >&2 || fail "export of questions"
rm own.json own.jsonl
grep -q '"5 6 7 8"' questions_bundle/task.json || fail "the bundle's task lacks its questions"
verify questions_bundle

echo "a replay on a model that was changed says so, and does not blame itself"
printf 'x' | dd of=model/model.safetensors bs=1 seek="$(($(stat -c %s model/model.safetensors) - 100))" conv=notrunc status=none
code=0
"$vortex" replay 1 --workspace questions > changed.txt 2>&1 || code=$?
[ "$code" -eq 3 ] || { cat changed.txt >&2; fail "exit code $code on a changed model"; }
grep -q "is not the one that candidate 1 was measured on" changed.txt || { cat changed.txt >&2; fail "the changed model"; }

"$vortex" status --workspace clean --format json | python3 -c 'import json, sys, time
run = json.load(sys.stdin)["items"][0]
assert 0 < time.time() - run["started"] < 3600 and run["started"] < run["ended"], run' || fail "when a search began"
echo "a search that goes on keeps to its budgets, says what does not fit and who cannot be told"
used=$("$vortex" status --workspace clean --format json | sed -n 's/.*"seconds_used": *\([0-9]*\).*/\1/p' | head -n 1)
count() { "$vortex" list --workspace clean --format json | grep -c '"candidate":'; }
before=$(count)
clean=$("$vortex" status --workspace clean --format json | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' | head -n 1)
"$vortex" search --resume "$clean" --workspace clean --max-evals 4 --webhook http://127.0.0.1:9/ > /dev/null 2> resumed.log ||
  { cat resumed.log >&2; fail "resuming what is used up"; }
grep -q "the webhook: " resumed.log || { cat resumed.log >&2; fail "nobody hears that the webhook is dead"; }
"$vortex" search --resume "$clean" --workspace clean --max-evals 0 --for "$((used + 2))s" > /dev/null 2> resumed.log ||
  { cat resumed.log >&2; fail "resuming with little time"; }
grep -q "s left: another candidate should take" resumed.log || { cat resumed.log >&2; fail "what did not fit"; }
[ "$(count)" -eq "$before" ] || fail "--max-evals does not bind on resume"
"${search[@]}" --workspace clean --dry-run > estimate.json || fail "--dry-run"
grep -q "of search $clean" estimate.json && grep -q '"race": [0-9]' estimate.json || fail "what a night costs, from what was"
cat > paid.json <<'JSON'
{"models": [{"name": "paid", "url": "http://127.0.0.1:9/v1", "api": "chat", "model": "m", "max_output_tokens": 2000,
             "input_price": 3, "output_price": 10}]}
JSON
"${search[@]}" --workspace clean --dry-run --proposer llm --models paid.json > estimate.json || fail "--dry-run with paid replies"
python3 -c 'import json
estimate = json.load(open("estimate.json"))
batch = 4
assert abs(estimate["candidate_dollars"] - 2000 * 10e-6 / batch) < 1e-12, estimate  # all the tokens a reply may have
assert abs(estimate["dollars"] - estimate["candidate_dollars"] * estimate["candidates"]) < 1e-12 and estimate["candidates"] == 4, estimate
assert estimate["dollars_source"].startswith("at most for replies"), estimate' || fail "dollars that a night may cost"
"${search[@]}" --workspace untouched --dry-run > /dev/null || fail "--dry-run without a workspace"
[ ! -e untouched ] || fail "--dry-run made a workspace"
cp -r clean priced
python3 -c 'import sqlite3
base = sqlite3.connect("priced/vortex.db")
for slot, (state, dollars) in enumerate([("answered", 0.5), ("failed", 0.1), ("answered", 0.3)]):
    base.execute("""INSERT INTO llm_call (run, batch, slot, draw, attempt, purpose, model, prompt_object, reply_object, state,
                    finish, message, input_tokens, output_tokens, dollars, seconds, created)
                    VALUES (1, 0, ?, 0, 1, "propose", "paid", "", "", ?, "stop", "", 1, 1, ?, 1, 0)""", [slot, state, dollars])
base.commit()' || fail "earlier replies"
"${search[@]}" --workspace priced --dry-run --proposer llm --models paid.json > estimate.json || fail "--dry-run after paid replies"
python3 -c 'import json
estimate = json.load(open("estimate.json"))
assert abs(estimate["candidate_dollars"] - 0.9 / 2 / 4) < 1e-12 and estimate["dollars_source"] == "by 2 replies of these models before", estimate
' || fail "dollars by what replies did cost"

echo "one policy beside dense attention, kept as a search's candidates are"
small=(--model "$source_dir/models/chain-4m" --definitions 96 --chain 10 --problems 4 --stages compile,race --workspace clean)
"$vortex" eval "$module" "${small[@]}" > eval.txt 2> eval.log || { cat eval.log >&2; fail "eval"; }
grep -qE "of dense attention [0-9.]+ .*the difference is " eval.txt || { cat eval.txt >&2; fail "dense attention's accuracy"; }
kept=$(sed -n 's/kept as candidate \([0-9]*\) of eval-1.*/\1/p' eval.log)
"$vortex" show "$kept" --workspace clean | grep -q "accuracy_difference" || fail "what eval found is not kept"
"$vortex" front --workspace clean 2>&1 | grep -q "evaluated:" && fail "an evaluation passes for the newest search"
"$vortex" search --resume eval-1 --workspace clean > /dev/null 2>&1 && fail "an evaluation can be resumed"

echo "the other views print"
for view in "show $member" report status "lineage $member"; do
  # shellcheck disable=SC2086
  "$vortex" $view --workspace clean > view.txt || fail "$view"
  [ -s view.txt ] || fail "$view printed nothing"
done

echo "front and report begin with the same claim, or why there is none"
claim=$("$vortex" front --workspace clean 2>/dev/null | head -n 1)
[[ $claim == *"accura"* || $claim == *"claimed"* ]] || fail "the front says first what is claimed: $claim"
"$vortex" report --workspace clean | grep -qF -- "$claim" || fail "the report claims something else than: $claim"
