#!/usr/bin/env bash
# Completions in a real bash (in zsh and fish where they are installed), and the manual page as groff and man read it.
# usage: completions_test.sh VORTEX
set -euo pipefail
vortex=$1
failures=0
fail() { echo "FAILED: $1" >&2; failures=$((failures + 1)); }

# completed WORD...: what bash offers for the last word.
completed() {
  env -i PATH="$(dirname "$vortex"):$PATH" bash --norc -c '
    source <("$0" completions bash)
    complete -p vortex >/dev/null || exit 1
    COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _vortex
    printf "%s\n" "${COMPREPLY[@]}"' "$vortex" vortex "$@"
}
expect() {  # expect WANTED WORD...
  local wanted=$1 got
  shift
  got=$(completed "$@" | sort | tr '\n' ' ')
  [ "$got" = "$wanted " ] || fail "vortex $*: offers '$got', not '$wanted'"
}
expect "report" repo
expect "--rank-speed" search --ra
expect "measured modelled" search --rank-speed ""
expect "json jsonl" front --format js
expect "json jsonl" front --format = js
expect "csv json jsonl text" front --format =
expect "bash fish zsh" completions ""
expect "fish" completions f
expect "--html" report --workspace /tmp --ht
here=$(cd "$(dirname "$0")" && pwd)
expect "$here/completions_test.sh" check "$here/compl"
# Every verb and every option of the help is offered.
for verb in $("$vortex" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
  completed "$verb" | grep -qx "$verb" || fail "the verb $verb is not offered"
  [ "$verb" != bench ] || continue  # hands its options to another program
  offered=$(completed "$verb" --)
  for option in $("$vortex" "$verb" --help | grep -o '^  [-a-z,]*--[a-z-]*' | grep -o -- '--[a-z-]*'); do
    grep -qx -- "$option" <<<"$offered" || fail "$verb: $option is not offered"
  done
done
script=$(mktemp)
trap 'rm -f "$script"' EXIT
for shell in bash zsh fish; do
  "$vortex" completions $shell > "$script"
  if command -v $shell >/dev/null; then $shell -n "$script" || fail "$shell cannot read its completions"; fi
done
# What the other shells offer for a line, where they are installed.
from_zsh() { "$here/zsh_offers.zsh" "$(dirname "$vortex")" "$script" "$1"; }
from_fish() { env -i PATH="$(dirname "$vortex"):$PATH" HOME="$(dirname "$script")" fish --no-config -c "source $script; complete -C '$1'"; }
for shell in zsh fish; do
  if ! command -v $shell >/dev/null; then
    echo "SKIPPED: completions in $shell, which is not installed"
    continue
  fi
  "$vortex" completions $shell > "$script"
  while IFS='>' read -r line wanted; do
    got=$("from_$shell" "$line" | cut -f 1 | sort -u | tr '\n' ' ')
    [ "$got" = "$wanted " ] || fail "$shell, '$line': offers '$got', not '$wanted'"
  done <<'END'
vortex repo>report
vortex front --format js>json jsonl
vortex search --rank-speed >measured modelled
vortex completions f>fish
vortex search --rank>--rank-speed
END
done
if "$vortex" completions tcsh >/dev/null 2>&1; then fail "another shell is refused"; fi

"$vortex" man > "$script"
if command -v groff >/dev/null; then
  warnings=$(groff -man -ww -z -Tutf8 "$script" 2>&1)
  [ -z "$warnings" ] || fail "groff warns: $warnings"
fi
if command -v man >/dev/null; then
  text=$(MANWIDTH=100 MAN_KEEP_FORMATTING= man -l "$script" | col -b)
  for word in "--rank-speed measured|modelled" "VORTEX_WORKSPACE" "Interrupted, and resumable" "completions"; do
    grep -qF -- "$word" <<<"$text" || fail "the manual page does not say: $word"
  done
fi
[ $failures -eq 0 ] || exit 1
echo "completions and the manual page are as they should be"
