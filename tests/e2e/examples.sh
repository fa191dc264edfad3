#!/usr/bin/env bash
# The recorded search that ships as a whole workspace still reads as it did: what it claims, who is kept, and the
# policies themselves. usage: examples.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir hour
tar -xJf "$source_dir/examples/real-model-hour/workspace.tar.xz" -C hour

fail() { echo "FAILED: $1" >&2; exit 1; }

echo "what is claimed"
"$vortex" front --workspace hour > front.txt
grep -q "Candidate 20 keeps dense attention's accuracy within 10 points" front.txt || { cat front.txt >&2; fail "the claim"; }
[ "$("$vortex" front --workspace hour --format json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["items"]))')" = 11 ] ||
  fail "points of the front"

echo "nothing is amiss in its rows"
"$vortex" db check --workspace hour > check.txt || { cat check.txt >&2; fail "db check"; }

echo "who is kept, and what it is"
"$vortex" show 20 --workspace hour > show.txt || fail "show 20"
grep -q 'self.topk(max_out_2, o, ctx=ctx)' show.txt || { cat show.txt >&2; fail "the policy's text"; }
grep -q 'place_among_asked 1.000' show.txt || { cat show.txt >&2; fail "the held-out problems"; }
