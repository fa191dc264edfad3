#!/usr/bin/env bash
# The clients that people use against `vortex serve`. usage: run.sh VORTEX SOURCE_DIR; exit code 77: something is missing.
set -euo pipefail
vortex=$1
source_dir=$2
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "SKIPPED: $1 (scripts/setup.sh installs it)"; exit 77; }
command -v node >/dev/null || skip "node is missing"
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 18')" = true ] || skip "node is older than 18"
if ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed-from"; then
  (cd "$here" && npm ci --no-audit --no-fund >/dev/null 2>&1) || skip "the packages of tests/serve/clients cannot be installed"
  cp "$here/package-lock.json" "$here/node_modules/.installed-from"
fi

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 "$source_dir/tests/e2e/successor_model.py" "$source_dir/tests/cases/model/tiny_bpe/tokenizer.json" endless \
  $'\naé日😀b' cycle
cat > endless/tokenizer_config.json <<'CONFIG'
{"chat_template": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant{{ '\\n' }}"}
CONFIG
"$vortex" serve endless --port 0 --context 120000 --batch 8 > url.txt 2> err.txt &
server=$!
for _ in $(seq 600); do [ -s url.txt ] && break; kill -0 $server 2>/dev/null || break; sleep 0.1; done
[ -s url.txt ] || { echo "FAILED: the server does not start" >&2; cat err.txt >&2; exit 1; }
node "$here/clients.mjs" "$(cat url.txt)" endless || { cat err.txt >&2; exit 1; }
kill -TERM $server
code=0
wait $server || code=$?
server=
[ $code -eq 0 ] || { echo "FAILED: exit code $code of the server" >&2; cat err.txt >&2; exit 1; }
