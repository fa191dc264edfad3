#!/usr/bin/env bash
# A workspace that somebody else holds, that is damaged, or that lost objects ends a command at once, with exit code 3
# and the reason. usage: workspace.sh VORTEX SOURCE_DIR
set -uo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
holder=
trap '[ -z "$holder" ] || kill -9 "$holder" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$source_dir" || exit 1  # the recorded search names its model from here
failures=0

expect() {  # EXIT_CODE TEXT COMMAND...
  local code=$1 text=$2 got begin=$SECONDS
  shift 2
  "$@" > "$folder/out.txt" 2>&1
  got=$?
  if [ "$got" -ne "$code" ] || ! grep -q -- "$text" "$folder/out.txt" || [ $((SECONDS - begin)) -gt 60 ]; then
    echo "FAILED: $* gave $got after $((SECONDS - begin)) s (want $code, with \"$text\"):" >&2
    tail -n 20 "$folder/out.txt" >&2
    failures=$((failures + 1))
  fi
}
fresh() { rm -rf "$folder/w"; cp -r tests/cases/web/recorded "$folder/w"; }
resume=("$vortex" search --resume brisk-mole --max-evals 40 --for 9h --workspace "$folder/w")

echo "one search at a time"
fresh
(flock 9 && exec sleep 600) 9<>"$folder/w/search.lock" &  # one process: when it has been waited for, the lock is free
holder=$!
until ! flock -n "$folder/w/search.lock" true; do sleep 0.05; done
printf '%s elsewhere %s\n' "$holder" "$(($(date +%s) - 7200))" > "$folder/w/search.lock"
expect 3 "another search runs in .* (process $holder on elsewhere, for 120 min)" "${resume[@]}"
expect 3 "process $holder on elsewhere" "$vortex" db vacuum --workspace "$folder/w"
expect 0 "accuracy" "$vortex" front --workspace "$folder/w"
kill -9 "$holder"
wait "$holder" 2>/dev/null
holder=
expect 0 "became" "$vortex" db vacuum --workspace "$folder/w"

echo "objects that are gone"
fresh
rm -rf "$folder"/w/objects/*
expect 3 "objects" "$vortex" db check --workspace "$folder/w"
expect 3 "of the sources of [0-9]* candidates are gone" "${resume[@]}"

echo "an object that is damaged"
fresh
object=$(sqlite3 "$folder/w/vortex.db" "SELECT module_object FROM candidate WHERE module_object <> '' ORDER BY id LIMIT 1")
echo "another text" > "$folder/w/objects/${object:0:2}/$object"
expect 3 "object .*$object is damaged" "${resume[@]}"

echo "a model that is gone, or a file of it"
fresh
cp -r models/chain-4m "$folder/model"
sqlite3 "$folder/w/vortex.db" "UPDATE run SET config = replace(config, '\"models/chain-4m\"', '\"$folder/model\"')"
for file in model.safetensors tokenizer.json config.json; do
  rm "$folder/model/$file"
  expect 3 "the model of search brisk-mole is gone: .*$file" "${resume[@]}"
  cp "models/chain-4m/$file" "$folder/model/"
done
rm -r "$folder/model"
expect 3 "the model of search brisk-mole is gone: $folder/model is not there" "${resume[@]}"

echo "a damaged database"
fresh
size=$(stat -c %s "$folder/w/vortex.db")
for at in $(seq 4096 8192 "$size"); do
  head -c 512 /dev/urandom | dd of="$folder/w/vortex.db" bs=1 seek="$at" conv=notrunc status=none
done
rm -f "$folder"/w/vortex.db-*
expect 3 "damaged\|malformed" "${resume[@]}"
expect 3 "" "$vortex" front --workspace "$folder/w"

[ "$failures" -eq 0 ] || exit 1
echo "a workspace that cannot be used says why"
