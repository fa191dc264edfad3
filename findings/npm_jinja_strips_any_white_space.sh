#!/usr/bin/env bash
# npm @huggingface/jinja 0.5.11 (node 20): strip, lstrip and rstrip ignore the characters that they are given.
#
# Guess:      a chat template renders to the same prompt by the hub's JavaScript engine as by Python's Jinja, which models
#             were trained with; `.lstrip('\n')` takes line feeds away and nothing else.
# Behaviour:  the argument is not looked at: any white space goes, and characters that are none stay. Beside it, none prints
#             as nothing ("None" in Python), and `'x' ~ none` is an error.
# Seen:       for " \n x".lstrip('\n') "x" here and " \n x" in Python; for 'xxaxx'.strip('x') 'xxaxx' here and 'a' in Python.
# Met where:  thoughts of Qwen3's and DeepSeek's templates are cut by .lstrip('\n'): an answer that begins with indented code
#             loses its indentation in JavaScript alone, so Python's Jinja judges what our evaluator renders.
# Fails when that changes. Needs node, npm and python3-jinja2; installs the package into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund @huggingface/jinja@0.5.11 >/dev/null
templates='["[{{ \" \\n x\".lstrip(\"\\n\") }}]", "[{{ \"xxaxx\".strip(\"x\") }}]", "[{{ none }}]"]'

cat >render.mjs <<'CODE'
import { Template } from '@huggingface/jinja';
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(text => new Template(text).render({}))));
CODE
here=$(node render.mjs "$templates")
python=$(python3 - "$templates" <<'CODE'
import jinja2, json, sys
print(json.dumps([jinja2.Environment().from_string(text).render() for text in json.loads(sys.argv[1])], separators=(",", ":")))
CODE
)
echo "JavaScript: $here"
echo "Python:     $python"
[ "$here" = '["[x]","[xxaxx]","[]"]' ] && [ "$python" = '["[ \n x]","[a]","[None]"]' ] || { echo "the behaviour has changed" >&2; exit 1; }
